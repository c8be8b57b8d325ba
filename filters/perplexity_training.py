"""Trains the language model of the perplexity filter: `corpusmill train perplexity --texts … --out model`.

Texts are read once. Words are numbered as they appear, in memory (40 bytes a word and its letters); n-grams are counted
in sorted runs on disk (ngram_training.py). Sentences are lines, as CCNet has it (Wenzek et al. 2020).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen
from corpusmill.documents.errors import InputError
from corpusmill.filters import ngram_kernels as kernels
from corpusmill.filters.ngram_kernels import EMPTY, RESERVED
from corpusmill.filters.ngram_model import MARKERS, LanguageModel, Sentences, spelled
from corpusmill.filters.ngram_training import MAX_WORDS, NgramCounter, estimate, thresholds


class Vocabulary:
    """Words by number, in the order in which they appear; the markers come first."""

    def __init__(self, *, folded: bool) -> None:
        self.folded = folded
        self.words: list[str] = list(MARKERS)
        self._keys: list[NDArray[np.uint64]] = [np.arange(RESERVED, dtype=np.uint64)]
        self._table = np.full(1 << 16, EMPTY, np.uint64)
        self._numbers = np.zeros(1 << 16, np.uint32)

    @property
    def keys(self) -> NDArray[np.uint64]:
        """uint64[words]: the key of each word."""
        return np.concatenate(self._keys)

    def numbers(self, batch: TextBatch, sentences: Sentences) -> NDArray[np.uint32]:
        """The numbers of the words of a batch's sentences; new words get the next ones.

        Raises:
            InputError: if there are too many different words.
        """
        keys = sentences.keys
        ids, news = np.empty(len(keys), np.uint32), np.empty(len(keys), np.int32)
        done = 0
        while True:
            most = min(len(self._table) // 2, MAX_WORDS)
            numbered, fresh = kernels.number_words(
                frozen(keys[done:]), self._table, self._numbers, len(self.words), most, ids[done:], news
            )
            self._add(batch, sentences, done + news[:fresh])
            done += numbered
            if done == len(keys):
                return ids
            if len(self.words) == MAX_WORDS:
                raise InputError(f"more than {MAX_WORDS - RESERVED} different words were found; give fewer texts")
            self._grow()

    def _add(self, batch: TextBatch, sentences: Sentences, places: NDArray[np.int32]) -> None:
        content, words = batch.text.data, sentences.words[places]
        starts, ends = batch.words.starts[words], batch.words.ends[words]
        self.words += [
            spelled(str(content[start:end], "utf-8"), folded=self.folded)
            for start, end in zip(starts.tolist(), ends.tolist(), strict=True)
        ]
        self._keys.append(sentences.keys[places])

    def _grow(self) -> None:
        """Doubles the table."""
        known = self.keys[RESERVED:]
        self._table = np.full(2 * len(self._table), EMPTY, np.uint64)
        self._numbers = np.zeros(len(self._table), np.uint32)
        scratch = np.empty(len(known), np.uint32), np.empty(len(known), np.int32)
        kernels.number_words(frozen(known), self._table, self._numbers, RESERVED, MAX_WORDS, *scratch)


@dataclass(frozen=True, slots=True)
class TrainedPerplexity:
    """A trained model. Its tables lie in a scratch folder until they are saved, and go with `close`."""

    model: LanguageModel
    scratch: tempfile.TemporaryDirectory[str]

    def save(self, path: Path) -> str:
        """Writes the model in one step; returns the file's sha256."""
        return self.model.save(path)

    def __enter__(self) -> TrainedPerplexity:
        return self

    def __exit__(self, *error: object) -> None:
        self.scratch.cleanup()


def train_perplexity(
    texts: Iterable[pa.StringArray],
    *,
    order: int = 5,
    min_count: int = 1,
    prune: Sequence[int] = (0, 0, 1),
    folded: bool = True,
    language: str | None = None,
    memory: int = 1 << 30,
    scratch: Path | None = None,
) -> TrainedPerplexity:
    """Trains an n-gram model of words.

    Args:
        texts: batches of texts; nulls are passed over. The model depends on their order in its last digits.
        order: words of the longest n-grams, 2 to 5.
        min_count: rarer words are unknown to the model.
        prune: n-grams of order 1, 2 … that occur so often or less are left out; the last holds for higher orders.
        folded: words in lower case and without diacritics, digits of numbers as 0.
        language: of the texts; a fact for people.
        memory: bytes for n-grams on their way to the disk.
        scratch: a folder for what is on disk meanwhile; default: the system's.

    Raises:
        InputError: if there are no words, or too many, a setting is out of its range, or `scratch` is no folder.
    """
    thresholds(prune, order)
    if min_count < 1:
        raise InputError(f"min_count: {min_count} is out of range; use 1 or more")
    try:
        workspace = tempfile.TemporaryDirectory(prefix="corpusmill-ngrams-", dir=scratch)
    except OSError as error:
        raise InputError(f"scratch: {error.strerror}: {scratch}; name a folder that can be written") from error
    try:
        vocabulary = Vocabulary(folded=folded)
        counter = NgramCounter(order, Path(workspace.name), memory=memory)
        n_texts = n_bytes = 0
        for part in texts:
            batch = TextBatch(pa.RecordBatch.from_arrays([part.drop_null().cast(pa.string())], names=["text"]))
            sentences = Sentences.of(batch, folded=folded)
            counter.add(vocabulary.numbers(batch, sentences), sentences.offsets)
            n_texts += len(batch)
            n_bytes += batch.n_bytes
        made = estimate(counter, vocabulary.keys, min_count=min_count, prune=prune)
        known = np.flatnonzero(made.word_slots != kernels.ABSENT)
        ranks = known[np.argsort(made.word_slots[known])]
        facts: dict[str, Any] = {
            "bytes": n_bytes,
            "discounts": made.discounts,
            "found": made.found,
            "kept": made.kept,
            "language": language,
            "min_count": min_count,
            "order": order,
            "prune": list(prune),
            "sentences": counter.sentences,
            "texts": n_texts,
            "words": int(counter.occurrences.sum()),
        }
        model = LanguageModel(
            ngrams=made.ngrams,
            folded=folded,
            word_slots=made.word_slots[ranks],
            words=pa.array([vocabulary.words[number] for number in ranks.tolist()], pa.string()),
            facts=facts,
        )
    except BaseException:
        workspace.cleanup()
        raise
    return TrainedPerplexity(model, workspace)


def pruning(numbers: str) -> tuple[int, ...]:
    """Reads thresholds from a command line.

    >>> pruning("0 0 1")
    (0, 0, 1)

    Raises:
        InputError: for anything but numbers.
    """
    try:
        return tuple(int(number) for number in numbers.replace(",", " ").split())
    except ValueError as error:
        raise InputError(f'--prune: "{numbers}" are not numbers; give one for each order, such as "0 0 1"') from error
