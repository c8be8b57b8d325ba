"""What the chains for code, mathematics and books decide, on labelled or planted real data, and how fast.

Labels are SPDX's own variants, notices and file headings, a textbook's formulas, sources known to be mathematics or
not, and passages of books with letters misread on purpose.

    figure license_right          share of labelled licence variants, notices and files that are told as labelled
    figure license_wrong          share of them that are told as another licence
    figure mathml_letters_kept    share of a textbook's formulas that keep each letter and digit as LaTeX
    figure math_kept              least share of documents kept by math_density in the mathematical sources
    figure math_kept_elsewhere    greatest share kept in the others
    figure ocr_noise_recall       share of spoilt passages of books that ocr_noise drops
    figure ocr_noise_false        share of clean ones that it drops
    figure c4_bad_words_vs_datatrove  how many times as fast as datatrove's filter
    figure code_mb_per_s          the five filters of the code recipe together, one core
    figure mathml_mb_per_s        markup of a textbook's formulas to LaTeX
"""

from __future__ import annotations

import html
import json
import random
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
from datatrove.data import Document
from datatrove.pipeline.filters import c4_filters
from harness import Benchmark, race, table
from prose import prose

from corpusmill.documents.batch import TextBatch
from corpusmill.filters.books import OcrNoise
from corpusmill.filters.c4_bad_words import C4BadWords
from corpusmill.filters.code_encoded import CodeEncoded
from corpusmill.filters.code_formats import CodeFormats
from corpusmill.filters.code_language import CodeLanguage
from corpusmill.filters.code_license import CodeLicense
from corpusmill.filters.code_lines import CodeLines
from corpusmill.filters.contract import Filter
from corpusmill.filters.licenses import prints
from corpusmill.filters.math_density import MathDensity
from corpusmill.pipeline.content.mathml import math_as_text
from corpusmill.pipeline.content.mathml_elements import latex_of_mathml

_CODE = (CodeLanguage(), CodeLicense(), CodeFormats(), CodeLines(), CodeEncoded())
_SWAPS = {"e": "c", "l": "1", "o": "0", "i": ";", "m": "ni", "h": "li", "t": "^", "s": "5", "a": "*", "r": ","}
_COMMAND = re.compile(r"\\[A-Za-z]+")
_NAMED = re.compile(r"\\((?:arc)?(?:sin|cos|tan)h?|sec|csc|cot|coth|ln|log|lim|max|min|exp|inf|sup|det)(?![A-Za-z])")


def accuracy(benchmark: Benchmark) -> list[str]:
    """Licences, formulas, mathematical documents and scans."""
    data = benchmark.real_data()
    return [
        "### Chains for code, mathematics and books",
        *_licenses(benchmark, data),
        *_formulas(benchmark, data),
        *_mathematics(benchmark, data),
        *_scans(benchmark, data),
    ]


def speed(benchmark: Benchmark) -> list[str]:
    """The code filters together and apart, bad words beside datatrove's filter, formulas."""
    data = benchmark.real_data()
    quick = benchmark.quick
    sources = [path for path in sorted(Path(pa.__file__).parents[1].glob("[dns]*/**/*.py")) if path.stat().st_size]
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in sources[: 150 if quick else 3000]]
    names = pa.array([json.dumps({"path": path.name}) for path in sources[: len(texts)]], pa.string())
    documents = TextBatch.of_texts(texts).with_column("metadata", names).documents
    mb = sum(len(text.encode()) for text in texts) / 1e6
    rounds = 2 if quick else 5

    def judged(*stages: Filter) -> Callable[[], object]:
        def run() -> None:
            batch = TextBatch(documents)
            for stage in stages:
                stage.judge(stage.measure(batch))

        return run

    contenders = {"all five": judged(*_CODE)} | {stage.name: judged(stage) for stage in _CODE}
    timings = race(contenders, rounds, clock=time.process_time)
    rows: list[list[object]] = [[name, mb / timings.median(name)] for name in contenders]
    benchmark.figure("code_mb_per_s", mb / timings.median("all five"))
    formulas = _textbook(data)[: 300 if quick else 8000]
    markup = sum(map(len, formulas)) / 1e6
    pages = [
        path.read_text(encoding="utf-8", errors="replace")
        for path in sorted((data / "web/mozilla_readability_pages/test-pages").glob("*/source.html"))[
            : 10 if quick else 40
        ]
    ]
    written = sum(map(len, pages)) / 1e6
    others = race(
        {
            "formulas": lambda: [latex_of_mathml(formula) for formula in formulas],
            "pages": lambda: [math_as_text(page) for page in pages],
        },
        rounds,
        clock=time.process_time,
    )
    benchmark.figure("mathml_mb_per_s", markup / others.median("formulas"))
    rows.append(["MathML to LaTeX", markup / others.median("formulas")])
    rows.append(["pages, of which few have formulas, searched and rewritten", written / others.median("pages")])
    return [
        "### Chains for code, mathematics and books",
        table(["stage", "MB/s, one core"], rows),
        f"Code: {len(texts):,} Python files of installed packages, {mb:.1f} MB.",
        *_bad_words_speed(benchmark, data, rounds),
    ]


def _bad_words_speed(benchmark: Benchmark, data: Path, rounds: int) -> list[str]:
    folder = data / "urls/badwords_psl_easylist/ldnoobw"
    texts = [text for _, text in prose(data, 300_000 if benchmark.quick else 3_000_000)]
    mb = sum(len(text.encode()) for text in texts) / 1e6
    ours = C4BadWords(list=folder)
    theirs = c4_filters.C4BadWordsFilter()
    words = {line.strip() for line in (folder / "en").read_text(encoding="utf-8").splitlines()}
    # As its own code makes it, which would fetch the list.
    theirs._badwords_regex["en"] = re.compile(rf"(?:\W|^)({'|'.join(re.escape(word) for word in words)})(?:\W|$)")
    documents = [Document(text=text, id="") for text in texts]
    batch = TextBatch.of_texts(texts).documents
    timings = race(
        {
            "corpusmill": lambda: ours.judge(ours.measure(TextBatch(batch))),
            "datatrove": lambda: [theirs.filter(document) for document in documents],
        },
        rounds,
        clock=time.process_time,
    )
    benchmark.figure("c4_bad_words_vs_datatrove", timings.ratio("datatrove", "corpusmill"))
    rows = [[name, mb / timings.median(name)] for name in ("corpusmill", "datatrove")]
    return [
        "#### Bad words",
        table(["", "MB/s, one core"], rows),
        f"{mb:.1f} MB of English prose, LDNOOBW's English list.",
    ]


def _licenses(benchmark: Benchmark, data: Path) -> list[str]:
    known = {_family(name) for name in prints().names}
    folder = data / "neardup/license_texts_spdx_google/google/v2"
    rows: list[list[object]] = []
    whole: Counter[str] = Counter()
    for kind, title in (("License", "variants of texts"), ("Header", "variants of notices")):
        paths = [
            path for path in sorted((folder / "assets" / kind).rglob("*.txt")) if _family(path.parent.name) in known
        ]
        told = _told([path.read_text(encoding="utf-8", errors="replace") for path in paths])
        found = Counter(_outcome(name, {_family(path.parent.name)}) for name, path in zip(told, paths, strict=True))
        rows.append([title, len(paths), *(found[outcome] / len(paths) for outcome in ("right", "wrong", "none"))])
        whole += found
    labelled = list(_labelled_files(folder / "scenarios"))
    told = _told([text for _, text in labelled])
    found = Counter(_outcome(name, expected) for name, (expected, _) in zip(told, labelled, strict=True))
    rows.append(
        ["source files", len(labelled), *(found[outcome] / len(labelled) for outcome in ("right", "wrong", "none"))]
    )
    whole += found
    benchmark.figure("license_right", whole["right"] / whole.total())
    benchmark.figure("license_wrong", whole["wrong"] / whole.total())
    return [
        "#### Licences (`code_license`)",
        table(["Google licenseclassifier's", "files", "right", "wrong", "none"], rows),
        "Labels without the question of later versions and exceptions; licences that are not on SPDX's list are left "
        "out. Right for files: one of the labels.",
    ]


def _labelled_files(folder: Path) -> Iterator[tuple[set[str], str]]:
    for path in sorted(folder.iterdir()):
        text = path.read_text(encoding="utf-8", errors="replace")
        label = re.search(r"^EXPECTED:(.*)$", text, re.MULTILINE)
        expected = {_family(name) for name in label[1].strip().split(",")} - {"", "copyright"} if label else set()
        if label and expected:
            yield expected, text[label.end() :]


def _told(texts: list[str]) -> list[str | None]:
    return list(CodeLicense().measure(TextBatch.of_texts(texts)).column("license").to_pylist())


def _outcome(name: str | None, expected: set[str]) -> str:
    if name is None:
        return "none"
    return "right" if {_family(part) for part in re.findall(r"[\w.+-]+", name)} & expected else "wrong"


def _family(name: str) -> str:
    name = name.lower().partition("-with-")[0].replace("bsd-0-clause", "0bsd")
    return name.removesuffix("-only").removesuffix("-or-later")


def _textbook(data: Path) -> list[str]:
    modules = sorted((data / "text/math_openstax_calculus_cnxml/modules").glob("*/index.cnxml"))
    return [
        formula
        for path in modules[::8]
        for formula in re.findall(r"<m:math.*?</m:math>", path.read_text("utf-8"), re.S)
    ]


def _formulas(benchmark: Benchmark, data: Path) -> list[str]:
    formulas = _textbook(data)[: 500 if benchmark.quick else None]
    kept = sum(_letters(latex_of_mathml(formula)) == _letters_of(formula) for formula in formulas)
    benchmark.figure("mathml_letters_kept", kept / len(formulas))
    return [
        "#### Formulas",
        f"Of {len(formulas):,} formulas of OpenStax Calculus (MathML), {100 * kept / len(formulas):.1f} % have all of "
        "their letters and digits in our LaTeX. That it reads as the same formula is tested with latex2mathml "
        "(tests/pipeline/content/test_mathml.py).",
    ]


def _letters(latex: str) -> list[str]:
    """Letters and digits of Latin script, sorted: commands count as nothing but for functions and texts."""
    named = re.sub(r"\\(?:operatorname|text|mathbf|mathrm|mathbb|mathcal|mathfrak)(?![A-Za-z])", "", latex)
    named = _NAMED.sub(r" \1 ", named)
    named = re.sub(r"\\(?:begin|end)\{[a-z]+\}", "", named)
    return sorted(re.findall(r"[A-Za-z0-9]", _COMMAND.sub(" ", named)))


def _letters_of(mathml: str) -> list[str]:
    text = unicodedata.normalize("NFKC", html.unescape(re.sub(r"<[^>]*>", "", mathml)))  # ℝ is an R
    return sorted(re.findall(r"[A-Za-z0-9]", text))


def _mathematics(benchmark: Benchmark, data: Path) -> list[str]:
    count = 60 if benchmark.quick else 400

    def plain(path: Path, encoding: str = "utf-8") -> str:
        return path.read_bytes().decode(encoding, "replace")[:20_000]

    text = data / "text"
    teachers = [
        re.sub(r"<[^>]+>", "", row.get("Body", ""))
        for _, row in ElementTree.iterparse(text / "stackexchange_posts_a/matheducators/Posts.xml")
        if row.tag == "row"
    ]
    posts = text / "newsgroups20_bydate/20news-bydate-test"
    laws = sorted((text / "german_federal_laws_md").glob("*/*/*.md"))
    sources: list[tuple[str, bool, list[str]]] = [
        (
            "The Stacks project, LaTeX",
            True,
            [plain(path) for path in sorted((text / "math_stacks_project_latex").glob("*.tex"))],
        ),
        ("novels", False, [plain(path) for path in sorted((text / "books_classic_markdown_a").glob("*/*.md"))]),
        ("science newsgroups", False, [plain(path, "latin-1") for path in sorted(posts.glob("sci.*/*"))[:count]]),
        ("German laws", False, [plain(path) for path in laws[:count]]),
        ("forum of teachers of mathematics (mixed)", False, teachers[:count]),
    ]
    rows: list[list[object]] = []
    shares: dict[bool, list[float]] = {True: [], False: []}
    for title, mathematical, texts in sources:
        stage = MathDensity()
        kept = stage.judge(stage.measure(TextBatch.of_texts(texts))).null_count / len(texts)
        rows.append([title, len(texts), kept])
        if "mixed" not in title:
            shares[mathematical].append(kept)
    benchmark.figure("math_kept", min(shares[True]))
    benchmark.figure("math_kept_elsewhere", max(shares[False]))
    return ["#### Documents with mathematics (`math_density`)", table(["source", "documents", "kept"], rows)]


def _scans(benchmark: Benchmark, data: Path) -> list[str]:
    paths = sorted((data / "text/books_classic_markdown_a").glob("*/*.md"))[: 20 if benchmark.quick else None]
    books = [path.read_text(encoding="utf-8") for path in paths]
    clean = [book[place : place + 10_000] for book in books for place in (20_000, 40_000) if len(book) > 60_000]
    rows: list[list[object]] = [["clean", len(clean), 1 - _kept(clean)]]
    benchmark.figure("ocr_noise_false", 1 - _kept(clean))
    for share in (0.02, 0.04, 0.06):
        chance = random.Random(5)
        spoilt = ["".join(_SWAPS.get(c, c) if chance.random() < share else c for c in text) for text in clean]
        rows.append([f"{100 * share:.0f} % of the letters misread", len(spoilt), 1 - _kept(spoilt)])
    benchmark.figure("ocr_noise_recall", 1 - _kept(spoilt))
    return ["#### Scans (`ocr_noise`)", table(["passages of 10,000 characters", "number", "dropped"], rows)]


def _kept(texts: list[str]) -> float:
    stage = OcrNoise()
    return float(stage.judge(stage.measure(TextBatch.of_texts(texts))).null_count / len(texts))
