"""Who removes what from a set of documents: `minhash_dedup`, its bands alone, and other projects."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from duplicate_sets import DuplicateSet
from numpy.typing import NDArray
from peers_venv import peers_environment, peers_python
from scipy import sparse

from corpusmill.dedup.minhash import MinHashDedup
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.schema import DOCUMENT
from corpusmill.documents.shards import write_table

_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """Who went, and for whom."""

    twins: dict[int, int]
    signatures: NDArray[np.uint16]
    words: NDArray[np.int32]


def decided(stage: MinHashDedup, texts: Sequence[str]) -> Outcome:
    """Runs the stage over texts as the pipeline does: sidecars, then the decision."""
    stage.prepare()
    documents = TextBatch.of_texts(texts).documents
    ids = pa.array([f"{row:08}" for row in range(len(texts))])
    documents = documents.set_column(0, DOCUMENT.field("id"), ids)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workspace = folder / "workspace"
        workspace.mkdir()
        sidecars, observed = [], []
        for begin in range(0, len(texts), _BATCH):
            observed.append(stage.observe(TextBatch(documents.slice(begin, _BATCH))))
            sidecars.append(folder / f"{begin}.parquet")
            write_table(sidecars[-1], [observed[-1]], stage.sidecar)

        def read_texts(wanted: Sequence[str]) -> Iterator[TextBatch]:
            rows = [int(identity) for identity in wanted]
            for begin in range(0, len(rows), _BATCH):
                yield TextBatch(documents.take(pa.array(rows[begin : begin + _BATCH], pa.int64())))

        nobody = pa.array([], pa.string())
        decision = stage.decide(sidecars, excluded=nobody, read_texts=read_texts, workspace=workspace)
    rows = decision.verdicts.to_pylist()
    values = b"".join(value for batch in observed for value in batch.column("signature").to_pylist())
    return Outcome(
        {int(row["id"]): int(row["kept_id"]) for row in rows},
        np.frombuffer(values, "<u2").reshape(len(texts), stage.permutations),
        np.concatenate([batch.column("words").to_numpy() for batch in observed]),
    )


def unverified(outcome: Outcome) -> list[int]:
    """All but the first of each component of documents that agree in a band: what the bands alone would remove."""
    stage = MinHashDedup()
    usable = np.flatnonzero(outcome.words > 0)
    columns, first = [], 0
    for band in range(stage.bands):
        values = np.ascontiguousarray(outcome.signatures[usable, band * stage.rows : (band + 1) * stage.rows])
        _, keys = np.unique(values.view(f"V{2 * stage.rows}").ravel(), return_inverse=True)
        columns.append(keys + first)
        first += int(keys.max(initial=0)) + 1
    rows, ones = np.tile(np.arange(len(usable)), stage.bands), np.ones(len(usable) * stage.bands, np.int32)
    members = sparse.csr_array((ones, (rows, np.concatenate(columns))), shape=(len(usable), first))
    _, components = sparse.csgraph.connected_components(members @ members.T, directed=False)
    _, firsts = np.unique(components, return_index=True)
    gone: list[int] = np.delete(usable, firsts).tolist()
    return gone


def removed_by_peers(
    sets: Sequence[DuplicateSet], peers: Sequence[str], threshold: float
) -> dict[str, dict[str, list[int]]]:
    """Rows that each peer removes from each set."""
    script = Path(__file__).with_name("peer_near_duplicates.py")
    with tempfile.TemporaryDirectory() as folder:
        for some in sets:
            pq.write_table(pa.table({"text": some.texts}), Path(folder) / f"{some.name}.parquet")
        answer = subprocess.run(
            [peers_python(), script, folder, str(threshold), *peers],
            env=peers_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    if answer.returncode:
        raise RuntimeError(f"{script.name} ended with {answer.returncode}:\n{answer.stderr[-2_000:]}")
    found: dict[str, dict[str, list[int]]] = json.loads(answer.stdout)
    return found
