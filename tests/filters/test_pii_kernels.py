"""The kernel that finds candidates against a plain twin made of regular expressions."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen
from corpusmill.filters import pii_kernels as kernels

SHAPES = {(3, 3, 4): kernels.PHONE, (10,): kernels.PHONE, (9,): kernels.SSN, (3, 2, 4): kernels.SSN | kernels.PHONE,
          (4, 4, 4, 4): kernels.CARD, (1, 2, 2, 2, 2): kernels.PHONE, (2, 5): kernels.PHONE}  # fmt: skip
IBAN_LENGTHS = {"GB": 22, "NO": 15, "AB": 6}
ALL = (1 << 11) - 1
SEPARATOR = rb"(?:(?: |\xc2\xa0)(?! |\xc2\xa0)|[-./()]|\xe2\x80[\x90-\x93\xaf]){1,3}(?=[0-9])"
CHAIN = re.compile(rb"[0-9]+(?:" + SEPARATOR + rb"[0-9]+)*")


def twin(text: bytes) -> Counter[tuple[int, int, int]]:
    """The candidates of one document, said with regular expressions over its bytes."""
    found: list[tuple[int, int, int]] = []
    for at in re.finditer(rb"@", text):
        local = re.search(rb"[A-Za-z0-9._%+&'\x80-\xff-]{1,65}\Z", text[: at.start()])
        domain = re.match(rb"[A-Za-z0-9.\x80-\xff-]{1,255}", text[at.end() :])
        if local and domain and b"." in domain.group()[1:]:
            found.append((kernels.EMAIL, local.start(), at.end() + domain.end()))
    for run in re.finditer(rb"[0-9A-Fa-f]*(:)[0-9A-Fa-f:.]*", text):
        start = max(run.start(), run.start(1) - 5)
        inside = text[start : run.end()]
        while len(inside) > 1 and (inside.endswith(b".") or (inside.endswith(b":") and not inside.endswith(b"::"))):
            inside = inside[:-1]
        doubled = len(re.findall(rb"(?=::)", text[run.start(1) : run.end()]))
        if len(inside) <= 45 and 2 <= inside.count(b":") <= 8 and (doubled == 1 or inside.count(b":") >= 6):
            found.append((kernels.IPV6, start, start + len(inside)))
    for chain in CHAIN.finditer(text):
        groups = [
            (chain.start() + group.start(), chain.start() + group.end())
            for group in re.finditer(rb"[0-9]+", chain.group())
        ]
        lengths = tuple(end - start for start, end in groups)
        found += [
            (1 << bit, groups[first][0], groups[last][1])
            for last in range(len(groups))
            for first in range(max(0, last - 6), last + 1)
            for bit in range(11)
            if SHAPES.get(lengths[first : last + 1], 0) & 1 << bit and sum(lengths[: last + 1]) >= 7
        ]
        for dotted in re.finditer(rb"(?<![0-9])[0-9]+(?:\.[0-9]+)*", chain.group()):
            parts = dotted.group().split(b".")
            if len(parts) == 4 and max(map(len, parts)) <= 3:
                found.append((kernels.IPV4, chain.start() + dotted.start(), chain.start() + dotted.end()))
        plus = re.search(rb"\+\(?\Z", text[: chain.start()])
        if plus and sum(lengths) >= 7:
            found.append((kernels.INTERNATIONAL, plus.start(), min(chain.end(), plus.start() + 40)))
        if 7 <= sum(lengths) <= 24:
            found.append((kernels.LABELLED, chain.start(), min(chain.end(), chain.start() + 40)))
        front = re.search(rb"(?<![A-Za-z0-9])[A-Za-z]{2} ?\Z", text[: chain.start()])
        back = re.match(rb" ?[A-Da-d](?![A-Za-z0-9])", text[chain.end() :])
        if lengths in ((6,), (2, 2, 2)) and front and back:
            found.append((kernels.NINO, front.start(), chain.end() + back.end()))
        account = re.match(rb"([A-Za-z]{2})[0-9]{2}", text[max(0, chain.start() - 2) :])
        if account and chain.start() >= 2 and not re.search(rb"[A-Za-z0-9_+]\Z", text[: chain.start() - 2]):
            length = IBAN_LENGTHS.get(account.group(1).decode().upper(), 0)
            more = (
                rb"[A-Za-z0-9](?:(?: |(?:\xc2\xa0)+ ?|(?:\xc2\xa0)* ?(?:\xc2\xa0)+)?[A-Za-z0-9]){%d}(?![A-Za-z0-9_])"
                % (length - 1)
            )
            whole = length and re.match(more, text[chain.start() - 2 :])
            if whole:
                found.append((kernels.IBAN, chain.start() - 2, chain.start() - 2 + whole.end()))
    return Counter(found)


def candidates(texts: list[str], capacity: int = 10_000) -> tuple[int, list[tuple[int, int, int]]]:
    batch = TextBatch.of_texts(texts)
    packed = sorted((kernels.packed(shape), kinds) for shape, kinds in SHAPES.items())
    lengths = np.zeros(676, np.uint8)
    for country, length in IBAN_LENGTHS.items():
        lengths[(ord(country[0]) - 65) * 26 + ord(country[1]) - 65] = length
    kinds, starts, ends = np.empty(capacity, np.uint32), np.empty(capacity, np.int32), np.empty(capacity, np.int32)
    shapes = frozen(np.array([number for number, _ in packed], np.uint64))
    shape_kinds = frozen(np.array([kind for _, kind in packed], np.uint32))
    found = kernels.find_candidates(
        batch.offsets, batch.text, kernels.MARKS, ALL, frozen(lengths), shapes, shape_kinds, kinds, starts, ends
    )
    kept = min(found, capacity)
    return found, list(zip(kinds[:kept].tolist(), starts[:kept].tolist(), ends[:kept].tolist(), strict=True))


SINGLE = list("0123456789 .-/()+@:_\nxé文\u00a0\u2011\u202f")
LONGER = [
    "12",
    "212",
    "736",
    "5000",
    "10",
    "::",
    "a",
    "be",
    "GB",
    "no",
    "AB",
    "  ",
    "b.c",
    "1.2.3.4",
    "1:2:3:4:5:6:7:8",
]
PIECES = st.sampled_from([*SINGLE, *LONGER])


@given(st.lists(PIECES, max_size=40).map("".join))
@settings(max_examples=1000, deadline=None)
@example("a" * 65 + "@b.c")
@example("2a00::1:2.3.4.5.")
@example("GB12 ABCD 1234 5678 9012 34")
@example("AB12\u00a0\u00a0 34")
@example("+(212) 736-5000 " + "12 " * 30)
@example("1 22 33 44 55 66 77")
def test_the_candidates_are_those_of_plain_regular_expressions(text: str) -> None:
    assert Counter(candidates([text])[1]) == twin(text.encode())


@given(st.lists(st.text(max_size=12), max_size=5))
@settings(max_examples=200, deadline=None)
def test_documents_are_read_apart(texts: list[str]) -> None:
    texts = [text.encode(errors="replace").decode() for text in texts]
    together, place = [], 0
    for text in texts:
        together += [(kind, start + place, end + place) for kind, start, end in candidates([text])[1]]
        place += len(text.encode())
    assert candidates(texts)[1] == together


@pytest.mark.parametrize("capacity", [0, 1, 7])
def test_candidates_that_do_not_fit_are_counted(capacity: int) -> None:
    found, kept = candidates(["ann@b.cd, " * 20], capacity)
    assert found == 20
    assert len(kept) == capacity
