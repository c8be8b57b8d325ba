"""url: drops documents by where they were published: listed domains and URLs, and words in the URL.

After FineWeb's URL filter (Penedo et al. 2024, arXiv:2406.17557, section 3.1: "a blocklist and a classifier of adult
words"), as datatrove 0.10.1's `URLFilter` has it: a list of domains and URLs; words of which one is enough; soft words
of which two are; substrings of all letters and digits of the URL, whatever stands between them.

Differs from datatrove:
    - a listed domain blocks every name below it, however deep; there, the registered domain and the full host alone
    - URLs are compared in one normal form (url_kernels.py), and a listed URL blocks those that begin with it; there,
      a URL is listed letter by letter
    - words are found in upper and lower case; there, a word in capitals is not
    - percent signs are decoded before words are looked for, letters beyond ASCII are part of a word, and what stands
      behind a `#` is not looked at
    - a document without a URL is kept; there, it ends the run
    - lists are the user's, with categories that a recipe may choose from, and an allow list; there, they are built in
      (UT1's of 2024, under CC BY-SA 4.0)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError, RecipeError, nearest
from corpusmill.documents.shards import sha256_of
from corpusmill.filters import url_kernels as kernels
from corpusmill.filters.contract import Filter
from corpusmill.filters.key_table import KeyTable, key_table
from corpusmill.filters.normal_urls import NormalUrls, normal_urls
from corpusmill.filters.phrases import Automaton, automaton
from corpusmill.filters.url_lists import SEPARATOR, UrlIndex

MAX_LIST_BYTES = 4_000_000
"""A larger file is no list of words."""
_NO_WORD = re.compile(r"[^0-9A-Za-z\x80-\U0010ffff]+")
_PATHS = ("index", "words", "soft_words", "substrings")


class Reason(StrEnum):
    DOMAIN = "domain"
    URL = "url"
    WORD = "word"
    SOFT_WORDS = "soft_words"
    SUBSTRING = "substring"


@dataclass(frozen=True, kw_only=True)
class Url(Filter):
    """Drops documents whose URL is listed, or has listed words.

    Raises:
        RecipeError: if it is given nothing to look for.
    """

    name: ClassVar[str] = "url"
    reasons: ClassVar[type[StrEnum]] = Reason
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            ("domain_categories", pa.string()),  # in which the host or a name above it is listed, joined by +
            ("url_categories", pa.string()),  # in which the URL or a beginning of it is listed
            ("word", pa.string()),  # the first banned word
            ("soft_words", pa.int32()),  # different soft words
            ("substring", pa.string()),  # the banned substring that ends first
        ]
    )

    index: str | None = field(default=None, metadata={"path": True})
    """Path of listed domains and URLs, made by `corpusmill urls build`."""
    sha256: str | None = None
    """What the index's file must be; None takes whichever is there."""
    categories: tuple[str, ...] | None = None
    """Categories of the index that are dropped; None drops all but those allowed."""
    allow: tuple[str, ...] = ()
    """Categories of the index that are kept, whatever else is said of their URLs."""
    words: str | None = field(default=None, metadata={"path": True})
    """Path of banned words, one a line. One in a URL is enough."""
    soft_words: str | None = field(default=None, metadata={"path": True})
    """Path of words that are banned together."""
    max_soft_words: int | None = 1
    """Different soft words in a URL; one with more is dropped. FineWeb's is 1; None drops none for them."""
    substrings: str | None = field(default=None, metadata={"path": True})
    """Path of banned substrings, one a line, looked for among a URL's letters and digits alone."""

    def __post_init__(self) -> None:
        if all(getattr(self, name) is None for name in _PATHS):
            raise RecipeError(f"url: nothing to look for; give at least one of {', '.join(_PATHS)}")
        for name in ("categories", "allow"):
            if isinstance(value := getattr(self, name), str):
                raise RecipeError(f'url.{name}: "{value}" must be a list: ["{value}"]')
        if self.index is None and (self.categories is not None or self.allow):
            raise RecipeError("url.categories: categories are those of an index; give its path as url.index")

    def prepare(self) -> None:
        index, _, _ = self._lists()
        for name in ("categories", "allow"):
            for category in getattr(self, name) or ():
                if index is not None and category not in index.categories:
                    near = nearest(category, index.categories)
                    mend = f'did you mean "{near}"?' if near else f"it has {', '.join(index.categories)}"
                    raise InputError(f'url.{name}: "{category}" is no category of {self.index}; {mend}')
        if self.sha256 is not None and self.index is not None:
            found = sha256_of(Path(self.index))
            if found != self.sha256.lower():
                raise InputError(
                    f"{self.index}: its sha256 is {found}, but the recipe asks for {self.sha256}; restore the index, "
                    "or change url.sha256 if the new one is meant"
                )

    def files(self) -> Sequence[Path]:
        return tuple(Path(value) for name in _PATHS if (value := getattr(self, name)) is not None)

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        urls = batch.documents.column("url")
        index, words, substrings = self._lists()
        normal = normal_urls(urls)
        nothing = pa.nulls(len(urls), pa.string())
        domains, listed, word, substring = nothing, nothing, nothing, nothing
        soft = np.zeros(len(urls), np.int32)
        if index is not None:
            domains, listed = _categories(normal, index)
        if words is not None:
            word, soft = words.found(normal)
        if substrings is not None:
            substring = substrings.found(normal)
        columns = [domains, listed, word, pc.if_else(urls.is_valid(), pa.array(soft), None), substring]
        return pa.RecordBatch.from_arrays(columns, schema=self.measures)

    def judge(self, measures: pa.RecordBatch) -> pa.Int8Array:
        rows = measures.num_rows
        verdicts = np.full(rows, -1, np.int8)
        numbers = {reason: number for number, reason in enumerate(Reason)}
        soft = measures.column("soft_words").fill_null(0).to_numpy(zero_copy_only=False)
        broken = {
            Reason.DOMAIN: _among(measures.column("domain_categories"), self._is_blocked),
            Reason.URL: _among(measures.column("url_categories"), self._is_blocked),
            Reason.WORD: measures.column("word").is_valid().to_numpy(zero_copy_only=False),
            Reason.SOFT_WORDS: np.zeros(rows, bool) if self.max_soft_words is None else soft > self.max_soft_words,
            Reason.SUBSTRING: measures.column("substring").is_valid().to_numpy(zero_copy_only=False),
        }
        for reason in reversed(Reason):
            verdicts[broken[reason]] = numbers[reason]
        for name in ("domain_categories", "url_categories"):
            verdicts[_among(measures.column(name), self._is_allowed)] = -1
        return pa.array(verdicts, pa.int8(), mask=verdicts < 0)

    def _is_blocked(self, categories: Sequence[str]) -> bool:
        wanted = self.categories
        return any(category in wanted if wanted is not None else category not in self.allow for category in categories)

    def _is_allowed(self, categories: Sequence[str]) -> bool:
        return any(category in self.allow for category in categories)

    def _lists(self) -> tuple[UrlIndex | None, ListedWords | None, ListedSubstrings | None]:
        index = None if self.index is None else UrlIndex.load(Path(self.index))
        words = None
        if self.words is not None or self.soft_words is not None:
            words = _listed_words(*(_file_state(path) for path in (self.words, self.soft_words)))
        substrings = None if self.substrings is None else _listed_substrings(_file_state(self.substrings))
        return index, words, substrings


def _categories(normal: NormalUrls, index: UrlIndex) -> tuple[pa.StringArray, pa.StringArray]:
    """Of each URL: the categories of its domain, and of its beginnings."""
    rows = len(normal.host_ends)
    of_hosts, of_urls = (np.zeros((rows, index.masks.shape[1]), np.uint64) for _ in range(2))
    kernels.match_hosts(
        normal.offsets, normal.host_ends, normal.text, index.keys, index.values, index.slots, index.max_boundaries,
        index.masks, of_hosts, of_urls,
    )  # fmt: skip
    return index.names(of_hosts), index.names(of_urls)


def _among(names: pa.StringArray, wanted: Callable[[Sequence[str]], bool]) -> NDArray[np.bool_]:
    """Where joined category names are `wanted`; a run has few different ones."""
    coded = names.dictionary_encode()
    answers = np.array([wanted(name.split(SEPARATOR)) for name in coded.dictionary.to_pylist()] + [False])
    return answers[coded.indices.fill_null(len(answers) - 1).to_numpy(zero_copy_only=False)]


@dataclass(frozen=True, slots=True, eq=False)
class ListedWords:
    """Words to look up, hard and soft; a word's number is its place in `words`."""

    words: pa.StringArray
    table: KeyTable

    def found(self, normal: NormalUrls) -> tuple[pa.StringArray, NDArray[np.int32]]:
        """The first hard word of each URL, and the number of different soft ones."""
        rows = len(normal.host_ends)
        first, soft = np.empty(rows, np.int32), np.empty(rows, np.int32)
        last_seen = np.full(len(self.words), -1, np.int64)
        table = self.table
        kernels.match_words(normal.offsets, normal.text, table.keys, table.values, table.slots, last_seen, first, soft)
        return self.words.take(pa.array(first, mask=first < 0)), soft


@dataclass(frozen=True, slots=True, eq=False)
class ListedSubstrings:
    """Substrings to look for; `phrase_of[state]` is the place in `phrases` of the one that ends in a state."""

    phrases: pa.StringArray
    automaton: Automaton
    phrase_of: NDArray[np.int32]

    def found(self, normal: NormalUrls) -> pa.StringArray:
        """The substring of each URL that ends first."""
        states = np.empty(len(normal.host_ends), np.int32)
        machine = self.automaton
        kernels.match_substrings(normal.offsets, normal.text, machine.columns, machine.steps, machine.longest, states)
        return self.phrases.take(pa.array(self.phrase_of[states], mask=states == 0))


_FileState = tuple[Path, int, int]  # a file, and what tells that it is another


def _file_state(path: str | None) -> _FileState | None:
    if path is None:
        return None
    if not Path(path).is_file():
        raise InputError(f"{path}: there is no such list of words")
    status = Path(path).stat()
    return Path(path), status.st_size, status.st_mtime_ns


@lru_cache(maxsize=8)
def _listed_words(hard: _FileState | None, soft: _FileState | None) -> ListedWords:
    bits: dict[str, int] = {}
    for state, bit in ((hard, kernels.HARD), (soft, kernels.SOFT)):
        for word in () if state is None else _entries(state):
            bits[word] = bits.get(word, 0) | int(bit)
    words = pa.array(bits, pa.string())
    normal = normal_urls(words)
    keys = np.empty(len(words), np.uint64)
    kernels.key_hosts(normal.offsets, normal.host_ends, normal.text, keys)
    values = np.arange(len(words), dtype=np.uint32) << np.uint32(2) | np.array(list(bits.values()), np.uint32)
    return ListedWords(words, key_table(keys, values))


@lru_cache(maxsize=4)
def _listed_substrings(state: _FileState) -> ListedSubstrings:
    phrases = _entries(state)
    machine = automaton([phrase.encode() for phrase in phrases])
    phrase_of = np.zeros(len(machine.longest), np.int32)
    for number, phrase in enumerate(phrases):
        at = 0
        for byte in phrase.encode():
            at = machine.steps[at, machine.columns[byte]]
        phrase_of[at] = number
    return ListedSubstrings(pa.array(phrases, pa.string()), machine, phrase_of)


def _entries(state: _FileState) -> list[str]:
    """The words of a file: ASCII letters in lower case, and nothing but letters and digits."""
    path, size, _ = state
    if size > MAX_LIST_BYTES:
        raise InputError(f"{path}: is larger than {MAX_LIST_BYTES:,} bytes, and no list of words")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no UTF-8 text ({error}); convert it") from error
    words = (_NO_WORD.sub("", line) for line in lines if not line.startswith("#"))
    entries = list(dict.fromkeys(re.sub("[A-Z]+", lambda found: found[0].lower(), word) for word in words if word))
    if not entries:
        raise InputError(f"{path}: no word is listed in it; give one a line, or take the list out of the recipe")
    return entries
