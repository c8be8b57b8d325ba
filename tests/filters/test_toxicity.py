"""The toxicity filter, its sentences, features and lists, against plain Python; its training and evaluation."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import json
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import ALPHA, CLASSES, FOLD, SOLO, TERMINAL, WORD
from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.documents.shards import sha256_of
from corpusmill.filters import toxicity_kernels as kernels
from corpusmill.filters.quality_model import QualityModel
from corpusmill.filters.toxicity import Reason, Toxicity
from corpusmill.filters.toxicity_model import ToxicityModel, feature_matrix, sentences_of
from corpusmill.filters.toxicity_probes import MEDICAL, identity_sentences
from corpusmill.filters.toxicity_training import (
    Comments,
    evaluate_toxicity,
    evaluation_text,
    folds_of,
    highest_scores,
    read_comments,
    train_toxicity,
)
from corpusmill.filters.word_list import WordList
from corpusmill.pipeline.command import app

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "cases" / "toxicity.jsonl").read_text(encoding="utf-8").splitlines()
]
BITS = 16


def features_of_text(text: str, bits: int = BITS) -> np.ndarray:
    batch = TextBatch.of_texts([text])
    return np.unique(feature_matrix(batch, batch.words.firsts, bits).indices)


def model_against(word: str, intercept: float = -1.0) -> ToxicityModel:
    """A model whose only weights are those of one word, alone."""
    features = features_of_text(word).astype(np.uint32)
    return ToxicityModel(
        bits=BITS, features=features, weights=np.full(len(features), 1000, np.int16), scale=0.01, intercept=intercept,
        slope=2.0, offset=0.0, facts={},
    )  # fmt: skip


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("toxicity")
    model_against("zorgle", intercept=-4.0).save(folder / "model.npz")
    (folder / "words").write_text("flumpet\nwet eel\n悪言葉\n")
    return {"model": str(folder / "model.npz"), "words": str(folder / "words")}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_a_case_is_judged_as_its_title_says(case: dict[str, object], paths: dict[str, str]) -> None:
    stage = Toxicity(**paths, **case.get("options", {}))
    (verdict,) = stage.judge(stage.measure(TextBatch.of_texts([case["text"]]))).to_pylist()
    assert (None if verdict is None else list(Reason)[verdict].value) == case["reason"]


def test_every_declared_reason_has_a_case() -> None:
    assert {case["reason"] for case in CASES} - {None} == {reason.value for reason in Reason}


def test_what_was_not_asked_for_is_null(paths: dict[str, str]) -> None:
    batch = TextBatch.of_texts(["the tide was out", ""])
    of_list = Toxicity(words=paths["words"]).measure(batch)
    assert of_list.schema == Toxicity.measures
    assert of_list.to_pylist()[0] == {"max_score": None, "toxic_share": None, "list_density": 0.0}
    of_model = Toxicity(model=paths["model"]).measure(batch).to_pylist()
    assert of_model[0]["list_density"] is None
    assert of_model[0]["toxic_share"] == 0.0
    assert of_model[1] == {"max_score": None, "toxic_share": None, "list_density": None}


def test_thresholds_do_not_change_what_is_measured(paths: dict[str, str]) -> None:
    batch = TextBatch.of_texts([case["text"] for case in CASES])
    strict = Toxicity(**paths, max_score=0.0, max_toxic_share=0.0, max_list_density=0.0)
    assert strict.measure(batch) == Toxicity(**paths).measure(batch)


def test_scores_do_not_depend_on_the_other_documents(paths: dict[str, str]) -> None:
    texts = [case["text"] for case in CASES]
    together = Toxicity(**paths).measure(TextBatch.of_texts(texts)).to_pylist()
    assert together == [Toxicity(**paths).measure(TextBatch.of_texts([text])).to_pylist()[0] for text in texts]


PIECES = st.sampled_from(
    [
        "the ",
        "sea",
        " ",
        "\n",
        ". ",
        ".",
        "? ",
        '." ',
        "Mr. ",
        "3.14 ",
        "…",
        "。",
        "文",
        "あ",
        "!",
        "x" * 40,
        "É",
        "\u2028",
    ]
)
TEXTS = st.lists(PIECES, max_size=40).map("".join)


def plain_sentences(text: str) -> list[list[str]]:
    """The words of each sentence, with how they stand to each other seen from the text alone."""
    words = [
        (part.start(), part.end())
        for whole in re.finditer(r"\w+|[^\w\s]", text)
        for part in solo_parts(text, whole.start(), whole.end())
    ]
    sentences: list[list[str]] = []
    current: list[str] = []
    ended = False
    for number, (start, end) in enumerate(words):
        word = text[start:end]
        current.append(word)
        bits = int(np.bitwise_or.reduce(CLASSES[[ord(sign) for sign in word]]))
        punctuation = bool(np.bitwise_and.reduce(CLASSES[[ord(sign) for sign in word]]) & 8)
        ended = True if bits & TERMINAL else ended and punctuation
        done = number + 1 == len(words) or len(current) == 128
        if not done:
            following = words[number + 1][0]
            if "\n" in text[end:following]:
                done = True
            elif ended and following > end:
                done = len(current) > 3
            elif ended and CLASSES[ord(text[following])] & SOLO:
                done = not CLASSES[ord(word[0])] & SOLO and ord(word[0]) >= 0x80
        if done:
            sentences.append(current)
            current, ended = [], False
    return sentences


def solo_parts(text: str, start: int, end: int) -> list[re.Match[str]]:
    """A word, or its parts where characters in it are words of their own."""
    solo = "".join(sign for sign in text[start:end] if CLASSES[ord(sign)] & SOLO)
    pattern = rf"[{solo}]|[^{solo}]+" if solo else r"(?s:.+)"
    return list(re.compile(pattern).finditer(text, start, end))


@settings(max_examples=300)
@given(st.lists(TEXTS, max_size=3))
def test_sentences_are_those_of_plain_python(texts: list[str]) -> None:
    batch = TextBatch.of_texts(texts)
    found = sentences_of(batch)
    words = batch.words
    spans = [batch.text[a:z].tobytes().decode() for a, z in zip(words.starts, words.ends, strict=True)]
    ours = [
        [spans[a:z] for a, z in itertools.pairwise(found.bounds[first : last + 1].tolist())]
        for first, last in itertools.pairwise(found.firsts.tolist())
    ]
    assert ours == [plain_sentences(text) for text in texts]


def test_a_sentence_without_an_end_is_cut() -> None:
    found = sentences_of(TextBatch.of_texts(["word " * 300]))
    assert np.diff(found.bounds).tolist() == [128, 128, 44]


def plain_step(value: int, symbol: int) -> int:
    value = (value ^ symbol) * 0x9FB21C651E98DF25 % 2**64
    return value ^ value >> 32


def plain_mixed(value: int) -> int:
    value ^= value >> 32
    value = value * 0xD6E8FEB86659FD93 % 2**64
    return value ^ value >> 29


def plain_characters(text: str) -> set[int]:
    """The hashes of four neighbouring characters, of a text whose words are ASCII or single ideographs."""
    drawn = str.maketrans("013457@$!*", "oieastasi*")
    found = set()
    for chunk in text.split():
        core = chunk.strip("".join(sign for sign in chunk if not CLASSES[ord(sign)] & WORD and sign not in "@$*"))
        if not core or not any(CLASSES[ord(sign)] & ALPHA for sign in chunk):
            continue
        signs = "".join(chr(FOLD[ord(sign)]) for sign in core)
        signs = re.sub(r"(.)\1{2,}", r"\1\1", signs.translate(drawn))
        padded = [0, 0, 0x20, *(ord(sign) & 0xFFFF for sign in signs), 0x20]
        windows = [padded[end - 4 : end] for end in range(4, len(padded) + 1) if end >= 6 or end == len(padded)]
        for window in windows:
            packed = window[0] << 48 | window[1] << 32 | window[2] << 16 | window[3]
            found.add(plain_mixed(plain_step(0x5851F42D4C957F2D, packed)))
    return found


CHUNKS = st.lists(
    st.sampled_from(
        ["sh1t", "$tup!d", "a", "A", "!!", "'", "(no)", "woooord", "1999", "@you", "文字", "É", " ", "\n", "f*ck"]
    ),
    max_size=8,
).map("".join)


@settings(max_examples=300)
@given(CHUNKS, st.sampled_from([8, 16, 20]))
def test_features_are_words_pairs_and_four_characters(text: str, bits: int) -> None:
    batch = TextBatch.of_texts([text])
    hashes = batch.folded_hashes.tolist()
    pairs = [plain_mixed(plain_step(a, b)) for a, b in itertools.pairwise(hashes)]
    expected = {value >> (64 - bits) for value in (*hashes, *pairs, *plain_characters(text))}
    matrix = feature_matrix(batch, batch.words.firsts, bits)
    assert sorted(matrix.indices.tolist()) == sorted(expected)


def test_a_disguised_word_shares_the_characters_of_the_word() -> None:
    plain, disguised = set(features_of_text("stupid").tolist()), set(features_of_text("$tuuuup1d").tolist())
    assert len(plain & disguised) >= 3


@settings(max_examples=100)
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_decisions_are_the_dot_products_of_the_features(texts: list[str]) -> None:
    random = np.random.default_rng(5)
    model = ToxicityModel(
        bits=12, features=np.arange(1 << 12, dtype=np.uint32),
        weights=random.integers(-32767, 32767, 1 << 12, dtype=np.int16), scale=1e-4, intercept=0.25, slope=1.5,
        offset=0.1, facts={},
    )  # fmt: skip
    batch = TextBatch.of_texts(texts)
    bounds = sentences_of(batch).bounds
    rows = feature_matrix(batch, bounds, 12)
    counts = np.diff(rows.indptr) + kernels.PRIOR_FEATURES
    expected = rows.astype(np.float64) @ (model.table * model.scale) / np.sqrt(counts) + model.intercept
    assert model.range_decisions(batch, bounds) == pytest.approx(expected, abs=1e-9)


def test_the_share_counts_sentences_at_the_threshold() -> None:
    firsts = np.array([0, 3, 3, 4], np.int32)
    highest, shares = np.empty(3), np.empty(3)
    scores = np.array([0.2, 0.5, 0.9, 0.1])
    kernels.summarise(firsts, scores, 0.5, highest, shares)
    assert highest.tolist()[::2] == [0.9, 0.1]
    assert shares.tolist()[::2] == [2 / 3, 0.0]
    assert np.isnan([highest[1], shares[1]]).all()


LISTED = ["sea", "sea wall", "the sea wall path", "文", "言葉"]
LIST_TEXTS = st.lists(
    st.sampled_from(["sea ", "Sea ", "wall ", "the ", "path ", "文", "言", "葉", "x ", ", "]), max_size=14
).map("".join)


@settings(max_examples=200)
@given(st.lists(LIST_TEXTS, max_size=4))
def test_the_density_of_listed_words_is_that_of_plain_python(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "listed"
    if not path.exists():
        path.write_text("\n".join(LISTED))
    entries = [tuple(words_in(entry)) for entry in LISTED]
    for text, density in zip(texts, WordList.load(path).densities(TextBatch.of_texts(texts)), strict=True):
        words = [word.lower() for word in words_in(text)]
        place = found = 0
        while place < len(words):
            lengths = [len(entry) for entry in entries if tuple(words[place : place + len(entry)]) == entry]
            found += bool(lengths)
            place += max(lengths, default=1)
        spoken = sum(word != "," for word in words)
        assert np.isnan(density) if spoken == 0 else density == pytest.approx(1000 * found / spoken)


def words_in(text: str) -> list[str]:
    return re.findall(r"[a-zA-Z]+|[^\sa-zA-Z]", text)


@pytest.mark.realdata
def test_every_entry_of_ldnoobw_is_found_in_a_text_of_itself(realdata: Path) -> None:
    folder = realdata / "urls" / "badwords_psl_easylist" / "ldnoobw"
    for language in ("en", "de", "ja", "zh", "th", "ru", "ar", "hi"):
        entries = [line for line in (folder / language).read_text(encoding="utf-8").splitlines() if line.strip()]
        batch = TextBatch.of_texts([f"x {entry} x" for entry in entries])
        densities = WordList.load(folder / language).densities(batch)
        assert [entry for entry, density in zip(entries, densities, strict=True) if not density > 0] == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"no word is listed in it; give one a line"),
        (b"\n  \n", r"no word is listed in it"),
        (b"caf\xe9\n", r"is no UTF-8 text"),
        (b"x" * 4_000_001, r"is larger than 4,000,000 bytes, and no list of words"),
    ],
)
def test_a_broken_list_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(InputError, match=message):
        Toxicity(words=str(tmp_path / "list")).prepare()
    with pytest.raises(InputError, match=r"nowhere: there is no such list of words"):
        Toxicity(words="nowhere").prepare()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"toxicity: nothing to judge by; give toxicity.model, toxicity.words or both"),
        ({"words": "w", "max_toxic_share": 1.5}, r"toxicity.max_toxic_share: 1.5 is not between 0 and 1"),
        ({"words": "w", "sentence_threshold": -0.1}, r"toxicity.sentence_threshold: -0.1 is not between 0 and 1"),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Toxicity(**options)


def test_a_saved_model_is_read_back_and_another_kind_is_refused(tmp_path: Path) -> None:
    model = model_against("zorgle")
    digest = model.save(tmp_path / "toxicity.npz")
    again = ToxicityModel.load(tmp_path / "toxicity.npz")
    assert isinstance(again, ToxicityModel)
    assert again.save(tmp_path / "again.npz") == digest
    fields = {item.name: getattr(model, item.name) for item in dataclasses.fields(model)}
    QualityModel(**fields).save(tmp_path / "quality.npz")
    with pytest.raises(InputError, match=r"quality.npz: is a quality model and no toxicity model; name another"):
        Toxicity(model=str(tmp_path / "quality.npz")).prepare()
    with pytest.raises(InputError, match=r"toxicity.npz: is a toxicity model and no quality model"):
        QualityModel.load(tmp_path / "toxicity.npz")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-40], r"is no toxicity model, or a damaged one"),
        (lambda content: b"", r"is no toxicity model, or a damaged one"),
    ],
)
def test_a_damaged_model_is_refused(tmp_path: Path, damage: object, message: str) -> None:
    model_against("zorgle").save(tmp_path / "model.npz")
    (tmp_path / "model.npz").write_bytes(damage((tmp_path / "model.npz").read_bytes()))  # type: ignore[operator]
    with pytest.raises(InputError, match=message):
        Toxicity(model=str(tmp_path / "model.npz")).prepare()


def test_a_model_of_another_sha256_is_refused(paths: dict[str, str]) -> None:
    Toxicity(model=paths["model"], sha256=sha256_of(Path(paths["model"]))).prepare()
    with pytest.raises(InputError, match=r"its sha256 is [0-9a-f]{64}, but the recipe asks for 00ff"):
        Toxicity(model=paths["model"], sha256="00ff").prepare()
    with pytest.raises(InputError, match=r"nowhere.npz: there is no such toxicity model; make one with"):
        Toxicity(model="nowhere.npz").prepare()


def test_a_worker_gets_the_stage_without_its_model(paths: dict[str, str]) -> None:
    stage = Toxicity(**paths)
    stage.prepare()
    sent = pickle.dumps(stage)
    assert len(sent) < 2000
    assert pickle.loads(sent) == stage  # noqa: S301


TOXIC = ("you zorgle", "what a zorgle you are", "shut up zorgle", "all of them are zorgles")
OTHER = ("the tide is out", "we sat by the harbour", "she mends the nets", "what a fine day it is")


def comments(count: int = 40) -> list[tuple[str, bool]]:
    """So many toxic and as many other comments, all different."""
    return [
        (f"{text} number {number}", texts is TOXIC)
        for texts in (TOXIC, OTHER)
        for number, text in zip(range(count), itertools.cycle(texts))
    ]


def write_csv(path: Path, rows: list[tuple[str, bool]]) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "comment_text", "toxic", "obscene"])
        writer.writerows([number, text, int(toxic), 0] for number, (text, toxic) in enumerate(rows))
    return path


@pytest.fixture
def jigsaw(tmp_path: Path) -> Path:
    return write_csv(tmp_path / "train.csv", comments())


def test_comments_are_read_once_each_and_without_contradictions(tmp_path: Path) -> None:
    rows = [("same, and\nagain", True), ("same, and\nagain", True), ("both", True), ("both", False), ("fine", False)]
    found = read_comments(write_csv(tmp_path / "c.csv", [*rows, (" ", True)]))
    assert found.given == 5
    assert sorted(zip(found.texts.to_pylist(), found.toxic.tolist(), strict=True)) == [
        ("fine", False),
        ("same, and\nagain", True),
    ]


def test_any_of_several_labels_is_toxic_and_unjudged_rows_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    path.write_text("comment_text,toxic,threat\none,0,1\ntwo,0,0\nthree,-1,-1\nfour,1,0\n")
    found = read_comments(path, label_columns=("toxic", "threat"))
    assert dict(zip(found.texts.to_pylist(), found.toxic.tolist(), strict=True)) == {
        "one": True,
        "two": False,
        "four": True,
    }


def test_training_finds_what_is_toxic_whatever_the_order(jigsaw: Path, tmp_path: Path) -> None:
    trained = train_toxicity(read_comments(jigsaw))
    assert trained.auc == 1.0
    shuffled = write_csv(tmp_path / "other.csv", comments()[::-1])
    assert train_toxicity(read_comments(shuffled)).save(tmp_path / "b") == trained.save(tmp_path / "a")
    toxic, other = highest_scores(trained.model, pa.array(["You are a ZORGLE.", "The harbour at low tide."]))
    assert other < 0.5 < toxic


def test_folds_depend_on_the_comment_and_the_seed_alone() -> None:
    texts = pa.array([f"comment {number}" for number in range(500)])
    assert (folds_of(texts, 1)[::-1] == folds_of(texts.take(pa.array(range(499, -1, -1))), 1)).all()
    assert (folds_of(texts, 1) != folds_of(texts, 2)).any()
    assert np.bincount(folds_of(texts, 1)).min() > 70


def test_clean_texts_teach_what_is_not_toxic(jigsaw: Path) -> None:
    found = read_comments(jigsaw)
    prose = pa.array([f"Gulls number {number} over a long breakwater. They wheel and cry." for number in range(200)])
    plain, taught = (train_toxicity(found, clean=clean).model for clean in ((), [prose]))
    assert taught.facts["clean_sentences"] == 201
    sentence = pa.array(["Gulls wheel over a long breakwater."])
    assert highest_scores(taught, sentence)[0] < highest_scores(plain, sentence)[0] - 0.1
    assert highest_scores(taught, pa.array(["what a zorgle you are"]))[0] > 0.5


def test_an_evaluation_counts_hits_and_false_alarms(jigsaw: Path) -> None:
    found = read_comments(jigsaw)
    silent = replace(model_against("zorgle"), intercept=-50.0)
    told = evaluate_toxicity(silent, found)
    assert (told.comments, told.toxic, told.precision, told.recall) == (80, 40, 0.0, 0.0)
    assert told.identity_rate == told.medical[1] == 0.0
    loud = evaluate_toxicity(replace(silent, intercept=50.0), found)
    assert (loud.precision, loud.recall) == (0.5, 1.0)
    assert set(loud.identity_rates) == set(identity_sentences())
    assert loud.identity_rate == loud.medical[1] == 1.0
    assert loud.medical[0] == len(MEDICAL)
    assert "  medicine                  1.000 of 40 sentences" in evaluation_text(loud).splitlines()


def test_probes_name_each_term_and_none_twice() -> None:
    sentences = [sentence for group in identity_sentences().values() for sentence in group]
    assert len(sentences) == len(set(sentences))
    assert len(sentences) > 350


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"cannot be read as CSV"),
        ("comment_text,toxic\n", r"of 0 judged comments none is toxic"),
        ("text,toxic\na,1\n", r'has no column "comment_text", but text, toxic; name the columns with --text-column'),
        ("comment_text,toxic\na,0\nb,0\n", r'of 2 judged comments none is toxic; toxic hold 0, and "1" means toxic'),
        ("comment_text,toxic\na,1\nb,1\n", r"of 2 judged comments none is not toxic"),
        ("comment_text,toxic\na,1,7\n", r"cannot be read as CSV"),
    ],
)
def test_a_broken_csv_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "c.csv").write_text(content)
    with pytest.raises(InputError, match=message):
        read_comments(tmp_path / "c.csv")


def test_too_few_comments_are_refused(tmp_path: Path) -> None:
    few = write_csv(tmp_path / "c.csv", comments(19))
    with pytest.raises(InputError, match=r"toxic comments: 19 different ones are too few to learn from; give 20"):
        train_toxicity(read_comments(few))
    with pytest.raises(InputError, match=r"bits: 7 is out of range"):
        train_toxicity(Comments(pa.array(["a"]), np.array([True]), 1), bits=7)
    with pytest.raises(InputError, match=r"there is no such CSV file of comments"):
        read_comments(tmp_path / "nowhere.csv")


def test_the_commands_train_and_evaluate(jigsaw: Path, tmp_path: Path) -> None:
    out = tmp_path / "model.npz"
    trained = CliRunner().invoke(app, ["train", "toxicity", "--csv", str(jigsaw), "--out", str(out), "--json"])
    assert trained.exit_code == 0, trained.output
    assert json.loads(trained.stdout)["sha256"] == sha256_of(out)
    found = CliRunner().invoke(app, ["evaluate", "toxicity", str(out), "--csv", str(jigsaw), "--json"])
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["roc_auc"] == 1.0
    wrong = CliRunner().invoke(app, ["evaluate", "toxicity", str(jigsaw), "--csv", str(jigsaw)])
    assert wrong.exit_code == 2
    assert "is no toxicity model" in wrong.output


@pytest.mark.realdata
def test_real_comments_are_told_apart_better_than_by_words_alone(realdata: Path) -> None:
    found = read_comments(
        realdata / "quality" / "surge_toxicity_en.csv",
        text_column="text",
        label_columns=("is_toxic",),
        positive_value="Toxic",
    )
    assert len(found.texts) == 999
    assert train_toxicity(found).auc > 0.94  # docs/accuracy.md has the figure beside plain baselines'
