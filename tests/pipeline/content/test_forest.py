from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.documents.compiled import frozen
from corpusmill.documents.errors import InputError
from corpusmill.pipeline.content.features import CONTEXT_NAMES, NAMES, WORD_BITS
from corpusmill.pipeline.content.forest import SHIPPED, Forest, Model, load, save


def forest(column: list[int], threshold: list[float], left: list[int], right: list[int], roots: list[int]) -> Forest:
    return Forest(
        base=0.25,
        roots=frozen(np.array(roots, np.int32)),
        column=frozen(np.array(column, np.int16)),
        threshold=frozen(np.array(threshold, np.float32)),
        left=frozen(np.array(left, np.int32)),
        right=frozen(np.array(right, np.int32)),
    )


STUMPS = forest([0, -1, -1, 1, -1, -1], [0.5, -1, 1, 2, 10, 20], [1, 0, 0, 4, 0, 0], [2, 0, 0, 5, 0, 0], [0, 3])


def written(folder: Path, **changed: object) -> Path:
    """A small sound model, and then some of its arrays changed, or left out where they are None."""
    path = folder / "model.npz"
    save(path, Model(np.zeros(1 << WORD_BITS, np.float32), STUMPS, STUMPS))
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    arrays |= {name.replace("__", "."): value for name, value in changed.items()}
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    return path


def test_a_row_goes_left_where_its_column_is_at_most_the_threshold():
    rows = frozen(np.array([[0.5, 2], [0.6, 2], [0.5, 3]], np.float32))
    assert STUMPS.scores(rows).tolist() == [9.25, 11.25, 19.25]


@given(st.integers(0, 2**32 - 1))
def test_trees_are_walked_as_plain_python_walks_them(seed):
    chance = np.random.default_rng(seed)
    column, threshold, left, right, roots = [], [], [], [], []

    def grow(depth: int) -> int:
        here = len(column)
        leaf = depth == 0 or chance.random() < 0.3
        column.append(-1 if leaf else int(chance.integers(3)))
        threshold.append(float(np.float32(chance.normal())))
        left.append(0)
        right.append(0)
        if not leaf:
            left[here], right[here] = grow(depth - 1), grow(depth - 1)
        return here

    roots = [grow(4) for _ in range(3)]
    rows = chance.normal(size=(chance.integers(10), 3)).astype(np.float32)
    expected = []
    for row in rows:
        total = 0.25
        for node in roots:
            while column[node] >= 0:
                node = left[node] if row[column[node]] <= np.float32(threshold[node]) else right[node]
            total += threshold[node]
        expected.append(total)
    found = forest(column, threshold, left, right, roots).scores(frozen(rows))
    assert found == pytest.approx(expected, abs=1e-5)


def test_the_trees_say_what_scikit_learn_says(monkeypatch):
    from sklearn.ensemble import HistGradientBoostingClassifier

    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[3] / "tools"))
    tool = importlib.import_module("train_content_model")
    chance = np.random.default_rng(0)
    rows = chance.normal(size=(2000, 6)).astype(np.float32)
    label = rows[:, 0] * rows[:, 1] + rows[:, 2] > 0.3
    model = HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=8, random_state=0).fit(rows, label)
    found = tool.forest(model).scores(frozen(rows))
    close = np.abs(found - model.decision_function(rows)) < 1e-4
    assert close.mean() > 0.999  # a value between a threshold and its nearest float32 may go the other way


def test_a_model_comes_back_as_it_was_saved(tmp_path):
    model = load(written(tmp_path))
    rows = frozen(np.random.default_rng(1).normal(size=(4, len(NAMES))).astype(np.float32))
    assert model.first.scores(rows).tolist() == STUMPS.scores(rows).tolist()
    assert len(model.lexicon) == 1 << WORD_BITS


def test_the_shipped_model_is_loaded_once():
    assert load() is load()
    assert load().first.column.max() < len(NAMES)
    assert load().second.column.max() < len(CONTEXT_NAMES)
    assert SHIPPED.stat().st_size < 500_000


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"kind": np.array("other")}, 'no content model of kind "corpusmill content 1"'),
        ({"lexicon": None}, "lacks its lexicon of 16,384 words"),
        ({"lexicon": np.zeros(3)}, "lacks its lexicon"),
        ({"second__left": None}, "lacks second.left"),
        ({"first__columns": np.array(["a"])}, "was trained on other features"),
        ({"first__left": np.array([1, 0, 0, 3, 0, 0])}, "point outside"),
        ({"first__right": np.array([9, 0, 0, 5, 0, 0])}, "point outside"),
        ({"first__roots": np.array([6])}, "point outside"),
        ({"first__column": np.array([999, -1, -1, 1, -1, -1])}, "point outside"),
        ({"first__threshold": np.zeros(2)}, "point outside"),
    ],
)
def test_a_model_that_cannot_be_used_is_named(tmp_path, changed, message):
    path = written(tmp_path, **changed)
    with pytest.raises(InputError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_a_missing_empty_or_cut_model_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.npz: the content model cannot be read"):
        load(tmp_path / "absent.npz")
    (tmp_path / "empty.npz").write_bytes(b"")
    with pytest.raises(InputError, match=r"empty\.npz: no content model, or a damaged one"):
        load(tmp_path / "empty.npz")
    path = written(tmp_path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"model\.npz: no content model, or a damaged one"):
        load(path)
