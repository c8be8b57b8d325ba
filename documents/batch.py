"""TextBatch: a record batch of documents with its words, lines and paragraphs, found when first asked for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.documents import segmentation
from corpusmill.documents.codepoints import CLASSES, FOLD
from corpusmill.documents.compiled import frozen
from corpusmill.documents.schema import DOCUMENT, document_id


@dataclass(frozen=True, slots=True)
class Spans:
    """Words, lines or paragraphs of a batch, as parallel arrays. Those of document d are `firsts[d]` to `firsts[d +
    1]`.

    firsts      int32[documents + 1]   index of each document's first span
    starts      int32[n]               first byte, in the batch's text buffer
    ends        int32[n]               byte after the last
    characters  int32[n]               length in code points
    hashes      uint64[n]              of the span's text
    kinds       uint8[n]               class bits: see the kernel that fills it (documents/segmentation.py)
    """

    firsts: NDArray[np.int32]
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    characters: NDArray[np.int32]
    hashes: NDArray[np.uint64]
    kinds: NDArray[np.uint8]


def text_buffers(texts: pa.Array) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Offsets (int32[n + 1]) and UTF-8 bytes of a string array, without a copy. Null entries have length 0.

    Raises:
        TypeError: if `texts` is no `pa.string()` array (64-bit offsets are another type, and kernels take one).
    """
    if texts.type != pa.string():
        raise TypeError(f"text_buffers takes a pa.string() array, not {texts.type}")
    _, offsets, data = texts.buffers()
    if offsets is None or len(texts) == 0:
        return frozen(np.zeros(1, np.int32)), frozen(np.zeros(0, np.uint8))
    numbers = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1]
    content = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return frozen(numbers), frozen(content)


_SURROGATE = re.compile("[\ud800-\udfff]")


def without_surrogates(text: str) -> str:
    """`text` with U+FFFD for lone surrogates, which JSON can hold and UTF-8 cannot.

    >>> without_surrogates("\\ud83d!") == "\\ufffd!"
    True
    """
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


class TextBatch:
    """Documents (a record batch with the columns of `schema.DOCUMENT`) and what the kernels find in their texts.

    Everything is computed when first asked for, once. A stage that changes texts makes a new batch (`with_texts`).
    """

    def __init__(self, documents: pa.RecordBatch) -> None:
        self.documents = documents
        self.offsets, self.text = text_buffers(documents.column("text"))
        self.measured: Mapping[str, pa.Array] = {}
        """What barriers ask for (`Barrier.needs`): measures of earlier stages by `<stage>.<measure>`, a value (or
        null) for each document. The pipeline fills it."""

    @classmethod
    def of_texts(cls, texts: Sequence[str], source: str = "memory") -> TextBatch:
        """A batch made of bare texts, for tests, training and one-off questions."""
        columns: dict[str, Any] = {field.name: pa.nulls(len(texts), field.type) for field in DOCUMENT}
        columns["text"] = pa.array(texts, pa.string())
        columns["source"] = pa.array([source] * len(texts), pa.string())
        columns["id"] = pa.array([document_id(source, "", row) for row in range(len(texts))], pa.string())
        return cls(pa.RecordBatch.from_arrays([columns[name] for name in DOCUMENT.names], schema=DOCUMENT))

    def __len__(self) -> int:
        return int(self.documents.num_rows)

    @property
    def texts(self) -> pa.StringArray:
        return self.documents.column("text")

    @property
    def n_bytes(self) -> int:
        """Bytes of text."""
        return int(self.offsets[-1] - self.offsets[0])

    @property
    def words_are_found(self) -> bool:
        """Whether a stage has asked for `words`, so that they cost nothing more."""
        return "words" in self.__dict__

    @cached_property
    def words(self) -> Spans:
        # Few texts have a word in every two bytes. Arrays half as long as the text stay below the size (32 MB) that
        # malloc takes from the system and gives back each time, at a page fault for each 4 kB: 355 -> 395 MB/s.
        return self._found(segmentation.find_words, self.n_bytes // 2, self.n_bytes)

    @cached_property
    def lines(self) -> Spans:
        return self._found(segmentation.find_lines, int(np.count_nonzero(self._own_text == 10)) + len(self))

    @cached_property
    def paragraphs(self) -> Spans:
        return self._found(segmentation.find_paragraphs, int(np.count_nonzero(self._own_text == 10)) + len(self))

    @cached_property
    def folded_hashes(self) -> NDArray[np.uint64]:
        """uint64[words]: hashes of the words in lower case and without diacritics."""
        words = self.words
        hashes = np.empty(len(words.starts), np.uint64)
        segmentation.fold_words(self.text, FOLD, words.starts, words.ends, hashes)
        return frozen(hashes)

    @cached_property
    def document_hashes(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """Two independent 64-bit hashes of each text's bytes."""
        first, second = np.empty(len(self), np.uint64), np.empty(len(self), np.uint64)
        segmentation.hash_documents(self.offsets, self.text, first, second)
        return frozen(first), frozen(second)

    def kept(self, mask: NDArray[np.bool_]) -> TextBatch:
        """The documents where `mask` is true; this batch itself where it is true everywhere."""
        if mask.all():
            return self
        return TextBatch(self.documents.filter(pa.array(mask)))

    def with_texts(self, texts: pa.StringArray) -> TextBatch:
        """The same documents with other texts."""
        return self.with_column("text", texts)

    def with_column(self, name: str, values: pa.Array) -> TextBatch:
        """The same documents with another column. What was found in the texts is kept unless the texts changed."""
        declared = self.documents.schema.field(name).type
        columns = [values.cast(declared) if field.name == name else self.documents.column(field.name)
                   for field in self.documents.schema]  # fmt: skip
        changed = TextBatch(pa.RecordBatch.from_arrays(columns, schema=self.documents.schema))
        if name != "text":
            known = ("words", "lines", "paragraphs", "folded_hashes", "document_hashes", "cache")
            changed.__dict__.update({key: value for key, value in self.__dict__.items() if key in known})
        return changed

    @cached_property
    def cache(self) -> dict[str, Any]:
        """What several filters share beyond the segmentation (such as the text statistics), by name."""
        return {}

    @property
    def _own_text(self) -> NDArray[np.uint8]:
        return self.text[self.offsets[0] : self.offsets[-1]]

    def _found(self, find: Callable[..., int], *rooms: int) -> Spans:
        """What the kernel `find` finds, in arrays as long as the first of `rooms` that is enough; the last one is."""
        firsts = np.empty(len(self) + 1, np.int32)
        for room in rooms:
            starts, ends, characters = (np.empty(room, np.int32) for _ in range(3))
            hashes, kinds = np.empty(room, np.uint64), np.empty(room, np.uint8)
            count = find(self.offsets, self.text, CLASSES, firsts, starts, ends, characters, hashes, kinds)
            if count >= 0:
                break
        arrays = (array[:count] for array in (starts, ends, characters, hashes, kinds))
        return Spans(frozen(firsts), *(frozen(array) for array in arrays))
