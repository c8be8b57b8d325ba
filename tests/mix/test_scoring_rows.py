from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from corpusmill.documents.errors import DamagedRunError
from corpusmill.mix.groups import find_groups
from corpusmill.mix.scoring_rows import Piece, Rows, Sampling, sampled_texts, write_rows, write_sketch


def made(count: int, seed: int = 1) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(f"w{chance.randrange(10**5)}" for _ in range(100)) for _ in range(count)]


def piece(texts: list[str], first: int = 0, components: list[str | None] | None = None) -> Piece:
    return Piece(
        texts=pa.array(texts, pa.string()),
        id_hash=np.arange(first, first + len(texts), dtype=np.uint64),
        components=None if components is None else pa.array(components, pa.string()),
    )


def noted(folder: Path, pieces: list[Piece], sampling: Sampling, unit: str = "bytes") -> list[Path]:
    for number, one in enumerate(pieces):
        write_rows([one], folder / f"{number}.rows", sampling, unit)
    return [folder / f"{number}.rows" for number in range(len(pieces))]


def test_rows_come_back_with_the_texts_of_the_sample(tmp_path: Path) -> None:
    texts = [*made(40), "", "größer 文字"]
    parts = noted(tmp_path, [piece(texts[:30]), piece(texts[30:], 30)], Sampling(share=0.4), "n_words")
    rows = Rows.read(parts)
    assert rows.id_hash.tolist() == list(range(42))
    assert rows.tokens.tolist() == rows.text_bytes.tolist() == [len(text.encode()) for text in texts]
    assert (rows.copies == 1).all()
    assert (rows.per_pass == 0).all()
    assert (rows.unit, rows.sampling) == ("n_words", Sampling(share=0.4))
    assert 5 < rows.sampled.sum() < 30
    found = [
        (row, text)
        for places, batch in sampled_texts(parts, rows.sampled)
        for row, text in zip(places.tolist(), batch.texts.to_pylist(), strict=True)
    ]
    assert found == [(row, texts[row]) for row in np.flatnonzero(rows.sampled).tolist()]


def test_a_larger_sample_has_the_smaller_one_in_it(tmp_path: Path) -> None:
    texts = made(200)
    small, large = (Rows.read(noted(tmp_path, [piece(texts)], Sampling(share=share))).sampled for share in (0.1, 0.3))
    assert not (small & ~large).any()
    assert small.sum() < large.sum()


def grouped(folder: Path, pieces: list[Piece]) -> Path:
    for number, one in enumerate(pieces):
        write_sketch([one], folder / f"{number}.sketch")
    find_groups([folder / f"{number}.sketch" for number in range(len(pieces))], folder / "groups", folder / "work")
    return folder / "groups"


def test_near_copies_come_into_a_sample_together_where_groups_are_known(tmp_path: Path) -> None:
    texts = [*made(600), "!!!", "", "two words"]
    near = [" ".join(["other", *text.split()[1:]]) if len(text) > 99 else text for text in texts]
    pieces = [piece(texts), piece(near, len(texts))]
    groups = grouped(tmp_path, pieces)
    write_rows(pieces, tmp_path / "rows", Sampling(share=0.2), "bytes", groups)
    first, second = np.split(Rows.read([tmp_path / "rows"]).sampled, 2)
    assert (first == second).all()
    assert first.sum() == pytest.approx(120, rel=0.3)
    alone, others = np.split(Rows.read(noted(tmp_path, [piece(texts + near)], Sampling(share=0.2))).sampled, 2)
    assert not (alone[:600] == others[:600]).all()
    assert (alone[600:] == others[600:]).all()


def test_components_have_the_same_numbers_in_whatever_order_parts_come(tmp_path: Path) -> None:
    pieces = [piece(made(2), 0, ["web", "books"]), piece(made(2, 2), 2, [None, "code"])]
    parts = noted(tmp_path, pieces, Sampling())
    forward, backward = Rows.read(parts), Rows.read(parts[::-1])
    assert forward.components == backward.components == ("books", "code", "web")
    assert forward.component.tolist() == [2, 0, -1, 1]
    assert backward.component.tolist() == [-1, 1, 2, 0]


def test_no_parts_are_no_rows() -> None:
    assert len(Rows.read([])) == 0


def test_parts_of_different_samples_are_not_put_together(tmp_path: Path) -> None:
    parts = noted(tmp_path, [piece(made(2))], Sampling())
    write_rows([piece(made(2))], tmp_path / "other", Sampling(share=0.5), "bytes")
    with pytest.raises(DamagedRunError, match="noted in different ways"):
        Rows.read([*parts, tmp_path / "other"])
