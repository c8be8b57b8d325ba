"""Scaling laws with the constants that their papers printed.

**Chinchilla's form**, L(N, D) = E + A / N^α + B / D^β in nats a token, has three published sets of constants here. They
come of different data, filters and roundings and disagree by up to five times about the tokens that a parameter
deserves, so a set is one object and is never taken apart:

- `HOFFMANN`: Hoffmann et al. 2022, "Training Compute-Optimal Large Language Models" (arXiv:2203.15556), appendix D.3,
  equation 10, with exponents rounded to two digits.
- `BESIROGLU`: Besiroglu et al. 2024, "Chinchilla Scaling: A Replication Attempt" (arXiv:2404.10102), their fit to the
  points of Hoffmann's figure 4 without the five of largest loss.
- `SARDANA`: Hoffmann's constants with the exponents to three digits, as Sardana et al. 2023, "Beyond
  Chinchilla-Optimal" (arXiv:2401.00448), have them in their code; their tables follow from these and from no others.

With C = 6 N D FLOPs of training, the best N and D of a budget are closed forms (Hoffmann et al., equation 4).

**Kaplan's forms** (Kaplan et al. 2020, "Scaling Laws for Neural Language Models", arXiv:2001.08361, equations 1.1 to
1.3) say what one thing alone bounds the loss to, where the others are plenty. N is without embeddings, compute is in
PF-days, and losses are of WebText2 with a vocabulary of 50,257: not to be compared with those of the form above.

A law vouches for the range that it was fitted on. `ChinchillaLaw.beyond` says what lies outside of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from corpusmill.documents.errors import UsageError
from corpusmill.scaling.planning.amounts import amount

TRAINING_FLOPS = 6
"""FLOPs for each parameter and token of training: forward and backward pass (Kaplan et al. 2020, section 2.1)."""
PF_DAY = 1e15 * 24 * 60 * 60
"""FLOPs of a petaFLOP/s over a day."""


def check_positive(what: str, value: float) -> None:
    """Refuses what no law can take: zero, negative, infinite, not a number.

    Raises:
        UsageError: naming it.
    """
    if not 0 < value < math.inf:
        raise UsageError(f"{what}: {value!r} is no number above 0; give one")


@dataclass(frozen=True, kw_only=True)
class FitRange:
    """Which models a law was fitted on: the least and the most of each."""

    parameters: tuple[float, float]
    """Of the models."""
    tokens: tuple[float, float]
    """That they were trained on."""
    tokens_per_parameter: tuple[float, float]
    """Of one model."""


@dataclass(frozen=True, kw_only=True)
class Beyond:
    """A number outside of what a law was fitted on."""

    what: str
    """`parameters`, `tokens` or `tokens per parameter`."""
    value: float
    """The number."""
    bound: float
    """The end of the range that it lies beyond."""

    @property
    def factor(self) -> float:
        """How many times beyond the bound, on either side; above 1."""
        return max(self.value / self.bound, self.bound / self.value)

    def __str__(self) -> str:
        end = "the most" if self.value > self.bound else "below the least"
        return f"{amount(self.value)} {self.what} are {self.factor:.3g} times {end} of the fit ({amount(self.bound)})"


@dataclass(frozen=True, kw_only=True)
class ChinchillaLaw:
    """E + A / N^α + B / D^β with one set of constants.

    Raises:
        UsageError: if a constant is not finite, A, B or an exponent is not above 0, or E is negative.
    """

    A: float
    """Weight of the parameters' term."""
    B: float
    """Weight of the tokens' term."""
    E: float
    """Nats a token that no size and no data take away."""
    alpha: float
    """Exponent of the parameters."""
    beta: float
    """Exponent of the tokens."""
    name: str = "own fit"
    """Of the set of constants."""
    paper: str = ""
    """Who published them; empty for a fit of one's own."""
    place: str = ""
    """Where in the paper."""
    fitted: FitRange | None = None
    """What the constants were fitted on; None where that is not known."""

    def __post_init__(self) -> None:
        for constant in ("A", "B", "alpha", "beta"):
            check_positive(f"{self.name}: {constant}", getattr(self, constant))
        if not 0 <= self.E < math.inf:
            raise UsageError(f"{self.name}: E is {self.E!r}; a floor of the loss is 0 or more nats")

    @property
    def source(self) -> str:
        """The paper and the place in it."""
        return ", ".join(part for part in (self.paper, self.place) if part) or self.name

    def loss(self, parameters: float, tokens: float) -> float:
        """Nats a token of a model of so many parameters after so many tokens.

        >>> round(HOFFMANN.loss(70e9, 1.4e12), 3)
        1.937
        """
        check_positive("parameters", parameters)
        check_positive("tokens", tokens)
        return self.E + self.A / parameters**self.alpha + self.B / tokens**self.beta

    def optimum(self, flops: float) -> tuple[float, float]:
        """The parameters and tokens of least loss for so many FLOPs of training.

        >>> parameters, tokens = BESIROGLU.optimum(5.88e23)
        >>> f"{parameters:.3g} {tokens:.3g}"
        '7.3e+10 1.34e+12'
        """
        check_positive("FLOPs", flops)
        balance = (self.alpha * self.A / (self.beta * self.B)) ** (1 / (self.alpha + self.beta))
        product = flops / TRAINING_FLOPS
        parameters = balance * product ** (self.beta / (self.alpha + self.beta))
        return parameters, product / parameters

    def tokens_per_parameter(self, flops: float) -> float:
        """At the optimum of so many FLOPs.

        >>> [round(law.tokens_per_parameter(5.88e23), 1) for law in (BESIROGLU, HOFFMANN)]
        [18.4, 92.8]
        """
        parameters, tokens = self.optimum(flops)
        return tokens / parameters

    def optimal_tokens(self, parameters: float) -> float:
        """Tokens of the budget whose best model has so many parameters."""
        check_positive("parameters", parameters)
        ratio = self.beta * self.B * parameters**self.alpha / (self.alpha * self.A)
        return ratio ** (1 / self.beta)

    def optimal_parameters(self, tokens: float) -> float:
        """Parameters of the budget that trains best on so many tokens."""
        check_positive("tokens", tokens)
        ratio = self.alpha * self.A * tokens**self.beta / (self.beta * self.B)
        return ratio ** (1 / self.alpha)

    def optimum_for_loss(self, loss: float) -> tuple[float, float]:
        """The parameters and tokens that reach a loss with the fewest FLOPs of training.

        Raises:
            UsageError: if the loss is not above E.
        """
        left = self._above_floor(loss, self.E, "with any model")
        by_size = left * self.beta / (self.alpha + self.beta)
        return (self.A / by_size) ** (1 / self.alpha), (self.B / (left - by_size)) ** (1 / self.beta)

    def tokens_for_loss(self, parameters: float, loss: float) -> float:
        """Tokens after which a model of so many parameters reaches a loss.

        Raises:
            UsageError: if it never does.
        """
        check_positive("parameters", parameters)
        floor = self.E + self.A / parameters**self.alpha
        left = self._above_floor(loss, floor, f"with {parameters:.3g} parameters")
        return (self.B / left) ** (1 / self.beta)

    def parameters_for_loss(self, tokens: float, loss: float) -> float:
        """Parameters with which a model reaches a loss after so many tokens.

        Raises:
            UsageError: if none does.
        """
        check_positive("tokens", tokens)
        floor = self.E + self.B / tokens**self.beta
        left = self._above_floor(loss, floor, f"with {tokens:.3g} tokens")
        return (self.A / left) ** (1 / self.alpha)

    def beyond(self, parameters: float, tokens: float) -> list[Beyond]:
        """What of a model and its training lies outside of the fit's range; empty where the range is not known.

        >>> print(HOFFMANN.beyond(70e9, 1.4e12)[0])
        70B parameters are 4.32 times the most of the fit (16.2B)
        """
        if self.fitted is None:
            return []
        found = []
        for what, value, (least, most) in (
            ("parameters", parameters, self.fitted.parameters),
            ("tokens", tokens, self.fitted.tokens),
            ("tokens per parameter", tokens / parameters, self.fitted.tokens_per_parameter),
        ):
            if not least <= value <= most:
                found.append(Beyond(what=what, value=value, bound=least if value < least else most))
        return found

    def _above_floor(self, loss: float, floor: float, whatever: str) -> float:
        if not floor < loss < math.inf:
            raise UsageError(
                f"loss: {loss!r} nats a token is out of reach {whatever} by the constants of {self.name}, whose floor "
                f"there is {floor:.4f}; ask for more than that"
            )
        return loss - floor


# The extremes among the points of Hoffmann's figure 4 as Besiroglu et al. extracted them, less the five of largest
# loss; tokens are FLOPs / (6 N).
_FIGURE_4 = FitRange(parameters=(5.73e7, 1.62e10), tokens=(8.19e8, 3.18e11), tokens_per_parameter=(0.456, 341.0))

HOFFMANN = ChinchillaLaw(
    A=406.4,
    B=410.7,
    E=1.69,
    alpha=0.34,
    beta=0.28,
    name="hoffmann",
    paper="Hoffmann et al. 2022, arXiv:2203.15556",
    place="appendix D.3, equation 10",
    fitted=_FIGURE_4,
)
BESIROGLU = ChinchillaLaw(
    A=482.01,
    B=2085.43,
    E=1.8172,
    alpha=0.3478,
    beta=0.3658,
    name="besiroglu",
    paper="Besiroglu et al. 2024, arXiv:2404.10102",
    place="headline fit to the points of Hoffmann's figure 4",
    fitted=_FIGURE_4,
)
SARDANA = ChinchillaLaw(
    A=406.4,
    B=410.7,
    E=1.69,
    alpha=0.336,
    beta=0.283,
    name="sardana",
    paper="Sardana et al. 2023, arXiv:2401.00448",
    place="the authors' code: Hoffmann's constants with exponents to three digits",
    fitted=_FIGURE_4,
)
LAWS = {law.name: law for law in (BESIROGLU, HOFFMANN, SARDANA)}
"""The sets of constants by name, the one to trust most first."""


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """(scale / x)^exponent: the loss where x alone is scarce."""

    scale: float
    """In the unit of x: the x at which the law says one nat a token."""
    exponent: float
    """Above 0."""
    what: str
    """What x is, with its unit."""

    def loss(self, amount: float) -> float:
        """Nats a token.

        >>> round(KAPLAN_PARAMETERS.loss(1.5e9), 3), round(KAPLAN_TOKENS.loss(22e9), 3)
        (2.304, 2.099)
        """
        check_positive(self.what, amount)
        return (self.scale / amount) ** self.exponent

    def amount(self, loss: float) -> float:
        """The x that gives a loss."""
        check_positive("loss", loss)
        return self.scale / loss ** (1 / self.exponent)


KAPLAN_PARAMETERS = PowerLaw(scale=8.8e13, exponent=0.076, what="parameters without embeddings")
"""Equation 1.1."""
KAPLAN_TOKENS = PowerLaw(scale=5.4e13, exponent=0.095, what="tokens")
"""Equation 1.2."""
KAPLAN_COMPUTE = PowerLaw(scale=3.1e8, exponent=0.050, what="PF-days of training")
"""Equation 1.3, of the least compute that reaches the loss (C_min)."""
KAPLAN_SIZE_EXPONENT = 0.73
"""The best N, without embeddings, grows as C^.73 (section 1.2); Chinchilla's as about C^.5."""


def kaplan_growth(compute_ratio: float) -> tuple[float, float]:
    """By how much Kaplan et al. would enlarge the model, and with it the tokens, when compute grows by a factor.

    >>> [round(factor, 2) for factor in kaplan_growth(10)]
    [5.37, 1.86]
    """
    check_positive("ratio of compute", compute_ratio)
    size = compute_ratio**KAPLAN_SIZE_EXPONENT
    return size, compute_ratio / size
