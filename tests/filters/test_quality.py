"""The quality filter, its model file, and its kernels against plain Python and scikit-learn."""

from __future__ import annotations

import itertools
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.documents.shards import sha256_of
from corpusmill.filters import quality_model
from corpusmill.filters.quality import DEFAULT_PATH, Quality, Reason
from corpusmill.filters.quality_model import QualityModel, feature_rows, scratch

CASES = [
    json.loads(line)
    for line in (Path(__file__).parent.parent / "cases" / "quality.jsonl").read_text(encoding="utf-8").splitlines()
]
WORDS = st.sampled_from(["the", "The", "THÉ", "of", "sea", "1", "buy", "!", "文", "\n", "x" * 40])
TEXTS = st.lists(WORDS, max_size=60).map(" ".join)


def model_of(weights: dict[str, float], *, bits: int = 16, intercept: float = 0.0) -> QualityModel:
    """A model whose only weights are those of some words."""
    batch = TextBatch.of_texts(list(weights))
    features = batch.folded_hashes >> np.uint64(64 - bits)
    order = np.argsort(features)
    values = np.array(list(weights.values()))[order]
    scale = float(np.abs(values).max()) / 32767
    return QualityModel(
        bits=bits,
        features=features[order].astype(np.uint32),
        weights=np.rint(values / scale).astype(np.int16),
        scale=scale,
        intercept=intercept,
        slope=2.0,
        offset=-0.5,
        facts={"held_out_auc": 0.9},
    )


def random_model(bits: int = 12) -> QualityModel:
    random = np.random.default_rng(5)
    features = np.sort(random.choice(1 << bits, 1 << (bits - 1), replace=False)).astype(np.uint32)
    weights = random.integers(-32767, 32767, len(features), dtype=np.int16)
    return QualityModel(
        bits=bits, features=features, weights=weights, scale=1e-4, intercept=0.25, slope=1.5, offset=0.1, facts={}
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    model_of({"harbour": 3.0, "casino": -3.0}).save(tmp_path / "model.npz")
    return tmp_path / "model.npz"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_a_case_is_judged_as_it_says(case: dict[str, object], path: Path) -> None:
    stage = Quality(model=str(path), **case.get("options", {}))
    (verdict,) = stage.judge(stage.measure(TextBatch.of_texts([case["text"]]))).to_pylist()
    assert (None if verdict is None else list(Reason)[verdict]) == case["reason"]


def test_documents_in_languages_that_the_model_does_not_know_get_no_score_and_stay(path: Path) -> None:
    documents = TextBatch.of_texts(["Win at the casino."] * 3).documents
    place = documents.schema.get_field_index("language")
    documents = documents.set_column(place, documents.schema.field(place), pa.array(["en", "de", None]))
    stage = Quality(model=str(path), languages=("en",))
    measures = stage.measure(TextBatch(documents))
    assert measures.column("score").is_null().to_pylist() == [False, True, False]
    assert stage.judge(measures).to_pylist() == [0, None, 0]
    with pytest.raises(RecipeError, match=r'quality.languages: "en" must be a list: \["en"\]'):
        Quality(model=str(path), languages="en")  # type: ignore[arg-type]


def test_every_reason_has_a_case() -> None:
    assert {case["reason"] for case in CASES} - {None} == set(Reason)


@given(st.lists(TEXTS, max_size=6), st.sampled_from([8, 12, 20]))
@settings(max_examples=200, deadline=None)
def test_a_row_has_each_different_feature_of_words_and_pairs_once(texts: list[str], bits: int) -> None:
    batch = TextBatch.of_texts(texts)
    row_ends, columns = np.empty(len(batch), np.int64), np.empty(2 * len(batch.words.starts), np.int32)
    seen, features = scratch(batch, bits)
    feature_rows(batch.words.firsts, batch.folded_hashes, bits, seen, features, row_ends, columns)
    start = 0
    for document, end in enumerate(row_ends.tolist()):
        first, last = batch.words.firsts[document : document + 2]
        hashes = batch.folded_hashes[first:last].tolist()
        pairs = [plain_mixed(plain_step(a, b)) for a, b in itertools.pairwise(hashes)]
        expected = {value >> (64 - bits) for value in [*hashes, *pairs]}
        assert sorted(columns[start:end].tolist()) == sorted(expected)
        start = end
    assert not seen.any()


def plain_step(value: int, symbol: int) -> int:
    value = (value ^ symbol) * 0x9FB21C651E98DF25 % 2**64
    return value ^ value >> 32


def plain_mixed(value: int) -> int:
    value ^= value >> 32
    value = value * 0xD6E8FEB86659FD93 % 2**64
    return value ^ value >> 29


@given(st.lists(TEXTS, min_size=1, max_size=6))
@settings(max_examples=100, deadline=None)
def test_decisions_equal_scikit_learn_s_on_the_same_features(texts: list[str]) -> None:
    model, batch = random_model(), TextBatch.of_texts(texts)
    row_ends, columns = np.empty(len(batch), np.int64), np.empty(2 * len(batch.words.starts), np.int32)
    feature_rows(batch.words.firsts, batch.folded_hashes, model.bits, *scratch(batch, model.bits), row_ends, columns)
    bounds = np.concatenate(([0], row_ends))
    counts = np.diff(bounds)
    values = np.repeat(1 / np.sqrt(np.maximum(counts, 1)), counts)
    rows = csr_matrix((values, columns[: bounds[-1]], bounds), shape=(len(batch), 1 << model.bits))
    regression = LogisticRegression()
    regression.classes_ = np.array([0, 1])
    regression.coef_ = (model.table * model.scale)[None, :]
    regression.intercept_ = np.array([model.intercept])
    assert model.decisions(batch) == pytest.approx(regression.decision_function(rows), abs=1e-6)
    odds = model.slope * model.decisions(batch) + model.offset
    assert model.scores(batch) == pytest.approx(1 / (1 + np.exp(-odds)), abs=1e-12)


def test_a_document_without_words_scores_as_the_intercept_does() -> None:
    model = random_model()
    assert model.decisions(TextBatch.of_texts(["", " \n "])).tolist() == [0.25, 0.25]


def test_scores_do_not_depend_on_the_other_documents() -> None:
    texts = ["harbour and sea", "", "casino casino", "the harbour"] * 3
    together = random_model().scores(TextBatch.of_texts(texts))
    assert together.tolist() == [random_model().scores(TextBatch.of_texts([text]))[0] for text in texts]


def test_a_saved_model_is_read_back_as_it_was(tmp_path: Path) -> None:
    model = random_model()
    digest = model.save(tmp_path / "a.npz")
    again = QualityModel.load(tmp_path / "a.npz")
    assert digest == sha256_of(tmp_path / "a.npz")
    assert (again.features == model.features).all()
    assert (again.weights == model.weights).all()
    for name in ("bits", "scale", "intercept", "slope", "offset", "facts"):
        assert getattr(again, name) == getattr(model, name)
    assert again.save(tmp_path / "b.npz") == digest


def test_the_stage_names_its_file_and_fills_the_document_s_column(path: Path) -> None:
    stage = Quality(model=str(path))
    assert stage.files() == (path,)
    assert Quality.annotations == {"quality": "score"}
    measures = stage.measure(TextBatch.of_texts(["a harbour", "a casino"]))
    assert measures.schema == Quality.measures
    good, bad = measures.column("score").to_pylist()
    assert 0 < bad < 0.5 < good < 1


def test_a_worker_gets_the_stage_without_its_model(path: Path) -> None:
    stage = Quality(model=str(path))
    stage.prepare()
    sent = pickle.dumps(stage)
    assert len(sent) < 1000
    again = pickle.loads(sent)  # noqa: S301
    assert again == stage
    batch = TextBatch.of_texts(["a harbour"])
    assert again.measure(batch) == stage.measure(batch)


def test_a_model_of_the_sha256_asked_for_is_taken(path: Path) -> None:
    Quality(model=str(path), sha256=sha256_of(path)).prepare()


def test_a_model_of_another_sha256_is_refused(path: Path) -> None:
    with pytest.raises(InputError, match=r"its sha256 is [0-9a-f]{64}, but the recipe asks for 00ff"):
        Quality(model=str(path), sha256="00ff").prepare()


@pytest.mark.parametrize("score", [-0.1, 1.01])
def test_a_threshold_that_is_no_probability_is_refused(score: float) -> None:
    with pytest.raises(RecipeError, match=r"quality.min_score: .* is no probability; use 0 to 1"):
        Quality(model="m.npz", min_score=score)


def test_a_missing_model_is_named() -> None:
    with pytest.raises(InputError, match=r"nowhere.npz: there is no such quality model; make one with"):
        Quality(model="nowhere.npz").prepare()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no quality model, or a damaged one"),
        (b"some text", "is no quality model, or a damaged one"),
        (b"PK\x03\x04 and nothing else", "is no quality model, or a damaged one"),
        (pickle.dumps({"bits": 20}), "is no quality model, or a damaged one"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "m.npz").write_bytes(content)
    with pytest.raises(InputError, match=message):
        QualityModel.load(tmp_path / "m.npz")


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    with open(tmp_path / "m.npz", "wb") as stream:
        np.save(stream, np.arange(3))
    with pytest.raises(InputError, match="is a single array and no quality model"):
        QualityModel.load(tmp_path / "m.npz")


def test_other_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", weights=np.arange(3))
    with pytest.raises(InputError, match="its format is none, and quality models here are of format 1"):
        QualityModel.load(tmp_path / "m.npz")


def test_a_pickle_within_is_never_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", format=np.array({"a": 1}, dtype=object))
    with pytest.raises(InputError, match=r"is no quality model, or a damaged one \(it is or holds a pickle\)"):
        QualityModel.load(tmp_path / "m.npz")


@pytest.mark.parametrize("shape", ["(1000000000000000,)", f"({10**30},)", "(1," * 50])
def test_an_array_that_promises_more_than_there_can_be_is_refused(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<u4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as file:
        file.writestr("features.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(InputError, match="is no quality model, or a damaged one"):
        QualityModel.load(tmp_path / "m.npz")


def test_a_model_of_another_version_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", **{**random_model()._arrays(), "format": np.array(2)})
    with pytest.raises(InputError, match="its format is 2, and quality models here are of format 1"):
        QualityModel.load(tmp_path / "m.npz")


def test_a_model_of_other_hash_functions_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(quality_model, "hashes_sign", lambda: "0123456789abcdef")
        random_model().save(tmp_path / "m.npz")
    with pytest.raises(InputError, match=r"its words were hashed by another version of corpusmill than this; train it"):
        QualityModel.load(tmp_path / "m.npz")


def test_a_model_with_other_weights_than_were_written_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", digest=np.array("0" * 64), **random_model()._arrays())
    with pytest.raises(InputError, match="differs from the quality model that was written there"):
        QualityModel.load(tmp_path / "m.npz")


def test_wherever_a_model_is_cut_short_it_is_refused(tmp_path: Path, path: Path) -> None:
    content = path.read_bytes()
    for length in range(0, len(content), 37):
        (tmp_path / "cut.npz").write_bytes(content[:length])
        with pytest.raises(InputError, match=r"cut\.npz: is no quality model, or a damaged one"):
            QualityModel.load(tmp_path / "cut.npz")


def test_wherever_a_byte_is_changed_a_model_is_refused_or_the_same(tmp_path: Path, path: Path) -> None:
    content, weights = path.read_bytes(), QualityModel.load(path)._arrays()
    refused = 0
    for place in range(0, len(content), 7):
        changed = bytearray(content)
        changed[place] ^= 0x55
        (tmp_path / "changed.npz").write_bytes(changed)
        try:
            again = QualityModel.load(tmp_path / "changed.npz")._arrays()
        except InputError:
            refused += 1
        else:
            assert all((again[name] == weights[name]).all() for name in weights)
    assert refused > len(content) / 14


def test_quality_s_measures_are_float64() -> None:
    assert Quality.measures.field("score").type == pa.float64()


GOOD = (
    "The river rises in the hills north of the town and runs for forty miles through farmland before it reaches the "
    "sea. In the eighteenth century a canal was dug beside it, and barges carried coal and grain to the coast until "
    "the railway came. Most of the mills along its banks closed within thirty years, but two of them still stand."
)
LISTING = (
    "Home\nNews\nSport\nWeather\nShop\nSign in\nSubscribe\nMost read\nTop stories\nContact us\nPrivacy policy\n"
    "Terms of use\nAdvertise\nSitemap\n© 2011 All rights reserved\nFollow us\nRSS\n"
)
SPAM = (
    "CONGRATULATIONS! You have been selected! Click here now to claim your FREE offer, no credit card required!!! "
    "Make money fast from home, guaranteed, unsubscribe below. Limited time offer, order now and save 80%!"
)


def test_without_a_model_the_default_one_tells_an_article_from_a_listing_and_from_spam() -> None:
    stage = Quality()
    stage.prepare()
    good, listing, spam = stage.measure(TextBatch.of_texts([GOOD, LISTING, SPAM])).column("score").to_pylist()
    assert good > 0.9
    assert listing < 0.1
    assert spam < 0.1
    assert stage.judge(stage.measure(TextBatch.of_texts([GOOD, LISTING]))).to_pylist() == [None, 0]


def test_the_default_model_is_small_and_its_file_enters_the_fingerprint() -> None:
    assert Quality().files() == Quality(model="default").files() == (DEFAULT_PATH,)
    assert DEFAULT_PATH.stat().st_size <= 4_000_000
    Quality(sha256=sha256_of(DEFAULT_PATH)).prepare()
    with pytest.raises(InputError, match=r"english_quality\.npz: its sha256 is"):
        Quality(sha256="00ff").prepare()


def test_a_model_is_loaded_once_a_process_and_anew_when_its_file_is_another(path: Path) -> None:
    stage, batch = Quality(model=str(path)), TextBatch.of_texts(["a harbour"])
    before = stage.measure(batch)
    assert stage._loaded is Quality(model=str(path), min_score=0.9)._loaded
    model_of({"harbour": -3.0, "casino": 3.0, "sea": 1.0}).save(path)
    assert Quality(model=str(path)).measure(batch) != before
    assert stage.measure(batch) == before


@pytest.fixture(scope="module")
def fasttext_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    fasttext = pytest.importorskip("fasttext")
    folder = tmp_path_factory.mktemp("fasttext")
    lines = ["__label__hq the harbour in the morning", "__label__cc casino bonus click now"] * 40
    (folder / "train.txt").write_text("\n".join(lines) + "\n")
    trained = fasttext.train_supervised(
        str(folder / "train.txt"), dim=8, epoch=10, lr=0.5, thread=1, wordNgrams=2, bucket=1000, verbose=0
    )
    trained.save_model(str(folder / "model.bin"))
    return folder / "model.bin"


def test_a_fasttext_model_scores_by_the_label_s_probability(fasttext_model: Path) -> None:
    import fasttext

    texts = ["the harbour in the morning", "casino bonus now", "the casino in the harbour"]
    ours = Quality(model=str(fasttext_model), label="hq").measure(TextBatch.of_texts(texts)).column("score").to_pylist()
    library = fasttext.load_model(str(fasttext_model))
    for text, score in zip(texts, ours, strict=True):
        # predict(str) of the package fails with numpy 2; what it calls does not.
        found = {label: probability for probability, label in library.f.predict(text + "\n", 2, 0.0, "strict")}
        assert score == pytest.approx(found["__label__hq"], abs=1e-4)
    with_prefix = Quality(model=str(fasttext_model), label="__label__hq")
    assert with_prefix.measure(TextBatch.of_texts(texts)).column("score").to_pylist() == ours


def test_a_label_that_a_fasttext_model_lacks_is_refused_before_any_work(fasttext_model: Path) -> None:
    with pytest.raises(InputError, match=r"quality\.label: .*model\.bin has no label good; it has (hq, cc|cc, hq)"):
        Quality(model=str(fasttext_model), label="good").prepare()
    with pytest.raises(InputError, match="its sha256 is"):
        Quality(model=str(fasttext_model), label="hq", sha256="00ff").prepare()


def test_a_truncated_fasttext_model_is_refused(fasttext_model: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.bin").write_bytes(fasttext_model.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"cut\.bin: cannot be used as a fastText model"):
        Quality(model=str(tmp_path / "cut.bin"), label="hq").prepare()


def test_a_fasttext_model_needs_a_label_and_another_takes_none() -> None:
    with pytest.raises(RecipeError, match=r"quality\.label: m\.bin is a fastText model; name the label of good text"):
        Quality(model="m.bin")
    with pytest.raises(RecipeError, match=r'quality\.label: "hq" is for fastText models .* and default is none'):
        Quality(label="hq")


def test_the_default_model_s_card_is_of_the_file_that_ships() -> None:
    card = (Path(__file__).parents[2] / "docs" / "models" / "english_quality.md").read_text(encoding="utf-8")
    assert f"sha256 `{sha256_of(DEFAULT_PATH)}`" in card
    assert f"{DEFAULT_PATH.stat().st_size:,} bytes" in card


@pytest.mark.realdata
def test_articles_never_seen_rank_above_mail_and_above_their_own_words_in_no_order(
    realdata: Path,
) -> None:
    folder = realdata / "web" / "scrapinghub_article_extraction"
    gold = json.loads((folder / "ground-truth.json").read_text(encoding="utf-8"))
    articles = [page["articleBody"] for page in gold.values() if page["articleBody"].count(" the ") > 5]
    mails = sorted((realdata / "quality" / "spamassassin_mail_a" / "easy-ham-1").iterdir())[:300]
    ham = [path.read_text("latin-1").partition("\n\n")[2] for path in mails]
    words = [" ".join(sorted(set(text.split()))) for text in articles]  # the same words, and no sentence
    scores = [Quality().measure(TextBatch.of_texts(texts)).column("score") for texts in (articles, ham, words)]
    good, mail, lists = (column.to_numpy() for column in scores)
    assert len(articles) > 120
    assert (good[:, None] > mail[None, :]).mean() > 0.85  # a model of books against raw web had .157 (docs/log.md)
    assert (good > lists).mean() > 0.95
    assert np.median(good) > 0.9
