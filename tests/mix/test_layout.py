from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import ALPHA, CLASSES, FOLD, SPACE, TERMINAL, WORD
from corpusmill.mix import layout as module
from corpusmill.mix.characters import windows_of
from corpusmill.mix.layout import KINDS, layout_losses

PROSE = (
    "The committee met on Tuesday to discuss the plans for the new bridge, which several members thought too costly. "
    "Nobody could say how long the work would take, nor who should pay for it in the end.\n"
)
MENU = "Home\nNews\nSport\nWeather\nAbout us\nContact\nSign in\nJobs\n"


def lost(text: str) -> dict[str, float]:
    """The share of the text that is lost to each kind."""
    batch = TextBatch.of_texts([text])
    windows = windows_of(batch.offsets, batch.text)
    shares = windows.sizes @ layout_losses(batch, windows) / max(1, windows.sizes.sum())
    return dict(zip(KINDS, shares.tolist(), strict=True))


def has(character: str, bits: int) -> bool:
    return bool(int(CLASSES[ord(character)]) & bits)


def filled(text: str) -> int:
    return len("".join(character for character in text if not has(character, SPACE)).encode())


def plain_kind(line: str) -> str:
    """The twin of `line_kind`."""
    if len(line.encode()) > module.ROW_BYTES:
        return "other"
    separators = sum(
        line[at] in "|»›•·" and has(line[at - 1], SPACE) and has(line[at + 1], SPACE) and filled(line[:at]) > 0
        for at in range(1, len(line) - 1)
    )
    table = line.rstrip().endswith("|")
    if separators >= module.PIECES - 1 and filled(line) <= module.PIECE_BYTES * (separators + 1) and not table:
        return "row"
    stripped = [character for character in line if not has(character, SPACE)]
    if filled(line) > module.MENU_BYTES or stripped[-1] in ".,:;!?-" or has(line[-1], TERMINAL):
        return "other"
    first = next((character for character in line if has(character, WORD)), " ")
    capital = has(first, ALPHA) and (int(FOLD[ord(first)]) != ord(first) or len(first.encode()) > 2)
    signs = any(character in '=(){}[]<>\\_;|*#$@^~`"+%0123456789' for character in line)
    return "item" if capital and not signs and any(has(character, ALPHA) for character in line) else "short"


def plain_end(text: str) -> tuple[int, int]:
    """The twin of `broken_end`: where the half sentence begins, in bytes, and its size."""
    while text and has(text[-1], SPACE):
        text = text[:-1]
    if not text or not (has(text[-1], ALPHA) or text[-1] in ",-"):
        return 0, 0
    at = len(text)
    while at and not has(text[at - 1], TERMINAL):
        if len(text[at:].encode()) > module.BROKEN_BYTES:
            return 0, 0
        at -= 1
    if not at or len(text[at:].encode()) > module.BROKEN_BYTES:
        return 0, 0
    words = [
        character
        for place, character in enumerate(text[at:], at)
        if has(character, ALPHA) and (place == 0 or has(text[place - 1], SPACE))
    ]
    capitals = sum(int(FOLD[ord(word)]) != ord(word) and word < "\u0250" for word in words)
    broken = len(words) >= module.BROKEN_WORDS and 2 * capitals <= len(words)
    return len(text[:at].encode()), filled(text[at:]) if broken else 0


def plain(text: str) -> list[list[float]]:
    """The kernel's twin: bytes lost by each window."""
    batch = TextBatch.of_texts([text])
    starts = windows_of(batch.offsets, batch.text).starts.tolist()
    found = [[0.0, 0.0] for _ in starts]

    def window(byte: int) -> int:
        return max(0, sum(start <= byte for start in starts) - 1)

    run: list[tuple[int, str, str]] = []

    def end_run() -> None:
        items = sum(kind == "item" for _, _, kind in run)
        if items >= module.MENU_LINES and items >= module.MENU_ITEMS * len(run):
            for byte, line, _ in run:
                found[window(byte)][0] += filled(line)
        run.clear()

    byte = 0
    for line in text.split("\n"):
        if filled(line):
            kind = plain_kind(line)
            if kind in ("item", "short"):
                run.append((byte, line, kind))
            else:
                end_run()
            if kind == "row":
                found[window(byte)][0] += filled(line)
        byte += len(line.encode()) + 1
    end_run()
    begin, size = plain_end(text)
    if size:
        found[window(begin)][1] += size
    return found


pieces = st.one_of(
    st.sampled_from(
        [PROSE, MENU, "• Home\n  • Über uns\n", "2011\n", "A | B | C | D\n", "| a | b | c |\n",
         "x · y · z\n", "News · Sport · " * 50, "首页\n新闻\n", "| A | B | C | D |\n",
         "and so on without an end to it ", "Anna Berta Carl Dora Emil Fritz Gustav ", "\n\n", " \u2028", "(1)\n"]
    ),
    st.text("aB.,:|»• \n3é東", max_size=15),
)  # fmt: skip


@given(st.lists(pieces, max_size=40).map("".join))
@settings(max_examples=200, deadline=None)
def test_the_kernel_equals_its_plain_twin(text: str) -> None:
    batch = TextBatch.of_texts(["", text, " "])
    windows = windows_of(batch.offsets, batch.text)
    expected = np.array(plain(text)).reshape(-1, 2) / np.maximum(windows.sizes, 1)[:, None]
    assert np.allclose(layout_losses(batch, windows), np.minimum(expected, 1))


def test_a_menu_is_boilerplate_and_the_text_around_it_is_not() -> None:
    share = lost(PROSE * 3 + MENU + PROSE * 3)["boilerplate"]
    assert share == pytest.approx(filled(MENU) / filled(PROSE * 6 + MENU))


@pytest.mark.parametrize(
    "menu",
    [
        "".join(f"  • {line}\n" for line in MENU.split("\n") if line),
        MENU.replace("\n", "\n\n"),
        "Home | News | Sport | Weather | Jobs\n",
        "首页\n新闻\n体育\n天气\n关于我们\n联系\n",
        "Новости\nСпорт\nПогода\nКонтакты\nРабота\nАрхив\n",
        MENU.replace("Sport", "Election 2012"),
    ],
)
def test_menus_of_other_looks_are_found(menu: str) -> None:
    assert lost(PROSE + menu + PROSE)["boilerplate"] > 0


@pytest.mark.parametrize(
    "text",
    [
        "Shall I compare thee to a summer's day?\nThou art more lovely and more temperate:\n" * 4,
        "import os\nimport re\nimport sys\nimport time\nimport json\nimport math\nimport ast\n",
        "Net profit 31 mln vs 28 mln\nSales 512 mln vs 498 mln\n" * 6,
        "| Name | Size | Kind | Date |\n" * 8,
        "try:\n    return\nelse:\n    pass\n" * 6,
        "- eggs,\n- milk,\n- bread,\n- butter,\n- tea,\n- salt,\n- oil.\n",
    ],
)
def test_verse_code_tables_and_lists_are_no_boilerplate(text: str) -> None:
    assert lost(PROSE + text + PROSE)["boilerplate"] == 0


def test_a_text_that_breaks_off_loses_the_sentence_that_it_breaks() -> None:
    broken = PROSE * 4 + "Then the chairman rose to say that the plans which they had seen were not"
    assert lost(broken)["truncated"] == pytest.approx(filled(broken[len(PROSE * 4) :]) / filled(broken))


@pytest.mark.parametrize(
    "end",
    [
        "",
        "Yours sincerely\nJohn Smith\n",
        "Read on.",
        "# Notes and Queries of the Old Society",
        "end of it",
        "(see below)",
    ],
)
def test_a_text_that_ends_is_not_truncated(end: str) -> None:
    assert lost(PROSE * 4 + end)["truncated"] == 0


def test_a_long_file_of_short_lines_takes_no_long_time() -> None:
    chance = random.Random(1)
    text = "\n".join(chance.choice(("Home", "a", "1", "", "x,")) for _ in range(300_000))
    assert 0 <= lost(text)["boilerplate"] <= 1
