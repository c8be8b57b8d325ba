"""Running the cells of a sweep: select, train, evaluate; and the table that comes of it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.documents.errors import CorpusmillError
from corpusmill.scaling import folds
from corpusmill.scaling.contract import ALL, CELLS, ERRORS, LOSS, RANDOM, Proxy, Trained, Training
from corpusmill.scaling.pools import Cell, heldout_rows, select
from corpusmill.scaling.prepared import Prepared
from corpusmill.scaling.sweep_options import Keep, SweepOptions


class ProxyError(CorpusmillError):
    """A proxy came back without a loss for a domain, or with one that is no number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellCost:
    """What a proxy's share of the grid costs, before it is started.

    train_tokens  of all its cells; about, since fractions come out in whole documents
    seconds       of one worker; None where nobody knows
    """

    proxy: str
    cells: int
    train_tokens: int
    flops: float | None
    seconds: float | None


def cells_of(options: SweepOptions, sizes: Sequence[int]) -> Iterator[Cell]:
    """The grid, proxy by proxy."""
    for proxy in options.proxies:
        for pool in options.pools:
            for size in sizes:
                for score, fraction in options.treatments():
                    for seed in range(options.seeds):
                        yield Cell(pool=pool, score=score, fraction=fraction, size=size, seed=seed, proxy=proxy)


def asked_tokens(cell: Cell, options: SweepOptions) -> int:
    """What a cell trains on, about: exactly so many if fractions were not of whole documents."""
    return options.train_tokens(cell.size, round(cell.size * cell.fraction))


def cost_of(
    options: SweepOptions, cells: Sequence[Cell], proxies: Mapping[str, Proxy], vocab_size: int
) -> list[CellCost]:
    """What the grid costs, by proxy."""
    found = []
    for name, proxy in proxies.items():
        asked = [asked_tokens(cell, options) for cell in cells if cell.proxy == name]
        each = {tokens: proxy.cost(tokens, vocab_size) for tokens in sorted(set(asked))}
        costs = [each[tokens] for tokens in asked]
        found.append(
            CellCost(
                proxy=name,
                cells=len(asked),
                train_tokens=sum(asked),
                flops=_sum(cost.flops for cost in costs),
                seconds=_sum(cost.seconds for cost in costs),
            )
        )
    return found


def _sum(values: Iterator[float | None]) -> float | None:
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def run_cell(prepared: Prepared, cell: Cell, proxy: Proxy, folder: Path) -> dict[str, Any]:
    """Trains and evaluates one cell. Returns its row, with `losses` by domain in place of their mean, with what `folds`
    of the held-out documents cost, and with what the proxy `told`.

    Args:
        folder: where the proxy may leave files; it is there only if it does.

    Raises:
        ProxyError: if a loss is missing or no number.
    """
    began = time.monotonic()
    options = prepared.options
    keep: Keep = options.scores[cell.score].keep if cell.score not in (ALL, RANDOM) else "high"
    selected = select(prepared.documents, cell, keep, options.seed)
    tokens = options.train_tokens(selected.pool_tokens, selected.kept_tokens)
    trained, losses, by_fold = trained_on(prepared, selected.rows, tokens, cell.seed, proxy, folder)
    return {
        "pool": cell.pool,
        "score": cell.score,
        "fraction": cell.fraction,
        "size": cell.size,
        "pool_tokens": selected.pool_tokens,
        "kept_tokens": selected.kept_tokens,
        "kept_documents": len(selected.rows),
        "train_tokens": trained.train_tokens,
        "epochs": trained.train_tokens / selected.kept_tokens,
        "seed": cell.seed,
        "proxy": cell.proxy,
        "parameters": trained.parameters,
        "flops": trained.flops,
        "seconds": time.monotonic() - began,
        "losses": losses,
        "folds": by_fold,
        "told": dict(trained.told),
    }


def _folds_of(
    prepared: Prepared, heldout: Mapping[str, NDArray[np.int64]], trained: Trained
) -> dict[str, folds.ByFold] | None:
    documents, seed = prepared.documents, prepared.options.seed
    if not trained.bits.keys() >= heldout.keys():
        return None
    hashes, text_bytes = documents.column("group_hash").to_numpy(), documents.column("text_bytes").to_numpy()
    return {
        domain: folds.by_fold(trained.bits[domain], text_bytes[rows], folds.deal(hashes[rows], seed))
        for domain, rows in heldout.items()
    }


def trained_on(
    prepared: Prepared, rows: NDArray[np.int64], tokens: int, seed: int, proxy: Proxy, folder: Path
) -> tuple[Trained, dict[str, float], dict[str, folds.ByFold] | None]:
    """A proxy trained on these rows of the table of documents, its loss on each held-out domain, and what each fold of
    these cost; None where the proxy does not tell.

    Args:
        folder: where the proxy may leave files; it is there only if it does.

    Raises:
        ProxyError: if a loss is missing or no number.
    """
    folder.mkdir(parents=True, exist_ok=True)
    heldout = heldout_rows(prepared.documents, prepared.options)
    trained = proxy.run(
        Training(
            train=prepared.take(rows),
            heldout={domain: prepared.take(own) for domain, own in heldout.items()},
            tokens=tokens,
            vocab_size=prepared.vocab_size,
            eos_id=prepared.eos_id,
            tokenizer=prepared.tokenizer,
            seed=seed,
            folder=folder,
        )
    )
    if not any(folder.iterdir()):
        folder.rmdir()
    return trained, _checked_losses(trained, prepared.options.domains()), _folds_of(prepared, heldout, trained)


def _checked_losses(trained: Trained, domains: Sequence[str]) -> dict[str, float]:
    """The loss of each domain.

    Raises:
        ProxyError: if one is missing or no number.
    """
    losses = {}
    for domain in domains:
        loss = trained.bits_per_byte.get(domain, math.nan)
        if not (math.isfinite(loss) and loss >= 0):
            raise ProxyError(
                f"the proxy's loss on {domain} is {loss}; look at its log, or at the documents it was given"
            )
        losses[domain] = float(loss)
    return losses


def cells_table(rows: Sequence[Mapping[str, Any]], weights: Mapping[str, Mapping[str, float]]) -> pa.Table:
    """The rows of cells as CELLS, with a column for each domain's loss, and with the errors of held-out sets.

    Args:
        rows: what `run_cell` returned.
        weights: pool -> those of all domains, which sum to 1.
    """
    domains = next(iter(weights.values()))
    plain = [
        {
            **row,
            ERRORS: None if row.get("folds") is None else folds.errors(row["folds"], weights[row["pool"]]),
            "loss": sum(weight * row["losses"][domain] for domain, weight in weights[row["pool"]].items()),
            **{LOSS + domain: row["losses"][domain] for domain in domains},
        }
        for row in rows
    ]
    columns = [pa.field(LOSS + domain, pa.float64(), nullable=False) for domain in domains]
    schema = pa.schema([*CELLS, *columns, pa.field(ERRORS, pa.list_(pa.list_(pa.float64())))])
    return pa.Table.from_pylist(plain, schema=schema)
