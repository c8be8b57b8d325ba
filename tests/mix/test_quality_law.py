from __future__ import annotations

import pytest

from corpusmill.mix.quality_law import LANGUAGE_MODEL, LAWS, TRANSLATION, QualityLaw


def test_the_law_has_the_losses_of_the_papers_fit() -> None:
    assert LANGUAGE_MODEL.loss(1e8, 1) == pytest.approx(4.418, abs=5e-4)
    assert LANGUAGE_MODEL.loss(1e8, 0.5) == pytest.approx(4.732, abs=5e-4)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_tokens_of_some_quality_are_worth_what_gives_the_same_loss(law: QualityLaw) -> None:
    for quality in (0.1, 0.5, 0.9, 1.0):
        worth = law.effective_tokens(1e9, quality)
        assert law.loss(worth, 1) == pytest.approx(law.loss(1e9, quality))


def test_quality_counts_in_full_for_a_language_model_and_less_for_translation() -> None:
    assert LANGUAGE_MODEL.effective_tokens(100, 0.5) == pytest.approx(50, abs=1)
    assert TRANSLATION.effective_tokens(100, 0.5) == pytest.approx(100 * 0.5**0.692)
