"""The cheapest model of a given loss when inference is paid for, too.

Sardana et al. 2023, "Beyond Chinchilla-Optimal: Accounting for Inference in Language Model Scaling Laws"
(arXiv:2401.00448), section 2: over its life a model of N parameters costs 6 N D FLOPs of training on D tokens and
2 N D_inf of inference on D_inf tokens, prompts included. Among all (N, D) with L(N, D) = loss the sum is least where

    (β B / α + B) D^-β + (D_inf β B / (3 α)) D^(-β-1) + E - loss = 0.

The left side falls with D from above zero to below it, so there is one root and a bracket finds it.

Differs from the paper: the constants are those of the law that is asked, not the paper's own alone (`SARDANA`, whose
tables these reproduce). A much smaller model trained on many more tokens lies beyond what such laws were fitted on; the
authors' later trainings of up to 10,000 tokens a parameter show that the loss goes on falling, and that fits without
such models misjudge how fast. `InferenceOptimum.beyond` says when that is so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.optimize import brentq

from corpusmill.documents.errors import UsageError
from corpusmill.scaling.planning.published import TRAINING_FLOPS, Beyond, ChinchillaLaw

INFERENCE_FLOPS = 2
"""FLOPs for each parameter and token of inference: a forward pass."""
SOURCE = "Sardana et al. 2023, arXiv:2401.00448, section 2"
_TOLERANCE = 1e-13


@dataclass(frozen=True, kw_only=True)
class InferenceOptimum:
    """The cheapest way to a loss over a model's life, beside the way that is cheapest in training alone."""

    loss: float
    """Nats a token that both reach."""
    inference_tokens: float
    """Over the model's life."""
    parameters: float
    """Of the cheapest model."""
    tokens: float
    """That it is trained on."""
    training_flops: float
    """6 N D."""
    inference_flops: float
    """2 N D_inf."""
    baseline_parameters: float
    """Of the model that reaches the loss with the fewest FLOPs of training (Chinchilla-optimal)."""
    baseline_tokens: float
    """That it is trained on."""
    baseline_flops: float
    """Of its training and of its inference together."""
    beyond: list[Beyond]
    """What of the cheapest model lies outside of the range that the law was fitted on."""

    @property
    def flops(self) -> float:
        """Of training and inference together."""
        return self.training_flops + self.inference_flops

    @property
    def change(self) -> float:
        """Of the FLOPs, relative to the baseline: -.174 is 17.4 % less."""
        return self.flops / self.baseline_flops - 1


def cheapest_for_loss(law: ChinchillaLaw, loss: float, inference_tokens: float) -> InferenceOptimum:
    """The model that reaches `loss` with the fewest FLOPs of training and inference.

    Args:
        law: with its constants.
        loss: nats a token, above the law's floor.
        inference_tokens: 0 or more.

    Raises:
        UsageError: if the loss is out of reach, or the tokens are no number of tokens.

    >>> from corpusmill.scaling.planning.published import SARDANA
    >>> best = cheapest_for_loss(SARDANA, SARDANA.loss(13e9, SARDANA.optimal_tokens(13e9)), 2e12)
    >>> f"{best.parameters:.3g} parameters, {best.tokens:.4g} tokens, {100 * best.change:.1f} %"
    '6.97e+09 parameters, 1.248e+12 tokens, -17.4 %'
    """
    if not 0 <= inference_tokens < math.inf:
        raise UsageError(f"inference tokens: {inference_tokens!r} is no number of tokens; give 0 or more")
    baseline_parameters, baseline_tokens = law.optimum_for_loss(loss)
    tokens = _tokens(law, loss, inference_tokens)
    parameters = law.parameters_for_loss(tokens, loss)
    return InferenceOptimum(
        loss=loss,
        inference_tokens=inference_tokens,
        parameters=parameters,
        tokens=tokens,
        training_flops=TRAINING_FLOPS * parameters * tokens,
        inference_flops=INFERENCE_FLOPS * parameters * inference_tokens,
        baseline_parameters=baseline_parameters,
        baseline_tokens=baseline_tokens,
        baseline_flops=baseline_parameters * (TRAINING_FLOPS * baseline_tokens + INFERENCE_FLOPS * inference_tokens),
        beyond=law.beyond(parameters, tokens),
    )


def cheapest_like_parameters(law: ChinchillaLaw, parameters: float, inference_tokens: float) -> InferenceOptimum:
    """The cheapest model that is as good as a Chinchilla-optimal one of so many parameters: the paper's tables."""
    return cheapest_for_loss(law, law.loss(parameters, law.optimal_tokens(parameters)), inference_tokens)


def cheapest_like_budget(law: ChinchillaLaw, flops: float, inference_tokens: float) -> InferenceOptimum:
    """The cheapest model that is as good as the best one of so many FLOPs of training."""
    return cheapest_for_loss(law, law.loss(*law.optimum(flops)), inference_tokens)


def _tokens(law: ChinchillaLaw, loss: float, inference_tokens: float) -> float:
    """The root of the equation above."""
    ratio = law.beta / law.alpha

    def left_side(log_tokens: float) -> float:
        term = law.B * math.exp(-law.beta * log_tokens)
        return term * (1 + ratio + ratio * inference_tokens / 3 * math.exp(-log_tokens)) + law.E - loss

    # With as few tokens as a model without end would need, the first term alone is above loss - E.
    low = math.log(law.B / (loss - law.E)) / law.beta
    step = 1.0
    while left_side(low + step) > 0:
        step *= 2
    return math.exp(brentq(left_side, low, low + step, xtol=_TOLERANCE, rtol=_TOLERANCE))
