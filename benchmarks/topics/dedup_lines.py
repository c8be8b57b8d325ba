"""Repeated lines: what is cut out of real pages, and how fast they are found beside duckdb, polars and a Python set.

Accuracy is measured on daniel's news pages (benchmarks/gold_pages.py), whose articles somebody wrote down: a line is
the article's if it is one of its lines or, from four words, stands in it; what else has a word is boilerplate.
RefinedWeb's line rules are measured likewise on scrapinghub's English pages. Speed is raced on English prose in one
thread: finding which lines stand in two documents (all), and that and cutting them (ours).

    figure repeated_lines_boilerplate_cut      share of the boilerplate's words that repeated_lines cuts, whole pages
    figure repeated_lines_article_cut          share of the articles' words that it cuts there
    figure repeated_lines_precision            share of boilerplate in the words that it cuts there
    figure ccnet_boilerplate_cut               the first, with CCNet's values
    figure ccnet_article_cut                   the second, with CCNet's values
    figure refinedweb_article_cut              share of the articles' words that refinedweb_lines removes
    figure repeated_lines_mb_per_s             ours, from text to cuts, one core
    figure repeated_lines_exact_mb_per_s       the same with `normalisation: none`
    figure repeated_lines_vs_best              finding equal lines: our rate over that of the best of the others
    figure repeated_lines_vs_best_whole        the same, but ours cuts them, too
    figure repeated_lines_folded_vs_duckdb     finding lines of equal words: our rate over duckdb's
    figure repeated_lines_10m_cpu_s            10 million lines from sidecars to cuts, CPU seconds (not in a quick run)
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from gold_pages import GoldPage, gold_pages, words
from harness import Benchmark, race_timed, table
from peers_venv import peers_environment, peers_python
from prose import prose

from corpusmill.dedup.lines import RepeatedLines, dealt_out, group_often
from corpusmill.documents.barrier import Decision
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen
from corpusmill.documents.shards import write_table
from corpusmill.filters.refinedweb_lines import RefinedWeb, RefinedWebLines
from corpusmill.pipeline.extraction import Engine, Extracted, Extraction

_ROWS = 500
_STAGE = RepeatedLines()
_CCNET = RepeatedLines(
    scope="source", normalisation="folded_digits", min_count=2, min_run=1, keep="none", min_left_characters=1
)
_VARIANTS = {
    "as by default": _STAGE,
    "`keep: none`": replace(_STAGE, keep="none"),
    "`min_run: 1`": replace(_STAGE, min_run=1),
    "`min_count: 3`": replace(_STAGE, min_count=3),
    "`min_count: 10`": replace(_STAGE, min_count=10),
    "`unit: paragraph`": replace(_STAGE, unit="paragraph"),
    "`scope: source`": replace(_STAGE, scope="source"),
    "recipe `ccnet`": _CCNET,
}
_QUICK_DOMAINS = 4


@dataclass(frozen=True, slots=True)
class _Page:
    """A page's text, and of each of its lines: the number of words, and whether it is the article's."""

    domain: str
    text: str
    words: tuple[int, ...]
    article: tuple[bool, ...]


def accuracy(benchmark: Benchmark) -> list[str]:
    """Holds what is cut against articles that somebody wrote down."""
    pages = gold_pages(benchmark.real_data(), ("daniel",))
    english = gold_pages(benchmark.real_data(), ("scrapinghub",))
    if benchmark.quick:
        most = [domain for domain, _ in Counter(page.domain for page in pages).most_common(_QUICK_DOMAINS)]
        pages = [page for page in pages if page.domain in most]
        english = english[:40]
    whole, main = _extracted(pages, "resiliparse_all"), _extracted(pages, "content")
    rows: list[list[object]] = []
    for name, stage in _VARIANTS.items():
        cells: list[object] = [name]
        for of_pages, prefix in ((whole, {_STAGE: "repeated_lines", _CCNET: "ccnet"}.get(stage)), (main, None)):
            boilerplate, article, precision, dropped = _scores(of_pages, _lines_left(of_pages, stage))
            if prefix:
                benchmark.figure(f"{prefix}_boilerplate_cut", boilerplate)
                benchmark.figure(f"{prefix}_article_cut", article)
            if prefix == "repeated_lines":
                benchmark.figure("repeated_lines_precision", precision)
            cells += [boilerplate, article, dropped]
        rows.append(cells)
    corrected: list[list[object]] = []
    for label, engine in (("whole pages", "resiliparse_all"), ("main content", "content")):
        texts = _extracted(english, engine)
        batch = TextBatch.of_texts([page.text for page in texts])
        left = [_kept_lines(old, new) for old, new in zip(texts, RefinedWebLines().rewrite(batch)[0].to_pylist())]
        boilerplate, article, _, _ = _scores(texts, left)
        judged = RefinedWeb().judge(RefinedWeb().measure(batch))
        corrected.append([label, boilerplate, article, len(judged) - judged.null_count, len(texts)])
        if engine == "content":
            benchmark.figure("refinedweb_article_cut", article)
    domains = len({page.domain for page in pages})
    header = ["`repeated_lines`"]
    for label in ("whole pages", "main content"):
        header += [f"{label}: boilerplate cut", "article cut", "pages dropped"]
    return [
        "### Repeated lines",
        table(header, rows),
        f"{len(pages):,} news pages of {domains} domains in five languages (daniel), equal texts left out, their "
        "domains as sites: shares of the words of lines that are not the article's, and of those that are. Whole "
        "pages as resiliparse gives all of their text, and main content as `extract` finds it; there, what is left to "
        "be cut are notices, which the written articles often have, too.",
        table(["`refinedweb_lines`", "boilerplate removed", "article removed", "`refinedweb` drops", "of"], corrected),
        "English news pages (scrapinghub), words likewise.",
    ]


def _extracted(pages: Sequence[GoldPage], engine: Engine) -> list[_Page]:
    """The pages that give a text, without those whose text another has, too."""
    extraction = Extraction(engine=engine)
    found: dict[str, _Page] = {}
    for page in pages:
        extracted = extraction.extract(page.payload(), "text/html")
        if not isinstance(extracted, Extracted) or extracted.text in found:
            continue
        gold = f" {' '.join(words(page.gold))} "
        gold_lines = {" ".join(words(line)) for line in page.gold.split("\n")}
        counts, article = [], []
        for line in extracted.text.split("\n"):
            of_line = words(line)
            joined = " ".join(of_line)
            counts.append(len(of_line))
            article.append(joined in gold_lines or (len(of_line) >= 4 and f" {joined} " in gold))
        found[extracted.text] = _Page(page.domain, extracted.text, tuple(counts), tuple(article))
    return list(found.values())


def _lines_left(pages: Sequence[_Page], stage: RepeatedLines) -> list[list[bool] | None]:
    """Which lines of each page stay; None for a page that is dropped."""
    decision = _decided(stage, [_batch([page.text for page in pages], 0, [page.domain for page in pages])])
    gone = set(decision.verdicts["id"].to_pylist())
    cuts: dict[str, list[tuple[int, int]]] = {}
    for row in decision.edits.to_pylist():
        cuts.setdefault(row["id"], []).append((row["start"], row["end"]))
    left: list[list[bool] | None] = []
    for number, page in enumerate(pages):
        name = f"{number:08}"
        ends = np.cumsum([len(line.encode()) + 1 for line in page.text.split("\n")])
        spans = zip([0, *ends[:-1].tolist()], (ends - 1).tolist(), strict=True)
        of_page = cuts.get(name, [])
        stays = [not any(start <= begin and end <= stop for start, stop in of_page) for begin, end in spans]
        left.append(None if name in gone else stays)
    return left


def _kept_lines(page: _Page, text: str) -> list[bool]:
    """Which lines of a page stand in its new text."""
    there = set(text.split("\n"))
    return [line in there for line in page.text.split("\n")]


def _scores(pages: Sequence[_Page], left: Sequence[list[bool] | None]) -> tuple[float, float, float, int]:
    """Shares of the boilerplate's and of the articles' words that go, of boilerplate in what goes; pages dropped."""
    total, gone = [0, 0], [0, 0]
    for page, stays in zip(pages, left, strict=True):
        for place, (count, article) in enumerate(zip(page.words, page.article, strict=True)):
            total[article] += count
            gone[article] += count * (stays is None or not stays[place])
    return gone[0] / total[0], gone[1] / total[1], gone[0] / max(1, sum(gone)), sum(stays is None for stays in left)


def _decided(stage: RepeatedLines, batches: Sequence[TextBatch]) -> Decision:
    """The whole stage, with its files."""
    with tempfile.TemporaryDirectory() as folder:
        sidecar = Path(folder) / "sidecar.parquet"
        write_table(sidecar, [stage.observe(batch) for batch in batches], stage.sidecar)
        return _decision(stage, [sidecar], Path(folder))


def _decision(stage: RepeatedLines, sidecars: Sequence[Path], folder: Path) -> Decision:
    return stage.decide(sidecars, excluded=pa.array([], pa.string()), read_texts=lambda ids: iter(()), workspace=folder)


def _batch(texts: Sequence[str], first: int, domains: Sequence[str] | None = None) -> TextBatch:
    batch = TextBatch.of_texts(texts)
    batch = batch.with_column("id", pa.array([f"{first + row:08}" for row in range(len(texts))]))
    return batch.with_column("url", pa.array([f"http://{name}/" for name in domains])) if domains else batch


_LINES = "SELECT document, unnest(string_split(text, chr(10))) AS line FROM documents"
_FOLDED = (
    r"SELECT document, trim(regexp_replace(lower(strip_accents(line)), '[^\p{L}\p{N}_]+', ' ', 'g')) AS line "
    f"FROM ({_LINES})"
)
_REPEATED = "SELECT line FROM ({}) GROUP BY line HAVING min(document) <> max(document)"


def speed(benchmark: Benchmark) -> list[str]:
    """Races the finding of repeated lines, and times the stage."""
    quick = benchmark.quick
    texts = [text for _, text in prose(benchmark.real_data(), 2_000_000 if quick else 32_000_000)]
    mb = sum(len(text.encode()) for text in texts) / 1e6
    batches = [_batch(texts[start : start + _ROWS], start) for start in range(0, len(texts), _ROWS)]
    found: dict[str, int] = {}
    versions = {"duckdb": duckdb.__version__}
    exact = RepeatedLines(scope="source", normalisation="none", min_count=2, min_run=1, min_left_characters=1)
    folded = replace(exact, normalisation="folded")
    with tempfile.TemporaryDirectory() as folder, duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        documents = pa.table({"document": np.arange(len(texts)), "text": texts})
        connection.register("documents", documents)
        path = Path(folder) / "texts.parquet"
        pq.write_table(documents, path)
        with subprocess.Popen(
            [peers_python(), Path(__file__).parents[1] / "peer_lines.py", path],
            env=peers_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:

            def polars() -> float:
                print("go", file=child.stdin, flush=True)
                answer = json.loads(child.stdout.readline())
                found["polars"], versions["polars"] = answer["lines"], answer["version"]
                return float(answer["seconds"])

            contenders: dict[str, Callable[[], float]] = {
                "ours": lambda: _timed(lambda: _found(exact, batches), found, "ours"),
                "ours, cutting": lambda: _timed(lambda: _decided(exact, _fresh(batches))),
                "duckdb": lambda: _timed(lambda: _query(connection, _LINES), found, "duckdb"),
                "polars": polars,
                "Python set": lambda: _timed(lambda: _python_set(texts), found, "Python set"),
                "ours, folded": lambda: _timed(lambda: _found(folded, batches)),
                "ours, folded, cutting": lambda: _timed(lambda: _decided(folded, _fresh(batches))),
                "duckdb, folded": lambda: _timed(lambda: _query(connection, _FOLDED)),
            }
            timings = race_timed(contenders, rounds=2 if quick else 5)
            child.terminate()
    if len(set(found.values())) != 1:
        raise SystemExit(f"the contenders found different numbers of repeated lines: {found}")
    best = min(("duckdb", "polars", "Python set"), key=timings.median)
    benchmark.figure("repeated_lines_mb_per_s", mb / timings.median("ours, folded, cutting"))
    benchmark.figure("repeated_lines_exact_mb_per_s", mb / timings.median("ours, cutting"))
    benchmark.figure("repeated_lines_vs_best", timings.ratio(best, "ours"))
    benchmark.figure("repeated_lines_vs_best_whole", timings.ratio(best, "ours, cutting"))
    benchmark.figure("repeated_lines_folded_vs_duckdb", timings.ratio("duckdb, folded", "ours, folded"))
    rows: list[list[object]] = [
        [label, mb / timings.median(name)]
        for label, name in (
            ("ours: which lines, byte for byte", "ours"),
            ("ours: the same, with sidecar, decision and cuts", "ours, cutting"),
            (f"duckdb {versions['duckdb']}: which lines", "duckdb"),
            (f"polars {versions['polars']}: which lines", "polars"),
            ("Python set: which lines", "Python set"),
            ("ours: which lines, by their words (the default)", "ours, folded"),
            ("ours: the same, with sidecar, decision and cuts", "ours, folded, cutting"),
            ("duckdb: which lines, lower case, no accents, words", "duckdb, folded"),
        )
    ]
    paragraphs = [
        "### Repeated lines",
        table(["lines that stand in two documents", "MB/s, one core"], rows),
        f"{mb:.0f} MB of English prose in {len(texts):,} documents (benchmarks/prose.py) from memory, CPU seconds, "
        f"medians of rounds in turn; all found the same {found['ours']:,} lines with a letter. Ours begins with bare "
        "Arrow text: finding lines and words is in it, which other stages mostly have done before.",
    ]
    if not quick:
        seconds, cuts = _ten_million_lines()
        benchmark.figure("repeated_lines_10m_cpu_s", seconds)
        paragraphs.append(
            f"Ten million lines of 250,000 documents, a third of them repeated, from sidecars to {cuts:,} cuts: "
            f"{seconds:.1f} CPU seconds."
        )
    return paragraphs


def _timed(run: Callable[[], Any], found: dict[str, int] | None = None, name: str = "") -> float:
    begun = time.process_time()
    result = run()
    seconds = time.process_time() - begun
    if found is not None:
        found[name] = result() if callable(result) else result
    return seconds


def _fresh(batches: Sequence[TextBatch]) -> list[TextBatch]:
    return [TextBatch(batch.documents) for batch in batches]


def _found(stage: RepeatedLines, batches: Sequence[TextBatch]) -> int:
    """How many different lines stand in two documents, by the stage's kernels, in memory."""
    columns = [stage.observe(batch).column("keys") for batch in _fresh(batches)]
    keys = frozen(np.concatenate([column.flatten().to_numpy() for column in columns]))
    sizes = np.concatenate([column.value_lengths().to_numpy() for column in columns])
    bits = max(0, len(keys) >> 17).bit_length()
    bounds, dealt, places = dealt_out(keys, 64 - bits, bits)
    groups = np.empty(len(dealt), np.int32)
    group_often(frozen(bounds), frozen(dealt), 2, groups)
    often = groups >= 0
    owners = np.repeat(np.arange(len(sizes)), sizes)[places[often]]
    first = np.full(int(groups.max(initial=-1)) + 1, -1)
    first[groups[often][::-1]] = owners[::-1]
    return len(np.unique(groups[often][owners != first[groups[often]]]))


def _query(connection: duckdb.DuckDBPyConnection, lines: str) -> Callable[[], int]:
    result = connection.sql(_REPEATED.format(lines)).to_arrow_table()
    return lambda: _with_letters(result["line"].to_pylist())


def _python_set(texts: Sequence[str]) -> Callable[[], int]:
    seen: dict[str, int] = {}
    repeated = set()
    for number, text in enumerate(texts):
        for line in text.split("\n"):
            if seen.setdefault(line, number) != number:
                repeated.add(line)
    return lambda: _with_letters(list(repeated))


def _with_letters(lines: Sequence[str]) -> int:
    return sum(any(map(str.isalpha, line)) for line in lines)


def _ten_million_lines() -> tuple[float, int]:
    """CPU seconds from sidecars to cuts, and how many cuts: 65 lines of 100 are unlike, the others drawn as words are,
    a few very often."""
    stage = RepeatedLines(scope="source", min_count=2)
    chance = np.random.default_rng(1)
    folder = Path(tempfile.mkdtemp())
    try:
        sidecars = []
        for part in range(8):
            documents, lines = 31_250, 40
            keys = chance.integers(3, 2**64, documents * lines, dtype=np.uint64)
            common = chance.random(len(keys)) < 0.35
            ranks = (chance.zipf(1.3, int(common.sum())) % 3_000_000).astype(np.uint64)
            keys[common] = ranks * np.uint64(0x9FB21C651E98DF25) + np.uint64(3)
            starts = np.tile(np.arange(lines, dtype=np.int32) * 61, documents)
            bounds = pa.array(np.arange(documents + 1, dtype=np.int32) * lines)
            names = pa.array([f"{number:024x}" for number in chance.integers(0, 2**62, documents).tolist()])
            values = (keys, starts, starts + np.int32(60), np.full(len(keys), 60, np.int32))
            columns = [names, pa.array(np.zeros(documents, np.uint64))]
            columns += [pa.ListArray.from_arrays(bounds, pa.array(value)) for value in values]
            sidecars.append(folder / f"{part}.parquet")
            rows = pa.RecordBatch.from_arrays(columns, schema=stage.sidecar)
            write_table(sidecars[-1], [rows], stage.sidecar)
        begun = time.process_time()
        decision = _decision(stage, sidecars, folder)
        return time.process_time() - begun, decision.edits.num_rows
    finally:
        shutil.rmtree(folder)
