"""Training quality models with fastText, and telling its packages apart."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError, UsageError
from corpusmill.filters import fasttext_training
from corpusmill.filters.fasttext_model import FastTextModel
from corpusmill.filters.fasttext_training import TrainedFastText, check_package, one_line, train_fasttext

GOOD = "the bridge was built of stone because wood had burnt twice and nobody wished to pay for it again"
BAD = "click here cheap tickets best price login cart subscribe now offer free shipping the of to again"


def texts(words: str, count: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(words.split(), k=chance.randint(8, 30))) for _ in range(count)]


def trained(out: Path, good: list[str], bad: list[str], **options: int) -> TrainedFastText:
    pytest.importorskip("fasttext")
    batches = [[pa.array(part, pa.string()) for part in (kind[::2], kind[1::2])] for kind in (good, bad)]
    return train_fasttext(batches[0], batches[1], out, **{"dim": 8, "buckets": 500, "epochs": 20} | options)


def test_a_trained_model_tells_held_out_texts_apart(tmp_path: Path) -> None:
    result = trained(tmp_path / "new" / "quality.bin", texts(GOOD, 300, 1), texts(BAD, 300, 2))
    assert result.auc > 0.95
    assert sum(row.documents for row in result.reliability) == 120
    model = FastTextModel.load(result.path, result.sha256)
    assert set(model.labels) == {"hq", "cc"}
    good, bad = model.probability_of(TextBatch.of_texts([GOOD, BAD]), "hq")
    assert good > 0.8 > 0.2 > bad
    assert [path.name for path in result.path.parent.iterdir()] == ["quality.bin"]


def test_the_same_texts_and_seed_give_the_same_file_in_any_order(tmp_path: Path) -> None:
    good, bad = texts(GOOD, 100, 3), texts(BAD, 100, 4)
    first = trained(tmp_path / "a.bin", good, bad, seed=7)
    again = trained(tmp_path / "b.bin", [*reversed(good), good[0]], bad[50:] + bad[:50], seed=7)
    other = trained(tmp_path / "c.bin", good, bad, seed=8)
    assert first.sha256 == again.sha256 != other.sha256


def test_a_path_in_ftz_gives_a_quantised_model(tmp_path: Path) -> None:
    result = trained(tmp_path / "quality.ftz", texts(GOOD, 300, 5), texts(BAD, 300, 6))
    plain = trained(tmp_path / "quality.bin", texts(GOOD, 300, 5), texts(BAD, 300, 6))
    assert result.path.stat().st_size < plain.path.stat().st_size
    assert result.auc > 0.9


def test_texts_of_both_classes_are_left_out(tmp_path: Path) -> None:
    shared = texts(GOOD, 10, 9)
    result = trained(tmp_path / "quality.bin", texts(GOOD, 60, 7) + shared, texts(BAD, 60, 8) + shared)
    assert result.contradictions == 10


def test_labels_and_ends_within_a_text_train_nothing(tmp_path: Path) -> None:
    good = [f"{text} __label__cc </s> __label__third tail" for text in texts(GOOD, 60, 10)]
    result = trained(tmp_path / "quality.bin", good, texts(BAD, 60, 11))
    assert set(FastTextModel.load(result.path).labels) == {"hq", "cc"}
    assert one_line("a\nb__label__c</s>") == "a blabel__c "


@pytest.mark.parametrize(("good", "bad", "named"), [("", BAD, "positive"), (GOOD, "one", "negative")])
def test_too_few_texts_are_refused(good: str, bad: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"{named} texts: . different ones are too few"):
        trained(tmp_path / "quality.bin", texts(good, 50, 12) if good else [], texts(bad, 1, 13) * 50)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_fasttext_does_not_use_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"quality\.npz: fastText models are \.bin files, or \.ftz"):
        trained(tmp_path / "quality.npz", texts(GOOD, 50, 1), texts(BAD, 50, 2))


@pytest.mark.parametrize(
    ("installed", "message"),
    [
        ({}, r"needs its package: pip install 'corpusmill\[fasttext\]'"),
        (
            {"fasttext-wheel": "0.9.2", "fasttext-predict": "0.9.2.4"},
            "fasttext-predict and fasttext-wheel have overwritten each other's module fasttext.*pip uninstall --yes "
            "fasttext-predict fasttext-wheel, then pip install fasttext-wheel==0.9.2",
        ),
        ({"fasttext-predict": "0.9.2.4"}, r"fasttext-predict 0.9.2.4 is no package to train with \(it cannot train\)"),
        ({"fasttext": "0.9.3"}, r"fasttext 0.9.3 is no package .* leave a part of the model without values"),
        ({"fasttext-numpy2-wheel": "0.9.2"}, "but fasttext-wheel 0.9.2 or fasttext-ng 0.9.3 is: pip uninstall --yes "),
    ],
)
def test_another_package_than_a_sound_one_is_named_with_its_mend(
    installed: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fasttext_training, "packages_distributions", lambda: {"fasttext": [*installed, *installed]})
    monkeypatch.setattr(fasttext_training, "version", lambda name: installed[name])
    with pytest.raises(UsageError, match=message):
        check_package()
