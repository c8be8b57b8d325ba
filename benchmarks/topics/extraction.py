"""Main content of real pages beside trafilatura's and resiliparse's: how much of it, how much else, and how fast.

All engines get the same decoded pages, none of whose domains the content model was trained on (benchmarks/gold_pages.py
says which): scrapinghub's articles, measured as that benchmark measures (shingles of four words, mean over pages);
daniel's news by words; trafilatura's own evaluation by the phrases that must and must not be there. trafilatura runs
with its defaults, comments left out, in our environment's version and in datatrove's (1.11, in the peers').

    figure extraction_f1                     scrapinghub, ours
    figure extraction_precision              scrapinghub, ours
    figure extraction_recall                 scrapinghub, ours
    figure extraction_f1_trafilatura         scrapinghub, trafilatura of our environment
    figure extraction_f1_trafilatura_1_11    scrapinghub, trafilatura 1.11 (not in a quick run)
    figure extraction_f1_resiliparse         scrapinghub, resiliparse's main content without comments
    figure extraction_daniel_f1              daniel, ours, mean over languages
    figure extraction_daniel_f1_trafilatura  the same of trafilatura
    figure extraction_phrases_f1             trafilatura's evaluation, ours
    figure extraction_phrases_f1_trafilatura the same of trafilatura
    figure extraction_vs_trafilatura         how many times as fast as trafilatura of our environment
    figure extraction_vs_trafilatura_1_11    how many times as fast as 1.11 (not in a quick run)
    figure extraction_pages_per_s            ours, one core, from the decoded page
    figure warc_pages_per_s                  reading and extracting a WARC file, one core, ours
    figure warc_pages_per_s_resiliparse      the same with resiliparse
"""

from __future__ import annotations

import json
import logging
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from time import process_time

import trafilatura
from gold_pages import GoldPage, gold_pages, phrase_scores, shingle_scores, word_scores
from harness import Benchmark, race_timed, table
from peers_venv import peers_environment, peers_python
from resiliparse.extract.html2text import extract_plain_text
from web_pages import write_pages

from corpusmill.documents.batch import TextBatch
from corpusmill.filters.language import Language
from corpusmill.pipeline.content.forest import load
from corpusmill.pipeline.content.page import Favor, main_text
from corpusmill.pipeline.extraction import Engine, Extraction, decoded
from corpusmill.pipeline.sources.contract import Origin, SourceFile
from corpusmill.pipeline.sources.warc import Warc

_OURS, _RESILIPARSE = "content", "resiliparse"
_NEW, _OLD = f"trafilatura {version('trafilatura')}", "trafilatura 1.11"
_QUICK_PAGES = 12  # of each pack
_FEWEST = 12  # pages that a row of a table stands for


def accuracy(benchmark: Benchmark) -> list[str]:
    """Holds every engine's texts against the gold ones, and races the engines."""
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    pages, htmls = _judged(benchmark)
    engines: dict[str, Callable[[str], str]] = {
        _OURS: _ours,
        f"{_OURS}, precision": lambda html: _ours(html, "precision"),
        f"{_OURS}, recall": lambda html: _ours(html, "recall"),
        _RESILIPARSE: _resiliparse,
        _NEW: _trafilatura,
    }
    texts = {name: [engine(html) for html in htmls] for name, engine in engines.items()}
    if not benchmark.quick:
        with _peer(htmls) as ask:
            texts[_OLD] = json.loads(ask("texts"))
    return [
        *_articles(benchmark, pages, texts),
        *_news(benchmark, pages, texts),
        *_phrases(benchmark, pages, htmls, texts),
        *_speed(benchmark),
    ]


def _speed(benchmark: Benchmark) -> list[str]:
    """Races the engines by CPU seconds on scrapinghub's pages, and reads a WARC file with two of them."""
    _, htmls = _judged(benchmark, ("scrapinghub",))
    engines: dict[str, Callable[[str], str]] = {_OURS: _ours, _RESILIPARSE: _resiliparse, _NEW: _trafilatura}
    contenders = {name: _seconds(engine, htmls) for name, engine in engines.items()}
    with nullcontext(None) if benchmark.quick else _peer(htmls) as ask:
        if ask is not None:
            contenders[_OLD] = lambda: float(json.loads(ask("seconds")))
        timings = race_timed(contenders, rounds=1 if benchmark.quick else 5)
    rates = {name: len(htmls) / timings.median(name) for name in contenders}
    benchmark.figure("extraction_vs_trafilatura", timings.ratio(_NEW, _OURS))
    if _OLD in contenders:
        benchmark.figure("extraction_vs_trafilatura_1_11", timings.ratio(_OLD, _OURS))
    benchmark.figure("extraction_pages_per_s", rates[_OURS])
    rows = [[name, rate, timings.ratio(name, _OURS)] for name, rate in rates.items()]
    size = sum(len(html.encode()) for html in htmls) / 1e6
    return [
        f"{len(htmls)} articles ({size:.1f} MB of HTML), from decoded pages to text, one core, CPU seconds.",
        table(["engine", "pages/s", "ours is so many times as fast"], rows),
        *_archive(benchmark),
    ]


def _judged(
    benchmark: Benchmark, packs: Sequence[str] = ("scrapinghub", "daniel", "trafilatura")
) -> tuple[list[GoldPage], list[str]]:
    """The pages to be judged by, and their text as decoded."""
    pages = [page for page in gold_pages(benchmark.real_data(), packs) if page.judged]
    if benchmark.quick:
        by_pack = {pack: [page for page in pages if page.pack == pack] for pack in packs}
        pages = [page for some in by_pack.values() for page in some[:: max(1, len(some) // _QUICK_PAGES)]]
    return pages, [decoded(page.payload(), None) for page in pages]


def _ours(html: str, favor: Favor = "balance") -> str:
    return main_text(html.encode("utf-8", "replace"), load(), favor=favor)[0]


def _resiliparse(html: str) -> str:
    return str(extract_plain_text(html, main_content=True, alt_texts=False, post_meta=False, comments=False))


def _trafilatura(html: str) -> str:
    return trafilatura.extract(html, include_comments=False) or ""


def _seconds(engine: Callable[[str], str], htmls: Sequence[str]) -> Callable[[], float]:
    def run() -> float:
        begun = process_time()
        for html in htmls:
            engine(html)
        return process_time() - begun

    return run


@contextmanager
def _peer(htmls: Sequence[str]) -> Iterator[Callable[[str], str]]:
    """Asks trafilatura 1.11, in a process of the peers' environment, about pages."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pages.jsonl"
        path.write_text("".join(json.dumps(html) + "\n" for html in htmls), encoding="utf-8")
        with subprocess.Popen(
            [peers_python(), Path(__file__).parents[1] / "peer_trafilatura.py", path],
            env=peers_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as child:
            asked, answered = child.stdin, child.stdout
            if asked is None or answered is None:
                raise RuntimeError("the peer's process has no pipes")

            def ask(what: str) -> str:
                print(what, file=asked, flush=True)
                return answered.readline()

            try:
                yield ask
            finally:
                child.terminate()


def _of_pack(pages: Sequence[GoldPage], texts: Sequence[str], pack: str) -> tuple[list[GoldPage], list[str]]:
    chosen = [(page, text) for page, text in zip(pages, texts, strict=True) if page.pack == pack]
    return [page for page, _ in chosen], [text for _, text in chosen]


def _articles(benchmark: Benchmark, pages: Sequence[GoldPage], texts: dict[str, list[str]]) -> list[str]:
    rows: list[list[object]] = []
    for name, found in texts.items():
        chosen, of_them = _of_pack(pages, found, "scrapinghub")
        precision, recall, f1 = shingle_scores([page.gold for page in chosen], of_them)
        rows.append([name, precision, recall, f1])
        if name == _OURS:
            benchmark.figure("extraction_precision", precision)
            benchmark.figure("extraction_recall", recall)
        figure = {_OURS: "", _NEW: "_trafilatura", _OLD: "_trafilatura_1_11", _RESILIPARSE: "_resiliparse"}.get(name)
        if figure is not None:
            benchmark.figure(f"extraction_f1{figure}", f1)
    count = sum(page.pack == "scrapinghub" for page in pages)
    text = f"scrapinghub's articles, {count} pages of which the content model saw none: shingles of four words, macro."
    return [text, _table(["engine", "precision", "recall", "F1"], rows)]


def _news(benchmark: Benchmark, pages: Sequence[GoldPage], texts: dict[str, list[str]]) -> list[str]:
    columns = [name for name in (_OURS, _RESILIPARSE, _NEW, _OLD) if name in texts]
    rows: list[list[object]] = []
    totals = dict.fromkeys(columns, 0.0)
    chosen = {name: _of_pack(pages, texts[name], "daniel") for name in columns}
    languages = sorted({page.language for page in chosen[_OURS][0]})
    for language in languages:
        row: list[object] = [language]
        for name in columns:
            some = [(page, text) for page, text in zip(*chosen[name], strict=True) if page.language == language]
            f1 = word_scores([page.gold for page, _ in some], [text for _, text in some])[2]
            totals[name] += f1 / len(languages)
            row = [*row, len(some), f1] if name == _OURS else [*row, f1]
        rows.append(row)
    rows.append(["mean", len(chosen[_OURS][0]), *totals.values()])
    benchmark.figure("extraction_daniel_f1", totals[_OURS])
    benchmark.figure("extraction_daniel_f1_trafilatura", totals[_NEW])
    return [
        "daniel's news of 2011 and 2012, domains that the content model did not see: F1 by words, mean over pages. The "
        "gold texts hold the headline; some lack paragraphs.",
        _table(["language", "pages", *columns], rows),
    ]


def _phrases(
    benchmark: Benchmark, pages: Sequence[GoldPage], htmls: Sequence[str], texts: dict[str, list[str]]
) -> list[str]:
    columns = [name for name in (_OURS, _RESILIPARSE, _NEW, _OLD) if name in texts]
    chosen = {name: _of_pack(pages, texts[name], "trafilatura") for name in columns}
    whole = _of_pack(pages, [str(extract_plain_text(html)) for html in htmls], "trafilatura")[1]
    of_pages = Language().measure(TextBatch.of_texts(whole))["language"].to_pylist()
    groups = {"all": [True] * len(of_pages)}
    groups |= {name: [label == name for label in of_pages] for name in ("de", "en")}
    groups["others"] = [label not in ("de", "en") for label in of_pages]
    rows: list[list[object]] = []
    for group, members in groups.items():
        if sum(members) < (1 if group == "all" else _FEWEST):
            continue
        for name in columns:
            some = [pair for pair, member in zip(zip(*chosen[name], strict=True), members, strict=True) if member]
            found, left_out, f1 = phrase_scores([page for page, _ in some], [text for _, text in some])
            rows.append([f"{group}, {sum(members)} pages: {name}", found, left_out, f1])
            if group == "all" and name in (_OURS, _NEW):
                benchmark.figure("extraction_phrases_f1" + ("" if name == _OURS else "_trafilatura"), f1)
    return [
        "trafilatura's own evaluation, domains that the content model did not see: the share of phrases found that "
        "must be there, of those left out that must not, and F1 as that evaluation has it; languages by our model.",
        _table(["pages and engine", "found", "left out", "F1"], rows),
    ]


def _archive(benchmark: Benchmark) -> list[str]:
    count = 60 if benchmark.quick else 600
    with tempfile.TemporaryDirectory() as folder:
        pages = Path(folder) / "pages"
        write_pages(benchmark.real_data(), {count: pages}, 1)
        [path] = pages.iterdir()
        file = SourceFile(str(path), path.name, path.stat().st_size, "")

        def read(engine: Engine) -> Callable[[], float]:
            reader = Warc()
            origin = Origin("web", extraction=Extraction(engine=engine))

            def run() -> float:
                begun = process_time()
                for split in reader.splits([file], file.size):
                    for _ in reader.read(split, origin):
                        pass
                return process_time() - begun

            return run

        timings = race_timed(
            {_OURS: read("content"), _RESILIPARSE: read("resiliparse")}, rounds=1 if benchmark.quick else 5
        )
    rates = {name: count / timings.median(name) for name in (_OURS, _RESILIPARSE)}
    benchmark.figure("warc_pages_per_s", rates[_OURS])
    benchmark.figure("warc_pages_per_s_resiliparse", rates[_RESILIPARSE])
    return [
        f"Reading {count} pages of a WARC file to documents, one core: {rates[_OURS]:,.0f} pages a CPU second with "
        f"`content`, {rates[_RESILIPARSE]:,.0f} with `resiliparse`."
    ]


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table whose shares have three places: they differ in the third."""
    return table(header, [[f"{cell:.3f}" if isinstance(cell, float) else cell for cell in row] for row in rows])
