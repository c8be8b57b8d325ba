"""The public suffix list: below which names (`com`, `co.uk`, `*.ck`) anyone may register a domain.

The list is Mozilla's (publicsuffix.org, MPL-2.0), read from a path. By default that is the copy in the package
`publicsuffixlist`, which is released with every change of the list: so the list is as new as the installation, its
version is pinned like any other, and no licence but ours applies to this repository. Rules are applied as
publicsuffix.org/list says under "Algorithm", in kernels (url_kernels.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.documents.errors import InputError
from corpusmill.filters import url_kernels as kernels
from corpusmill.filters.key_table import KeyTable, key_table
from corpusmill.filters.normal_urls import normal_urls

_ICANN, _PRIVATE, _END = "===BEGIN ICANN DOMAINS===", "===BEGIN PRIVATE DOMAINS===", "===END"
_MIN_RULES = 100


@dataclass(frozen=True, slots=True, eq=False)
class PublicSuffixes:
    """The rules of a list: its names with the bits RULE, WILDCARD and EXCEPTION of url_kernels.py."""

    table: KeyTable

    def registrable_domains(self, urls: pa.StringArray) -> pa.StringArray:
        """The registrable domain of each URL's host, such as `example.co.uk`; null for addresses and bare suffixes.

        Hosts without a scheme are URLs, too.
        """
        normal = normal_urls(urls)
        starts = np.empty(len(urls), np.int32)
        table = self.table
        kernels.registrable_starts(
            normal.offsets, normal.host_ends, normal.text, table.keys, table.values, table.slots, starts
        )
        found = starts >= 0
        spans = normal.spans(np.where(found, starts, normal.host_ends), normal.host_ends)
        return pc.if_else(pa.array(found), spans, pa.scalar(None, pa.string()))


def packaged_list() -> Path:
    """The list that the package `publicsuffixlist` holds."""
    import publicsuffixlist

    return Path(publicsuffixlist.__file__).with_name("public_suffix_list.dat")


def read_public_suffixes(path: Path, *, private: bool = False) -> PublicSuffixes:
    """Reads a list.

    Args:
        path: a file as publicsuffix.org publishes it.
        private: whether names that companies give away (`blogspot.com`, `github.io`) are suffixes, too.

    Raises:
        InputError: if the file is missing, cut short or no such list.
    """
    again = "get it anew from https://publicsuffix.org/list/public_suffix_list.dat"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such public suffix list; {again}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no public suffix list that can be read ({error}); {again}") from error
    names, kinds = [], []
    sections = 0
    wanted = False
    for number, line in enumerate(lines, 1):
        if line.startswith("//"):
            if _ICANN in line or _PRIVATE in line:
                wanted = private or _ICANN in line
            elif _END in line:
                wanted = False
                sections += 1
            continue
        rule = line.split(maxsplit=1)[0] if line.strip() else ""
        if not rule or not wanted:
            continue
        kind = kernels.EXCEPTION if rule[0] == "!" else kernels.WILDCARD if rule.startswith("*.") else kernels.RULE
        name = rule.removeprefix("!").removeprefix("*.")
        if not name or "*" in name:
            raise InputError(f'{path}: line {number}, "{rule}", is no rule of a public suffix list; {again}')
        names.append(name)
        kinds.append(kind)
    if sections != 2 or len(names) < _MIN_RULES:
        raise InputError(
            f"{path}: {len(names)} rules and {sections} of 2 sections are no whole public suffix list; {again}"
        )
    keys = _host_keys(pa.array(names, pa.string()))
    different, where = np.unique(keys, return_inverse=True)
    united = np.zeros(len(different), np.uint32)
    np.bitwise_or.at(united, where, np.array(kinds, np.uint32))
    return PublicSuffixes(key_table(different, united))


def _host_keys(names: pa.StringArray) -> NDArray[np.uint64]:
    normal = normal_urls(names)
    keys = np.empty(len(names), np.uint64)
    kernels.key_hosts(normal.offsets, normal.host_ends, normal.text, keys)
    return keys
