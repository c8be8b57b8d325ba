"""What a barrier may do beside dropping documents: read earlier measures, measure, and cut passages out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.documents.barrier import EDITS, VERDICTS, Barrier, Decision
from corpusmill.documents.errors import RecipeError
from corpusmill.pipeline import registry
from corpusmill.pipeline.plan import plan_sources
from corpusmill.pipeline.recipe import load_recipe
from corpusmill.pipeline.run import run_recipe
from corpusmill.pipeline.summary import summary


class Reason(StrEnum):
    LONGEST = "longest"


@dataclass(frozen=True, kw_only=True)
class Ranked(Barrier):
    """Drops the longest document, ranks all by words, and cuts each "secret" and what overlaps it."""

    name: ClassVar[str] = "ranked"
    reasons: ClassVar[type[StrEnum]] = Reason
    sidecar: ClassVar[pa.Schema] = pa.schema(
        [pa.field("id", pa.string(), nullable=False), ("words", pa.float64()), ("secrets", pa.list_(pa.int32()))]
    )
    measures: ClassVar[pa.Schema] = pa.schema([("rank", pa.int32()), ("label", pa.string())])

    measure: str = "gopher_quality.words"
    notes: str | None = field(default=None, metadata={"path": True})

    def needs(self) -> Sequence[str]:
        return (self.measure,)

    def files(self) -> Sequence[Path]:
        return (Path(self.notes),) if self.notes else ()

    def observe(self, batch: Any) -> pa.RecordBatch:
        found = [text.encode().find(b"secret") for text in batch.texts.to_pylist()]
        places = pa.array([[place] if place >= 0 else [] for place in found], pa.list_(pa.int32()))
        words = batch.measured[self.measure].cast(pa.float64()).fill_null(0)
        return pa.RecordBatch.from_arrays([batch.documents.column("id"), words, places], schema=self.sidecar)

    def decide(self, sidecars: Sequence[Path], **others: Any) -> Decision:
        rows = sorted(
            (row for path in sidecars for row in pq.read_table(path).to_pylist()), key=lambda row: -row["words"]
        )
        gone = [{"id": rows[0]["id"], "reason": "longest", "kept_id": None, "similarity": None}]
        ranks = [{"id": row["id"], "rank": rank, "label": f"no. {rank}"} for rank, row in enumerate(rows)]
        edits = [
            {"id": row["id"], "start": place + shift, "end": place + shift + 4}
            for row in rows
            for place in row["secrets"]
            for shift in (2, 0)
        ]
        return Decision(
            pa.Table.from_pylist(gone, schema=VERDICTS),
            measures=pa.Table.from_pylist(
                ranks, schema=pa.schema([pa.field("id", pa.string(), nullable=False), *self.measures])
            ),
            edits=pa.Table.from_pylist(edits, schema=EDITS),
        )


TEXTS = [
    "one two three",
    "a secret word — and a secret again",
    "one two three four five six seven eight nine ten",
    "é secret",
]
COUNTED = {"gopher_quality": {"min_words": None, "min_stop_words": None, "min_alphabetic_tokens": None,
                              "min_mean_word_length": None}}  # fmt: skip


@pytest.fixture
def ranked_recipe(tmp_path, monkeypatch):
    known = registry.stage_class
    monkeypatch.setitem(registry.STAGES, "ranked", "here:Ranked")
    monkeypatch.setitem(registry.BARRIERS, "ranked", "here:Ranked")
    monkeypatch.setattr(registry, "stage_class", lambda name: Ranked if name == "ranked" else known(name))

    def write(stages):
        if not (tmp_path / "in.jsonl").exists():  # a file written again is another
            (tmp_path / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
        recipe = {"name": "ranks", "runs": str(tmp_path / "runs"), "split_bytes": 60,
                  "sources": {"web": {"paths": ["in.jsonl"], "stages": stages}}}  # fmt: skip
        path = tmp_path / "recipe.yaml"
        path.write_text(json.dumps(recipe))
        return load_recipe(path)

    return write


@pytest.mark.parametrize("after", [[], ["pii"], ["exact_dedup", "pii"]], ids=["last", "a stage after", "two barriers"])
def test_what_a_barrier_measures_reaches_the_ledger_and_what_it_cuts_the_documents(
    after, ranked_recipe, inline_executor, quiet
):
    result = run_recipe(ranked_recipe([COUNTED, "ranked", *after]), inline_executor, quiet)
    curated = pq.read_table(result.folder / "web" / "curated")["text"].to_pylist()
    assert sorted(curated) == sorted(["one two three", "a  word — and a secret again", "é "])
    rows = pq.read_table(result.folder / "web" / "ledger").to_pylist()
    assert {(row["ranked.rank"], row["ranked.label"], row["reason"]) for row in rows} == {
        (0, "no. 0", "longest"), (1, "no. 1", None), (2, "no. 2", None), (3, "no. 3", None),
    }  # fmt: skip
    [stage] = [stage for stage in result.manifest["sources"]["web"]["stages"] if stage["stage"] == "ranked"]
    assert stage["cut"] == 2
    assert "longest 1, cut 2" in summary(result.manifest, result.folder, 100)
    assert "cut passages out of 2 documents" in (result.folder / "report" / "index.html").read_text()


def test_a_measure_that_nobody_takes_before_a_barrier_is_an_error_of_the_recipe(ranked_recipe, tmp_path):
    with pytest.raises(
        RecipeError, match=r'gopher_quality\.wordz is measured by no stage .* did you mean "gopher_qual'
    ):
        plan_sources(ranked_recipe([COUNTED, {"ranked": {"measure": "gopher_quality.wordz"}}]), tmp_path)
    with pytest.raises(RecipeError, match="between this one and the barrier before it; there are: pii"):
        plan_sources(ranked_recipe([COUNTED, "exact_dedup", "pii", "ranked"]), tmp_path)


def test_a_file_that_a_barrier_reads_is_part_of_its_identity(ranked_recipe, tmp_path):
    notes = tmp_path / "notes.txt"
    prints = []
    for text in ("one", "one", "another"):
        if not notes.exists() or notes.read_text() != text:
            notes.write_text(text)
        [plan] = plan_sources(ranked_recipe([COUNTED, {"ranked": {"notes": "notes.txt"}}]), tmp_path)
        prints.append({task.fingerprint for task in plan.map_tasks(0, {}, None).values()})
    assert prints[0] == prints[1]
    assert prints[0].isdisjoint(prints[2])
