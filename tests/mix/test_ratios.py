from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from corpusmill.documents.errors import RecipeError
from corpusmill.mix.options import MixOptions, Share
from corpusmill.mix.ratios import leaves_of, shares_of, with_presets

SIZES = {"web": {"web/de": 100, "web/en": 800, "web/fr": 100}, "novels": {"novels": 30}, "letters": {"letters": 10}}


def shares(ratios: dict[str, float | Share], **changes: Any) -> dict[str, float]:
    found = shares_of(ratios, SIZES, changes.pop("budget", None), changes.pop("max_epochs", 1.0))
    assert sum(found.values()) == 1
    return {name: round(float(share), 4) for name, share in found.items()}


def test_shares_of_whole_components_are_the_ratios() -> None:
    assert shares({"web": 0.25, "code": 0.75}) == {"web": 0.25, "code": 0.75}


def test_a_group_with_shares_divides_its_own_share_by_them() -> None:
    books = Share(share=0.2, of={"novels": 0.7, "letters": 0.3})
    assert shares({"code": 0.8, "books": books}) == {"code": 0.8, "letters": 0.06, "novels": 0.14}


def test_groups_nest() -> None:
    inner = Share(share=0.5, of={"novels": 0.5, "letters": 0.5})
    assert shares({"text": Share(share=1, of={"books": inner, "laws": 0.5})}) == {
        "laws": 0.5,
        "letters": 0.25,
        "novels": 0.25,
    }


def test_a_listed_group_is_divided_by_size() -> None:
    books = Share(share=0.4, of=("novels", "letters"))
    assert shares({"code": 0.6, "books": books}) == {"code": 0.6, "letters": 0.1, "novels": 0.3}


@pytest.mark.parametrize(
    ("given", "english"),
    [
        (Share(share=1, by="language"), 0.8),
        (Share(share=1, by="language", balance="temperature", temperature=1), 0.8),
        (Share(share=1, by="language", balance="temperature", temperature=2), 0.5858),  # √8 of √8 + 2
        (Share(share=1, by="language", balance="unimax"), 0.6),  # the others give their 100 of 500 each
    ],
)
def test_values_of_a_column_are_balanced(given: Share, english: float) -> None:
    found = shares({"web": given}, budget=500)
    assert found["web/en"] == english
    assert found["web/de"] == found["web/fr"] == round((1 - english) / 2, 4)


def test_unimax_needs_a_budget_to_divide() -> None:
    with pytest.raises(RecipeError, match=r"mix\.ratios\.web\.balance: unimax divides a budget, and mix\.budget is"):
        shares({"web": Share(share=1, by="language", balance="unimax")})


def test_what_unimax_cannot_fill_is_asked_all_the_same_so_that_the_policy_judges() -> None:
    found = shares({"web": Share(share=1, by="language", balance="unimax")}, budget=5000)
    assert found == {"web/de": 0.1, "web/en": 0.8, "web/fr": 0.1}


def test_a_group_without_documents_keeps_its_share_so_that_the_error_names_it() -> None:
    assert shares({"law": Share(share=0.5, by="language"), "code": 0.5}) == {"code": 0.5, "law": 0.5}


def test_leaves_carry_the_passes_of_the_group_around_them() -> None:
    ratios = {
        "web": 0.5,
        "books": Share(share=0.5, of={"novels": 0.5, "letters": Share(share=0.5, by="language")}, max_epochs=4),
        "none": 0.0,
    }
    assert [(leaf.name, leaf.by, leaf.max_epochs) for leaf in leaves_of(ratios)] == [
        ("web", None, None),
        ("novels", None, 4),
        ("letters", "language", 4),
    ]


def test_a_component_with_two_shares_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"mix\.ratios\.books\.of: 'web' has a share elsewhere, too"):
        list(leaves_of({"web": 0.5, "books": Share(share=0.5, of=("web", "novels"))}))


def test_a_preset_becomes_ratios_of_the_sources() -> None:
    options = with_presets(
        MixOptions(preset="smollm3_stage1", preset_sources={"web": "crawl"}), ["crawl", "code", "math"]
    )
    assert options.ratios == {"crawl": 0.85, "code": 0.12, "math": 0.03}


def test_a_preset_of_stages_divides_the_budget_as_published() -> None:
    options = with_presets(MixOptions(preset="smollm3", budget=11_100), ["web", "code", "math"])
    assert {name: asked.budget for name, asked in options.datasets().items()} == {
        "smollm3_stage1": 8000,
        "smollm3_stage2": 2000,
        "smollm3_stage3": 1100,
    }
    assert options.datasets()["smollm3_stage3"].ratios == {"web": 0.63, "code": 0.24, "math": 0.13}
    with pytest.raises(RecipeError, match=r"mix\.budget: is missing; smollm3 has 3 stages"):
        with_presets(MixOptions(preset="smollm3"), ["web", "code", "math"])


def test_the_control_turns_the_ratios_round_and_keeps_what_divides_them() -> None:
    ratios = {"web": Share(share=0.7, by="language"), "code": 0.2, "math": 0.1}
    turned = with_presets(MixOptions(preset="worst", ratios=ratios), ["web", "code", "math"]).ratios
    assert turned == {"web": Share(share=0.1, by="language"), "code": 0.2, "math": 0.7}


def test_a_stage_can_have_a_preset() -> None:
    given: Any = {"stages": ({"name": "decay", "preset": "smollm3_stage3"},)}
    from corpusmill.pipeline.recipe import build

    options = with_presets(build(MixOptions, given, "recipe.yaml: mix"), ["web", "code", "math"])
    assert options.stages[0].ratios["math"] == 0.13


def test_shares_are_exact_however_deep() -> None:
    third = Share(share=1 / 3, of={"novels": 0.1, "letters": 0.9})
    found = shares_of({"books": third, "web": 2 / 3}, SIZES, None, 1.0)
    assert found["novels"] * 9 == found["letters"]
    assert sum(found.values(), Fraction()) == 1
