"""The n-grams of benchmarks: reading items from files, and an index that says which item each n-gram belongs to.

An item is one row of a benchmark's file; its text are the named fields. It is sought by its **n-grams of words**: runs
of n words of one field, in lower case and without diacritics. Punctuation does not count, nor do underscores around a
word and commands of LaTeX, so that line breaks, quoting and markup change nothing.

- n-grams of so few letters and digits, or so few different words, that they stand anywhere (`1 2 3 4 5 6 7 8`) are
  left out (`_THIN_CHARACTERS`, `_THIN_WORDS`).
- An item that has none left (a formula, a short question) is **terse**: it is sought by its n-grams of words *and*
  punctuation marks, and counts only where nearly all of them stand together.
- An item of less than n marks and words cannot be sought.
- n-grams that more than `_TEMPLATE_ITEMS` items have are the benchmark's template and no item's text.
- Of an item with more than `_MOST_GRAMS` n-grams, the ends of each field are sought and, between them, those with the
  smallest hashes: a sample that depends on the text alone.

An n-gram of an item takes about 20 bytes, so a million long items take 1.3 GB in each worker, and 3 GB for the minute
in which the index is made.
"""

from __future__ import annotations

import glob
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numba import uint32, uint64
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch, without_surrogates
from corpusmill.documents.codepoints import FOLD, WORD
from corpusmill.documents.compiled import frozen, inlined, kernel
from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.documents.segmentation import decoded, hashed_folded, mixed

_WORD = WORD
_BASE = np.uint64(0x9FB21C651E98DF25)  # of the rolling polynomial; odd
_TOKENS = np.uint64(0x5851F42D4C957F2D)  # sets n-grams with punctuation apart from those without

_THIN_CHARACTERS = 3.0  # for each word of an n-gram: below this it is mostly numbers or single letters
_THIN_WORDS = 0.5  # different words, as a share of n
_TEMPLATE_ITEMS = 1_000
_MOST_GRAMS = 64
_MARKUP = tuple(b"*`$\\{}\"'#>|~^,.:;")  # beside quotes beyond ASCII
_CHUNK_BYTES = 4_000_000
_DEEPEST = 8  # lists in lists of a field's value


@dataclass(frozen=True, kw_only=True)
class BenchmarkFiles:
    """Where a benchmark's items are, and what of them is sought."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    paths: tuple[str, ...]
    """JSONL, JSON (a list of objects) or Parquet, also `.gz`; globs are expanded."""
    fields: tuple[str, ...]
    """The fields that are sought; `a.b` is field b of the object in field a. Of a list, all entries."""
    answer_fields: tuple[str, ...] = ()
    """Fields without which a row is no item of the benchmark: rows where one of them is absent, null or empty are
    skipped."""
    records: str | None = None
    """For a JSON file whose rows are not its top level: the field that holds their list."""

    def __post_init__(self) -> None:
        if not self.paths or not self.fields:
            raise RecipeError("a benchmark needs at least one path and one field")

    def found(self) -> list[Path]:
        """The files, in order."""
        return [Path(name) for path in self.paths for name in (sorted(glob.glob(path)) or [path])]


@dataclass(frozen=True, kw_only=True, eq=False)
class Index:
    """The n-grams of all benchmarks.

    n               words of an n-gram
    grams           uint64[g]: hashes, sorted
    bits            uint64[2^k]: a Bloom filter of one block a hash, 16 bits or more for each
    firsts, items   int32: the items that have n-gram g are `items[firsts[g] : firsts[g + 1]]`
    sizes           int32[items]: different n-grams of each
    terse           bool[items]: sought by n-grams with punctuation
    benchmarks      the benchmarks' names
    benchmark       int32[items]: index into `benchmarks`
    files           names of their files
    file, row       int32[items]: index into `files`; the row, from 0
    has_terse       whether any item is
    """

    n: int
    grams: NDArray[np.uint64]
    bits: NDArray[np.uint64]
    firsts: NDArray[np.int32]
    items: NDArray[np.int32]
    sizes: NDArray[np.int32]
    terse: NDArray[np.bool_]
    benchmarks: tuple[str, ...]
    benchmark: NDArray[np.int32]
    files: tuple[str, ...]
    file: NDArray[np.int32]
    row: NDArray[np.int32]

    def item_name(self, item: int) -> str:
        """The item's file and row, such as `test.jsonl:17` (from 0)."""
        return f"{self.files[self.file[item]]}:{self.row[item]}"

    @property
    def has_terse(self) -> bool:
        return bool(self.terse.any())

    def hits(self, batch: TextBatch, most: int) -> Hits:
        """Where n-grams of the index stand in the batch's texts, at most `most` for each document and kind."""
        found = [self._lookup(word_stream(batch), np.uint64(0), most)]
        if self.has_terse:
            found.append(self._lookup(word_stream(batch, marks=True), _TOKENS, most))
        documents, grams, firsts, lasts = (np.concatenate(columns) for columns in zip(*found))
        order = np.lexsort((grams, firsts, documents))
        return Hits(documents[order], grams[order], firsts[order], lasts[order])

    def _lookup(self, words: WordStream, salt: np.uint64, most: int) -> tuple[NDArray[np.int32], ...]:
        room = 4096
        while True:
            documents, grams, places = (np.empty(room, np.int32) for _ in range(3))
            count = find_grams(
                words.firsts, words.hashes, self.n, salt, self.bits, self.grams, most, documents, grams, places
            )
            if count <= room:
                break
            room = count
        places = places[:count]
        return documents[:count], grams[:count], words.tokens[places], words.tokens[places + self.n - 1]


@dataclass(frozen=True, slots=True)
class Hits:
    """n-grams found: parallel int32 arrays, sorted by document and first word.

    documents       row of the batch
    grams           index into the index's `grams`
    firsts, lasts   first and last word, as indices into the batch's words
    """

    documents: NDArray[np.int32]
    grams: NDArray[np.int32]
    firsts: NDArray[np.int32]
    lasts: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class WordStream:
    """The words of a batch that n-grams are made of.

    firsts      int32[documents + 1]
    tokens      int32[n]: which of the batch's words each is
    hashes      uint64[n]: folded
    """

    firsts: NDArray[np.int32]
    tokens: NDArray[np.int32]
    hashes: NDArray[np.uint64]


def word_stream(batch: TextBatch, *, marks: bool = False) -> WordStream:
    """The batch's words without underscores around them, and without commands of LaTeX.

    Punctuation is left out; `marks`: but for the marks that say something in a formula.
    """
    words = batch.words
    firsts = np.empty(len(batch) + 1, np.int32)
    tokens, hashes = np.empty(len(words.starts), np.int32), np.empty(len(words.starts), np.uint64)
    count = select_words(
        batch.offsets, batch.text, FOLD, words.firsts, words.starts, words.ends, words.kinds, batch.folded_hashes,
        marks, firsts, tokens, hashes,
    )  # fmt: skip
    return WordStream(frozen(firsts), frozen(tokens[:count]), frozen(hashes[:count]))


def load_index(benchmarks: Mapping[str, BenchmarkFiles], n: int) -> Index:
    """The index of all benchmarks, made once a process as long as their files stay the same.

    Raises:
        InputError: if a file is missing, damaged or empty, or lacks a field; if no item of a benchmark can be sought.
    """
    given = tuple(sorted((name, files) for name, files in benchmarks.items()))
    stamps = []
    for name, files in given:
        for path in files.found():
            if not path.is_file():
                raise InputError(f"decontamination.benchmarks.{name}: {path}: there is no such file")
            status = path.stat()
            stamps.append((status.st_size, status.st_mtime_ns))
    return _loaded(given, n, tuple(stamps))


@lru_cache(maxsize=2)
def _loaded(given: tuple[tuple[str, BenchmarkFiles], ...], n: int, stamps: tuple[tuple[int, int], ...]) -> Index:
    builder = _Builder(n)
    for name, files in given:
        builder.add_benchmark(name, files)
    return builder.index()


class _Builder:
    """Gathers (n-gram, item) pairs."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._benchmarks: list[str] = []
        self._files: list[str] = []
        self._grams: list[NDArray[np.uint64]] = []
        self._items: list[NDArray[np.int32]] = []
        self._terse: list[NDArray[np.bool_]] = []
        self._origins: list[NDArray[np.int32]] = []  # benchmark, file, row
        self._count = 0

    def add_benchmark(self, name: str, files: BenchmarkFiles) -> None:
        begun = sum(map(len, self._grams))
        self._benchmarks.append(name)
        paths = files.found()
        for path, short in zip(paths, _short_names(paths)):
            place = f"decontamination.benchmarks.{name}: {path}"
            self._files.append(short)
            before = self._count
            for rows, texts in _chunks(place, path, files):
                self._add(rows, texts)
            if self._count == before:
                mend = f" with {' and '.join(files.answer_fields)}" if files.answer_fields else ""
                raise InputError(f"{place}: holds no item{mend}; name another file or take it out")
        if sum(map(len, self._grams)) == begun:
            raise InputError(
                f"decontamination.benchmarks.{name}: no item has {self._n} words in {' or '.join(files.fields)}; name "
                "longer fields, or a smaller n"
            )

    def _add(self, rows: list[int], texts: list[list[str]]) -> None:
        """Items by their rows, each with the texts of its fields."""
        batch = TextBatch.of_texts([text for item in texts for text in item])
        item_of = np.repeat(np.arange(len(texts), dtype=np.int32), [len(item) for item in texts])
        grams, items, edges = self._grams_of(batch, item_of, marks=False)
        terse = np.ones(len(texts), np.bool_)
        terse[items] = False
        if terse.any():
            more_grams, more_items, more_edges = self._grams_of(batch, item_of, marks=True)
            mine = terse[more_items]
            grams = np.concatenate((grams, more_grams[mine]))
            items = np.concatenate((items, more_items[mine]))
            edges = np.concatenate((edges, more_edges[mine]))
        grams, items = sampled(grams, items, edges, _MOST_GRAMS)
        self._grams.append(grams)
        self._items.append(items + np.int32(self._count))
        self._terse.append(terse)
        origin = np.empty((len(rows), 3), np.int32)
        origin[:, 0], origin[:, 1], origin[:, 2] = len(self._benchmarks) - 1, len(self._files) - 1, rows
        self._origins.append(origin)
        self._count += len(texts)

    def _grams_of(
        self, batch: TextBatch, item_of: NDArray[np.int32], *, marks: bool
    ) -> tuple[NDArray[np.uint64], NDArray[np.int32], NDArray[np.bool_]]:
        """n-grams, the item of each, and whether they stand at an end of their field."""
        words = word_stream(batch, marks=marks)
        characters = frozen(batch.words.characters[words.tokens])
        room = len(words.hashes)
        grams, fields, edges = np.empty(room, np.uint64), np.empty(room, np.int32), np.empty(room, np.bool_)
        # With marks, every n-gram counts: the item as a whole is what must be there.
        thin = (0, 0) if marks else (int(_THIN_CHARACTERS * self._n), int(_THIN_WORDS * self._n))
        salt = _TOKENS if marks else np.uint64(0)
        count = make_grams(words.firsts, words.hashes, characters, self._n, salt, *thin, grams, fields, edges)
        return grams[:count], item_of[fields[:count]], edges[:count]

    def index(self) -> Index:
        """The index of all that was added, which is gone then."""
        grams, items = _joined(self._grams), _joined(self._items)
        order = np.argsort(grams, kind="stable")  # items are in order already
        grams = grams[order]
        items = items[order]
        del order
        starts = np.flatnonzero(np.append(True, grams[1:] != grams[:-1]))
        unique, counts = grams[starts], np.diff(starts, append=len(grams))
        del grams, starts
        kept = counts <= _TEMPLATE_ITEMS
        items = items[np.repeat(kept, counts)]
        unique, counts = unique[kept], counts[kept]
        origins = np.concatenate(self._origins)
        return Index(
            n=self._n,
            grams=frozen(unique),
            bits=frozen(bloom(unique)),
            firsts=frozen(np.concatenate(([0], np.cumsum(counts))).astype(np.int32)),
            items=frozen(items),
            sizes=frozen(np.bincount(items, minlength=self._count).astype(np.int32)),
            terse=frozen(np.concatenate(self._terse)),
            benchmarks=tuple(self._benchmarks),
            benchmark=frozen(origins[:, 0]),
            files=tuple(self._files),
            file=frozen(origins[:, 1]),
            row=frozen(origins[:, 2]),
        )


def _short_names(paths: Sequence[Path]) -> list[str]:
    """The paths without the folders that do not tell them apart."""
    deepest = max((len(path.parts) for path in paths), default=1)
    for depth in range(1, deepest):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(set(paths)):
            return names
    return [str(path) for path in paths]


def _joined(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    whole = np.concatenate(arrays)
    arrays.clear()
    return whole


def sampled(
    grams: NDArray[np.uint64], items: NDArray[np.int32], edges: NDArray[np.bool_], most: int
) -> tuple[NDArray[np.uint64], NDArray[np.int32]]:
    """The different n-grams of each item: its edges, and of the others those with the smallest hashes, up to `most`."""
    order = np.lexsort((grams, ~edges, items))
    grams, items = grams[order], items[order]
    by_gram = np.lexsort((np.arange(len(grams)), grams, items))  # an edge stands before its equals
    first = np.ones(len(grams), np.bool_)
    again = (grams[by_gram][1:] == grams[by_gram][:-1]) & (items[by_gram][1:] == items[by_gram][:-1])
    first[by_gram[1:][again]] = False
    grams, items = grams[first], items[first]
    rank = np.arange(len(items)) - np.searchsorted(items, items)
    return grams[rank < most], items[rank < most]


def bloom(grams: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """uint64[2^k]: of each hash two bits in one block; 16 to 32 bits for each hash."""
    size = 1 << max(4, (len(grams) // 4).bit_length())
    bits = np.zeros(size, np.uint64)
    set_bits(frozen(grams), bits)
    return bits


# Reading benchmarks.


def _chunks(place: str, path: Path, files: BenchmarkFiles) -> Iterator[tuple[list[int], list[list[str]]]]:
    """Items of a file, some megabytes at a time: their rows, and the texts of their fields."""
    rows: list[int] = []
    texts: list[list[str]] = []
    size = 0
    answered = dict.fromkeys(files.answer_fields, False)
    last = -1
    for last, record in enumerate(_records(place, path, files)):
        if not isinstance(record, dict):
            raise InputError(f"{place}: row {last} is {type(record).__name__} and no object with fields")
        answers = [_value(record, name) for name in files.answer_fields]
        answered |= {name: True for name, value in zip(files.answer_fields, answers) if value is not _ABSENT}
        item = [_text(_present(record, name, place, last), f"{place}: row {last}: {name}") for name in files.fields]
        if not all(_is_answer(value) for value in answers) or not any(text.strip() for text in item):
            continue
        rows.append(last)
        texts.append(item)
        size += sum(map(len, item))
        if size >= _CHUNK_BYTES:
            yield rows, texts
            rows, texts, size = [], [], 0
    for name, seen in answered.items():
        if not seen and last >= 0:
            raise InputError(f"{place}: no row has the field {name!r}; mend answer_fields")
    if rows:
        yield rows, texts


def _records(place: str, path: Path, files: BenchmarkFiles) -> Iterator[Any]:
    name = path.name.removesuffix(".gz")
    try:
        if name.endswith(".parquet"):
            yield from _parquet_rows(place, path, files)
        elif name.endswith((".jsonl", ".ndjson")):
            with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as stream:
                for number, line in enumerate(stream, 1):
                    if line.strip():
                        yield _parsed(line, f"{place}: line {number}")
        elif name.endswith(".json"):
            with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as stream:
                whole = _parsed(stream.read(), place)
            rows = whole if files.records is None else _present(whole, files.records, place, 0)
            if not isinstance(rows, list):
                keys = f"; it has {', '.join(map(str, list(whole)[:8]))}" if isinstance(whole, dict) else ""
                raise InputError(f"{place}: is no list of objects; name the field that holds it in `records`{keys}")
            yield from rows
        else:
            raise InputError(f"{place}: benchmarks are .jsonl, .json or .parquet files (also .gz), not {path.suffix!r}")
    except (OSError, EOFError, pa.ArrowException) as error:
        raise InputError(f"{place}: cannot be read, is damaged or of another kind ({error}); restore it") from error


def _parquet_rows(place: str, path: Path, files: BenchmarkFiles) -> Iterator[Any]:
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        columns = []
        for name in (*files.fields, *files.answer_fields):
            columns.append(name if name in names else name.partition(".")[0])
            if columns[-1] not in names:
                raise InputError(f"{place}: has no field {name!r}; it has {', '.join(names)}")
        for group in range(file.num_row_groups):
            for batch in file.iter_batches(1_024, row_groups=[group], columns=sorted(set(columns))):
                yield from batch.to_pylist()


def _parsed(content: bytes, place: str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{place}: is no JSON ({error}); restore the file or name another") from error


_ABSENT = object()


def _value(record: Any, name: str) -> Any:
    """The value of a field, whose name may lead through objects by dots."""
    if isinstance(record, dict):
        if name in record:
            return record[name]
        outer, _, inner = name.partition(".")
        if inner and outer in record:
            return _value(record[outer], inner)
    return _ABSENT


def _present(record: Any, name: str, place: str, row: int) -> Any:
    value = _value(record, name)
    if value is _ABSENT:
        known = ", ".join(map(str, list(record)[:12])) if isinstance(record, dict) else type(record).__name__
        raise InputError(f"{place}: row {row} has no field {name!r}; it has {known}")
    return value


def _is_answer(value: Any) -> bool:
    return (
        value is not _ABSENT
        and value is not None
        and value != []
        and not (isinstance(value, str) and not value.strip())
    )


def _text(value: Any, place: str, depth: int = 0) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return without_surrogates(value)
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, Sequence) and depth < _DEEPEST:
        return "\n".join(_text(entry, place, depth + 1) for entry in value)
    raise InputError(
        f"{place} is {type(value).__name__} and no text; name a field in it, such as {place.split(': ')[-1]}.text"
    )


# Kernels.


@inlined
def _mark(code: np.uint32) -> np.uint32:
    """What a mark counts as: all dashes are one; 0 for quotes, commas, stops and the marks of markup."""
    if code == 0x2212 or 0x2010 <= code <= 0x2015:
        return uint32(0x2D)
    if 0x2018 <= code <= 0x201F or code == 0xAB or code == 0xBB:
        return uint32(0)
    if code < 0x80:
        for markup in _MARKUP:
            if markup == code:
                return uint32(0)
    return code


@kernel
def select_words(
    offsets: NDArray[np.int32],
    text: NDArray[np.uint8],
    fold: NDArray[np.uint32],
    word_firsts: NDArray[np.int32],
    starts: NDArray[np.int32],
    ends: NDArray[np.int32],
    kinds: NDArray[np.uint8],
    folded: NDArray[np.uint64],
    marks: bool,
    firsts: NDArray[np.int32],
    tokens: NDArray[np.int32],
    hashes: NDArray[np.uint64],
) -> int:
    """Which words n-grams are made of, and their folded hashes without underscores at the ends; how many they are."""
    found = 0
    for document in range(offsets.shape[0] - 1):
        firsts[document] = found
        for word in range(word_firsts[document], word_firsts[document + 1]):
            start, end = starts[word], ends[word]
            if not kinds[word] & _WORD:
                if marks:
                    mark = _mark(decoded(text, start))
                    if mark:
                        tokens[found] = word
                        hashes[found] = mixed(uint64(mark))
                        found += 1
                continue
            if start > offsets[document] and text[start - 1] == 0x5C:  # a backslash: a command of LaTeX
                continue
            tokens[found] = word
            hashes[found] = folded[word]
            if text[start] == 0x5F or text[end - 1] == 0x5F:
                while start < end and text[start] == 0x5F:
                    start += 1
                while end > start and text[end - 1] == 0x5F:
                    end -= 1
                if start == end:
                    continue
                hashes[found] = hashed_folded(text, fold, start, end)
            found += 1
    firsts[offsets.shape[0] - 1] = found
    return found


@inlined
def _power(n: int) -> np.uint64:
    value = uint64(1)
    for _ in range(n):
        value *= uint64(_BASE)
    return value


@inlined
def _bits_of(gram: np.uint64) -> np.uint64:
    """Two bits of a block, from the gram's upper bits; its place among the blocks comes from the lower ones."""
    return (uint64(1) << (gram >> uint64(58))) | (uint64(1) << ((gram >> uint64(52)) & uint64(63)))


@kernel
def set_bits(grams: NDArray[np.uint64], bits: NDArray[np.uint64]) -> None:
    """Fills the Bloom filter."""
    mask = uint64(bits.shape[0] - 1)
    for gram in range(grams.shape[0]):
        bits[grams[gram] & mask] |= _bits_of(grams[gram])


@kernel
def make_grams(
    firsts: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    characters: NDArray[np.int32],
    n: int,
    salt: np.uint64,
    least_characters: int,
    least_words: int,
    grams: NDArray[np.uint64],
    texts: NDArray[np.int32],
    edges: NDArray[np.bool_],
) -> int:
    """The n-grams of each text that are not thin, with their text and whether they stand at one of its ends."""
    found = 0
    power = _power(n)
    for text in range(firsts.shape[0] - 1):
        first = found
        value = uint64(0)
        length = 0
        for word in range(firsts[text], firsts[text + 1]):
            value = value * uint64(_BASE) + hashes[word]
            length += characters[word]
            begin = word - n + 1
            if begin > firsts[text]:
                value -= hashes[begin - 1] * power
                length -= characters[begin - 1]
            if begin < firsts[text] or length < least_characters:
                continue
            different = 0
            for one in range(begin, word + 1):
                new = True
                for other in range(begin, one):
                    if hashes[other] == hashes[one]:
                        new = False
                        break
                different += new
            if different < least_words:
                continue
            grams[found] = mixed(value ^ salt)
            texts[found] = text
            edges[found] = False
            found += 1
        if found > first:
            edges[first] = True
            edges[found - 1] = True
    return found


@kernel
def find_grams(
    firsts: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    n: int,
    salt: np.uint64,
    bits: NDArray[np.uint64],
    sought: NDArray[np.uint64],
    most: int,
    documents: NDArray[np.int32],
    grams: NDArray[np.int32],
    places: NDArray[np.int32],
) -> int:
    """Where n-grams that are `sought` begin. Returns how many there are; what has no room is counted only."""
    found = 0
    power = _power(n)
    mask = uint64(bits.shape[0] - 1)
    for document in range(firsts.shape[0] - 1):
        value = uint64(0)
        end = found + most
        for word in range(firsts[document], firsts[document + 1]):
            value = value * uint64(_BASE) + hashes[word]
            begin = word - n + 1
            if begin < firsts[document]:
                continue
            if begin > firsts[document]:
                value -= hashes[begin - 1] * power
            gram = mixed(value ^ salt)
            wanted = _bits_of(gram)
            if bits[gram & mask] & wanted != wanted:
                continue
            low, high = 0, sought.shape[0]
            while low < high:
                middle = (low + high) >> 1
                if sought[middle] < gram:
                    low = middle + 1
                else:
                    high = middle
            if low == sought.shape[0] or sought[low] != gram:
                continue
            if found < documents.shape[0]:
                documents[found] = document
                grams[found] = low
                places[found] = begin
            found += 1
            if found == end:
                break
    return found
