"""mojibake: repairs UTF-8 that was read as cp1252 or Latin-1 ("fÃ¼r", "donâ€™t"), also twice, and stray C1 controls.

A **garbled sequence** is a character that stands for a lead byte of UTF-8 (Â to ô) and as many that stand for
continuation bytes as it asks for, the whole being valid UTF-8. Sound text has such pairs now and then ("FJALË”", "É®",
Sami "ášš"), so a sequence is **sure** only where it is a capital within a word, or its continuation is no letter,
quote, dash, space or sign that follows letters in sound text. Repaired is, in this order:

1. the whole text, where all its characters beyond ASCII are garbled sequences, and one is sure or three are there;
2. by the same rule, a line; where the text has a sure sequence in any line, one is enough of any kind;
3. in lines that have sound characters, too: sure sequences, and runs of two or more.

That is done up to three times, for what was garbled twice. A repair is the inverse of the damage, and must leave fewer
sequences than there were. Then C1 controls (U+0080 to U+009F, which nobody types) become the characters of cp1252
that they were, unless cp1252 has none for a tenth of them or more or all are U+0085, which is also a line break.

After ftfy (Speer 2019, doi:10.5281/zenodo.2591652), which looks for more encodings and judges by a table of unlikely
pairs. Differs: a doubtful pair in a sound line stays as it is; lossy damage (a non-breaking space that became a space,
U+FFFD) is not repaired. `engine: ftfy` calls ftfy's `fix_encoding` instead, for texts beyond ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numba import uint64
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen, kernel, trailing_zeros
from corpusmill.documents.errors import InputError
from corpusmill.documents.segmentation import block_at, decoded, width
from corpusmill.filters.contract import Rewriter

_HIGH = np.uint64(0x8080808080808080)
_PASSES = 3  # garbled, garbled twice, and once more to see that nothing is left
_FEW_UNKNOWN = 10  # controls of cp1252 for each that it does not have: fewer are of another code page
_FEW = 3  # sequences that are enough together where none is sure

_CP1252 = bytes(range(0x80, 0xA0)).decode("cp1252", "replace")
_BYTES = {chr(byte): byte for byte in range(0x80, 0x100)}
_BYTES |= {character: 0x80 + place for place, character in enumerate(_CP1252) if character != "\ufffd"}
_CONTINUATION = "".join(character for character, byte in _BYTES.items() if byte < 0xC0)
_TYPOGRAPHIC = "\xa0«»‹›‘’“”…–—´¨¸"
_AFTER_LETTERS = _TYPOGRAPHIC + "ŠšŒœŽžŸƒ•·®©™°ºª¹²³§¶†‡"
"""Continuations that also follow a letter in sound text: quotes, dashes and spaces follow any; letters and the signs of
footnotes and trade follow others than Â and Ã, at which few words end."""

_ONE = f"[{re.escape(_CONTINUATION)}]"
_SEQUENCE = re.compile(f"[Â-ß]{_ONE}|[à-ï]{_ONE}{{2}}|[ð-ô]{_ONE}{{3}}")
_CONTROL = re.compile("[\x80-\x9f]")
_CONTROLS = {0x80 + place: character for place, character in enumerate(_CP1252) if character != "\ufffd"}


def _byte_table() -> NDArray[np.uint8]:
    """uint8[0x2123]: the byte from 0x80 to 0xBF that Latin-1 or cp1252 shows as this character, or 0."""
    table = np.zeros(0x2123, np.uint8)
    for character in _CONTINUATION:
        table[ord(character)] = _BYTES[character]
    return frozen(table)


_BYTE_TABLE = _byte_table()


@dataclass(frozen=True, kw_only=True)
class Mojibake(Rewriter):
    """Repairs text whose UTF-8 was read as cp1252 or Latin-1, and C1 controls."""

    name: ClassVar[str] = "mojibake"
    measures: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("sequences", pa.int32(), nullable=False),  # garbled sequences that are gone
            pa.field("controls", pa.int32(), nullable=False),  # C1 controls that are gone
        ]
    )

    engine: Literal["own", "ftfy"] = "own"
    """own: as above; ftfy: `ftfy.fix_encoding`, which needs the extra `ftfy` and repairs more, more boldly."""

    def prepare(self) -> None:
        if self.engine == "ftfy" and find_spec("ftfy") is None:
            raise InputError(
                "mojibake.engine: ftfy is not installed; install it with `pip install 'corpusmill[ftfy]'`, or use "
                "`engine: own`"
            )

    def rewrite(self, batch: TextBatch) -> tuple[pa.StringArray, pa.RecordBatch]:
        suspect = np.empty(len(batch), np.uint8)
        find_suspects(batch.offsets, batch.text, _BYTE_TABLE, suspect)
        repair: Callable[[str], str] = repaired
        wanted = suspect == 2
        if self.engine == "ftfy":
            repair = import_module("ftfy").fix_encoding
            wanted = suspect > 0
        counts = np.zeros((2, len(batch)), np.int32)
        changes: dict[int, str] = {}
        for row in np.flatnonzero(wanted).tolist():
            before = batch.texts[row].as_py()
            after = repair(before)
            if after != before:
                changes[row] = after
                counts[0, row] = sequences(before) - sequences(after)
                counts[1, row] = len(_CONTROL.findall(before)) - len(_CONTROL.findall(after))
        measures = pa.RecordBatch.from_arrays([pa.array(row) for row in counts], schema=self.measures)
        return _with_changes(batch.texts, changes), measures


def _with_changes(texts: pa.StringArray, changes: dict[int, str]) -> pa.StringArray:
    if not changes:
        return texts
    places = np.arange(len(texts))
    places[list(changes)] = len(texts) + np.arange(len(changes))
    return pa.concat_arrays([texts, pa.array(changes.values(), pa.string())]).take(pa.array(places))


def repaired(text: str) -> str:
    """`text` with what is surely garbled put right.

    >>> repaired("Er lebte fÃ¼r die Musik, itâ€™s said."), repaired("NESTLÉ® FJALË”")
    ('Er lebte für die Musik, it’s said.', 'NESTLÉ® FJALË”')
    """
    for _ in range(_PASSES):
        changed = _as_a_whole(text, _FEW)
        if changed is None:
            needed = 1 if any(map(_is_sure, _garbled(text))) else _FEW
            lines = text.split("\n")
            changed = "\n".join(
                _in_places(line) if (whole := _as_a_whole(line, needed)) is None else whole for line in lines
            )
        if changed == text or sequences(changed) >= sequences(text):
            break
        text = changed
    controls = [ord(control) for control in _CONTROL.findall(text) if control != "\x85"]
    unknown = sum(control not in _CONTROLS for control in controls)
    return text.translate(_CONTROLS) if len(controls) > _FEW_UNKNOWN * unknown else text


def sequences(text: str) -> int:
    """How many garbled sequences there are in `text`, sure or not."""
    return sum(1 for _ in _garbled(text))


def _garbled(text: str) -> Iterator[re.Match[str]]:
    return (match for match in _SEQUENCE.finditer(text) if _character(match.group()) is not None)


def _character(sequence: str) -> str | None:
    """The character that the sequence is in UTF-8; None if it is none, or U+FFFD, which was lost before."""
    try:
        character = bytes(_BYTES[part] for part in sequence).decode()
    except UnicodeDecodeError:
        return None
    return None if character == "\ufffd" else character


def _is_sure(match: re.Match[str]) -> bool:
    sequence = match.group()
    if sequence.startswith("â€"):
        return True  # quotes and dashes in UTF-8; a euro sign within a word is nothing else
    if sequence[0].isupper() and match.string[match.start() - 1 : match.start()].islower():
        return True  # "aÅŸkÄ±": a capital within a word
    doubtful = _TYPOGRAPHIC if sequence[0] in "ÂÃ" else _AFTER_LETTERS
    return any(part not in doubtful for part in sequence[1:])


def _as_a_whole(text: str, needed: int) -> str | None:
    """`text` repaired, if all of it that is beyond ASCII is garbled, and evidence enough; else None."""
    if text.isascii():
        return text
    parts, place, evidence = [], 0, 0
    for match in _SEQUENCE.finditer(text):
        character = _character(match.group())
        if character is None:
            return None
        parts += [text[place : match.start()], character]
        if not parts[-2].isascii():
            return None
        place = match.end()
        evidence += _FEW if _is_sure(match) else 1
    if evidence < needed or not text[place:].isascii():
        return None
    return "".join([*parts, text[place:]])


def _in_places(line: str) -> str:
    """`line` with its sure sequences repaired, and those that touch another."""
    found = list(_garbled(line))
    parts, place = [], 0
    for number, match in enumerate(found):
        touches = (number > 0 and found[number - 1].end() == match.start()) or (
            number + 1 < len(found) and found[number + 1].start() == match.end()
        )
        if touches or _is_sure(match):
            parts += [line[place : match.start()], _character(match.group()) or ""]
            place = match.end()
    return "".join([*parts, line[place:]])


@kernel
def find_suspects(
    offsets: NDArray[np.int32], text: NDArray[np.uint8], byte_table: NDArray[np.uint8], suspect: NDArray[np.uint8]
) -> None:
    """For each document: 0 if it is ASCII, 2 if it has a garbled sequence or a C1 control, else 1."""
    for document in range(offsets.shape[0] - 1):
        suspect[document] = 0
        end = offsets[document + 1]
        position = offsets[document]
        while position < end and suspect[document] < 2:
            high = block_at(text, position, end) & uint64(_HIGH)
            if not high:
                position += 8
                continue
            position += trailing_zeros(high) >> 3
            first = text[position]
            suspect[document] = 1
            if first == 0xC2 and text[position + 1] < 0xA0:
                suspect[document] = 2
            elif first == 0xC3 and 0x82 <= text[position + 1] <= 0xB4:
                lead = text[position + 1] + 0x40
                needed = 1 if lead < 0xE0 else 2 if lead < 0xF0 else 3
                probe = position + 2
                while needed > 0 and probe < end:
                    code = decoded(text, probe)
                    if code >= byte_table.shape[0] or byte_table[code] == 0:
                        break
                    needed -= 1
                    probe += width(text[probe])
                if needed == 0:
                    suspect[document] = 2
            position += width(first)
