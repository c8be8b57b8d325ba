"""Decontamination beside datatrove's, and mojibake beside ftfy: what is found, what is found wrongly, and how fast.

Items of GSM8K (test), HumanEval, MBPP and BIG-Bench Hard are planted into newsgroup posts (benchmarks/planted.py), and
looked for among the other posts. Clean texts are books, posts, news, forums, terms, web pages, mathematics, laws and
Wikipedia, which hold no item; what is found in them was read, and a true find would stand in `TRUE_FINDS`.

Sound texts in hundreds of languages are garbled (UTF-8 read as cp1252, as Latin-1, twice, and in every third line only)
and repaired. Texts that a repairer changes although nobody garbled them were read; those that were damaged where they
were found stand in `DAMAGED`, and count neither way.

    figure decontamination_recall           items planted whole or reformatted that are found
    figure decontamination_recall_half      items of which half is planted
    figure decontamination_recall_reworded  items with one word of eight replaced
    figure decontamination_false_hits       clean texts in which an item is found that is not there
    figure decontamination_mb_per_s         prose, one core, segmentation included
    figure decontamination_vs_datatrove     how many times as fast as datatrove's filter
    figure mojibake_repaired                garbled texts that come back exactly
    figure mojibake_repaired_ftfy           ftfy's share of the same
    figure mojibake_clean_changed           sound texts that are changed
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import ftfy
import garbled
import pyarrow as pa
import pyarrow.parquet as pq
from harness import Benchmark, race_timed, table
from peers_venv import peers_environment, peers_python
from planted import REFORMATTED, WAYS, Item, benchmark_files, clean_texts, items, planted, posts
from prose import prose

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.schema import DOCUMENT
from corpusmill.documents.shards import write_table
from corpusmill.filters.decontamination import Decontamination
from corpusmill.filters.mojibake import Mojibake, repaired
from corpusmill.filters.site_lines import SiteLines

TRUE_FINDS: frozenset[str] = frozenset()
"""Names of clean texts that do hold an item."""
_BATCH = 1_000
_LOOK_AT = 12  # false finds that are printed


def accuracy(benchmark: Benchmark) -> list[str]:
    """Recall and false finds, and what is repaired."""
    return [*_recall(benchmark), *_false_finds(benchmark), *_repairs(benchmark)]


def speed(benchmark: Benchmark) -> list[str]:
    """Races decontamination with datatrove's, and mojibake with ftfy; site_lines has no peer."""
    quick = benchmark.quick
    texts = [text for _, text in prose(benchmark.real_data(), 1_000_000 if quick else 16_000_000)]
    few = texts[:: 20 if quick else 40]
    foreign = [text for _, text in garbled.sound_texts(benchmark.real_data(), every=40 if quick else 2)]
    mb, mb_few, mb_foreign = (_megabytes(some) for some in (texts, few, foreign))
    stage = Decontamination(benchmarks=benchmark_files(benchmark.real_data()))
    stage.prepare()
    chosen = items(stage.benchmarks)[:: 10 if quick else 1]
    with _Datatrove(chosen, few, queries=False) as theirs:
        timings = race_timed(
            {
                "decontamination": lambda: _seconds(texts, stage.observe) / mb,
                "datatrove": lambda: theirs.run().seconds / mb_few,
                "mojibake": lambda: _seconds(foreign, Mojibake().rewrite) / mb_foreign,
                "ftfy": lambda: _fixed(foreign) / mb_foreign,
                "site_lines": lambda: _seconds(texts, SiteLines().observe) / mb,
            },
            rounds=2 if quick else 5,
        )
    benchmark.figure("decontamination_mb_per_s", 1 / timings.median("decontamination"))
    benchmark.figure("decontamination_vs_datatrove", timings.ratio("datatrove", "decontamination"))
    rows: list[list[object]] = [
        [f"`{ours}`", 1 / timings.median(ours), peer, 1 / timings.median(peer), timings.ratio(peer, ours)]
        for ours, peer in (("decontamination", "datatrove"), ("mojibake", "ftfy"))
    ]
    rows.append(["`site_lines`", 1 / timings.median("site_lines"), "–", "–", "–"])
    return [
        "### Decontamination, mojibake and lines of sites",
        table(["", "MB/s a core", "peer", "its MB/s a core", "times as fast"], rows),
        f"{mb:.1f} MB of the prose of benchmarks/prose.py ({mb_few:.2f} MB for datatrove); {mb_foreign:.1f} MB in many "
        "languages for mojibake. CPU seconds, medians of rounds in turn; words and lines are found anew for each of "
        "ours. Decontamination is what sees the text (`observe`); datatrove's filter has a regular expression for a "
        "tokenizer instead of spaCy.",
    ]


def _recall(benchmark: Benchmark) -> list[str]:
    data, quick = benchmark.real_data(), benchmark.quick
    files = benchmark_files(data)
    everything = items(files)
    chosen = everything[:: 30 if quick else 1]
    others = posts(data, most=500 if quick else None)
    stage = Decontamination(benchmarks=files, action="mark")
    shares = {}
    rows: list[list[object]] = []
    for way in WAYS:
        texts = planted(chosen, others, way)
        found = _found(stage, [*texts, *others[len(texts) :]])
        mine = [found.get(row, ("", ""))[0] == item.benchmark for row, item in enumerate(chosen)]
        named = [found.get(row, ("", ""))[1] == item.name for row, item in enumerate(chosen)]
        shares[way] = sum(mine) / len(mine)
        by = {name: [hit for hit, item in zip(mine, chosen) if item.benchmark == name] for name in files}
        rows.append([way, shares[way], *(sum(hits) / len(hits) for hits in by.values()), sum(named) / len(named)])
    kept_whole = [shares[way] for way in ("whole", *REFORMATTED)]
    benchmark.figure("decontamination_recall", sum(kept_whole) / len(kept_whole))
    benchmark.figure("decontamination_recall_half", shares["half of it"])
    benchmark.figure("decontamination_recall_reworded", shares["one word of eight replaced"])
    sample = chosen[::3] if quick else chosen[::15]
    for queries, index in ((False, 2), (True, 3)):
        texts = [text for way in WAYS for text in planted(sample, others, way)]
        with _Datatrove(sample if quick else everything, texts, queries=queries) as theirs:
            hits = theirs.run().found
        for row, start in zip(rows, range(0, len(hits), len(sample))):
            row.insert(index + len(files), sum(hits[start : start + len(sample)]) / len(sample))
    return [
        "### Decontamination: items planted into newsgroup posts",
        table(["planted", "found", *files, "datatrove", "datatrove, queries too", "the very item named"], rows),
        f"{len(chosen):,} items, each in a post of its own, among {len(others):,} posts; found is: by the right "
        "benchmark. All are planted in one corpus, so that the sentences which the items of a task of BBH share are "
        f"common there, unless a third of an item stands with them. datatrove's filter was given {len(sample):,} of "
        "the items for each row, first with its defaults (12-grams of labels, and of queries' ends with labels), then "
        "with n-grams of queries, too. Ours cannot name the very item where several are the same but for brackets "
        "(BBH's dyck_languages).",
    ]


def _false_finds(benchmark: Benchmark) -> list[str]:
    data, quick = benchmark.real_data(), benchmark.quick
    clean = list(clean_texts(data, most=60 if quick else None))
    names, texts = [name for name, _ in clean], [text for _, text in clean]
    files = benchmark_files(data)
    rows: list[list[object]] = []
    for title, options in (
        ("as it stands", {}),
        ("n-grams in any number of documents", {"common_documents": len(texts)}),
        ("one n-gram is enough", {"min_hits": 1}),
    ):
        found = _found(Decontamination(benchmarks=files, action="mark", **options), texts)
        false = [row for row in found if names[row] not in TRUE_FINDS]
        if not options:
            benchmark.figure("decontamination_false_hits", len(false))
            for row in false[:_LOOK_AT]:
                print(f"  found in {names[row]}: {' '.join(found[row])}")
        rows.append([title, len(texts), _megabytes(texts), len(false)])
    few = texts[::20]
    chosen = items(files)[:: 30 if quick else 1]
    for title, queries in (("datatrove", False), ("datatrove, queries too", True)):
        with _Datatrove(chosen, few, queries=queries) as theirs:
            rows.append([title, len(few), _megabytes(few), sum(theirs.run().found)])
    return [
        "Texts that hold no item, and in how many of them one is found:",
        table(["", "texts", "MB", "false finds"], rows),
    ]


def _repairs(benchmark: Benchmark) -> list[str]:
    texts = dict(garbled.sound_texts(benchmark.real_data(), every=40 if benchmark.quick else 1))
    if benchmark.quick:
        texts = {name: text[:2_000] for name, text in texts.items()}
    repairers: dict[str, Callable[[str], str]] = {"ours": repaired, "ftfy": ftfy.fix_encoding}
    changed = {
        who: [name for name, text in texts.items() if name not in garbled.DAMAGED and repair(text) != text]
        for who, repair in repairers.items()
    }
    sound = [text for name, text in texts.items() if name not in garbled.DAMAGED]
    for name in changed["ours"][:_LOOK_AT]:
        print(f"  changed: {name}")
    rows: list[list[object]] = []
    back: dict[str, list[bool]] = {who: [] for who in repairers}
    for way, spoil in garbled.WAYS.items():
        spoilt = [(text, spoil(text)) for text in sound if spoil(text) != text]
        row: list[object] = [way, len(spoilt)]
        for who, repair in repairers.items():
            same = [repair(damaged) == text for text, damaged in spoilt]
            back[who] += same
            row.append(sum(same) / len(same))
        rows.append(row)
    rows.append(["not at all", len(sound), *(1 - len(changed[who]) / len(sound) for who in repairers)])
    benchmark.figure("mojibake_repaired", sum(back["ours"]) / len(back["ours"]))
    benchmark.figure("mojibake_repaired_ftfy", sum(back["ftfy"]) / len(back["ftfy"]))
    benchmark.figure("mojibake_clean_changed", len(changed["ours"]) / len(sound))
    return [
        "### Mojibake: texts that come back exactly as they were",
        table(["garbled", "texts", "ours", "ftfy"], rows),
        "The Declaration of Human Rights in hundreds of languages, sentences in 75 languages, gold texts of web pages, "
        f"and files in dozens of encodings, decoded rightly. ftfy is `ftfy.fix_encoding`. Left out are the texts "
        f"(at most {len(garbled.DAMAGED)}) that were damaged where they were found.",
    ]


def _found(stage: Decontamination, texts: Sequence[str]) -> dict[int, tuple[str, str]]:
    """Benchmark and name of the item found in each text in which one is."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sidecars = []
        for start in range(0, len(texts), _BATCH):
            documents = TextBatch.of_texts(texts[start : start + _BATCH]).documents
            ids = pa.array([f"{start + row:08}" for row in range(len(documents))])
            batch = TextBatch(documents.set_column(0, DOCUMENT.field("id"), ids))
            sidecars.append(folder / f"{start}.parquet")
            write_table(sidecars[-1], [stage.observe(batch)], stage.sidecar)
        nobody = pa.array([], pa.string())
        decision = stage.decide(sidecars, excluded=nobody, read_texts=lambda ids: iter(()), workspace=folder)
    rows = decision.measures.to_pylist() if decision.measures is not None else []
    return {int(row["id"]): (row["benchmark"], row["item"]) for row in rows if row["items"]}


@dataclass(frozen=True, slots=True)
class _Run:
    seconds: float
    found: list[bool]


class _Datatrove(AbstractContextManager["_Datatrove"]):
    """datatrove's filter over some texts, in the peers' interpreter."""

    def __init__(self, chosen: Sequence[Item], texts: Sequence[str], *, queries: bool) -> None:
        self._folder = tempfile.TemporaryDirectory()
        paths = [Path(self._folder.name) / name for name in ("items.parquet", "texts.parquet")]
        pq.write_table(
            pa.table({name: [getattr(item, name) for item in chosen] for name in ("query", "label")}), paths[0]
        )
        pq.write_table(pa.table({"text": texts}), paths[1])
        script = Path(__file__).parents[1] / "peer_decontamination.py"
        self._child = subprocess.Popen(
            [peers_python(), script, *paths, "all" if queries else "label"],
            env=peers_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self) -> _Run:
        print("go", file=self._child.stdin, flush=True)
        answer = json.loads(self._child.stdout.readline() if self._child.stdout else "")
        return _Run(answer["seconds"], answer["found"])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.terminate()
        self._child.communicate()
        self._folder.cleanup()


def _megabytes(texts: Sequence[str]) -> float:
    return sum(len(text.encode()) for text in texts) / 1e6


def _seconds(texts: Sequence[str], work: Callable[[TextBatch], object]) -> float:
    """CPU seconds from bare texts, a batch at a time."""
    batches = [TextBatch.of_texts(texts[start : start + _BATCH]) for start in range(0, len(texts), _BATCH)]
    begun = time.process_time()
    for batch in batches:
        work(batch)
    return time.process_time() - begun


def _fixed(texts: Sequence[str]) -> float:
    begun = time.process_time()
    for text in texts:
        ftfy.fix_encoding(text)
    return time.process_time() - begun
