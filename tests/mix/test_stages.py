"""Several datasets of one mix, copies of documents in one pass, held-out sets, and components of one source."""

from __future__ import annotations

from collections import Counter
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
from corpusmill.mix.keys import HELD_OUT, TRAIN, VALIDATION, id_hashes, selection_keys, splits_of
from corpusmill.mix.options import MixOptions
from corpusmill.mix.placement import PLACEMENT
from corpusmill.mix.selection import Selection, Supplies, Totals, effective_units, select, select_stages
from corpusmill.pipeline.recipe import build


class Placed:
    """Placements of made documents of two sources; those of `web` are of the components `web/de` and `web/en`."""

    def __init__(self, folder: Path, copies: int = 1) -> None:
        random = np.random.default_rng(5)
        self.rows: dict[str, dict[str, Any]] = {}
        self.files: dict[str, list[Path]] = {}
        for source, count in (("web", 4000), ("math", 500)):
            ids = pa.array([document_id(source, "f", row) for row in range(count)], pa.string())
            hashes, units = id_hashes(ids), random.integers(1, 100, count)
            component = np.where(np.arange(count) % 4 == 0, "web/de", "web/en") if source == "web" else ["math"] * count
            again = random.integers(1, copies + 1, count).astype(np.int32)
            columns = [ids, hashes, units, units * 4, component, hashes, again]
            batch = pa.RecordBatch.from_arrays(
                [pa.array(column, field.type) for column, field in zip(columns, PLACEMENT, strict=True)],
                schema=PLACEMENT,
            )
            self.rows[source] = {"hashes": hashes, "units": units, "component": np.array(component), "copies": again}
            self.files[source] = [folder / source]
            write_table(folder / source, [batch], PLACEMENT)

    def taken(self, selection: Selection) -> Counter[tuple[str, int]]:
        """How often each train document is in a dataset, by source and row."""
        found: Counter[tuple[str, int]] = Counter()
        for source, rows in self.rows.items():
            keys = selection_keys(rows["hashes"], selection.seed)
            splits = splits_of(rows["hashes"], selection.seed, selection.validation, selection.heldout)
            for chosen in selection.components:
                own = (rows["component"] == chosen.component) & (splits == TRAIN)
                for copy in range(chosen.copies):
                    for row in np.flatnonzero(own & chosen.taken(keys, copy)):
                        found[source, int(row)] += int(rows["copies"][row])
        return found


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory) -> Placed:
    return Placed(tmp_path_factory.mktemp("placed"))


WEB: dict[str, Any] = {"share": 0.8, "by": "language", "balance": "temperature", "temperature": 2}


def options(**given: Any) -> MixOptions:
    return build(MixOptions, {"unit": "words", "seed": 4, **given}, "recipe.yaml: mix")


def staged(placed: Placed, *budgets: int, **given: Any) -> tuple[dict[str, Selection], MixOptions]:
    ratios = [{"web": WEB, "math": 0.2}, {"web": {**WEB, "share": 0.6}, "math": 0.4}, {"web": {**WEB, "share": 1}}]
    stages = [
        {"name": f"stage{number}", "ratios": ratios[number], "budget": budget} for number, budget in enumerate(budgets)
    ]
    asked = options(stages=stages, **given)
    return select_stages(Supplies(placed.files, asked), asked), asked


@given(st.integers(500, 40_000), st.integers(500, 20_000), st.integers(500, 20_000))
@settings(max_examples=25, deadline=None)
def test_stages_share_no_document_and_each_meets_its_budget(placed: Placed, one: int, two: int, three: int) -> None:
    selections, _ = staged(placed, one, two, three)
    taken = [placed.taken(selection) for selection in selections.values()]
    together = sum(taken, Counter())
    assert set(together.values()) == {1}
    for selection, own, budget in zip(selections.values(), taken, (one, two, three), strict=True):
        units = sum(placed.rows[source]["units"][row] for source, row in own)
        assert units == selection.units
        assert sum(own.values()) == sum(chosen.documents for chosen in selection.components)
        assert abs(units - budget) <= 50 * len(selection.components)  # half a document each
        for chosen in selection.components:
            assert abs(chosen.units - chosen.ratio * budget) <= 50


def test_validation_documents_of_stages_are_others_too(placed: Placed) -> None:
    selections, asked = staged(placed, 40_000, 20_000, validation=0.2)
    held = Counter(dict.fromkeys(("web", "math"), 0))
    for selection in selections.values():
        for chosen in selection.components:
            held[chosen.source] += chosen.validation_documents
    for source, rows in placed.rows.items():
        splits = splits_of(rows["hashes"], asked.seed, asked.validation, 0)
        assert 0 < held[source] <= (splits == VALIDATION).sum()


def test_stages_that_ask_more_than_there_is_are_refused_and_may_overlap_when_asked(placed: Placed) -> None:
    with pytest.raises(ShortSourceError, match=r"math: asked 16,000 \(40 %\), there are [\d,]+, missing"):
        staged(placed, 60_000, 40_000)
    with pytest.raises(ShortSourceError, match=r"overlap: \[math\]   \(stages may read the same documents"):
        staged(placed, 60_000, 40_000, max_epochs=4)
    selections, _ = staged(placed, 60_000, 40_000, overlap=["math"])
    taken = [placed.taken(selection) for selection in selections.values()]
    shared = set(taken[0]) & set(taken[1])
    assert {source for source, _ in shared} == {"math"}


def test_with_overlap_each_stage_is_what_it_would_be_alone(placed: Placed) -> None:
    selections, asked = staged(placed, 30_000, 20_000, overlap=True)
    for name, alone in asked.datasets().items():
        assert select(placed.files, alone).components == selections[name].components


def test_a_first_stage_does_not_depend_on_the_second(placed: Placed) -> None:
    [(_, first), _] = staged(placed, 30_000, 20_000)[0].items()
    [(_, alone)] = staged(placed, 30_000)[0].items()
    assert first == alone


def test_a_component_that_no_pass_can_repeat_is_read_once_even_with_epochs(placed: Placed) -> None:
    selections, _ = staged(placed, 30_000, 20_000, max_epochs=4)
    assert all(chosen.epochs <= 1 for selection in selections.values() for chosen in selection.components)


@given(st.integers(2000, 300_000))
@settings(max_examples=20, deadline=None)
def test_documents_that_occur_often_count_often(tmp_path_factory: pytest.TempPathFactory, budget: int) -> None:
    placed = Placed(tmp_path_factory.mktemp("copies"), copies=4)
    selection = select(placed.files, options(ratios={"web": WEB, "math": 0.2}, budget=budget, max_epochs=3))
    taken = placed.taken(selection)
    assert sum(taken.values()) == sum(chosen.documents for chosen in selection.components)
    units = sum(placed.rows[source]["units"][row] * times for (source, row), times in taken.items())
    assert units == selection.units
    for chosen in selection.components:
        assert abs(chosen.units - chosen.ratio * budget) <= 200  # half a document of four copies
        assert chosen.unique_units <= chosen.effective_units <= chosen.units


def test_what_copies_are_worth_is_summed_by_classes(tmp_path: Path) -> None:
    placed = Placed(tmp_path, copies=3)
    chosen = select(placed.files, options(ratios={"math": 1.0}, validation=0)).of("math")
    rows = placed.rows["math"]
    worth = sum(
        effective_units(units, units * copies)
        for copies in (1, 2, 3)
        for units in [int(rows["units"][rows["copies"] == copies].sum())]
    )
    assert chosen.effective_units == pytest.approx(worth)
    assert chosen.unique_units == rows["units"].sum()


def test_held_out_sets_are_whole_and_the_same_for_every_budget(placed: Placed) -> None:
    few, many = (
        select(placed.files, options(ratios={"web": WEB, "math": 0.2}, budget=budget, heldout=0.05))
        for budget in (1000, 40_000)
    )
    for selection in (few, many):
        assert list(selection.shards) == ["train", "validation", "heldout_math", "heldout_web"]
    for one, other in zip(few.components, many.components, strict=True):
        assert one.heldout_documents == other.heldout_documents > 0
    splits = splits_of(placed.rows["math"]["hashes"], 4, 0.01, 0.05)
    assert few.of("math").heldout_documents == (splits == HELD_OUT).sum()
    assert few.of("math").available_documents == (splits == TRAIN).sum()


def test_a_column_of_too_many_values_is_refused_before_memory_goes_to_it(tmp_path: Path) -> None:
    count = 5000
    ids = pa.array([document_id("web", "f", row) for row in range(count)], pa.string())
    hashes, ones = id_hashes(ids), np.ones(count, np.int64)
    columns = [ids, hashes, ones, ones, [f"web/{row}" for row in range(count)], hashes, ones.astype(np.int32)]
    arrays = [pa.array(column, field.type) for column, field in zip(columns, PLACEMENT, strict=True)]
    write_table(tmp_path / "web", [pa.RecordBatch.from_arrays(arrays, schema=PLACEMENT)], PLACEMENT)
    with pytest.raises(RecipeError, match=r"mix\.ratios\.web\.by: the column has more than 1,000 values"):
        select({"web": [tmp_path / "web"]}, options(ratios={"web": {"share": 1, "by": "url"}}))


def test_totals_survive_json(placed: Placed) -> None:
    import json

    totals = Supplies(placed.files, options(ratios={"web": WEB, "math": 0.2})).totals()
    assert Totals.from_dict(json.loads(json.dumps(totals.as_dict()))) == totals
    assert totals.of("web/de").source == "web"
    assert totals.of("nobody").units == 0


def test_a_mix_of_nothing_but_a_slice_without_documents_says_what_no_document_meets(placed: Placed) -> None:
    asked = options(
        ratios={"web": WEB, "rare": 0.2}, slices={"rare": {"source": "math", "where": "quality > 2"}}, budget=None
    )
    with pytest.raises(ShortSourceError, match=r"no train document is left in rare, .*no document meets 'quality > 2'"):
        select(placed.files, asked)


def test_a_preset_and_ratios_exclude_each_other_unless_it_is_the_control() -> None:
    with pytest.raises(RecipeError, match=r"mix\.preset: 'llama1' and `ratios` exclude each other"):
        MixOptions(preset="llama1", ratios={"web": 1.0})
    assert MixOptions(preset="worst", ratios={"web": 0.7, "code": 0.3}).ratios["web"] == 0.7


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"stages": [{"name": "One", "ratios": {"web": 1.0}}]}, "mix.stages: 'One' is no name of a stage"),
        ({"stages": [{"name": "one"}]}, "mix.stages.one: give it either `ratios` or a `preset`"),
        (
            {"stages": [{"name": "one", "ratios": {"web": 1.0}}] * 2},
            "mix.stages: 'one' stands twice; give each stage a name of its own",
        ),
        (
            {"stages": [{"name": "one", "ratios": {"web": 1.0}}], "budget": 5},
            "mix.stages: `ratios`, `preset` and `budget` stand in each stage then",
        ),
        (
            {"stages": [{"name": "one", "ratios": {"web": 0.5}}]},
            "mix.stages.one.ratios: they sum to 0.5, not to 1",
        ),
        (
            {"ratios": {"web": {"share": 1.0, "of": {"a": 0.5, "b": 0.4}}}},
            "mix.ratios.web.of: they sum to 0.9, not to 1; in the same proportions: {a: 0.555556, b: 0.444444}",
        ),
        ({"ratios": {"web": {"share": 1.0, "of": ["a"], "by": "url"}}}, "`by` and `of` exclude each other"),
        ({"ratios": {"web": {"share": 1.0, "temperature": 0}}}, "temperature: 0.0 is no number above 0"),
        ({"ratios": {"web": {"share": 1.0, "sharing": 2}}}, "mix.ratios.web"),
        ({"ratios": {"web": 1.0}, "rehydrate": {0: 1}}, "mix.rehydrate: {0: 1} must be a cluster size"),
        ({"ratios": {"web": 1.0}, "heldout": 0.995}, "mix.heldout: 0.995 and validation 0.01 leave nothing"),
        ({"ratios": {"web": 1.0}, "slices": {"A b": {"source": "web", "where": "true"}}}, "mix.slices.A b: is no name"),
    ],
)
def test_what_cannot_be_mixed_is_named_with_its_mend(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as raised:
        options(**given)
    assert message in str(raised.value)
