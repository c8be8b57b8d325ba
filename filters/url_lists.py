"""Block lists of domains and URLs, and the one file that they become: `corpusmill urls build LISTS… --out blocked.idx`.

Lists are read as they are published:

    UT1 layout      a folder for each category with the files `domains` and `urls` (Université Toulouse Capitole,
                    dsi.ut-capitole.fr/blacklists); its `expressions` are not read
    hosts files     lines such as `0.0.0.0 ads.example`; `localhost` and its like are passed over
    plain lists     a domain or URL on each line

`#` begins a comment, and files may be compressed (.gz, .bz2, .zst). A list's category is its folder's or file's name.
A domain stands for the names below it, too, but one that is a public suffix stands for itself alone: a list that has
`co.uk` does not empty the United Kingdom. Written as `*.gov.uk` or `.gov.uk`, it stands for all below. A URL stands for
all URLs that begin with it and go on with one of `/?&;=`.

The index is a table (key_table.py) of 63 bits of hash for each entry, which every process maps into memory, so that
they share its pages. Of n entries, a name that is not listed is taken for one of them with a chance of n / 2^63: with 5
million entries and 10^10 look-ups, one false match is expected in 200 such corpora. The file:

    16 bytes    "corpusmill-urls\\n"
    8 bytes     length of the header, little-endian
    header      JSON, padded with spaces: format, hashes (a sign of the hash functions), categories, labels (the sets of
                categories that entries have, from label 1 on), slots, length, max_boundaries, facts, digest (sha256 of
                all else)
    keys        uint64[length]
    values      uint32[length]   label, BELOW, HAS_URLS (url_kernels.py)
"""

from __future__ import annotations

import hashlib
import json
import mmap
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.documents.compiled import frozen
from corpusmill.documents.errors import InputError
from corpusmill.documents.shards import atomic_file
from corpusmill.filters import url_kernels as kernels
from corpusmill.filters.key_table import KeyTable, key_table
from corpusmill.filters.normal_urls import normal_urls
from corpusmill.filters.public_suffixes import PublicSuffixes

FORMAT = 1
MAGIC = b"corpusmill-urls\n"
MAX_CATEGORIES = 256
SEPARATOR = "+"
"""Between the names of categories that one entry has."""

_PAGE = 4096
_MAX_HEADER = 64_000_000
_MAX_LABELS = 0xFFFF
_MAX_FILE_BYTES = 2_000_000_000  # Arrow's 32-bit offsets, which kernels take
_BROKEN_SHARE = 0.01
_SHOWN = 3
_CATEGORY = re.compile(r"[\w.-]{1,64}")
_HOSTS_LINE = r"^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]*:[0-9A-Fa-f:]*(?:%\w+)?)\s+\S"
_ALL_BELOW = r"^\*?\."
_LOCAL = (
    "localhost", "localhost.localdomain", "local", "broadcasthost", "ip6-localhost", "ip6-loopback", "ip6-localnet",
    "ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters", "ip6-allhosts", "0.0.0.0",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ListFile:
    """One file of entries, all of one category."""

    category: str
    path: Path


@dataclass(frozen=True, slots=True)
class ListReport:
    """What became of a file's lines."""

    file: ListFile
    entries: int
    broken: int
    shown: tuple[str, ...]
    """The first of the broken lines, with their numbers."""
    suffixes: tuple[str, ...]
    """Domains that are public suffixes, so that they stand for themselves alone."""


@dataclass(frozen=True, slots=True, eq=False)
class UrlEntries:
    """The keys of a file's entries, as `url_kernels.key_entries` makes them, for the lines that can be read.

    `below` says of a domain that it stands for the names below it, too.
    """

    host_keys: NDArray[np.uint64]
    url_keys: NDArray[np.uint64]
    below: NDArray[np.bool_]
    max_boundaries: int
    report: ListReport


def find_lists(arguments: Sequence[str]) -> list[ListFile]:
    """The files behind `PATH` or `CATEGORY=PATH`: a file, a folder in UT1's layout, or one category of it.

    Raises:
        InputError: if a path is missing or holds no list.
    """
    found: list[ListFile] = []
    for argument in arguments:
        name, equals, rest = argument.partition("=")
        named = bool(equals) and _CATEGORY.fullmatch(name) is not None and not Path(argument).exists()
        path = Path(rest if named else argument)
        if path.is_file():
            files = [ListFile(name if named else path.name.split(".")[0], path)]
        elif path.is_dir():
            files = [
                ListFile(name if named else folder.name, folder / kind)
                for folder in sorted({path.resolve(), *(entry for entry in path.resolve().iterdir() if entry.is_dir())})
                for kind in ("domains", "urls")
                if (folder / kind).is_file()
            ]
        else:
            raise InputError(f"{path}: there is no such list; give a file, or a folder in the layout of UT1")
        if not files:
            raise InputError(
                f"{path}: holds no list; a folder's categories are folders with the files `domains` and `urls`"
            )
        found += files
    for file in found:
        if not _CATEGORY.fullmatch(file.category):
            raise InputError(
                f'{file.path}: "{file.category}" cannot name a category; give a name of letters, digits, ".", "_" '
                f'and "-": NAME={file.path}'
            )
    return found


def read_list(file: ListFile, suffixes: PublicSuffixes) -> UrlEntries:
    """Reads one file of domains and URLs.

    Raises:
        InputError: if it cannot be read, or over 1 % of its lines are neither.
    """
    lines, numbers = _lines(file.path)
    whole = pc.match_substring_regex(lines, _ALL_BELOW)
    normal = normal_urls(pc.replace_substring_regex(lines, _ALL_BELOW, ""))
    host_keys, url_keys = np.empty(len(lines), np.uint64), np.empty(len(lines), np.uint64)
    suffix, boundaries = np.empty(len(lines), np.bool_), np.empty(len(lines), np.int32)
    table = suffixes.table
    kernels.key_entries(
        normal.offsets, normal.host_ends, normal.text, table.keys, table.values, table.slots,
        host_keys, url_keys, suffix, boundaries,
    )  # fmt: skip
    suffix &= ~whole.to_numpy(zero_copy_only=False)
    spaced = pc.match_substring_regex(lines, r"\s").to_numpy(zero_copy_only=False)
    good = (host_keys != 0) & ~spaced
    broken = np.flatnonzero(~good)
    shown = tuple(f'line {numbers[row]}: "{lines[row].as_py()[:60]}"' for row in broken[:_SHOWN].tolist())
    if len(broken) > max(_BROKEN_SHARE * len(lines), 1):
        raise InputError(
            f"{file.path}: {len(broken):,} of {len(lines):,} entries are neither domains nor URLs "
            f"({'; '.join(shown)}); convert the list to one domain or URL a line"
        )
    alone = tuple(lines[row].as_py() for row in np.flatnonzero(suffix & good).tolist())
    report = ListReport(file, int(good.sum()), len(broken), shown, alone)
    return UrlEntries(host_keys[good], url_keys[good], ~suffix[good], int(boundaries[good].max(initial=0)), report)


def _lines(path: Path) -> tuple[pa.StringArray, NDArray[np.int64]]:
    """The entries of a file, without comments and white space, and the numbers of their lines."""
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            content = stream.read(_MAX_FILE_BYTES + 1)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path}: cannot be read to its end ({error}); restore it or leave it out") from error
    if len(content) > _MAX_FILE_BYTES:
        raise InputError(f"{path}: is larger than {_MAX_FILE_BYTES:,} bytes; split it")
    data = np.frombuffer(content, np.uint8)
    ends = np.append(np.flatnonzero(data == 0x0A), len(data))
    bounds = np.concatenate(([0], ends + 1)).astype(np.int32)
    bounds[-1] = len(data)
    lines = pa.StringArray.from_buffers(len(ends), pa.py_buffer(bounds), pa.py_buffer(content))
    try:
        lines.validate(full=True)
    except pa.ArrowInvalid as error:
        raise InputError(f"{path}: is no UTF-8 text ({error}); convert it, or leave it out") from error
    lines = pc.utf8_trim_whitespace(pc.replace_substring_regex(lines, r"(^|\s)#.*", ""))
    numbers = np.arange(1, len(lines) + 1)
    filled = pc.not_equal(lines, "")
    lines, numbers = lines.filter(filled), numbers[filled.to_numpy(zero_copy_only=False)]
    of_hosts = pc.match_substring_regex(lines, _HOSTS_LINE)
    if not pc.any(of_hosts).as_py():
        return lines, numbers
    # Names behind an address are entries of their own; the address goes.
    several = pc.utf8_split_whitespace(pc.replace_substring_regex(lines, r"^\S+\s+", ""))
    names = pc.if_else(of_hosts, several, pc.split_pattern(lines, "\n"))
    numbers = numbers[pc.list_parent_indices(names).to_numpy()]
    flat = pc.list_flatten(names)
    there = pc.invert(pc.is_in(flat, pa.array(_LOCAL)))
    return flat.filter(there), numbers[there.to_numpy(zero_copy_only=False)]


@dataclass(frozen=True, slots=True, eq=False)
class BuiltIndex:
    """An index in memory, ready to be written."""

    table: KeyTable
    categories: tuple[str, ...]
    labels: tuple[tuple[int, ...], ...]
    max_boundaries: int
    reports: tuple[ListReport, ...]

    def entries(self) -> dict[str, int]:
        """How many lines of each category were domains or URLs."""
        return {
            name: sum(report.entries for report in self.reports if report.file.category == name)
            for name in self.categories
        }

    def save(self, path: Path) -> str:
        """Writes the index in one step; returns the file's sha256. The same entries give the same bytes."""
        keys, values = self.table.keys.tobytes(), self.table.values.tobytes()
        header = {
            "format": FORMAT,
            "hashes": hashes_sign(),
            "categories": self.categories,
            "labels": self.labels,
            "slots": self.table.slots,
            "length": len(self.table.keys),
            "max_boundaries": self.max_boundaries,
            "facts": {
                "keys": int(np.count_nonzero(self.table.keys)),
                "entries": self.entries(),
            },
        }
        digest = hashlib.sha256(_header_text(header) + keys + values).hexdigest()
        text = _header_text({**header, "digest": digest})
        text += b" " * (-(len(MAGIC) + 8 + len(text)) % _PAGE)
        content = hashlib.sha256()
        with atomic_file(path) as stream:
            for part in (MAGIC, len(text).to_bytes(8, "little"), text, keys, values):
                content.update(part)
                stream.write(part)
        return content.hexdigest()


def build_index(files: Sequence[ListFile], suffixes: PublicSuffixes) -> BuiltIndex:
    """Reads lists into one index.

    Raises:
        InputError: if a list is broken, there are too many categories, or a category has no entry at all.
    """
    categories = tuple(sorted({file.category for file in files}))
    if len(categories) > MAX_CATEGORIES:
        raise InputError(f"{len(categories)} categories are too many; an index holds up to {MAX_CATEGORIES}")
    read = [read_list(file, suffixes) for file in files]
    for name in categories:
        if not any(part.report.entries for part in read if part.report.file.category == name):
            paths = " and ".join(str(file.path) for file in files if file.category == name)
            raise InputError(f"{paths}: no domain and no URL is listed in it; leave it out")
    keys, owners, flags = [], [], []
    for part in read:
        of_urls = part.url_keys != 0
        category = categories.index(part.report.file.category)
        markers = np.unique(part.host_keys[of_urls])
        for found, owner, bits in (
            (part.host_keys[~of_urls], category, part.below[~of_urls] * kernels.BELOW),
            (part.url_keys[of_urls], category, np.uint32(0)),
            (markers, -1, kernels.HAS_URLS),  # a host of URLs has a slot without a category
        ):
            keys.append(found)
            owners.append(np.full(len(found), owner, np.int16))
            flags.append(np.broadcast_to(np.uint32(bits), len(found)))
    different, labels, values = _labelled(np.concatenate(keys), np.concatenate(owners), np.concatenate(flags))
    return BuiltIndex(
        key_table(different, values),
        categories,
        labels,
        max((part.max_boundaries for part in read), default=0),
        tuple(part.report for part in read),
    )


def _labelled(
    keys: NDArray[np.uint64], owners: NDArray[np.int16], flags: NDArray[np.uint32]
) -> tuple[NDArray[np.uint64], tuple[tuple[int, ...], ...], NDArray[np.uint32]]:
    """The different keys, the sets of categories that they have, and each key's value: its set's number and its flags.

    Keys that stand in the same categories share a label; label 0 is the empty set.
    """
    order = np.lexsort((owners, keys))
    keys, owners, flags = keys[order], owners[order], flags[order]
    new = np.append(True, keys[1:] != keys[:-1])
    different, starts = keys[new], np.flatnonzero(new)
    first_of_owner = new | np.append(True, owners[1:] != owners[:-1])
    # A set's sign is the sum of random numbers, one for each category: equal signs, equal sets (2^-64 a pair apart).
    numbers = np.random.default_rng(0).integers(0, 2**64, MAX_CATEGORIES, np.uint64)
    with np.errstate(over="ignore"):
        signs = np.where(first_of_owner & (owners >= 0), numbers[owners], np.uint64(0))
        signs = np.add.reduceat(signs, starts) if len(starts) else signs
    sets, examples, which = np.unique(signs, return_index=True, return_inverse=True)
    ends = np.append(starts[1:], len(keys))
    members = [
        tuple(int(owner) for owner in np.unique(owners[starts[place] : ends[place]]) if owner >= 0)
        for place in examples.tolist()
    ]
    ranked = sorted({members[place] for place in range(len(sets))} - {()})
    if len(ranked) > _MAX_LABELS:
        raise InputError(f"entries stand in {len(ranked):,} different sets of categories; index fewer lists together")
    number_of = {(): 0} | {categories: number for number, categories in enumerate(ranked, 1)}
    values = np.array([number_of[categories] for categories in members], np.uint32)[which]
    union = np.bitwise_or.reduceat(flags, starts) if len(starts) else flags
    return different, tuple(ranked), values | union


@dataclass(frozen=True, kw_only=True, eq=False)
class UrlIndex:
    """An index file in use.

    masks   uint64[labels + 1, words]: for each label, a bit for each of its categories
    """

    path: Path
    keys: NDArray[np.uint64]
    values: NDArray[np.uint32]
    slots: int
    max_boundaries: int
    categories: tuple[str, ...]
    masks: NDArray[np.uint64]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> UrlIndex:
        """The index at `path`, read and checked once a process and again when the file is another.

        Raises:
            InputError: if the file is missing, cut short, damaged, of another kind or another version.
        """
        if not path.is_file():
            raise InputError(f"{path}: there is no such index of URLs; make one with `corpusmill urls build`")
        status = path.stat()
        return _loaded(path, status.st_size, status.st_mtime_ns)

    def names(self, masks: NDArray[np.uint64]) -> pa.StringArray:
        """The categories of each row of bits, joined by `+`; null where there is none."""
        found = np.flatnonzero(masks.any(axis=1))
        # Rows are compared by a hash of theirs: to sort them as rows took half of the stage's time.
        numbers = np.random.default_rng(0).integers(0, 2**64, masks.shape[1], np.uint64) | np.uint64(1)
        with np.errstate(over="ignore"):
            hashes = (masks[found] * numbers).sum(axis=1, dtype=np.uint64)
        _, first, which = np.unique(hashes, return_index=True, return_inverse=True)
        joined = pa.array([self._name(row) for row in masks[found[first]]], pa.string())
        places = np.zeros(len(masks), np.int64)
        places[found] = which
        missing = np.ones(len(masks), np.bool_)
        missing[found] = False
        return joined.take(pa.array(places, mask=missing))

    def _name(self, mask: NDArray[np.uint64]) -> str:
        bits = np.unpackbits(mask.astype("<u8").view(np.uint8), bitorder="little")
        return SEPARATOR.join(self.categories[number] for number in np.flatnonzero(bits).tolist())

    @cached_property
    def n_entries(self) -> int:
        return int(self.facts["keys"])


def _header_text(header: Mapping[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True).encode()


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header, and where the arrays begin."""
    again = "make it anew with `corpusmill urls build`"
    with open(path, "rb") as stream:
        if stream.read(len(MAGIC)) != MAGIC:
            raise InputError(f"{path}: is no index of URLs; lists become one by `corpusmill urls build`")
        size = int.from_bytes(stream.read(8), "little")
        try:
            if size > _MAX_HEADER:
                raise ValueError(f"a header of {size:,} bytes")
            header = json.loads(stream.read(size))
            version, sign = header["format"], header["hashes"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: is a damaged index of URLs ({error}); {again}") from error
    if version != FORMAT or sign != hashes_sign():
        raise InputError(f"{path}: was made by another version of corpusmill, which hashed otherwise; {again}")
    return header, len(MAGIC) + 8 + size


@lru_cache(maxsize=4)
def _loaded(path: Path, size: int, mtime: int) -> UrlIndex:
    again = "restore it, or make it anew with `corpusmill urls build`"
    header, start = _header(path)
    try:
        length, slots, boundaries = (int(header[name]) for name in ("length", "slots", "max_boundaries"))
        categories, labels = tuple(map(str, header["categories"])), [tuple(map(int, row)) for row in header["labels"]]
        digest, facts = header["digest"], dict(header["facts"])
        masks = _masks(labels, len(categories))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"{path}: is a damaged index of URLs ({error!r}); {again}") from error
    if size != start + 12 * length:
        raise InputError(f"{path}: has {size:,} bytes instead of {start + 12 * length:,}, so it was cut short; {again}")
    with open(path, "rb") as stream:
        content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    found = hashlib.sha256(_header_text({name: value for name, value in header.items() if name != "digest"}))
    with memoryview(content) as view:
        found.update(view[start:])
        if found.hexdigest() != digest:
            raise InputError(f"{path}: differs from the index of URLs that was written there; {again}")
    keys = np.frombuffer(content, np.uint64, length, start)
    values = np.frombuffer(content, np.uint32, length, start + 8 * length)
    return UrlIndex(
        path=path, keys=frozen(keys), values=frozen(values), slots=slots,
        max_boundaries=boundaries, categories=categories, masks=frozen(masks), facts=facts,
    )  # fmt: skip


def _masks(labels: Sequence[Sequence[int]], n_categories: int) -> NDArray[np.uint64]:
    masks = np.zeros((len(labels) + 1, max(1, -(-n_categories // 64))), np.uint64)
    for number, categories in enumerate(labels, 1):
        for category in categories:
            masks[number, category >> 6] |= np.uint64(1) << np.uint64(category & 63)
    return masks


@lru_cache(maxsize=1)
def hashes_sign() -> str:
    """What the normal form and the hashes make of a URL: with another sign, an index's keys are others."""
    normal = normal_urls(pa.array(["https://www.Bücher.example:80/A%62c?d=1", "example.com"]))
    keys = np.empty((2, 2), np.uint64)
    empty = key_table(np.empty(0, np.uint64), np.empty(0, np.uint32))
    kernels.key_entries(
        normal.offsets, normal.host_ends, normal.text, empty.keys, empty.values, empty.slots,
        keys[0], keys[1], np.empty(2, np.bool_), np.empty(2, np.int32),
    )  # fmt: skip
    return hashlib.sha256(keys.tobytes()).hexdigest()[:16]


def reports_text(reports: Sequence[ListReport]) -> Iterator[str]:
    """What a person should know of lists that were read, a line each."""
    for report in reports:
        if report.broken:
            yield f"{report.file.path}: passed over {report.broken:,} lines ({'; '.join(report.shown)})"
        if report.suffixes:
            more = ", …" if len(report.suffixes) > _SHOWN else ""
            yield (
                f"{report.file.path}: {len(report.suffixes):,} public suffixes, listed for themselves alone: "
                f"{', '.join(report.suffixes[:_SHOWN])}{more}"
            )
