"""Our filters and rewriters as blocks of a datatrove pipeline.

    from corpusmill.pipeline.datatrove_blocks import CorpusmillFilter, CorpusmillRewriter

    LocalPipelineExecutor([
        JsonlReader("in"),
        CorpusmillFilter("gopher_quality", {"min_words": 80}, exclusion_writer=JsonlWriter("dropped")),
        CorpusmillRewriter("pii"),
        JsonlWriter("out"),
    ])

Documents are taken in batches, which is what our kernels are fast at. What was measured goes into a document's metadata
as `<stage>.<measure>`, and the reason of a drop where datatrove puts it. Barriers (dedup, cuts by percentile) see a
whole source and have no block: datatrove has no place for them within one pipeline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import pyarrow as pa
from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.pipeline.writers.disk_base import DiskWriter
from datatrove.utils.batching import batched
from datatrove.utils.typeshelper import StatHints

from corpusmill.documents.batch import TextBatch, without_surrogates
from corpusmill.documents.errors import RecipeError
from corpusmill.documents.schema import DOCUMENT
from corpusmill.filters.contract import Filter, Rewriter
from corpusmill.pipeline import registry
from corpusmill.pipeline.recipe import StageSpec

BATCH = 1000
"""Documents that are taken together."""
_COLUMNS = ("url", "date", "language", "license")


def _built(stage: str, options: Mapping[str, Any], kind: type[Any], table: Mapping[str, str]) -> Any:
    if stage not in table:
        raise RecipeError(f"corpusmill has no {kind.__name__.lower()} {stage!r}; it has {', '.join(table)}")
    made = StageSpec(stage, stage, options, f"corpusmill.{stage}").build()
    made.prepare()
    return made


def _batch(documents: Sequence[Document]) -> TextBatch:
    """datatrove's documents as a batch. Ids are taken as they are: uniqueness is the pipeline's own business."""
    columns: dict[str, pa.Array] = {field.name: pa.nulls(len(documents), field.type) for field in DOCUMENT}
    columns["id"] = pa.array([str(document.id) for document in documents], pa.string())
    columns["text"] = pa.array([without_surrogates(document.text) for document in documents], pa.string())
    columns["source"] = pa.array(
        [str(document.metadata.get("source", "datatrove")) for document in documents], pa.string()
    )
    for name in _COLUMNS:
        given = [document.metadata.get(name) for document in documents]
        columns[name] = pa.array(
            [None if value is None else without_surrogates(str(value)) for value in given], pa.string()
        )
    return TextBatch(pa.RecordBatch.from_arrays([columns[name] for name in DOCUMENT.names], schema=DOCUMENT))


class CorpusmillFilter(BaseFilter):
    """One of our filters.

    Args:
        stage: its name in recipes, such as `gopher_quality`.
        options: its thresholds, as a recipe gives them.
        exclusion_writer: where datatrove writes what was dropped.
        measures: whether to put what was measured into the documents' metadata.

    Raises:
        RecipeError: if there is no such filter, or it does not take these options.
    """

    name = "🏭 corpusmill"

    def __init__(
        self,
        stage: str,
        options: Mapping[str, Any] | None = None,
        exclusion_writer: DiskWriter | None = None,
        measures: bool = True,
        batch_size: int = BATCH,
    ) -> None:
        super().__init__(exclusion_writer, batch_size)
        self.stage = stage
        self.options = dict(options or {})
        self.measures = measures
        _ = self._filter  # a wrong name or value is told here and not in a worker

    @cached_property
    def _filter(self) -> Filter:
        made: Filter = _built(self.stage, self.options, Filter, registry.FILTERS)
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_filter"}

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        """The verdict on one document; `filter_batch` is many times as fast."""
        return self.filter_batch([doc])[0]

    def filter_batch(self, batch: list[Document]) -> list[bool | tuple[bool, str]]:
        """True for each document that stays, (False, reason) for each that goes."""
        measured = self._filter.measure(_batch(batch))
        verdicts = self._filter.judge(measured).to_pylist()
        if self.measures:
            for document, row in zip(batch, measured.to_pylist(), strict=True):
                document.metadata.update({f"{self.stage}.{name}": value for name, value in row.items()})
        reasons = [str(reason) for reason in self._filter.reasons]
        return [True if verdict is None else (False, f"{self.stage}/{reasons[verdict]}") for verdict in verdicts]


class CorpusmillRewriter(PipelineStep):
    """One of our rewriters; see `CorpusmillFilter` for the arguments."""

    type = "✂️ - FORMAT"
    name = "🏭 corpusmill"

    def __init__(
        self, stage: str, options: Mapping[str, Any] | None = None, measures: bool = True, batch_size: int = BATCH
    ) -> None:
        super().__init__()
        self.stage = stage
        self.options = dict(options or {})
        self.measures = measures
        self.batch_size = batch_size
        _ = self._rewriter

    @cached_property
    def _rewriter(self) -> Rewriter:
        made: Rewriter = _built(self.stage, self.options, Rewriter, registry.REWRITERS)
        return made

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_rewriter"}

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> Iterator[Document]:
        """Rewrites the documents of a pipeline."""
        for batch in batched(data, self.batch_size):
            with self.track_time("batch"):
                texts, done = self._rewriter.rewrite(_batch(batch))
            for document, text, row in zip(batch, texts.to_pylist(), done.to_pylist(), strict=True):
                self.stat_update(StatHints.total)
                if text != document.text:
                    self.stat_update("rewritten")
                document.text = text
                if self.measures:
                    document.metadata.update({f"{self.stage}.{name}": value for name, value in row.items()})
                yield document
