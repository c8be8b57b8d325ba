"""score_cut and combined_quality: their cases, their order against plain fractions, and what they refuse."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.barrier import VERDICTS, Barrier, Decision
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import DamagedRunError, RecipeError
from corpusmill.documents.schema import DOCUMENT
from corpusmill.documents.shards import write_table
from corpusmill.filters.combined_quality import CombinedQuality
from corpusmill.filters.score_cut import ScoreCut

CASES = Path(__file__).parent.parent / "cases"
SCORES = ("a.score", "b.score")


def cases(stage: str) -> list[Any]:
    rows = [json.loads(line) for line in (CASES / f"{stage}.jsonl").read_text(encoding="utf-8").splitlines()]
    return [pytest.param(row, id=row["title"]) for row in rows]


def options(case: dict[str, Any]) -> dict[str, Any]:
    given = case["options"].items()
    return {key: tuple(value) if isinstance(value, list) else value for key, value in given}


def documents(case: dict[str, Any], count: int) -> pa.RecordBatch:
    """Documents whose ids are their numbers, so that they sort as these do."""
    columns: dict[str, Any] = {column.name: pa.nulls(count, column.type) for column in DOCUMENT}
    columns["id"] = pa.array([f"{number:04}" for number in range(count)])
    columns["text"] = pa.array(case.get("texts", ["some text"] * count), pa.string())
    columns["source"] = pa.array(["test"] * count)
    columns["language"] = pa.array(case.get("languages", ["en"] * count), pa.string())
    return pa.RecordBatch.from_arrays([columns[name] for name in DOCUMENT.names], schema=DOCUMENT)


def decided(
    barrier: Barrier,
    scores: Sequence[Sequence[float | None]],
    case: dict[str, Any],
    *,
    order: Sequence[int] | None = None,
    parts: int = 2,
    excluded: Sequence[int] = (),
) -> Decision:
    """Runs a barrier as a run would. `scores`: for each document, a value for each measure that it needs."""
    whole = documents(case, len(scores))
    order = list(range(len(scores))) if order is None else list(order)
    with tempfile.TemporaryDirectory() as folder:
        sidecars = []
        for part in range(parts):
            rows = order[part * len(order) // parts : (part + 1) * len(order) // parts]
            batch = TextBatch(whole.take(pa.array(rows, pa.int64())))
            batch.measured = {
                name: pa.array(
                    [None if scores[row][place] is None else float(scores[row][place]) for row in rows], pa.float64()
                )
                for place, name in enumerate(barrier.needs())
            }
            sidecars.append(Path(folder) / f"{part}.parquet")
            write_table(sidecars[-1], [barrier.observe(batch)], barrier.sidecar)
        decision = barrier.decide(
            sidecars,
            excluded=pa.array([f"{number:04}" for number in excluded], pa.string()),
            read_texts=lambda ids: iter(()),
            workspace=Path(folder),
        )
    assert decision.verdicts.schema == VERDICTS
    for table in (decision.verdicts, decision.measures):
        if table is not None:
            assert table["id"].to_pylist() == sorted(set(table["id"].to_pylist()))
    return decision


def gone(decision: Decision) -> dict[int, str]:
    return {int(row["id"]): row["reason"] for row in decision.verdicts.to_pylist()}


def measured(decision: Decision, name: str) -> dict[int, Any]:
    assert decision.measures is not None
    return {int(row["id"]): row[name] for row in decision.measures.to_pylist()}


@pytest.mark.parametrize("case", cases("score_cut"))
def test_a_case_is_cut_as_its_title_says(case: dict[str, Any]) -> None:
    barrier = ScoreCut(measure="a.score", **options(case))
    decision = decided(barrier, [[score] for score in case["scores"]], case)
    assert gone(decision) == {int(number): reason for number, reason in case["gone"].items()}


@pytest.mark.parametrize("case", cases("combined_quality"))
def test_a_case_is_binned_as_its_title_says(case: dict[str, Any]) -> None:
    barrier = CombinedQuality(scores=("a", "b"), **options(case))
    assert barrier.needs() == ["a.score", "b.score"]
    decision = decided(barrier, case["scores"], case)
    bins = measured(decision, "bin")
    assert [bins.get(number) for number in range(len(case["scores"]))] == case["bins"]
    assert gone(decision) == {int(number): reason for number, reason in case.get("gone", {}).items()}


@pytest.mark.parametrize("kind", [ScoreCut, CombinedQuality])
def test_every_declared_reason_has_a_case(kind: type[Barrier]) -> None:
    found = {reason for case in cases(kind.name) for reason in case.values[0].get("gone", {}).values()}
    assert found == {str(reason) for reason in kind.reasons}


def plain_places(scores: Sequence[float | None], weights: Sequence[int]) -> dict[int, Fraction]:
    there = sorted((score, number) for number, score in enumerate(scores) if score is not None)
    total, before, places = sum(weights[number] for _, number in there), 0, {}
    for _, number in there:
        places[number] = Fraction(2 * before + weights[number], 2 * total)
        before += weights[number]
    return places


VALUES = st.none() | st.sampled_from([-1.5, 0.0, 0.25, 0.5]) | st.floats(-1e6, 1e6)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_places_are_those_of_plain_fractions_whatever_the_order_and_the_split(data: st.DataObject) -> None:
    scores = data.draw(st.lists(VALUES, min_size=1, max_size=12))
    lengths = data.draw(st.lists(st.integers(0, 9), min_size=len(scores), max_size=len(scores)))
    order = data.draw(st.permutations(range(len(scores))))
    parts = data.draw(st.integers(1, 3))
    case = {"texts": ["x" * length for length in lengths]}
    barrier = ScoreCut(measure="a.score", unit="bytes", min_score=0.0)
    decision = decided(barrier, [[score] for score in scores], case, order=order, parts=parts)
    expected = plain_places(scores, [max(length, 1) for length in lengths])
    assert measured(decision, "place") == {number: float(place) for number, place in expected.items()}
    assert gone(decision) == {n: "low_score" for n, score in enumerate(scores) if score is not None and score < 0}


@given(st.data())
@settings(max_examples=25, deadline=None)
def test_a_document_s_bin_is_the_highest_by_plain_fractions(data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=10))
    bins = data.draw(st.integers(2, 7))
    decision = decided(CombinedQuality(scores=SCORES, bins=bins, unit="documents"), rows, {})
    expected: dict[int, int] = {}
    for scores in zip(*rows, strict=True):
        for number, place in plain_places(scores, [1] * len(rows)).items():
            expected[number] = max(expected.get(number, 0), int(place * bins))
    assert measured(decision, "bin") == expected


def test_a_share_by_words_is_kept_to_within_half_a_document() -> None:
    lengths = [3 + number * 7 % 40 for number in range(200)]
    case = {"texts": [" ".join(["word"] * length) for length in lengths]}
    scores = [[float(number * 37 % 200)] for number in range(200)]
    for share in (0.1, 0.33, 0.5):
        decision = decided(ScoreCut(measure="a.score", keep_share=share, unit="words"), scores, case)
        kept = sum(length for number, length in enumerate(lengths) if number not in gone(decision))
        assert abs(kept - share * sum(lengths)) <= max(lengths) / 2


def test_documents_that_an_earlier_barrier_dropped_take_no_room() -> None:
    scores = [[0.1], [0.2], [0.3], [0.4]]
    decision = decided(ScoreCut(measure="a.score", keep_share=0.5), scores, {}, excluded=[2, 3])
    assert gone(decision) == {0: "low_score"}
    both = [[score, score] for (score,) in scores]
    decision = decided(CombinedQuality(scores=SCORES, bins=2, unit="documents"), both, {}, excluded=[2, 3])
    assert measured(decision, "bin") == {0: 0, 1: 1}


@pytest.mark.parametrize("barrier", [ScoreCut(measure="a.score", min_score=0.5), CombinedQuality(scores=SCORES)])
def test_nothing_in_gives_nothing_out(barrier: Barrier) -> None:
    for parts in (0, 2):
        decision = decided(barrier, [], {}, parts=parts)
        assert decision.verdicts.num_rows == 0


def test_a_document_observed_twice_is_an_error_that_names_it() -> None:
    with pytest.raises(DamagedRunError, match="document '0001' was observed more than once"):
        decided(ScoreCut(measure="a.score", min_score=0.5), [[0.1], [0.2]], {}, order=[0, 1, 1])


def test_sidecars_do_not_depend_on_what_is_judged() -> None:
    for kind in (ScoreCut, CombinedQuality):
        fields = set(kind.__dataclass_fields__)
        assert kind.judged_fields < fields
    assert {"measure", "by", "unit"}.isdisjoint(ScoreCut.judged_fields)
    assert {"scores", "unit"}.isdisjoint(CombinedQuality.judged_fields)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "says in 0 ways what is kept; give min_score and max_score"),
        ({"min_score": 0.5, "keep_share": 0.1}, "says in 2 ways what is kept"),
        ({"keep_share": 0.1, "percentiles": (30,), "keep": ("head",)}, "says in 2 ways what is kept"),
        ({"min_score": 0.6, "max_score": 0.5}, "min_score: 0.6 is above max_score, 0.5; swap them"),
        ({"keep_share": 0}, "keep_share: 0 is no share; use more than 0, and 1 at most"),
        ({"keep_share": 1.5}, r"keep_share: 1\.5 is no share"),
        ({"percentiles": (30, 60)}, "give one or two of them, and with `keep` which parts stay"),
        ({"keep": ("head",)}, "give one or two of them"),
        ({"percentiles": (10, 20, 30), "keep": ("head",)}, "give one or two of them"),
        ({"percentiles": (60, 30), "keep": ("head",)}, r"percentiles: \[60, 30\] must rise, above 0 and below 100"),
        ({"percentiles": (30, 30), "keep": ("head",)}, "must rise"),
        ({"percentiles": (0, 30), "keep": ("head",)}, "must rise"),
        ({"percentiles": (30, 100), "keep": ("head",)}, "must rise"),
        ({"percentiles": (30,), "keep": ("middle",)}, "one percentile makes head and tail, and no middle"),
        ({"measure": "words", "min_score": 1}, 'measure: "words" is no column that can be cut by; use quality or'),
    ],
)
def test_a_cut_that_cannot_be_meant_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        ScoreCut(**given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scores": ("quality",)}, r"scores: \['quality'\] must name two different scores or more"),
        ({"scores": ("quality", "quality.score")}, "must name two different scores or more"),
        ({"scores": SCORES, "bins": 1}, "bins: 1 is out of range; use 2 to 1000"),
        ({"scores": SCORES, "min_bin": 20}, "min_bin: 20 is no bin; they are 0 to 19"),
    ],
)
def test_a_combination_that_cannot_be_meant_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        CombinedQuality(**given)
