from __future__ import annotations

import codecs
import signal
import sys
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.pipeline.extraction import Extracted, Extraction, ExtractReject, decoded
from corpusmill.pipeline.sources.contract import ExtractReason

ARTICLE = """<html><head><title> On  bridges\n</title></head><body><nav><ul><li><a href="/">Home</a></ul></nav>
<article><h1>On bridges</h1><p>A bridge is built to cross a river, a road or a valley. Stone was the first material
for it, and wood came soon after, since both were at hand wherever somebody had to cross.</p><p>Iron followed in the
eighteenth century, and it made longer spans possible than anybody had seen before.</p></article>
<footer>Imprint</footer></body></html>"""


@pytest.mark.parametrize("engine", ["content", "resiliparse", "trafilatura"])
def test_main_content_leaves_out_what_stands_around_it(engine):
    page = Extraction(engine=engine).extract(ARTICLE.encode(), "text/html")
    assert isinstance(page, Extracted)
    assert "Iron followed in the" in page.text
    assert "Imprint" not in page.text
    assert page.title == "On bridges"


def test_all_text_is_all_text():
    page = Extraction(engine="resiliparse_all").extract(ARTICLE.encode(), "text/html")
    assert isinstance(page, Extracted)
    assert "Imprint" in page.text


def test_plain_text_is_not_parsed():
    page = Extraction().extract(b"<p>a</p>\r\n&amp;", "text/plain; charset=ascii")
    assert page == Extracted("<p>a</p>\n&amp;")


@pytest.mark.parametrize(
    ("html", "options", "reason", "detail"),
    [
        (b"<div>" * 100_000 + b"x", {}, ExtractReason.TOO_DEEP, "100,000 elements deep; max_depth is 2,000"),
        (b"x" * 101, {"max_html_bytes": 100}, ExtractReason.TOO_LARGE, "101 bytes; max_html_bytes is 100"),
        (b"<html><body></body>", {}, ExtractReason.EMPTY, "0 characters of text"),
        (b"", {}, ExtractReason.EMPTY, "0 characters of text"),
        (b"<p>short", {"min_text_bytes": 6}, ExtractReason.EMPTY, "5 characters of text"),
        (
            b"".join(b"<p><b id=%d>x" % number for number in range(3000)),
            {"max_depth": 9999},
            ExtractReason.TOO_SLOW,
            "would take about 11 s of CPU time; cpu_seconds is 10",
        ),
    ],
)
def test_a_page_that_gives_no_text_says_why(html, options, reason, detail):
    assert Extraction(**options).extract(html, "text/html") == ExtractReject(reason, detail)


def test_the_shortest_text_is_measured_in_bytes():
    assert Extraction(min_text_bytes=6).extract("<p>äöü".encode(), "text/html") == Extracted("äöü")


@pytest.mark.parametrize(
    "html",
    [
        b"<div>" * 1900 + b"hello world " * 50,
        b"".join(b"<p><b id=%d>x" % number for number in range(500)),
        b"<div>" * 1900 + b"</i>" * 100_000 + b"x",
        b"<html " + b"".join(b"a%d=1 " % number for number in range(9_000)) + b">x",
        b"<table>" + b"<tr><td>a<td>b" * 50_000,
        b"a<br>" * 300_000,
    ],
)
def test_a_hostile_page_within_the_bounds_takes_the_cpu_time_allowed_at_most(html):
    began = time.thread_time()
    Extraction().extract(html, "text/html")
    assert time.thread_time() - began < 10


def test_trafilatura_is_stopped_by_cpu_time_and_the_timer_is_put_back(monkeypatch):
    import trafilatura

    def spin(*arguments, **options):
        while True:
            try:
                sum(range(1000))
            except Exception:  # noqa: BLE001  as trafilatura does
                continue

    monkeypatch.setattr(trafilatura, "bare_extraction", spin)
    before = signal.getsignal(signal.SIGPROF)
    began = time.process_time()
    found = Extraction(engine="trafilatura", cpu_seconds=0.3).extract(ARTICLE.encode(), "text/html")
    assert found == ExtractReject(ExtractReason.TOO_SLOW, "took more than 0.3 s of CPU time")
    assert 0.2 < time.process_time() - began < 5
    assert signal.getsignal(signal.SIGPROF) == before
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)


def test_trafilatura_sleeping_costs_no_cpu_time(monkeypatch):
    import trafilatura

    original = trafilatura.bare_extraction

    def slow(*arguments, **options):
        time.sleep(0.5)
        return original(*arguments, **options)

    monkeypatch.setattr(trafilatura, "bare_extraction", slow)
    found = Extraction(engine="trafilatura", cpu_seconds=0.45).extract(ARTICLE.encode(), "text/html")
    assert isinstance(found, Extracted)


def test_trafilatura_works_outside_the_main_thread():
    found = []
    thread = threading.Thread(
        target=lambda: found.append(Extraction(engine="trafilatura").extract(ARTICLE.encode(), "text/html"))
    )
    thread.start()
    thread.join()
    assert isinstance(found[0], Extracted)


def test_what_trafilatura_raises_is_a_reject(monkeypatch):
    import trafilatura

    def fail(*arguments, **options):
        raise IndexError("list index out of range")

    monkeypatch.setattr(trafilatura, "bare_extraction", fail)
    found = Extraction(engine="trafilatura").extract(ARTICLE.encode(), "text/html")
    assert found == ExtractReject(ExtractReason.FAILED, "IndexError: list index out of range")
    monkeypatch.setattr(trafilatura, "bare_extraction", lambda *arguments, **options: None)
    found = Extraction(engine="trafilatura").extract(ARTICLE.encode(), "text/html")
    assert found == ExtractReject(ExtractReason.EMPTY, "trafilatura finds no main content")


def test_a_missing_engine_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "trafilatura", None)
    with pytest.raises(InputError, match=r"pip install corpusmill\[trafilatura\]"):
        Extraction(engine="trafilatura").prepare()
    Extraction().prepare()


def test_options_that_cannot_work_are_refused():
    with pytest.raises(RecipeError, match=r"extract\.max_depth: 0 is not above zero"):
        Extraction(max_depth=0)
    with pytest.raises(
        RecipeError, match=r'extract\.engine: "resily" is none of content, resiliparse, resiliparse_all, trafilatura'
    ):
        Extraction(engine="resily")


RUSSIAN = "Мост построен для того, чтобы пересечь реку, дорогу или долину. Камень был первым материалом."
JAPANESE = "橋は川や道路や谷を渡るために造られる。石は最初の材料であり、木がすぐ後に続いた。"
GERMAN = "Brücken über Flüsse und Täler, größer als man sie je für möglich hielt: „schön“ – so heißt es."


@pytest.mark.parametrize(
    ("text", "codec", "label"),
    [
        (RUSSIAN, "cp1251", "windows-1251"),
        (RUSSIAN, "koi8-r", "koi8-r"),
        (RUSSIAN, "mac-cyrillic", "x-mac-cyrillic"),
        (RUSSIAN, "cp855", "IBM855"),
        (JAPANESE, "cp932", "Shift_JIS"),
        (JAPANESE, "euc_jp", "EUC-JP"),
        (JAPANESE, "iso2022_jp", "iso-2022-jp"),
        (GERMAN, "cp1252", "ISO-8859-1"),
        (GERMAN, "utf-8", "utf8"),
    ],
)
def test_the_encoding_is_the_headers_or_else_the_pages_own(text, codec, label):
    body = text.encode(codec)
    assert decoded(body, f"text/html; charset={label}") == text
    for tag in (f"<meta charset='{label}'>", f'<meta http-equiv=Content-Type content="text/html; charset={label}">'):
        assert decoded(tag.encode() + body, "text/html") == tag + text
    declaration = f'<?xml version="1.0" encoding="{label}"?>'
    assert decoded(declaration.encode() + body, None) == declaration + text


@pytest.mark.parametrize(("text", "codec"), [(RUSSIAN, "cp1251"), (JAPANESE, "cp932"), (JAPANESE, "euc_jp")])
def test_the_encoding_is_guessed_from_the_bytes_where_nothing_names_it(text, codec):
    assert decoded(text.encode(codec), None) == text


@pytest.mark.parametrize(
    ("mark", "codec"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_a_byte_order_mark_outweighs_every_label(mark, codec):
    html = f"<meta charset=koi8-r>{RUSSIAN}"
    assert decoded(mark + html.encode(codec), "text/html; charset=windows-1251") == html
    if codec != "utf-8":
        assert decoded(html.encode(codec), "text/html; charset=windows-1251") == html


@pytest.mark.parametrize(
    ("payload", "content_type", "text"),
    [
        (GERMAN.encode(), "text/html; charset=iso-8859-1", GERMAN),  # a server's default
        ("naïve".encode("cp1252"), "text/html; charset=utf-8", "naïve"),
        (b"\xc3\xa4", "text/html; charset=windows-1252", "Ã¤"),  # two bytes may be chance
        (b"plain", "text/html; charset=nonsense", "plain"),
        (b"a\x80b", "text/html; charset=gb2312", "a€b"),
        (RUSSIAN.encode("cp1251"), "text/html; charset=utf-7", RUSSIAN),
        (b"<meta charset=utf-16>\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f", None, "<meta charset=utf-16>äöüß"),
    ],
)
def test_labels_that_are_wrong_do_not_spoil_the_text(payload, content_type, text):
    assert decoded(payload, content_type) == text


@settings(max_examples=300, deadline=None)
@given(
    payload=st.one_of(
        st.binary(max_size=300),
        st.lists(
            st.sampled_from([b"<p>", b"</div>", b"<b x>", b"\0", b"&#0;", b"&#xD800;", b"\r", b"<svg>", b"\xff", b"a "])
        ).map(b"".join),
    ),
    charset=st.sampled_from(
        ["", "; charset=utf-16", "; charset=iso-2022-jp", "; charset=hz", "; charset=\x00", "; charset=big5"]
    ),
    media=st.sampled_from(["text/html", "text/plain", ""]),
)
def test_no_page_makes_the_extraction_raise_and_no_text_is_invalid(payload, charset, media):
    found = Extraction().extract(payload, media + charset)
    if isinstance(found, Extracted):
        for text in (found.text, found.title or ""):
            assert "\0" not in text
            assert "\r" not in text
            assert text.encode().decode() == text


@pytest.mark.realdata
def test_legacy_encodings_are_told_apart(realdata):
    right = total = 0
    folder = realdata / "web" / "chardet_encodings"
    for group in sorted(path for path in folder.iterdir() if path.is_dir()):
        label = group.name.rsplit("-", 1)[0] if group.name.startswith(("iso-8859", "windows")) else group.name
        try:
            codec = codecs.lookup(
                {"TIS-620": "cp874", "SHIFT_JIS": "cp932", "GB2312": "gb18030"}.get(label, label)
            ).name
        except LookupError:
            continue
        for path in group.iterdir():
            truth = "".join(filter(str.isalpha, path.read_bytes().decode(codec, "replace")))
            right += "".join(filter(str.isalpha, decoded(path.read_bytes(), None))) == truth
            total += 1
    assert total > 400
    assert right / total > 0.94
