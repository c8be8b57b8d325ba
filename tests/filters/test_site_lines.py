"""Lines that a site repeats: titled cases, and the query against plain Python."""

from __future__ import annotations

import json
import random
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.barrier import VERDICTS, Decision
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import DamagedRunError, RecipeError
from corpusmill.documents.schema import DOCUMENT
from corpusmill.documents.shards import write_table
from corpusmill.filters.site_lines import Reason, SiteLines

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "cases" / "site_lines.jsonl").read_text(encoding="utf-8").splitlines()
]
Page = tuple[str | None, str]


def documents_of(pages: Sequence[Page]) -> pa.RecordBatch:
    batch = TextBatch.of_texts([text for _, text in pages], source="books").documents
    names = pa.array([f"{row:06}" for row in range(len(pages))], pa.string())
    batch = batch.set_column(0, DOCUMENT.field("id"), names)
    return batch.set_column(3, DOCUMENT.field("url"), pa.array([url for url, _ in pages], pa.string()))


def decided(
    stage: SiteLines, pages: Sequence[Page], folder: Path, *, parts: int = 1, order: Sequence[int] | None = None,
    excluded: Sequence[int] = (),
) -> Decision:  # fmt: skip
    documents = documents_of(pages).take(pa.array(np.arange(len(pages)) if order is None else order, pa.int64()))
    folder = folder / "sidecars"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    paths = []
    for part, (begin, end) in enumerate(pairwise(np.linspace(0, len(documents), parts + 1).astype(int).tolist())):
        paths.append(folder / f"{part}.parquet")
        # A slice, so that kernels meet batches whose buffers begin before they do.
        write_table(paths[-1], [stage.observe(TextBatch(documents.slice(begin, end - begin)))], stage.sidecar)
    absent = pa.array([f"{row:06}" for row in excluded], pa.string())
    decision = stage.decide(paths, excluded=absent, read_texts=lambda ids: iter(()), workspace=folder)
    assert decision.verdicts.schema == VERDICTS
    assert decision.measures is not None
    assert decision.measures.schema == pa.schema([VERDICTS.field("id"), *stage.measures])
    assert decision.measures["id"].to_pylist() == sorted(decision.measures["id"].to_pylist())
    return decision


def share(parts: list[int] | str | None) -> float | None:
    return parts[0] / parts[1] if isinstance(parts, list) else None


@pytest.mark.parametrize("case", [pytest.param(case, id=case["title"]) for case in CASES])
def test_a_case_is_measured_as_its_title_says(case, tmp_path):
    decision = decided(SiteLines(**case["options"]), case["pages"], tmp_path)
    rows = {int(row["id"]): row for row in decision.measures.to_pylist()}
    assert set(rows) == {page for page, parts in enumerate(case["lines"]) if parts is not None}
    assert {page: row["repeated_lines"] for page, row in rows.items()} == {
        page: share(case["lines"][page]) for page in rows
    }
    assert {page: row["repeated_characters"] for page, row in rows.items()} == {
        page: share(case["characters"][page]) for page in rows
    }
    gone = {int(row["id"]): row["reason"] for row in decision.verdicts.to_pylist()}
    assert gone == dict.fromkeys(case.get("gone", []), case.get("reason"))


def test_every_declared_reason_has_a_case():
    assert {case["reason"] for case in CASES if "reason" in case} == set(Reason)


def plain_measures(pages: Sequence[Page], least: int, least_share: float) -> dict[str, tuple[int, float | None]]:
    """Pages of the host and share of repeated characters, for documents with URLs of one form."""
    of_host: dict[str | None, list[int]] = defaultdict(list)
    lines: list[list[tuple[tuple[str, ...], int]]] = []
    for number, (url, text) in enumerate(pages):
        of_host[urlsplit(url).hostname if url else None].append(number)
        found = [(tuple(re.findall(r"\w+", line.lower())), len(line)) for line in text.split("\n")]
        lines.append([entry for entry in found if entry[0]])
    measures = {}
    for members in of_host.values():
        if len(members) < least:
            continue
        standing = Counter(line for number in members for line in {line for line, _ in lines[number]})
        for number in members:
            total = sum(size for _, size in lines[number])
            repeated = sum(
                size
                for line, size in lines[number]
                if standing[line] >= least and standing[line] >= least_share * len(members)
            )
            measures[f"{number:06}"] = (len(members), repeated / total if total else None)
    return measures


page_texts = st.lists(
    st.sampled_from(["home", "Home", "news  today", "--", "", "a body", "another body", "12", "12."]), max_size=8
).map("\n".join)
addresses = st.sampled_from(
    [None, "http://a.example/x", "https://a.example:80/y?u=http://c.example", "ftp://b.example"]
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(addresses, page_texts), max_size=30), st.integers(2, 4), st.sampled_from([0.0, 0.3, 0.75]))
def test_measures_are_those_of_plain_python(tmp_path_factory, pages, least, least_share):
    stage = SiteLines(min_pages=least, min_share=least_share)
    rows = decided(stage, pages, tmp_path_factory.mktemp("plain"), parts=2).measures.to_pylist()
    assert {row["id"]: (row["pages"], row["repeated_characters"]) for row in rows} == plain_measures(
        pages, least, least_share
    )


def test_measures_are_the_same_however_the_source_is_split_and_ordered(tmp_path):
    chance = random.Random(1)
    lines = [f"line number {chr(97 + number)}" for number in range(9)]
    pages = [
        (f"http://{chance.choice('abc')}.example/{row}", "\n".join(chance.choices(lines, k=chance.randrange(9))))
        for row in range(120)
    ]
    stage = SiteLines(min_share=0.4, max_repeated_characters=0.5)
    whole = decided(stage, pages, tmp_path)
    assert 10 < whole.verdicts.num_rows < 110
    assert decided(stage, pages, tmp_path, parts=5, order=chance.sample(range(120), 120)) == whole


def test_an_excluded_page_is_no_witness(tmp_path):
    pages = [(f"http://a.example/{row}", "menu\nbody") for row in range(6)]
    assert decided(SiteLines(), pages, tmp_path, excluded=[3]).measures["pages"].to_pylist() == [5] * 5
    assert decided(SiteLines(), pages, tmp_path, excluded=[3, 4]).measures.num_rows == 0


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_nothing_in_gives_nothing_out(tmp_path, parts):
    decision = decided(SiteLines(), [], tmp_path, parts=parts)
    assert (decision.verdicts.num_rows, decision.measures.num_rows) == (0, 0)


def test_a_document_that_was_observed_twice_is_an_error_that_names_it(tmp_path):
    with pytest.raises(DamagedRunError, match="document '000000' was observed more than once"):
        decided(SiteLines(), [(None, "x")], tmp_path, order=[0, 0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_pages": 1}, "min_pages: 1 must be at least 2"),
        ({"min_share": -0.1}, "min_share: -0.1 is no share"),
        ({"max_repeated_characters": 2}, "max_repeated_characters: 2 is no share"),
    ],
)
def test_parameters_that_cannot_be_are_refused(options, message):
    with pytest.raises(RecipeError, match=message):
        SiteLines(**options)


def test_fields_that_only_decide_reads_do_not_change_the_sidecars():
    other = {"min_pages": 9, "min_share": 0.7, "max_repeated_characters": 0.1}
    assert set(other) == SiteLines.judged_fields
    batch = TextBatch(documents_of([("http://a.example", "one\ntwo"), (None, "three")]))
    assert SiteLines(**other).observe(batch) == SiteLines().observe(batch)
