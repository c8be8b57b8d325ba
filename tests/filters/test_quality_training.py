"""Training of the quality classifier: what it learns, what it refuses, and that its bytes are always the same."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError
from corpusmill.filters.quality_model import QualityModel
from corpusmill.filters.quality_training import TrainedQuality, platt, reliability, train_quality

GOOD = "harbour ferry morning letter river garden bread winter paper window slowly quietly".split()  # noqa: SIM905
BAD = "casino bonus click winner free offer cheap pills subscribe now limited deal".split()  # noqa: SIM905
COMMON = "the a of and to in is it that was for on with as at by from this not be".split()  # noqa: SIM905


def written(words: list[str], count: int, seed: int, share: float = 0.15) -> list[str]:
    """Texts of common words, with a share of special ones."""
    chance = random.Random(seed)
    return [
        " ".join(chance.choice(words if chance.random() < share else COMMON) for _ in range(chance.randrange(20, 80)))
        for _ in range(count)
    ]


def batches(texts: list[str], size: int = 50) -> list[pa.StringArray]:
    return [pa.array(texts[place : place + size], pa.string()) for place in range(0, len(texts), size)]


@pytest.fixture(scope="module")
def trained() -> TrainedQuality:
    return train_quality(batches(written(GOOD, 300, 1)), batches(written(BAD, 300, 2)), bits=16)


def test_classes_that_differ_are_told_apart_on_texts_not_seen(trained: TrainedQuality) -> None:
    assert trained.auc > 0.99
    assert trained.model.facts["held_out_auc"] == trained.auc
    fresh = trained.model.scores(TextBatch.of_texts([*written(GOOD, 50, 3), *written(BAD, 50, 4)]))
    assert fresh[:50].mean() > 0.9
    assert fresh[50:].mean() < 0.1


def test_classes_that_do_not_differ_are_not_told_apart() -> None:
    same = train_quality(batches(written(GOOD, 400, 5)), batches(written(GOOD, 400, 6)), bits=16)
    assert 0.3 < same.auc < 0.7
    scores = same.model.scores(TextBatch.of_texts(written(GOOD, 100, 7)))
    assert np.abs(scores - 0.5).max() < 0.35


def test_scores_are_calibrated_where_classes_overlap() -> None:
    good, bad = written([*GOOD, *BAD], 2000, 8, 0.05), written(BAD, 2000, 9, 0.05)
    rows = train_quality(batches(good), batches(bad), bits=16, held_out=0.5).reliability
    assert len(rows) >= 4
    assert sum(row.documents for row in rows) == 1000
    for row in rows:
        if row.documents >= 50:
            assert row.low <= row.mean_score <= row.high
            assert row.positive_share == pytest.approx(row.mean_score, abs=0.12)


def test_the_same_texts_give_the_same_bytes_in_any_order_and_any_batches(
    trained: TrainedQuality, tmp_path: Path
) -> None:
    digest = trained.save(tmp_path / "one.npz")
    good, bad = written(GOOD, 300, 1), written(BAD, 300, 2)
    random.Random(3).shuffle(good)
    again = train_quality(batches([*good, *good[:40]], 7), batches(bad[::-1], 1000), bits=16)
    assert again.model.facts["positive"] == {"documents": 340, "different": 300}
    for name in ("features", "weights"):
        assert (getattr(again.model, name) == getattr(trained.model, name)).all()
    assert train_quality(batches(good, 7), batches(bad[::-1], 1000), bits=16).save(tmp_path / "two.npz") == digest
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
    other = train_quality(batches(good), batches(bad), bits=16, seed=1)
    assert other.save(tmp_path / "three.npz") != digest


def test_a_saved_model_scores_as_the_trained_one(trained: TrainedQuality, tmp_path: Path) -> None:
    trained.save(tmp_path / "m.npz")
    batch = TextBatch.of_texts(written(GOOD, 20, 10))
    assert (QualityModel.load(tmp_path / "m.npz").scores(batch) == trained.model.scores(batch)).all()
    assert (tmp_path / "m.npz").stat().st_size < 60_000


def test_a_text_of_both_classes_is_left_out_of_both() -> None:
    shared = written(COMMON, 30, 11)
    model = train_quality(batches([*written(GOOD, 100, 1), *shared]), batches([*shared, *written(BAD, 100, 2)])).model
    assert model.facts["contradictions"] == 30
    assert model.facts["positive"] == {"documents": 130, "different": 100}
    assert model.facts["negative"] == {"documents": 130, "different": 100}


def test_copies_of_a_text_never_stand_on_both_sides_of_the_split() -> None:
    # Every word of a text is its own: held-out texts can only be known from copies.
    texts = [[f"{name}{number}x{word}" for word in range(30)] for name in "pn" for number in range(40)]
    copies = [" ".join(words) for words in texts for _ in range(5)]
    result = train_quality(batches(copies[:200]), batches(copies[200:]), min_documents=1, bits=20)
    assert result.model.facts["positive"] == {"documents": 200, "different": 40}
    assert result.auc == pytest.approx(0.5, abs=0.35)


def test_more_texts_than_the_most_are_sampled_whatever_their_order() -> None:
    good, bad = written(GOOD, 200, 1), written(BAD, 200, 2)
    few = train_quality(batches(good, 9), batches(bad), max_documents=60, bits=16).model
    assert few.facts["positive"] == {"documents": 200, "different": 60}
    again = train_quality(batches(good[::-1], 31), batches(bad), max_documents=60, bits=16).model
    assert (few.features == again.features).all()
    assert (few.weights == again.weights).all()


@pytest.mark.parametrize(
    ("good", "bad", "named"), [(0, 40, "positive"), (40, 0, "negative"), (40, 19, "negative"), (0, 0, "positive")]
)
def test_too_few_texts_of_a_class_are_refused(good: int, bad: int, named: str) -> None:
    with pytest.raises(InputError, match=rf"{named} texts: {min(good, bad)} different ones are too few"):
        train_quality(batches(written(GOOD, good, 1)), batches(written(BAD, bad, 2)))


def test_copies_do_not_make_up_for_too_few_texts() -> None:
    with pytest.raises(InputError, match="positive texts: 1 different ones are too few"):
        train_quality(batches(["one text"] * 100), batches(written(BAD, 30, 2)))


def test_empty_texts_and_nulls_are_passed_over() -> None:
    good = [pa.array(["", None, *written(GOOD, 30, 1)], pa.string())]
    assert train_quality(good, batches(written(BAD, 30, 2))).model.facts["positive"]["documents"] == 30


@pytest.mark.parametrize("option", [{"bits": 4}, {"bits": 40}, {"held_out": 0.9}])
def test_a_setting_out_of_range_is_refused(option: dict[str, float]) -> None:
    with pytest.raises(InputError, match="is out of range; use"):
        train_quality([], [], **option)


def test_texts_that_share_no_word_are_refused() -> None:
    good = [" ".join(f"g{number}x{word}" for word in range(5)) for number in range(30)]
    bad = [" ".join(f"b{number}x{word}" for word in range(5)) for number in range(30)]
    with pytest.raises(InputError, match="no word stands in 2 of 48 training texts; give more texts or"):
        train_quality(batches(good), batches(bad), bits=22)


def test_platt_s_fit_is_that_of_a_logistic_regression() -> None:
    chance = np.random.default_rng(3)
    labels = np.repeat(np.array([1, 0], np.int8), (4000, 1000))
    decisions = chance.normal(np.where(labels == 1, 0.6, -0.4), 1.0)
    slope, offset = platt(decisions, labels)
    regression = LogisticRegression(C=1e9, class_weight="balanced").fit(decisions[:, None], labels)
    assert slope == pytest.approx(regression.coef_[0, 0], rel=0.02)
    assert offset == pytest.approx(regression.intercept_[0], abs=0.02)


def test_platt_s_slope_is_finite_where_classes_are_apart_and_never_negative() -> None:
    labels = np.array([1, 1, 0, 0], np.int8)
    assert 0 < platt(np.array([2.0, 3.0, -2.0, -3.0]), labels)[0] < 10
    assert platt(np.array([-2.0, -3.0, 2.0, 3.0]), labels)[0] == 0


def test_reliability_weighs_both_classes_the_same() -> None:
    scores, labels = np.array([0.85, 0.81, 0.89, 0.85, 0.1, 1.0]), np.array([1, 1, 1, 0, 0, 1], np.int8)
    low, middle, high = reliability(scores, labels)
    assert (low.low, low.high, low.documents, low.positive_share) == (0.1, 0.2, 1, 0.0)
    assert (middle.documents, middle.positive_share) == (4, pytest.approx(0.6))  # 3 of 4 against 1 of 2
    assert (high.low, high.documents, high.positive_share) == (0.9, 1, 1.0)


@pytest.mark.realdata
def test_books_and_spam_are_told_apart_and_the_scores_hold_for_an_encyclopedia(realdata: Path) -> None:
    books = [
        path.read_text(encoding="utf-8")
        for path in sorted((realdata / "text/books_classic_markdown_a").rglob("*.md"))[:12]
    ]
    good = [book[place : place + 3000] for book in books for place in range(0, min(len(book), 90_000), 3000)]
    mails = sorted((realdata / "quality/spamassassin_mail_a").glob("spam-*/*.txt"))[:400]
    bad = [path.read_text(encoding="utf-8", errors="replace").partition("\n\n")[2][:5000] for path in mails]
    result = train_quality(batches(good), batches(bad))
    assert result.auc > 0.99
    wiki = (realdata / "text/wikitext2_valid_test/wikitext-2/valid.txt").read_text(encoding="utf-8")
    unseen = result.model.scores(TextBatch.of_texts([wiki[place : place + 3000] for place in range(0, 300_000, 3000)]))
    assert np.median(unseen) > 0.5
