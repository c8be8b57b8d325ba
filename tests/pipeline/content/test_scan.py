from __future__ import annotations

import html as python_html
import random
import re
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from corpusmill.documents.compiled import frozen
from corpusmill.pipeline.content import elements
from corpusmill.pipeline.content.elements import Break, Kind, Place
from corpusmill.pipeline.content.scan import Node, Piece, _hints, _open_place, decoded_references, scan

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


def pieces(html: str) -> list[str]:
    page = scan(html.encode())
    return [page.text[start:end].tobytes().decode() for start, end in page.pieces[:, : Piece.END + 1]]


def breaks(html: str) -> list[int]:
    return scan(html.encode()).pieces[:, Piece.BREAK].tolist()


def places(html: str) -> list[Place]:
    return [Place(int(place) & (1 << elements.HINT_SHIFT) - 1) for place in scan(html.encode()).places]


def hints(html: str) -> list[set[str]]:
    """The first word of each kind of hint, by piece."""
    return [
        {words[0] for kind, words in enumerate(elements.HINTS) if int(place) >> elements.HINT_SHIFT + kind & 1}
        for place in scan(html.encode()).places
    ]


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ("<p>one<p>two", ["one", "two"]),
        ("<p>one <b>and</b><i>a half</i></p>two", ["one anda half", "two"]),
        ("<ul><li>a<li>b<ul><li>c</ul><li>d</ul>", ["a", "b", "c", "d"]),
        ("<table><tr><td>1<td>2<tr><td>3</table>4", ["1", "2", "3", "4"]),
        ("<dl><dt>a<dd>b<dt>c</dl>", ["a", "b", "c"]),
        ("one<br>two<br/>three", ["one", "two", "three"]),
        ("  a \n\t b&nbsp;c\xa0 ", ["a b c"]),
        ("l\xc3\xa0 \xa0d\xc3\xa8s 5\xc2\xa0m \xc3 \xa0", ["l\xc3\xa0 d\xc3\xa8s 5\xc2\xa0m \xc3"]),
        ("1 < 2 <3 a<b>c</b>", ["1 < 2 <3 ac"]),
        ("a<!-- x > --y -->b<!-->c<!DOCTYPE d>e<?php f ?>g</ h>i", ["abcegi"]),
        ("a<script>if (a < b) '</p>'</script>b<style>p</style>c", ["abc"]),
        ("a<script>x</scripty></script >b", ["ab"]),
        ("a<select><option>b<option>c</select>d<noscript><p>e</p></noscript>f", ["a d", "f"]),
        ("a<svg><path/><text>b</text></svg>c<svg/>d", ["a c d"]),
        ("<ruby>漢<rt>kan</rt>字<rt>ji</rt></ruby>", ["漢字"]),
        ("<p>a<div>b</p>c</div>d", ["a", "b", "c", "d"]),
        ("a</p>b</br>c", ["a", "b", "c"]),
        ("<pre>\n  a\n\n\tb \n</pre>", ["  a\n\n\tb"]),
        ("<a title='a>b' href=x>c</a>", ["c"]),
        ("<a title = \"a'>b\" href = 'x'>c</a>", ["c"]),
        ("<p class=x/>a", ["a"]),
        ("a<textarea><p>b</textarea>c", ["ac"]),
        ("<title>x</title>a", ["a"]),
        ("a<img src=x>b", ["a b"]),
        ("can\xaddi&shy;da&#173;ture, é\xadva\xadlué", ["candidature, évalué"]),
        ("m\xc3\xadquina, \xe2\x80\xad.", ["m\xc3\xadquina, \xe2\x80\xad."]),
        ("a<p", ["a"]),
        ("a<p b='", ["a"]),
        ("a<!--", ["a"]),
        ("a<script>b", ["a"]),
        ("a<", ["a<"]),
        ("", []),
        ("<div></div><p> </p>", []),
    ],
)
def test_pieces_are_the_text_between_block_boundaries(html, found):
    assert pieces(html) == found


def test_a_break_is_as_strong_as_the_strongest_boundary():
    line, paragraph, cell = Break.LINE, Break.PARAGRAPH, Break.CELL
    assert breaks("a<div>b</div>c") == [paragraph, line, line]
    assert breaks("a<br>b<br> <br>c") == [paragraph, line, paragraph]
    assert breaks("<p>a</p><div>b</div><hr>c") == [paragraph, paragraph, paragraph]
    assert breaks("<table><tr><td>a<td>b<tr><td>c<td><p>d</table>") == [paragraph, cell, line, paragraph]
    assert breaks("<ul><li>a<li>b</ul>c") == [paragraph, line, paragraph]


def test_text_knows_the_elements_around_it():
    html = (
        "<nav>a</nav><article><h2>b</h2><p>c <a href=x>d</a></p><figure><figcaption>e</figcaption></figure>"
        "<div style='color: red; display : none'>f</div><p hidden>g</p><pre>h</pre></article>i"
    )
    assert places(html) == [
        Place.NAV,
        Place.ARTICLE | Place.HEADING,
        Place.ARTICLE | Place.PARAGRAPH,
        Place.ARTICLE | Place.FIGURE | Place.CAPTION,
        Place.ARTICLE | Place.HIDDEN,
        Place.ARTICLE | Place.PARAGRAPH | Place.HIDDEN,
        Place.ARTICLE | Place.PREFORMATTED,
        Place(0),
    ]


def test_links_are_counted_where_they_lead_somewhere():
    page = scan(b"<p>ab <a href=x>cde</a> <a name=y>fg</a></p><p><a href=z>hi</a>")
    assert page.pieces[:, Piece.LINK_BYTES].tolist() == [4, 2]  # with the blank before it
    assert page.pieces[:, Piece.LINKS].tolist() == [1, 1]


def test_hints_come_from_class_id_role_and_itemprop():
    html = (
        "<div class='post-content'>a</div><div id=SideBar>b</div><div role=navigation>c</div>"
        "<div itemprop=articleBody><span class=author>d</span></div><div class=loading>e</div><div class='x ad y'>f"
    )
    assert hints(html) == [
        {"article", "content"},
        {"sidebar"},
        {"nav"},
        {"article", "content", "byline"},
        set(),
        {"sponsor"},
    ]


def test_classes_of_the_body_are_no_hints():
    assert hints("<body class='article sidebar'>a") == [set()]


def test_nodes_are_blocks_in_order_with_their_parents():
    page = scan(b"<div><p>a <b>b</b></p><ul><li>c</ul></div>")
    names = {number: name for name, number in elements.NUMBERS.items()}
    assert [names.get(number) for number in page.nodes[:, Node.ELEMENT]] == [None, "div", "p", "ul", "li"]
    assert page.nodes[:, Node.PARENT].tolist() == [-1, 0, 1, 1, 3]
    assert page.nodes[:, Node.DEPTH].tolist() == [0, 1, 2, 2, 3]
    assert page.pieces[:, Piece.NODE].tolist() == [2, 4]
    assert page.pieces[:, Piece.ITEM].tolist() == [0, 1]


def test_elements_of_one_class_look_alike_whatever_its_digits():
    page = scan(b"<div class='post-1'>a</div><div class='post-2'>b</div><div class=nav>c</div><p class='post-3'>d")
    first, second, third, fourth = page.nodes[1:, Node.SIGNATURE].tolist()
    assert first == second
    assert len({first, third, fourth}) == 3


def test_the_title_is_that_of_the_page():
    html = b"<head><title> A &amp; B\n</title></head><svg><title>C</title></svg>"
    page = scan(html)
    assert decoded_references(html[slice(*page.title)]) == "A & B"
    assert scan(b"<p>a").title == (0, 0)


def test_what_is_deeper_than_the_limit_is_text_all_the_same():
    html = "<div>" * 5000 + "a" + "</div>" * 5000 + "<p>b"
    assert pieces(html) == ["a", "b"]


REFERENCES = sorted(python_html.entities.html5)


@given(
    st.lists(
        st.one_of(
            st.sampled_from(REFERENCES).map("&{}".format),
            st.sampled_from(REFERENCES).map(lambda name: "&" + name.rstrip(";")),
            st.integers(160, 0x10FFFF).map("&#{};".format),
            st.integers(128, 0x2FFFF).map("&#x{:X}".format),
            st.sampled_from(["&", "&#", "&#x", "&#xg", "&;", "x", "=", ";", "é", "&#0;", "&#xD800;", "&#99999999999;"]),
        ),
        max_size=8,
    ).map("".join)
)
@example("&notit;&notin;&ampamp;&#150;")
def test_references_are_decoded_as_python_decodes_them(text):
    # Python drops a few control characters and noncharacters that the standard keeps.
    told = python_html.unescape(text)
    if not any(ord(c) < 32 or 127 <= ord(c) < 160 or ord(c) == 0xAD or 0xFDD0 <= ord(c) < 0xFDF0 for c in told):
        kept = re.sub(r"&#[xX]?[0-9a-fA-F]+;?", lambda found: _kept(found[0]), text)
        assert decoded_references(f"|{text}|".encode()) == " ".join(
            re.sub("[ \t\n\xa0]+", " ", python_html.unescape(f"|{kept}|")).split(" ")
        )


def _kept(reference: str) -> str:
    """A numeric reference, or what stands for it where Python drops it."""
    digits = reference[2:].rstrip(";")
    code = int(digits[1:], 16) if digits[0] in "xX" else int(digits)
    dropped = python_html.unescape(reference) == "" and code <= 0x10FFFF
    return chr(code) if dropped else reference


@given(st.text(st.sampled_from("abehdnosprtvy -_1é"), max_size=40))
def test_hints_are_words_found_anywhere_in_a_value(value):
    value = value + " " + random.Random(value).choice(["side-bar", "sidebar", "ad", "ads x", "postbody", "sr-only", ""])
    coded = value.encode()
    found, _ = _hints(frozen(np.frombuffer(coded, np.uint8)), 0, len(coded), elements.HINT_STEPS, elements.HINT_FOUND)
    spelt = re.sub("[^a-z]+", "_", f"_{value.lower()}_")
    assert found == sum(1 << kind for kind, words in enumerate(elements.HINTS) if any(word in spelt for word in words))


@given(st.lists(st.sampled_from(sorted(elements.NUMBERS.values())), max_size=12), st.sampled_from(list(Kind)))
def test_an_open_element_is_sought_up_to_one_that_may_not_be_passed(open_numbers, passed):
    stack = np.array([0, *open_numbers], np.uint8)
    sought = elements.NUMBERS["p"]
    expected = -1
    for place in range(len(stack) - 1, 0, -1):
        if stack[place] == sought:
            expected = place
            break
        if not elements.KIND[stack[place]] & passed:
            break
    assert _open_place(stack, len(stack) - 1, elements.GROUP, elements.KIND, 0, sought, int(passed)) == expected


MARKUP = st.lists(
    st.one_of(
        st.sampled_from(sorted(elements.NUMBERS)).map("<{}>".format),
        st.sampled_from(sorted(elements.NUMBERS)).map("</{}>".format),
        st.sampled_from(
            ["<a href=x>", "<p class='nav", "'>", "<!--", "-->", "&amp", "&#3", " ", "<", ">", "\0", "é", "漢"]
        ),
        st.text(max_size=5),
    ),
    max_size=60,
).map("".join)


@given(MARKUP)
def test_any_markup_gives_pieces_in_order_of_valid_text(html):
    page = scan(html.encode("utf-8", "replace"))
    page.text.tobytes().decode()
    bounds = page.pieces[:, : Piece.END + 1].ravel().tolist()
    assert bounds == sorted(bounds)
    assert all(piece.strip() for piece in pieces(page.text.tobytes().decode()))
    assert (page.pieces[:, Piece.NODE] < len(page.nodes)).all()
    assert (page.nodes[1:, Node.PARENT] < np.arange(1, len(page.nodes))).all()
    assert (page.pieces[:, Piece.LINK_BYTES] <= page.pieces[:, Piece.END] - page.pieces[:, Piece.START] + 1).all()


@given(st.binary(max_size=300))
def test_any_bytes_are_scanned(data):
    scan(data)
    scan(b"<p>" + data.replace(b"\0", b"<") + b"</p>")


@pytest.mark.parametrize(
    "html",
    [
        b"<b>" * 300_000 + b"</i>" * 300_000,
        b"<b><div>" + b"<i>" * 4_000 + b"</b>" * 100_000,
        b"<p class='" + b"a-" * 500_000 + b"'>",
        b"&" * 1_000_000,
        b"&" + b"a" * 1_000_000,
        b"<" * 1_000_000,
        b"</" * 500_000,
        b"<!--" * 250_000,
        b"<script>" * 125_000,
        b"<a href=" * 125_000,
        b"<li>" * 250_000,
        b"<table><tr><td>" * 60_000,
    ],
)
def test_hostile_markup_takes_a_second_at_most(html):
    scan(b"<p>warm")
    began = time.thread_time()
    scan(html)
    assert time.thread_time() - began < 1


@pytest.mark.realdata
def test_the_words_of_real_pages_are_those_that_lexbor_finds(realdata):
    sys.path.insert(0, str(BENCHMARKS))
    from gold_pages import gold_pages, words
    from resiliparse.extract.html2text import extract_plain_text

    from corpusmill.pipeline.extraction import decoded

    pages = gold_pages(realdata)
    total = missing = extra = 0
    for page in random.Random(5).sample(pages, 120):
        html = decoded(page.payload(), None).replace("\xad", "").replace("&shy;", "")
        theirs = Counter(words(extract_plain_text(html, alt_texts=False, list_bullets=False)))
        ours = Counter(words("\n".join(pieces(html))))
        total += theirs.total()
        missing += (theirs - ours).total()
        extra += (ours - theirs).total()
    assert total > 100_000
    assert missing < 0.001 * total  # words that resiliparse merges
    assert extra < 0.03 * total  # labels of forms and buttons
