"""Which component each document of a source is of: the slices' SQL conditions, and values of columns.

A condition is one SQL expression in DuckDB's dialect over

    id, url, date, language, language_score, quality, license, metadata   of the curated document
    text_bytes, file, cluster_size                                        of its row in the ledger
    gopher_quality.words …                                                what the stages measured

Null is not met. A document goes to the first slice, in the recipe's order, whose condition it meets, and else to what
the ratios give to its whole source. It has no access to files or the network.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from corpusmill.documents.errors import RecipeError, nearest
from corpusmill.documents.schema import DOCUMENT
from corpusmill.mix.options import MixOptions, listed
from corpusmill.mix.ratios import Leaf, leaves_of

CURATED = pa.schema([item for item in DOCUMENT if item.name not in ("text", "source")])
"""A curated document's columns that a condition can use."""
LEDGER = pa.schema([("text_bytes", pa.int64()), ("file", pa.string()), ("cluster_size", pa.int32())])
"""The ledger's, beside the measures."""
UNKNOWN = "unknown"
"""The value of a column that is null."""
MAX_VALUE = 100
"""Characters of a value in a component's name."""
MAX_VALUES = 1000
"""Most components that the values of one column make."""

_TOKENS = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|[^\W\d]\w*(?:\.[^\W\d]\w*)?|.""", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Case:
    """One of the leaves of a source, with the condition that its documents meet; None: all that no other took."""

    leaf: str
    where: str | None
    by: str | None

    def holds(self, component: str) -> bool:
        """Whether a component is this leaf, or one of its column's values.

        >>> Case("web", None, "language").holds("web/de"), Case("web", None, None).holds("web/de")
        (True, False)
        """
        return component == self.leaf or (self.by is not None and component.startswith(f"{self.leaf}/"))


def cases_by_source(options: MixOptions, sources: Collection[str]) -> dict[str, tuple[Case, ...]]:
    """What the documents of each source are divided into, over all stages of the mix; sources without a share are out.

    Raises:
        RecipeError: if a ratio or a slice names no source, or stages divide a leaf differently.
    """
    for name, part in options.slices.items():
        if part.source not in sources:
            raise RecipeError(f"mix.slices.{name}.source: {_unknown(part.source, sources)}")
        if name in sources:
            raise RecipeError(f"mix.slices.{name}: a source has that name; call the slice otherwise")
    leaves: dict[str, Leaf] = {}
    for stage, asked in options.datasets().items():
        place = f"mix.stages.{stage}.ratios" if stage else "mix.ratios"
        for leaf in leaves_of(asked.ratios, place):
            if leaf.name not in options.slices and leaf.name not in sources:
                raise RecipeError(f"{leaf.place}: {_unknown(leaf.name, [*sources, *options.slices])}")
            if leaves.setdefault(leaf.name, leaf).by != leaf.by:
                raise RecipeError(
                    f"{leaf.place}.by: {leaf.by!r}, and {leaves[leaf.name].by!r} in an earlier stage; stages must "
                    f"divide {leaf.name} alike, or else they cannot tell which documents are taken"
                )
    found: dict[str, list[Case]] = {}
    for name, part in options.slices.items():
        if name in leaves:
            found.setdefault(part.source, []).append(Case(name, part.where, leaves[name].by))
    for name in sources:
        if name in leaves:
            found.setdefault(name, []).append(Case(name, None, leaves[name].by))
    return {source: tuple(cases) for source, cases in sorted(found.items())}


def columns_used(cases: Iterable[Case], names: Collection[str]) -> list[str]:
    """Which of the columns `names` the cases look at."""
    used = set()
    for case in cases:
        if case.by is not None:
            used.add(case.by)
        for token in _TOKENS.findall(case.where or ""):
            used |= {token, token.strip('"')}
    return [name for name in names if name in used]


def check_cases(cases: Sequence[Case], measures: pa.Schema, source: str, place: str = "mix.slices") -> None:
    """Tries the conditions on no rows.

    Args:
        place: where in the recipe they stand, for errors.

    Raises:
        RecipeError: naming the slice, and the column that is missing.
    """
    schema = pa.schema([*CURATED, *LEDGER, *measures])
    nothing = pa.Table.from_batches([], schema)  # empty_table() would import pandas where that is installed, in 0.3 s
    for case in cases:
        if case.by is not None and case.by not in schema.names:
            raise RecipeError(f"mix: {case.leaf}.by: {_no_column(case.by, schema.names, source)}")
        if case.where is None:
            continue
        here = f"{place}.{case.leaf}.where"
        try:
            with _connection() as database:
                database.register("rows", nothing)
                condition = _quoted(case.where, schema.names)
                # As a WHERE, so that aggregates and windows, which see a part and not the source, are refused.
                database.execute(f"SELECT count(*) FROM rows WHERE ({condition}\n)::BOOLEAN")
        except duckdb.BinderException as error:
            missing = re.search(r'Referenced (?:column|table) "([^"]+)" not found', str(error))
            if missing:
                name = next((t for t in _TOKENS.findall(case.where) if t.startswith(f"{missing[1]}.")), missing[1])
                raise RecipeError(f"{here}: {_no_column(name, schema.names, source)}") from error
            raise RecipeError(f"{here}: {case.where!r} is no condition: {_first_line(error)}") from error
        except duckdb.Error as error:
            raise RecipeError(f"{here}: {case.where!r} is no SQL condition: {_first_line(error)}") from error


def components(rows: pa.Table, cases: Sequence[Case], place: str = "mix.slices") -> pa.StringArray:
    """The component of each row; null where it is in none.

    Args:
        rows: with the columns that `columns_used` names.
        place: where in the recipe the cases stand, for errors.

    Raises:
        RecipeError: if a condition fails on a row, as a cast may.
    """
    if len(cases) == 1 and cases[0].where is None and cases[0].by is None:
        return pa.array([cases[0].leaf]).take(pa.array([0] * len(rows), pa.int64()))
    branches, otherwise = "", "NULL"
    for case in cases:
        leaf = f"'{case.leaf}'"
        if case.by is not None:
            # What documents state is hostile: one line of it, and not long.
            value = f"left(trim(regexp_replace({_name(case.by)}::VARCHAR, '[[:cntrl:]]+', ' ', 'g')), {MAX_VALUE})"
            leaf = f"'{case.leaf}/' || coalesce(nullif({value}, ''), '{UNKNOWN}')"
        if case.where is None:
            otherwise = leaf
        else:
            branches += f" WHEN ({_quoted(case.where, rows.column_names)}\n)::BOOLEAN THEN {leaf}"
    choice = f"CASE{branches} ELSE {otherwise} END" if branches else otherwise
    numbered = rows.append_column("__row", pa.array(range(len(rows)), pa.int64()))
    with _connection() as database:
        database.register("rows", numbered)
        try:
            found = database.sql(f"SELECT {choice} AS component FROM rows ORDER BY __row").to_arrow_table()
        except duckdb.Error as error:
            conditions = "; ".join(f"{case.leaf}: {case.where}" for case in cases if case.where)
            raise RecipeError(f"{place}: {conditions}: fails on a document: {_first_line(error)}") from error
    return found.column("component").cast(pa.string()).combine_chunks()


def _connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(":memory:", config={"threads": 1, "enable_external_access": False})


def _quoted(condition: str, names: Collection[str]) -> str:
    """The condition with names of measures, `stage.measure`, as the names of columns that they are."""
    known = set(names)
    return "".join(_name(token) if "." in token and token in known else token for token in _TOKENS.findall(condition))


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _no_column(name: str, names: Collection[str], source: str) -> str:
    close = nearest(name, names)
    mend = f"did you mean {close!r}?" if close else f"there are {listed(names)}"
    return f"the documents of {source} have no column {name!r}; {mend}"


def _unknown(name: str, names: Collection[str]) -> str:
    close = nearest(name, names)
    mend = f"did you mean {close!r}?" if close else f"the sources are {listed(names)}"
    return f"{name!r} is no source or slice of the recipe; {mend}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def check_values(leaf: str, values: int) -> None:
    """Checks that a column has not too many values to be components.

    Raises:
        RecipeError: if it has.
    """
    if values > MAX_VALUES:
        raise RecipeError(
            f"mix.ratios.{leaf}.by: the column has more than {MAX_VALUES:,} values, and a component each is too many. "
            "Name the values that count as slices, or take a column with few, such as language"
        )
