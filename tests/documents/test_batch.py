"""TextBatch: buffers of sliced and empty arrays, caching, and what a change of text forgets."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import Spans, TextBatch, text_buffers
from corpusmill.documents.schema import DOCUMENT, document_id

SEGMENTATIONS = ("words", "lines", "paragraphs")


def content(batch: TextBatch, spans: Spans) -> list[tuple[list[bytes], list[int], list[int]]]:
    """What was found, by document, wherever the text lies in its buffer."""
    found = []
    for row in range(len(batch)):
        part = slice(spans.firsts[row], spans.firsts[row + 1])
        texts = [bytes(batch.text[start:end]) for start, end in zip(spans.starts[part], spans.ends[part], strict=True)]
        found.append((texts, spans.hashes[part].tolist(), spans.kinds[part].tolist()))
    return found


@settings(max_examples=100)
@given(st.lists(st.text(max_size=20), max_size=8), st.data())
def test_a_slice_of_a_batch_has_what_its_documents_have(texts, data):
    start = data.draw(st.integers(0, len(texts)))
    length = data.draw(st.integers(0, len(texts) - start))
    sliced = TextBatch(TextBatch.of_texts(texts).documents.slice(start, length))
    fresh = TextBatch.of_texts(texts[start : start + length])
    assert sliced.n_bytes == fresh.n_bytes == sum(len(text.encode()) for text in texts[start : start + length])
    for name in SEGMENTATIONS:
        assert content(sliced, getattr(sliced, name)) == content(fresh, getattr(fresh, name))
    assert [hashes.tolist() for hashes in sliced.document_hashes] == [
        hashes.tolist() for hashes in fresh.document_hashes
    ]


@pytest.mark.parametrize("texts", [[], [""], ["", "", ""]])
def test_a_batch_without_text_has_no_words_and_one_empty_line_a_document(texts):
    batch = TextBatch.of_texts(texts)
    assert batch.n_bytes == 0
    assert batch.words.firsts.tolist() == [0] * (len(texts) + 1)
    assert len(batch.words.starts) == 0
    for spans in (batch.lines, batch.paragraphs):
        assert spans.firsts.tolist() == list(range(len(texts) + 1))
        assert spans.characters.tolist() == [0] * len(texts)


def test_text_that_is_all_words_of_one_byte_is_found_whole():
    batch = TextBatch.of_texts(["!" * 1001, "?"])
    assert batch.words.firsts.tolist() == [0, 1001, 1002]
    assert batch.words.starts.tolist() == list(range(1002))


def test_buffers_of_null_texts_are_empty():
    offsets, text = text_buffers(pa.array(["ab", None, "c"]))
    assert (offsets.tolist(), bytes(text)) == ([0, 2, 2, 3], b"abc")
    assert text_buffers(pa.nulls(2, pa.string()))[0].tolist() == [0, 0, 0]


def test_buffers_are_views_of_the_array():
    texts = pa.array(["some text that is long enough"] * 3)
    assert text_buffers(texts)[1].ctypes.data == texts.buffers()[2].address


def test_a_large_string_array_is_refused_by_name():
    with pytest.raises(TypeError, match=r"takes a pa\.string\(\) array, not large_string"):
        text_buffers(pa.array(["a"], pa.large_string()))


def test_what_kernels_take_cannot_be_written_to():
    batch = TextBatch.of_texts(["some words"])
    spans = [getattr(batch.words, name) for name in Spans.__dataclass_fields__]
    for array in (batch.offsets, batch.text, *spans, batch.folded_hashes, *batch.document_hashes):
        assert not array.flags.writeable


def test_a_segmentation_is_made_once():
    batch = TextBatch.of_texts(["some words"])
    assert batch.words is batch.words
    assert batch.cache is batch.cache


def test_keeping_every_document_keeps_the_batch_itself():
    batch = TextBatch.of_texts(["a", "b"])
    assert batch.kept(np.array([True, True])) is batch


def test_keeping_some_documents_keeps_their_rows():
    batch = TextBatch.of_texts(["a b", "c", "d e f"]).kept(np.array([True, False, True]))
    assert batch.texts.to_pylist() == ["a b", "d e f"]
    assert batch.words.firsts.tolist() == [0, 2, 5]
    assert batch.documents.column("id").to_pylist() == [document_id("memory", "", 0), document_id("memory", "", 2)]


def test_new_texts_forget_what_was_found_in_the_old_ones():
    batch = TextBatch.of_texts(["a b", "c"])
    batch.cache["statistics"] = "of the old text"
    assert batch.words.firsts.tolist() == [0, 2, 3]
    changed = batch.with_texts(pa.array(["x", "y z"]))
    assert changed.words.firsts.tolist() == [0, 1, 3]
    assert changed.cache == {}
    assert changed.documents.column("id") == batch.documents.column("id")
    assert batch.texts.to_pylist() == ["a b", "c"]


def test_another_column_keeps_what_was_found_in_the_texts():
    batch = TextBatch.of_texts(["a b", "c"])
    words = batch.words
    batch.cache["statistics"] = "still true"
    changed = batch.with_column("language", pa.array(["en", None]))
    assert changed.words is words
    assert changed.cache == {"statistics": "still true"}
    assert changed.documents.column("language").to_pylist() == ["en", None]
    assert changed.documents.schema == DOCUMENT


def test_a_column_is_cast_to_its_declared_type():
    changed = TextBatch.of_texts(["a"]).with_column("quality", pa.array([0.5], pa.float64()))
    assert changed.documents.schema.field("quality").type == pa.float32()


def test_a_column_that_documents_do_not_have_is_refused():
    with pytest.raises(KeyError, match="colour"):
        TextBatch.of_texts(["a"]).with_column("colour", pa.array(["red"]))


def test_ids_depend_on_source_file_and_offset_and_nothing_else():
    assert document_id("web", "a", 1) == document_id("web", "a", 1)
    ids = {document_id(*parts) for parts in [("web", "a", 1), ("web", "a", 2), ("web", "b", 1), ("books", "a", 1)]}
    assert len(ids) == 4
    assert all(len(identity) == 24 for identity in ids)
