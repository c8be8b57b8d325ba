"""The titled cases of both barriers, and what holds for both of them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from corpusmill.dedup.exact import ExactDedup
from corpusmill.dedup.minhash import MinHashDedup
from corpusmill.documents.barrier import Barrier
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import DamagedRunError

BARRIERS: dict[str, type[Barrier]] = {kind.name: kind for kind in (ExactDedup, MinHashDedup)}
CASES = Path(__file__).parent.parent / "cases"


def cases(stage: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (CASES / f"{stage}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("stage", "case"),
    [pytest.param(stage, case, id=f"{stage}: {case['title']}") for stage in BARRIERS for case in cases(stage)],
)
def test_a_case_is_decided_as_its_title_says(decided, remembered, tmp_path, stage, case):
    barrier = BARRIERS[stage](**case["options"])
    seen = []
    if "index" in case:
        update = {"update": str(tmp_path / "index"), "update_as": "earlier"}
        seen = [remembered(BARRIERS[stage](**case["options"], **update), case["index"])]
    outcome = decided(barrier, case["texts"], qualities=case.get("qualities"), seen=seen)
    assert outcome.seen == {int(gone): f"a{kept}" for gone, kept in case.get("seen", {}).items()}
    assert outcome.gone == {int(gone): kept for gone, kept in case["gone"].items()}
    reasons = ([case["reason"]] if case["gone"] else []) + (["seen_before"] if outcome.seen else [])
    assert set(outcome.decision.verdicts["reason"].to_pylist()) == set(reasons)
    assert outcome.cluster_sizes == {kept: 1 + n for kept, n in Counter(outcome.gone.values()).items()}


@pytest.mark.parametrize("stage", BARRIERS)
def test_every_declared_reason_has_a_case(stage):
    told = {case["reason"] for case in cases(stage) if case["gone"]}
    told |= {"seen_before" for case in cases(stage) if case.get("seen")}
    assert told == set(BARRIERS[stage].reasons)


@pytest.mark.parametrize("stage", BARRIERS)
@pytest.mark.parametrize("parts", [0, 1, 3])
def test_nothing_in_gives_nothing_out(decided, stage, parts):
    outcome = decided(BARRIERS[stage](), [], parts=parts)
    assert (outcome.gone, outcome.cluster_sizes) == ({}, {})


@pytest.mark.parametrize("stage", BARRIERS)
def test_an_excluded_document_is_neither_kept_nor_dropped(decided, stage):
    outcome = decided(BARRIERS[stage](keep="first_id"), ["the same"] * 4 + ["another"], excluded=[0, 2, 4])
    assert outcome.gone == {3: 1}
    assert outcome.cluster_sizes == {1: 2}


@pytest.mark.parametrize("stage", BARRIERS)
def test_a_document_that_was_observed_twice_is_an_error_that_names_it(decided, stage):
    with pytest.raises(DamagedRunError, match=r"document '00000001' was observed more than once; remove the source's"):
        decided(BARRIERS[stage](), ["one", "two", "three"], order=[0, 1, 1])


def test_sidecars_of_other_parameters_are_an_error_that_names_file_and_column(tmp_path, decided):
    decided(MinHashDedup(permutations=128), ["one", "two"])
    written = next(tmp_path.rglob("0.parquet"))
    none = pa.array([], pa.string())
    with pytest.raises(
        DamagedRunError, match=r"0\.parquet: column 'signature' is fixed_size_binary\[256\], not"
    ) as error:
        MinHashDedup().decide([written], excluded=none, read_texts=lambda ids: iter(()), workspace=tmp_path)
    assert "remove it and run again" in str(error.value)


@pytest.mark.parametrize(
    ("stage", "options"),
    [
        ("exact_dedup", {"keep": "first_id"}),
        ("minhash_dedup", {"bands": 5, "rows": 3, "min_similarity": 0.5, "margin": 1.0, "keep": "longest"}),
        ("minhash_dedup", {"threshold": 0.9}),
    ],
)
def test_fields_that_only_decide_reads_do_not_change_the_sidecars(stage, options):
    batch = TextBatch.of_texts(["one two three four five six", "seven"])
    assert set(options) <= BARRIERS[stage].judged_fields
    assert BARRIERS[stage](**options).observe(batch) == BARRIERS[stage]().observe(batch)
