"""MathML (W3C, version 3, presentation and content) as LaTeX, element by element.

The markup is read by a tolerant scanner, not by an XML parser: pages hold it in HTML's syntax, with prefixes, without
end tags, with named entities. Formulas of more than `MAX_NODES` elements or deeper than `MAX_DEPTH` give their bare
text.
"""

from __future__ import annotations

import html as entities
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

MAX_NODES = 20_000
MAX_DEPTH = 120
_NEXT_ROW = " \\\\ "

_COMMANDS_TEXT = """
alpha α beta β gamma γ delta δ epsilon ϵ varepsilon ε zeta ζ eta η theta θ vartheta ϑ iota ι kappa κ lambda λ mu μ nu ν
xi ξ pi π varpi ϖ rho ρ varrho ϱ sigma σ varsigma ς tau τ upsilon υ phi ϕ varphi φ chi χ psi ψ omega ω Gamma Γ Delta Δ
Theta Θ Lambda Λ Xi Ξ Pi Π Sigma Σ Upsilon Υ Phi Φ Psi Ψ Omega Ω digamma ϝ mu µ
times × div ÷ pm ± mp ∓ cdot ⋅ cdot · ast ∗ star ⋆ circ ∘ bullet ∙ oplus ⊕ ominus ⊖ otimes ⊗ oslash ⊘ odot ⊙ dagger †
ddagger ‡ cap ∩ cup ∪ uplus ⊎ sqcap ⊓ sqcup ⊔ vee ∨ wedge ∧ setminus ∖ wr ≀ amalg ⨿ diamond ⋄
leq ≤ geq ≥ leqslant ⩽ geqslant ⩾ neq ≠ equiv ≡ approx ≈ cong ≅ sim ∼ simeq ≃ propto ∝ ll ≪ gg ≫ prec ≺ succ ≻ preceq ⪯
succeq ⪰ subset ⊂ supset ⊃ subseteq ⊆ supseteq ⊇ subsetneq ⊊ supsetneq ⊋ in ∈ ni ∋ notin ∉ perp ⊥ mid ∣ parallel ∥
models ⊨ vdash ⊢ dashv ⊣ asymp ≍ doteq ≐ triangleq ≜ nleq ≰ ngeq ≱ nmid ∤ nparallel ∦ nsubseteq ⊈ lesssim ≲ gtrsim ≳
sum ∑ prod ∏ coprod ∐ int ∫ iint ∬ iiint ∭ oint ∮ bigcap ⋂ bigcup ⋃ bigvee ⋁ bigwedge ⋀ bigoplus ⨁ bigotimes ⨂
to → gets ← leftrightarrow ↔ Rightarrow ⇒ Leftarrow ⇐ Leftrightarrow ⇔ uparrow ↑ downarrow ↓ updownarrow ↕ mapsto ↦
longrightarrow ⟶ longleftarrow ⟵ longleftrightarrow ⟷ Longrightarrow ⟹ Longleftarrow ⟸ Longleftrightarrow ⟺
longmapsto ⟼ hookrightarrow ↪ hookleftarrow ↩ nearrow ↗ searrow ↘ swarrow ↙ nwarrow ↖ rightharpoonup ⇀ leftharpoonup ↼
rightleftharpoons ⇌ Uparrow ⇑ Downarrow ⇓ twoheadrightarrow ↠ rightsquigarrow ⇝
infty ∞ partial ∂ nabla ∇ forall ∀ exists ∃ nexists ∄ emptyset ∅ neg ¬ angle ∠ measuredangle ∡ triangle △ square □
hbar ℏ ell ℓ Re ℜ Im ℑ wp ℘ aleph ℵ beth ℶ imath ı jmath ȷ top ⊤ therefore ∴ because ∵ complement ∁ surd √
ldots … cdots ⋯ vdots ⋮ ddots ⋱ langle ⟨ rangle ⟩ langle 〈 rangle 〉 lfloor ⌊ rfloor ⌋ lceil ⌈ rceil ⌉ Vert ‖
prime ′ backslash \\ checkmark ✓ spadesuit ♠ heartsuit ♡ diamondsuit ♢ clubsuit ♣ flat ♭ natural ♮ sharp ♯ degree °
blacksquare ■ bigstar ★ lozenge ◊ lnot ￢
"""
_pairs = _COMMANDS_TEXT.split()
COMMANDS: dict[str, str] = {sign: f"\\{name}" for name, sign in zip(_pairs[::2], _pairs[1::2], strict=True)}
"""LaTeX commands of characters beyond ASCII (and of the backslash)."""
COMMANDS |= {
    "°": "^{\\circ}", "−": "-", "‐": "-", "–": "-", "—": "-", "″": "''", "‴": "'''", "∶": ":", "∕": "/", "⁄": "/",
    "…": "\\ldots", "ℝ": "\\mathbb{R}", "ℂ": "\\mathbb{C}", "ℕ": "\\mathbb{N}", "ℤ": "\\mathbb{Z}",
    "ℚ": "\\mathbb{Q}", "ℙ": "\\mathbb{P}", "𝔼": "\\mathbb{E}", "ℍ": "\\mathbb{H}", "ⅆ": "d", "ⅇ": "e", "ⅈ": "i",
    "{": "\\{", "}": "\\}", "%": "\\%", "#": "\\#", "&": "\\&", "$": "\\$", "_": "\\_", "~": "\\sim", "^": "\\wedge",
    "\u00a0": "\\ ", "\u2061": "", "\u2062": "", "\u2063": "", "\u2064": "", "\u200b": "", "\ufeff": "", "ﬁ": "fi",
    "\u2003": "\\quad ", "\u2002": "\\enspace ", "\u2009": "\\,", "\u200a": "\\,", "\u2005": "\\;", "\u2004": "\\;",
}  # fmt: skip
_FUNCTION_NAMES = """
arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf ker lg lim liminf limsup ln log max min Pr
sec sin sinh sup tan tanh
"""
FUNCTIONS = frozenset(_FUNCTION_NAMES.split())
"""Names that LaTeX has a command for."""
_VARIANTS = {
    "bold": "mathbf", "double-struck": "mathbb", "script": "mathcal", "fraktur": "mathfrak", "sans-serif": "mathsf",
    "monospace": "mathtt", "bold-italic": "boldsymbol", "bold-script": "mathcal", "bold-fraktur": "mathfrak",
    "normal": "mathrm",
}  # fmt: skip
_STYLED = re.compile(r"MATHEMATICAL (BOLD|DOUBLE-STRUCK|SCRIPT|FRAKTUR|SANS-SERIF|MONOSPACE) ")
_STYLES = {
    "BOLD": "mathbf", "DOUBLE-STRUCK": "mathbb", "SCRIPT": "mathcal", "FRAKTUR": "mathfrak", "SANS-SERIF": "mathsf",
    "MONOSPACE": "mathtt",
}  # fmt: skip
_OVER = {
    "¯": "overline", "‾": "overline", "―": "overline", "_": "overline", "^": "hat", "ˆ": "hat", "̂": "hat",
    "~": "tilde", "˜": "tilde", "∼": "tilde", "→": "vec", "⃗": "vec", "⇀": "vec", "⟶": "overrightarrow",
    "←": "overleftarrow", "↔": "overleftrightarrow", "˙": "dot", ".": "dot", "¨": "ddot", "..": "ddot", "ˇ": "check",
    "˘": "breve", "´": "acute", "`": "grave", "⏞": "overbrace", "︷": "overbrace", "̄": "bar", "̇": "dot", "̈": "ddot",
    "-": "overline", "−": "overline",
}  # fmt: skip
_UNDER = {"_": "underline", "̲": "underline", "¯": "underline", "⏟": "underbrace", "︸": "underbrace"}
_FENCES = {"{": "\\{", "}": "\\}", "〈": "\\langle", "〉": "\\rangle", "‖": "\\Vert", "∥": "\\Vert"}
_VOID = frozenset({"mspace", "none", "mprescripts", "sep", "maligngroup", "malignmark"})
_PIECE = re.compile(
    r"<!--.{0,2000}?-->|<!\[CDATA\[(.{0,2000}?)\]\]>"
    r"|<(/?)([A-Za-z][\w:.-]{0,60})((?:[^<>\"']|\"[^\"]{0,2000}\"|'[^']{0,2000}'){0,300}?)(/?)>|([^<]+)|<",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"([A-Za-z_:-]{1,40})\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'>/]+))")

_INSIDE = r"\\begin\{matrix\}((?:(?!\\begin).)*?)\\end\{matrix\}"
_BINOMIAL = re.compile(r"\((\\binom\{[^{}]*\}\{[^{}]*\})\)")
_ENVIRONMENTS = tuple(
    (re.compile(pattern, re.DOTALL), environment)
    for pattern, environment in (
        (rf"\({_INSIDE}\)", "pmatrix"),
        (rf"\[{_INSIDE}\]", "bmatrix"),
        (rf"(?<!\|)\|{_INSIDE}\|", "vmatrix"),
        (rf"\\\{{{_INSIDE}(?!\\\}})", "cases"),
    )
)
"""What a table between brackets is in LaTeX."""


@dataclass(slots=True)
class Node:
    """An element, or a piece of text (with an empty name)."""

    name: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    children: list[Node] = field(default_factory=list)
    text: str = ""


class _TooLargeError(Exception):
    """More nodes or depth than are looked at."""


def latex_of_mathml(markup: str) -> str:
    """LaTeX of a `<math>` element, without delimiters.

    >>> latex_of_mathml("<math><mfrac><mi>a</mi><msqrt><mn>2</mn></msqrt></mfrac></math>")
    '\\\\frac{a}{\\\\sqrt{2}}'
    """
    try:
        written = latex(tree_of(markup)).strip()
    except _TooLargeError:
        return " ".join(entities.unescape(re.sub(r"<[^>]*>", " ", markup)).split())
    written = _BINOMIAL.sub(r"\1", written)  # MathML has its brackets beside the fraction, LaTeX in the command
    for pattern, environment in _ENVIRONMENTS:
        if "\\begin{matrix}" in written:
            written = pattern.sub(rf"\\begin{{{environment}}}\1\\end{{{environment}}}", written)
    return written


def tree_of(markup: str) -> Node:
    """The elements of a formula. End tags without a start are left out; what is never closed ends with its parent."""
    root = Node("math")
    stack = [root]
    nodes = 0
    for found in _PIECE.finditer(markup):
        data, closing, name, attributes, empty, text = found.groups()
        if name is None:
            text = (
                data if data is not None else entities.unescape(text) if text else "<" if found.group() == "<" else ""
            )
            if text.strip():
                stack[-1].children.append(Node("", text=text))
            continue
        name = name.rpartition(":")[2].lower()
        if closing:
            depth = next((d for d in range(len(stack) - 1, 0, -1) if stack[d].name == name), 0)
            if depth:
                del stack[depth:]
            continue
        nodes += 1
        if nodes > MAX_NODES or len(stack) > MAX_DEPTH:
            raise _TooLargeError
        node = Node(name, _attributes(attributes))
        stack[-1].children.append(node)
        if not empty and name not in _VOID:
            stack.append(node)
    return root


def _attributes(text: str) -> dict[str, str]:
    return {name.lower(): entities.unescape(a or b or c) for name, a, b, c in _ATTRIBUTE.findall(text)}


def latex(node: Node) -> str:
    """LaTeX of a node."""
    if not node.name:
        return letters(node.text)
    if node.name in _PRESENTATION:
        return _PRESENTATION[node.name](node)
    if node.name == "apply":
        return _applied(node)
    if node.name in _CONTENT:
        return _CONTENT[node.name](node)
    if node.name in _CONSTANTS:
        return _CONSTANTS[node.name]
    return joined([latex(child) for child in node.children])


def joined(parts: Sequence[str]) -> str:
    """Pieces one after the other, with a space where a command would run into a letter.

    >>> joined(["\\\\alpha", "x", "+", "1"])
    '\\\\alpha x+1'
    """
    whole = ""
    for part in parts:
        if part and part[0].isalpha() and re.search(r"\\[A-Za-z]+\Z", whole[-30:]):
            whole += " "
        whole += part
    return whole


def letters(text: str) -> str:
    """Characters as LaTeX: commands for those that have one, styled letters as plain ones."""
    parts = []
    for character in " ".join(text.split()):
        command = COMMANDS.get(character)
        if command is None and character > "\u02ff":
            plain = unicodedata.normalize("NFKC", character)
            command = joined([COMMANDS.get(part, part) for part in plain])
            style = _STYLED.match(unicodedata.name(character, ""))
            command = f"\\{_STYLES[style.group(1)]}{{{command}}}" if style else command
        parts.append(character if command is None else command)
    return joined(parts)


def grouped(text: str) -> str:
    """An argument: braces, unless it is one character or one command.

    >>> grouped("x"), grouped("12"), grouped("\\\\pi")
    ('x', '{12}', '\\\\pi')
    """
    if len(text) == 1 or re.fullmatch(r"\\[A-Za-z]+|\\[^A-Za-z]", text):
        return text
    return f"{{{text}}}"


def _text_of(node: Node) -> str:
    return node.text if not node.name else "".join(_text_of(child) for child in node.children)


def _base(node: Node) -> str:
    """What scripts are put on."""
    text = latex(node)
    atom = node.name in ("mi", "mo", "mn", "ci", "cn") and not text.startswith("-")
    fenced = text[:1] in "([|" and text[-1:] in ")]|"
    return text if text and (atom or fenced or re.fullmatch(r"\\[A-Za-z]+(?:\{[^{}]*\})?", text)) else grouped(text)


def _identifier(node: Node) -> str:
    raw = " ".join(_text_of(node).split())
    variant = node.attributes.get("mathvariant")
    if raw in FUNCTIONS:
        return f"\\{raw}"
    text = letters(raw)
    if variant in _VARIANTS and (variant != "normal" or (len(raw) > 1 and raw.isalpha())):
        return f"\\{_VARIANTS[variant]}{{{text}}}"
    if len(raw) > 1 and raw.isascii() and raw.isalpha():
        return f"\\operatorname{{{text}}}"
    return text


def _number(node: Node) -> str:
    return letters(_text_of(node))


def _operator(node: Node) -> str:
    raw = " ".join(_text_of(node).split())
    if raw in FUNCTIONS:
        return f"\\{raw}"
    if len(raw) > 1 and raw.isascii() and raw.isalpha():
        return f"\\operatorname{{{raw}}}"
    return letters(raw)


def _words(node: Node) -> str:
    """Text. White space at its ends is kept: it separates words from formulas."""
    raw = _text_of(node)
    bare = raw.strip()
    if bare in FUNCTIONS:
        return f"\\{bare}"
    if not bare:
        return "\\ " if raw else ""
    if not any(character.isalpha() for character in bare) or (len(bare) == 1 and bare in COMMANDS):
        return letters(bare)
    return "^{\\circ}".join(_text(piece) for piece in raw.split("°"))


def _text(raw: str) -> str:
    safe = "".join(f"\\{c}" if c in "{}%#&$_" else {"\\": "\\backslash "}.get(c, c) for c in raw)
    spaced = re.sub(r"\s+", " ", safe)
    return f"\\text{{{spaced}}}" if safe else ""


def _space(node: Node) -> str:
    width = re.match(r"\s*([\d.]+)\s*em", node.attributes.get("width", ""))
    if node.attributes.get("linebreak") == "newline":
        return "\\\\ "
    if width is None:
        return ""
    return "\\quad " if float(width.group(1)[:10].rstrip(".") or 0) >= 0.9 else "\\ "


def _row(node: Node) -> str:
    return joined([latex(child) for child in node.children])


def _child(node: Node, index: int) -> Node:
    """A child by place; an empty row where the markup has none."""
    elements = [child for child in node.children if child.name or child.text.strip()]
    return elements[index] if index < len(elements) else Node("mrow")


def _fraction(node: Node) -> str:
    above, below = latex(_child(node, 0)), latex(_child(node, 1))
    if re.match(r"\s*0(?:\D|\Z)", node.attributes.get("linethickness", "")):
        return f"\\binom{{{above}}}{{{below}}}"
    return f"\\frac{{{above}}}{{{below}}}"


def _root(node: Node) -> str:
    return f"\\sqrt[{latex(_child(node, 1))}]{{{latex(_child(node, 0))}}}"


def _script(sign: str, text: str) -> str:
    if not text:
        return ""
    if sign == "^" and re.fullmatch(r"(?:\\prime)+|'+", text):
        return "'" * (text.count("\\prime") or len(text))
    if text == "^{\\circ}":
        return text
    return f"{sign}{grouped(text)}"


def _scripts(node: Node) -> str:
    """msub, msup, msubsup, munderover: base, below, above."""
    below = latex(_child(node, 1)) if node.name != "msup" else ""
    above = latex(_child(node, {"msup": 1, "msub": 9}.get(node.name, 2)))
    return f"{_base(_child(node, 0))}{_script('_', below)}{_script('^', above)}"


def _under(node: Node) -> str:
    sign = _text_of(_child(node, 1)).strip()
    if sign in _UNDER:
        return f"\\{_UNDER[sign]}{{{latex(_child(node, 0))}}}"
    base = _base(_child(node, 0))
    below = latex(_child(node, 1))
    if base.startswith("\\"):  # limits and large operators take what stands below them
        return f"{base}{_script('_', below)}"
    return f"\\underset{{{below}}}{{{latex(_child(node, 0))}}}"


def _over(node: Node) -> str:
    sign = _text_of(_child(node, 1)).strip()
    base = latex(_child(node, 0))
    if sign in _OVER:
        name = _OVER[sign]
        wide = {"hat": "widehat", "tilde": "widetilde", "vec": "overrightarrow"}.get(name)
        return f"\\{wide if wide and len(_text_of(_child(node, 0))) > 1 else name}{{{base}}}"
    if base in ("\\sum", "\\prod", "\\int", "\\lim"):
        return f"{base}{_script('^', latex(_child(node, 1)))}"
    return f"\\overset{{{latex(_child(node, 1))}}}{{{base}}}"


def _multiscripts(node: Node) -> str:
    elements = [child for child in node.children if child.name]
    cut = next((place for place, child in enumerate(elements) if child.name == "mprescripts"), len(elements))
    before, after = elements[cut + 1 :], elements[1:cut]

    def pairs(scripts: list[Node]) -> str:
        below = joined([latex(child) for child in scripts[::2]])
        above = joined([latex(child) for child in scripts[1::2]])
        return f"{_script('_', below)}{_script('^', above)}"

    front = pairs(before)
    return f"{'{}' if front else ''}{front}{_base(elements[0]) if elements else ''}{pairs(after)}"


def _table(node: Node) -> str:
    rows = []
    for row in (child for child in node.children if child.name in ("mtr", "mlabeledtr")):
        cells = [child for child in row.children if child.name == "mtd"]
        rows.append(" & ".join(latex(cell).strip() for cell in cells[1 if row.name == "mlabeledtr" else 0 :]))
    return f"\\begin{{matrix}}{_NEXT_ROW.join(rows)}\\end{{matrix}}"


def _fenced(node: Node) -> str:
    opened, closed = (node.attributes.get(name, sign) for name, sign in (("open", "("), ("close", ")")))
    signs = "".join(node.attributes.get("separators", ",").split())
    elements = [child for child in node.children if child.name or child.text.strip()]
    parts = []
    for place, child in enumerate(elements):
        if place and signs:
            parts.append(letters(signs[min(place, len(signs)) - 1]))
        parts.append(latex(child))
    return joined([_FENCES.get(opened, letters(opened)), *parts, _FENCES.get(closed, letters(closed))])


def _enclosed(node: Node) -> str:
    notation = node.attributes.get("notation", "longdiv").split()
    body = _row(node)
    if "radical" in notation:
        return f"\\sqrt{{{body}}}"
    if {"updiagonalstrike", "downdiagonalstrike", "horizontalstrike"} & set(notation):
        return f"\\cancel{{{body}}}"
    if {"box", "circle", "roundedbox"} & set(notation):
        return f"\\boxed{{{body}}}"
    if "top" in notation:
        return f"\\overline{{{body}}}"
    return f"\\underline{{{body}}}" if "bottom" in notation else body


def _first(node: Node) -> str:
    return latex(_child(node, 0))


def _nothing(node: Node) -> str:
    return ""


_PRESENTATION: dict[str, Callable[[Node], str]] = {
    "math": _row, "mrow": _row, "mstyle": _row, "mpadded": _row, "merror": _row, "mtd": _row, "mphantom": _nothing,
    "mi": _identifier, "mn": _number, "mo": _operator, "mtext": _words, "ms": _words, "mspace": _space,
    "mfrac": _fraction, "msqrt": lambda node: f"\\sqrt{{{_row(node)}}}", "mroot": _root, "msub": _scripts,
    "msup": _scripts, "msubsup": _scripts, "munderover": _scripts, "munder": _under, "mover": _over,
    "mmultiscripts": _multiscripts, "mtable": _table, "mfenced": _fenced, "menclose": _enclosed, "maction": _first,
    "semantics": _first, "annotation": _nothing, "annotation-xml": _nothing, "none": _nothing, "mprescripts": _nothing,
    "maligngroup": _nothing, "malignmark": _nothing,
}  # fmt: skip

_INFIX = {
    "plus": "+", "times": " \\cdot ", "eq": "=", "neq": "\\neq ", "lt": "<", "gt": ">", "leq": "\\leq ",
    "geq": "\\geq ", "equivalent": "\\equiv ", "approx": "\\approx ", "and": "\\wedge ", "or": "\\vee ",
    "implies": "\\Rightarrow ", "in": "\\in ", "notin": "\\notin ", "subset": "\\subseteq ", "prsubset": "\\subset ",
    "union": "\\cup ", "intersect": "\\cap ", "setdiff": "\\setminus ", "cartesianproduct": "\\times ",
    "tendsto": "\\to ", "compose": "\\circ ", "vectorproduct": "\\times ", "scalarproduct": "\\cdot ",
    "factorof": "\\mid ", "rem": "\\bmod ", "xor": "\\oplus ",
}  # fmt: skip
_CONSTANTS = {
    "pi": "\\pi", "infinity": "\\infty", "exponentiale": "e", "imaginaryi": "i", "eulergamma": "\\gamma",
    "emptyset": "\\emptyset", "reals": "\\mathbb{R}", "integers": "\\mathbb{Z}", "naturalnumbers": "\\mathbb{N}",
    "rationals": "\\mathbb{Q}", "complexes": "\\mathbb{C}", "primes": "\\mathbb{P}", "true": "\\top", "false": "\\bot",
    "notanumber": "\\mathrm{NaN}",
}  # fmt: skip
_QUALIFIERS = ("bvar", "lowlimit", "uplimit", "interval", "condition", "domainofapplication", "degree", "logbase")
_PRODUCTS = {"times", "divide", "minus", "power"}


def _symbol(node: Node) -> str:
    """ci and csymbol: a name, or a formula that serves as one."""
    return _identifier(node) if all(not child.name for child in node.children) else _row(node)


def _literal(node: Node) -> str:
    """cn: a number in one of content MathML's notations."""
    parts = [letters(child.text.strip()) for child in node.children if not child.name]
    if len(parts) == 2:
        kind = node.attributes.get("type")
        if kind == "rational":
            return f"\\frac{{{parts[0]}}}{{{parts[1]}}}"
        if kind == "e-notation":
            return f"{parts[0]} \\cdot 10^{grouped(parts[1])}"
        if kind == "complex-cartesian":
            return f"{parts[0]}+{parts[1]}i"
    return joined(parts) if all(not child.name for child in node.children) or parts else _row(node)


def _operand(node: Node, operator: str) -> str:
    """An argument of an operator, in brackets where it would be read otherwise."""
    text = latex(node)
    inner = node.children[0].name if node.name == "apply" and node.children else ""
    loose = inner in _INFIX or inner == "minus"
    binds = operator in _PRODUCTS and not (operator == "times" and inner == "times")
    return (
        f"({text})" if loose and (binds or (operator not in ("eq", "plus") and inner == operator == "minus")) else text
    )


def _applied(node: Node) -> str:
    """apply: an operator with its qualifiers and arguments."""
    elements = [child for child in node.children if child.name]
    if not elements:
        return ""
    operator, rest = elements[0], elements[1:]
    name = operator.name
    qualifiers = {child.name: child for child in rest if child.name in _QUALIFIERS}
    arguments = [
        child for child in rest if child.name not in _QUALIFIERS or name in ("tendsto", "in", "union", "intersect")
    ]
    texts = [_operand(argument, name) for argument in arguments]
    if name in _INFIX:
        return joined([part for place, text in enumerate(texts) for part in ([_INFIX[name]] if place else []) + [text]])
    first = texts[0] if texts else ""
    second = texts[1] if len(texts) > 1 else ""
    if name == "minus":
        return joined([first, "-", second]) if second else f"-{first}"
    if name == "divide":
        return f"\\frac{{{_bare(arguments, 0)}}}{{{_bare(arguments, 1)}}}"
    if name == "power":
        return f"{first if len(first) == 1 or first.startswith('(') else grouped(first)}^{grouped(_bare(arguments, 1))}"
    if name == "root":
        degree = latex(_child(qualifiers["degree"], 0)) if "degree" in qualifiers else ""
        return f"\\sqrt{f'[{degree}]' if degree and degree != '2' else ''}{{{_bare(arguments, 0)}}}"
    around = {"abs": ("|", "|"), "floor": ("\\lfloor ", "\\rfloor"), "ceiling": ("\\lceil ", "\\rceil"),
              "card": ("|", "|")}.get(name)  # fmt: skip
    if around is not None:
        return f"{around[0]}{_bare(arguments, 0)}{around[1]}"
    after = {"factorial": "!", "conjugate": "^*", "transpose": "^T", "inverse": "^{-1}"}.get(name)
    if after is not None:
        return f"{first if len(first) == 1 or first.startswith('(') else f'({first})'}{after}"
    if name in ("int", "sum", "product", "limit"):
        return _bounded(name, qualifiers, _bare(arguments, 0))
    if name in ("diff", "partialdiff"):
        return _derivative(name, qualifiers, _bare(arguments, 0))
    before = {"not": "\\neg ", "forall": "\\forall ", "exists": "\\exists ", "grad": "\\nabla ",
              "curl": "\\nabla\\times ", "divergence": "\\nabla\\cdot ",
              "laplacian": "\\nabla^2 "}.get(name)  # fmt: skip
    if before is not None:
        bound = latex(_child(qualifiers["bvar"], 0)) if "bvar" in qualifiers else ""
        return f"{before}{f'{bound}: ' if bound else ''}{first}"
    if name == "log" and "logbase" in qualifiers:
        return f"\\log_{grouped(latex(_child(qualifiers['logbase'], 0)))}({_bare(arguments, 0)})"
    head = f"\\{name}" if name in FUNCTIONS else latex(operator) or f"\\operatorname{{{letters(name)}}}"
    return f"{head}({', '.join(latex(argument) for argument in arguments)})"


def _bare(arguments: Sequence[Node], place: int) -> str:
    return latex(arguments[place]) if place < len(arguments) else ""


def _bounded(name: str, qualifiers: Mapping[str, Node], body: str) -> str:
    bound = latex(_child(qualifiers["bvar"], 0)) if "bvar" in qualifiers else ""
    low = latex(_child(qualifiers["lowlimit"], 0)) if "lowlimit" in qualifiers else ""
    high = latex(_child(qualifiers["uplimit"], 0)) if "uplimit" in qualifiers else ""
    if "interval" in qualifiers:
        low, high = latex(_child(qualifiers["interval"], 0)), latex(_child(qualifiers["interval"], 1))
    if "condition" in qualifiers:
        low = latex(_child(qualifiers["condition"], 0))
    if name == "limit":
        below = low if "condition" in qualifiers else f"{bound}\\to {low}"
        return f"\\lim_{grouped(below)} {body}"
    if name == "int":
        return joined([f"\\int{_script('_', low)}{_script('^', high)} {body}", f"\\, d{bound}" if bound else ""])
    below = f"{bound}={low}" if bound and low and "condition" not in qualifiers else low or bound
    return f"\\{'sum' if name == 'sum' else 'prod'}{_script('_', below)}{_script('^', high)} {body}"


def _derivative(name: str, qualifiers: Mapping[str, Node], body: str) -> str:
    sign = "d" if name == "diff" else "\\partial "
    if "bvar" not in qualifiers:
        return f"{grouped(body) if len(body) > 1 else body}'"
    bound = qualifiers["bvar"]
    degree = next((latex(_child(child, 0)) for child in bound.children if child.name == "degree"), "")
    power = f"^{grouped(degree)}" if degree and degree != "1" else ""
    variable = latex(next((child for child in bound.children if child.name and child.name != "degree"), Node("mrow")))
    return f"\\frac{{{sign.strip()}{power}}}{{{sign}{variable}{power}}}{body if len(body) == 1 else f'({body})'}"


def _list(opened: str, closed: str) -> Callable[[Node], str]:
    def write(node: Node) -> str:
        return f"{opened}{', '.join(latex(child) for child in node.children if child.name)}{closed}"

    return write


def _interval(node: Node) -> str:
    closure = node.attributes.get("closure", "closed")
    opened = "(" if closure in ("open", "open-closed") else "["
    closed = ")" if closure in ("open", "closed-open") else "]"
    return _list(opened, closed)(node)


def _matrix(node: Node) -> str:
    rows = [child for child in node.children if child.name == "matrixrow"]
    lines = [" & ".join(latex(cell) for cell in row.children if cell.name) for row in rows]
    return f"\\begin{{pmatrix}}{_NEXT_ROW.join(lines)}\\end{{pmatrix}}"


def _vector(node: Node) -> str:
    entries = [latex(child) for child in node.children if child.name]
    return f"\\begin{{pmatrix}}{_NEXT_ROW.join(entries)}\\end{{pmatrix}}"


def _piecewise(node: Node) -> str:
    lines = []
    for piece in (child for child in node.children if child.name in ("piece", "otherwise")):
        condition = latex(_child(piece, 1)) if piece.name == "piece" else "\\text{otherwise}"
        lines.append(f"{latex(_child(piece, 0))} & {condition}")
    return f"\\begin{{cases}}{_NEXT_ROW.join(lines)}\\end{{cases}}"


def _lambda(node: Node) -> str:
    bound = [latex(_child(child, 0)) for child in node.children if child.name == "bvar"]
    body = [latex(child) for child in node.children if child.name and child.name != "bvar"]
    return f"{', '.join(bound)} \\mapsto {joined(body)}"


_CONTENT: dict[str, Callable[[Node], str]] = {
    "ci": _symbol, "csymbol": _symbol, "cn": _literal, "set": _list("\\{", "\\}"), "list": _list("(", ")"),
    "interval": _interval, "matrix": _matrix, "vector": _vector, "piecewise": _piecewise, "lambda": _lambda,
    "reln": _applied, "declare": _nothing,
}  # fmt: skip
