"""language_thresholds: FineWeb-2's rules of repetition, quality and form, with thresholds of each document's language.

Penedo et al. 2025, arXiv:2506.20920, section 4.3, and fineweb-2-pipeline.py of its repository: Gopher's rules of
repeated lines and n-grams and of quality, and FineWeb's of punctuation, newlines and repeated characters, all with
numbers and stop words that were derived for each language from Wikipedia and from the web.

The table (YAML) has an entry for each language, with the names of FineWeb-2's own configuration. fineweb2.yaml, which
ships with the package, holds its numbers for 14 languages; `table` names a file of the same form, or the folder
`configs` of FineWeb-2's repository, whose entries come before those that ship. What an entry leaves out has the value
of FineWeb-2's code, which is the same for all languages.

Differs from FineWeb-2:
    - words are those of `TextBatch.words` in every language: in Chinese, Japanese and Thai each character is one, where
      FineWeb-2 has tokenizers, so that lengths of words and n-grams are not the ones its numbers were made for
    - a stop word that is several words here (`あと`, for instance) cannot be met and is left out; of `l'` the letter
      counts
    - the language's score is that of whichever model the `language` stage has; FineWeb-2's thresholds are of GlotLID's
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml
from numba import uint64
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen, kernel
from corpusmill.documents.errors import InputError
from corpusmill.filters.contract import Filter, Rule, judge_by
from corpusmill.filters.fineweb_quality import FineWebQuality
from corpusmill.filters.gopher_quality import GopherQuality
from corpusmill.filters.gopher_repetition import GopherRepetition
from corpusmill.filters.language_codes import Code, macrolanguage_of, parsed

MAX_TABLE_BYTES = 5_000_000


class Reason(StrEnum):
    UNLISTED_LANGUAGE = "unlisted_language"
    LOW_LANGUAGE_SCORE = "low_language_score"
    DUPLICATE_LINES = "duplicate_lines"
    TOP_N_GRAM = "top_n_gram"
    DUPLICATE_N_GRAMS = "duplicate_n_grams"
    FEW_LINES_END_IN_PUNCTUATION = "few_lines_end_in_punctuation"
    DUPLICATE_CHARACTERS = "duplicate_characters"
    LIST_LIKE = "list_like"
    TOO_FEW_WORDS = "too_few_words"
    TOO_MANY_WORDS = "too_many_words"
    WORD_LENGTH = "word_length"
    TOO_MANY_SYMBOLS = "too_many_symbols"
    TOO_MANY_BULLETS = "too_many_bullets"
    TOO_MANY_ELLIPSIS_LINES = "too_many_ellipsis_lines"
    TOO_FEW_ALPHABETIC_WORDS = "too_few_alphabetic_words"
    TOO_FEW_STOP_WORDS = "too_few_stop_words"


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholds:
    """An entry of the table, under FineWeb-2's names. Without a value of its own a language has these."""

    language_score: float | None = None
    """Least score of the language."""
    dup_line_frac: float | None = 0.3
    """Most lines equal to an earlier one, of all lines."""
    top_n_grams: tuple[tuple[int, float], ...] = ((2, 0.2), (3, 0.18), (4, 0.16))
    """Most characters in the most frequent n-gram, of all."""
    dup_n_grams: tuple[tuple[int, float], ...] = ((5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.1))
    """Most characters in repeated n-grams, of all."""
    line_punct_thr: float | None = 0.12
    """Least lines that end in punctuation, of all lines."""
    new_line_ratio: float | None = 0.3
    """Most newlines for each token."""
    char_duplicates_ratio: float | None = 0.1
    """Most characters in lines equal to an earlier one; English FineWeb has 0.01."""
    min_avg_word_length: float | None = 3
    max_avg_word_length: float | None = 10
    max_non_alpha_words_ratio: float | None = 0.8
    """Least tokens with a letter, of all, in spite of its name."""
    stopwords: tuple[str, ...] = ()
    """Without any, `min_stop_words` does not apply."""
    min_stop_words: int | None = 2
    """Different stop words that a document must have."""
    min_doc_words: int | None = 50
    max_doc_words: int | None = 100_000


_FORM, _REPETITION, _QUALITY = FineWebQuality(), GopherRepetition(), GopherQuality(stop_words=())
_N_GRAMS = ("top_2_gram", "top_3_gram", "top_4_gram", *(f"duplicate_{n}_grams" for n in range(5, 11)))
_FROM_REPETITION = ("duplicate_line_fraction", *_N_GRAMS)
_FROM_FORM = ("punctuated_lines", "duplicate_line_characters", "newlines_per_token")
_FROM_QUALITY = ("words", "mean_word_length", "hashes_per_token", "ellipses_per_token", "bullet_lines",
                 "ellipsis_lines", "alphabetic_tokens")  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class LanguageThresholds(Filter):
    """Drops documents by the rules of FineWeb-2 with the thresholds of their language."""

    name: ClassVar[str] = "language_thresholds"
    reasons: ClassVar[type[StrEnum]] = Reason
    judged_fields: ClassVar[frozenset[str]] = frozenset({"keep_unlisted"})
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("entry", pa.string()),  # the table's name for the language; null: it has none
            pa.field("language_score", pa.float64()),
            *(_REPETITION.measures.field(name) for name in _FROM_REPETITION),
            *(_FORM.measures.field(name) for name in _FROM_FORM),
            *(_QUALITY.measures.field(name) for name in _FROM_QUALITY),
            pa.field("stop_words", pa.int32()),  # different ones of the language; null where the table has none
        ]
    )

    table: Path | None = field(default=None, metadata={"path": True})
    """A YAML file of languages and their thresholds, or a folder of files such as `deu_Latn.yml`, each with one
    language's. Its entries come before those that ship. The stop words belong to the measure."""
    keep_unlisted: bool = False
    """Whether documents stay whose language has no entry."""

    def files(self) -> Sequence[Path]:
        if self.table is None or not self.table.exists():
            return ()
        return tuple(sorted(self.table.glob("*.y*ml"))) if self.table.is_dir() else (self.table,)

    def prepare(self) -> None:
        self._entries()

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        table = self._entries()
        names, order = _entry_names(batch.documents.column("language"), tuple(table))
        lists = [_hashes(entry.stopwords) for entry in table.values()]
        firsts = frozen(np.cumsum([0, *map(len, lists)], dtype=np.int32))
        met = np.zeros(len(batch), np.int32)
        hashes = frozen(np.concatenate([np.zeros(0, np.uint64), *lists]))
        count_listed(batch.words.firsts, batch.words.hashes, order, firsts, hashes, met)
        listed = (order >= 0) & (np.diff(firsts, append=firsts[-1])[order] > 0)
        columns = [
            names,
            batch.documents.column("language_score").cast(pa.float64()),
            *(_REPETITION.measure(batch).column(name) for name in _FROM_REPETITION),
            *(_FORM.measure(batch).column(name) for name in _FROM_FORM),
            *(_QUALITY.measure(batch).column(name) for name in _FROM_QUALITY),
            pa.array(met, mask=~listed),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.measures)

    def judge(self, measures: pa.RecordBatch) -> pa.Int8Array:
        entries = measures.column("entry")
        unlisted = None if self.keep_unlisted else list(Reason).index(Reason.UNLISTED_LANGUAGE)
        verdicts = pc.if_else(entries.is_valid(), pa.scalar(None, pa.int8()), pa.scalar(unlisted, pa.int8()))
        table = self._entries()
        for name in entries.unique().drop_null().to_pylist():
            found = judge_by(rules_of(table[name]), Reason, measures)
            verdicts = pc.if_else(pc.fill_null(pc.equal(entries, name), False), found, verdicts)
        return verdicts

    def _entries(self) -> Mapping[str, Thresholds]:
        shipped = Path(str(files("corpusmill.filters") / "fineweb2.yaml"))
        entries = dict(_read(shipped, False, _stamp(shipped)))
        if self.table is not None:
            if not self.table.exists():
                raise InputError(f"language_thresholds.table: {self.table} is not there; name a YAML file or a folder")
            paths = self.files()
            if not paths:
                raise InputError(f"language_thresholds.table: {self.table} has no file such as deu_Latn.yml")
            for path in paths:
                entries |= _read(path, self.table.is_dir(), _stamp(path))
        return entries


def rules_of(entry: Thresholds) -> Sequence[Rule]:
    """An entry's thresholds as rules, in the order of FineWeb-2's stages."""
    return (
        Rule(Reason.LOW_LANGUAGE_SCORE, "language_score", at_least=entry.language_score),
        Rule(Reason.DUPLICATE_LINES, "duplicate_line_fraction", at_most=entry.dup_line_frac),
        *(Rule(Reason.TOP_N_GRAM, f"top_{n}_gram", at_most=most) for n, most in entry.top_n_grams),
        *(Rule(Reason.DUPLICATE_N_GRAMS, f"duplicate_{n}_grams", at_most=most) for n, most in entry.dup_n_grams),
        Rule(Reason.FEW_LINES_END_IN_PUNCTUATION, "punctuated_lines", at_least=entry.line_punct_thr),
        Rule(Reason.DUPLICATE_CHARACTERS, "duplicate_line_characters", at_most=entry.char_duplicates_ratio),
        Rule(Reason.LIST_LIKE, "newlines_per_token", at_most=entry.new_line_ratio),
        Rule(Reason.TOO_FEW_WORDS, "words", at_least=entry.min_doc_words),
        Rule(Reason.TOO_MANY_WORDS, "words", at_most=entry.max_doc_words),
        Rule(Reason.WORD_LENGTH, "mean_word_length", entry.min_avg_word_length, entry.max_avg_word_length),
        Rule(Reason.TOO_MANY_SYMBOLS, "hashes_per_token", at_most=0.1),
        Rule(Reason.TOO_MANY_SYMBOLS, "ellipses_per_token", at_most=0.1),
        Rule(Reason.TOO_MANY_BULLETS, "bullet_lines", at_most=0.9),
        Rule(Reason.TOO_MANY_ELLIPSIS_LINES, "ellipsis_lines", at_most=0.3),
        Rule(Reason.TOO_FEW_ALPHABETIC_WORDS, "alphabetic_tokens", at_least=entry.max_non_alpha_words_ratio),
        Rule(Reason.TOO_FEW_STOP_WORDS, "stop_words", at_least=entry.min_stop_words),
    )


def _entry_names(languages: pa.StringArray, names: tuple[str, ...]) -> tuple[pa.StringArray, NDArray[np.int32]]:
    """The table's name for the language of each document, and its index in `names`, -1 where there is none."""
    encoded = languages.dictionary_encode()
    codes = [_index_of(language, names) for language in encoded.dictionary.to_pylist()]
    places = pc.fill_null(encoded.indices, len(codes)).to_numpy(zero_copy_only=False)
    order = np.array([*codes, -1], np.int32)[places]
    return pa.array(names, pa.string()).take(pa.array(order, mask=order < 0)), frozen(order)


@lru_cache(maxsize=4096)
def _index_of(language: str, names: tuple[str, ...]) -> int:
    """The entry of a language: the same code, else one of its macrolanguage or of a part of it (`zh`: cmn_Hani)."""
    asked = parsed(language)
    known = [parsed(name) for name in names]
    same = [index for index, code in enumerate(known) if code.covers(asked) or asked.covers(code)]
    akin = [index for index, code in enumerate(known) if _akin(code, asked)]
    return next(iter([*same, *akin]), -1)


def _akin(code: Code, asked: Code) -> bool:
    script = code.script is None or asked.script is None or code.script == asked.script
    return script and macrolanguage_of(code).language == macrolanguage_of(asked).language


@lru_cache(maxsize=4096)
def _hashes(words: tuple[str, ...]) -> NDArray[np.uint64]:
    """The hashes of stop words as the segmentation has them; one of several words is left out."""
    found = TextBatch.of_texts([word.rstrip("'’") or word for word in words]).words
    single = found.firsts[:-1][np.diff(found.firsts) == 1]
    return np.unique(found.hashes[single])


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=4096)
def _read(path: Path, single: bool, stamp: tuple[int, int]) -> Mapping[str, Thresholds]:
    """The entries of a file, or the one entry of a file that is named like its language."""
    place = f"language_thresholds.table: {path}"
    if stamp[0] > MAX_TABLE_BYTES:
        raise InputError(f"{place} has {stamp[0]:,} bytes; a table has {MAX_TABLE_BYTES:,} at most")
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{place} is no YAML: {error}") from error
    data = {path.stem: data} if single else data
    if not isinstance(data, dict) or not data or not all(isinstance(entry, dict) for entry in data.values()):
        raise InputError(f"{place} must map languages, such as deu_Latn, to thresholds")
    return {str(language): _entry(entry, f"{place}: {language}") for language, entry in data.items()}


def _entry(data: Mapping[Any, Any], place: str) -> Thresholds:
    known = {item.name for item in fields(Thresholds)}
    values: dict[str, Any] = {}
    for key, value in data.items():
        if key not in known:
            raise InputError(f'{place}: unknown key "{key}"; known ones: {", ".join(sorted(known))}')
        if key == "stopwords":
            good = isinstance(value, list) and all(isinstance(word, str) and word for word in value)
            values[key] = tuple(value) if good else None
        elif key in ("top_n_grams", "dup_n_grams"):
            sizes = range(2, 5) if key == "top_n_grams" else range(5, 11)
            good = isinstance(value, list) and all(
                isinstance(pair, list) and len(pair) == 2 and pair[0] in sizes and _is_number(pair[1]) for pair in value
            )
            values[key] = tuple((pair[0], float(pair[1])) for pair in value) if good else None
        else:
            good = value is None or _is_number(value)
            values[key] = value
        if not good:
            raise InputError(f"{place}.{key}: {value!r} is not what {key} can be; see fineweb2.yaml for the form")
    return Thresholds(**values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@kernel
def count_listed(
    firsts: NDArray[np.int32],
    hashes: NDArray[np.uint64],
    lists: NDArray[np.int32],
    list_firsts: NDArray[np.int32],
    listed: NDArray[np.uint64],
    met: NDArray[np.int32],
) -> None:
    """How many different words of its list (`lists[document]`; -1: none) each document has."""
    seen = np.full(listed.shape[0], -1, np.int32)
    for document in range(firsts.shape[0] - 1):
        if lists[document] < 0:
            continue
        first, last = list_firsts[lists[document]], list_firsts[lists[document] + 1]
        sieve = uint64(0)  # lets a word pass that ends in the same six bits as some listed word's hash
        for index in range(first, last):
            sieve |= uint64(1) << (listed[index] & uint64(63))
        for word in range(firsts[document], firsts[document + 1]):
            if (sieve >> (hashes[word] & uint64(63))) & uint64(1):
                for index in range(first, last):
                    if listed[index] == hashes[word] and seen[index] != document:
                        seen[index] = document
                        met[document] += 1
