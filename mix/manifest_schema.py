"""What is read back of a dataset's manifest (mix/manifest.py): schema version 2, checked, as objects.

Keys that nobody reads back are left alone. A manifest may be anybody's: names that lead out of the dataset's folder and
numbers that are none are refused here, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, NonNegativeFloat, NonNegativeInt, StringConstraints, TypeAdapter, ValidationError

from corpusmill.mix.options import Unit

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Content = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]


def is_inside(name: str) -> bool:
    """Whether a name of a file stays in the folder that it is relative to.

    >>> is_inside("data/a.parquet"), is_inside("../a"), is_inside("/etc/passwd")
    (True, False, False)
    """
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\\" not in name


def _inside(name: str) -> str:
    if not is_inside(name):
        raise ValueError("lies outside of the dataset")
    return name


@dataclass(frozen=True, kw_only=True)
class StatedShard:
    """A shard as the manifest has it; `documents` are rows by source, language and licence."""

    split: str
    name: Annotated[str, AfterValidator(_inside)]
    rows: NonNegativeInt
    file_bytes: NonNegativeInt
    text_bytes: NonNegativeInt
    characters: NonNegativeInt
    units: NonNegativeInt
    sha256: Sha256
    content_hash: Content
    documents: dict[str, dict[str, NonNegativeInt]]


@dataclass(frozen=True, kw_only=True)
class StatedSplit:
    """The sums of a split."""

    rows: NonNegativeInt
    file_bytes: NonNegativeInt
    text_bytes: NonNegativeInt
    characters: NonNegativeInt
    units: NonNegativeInt
    content_hash: Content


@dataclass(frozen=True, kw_only=True)
class StatedComponent:
    """What a component has in each split."""

    component: str
    source: str
    ratio: NonNegativeFloat
    achieved_ratio: NonNegativeFloat
    asked: NonNegativeInt
    units: NonNegativeInt
    documents: NonNegativeInt
    available_units: NonNegativeInt
    validation_units: NonNegativeInt
    validation_documents: NonNegativeInt
    heldout_units: NonNegativeInt
    heldout_documents: NonNegativeInt


@dataclass(frozen=True, kw_only=True)
class StatedTokenizer:
    """What counted tokens."""

    name: str
    fingerprint: str
    vocab_size: NonNegativeInt


@dataclass(frozen=True, kw_only=True)
class StatedManifest:
    """The manifest."""

    schema_version: Literal[2]
    unit: Unit
    seed: int
    options: Mapping[str, Any]
    tokenizer: StatedTokenizer | None
    components: tuple[StatedComponent, ...]
    splits: dict[str, StatedSplit]
    shards: tuple[StatedShard, ...]
    content_hash: Content
    licenses: dict[str, dict[str, NonNegativeInt]]

    @property
    def has_slices(self) -> bool:
        """Whether a component is anything else than a whole source: shards have a column for it then."""
        return any(entry.component != entry.source for entry in self.components)

    def shards_of(self, split: str) -> list[StatedShard]:
        return [shard for shard in self.shards if shard.split == split]


_MANIFEST = TypeAdapter(StatedManifest)


def read_manifest(content: bytes) -> StatedManifest:
    """The manifest that a file holds.

    Raises:
        ValueError: if it is none of this version, naming the first place that does not fit.
    """
    try:
        manifest = _MANIFEST.validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        found = str(first["input"])[:100]
        raise ValueError(f"{place or 'it'}: {first['msg']} (is {found!r})") from error
    if len({shard.name for shard in manifest.shards}) < len(manifest.shards):
        raise ValueError("shards: one stands there twice")
    return manifest
