"""Benchmark items planted into newsgroup posts, whole and spoilt in several ways; and texts that hold none."""

from __future__ import annotations

import gzip
import json
import random
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import prose

from corpusmill.filters.decontamination_index import BenchmarkFiles

_MARKED = 0.15  # share of words that mark-up is put around


def benchmark_files(data: Path) -> dict[str, BenchmarkFiles]:
    """GSM8K (test), HumanEval, MBPP and BIG-Bench Hard, with the fields that are sought."""
    folder = data / "decontam" / "gsm8k_humaneval_bbh_mbpp"
    return {
        "gsm8k": BenchmarkFiles(
            paths=(str(folder / "gsm8k/grade_school_math/data/test.jsonl"),), fields=("question", "answer")
        ),
        "humaneval": BenchmarkFiles(
            paths=(str(folder / "humaneval/data/HumanEval.jsonl.gz"),), fields=("prompt", "canonical_solution")
        ),
        "mbpp": BenchmarkFiles(paths=(str(folder / "mbpp/data/mbpp.jsonl"),), fields=("text", "code")),
        "bbh": BenchmarkFiles(paths=(str(folder / "bbh/bbh/*.json"),), fields=("input", "target"), records="examples"),
    }


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a benchmark: where it comes from, its question and its answer."""

    benchmark: str
    name: str  # file:row
    query: str
    label: str

    @property
    def text(self) -> str:
        return f"{self.query}\n{self.label}"


def items(benchmarks: Mapping[str, BenchmarkFiles]) -> list[Item]:
    """All items, in order."""
    found = []
    for benchmark, files in benchmarks.items():
        for path in files.found():
            content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
            rows = json.loads(content)[files.records] if files.records else map(json.loads, content.splitlines())
            for number, row in enumerate(rows):
                found.append(Item(benchmark, f"{path.name}:{number}", *(row[name] for name in files.fields)))
    return found


def posts(data: Path, most: int | None = None) -> list[str]:
    """Newsgroup posts of up to 20,000 characters."""
    return [text for _, text in islice(prose._posts(data), most) if 0 < len(text) < 20_000]


def clean_texts(data: Path, most: int | None = None) -> Iterator[tuple[str, str]]:
    """Names and texts of corpora that are older than the benchmarks or know nothing of them, `most` of each."""
    for source in (
        prose._books,
        prose._posts,
        prose._reports,
        prose._forums,
        prose._terms,
        prose._articles,
        prose._web,
    ):
        yield from islice(source(data), most)
    for folder, pattern in (
        ("text/math_stacks_project_latex", "*.tex"),
        ("text/math_openstax_calculus_cnxml", "modules/*/*"),
        ("text/wikitext2_valid_test", "*/*"),
        ("text/german_federal_laws_md", "**/*.md"),
    ):
        yield from islice(_pieces(data, folder, pattern), most)


def _pieces(data: Path, folder: str, pattern: str) -> Iterator[tuple[str, str]]:
    for path in prose._files(data, folder, pattern):
        text = prose._read(path)
        for start in range(0, len(text), 20_000):
            yield f"{prose._name(path, data)}#{start}", text[start : start + 20_000]


# How an item is spoilt before it is planted.


def half(text: str, chance: random.Random) -> str:
    words = re.findall(r"\S+\s*", text)
    middle = len(words) // 2
    return "".join(words[:middle] if chance.random() < 0.5 else words[middle:])


def reworded(text: str, chance: random.Random) -> str:
    """One word of each eight in a row is another."""
    words = re.findall(r"\S+\s*", text)
    for start in range(0, len(words), 8):
        words[start + chance.randrange(min(8, len(words) - start))] = f"{chance.choice(_OTHER_WORDS)} "
    return "".join(words)


def wrapped(text: str, chance: random.Random) -> str:
    return textwrap.fill(text, chance.randrange(30, 70))


def quoted(text: str, chance: random.Random) -> str:
    return "\n".join(f"> {line}" for line in textwrap.wrap(text, 60))


def in_other_case(text: str, chance: random.Random) -> str:
    return chance.choice([str.upper, str.lower, str.title])(text)


def in_other_punctuation(text: str, chance: random.Random) -> str:
    for old, new in (("'", "’"), (" - ", " — "), ('"', "“"), (",", " ,"), (". ", " . "), ("?", " ??"), (":", " :")):
        text = text.replace(old, new)
    return text


def _marked(text: str, chance: random.Random, marks: Sequence[str]) -> str:
    parts = re.split(r"(\s+)", text)
    return "".join(
        chance.choice(marks).replace("%", part) if part.strip() and chance.random() < _MARKED else part
        for part in parts
    )


def in_latex(text: str, chance: random.Random) -> str:
    marked = _marked(text.replace("%", "\\%"), chance, ["\\textbf{%}", "\\emph{%}", "$%$", "{\\it %}"])
    return f"\\begin{{quote}}\n{marked}\n\\end{{quote}}"


def in_markdown(text: str, chance: random.Random) -> str:
    marked = _marked(text, chance, ["**%**", "_%_", "`%`", "*%*"]).replace("\n", "\n\n")
    return f"### Example\n- {marked}"


_OTHER_WORDS = ("ledger", "harbour", "window", "seldom", "quiet", "matter", "running", "yellow", "beside", "thought")
REFORMATTED: dict[str, Callable[[str, random.Random], str]] = {
    "other line breaks": wrapped,
    "quoted by `> `": quoted,
    "other case": in_other_case,
    "other punctuation": in_other_punctuation,
    "LaTeX": in_latex,
    "Markdown": in_markdown,
}
WAYS: dict[str, Callable[[str, random.Random], str]] = {
    "whole": lambda text, chance: text,
    **REFORMATTED,
    "half of it": half,
    "one word of eight replaced": reworded,
}


def planted(chosen: Sequence[Item], into: Sequence[str], way: str) -> list[str]:
    """Each item in a post of its own, between two paragraphs."""
    chance = random.Random(way)
    documents = []
    for number, item in enumerate(chosen):
        paragraphs = into[number % len(into)].split("\n\n")
        place = chance.randrange(len(paragraphs) + 1)
        documents.append("\n\n".join([*paragraphs[:place], WAYS[way](item.text, chance), *paragraphs[place:]]))
    return documents
