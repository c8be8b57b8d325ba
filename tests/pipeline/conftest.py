"""A tiny corpus with real stages, run once in this process, and what tests of the pipeline's parts need beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from corpusmill.pipeline.executors import Executor, Watch
from corpusmill.pipeline.progress import PlainProgress
from corpusmill.pipeline.recipe import load_recipe
from corpusmill.pipeline.run import RunResult, run_recipe
from corpusmill.pipeline.tasks import Outcome, Runnable

HOSTILE = (
    "<script>alert(1)</script> ]]> </pre></details><!-- &amp; \u202eevil\u202c \x01\x07 <img src=x onerror=alert(2)> "
)
STORY = (
    "The ferry left late that morning because the captain had lost his keys. Nobody on board was angry with him, and "
    "the baker from the upper village handed out warm bread until the harbour was out of sight. They talked about the "
    "price of wool and the coming winter, and how the old lighthouse would finally be painted."
)
TEXTS = {
    "mail": "Please write to mara@example.org before Friday, and do not forget to bring the signed papers with you.",
    "short": "Too short.",
    "story": STORY,
    "story again": STORY,
    "story, one word": STORY.replace("painted", "repainted"),
    "story, another word": STORY.replace("angry", "cross"),
    "hostile": HOSTILE + "and a few more ordinary words so that the text is long enough to be kept by the rules",
    "long line": "word and then another " * 50_000,
}
STAGES: list[Any] = [
    {"gopher_quality": {"min_words": 5, "max_words": 100_000, "min_stop_words": None, "min_alphabetic_tokens": None}},
    "exact_dedup",
    {"pii": {"kinds": ["email"]}},
    {"minhash_dedup": {"ngram": 3}},
]


class InlineExecutor(Executor):
    """Runs tasks in this process, one after the other; an exception is the task's error."""

    def run(self, tasks: Sequence[Runnable], watch: Watch) -> list[Outcome]:
        outcomes = []
        for task in tasks:
            try:
                outcome = Outcome(task, counts=task.run())
            except ValueError as error:
                outcome = Outcome(task, error=f"Traceback\nValueError: {error}")
            watch(outcome)
            outcomes.append(outcome)
        return outcomes


@dataclass(frozen=True)
class SmallRun:
    """A finished run of the tiny corpus."""

    recipe: Path
    result: RunResult

    @property
    def folder(self) -> Path:
        return self.result.folder

    @property
    def manifest(self) -> dict[str, Any]:
        return self.result.manifest


def write_small_recipe(folder: Path, **changes: Any) -> Path:
    """The corpus and its recipe in `folder`; returns the recipe's path."""
    records = [json.dumps({"text": text, "url": f"https://a.example/{name}"}) for name, text in TEXTS.items()]
    (folder / "posts.jsonl").write_text("\n".join([*records, "{not json", '{"title": "no text"}']) + "\n")
    (folder / "notes").mkdir(exist_ok=True)
    for number in range(12):
        (folder / "notes" / f"{number}.txt").write_text(
            f"Note {number}: the cellar was measured at {number} degrees.\n"
        )
    data = {
        "name": "small",
        "seed": 3,
        "runs": str(folder / "runs"),
        "sources": {
            "posts": {"paths": "posts.jsonl", "stages": STAGES},
            "notes": {"paths": "notes", "kind": "text", "license": "CC0-1.0"},
        },
        "mix": {"ratios": {"posts": 0.5, "notes": 0.5}, "validation": 0},
        **changes,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


@pytest.fixture(scope="session")
def inline_executor() -> InlineExecutor:
    return InlineExecutor()


@pytest.fixture(scope="session")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> PlainProgress:
    """A progress that nobody reads."""
    stream = open(tmp_path_factory.mktemp("log") / "progress.txt", "w")  # noqa: SIM115  (as long as the session)
    return PlainProgress(stream, seconds_between=3600)


@pytest.fixture(scope="session")
def small_run(
    tmp_path_factory: pytest.TempPathFactory, inline_executor: InlineExecutor, quiet: PlainProgress
) -> SmallRun:
    path = write_small_recipe(tmp_path_factory.mktemp("small"))
    return SmallRun(path, run_recipe(load_recipe(path), inline_executor, quiet))


@pytest.fixture(scope="session")
def write_recipe() -> Any:
    """`write_small_recipe`, for tests that want a corpus of their own."""
    return write_small_recipe
