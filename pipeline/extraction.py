"""From a page's bytes to its text: encoding, bounds, main content.

Engines: `content` takes the main content by our own scanner and trees (pipeline/content/page.py), `resiliparse` by
rules (Bevendorff et al. 2018, "Elastic ChatNoir"; version 2 of the library), `resiliparse_all` all text, `trafilatura`
the main content by other rules and in many times the time (Barbaresi 2021, doi:10.18653/v1/2021.acl-demo.15). How well
each does on which pages stands in docs/accuracy.md, and what to choose in docs/extraction.md.

The encoding is the byte order mark's; else UTF-8 where the bytes are valid UTF-8 and not ASCII alone (a server's
default charset is wrong more often than several bytes are UTF-8 by chance); else the first that decodes the page
without an error of: the HTTP header's charset, the page's own, what the bytes look like to resiliparse. Where none
does, the first one decodes it with U+FFFD. Labels are read as the WHATWG encoding standard has it, so `iso-8859-1`
means windows-1252.

CPU time. Native code cannot be interrupted by a Python signal handler, and a limit by the clock would drop other
pages on another machine. So a page that would be too deep or take a parser too long is known beforehand, by an
estimate from its tags (pipeline/sources/markup.py). trafilatura runs mostly in Python: there a timer of the process's
CPU time (ITIMER_PROF) ends it between two bytecodes; a worker does its tasks in its main thread, the only one that
gets signals.
"""

from __future__ import annotations

import codecs
import contextlib
import re
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal, get_args

from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.pipeline.sources.contract import ExtractReason
from corpusmill.pipeline.sources.gathering import clean_text

Engine = Literal["content", "resiliparse", "resiliparse_all", "trafilatura"]
Favor = Literal["balance", "precision", "recall"]

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Python's codec for an encoding of the WHATWG standard, where the plain name means less than the standard's.
_CODECS = {
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "big5": "big5hkscs",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "latin-1": "cp1252",
    "iso8859-1": "cp1252",
}
_BEYOND_THE_STANDARD = frozenset(
    (
        *("cp437", "cp737", "cp775", "cp850", "cp852", "cp855", "cp857", "cp860", "cp861", "cp862", "cp863", "cp864"),
        *("cp865", "cp869", "cp1125", "iso2022_kr", "hz", "johab", "koi8-t", "kz1048", "ptcp154", "mac-arabic"),
        *("mac-croatian", "mac-cyrillic", "mac-farsi", "mac-greek", "mac-iceland", "mac-latin2", "mac-roman"),
        *("mac-romanian", "mac-turkish"),
    )
)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([a-z0-9_.:+-]{1,40})", re.IGNORECASE)
_META = re.compile(rb"<meta[^>]{0,500}?charset\s*=\s*[\"']?\s*([a-zA-Z0-9_.:+-]{1,40})", re.IGNORECASE)
_DECLARATION = re.compile(rb"\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([a-zA-Z0-9_.:+-]{1,40})")
_WIDE = {
    (False, True, True, True): "utf-32-le",
    (True, True, True, False): "utf-32-be",
    (False, True, False, True): "utf-16-le",
    (True, False, True, False): "utf-16-be",
}
_WIDE_HEAD_BYTES = 8
_DECODED = re.compile("[^\x00-\x7f\ufffd]")
_META_BYTES = 8192  # the standard looks at 1,024; real pages put scripts before their meta tags
_FEW = 3  # so many characters beyond ASCII may be valid UTF-8 by chance


@dataclass(frozen=True, slots=True)
class Extracted:
    """What a page says."""

    text: str
    title: str | None = None


@dataclass(frozen=True, slots=True)
class ExtractReject:
    """Why a page gave no text."""

    reason: ExtractReason
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """How pages become text."""

    engine: Engine = "content"
    """`content` or `resiliparse` (main content), `resiliparse_all` (all text) or `trafilatura` (main content; an
    extra)."""
    max_html_bytes: int = 5_000_000
    """A page with more bytes is `too_large`."""
    max_depth: int = 2_000
    """A page that nests deeper, by its tags, is `too_deep`. Browsers stop at 512, real pages below 200."""
    cpu_seconds: float = 10.0
    """CPU time for a page; one that takes more (for resiliparse: would take, by estimate) is `too_slow`."""
    comments: bool | None = None
    """Whether readers' comments are kept. None: resiliparse keeps them, or little would be left of a forum's page (with
    them, F1 on scrapinghub's articles is .928 instead of .939); the others leave them out."""
    favor: Favor | None = None
    """Whether `content` and `trafilatura` keep what may or may not be main content. None: `content` strikes a balance,
    trafilatura favours precision, as in FineWeb's recipe."""
    math: bool = False
    """Whether MathML, MathJax and pictures of formulas become LaTeX between dollar signs (pipeline/content/mathml.py)
    before the page is read; else they are left out or, by some engines, printed sign by sign."""
    min_text_bytes: int = 1
    """A page whose text has fewer bytes of UTF-8 is `empty`."""

    def __post_init__(self) -> None:
        for name in ("max_html_bytes", "max_depth", "cpu_seconds", "min_text_bytes"):
            if not getattr(self, name) > 0:
                raise RecipeError(f"extract.{name}: {getattr(self, name)} is not above zero")
        if self.engine not in get_args(Engine):
            raise RecipeError(f'extract.engine: "{self.engine}" is none of {", ".join(get_args(Engine))}')
        if self.favor not in (None, *get_args(Favor)):
            raise RecipeError(f'extract.favor: "{self.favor}" is none of {", ".join(get_args(Favor))}')
        if self.favor is not None and self.engine not in ("content", "trafilatura"):
            raise RecipeError(f"extract.favor: {self.engine} knows no {self.favor}; content and trafilatura do")

    def prepare(self) -> None:
        """Checks that the engine is installed or its model is sound, before any work starts.

        Raises:
            InputError: if it is not.
        """
        if self.engine == "content":
            from corpusmill.pipeline.content.forest import load

            load()
        if self.engine == "trafilatura":
            try:
                import trafilatura  # noqa: F401
            except ImportError as error:
                raise InputError(
                    "extract.engine: trafilatura is not installed; pip install corpusmill[trafilatura]"
                ) from error

    def files(self) -> tuple[Path, ...]:
        """What the texts depend on beside the fields: the model's file enters the fingerprints of tasks."""
        from corpusmill.pipeline.content.forest import SHIPPED

        return (SHIPPED,) if self.engine == "content" else ()

    def extract(self, payload: bytes, content_type: str | None) -> Extracted | ExtractReject:
        """The text of a page. Plain text is decoded and goes on as it is.

        Args:
            payload: the response's body, decoded from its transfer and content encodings.
            content_type: the Content-Type header, such as `text/html; charset=utf-8`.
        """
        if len(payload) > self.max_html_bytes:
            detail = f"{len(payload):,} bytes; max_html_bytes is {self.max_html_bytes:,}"
            return ExtractReject(ExtractReason.TOO_LARGE, detail)
        if (content_type or "").strip().lower().startswith("text/plain"):
            return self._checked(decoded(payload, content_type, markup=False), None)
        html = decoded(payload, content_type)
        # The tags of UTF-16 and of ISO-2022-JP, whose characters may hold a "<" byte, are looked for in the text.
        tags = html.encode() if b"\0" in payload[:64] or b"\x1b" in payload else payload
        if excess := self._excess(tags):
            return excess
        if self.math:
            from corpusmill.pipeline.content.mathml import math_as_text

            html = math_as_text(html)
        if self.engine == "content":
            return self._with_content(html)
        if self.engine == "trafilatura":
            return self._with_trafilatura(html)
        return self._with_resiliparse(html)

    def _excess(self, html: bytes) -> ExtractReject | None:
        from corpusmill.pipeline.sources.markup import STEPS_PER_SECOND, cost_of

        depth, steps = cost_of(html)
        if depth > self.max_depth:
            return ExtractReject(ExtractReason.TOO_DEEP, f"{depth:,} elements deep; max_depth is {self.max_depth:,}")
        seconds = steps / STEPS_PER_SECOND
        if seconds > self.cpu_seconds:
            detail = f"would take about {seconds:,.0f} s of CPU time; cpu_seconds is {self.cpu_seconds:g}"
            return ExtractReject(ExtractReason.TOO_SLOW, detail)
        return None

    def _with_content(self, html: str) -> Extracted | ExtractReject:
        from corpusmill.pipeline.content.forest import load
        from corpusmill.pipeline.content.page import main_text

        text, title = main_text(
            html.encode("utf-8", "replace"), load(), favor=self.favor or "balance", comments=bool(self.comments)
        )
        return self._checked(text, title)

    def _with_resiliparse(self, html: str) -> Extracted | ExtractReject:
        from resiliparse.extract.html2text import extract_plain_text
        from resiliparse.parse.html import HTMLTree

        try:
            tree = HTMLTree.parse(html)
            title = tree.title
            # Alternative texts of pictures and bylines are no prose: F1 .909 with both, .922 without the former.
            text = extract_plain_text(
                tree,
                main_content=self.engine == "resiliparse",
                alt_texts=False,
                post_meta=False,
                comments=self.comments is not False,
            )
        except (RuntimeError, ValueError, TypeError, MemoryError) as error:
            return ExtractReject(ExtractReason.FAILED, f"{type(error).__name__}: {error}")
        return self._checked(text, title)

    def _with_trafilatura(self, html: str) -> Extracted | ExtractReject:
        import trafilatura

        try:
            with _cpu_limit(self.cpu_seconds):
                document = trafilatura.bare_extraction(
                    html,
                    favor_precision=self.favor in (None, "precision"),
                    favor_recall=self.favor == "recall",
                    include_comments=bool(self.comments),
                    with_metadata=True,
                )
        except _OutOfTimeError:
            return ExtractReject(ExtractReason.TOO_SLOW, f"took more than {self.cpu_seconds:g} s of CPU time")
        except Exception as error:  # noqa: BLE001  lxml and trafilatura raise whatever a page makes them raise
            return ExtractReject(ExtractReason.FAILED, f"{type(error).__name__}: {error}")
        if document is None:
            return ExtractReject(ExtractReason.EMPTY, "trafilatura finds no main content")
        text = document.text or ""
        if self.comments and document.comments:
            text = f"{text}\n{document.comments}".lstrip("\n")
        return self._checked(text, document.title)

    def _checked(self, text: str, title: str | None) -> Extracted | ExtractReject:
        text = clean_text(text).strip("\n")
        if not text.strip() or (len(text) < self.min_text_bytes and len(text.encode()) < self.min_text_bytes):
            return ExtractReject(ExtractReason.EMPTY, f"{len(text)} characters of text")
        one_line = " ".join(clean_text(title or "").split())
        return Extracted(text, one_line[:1000] or None)


def decoded(payload: bytes, content_type: str | None, *, markup: bool = True) -> str:
    """A page's bytes as text, by the rules above.

    >>> decoded("naïve".encode("latin-1"), "text/html; charset=iso-8859-1")
    'naïve'
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if payload.startswith(mark):
            return payload[len(mark) :].decode(encoding, "replace")
    if b"\0" in payload[:_WIDE_HEAD_BYTES] and (wide := _wide(payload[:_WIDE_HEAD_BYTES])) is not None:
        return payload.decode(wide, "replace")
    header = _CHARSET.search(content_type or "")
    labels = [header.group(1)] if header else []
    if payload.isascii() and b"\x1b" not in payload and b"\0" not in payload:
        return payload.decode("ascii")
    with contextlib.suppress(UnicodeDecodeError):
        text = payload.decode("utf-8")
        if b"\0" not in payload and b"\x1b" not in payload and not _by_chance(payload, text, labels):
            return text
    if markup:
        head = payload[:_META_BYTES]
        found = _DECLARATION.match(head) or _META.search(head)
        if found:
            labels.append(found.group(1).decode("ascii"))
    encodings = [known for label in labels if (known := _codec(label))]
    for encoding in encodings:
        with contextlib.suppress(UnicodeDecodeError):
            return payload.decode(encoding)
    guess = _detected(payload)
    with contextlib.suppress(UnicodeDecodeError):
        return payload.decode(guess)
    text = payload.decode(encodings[0] if encodings else guess, "replace")
    # Where nothing beyond ASCII decodes as it should, it is no damaged UTF-8 but another encoding.
    return text if _DECODED.search(text) else payload.decode("cp1252", "replace")


def _wide(head: bytes) -> str | None:
    """The encoding of a page without a mark whose characters have two or four bytes, by where the zeros of the first
    are: a page begins with ASCII."""
    first, second, third, fourth = (head[place::4].count(0) > 0 for place in range(4))
    return _WIDE.get((first, second, third, fourth))


def _by_chance(payload: bytes, text: str, labels: list[str]) -> bool:
    """Whether valid UTF-8 may be chance: hardly anything beyond ASCII, and the server names another encoding."""
    if not labels or _codec(labels[0]) in (None, "utf-8"):
        return False
    return len(payload) - len(text) <= _FEW


def _codec(label: str) -> str | None:
    """Python's codec for a charset label, or None for a label that nobody knows."""
    from resiliparse.parse.encoding import map_encoding_to_html5

    label = label.strip().lower()
    name = map_encoding_to_html5(label, False)
    if name is None:  # outside the standard, Python knows more (IBM855, Johab, Mac's Cyrillic …)
        with contextlib.suppress(LookupError):
            found = codecs.lookup(label.removeprefix("x-")).name
            return found if found in _BEYOND_THE_STANDARD else None
        return None
    # A page that names UTF-16 in ASCII is not in UTF-16 (HTML standard, 13.2.3.2).
    name = "utf-8" if name.startswith("utf-16") else name
    return _CODECS.get(name, name)


def _detected(payload: bytes) -> str:
    from resiliparse.parse.encoding import detect_encoding

    name = detect_encoding(payload) or "utf-8"
    return _CODECS.get(name, name)


class _OutOfTimeError(BaseException):
    """Raised within trafilatura, which catches every `Exception`."""


@contextlib.contextmanager
def _cpu_limit(seconds: float) -> Iterator[None]:
    """Ends the block with `_OutOfTimeError` after so much CPU time of this process; in the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> Any:
        raise _OutOfTimeError

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
