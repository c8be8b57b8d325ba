"""Which document of a set of duplicates stays: an order over documents, the same whatever the order of rows.

    keep: best_quality      highest `quality`, then longest, then least id
    keep: longest           most bytes, then least id
    keep: earliest          earliest `date` (dates.py says which can be read), then longest, then least id
    keep: first_id          least id
    keep: {measure: perplexity.perplexity, order: ascending}     any number that an earlier stage measured, lowest
                            (or, descending, highest) first, then longest, then least id

A document without quality, date or measure comes after all that have it. Ids are unique, so there are no ties.

Which source's document stays is no matter of this order: `precedence` (contract.py) goes before it, and what an index
of an earlier run has stays in any case.

Sidecars carry what the order looks at, besides `id`:

    bytes    int32     length of the text in UTF-8
    quality  float32   score of the quality stage; null where there is none
    date     int64     seconds since 1970; with `earliest` alone
    measure  float64   with a measure alone
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from corpusmill.dedup.dates import seconds
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import RecipeError

Order = Literal["ascending", "descending"]


@dataclass(frozen=True, kw_only=True)
class KeepMeasure:
    """The document stays that comes first by a measure."""

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    measure: str
    """`<stage>.<measure>` of an earlier stage between the dedup stage and the barrier before it: a number."""
    order: Order
    """ascending: the lowest stays; descending: the highest."""

    def __post_init__(self) -> None:
        if not all(self.measure.partition(".")):
            raise RecipeError(
                f'keep.measure: "{self.measure}" names no measure; use <stage>.<measure> of an earlier stage, such as '
                "perplexity.perplexity, or for the column quality `keep: best_quality`"
            )


Keep = Literal["best_quality", "longest", "earliest", "first_id"] | KeepMeasure

_ORDERS: Mapping[str, tuple[tuple[str, Order], ...]] = {
    "best_quality": (("quality", "descending"), ("bytes", "descending"), ("id", "ascending")),
    "longest": (("bytes", "descending"), ("id", "ascending")),
    "earliest": (("date", "ascending"), ("bytes", "descending"), ("id", "ascending")),
    "first_id": (("id", "ascending"),),
}
_SQL = {"ascending": "ASC", "descending": "DESC"}


def keep_order(keep: Keep) -> tuple[tuple[str, Order], ...]:
    """Sort keys; the first document in that order stays. Nulls come last, whatever the direction."""
    if isinstance(keep, KeepMeasure):
        return (("measure", keep.order), ("bytes", "descending"), ("id", "ascending"))
    return _ORDERS[keep]


def keep_sql(keep: Keep) -> str:
    """The same order as SQL has it behind ORDER BY.

    >>> keep_sql("longest")
    'bytes DESC NULLS LAST, id ASC NULLS LAST'
    """
    return ", ".join(f"{column} {_SQL[direction]} NULLS LAST" for column, direction in keep_order(keep))


def keep_fields(keep: Keep) -> tuple[pa.Field, ...]:
    """What a sidecar holds for the order, besides `id`."""
    always = pa.field("bytes", pa.int32(), nullable=False), pa.field("quality", pa.float32())
    if keep == "earliest":
        return (*always, pa.field("date", pa.int64()))
    if isinstance(keep, KeepMeasure):
        return (*always, pa.field("measure", pa.float64()))
    return always


def keep_columns(batch: TextBatch, keep: Keep) -> list[pa.Array]:
    """The columns of `keep_fields` for the documents of a batch."""
    lengths = pa.array(np.diff(batch.offsets), pa.int32())
    columns = [lengths, _numbers_only(batch.documents.column("quality"), pa.float32())]
    if keep == "earliest":
        columns.append(seconds(batch.documents.column("date")))
    if isinstance(keep, KeepMeasure):
        columns.append(_numbers_only(batch.measured[keep.measure], pa.float64()))
    return columns


def keep_needs(keep: Keep) -> Sequence[str]:
    """For `Barrier.needs`: the measures that `keep_columns` reads."""
    return (keep.measure,) if isinstance(keep, KeepMeasure) else ()


def accept_keep(keep: Keep, needed: Mapping[str, pa.DataType]) -> None:
    """For `Barrier.accept`.

    Raises:
        RecipeError: if the measure cannot be put in order.
    """
    for name in keep_needs(keep):
        kind = needed[name]
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind)):
            raise RecipeError(f"keep.measure: {name} is {kind} and no number; name a measure that is")


def _numbers_only(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Null where a value is NaN: a score that is not a number is no score, and would sort as the best one in duckdb."""
    numbers = values.cast(kind, safe=False)  # integers beyond 2^53 lose their last digits
    return pc.if_else(pc.is_nan(numbers), pa.scalar(None, kind), numbers)
