"""What repeated data is worth to a model: Muennighoff et al. 2023, "Scaling Data-Constrained Language Models"
(arXiv:2305.16264), section 3.1 and appendix A.

    L(N, D, U) = E + A / N'^α + B / D'^β
    D' = U_D + U_D R*_D (1 - exp(-R_D / R*_D)),  U_D = min(U, D),  R_D = D / U_D - 1
    N' likewise of U_N, R*_N and R_N = N / U_N - 1

D tokens are trained on, of which U are different. Repetitions are worth less and less: D' ends at (1 + R*_D) U, 16.4
times the unique tokens. In the same way parameters are worth less beyond U_N, the size that trains best on the unique
tokens. D' is that of mix/selection.py.

The constants are those of the authors' code, fitted on C4 with models of 7e6 to 9e9 parameters. Their losses are of
C4 and must not be compared with those of other sets of constants; how much repetition costs, relative to new data, is
what this law is for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.optimize import minimize_scalar

from corpusmill.mix.selection import REPETITION_DECAY, effective_units
from corpusmill.scaling.planning.published import TRAINING_FLOPS, ChinchillaLaw, check_positive

_TOLERANCE = 1e-10
_STEP, _STEPS = 0.5, 60
"""The coarse look: powers of e, up and down from the optimum without repetition."""
_NO_GAIN = 1e-4


@dataclass(frozen=True, kw_only=True)
class RepetitionLaw:
    """The law with its constants."""

    unrepeated: ChinchillaLaw
    """What it says where nothing is repeated and the model is not too large for its data."""
    size_decay: float
    """R*_N. That of the data, R*_D, is `REPETITION_DECAY` of mix/selection.py."""

    @property
    def ceiling(self) -> float:
        """How many times the unique tokens any number of repetitions can be worth."""
        return 1 + REPETITION_DECAY

    def effective_parameters(self, parameters: float, unique: float) -> float:
        """N': parameters that are worth as much on plenty of data. `unique`: tokens that differ."""
        check_positive("parameters", parameters)
        used = min(parameters, self.unrepeated.optimal_parameters(unique))
        return used + used * self.size_decay * (1 - math.exp(-(parameters / used - 1) / self.size_decay))

    def loss(self, parameters: float, tokens: float, unique: float) -> float:
        """Nats a token after training on `tokens`, of which `unique` differ; more unique tokens than that are not used.

        >>> round(MUENNIGHOFF.loss(6.34e9, 242e9, 25e9), 6)
        2.225644
        """
        check_positive("tokens", tokens)
        check_positive("unique tokens", unique)
        used = min(unique, tokens)
        return self.unrepeated.loss(self.effective_parameters(parameters, used), effective_units(used, tokens))

    def penalty(self, parameters: float, tokens: float, unique: float) -> float:
        """How much higher the loss is than if all the tokens were new, as a share of it.

        The authors report .5 % for 8.7e9 parameters on four epochs of 44e9 tokens; their law says:

        >>> f"{100 * MUENNIGHOFF.penalty(8.7e9, 4 * 44e9, 44e9):.1f} %"
        '0.7 %'
        """
        return self.loss(parameters, tokens, unique) / self.loss(parameters, tokens, tokens) - 1

    def optimum(self, flops: float, unique: float) -> tuple[float, float]:
        """The parameters and tokens of least loss for so many FLOPs of training and so many unique tokens.

        >>> parameters, tokens = MUENNIGHOFF.optimum(1e22, 25e9)
        >>> f"{parameters:.3g} parameters, {tokens / 25e9:.2f} epochs"
        '7.03e+09 parameters, 9.49 epochs'
        """
        check_positive("unique tokens", unique)
        start = math.log(self.unrepeated.optimum(flops)[1])
        product = flops / TRAINING_FLOPS

        def loss(log_tokens: float) -> float:
            tokens = math.exp(log_tokens)
            return self.loss(product / tokens, tokens, unique)

        # Where budgets are far above what the data can use the loss is flat, so a coarse look comes first: of the best
        # places on it, that with the most tokens, whose model is the smallest and cheapest to use.
        places = [start + _STEP * step for step in range(_STEPS, -_STEPS - 1, -1)]
        best = min(places, key=loss)
        found = minimize_scalar(
            loss, bounds=(best - _STEP, best + _STEP), method="bounded", options={"xatol": _TOLERANCE}
        )
        tokens = math.exp(found.x if found.fun < loss(best) else best)
        return product / tokens, tokens

    def saturated(self, flops: float, unique: float) -> bool:
        """Whether half of the FLOPs would do as well: the loss is less than .01 % higher then."""
        whole, half = (self.loss(*self.optimum(share * flops, unique), unique) for share in (1, 0.5))
        return half < (1 + _NO_GAIN) * whole


MUENNIGHOFF = RepetitionLaw(
    unrepeated=ChinchillaLaw(
        A=math.exp(6.255414),
        B=math.exp(7.3049974),
        E=math.exp(0.6254804),
        alpha=0.3526596,
        beta=0.3526596,
        name="muennighoff",
        paper="Muennighoff et al. 2023, arXiv:2305.16264",
        place="section 3.1 and appendix A",
    ),
    size_decay=5.309743,
)


def tokens_worth(wanted: float, unique: float) -> float | None:
    """Tokens to train on, repetitions included, that are worth `wanted` new ones; None if no number of them is.

    >>> round(tokens_worth(3.726e9, 1e9) / 1e9, 2), tokens_worth(17e9, 1e9)
    (4.0, None)
    """
    check_positive("tokens", wanted)
    check_positive("unique tokens", unique)
    if wanted <= unique:
        return wanted
    left = 1 - (wanted / unique - 1) / REPETITION_DECAY
    if left <= 0:
        return None
    return unique * (1 - REPETITION_DECAY * math.log(left))
