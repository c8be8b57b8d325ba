"""c4_bad_words: drops documents with a word of a list of bad words in their language.

Raffel et al. 2020, arXiv:1910.10683, section 2.2: any page with any word of the "List of Dirty, Naughty, Obscene or
Otherwise Bad Words" (LDNOOBW, CC BY 4.0) is removed. The list is the user's, by path: a folder with a file for each
language (`en`, `de`, `ja` …), one word or phrase a line, as LDNOOBW is laid out; or one such file for all documents. As
in C4's code and datatrove 0.10.1's `C4BadWordsFilter`, a phrase counts where no word character touches it, and anywhere
in Japanese, Thai and Chinese, where nothing stands between words.

Differs from datatrove:
    - what is listed in capitals is looked for in any case, too: there, text is made small and the list is not, so that
      LDNOOBW's German nouns are never met
    - `keep_fraction` is drawn from the seed and the document's id, so that a run can be repeated and cut differently
    - a document in a language without a list is kept; there, it ends the run unless it is told not to

The paper's list drops much that is about bodies, medicine and minorities (Dodge et al. 2021, arXiv:2104.08758, section
5.3). `max_bad_words` is for those who would rather allow some.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.documents.batch import TextBatch, text_buffers
from corpusmill.documents.codepoints import CLASSES
from corpusmill.documents.compiled import frozen
from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.filters.contract import Filter
from corpusmill.filters.phrases import Automaton, automaton, count_phrases

WITHOUT_SPACES = frozenset({"ja", "th", "zh"})
"""Languages whose words are looked for anywhere, as in C4's code."""
MAX_LIST_BYTES = 4_000_000
"""A larger file is no list of words."""
_TWO_LETTERS = {
    "ara": "ar", "ces": "cs", "dan": "da", "deu": "de", "eng": "en", "epo": "eo", "spa": "es", "fas": "fa", "pes": "fa",
    "fin": "fi", "tgl": "fil", "tl": "fil", "fra": "fr", "hin": "hi", "hun": "hu", "ita": "it", "jpn": "ja",
    "kor": "ko", "nld": "nl", "nb": "no", "nn": "no", "nob": "no", "nno": "no", "nor": "no", "pol": "pl", "por": "pt",
    "rus": "ru", "swe": "sv", "tha": "th", "tur": "tr", "zho": "zh", "cmn": "zh",
}  # fmt: skip
"""Codes of ISO 639-3, and some others, for the languages that LDNOOBW names by another."""


class Reason(StrEnum):
    BAD_WORDS = "bad_words"


@dataclass(frozen=True, kw_only=True)
class C4BadWords(Filter):
    """Drops documents with more than `max_bad_words` bad words of their language, but for a share drawn by lot."""

    name: ClassVar[str] = "c4_bad_words"
    reasons: ClassVar[type[StrEnum]] = Reason
    judged_fields: ClassVar[frozenset[str]] = frozenset({"keep_fraction"})
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("bad_words", pa.int32()),  # places; null where there is no list of the language
            pa.field("draw", pa.float64(), nullable=False),  # from 0 to 1, by seed and id
        ]
    )

    list: Path = field(metadata={"path": True})
    """A folder in LDNOOBW's layout, or one file: UTF-8, a word or phrase a line."""
    default_language: str = "en"
    """The language of documents whose `language` column is null; a folder must have its list."""
    max_bad_words: int | None = 0
    """Places with a bad word; a document with more is dropped. The paper's is 0."""
    keep_fraction: float = 0.0
    """Share of such documents that are kept all the same."""
    seed: int = 0
    """Of the draw. Belongs to the measure: to change it is to measure anew."""
    allow: tuple[str, ...] = ("sm", "グロ", "女の子", "性")
    """Taken out of every list: in C4's code, words that are common within others in Japanese and Chinese."""

    def __post_init__(self) -> None:
        if not 0 <= self.keep_fraction <= 1:
            raise RecipeError(f"c4_bad_words.keep_fraction: {self.keep_fraction} is no share; give one from 0 to 1")

    def files(self) -> Sequence[Path]:
        return tuple(self._lists().values())

    def prepare(self) -> None:
        """Reads every list.

        Raises:
            InputError: if there is no list, one cannot be read, or that of the default language is missing.
        """
        lists = self._lists()
        if not lists:
            raise InputError(
                f"c4_bad_words.list: {self.list} holds no list; name a file, or a folder of files as en, de"
            )
        if self.list.is_dir() and self._list_of(self.default_language) is None:
            raise InputError(
                f'c4_bad_words.default_language: {self.list} has no list "{self.default_language}"; it has '
                f"{', '.join(sorted(lists))}"
            )
        for path in lists.values():
            self._automaton(path)

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        lowered = pc.utf8_lower(batch.texts)
        offsets, text = text_buffers(lowered)
        counts, listed = np.zeros(len(batch), np.int32), np.zeros(len(batch), np.bool_)
        languages = pc.fill_null(batch.documents.column("language"), self.default_language)
        for language in languages.unique().to_pylist():
            path = self._list_of(language)
            if path is None:
                continue
            wanted = frozen(pc.equal(languages, language).to_numpy(zero_copy_only=False))
            found = self._automaton(path)
            tables = (found.columns, found.steps, found.longest, found.shorter, found.lengths)
            apart = _two_letters(language) not in WITHOUT_SPACES
            count_phrases(offsets, text, CLASSES, *tables, wanted, apart, counts)
            listed |= wanted
        columns = [pa.array(counts, mask=~listed), pa.array(self._draws(batch.documents.column("id")))]
        return pa.RecordBatch.from_arrays(columns, schema=self.measures)

    def judge(self, measures: pa.RecordBatch) -> pa.Int8Array:
        if self.max_bad_words is None:
            return pa.nulls(measures.num_rows, pa.int8())
        bad = pc.greater(measures.column("bad_words"), self.max_bad_words)
        unlucky = pc.greater_equal(measures.column("draw"), self.keep_fraction)
        dropped = pc.fill_null(pc.and_(bad, unlucky), False)
        return pc.if_else(dropped, pa.scalar(0, pa.int8()), pa.scalar(None, pa.int8()))

    def _draws(self, ids: pa.StringArray) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        key = self.seed.to_bytes(8, "little", signed=True)
        digests = b"".join(
            hashlib.blake2b(identity.encode(), key=key, digest_size=8).digest() for identity in ids.to_pylist()
        )
        return (np.frombuffer(digests, np.uint64) >> np.uint64(11)) / 2.0**53

    def _lists(self) -> Mapping[str, Path]:
        """The files by name; one file for all languages has the name "*"."""
        if not self.list.is_dir():
            return {"*": self.list} if self.list.exists() else {}
        # Beside its lists, LDNOOBW has a licence, a readme and a file for the users' dictionary.
        return {path.name: path for path in sorted(self.list.iterdir()) if _is_code(path.name) and path.is_file()}

    def _list_of(self, language: str) -> Path | None:
        if not self.list.is_dir():
            return self.list
        path = self.list / _two_letters(language)
        return path if _is_code(path.name) and path.is_file() else None

    def _automaton(self, path: Path) -> Automaton:
        status = path.stat()
        return _read(path, status.st_size, status.st_mtime_ns, self.allow)


def _is_code(name: str) -> bool:
    """Whether a file is named like a language: `en`, `fil`, `fr-CA-u-sd-caqc`."""
    code = name.partition("-")[0]
    return 2 <= len(code) <= 3 and code.isascii() and code.islower() and code.isalpha() and "." not in name


def _two_letters(language: str) -> str:
    """The code by which LDNOOBW names a language: `eng_Latn` and `eng` are `en`."""
    code = language.partition("_")[0]
    return _TWO_LETTERS.get(code, code)


@lru_cache(maxsize=64)
def _read(path: Path, size: int, mtime: int, allow: tuple[str, ...]) -> Automaton:
    if size > MAX_LIST_BYTES:
        raise InputError(
            f"c4_bad_words.list: {path} has {size:,} bytes; a list of words has {MAX_LIST_BYTES:,} at most"
        )
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"c4_bad_words.list: {path} is no UTF-8 text: {error}; convert it") from error
    except OSError as error:
        raise InputError(f"c4_bad_words.list: {path} cannot be read: {error.strerror}") from error
    # Made small by the function that makes the texts small, so that both agree on every letter.
    words = set(pc.utf8_lower(pa.array([line.strip() for line in lines], pa.string())).to_pylist()) - {"", *allow}
    if not words:
        raise InputError(f"c4_bad_words.list: {path} has no word; remove it, or give a word or phrase a line")
    return automaton([word.encode() for word in sorted(words)])
