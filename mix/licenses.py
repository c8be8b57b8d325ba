"""The licences of a mix: which of its documents may not be in it, and how many documents of each source have which.

Documents state their licence as an SPDX expression (SPDX specification 2.3, annex D) where they state one; the
`license` of a recipe's source is that of its documents without one of their own. What is no expression is read as one
name, in which blanks are hyphens; addresses of Creative Commons' licences are read as the names that they stand for.

A deny list holds SPDX names or patterns, in upper or lower case: `*` stands for anything. `GPL-3.0` denies
`GPL-3.0-only` and `GPL-3.0-or-later`, too. Of `A OR B` one may be chosen, so it is denied where both are; `A AND B` is
denied where one is. An exception (`A WITH B`) does not save A.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, get_args

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from corpusmill.documents.errors import RecipeError
from corpusmill.filters.licenses import Tree, parsed

Unknown = Literal["allow", "error"]

_UNSTATED = frozenset({"", "unknown", "none", "noassertion", "null", "n/a"})
_ONLY_OR_LATER = re.compile(r"(-only|-or-later|\+)$")
_CREATIVE_COMMONS = re.compile(
    r"^(?:https?://)?(?:www\.)?creativecommons\.org/(?:licenses/(by(?:-nc|-nd|-sa)*)|publicdomain/(zero))/(\d\.\d)\b",
    re.IGNORECASE,
)
_SHOWN = 12
_CUT = 100  # characters of a licence's name in a message; documents may state anything


@dataclass(frozen=True, kw_only=True)
class LicensePolicy:
    """What licences a mix may hold; the recipe's `mix.licenses`.

    Raises:
        RecipeError: if a value cannot be used.
    """

    deny: tuple[str, ...] = ()
    """SPDX names or patterns of licences whose documents may not be in the mix, such as `*-NC-*`."""
    unknown: Unknown = "allow"
    """What documents without a stated licence are: `allow`: as good as any; `error`: not to be in the mix."""

    def __post_init__(self) -> None:
        if isinstance(self.deny, str) or not all(isinstance(name, str) and name.strip() for name in self.deny):
            raise RecipeError(f"mix.licenses.deny: {self.deny!r} is no list of licences; give one such as ['*-NC-*']")
        for name in self.deny:
            if " " in name.strip() and " WITH " not in name:
                raise RecipeError(f"mix.licenses.deny: {name!r} must be one SPDX name or pattern, such as AGPL-3.0")
        if self.unknown not in get_args(Unknown):
            raise RecipeError(f"mix.licenses.unknown: {self.unknown!r} is not known; choose 'allow' or 'error'")

    def denied_by(self, license_: str | None) -> str | None:
        """The entry of the deny list that forbids this licence; None if none does.

        >>> LicensePolicy(deny=("*-NC-*",)).denied_by("CC-BY-NC-4.0 OR CC-BY-NC-SA-4.0")
        '*-NC-*'
        """
        tree = None if license_ is None or is_unstated(license_) else _tree(license_)
        return None if tree is None else self._denied(tree)

    def check(self, by_source: Mapping[str, Mapping[str, int]]) -> None:
        """Checks the licences of a mix.

        Args:
            by_source: source or component -> licence -> documents; the empty name is "not stated".

        Raises:
            RecipeError: if some may not be in it; it names all of them.
        """
        lines, denied, unstated = [], [], []
        for source, licenses in sorted(by_source.items()):
            without = sum(documents for name, documents in licenses.items() if documents and is_unstated(name))
            if without and self.unknown == "error":
                lines.append(f"  {source}: {without:,} documents state no licence (unknown: error)")
                unstated.append(source)
            for name, documents in sorted(licenses.items(), key=lambda item: (-item[1], item[0])):
                entry = self.denied_by(name) if documents else None
                if entry is not None:
                    lines.append(f"  {source}: {documents:,} documents have {name[:_CUT]!r} (denied by {entry!r})")
                    denied.append(name[:_CUT])
        if not lines:
            return
        more = [f"  and {len(lines) - _SHOWN:,} more"] if len(lines) > _SHOWN else []
        mends = []
        if denied:
            wanted = denied[0].replace("'", "''")
            mends.append(
                f"give the share to a slice without them (`where: \"license IS DISTINCT FROM '{wanted}'\"`), keep them "
                "out by the stage `code_license` where it is code, or take the entry off the deny list"
            )
        if unstated:
            mends.append(
                f"say what is known (`sources.{unstated[0].partition('/')[0]}.license`), give the share to a slice of "
                'those that state one (`where: "license IS NOT NULL"`), or `mix.licenses.unknown: allow`'
            )
        raise RecipeError(
            "mix.licenses: documents are in the mix that may not be:\n"
            + "\n".join([*lines[:_SHOWN], *more, *(f"Mend it: {mend}" for mend in mends)])
        )

    def _denied(self, tree: Tree) -> str | None:
        if isinstance(tree, str):
            return next((entry for entry in self.deny if _matches(tree, entry)), None)
        operator, parts = tree
        entries = [self._denied(part) for part in parts]
        if operator == "OR" and None in entries:
            return None
        return next((entry for entry in entries if entry is not None), None)


def is_unstated(license_: str) -> bool:
    """Whether this says nothing of a licence.

    >>> is_unstated(""), is_unstated("NOASSERTION"), is_unstated("MIT")
    (True, True, False)
    """
    return license_.strip().lower() in _UNSTATED


@lru_cache(maxsize=4096)
def spdx_name(license_: str) -> str:
    """A licence as documents state it, by its SPDX name where an address says which it is.

    >>> spdx_name("https://creativecommons.org/licenses/by-nc-sa/4.0/deed.en")
    'CC-BY-NC-SA-4.0'
    >>> spdx_name("CC BY 4.0")
    'CC-BY-4.0'
    """
    found = _CREATIVE_COMMONS.match(license_.strip())
    if found:
        kind, zero, number = found.groups()
        return f"CC0-{number}" if zero else f"CC-{kind.upper()}-{number}"
    return license_ if parsed(license_) is not None else "-".join(license_.split())


def count_licenses(part: Path, placed: Path | None, source: str) -> dict[str, Counter[str]]:
    """Documents by component and licence of one curated part; the empty name is "not stated".

    Args:
        part: the curated part.
        placed: which component each of its rows is in (column `component`; null: none), row for row; None where the
            whole source is one.
        source: the component of all rows where `placed` is None.
    """
    licenses = pq.read_table(part, columns=["license"]).column("license")
    if placed is None:
        components = pa.chunked_array([pa.array([source] * len(licenses), pa.string())])
    else:
        components = pq.read_table(placed, columns=["component"]).column("component")
    table = pa.table({"component": components, "license": licenses}).filter(pc.is_valid(components))
    return _counted(table.group_by(["component", "license"]).aggregate([([], "count_all")]))


def licenses_by_source(shards: Iterable[Path]) -> dict[str, Counter[str]]:
    """Rows of a dataset's shards by source and licence; the empty name is "not stated". No other column is read."""
    sums: dict[str, Counter[str]] = {}
    for shard in shards:
        table = pq.read_table(shard, columns=["source", "license"])
        counts = table.rename_columns(["component", "license"]).group_by(["component", "license"])
        for source, counted in _counted(counts.aggregate([([], "count_all")])).items():
            sums.setdefault(source, Counter()).update(counted)
    return sums


def most_common(licenses: Counter[str], most: int) -> dict[str, int]:
    """The most frequent licences, ties by name; those beyond are counted together as `other`.

    >>> most_common(Counter({"MIT": 3, "ISC": 1, "": 2, "0BSD": 1}), 2)
    {'MIT': 3, '': 2, 'other': 2}
    """
    ordered = sorted(licenses.items(), key=lambda item: (-item[1], item[0]))
    kept = dict(ordered[:most])
    if len(ordered) > most:
        kept["other"] = kept.get("other", 0) + sum(count for _, count in ordered[most:])
    return kept


def _counted(groups: pa.Table) -> dict[str, Counter[str]]:
    counts: dict[str, Counter[str]] = {}
    for row in sorted(groups.to_pylist(), key=lambda row: (row["component"], row["license"] or "")):
        counts.setdefault(row["component"], Counter())[row["license"] or ""] += row["count_all"]
    return counts


@lru_cache(maxsize=4096)
def _tree(license_: str) -> Tree:
    name = spdx_name(license_)
    tree = parsed(name)
    return name if tree is None else tree


def _matches(name: str, entry: str) -> bool:
    """Whether an entry of a deny list means the licence of this name."""
    pattern = entry.strip().lower()
    whole = name.lower()
    base = whole.partition(" with ")[0]
    return any(_fits(form, pattern) for form in (whole, base, _ONLY_OR_LATER.sub("", base)))


def _fits(name: str, pattern: str) -> bool:
    """Whether `name` is `pattern`, whose stars stand for anything; in one pass, however long a hostile name is."""
    first, *rest = pattern.split("*")
    if not rest:
        return name == pattern
    *middle, last = rest
    end = len(name) - len(last)
    if not name.startswith(first) or not name.endswith(last) or end < len(first):
        return False
    place = len(first)
    for piece in middle:
        found = name.find(piece, place, end)
        if found < 0:
            return False
        place = found + len(piece)
    return True
