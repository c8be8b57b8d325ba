import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.pipeline.explain import explain_document
from corpusmill.pipeline.report import render, shown, write_report

VOID = {"meta", "br", "wbr"}
TAGS = VOID | {
    "html", "head", "title", "style", "body", "h1", "h2", "h3", "p", "nav", "a", "code", "div", "b", "em", "strong",
    "pre", "table", "thead", "tbody", "tr", "th", "td", "span", "bdi", "svg", "g", "text", "figure", "figcaption",
    "details", "summary", "ul", "li", "rect", "line",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "class", "id", "href", "colspan", "role", "aria-label",
    "viewbox", "width", "height", "x", "y", "x1", "x2", "y1", "y2", "text-anchor",
}  # fmt: skip
BIDI_AND_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff]")


class Page(HTMLParser):
    """A page as a browser reads it: elements in order, attributes, and the text outside of style."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.attributes, self.ids, self.targets, self.texts = [], set(), set(), [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value for name, value in attrs if name == "id"]
        self.targets += [value for name, value in attrs if name in ("href", "src", "action", "style")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_comment(self, data):
        raise AssertionError(f"a comment: {data}")

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def source(small_run):
    return (small_run.folder / "report/index.html").read_text()


@pytest.fixture(scope="module")
def page(source):
    return Page(source)


def test_the_page_has_the_funnel_of_every_source(page):
    assert "posts 10 3 30.0% 1.1 MB 594 bytes" in page.text
    assert "gopher_quality 8 2 25.0% 6" in page.text
    assert "pii 5 rewrote 1 document: email 1" in page.text


def test_reasons_are_listed_and_those_that_never_fired_are_kept_behind_a_line(page, small_run):
    assert "gopher_quality/too_few_words 1 12.5%" in page.text
    assert "rules dropped nothing (0)" in page.text
    for name, stages in ((name, found["stages"]) for name, found in small_run.manifest["sources"].items()):
        for stage in stages:
            for reason in stage["dropped"]:
                assert f"{stage['stage']}/{reason}" in page.text, name


def test_the_page_has_the_mix_and_q_with_its_parts_and_definition(page, small_run):
    assert "Quality score: Q = 0.857" in page.text
    assert small_run.manifest["mix"]["datasets"][0]["quality"]["definition"] in page.text
    assert "unreadable characters 10.12%" in page.text
    assert "notes 50.00% 48.98% 144 144 12 1.00 144" in page.text


def test_explain_takes_every_id_on_the_page(source, small_run):
    ids = set(re.findall(r"<code>([0-9a-f]{24})</code>", source))
    assert len(ids) >= 12
    for document in ids:
        assert explain_document(document, [small_run.folder])["id"] == document


def test_samples_name_where_they_come_from_and_a_duplicate_its_twin(page, small_run):
    twin = explain_document("https://a.example/story again", [small_run.folder])["kept_id"]
    assert f"https://a.example/story again · in its place stayed {twin} , similarity 1.000" in page.text
    assert "posts.jsonl at 1," in page.text  # the record that is no JSON has no URL


def test_the_page_is_self_contained(source, page):
    assert "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'" in source
    assert "url(" not in source
    assert "@import" not in source
    assert all(target.startswith("#") for target in page.targets)
    assert {target[1:] for target in page.targets} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_hostile_text_is_shown_and_changes_nothing(source, page):
    assert "<script>alert(1)</script> ]]> </pre></details><!-- &amp;" in page.text
    assert "<img src=x onerror=alert(2)>" in page.text
    assert page.tags <= TAGS
    assert page.attributes <= ATTRIBUTES
    assert not BIDI_AND_CONTROLS.search(source)
    for control in ("U+202E", "U+202C", "U+0001", "U+0007"):
        assert f'<span class="control">{control}</span>' in source


def test_a_line_of_a_megabyte_is_cut(source):
    assert "word and then another" in source
    assert len(source) < 60_000
    assert max(map(len, source.splitlines())) < 10_000


def test_hostile_names_and_errors_are_escaped(small_run):
    evil = "</pre><script>alert(3)</script>\u2066"
    failed = [{"task": evil, "error": evil}]
    text = render({**small_run.manifest, "failed": failed, "mix_error": evil}, small_run.folder)
    page = Page(text)
    assert "1 task failed" in page.text
    assert page.tags <= TAGS
    assert "\u2066" not in text


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_shown_text_reads_back_as_it_was_with_controls_written_out(text):
    parsed = Page(str(shown(text, 1000)))
    assert parsed.tags <= {"span"}
    written = "".join(parsed.texts)
    expected = "".join(
        f"U+{ord(character):04X}" if shown(character).startswith("<span") else character for character in text
    )
    assert written == expected
    assert not BIDI_AND_CONTROLS.search(str(shown(text)))


def test_shown_text_says_how_much_was_cut():
    assert str(shown("a<b", 2)).startswith("a&lt;")
    assert "… 1 more character<" in str(shown("a<b", 2))


def test_a_run_without_mix_content_hash_or_documents_has_a_page(small_run, tmp_path):
    manifest = {key: value for key, value in small_run.manifest.items() if key not in ("mix", "content_hash")}
    page = Page(render(manifest, tmp_path))  # a folder without ledgers and samples
    assert "quality score" not in page.text
    assert "gopher_quality 8 2 25.0% 6" in page.text


def test_the_page_can_be_made_again_from_the_runs_folder(small_run, source):
    assert write_report(small_run.folder).read_text() == source
