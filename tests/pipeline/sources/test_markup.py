from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from corpusmill.pipeline.sources.markup import (
    _FORMATTING,
    _NAMES,
    _OPTIONAL_END,
    _RAW,
    _VOID,
    STEPS_PER_SECOND,
    cost_of,
)

NAME = re.compile(rb"[a-zA-Z][a-zA-Z0-9]*")


def twin(html: bytes) -> tuple[int, int]:
    """The scan in plain Python."""
    depth = deepest = steps = formatting = 0
    at = html.find(b"<")
    while 0 <= at < len(html) - 1:
        at += 1
        if html[at : at + 1] == b"!" and html[at + 1 : at + 3] == b"--" and at + 2 < len(html):
            end = html.find(b">", at + 3)
            while end >= 0 and html[end - 2 : end] != b"--":
                end = html.find(b">", end + 1)
            at = html.find(b"<", end) if end >= 0 else -1
            continue
        closing = html[at : at + 1] == b"/"
        at += closing
        match = NAME.match(html, at)
        if not match:
            at = html.find(b"<", at)
            continue
        name = match.group().lower()[:8].decode()
        at = match.end()
        attributes, last = 0, ord(" ")
        while at < len(html) and html[at] != ord(">"):
            symbol = html[at]
            if symbol in b"\"'" and last == ord("="):
                end = html.find(bytes([symbol]), at + 1)
                at = end if end >= 0 else len(html)
                last = symbol
            elif symbol > 32:
                attributes += last <= 32 or last == ord("/")
                last = symbol
            elif last != ord("="):
                last = symbol
            at += 1
        steps += 40 + depth + attributes * attributes // 4
        if name not in _FORMATTING:
            steps += 100 * formatting
        elif closing:
            formatting = max(0, formatting - 1)
        else:
            formatting += 1
        nests = name not in [known[:8] for known in _VOID + _OPTIONAL_END]
        if closing:
            depth = max(0, depth - nests)
        elif last != ord("/"):
            depth += nests
            deepest = max(deepest, depth)
        if not closing and name in [known[:8] for known in _RAW]:
            at = html.find(b"<", at)
            while 0 <= at < len(html) - 2:
                other = NAME.match(html, at + 2) if html[at + 1 : at + 2] == b"/" else None
                if other and other.group().lower()[:8].decode() == name:
                    break
                at = html.find(b"<", at + 1)
        at = html.find(b"<", at) if 0 <= at < len(html) else -1
    return deepest, steps


PARTS = (
    *("<", ">", "/", "=", '"', "'", " ", "\n", "<!--", "-->", "--", "!", "</", "<é", "a", "x=1"),
    *("<div", "</div>", "<b>", "</b>", "<p>", "<br/>", "<script>", "</script>", "<title>", "</TITLE "),
    *("<colgroup>", "<blockquote>", "<blockquo2>"),
)


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.lists(st.sampled_from(PARTS), max_size=40).map("".join).map(str.encode), st.binary(max_size=60)))
@example(b"")
@example(b"<")
@example(b"<a")
@example(b"<!--")
@example(b"<!-->x<b>-->")
@example(b"<script></scrip")
def test_the_scan_equals_its_twin(html):
    assert cost_of(html) == twin(html)


def test_each_known_name_has_a_place_of_its_own():
    names = {*_VOID, *_OPTIONAL_END, *_FORMATTING, *_RAW}
    assert np.count_nonzero(_NAMES) == len(names)


@pytest.mark.parametrize("name", sorted({*_VOID, *_OPTIONAL_END, *_FORMATTING, *_RAW, "div", "span", "h1"}))
def test_each_name_is_known_for_what_it_is(name):
    html = f"<{name}><{name.upper()}>x</{name}><p>".encode()
    assert cost_of(html) == twin(html)


def test_depth_counts_what_nests():
    assert cost_of(b"<html><body><div><ul><li>a<li>b<p>c<p>d</ul><br><img></div></body>")[0] == 2
    assert cost_of(b"<script>'<div><div><div>'</script><!-- <div><div> --><div title='<div>'>")[0] == 1
    assert cost_of(b"<div>" * 100_000)[0] == 100_000


@pytest.mark.parametrize(
    "html",
    [
        b"".join(b"<p><b id=%d>x" % number for number in range(4000)),
        b"<div " + b"".join(b"a%d=1 " % number for number in range(60_000)) + b">",
        b"<div>" * 1900 + b"</i>x<i>" * 200_000,
    ],
)
def test_pages_that_keep_a_parser_busy_for_long_are_known(html):
    assert cost_of(html)[1] > 10 * STEPS_PER_SECOND


def test_ordinary_markup_costs_little():
    html = b"<div class='a' id=\"b\"><p>Some <b>bold</b> text, a <a href='/x'>link</a>.</p></div>\n" * 10_000
    assert cost_of(html)[1] < STEPS_PER_SECOND
    assert np.isfinite(cost_of(html)[1])
