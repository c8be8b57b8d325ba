"""Drops documents that say the same as one that stays in other words: semantic near-duplicates.

After SemDeDup (Abbas et al. 2023, arXiv:2303.09540, section 3): embeddings of a model are clustered by k-means, and of
those in a cluster whose cosine similarity is above 1 - epsilon, one stays. `min_similarity` is 1 - epsilon.

Differs from the paper and its released code:
- A document goes only if it is similar to one that stays. The paper drops it as well for one that goes itself, so a
  chain of small steps leads from any text to any other.
- Which one stays is said by `keep`; the paper's choice, the least similar to the centroid, is `centroid_far`.
- Texts of very different lengths are never twins (`min_length_ratio`): a note is not the report that it is about.
- Twins must be nearer to one another than to their neighbours (`max_distance_ratio`; vector_clusters.py says why).
- Of a long document, excerpts from its beginning to its end are looked at, not its beginning alone (embeddings.py).
- The model is the user's, and the threshold is of that model: how alike two texts are to it says
  nothing about another's. The paper uses the last layer of OPT-125M for C4, and CLIP for images.
- Fewer than some 13,000 documents are one cluster, in which every pair is compared. Of more, k-means makes a cluster
  for each 8,800, as the paper does (50,000 for 440 million images); a pair that it parts is not found.

Sidecar, one row for each document:

    id         string
    embedding  fixed_size_binary[2 * dimensions]   float16, little-endian, of length 1; 0 where there is nothing to tell
    bytes      int32                               of the text
    quality    float32
                                                   and what else `keep` looks at (dedup/keep.py)

Memory of `decide`: about 200 bytes for each document, and what vector_clusters.py says. Embeddings are mapped from a
file of the workspace.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.dedup.contract import Deduplication, StepFiles
from corpusmill.dedup.embeddings import Encoder, load_encoder, model_files
from corpusmill.dedup.keep import Keep, KeepMeasure, accept_keep, keep_columns, keep_fields, keep_needs, keep_order
from corpusmill.dedup.vector_clusters import Limits, Vectors, clustered, settle
from corpusmill.documents.barrier import CLUSTERS, VERDICTS, Decision, ReadTexts
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.documents.ids import repeated_id, whole_ids
from corpusmill.documents.shards import sha256_of
from corpusmill.documents.sidecars import Sidecars, decision, observed_twice

MOST_CLUSTERS = 50_000
"""As many as the paper has for 440 million images."""
_LEAST_TOKENS = 8
_CLUSTER_DOCUMENTS = 8_800


class SemanticReason(StrEnum):
    SEMANTIC_DUPLICATE = "semantic_duplicate"


@dataclass(frozen=True, kw_only=True)
class SemanticDedup(Deduplication):
    """Keeps one document of each set that says the same."""

    name: ClassVar[str] = "semantic_dedup"
    reasons: ClassVar[type[StrEnum]] = SemanticReason
    judged_fields: ClassVar[frozenset[str]] = Deduplication.judged_fields | {
        "min_similarity",
        "min_length_ratio",
        "max_distance_ratio",
        "clusters",
        "seed",
        "keep",
    }
    measures: ClassVar[pa.Schema] = pa.schema(
        [pa.field("cluster", pa.int32()), pa.field("centroid_similarity", pa.float64())]
    )

    model: str = field(metadata={"path": True})
    """Folder of a model2vec model (model.safetensors, tokenizer.json) or of a sentence encoder in ONNX (model.onnx or
    onnx/model.onnx, tokenizer.json), or the path of an .onnx file."""

    sha256: str | None = None
    """What the model's .safetensors or .onnx file must be, so that a recipe names one model for ever; null takes
    whichever is there."""

    max_tokens: int | None = None
    """Tokens that a text's embedding is of, about and at most, 8 or more: of a longer text, those of eight excerpts
    from its beginning to its end. null: 2,048 of a static model, 512 of an encoder."""

    languages: tuple[str, ...] = ()
    """Languages that the model knows, as the column `language` has them, such as `en`: documents in others stay. Those
    of no stated language are compared. () compares all: a model takes texts for alike that it cannot read."""

    min_similarity: float = 0.9
    """Least cosine similarity, in (0, 1], of a document that goes to the one that stays: 1 - epsilon of the paper."""

    min_length_ratio: float = 0.5
    """Least length of the shorter of two twins, in bytes, as a share of the longer one's, from 0 to 1."""

    max_distance_ratio: float | None = 0.3
    """Greatest distance (1 - cosine) of two twins as a share of the mean distance to their eighth nearest neighbours,
    of 4,096 documents of their cluster: where many texts are alike, they are of one kind, and not the same. null: off,
    as in the paper."""

    clusters: int | None = None
    """How many clusters k-means makes, at most 50,000; null: one for each 8,800 documents."""

    seed: int = 0
    """Of k-means."""

    keep: Literal["best_quality", "longest", "earliest", "first_id", "centroid_far"] | KeepMeasure = "best_quality"
    """Which document stays: best_quality, longest, earliest, first_id, or {measure: …, order: ascending | descending}
    (dedup/keep.py tells how ties end); or centroid_far, the least similar to its cluster's centroid."""

    def prepare(self) -> None:
        super().prepare()
        if not 0 < self.min_similarity <= 1:
            raise RecipeError(
                f"{self.name}.min_similarity: {self.min_similarity} is no similarity; it must be above 0 and at most "
                "1, such as 0.9"
            )
        if self.max_distance_ratio is not None and not 0 <= self.max_distance_ratio <= 1:
            raise RecipeError(
                f"{self.name}.max_distance_ratio: {self.max_distance_ratio} is no ratio; use 0 to 1, such as 0.3, or "
                "null for none"
            )
        if not 0 <= self.min_length_ratio <= 1:
            raise RecipeError(
                f"{self.name}.min_length_ratio: {self.min_length_ratio} is no share; use 0 to 1, where 0 is any length"
            )
        if self.clusters is not None and not 1 <= self.clusters <= MOST_CLUSTERS:
            raise RecipeError(
                f"{self.name}.clusters: {self.clusters} is no number of clusters for k-means; use 1 to "
                f"{MOST_CLUSTERS}, or null for one in {_CLUSTER_DOCUMENTS} documents"
            )
        if self.max_tokens is not None and self.max_tokens < _LEAST_TOKENS:
            raise RecipeError(f"{self.name}.max_tokens: {self.max_tokens} is too few; use {_LEAST_TOKENS} or more")
        weights = self.files()[0]
        if self.sha256 is not None and (digest := sha256_of(weights)) != self.sha256.lower():
            raise InputError(
                f"{weights}: its sha256 is {digest}, but the recipe asks for {self.sha256}; restore the model, or "
                f"change {self.name}.sha256 if the new one is meant"
            )
        self._encoder()

    def files(self) -> Sequence[Path]:
        return model_files(Path(self.model))

    def needs(self) -> Sequence[str]:
        return keep_needs(self._own_keep)

    def accept(self, needed: Mapping[str, pa.DataType]) -> None:
        accept_keep(self._own_keep, needed)

    @property
    def sidecar(self) -> pa.Schema:
        embedding = pa.field("embedding", pa.binary(2 * self._encoder().dimensions), nullable=False)
        return pa.schema([pa.field("id", pa.string(), nullable=False), embedding, *keep_fields(self._own_keep)])

    def observe(self, batch: TextBatch) -> pa.RecordBatch:
        schema = self.sidecar
        embeddings = np.zeros((len(batch), self._encoder().dimensions), "<f2")
        known = np.flatnonzero(self._known(batch))
        embeddings[known] = self._encoder().encode(batch.texts.take(pa.array(known)))
        stored = pa.Array.from_buffers(schema.field("embedding").type, len(batch), [None, pa.py_buffer(embeddings)])
        columns = [batch.documents.column("id"), stored, *keep_columns(batch, self._own_keep)]
        return pa.RecordBatch.from_arrays(columns, schema=schema)

    def decide(
        self,
        sidecars: Sequence[Path],
        *,
        excluded: pa.StringArray,
        read_texts: ReadTexts,
        workspace: Path,
        done: StepFiles | None = None,
        seen: Sequence[Path] = (),
    ) -> Decision:
        file = workspace / "embeddings.bin"
        documents, rows = self._gathered(Sidecars(sidecars, self.sidecar, excluded), file)
        if len(rows) == 0:
            return decision(VERDICTS.empty_table(), CLUSTERS.empty_table())
        vectors = Vectors(np.memmap(file, "<f2", "r").reshape(-1, self._encoder().dimensions))
        count = self.clusters if self.clusters is not None else max(1, round(len(rows) / _CLUSTER_DOCUMENTS))
        parts = clustered(vectors, rows, count, self.seed)
        documents = documents.append_column("cluster", pa.array(parts.labels))
        documents = documents.append_column("nearness", pa.array(parts.nearness))
        order = pc.sort_indices(documents, sort_keys=[("cluster", "ascending"), *self._order]).to_numpy()
        labels = parts.labels[order]
        firsts = np.flatnonzero(np.diff(labels, prepend=-1, append=-1))
        twins, similarities = settle(
            vectors,
            rows[order],
            documents.column("bytes").to_numpy()[order].astype(np.float32),
            firsts,
            Limits(self.min_similarity, self.min_length_ratio, self.max_distance_ratio),
        )
        return self._decision(documents.take(pa.array(order)), twins, similarities)

    def _known(self, batch: TextBatch) -> NDArray[np.bool_]:
        """Which documents are in a language that the model knows."""
        if not self.languages:
            return np.ones(len(batch), np.bool_)
        languages = batch.documents.column("language")
        return np.asarray(pc.or_(pc.is_in(languages, pa.array(self.languages)), pc.is_null(languages)))

    def _gathered(self, sidecars: Sidecars, file: Path) -> tuple[pa.Table, NDArray[np.int64]]:
        """Ids and keep columns of the documents with an embedding, by id, and the row of each in `file`, which gets the
        embeddings.

        Raises:
            DamagedRunError: if a document stands in the sidecars twice.
            UsageError: if their ids do not fit in one array.
        """
        parts, rows = [], [np.empty(0, np.int64)]
        written = 0
        with open(file, "wb") as stream:
            for batch in sidecars.batches(self.sidecar.names):
                column = batch.column("embedding")
                stored = np.frombuffer(column.buffers()[1], "<f2").reshape(-1, column.type.byte_width // 2)
                stored = stored[column.offset : column.offset + len(column)]
                told = stored.any(axis=1)
                stream.write(np.ascontiguousarray(stored[told]).data)
                parts.append(batch.drop_columns(["embedding"]).filter(pa.array(told)))
                rows.append(written + np.arange(len(parts[-1])))
                written += len(parts[-1])
        schema = self.sidecar.remove(self.sidecar.get_field_index("embedding"))
        documents = pa.Table.from_batches(parts, schema)
        if (twice := repeated_id(whole_ids("documents with an embedding", documents.column("id")))) is not None:
            raise observed_twice(twice)
        order = pc.sort_indices(documents, sort_keys=[("id", "ascending")])
        return documents.take(order), np.concatenate(rows)[order.to_numpy()]

    def _decision(self, documents: pa.Table, twins: NDArray[np.int64], similarities: NDArray[np.float32]) -> Decision:
        ids = documents.column("id")
        going = np.flatnonzero(twins >= 0)
        sizes = 1 + np.bincount(twins[going], minlength=len(twins))
        staying = np.flatnonzero(sizes > 1)
        decided = decision(
            pa.table(
                {
                    "id": ids.take(pa.array(going)),
                    "reason": pa.repeat(str(SemanticReason.SEMANTIC_DUPLICATE), len(going)),
                    "kept_id": ids.take(pa.array(twins[going])),
                    "similarity": similarities[going],
                }
            ),
            pa.table({"id": ids.take(pa.array(staying)), "cluster_size": sizes[staying]}),
        )
        told = documents.select(["id", "cluster", "nearness"]).rename_columns(["id", *self.measures.names])
        measures = told.cast(pa.schema([documents.schema.field("id"), *self.measures]))
        return Decision(decided.verdicts, decided.clusters, measures.sort_by("id"))

    @property
    def _order(self) -> Sequence[tuple[str, str]]:
        nearness = [("nearness", "ascending")] if self.keep == "centroid_far" else []
        return [*nearness, *keep_order(self._own_keep)]

    @property
    def _own_keep(self) -> Keep:
        """The part of the order that is keep.py's: ties of centroid_far end as elsewhere."""
        return "longest" if self.keep == "centroid_far" else self.keep

    def _encoder(self) -> Encoder:
        return load_encoder(Path(self.model), self.max_tokens)
