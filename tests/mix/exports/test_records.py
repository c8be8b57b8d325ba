"""Records made column by column, and files of them: each against the plain way to do it."""

from __future__ import annotations

import struct
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.documents.errors import UsageError
from corpusmill.mix.exports import records
from corpusmill.mix.exports.contract import TokenFacts
from corpusmill.mix.exports.records import Blocks, Filling, Records, cells, joined, numbered, of_ends

BYTES = st.lists(st.binary(max_size=30), max_size=12)


def made(values: list[bytes]) -> Records:
    return Records(
        np.cumsum([len(value) for value in values], dtype=np.int64), np.frombuffer(b"".join(values), np.uint8)
    )


def values_of(pieces: list[Records]) -> list[bytes]:
    return [bytes(piece.part(n, n + 1).data) for piece in pieces for n in range(len(piece))]


@given(BYTES, st.integers(0, 3))
def test_columns_are_strung_together_row_by_row(values: list[bytes], first: int) -> None:
    column = pa.array([b"before"] * first + values, pa.binary()).slice(first)
    found = joined([b"<", cells(np.arange(len(values), dtype="<u4")), column, b">"])
    assert values_of([found]) == [b"<" + struct.pack("<I", n) + value + b">" for n, value in enumerate(values)]
    assert of_ends(found.ends, found.data).to_pylist() == values_of([found])


@given(st.lists(BYTES, max_size=6), st.integers(60, 120))
def test_files_are_as_full_as_they_can_be_and_lose_nothing(batches: list[list[bytes]], limit: int) -> None:
    files: list[list[Records]] = []
    filling = Filling(lambda pieces: files.append(list(pieces)), header_bytes=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "FILE_BYTES", limit)
        for batch in batches:
            filling.add(made(batch))
        filling.flush()
    expected: list[list[bytes]] = []
    for value in (value for batch in batches for value in batch):
        size = 8 + 3 + sum(4 + len(other) for other in expected[-1]) if expected else limit
        if not expected or size + 4 + len(value) > limit:
            expected.append([])
        expected[-1].append(value)
    assert [values_of(file) for file in files] == expected


@given(st.lists(BYTES.filter(bool), min_size=1, max_size=4), st.binary(max_size=9))
def test_a_file_says_where_each_record_is(batches: list[list[bytes]], header: bytes) -> None:
    count, size, content = numbered([made(batch) for batch in batches], header)
    data = b"".join(bytes(piece) for piece in content)
    every = [value for batch in batches for value in batch]
    assert (count, size) == (len(every), len(data))
    assert struct.unpack_from("<I", data) == (count,)
    offsets = struct.unpack_from(f"<{count + 1}I", data, 4)
    assert data[4 * (count + 2) : offsets[0]] == header
    assert [data[a:b] for a, b in pairwise(offsets)] == every


def test_a_document_beyond_offsets_of_32_bits_is_refused() -> None:
    with pytest.raises(UsageError, match=r"4,294,967,296 bytes is larger"):
        numbered([Records(np.array([5, 5 + (1 << 32)]), np.zeros(0, np.uint8))])


@given(st.lists(st.lists(st.integers(8, 99), max_size=30), max_size=6), st.integers(1, 20))
def test_blocks_hold_every_token_and_end_in_eos(batches: list[list[int]], length: int) -> None:
    blocks = Blocks(length, TokenFacts(name="", fingerprint="", vocab_size=100, eos="", eos_id=7))
    found = [blocks.add(np.array(batch, np.uint16)) for batch in batches]
    found.append(blocks.last())
    stream = [token for batch in batches for token in batch]
    assert np.concatenate(found).ravel().tolist() == stream + [7] * (-len(stream) % length)
    assert {block.shape[1] for block in found} == {length}
    assert blocks.filling == -len(stream) % length
