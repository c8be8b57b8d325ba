"""Barriers one after the other over the parts of a source: who goes, and whom the others stand for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.dedup.exact import ExactDedup
from corpusmill.dedup.minhash import MinHashDedup
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.schema import DOCUMENT
from corpusmill.documents.shards import write_table
from corpusmill.pipeline.barriers import PART_VERDICTS, BarrierWork, run_barriers
from corpusmill.pipeline.recipe import StageSpec

A = "the river ran past the mill and the old bridge all summer long until the rain came back in autumn "
B = "nobody in the village remembered who had planted the row of lime trees behind the school house "


def work_on(folder: Path, parts: list[list[str]], row_group_rows: int = 2) -> BarrierWork:
    """Exact search, then near-duplicate search, over parts whose documents are called after their texts' order."""
    barriers = {"exact_dedup": ExactDedup(), "minhash_dedup": MinHashDedup()}
    number = 0
    for part, texts in enumerate(parts):
        documents = TextBatch.of_texts(texts).documents
        ids = pa.array([f"{number + row:03d}" for row in range(len(texts))], pa.string())
        number += len(texts)
        documents = documents.set_column(0, DOCUMENT.field("id"), ids)
        write_table(folder / f"documents/{part}.parquet", [documents], DOCUMENT, row_group_rows=row_group_rows)
        for name, barrier in barriers.items():
            rows = barrier.observe(TextBatch(documents))
            write_table(folder / name / f"{part}.parquet", [rows], barrier.sidecar)
    paths = [f"{part}.parquet" for part in range(len(parts))]
    return BarrierWork(
        source="web",
        barriers=tuple(StageSpec(name, name, {}, "here") for name in barriers),
        sidecars=tuple(tuple(folder / name / path for path in paths) for name in barriers),
        documents=tuple(folder / "documents" / path for path in paths),
        verdicts=tuple(folder / "verdicts" / path for path in paths),
        workspace=folder / "workspace",
    )


def verdicts_of(work: BarrierWork) -> list[list[tuple[str, str | None, str | None, int | None]]]:
    rows = [pq.read_table(path, schema=PART_VERDICTS).to_pylist() for path in work.verdicts]
    return [[(row["id"], row["stage"], row["kept_id"], row["cluster_size"]) for row in part] for part in rows]


def test_a_document_stands_for_its_twins_and_for_those_that_they_stood_for(tmp_path):
    # 000 = 003 = 006; 001 = 004, and these are nearly 000, which is longer. 005 is nobody's twin.
    work = work_on(tmp_path, [[A * 6 + "again and again", A * 6, B], [A * 6 + "again and again", A * 6, "alone"],
                              [A * 6 + "again and again", B]])  # fmt: skip
    assert run_barriers(work)["dropped"] == {"exact_dedup": {"duplicate": 4}, "minhash_dedup": {"near_duplicate": 1}}
    assert verdicts_of(work) == [
        [("000", None, None, 5), ("001", "minhash_dedup", "000", None), ("002", None, None, 2)],
        [("003", "exact_dedup", "000", None), ("004", "exact_dedup", "001", None)],
        [("006", "exact_dedup", "000", None), ("007", "exact_dedup", "002", None)],
    ]
    assert not work.workspace.exists()


@pytest.mark.parametrize("parts", [[[]], [[], []], [["one", "two"], []]])
def test_where_nobody_goes_or_there_is_nobody_every_part_has_its_empty_verdicts(tmp_path, parts):
    work = work_on(tmp_path, parts)
    counts = run_barriers(work)
    assert counts["dropped"] == {"exact_dedup": {}, "minhash_dedup": {}}
    assert set(counts["verdicts"]) == {str(part) for part in range(len(parts))}
    assert verdicts_of(work) == [[] for _ in parts]


def test_texts_that_signatures_cannot_settle_are_read_again_from_every_row_group(tmp_path):
    texts = [" ".join(f"word{number * 1000 + word}" for word in range(60)) for number in range(9)]
    work = work_on(tmp_path, [texts, [text.rsplit(" ", 1)[0] for text in texts]])
    unsettled = StageSpec("minhash_dedup", "minhash_dedup", {"margin": 1000.0}, "here")
    run_barriers(replace(work, barriers=(work.barriers[0], unsettled)))
    similarities = [pq.read_table(path)["similarity"].to_pylist() for path in work.verdicts]
    assert similarities == [[None] * 9, [pytest.approx(55 / 56)] * 9]
