"""Reading candidates from sidecars, and putting them in keep order."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.dedup.candidates import _keep_ordered, read_candidates
from corpusmill.dedup.keep import KeepMeasure, keep_fields, keep_order
from corpusmill.dedup.minhash import MinHashDedup
from corpusmill.documents.batch import TextBatch, text_buffers
from corpusmill.documents.ids import first_bytes
from corpusmill.documents.shards import write_table

KEEPS = ["best_quality", "longest", "earliest", "first_id", KeepMeasure(measure="a.b", order="descending")]
NUMBERS = st.sampled_from([None, 0.0, -0.0, -1.5, 2.0, float("inf"), float("-inf")])
IDS = st.lists(
    st.one_of(st.sampled_from(["aaaaaaaa", "aaaaaaaab", "aaaaaaaaa", "aaaaaaaa\0"]), st.text(max_size=10)),
    unique=True,
    max_size=12,
)


@given(IDS, st.data(), st.sampled_from(KEEPS))
@settings(deadline=None)
def test_candidates_come_in_the_order_in_which_arrow_sorts_them(ids, data, keep):
    count = len(ids)
    values = {
        "bytes": pa.array(data.draw(st.lists(st.sampled_from([0, 7, 2**31 - 1]), min_size=count, max_size=count))),
        "quality": pa.array(data.draw(st.lists(NUMBERS, min_size=count, max_size=count)), pa.float32()),
        "date": pa.array(
            data.draw(st.lists(st.sampled_from([None, -5, 0, 2**40]), min_size=count, max_size=count)), pa.int64()
        ),
        "measure": pa.array(data.draw(st.lists(NUMBERS, min_size=count, max_size=count)), pa.float64()),
    }
    fields = keep_fields(keep)
    table = pa.table([values[field.name] for field in fields], names=[field.name for field in fields])
    components = np.array(
        data.draw(st.lists(st.sampled_from([0, 3, 2**32 - 2]), min_size=count, max_size=count)), np.uint32
    )
    strings = pa.array(ids, pa.string())
    ours = _keep_ordered(table, strings, components, keep)
    whole = table.append_column("id", strings).append_column("component", pa.array(components))
    keys = [("component", "ascending"), *keep_order(keep)]
    # Arrow orders -0.0 before 0.0; they are one number.
    for name in ("quality", "measure"):
        if name in whole.column_names:
            place = whole.column_names.index(name)
            whole = whole.set_column(place, name, pc.add(whole[name], pa.scalar(0.0, whole[name].type)))
    assert ours.tolist() == pc.sort_indices(whole, sort_keys=keys).to_pylist()


@given(st.lists(st.text(max_size=12), max_size=8))
def test_the_first_bytes_of_a_text_are_a_number_that_sorts_as_they_do(texts):
    prefixes = np.empty(len(texts), np.uint64)
    first_bytes(*text_buffers(pa.array(texts, pa.string())), prefixes)
    assert prefixes.tolist() == [int.from_bytes(text.encode()[:8].ljust(8, b"\0"), "big") for text in texts]


@pytest.mark.parametrize("cuts", [[0, 6], [0, 1, 1, 4, 6]])
def test_of_a_component_that_earlier_barriers_emptied_no_candidate_is_left(tmp_path, cuts):
    """Documents 0 and 4, and 1, 3 and 5 are components; 4 and 3 are excluded."""
    barrier = MinHashDedup(keep="first_id", similarity="containment")
    batch = TextBatch.of_texts([f"text {number} of a few words more {number}" for number in range(6)])
    observed = barrier.observe(batch)
    sidecars = []
    for number, (begin, end) in enumerate(pairwise(cuts)):
        sidecars.append(tmp_path / f"{number}.parquet")
        write_table(sidecars[-1], [observed.slice(begin, end - begin)], barrier.sidecar)
    ids = observed.column("id").to_pylist()
    found = read_candidates(
        sidecars,
        barrier.sidecar,
        pa.array([ids[4], ids[3]]),
        np.array([0, 1, 3, 4, 5], np.uint32),
        np.array([0, 1, 1, 0, 1], np.uint32),
        keep="first_id",
        permutations=112,
        file=tmp_path / "signatures",
    )
    order = [found.ids[int(row)].as_py() for row in found.order]
    assert order == sorted([ids[1], ids[5]])
    assert found.components.tolist() == [0, 2]
    there = [ids.index(identity) for identity in found.ids.to_pylist()]
    stored = [observed.column("signature")[row].as_py() for row in there]
    assert [row.tobytes() for row in found.signatures] == stored
    assert found.sizes.tolist() == observed.column("shingles").take(pa.array(there)).to_pylist()
