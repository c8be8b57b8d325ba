"""Q, the quality score of a dataset: the share of its tokens that are uncorrupted and not redundant.

Subramanyam, Chen and Grossman 2025, "Scaling Laws Revisited: Modeling the Role of Data Quality in Language Model
Pretraining" (arXiv:2510.03313), put Q in (0, 1] into the scaling law (mix/quality_law.py) and name two estimators:

    Q = 1 − CR       the corruption rate: what is corrupted, and what is redundant. This is `q`.
    Q = exp(−Δ)      Δ = μ1·noise + μ2/coverage + μ3·redundancy + μ4·synthetic share. This is `exponential`.

They publish no μ. Ours are μ1 = μ3 = 1 with noise and redundancy as shares of all tokens, so that both estimators agree
to first order; coverage and the synthetic share are not measured, and their terms are left out.

Every token is lost at most once, in this order, so that 1 − Q is the sum of the losses:

    epochs           rows that repeat a document by its id: not lost but worth less, by the decay of Muennighoff et al.
                     2023 (mix/selection.py), so that two passes lose .016 and not .5; see below
    duplicates       documents with the text of another
    near_duplicates  documents whose 3-grams are mostly those of another (mix/near_copies.py)
    …                corrupted parts of the rest, by kind (mix/corruption.py)
    repeated_lines   lines that many documents have (mix/repetition.py)
    repetition       runs of 13 words that the same document has had before
    overlap          runs of 13 words that another document has, too

Of documents that are alike one loses nothing: the least corrupted at sight, then the longest. Of those with one text it
is the one with the lowest hash of its id, so that components that share a text share the loss.

The decay holds for documents that repeat equally, as Muennighoff's did, so it is taken by classes of them: those that
one pass over a component has equally often. Where that is not known, as of plain files, a class is what occurs equally
often in a component, and only the count n that has most of its tokens is joined with n + 1 or n − 1, whichever has
more: a pass that was cut leaves both. So 2.5 passes are worth what Muennighoff found for 2.5, and a document that alone
occurs 301 times is worth 16.4 of itself, whatever stands beside it.

Differs from the paper: a part of a long document can be corrupted, not only a sample as a whole. Tokens are the
dataset's count column, or bytes where it has none.

Each part of a dataset is noted in a file first (mix/scoring_rows.py; of a mix, mix/scoring_mix.py), with the texts of a
sample: all of them up to SAMPLE_BYTES of text. Epochs and duplicates are counted on every row, all else is measured in
the sample (mix/scoring_sample.py), with a 95 % interval (mix/scoring_interval.py). Memory: 190 bytes a row, and what
the sample takes. Nothing depends on the order of parts or rows, beyond the last digits of sums.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from corpusmill.mix.corruption import KINDS
from corpusmill.mix.quality_law import LAWS
from corpusmill.mix.scoring_interval import bootstrap
from corpusmill.mix.scoring_rows import Rows, sampled_texts
from corpusmill.mix.scoring_sample import Measured, measure_sample
from corpusmill.mix.selection import effective_units

DEFINITION = (
    "Q is the share of tokens that are neither corrupted nor redundant, after Subramanyam et al. 2025 "
    "(arXiv:2510.03313): 1 minus the losses below. Repeated passes over a source lose what Muennighoff et al. 2023 "
    "(arXiv:2305.16264) found them to be worth less than new text."
)
_REDUNDANT_FIRST = ("epochs", "duplicates", "near_duplicates")
_REDUNDANT_LAST = ("repeated_lines", "repetition", "overlap")
LOSSES = (*_REDUNDANT_FIRST, *KINDS, *_REDUNDANT_LAST)
"""The parts of 1 − Q, in the order in which they are taken."""

SAMPLE_BYTES = 64_000_000
"""Text of which every document is measured; of more, a sample of half of it to all of it."""


@dataclass(frozen=True, kw_only=True)
class QualityScore:
    """Q and what it lost to what, each a share of all tokens.

    q                  1 minus the losses
    low, high          the ends of its 95 % interval; None where every document was measured
    lost               loss -> share, for each of LOSSES
    documents          rows of the dataset
    tokens             in `unit`
    unit               the count column, or "bytes"
    sampled_documents  different documents that were measured
    components         the score of each component (or source) by itself; its duplicates are those in the whole
    """

    q: float
    low: float | None
    high: float | None
    lost: dict[str, float]
    documents: int
    tokens: int
    unit: str
    sampled_documents: int
    components: dict[str, QualityScore] = field(default_factory=dict)
    definition: str = DEFINITION

    @property
    def corruption(self) -> float:
        """Share of tokens lost to corruption of any kind."""
        return math.fsum(self.lost[kind] for kind in KINDS)

    @property
    def redundancy(self) -> float:
        """Share of tokens lost to redundancy of any kind."""
        return math.fsum(self.lost[name] for name in (*_REDUNDANT_FIRST, *_REDUNDANT_LAST))

    @property
    def exponential(self) -> float:
        """The paper's other estimator, exp(−Δ), with weights of 1: never below `q`."""
        return math.exp(-self.corruption - self.redundancy)

    def losses(self) -> dict[str, float]:
        """The parts of 1 − Q, in the order in which they are taken."""
        return dict(self.lost)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for the manifest and `corpusmill score --json`."""
        return {
            **self._own(),
            "effective_tokens": {law.name: round(law.effective_tokens(self.tokens, self.q)) for law in LAWS},
            "components": {name: score._own() for name, score in self.components.items()},
            "definition": self.definition,
        }

    def _own(self) -> dict[str, Any]:
        return {
            "q": self.q,
            "interval": None if self.low is None else [self.low, self.high],
            "exponential": self.exponential,
            "corruption": self.corruption,
            "redundancy": self.redundancy,
            **self.lost,
            "documents": self.documents,
            "tokens": self.tokens,
            "unit": self.unit,
            "sampled_documents": self.sampled_documents,
        }


def sampling_bits(text_bytes: int) -> int:
    """Of a dataset of so much text, 1 document in 2^bits is measured.

    >>> sampling_bits(1_000_000), sampling_bits(20_000_000_000)
    (0, 9)
    """
    return max(0, ((text_bytes - 1) // SAMPLE_BYTES).bit_length())


def combine(partials: Sequence[Path]) -> QualityScore:
    """The score of the dataset whose parts were noted, in any order.

    Raises:
        DamagedRunError: if they were not noted in one way.
    """
    rows = Rows.read(partials)
    documents = _documents(rows)
    wanted = documents.measured
    measured = measure_sample(
        lambda: (batch for _, batch in sampled_texts(partials, wanted)),
        rows.text_hash[wanted],
        int(rows.text_bytes[wanted].sum()),
    )
    columns = _columns(documents.left[wanted], measured)
    everything = np.ones(len(rows), np.bool_)
    scores = {
        name: _score(rows, documents, columns, rows.component == number, {})
        for number, name in enumerate(rows.components)
    }
    return _score(rows, documents, columns, everything, scores if len(scores) > 1 else {})


@dataclass(frozen=True, slots=True)
class _Documents:
    """What every row is known by, in tokens.

    tokens    float64[n]: of all its occurrences
    worth     float64[n]: what is left of them as repeated passes are worth less
    lost      float64[n]: of that, what is lost to duplicates
    left      float64[n]: what is left of a document and its repeated passes, at its first row; 0 elsewhere
    measured  bool[n]: first rows that are in the sample
    """

    tokens: NDArray[np.float64]
    worth: NDArray[np.float64]
    lost: NDArray[np.float64]
    left: NDArray[np.float64]
    measured: NDArray[np.bool_]


def _documents(rows: Rows) -> _Documents:
    order = np.lexsort((rows.component, rows.id_hash, rows.text_hash))
    texts, ids = rows.text_hash[order], rows.id_hash[order]
    new_text = np.ones(len(order), np.bool_)
    new_text[1:] = texts[1:] != texts[:-1]
    new_id = new_text.copy()
    new_id[1:] |= ids[1:] != ids[:-1]
    group = np.cumsum(new_text) - 1
    stays = ids == ids[new_text][group] if len(order) else new_text  # the document whose id comes first
    is_first, kept = (np.empty(len(order), np.bool_) for _ in range(2))
    is_first[order], kept[order] = new_text, stays
    del texts, ids  # memory

    worth = _factors(rows, order, new_id)
    tokens = rows.tokens.astype(np.float64) * rows.copies
    worth *= tokens
    left = np.zeros(len(order))
    left[order[new_text]] = np.bincount(group, (worth * kept)[order], int(new_text.sum()))
    return _Documents(tokens, worth, np.where(kept, 0.0, worth), left, is_first & rows.sampled)


def _factors(rows: Rows, order: NDArray[np.int64], new: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What a token of each row is worth, as its document is repeated: the same in all rows of a document.

    Args:
        order: of the rows, by documents.
        new: where in it a document begins.
    """
    document = np.cumsum(new) - 1
    first = order[new]  # tells of a document's tokens and component
    copies, per_pass = np.zeros(len(first), np.int64), np.zeros(len(first), np.int64)
    np.add.at(copies, document, rows.copies[order])
    np.add.at(per_pass, document, rows.per_pass[order])

    # A class is a component and a kind: copies in a pass, or, below 0, copies of a document whose passes are not known.
    kinds, kind = np.unique(np.where(per_pass > 0, per_pass, -copies), return_inverse=True)
    classes, of_document = np.unique((rows.component[first] + 1) * len(kinds) + kind, return_inverse=True)
    once = rows.tokens[first].astype(np.float64)
    unique, total = np.bincount(of_document, once), np.bincount(of_document, once * copies)
    joined = _with_cut_passes(classes // max(1, len(kinds)), kinds[classes % max(1, len(kinds))], total)
    unique, total = np.bincount(joined, unique)[joined], np.bincount(joined, total)[joined]
    worth = np.array(
        [effective_units(one, all_) / all_ if all_ else 1.0 for one, all_ in zip(unique, total, strict=True)]
    )
    factors = np.empty(len(order))
    factors[order] = worth[of_document[document]]
    return factors


def _with_cut_passes(components: NDArray[np.int64], kinds: NDArray[np.int64], total: NDArray[Any]) -> NDArray[np.int64]:
    """For each class (sorted by component and kind) the one that it counts with: itself, but for one of a component.

    Where a component's passes are not known, the heaviest of its classes takes the heavier of its two neighbours.
    """
    joined = np.arange(len(kinds))
    for component in np.unique(components[kinds < 0]):
        own = np.flatnonzero((components == component) & (kinds < 0))
        heaviest = own[np.argmax(total[own])]
        beside = own[np.abs(kinds[own] - kinds[heaviest]) == 1]
        if len(beside):
            joined[beside[np.argmax(total[beside])]] = heaviest
    return joined


def _columns(left: NDArray[np.float64], measured: Measured) -> NDArray[np.float64]:
    """What is summed up over the sample: what is left of each document, then what of it is lost to near copies and to
    the losses after them."""
    rest = left * ~measured.is_near
    parts = [left, left - rest]
    parts += [rest * share for share in measured.corrupted.T]
    rest = rest * (1 - measured.corrupted.sum(axis=1))
    for share in (measured.lines, measured.repetition, measured.overlap):
        parts.append(rest * share)
        rest = rest * (1 - share)
    return np.stack(parts, axis=-1)


def _shares(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of what is left after duplicates: lost to near copies, and to each loss after them."""
    return np.asarray(sums[..., 1:] / np.maximum(sums[..., :1], 1e-300))


def _score(
    rows: Rows,
    documents: _Documents,
    columns: NDArray[np.float64],
    own: NDArray[np.bool_],
    components: dict[str, QualityScore],
) -> QualityScore:
    total = float(documents.tokens[own].sum())
    lost = dict.fromkeys(LOSSES, 0.0)
    own_columns = columns[own[documents.measured]]
    low = high = None
    if total:
        worth = float(documents.worth[own].sum())
        duplicates = float(documents.lost[own].sum())
        left = (worth - duplicates) / total
        shares = [(total - worth) / total, duplicates / total, *(left * _shares(own_columns.sum(axis=0)))]
        lost = {name: max(0.0, float(share)) for name, share in zip(LOSSES, shares, strict=True)}
        if rows.sampling.share < 1:
            ends = (0.0, 1.0)  # where no document is in the sample
            if len(own_columns):
                keys = rows.key[own & documents.measured]
                ends = bootstrap(own_columns, keys, lambda sums: 1 - _shares(sums).sum(axis=-1), rows.sampling.share)
            low, high = (left * end for end in ends)
    return QualityScore(
        q=max(0.0, 1 - math.fsum(lost.values())),
        low=low,
        high=high,
        lost=lost,
        documents=int(rows.copies[own].sum()),
        tokens=int(total),
        unit=rows.unit,
        sampled_documents=len(own_columns),
        components=components,
    )
