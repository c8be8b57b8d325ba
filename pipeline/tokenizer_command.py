"""What `corpusmill tokenizer` does: trains tokenizers, and shows how finely they cut words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from corpusmill.documents.errors import InputError, UsageError
from corpusmill.documents.printable import printable
from corpusmill.mix.fertility import Counted, Fertility, measure
from corpusmill.mix.tokenizer_samples import draw, find_corpora
from corpusmill.mix.tokenizer_training import TokenizerOptions, TrainedTokenizer, train
from corpusmill.mix.tokens import load_tokens
from corpusmill.pipeline.summary import count, counted, size, table

_KILO = 1024
_MOST_ROWS = 40
_LEAST_SHARE = 0.005
"""Of all bytes: languages with fewer are left out of the table; the JSON has them."""


def train_tokenizer(
    inputs: Sequence[str],
    out: Path,
    *,
    vocab_size: str,
    special_tokens: Sequence[str],
    digits: str,
    sample_mb: float,
    seed: int,
    weights: str | None,
    field: str,
) -> TrainedTokenizer:
    """Trains a tokenizer and writes it to the folder `out`.

    Raises:
        UsageError: if an option cannot be used.
        InputError: if there is nothing to train on, or too little.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is no folder; name one for the tokenizer's three files")
    options = TokenizerOptions(
        vocab_size=parsed_size(vocab_size),
        digits=digits,  # type: ignore[arg-type]  # checked there
        sample_bytes=_bytes(sample_mb),
        seed=seed,
        weights=parsed_weights(weights),
        special_tokens=tuple(special_tokens) or TokenizerOptions.special_tokens,
    )
    return train(find_corpora(inputs), out, options, field=field)


def compare_tokenizers(specs: Sequence[str], data: str, *, sample_mb: float, seed: int, field: str) -> Fertility:
    """How finely tokenizers cut the held-out texts of an input.

    Raises:
        UsageError: if an option cannot be used.
        InputError: if a tokenizer or the texts cannot be read.
    """
    tokenizers = [load_tokens(spec) for spec in specs]
    sample = draw(find_corpora([data]), text_bytes=_bytes(sample_mb), seed=seed, held_out=True, field=field)
    if sample.text_bytes == 0:
        raise InputError(f"{data}: no text is held out in it; give more documents")
    return measure(tokenizers, sample.batches())


def parsed_size(text: str) -> int:
    """A number of tokens; `k` is 1,024 of them.

    >>> parsed_size("32k"), parsed_size("50_000")
    (32768, 50000)
    """
    match = re.fullmatch(r"(\d[\d_,]*)(k?)", text.strip().lower())
    if match is None:
        raise UsageError(f"--vocab-size: {text!r} is no number of tokens; write it as 50000 or 32k (32 × 1,024)")
    return int(re.sub("[_,]", "", match[1])) * (_KILO if match[2] else 1)


def parsed_weights(text: str | None) -> dict[str, float]:
    """Shares by source, such as `web=.5,code=.3`; they need not sum to 1.

    >>> parsed_weights("web=.5, code=.3")
    {'web': 0.5, 'code': 0.3}
    """
    weights: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in (text or "").split(","))):
        name, separator, value = part.partition("=")
        try:
            weight = float(value)
        except ValueError:
            weight = math.nan
        if not separator or not name.strip() or not 0 < weight < math.inf:
            raise UsageError(f"--weights: {part!r} is no source with its share; write them as web=.5,code=.3")
        if name.strip() in weights:
            raise UsageError(f"--weights: {name.strip()!r} is given twice")
        weights[name.strip()] = weight
    return weights


def training_as_text(trained: TrainedTokenizer, out: Path) -> str:
    """What was trained on, and the table of fertility."""
    total = sum(trained.sample.values())
    shares = ", ".join(
        f"{_name(name) or 'unnamed'} {size(text_bytes)} ({text_bytes / total:.1%})"
        for name, text_bytes in trained.sample.items()
    )
    lost = f"; {size(trained.left_out)} in endless pieces were left out" if trained.left_out else ""
    return "\n".join(
        [
            f"trained on {size(total)}: {shares}{lost}",
            "",
            fertility_as_text(trained.fertility),
            "",
            f"wrote {out / 'tokenizer.json'}, {trained.tokens.vocab_size:,} tokens, fingerprint "
            f"{trained.tokens.fingerprint}",
            f"use it as `unit: tokens, tokenizer: {out / 'tokenizer.json'}` in a recipe's mix",
        ]
    )


def fertility_as_text(fertility: Fertility) -> str:
    """A table of held-out texts by source and language, the tokenizers' measures beside each other."""
    total = fertility.total()
    by_source = sorted(fertility.by_source().items(), key=lambda row: (-row[1].text_bytes, row[0]))
    rows = []
    for source, whole in by_source:
        languages = [(language, some) for (name, language), some in fertility.counted.items() if name == source]
        if len(languages) == 1:
            rows.append(_row(source or "unnamed", languages[0][0] or "unknown", whole))
            continue
        rows.append(_row(source or "unnamed", "all", whole))
        rows += [
            _row("", language or "unknown", some)
            for language, some in sorted(languages, key=lambda row: (-row[1].text_bytes, row[0]))
            if some.text_bytes >= _LEAST_SHARE * total.text_bytes
        ]
    rows = [*rows[:_MOST_ROWS], *([_row("all", "all", total)] if len(by_source) > 1 else [])]
    marks = [f" ({number})" for number in range(1, len(fertility.names) + 1)] if len(fertility.names) > 1 else [""]
    head = ["source", "language", "text", "words"]
    for mark in marks:
        head += [f"tokens/word{mark}", f"bytes/token{mark}", f"split{mark}"]
    return "\n".join(
        [
            f"held out: {counted(total.documents, 'document')}, {size(total.text_bytes)}",
            *(
                f"{mark.strip()} {name}: these texts use {used:.1%} of the vocabulary".strip()
                for mark, name, used in zip(marks, fertility.names, fertility.used, strict=True)
            ),
            "",
            table(head, rows),
            "",
            "split: words of which more than one token has a part",
        ]
    )


def _row(source: str, language: str, of: Counted) -> list[str]:
    row = [_name(source), _name(language), size(of.text_bytes), count(of.words)]
    for tokens, split in zip(of.tokens, of.split, strict=True):
        row += [
            f"{tokens / of.words:.3f}" if of.words else "–",
            f"{of.text_bytes / tokens:.3f}" if tokens else "–",
            "–" if split is None or not of.words else f"{split / of.words:.1%}",
        ]
    return row


def _name(name: str) -> str:
    """A name out of documents, which are hostile, as a cell of a table."""
    return printable(name)[:40]


def _bytes(megabytes: float) -> int:
    if not 0 < megabytes < math.inf:
        raise UsageError(f"--sample-mb: {megabytes} is no amount of text; give more than 0 megabytes")
    return max(1, int(megabytes * 1_000_000))
