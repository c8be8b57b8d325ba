"""RefinedWeb's line rules: titled cases, and a plain-Python twin on hostile text."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import CLASSES, SOLO
from corpusmill.documents.errors import RecipeError
from corpusmill.filters.refinedweb_lines import COUNTED, Reason, RefinedWeb, RefinedWebLines, corrected_lines


def cases(stage: str) -> list[Any]:
    lines = (Path(__file__).parents[1] / "cases" / f"{stage}.jsonl").read_text(encoding="utf-8").splitlines()
    return [pytest.param(case, id=case["title"]) for case in map(json.loads, lines)]


def options_of(case: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in case["options"].items()}


@pytest.mark.parametrize("case", cases("refinedweb_lines"))
def test_lines_are_corrected_as_the_title_says(case):
    texts, measures = RefinedWebLines(**options_of(case)).rewrite(TextBatch.of_texts([case["text"]]))
    assert texts.to_pylist() == [case["new_text"]]
    assert measures.schema == RefinedWebLines.measures
    assert {name: count for name, count in measures.to_pylist()[0].items() if count} == case["measures"]


@pytest.mark.parametrize("case", cases("refinedweb"))
def test_a_document_is_judged_as_its_title_says(case):
    stage = RefinedWeb(**case["options"])
    verdicts = stage.judge(stage.measure(TextBatch.of_texts([case["text"]]))).to_pylist()
    assert [None if index is None else list(Reason)[index].value for index in verdicts] == [case["reason"]]


def test_every_declared_reason_and_every_measure_of_the_rewriter_has_a_case():
    assert {case.values[0]["reason"] for case in cases("refinedweb")} - {None} == set(Reason)
    measured = {name for case in cases("refinedweb_lines") for name in case.values[0]["measures"]}
    assert measured == {*RefinedWebLines.measures.names}


SEPARATORS = re.escape("|/>-–—•·:»›([")
COUNTER = re.compile(rf"\W*(?:[0-9][0-9,.]*[kmb]?\s+(?:{'|'.join(COUNTED)})\b\W*)+", re.IGNORECASE)


def words_of(text: str) -> int:
    """What white space separates, and each character of a script without spaces."""
    spaced = "".join(f" {c} " if CLASSES[ord(c)] & SOLO else c for c in text)
    return len(spaced.split())


def plain_line(line: str, rules: RefinedWebLines) -> tuple[str | None, str | None]:
    """The new line (None: it goes) and the count that it adds to."""
    body = line.strip()
    if sum(c.isupper() for c in body) > (rules.max_uppercase or 2) * len(body):
        return None, "uppercase_lines"
    if rules.remove_numbers and re.fullmatch(r"[\d\s]+", body):
        return None, "number_lines"
    if rules.remove_counters and COUNTER.fullmatch(body):
        return None, "counter_lines"
    words = words_of(body)
    if words < (rules.min_words_per_line or 0):
        return None, "short_lines"
    if rules.max_words_of_edited is None or words > rules.max_words_of_edited:
        return line, None
    edited = body
    changed = 0
    for phrase in rules.beginnings:
        edited, times = re.subn(rf"\A{re.escape(phrase)}\b[\s{SEPARATORS}]*", "", edited, flags=re.I)
        changed += times
    for phrase in rules.endings:
        edited, times = re.subn(rf"[\s{SEPARATORS}]*\b{re.escape(phrase)}\W*\Z", "", edited, flags=re.I)
        changed += times
    for phrase in rules.phrases:
        while True:
            found = re.search(rf"(\A| *)\b{re.escape(phrase)}\b", edited, flags=re.I)
            if found is None:
                break
            behind = edited[found.end() :]
            if found.start() == 0:
                behind = re.sub(rf"\A[\s{SEPARATORS}]+", "", behind)
            edited = edited[: found.start()] + behind
            changed += 1
    if not changed:
        return line, None
    return (edited if words_of(edited) >= max(rules.min_words_per_line or 0, 1) else None), "edited_lines"


def plain(text: str, rules: RefinedWebLines) -> tuple[str, dict[str, int], int]:
    """The new text, the counts, and the words that are removed."""
    spans = [(match.start(), match.end()) for match in re.finditer(r"[^\n]*\S[^\n]*", text)]
    if not spans:
        return text, {}, 0
    edges = [0, *(place for span in spans for place in span), len(text)]
    pieces = [text[start:end] for start, end in pairwise(edges)]
    new_text, gap, counts, removed = "", pieces[0], dict[str, int](), 0
    for line, after in zip(pieces[1::2], pieces[2::2], strict=True):
        new, name = plain_line(line, rules)
        if name:
            counts[name] = counts.get(name, 0) + 1
            removed += max(words_of(line) - words_of(new or ""), 0)
        if new is not None:
            new_text += gap + new
            gap = after
        elif new_text:
            gap = max(gap, after, key=len)
    return (new_text + pieces[-1] if new_text else ""), counts, removed


PIECES = st.sampled_from(
    [
        "word ", "the end. ", "ABC ", "É", "Ж ", "12 ", "٣ ", "3 likes", "1.2K views", ", ", "1 reply ", "likes ",
        "sign in ", "Sign-In", "read more", "READ MORE ", "items in cart ", "Items in cart", "|", " - ", "...", " »",
        "\n", "\n\n", " ", "\t", "\xa0", "漢", "字 ", "😀", "a", "_", "(", ")", "\r", "é ",
    ]
)  # fmt: skip
HOSTILE = st.lists(PIECES, max_size=30).map("".join)


@settings(max_examples=500)
@given(
    HOSTILE, st.sampled_from([None, 0.2, 0.5]), st.booleans(), st.booleans(), st.sampled_from([None, 1, 2, 3]),
    st.sampled_from([None, 3, 10]),
)  # fmt: skip
def test_texts_and_counts_equal_plain_pythons_on_hostile_text(text, capitals, numbers, counters, words, edited):
    rules = RefinedWebLines(
        max_uppercase=capitals,
        remove_numbers=numbers,
        remove_counters=counters,
        min_words_per_line=words,
        max_words_of_edited=edited,
    )
    batch = TextBatch(TextBatch.of_texts(["before all of it", text, "AFTER IT"]).documents.slice(1))
    new_text, counts, removed = plain(text, rules)
    texts, measures = rules.rewrite(batch)
    assert texts.to_pylist()[0] == new_text
    assert {name: count for name, count in measures.to_pylist()[0].items() if count} == counts
    corrected = corrected_lines(batch, rules)
    assert (corrected.words[0], corrected.removed_words[0]) == (words_of(text), removed)


def test_both_stages_with_equal_rules_share_the_work():
    batch = TextBatch.of_texts(["Home\nA line of prose."])
    RefinedWeb().measure(batch)
    assert corrected_lines(batch, RefinedWebLines()) is corrected_lines(batch, RefinedWeb())
    assert corrected_lines(batch, RefinedWebLines(min_words_per_line=1)) is not corrected_lines(batch, RefinedWeb())


@pytest.mark.parametrize("phrase", ["", " x", "x" * 63])
def test_a_phrase_that_could_never_be_met_is_refused(phrase):
    for stage in (RefinedWeb(endings=(phrase,)), RefinedWebLines(endings=(phrase,))):
        with pytest.raises(RecipeError, match=rf'{stage.name}\.endings: "{phrase}" must have 1 to 62 bytes'):
            stage.prepare()
    RefinedWebLines().prepare()


def test_a_batch_of_no_documents_has_no_texts():
    assert RefinedWebLines().rewrite(TextBatch.of_texts([]))[0].to_pylist() == []
