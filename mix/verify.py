"""Whether a dataset is what its manifest says: checksums, schema, counts, ratios, splits, tokens, card and Croissant.

What is checked, by the name that a problem has:

    manifest   it can be read, is of a version that is known, and its sums are the sums of its shards
    files      SHA256SUMS lists every file, and every file is there with its sum
    schema     columns, their types and order, metadata
    rows       rows, bytes, characters and units of each shard, by source, language and licence; row groups
    content    the content hash of each shard
    units      each row's count is what its text has; tokens on a sample, where the tokenizer is given
    mix        rows and units of each component, and its share, from the rows
    splits     no document, and no text, in two splits; none twice in a split that is held out
    near       no near-duplicates in two splits, where that is asked for (`near`)
    stages     no document in the train splits of two stages, where `overlap` does not allow it
    card       README.md and croissant.json name the same splits, files, rows and bytes

`quick` reads neither texts nor ids nor whole shards: sizes instead of checksums, and no `content`, `units`, `splits`
and `stages`.
Names in files are hostile: none is followed out of the dataset's folder.
"""

from __future__ import annotations

import json
import re
import reprlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

from corpusmill.documents.errors import InputError, UsageError
from corpusmill.documents.shards import ROW_GROUP_ROWS, ROW_GROUP_TEXT_BYTES, ContentHash, sha256_of
from corpusmill.mix.licenses import most_common
from corpusmill.mix.manifest import CARD, CHECKSUMS, CROISSANT, LISTED_LICENSES, MANIFEST, SCHEMA_VERSION
from corpusmill.mix.manifest_schema import StatedComponent, StatedManifest, StatedShard, read_manifest
from corpusmill.mix.options import FINEWEB_2
from corpusmill.mix.selection import heldout_split
from corpusmill.mix.shuffle import dataset_schema
from corpusmill.mix.tokens import Tokens, load_tokens
from corpusmill.mix.units import COUNT_COLUMNS, UNIT_NAMES
from corpusmill.mix.verify_near import divided_groups
from corpusmill.mix.verify_rows import ComponentSums, Miscounts, RowReader, ShardSums, recount_tokens

RATIO_TOLERANCE = 0.001
"""A component's units may be this share of all from what was asked, or half a document with its copies in a pass,
whichever is more."""
VIEWER_BYTES = 286 * 2**20
"""The Hub's viewer refuses row groups of more bytes than this."""
RECOUNTED_SHARDS, RECOUNTED_ROWS, RECOUNTED_BYTES = 64, 256, 2_000_000
"""Tokens are counted again in so many shards, spread evenly; in each so many rows, or of so many bytes."""
_MOST_PROBLEMS = 20  # of one kind
_MOST_BYTES = 1 << 30  # of a manifest or a list of checksums
_SUMMED = ("rows", "file_bytes", "text_bytes", "characters", "units")
_DIGITS = 9  # of a share
_MOST_SHOWN = 300  # characters of a value
# YAML can name a list of lists of lists by a few characters: to write it out would take gigabytes.
_BRIEF = reprlib.Repr()
_BRIEF.maxlevel, _BRIEF.maxdict, _BRIEF.maxlist, _BRIEF.maxstring = 3, 8, 8, 100
_NUMBERED = re.compile(r"-(\d{5,})-of-(\d{5,})\.parquet$")
_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, yaml.YAMLError)
_FETCH_AGAIN = "take this file again from where the dataset was made"
_MIX_AGAIN = "take the dataset again from where it was made, or run its recipe again"
# Without it a dataset is not finished. A card of the same size is not seen to be another one.
_WRITE_AGAIN = f"remove {CHECKSUMS} and run the recipe again: it writes what stands beside the shards anew"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that is not as it should be.

    check  which of the module's checks found it
    place  the file, split or component
    told   what is wrong, with the values
    mend   what to do
    """

    check: str
    place: str
    told: str
    mend: str


@dataclass(kw_only=True)
class Verification:
    """What was looked at and what is wrong.

    left_out        problems of a kind beyond the first, by kind
    rows            split -> rows
    shares, asked   component -> share of the train split's units, from the rows; and the share that was asked
    recounted_rows  rows whose tokens were counted again
    near            whether near-duplicates were looked for; False: shards cannot be read; None: nobody asked
    """

    dataset: str
    quick: bool
    problems: list[Problem] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    files: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    text_bytes: int = 0
    shares: dict[str, float] = field(default_factory=dict)
    asked: dict[str, float] = field(default_factory=dict)
    recounted_rows: int = 0
    near: bool | None = None

    @property
    def ok(self) -> bool:
        return not self.problems

    def add(self, check: str, place: str, told: str, mend: str) -> None:
        if sum(problem.check == check for problem in self.problems) < _MOST_PROBLEMS:
            self.problems.append(Problem(check=check, place=place, told=told, mend=mend))
        else:
            self.left_out[check] += 1

    def compare(self, check: str, place: str, what: str, found: object, said: object, mend: str) -> None:
        """Adds a problem if `found` is not what the manifest says."""
        if found != said:
            self.add(check, place, f"{what} {_plain(found)}, and the manifest says {_plain(said)}", mend)

    def as_dict(self) -> dict[str, Any]:
        return {"ok": self.ok, **asdict(self)}


def verify(
    folder: Path, *, tokenizer: str | None = None, quick: bool = False, near: bool = False
) -> list[Verification]:
    """Checks a dataset, or each stage of one that has stages.

    Args:
        folder: the dataset's, in which its manifest.json lies.
        tokenizer: what its tokens were counted with, as `load_tokens` takes it; a sample is counted again.
        quick: reads no text.
        near: looks for near-duplicates in two splits, too.

    Raises:
        InputError: if there is no dataset of ours, or the tokenizer cannot be read.
        UsageError: if a tokenizer is given and the dataset does not count tokens, or `near` and `quick` are.
    """
    if near and quick:
        raise UsageError("--near-duplicates: reads all texts, and --quick none; leave one of them out")
    tokens = None if tokenizer is None else load_tokens(tokenizer)
    folders = _datasets(folder)
    told: list[Verification] = []
    taken: list[NDArray[np.uint64]] = []
    for part in folders:
        verification, ids = _verified(part, tokens, quick=quick, staged=len(folders) > 1)
        for earlier, others in zip(told, taken, strict=True):
            both = len(np.intersect1d(ids, others, assume_unique=True))
            if both:
                stage = Path(earlier.dataset).name
                what = f"{both:,} documents of its train split are in that of {stage}, too, and `overlap` is against it"
                verification.add("stages", stage, what, _MIX_AGAIN)
        if near:
            _check_near(part, verification)
        told.append(verification)
        taken.append(ids)
    return told


def _datasets(folder: Path) -> list[Path]:
    if (folder / MANIFEST).is_file() and not (folder / "recipe.yaml").exists():
        return [folder]
    stages = sorted(path.parent for path in folder.glob(f"*/{MANIFEST}")) if folder.is_dir() else []
    if not stages or (folder / "dataset") in stages:
        nested = folder / "dataset"
        mend = f"did you mean {nested}?" if nested.is_dir() else "a mix writes one to runs/NAME/dataset"
        raise InputError(f"{folder}: is no dataset; {mend}")
    return stages


def _verified(
    folder: Path, tokens: Tokens | None, *, quick: bool, staged: bool
) -> tuple[Verification, NDArray[np.uint64]]:
    """What is found of one dataset, and which documents no other stage may have."""
    told = Verification(dataset=str(folder), quick=quick)
    manifest = _manifest(folder, told)
    if manifest is None:
        return told, np.empty(0, np.uint64)
    tokens = _counting_tokenizer(folder, manifest, tokens, told)
    _check_sums(manifest, told)
    _check_files(folder, manifest, told)
    reader = RowReader(manifest.unit, quick=quick, once=_only_once(manifest.options) if staged else None)
    _check_shards(folder, manifest, reader, tokens, told)
    for name, check in ((CARD, _check_card), (CROISSANT, _check_croissant)):
        try:
            check(_small(folder / name).decode(), manifest, told)
        except _UNREADABLE as error:
            told.add("card", name, f"cannot be read: {_reason(error)}", _WRITE_AGAIN)
    return told, reader.taken()


def _check_near(folder: Path, told: Verification) -> None:
    """Whether near-duplicates stand in two splits; of a dataset whose shards can all be read."""
    told.near = not any(problem.check in ("manifest", "files", "schema", "rows") for problem in told.problems)
    if not told.near:
        return
    manifest = read_manifest(_small(folder / MANIFEST))
    found = divided_groups(
        {split: [folder / shard.name for shard in manifest.shards_of(split)] for split in manifest.splits}
    )
    if found.groups:
        row, split = found.first
        promised = manifest.options.get("split_by") == "cluster"
        told.add(
            "near",
            split,
            f"{found.groups:,} groups of near-duplicates stand in two splits, with {found.documents:,} documents that "
            f"are held out, such as {row}",
            _MIX_AGAIN if promised else "mix with `split_by: cluster`, which keeps such groups together",
        )


def _only_once(options: Mapping[str, Any]) -> Callable[[str], bool]:
    """Whether stages may not share the documents of a component (`MixOptions.may_overlap` says the opposite)."""
    overlap = options.get("overlap", False)
    if not isinstance(overlap, list):
        return lambda component: not overlap
    return lambda component: component not in overlap and component.partition("/")[0] not in overlap


def _manifest(folder: Path, told: Verification) -> StatedManifest | None:
    try:
        return read_manifest(_small(folder / MANIFEST))
    except (OSError, ValueError) as error:
        told.add(
            "manifest",
            MANIFEST,
            f"cannot be read as a manifest of version {SCHEMA_VERSION}: {_reason(error)}",
            "where its `tool_version` is another, verify with that one or mix again; else " + _MIX_AGAIN,
        )
        return None


def _counting_tokenizer(
    folder: Path, manifest: StatedManifest, tokens: Tokens | None, told: Verification
) -> Tokens | None:
    """The given tokenizer if it is the one that counted."""
    counted = manifest.tokenizer
    if tokens is None:
        return None
    if counted is None:
        raise UsageError(
            f"{folder}: counts {UNIT_NAMES[manifest.unit]} and not a tokenizer's tokens, so that --tokenizer has "
            "nothing to count again; leave it out"
        )
    if counted.fingerprint == tokens.fingerprint:
        return tokens
    told.add(
        "units",
        MANIFEST,
        f"tokens were counted with {counted.name!r}, {counted.vocab_size:,} entries, fingerprint "
        f"{counted.fingerprint}; the given {tokens.name!r}, {tokens.vocab_size:,} entries, has {tokens.fingerprint}",
        "give the tokenizer that counted, or mix again with this one",
    )
    return None


def _check_sums(manifest: StatedManifest, told: Verification) -> None:
    """Whether the manifest's sums are the sums of its shards, and no shard's number is missing."""
    for split in sorted({*manifest.splits, *(shard.split for shard in manifest.shards)}):
        own, said = manifest.shards_of(split), manifest.splits.get(split)
        for key in _SUMMED:
            summed = sum(getattr(shard, key) for shard in own)
            told.compare(
                "manifest", f"splits.{split}.{key}", "its shards have", summed, getattr(said, key, None), _WRITE_AGAIN
            )
        told.compare(
            "manifest",
            f"splits.{split}.content_hash",
            "its shards have",
            _content_sum(own),
            getattr(said, "content_hash", None),
            _WRITE_AGAIN,
        )
        numbers = sorted(tuple(map(int, found.groups())) for shard in own if (found := _NUMBERED.search(shard.name)))
        if numbers != [(number, len(own)) for number in range(len(own))]:
            told.add("manifest", f"splits.{split}", f"its {len(own)} shards are not numbered from 0 on", _MIX_AGAIN)
    told.compare(
        "manifest",
        "content_hash",
        "all shards have",
        _content_sum(manifest.shards),
        manifest.content_hash,
        _WRITE_AGAIN,
    )


def _check_files(folder: Path, manifest: StatedManifest, told: Verification) -> None:
    """SHA256SUMS against the folder, and against the manifest. What begins with a dot is no part of a dataset."""
    there = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    } - {CHECKSUMS}
    told.files = len(there)
    try:
        pairs = [line.split("  ", 1) for line in _small(folder / CHECKSUMS).decode().splitlines()]
        listed = {name: digest for digest, name in pairs}
    except (OSError, ValueError) as error:
        told.add("files", CHECKSUMS, f"cannot be read: {_reason(error)}", _FETCH_AGAIN)
        return
    shards = {shard.name: shard for shard in manifest.shards}
    for name in sorted(listed.keys() - there):
        told.add("files", name, f"stands in {CHECKSUMS} and not in the folder", _FETCH_AGAIN)
    for name in sorted(there - listed.keys()):
        told.add(
            "files",
            name,
            f"stands in the folder and not in {CHECKSUMS}",
            "move it elsewhere: who reads all files of the folder would read it, too",
        )
    for name in sorted(shards.keys() - listed.keys()):
        told.add("files", name, f"is a shard of the manifest and not in {CHECKSUMS}", _MIX_AGAIN)
    for name in sorted(listed.keys() & there):
        path, shard = folder / name, shards.get(name)
        if shard is not None:
            told.compare("files", name, f"{CHECKSUMS} says", listed[name], shard.sha256, _MIX_AGAIN)
            told.compare("files", name, "its bytes are", path.stat().st_size, shard.file_bytes, _FETCH_AGAIN)
            if told.quick:
                continue
        found = sha256_of(path)
        if found != listed[name]:
            told.add("files", name, f"its SHA-256 is {found}, and {CHECKSUMS} says {listed[name]}", _FETCH_AGAIN)


def _check_shards(
    folder: Path, manifest: StatedManifest, reader: RowReader, tokens: Tokens | None, told: Verification
) -> None:
    components: dict[tuple[str, str], ComponentSums] = {}
    licenses: dict[str, Counter[str]] = {}
    shards = sorted(manifest.shards, key=lambda shard: (shard.split == "train", shard.name))
    told.rows = dict.fromkeys(manifest.splits, 0)
    recounted = set(range(0, len(shards), max(1, -(-len(shards) // RECOUNTED_SHARDS))))
    for number, shard in enumerate(shards):
        if not (folder / shard.name).is_file():
            continue  # `files` tells
        try:
            with pq.ParquetFile(folder / shard.name) as file:
                _check_footer(shard, file, manifest, told)
                if not _check_columns(shard, file, manifest, told):
                    continue
                sums = reader.read(file, shard.split)
                if tokens is not None and number in recounted:
                    _recount(shard, file, tokens, told)
        except (pa.ArrowException, OSError) as error:
            told.add("rows", shard.name, f"cannot be read: {_reason(error)}", _FETCH_AGAIN)
            continue
        _compare_shard(shard, sums, manifest, told)
        told.rows[shard.split] = told.rows.get(shard.split, 0) + sums.rows
        told.text_bytes += sums.text_bytes
        for name, own in sums.components.items():
            components.setdefault((shard.split, name), ComponentSums()).merge(own)
        for source, counts in sums.licenses.items():
            licenses.setdefault(source, Counter()).update(counts)
    _check_mix(components, manifest, told)
    for source in sorted({*licenses, *manifest.licenses}):
        counted = most_common(licenses.get(source, Counter()), LISTED_LICENSES)
        told.compare("rows", source, "its licences are", counted, manifest.licenses.get(source, {}), _WRITE_AGAIN)


def _check_columns(shard: StatedShard, file: pq.ParquetFile, manifest: StatedManifest, told: Verification) -> bool:
    found, wanted = file.schema_arrow, dataset_schema(manifest.unit, components=manifest.has_slices)
    if found.equals(wanted):
        return True
    told.add("schema", shard.name, f"its columns are {_columns(found)}; they should be {_columns(wanted)}", _MIX_AGAIN)
    return False


def _check_footer(shard: StatedShard, file: pq.ParquetFile, manifest: StatedManifest, told: Verification) -> None:
    stored = file.schema_arrow.metadata or {}
    metadata = {key.decode(errors="replace"): value.decode(errors="replace") for key, value in stored.items()}
    wanted = {"corpusmill.unit": manifest.unit, "corpusmill.seed": str(manifest.seed)}
    if manifest.tokenizer is not None:
        wanted["corpusmill.tokenizer"] = manifest.tokenizer.fingerprint
    for key, value in wanted.items():
        told.compare("schema", shard.name, f"its {key} is", metadata.get(key), value, _MIX_AGAIN)
    for number in range(file.num_row_groups):
        group = file.metadata.row_group(number)
        if group.num_rows > ROW_GROUP_ROWS:
            told.add(
                "rows",
                shard.name,
                f"row group {number} has {group.num_rows:,} rows, more than {ROW_GROUP_ROWS:,}",
                _MIX_AGAIN,
            )
        if group.total_byte_size > VIEWER_BYTES:
            told.add(
                "rows",
                shard.name,
                f"row group {number} has {group.total_byte_size:,} bytes, and the Hub's "
                f"viewer shows none above {VIEWER_BYTES:,}",
                "leave out documents that are so long",
            )


def _compare_shard(shard: StatedShard, sums: ShardSums, manifest: StatedManifest, told: Verification) -> None:
    name = shard.name
    for key in ("rows", "units") if told.quick else ("rows", "units", "text_bytes", "characters"):
        told.compare("rows", name, f"its {key} are", getattr(sums, key), getattr(shard, key), _FETCH_AGAIN)
    for column, counts in sums.documents.items():
        said = Counter(shard.documents.get(column, {}))
        if counts != said:
            value = min(value for value in {*counts, *said} if counts[value] != said[value])
            told.add(
                "rows",
                name,
                f"{counts[value]:,} rows have {value[:80]!r} as {column}, and the manifest says {said[value]:,}",
                _MIX_AGAIN,
            )
    if told.quick:
        return
    told.compare("content", name, "its content hash is", sums.content_hash, shard.content_hash, _FETCH_AGAIN)
    if sums.largest_group >= ROW_GROUP_TEXT_BYTES:
        told.add("rows", name, f"a row group goes on after {sums.largest_group:,} bytes of text", _MIX_AGAIN)
    _add_miscounts(name, COUNT_COLUMNS[manifest.unit], sums.miscounts, told)
    if sums.repeated:
        told.add("splits", name, f"{sums.repeated:,} of its documents stand in {shard.split} twice", _MIX_AGAIN)
    if sums.twice:
        what, row, split = sums.first_twice
        told.add(
            "splits",
            name,
            f"{sums.twice:,} rows have a document or text that stands in {split}, too; the first "
            f"is the {what} of {row}",
            _MIX_AGAIN,
        )


def _recount(shard: StatedShard, file: pq.ParquetFile, tokens: Tokens, told: Verification) -> None:
    rows, miscounts = recount_tokens(file, tokens, RECOUNTED_ROWS, RECOUNTED_BYTES)
    told.recounted_rows += rows
    _add_miscounts(shard.name, COUNT_COLUMNS["tokens"], miscounts, told)


def _add_miscounts(name: str, column: str, miscounts: Miscounts, told: Verification) -> None:
    if miscounts.first is not None:
        row, said, found = miscounts.first
        told.add(
            "units",
            name,
            f"{miscounts.rows:,} rows have another {column} than their text; the first is {row}, "
            f"with {said:,}, and its text has {found:,}",
            _MIX_AGAIN,
        )


def _check_mix(found: Mapping[tuple[str, str], ComponentSums], manifest: StatedManifest, told: Verification) -> None:
    """Rows and units of each component in each split, and its share, against the manifest's and what was asked."""
    said = {entry.component: entry for entry in manifest.components}
    for split, name in sorted(found):
        if name not in said:
            told.add("mix", name, f"has rows in {split}, and is no component of the manifest", _MIX_AGAIN)
    nothing = ComponentSums()
    total = sum(sums.units for (split, _), sums in found.items() if split == "train")
    asked = sum(entry.asked for entry in manifest.components)
    for name, entry in sorted(said.items()):
        train = found.get(("train", name), nothing)
        for split, before in (("train", ""), ("validation", "validation_"), (heldout_split(entry.source), "heldout_")):
            own = found.get((split, name), nothing)
            for key in ("documents", "units"):
                wanted = getattr(entry, f"{before}{key}")
                told.compare("mix", name, f"its {key} in {split} are", getattr(own, key), wanted, _MIX_AGAIN)
        told.asked[name], told.shares[name] = entry.ratio, train.units / total if total else 0.0
        told.compare(
            "mix",
            name,
            "its share is",
            round(told.shares[name], _DIGITS),
            round(entry.achieved_ratio, _DIGITS),
            _WRITE_AGAIN,
        )
        if manifest.options.get("when_short") == "error":
            far = _too_far(entry, train, asked, _most_copies(manifest.options))
            if far:
                told.add("mix", name, f"{far}, and `when_short: error` lets none be short", _MIX_AGAIN)


def _too_far(entry: StatedComponent, train: ComponentSums, budget: int, copies: int) -> str:
    """What is said where units are further from what was asked than whole documents make them; else nothing.

    The cut is where the units come closest: at most half a document away, and a document's copies in a pass are taken
    with it. Beyond what was asked it is the last document, which is there. Below, it is the next one: one of those that
    are not there, or after a whole pass one of the next pass, which is there, too. `asked` itself is Hamilton's whole
    number, less than a unit from the fraction that the cut is for.
    """
    taken = min(train.largest * copies, entry.available_units)
    left = entry.available_units - train.units
    following = left if left > 0 else taken
    tolerance = RATIO_TOLERANCE * budget
    beyond, missing = train.units - entry.asked, entry.asked - train.units
    if beyond >= max(tolerance, taken / 2 + 1) or missing >= max(tolerance, following / 2 + 1):
        return f"has {train.units:,} units, and {entry.asked:,} were asked"
    return ""


def _most_copies(options: Mapping[str, Any]) -> int:
    """Most rows of one document in a pass: they are taken together."""
    copies = options.get("rehydrate")
    if isinstance(copies, Mapping):
        return max((count for count in copies.values() if isinstance(count, int)), default=1)
    return max(FINEWEB_2.values()) if copies else 1


def _check_card(text: str, manifest: StatedManifest, told: Verification) -> None:
    front = yaml.safe_load(text.split("---\n", 2)[1])
    info, filled = front["dataset_info"], {name: split for name, split in manifest.splits.items() if split.rows}
    for key, counted in (("num_examples", "rows"), ("num_bytes", "text_bytes")):
        found = {item["name"]: item[key] for item in info["splits"]}
        said = {name: getattr(split, counted) for name, split in filled.items()}
        told.compare("card", CARD, f"the {key} of its splits are", found, said, _WRITE_AGAIN)
    for key, counted in (("download_size", "file_bytes"), ("dataset_size", "text_bytes")):
        whole = sum(getattr(shard, counted) for shard in manifest.shards)
        told.compare("card", CARD, f"its {key} is", info[key], whole, _WRITE_AGAIN)
    for item in front["configs"][0]["data_files"]:
        named = sorted(shard.name for shard in manifest.shards if PurePosixPath(shard.name).match(item["path"]))
        own = sorted(shard.name for shard in manifest.shards_of(item["split"]))
        told.compare("card", CARD, f"its files of {item['split']} are", named, own, _WRITE_AGAIN)


def _check_croissant(text: str, manifest: StatedManifest, told: Verification) -> None:
    data = json.loads(text)
    files = {item["contentUrl"]: item for item in data["distribution"] if item["@type"] == "cr:FileObject"}
    told.compare(
        "card", CROISSANT, "it names", sorted(files), sorted(shard.name for shard in manifest.shards), _WRITE_AGAIN
    )
    for shard in manifest.shards:
        if shard.name in files:
            item, size = files[shard.name], f"{shard.file_bytes} B"
            told.compare("card", CROISSANT, f"{shard.name} has", item["sha256"], shard.sha256, _WRITE_AGAIN)
            told.compare("card", CROISSANT, f"{shard.name} has", item["contentSize"], size, _WRITE_AGAIN)
    splits = sorted(name for name, split in manifest.splits.items() if split.rows)
    record_sets = sorted(item["@id"] for item in data["recordSet"])
    told.compare("card", CROISSANT, "its record sets are", record_sets, splits, _WRITE_AGAIN)


def _small(path: Path) -> bytes:
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise ValueError(f"{size:,} bytes are more than a dataset of ours writes there")
    return path.read_bytes()


def _content_sum(shards: Iterable[StatedShard]) -> str:
    total = ContentHash()
    for shard in shards:
        total.add_hash(shard.content_hash)
    return str(total)


def _columns(schema: pa.Schema) -> str:
    return ", ".join(f"{item.name} {item.type}{'' if item.nullable else ' not null'}" for item in schema)


def _reason(error: BaseException) -> str:
    said = " ".join(str(error).split())[:200]
    return f"it has no {said}" if isinstance(error, KeyError) else said or type(error).__name__


def _plain(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return (value if isinstance(value, str) else _BRIEF.repr(value))[:_MOST_SHOWN]
