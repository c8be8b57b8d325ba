"""Writes filters/language_codes.tsv and filters/script_ranges.tsv: facts of ISO 639 and of Unicode.

The tables are made once and kept, so that a result does not change with the version of a library. Run in an
environment of its own: `pip install python-iso639==2026.7.23 fonttools==4.68.0`, `python tools/make_language_codes.py`.

    language_codes.tsv   languages that have an ISO 639-1 code, macrolanguages and what belongs to them: the ISO 639-3
                         code, the 639-1 code, the macrolanguage's 639-3 code, the English name
    script_ranges.tsv    first and last code point, in hexadecimal, of each run of one script (ISO 15924); runs of no
                         script of their own (digits, punctuation, combining marks) are left out
"""

from itertools import groupby
from pathlib import Path

from fontTools.unicodedata import script
from iso639 import ALL_LANGUAGES

FOLDER = Path(__file__).resolve().parent.parent / "filters"
NO_SCRIPT = ("Zyyy", "Zinh", "Zzzz")


def main() -> None:
    rows = [
        (each.part3, each.part1 or "", each.macrolanguage or "", each.name.partition(" (")[0])
        for each in ALL_LANGUAGES
        if each.status == "A" and (each.part1 or each.macrolanguage or each.scope == "M")
    ]
    header = "part3\tpart1\tmacrolanguage\tname\n"
    (FOLDER / "language_codes.tsv").write_text(
        header + "".join("\t".join(row) + "\n" for row in sorted(rows)), encoding="utf-8"
    )
    runs = []
    for name, points in groupby(range(0x110000), key=lambda point: script(chr(point))):
        run = list(points)
        if name not in NO_SCRIPT:
            runs.append(f"{run[0]:x}\t{run[-1]:x}\t{name}\n")
    (FOLDER / "script_ranges.tsv").write_text("first\tlast\tscript\n" + "".join(runs), encoding="utf-8")


if __name__ == "__main__":
    main()
