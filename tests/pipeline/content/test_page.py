from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.content.elements import Break, Place
from corpusmill.pipeline.content.forest import load
from corpusmill.pipeline.content.page import FEW_PIECES, chosen, joined, main_text, scored
from corpusmill.pipeline.content.scan import Piece, decoded_references, scan
from corpusmill.pipeline.executors import Executor
from corpusmill.pipeline.extraction import Extraction
from corpusmill.pipeline.tasks import Outcome
from corpusmill.pipeline.warm_up import warm_up

PARAGRAPHS = [
    "A bridge is built to cross a river, a road or a valley. Stone was the first material for it, and wood came soon "
    "after, since both were at hand wherever somebody had to cross.",
    "Iron followed in the eighteenth century, and it made longer spans possible than anybody had seen before. The "
    "first of them still stands, and people walk over it every day.",
    "Steel came next. With it, engineers could hang a road from cables, which weigh little and bear much, and so cross "
    "wide waters that no arch of stone could ever span.",
]
PAGE = """<html><head><title>On bridges &amp; roads | The Paper</title></head><body>
<nav><ul><li><a href="/">Home</a><li><a href="/news">News</a><li><a href="/sport">Sport</a></ul></nav>
<div id="main"><article><h1>On bridges &amp; roads</h1>{}</article>
<section class="comments"><h3>Comments</h3><div class="comment"><p>{}</p></div></section></div>
<aside class="sidebar related"><h3>Most read</h3><ul><li><a href="/1">Ten roads to see</a><li><a href="/2">Tunnels</a>
</ul></aside><footer><p>© 2024 The Paper</p><a href="/imprint">Imprint</a></footer></body></html>"""
COMMENT = (
    "I have walked over that bridge myself, and it is, as the author says, still standing well after all the years."
)


def page(body: str = "".join(f"<p>{text}</p>" for text in PARAGRAPHS)) -> bytes:
    return PAGE.format(body, COMMENT).encode()


def whole(html: str) -> str:
    found = scan(html.encode())
    return joined(found, np.ones(len(found.pieces), bool))


def test_the_article_is_kept_and_what_stands_around_it_is_not():
    text, title = main_text(page(), load())
    assert text.removeprefix("On bridges & roads\n\n") == "\n\n".join(PARAGRAPHS)
    assert title == "On bridges & roads | The Paper"


def test_comments_are_kept_where_asked_for():
    text, _ = main_text(page(), load(), comments=True)
    assert text.endswith(COMMENT)
    assert PARAGRAPHS[0] in text
    assert "Imprint" not in text


def test_lists_tables_and_code_within_the_article_stay_in_shape():
    items = "".join(f"<li>{text}" for text in PARAGRAPHS[1:])
    rows = "<tr><th>Bridge<th>Span</tr><tr><td>The first iron bridge of them all<td>30 metres</tr>"
    code = "<pre><code>def span(bridge):\n    return bridge.length\n</code></pre>"
    body = (
        f"<p>{PARAGRAPHS[0]}</p><ul>{items}</ul><p>{PARAGRAPHS[0]}</p>{code}<p>{PARAGRAPHS[1]}</p><table>{rows}</table>"
    )
    found = scan(page(body))
    kept = np.array([not int(place) & (Place.NAV | Place.ASIDE | Place.FOOTER) for place in found.places])
    text = joined(found, kept)
    assert f"{PARAGRAPHS[0]}\n\n• {PARAGRAPHS[1]}\n• {PARAGRAPHS[2]}\n\n{PARAGRAPHS[0]}" in text
    assert "\n\ndef span(bridge):\n    return bridge.length\n\n" in text
    assert "\n\nBridge\tSpan\nThe first iron bridge of them all\t30 metres" in text


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>a<p>b", "a\n\nb"),
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        ("<div>a</div><div>b</div>", "a\nb"),
        ("<ul><li><p>a<p>b<li>c<ol><li>d</ol></ul>e", "• a\n\nb\n• c\n• d\n\ne"),
        ("<table><tr><td>a<td>b<tr><td>c<td><div>d</div></table>", "a\tb\nc\nd"),
        ("a <b>b</b>c&nbsp;d", "a bc d"),
        ("<h2>a</h2>b<blockquote>c</blockquote>d", "a\n\nb\n\nc\n\nd"),
        ("", ""),
    ],
)
def test_pieces_are_joined_as_their_elements_ask(html, text):
    assert whole(html) == text


def test_what_is_left_out_between_two_cells_breaks_the_row():
    found = scan(b"<table><tr><td>a<td>b<td>c</table>")
    assert joined(found, np.array([True, False, True])) == "a\nc"


@given(
    st.lists(st.tuples(st.sampled_from(["<p>", "<br>", "<li>", "<td>", "<ul>", "</ul>"]), st.booleans()), max_size=20)
)
def test_pieces_are_joined_as_plain_python_joins_them(parts):
    found = scan("".join(f"{tag}w{number}" for number, (tag, _) in enumerate(parts)).encode())
    kept = np.array([keep for _, keep in parts], bool)[: len(found.pieces)]
    if len(kept) < len(found.pieces):
        return
    text, last, between = "", None, 0
    for number, row in enumerate(found.pieces):
        between = max(between, row[Piece.BREAK])
        if not kept[number]:
            continue
        if last is not None:
            listed = row[Piece.ITEM] and int(found.places[last]) & Place.LIST
            near = between == Break.CELL and last == number - 1
            text += "\t" if near and not listed else "\n\n" if between == Break.PARAGRAPH and not listed else "\n"
        text += "• " * bool(row[Piece.ITEM]) + found.text[row[Piece.START] : row[Piece.END]].tobytes().decode()
        last, between = number, 0
    assert joined(found, kept) == text


def test_a_page_unlike_any_other_is_not_lost():
    likely = np.full(FEW_PIECES + 1, 0.05, np.float32)
    none = np.zeros(len(likely), bool)
    assert not chosen(likely, none, 0.5).any()
    likely[2:4] = 0.3, 0.2
    assert np.flatnonzero(chosen(likely, none, 0.5)).tolist() == [2, 3]
    likely[5] = 0.6
    assert np.flatnonzero(chosen(likely, none, 0.5)).tolist() == [5]


def test_a_page_of_few_pieces_is_kept_whole_but_for_what_stands_outside():
    likely = np.array([0.1, 0.9, 0.6], np.float32)
    assert chosen(likely, np.array([False, True, False]), 0.5).tolist() == [True, False, True]
    assert main_text(b"<p>short", load()) == ("short", "")


def test_doubtful_pieces_are_kept_for_recall_and_left_out_for_precision():
    html = page(f"<p>{PARAGRAPHS[0]}</p><p>By A. Writer</p><p><b>More</b>: about roads</p><p>{PARAGRAPHS[1]}</p>")
    lengths = [len(main_text(html, load(), favor=favor)[0]) for favor in ("precision", "balance", "recall")]
    assert lengths == sorted(lengths)


def test_an_article_for_readers_without_scripts_is_found_where_there_is_no_other():
    article = "".join(f"<p>{text}</p>" for text in PARAGRAPHS * 2)
    text, _ = main_text(page(f"<noscript>{article}</noscript>"), load())
    assert text.endswith("\n\n".join(PARAGRAPHS * 2))
    text, _ = main_text(
        page(f"{article}<noscript><p>Please enable JavaScript, or nothing works.</p></noscript>"), load()
    )
    assert "JavaScript" not in text
    text, _ = main_text(page("<p>Soon here.</p><noscript><p>Please enable JavaScript.</p></noscript>"), load())
    assert "JavaScript" not in text


def test_a_page_without_text_is_empty():
    assert main_text(b"", load()) == ("", "")
    assert main_text(b"<title>a</title><script>b</script>", load()) == ("", "a")


def test_every_piece_gets_a_likelihood():
    found = scan(page())
    likely, _ = scored(found, decoded_references(b"On bridges"), load())
    assert len(likely) == len(found.pieces)
    assert ((likely > 0) & (likely < 1)).all()


@pytest.mark.realdata
def test_pages_of_domains_not_trained_on_are_read_well(realdata):
    sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "benchmarks"))
    from gold_pages import gold_pages, phrase_scores, shingle_scores, word_scores

    from corpusmill.pipeline.extraction import decoded

    def read(pages):
        return [main_text(decoded(page.payload(), None).encode(), load())[0] for page in pages]

    articles = gold_pages(realdata, ("scrapinghub",))
    assert shingle_scores([page.gold for page in articles], read(articles))[2] >= 0.95
    news = [page for page in gold_pages(realdata, ("daniel",)) if page.judged]
    assert word_scores([page.gold for page in news], read(news))[2] >= 0.93
    others = [page for page in gold_pages(realdata, ("trafilatura",)) if page.judged]
    assert phrase_scores(others, read(others))[2] >= 0.93


def test_the_kernels_of_extraction_are_compiled_before_pages_are_read():
    ran = []

    class Here(Executor):
        def run(self, tasks, watch):
            ran.extend(task.key for task in tasks)
            return [Outcome(task, task.run()) for task in tasks]

    extractions = [Extraction(), Extraction(max_depth=9), Extraction(engine="resiliparse")]
    # What it says is left out: with a cold cache it announces that compiling takes long.
    warm_up([], Here(), lambda line: None, extractions)
    assert ran == ["compile segmentation", "compile content", "compile resiliparse"]


def test_a_page_of_very_many_pieces_is_judged_in_parts(monkeypatch):
    from corpusmill.pipeline.content import page as module

    html = page("".join(f"<p>{text}</p>" for text in PARAGRAPHS * 8))
    found = scan(html)
    monkeypatch.setattr(module, "PART_PIECES", 10)
    likely, measured = scored(found, "", load())
    assert len(likely) == len(measured) == len(found.pieces) > 30
    text, _ = main_text(html, load())
    assert text.count(PARAGRAPHS[0]) == 8
