import numpy as np
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.pipeline.samples import SAMPLE_CHARACTERS, SAMPLES, SAMPLES_PER_REASON, Samples, read_samples


def ids_of(batch):
    return batch.documents.column("id").to_pylist()


def batch_of(texts):
    return TextBatch.of_texts(texts)


def test_the_documents_with_the_smallest_ids_are_kept_for_each_reason(tmp_path):
    batch = batch_of([f"text {number}" for number in range(20)])
    reasons = np.array(["even" if number % 2 == 0 else "odd" for number in range(20)], object)
    samples = Samples()
    samples.dropped("stage", reasons, batch, np.arange(20))
    samples.stayed(batch)
    samples.write(tmp_path / "samples.parquet")
    found = read_samples([tmp_path / "samples.parquet"])
    ids = ids_of(batch)
    assert found.keys() == {("stage", "even"), ("stage", "odd"), (None, None)}
    assert [row["id"] for row in found["stage", "even"]] == sorted(ids[::2])[:SAMPLES_PER_REASON]
    assert [row["id"] for row in found["stage", "odd"]] == sorted(ids[1::2])[:SAMPLES_PER_REASON]
    assert [row["id"] for row in found[None, None]] == sorted(ids)[:SAMPLES_PER_REASON]
    assert found[None, None][0]["text"] == f"text {ids.index(min(ids))}"
    assert pq.read_schema(tmp_path / "samples.parquet").equals(SAMPLES)


@settings(max_examples=30)
@given(st.permutations(range(12)), st.integers(1, 5), st.integers(1, 3))
def test_neither_order_nor_batches_nor_parts_change_the_samples(tmp_path_factory, order, rows, parts):
    folder = tmp_path_factory.mktemp("samples")
    batch = batch_of([f"text {number}" for number in range(12)])
    pieces = [Samples() for _ in range(parts)]
    for start in range(0, 12, rows):
        taken = np.array(order[start : start + rows])
        pieces[start % parts].dropped("stage", np.full(len(taken), "reason", object), batch, taken)
    paths = [folder / f"{number}.parquet" for number in range(parts)]
    for piece, path in zip(pieces, paths, strict=True):
        piece.write(path)
    found = read_samples(reversed(paths))["stage", "reason"]
    assert [row["id"] for row in found] == sorted(ids_of(batch))[:SAMPLES_PER_REASON]


def test_long_texts_are_cut_between_characters_and_their_whole_length_is_kept(tmp_path):
    samples = Samples()
    samples.stayed(batch_of(["漢" * (SAMPLE_CHARACTERS + 10)]))
    samples.write(tmp_path / "samples.parquet")
    [row] = read_samples([tmp_path / "samples.parquet"])[None, None]
    assert row["text"] == "漢" * SAMPLE_CHARACTERS
    assert row["text_bytes"] == 3 * (SAMPLE_CHARACTERS + 10)


def test_nothing_dropped_is_an_empty_file(tmp_path):
    samples = Samples()
    samples.stayed(batch_of([]))
    samples.write(tmp_path / "samples.parquet")
    assert read_samples([tmp_path / "samples.parquet"]) == {}
