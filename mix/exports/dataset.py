"""A finished dataset as an export reads it: its manifest, its shards, and what they are counted in.

An export depends on every row and on their order, so a dataset is known by the names and SHA-256 of the shards that are
exported; the content hash alone is the same for two orders of the same rows.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from corpusmill.documents.errors import DamagedRunError, InputError, UsageError, nearest

MANIFEST = "manifest.json"  # as mix/manifest.py has it, which imports all that makes a dataset
_PLAIN = re.compile(r"\w[\w.-]*", re.ASCII)
"""Names that are the names of exported files and folders, too: a dataset may come from anybody."""
READABLE_VERSIONS = (1, 2)
"""Schema versions of manifests that an export reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetShard:
    """One Parquet file of a dataset.

    name    relative to the dataset's folder
    stem    what names of exported files begin with: `train-00000-of-00008`
    units   of its rows, in the dataset's unit
    """

    folder: Path
    name: str
    split: str
    rows: int
    units: int
    text_bytes: int
    sha256: str

    @property
    def path(self) -> Path:
        return self.folder / self.name

    @property
    def stem(self) -> str:
        return Path(self.name).stem


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedDataset:
    """What an export knows of a dataset.

    columns   of every shard
    shards    those that are exported, by name
    """

    folder: Path
    name: str
    columns: pa.Schema
    shards: tuple[DatasetShard, ...]

    @classmethod
    def open(cls, folder: Path, splits: Sequence[str] = ()) -> ExportedDataset:
        """Reads the manifest and looks at the shards of these splits; of all where none is named.

        Raises:
            InputError: if there is no dataset of ours, or none that this version reads.
            UsageError: if it has no such split.
            DamagedRunError: if a shard is missing or has another size than the manifest says.
        """
        manifest = _manifest(folder)
        try:
            shards = [_shard(folder, entry) for entry in manifest["shards"]]
        except (KeyError, TypeError) as error:
            raise InputError(f"{folder / MANIFEST}: lacks {error}; mix the dataset again") from error
        known = sorted({shard.split for shard in shards})
        for split in splits:
            if split not in known:
                close = nearest(split, known)
                mend = f"did you mean {close!r}?" if close else f"it has {', '.join(known)}"
                raise UsageError(f"--split {split}: {folder} has no such split; {mend}")
        wanted = tuple(sorted((s for s in shards if not splits or s.split in splits), key=lambda shard: shard.name))
        if len({shard.stem for shard in wanted}) < len(wanted):
            raise InputError(f"{folder / MANIFEST}: two shards have the same name; mix the dataset again")
        if not any(shard.rows for shard in wanted):
            raise InputError(f"{folder}: has no document in {', '.join(splits or known) or 'any split'} to export")
        return cls(
            folder=folder,
            name=manifest["name"],
            columns=pq.read_schema(wanted[0].path).remove_metadata(),
            shards=wanted,
        )

    @property
    def identity(self) -> str:
        """SHA-256 of what is exported: the shards' names and content, in order."""
        shards = [[shard.name, shard.sha256] for shard in self.shards]
        return hashlib.sha256(json.dumps(shards).encode()).hexdigest()


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{folder}: is no dataset, as it has no {MANIFEST}; {_mend(folder)}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON ({error}); mix the dataset again") from error
    if not isinstance(manifest, dict) or not {"shards", "name"} <= manifest.keys():
        raise InputError(f"{path}: is no manifest of a dataset; {_mend(folder)}")
    if manifest.get("schema_version") not in READABLE_VERSIONS:
        raise InputError(
            f"{path}: has schema version {manifest.get('schema_version')!r}, and this corpusmill reads "
            f"{' and '.join(map(str, READABLE_VERSIONS))}; mix the dataset again, or use the version that mixed it"
        )
    return manifest


def _mend(folder: Path) -> str:
    inside = sorted(path.parent for path in (*folder.glob("dataset/*/manifest.json"), *folder.glob("*/manifest.json")))
    if inside:
        return f"did you mean {' or '.join(map(str, inside))}?"
    return "give the folder that `corpusmill run` or `corpusmill mix` wrote, such as runs/NAME/dataset"


def _shard(folder: Path, entry: dict[str, Any]) -> DatasetShard:
    shard = DatasetShard(
        folder=folder, **{key: entry[key] for key in ("name", "split", "rows", "units", "text_bytes", "sha256")}
    )
    inside = (folder / shard.name).resolve().is_relative_to(folder.resolve())
    if not (inside and _PLAIN.fullmatch(shard.stem) and _PLAIN.fullmatch(shard.split)):
        raise InputError(
            f"{folder / MANIFEST}: the shard {shard.name!r} of split {shard.split!r} has a name that corpusmill never "
            "gives; mix the dataset again"
        )
    try:
        size = shard.path.stat().st_size
    except FileNotFoundError as error:
        raise DamagedRunError(f"{shard.path}: is missing, and the manifest names it; mix the dataset again") from error
    if size != entry["file_bytes"]:
        raise DamagedRunError(
            f"{shard.path}: has {size:,} bytes, and the manifest says {entry['file_bytes']:,}; "
            "`sha256sum -c SHA256SUMS` shows which files changed; mix the dataset again"
        )
    return shard
