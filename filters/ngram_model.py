"""n-gram language models as `corpusmill train perplexity` makes them: tables, the model's file, and ARPA files.

`Ngrams` works on keys of words (their hashes, or any numbers) and knows nothing of text. `LanguageModel` adds how
texts become keys, and the spelling of its words.

A model is one file, read by memory map, so that all workers of a machine share its pages:

    24 bytes    "corpusmill n-gram model\\n"
    8 bytes     length of what follows, little-endian
    JSON        format, settings (what keys are made of), facts (what it learned from), lengths (of the arrays), digest
                (sha256 of all that and of the arrays)
    arrays      each from a multiple of 4,096 bytes on: `buckets`, `counts`, `table` (ngram_kernels.py says what these
                are), `word_slots` (of the words, sorted), `spelling` and `spelling_ends` (of the same words, UTF-8)

ARPA is the text format of SRILM and KenLM (`write_arpa`): KenLM computes from it what we compute from the tables.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import ALPHA, CLASSES, DIGIT, FOLD
from corpusmill.documents.compiled import frozen
from corpusmill.documents.errors import InputError
from corpusmill.documents.shards import atomic_file
from corpusmill.filters import ngram_kernels as kernels
from corpusmill.filters.ngram_kernels import BUCKET, EMPTY, PLACES

FORMAT = 1
MIN_ORDER, MAX_ORDER = 2, 5
MARKERS = ("<unk>", "<s>", "</s>")
_MAGIC = b"corpusmill n-gram model\n"
_LENGTH_BYTES = 8
_MAX_HEADER_BYTES = 1 << 20
_PAGE = 4096
_LONGEST_NUMBER = 32  # digits
_TYPES: dict[str, np.dtype[Any]] = {
    "buckets": np.dtype("<i8"),
    "counts": np.dtype("<i8"),
    "table": np.dtype("<u8"),
    "word_slots": np.dtype("<u4"),
    "spelling": np.dtype("<u1"),
    "spelling_ends": np.dtype("<i8"),
}
_AGAIN = "train it anew with `corpusmill train perplexity`"
_ARPA_ROWS = 1 << 18


@dataclass(frozen=True, slots=True, eq=False)
class Ngrams:
    """Probabilities and backoff weights of the n-grams of one model.

    table       uint64[8 * sum(buckets)]: the tables of orders 1, 2 …, one behind the other
    buckets     int64[order + 1]: buckets of each order's table; the first is 0
    counts      n-grams of each order, the first of order 1 with the three markers
    unknown     the slot of <unk>
    """

    table: NDArray[np.uint64]
    buckets: NDArray[np.int64]
    counts: tuple[int, ...]
    unknown: int

    @property
    def order(self) -> int:
        return len(self.counts)

    @property
    def values(self) -> NDArray[np.float32]:
        """The table's memory, as the logarithms in it are read."""
        return self.table.view(np.float32)

    def base(self, order: int) -> int:
        """Where the table of an order begins."""
        return int(self.buckets[:order].sum()) * BUCKET

    def slots(self, order: int) -> NDArray[np.int64]:
        """The slots of an order that hold an n-gram, sorted."""
        return np.flatnonzero(self._keys(order).reshape(-1) != EMPTY)

    def entries(self, order: int, slots: NDArray[np.int64]) -> tuple[NDArray[np.uint64], NDArray[np.float32]]:
        """Keys, and float32[n, 2] of log10 probabilities and backoff weights."""
        rows = self.table[self.base(order) : self.base(order + 1)].reshape(-1, BUCKET)
        keys = rows[:, :PLACES][slots // PLACES, slots % PLACES]
        values = rows.view(np.float32)[:, 2 * PLACES :].reshape(-1, PLACES, 2)[slots // PLACES, slots % PLACES]
        return keys, values

    def _keys(self, order: int) -> NDArray[np.uint64]:
        return self.table[self.base(order) : self.base(order + 1)].reshape(-1, BUCKET)[:, :PLACES]

    def woven_scores(
        self, keys: NDArray[np.uint64], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """log10 probabilities of each sentence's <s> (which means nothing), words and </s>, and what words it has.

        Sentence s has the words `offsets[s]` to `offsets[s + 1]`, and the places from `offsets[s] + 2 * s` on.
        """
        woven = np.empty(len(keys) + 2 * (len(offsets) - 1), np.uint64)
        kernels.weave(frozen(keys), frozen(offsets), woven)
        scores, known = np.empty(len(woven), np.float32), np.empty(len(woven), np.bool_)
        bases = np.array([0, *(self.base(order) for order in range(1, self.order + 1))], np.int64)
        tables = frozen(self.table), frozen(self.values), frozen(bases), frozen(self.buckets)
        kernels.score(frozen(woven), *tables, np.uint32(self.unknown), scores, known)
        return scores, known

    def token_scores(self, keys: NDArray[np.uint64], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
        """log10 of the probability of each word and, behind those of each sentence, of its end."""
        scores, _ = self.woven_scores(keys, offsets)
        begins = offsets[:-1] + 2 * np.arange(len(offsets) - 1)
        return np.delete(scores, begins)

    def sums(
        self, keys: NDArray[np.uint64], offsets: NDArray[np.int64], firsts: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Sums of log10 probabilities, and unknown words, of documents.

        Document d has the sentences `firsts[d]` to `firsts[d + 1]`.
        """
        sums, unknown = np.empty(len(firsts) - 1, np.float64), np.empty(len(firsts) - 1, np.int64)
        scores, known = self.woven_scores(keys, offsets)
        kernels.add_sentences(frozen(scores), frozen(known), frozen(offsets), frozen(firsts), sums, unknown)
        return sums, unknown


@dataclass(frozen=True, slots=True)
class Sentences:
    """The lines of a batch that have words, and these words. A run of one sign, such as a rule of dashes, is one word.

    keys        uint64[words]: what the model knows words by
    words       int32[words]: where they stand among the batch's words
    offsets     int64[sentences + 1]: the first word of each sentence
    firsts      int64[documents + 1]: the first sentence of each document
    """

    keys: NDArray[np.uint64]
    words: NDArray[np.int32]
    offsets: NDArray[np.int64]
    firsts: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.int64]:
        """int64[documents]: words of each."""
        return np.diff(self.offsets[self.firsts])

    @classmethod
    def of(cls, batch: TextBatch, *, folded: bool) -> Sentences:
        """The words of a batch as keys: hashes.

        Args:
            batch: texts.
            folded: in lower case, without diacritics, and each digit of a number as 0.
        """
        found = batch.words
        hashes = batch.folded_hashes if folded else found.hashes
        if folded:
            numbers = np.flatnonzero((found.kinds & (ALPHA | DIGIT)) == DIGIT)
            hashes = hashes.copy()
            hashes[numbers] = _number_hashes()[np.minimum(found.characters[numbers], _LONGEST_NUMBER)]
        keys, words = np.empty(len(hashes), np.uint64), np.empty(len(hashes), np.int32)
        offsets, firsts = np.empty(len(hashes) + 1, np.int64), np.empty(len(batch) + 1, np.int64)
        n_words, n_sentences = kernels.find_sentences(
            batch.text,
            found.firsts,
            found.starts,
            found.ends,
            found.kinds,
            frozen(hashes),
            keys,
            words,
            offsets,
            firsts,
        )
        return cls(frozen(keys[:n_words]), frozen(words[:n_words]), frozen(offsets[: n_sentences + 1]), frozen(firsts))


@lru_cache(maxsize=1)
def _number_hashes() -> NDArray[np.uint64]:
    """Hashes of 0, 00, 000 …, by length; the first is not used."""
    zeros = TextBatch.of_texts([" ".join("0" * length for length in range(1, _LONGEST_NUMBER + 1))])
    return np.concatenate((np.zeros(1, np.uint64), zeros.words.hashes))


def spelled(word: str, *, folded: bool) -> str:
    """A word as the model has it.

    >>> spelled("Évian", folded=True), spelled("1984", folded=True), spelled("B2B", folded=True)
    ('evian', '0000', 'b2b')
    """
    if not folded:
        return word
    codes = [ord(character) for character in word]
    if any(CLASSES[code] & DIGIT for code in codes) and not any(CLASSES[code] & ALPHA for code in codes):
        return "0" * min(len(word), _LONGEST_NUMBER)
    return "".join(chr(FOLD[code]) for code in codes)


@dataclass(frozen=True, kw_only=True, eq=False)
class LanguageModel:
    """An n-gram model of words.

    folded          words are in lower case, without diacritics, and digits of numbers are 0
    word_slots      uint32[words + 3]: slots of words and markers, sorted
    words           their spelling
    facts           what it learned from: numbers and texts for a person
    """

    ngrams: Ngrams
    folded: bool
    word_slots: NDArray[np.uint32]
    words: pa.StringArray
    facts: Mapping[str, Any]

    def sums(self, sentences: Sentences) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """For each document: the sum of log10 probabilities, and its unknown words."""
        return self.ngrams.sums(sentences.keys, sentences.offsets, sentences.firsts)

    def sentences(self, batch: TextBatch) -> Sentences:
        """The lines of a batch, with words as the model has them."""
        return Sentences.of(batch, folded=self.folded)

    def tokens(self, text: str) -> list[list[str]]:
        """The sentences of a text in the model's spelling: joined by spaces, what KenLM is given with our ARPA file."""
        batch = TextBatch.of_texts([text])
        sentences = self.sentences(batch)
        content = bytes(batch.text)
        starts, ends = batch.words.starts[sentences.words], batch.words.ends[sentences.words]
        found = [
            spelled(content[start:end].decode(), folded=self.folded) for start, end in zip(starts, ends, strict=True)
        ]
        return [found[start:end] for start, end in pairwise(sentences.offsets.tolist())]

    def save(self, path: Path) -> str:
        """Writes the model in one step; returns the file's sha256. The same model gives the same bytes."""
        _, ends, letters = self.words.buffers()
        offsets = np.frombuffer(ends, np.int32)[self.words.offset :][: len(self.words) + 1].astype(np.int64)
        arrays = {
            "buckets": self.ngrams.buckets,
            "counts": np.array(self.ngrams.counts, np.int64),
            "table": self.ngrams.table,
            "word_slots": self.word_slots,
            "spelling": np.frombuffer(letters, np.uint8)[offsets[0] : offsets[-1]],
            "spelling_ends": offsets[1:] - offsets[0],
        }
        header: dict[str, Any] = {
            "format": FORMAT,
            "settings": {"folded": self.folded, "hashes": hashes_sign(), "unknown": self.ngrams.unknown},
            "facts": dict(self.facts),
            "lengths": {name: len(array) for name, array in arrays.items()},
        }
        header["digest"] = _digest(header, arrays)
        content = json.dumps(header, sort_keys=True).encode()
        if len(content) > _MAX_HEADER_BYTES:
            raise InputError(f"{path}: the facts of the model are {len(content)} bytes; {_MAX_HEADER_BYTES} are most")
        whole = hashlib.sha256()
        with atomic_file(path) as file:
            start = np.frombuffer(_MAGIC + len(content).to_bytes(_LENGTH_BYTES, "little") + content, np.uint8)
            for data in (start, *(_bytes(array) for array in arrays.values())):
                for part in (data, np.zeros(-len(data) % _PAGE, np.uint8)):
                    whole.update(part.data)
                    file.write(part.data)
        return whole.hexdigest()

    @classmethod
    def load(cls, path: Path) -> LanguageModel:
        """Maps a model into memory, and checks it.

        Raises:
            InputError: if the file is missing, damaged, of another kind or of another version.
        """
        if not path.is_file():
            raise InputError(f"{path}: there is no such model; make one with `corpusmill train perplexity`")
        with open(path, "rb") as stream:
            start = stream.read(len(_MAGIC) + _LENGTH_BYTES)
            length = int.from_bytes(start[len(_MAGIC) :], "little")
            if not start.startswith(_MAGIC) or length > _MAX_HEADER_BYTES:
                raise InputError(f"{path}: is no n-gram model of `corpusmill train perplexity`; name one, or make one")
            content = stream.read(length)
        damaged = f"{path}: is damaged or was cut short; restore it, or {_AGAIN}"
        try:
            header = json.loads(content)
            lengths = {name: int(header["lengths"][name]) for name in _TYPES}
            settings, facts = header["settings"], header["facts"]
            folded, hashes, unknown = bool(settings["folded"]), settings["hashes"], int(settings["unknown"])
            version, digest = header["format"], header.pop("digest")
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise InputError(damaged) from error
        if version != FORMAT:
            raise InputError(f"{path}: its format is {version}, and models here are of format {FORMAT}; {_AGAIN}")
        place = _padded(len(start) + length)
        arrays = {}
        for name, kind in _TYPES.items():
            if lengths[name] < 1 or place + lengths[name] * kind.itemsize > path.stat().st_size:
                raise InputError(damaged)
            arrays[name] = np.asarray(np.memmap(path, kind, "r", place, (lengths[name],)))
            place += _padded(arrays[name].nbytes)
        if place != path.stat().st_size or _digest(header, arrays) != digest:
            raise InputError(damaged)
        buckets, counts = arrays["buckets"], arrays["counts"]
        if (
            not MIN_ORDER <= len(counts) == len(buckets) - 1 <= MAX_ORDER
            or buckets[0] != 0
            or buckets[1:].min() < 1
            or BUCKET * sum(buckets.tolist()) != lengths["table"]
            or not 0 <= unknown < PLACES * buckets[1]
            or (np.diff(arrays["spelling_ends"], prepend=0) < 0).any()
            or arrays["spelling_ends"][-1] != lengths["spelling"]
        ):
            raise InputError(damaged)
        if hashes != hashes_sign():
            raise InputError(f"{path}: its words were hashed by another version of corpusmill than this; {_AGAIN}")
        offsets = np.concatenate(([0], arrays["spelling_ends"])).astype(np.int32)
        words = pa.StringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(arrays["spelling"]))
        return cls(
            ngrams=Ngrams(
                table=frozen(arrays["table"]),
                buckets=frozen(buckets),
                counts=tuple(counts.tolist()),
                unknown=unknown,
            ),
            folded=folded,
            word_slots=arrays["word_slots"],
            words=words,
            facts=facts,
        )


def write_arpa(model: LanguageModel, path: Path) -> None:
    """Writes a model as an ARPA file, plain text in UTF-8; its float32 numbers are written in full.

    Words that hold an ASCII control character are left out: to KenLM some of these are spaces.
    """
    ngrams = model.ngrams
    plain = ~pc.match_substring_regex(model.words, r"[\x00-\x1f\x7f]").to_numpy(zero_copy_only=False)
    orders: list[tuple[NDArray[np.int64], list[NDArray[np.int64]], NDArray[np.float32]]] = []
    for order in range(1, ngrams.order + 1):
        slots = ngrams.slots(order)
        keys, values = ngrams.entries(order, slots)
        if order == 1:
            columns = [np.arange(len(slots))]  # the words, as indices into the spelling
        else:
            below, columns_below, _ = orders[-1]
            suffix = np.searchsorted(below, (keys >> np.uint64(32)).astype(np.int64))
            first = np.searchsorted(model.word_slots, (keys & np.uint64(0xFFFFFFFF)).astype(np.uint32))
            columns = [first, *(column[suffix] for column in columns_below)]
        orders.append((slots, columns, values))
    with atomic_file(path) as file:
        chosen = [
            np.flatnonzero(np.logical_and.reduce([plain[column] for column in columns])) for _, columns, _ in orders
        ]
        counts = "".join(f"ngram {order}={len(rows)}\n" for order, rows in enumerate(chosen, 1))
        file.write(f"\\data\\\n{counts}".encode())
        for order, (rows, (_, columns, values)) in enumerate(zip(chosen, orders, strict=True), 1):
            file.write(f"\n\\{order}-grams:\n".encode())
            for start in range(0, len(rows), _ARPA_ROWS):
                part = rows[start : start + _ARPA_ROWS]
                gram = pc.binary_join_element_wise(*(model.words.take(pa.array(c[part])) for c in columns), " ")
                fields = [_decimal(values[part, 0]), gram]
                if order < ngrams.order:
                    fields.append(_decimal(values[part, 1]))
                lines = pc.binary_join_element_wise(*fields, "\t")
                file.write("\n".join(lines.to_pylist()).encode() + b"\n")
        file.write(b"\n\\end\\\n")


def _decimal(values: NDArray[np.float32]) -> pa.StringArray:
    """The shortest decimals that are read as the same float32. What is zero has no sign."""
    return pa.array(values + np.float32(0)).cast(pa.string())


@lru_cache(maxsize=1)
def hashes_sign() -> str:
    """What the hash functions make of some words: another sign means that the words of a model are others now."""
    batch = TextBatch.of_texts(["Ça va, 7 ÆON words!! 文字 and_so on, 1984"])
    keys = [Sentences.of(batch, folded=folded).keys.astype("<u8").tobytes() for folded in (False, True)]
    return hashlib.sha256(b"".join(keys)).hexdigest()[:16]


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """An array's memory."""
    return np.ascontiguousarray(array).view(np.uint8)


def _padded(size: int) -> int:
    return -(-size // _PAGE) * _PAGE


def _digest(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for array in arrays.values():
        digest.update(_bytes(array).data)
    return digest.hexdigest()
