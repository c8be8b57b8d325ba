"""What quality is worth in tokens: the scaling law of Subramanyam, Chen and Grossman 2025 (arXiv:2510.03313).

    L(N, D, Q) = A / N^α + B / (D^β · Q^γ) + E

They fitted it at one model size, so that A / N^α and E are one number, `floor`. Data of quality Q is worth as much as
D · Q^(γ/β) tokens of quality 1: about linear for the language model (Q^1.01), less for translation (Q^.69).

Constants are their Huber fits: an 8-layer decoder on C4 with 1e8 to 1e10 tokens, and a translation model.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class QualityLaw:
    """A fit of the law at one model size.

    name   of the fit
    b      B
    beta   exponent of D, the tokens
    gamma  exponent of Q
    floor  A / N^α + E, in nats a token
    """

    name: str
    b: float
    beta: float
    gamma: float
    floor: float

    def loss(self, tokens: float, quality: float) -> float:
        """Nats a token after training on `tokens` of this quality.

        >>> round(LANGUAGE_MODEL.loss(1e8, 1), 3), round(LANGUAGE_MODEL.loss(1e8, 0.5), 3)
        (4.418, 4.732)
        """
        return self.b / (tokens**self.beta * quality**self.gamma) + self.floor

    def effective_tokens(self, tokens: float, quality: float) -> float:
        """Tokens of quality 1 that give the same loss.

        >>> round(LANGUAGE_MODEL.effective_tokens(1e8, 0.5) / 1e8, 3)
        0.496
        """
        return float(tokens * quality ** (self.gamma / self.beta))


LANGUAGE_MODEL = QualityLaw(name="language model", b=1441.51, beta=0.396, gamma=0.401, floor=3.439)
TRANSLATION = QualityLaw(name="translation", b=139.60, beta=0.250, gamma=0.173, floor=0.067)
LAWS = (LANGUAGE_MODEL, TRANSLATION)
