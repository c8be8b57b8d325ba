"""datatrove_filter, datatrove_formatter: any filter or formatter of datatrove as a stage.

    - datatrove: {block: GopherQualityFilter, args: {min_doc_words: 80}}
    - datatrove: {block: PIIFormatter}
    - datatrove: {block: "my_package.my_module:MyFilter"}

The recipe's `datatrove` becomes one of the two stages by the kind of block. A filter's answers become verdicts; the
reason that it gave is the measure `reason`, and what it wrote into a document's metadata (a language, a score) the
measure `metadata`. A block sees a document's text, its id, and as metadata what the source said, with url, date,
language, license and source among it.

Differs from datatrove: a filter that assigns the text while it judges (C4QualityFilter, C4ParagraphFilter) is refused
until the recipe says `edits: true`; then it is taken in two steps, first what it drops and then what it edits. A block
that draws random numbers gives the same result only for the same order and split of documents. An exception in a block
fails the task, as it does in datatrove, and nothing of the task remains.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from hashlib import blake2b
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import CorpusmillError, RecipeError
from corpusmill.filters.contract import Filter, Rewriter

if TYPE_CHECKING:
    from datatrove.data import Document

_PACKAGES = ("datatrove.pipeline.filters", "datatrove.pipeline.formatters")
_COLUMNS = ("url", "date", "language", "license", "source")
_REASON = "refused"


def _library_number() -> int:
    """A number for the installed datatrove, so that another version's results are made anew."""
    try:
        name = version("datatrove")
    except PackageNotFoundError:
        name = "none"
    return int.from_bytes(blake2b(name.encode(), digest_size=4).digest())


class Reason(StrEnum):
    REFUSED = _REASON


@dataclass(frozen=True, kw_only=True)
class _Block:
    """What both stages share: the block, made once a process."""

    block: str
    """Name of a class in datatrove.pipeline.filters or .formatters, or `module:Class` for one of your own."""
    args: Mapping[str, Any] | None = None
    """What its constructor is given."""
    edits: bool = False
    """Take what a filter assigns to the text as an edit, in a step of its own after its verdicts."""

    @cached_property
    def made(self) -> Any:
        """The block.

        Raises:
            RecipeError: if there is no such block, or it does not take these arguments.
        """
        kind = block_class(self.block)
        try:
            return kind(**(self.args or {}))
        except (TypeError, ValueError, ImportError, AssertionError) as error:
            raise RecipeError(f"datatrove.args: {self.block} cannot be made of {self.args or {}}: {error}") from error

    def __getstate__(self) -> dict[str, Any]:
        """A worker process makes the block itself."""
        return {key: value for key, value in self.__dict__.items() if key != "made"}


@dataclass(frozen=True, kw_only=True)
class DatatroveFilter(_Block, Filter):
    """Drops what a filter of datatrove drops."""

    name: ClassVar[str] = "datatrove_filter"
    version: ClassVar[int] = _library_number()
    reasons: ClassVar[type[StrEnum]] = Reason
    measures: ClassVar[pa.Schema] = pa.schema(
        [("passed", pa.bool_()), ("reason", pa.string()), ("metadata", pa.string())]
    )

    def prepare(self) -> None:
        self.made  # noqa: B018

    def measure(self, batch: TextBatch) -> pa.RecordBatch:
        documents = documents_of(batch)
        before = [dict(document.metadata) for document in documents]
        answers = [answer if isinstance(answer, tuple) else (answer, None) for answer in _answers(self.made, documents)]
        if not self.edits:
            for document, text, (passed, _) in zip(documents, batch.texts.to_pylist(), answers, strict=True):
                if passed and document.text != text:
                    raise CorpusmillError(
                        f"datatrove: {self.block} edits texts while it judges; say so in the recipe (edits: true), and "
                        "it is taken in two steps"
                    )
        columns = [
            pa.array([bool(passed) for passed, _ in answers]),
            pa.array([None if passed else str(reason or _REASON) for passed, reason in answers], pa.string()),
            pa.array(
                [_added(old, document.metadata) for old, document in zip(before, documents, strict=True)], pa.string()
            ),
        ]
        return pa.RecordBatch.from_arrays(columns, schema=self.measures)

    def judge(self, measures: pa.RecordBatch) -> pa.Int8Array:
        passed = measures.column("passed").fill_null(True).to_numpy(zero_copy_only=False)
        return pa.array([0] * len(passed), pa.int8(), mask=passed)


@dataclass(frozen=True, kw_only=True)
class DatatroveRewriter(_Block, Rewriter):
    """Changes texts as a formatter of datatrove does, or as a filter does that edits."""

    name: ClassVar[str] = "datatrove_formatter"
    version: ClassVar[int] = _library_number()
    measures: ClassVar[pa.Schema] = pa.schema([pa.field("changed", pa.int32(), nullable=False)])

    def prepare(self) -> None:
        self.made  # noqa: B018

    def rewrite(self, batch: TextBatch) -> tuple[pa.StringArray, pa.RecordBatch]:
        before = batch.texts.to_pylist()
        if self.edits:
            documents = documents_of(batch)
            _answers(self.made, documents)
            after = [document.text for document in documents]
        else:
            after = [self.made.format(text) for text in before]
        changed = pa.array([int(new != old) for new, old in zip(after, before, strict=True)], pa.int32())
        return pa.array(after, pa.string()), pa.RecordBatch.from_arrays([changed], schema=self.measures)


def block_class(name: str) -> Any:
    """The class of a filter or formatter of datatrove.

    Raises:
        RecipeError: if datatrove is not installed, or has no such block.
    """
    try:
        from datatrove.pipeline.filters.base_filter import BaseFilter
        from datatrove.pipeline.formatters.base import BaseFormatter
    except ImportError as error:
        raise RecipeError(f"datatrove: is not installed ({error}); pip install corpusmill[datatrove]") from error
    bases = (BaseFilter, BaseFormatter)
    if ":" in name:
        module, _, attribute = name.partition(":")
        try:
            found = getattr(import_module(module), attribute, None)
        except (ImportError, ValueError) as error:
            raise RecipeError(f"datatrove.block: {name}: {error}; write module:Class") from error
        if not isinstance(found, type) or not issubclass(found, bases):
            raise RecipeError(f"datatrove.block: {name} is no class below datatrove's BaseFilter or BaseFormatter")
        return found
    known = {
        key: kind
        for package in map(import_module, _PACKAGES)
        for key, kind in vars(package).items()
        if isinstance(kind, type) and issubclass(kind, bases)
    }
    if name not in known:
        raise RecipeError(
            f"datatrove.block: datatrove has no filter or formatter {name!r}; it has {', '.join(sorted(known))}"
        )
    return known[name]


def is_formatter(name: str) -> bool:
    """Whether a block only changes texts.

    Raises:
        RecipeError: as `block_class`.
    """
    kind = block_class(name)  # first of all, as it says so if datatrove is not installed
    from datatrove.pipeline.formatters.base import BaseFormatter

    return issubclass(kind, BaseFormatter)


def documents_of(batch: TextBatch) -> list[Document]:
    """A batch as datatrove's documents: what the source said and the document's columns are their metadata."""
    from datatrove.data import Document

    rows = batch.documents.select(["id", "text", "metadata", *_COLUMNS]).to_pylist()
    return [
        Document(
            text=row["text"],
            id=row["id"],
            metadata={
                **(json.loads(row["metadata"]) if row["metadata"] else {}),
                **{name: row[name] for name in _COLUMNS if row[name] is not None},
            },
        )
        for row in rows
    ]


def _answers(block: Any, documents: Sequence[Document]) -> list[Any]:
    """What a filter says of each document, in batches of the size that it asks for."""
    size = max(getattr(block, "batch_size", 1), 1)
    return [
        answer
        for start in range(0, len(documents), size)
        for answer in block.filter_batch(list(documents[start : start + size]))
    ]


def _added(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """What a block wrote into the metadata, as JSON; None for nothing."""
    added = {key: value for key, value in after.items() if key not in before or before[key] != value}
    return json.dumps(added, ensure_ascii=False, default=str) if added else None
