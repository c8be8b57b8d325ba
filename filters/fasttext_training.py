"""Trains a quality classifier with fastText: `corpusmill train quality --engine fasttext … --out model.bin`.

After DCLM (Li et al. 2024, arXiv:2406.11794, section 4.4 and appendix K): a supervised fastText model of words and
pairs of words, softmax, with the settings below as defaults and the labels `hq` (positive) and `cc`.

Differs from it: texts that are equal count once, one that stands in both classes is left out, and a share of each
class is held out, by a keyed hash of the text, to tell how good the model is. The texts come in the order of that hash
and in one thread, so the same texts and the same seed give the same model, in whatever order they come. Texts that
hold `</s>` or `__label__` lose these, which would end a text or label it.

Five distributions write the same Python module `fasttext`, and overwrite each other without a word. Two train soundly
in one thread; of the others, fasttext-predict cannot train, and fasttext 0.9.3 and fasttext-numpy2-wheel leave a part
of the matrix without values below ten threads. `check_package` tells which is there.
"""

from __future__ import annotations

import heapq
import shutil
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import packages_distributions, version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError, UsageError
from corpusmill.documents.shards import atomic_file, sha256_of, storage_errors
from corpusmill.filters.fasttext_model import LABEL_PREFIX, FastTextModel
from corpusmill.filters.quality_training import ReliabilityRow, reliability

POSITIVE, NEGATIVE = "hq", "cc"
"""Labels of DCLM's model."""

_MODULE = "fasttext"
_SOUND = {"fasttext-wheel": "0.9.2", "fasttext-ng": "0.9.3"}
_MEND = "pip install fasttext-wheel==0.9.2"
_MIN_DOCUMENTS = 20  # different ones, of each class
_MAX_HELD_OUT = 10_000
_BATCH_TEXTS = 1_000
_QUANTISED = ".ftz"


@dataclass(frozen=True, slots=True)
class TrainedFastText:
    """A trained model's file, and how it did on documents that it was not trained on."""

    path: Path
    sha256: str
    auc: float
    """ROC AUC on all held-out texts."""
    reliability: tuple[ReliabilityRow, ...]
    """The same texts' scores in ten bins; empty bins are left out."""
    contradictions: int
    """Texts that stood in both classes, and were left out."""


def check_package() -> ModuleType:
    """The module `fasttext`, if it is one that trains soundly.

    Raises:
        UsageError: if it is missing, or of another distribution, saying which and what to install.
    """
    found = sorted(set(packages_distributions().get(_MODULE, ())))
    if not found:
        raise UsageError(f"training with fastText needs its package: pip install 'corpusmill[fasttext]' (or {_MEND})")
    remove = f"pip uninstall --yes {' '.join(found)}, then {_MEND}"
    if len(found) > 1:
        raise UsageError(
            f"{' and '.join(found)} have overwritten each other's module {_MODULE}, so nobody can tell which it is: "
            f"{remove}"
        )
    [name] = found
    if _SOUND.get(name) != version(name):
        reason = "it cannot train" if name == "fasttext-predict" else (
            "in one thread it may leave a part of the model without values"
        )  # fmt: skip
        known = " or ".join(f"{sound} {number}" for sound, number in _SOUND.items())
        raise UsageError(f"{name} {version(name)} is no package to train with ({reason}), but {known} is: {remove}")
    import fasttext

    return fasttext


def train_fasttext(
    positive: Iterable[pa.StringArray],
    negative: Iterable[pa.StringArray],
    out: Path,
    *,
    seed: int = 0,
    held_out: float = 0.2,
    dim: int = 100,
    word_ngrams: int = 2,
    learning_rate: float = 0.1,
    epochs: int = 5,
    buckets: int = 2_000_000,
    min_count: int = 1,
    max_documents: int = 400_000,
) -> TrainedFastText:
    """Trains a model that tells `positive` texts from `negative` ones, and writes it to `out`.

    Args:
        positive: batches of texts; nulls and blank texts are passed over.
        negative: the same.
        out: a .bin file, or a .ftz file for a quantised one, a fifth of the size or less.
        seed: decides which texts are held out, their order, and the first values of the model.
        held_out: share of each class that is not trained on; at most 10,000 texts are.
        dim: width of the embedding.
        word_ngrams: words of the longest n-gram.
        learning_rate: at the beginning; it falls to zero.
        epochs: how often each text is seen.
        buckets: rows for n-grams; at 2 million and 100 dimensions the file has 800 MB.
        min_count: a word that stands fewer times in the training texts has no row of its own.
        max_documents: different texts of each class; of more, a sample is taken.

    Raises:
        UsageError: if the package is missing or none to train with.
        InputError: if a class has too few different texts, or a setting is out of its range.
    """
    fasttext = check_package()
    if out.suffix not in (".bin", _QUANTISED):
        raise InputError(f"{out}: fastText models are .bin files, or .ftz for quantised ones; name it so")
    if not 0.05 <= held_out <= 0.5:
        raise InputError(f"held_out: {held_out} is out of range; use 0.05 to 0.5")
    with storage_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            good = _Texts("positive", POSITIVE, Path(folder), seed, max_documents).taken(positive)
            bad = _Texts("negative", NEGATIVE, Path(folder), seed, max_documents).taken(negative)
            contradictions = good.places.keys() & bad.places.keys()
            tests = [texts.held_out(contradictions, held_out) for texts in (good, bad)]
            lines, model = Path(folder) / "train.txt", Path(folder) / out.name
            with open(lines, "w", encoding="utf-8", newline="\n") as file:
                file.writelines(_training_lines(good, bad))
            trained = fasttext.train_supervised(
                input=str(lines),
                dim=dim,
                wordNgrams=word_ngrams,
                lr=learning_rate,
                epoch=epochs,
                bucket=buckets,
                minCount=min_count,
                loss="softmax",
                seed=seed % 2**31,
                thread=1,
                verbose=0,
            )
            if out.suffix == _QUANTISED:
                trained.quantize(input=str(lines), qnorm=True)
            trained.save_model(str(model))
            scores = [_scores(FastTextModel.load(model), texts) for texts in tests]
            with open(model, "rb") as source, atomic_file(out) as target:
                shutil.copyfileobj(source, target)
    labels = np.repeat(np.array([1, 0], np.int8), [len(part) for part in scores])
    probabilities = np.concatenate(scores)
    return TrainedFastText(
        path=out,
        sha256=sha256_of(out),
        auc=float(roc_auc_score(labels, probabilities)),
        reliability=reliability(probabilities, labels),
        contradictions=len(contradictions),
    )


def one_line(text: str) -> str:
    """A text as fastText trains on it: one line, without the words that mean something else to it.

    >>> one_line("two\\nlines </s> __label__x")
    'two lines   label__x'
    """
    for mark, instead in (("\n", " "), ("</s>", " "), (LABEL_PREFIX, "label__")):
        text = text.replace(mark, instead)
    return text


class _Texts:
    """The different texts of one class, in a file below `folder`.

    places      dict: the key of each text (a hash of it and the seed), and where its line begins
    """

    def __init__(self, name: str, label: str, folder: Path, seed: int, most: int) -> None:
        self.name, self.label = name, label
        self.places: dict[int, int] = {}
        self._path = folder / f"{label}.txt"
        self._key, self._most = seed.to_bytes(16, "little", signed=True), most

    def taken(self, batches: Iterable[pa.StringArray]) -> _Texts:
        """Reads the class, and keeps the texts of the lowest keys."""
        with open(self._path, "wb") as file:
            for batch in batches:
                for text in batch.to_pylist():
                    line = one_line(text or "").encode()
                    key = int.from_bytes(blake2b(line, digest_size=8, key=self._key).digest())
                    if line.strip() and key not in self.places:
                        self.places[key] = file.tell()
                        file.write(line + b"\n")
                if len(self.places) > 2 * self._most:
                    self._cut()
        self._cut()
        return self

    def _cut(self) -> None:
        self.places = {key: self.places[key] for key in sorted(self.places)[: self._most]}

    def held_out(self, contradictions: Set[int], share: float) -> list[str]:
        """Takes out the texts that the other class has, too, and returns a share of the others, taken out as well."""
        keys = [key for key in self.places if key not in contradictions]
        if len(keys) < _MIN_DOCUMENTS:
            raise InputError(
                f"{self.name} texts: {len(keys)} different ones are too few to train on and to test with; give "
                f"{_MIN_DOCUMENTS} or more that do not stand among the others, too"
            )
        count = min(round(len(keys) * share), _MAX_HELD_OUT)
        texts = list(self._lines(keys[:count]))
        self.places = {key: self.places[key] for key in keys[count:]}
        return texts

    def labelled(self) -> Iterator[tuple[int, str]]:
        """The remaining texts as lines of fastText's input, each with its key, in the order of these."""
        lines = (f"{LABEL_PREFIX}{self.label} {line}\n" for line in self._lines(self.places))
        return zip(self.places, lines, strict=True)

    def _lines(self, keys: Iterable[int]) -> Iterator[str]:
        with open(self._path, "rb") as file:
            for key in keys:
                file.seek(self.places[key])
                yield file.readline().decode().removesuffix("\n")


def _training_lines(good: _Texts, bad: _Texts) -> Iterator[str]:
    """The lines of fastText's input, both classes mixed by their keys."""
    return (line for _, line in heapq.merge(good.labelled(), bad.labelled()))


def _scores(model: FastTextModel, texts: list[str]) -> NDArray[np.float64]:
    """The probability of the positive label of each text."""
    return np.concatenate(
        [
            model.probability_of(TextBatch.of_texts(texts[first : first + _BATCH_TEXTS]), POSITIVE)
            for first in range(0, len(texts), _BATCH_TEXTS)
        ]
    )
