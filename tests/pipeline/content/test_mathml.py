"""Mathematics as LaTeX: every element of MathML, the kinds of pages, and latex2mathml as the oracle of both ways."""

from __future__ import annotations

import html as entities
import re
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from latex2mathml.converter import convert

from corpusmill.pipeline.content.mathml import math_as_text
from corpusmill.pipeline.content.mathml_elements import latex_of_mathml
from corpusmill.pipeline.extraction import Engine, Extracted, Extraction

PRESENTATION = [
    ("<mi>x</mi>", "x"),
    ("<mi>sin</mi><mi>x</mi>", r"\sin x"),
    ("<mi>rank</mi>", r"\operatorname{rank}"),
    ("<mi mathvariant='bold'>v</mi>", r"\mathbf{v}"),
    ("<mi>ℝ</mi><mo>∋</mo><mi>α</mi>", r"\mathbb{R}\ni\alpha"),
    ("<mi>𝑥</mi><mo>=</mo><mi>𝜋</mi>", r"x=\pi"),
    ("<mn>3.14</mn>", "3.14"),
    ("<mo>&le;</mo><mo>&#x2212;</mo><mo>&InvisibleTimes;</mo>", r"\leq-"),
    ("<mtext>if </mtext><mi>n</mi>", r"\text{if }n"),
    ("<mtext>50%_</mtext>", r"50\%\_"),
    ("<ms>abc</ms>", r"\text{abc}"),
    ("<mi>a</mi><mspace width='2em'/><mi>b</mi>", r"a\quad b"),
    ("<mfrac><mi>a</mi><mrow><mi>b</mi><mo>+</mo><mn>1</mn></mrow></mfrac>", r"\frac{a}{b+1}"),
    ("<mfrac linethickness='0'><mi>n</mi><mi>k</mi></mfrac>", r"\binom{n}{k}"),
    ("<msqrt><mn>2</mn><mi>x</mi></msqrt>", r"\sqrt{2x}"),
    ("<mroot><mi>x</mi><mn>3</mn></mroot>", r"\sqrt[3]{x}"),
    ("<msub><mi>a</mi><mn>12</mn></msub>", "a_{12}"),
    ("<msup><mi>f</mi><mo>′</mo></msup>", "f'"),
    ("<msup><mrow><mi>a</mi><mo>+</mo><mi>b</mi></mrow><mn>2</mn></msup>", "{a+b}^2"),
    ("<msubsup><mo>∫</mo><mn>0</mn><mi>∞</mi></msubsup>", r"\int_0^\infty"),
    ("<munder><mi>lim</mi><mrow><mi>x</mi><mo>→</mo><mn>0</mn></mrow></munder>", r"\lim_{x\to0}"),
    ("<munder><mi>x</mi><mo>_</mo></munder>", r"\underline{x}"),
    ("<munder><mi>A</mi><mi>B</mi></munder>", r"\underset{B}{A}"),
    ("<mover><mi>x</mi><mo>¯</mo></mover>", r"\overline{x}"),
    ("<mover><mi>v</mi><mo>→</mo></mover>", r"\vec{v}"),
    ("<mover><mrow><mi>A</mi><mi>B</mi></mrow><mo>^</mo></mover>", r"\widehat{AB}"),
    ("<mover><mo>=</mo><mi>d</mi></mover>", r"\overset{d}{=}"),
    ("<munderover><mo>∑</mo><mrow><mi>i</mi><mo>=</mo><mn>1</mn></mrow><mi>n</mi></munderover>", r"\sum_{i=1}^n"),
    ("<mmultiscripts><mi>C</mi><mi>k</mi><none/><mprescripts/><none/><mi>n</mi></mmultiscripts>", "{}^nC_k"),
    ("<mtable><mtr><mtd><mn>1</mn></mtd><mtd><mn>2</mn></mtd></mtr><mtr><mtd><mn>3</mn></mtd><mtd/></mtr></mtable>",
     r"\begin{matrix}1 & 2 \\ 3 & \end{matrix}"),
    ("<mo>(</mo><mtable><mtr><mtd><mn>1</mn></mtd></mtr></mtable><mo>)</mo>", r"\begin{pmatrix}1\end{pmatrix}"),
    ("<mo>[</mo><mtable><mtr><mtd><mn>1</mn></mtd></mtr></mtable><mo>]</mo>", r"\begin{bmatrix}1\end{bmatrix}"),
    ("<mo>|</mo><mtable><mtr><mtd><mn>1</mn></mtd></mtr></mtable><mo>|</mo>", r"\begin{vmatrix}1\end{vmatrix}"),
    ("<mo>{</mo><mtable><mtr><mtd><mn>1</mn></mtd></mtr></mtable>", r"\begin{cases}1\end{cases}"),
    ("<mtable><mlabeledtr><mtd><mtext>(1)</mtext></mtd><mtd><mi>x</mi></mtd></mlabeledtr></mtable>",
     r"\begin{matrix}x\end{matrix}"),
    ("<mfenced><mi>a</mi><mi>b</mi></mfenced>", "(a,b)"),
    ("<mfenced open='{' close=']' separators=';'><mi>a</mi><mi>b</mi></mfenced>", r"\{a;b]"),
    ("<msup><mrow><mo>(</mo><mi>a</mi><mo>)</mo></mrow><mi>n</mi></msup>", "(a)^n"),
    ("<mo>(</mo><mfrac linethickness='0pt'><mi>n</mi><mi>k</mi></mfrac><mo>)</mo>", r"\binom{n}{k}"),
    ("<mi>𝐯</mi><mtext>85°C</mtext>", r"\mathbf{v}\text{85}^{\circ}\text{C}"),
    ("<menclose notation='box'><mi>a</mi></menclose>", r"\boxed{a}"),
    ("<menclose notation='updiagonalstrike'><mi>a</mi></menclose>", r"\cancel{a}"),
    ("<menclose notation='radical'><mi>a</mi></menclose>", r"\sqrt{a}"),
    ("<mstyle><mpadded><mi>a</mi></mpadded></mstyle><mphantom><mi>b</mi></mphantom><merror><mi>c</mi></merror>", "ac"),
    ("<maction><mi>a</mi><mi>b</mi></maction>", "a"),
    ("<semantics><mi>a</mi><annotation>text</annotation></semantics>", "a"),
]  # fmt: skip
CONTENT = [
    ("<apply><plus/><ci>a</ci><apply><minus/><ci>b</ci></apply></apply>", "a+-b"),
    ("<apply><times/><apply><plus/><ci>a</ci><cn>1</cn></apply><ci>b</ci></apply>", r"(a+1) \cdot b"),
    ("<apply><divide/><cn>1</cn><apply><power/><ci>x</ci><cn>2</cn></apply></apply>", r"\frac{1}{x^2}"),
    ("<apply><root/><degree><cn>3</cn></degree><ci>x</ci></apply>", r"\sqrt[3]{x}"),
    ("<apply><root/><ci>x</ci></apply>", r"\sqrt{x}"),
    ("<apply><eq/><apply><sin/><pi/></apply><cn>0</cn></apply>", r"\sin(\pi)=0"),
    ("<apply><ci>f</ci><ci>x</ci><ci>y</ci></apply>", "f(x, y)"),
    ("<apply><abs/><ci>x</ci></apply>", "|x|"),
    ("<apply><factorial/><ci>n</ci></apply>", "n!"),
    ("<apply><int/><bvar><ci>x</ci></bvar><lowlimit><cn>0</cn></lowlimit><uplimit><infinity/></uplimit>"
     "<ci>f</ci></apply>", r"\int_0^\infty f\, dx"),
    ("<apply><sum/><bvar><ci>i</ci></bvar><lowlimit><cn>1</cn></lowlimit><uplimit><ci>n</ci></uplimit>"
     "<ci>i</ci></apply>", r"\sum_{i=1}^n i"),
    ("<apply><limit/><bvar><ci>x</ci></bvar><lowlimit><cn>0</cn></lowlimit><ci>f</ci></apply>", r"\lim_{x\to 0} f"),
    ("<apply><diff/><bvar><ci>x</ci><degree><cn>2</cn></degree></bvar><ci>f</ci></apply>", r"\frac{d^2}{dx^2}f"),
    ("<apply><partialdiff/><bvar><ci>x</ci></bvar><ci>f</ci></apply>", r"\frac{\partial}{\partial x}f"),
    ("<apply><log/><logbase><cn>2</cn></logbase><ci>x</ci></apply>", r"\log_2(x)"),
    ("<apply><in/><ci>x</ci><interval closure='open'><cn>0</cn><cn>1</cn></interval></apply>", r"x\in (0, 1)"),
    ("<apply><forall/><bvar><ci>x</ci></bvar><ci>P</ci></apply>", r"\forall x: P"),
    ("<set><ci>a</ci><ci>b</ci></set>", r"\{a, b\}"),
    ("<cn type='rational'>1<sep/>2</cn><cn type='e-notation'>1.5<sep/>12</cn>", r"\frac{1}{2}1.5 \cdot 10^{12}"),
    ("<matrix><matrixrow><cn>1</cn><cn>2</cn></matrixrow></matrix>", r"\begin{pmatrix}1 & 2\end{pmatrix}"),
    ("<vector><cn>1</cn><cn>2</cn></vector>", r"\begin{pmatrix}1 \\ 2\end{pmatrix}"),
    ("<piecewise><piece><cn>0</cn><ci>a</ci></piece><otherwise><cn>1</cn></otherwise></piecewise>",
     r"\begin{cases}0 & a \\ 1 & \text{otherwise}\end{cases}"),
    ("<lambda><bvar><ci>x</ci></bvar><ci>x</ci></lambda>", r"x \mapsto x"),
    ("<ci><msub><mi>x</mi><mn>1</mn></msub></ci>", "x_1"),
]  # fmt: skip
FORMULAS = [
    r"x^2+y^2=z^2", r"\frac{a+b}{\sqrt{c}}", r"\sum_{i=1}^{n}i^2", r"\int_{0}^{\infty}e^{-x^2}dx", r"\sqrt[3]{x+1}",
    r"\alpha\beta\leq\gamma", r"\lim_{x\to0}\frac{\sin x}{x}=1", r"a_{i,j}^{2}", r"\binom{n}{k}", r"f'(x)",
    r"\begin{pmatrix}1 & 2 \\ 3 & 4\end{pmatrix}", r"\begin{cases}x & y \\ z & w\end{cases}", r"\forall x\in\mathbb{R}",
    r"\nabla\times F", r"\hat{x}+\vec{v}", r"\overline{AB}", r"\text{if }x>0", r"\mathbf{v}\cdot\mathbf{w}",
    r"\partial_{t}u=\kappa\Delta u", r"|x-a|<\delta", r"\{x:x\neq0\}", r"\log_{2}n", r"A\cup B\subseteq C",
    r"90^{\circ}",    r"\prod_{k=1}^{n}k=n!", r"\left\lfloor x\right\rfloor", r"a\equiv b\pmod{n}",
    r"\underbrace{a+b}_{c}", r"\oint_{C}F\cdot dr", r"\ldots+\cdots", r"\hbar\omega", r"x\mapsto x^{2}",
    r"\ell\wedge m",
]  # fmt: skip


def canonical(mathml: str) -> str:
    """A formula's elements and texts, without attributes, rows and spaces, which do not tell formulas apart."""

    def write(node: ElementTree.Element) -> str:
        name = node.tag.rpartition("}")[2]
        inner = (node.text or "").strip() + "".join(write(child) for child in node)
        if name in ("math", "mrow", "mstyle"):
            return inner
        return "" if name == "mspace" or not inner else f"<{name}>{inner}</{name}>"

    return re.sub(r"</?(?:mi|mo|mn|mtext)>|\s", "", write(ElementTree.fromstring(mathml)))


@pytest.mark.parametrize(("markup", "written"), PRESENTATION + CONTENT)
def test_an_element_is_written_as_latex(markup: str, written: str) -> None:
    assert latex_of_mathml(f"<math>{markup}</math>") == written
    prefixed = re.sub(r"<(/?)(?=[a-z])", r"<\1m:", markup)
    assert latex_of_mathml(f"<m:math xmlns:m='http://www.w3.org/1998/Math/MathML'>{prefixed}</m:math>") == written


@pytest.mark.parametrize("formula", FORMULAS)
def test_latex_survives_the_way_through_mathml(formula: str) -> None:
    mathml = convert(formula)
    again = latex_of_mathml(mathml)
    assert canonical(convert(again)) == canonical(mathml), again


@pytest.mark.realdata
def test_every_formula_of_a_textbook_keeps_its_letters(realdata: Path) -> None:
    """Of each formula, what latex2mathml reads in our LaTeX has the letters, digits and signs of the book's MathML."""
    modules = sorted((realdata / "text/math_openstax_calculus_cnxml/modules").glob("*/index.cnxml"))[::8]
    formulas = [
        formula
        for path in modules
        for formula in re.findall(r"<m:math.*?</m:math>", path.read_text("utf-8"), re.DOTALL)
    ]
    kinds = Counter(kind for formula in formulas for kind in re.findall(r"<m:(\w+)", formula))
    assert {"mfrac", "msqrt", "mroot", "msubsup", "munderover", "mtable", "mover", "mtext"} <= set(kinds)
    # Fences are attributes, and signs above letters become commands: both are tested by element.
    chosen = [formula for formula in formulas[::4] if not re.search("mfenced|mover>", formula)]
    assert len(chosen) > 1000
    lost = []
    for formula in chosen:
        ours = latex_of_mathml(formula)
        if letters_of(convert(ours)) != letters_of(formula):
            lost.append((ours, letters_of(formula)))
    assert len(lost) <= len(chosen) // 200, lost[:10]


def letters_of(mathml: str) -> list[str]:
    """Letters, digits and signs, in any order: brackets of tables and accents stand elsewhere in LaTeX."""
    text = entities.unescape(re.sub(r"<[^>]*>", "", mathml))
    one, other = "−–‐⟶⋅ˉ―‾⃗ϕε∘∣‖∥^µ⋯△□", "---→·¯¯¯→φϵ°|||ˆμ…Δ■"
    same = text.translate(str.maketrans(one, other))
    left_out = "\u2061\u2062\u2063\u00a0\u200b\ufeff.'′⟨⟩〈〉\u2329\u232a"
    return sorted(character for character in same if not character.isspace() and character not in left_out)


PAGES = [
    ("<p>a <math><mi>x</mi></math> b</p>", "<p>a $x$ b</p>"),
    ("<math display='block'><mi>x</mi><mo>&lt;</mo><mi>y</mi></math>", "$$x&lt;y$$"),
    ("<MATH><MI>x</MI></MATH>", "$x$"),
    ("<math><semantics><mi>x</mi><annotation encoding='application/x-tex'>\\xi &lt; 1</annotation></semantics></math>",
     r"$\xi &lt; 1$"),
    ("<script type='math/tex'>x^2</script>", "$x^2$"),
    ('<script type="math/tex; mode=display" id="a">% <![CDATA[\na<b %]]></script>', "$$a&lt;b$$"),
    ("<script type='math/mml'><math><mn>1</mn></math></script>", "$1$"),
    ("<span class='MathJax_Preview'>x2</span><span class='MathJax' id='a'><nobr><span>x</span><span>2</span></nobr>"
     "</span><script type='math/tex'>x^2</script>", "$x^2$"),
    ('<div class="MathJax_Display"><span class="MathJax" data-mathml="&lt;math&gt;&lt;mi&gt;y&lt;/mi&gt;&lt;/math&gt;">'
     "<nobr>y</nobr></span></div>", "$y$</div>"),
    ("<mjx-container display='true'><mjx-math>xyz</mjx-math><mjx-assistive-mml><math><mi>z</mi></math>"
     "</mjx-assistive-mml></mjx-container>", "$$z$$"),
    ("<span class='katex'><span class='katex-mathml'><math><mi>k</mi></math></span>"
     "<span class='katex-html' aria-hidden='true'><span>k</span></span></span>",
     "<span class='katex'><span class='katex-mathml'>$k$</span></span>"),
    ('<span style="display: none;"><math><mi>a</mi></math></span>'
     '<img class="mwe-math-fallback-image-inline" alt="{\\displaystyle a}">',
     '<span style="display: none;"></span>$a$'),
    ('<img class="mwe-math-fallback-image-display" alt="{\\displaystyle {\\frac {a}{b}}}"/>', r"$${\frac {a}{b}}$$"),
    ('<img class="latex" src="//s0.wp.com/latex.php?latex=x" alt="x&gt;1">', "$x&gt;1$"),
    ('<img src="https://latex.codecogs.com/gif.latex?x%5E2+1">', "$x^2 1$"),
    ('<img alt="$a_1$" src="f.png">', "$a_1$"),
    ("[itex]x_1[/itex] and [tex]y[/tex]", "$x_1$ and $$y$$"),
]  # fmt: skip
UNTOUCHED = [
    "<p>\\(x\\) and \\[y\\] and $z$ and $$w$$</p>",
    "<img alt='$5 a piece' src='a.png'><math",
    "<img alt='a photo of latex gloves' class='latex-gloves'>",
    "<img class='logo' alt='LaTeX'>",
    "<math><mi>never closed",
    "<script type='math/tex'>never closed",
    "<script src='mathjax.js'>var a = '<math>';</script>",
    "<mjx-container><mjx-math>x</mjx-math></mjx-container>",
    "<p>latex</p>",
    "[itex][/itex]",
]


@pytest.mark.parametrize(("page", "written"), PAGES)
def test_mathematics_of_a_page_becomes_text(page: str, written: str) -> None:
    assert math_as_text(page) == written


@pytest.mark.parametrize("page", UNTOUCHED)
def test_what_is_no_mathematics_or_cannot_be_read_stays(page: str) -> None:
    assert math_as_text(page) == page


@pytest.mark.realdata
def test_real_pages_keep_their_formulas_and_lose_their_pictures(realdata: Path) -> None:
    wikipedia = (realdata / "web/trafilatura_eval_html/cache/en.wikipedia.org.tsne.html").read_text("utf-8")
    written = math_as_text(wikipedia)
    assert wikipedia.count("<math ") == written.count("$") // 2 > 20
    assert "mwe-math-fallback" not in written
    assert r"$p_{j\mid i}" in written
    mathjax = (realdata / "web/mozilla_readability_pages/test-pages/mathjax/source.html").read_text("utf-8")
    assert "<math" in mathjax
    assert "<math" not in math_as_text(mathjax)
    assert math_as_text(mathjax).count("$") >= 2


@given(st.lists(st.sampled_from(
    ["<math>", "</math>", "<mi>", "</mi>", "<mfrac>", "<msup>", "<mtable>", "<mtr>", "<apply>", "<plus/>",
     "<int/>",
     "<bvar>",     "<annotation encoding='tex'>", "<", ">", "'", "x", "&lt;", "<span class='MathJax'>",
     "<span>", "</span>",
     "<script type='math/tex'>", "</script>", "<img class='tex' alt='", "<!--", "<![CDATA[", "]]>", "<mroot/>",
     "<cn>"]),
    max_size=25).map("".join))  # fmt: skip
@settings(max_examples=500)
def test_no_page_ends_in_an_exception(page: str) -> None:
    assert len(math_as_text(page)) <= 20 * len(page) + 100


@pytest.mark.parametrize(
    "unit",
    ["<math>", "<math ", "<math><mrow>", "<msup>", "<math><!--", "<math a='", "<img alt='$", "<span class='MathJax'>",
     "<span class='MathJax'", "<mjx-container><math>", "<script type='math/tex'>", "<math></math>", "[itex]x",
     "<annotation encoding='tex'>", "<math><annotation encoding='tex'>x</math>",
     "<span class='katex-html'><span></span>"],
)  # fmt: skip
def test_hostile_pages_take_time_that_grows_with_their_length_only(unit: str) -> None:
    page = "<math>" + unit * (1_000_000 // len(unit))
    start = time.process_time()
    math_as_text(page)
    math_as_text(page + "</math></script></span></mjx-container>")
    assert time.process_time() - start < 8


def test_a_formula_nested_without_end_gives_its_bare_text() -> None:
    assert latex_of_mathml("<math>" + "<mrow>" * 500 + "<mi>x</mi>") == "x"
    assert math_as_text("<math>" + "<mfrac>" * 5000 + "y</math>") == "$y$"


@pytest.mark.realdata
@pytest.mark.parametrize("engine", ["content", "resiliparse", "resiliparse_all"])
def test_formulas_survive_extraction_as_latex(realdata: Path, engine: Engine) -> None:
    page = (realdata / "web/trafilatura_eval_html/cache/en.wikipedia.org.tsne.html").read_bytes()
    plain, kept = (
        Extraction(engine=engine, math=math).extract(page, "text/html; charset=utf-8") for math in (False, True)
    )
    assert isinstance(plain, Extracted)
    assert isinstance(kept, Extracted)
    assert plain.text.count("$") == 0
    assert kept.text.count("$") == 2 * 34
    assert r"$p_{j\mid i}={\frac {\exp(-\lVert \mathbf {x} _{i}-\mathbf {x} _{j}\rVert ^{2}" in kept.text
