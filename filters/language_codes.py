"""Codes of languages: ISO 639-1 and 639-3, with or without an ISO 15924 script, and which macrolanguage holds which.

Models name languages in many ways: `en` (py3langid, lid.176), `eng_Latn` (GlotLID, NLLB), `als` for Alemannic as
Wikipedia has it. All of them become a `Code`, and a `Code` is written in the form that is asked for. The facts are
ISO 639-3's, in language_codes.tsv (tools/make_language_codes.py).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

Form = Literal["iso639_1", "iso639_3"]

UNDETERMINED = "und"
"""ISO 639-3's code for a text whose language is not known."""

_FACTS = Path(__file__).with_name("language_codes.tsv")
_SHAPE = re.compile(r"([A-Za-z]{2,3})(?:[-_]([A-Za-z]{4}))?")
_LISTED = 40  # codes of a model that an error names

_WITHDRAWN = {"bh": "bih", "in": "ind", "iw": "heb", "ji": "yid", "jw": "jav", "mo": "ron", "sh": "hbs"}
"""ISO 639-1 codes that are withdrawn or were given to a group of languages."""

WIKIPEDIA = {"als": "gsw", "eml": "egl"}
"""Names of Wikipedia's editions that are another language's code in ISO 639-3, or none any more."""


class Facts(NamedTuple):
    """What ISO 639-3 says of one language."""

    part3: str
    part1: str
    macrolanguage: str
    name: str


@dataclass(frozen=True, slots=True)
class Code:
    """A language by its ISO 639-3 code, and perhaps a script by its ISO 15924 code.

    What has not the shape of a code stays as it is.
    """

    language: str
    script: str | None = None

    def written(self, form: Form) -> str:
        """In ISO 639-1 where there is a code, else 639-3, both without the script; or in ISO 639-3 with the script.

        >>> [Code("eng", "Latn").written(form) for form in ("iso639_1", "iso639_3")], Code("yue").written("iso639_1")
        (['en', 'eng_Latn'], 'yue')
        """
        if form == "iso639_1":
            known = facts().get(self.language)
            return known.part1 if known and known.part1 else self.language
        return f"{self.language}_{self.script}" if self.script else self.language

    def covers(self, other: Code) -> bool:
        """Whether `other` is this language, in this script if it says one."""
        return self.language == other.language and self.script in (None, other.script)


@cache
def facts() -> Mapping[str, Facts]:
    """By ISO 639-3 code: languages that have an ISO 639-1 code, macrolanguages, and what belongs to those."""
    rows = _FACTS.read_text(encoding="utf-8").splitlines()[1:]
    return {row.part3: row for row in (Facts(*line.split("\t")) for line in rows)}


@cache
def _part3() -> Mapping[str, str]:
    return {row.part1: row.part3 for row in facts().values() if row.part1} | _WITHDRAWN


def parsed(label: str, aliases: Mapping[str, str] | None = None) -> Code:
    """The language that a label or a recipe names.

    Args:
        label: such as `en`, `eng`, `eng_Latn` or `zh-Hans`.
        aliases: codes that mean another than ISO 639's in this place, such as `WIKIPEDIA`.

    >>> parsed("en"), parsed("srp_Cyrl"), parsed("als", WIKIPEDIA), parsed("klingon")
    (Code(language='eng', script=None), Code(language='srp', script='Cyrl'), Code(language='gsw', script=None), \
Code(language='klingon', script=None))
    """
    shape = _SHAPE.fullmatch(label)
    if shape is None:
        return Code(label)
    language, script = shape[1].lower(), shape[2]
    language = (aliases or {}).get(language) or _part3().get(language, language)
    return Code(language, script.title() if script else None)


def macrolanguage_of(code: Code) -> Code:
    """What the preset `macrolanguages` makes of a language: the macrolanguage that it belongs to, or itself.

    A language with an ISO 639-1 code of its own (Croatian, Indonesian) stays apart, but for the two Norwegian ones; and
    so does one whose macrolanguage has none.

    >>> [macrolanguage_of(Code(language)).language for language in ("arz", "hrv", "nob")]
    ['ara', 'hrv', 'nor']
    """
    known = facts().get(code.language)
    if known is None or not known.macrolanguage or not facts()[known.macrolanguage].part1:
        return code
    if known.part1 and known.macrolanguage != "nor":
        return code
    return replace(code, language=known.macrolanguage)


def unknown_language(value: str, names: Mapping[str, str], place: str = "this model") -> str:
    """What to say of a language that a model does not have.

    Args:
        value: what was asked for.
        names: the model's codes, and English names where there are any.
        place: what does not have it.

    >>> unknown_language("engl", {"en": "English", "de": "German"})
    '"engl" is no language of this model; did you mean "en"?'
    """
    asked = value.lower()
    by_name = {name.lower(): code for code, name in names.items() if name}
    named = [code for name, code in by_name.items() if len(asked) > 2 and name.startswith(asked)]
    head = re.split("[-_]", asked)[0]  # en-US, en_Latn; and ISO 639-3 often begins with the two letters of 639-1
    by_code = [code for code in (head, head[:2]) if len(head) <= 3 and code in names]
    close = difflib.get_close_matches(asked, [*by_name, *names], 1, cutoff=0.75)
    alike = [by_name.get(like, like) for like in close]
    parts = _parts_of(value, names)
    if parts:
        return (
            f'"{value}" is no language of {place}, which tells {", ".join(parts)} apart; name those, or add '
            "`merge: macrolanguages`"
        )
    whole = [code for code in names if parsed(code).language == macrolanguage_of(parsed(value)).language]
    for found in (whole, named, by_code, alike):
        if found:
            return f'"{value}" is no language of {place}; did you mean "{found[0]}"?'
    listed = sorted(names)
    more = f" and {len(listed) - _LISTED} more" if len(listed) > _LISTED * 4 else ""
    return f'"{value}" is no language of {place}, which knows {", ".join(listed[: _LISTED if more else None])}{more}'


def _parts_of(value: str, codes: Iterable[str]) -> list[str]:
    """The codes whose languages belong to the macrolanguage that is asked for."""
    asked = parsed(value)
    return [code for code in codes if macrolanguage_of(parsed(code)).language == asked.language]


def names_of(codes: Iterable[str]) -> dict[str, str]:
    """English names, empty where there is none in the table."""
    known = facts()
    return {code: row.name if (row := known.get(parsed(code).language)) else "" for code in codes}
