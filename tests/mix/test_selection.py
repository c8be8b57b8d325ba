from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.errors import RecipeError, ShortSourceError
from corpusmill.documents.schema import document_id
from corpusmill.documents.shards import write_table
from corpusmill.mix.keys import TRAIN, id_hashes, selection_keys, splits_of
from corpusmill.mix.options import MixOptions
from corpusmill.mix.placement import PLACEMENT
from corpusmill.mix.selection import Selection, effective_units, select, shard_count


def placement(ids: pa.Array, hashes: Any, units: Any, component: str, copies: Any = 1) -> pa.RecordBatch:
    """Placements of documents of which each is alone, with four bytes a unit."""
    count = len(ids)
    columns = [
        ids,
        pa.array(hashes, pa.uint64()),
        pa.array(units, pa.int64()),
        pa.array(np.asarray(units) * 4, pa.int64()),
        pa.array([component] * count),
        pa.array(hashes, pa.uint64()),
        pa.array(np.zeros(count, np.int32) + copies, pa.int32()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=PLACEMENT)


class Source:
    """Measurements of made documents, and the plain way to select among them."""

    def __init__(self, folder: Path, name: str, count: int, longest: int = 100, files: int = 3) -> None:
        random = np.random.default_rng(len(name) + count)
        ids = pa.array([document_id(name, "f", row) for row in range(count)], pa.string())
        self.name = name
        self.hashes = id_hashes(ids)
        self.units = random.integers(0, longest, count)
        batch = placement(ids, self.hashes, self.units, name)
        self.files = []
        for number in range(files):
            start, end = number * count // files, (number + 1) * count // files
            self.files.append(folder / f"{name}-{number}")
            write_table(self.files[-1], [batch.slice(start, end - start)], PLACEMENT)

    def train_in_order(self, options: MixOptions) -> list[tuple[int, int]]:
        """(key, units) of the train documents in the order in which they are taken."""
        keys = selection_keys(self.hashes, options.seed)
        train = splits_of(self.hashes, options.seed, options.validation, options.heldout) == TRAIN
        return sorted(zip(keys[train].tolist(), self.units[train].tolist(), strict=True))

    def copies(self, selection: Selection) -> np.ndarray[Any, Any]:
        """How often each document is in the train split."""
        chosen = selection.of(self.name)
        keys = selection_keys(self.hashes, selection.seed)
        train = splits_of(self.hashes, selection.seed, selection.validation, selection.heldout) == TRAIN
        return sum(chosen.taken(keys, copy) & train for copy in range(chosen.copies)) + np.zeros(len(keys), np.int64)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Source]:
    folder = tmp_path_factory.mktemp("measured")
    return {name: Source(folder, name, count) for name, count in (("web", 5000), ("code", 700), ("math", 120))}


def chosen(sources: dict[str, Source], **changes: Any) -> Selection:
    options = {"ratios": {"web": 0.6, "code": 0.3, "math": 0.1}, "unit": "words", "seed": 3} | changes
    return select({name: source.files for name, source in sources.items()}, MixOptions(**options))


@given(st.integers(1, 30_000), st.floats(0.01, 0.3), st.integers(0, 50))
@settings(max_examples=40, deadline=None)
def test_whole_documents_come_closest_to_the_aim(
    sources: dict[str, Source], budget: int, validation: float, seed: int
) -> None:
    options = MixOptions(
        ratios={"web": 0.5, "math": 0.5}, unit="words", budget=budget, validation=validation, seed=seed, max_epochs=9
    )
    try:
        selection = select({name: sources[name].files for name in ("web", "math")}, options)
    except RecipeError:
        assert budget < 200  # less than half of a longest document a source
        return
    for name in ("web", "math"):
        aim = Fraction(budget, 2)
        order = sources[name].train_in_order(options)
        available = sum(units for _, units in order)
        passes, rest = divmod(aim, available)
        sums = np.cumsum([0, *(units for _, units in order)])
        best = passes * available + min(sums.tolist(), key=lambda reached: (abs(reached - rest), reached))
        result = selection.of(name)
        assert result.units == best
        assert result.available_units == available
        copies = sources[name].copies(selection)
        assert (copies * sources[name].units).sum() == result.units
        assert copies.sum() == result.documents


@given(st.integers(300, 40_000), st.integers(300, 40_000), st.sampled_from(["error", "renormalise", "repeat"]))
@settings(max_examples=60, deadline=None)
def test_a_larger_budget_contains_a_smaller_one(sources: dict[str, Source], one: int, other: int, policy: str) -> None:
    small, large = sorted([one, other])
    try:
        selections = [chosen(sources, budget=budget, when_short=policy, max_epochs=3) for budget in (small, large)]
    except ShortSourceError:
        return
    for source in sources.values():
        few, many = (source.copies(selection) for selection in selections)
        assert (few <= many).all()
    assert all(a.validation_documents <= b.validation_documents for a, b in zip(*(s.components for s in selections)))


def test_the_order_of_files_and_sources_changes_nothing(sources: dict[str, Source]) -> None:
    backwards = {name: source.files[::-1] for name, source in reversed(sources.items())}
    options = MixOptions(ratios={"math": 0.1, "web": 0.6, "code": 0.3}, unit="words", seed=3)
    assert select(backwards, options) == chosen(sources)


def test_achieved_ratios_are_within_half_a_document_of_each_source(sources: dict[str, Source]) -> None:
    selection = chosen(sources, budget=20_000, max_epochs=2)
    for source in selection.components:
        assert abs(source.units - source.ratio * 20_000) <= 50


def test_asked_units_are_hamiltons_and_sum_to_the_budget(sources: dict[str, Source]) -> None:
    selection = chosen(sources, budget=10_001, max_epochs=2)
    assert [source.asked for source in selection.components] == [3000, 1000, 6001]


def test_no_source_is_read_more_often_than_max_epochs(sources: dict[str, Source]) -> None:
    selection = chosen(sources, max_epochs=2)
    assert max(source.epochs for source in selection.components) == 2
    assert selection.of("math").passes == 2
    assert int(selection.of("math").cut, 16) == 0


def test_a_whole_source_is_a_pass_with_no_cut(sources: dict[str, Source]) -> None:
    selection = chosen(sources, ratios={"math": 1.0})
    math = selection.of("math")
    assert (math.passes, math.cut, math.epochs) == (1, "0", 1.0)
    assert math.documents == math.available_documents
    assert math.validation_documents + math.documents == 120


def test_validation_documents_are_taken_once_however_often_the_source_is_read(sources: dict[str, Source]) -> None:
    once, often = (chosen(sources, ratios={"math": 1.0}, max_epochs=epochs, validation=0.1) for epochs in (1, 3.5))
    assert once.of("math").validation_documents == often.of("math").validation_documents > 0


def test_a_budget_below_half_a_document_of_every_source_is_refused(tmp_path: Path) -> None:
    source = Source(tmp_path, "web", 50)
    source_of_long = {"web": source.files}
    smallest_first = next(units for _, units in source.train_in_order(MixOptions(ratios={"web": 1.0})) if units)
    assert smallest_first > 2
    with pytest.raises(
        RecipeError, match=r"mix\.budget: 1 words are less than half a document of every source; raise it"
    ):
        select(source_of_long, MixOptions(ratios={"web": 1.0}, unit="words", budget=1))


def test_a_ratio_without_a_source_is_refused(sources: dict[str, Source]) -> None:
    with pytest.raises(RecipeError, match=r"mix\.ratios\.webs: .* did you mean 'web'"):
        chosen(sources, ratios={"webs": 1.0})


def test_a_selection_survives_json(sources: dict[str, Source]) -> None:
    selection = chosen(sources, budget=20_000, max_epochs=2)
    assert Selection.from_dict(json.loads(json.dumps(selection.as_dict()))) == selection


def test_shards_are_counted_by_text_and_come_in_eights() -> None:
    assert [shard_count(size, 10) for size in (0, 10, 11, 70, 71, 81)] == [1, 1, 2, 7, 8, 16]


@pytest.mark.parametrize(
    ("epochs", "worth"), [(1, 1), (2, 1.968), (4, 3.726), (8, 6.624), (16, 10.582), (40, 15.167), (10**6, 16.388)]
)
def test_repetition_is_worth_what_muennighoff_found(epochs: int, worth: float) -> None:
    assert effective_units(1000, 1000 * epochs) == pytest.approx(1000 * worth, abs=0.6)


MEMORY = """
import resource, sys
from pathlib import Path
from corpusmill.mix.options import MixOptions
from corpusmill.mix.selection import select

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

options = MixOptions(ratios={"web": 1.0}, unit="words", budget=int(sys.argv[3]))
select({"web": [Path(sys.argv[1])]}, MixOptions(ratios={"web": 1.0}, unit="words", budget=100_000))
before = peak()
print(select({"web": [Path(sys.argv[2])]}, options).units, peak() - before)
"""


def test_memory_does_not_grow_with_the_number_of_documents(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    for name, count in (("small", 300_000), ("large", 3_000_000)):
        hashes = random.integers(0, 1 << 64, count, np.uint64)
        units = random.integers(1, 1000, count)
        ids = pa.array(np.arange(count)).cast(pa.string())
        write_table(tmp_path / name, [placement(ids, hashes, units, "web")], PLACEMENT, row_group_rows=1 << 16)
    budget = int(units.sum() * 0.613)
    run = [sys.executable, "-c", MEMORY, str(tmp_path / "small"), str(tmp_path / "large"), str(budget)]
    achieved, grown = map(int, subprocess.run(run, check=True, capture_output=True, text=True).stdout.split())
    assert abs(achieved - budget) <= 500
    assert grown < 40  # MB; the 3,000,000 rows themselves are 72 MB


def test_a_budget_that_reaches_only_empty_documents_is_refused(tmp_path):
    ids = pa.array([document_id("web", "f", row) for row in range(41)], pa.string())
    units = pa.array([0] * 40 + [70])
    write_table(tmp_path / "web", [placement(ids, id_hashes(ids), units, "web")], PLACEMENT)
    options = MixOptions(ratios={"web": 1.0}, budget=3, validation=0)
    with pytest.raises(RecipeError, match="raise it"):
        select({"web": [tmp_path / "web"]}, options)
