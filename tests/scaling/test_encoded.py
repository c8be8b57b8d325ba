"""Curated documents as token ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from corpusmill.documents.errors import DamagedRunError
from corpusmill.mix.keys import id_hashes
from corpusmill.scaling.encoded import encode_part, gather

TEXTS = ["the river", "", "a  stone\n\nand naïve ⚡ signs", "x" * 300]


def tokenizer_file(folder: Path, more: int = 0) -> Path:
    """Bytes as tokens, in the order of the library's alphabet, and `more` tokens that no text has."""
    signs = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {sign: number for number, sign in enumerate([*signs, "<|endoftext|>"])}
    vocabulary |= {f"<unused{number}>": 257 + number for number in range(more)}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    path = folder / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def encode(folder: Path, name: str, texts: list[str], tokenizer: Path) -> tuple[Path, pa.Table]:
    part, ids, index = (folder / f"{name}{suffix}" for suffix in ("-text.parquet", ".npy", ".parquet"))
    documents = pa.table({"id": [f"{name}{number}" for number in range(len(texts))], "text": texts})
    pq.write_table(documents, part, row_group_size=2)
    assert encode_part(part, tokenizer, ids, index) == sum(len(text.encode()) for text in texts)
    return ids, pq.read_table(index)


@pytest.mark.parametrize(("more", "kind"), [(0, np.uint16), (70_000, np.uint32)])
def test_ids_stand_for_the_texts_and_the_index_says_where(tmp_path: Path, more: int, kind: type) -> None:
    path = tokenizer_file(tmp_path, more)
    ids, index = encode(tmp_path, "a", TEXTS, path)
    flat = np.load(ids)
    assert flat.dtype == kind
    library = Tokenizer.from_file(str(path))
    for text, row in zip(TEXTS, index.to_pylist(), strict=True):
        mine = flat[row["first"] : row["first"] + row["tokens"]]
        assert mine.tolist() == library.encode(text).ids
        assert row["text_bytes"] == len(text.encode())
    assert index["id_hash"].to_pylist() == id_hashes(index["id"].combine_chunks()).tolist()


def test_documents_of_several_parts_are_gathered_in_any_order(tmp_path: Path) -> None:
    path = tokenizer_file(tmp_path)
    first, index_a = encode(tmp_path, "a", TEXTS, path)
    second, index_b = encode(tmp_path, "b", ["second part", "last"], path)
    whole = pa.concat_tables(
        [
            index_a.append_column("part", pa.array([0] * 4, pa.int32())),
            index_b.append_column("part", pa.array([1] * 2, pa.int32())),
        ]
    )
    wanted = [5, 2, 0, 1, 4]
    tokens = gather([first, second], whole.take(pa.array(wanted)))
    texts = [*TEXTS, "second part", "last"]
    library = Tokenizer.from_file(str(path))
    for place, row in enumerate(wanted):
        mine = tokens.ids[tokens.offsets[place] : tokens.offsets[place + 1]]
        assert mine.tolist() == library.encode(texts[row]).ids
        assert tokens.text_bytes[place] == len(texts[row].encode())
    assert tokens.documents.to_pylist() == ["b1", "a2", "a0", "a1", "b0"]
    nothing = gather([first, second], whole.slice(0, 0))
    assert len(nothing) == 0
    assert nothing.offsets.tolist() == [0]


def test_a_file_that_is_cut_short_is_an_error(tmp_path: Path) -> None:
    ids, index = encode(tmp_path, "a", TEXTS, tokenizer_file(tmp_path))
    np.save(ids, np.load(ids)[:20])
    with pytest.raises(DamagedRunError, match="is shorter than its index says"):
        gather([ids], index.append_column("part", pa.array([0] * 4, pa.int32())))
