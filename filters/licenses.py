"""Which licence a source file states: by an SPDX tag, or by the words of a licence or of its standard notice.

A tag is `SPDX-License-Identifier: MIT OR Apache-2.0` (SPDX specification 2.3, annex E). Texts are told by runs of five
words: license_prints.npz holds, for each text and notice of the SPDX licence list (spdx/license-list-XML, whose data
are in the public domain by CC0), 32-bit hashes of those runs that no user of the licence fills in or may leave out, and
no text. tools/make_license_prints.py makes it. Words are folded to lower case and punctuation is left out, so that
comment signs, quotes and line breaks do not matter.

Runs weigh less the more licences have them (1 / √n). The licence of a file is the one with the highest length × share⁵,
which is BSD-3-Clause where its third clause stands and BSD-2-Clause where it does not.

Where no text is told, a sentence may name the licence: "licensed under the MIT license", "GNU Lesser General Public
License, version 2.1 or later".
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import WORD
from corpusmill.documents.compiled import frozen, kernel
from corpusmill.documents.errors import InputError
from corpusmill.documents.segmentation import mixed, step

_WORD = WORD
RUN = 5
"""Words of a run."""
CHECK = "permission is hereby granted free"
"""The hash of these words stands in the file of prints, so that prints made by another segmentation are refused."""
_MAX_EXPRESSION = 200
_TAG = re.compile(r"SPDX-License-Identifier:[ \t]*([^\n]{1,200})")
_TAG_END = re.compile(r"\*/|-->|[^\w.+:()/ \t-]")
_OPERATORS = ("and", "or", "with")
_MENTION_WORD = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*")
_LATER = re.compile(r" or (?:at your option )?(?:any )?(?:later|newer)")
_UNDER = r"(?:under|by|of|to) (?:the )?(?:terms (?:of |and conditions of )?)?(?:an? |the )?"
_GNU = ("AGPL", "LGPL", "GPL")
_MENTIONS = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"gnu affero general public license.{0,90}?version (?P<version>\d(?:\.\d)?)\b", "AGPL"),
        (r"gnu (?:lesser|library) general public license.{0,90}?version (?P<version>\d(?:\.\d)?)\b", "LGPL"),
        (r"gnu general public license.{0,90}?version (?P<version>\d(?:\.\d)?)\b", "GPL"),
        (_UNDER + r"apache license,? (?:version |v)?2", "Apache-2.0"),
        (_UNDER + r"mozilla public license,? (?:version |v\.? ?)(?P<version>\d\.\d)\b", "MPL"),
        (_UNDER + r"eclipse public license,? (?:version |v\.? ?)?-? ?(?P<version>\d\.\d)\b", "EPL"),
        (_UNDER + r"academic free license,? version (?P<version>\d\.\d)\b", "AFL"),
        (_UNDER + r"open software license,? version (?P<version>\d\.\d)\b", "OSL"),
        (_UNDER + r"boost software license", "BSL-1.0"),
        (_UNDER + r"(?:mit|expat)(?:-style)? licen[cs]e", "MIT"),
        (_UNDER + r"isc licen[cs]e", "ISC"),
        (_UNDER + r"(?:(?:new|modified|revised|3-clause) bsd|bsd[ -]3-clause) licen[cs]e", "BSD-3-Clause"),
        (_UNDER + r"(?:(?:simplified|2-clause) bsd|bsd[ -]2-clause) licen[cs]e", "BSD-2-Clause"),
    )
)
_TOKEN = re.compile(r"\s*(?:([()])|([A-Za-z0-9.+:-]+))")


@dataclass(frozen=True, slots=True)
class Prints:
    """Fingerprints of licences. A licence may have several: its text, its notice.

    names   tuple                   SPDX id of each print
    totals  float64[prints]         weight of the runs that are kept of it
    lengths int32[prints]           runs that the whole text has
    keys    uint32[runs]            hashes, sorted, each once
    weights float64[runs]           1 / √(texts that have the run)
    firsts  int32[runs + 1]         where the prints of each run begin in `owners`
    owners  int32[]                 prints that have the run
    """

    names: tuple[str, ...]
    totals: NDArray[np.float64]
    lengths: NDArray[np.int32]
    keys: NDArray[np.uint32]
    weights: NDArray[np.float64]
    firsts: NDArray[np.int32]
    owners: NDArray[np.int32]


@lru_cache(maxsize=1)
def prints() -> Prints:
    """The prints that ship with the package.

    Raises:
        InputError: if they were made by another segmentation than this one.
    """
    with (files("corpusmill.filters") / "license_prints.npz").open("rb") as stream, np.load(stream) as table:
        found = Prints(
            tuple(bytes(table["names"]).decode().split("\n")),
            *(frozen(table[name]) for name in ("totals", "lengths", "keys", "weights", "firsts", "owners")),
        )
        check = int(table["check"])
    if check != int(runs_of(CHECK)[0]):
        raise InputError("license_prints.npz was made by another version; make it anew: tools/make_license_prints.py")
    return found


def runs_of(text: str) -> NDArray[np.uint32]:
    """Hashes of all runs of five words of a text, in order."""
    batch = TextBatch.of_texts([text])
    words = batch.folded_hashes[(batch.words.kinds & WORD) != 0]
    hashes = np.empty(max(0, len(words) - RUN + 1), np.uint32)
    hash_runs(frozen(words), hashes)
    return hashes


def texts_told(batch: TextBatch, max_words: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The print that each document is most like, int32[documents] (-1: none), and the share of its runs found.

    Args:
        batch: the documents.
        max_words: so many words of a document are looked at, from its first.
    """
    known = prints()
    best, share = np.full(len(batch), -1, np.int32), np.zeros(len(batch), np.float64)
    words = batch.words
    tell_licenses(
        words.firsts, batch.folded_hashes, words.kinds, max_words, known.keys, known.weights, known.firsts,
        known.owners, known.totals, known.lengths, best, share,
    )  # fmt: skip
    return best, share


def tag_of(head: str) -> str | None:
    """The expression of a file's SPDX tag, if it has one that can be read.

    >>> tag_of("/* SPDX-License-Identifier: (GPL-2.0 or MIT) */")
    '(GPL-2.0 OR MIT)'
    """
    for found in _TAG.finditer(head):
        words = [
            match.group().strip() for match in _TOKEN.finditer(_TAG_END.split(found.group(1))[0].replace("/", " OR "))
        ]
        joined = " ".join(word.upper() if word.lower() in _OPERATORS else word for word in words)
        expression = joined.replace("( ", "(").replace(" )", ")")
        if parsed(expression) is not None:
            return expression
    return None


def mention_of(head: str) -> str | None:
    """The licence that a sentence of a notice names, by a few patterns.

    >>> mention_of("// Released under the terms of the\\n// MIT License.")
    'MIT'
    """
    words = " ".join(_MENTION_WORD.findall(head.lower()))
    for pattern, name in _MENTIONS:
        if found := pattern.search(words):
            version = found.groupdict().get("version")
            if version is None:
                return name
            version = version if "." in version else f"{version}.0"
            if name in _GNU:
                later = _LATER.search(words, found.end(), found.end() + 90)
                return f"{name}-{version}-{'or-later' if later else 'only'}"
            return f"{name}-{version}"
    return None


def is_allowed(expression: str, allowed: Collection[str]) -> bool:
    """Whether a licence expression leaves a choice of allowed licences only.

    >>> is_allowed("MIT OR GPL-2.0-only", {"MIT"}), is_allowed("MIT AND GPL-2.0-only", {"MIT"})
    (True, False)
    """
    tree = parsed(expression)
    return tree is not None and _allowed(tree, {name.lower() for name in allowed})


Tree = str | tuple[str, tuple["Tree", ...]]


def parsed(expression: str) -> Tree | None:
    """An SPDX expression as names and ("AND" or "OR", parts); None where it is none."""
    if len(expression) > _MAX_EXPRESSION:
        return None
    tokens = [match.group(0).strip() for match in _TOKEN.finditer(expression)]
    if "".join(tokens) != re.sub(r"\s+", "", expression):
        return None
    tree, rest = _either(tokens)
    return tree if not rest else None


def _either(tokens: Sequence[str], operators: Sequence[str] = ("OR", "AND")) -> tuple[Tree | None, Sequence[str]]:
    """Parts joined by the first of `operators`, each of parts joined by the next: OR binds less than AND."""
    if not operators:
        return _single(tokens)
    parts: list[Tree] = []
    while True:
        part, tokens = _either(tokens, operators[1:])
        if part is None:
            return None, tokens
        parts.append(part)
        if not tokens or tokens[0].upper() != operators[0]:
            return (parts[0] if len(parts) == 1 else (operators[0], tuple(parts))), tokens
        tokens = tokens[1:]


def _single(tokens: Sequence[str]) -> tuple[Tree | None, Sequence[str]]:
    if tokens and tokens[0] == "(":
        inner, rest = _either(tokens[1:])
        return (inner, rest[1:]) if rest and rest[0] == ")" else (None, rest)
    if not tokens or tokens[0] in "()" or tokens[0].lower() in _OPERATORS:
        return None, tokens
    if len(tokens) > 2 and tokens[1].upper() == "WITH" and tokens[2] not in "()":
        return f"{tokens[0]} WITH {tokens[2]}", tokens[3:]
    return tokens[0], tokens[1:]


def _allowed(tree: Tree, allowed: Collection[str]) -> bool:
    if isinstance(tree, str):
        # An exception permits more than its licence does.
        name = tree.lower()
        return name in allowed or name.partition(" with ")[0] in allowed
    operator, parts = tree
    return (any if operator == "OR" else all)(_allowed(part, allowed) for part in parts)


@kernel
def hash_runs(words: NDArray[np.uint64], hashes: NDArray[np.uint32]) -> None:
    """Hashes of each five words in a row."""
    for place in range(hashes.shape[0]):
        value = uint64(RUN)
        for word in range(place, place + RUN):
            value = step(value, words[word])
        hashes[place] = np.uint32(mixed(value) >> uint64(32))


@kernel
def tell_licenses(
    firsts: NDArray[np.int32],
    words: NDArray[np.uint64],
    kinds: NDArray[np.uint8],
    max_words: int,
    keys: NDArray[np.uint32],
    weights: NDArray[np.float64],
    key_firsts: NDArray[np.int32],
    owners: NDArray[np.int32],
    totals: NDArray[np.float64],
    lengths: NDArray[np.int32],
    best: NDArray[np.int32],
    share: NDArray[np.float64],
) -> None:
    """The print of highest score of each document, and the share of its runs that the document has."""
    slots = 1
    while slots < 4 * keys.shape[0]:
        slots *= 2
    table = np.full(slots, -1, np.int32)
    for key in range(keys.shape[0]):
        slot = int(keys[key]) & (slots - 1)
        while table[slot] >= 0:
            slot = (slot + 1) & (slots - 1)
        table[slot] = key
    met = np.full(keys.shape[0], -1, np.int32)  # the last document that had the run
    found = np.zeros(totals.shape[0], np.float64)
    window = np.zeros(RUN, np.uint64)
    for document in range(firsts.shape[0] - 1):
        found[:] = 0
        seen = 0
        for place in range(firsts[document], min(firsts[document + 1], firsts[document] + max_words)):
            if not kinds[place] & _WORD:
                continue
            window[seen % RUN] = words[place]
            seen += 1
            if seen < RUN:
                continue
            value = uint64(RUN)
            for word in range(seen, seen + RUN):
                value = step(value, window[word % RUN])
            hash_ = np.uint32(mixed(value) >> uint64(32))
            slot = int(hash_) & (slots - 1)
            while table[slot] >= 0 and keys[table[slot]] != hash_:
                slot = (slot + 1) & (slots - 1)
            key = table[slot]
            if key >= 0 and met[key] != document:
                met[key] = document
                for owner in range(key_firsts[key], key_firsts[key + 1]):
                    found[owners[owner]] += weights[key]
        most = 0.0
        for candidate in range(totals.shape[0]):
            part = found[candidate] / totals[candidate]
            score = lengths[candidate] * part**5
            if score > most:
                most = score
                best[document] = candidate
                share[document] = part
