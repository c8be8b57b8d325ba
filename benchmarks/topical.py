"""Scripts made of topics: modules of benchmarks/topics/ that have a function of the same name each.

A topic's module says in its docstring what its figures are, as `figure NAME what it is`. Its function takes the
`Benchmark`, prints the figures, and returns Markdown paragraphs, which become the topic's section of the document.
"""

from __future__ import annotations

import ast
import re
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from harness import Benchmark

TOPICS = Path(__file__).resolve().parent / "topics"


def run_topics(name: str, description: str, topics: Sequence[str], function: str, document: Path, title: str) -> None:
    """Runs `function` of each topic, or of those that `--only` names, and writes their sections."""
    figures = "\n".join(line for topic in topics for line in figure_lines(topic))
    given = Benchmark.from_arguments(name, f"{description}\n{figures}", topics=topics)
    benchmark = Benchmark(
        name=name, quick=given.quick, data=given.data, only=given.only, document=document, title=title
    )
    benchmark.real_data()
    for topic in given.only or topics:
        began = time.monotonic()
        paragraphs = getattr(import_module(f"topics.{topic}"), function)(benchmark)
        benchmark.write(paragraphs, topic)
        print(f"{topic}: {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)


def figure_lines(topic: str) -> list[str]:
    """The lines on figures in a topic's docstring; its module, which may need a peer, is not imported."""
    docstring = ast.get_docstring(ast.parse((TOPICS / f"{topic}.py").read_text())) or ""
    return re.findall(r"^ +figure .*$", docstring, re.MULTILINE)
