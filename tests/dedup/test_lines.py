"""Repeated lines: titled cases, the whole against plain Python, and the same however the work is shared out."""

from __future__ import annotations

import itertools
import json
import random
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dedup import lines
from corpusmill.dedup.lines import Reason, RepeatedLines, dealt_out, group_often
from corpusmill.documents import ids
from corpusmill.documents.barrier import EDITS, VERDICTS, Decision
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen
from corpusmill.documents.errors import DamagedRunError, RecipeError
from corpusmill.documents.schema import DOCUMENT
from corpusmill.documents.shards import write_table

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "cases" / "repeated_lines.jsonl").read_text(encoding="utf-8").splitlines()
]
LETTERLESS = ("letterless", "signs")
Page = tuple[str | None, str]


def documents_of(pages: Sequence[Page]) -> pa.RecordBatch:
    batch = TextBatch.of_texts([text for _, text in pages], source="books").documents
    names = pa.array([f"{row:06}" for row in range(len(pages))], pa.string())
    batch = batch.set_column(0, DOCUMENT.field("id"), names)
    return batch.set_column(3, DOCUMENT.field("url"), pa.array([url for url, _ in pages], pa.string()))


def decided(
    stage: RepeatedLines, pages: Sequence[Page], folder: Path, *, parts: int = 1, order: Sequence[int] | None = None,
    excluded: Sequence[int] = (), with_steps: bool = False,
) -> Decision:  # fmt: skip
    documents = documents_of(pages).take(pa.array(np.arange(len(pages)) if order is None else order, pa.int64()))
    folder = folder / "sidecars"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "workspace").mkdir(parents=True)
    sidecars = []
    for part, (begin, end) in enumerate(pairwise(np.linspace(0, len(documents), parts + 1).astype(int).tolist())):
        sidecars.append(folder / f"{part}.parquet")
        # A slice, so that kernels meet batches whose buffers begin before they do.
        write_table(sidecars[-1], [stage.observe(TextBatch(documents.slice(begin, end - begin)))], stage.sidecar)
    done: dict[str, list[Path]] = {}
    if with_steps:
        bounds = np.linspace(0, len(documents), parts + 1).astype(int)
        for step in stage.steps(np.diff(bounds).tolist()):
            files = [folder / f"{step.name}-{task}" for task in range(step.tasks)]
            for task, file in enumerate(files):
                stage.run_step(step.name, task, sidecars=sidecars, seen=(), done=done, target=file)
            done[step.name] = files
    decision = stage.decide(
        sidecars,
        excluded=pa.array([f"{row:06}" for row in excluded], pa.string()),
        read_texts=lambda ids: iter(()),
        workspace=folder / "workspace",
        done=done if with_steps else None,
    )
    assert decision.verdicts.schema == VERDICTS
    assert decision.edits.schema == EDITS
    assert decision.measures is not None
    assert decision.measures.schema == pa.schema([VERDICTS.field("id"), *stage.measures])
    for table in (decision.verdicts, decision.measures, decision.edits):
        assert table["id"].to_pylist() == sorted(table["id"].to_pylist())
    assert set(decision.edits["id"].to_pylist()).isdisjoint(decision.verdicts["id"].to_pylist())
    return decision


def texts_left(pages: Sequence[Page], decision: Decision) -> list[str | None]:
    """What is left of each text; None for a document that is dropped."""
    gone = {int(row["id"]) for row in decision.verdicts.to_pylist()}
    passages = defaultdict(list)
    for row in decision.edits.to_pylist():
        passages[int(row["id"])].append((row["start"], row["end"]))
    left: list[str | None] = []
    for number, (_, text) in enumerate(pages):
        content, behind = text.encode(), len(text.encode())
        for start, end in reversed(passages[number]):
            assert 0 <= start < end <= behind
            content, behind = content[:start] + content[end:], start
        left.append(None if number in gone else content.decode())
    return left


@pytest.mark.parametrize("case", [pytest.param(case, id=case["title"]) for case in CASES])
def test_a_case_is_cut_as_its_title_says(case, tmp_path):
    decision = decided(RepeatedLines(**case["options"]), case["pages"], tmp_path)
    assert texts_left(case["pages"], decision) == case["left"]
    assert set(decision.verdicts["reason"].to_pylist()) == ({case["reason"]} if "reason" in case else set())
    counts = {int(row["id"]): row["cut_units"] for row in decision.measures.to_pylist()}
    changed = {number for number, (_, text) in enumerate(case["pages"]) if text != case["left"][number]}
    assert set(counts) == changed
    if "cut_units" in case:
        assert [counts.get(number) for number in range(len(case["pages"]))] == case["cut_units"]


def test_every_declared_reason_has_a_case():
    assert {case["reason"] for case in CASES if "reason" in case} == set(Reason)


def units_of(text: str, unit: str) -> tuple[list[str], list[str]]:
    """The units that are not blank, and the gaps before, between and behind them."""
    if unit == "line":
        found = [(match.start(), match.end()) for match in re.finditer(r"[^\n]*\S[^\n]*", text)]
    else:
        shift = len(text) - len(text.lstrip())
        body = text.strip()
        found = [(shift + m.start(), shift + m.end()) for m in re.finditer(r"[^\n]+(?:\n[^\n]+)*", body)]
    edges = [0, *(place for span in found for place in span), len(text)]
    pieces = [text[start:end] for start, end in pairwise(edges)]
    return pieces[1::2], pieces[::2]


def key_of(unit: str, stage: RepeatedLines) -> object:
    words = re.findall(r"\w+", unit)
    if not any(map(str.isalpha, unit)):
        return "letterless" if words else "signs"
    if len(words) < stage.min_words or len(unit) < stage.min_characters:
        return None
    if stage.normalisation == "none":
        return (unit,)
    folded = [word.lower().replace("ü", "u") for word in words]
    return tuple(re.sub(r"\d", "0", word) if stage.normalisation == "folded_digits" else word for word in folded)


def plain(stage: RepeatedLines, pages: Sequence[Page], excluded: Sequence[int]) -> list[tuple[str | None, int]]:
    """What is left of each text, and how many units are cut, for documents with URLs of one form."""
    sites = [urlsplit(url).hostname if url and stage.scope == "site" else None for url, _ in pages]
    split = [units_of(text, stage.unit) for _, text in pages]
    keys = [[key_of(unit, stage) for unit in units] for units, _ in split]
    standing: dict[object, list[int]] = defaultdict(list)
    for number in range(len(pages)):
        if number not in excluded:
            for key in set(keys[number]) - {None, *LETTERLESS}:
                standing[sites[number], key].append(number)
    pages_of = Counter(site for number, site in enumerate(sites) if number not in excluded)
    dropped: set[int] = set()
    results: list[tuple[str | None, int]] = []
    for _ in range(2):
        results, short = [], set()
        for number, (_, text) in enumerate(pages):
            if number in excluded:
                results.append((text, 0))
                continue
            repeated, cut = [], []
            for key in keys[number]:
                owners = standing[sites[number], key]
                share = stage.min_site_share * pages_of[sites[number]] if stage.scope == "site" else 0
                often = len(owners) >= stage.min_count and len(owners) >= share
                stays = min((owner for owner in owners if owner not in dropped), default=None)
                repeated.append(often)
                cut.append(often and not (stage.keep == "first" and stays == number))
            cut = in_runs(keys[number], repeated, cut, stage.min_run)
            units, gaps = split[number]
            lettered = [place for place, key in enumerate(keys[number]) if key not in LETTERLESS]
            total = sum(len(units[place]) for place in lettered)
            left = sum(len(units[place]) for place in lettered if not cut[place])
            if any(cut) and left < max(stage.min_left_characters, (stage.min_left_share or 0) * total):
                short.add(number)
            results.append((rebuilt(units, gaps, cut, keys[number]), sum(cut)))
        if not dropped:
            dropped = short
    return [(None if number in dropped else text, count) for number, (text, count) in enumerate(results)]


def in_runs(keys: list[object], repeated: list[bool], cut: list[bool], least: int) -> list[bool]:
    """`cut` without what stands in rows of fewer than `least` repeated units, unless these are at an end."""
    lettered = [place for place, key in enumerate(keys) if key not in LETTERLESS]
    result = [False] * len(cut)
    for _, run in itertools.groupby(enumerate(lettered), lambda pair: repeated[pair[1]]):
        rows = list(run)
        if len(rows) >= least or rows[0][0] == 0 or rows[-1][0] == len(lettered) - 1:
            for _, place in rows:
                result[place] = cut[place]
    return result


def rebuilt(units: list[str], gaps: list[str], cut: list[bool], keys: list[object]) -> str:
    lettered = [place for place, key in enumerate(keys) if key not in LETTERLESS]
    gone = list(cut)
    for place, key in enumerate(keys):
        if key in LETTERLESS and any(cut):
            before = [other for other in lettered if other < place]
            after = [other for other in lettered if other > place]
            gone[place] = (not before or cut[before[-1]]) and (not after or cut[after[0]])
            gone[place] |= key == "signs" and place > 0 and gone[place - 1] and gaps[place] == "\n"
    text, gap = "", gaps[0]
    pending = None  # the gap before the units that go
    for place, unit in enumerate(units):
        if gone[place]:
            pending = gap if pending is None else pending
        else:
            if pending is not None:
                gap = gaps[0] if not text and pending == gaps[0] else max(pending, gap, key=len)
                pending = None
            text += gap + unit
        gap = gaps[place + 1]
    return text + gap


page_texts = st.lists(
    st.sampled_from(
        [
            "home",
            "Home",
            "uns über",
            "über – uns",
            "--",
            "",
            " ",
            "  a body",
            "other  body",
            "12",
            "13.",
            "a 1",
            "A 2",
            "*",
        ]
    ),
    max_size=9,
).map("\n".join)
addresses = st.sampled_from([None, "http://a.example/x", "https://a.example:80/y?u=http://c.example"])
stages = st.builds(
    RepeatedLines,
    unit=st.sampled_from(["line", "paragraph"]),
    scope=st.sampled_from(["site", "source"]),
    normalisation=st.sampled_from(["none", "folded", "folded_digits"]),
    min_count=st.integers(2, 4),
    min_site_share=st.sampled_from([0.0, 0.3, 0.75]),
    min_words=st.integers(1, 2),
    min_characters=st.sampled_from([1, 3]),
    min_run=st.integers(1, 3),
    keep=st.sampled_from(["first", "none"]),
    min_left_characters=st.sampled_from([1, 6]),
    min_left_share=st.sampled_from([None, 0.4]),
)


@settings(max_examples=100)
@given(stages, st.lists(st.tuples(addresses, page_texts), max_size=12), st.sets(st.integers(0, 11), max_size=2))
def test_texts_and_counts_are_those_of_plain_python(tmp_path_factory, stage, pages, excluded):
    decision = decided(stage, pages, tmp_path_factory.mktemp("plain"), parts=2, excluded=sorted(excluded))
    expected = plain(stage, pages, sorted(excluded))
    counts = {int(row["id"]): row["cut_units"] for row in decision.measures.to_pylist()}
    assert [counts.get(number, 0) for number in range(len(pages))] == [count for _, count in expected]
    left = texts_left(pages, decision)
    assert [text is None for text in left] == [text is None for text, _ in expected]
    assert left == [text for text, _ in expected]


@pytest.mark.realdata
@pytest.mark.parametrize("unit", ["line", "paragraph"])
@pytest.mark.parametrize("keep", ["first", "none"])
def test_texts_of_real_documents_are_those_of_plain_python(english_texts, tmp_path, unit, keep):
    stage = RepeatedLines(unit=unit, keep=keep, scope="source", normalisation="none", min_count=3)
    pages = [(None, text) for text in english_texts]
    decision = decided(stage, pages, tmp_path, parts=3)
    assert texts_left(pages, decision) == [text for text, _ in plain(stage, pages, [])]
    assert decision.edits.num_rows > 200


def random_pages(count: int) -> list[Page]:
    chance = random.Random(1)
    found = [f"line of {chr(97 + number // 9)}{chr(97 + number % 9)}" for number in range(80)]
    return [
        (f"http://{chance.choice('abc')}.example/{row}", "\n".join(chance.choices(found, k=chance.randrange(9))))
        for row in range(count)
    ]


def test_the_decision_is_the_same_however_the_work_is_shared_out(tmp_path, monkeypatch):
    pages = random_pages(150)
    stage = RepeatedLines(min_count=3, min_left_characters=20, min_site_share=0.05)
    whole = decided(stage, pages, tmp_path)
    assert 5 < whole.verdicts.num_rows < 145
    assert whole.edits.num_rows > 20
    shuffled = random.Random(2).sample(range(150), 150)
    assert decided(stage, pages, tmp_path, parts=5, order=shuffled) == whole
    monkeypatch.setattr(lines, "_FEW_DOCUMENTS", 10)
    monkeypatch.setattr(lines, "_DOCUMENTS_OF_A_TASK", 20)
    monkeypatch.setattr(lines, "_BLOCK", 50)
    monkeypatch.setattr(lines, "_AT_ONCE", 30)
    monkeypatch.setattr(lines, "_TABLE", 8)
    assert [(step.name, step.tasks) for step in stage.steps([50] * 3)] == [("scattered", 3), ("repeated", 8)]
    assert decided(stage, pages, tmp_path, parts=3, order=shuffled, with_steps=True) == whole


def test_few_documents_are_not_worth_tasks_of_their_own(tmp_path):
    assert RepeatedLines().steps([1000, 0]) == ()
    pages = random_pages(40)
    assert decided(RepeatedLines(), pages, tmp_path, with_steps=True) == decided(RepeatedLines(), pages, tmp_path)


def test_a_step_that_there_is_not_is_an_error(tmp_path):
    with pytest.raises(NotImplementedError, match="repeated_lines has no step 'sorted'"):
        RepeatedLines().run_step("sorted", 0, sidecars=(), seen=(), done={}, target=tmp_path / "x")


few_keys = st.lists(st.one_of(st.integers(0, 9), st.integers(2**64 - 9, 2**64 - 1), st.integers(0, 2**64 - 1)))


@given(few_keys, st.integers(0, 4), st.integers(0, 3), st.integers(1, 3))
def test_keys_are_dealt_out_and_counted_as_by_plain_python(values, bits, above, least):
    keys = frozen(np.array(values, np.uint64))
    bounds, dealt, places = dealt_out(keys, 64 - bits - above, bits)
    hashes = [(value, place) for place, value in enumerate(values) if value > 2]
    expected = sorted(hashes, key=lambda pair: (pair[0] >> (64 - bits - above)) % (1 << bits))
    assert list(zip(dealt.tolist(), places.tolist(), strict=True)) == expected
    parts = Counter((value >> (64 - bits - above)) % (1 << bits) for value, _ in hashes)
    assert np.diff(bounds).tolist() == [parts[part] for part in range(1 << bits)]
    groups = np.empty(len(dealt), np.int32)
    group_often(frozen(bounds), frozen(dealt), least, groups)
    counts = Counter(dealt.tolist())
    assert (groups >= 0).tolist() == [counts[key] >= least for key in dealt.tolist()]
    numbers = {(key, group) for key, group in zip(dealt.tolist(), groups.tolist(), strict=True) if group >= 0}
    assert len(numbers) == len({key for key, _ in numbers}) == len({group for _, group in numbers})


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_nothing_in_gives_nothing_out(tmp_path, parts):
    decision = decided(RepeatedLines(), [], tmp_path, parts=parts)
    assert (decision.verdicts.num_rows, decision.measures.num_rows, decision.edits.num_rows) == (0, 0, 0)


def test_documents_without_a_line_are_left_alone(tmp_path):
    decision = decided(RepeatedLines(min_count=2, scope="source"), [(None, ""), (None, " \n "), (None, "x")], tmp_path)
    assert (decision.verdicts.num_rows, decision.measures.num_rows, decision.edits.num_rows) == (0, 0, 0)


def test_a_document_that_was_observed_twice_is_an_error_that_names_it(tmp_path):
    with pytest.raises(DamagedRunError, match="document '000001' was observed more than once"):
        decided(RepeatedLines(), [(None, "x"), (None, "y")], tmp_path, order=[0, 1, 1])


def test_ids_that_no_array_of_32_bit_offsets_holds_are_numbered_and_written_in_chunks(tmp_path, monkeypatch):
    """Of 2 GB of ids, `pa.string()` arrays cannot be combined; here 3 rows are as many as one chunk is given."""
    pages = [
        (None, f"a line of all\nanother line of all\n{'what stays ' * 20 * (number % 2)}{number}")
        for number in range(9)
    ]
    stage = RepeatedLines(scope="source", keep="none")
    expected = decided(stage, pages, tmp_path)
    assert (expected.measures.num_rows, expected.verdicts.num_rows) == (9, 5)
    monkeypatch.setattr(ids, "_ROWS_TAKEN", 3)
    found = decided(stage, pages, tmp_path, parts=2)
    assert found.measures["id"].num_chunks == 3
    for one, other in (
        (found.measures, expected.measures),
        (found.verdicts, expected.verdicts),
        (found.edits, expected.edits),
    ):
        assert one.equals(other)


def test_sidecars_of_another_stage_are_an_error_that_names_file_and_column(tmp_path):
    path = tmp_path / "other.parquet"
    schema = pa.schema([pa.field("id", pa.string(), nullable=False)])
    write_table(path, [pa.RecordBatch.from_arrays([pa.array(["a"])], schema=schema)], schema)
    with pytest.raises(DamagedRunError, match=r"other\.parquet: column 'site' is absent"):
        RepeatedLines().decide([path], excluded=pa.array([], pa.string()), read_texts=iter, workspace=tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_count": 1}, "min_count: 1 must be at least 2"),
        ({"min_run": 0}, "min_run: 0 must be at least 1"),
        ({"min_words": 0}, "min_words: 0 must be at least 1"),
        ({"min_left_characters": 0}, "min_left_characters: 0 must be at least 1"),
        ({"min_site_share": -0.1}, "min_site_share: -0.1 is no share"),
        ({"min_left_share": 2}, "min_left_share: 2 is no share"),
    ],
)
def test_parameters_that_cannot_be_are_refused(options, message):
    with pytest.raises(RecipeError, match=message):
        RepeatedLines(**options)


def test_the_alarm_is_checked_with_the_rest():
    with pytest.raises(RecipeError, match=r"repeated_lines\.max_dropped_share: 3 is no share"):
        RepeatedLines(max_dropped_share=3).prepare()


def test_fields_that_only_decide_reads_do_not_change_the_sidecars():
    other = {"min_count": 9, "min_site_share": 0.7, "min_run": 3, "keep": "none", "min_left_characters": 7,
             "min_left_share": 0.1, "max_dropped_share": None, "on_wipe_out": "error"}  # fmt: skip
    assert set(other) == RepeatedLines.judged_fields
    batch = TextBatch(documents_of([("http://a.example", "one\ntwo"), (None, "three")]))
    assert replace(RepeatedLines(), **other).observe(batch) == RepeatedLines().observe(batch)
