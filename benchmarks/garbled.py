"""Sound texts in many languages and encodings, and ways to garble them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import prose

_CP1252 = {
    byte: bytes([byte]).decode("cp1252", "ignore") or chr(byte)  # the five that it lacks become controls
    for byte in range(256)
}
DAMAGED = frozenset(
    (
        "kea",
        "kng_AO",
        "sentences/af",
        "sentences/ca",
        "sentences/cs",
        "sentences/de",
        "sentences/fi",
        "sentences/fr",
        "sentences/hr",
        "sentences/hu",
        "sentences/lg",
        "sentences/nb",
        "sentences/pl",
        "sentences/ro",
        "sentences/sv",
        "sentences/tr",
        "20111209_www.health-ua.org_5d822074",
        "20111209_www.health-ua.org_80162b2d",
        "20120106_www.health-ua.org_5d3aae98",
        "20120106_www.health-ua.org_eac0f1d3",
        "20120106_www.kathimerini.gr_0c0032a7",
        "20120106_www.ntv.ru_00d69556",
        "20120106_www.ntv.ru_298c3a0c",
        "20120106_www.ntv.ru_902972a7",
        "20120106_www.ntv.ru_b9a42edd",
        "20120112_medicalxpress.com_dca594b0",
        "20120112_psychcentral.com_d083c6b0",
        "20120112_www.expertclick.com_c849b6eb",
        "20120112_www.wcti12.com_d0aebf8b",
        "20120117_insciences.org_5a38d0d9",
        "20120117_www.indianexpress.com_7533df99",
        "20120117_www.montrealgazette.com_a43a5270",
        "TIS-620/pharmacy.kku.ac.th.centerlab.xml",
        "TIS-620/pharmacy.kku.ac.th.healthinfo-ne.xml",
        "utf-8/balatonblog.typepad.com.xml",
    )
)
"""Texts that hold mojibake or C1 controls where they were found; the first changed line of each was read."""


def sound_texts(data: Path, every: int = 1) -> Iterator[tuple[str, str]]:
    """Names and texts: declarations, sentences, web pages, and files of known encodings; one of `every` few."""
    for path in sorted((data / "langid/udhr_declarations_html").rglob("*.html"))[::every]:
        yield path.stem, re.sub(r"<[^>]*>", "", path.read_text("utf-8", "replace"))
    for path in sorted((data / "langid/lingua_testdata_75lang").rglob("*.txt"))[::every]:
        yield f"{path.parent.name}/{path.stem}", path.read_text("utf-8")
    for name, text in islice(prose._web(data), 100 if every > 1 else None):
        yield re.sub(r"_([0-9a-f]{8})[0-9a-f]+$", r"_\1", name.rpartition("/")[2]), text
    for folder in sorted((data / "web/chardet_encodings").iterdir()):
        encoding = re.sub(r"^(iso-8859-\d+|windows-\d+)-.*", r"\1", folder.name)
        for path in sorted(folder.iterdir())[::every] if folder.is_dir() else ():
            try:
                yield f"{folder.name}/{path.name}", path.read_bytes().decode(encoding)
            except (LookupError, UnicodeDecodeError):
                continue  # Python has no such codec, or knows it otherwise


def as_cp1252(text: str) -> str:
    return "".join(_CP1252[byte] for byte in text.encode())


def as_latin1(text: str) -> str:
    return text.encode().decode("latin-1")


def twice(text: str) -> str:
    return as_cp1252(as_cp1252(text))


def in_every_third_line(text: str) -> str:
    return "\n".join(as_cp1252(line) if number % 3 == 0 else line for number, line in enumerate(text.split("\n")))


WAYS: dict[str, Callable[[str], str]] = {
    "UTF-8 read as cp1252": as_cp1252,
    "UTF-8 read as Latin-1": as_latin1,
    "as cp1252, twice": twice,
    "as cp1252, in every third line": in_every_third_line,
}
