"""The kernel that finds long tokens, against a twin made of regular expressions."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen
from corpusmill.filters import pii_token_kernels as kernels

ANCHORS = (b"ghp", b"bc1", b"eyJ")
ALL = kernels.SECRET | kernels.PEM | kernels.CURRENCY | kernels.FISCAL | kernels.ENTROPY


def twin(text: bytes) -> Counter[tuple[int, int, int]]:
    """The tokens of one document worth a validator."""
    found: Counter[tuple[int, int, int]] = Counter()
    for match in re.finditer(rb"[A-Za-z0-9_-]+", text):
        token, before = match.group(), text[: match.start()]
        bits = kernels.PEM * (token == b"-----BEGIN")
        if 16 <= len(token) <= 4096:
            plain = token.isalnum()
            upper, lower, digits = (len(re.findall(kind, token)) for kind in (rb"[A-Z]", rb"[a-z]", rb"[0-9]"))
            anchored = token[:3] in ANCHORS
            mixed = bool(upper and lower and digits)
            path = mixed and before.endswith(b"/") and ((len(token) == 24 and plain) or len(token) >= 60)
            bot = re.search(rb"[0-9]:\Z", before) and len(token) == 35
            service = re.search(rb"[G9s]\.\Z", before)
            if anchored or (len(before) >= 3 and (path or bot or service)):
                bits |= kernels.SECRET
            address = anchored or token[1:2] == b"x" or (upper and lower and not re.search(rb"[0OIl]", token))
            if plain and digits and 25 <= len(token) <= 111 and address:
                bits |= kernels.CURRENCY
            if len(token) == 16 and plain and digits == 7 and 9 in (upper, lower):
                bits |= kernels.FISCAL
            if digits and upper + lower and before[-1:] in (b'"', b"'", b"`") and before:
                bits |= kernels.ENTROPY
        for bit in (1 << place for place in range(32)):
            if bits & bit:
                found[bit, match.start(), match.end()] += 1
    return found


def tokens(texts: list[str], capacity: int = 1000) -> tuple[int, list[tuple[int, int, int]]]:
    batch = TextBatch.of_texts(texts)
    anchors = frozen(np.array(sorted(map(kernels.anchor, ANCHORS)), np.uint32))
    kinds, starts, ends = np.empty(capacity, np.uint32), np.empty(capacity, np.int32), np.empty(capacity, np.int32)
    found = kernels.find_tokens(batch.offsets, batch.text, kernels.TOKEN_MARKS, ALL, anchors, kinds, starts, ends)
    kept = min(found, capacity)
    return found, list(zip(kinds[:kept].tolist(), starts[:kept].tolist(), ends[:kept].tolist(), strict=True))


PIECES = st.sampled_from(
    ["ghp_", "bc1", "eyJ", "0x", "SG.", "ya29.", "12:", "/", '"', "'", "-----", "BEGIN", "RSSMRA85T10A562S", "aB3", "é",
     "1234567", "Q1w2E3r4T5y6U7", "-", "_", "l", "Z9", " ", "\n", "A" * 9, "b" * 7, "x" * 24]
)  # fmt: skip


@given(st.lists(st.lists(PIECES, max_size=14).map("".join), max_size=4))
@settings(max_examples=800, deadline=None)
@example(["-----BEGIN PRIVATE", "x-----BEGIN", "1234567890:" + "AAbcdefghijklmnopqrstuvwxyz01234567"])
@example(["a/" + "aB3" * 8, "https://" + "aB3-" * 15, "9." + "b" * 20])
def test_tokens_are_those_of_plain_regular_expressions(texts: list[str]) -> None:
    expected: Counter[tuple[int, int, int]] = Counter()
    place = 0
    for text in texts:
        for (bit, start, end), count in twin(text.encode()).items():
            expected[bit, start + place, end + place] += count
        place += len(text.encode())
    assert Counter(tokens(texts)[1]) == expected


@pytest.mark.parametrize("capacity", [0, 1, 7])
def test_tokens_that_do_not_fit_are_counted(capacity: int) -> None:
    found, kept = tokens(["ghp_" + "a" * 36 + " "] * 20, capacity)
    assert found == 20
    assert len(kept) == capacity
