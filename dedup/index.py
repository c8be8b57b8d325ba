"""Indexes: what earlier runs kept, as files that later runs and single questions are compared with.

    INDEX/
      index.json              format, kind, parameters, the number of every part, and the highest ever given
      parts/<label>/          one for each source of each run (`update_as`)
        part.json             written last: kind, parameters, number, rows, sources, files with sizes and SHA-256
        documents.parquet     id, source, url of every row
        <array>.bin           arrays of the kind (minhash_index.py, exact_index.py): bare values, little-endian, mapped

docs/dedup/index.md tells of every file. A part is whole when its `part.json` is there: it is written in a folder of
another name, which is then renamed. One writer at a time works in an index (a lock that goes with the process).
Numbers count up, and a part that takes the place of an older one under the same label keeps its number: a run compares
with parts of lower numbers than its own, so that it decides alike when it is run again. Therefore a run whose index has
got other parts since it looked is not let in (`new_part`), and the number of a part that was forgotten is not given
again. Nothing in a part tells the time: a run that is run again writes the same files.

Readers take no lock. What they open is of one writing of a part, or an error: each file is mapped first, and then
`part.json` must still be the one that was read.

A part may stand outside an index, for other sources of one run; it carries its parameters itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from corpusmill.dedup.contract import PART_FILE
from corpusmill.documents.codepoints import UNICODE_VERSION
from corpusmill.documents.errors import CorpusmillError, InputError, RecipeError, StorageError
from corpusmill.documents.shards import ShardWriter, atomic_text, sha256_of, storage_errors

FORMAT = 1
"""Raised when the files of a part, or what stands in them, change."""
INDEX_FILE = "index.json"
DOCUMENTS = "documents.parquet"
DOCUMENT_SCHEMA = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string()),
    ]
)
"""What a part tells of each document."""
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ARRAY = re.compile(r"[a-z_]{1,40}")
_ARRAY_TYPES = {"uint16", "int32", "uint32", "int64", "uint64"}
_PARTIAL = ".partial-"
_ID_ROWS = 65_536  # rows of a row group of DOCUMENTS


@dataclass(frozen=True, slots=True)
class Form:
    """What two parts must have in common to be compared: the kind of their fingerprints, and how these are made."""

    kind: str  # minhash or exact
    parameters: Mapping[str, int | str | bool]

    @classmethod
    def of(cls, kind: str, parameters: Mapping[str, int | str | bool]) -> Form:
        """A form; Unicode's version belongs to it, since words depend on it."""
        return cls(kind, {**parameters, "unicode": UNICODE_VERSION})

    def check(self, other: Form, place: Path) -> None:
        """Checks that the index or part at `place`, of the form `other`, can be compared with this.

        Raises:
            InputError: naming what differs.
        """
        if other.kind != self.kind:
            raise InputError(
                f"{place}: is an index of {other.kind} fingerprints, and {self.kind} ones are needed; name one that a "
                f"stage of that kind has written, or give `update` another folder"
            )
        if differing := [
            f"{name} {other.parameters.get(name)} there, {self.parameters.get(name)} here"
            for name in sorted({*self.parameters, *other.parameters})
            if self.parameters.get(name) != other.parameters.get(name)
        ]:
            raise InputError(
                f"{place}: was made with other parameters ({'; '.join(differing)}); give the stage those of the index, "
                "or build another index with these"
            )


@dataclass(frozen=True, slots=True)
class IndexPart:
    """An index part whose files are there in the sizes that it states."""

    folder: Path
    form: Form
    number: int
    rows: int
    sources: Mapping[str, int]
    files: Mapping[str, Mapping[str, Any]]
    identity: str
    """SHA-256 of its PART_FILE, which has those of all others: two parts that have it in common are the same."""

    @property
    def label(self) -> str:
        return self.folder.name

    def array(self, name: str) -> NDArray[Any]:
        """An array, mapped from its file.

        Raises:
            InputError: if the part has no such array, or is another by now.
        """
        facts = self.files.get(f"{name}.bin")
        if facts is None:
            raise _damaged(self.folder / PART_FILE, f"names no array {name}")
        path = self.folder / f"{name}.bin"
        with self._reading(path):
            return _mapped(path, facts)

    def has(self, name: str) -> bool:
        return f"{name}.bin" in self.files

    def documents(self, rows: NDArray[np.int64], columns: Sequence[str] = tuple(DOCUMENT_SCHEMA.names)) -> pa.Table:
        """Id, source and url of rows, or some of these, in the order of `rows`; not of more than some millions at once.

        Raises:
            InputError: if the file cannot be read or has other rows, or the part is another by now.
        """
        path = self.folder / DOCUMENTS
        wanted, places = np.unique(rows, return_inverse=True)
        with self._reading(path), pq.ParquetFile(path) as file:
            found = _rows_of(file, wanted, pa.schema([DOCUMENT_SCHEMA.field(name) for name in columns]))
        if found.num_rows != len(wanted):
            raise _damaged(path, f"has other rows than {PART_FILE} says")
        return found.take(pa.array(places))

    @contextlib.contextmanager
    def _reading(self, path: Path) -> Iterator[None]:
        """Around the opening of a file of the part: a writer may have put another part in its place meanwhile."""
        try:
            yield
        except (OSError, ValueError, pa.ArrowException) as error:  # ValueError: shorter than what is to be mapped
            self.check_unchanged()
            raise _damaged(path, f"cannot be read ({error})") from error
        self.check_unchanged()

    def check_unchanged(self) -> None:
        """Checks that the part at this place is still the one that was opened.

        Raises:
            InputError: if it is another, or gone.
        """
        if open_part(self.folder).identity != self.identity:
            raise replaced(self.folder)

    def check_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Checks that arrays have the shapes that belong to their kind and to `rows`; kernels do not look.

        Raises:
            InputError: naming the first that has another, or is missing.
        """
        for name, shape in shapes.items():
            if not self.has(name):
                raise _damaged(self.folder / PART_FILE, f"names no array {name}")
            found = tuple(self.files[f"{name}.bin"]["shape"])
            if found != shape:
                raise _damaged(self.folder / PART_FILE, f"gives {name}.bin the shape {found} instead of {shape}")

    def damaged(self, name: str, what: str) -> InputError:
        """The error for an array whose values cannot be."""
        return _damaged(
            self.folder / f"{name}.bin",
            f"{what} (`corpusmill dedup info {self.folder.parent.parent} --check` compares all files)",
        )

    def check_content(self) -> None:
        """Compares every file's SHA-256 with the one stated; reads all of the part.

        Raises:
            InputError: naming the first file that differs.
        """
        for name, facts in sorted(self.files.items()):
            if sha256_of(self.folder / name) != facts["sha256"]:
                raise _damaged(self.folder / name, f"is not what {PART_FILE} says: its SHA-256 differs")


def _mapped(path: Path, facts: Mapping[str, Any]) -> NDArray[Any]:
    kind, shape = np.dtype(facts["type"]).newbyteorder("<"), tuple(facts["shape"])
    if 0 in shape:  # an empty file cannot be mapped
        return np.empty(shape, kind)
    return np.memmap(path, kind, "r", shape=shape)


def _rows_of(file: pq.ParquetFile, wanted: NDArray[np.int64], schema: pa.Schema) -> pa.Table:
    """Rows by number, ascending, reading only the row groups that hold them."""
    parts = [schema.empty_table()]
    begin = 0
    for group in range(file.num_row_groups):
        end = begin + file.metadata.row_group(group).num_rows
        here = wanted[np.searchsorted(wanted, begin) : np.searchsorted(wanted, end)]
        if len(here):
            parts.append(file.read_row_group(group, schema.names).take(pa.array(here - begin)).cast(schema))
        begin = end
    return pa.concat_tables(parts).combine_chunks()


def open_part(folder: Path) -> IndexPart:
    """Reads what a part says of itself, and checks that its files have the sizes that it states.

    Raises:
        InputError: if it is missing, damaged or of another format.
    """
    if (status := _status(folder / PART_FILE)) is None:
        raise InputError(
            f"{folder}: is no index part, or not a whole one ({PART_FILE} is missing): the run that writes it was "
            "stopped or is at work; run it to its end, or remove it by `corpusmill dedup forget`"
        )
    return _opened(folder, *status)


def replaced(folder: Path) -> InputError:
    """The error for a part that is another than the one that a run began to compare with."""
    return InputError(f"{folder}: was replaced while it was read, by another run: run again")


@lru_cache(maxsize=1024)
def _opened(folder: Path, size: int, mtime: int, file: int) -> IndexPart:
    path = folder / PART_FILE
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise replaced(folder) from error
    facts = _parsed(path, content)
    try:
        files = {str(name): _file_facts(name, stated) for name, stated in facts["files"].items()}
        part = IndexPart(
            folder=folder,
            form=Form(str(facts["kind"]), dict(facts["parameters"])),
            number=_count(facts["number"]),
            rows=_count(facts["rows"]),
            sources={str(source): _count(rows) for source, rows in facts["sources"].items()},
            files=files,
            identity=hashlib.sha256(content).hexdigest(),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, f"does not say what a part's file says ({error!r})") from error
    for name, stated in part.files.items():
        try:
            found = (folder / name).stat().st_size
        except FileNotFoundError:
            found = None
        if found != stated["bytes"]:
            if _status(path) != (size, mtime, file):
                raise replaced(folder)
            what = "is missing" if found is None else f"has {found:,} bytes instead of {stated['bytes']:,}"
            raise _damaged(folder / name, what)
    return part


def _status(path: Path) -> tuple[int, int, int] | None:
    """What tells one file of this name from another: size, time and number; None: there is none."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def _count(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _file_facts(name: str, stated: Mapping[str, Any]) -> dict[str, Any]:
    """What is stated of one file, as far as it can be true."""
    facts: dict[str, Any] = {"bytes": _count(stated["bytes"]), "sha256": str(stated["sha256"])}
    if name == DOCUMENTS:
        return facts
    if not name.endswith(".bin") or not _ARRAY.fullmatch(name.removesuffix(".bin")):
        raise ValueError(f"{name!r} is no file of a part")
    kind, shape = str(stated["type"]), tuple(_count(length) for length in stated["shape"])
    if kind not in _ARRAY_TYPES:
        raise ValueError(f"{kind!r} is no type of an array")
    if facts["bytes"] != np.dtype(kind).itemsize * math.prod(shape):
        raise ValueError(f"{name} cannot have {facts['bytes']} bytes and the shape {shape}")
    return {**facts, "type": kind, "shape": shape}


def _parsed(path: Path, content: bytes) -> dict[str, Any]:
    try:
        facts = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"cannot be read ({error})") from error
    if not isinstance(facts, dict) or not isinstance(facts.get("format"), int):
        raise _damaged(path, "is no object with a format")
    if facts["format"] != FORMAT:
        raise InputError(
            f"{path}: has format {facts['format']}, and this version of corpusmill reads {FORMAT}; run the runs that "
            "wrote it again with `update` on another folder"
        )
    return facts


def _damaged(path: Path, what: str) -> InputError:
    if path.name == INDEX_FILE:
        mend = "restore it from a copy, or let the runs that wrote the index write another one"
    else:
        mend = "the index part is damaged: run the run that wrote it again, or restore it from a copy"
    return InputError(f"{path}: {what}; {mend}")


@dataclass(frozen=True, slots=True)
class Index:
    """An index folder: its form, and the numbers of its parts by label, in their order."""

    folder: Path
    form: Form
    numbers: Mapping[str, int]
    highest: int
    """Number that was ever given, be it to a part that is forgotten."""

    def part_folder(self, label: str) -> Path:
        return self.folder / "parts" / label

    def parts(self) -> list[IndexPart]:
        """All parts, in order.

        Raises:
            InputError: if one is damaged or not whole.
        """
        found = [open_part(self.part_folder(label)) for label in self.numbers]
        for part in found:
            self.form.check(part.form, part.folder)
        return found


def open_index(folder: Path) -> Index:
    """Reads what an index says of itself.

    Raises:
        InputError: if there is none at `folder`, or it is damaged.
    """
    path = folder / INDEX_FILE
    if not path.exists():
        if _is_there(folder):
            raise _damaged(path, "is missing, and parts of an index are there")
        what = "holds no index" if folder.is_dir() else "there is no index"
        raise InputError(
            f"{folder}: {what} ({INDEX_FILE} is missing); a run whose dedup stage has `update: {folder}` makes one"
        )
    facts = _parsed(path, path.read_bytes())
    try:
        numbers = {_label(label): _count(number) for label, number in facts["parts"].items()}
        form = Form(str(facts["kind"]), dict(facts["parameters"]))
        highest = _count(facts.get("highest", 0))  # which early indexes do not say
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, f"does not say what an index's file says ({error!r})") from error
    # A writer that was killed after its part stood there has not written the part's number here.
    for marker in (folder / "parts").glob(f"[!.]*/{PART_FILE}"):
        if marker.parent.name not in numbers:
            numbers[marker.parent.name] = open_part(marker.parent).number
    ordered = dict(sorted(numbers.items(), key=lambda item: (item[1], item[0])))
    return Index(folder, form, ordered, max([highest, *numbers.values()]))


def _is_there(folder: Path) -> bool:
    return (folder / INDEX_FILE).exists() or any((folder / "parts").glob(f"[!.]*/{PART_FILE}"))


def _label(label: Any) -> str:
    if not isinstance(label, str) or not _LABEL.fullmatch(label):
        raise ValueError(f"{label!r} is no label")
    return label


def check_label(label: str, place: str) -> None:
    """Checks the name of a part, which is that of a folder.

    Raises:
        RecipeError: if it could not be one everywhere.
    """
    if not _LABEL.fullmatch(label):
        raise RecipeError(
            f'{place}: "{label}" is no name of an index part; use up to 100 letters, digits, "-", "_" and ".", and '
            "begin with a letter or digit, such as CC-MAIN-2024-10"
        )


def parts_before(against: Sequence[str], update: str | None, label: str | None, form: Form) -> list[Path]:
    """The folders of the parts of `against` that a run compares with, in order; of the index that it updates, those
    alone that were there before its own part, `label`.

    Raises:
        InputError: if an index is missing (that of `update` may be), damaged or of another form.
    """
    updated = None if update is None else Path(update).resolve()
    if updated is not None and _is_there(updated):
        index = open_index(updated)
        form.check(index.form, index.folder)
    folders: list[Path] = []
    indexes: dict[Path, Path] = {}
    for name in against:
        indexes.setdefault(Path(name).resolve(), Path(name))
    for resolved, path in indexes.items():
        own = resolved == updated
        if own and not _is_there(path):
            continue
        index = open_index(path)
        form.check(index.form, path)
        last = index.numbers.get(label or "", math.inf) if own else math.inf
        for each, number in index.numbers.items():
            if number < last:
                form.check(open_part(index.part_folder(each)).form, index.part_folder(each))
                folders.append(index.part_folder(each))
    return folders


def check_writable(update: str) -> None:
    """Checks, before any work is done, that an index can be made or written in a folder.

    Raises:
        InputError: naming the first folder above it, or in it, that stands in the way.
    """
    folder = Path(update).resolve()
    places = [folder, folder / "parts"] if folder.exists() else []
    if not places:
        places = [next(parent for parent in folder.parents if parent.exists())]
    for place in places:
        if place.exists() and not place.is_dir():
            raise InputError(
                f"{place}: is no folder, and the index {folder} is to be written there; name another place"
            )
        if place.exists() and not os.access(place, os.W_OK | os.X_OK):
            raise InputError(
                f"{place}: cannot be written, and the index {folder} is to be; mend its rights or name another place"
            )


class PartWriter:
    """Writes the files of a part, in a folder of another name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, dict[str, Any]] = {}
        self.rows = 0
        self.sources: dict[str, int] = {}

    @contextlib.contextmanager
    def array(self, name: str, kind: str, columns: Sequence[int] = ()) -> Iterator[ArrayWriter]:
        """An array that grows by rows, each of the shape `columns`."""
        path = self.folder / f"{name}.bin"
        with storage_errors(path), open(path, "wb") as stream:
            writer = ArrayWriter(stream, np.dtype(kind).newbyteorder("<"))
            yield writer
            stream.flush()
            os.fsync(stream.fileno())
        length = writer.values // math.prod(columns) if math.prod(columns) else 0
        self.files[path.name] = {
            "bytes": path.stat().st_size,
            "sha256": writer.hash.hexdigest(),
            "type": kind,
            "shape": [length, *columns],
        }

    def mapped(self, name: str) -> NDArray[Any]:
        """An array that has been written."""
        return _mapped(self.folder / f"{name}.bin", self.files[f"{name}.bin"])

    @contextlib.contextmanager
    def documents(self) -> Iterator[DocumentsWriter]:
        """Id, source and url of the rows."""
        path = self.folder / DOCUMENTS
        with ShardWriter(path, DOCUMENT_SCHEMA, row_group_rows=_ID_ROWS) as shard:
            writer = DocumentsWriter(shard)
            yield writer
        assert shard.shard is not None  # its writer has ended well
        self.files[path.name] = {"bytes": shard.shard.file_bytes, "sha256": shard.shard.sha256}
        self.rows, self.sources = shard.shard.rows, writer.sources


class ArrayWriter:
    """One array of a part, on its way to its file."""

    def __init__(self, stream: IO[bytes], kind: np.dtype[Any]) -> None:
        self._stream, self._kind = stream, kind
        self.hash = hashlib.sha256()
        self.values = 0

    def add(self, values: NDArray[Any]) -> None:
        data = np.ascontiguousarray(values, self._kind).data.cast("B") if values.size else b""
        self._stream.write(data)
        self.hash.update(data)
        self.values += values.size


class DocumentsWriter:
    """The documents of a part, on their way to their file."""

    def __init__(self, shard: ShardWriter) -> None:
        self._shard = shard
        self.sources: dict[str, int] = {}

    def add(self, rows: pa.RecordBatch) -> None:
        """Takes in rows with the columns id, source and url, and maybe others."""
        self._shard.write(rows.select(DOCUMENT_SCHEMA.names).cast(DOCUMENT_SCHEMA))
        for item in pc.value_counts(rows.column("source")).to_pylist():
            self.sources[item["values"]] = self.sources.get(item["values"], 0) + item["counts"]


@contextlib.contextmanager
def new_part(
    folder: Path, form: Form, index: Path | None, *, against: Sequence[str] = (), seen: Sequence[Path] | None = None
) -> Iterator[PartWriter]:
    """Writes the part at `folder`, of the index `index` or of none; what is there is replaced once the block has ended
    well, in one step.

    Args:
        against: the indexes that the run is compared with.
        seen: the parts that it was compared with; None: this is not looked at.

    Raises:
        CorpusmillError: if the index has got parts meanwhile that the run should have been compared with.
        InputError: if the index is damaged, or of another form.
        StorageError: if nothing can be written there.
    """
    with _locked(index), storage_errors(folder):
        if index is not None and _is_there(index):
            form.check(open_index(index).form, index)
            if seen is not None:
                _check_seen(open_index(index), folder.name, against, seen)
        elif index is not None:
            _write_index(Index(index, form, {}, 0))
        _restore(folder)
        _remove_leftovers(folder)
        partial = folder.parent / f".{folder.name}{_PARTIAL}{os.getpid()}-{secrets.token_hex(4)}"
        try:
            partial.mkdir(parents=True)
        except OSError as error:
            raise StorageError(
                f"{folder}: cannot be written ({error.strerror}); name another place, or mend its rights"
            ) from error
        try:
            writer = PartWriter(partial)
            yield writer
            number = 0 if index is None else _number(open_index(index), folder.name)
            _write_part_file(partial, form, number, writer)
            _put(partial, folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        if index is not None:
            _write_index(open_index(index))


def forget_part(folder: Path, label: str) -> None:
    """Takes a part out of an index. Runs that were compared with it decide anew when they are run again.

    Raises:
        InputError: if there is no such index or part.
    """
    open_index(folder)
    with _locked(folder):
        index = open_index(folder)
        if label not in index.numbers:
            raise InputError(f'{folder}: has no part "{label}"; its parts: {", ".join(index.numbers) or "none"}')
        part = index.part_folder(label)
        # The marker first: half a removal reads as a part that is not whole.
        (part / PART_FILE).unlink(missing_ok=True)
        shutil.rmtree(part, ignore_errors=True)
        _remove_leftovers(part)
        left = {name: number for name, number in index.numbers.items() if name != label}
        _write_index(replace(index, numbers=left))


def _number(index: Index, label: str) -> int:
    return index.numbers.get(label, index.highest + 1)


def _check_seen(index: Index, label: str, against: Sequence[str], seen: Sequence[Path]) -> None:
    """Checks that a run has been compared with all parts of the index that come before its own."""
    if index.folder.resolve() not in {Path(name).resolve() for name in against}:
        return
    known, own = {folder.resolve() for folder in seen}, _number(index, label)
    if added := [
        each
        for each, number in index.numbers.items()
        if number < own and index.part_folder(each).resolve() not in known
    ]:
        raise CorpusmillError(
            f"{index.folder}: another run has added {', '.join(added)} to the index meanwhile, and this one was not "
            "compared with that; run again"
        )


def _write_part_file(folder: Path, form: Form, number: int, writer: PartWriter) -> None:
    facts = {
        "format": FORMAT,
        "kind": form.kind,
        "parameters": dict(form.parameters),
        "number": number,
        "rows": writer.rows,
        "sources": dict(sorted(writer.sources.items())),
        "files": dict(sorted(writer.files.items())),
    }
    atomic_text(folder / PART_FILE, json.dumps(facts, indent=1) + "\n")


def _write_index(index: Index) -> None:
    facts = {
        "format": FORMAT,
        "kind": index.form.kind,
        "parameters": dict(index.form.parameters),
        "parts": dict(index.numbers),
        "highest": index.highest,
    }
    atomic_text(index.folder / INDEX_FILE, json.dumps(facts, indent=1) + "\n")


def _put(partial: Path, folder: Path) -> None:
    """Renames a finished folder into its place."""
    if folder.exists():
        old = _set_aside(folder)
        folder.rename(old)
        partial.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        partial.rename(folder)


def _set_aside(folder: Path) -> Path:
    """Where the older part stands while the newer takes its place."""
    return folder.parent / f".{folder.name}{_PARTIAL}old"


def _restore(folder: Path) -> None:
    """Puts back the part that a writer had set aside when it was killed."""
    if not folder.exists() and (old := _set_aside(folder)).exists():
        old.rename(folder)


def _remove_leftovers(folder: Path) -> None:
    """Removes what killed writers of this part have left."""
    for old in folder.parent.glob(f".{folder.name}{_PARTIAL}*"):
        shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def _locked(index: Path | None) -> Iterator[None]:
    """One writer at a time in an index; the others wait. The lock goes with the process, however that ends."""
    if index is None:
        yield
        return
    try:
        with storage_errors(index):
            index.mkdir(parents=True, exist_ok=True)
            stream = open(index / ".lock", "ab")  # noqa: SIM115  (closed below)
    except OSError as error:
        raise StorageError(
            f"{index}: the index cannot be made or written ({error.strerror}); point `update` at a folder that can"
        ) from error
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
