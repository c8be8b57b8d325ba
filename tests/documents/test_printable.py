from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from corpusmill.documents.printable import printable, printable_line


@given(st.text())
def test_a_terminal_gets_nothing_that_it_would_obey_and_all_that_can_be_read(text: str) -> None:
    told = printable(text)
    assert told.isprintable()
    assert all(now == sign or (now == "?" and not sign.isprintable()) for sign, now in zip(text, told, strict=True))


def test_signs_that_move_hide_or_reorder_are_question_marks() -> None:
    assert printable("a\x1b[2J\r\n\u202eb\u200b\x9b\ud800") == "a?[2J???b???"
    assert printable("naïve 日本 → 1 %") == "naïve 日本 → 1 %"


@given(st.text())
def test_a_line_is_one_line_without_spaces_at_its_ends(text: str) -> None:
    told = printable_line(text)
    assert told.isprintable()
    assert told == told.strip()
    assert "  " not in told


def test_white_space_divides_words_and_other_signs_do_not() -> None:
    assert printable_line(" two\n\tlines\x07 here ") == "two lines? here"
    assert printable_line("\n") == ""
