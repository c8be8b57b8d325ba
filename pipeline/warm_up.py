"""Compiles the kernels that a recipe needs before its tasks start: on a fresh machine, once, on all cores.

numba keeps machine code beside the sources (or in the user's cache where that cannot be written), so later runs and
other workers only load it. The errands run in the workers that will do the tasks.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from corpusmill.dedup.contract import RememberingDeduplication
from corpusmill.documents.barrier import Barrier
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.shards import content_hashes, write_table
from corpusmill.filters.contract import Filter
from corpusmill.pipeline.executors import Executor
from corpusmill.pipeline.extraction import Extraction
from corpusmill.pipeline.phases import built
from corpusmill.pipeline.recipe import StageSpec
from corpusmill.pipeline.tasks import Counts

SECONDS_WORTH_A_LINE = 3.0
_TEXT = (
    "It was not the first letter of that week.\n\nNor, as she said to a@b.example, the last one: 漢字 — and so on..."
)


@dataclass(frozen=True, slots=True)
class Errand:
    """Runs one stage on short documents, two of them equal, so that all of its kernels are there."""

    spec: StageSpec | None  # None: what every stage needs
    size: int = 0

    @property
    def key(self) -> str:
        return f"compile {self.spec.stage if self.spec else 'segmentation'}"

    def run(self) -> Counts:
        batch = TextBatch.of_texts([_TEXT, _TEXT * 2, _TEXT * 2])
        content_hashes(batch.documents.column("id"), batch.texts)
        _ = batch.words, batch.lines, batch.paragraphs, batch.folded_hashes
        if self.spec is not None:
            touch(built(self.spec), batch)
        return {}


@dataclass(frozen=True, slots=True)
class PageErrand:
    """Reads a short page, so that all kernels of extraction are there."""

    extraction: Extraction
    size: int = 0

    @property
    def key(self) -> str:
        return f"compile {self.extraction.engine}"

    def run(self) -> Counts:
        self.extraction.extract(b"<title>a</title><p>b &amp; c", "text/html")
        return {}


def warm_up(
    stages: Iterable[StageSpec],
    executor: Executor,
    say: Callable[[str], None],
    extractions: Iterable[Extraction] = (),
) -> None:
    """Sees to it that every kernel of these stages and of these ways to read pages is compiled.

    Raises:
        RecipeError, InputError: for a stage that cannot be built.
    """
    specs = {(spec.stage, str(spec.options)): spec for spec in stages}
    line = "compiling kernels, which takes under a minute; later runs on this machine load them"
    told = threading.Timer(SECONDS_WORTH_A_LINE, say, [line])
    told.start()
    try:
        executor.run([Errand(None)], lambda outcome: None)
        pages = {extraction.engine: PageErrand(extraction) for extraction in extractions}
        executor.run([*pages.values(), *(Errand(spec) for spec in specs.values())], lambda outcome: None)
    finally:
        told.cancel()


def touch(stage: object, batch: TextBatch) -> None:
    """Calls whatever of `stage` has kernels behind it."""
    if isinstance(stage, Filter):
        stage.judge(stage.measure(batch))
    elif isinstance(stage, Barrier):
        batch.measured = {name: pa.nulls(len(batch), pa.float64()) for name in stage.needs()}
        with tempfile.TemporaryDirectory() as folder:
            _decide(stage, batch, Path(folder))
            if isinstance(stage, RememberingDeduplication) and (stage.against or stage.precedence or stage.update):
                # Whatever it writes and reads of these, it has kernels for both.
                writer = replace(stage, precedence=("warm_up",), against=(), update=None, update_as=None)
                part = Path(folder) / "part"
                sidecar = _observe(writer, batch, Path(folder))
                writer.remember([sidecar], pa.array([], pa.string()), part)
                _decide(stage, batch, Path(folder), seen=[part])
    else:
        stage.rewrite(batch)  # type: ignore[attr-defined]


def _observe(barrier: Barrier, batch: TextBatch, folder: Path) -> Path:
    sidecar = folder / "sidecar.parquet"
    write_table(sidecar, [barrier.observe(batch)], barrier.sidecar)
    return sidecar


def _decide(barrier: Barrier, batch: TextBatch, folder: Path, **more: Any) -> None:
    sidecar, nobody = _observe(barrier, batch, folder), pa.array([], pa.string())
    barrier.decide([sidecar], excluded=nobody, read_texts=lambda ids: iter([batch]), workspace=folder, **more)
