"""The kernel that settles plain candidates against the validators, which are its twin."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.filters import pii_kernels as kernels
from corpusmill.filters import pii_validators as validators
from corpusmill.filters.pii_search import JUDGES, KINDS, PiiSearch
from corpusmill.filters.pii_sieve import ACCEPT, REJECT

WORDS = [
    "tel", "phone", "Fax", "mobile:", "call", "at", "on", "to", "work", "office", "(home)", "version", "v",
    "release", "section", "no", "is", "SSN", "social", "security", "number", "BSN", "SIN", "PESEL", "id", "ip",
    "§", "tél", "x", "ext", "git",
]  # fmt: skip
NUMBERS = [
    "212-736-5000", "(212) 736-5000", "1-212-736-5000", "212.736.5000", "212/736-5000", "911-736-5000",
    "536-22-1234", "536221234", "111222333", "4111111111111111", "93.184.216.34", "10.0.0.1", "8.8.4.4",
    "256.1.1.1", "01.2.3.4", "529.982.247-25", "X1234567L", "699 956 915", "7", "12", "19",
]  # fmt: skip
MARKS = [*" .,:;-()[]<>@/+_=\n\"'", "\u00a0", "é", "文", "-fax", "(w)", " office", "http://", "a"]
LOCALS = ["ann", "a.b", "_x", "-y", "a..b", ".", "git", "%", "é", "A" * 64]
DOMAINS = ["example.org", "b.c", "x.co.uk", "a-.com", "-a.com", "b..com", "logo.png", "a.b.c.d.e.f.g.h.io",
           "xn--e.xn--p1ai", "host", "1.2.3", "a.com-b", "münchen.de", "a.COM1", "b" * 64 + ".com"]  # fmt: skip
PIECES = st.one_of(
    st.sampled_from(WORDS),
    st.sampled_from(NUMBERS),
    st.sampled_from(MARKS),
    st.builds("{}@{}".format, st.sampled_from(LOCALS), st.sampled_from(DOMAINS)),
)


def disagreements(texts: list[str], regions: tuple[str, ...] = ("US",)) -> list[str]:
    """Candidates that the sieve settles otherwise than their validator."""
    batch, search = TextBatch.of_texts(texts), PiiSearch(phone_regions=regions)
    found = search.candidates(batch)
    before = [column.tolist() for column in found]
    verdicts = search.settle(batch, found)
    phones = {(int(found.documents[row]), int(found.ends[row])): int(found.starts[row])
              for row in np.flatnonzero((verdicts == ACCEPT) & (found.bits == kernels.PHONE))}  # fmt: skip
    wrong = []
    for row, (bit, start, end, document) in enumerate(zip(*before, strict=True)):
        if verdicts[row] not in (ACCEPT, REJECT):
            continue
        covered = bit == kernels.LABELLED and phones.get((document, end), end) <= start
        [judge] = [judge for judge in JUDGES if judge.bit == bit]
        text = batch.text.tobytes()
        front = max(int(batch.offsets[document]), start - judge.ahead)
        back = min(int(batch.offsets[document + 1]), end + judge.behind)
        bounds = judge.judge(text[start:end], text[front:start], text[end:back], search)
        expected = None if bounds is None else (start + bounds[0], start + bounds[1])
        settled = None if verdicts[row] == REJECT else (int(found.starts[row]), int(found.ends[row]))
        if settled != expected and not covered:
            wrong.append(f"{judge.kind} {text[front:back]!r}: {settled} is {expected}")
    return wrong


@given(st.lists(st.lists(PIECES, max_size=14).map("".join), max_size=3))
@settings(max_examples=600, deadline=None)
@example(["call 212-736-5000 x4", "tel: 212-736-5000.5", "(212) 736-5000(x3)"])
@example(["v 93.184.216.34", "§93.184.216.34", "a.b@example.org_", "x@a.b-c.d"])
def test_what_is_settled_is_what_the_validator_says(texts: list[str]) -> None:
    assert disagreements(texts) == []


@given(st.lists(st.text(max_size=30), max_size=4), st.sampled_from([("US",), ("GB",), ("DE", "CA")]))
@settings(max_examples=300, deadline=None)
def test_any_text_is_settled_as_the_validator_says(texts: list[str], regions: tuple[str, ...]) -> None:
    assert disagreements([text.encode(errors="replace").decode() for text in texts], regions) == []


def test_the_cases_are_settled_as_the_validators_say() -> None:
    path = Path(__file__).parent.parent / "cases" / "pii.jsonl"
    assert disagreements([json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()]) == []


@pytest.mark.realdata
def test_real_posts_and_mail_are_settled_as_the_validators_say(realdata: Path) -> None:
    for folder in ("text/newsgroups20_bydate", "quality/spamassassin_mail_a"):
        paths = sorted(path for path in (realdata / folder).rglob("*") if path.is_file())[::40]
        assert len(paths) > 50
        assert disagreements([path.read_bytes().decode("latin-1")[:20_000] for path in paths]) == []


def test_reserved_networks_are_those_of_the_registry() -> None:
    networks = [ipaddress.IPv4Network(network) for network in validators.RESERVED_NETWORKS]
    for number in range(0, 1 << 32, 12_345_67):
        address = ipaddress.IPv4Address(number)
        assert any(address in network for network in networks) == (not address.is_global or address.is_multicast)


def test_most_candidates_of_mail_are_settled() -> None:
    text = (
        "From: ann@example.org (212) 736-5000\nReceived: from [93.184.216.34] by 10.0.0.1; <20020101.1@example.org>\n"
    )
    batch, search = TextBatch.of_texts([text]), PiiSearch()
    found = search.candidates(batch)
    verdicts = search.settle(batch, found)
    assert set(verdicts.tolist()) <= {ACCEPT, REJECT}
    assert sorted(KINDS[kind] for kind in search.find(batch).kinds) == ["email", "email", "ipv4", "phone"]
