"""Near-duplicates that stand in two splits of a dataset: groups found anew among its own documents (mix/groups.py).

The mix divides by groups over all documents of its sources. Those of the dataset are some of them, so that a group here
is a part of one there, and what the mix promises is looked at without anything that it wrote. (Where thousands of
documents share their bands, a pair that was not compared among more documents may be found among fewer.)

Scratch: 600 bytes for each document. Memory: 60 bytes for each row.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from corpusmill.mix.groups import find_groups, look_up, sketch_part
from corpusmill.mix.keys import id_hashes
from corpusmill.mix.verify_rows import is_heldout

_ALL_HELDOUT = "heldout"


@dataclass(frozen=True, kw_only=True)
class Divided:
    """Groups that stand in more than one split.

    groups     how many
    documents  their documents that are held out
    first      id and split of one of these
    """

    groups: int
    documents: int
    first: tuple[str, str]


def divided_groups(splits: Mapping[str, Sequence[Path]]) -> Divided:
    """Looks for near-duplicates in two splits.

    All sources' held-out sets count as one split: a group over two sources that is held out is in both of theirs.

    Args:
        splits: the shards of each split.
    """
    shards = [(name, path) for name, paths in splits.items() for path in paths]
    with tempfile.TemporaryDirectory(prefix="corpusmill-verify-") as scratch:
        folder = Path(scratch)
        sketches = [folder / f"{number}.sketch" for number in range(len(shards))]
        for (_, path), sketch in zip(shards, sketches, strict=True):
            sketch_part(path, sketch)
        find_groups(sketches, folder / "groups.parquet", folder / "workspace")
        found = [look_up(folder / "groups.parquet", _hashes(path)) for _, path in shards]
    of_split: dict[str, list[NDArray[np.uint64]]] = {}
    for (name, _), own in zip(shards, found, strict=True):
        of_split.setdefault(_ALL_HELDOUT if is_heldout(name) else name, []).append(own)
    distinct = [np.unique(np.concatenate(own)) for own in of_split.values()]
    members, counts = np.unique(np.concatenate(distinct), return_counts=True)
    divided = members[counts > 1]
    documents, first = 0, ("", "")
    for (name, path), own in zip(shards, found, strict=True):
        if name == "train":
            continue
        rows = np.flatnonzero(np.isin(own, divided))
        if len(rows) and not documents:
            first = (pq.read_table(path, columns=["id"]).column("id")[int(rows[0])].as_py(), name)
        documents += len(rows)
    return Divided(groups=len(divided), documents=documents, first=first)


def _hashes(shard: Path) -> NDArray[np.uint64]:
    ids = pq.read_table(shard, columns=["id"]).column("id").combine_chunks()
    return id_hashes(ids)
