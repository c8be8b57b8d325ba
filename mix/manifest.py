"""The last step of a dataset: its manifest, card, datasheet, Croissant description and checksums; and its publication.

`manifest.json`, schema version 2:

    schema_version, tool, tool_version, name
    unit            what `units` count; `unit_name` says it in words
    options         the mix as the recipe asks for it
    seed            of the mix
    tokenizer       what counted tokens: name, fingerprint, vocab_size; null where none did
    columns         of every shard: name, type, nullable
    components      for each: source, ratio asked and achieved, units, documents, epochs, effective units, passes, cut …
    splits          for each: rows, bytes, characters, units, content hash
    shards          for each: name, split, rows, bytes, characters, units, sha256, content hash; rows by source,
                    language and licence
    content_hash    of all rows of all shards; independent of order and sharding (documents/shards.py)
    licenses        for each source: rows by licence, in all splits; the empty name is "not stated"
    quality         Q with its parts and definition, or null
    recipe, recipe_hash, versions, stages, inputs, models, decontamination, curation, alarms
                    where the documents come from and what was done to them (mix/provenance.py)

Nothing in it tells the time or the machine: the same documents give the same bytes. The card, the datasheet and the
Croissant description are made of it and of nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from corpusmill.documents.errors import DamagedRunError, UsageError
from corpusmill.documents.shards import ContentHash, atomic_text, sha256_of, storage_errors
from corpusmill.mix.card import dataset_card
from corpusmill.mix.croissant import croissant
from corpusmill.mix.datasheet import datasheet
from corpusmill.mix.licenses import licenses_by_source, most_common
from corpusmill.mix.options import MixOptions
from corpusmill.mix.provenance import provenance
from corpusmill.mix.selection import ComponentSelection, Selection, heldout_split
from corpusmill.mix.shuffle import ShardReport, dataset_schema
from corpusmill.mix.units import UNIT_NAMES

SCHEMA_VERSION = 2
MANIFEST, CARD, DATASHEET = "manifest.json", "README.md", "DATASHEET.md"
CROISSANT, CHECKSUMS = "croissant.json", "SHA256SUMS"
LISTED_LICENSES = 1000
"""Of a source, the most frequent: documents may state anything. The rest is counted as `other`."""


def finish(
    folder: Path,
    options: MixOptions,
    selection: Selection,
    shards: Sequence[ShardReport],
    quality: Mapping[str, Any] | None = None,
    inputs: Mapping[str, Any] | None = None,
    tokenizer: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes what stands beside the shards, and returns the manifest. SHA256SUMS comes last: with it, all is there.

    Args:
        quality: of the train split (`QualityScore.as_dict`).
        inputs: the run's manifest (pipeline/manifest.py).
        tokenizer: name, fingerprint and vocab_size of what counted tokens.

    Raises:
        DamagedRunError: if a shard is missing, or they do not hold what the selection says.
        StorageError: if the disk is full.
    """
    shards = sorted(shards, key=lambda shard: shard.name)
    _check_complete(folder, selection, shards)
    licenses = licenses_by_source(folder / shard.name for shard in shards)
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "tool": "corpusmill",
        "tool_version": version("corpusmill"),
        "name": options.name,
        "unit": selection.unit,
        "unit_name": UNIT_NAMES[options.unit],
        "options": _options_entry(options),
        "seed": selection.seed,
        "tokenizer": dict(tokenizer) if tokenizer else None,
        "columns": [
            {"name": field.name, "type": str(field.type), "nullable": field.nullable}
            for field in dataset_schema(selection.unit, components=selection.has_slices)
        ],
        "components": [_component_entry(selection, chosen) for chosen in selection.components],
        "splits": {split: _split_entry(shards, split) for split in selection.shards},
        "shards": [shard.as_dict() for shard in shards],
        "content_hash": _content_hash(shards),
        "licenses": {source: most_common(counts, LISTED_LICENSES) for source, counts in sorted(licenses.items())},
        "quality": dict(quality) if quality else None,
        **provenance(inputs or {}, {chosen.source for chosen in selection.components}),
    }
    # What is made of the manifest is made of what its file says: tuples are lists there.
    written = json.loads(_json(manifest))
    documents = {
        MANIFEST: _json(manifest),
        CARD: dataset_card(written),
        DATASHEET: datasheet(written),
        CROISSANT: _json(croissant(written)),
    }
    for name, text in documents.items():
        atomic_text(folder / name, text)
    sums = {shard.name: shard.sha256 for shard in shards} | {name: sha256_of(folder / name) for name in documents}
    atomic_text(folder / CHECKSUMS, "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())))
    return manifest


def publish(building: Path, final: Path) -> None:
    """Puts the finished dataset `building`, or a folder of finished datasets, in the place of `final`, whose older ones
    go.

    A process killed at any moment leaves at `final` the old dataset, the new one, or nothing with the new one still at
    `building`; to call this again ends it. Both must be on one disk.

    Raises:
        DamagedRunError: if there is no finished dataset in either place.
        UsageError: if something that is no dataset of ours is in the way.
    """
    retired = building.with_name(f"{building.name}-retired")
    if building.exists():
        if not _is_finished(building):
            raise DamagedRunError(f"{building}: has no {CHECKSUMS}, so it is not finished; run the same command again")
        check_free(final)
        with storage_errors(final):
            final.parent.mkdir(parents=True, exist_ok=True)
            if final.exists():
                _remove(retired)
                os.rename(final, retired)
            os.rename(building, final)
            _sync(final.parent)
    elif not _is_finished(final):
        raise DamagedRunError(
            f"{final}: there is no finished dataset here, nor at {building}; run the same command again"
        )
    _remove(retired)


def check_free(final: Path) -> None:
    """Checks that a dataset can be put there: that there is nothing, or datasets of ours, which go then.

    Raises:
        UsageError: if there is anything else.
    """
    if not final.exists() or (final / MANIFEST).is_file():
        return
    if not final.is_dir() or not all((inside / MANIFEST).is_file() for inside in final.iterdir()):
        raise UsageError(f"{final}: is in the way of the dataset and is none itself; move it elsewhere")


def _is_finished(folder: Path) -> bool:
    """Whether it is a finished dataset, or holds nothing but such."""
    if (folder / CHECKSUMS).is_file():
        return True
    inside = list(folder.iterdir()) if folder.is_dir() else []
    return bool(inside) and all((dataset / CHECKSUMS).is_file() for dataset in inside)


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _check_complete(folder: Path, selection: Selection, shards: Sequence[ShardReport]) -> None:
    names = {shard.name for shard in shards}
    missing = [shard.name for shard in shards if not (folder / shard.name).is_file()]
    expected = sum(selection.shards.values())
    if missing or len(names) != expected or len(shards) != expected:
        raise DamagedRunError(
            f"{folder}: {len(names) - len(missing)} of {expected} shards are there, missing {missing or 'reports'}; "
            "run the same command again"
        )
    for split in selection.shards:
        for key, counted in (("documents", "rows"), ("units", "units")):
            chosen = sum(_of_split(part, split, key) for part in selection.components)
            found = sum(getattr(shard, counted) for shard in shards if shard.split == split)
            if chosen != found:
                raise DamagedRunError(
                    f"{folder}: the {split} split has {found:,} {key}, and {chosen:,} were selected; remove the "
                    "scattered files and run the same command again"
                )


def _of_split(chosen: ComponentSelection, split: str, key: str) -> int:
    """A component's documents or units in a split."""
    if split == "train":
        return int(getattr(chosen, key))
    if split == "validation":
        return int(getattr(chosen, f"validation_{key}"))
    return int(getattr(chosen, f"heldout_{key}")) if heldout_split(chosen.source) == split else 0


def _options_entry(options: MixOptions) -> dict[str, Any]:
    """The options, without the folder of the tokenizer's file."""
    told = options.as_dict()
    if options.tokenizer is not None:
        name, equals, file = options.tokenizer.rpartition("=")
        told["tokenizer"] = f"{name}{equals}{Path(file).name}"
    return told


def _component_entry(selection: Selection, chosen: ComponentSelection) -> dict[str, Any]:
    achieved = chosen.units / selection.units if selection.units else 0.0
    return asdict(chosen) | {"achieved_ratio": achieved, "epochs": chosen.epochs}


def _split_entry(shards: Iterable[ShardReport], split: str) -> dict[str, Any]:
    own = [shard for shard in shards if shard.split == split]
    sums = {
        key: sum(getattr(shard, key) for shard in own) for key in ("rows", "file_bytes", "text_bytes", "characters")
    }
    return {**sums, "units": sum(shard.units for shard in own), "content_hash": _content_hash(own)}


def _content_hash(shards: Iterable[ShardReport]) -> str:
    total = ContentHash()
    for shard in shards:
        total.add_hash(shard.content_hash)
    return str(total)


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
