"""What `corpusmill score` does: Q of any dataset, with its parts, and what it is worth."""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from corpusmill.documents.errors import InputError, UsageError
from corpusmill.documents.printable import printable_line
from corpusmill.mix.corruption import KINDS
from corpusmill.mix.groups import find_groups
from corpusmill.mix.quality_law import LAWS
from corpusmill.mix.quality_score import LOSSES, SAMPLE_BYTES, combine
from corpusmill.mix.scoring_rows import Sampling, write_rows, write_sketch
from corpusmill.pipeline.score_inputs import BYTES, ScoreInput, Unread, find_input, read_pieces
from corpusmill.pipeline.summary import count, counted, loss_name, table

_ALL = "all"
_LEAST_SHARE = 0.5
"""A sample of more than that is made the whole: its interval would hardly be smaller than the trouble."""
_COMPONENTS_SHOWN = 40
_CHARACTERS_SHOWN = 200


def score(
    paths: Sequence[str],
    *,
    field: str = "text",
    count_column: str | None = None,
    by: str | None = None,
    split: str = "train",
    sample: str | None = None,
) -> dict[str, Any]:
    """The score as data: that of mix/quality_score.py, with `files`, `text_bytes` and `unread`.

    Args:
        sample: documents, a share of them (".1", "10%"), or "all"; None: as many as have SAMPLE_BYTES of text.

    Raises:
        InputError: if there is nothing to score, or not as the options say.
        UsageError: if an option cannot be used.
    """
    given = find_input(paths, field=field, count=count_column, by=by, split=split)
    share = sample_share(sample, given)
    unread = Unread()
    with tempfile.TemporaryDirectory(prefix="corpusmill-score-") as scratch:
        noted, groups = Path(scratch) / "rows.parquet", None
        if share < 1:  # near copies must come into the sample together, so they are found first
            sketch, groups = Path(scratch) / "sketch.parquet", Path(scratch) / "groups.parquet"
            write_sketch(read_pieces(given, Unread()), sketch)
            find_groups([sketch], groups, Path(scratch))
        write_rows(read_pieces(given, unread), noted, Sampling(share=share), given.count or BYTES, groups)
        result = combine([noted])
    if result.documents == 0:
        told = ", ".join(f"{number:,} {reason}" for reason, number in sorted(unread.reasons.items()))
        first = f"; the first is {unread.first[0].file}: {unread.first[0].detail}" if unread.first else ""
        raise InputError(f"{' '.join(paths)}: holds no document{f' ({told}{first})' if told else ''}")
    if result.sampled_documents == 0 and result.tokens:
        raise UsageError(
            f"--sample: none of the {result.documents:,} documents came into a sample of {share:.2g} of them; take more"
        )
    return {"files": len(given.files), **result.as_dict(), "unread": unread.as_dict()}


def sample_share(sample: str | None, given: ScoreInput) -> float:
    """The share of the documents that is measured.

    Raises:
        UsageError: if `sample` is no number of documents and no share.
    """
    if sample is None:
        share = SAMPLE_BYTES / max(1, given.text_bytes)
    elif sample == _ALL:
        return 1.0
    elif re.fullmatch(r"[0-9_,]+", sample):
        documents = int(re.sub("[_,]", "", sample))
        if documents == 0:
            raise UsageError("--sample: 0 documents say nothing; give some thousands, a share such as 10%, or all")
        return min(1.0, documents / max(1, given.documents))
    else:
        try:
            share = float(sample.removesuffix("%")) / (100 if sample.endswith("%") else 1)
        except ValueError:
            share = math.nan
        if not 0 < share <= 1:
            raise UsageError(
                f"--sample: {sample!r} is no number of documents and no share; give such as 10000, .1, 10% or all"
            )
        return share
    return share if share < _LEAST_SHARE else 1.0


def score_as_text(told: dict[str, Any]) -> str:
    """The score for a terminal."""
    unit = "bytes of text" if told["unit"] == BYTES else told["unit"]
    lines = [f"{counted(told['documents'], 'document')} in {counted(told['files'], 'file')}, {told['tokens']:,} {unit}"]
    measured = f"measured in {counted(told['sampled_documents'], 'different document')}"
    if told["interval"]:
        low, high = told["interval"]
        lines.append(f"Q = {told['q']:.3f} (95 % interval {low:.3f} to {high:.3f}), {measured}")
    else:
        lines.append(f"Q = {told['q']:.3f}, {measured}")
    lines.append(f"exp(-Δ) = {told['exponential']:.3f}, with weights of 1 for noise and for redundancy")
    for law in LAWS:
        worth = told["effective_tokens"][law.name]
        lines.append(
            f"worth {worth:,} {unit} of Q = 1 (D·Q^{law.gamma / law.beta:.2f}, Subramanyam et al. 2025, {law.name})"
        )
    rows = []
    for title, names in (("corruption", KINDS), ("redundancy", [name for name in LOSSES if name not in KINDS])):
        rows.append([title, f"{100 * told[title]:.2f} %"])
        rows += [[f"  {loss_name(name)}", f"{100 * told[name]:.2f} %"] for name in names]
    lines += ["", table(["lost to", "of the tokens"], rows)]
    if told["components"]:
        lines += ["", _components(told)]
    if told["unread"]["reasons"]:
        lines += ["", *_unread(told["unread"])]
    return "\n".join(lines)


def _components(told: dict[str, Any]) -> str:
    found = sorted(told["components"].items(), key=lambda item: (-item[1]["tokens"], item[0]))
    rows = []
    for name, own in found[:_COMPONENTS_SHOWN]:
        worst = max(LOSSES, key=lambda loss: own[loss])
        interval = f" ({own['interval'][0]:.3f}–{own['interval'][1]:.3f})" if own["interval"] else ""
        rows.append(
            [
                _line(name),
                count(own["documents"]),
                f"{100 * own['tokens'] / max(1, told['tokens']):.1f} %",
                f"{own['q']:.3f}{interval}",
                f"{100 * own['corruption']:.2f} %",
                f"{100 * own['redundancy']:.2f} %",
                f"{loss_name(worst)} {100 * own[worst]:.2f} %" if own[worst] >= 5e-5 else "",
            ]
        )
    text = table(["by", "documents", "tokens", "Q", "corruption", "redundancy", "most to"], rows)
    left = len(found) - _COMPONENTS_SHOWN
    return text if left <= 0 else f"{text}\nand {left:,} smaller ones; --json has all"


def _unread(unread: dict[str, Any]) -> list[str]:
    reasons = ", ".join(f"{reason} {number:,}" for reason, number in unread["reasons"].items())
    return [
        f"{sum(unread['reasons'].values()):,} records could not be read ({reasons}), the first of them:",
        *(
            f"  {_line(reject['file'])} at {reject['offset']:,}: {_line(reject['detail'])}"
            for reject in unread["first"]
        ),
    ]


def _line(text: str) -> str:
    """Text of others, as much as a line has room for."""
    return printable_line(text)[:_CHARACTERS_SHOWN]
