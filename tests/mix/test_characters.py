from __future__ import annotations

import base64
import random
import re
import string
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import CLASSES, SOLO, SPACE
from corpusmill.mix import characters as module
from corpusmill.mix.characters import KINDS, windows_of
from corpusmill.mix.misread import is_rare_ideograph, misread_length

ENGLISH = (
    "The committee met on Tuesday to discuss the plans for the new bridge, which several members thought too costly. "
    "Nobody could say how long the work would take, nor who should pay for it in the end. "
)
GERMAN = (
    "Der Ausschuss für öffentliche Gebäude prüfte am Dienstag die Pläne für die Brücke über den Fluss; einige "
    "Mitglieder hielten sie für zu teuer und die Ausführung für ungewiss. Die Behörde muß später darüber entscheiden. "
)
RUSSIAN = "Комитет собрался во вторник, чтобы обсудить планы строительства нового моста через реку. "
JAPANESE = "委員会は火曜日に新しい橋の計画について話し合いました。費用が高すぎると考える人もいました。"


def measured(text: str) -> dict[str, float]:
    """The share of the text that is lost to each kind."""
    batch = TextBatch.of_texts([text])
    windows = windows_of(batch.offsets, batch.text)
    shares = windows.sizes @ windows.losses / max(1, windows.sizes.sum())
    return dict(zip(KINDS, shares.tolist(), strict=True))


def as_cp1252(text: str) -> str:
    """UTF-8 read as cp1252, bytes without a character there as browsers do: as Latin-1."""
    return "".join(
        bytes([byte]).decode("latin-1" if byte in b"\x81\x8d\x8f\x90\x9d" else "cp1252") for byte in text.encode()
    )


def plain(text: str) -> list[tuple[int, int, list[float]]]:
    """The kernel's twin: tokens by Python, mojibake by Python's own codecs. First byte, size and losses of windows."""
    following = set("…‘’“”–—ŠŒŽšœžŸ\xa0«\xad´·»\x85\x8a\x8c\x8e\x91\x92\x93\x94\x96\x97\x9a\x9c\x9e\x9f")

    def byte_of(character: str) -> int | None:
        for codec in ("latin-1", "cp1252"):
            try:
                (byte,) = character.encode(codec)
            except UnicodeEncodeError:
                continue
            if 0x80 <= byte <= 0xBF:
                return byte
        return None

    def mojibake(at: int) -> int:
        lead = ord(text[at])
        if not 0xC2 <= lead <= 0xF4:
            return 0
        needed = 1 if lead < 0xE0 else 2 if lead < 0xF0 else 3
        rest = text[at + 1 : at + 1 + needed]
        found = [byte_of(character) for character in rest]
        if len(rest) < needed or None in found:
            return 0
        if (lead == 0xE0 and found[0] < 0xA0) or (lead == 0xF0 and found[0] < 0x90):
            return 0
        if lead > 0xC3 and all(character in following for character in rest):
            return 0
        return 1 + needed

    def unreadable(character: str) -> bool:
        code = ord(character)
        return (
            code < 32
            or 0x7F <= code < 0xA0
            or code == 0xFFFD
            or 0xE000 <= code <= 0xF8FF
            or 0xFDD0 <= code <= 0xFDEF
            or code & 0xFFFE == 0xFFFE
            or code >= 0xF0000
        )

    def strange(run: str) -> bool:
        small, capital, digits = (len(re.findall(group, run)) for group in ("[a-z]", "[A-Z]", "[0-9]"))
        no_vowel = not re.search("[aeiouyAEIOUY]", run) and not digits and capital <= 1 and len(run) >= 6
        mixed = len(run) >= 20 and bool(small and capital and digits)
        return no_vowel or mixed or (len(run) >= 32 and digits > 0 and small + capital > 0)

    data = np.frombuffer(text.encode(), np.uint8)
    found = []
    window = [0, 0, 0, 0]
    size_of_window = at = begin = 0
    while at < len(text):
        start, defect = at, 0
        while at < len(text) and len(text[start:at].encode()) < module.LONGEST_TOKEN:
            length = mojibake(at)
            if length == 0 and text[at] >= "\x80":
                places = [len(text[:place].encode()) for place in (start, at)]
                size = int(misread_length(data, *places, len(data)))
                length = len(data[places[1] : places[1] + size].tobytes().decode())
            if length:
                defect = 1
                at += length
                continue
            run = re.compile("[a-zA-Z0-9]+").match(text, at)
            if run:
                window[2] += len(run[0]) if strange(run[0]) else 0
                at = run.end()
                continue
            kind = int(CLASSES[ord(text[at])])
            if kind & SPACE or (kind & SOLO and at > start):
                break
            window[3] += 3 * bool(is_rare_ideograph(np.uint32(ord(text[at]))))
            at += 1
            if unreadable(text[at - 1]) and not defect:
                defect = 2
            if kind & SOLO:
                break
        size = len(text[start:at].encode())
        if defect:
            window[defect - 1] += size
        size_of_window += size
        while at < len(text) and int(CLASSES[ord(text[at])]) & SPACE:
            window[0] += 3 * (text[at] == "\u2000")
            size_of_window += 3 * (text[at] == "\u2000")
            at += 1
        rest = len(text[at:].encode())
        full = size_of_window >= module.WINDOW_BYTES and rest >= module.WINDOW_BYTES // 2
        if full or (rest == 0 and size_of_window):
            rare = (window[3] / size_of_window - module.RARE_NATURAL) / (module.RARE_RUINED - module.RARE_NATURAL)
            first = min(1, window[0] / (module.RUINED * size_of_window) + max(0, rare))
            second = min(1 - first, window[1] / (module.RUINED * size_of_window))
            ramp = (window[2] / size_of_window - module.NON_LANGUAGE_NATURAL) / (
                module.NON_LANGUAGE_RUINED - module.NON_LANGUAGE_NATURAL
            )
            found.append((begin, size_of_window, [first, second, min(1 - first - second, max(0, ramp))]))
            begin = len(text[:at].encode())
            window, size_of_window = [0, 0, 0, 0], 0
    return found


pieces = st.one_of(
    st.text(max_size=20),
    st.text("abcxyzABC019 \n", max_size=40),
    st.text("ÂÃâãäéïðßŒ€™“”…»«\x80\x9d\xa0¼¿ÀÿŸ ", max_size=12),
    st.text(max_size=6).map(as_cp1252),
    st.sampled_from(
        [
            ENGLISH,
            GERMAN,
            JAPANESE,
            "\ufffd",
            "\x00\x85",
            "\ufdd0\U0001ffff\ue000",
            "deadbeef" * 5,
            "\u2028",
            "愀攀㐀椀" * 9,
        ]
    ),
)


@given(st.lists(st.lists(pieces, max_size=40).map("".join), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_the_kernel_equals_its_plain_twin(texts: list[str]) -> None:
    batch = TextBatch.of_texts(texts)
    windows = windows_of(batch.offsets, batch.text)
    starts = windows.starts - batch.offsets[windows.documents]
    expected = [(document, *window) for document, text in enumerate(texts) for window in plain(text)]
    assert list(zip(windows.documents.tolist(), starts.tolist(), windows.sizes.tolist(), strict=True)) == [
        window[:3] for window in expected
    ]
    assert np.allclose(windows.losses, np.array([window[3] for window in expected]).reshape(-1, 3), atol=1e-12)
    assert (windows.losses >= 0).all()
    assert (windows.losses.sum(axis=1) <= 1 + 1e-12).all()


@pytest.mark.parametrize(
    "text", [ENGLISH, GERMAN, RUSSIAN, JAPANESE, "", " \n\t", "🙂 👩‍👩‍👧 café naïve", "x y " * 500]
)
def test_sound_text_loses_nothing(text: str) -> None:
    assert sum(measured(text * 30).values()) == 0


@pytest.mark.parametrize(
    "text",
    [
        "»Daß er muß«, sagte sie – „Fuß“ …",
        "LIBERTÉ\xa0! ÉGALITÉ\xa0» à\xa0« faire »",
        "c’è… «perché…» più—",
        "Ö« Ä“ Ü– ß” ß’",
        "def strncpy(src, dst): return memcpy(dst, src)",
        r"\begin{align} \frac{a_{ij}}{b^{kl}} \leq \lVert x \rVert \end{align}",
    ],
)
def test_typography_and_code_are_no_corruption(text: str) -> None:
    assert sum(measured(text + " " + GERMAN).values()) < 0.05


@pytest.mark.parametrize("broken", [as_cp1252, lambda text: text.encode().decode("latin-1")])
@pytest.mark.parametrize("text", [GERMAN, RUSSIAN, JAPANESE])
def test_utf8_read_as_another_code_page_is_lost(text: str, broken: Callable[[str], str]) -> None:
    assert measured(broken(text * 30))["mojibake"] > 0.95


def test_mojibake_read_wrongly_twice_is_lost_too() -> None:
    assert measured(as_cp1252(as_cp1252(GERMAN * 20)))["mojibake"] > 0.95


@pytest.mark.parametrize("text", [ENGLISH, RUSSIAN, "Η επιτροπή συζήτησε τα σχέδια για τη νέα γέφυρα. "])
def test_utf16_in_the_wrong_byte_order_is_lost(text: str) -> None:
    assert measured((text * 20).encode("utf-16-le").decode("utf-16-be"))["mojibake"] > 0.95


def test_bytes_that_were_no_utf8_are_unreadable() -> None:
    assert measured((GERMAN * 20).encode("latin-1").decode("utf-8", "replace"))["unreadable"] > 0.95
    binary = random.Random(1).randbytes(4000)
    assert sum(measured(binary.decode("utf-8", "replace")).values()) > 0.95
    assert sum(measured(binary.decode("latin-1")).values()) > 0.95


def test_digests_base64_and_random_letters_are_no_language() -> None:
    source = random.Random(1)
    assert measured(" ".join(source.randbytes(16).hex() for _ in range(200)))["non_language"] > 0.95
    assert measured(base64.b64encode(source.randbytes(6000)).decode())["non_language"] > 0.95
    letters = " ".join("".join(source.choices(string.ascii_lowercase, k=source.randint(1, 10))) for _ in range(2000))
    assert measured(letters)["non_language"] > 0.8


def test_one_bad_page_costs_a_page_and_not_the_book() -> None:
    book = ENGLISH * 500
    assert 0 < measured(book[:20_000] + as_cp1252(GERMAN * 8) + book[20_000:])["mojibake"] < 0.06


def test_a_text_without_white_space_has_windows_too() -> None:
    batch = TextBatch.of_texts(["a,b;" * 100_000])
    windows = windows_of(batch.offsets, batch.text)
    assert windows.sizes.max() < module.LONGEST_TOKEN + module.WINDOW_BYTES
    assert windows.sizes.sum() == 400_000


def test_loss_grows_with_the_share_of_garbled_words_up_to_ruin() -> None:
    words = (ENGLISH * 40).split()
    lost = []
    for every in (1000, 200, 100, 20):
        garbled = ["\ufffd" * 2 if number % every == 5 else word for number, word in enumerate(words)]
        lost.append(measured(" ".join(garbled))["unreadable"])
    assert lost == sorted(lost)
    assert 0 < lost[0] < 0.2
    assert lost[-1] == 1
