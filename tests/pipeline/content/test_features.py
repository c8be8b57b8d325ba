from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.documents.compiled import frozen
from corpusmill.pipeline.content.features import CONTEXT_NAMES, NAMES, WORD_BITS, context, features, words
from corpusmill.pipeline.content.scan import scan

NO_WORDS = frozen(np.zeros(1 << WORD_BITS, np.float32))
PROSE = "A bridge is built to cross a river, a road or a valley, wherever somebody has to cross. "


def table(html: str, title: str = "") -> dict[str, list[float]]:
    rows = features(scan(html.encode()), title, NO_WORDS)
    assert rows.shape[1] == len(NAMES) == len(set(NAMES))
    return {name: rows[:, column].tolist() for column, name in enumerate(NAMES)}


def test_words_and_signs_of_a_piece_are_counted():
    found = table("<p>The 3 bridges, <b>all</b> of stone!</p><p>Why:</p><p>Él «dijo».</p>")
    assert found["log_units"] == pytest.approx([math.log1p(28), math.log1p(4), math.log1p(10)])
    assert found["words"] == pytest.approx([math.log1p(6), math.log1p(1), math.log1p(2)])
    assert found["digit_share"] == pytest.approx([1 / 28, 0, 0])
    assert found["upper_share"] == pytest.approx([1 / 28, 1 / 4, 0])
    assert found["comma_share"] == pytest.approx([1 / 28, 0, 0])
    assert found["ends_sentence"] == [1, 0, 1]
    assert found["ends_colon"] == [0, 1, 0]
    assert found["strong_share"] == pytest.approx([4 / 28, 0, 0])  # with the blank before it


def test_an_ideograph_is_a_word_of_three_units():
    found = table("<p>漢字です。</p>")
    assert found["log_units"] == pytest.approx([math.log1p(13)])
    assert found["words"] == pytest.approx([math.log1p(4)])
    assert found["ends_sentence"] == [1]


def test_a_piece_knows_how_much_of_it_stands_in_the_title():
    found = table("<p>On Bridges<p>Of bridges and roads", title="On bridges – The Paper")
    assert found["title_share"] == pytest.approx([1, 1 / 4])


def test_prose_is_long_punctuated_and_no_link():
    found = table(
        f"<p>{PROSE}<p>Home<p><a href=x>{PROSE}</a><h2>{PROSE}</h2><p>{PROSE.replace(',', '').replace('.', '')}"
    )
    assert found["is_prose"] == [1, 0, 0, 0, 0]
    assert found["until_prose"] == [60, 60, 60, 60, 60]
    assert found["since_prose"] == [60, 0, 1, 2, 3]
    assert found["prose_before"] == [0, 1, 1, 1, 1]


def test_ancestors_are_those_with_more_text():
    found = table(f"<div><div><div><p>{PROSE}</p></div></div><p>ab</p></div><ul><li><a href=x>cd</a></ul>")
    whole = len(PROSE.strip()) + 2
    assert found["ancestor_0_log_units"][0] == pytest.approx(math.log1p(len(PROSE.strip())))
    assert found["ancestor_1_log_units"][1] == pytest.approx(math.log1p(whole), abs=1e-3)
    assert found["ancestor_0_link_share"] == [0, 0, 1]
    assert found["ancestor_0_prose_share"] == [1, 0, 0]
    assert found["ancestor_1_prose_share"] == [1, 1, 1]


def test_the_core_is_the_innermost_element_with_most_of_the_prose():
    found = table(f"<div><p>{PROSE}<p>{PROSE}</div><div><p>ab</div><p>cd")
    assert found["core_0.9_inside"] == [1, 1, 0, 0]
    assert found["core_0.9_levels"] == [1, 1, 2, 1]
    assert found["core_0.5_inside"] == [0, 1, 0, 0]


def test_neighbours_are_told_by_their_distance():
    found = table(f"<div><p>ab<p>{PROSE}</div><p>cd.")
    assert found["neighbour_1_is_prose"] == [1, 0, 0]
    assert found["neighbour_-1_is_prose"] == [0, 0, 1]
    assert found["neighbour_1_near"] == [1, 0, 0]
    assert found["neighbour_2_ends_sentence"] == [1, 0, 0]


def test_pieces_that_look_alike_and_pieces_of_one_text_are_counted():
    found = table("<p class=a>one<p class=a>two<p class=b>one")
    assert found["log_group"] == pytest.approx([math.log1p(2), math.log1p(2), math.log1p(1)])
    assert found["same_text"] == [2, 1, 2]


def test_the_lexicon_says_how_much_words_speak_for_content():
    page = scan(b"<p>Share this page<p>page")
    found, starts = words(page)
    assert starts.tolist() == [0, 3, 4]
    assert found[2] == found[3]
    lexicon = np.zeros(1 << WORD_BITS, np.float32)
    lexicon[found[0]], lexicon[found[2]] = -2, 0.5
    rows = features(page, "", frozen(lexicon))
    columns = [NAMES.index(f"lexical_{name}") for name in ("mean", "lowest", "first", "last")]
    assert rows[:, columns].tolist() == [[-0.5, -2, -2, 0.5], [0.5, 0, 0.5, 0.5]]


TEXT = st.text(st.sampled_from("abcXY019 .,!?漢かéЖ—\"'()"), min_size=1, max_size=30).map(str.strip).filter(bool)


@given(st.lists(TEXT, min_size=1, max_size=6))
def test_counts_are_those_of_plain_python(texts):
    texts = [re.sub(" +", " ", text) for text in texts]
    rows = features(scan("".join(f"<p>{text}</p>" for text in texts).encode()), "", NO_WORDS)
    for text, row in zip(texts, rows, strict=True):
        units = len(text) + 2 * len(re.findall("[漢か]", text))
        assert row[NAMES.index("log_units")] == pytest.approx(math.log1p(units))
        count = len(re.findall("[漢か]|[a-zA-Z0-9éЖ]+", text))
        assert row[NAMES.index("words")] == pytest.approx(math.log1p(max(1, count)))
        assert row[NAMES.index("comma_share")] == pytest.approx(text.count(",") / units)
        assert row[NAMES.index("stops")] == len(re.findall("[.!?]", text))
        assert row[NAMES.index("symbol_share")] == pytest.approx(len(re.findall("[—\"'()]", text)) / units)


@given(
    st.lists(
        st.sampled_from(["<div>", "</div>", "<p class=a>", "<li>", "<a href=x>", "</a>", "ab", PROSE]), max_size=40
    )
)
def test_features_and_context_are_finite_whatever_the_page(parts):
    page = scan("".join(parts).encode())
    rows = features(page, "ab", NO_WORDS)
    scores = frozen(np.linspace(-9, 9, len(rows)).astype(np.float32))
    around = context(page, rows, scores)
    assert np.isfinite(rows).all()
    assert np.isfinite(around).all()
    assert around.shape == (len(rows), len(CONTEXT_NAMES))


def test_the_second_pass_sees_the_scores_around_a_piece():
    page = scan(f"<div><p>{PROSE}<p>{PROSE}</div><p>ab".encode())
    rows = features(page, "", NO_WORDS)
    around = context(page, rows, frozen(np.array([5, -5, 2], np.float32)))
    found = {name: around[:, column].tolist() for column, name in enumerate(CONTEXT_NAMES)}
    assert found["score"] == [5, -5, 2]
    assert found["score_1"] == [-5, 2, -9]
    assert found["score_-1"] == [-9, 5, -5]
    assert found["run_before"] == [0, 1, 0]
    assert found["run_after"] == [0, 1, 0]
    assert found["ancestor_0_kept"] == [1, 0, 1]
    assert found["ancestor_1_kept"][:2] == [0.5, 0.5]
    assert found["ancestor_1_mean"][0] == pytest.approx(0.5, abs=1e-3)
    assert found["share_before"][1] == pytest.approx(0.97, abs=0.03)
