"""Mathematics in pages, as LaTeX: what extraction would lose or print as glyphs in a row becomes text before it.

OpenWebMath (Paster et al. 2023, arXiv:2310.06786, section 3.2) showed that common extractors drop most mathematics, and
rewrites pages first; the kinds below are its, and some more. What is found is written as `$…$`, or `$$…$$` where it
stands on lines of its own:

    MathML            <math> (any prefix); its TeX annotation if it has one, else its elements, presentation or content
    MathJax 2         <script type="math/tex">, and what it has rendered beside it, which goes; data-mathml
    MathJax 3         <mjx-container> with assistive MathML
    KaTeX             its MathML; the visual copy goes
    pictures          Wikipedia's, WordPress's and codecogs', whose alternative text or address is TeX; alt="$…$"
    forum tags        [itex], [tex], [latex], [math]

`\\(…\\)`, `\\[…\\]` and `$…$` in the text are left as they are. Pages are hostile: nodes and depth of a formula are
bounded, each byte is looked at a fixed number of times, and what cannot be read stays as it is or gives its bare text.
Differs from OpenWebMath: no XSLT; `\\begin{align}` outside of delimiters and AsciiMath are left alone.
"""

from __future__ import annotations

import html as entities
import re
from collections.abc import Iterator
from urllib.parse import unquote_plus

from corpusmill.pipeline.content.mathml_elements import latex_of_mathml

MAX_FORMULA = 200_000
"""Characters of a formula's markup; a longer one stays as it is."""
_HINTS = (
    *("<math", "<MATH", ":math", "math/tex", "math/mml", "latex", "mwe-math", "MathJax", "mjx-", "katex"),
    *('alt="$', "tex]", "[/math]", 'class="tex"'),
)
_START = re.compile(
    r"<(?P<prefix>[A-Za-z]{1,8}:)?math(?=[\s>])(?P<math>[^<>]*)>"
    r"|<script\b(?P<script>[^<>]*?\bmath/(?:tex|mml)[^<>]*)>"
    r"|<mjx-container\b(?P<container>[^<>]*)>"
    r"|<(?P<rendered>span|div|nobr)\b(?P<attributes>[^<>]{0,200}?\bclass\s*=\s*[\"']?[^\"'<>]{0,100}?"
    r"\b(?:katex-html|MathJax(?:_Preview|_Display|_SVG(?:_Display)?|_CHTML)?)\b[^<>]*)>"
    r"|<img\b(?P<image>[^<>]*)>"
    r"|\[(?P<tag>i?tex|latex|math)\](?P<forum>[^\[<]{1,2000})\[/(?P=tag)\]",
    re.IGNORECASE,
)
_ATTRIBUTE = re.compile(r"([A-Za-z_:-]{1,40})\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>]+))")
_ANNOTATION = re.compile(
    r"<(?:\w{1,8}:)?annotation\b[^>]{0,200}\bencoding\s*=\s*[\"']?(?:application/x-)?(?:la)?tex\b[^>]{0,200}>"
    r"(?P<tex>[^<]*)</(?:\w{1,8}:)?annotation\s*>",
    re.IGNORECASE,
)
_TAG = re.compile(r"<[^>]{0,2000}>")
_STYLE = re.compile(r"\A\{?\\(?:displaystyle|textstyle|scriptstyle)\s*(?P<body>.*?)\}?\Z", re.DOTALL)
_DELIMITED = re.compile(r"\A(?:\$\$(?P<a>.+)\$\$|\$(?P<b>[^$]+)\$|\\\((?P<c>.+)\\\)|\\\[(?P<d>.+)\\\])\Z", re.DOTALL)
_TEX = re.compile(r"[\\^_{}=+<>]|\d")
_SOURCES = re.compile(
    r"(?:latex\.php\?(?:[^\"']{0,200}&(?:amp;)?)?latex=|latex\.codecogs\.com/[^?]{0,40}\?|/cgi-bin/mathtex\.cgi\?)"
    r"(?P<tex>[^&]{1,4000})",
    re.IGNORECASE,
)


def math_as_text(html: str) -> str:
    """The page with its mathematics as LaTeX text.

    >>> math_as_text("<p>Let <math><msup><mi>x</mi><mn>2</mn></msup></math> be</p>")
    '<p>Let $x^2$ be</p>'
    """
    if not any(hint in html for hint in _HINTS):
        return html
    return "".join(_Page(html).pieces())


class _Page:
    """One pass over a page. `_budget` bounds what is read of it beside that, in characters."""

    def __init__(self, html: str) -> None:
        self._html = html
        self._closes: dict[str, tuple[int, int]] = {}  # by name: the next end tag's first and last place
        self._budget = 10 * len(html)

    def pieces(self) -> Iterator[str]:
        html = self._html
        position = 0
        pending: tuple[int, str] | None = None  # MathML that a picture may follow: where it ends, and its LaTeX
        while (found := _START.search(html, position)) is not None:
            between = html[position : found.start()]
            replaced, end, hidden = self._replaced(found)
            if pending is not None:
                picture = found.group("image") is not None and replaced is not None
                bare = len(between) < 400 and not _TAG.sub("", between).strip()
                if not (picture and bare):
                    yield pending[1]
                elif not replaced:
                    replaced = pending[1]
                pending = None
            yield between
            if replaced is None:
                yield html[found.start() : end]
            elif hidden:
                pending = (end, replaced)
            else:
                yield replaced
            position = end
        if pending is not None:
            yield pending[1]
        yield html[position:]

    def _replaced(self, found: re.Match[str]) -> tuple[str | None, int, bool]:
        """What stands for the markup at `found` (None: itself), where it ends, and whether a picture may repeat it."""
        if found.group("math") is not None:
            end = self._closed(f"{found.group('prefix') or ''}math", found.end())
            if end is None:
                return None, found.end(), False
            return _mathml(self._html[found.start() : end]), end, True
        if found.group("script") is not None:
            return self._script(found)
        if found.group("container") is not None:
            end = self._closed("mjx-container", found.end())
            first = -1 if end is None else self._html.find("<math", found.end(), end)
            last = -1 if end is None else self._html.rfind("</math", found.end(), end)
            if end is None or first < 0 or last < first:
                return None, found.end(), False
            display = bool(re.search(r"\bdisplay\s*=\s*[\"']?true", found.group("container")))
            return _mathml(self._html[first:last], display=display), end, False
        if found.group("rendered") is not None:
            return self._rendered(found)
        if found.group("image") is not None:
            return _image(found.group("image")), found.end(), False
        body = found.group("forum").strip()
        display = found.group("tag").lower() != "itex"
        return (_delimited(body, display=display) if body else None), found.end(), False

    def _script(self, found: re.Match[str]) -> tuple[str | None, int, bool]:
        end = self._closed("script", found.end())
        if end is None:
            return None, found.end(), False
        body = self._html[found.end() : self._html.rindex("<", found.end(), end)].strip()
        body = body.removeprefix("<![CDATA[").removesuffix("]]>").removeprefix("% <![CDATA[").strip().removesuffix("%")
        if "math/mml" in found.group("script").lower():
            return _mathml(body), end, False
        display = bool(re.search(r"mode\s*=\s*display", found.group("script"), re.IGNORECASE))
        return _delimited(entities.unescape(body), display=display), end, False

    def _rendered(self, found: re.Match[str]) -> tuple[str | None, int, bool]:
        """The visual copy goes, if something else on the page says what it shows."""
        end = self._balanced(found.group("rendered").lower(), found.end())
        if end is None:
            return None, found.end(), False
        attributes = found.group("attributes")
        source = re.search(r"\bdata-mathml\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", attributes)
        if source is None and "katex-html" not in attributes and "data-mathml" in self._html[found.end() : end]:
            return "", found.end(), False  # a frame around the element that has it
        if source is None or "math/tex" in self._html[end : end + 300] or "math/mml" in self._html[end : end + 300]:
            return "", end, False
        return _mathml(entities.unescape(source.group(1) or source.group(2))), end, False

    def _closed(self, name: str, start: int) -> int | None:
        """Where the element that was opened before `start` ends; the first end tag of its name counts."""
        name = name.lower()
        if self._closes.get(name, (-1, -1))[0] < start:
            close = re.compile(rf"</{re.escape(name)}\s{{0,10}}>", re.IGNORECASE).search(self._html, start)
            self._closes[name] = close.span() if close else (len(self._html), -1)
        first, end = self._closes[name]
        return end if end >= 0 and first - start <= MAX_FORMULA else None

    def _balanced(self, name: str, start: int) -> int | None:
        """The same where elements of the name may stand within it."""
        depth = 1
        reach = min(len(self._html), start + MAX_FORMULA, start + self._budget)
        for tag in re.compile(rf"<(/?){name}\b", re.IGNORECASE).finditer(self._html, start, reach):
            depth += -1 if tag.group(1) else 1
            if depth == 0:
                self._budget -= tag.end() - start
                end = self._html.find(">", tag.end())
                return None if end < 0 else end + 1
        self._budget -= reach - start
        return None


def _mathml(markup: str, *, display: bool = False) -> str | None:
    if len(markup) > MAX_FORMULA:
        return None
    head = markup[: markup.find(">") + 1]
    display = display or bool(re.search(r"\b(?:display\s*=\s*[\"']?block|mode\s*=\s*[\"']?display)", head))
    note = _ANNOTATION.search(markup)
    tex = _plain(entities.unescape(_TAG.sub("", note.group("tex")))) if note else ""
    tex = tex or latex_of_mathml(markup)
    return _delimited(tex, display=display) if tex else ""


def _image(attributes: str) -> str | None:
    """The LaTeX of a picture of a formula, or None for any other picture."""
    found = {name.lower(): a or b or c for name, a, b, c in _ATTRIBUTE.findall(attributes)}
    alternative = entities.unescape(found.get("alt", "")).strip()
    names = found.get("class", "").lower()
    source = _SOURCES.search(entities.unescape(found.get("src", "")))
    named = "mwe-math" in names or names.split()[:1] in (["tex"], ["latex"])
    if named or (_DELIMITED.match(alternative) and _TEX.search(alternative)):
        tex = alternative
    elif source is not None:
        tex = unquote_plus(source.group("tex"))
    else:
        return None
    display = "display" in names and "inline" not in names
    return _delimited(_plain(tex), display=display) if _plain(tex) else ""


def _plain(tex: str) -> str:
    """TeX without delimiters and without the style that Wikipedia puts around it."""
    tex = tex.strip()
    if given := _DELIMITED.match(tex):
        tex = next(part for part in given.groups() if part is not None).strip()
    if styled := _STYLE.match(tex):
        body = styled.group("body")
        # The brace that opened before the style closes at the end only where braces balance without it.
        tex = body if tex.startswith("{") or not tex.endswith("}") else body + "}"
    return tex.strip()


def _delimited(tex: str, *, display: bool) -> str:
    """TeX in dollars, fit to stand in a page."""
    body = " ".join(tex.split()) if not display else tex.strip()
    sign = "$$" if display else "$"
    return entities.escape(f"{sign}{body}{sign}", quote=False)
