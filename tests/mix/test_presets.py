from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.documents.errors import RecipeError
from corpusmill.mix.options import MixOptions
from corpusmill.mix.presets import (
    Preset,
    find_preset,
    names,
    preset_as_text,
    presets_as_text,
    resolve,
    stage_budgets,
    worst,
)

PUBLISHED = {
    "llama1": "commoncrawl 67, c4 15, github 4.5, wikipedia 4.5, books 4.5, arxiv 2.5, stackexchange 2",
    "llama3": "general 50, math_reasoning 25, code 17, multilingual 8",
    "smollm3_stage1": "web 85, code 12, math 3",
    "smollm3_stage2": "web 75, code 15, math 10",
    "smollm3_stage3": "web 63, code 24, math 13",
    "smollm2_decay": "web 58, code 24, math 14, textbooks 4",
    "olmo2_stage1": "dclm 95.2, starcoder 2.1, pes2o 1.5, arxiv .5, algebraic_stack .3, openwebmath .3, wikipedia .1",
    "nemotron4": "english 70, multilingual 15, code 15",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_preset_has_the_published_shares(name: str) -> None:
    published = dict(part.strip().split() for part in PUBLISHED[name].split(","))
    assert find_preset(name).shares == {category: Fraction(share) / 100 for category, share in published.items()}


@pytest.mark.parametrize("name", names())
def test_a_preset_has_a_source_and_shares_or_stages(name: str) -> None:
    preset = find_preset(name)
    assert preset.source
    assert preset.title
    assert bool(preset.shares) != bool(preset.stages)
    assert sum(preset.shares.values()) == (0 if preset.stages else 1)
    assert set(preset.epochs) <= set(preset.shares)
    assert all(find_preset(stage).shares for stage in preset.stages)


def test_what_is_typical_is_the_middle_of_the_ranges() -> None:
    shares = find_preset("typical_2026").shares
    assert shares["web"] == Fraction(55, 113)
    assert shares["books"] == shares["scientific"] == Fraction(15, 226)


def test_llama_says_how_often_each_part_was_read() -> None:
    assert find_preset("llama1").epochs == {
        "commoncrawl": 1.10, "c4": 1.06, "github": 0.64, "wikipedia": 2.45, "books": 2.23, "arxiv": 1.06,
        "stackexchange": 1.03,
    }  # fmt: skip


def test_stages_share_a_budget_as_published() -> None:
    assert stage_budgets(find_preset("smollm3"), 11_100_001) == {
        "smollm3_stage1": 8_000_001,
        "smollm3_stage2": 2_000_000,
        "smollm3_stage3": 1_100_000,
    }


def test_categories_go_to_the_sources_that_are_named_and_add_up() -> None:
    mapping = {"commoncrawl": "web", "c4": "web", "github": "code", "wikipedia": "wiki", "stackexchange": "forum"}
    ratios = resolve(find_preset("llama1"), ["web", "code", "wiki", "forum", "books", "arxiv"], mapping)
    assert ratios == {"web": 0.82, "code": 0.045, "wiki": 0.045, "books": 0.045, "arxiv": 0.025, "forum": 0.02}
    MixOptions(ratios=ratios)


def test_a_category_that_is_left_out_leaves_the_others_in_proportion() -> None:
    ratios = resolve(find_preset("smollm3_stage2"), ["web", "code"], {"math": None})
    assert ratios == {"web": round(75 / 90, 12), "code": round(15 / 90, 12)}


@given(st.sets(st.sampled_from(list(find_preset("llama1").shares)), max_size=6))
def test_ratios_sum_closely_enough_for_a_recipe(left_out: set[str]) -> None:
    preset = find_preset("llama1")
    MixOptions(ratios=resolve(preset, preset.shares, dict.fromkeys(left_out)))


@pytest.mark.parametrize(
    ("sources", "mapping", "message"),
    [
        (
            ["web", "code", "books"],
            {"c4": "web"},
            r"llama1 has categories .*: commoncrawl, github, wikipedia, arxiv, stackexchange; the sources are books, "
            r"code, web.*\n  preset_sources: \{commoncrawl: web, c4: web, github: code, wikipedia: SOURCE, "
            r"arxiv: SOURCE, stackexchange: SOURCE\}\n",
        ),
        (["web"], {"commoncrawl": "webb"}, r"preset_sources\.commoncrawl: 'webb' is no source .* mean 'web'"),
        (["web"], {"comoncrawl": "web"}, r"'comoncrawl' is no category of llama1; did you mean 'commoncrawl'"),
        (["web"], dict.fromkeys(find_preset("llama1").shares), "nothing is left to mix"),
    ],
)
def test_a_mapping_that_does_not_fit_is_told(sources: list[str], mapping: dict[str, str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        resolve(find_preset("llama1"), sources, mapping)


def test_a_preset_of_stages_has_no_ratios_of_its_own() -> None:
    with pytest.raises(RecipeError, match="smollm3_stage1, smollm3_stage2, smollm3_stage3"):
        resolve(find_preset("smollm3"), ["web", "code", "math"], None)


def test_an_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match="'lama1' is no preset; did you mean 'llama1'"):
        find_preset("lama1")
    with pytest.raises(RecipeError, match=r"there are llama1, .*, worst"):
        find_preset("???")


def test_the_control_turns_the_shares_around() -> None:
    assert worst({"web": 0.7, "code": 0.2, "math": 0.1}) == {"web": 0.1, "code": 0.2, "math": 0.7}
    assert worst({"a": 0.25, "b": 0.25, "c": 0.5}) == {"a": 0.5, "b": 0.25, "c": 0.25}


def test_equal_shares_have_no_control() -> None:
    with pytest.raises(RecipeError, match="all the same"):
        worst({"web": 0.5, "code": 0.5})


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), min_size=2).filter(lambda s: len(set(s.values())) > 1))
def test_the_control_hands_out_the_same_shares_in_reverse_rank(shares: dict[str, float]) -> None:
    turned = worst(shares)
    assert sorted(turned.values()) == sorted(shares.values())
    rising = sorted(shares, key=lambda name: (shares[name], name))
    assert [turned[name] for name in rising] == sorted(turned.values(), reverse=True)


@pytest.mark.parametrize("name", [*names(), "worst"])
def test_every_preset_is_shown_with_its_source_and_its_use(name: str) -> None:
    shown = preset_as_text(name)
    assert "source: " in shown
    assert f"\n  preset: {name}\n" in f"{shown}\n"
    assert all(len(line) <= 120 for line in shown.splitlines())
    assert f"\n{name} " in f"\n{presets_as_text()}"


def test_presets_as_data_are_plain() -> None:
    data = find_preset("smollm3_stage3").as_dict()
    assert data["shares"] == {"web": 0.63, "code": 0.24, "math": 0.13}
    assert set(data) == set(Preset.__dataclass_fields__)
