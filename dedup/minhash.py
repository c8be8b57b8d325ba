"""Drops near-duplicates: documents whose word n-grams are mostly those of a document that stays.

MinHash with locality-sensitive hashing proposes pairs, with FineWeb's parameters by default (Penedo et al. 2024,
arXiv:2406.17557, section 3.4: 5-grams, 14 bands of 8 rows); a pair counts only when it has been verified, and a cluster
is a star around the document that stays (clusters.py).

Differs from FineWeb (datatrove's `MinhashDedup*` blocks):
- Every removal is verified, by signatures where they are clear and by the exact similarity of the sets of n-grams
  (Jaccard's, or the containment of the smaller) near `min_similarity`. Unverified, of the pairs proposed on templated
  text only 35 to 44 % had a similarity of .75.
- Words are those of documents/segmentation.py, so text without spaces has words, too. As in FineWeb, words of
  punctuation alone do not count, and case and diacritics do not matter.
- Numbers are words like others. FineWeb takes all numbers for one, which makes tables and price lists with other
  figures near-duplicates; `fold_numbers` does so.
- A document with fewer words than an n-gram is compared as a whole: it is a near-duplicate only of documents with the
  same words. One without any word is a near-duplicate of none.

Where a source is large (`task_documents`), tasks of their own make band keys and join them (banding.py): `spread` and
`join`.

Memory of `decide`: 4 bytes for each document (banding.py), and about 150 for each that shares a band with another
(candidates.py, clusters.py). The signatures of the latter are mapped from a file of the workspace (224 bytes each).

Sidecar, one row for each document:

    id         string
    signature  fixed_size_binary[2 * permutations]   uint16 values, little-endian (signatures.py)
    words      int32                                 words that count
    shingles   int32                                 different shingles; with `containment` alone
    bytes      int32                                 of the text
    quality    float32
                                                     and what else `keep` looks at (dedup/keep.py)

With `update` or `precedence` also what goes into an index part (minhash_index.py): `source` and `url` (strings) and
`shingle_set` (list of uint32), in whose place there is `shingles` where `index_shingles` is false.

Documents that a part of an index has go first, whatever the `keep` order; the others are compared with one another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.dedup.banding import (
    Banding,
    Components,
    Signatures,
    check_countable,
    read_pairs,
    same_keys,
    spread,
)
from corpusmill.dedup.candidates import Candidates, read_candidates, signature_values
from corpusmill.dedup.clusters import ExactSimilarity, Stars, Verification, settle
from corpusmill.dedup.contract import Step, StepFiles
from corpusmill.dedup.index import Form, IndexPart
from corpusmill.dedup.keep import Keep, accept_keep, keep_columns, keep_fields, keep_needs
from corpusmill.dedup.minhash_index import (
    PROPOSALS,
    SHINGLES,
    MinHashParameters,
    ShortSets,
    seek_minhash,
    seen_before,
    write_minhash_part,
)
from corpusmill.dedup.remembering import IndexedDeduplication
from corpusmill.dedup.seeking import (
    DOCUMENT_FIELDS,
    SEEK,
    document_columns,
    open_parts,
    seek_steps,
    seen_verdicts,
    sidecars_of,
    step_matches,
)
from corpusmill.dedup.shingles import ShingleSets, distinct, shingles_of
from corpusmill.dedup.signatures import VALUE_BYTES, signatures_of
from corpusmill.documents.barrier import CLUSTERS, VERDICTS, Decision, ReadTexts
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import DamagedRunError, RecipeError
from corpusmill.documents.ids import IdIndex, whole_ids
from corpusmill.documents.shards import atomic_file, write_table
from corpusmill.documents.sidecars import Sidecars, decision, sidecar_counts, sidecar_runs

MOST_PERMUTATIONS = 16_384
"""A signature has 32 kB then, and tells a similarity within .004."""
MOST_BANDS = 1024
"""Each takes 1 MB while keys are put in order."""
_SHARE_WORTH_TASKS = 0.2  # of `task_documents`
_JOINED_KEYS = 4  # by one task, for each of `task_documents`


class MinHashReason(StrEnum):
    SEEN_BEFORE = "seen_before"
    NEAR_DUPLICATE = "near_duplicate"


@dataclass(frozen=True, kw_only=True)
class MinHashDedup(IndexedDeduplication):
    """Keeps one document of each set of near-duplicates."""

    name: ClassVar[str] = "minhash_dedup"
    reasons: ClassVar[type[StrEnum]] = MinHashReason
    judged_fields: ClassVar[frozenset[str]] = IndexedDeduplication.judged_fields | {
        "bands",
        "rows",
        "threshold",
        "min_similarity",
        "margin",
        "keep",
        "task_documents",
    }

    ngram: int = 5
    """Words in a shingle. Fewer find more, and more that is alike by chance."""

    permutations: int = 112
    """Values in a signature, at most 16,384. Bands times rows of them are used to propose, all of them to estimate."""

    bands: int = 14
    rows: int = 8
    """A pair of similarity s is proposed with probability 1 - (1 - s^rows)^bands: at 14 bands of 8 rows .56 at .70, .77
    at .75, .92 at .80, .99 at .85."""

    threshold: float | None = None
    """Instead of bands and rows: the similarity in (0, 1] from which pairs should be proposed. datasketch's optimiser
    then splits the permutations into the bands and rows with the least false positives and negatives, in equal weight.
    """

    similarity: Literal["jaccard", "containment"] = "jaccard"
    """What counts as similar. jaccard: shared shingles over all shingles of both; containment: over those of the
    smaller set. With containment, `keep: longest` is usual: otherwise a short document may stay in the place of a long
    one that contains it. Pairs are proposed by their Jaccard similarity all the same, which is small where a short
    document stands in a long one: more bands of fewer rows find more of those."""

    min_similarity: float = 0.75
    """Least similarity, in (0, 1], of a document that goes to the one that stays."""

    margin: float = 3.0
    """Standard errors around `min_similarity` within which signatures do not settle a pair, but the texts do. At 3, one
    pair in 700 just below `min_similarity` passes by its signatures; more reads more texts again."""

    fold_numbers: bool = False
    """Whether all numbers count as one word, as in FineWeb."""

    hash_bits: Literal[32, 64] = 64
    """Width of the permutations. 32 is faster, but may take two different documents of one shingle each for one: among
    77,000 such documents, with a chance of one half."""

    seed: int = 0
    """Of the permutations."""

    keep: Keep = "best_quality"
    """Which document stays: best_quality, longest, earliest, first_id, or {measure: …, order: ascending | descending};
    dedup/keep.py tells how ties end."""

    index_shingles: bool = True
    """Whether an index that is updated holds the shingles of each document, 4 bytes each. Without them, what an index
    has is told by signatures alone: pairs near `min_similarity` are not verified."""

    task_documents: int = 1_000_000
    """Documents whose band keys one task makes and joins, about. Sources of a fifth of that, or more, have such tasks.
    Fewer documents take less memory; no result depends on it."""

    @property
    def sidecar(self) -> pa.Schema:
        sizes = [pa.field("shingles", pa.int32(), nullable=False)] if self._sizes_told else []
        index = [*DOCUMENT_FIELDS, *([SHINGLES] if self.index_shingles else [])] if self.remembers else []
        return pa.schema(
            [
                pa.field("id", pa.string(), nullable=False),
                pa.field("signature", pa.binary(VALUE_BYTES * self.permutations), nullable=False),
                pa.field("words", pa.int32(), nullable=False),
                *sizes,
                *keep_fields(self.keep),
                *index,
            ]
        )

    @property
    def _sizes_told(self) -> bool:
        return self.similarity == "containment" or (self.remembers and not self.index_shingles)

    def prepare(self) -> None:
        for name in ("ngram", "permutations", "bands", "rows", "task_documents"):
            if getattr(self, name) < 1:
                raise RecipeError(f"{self.name}.{name}: {getattr(self, name)} is too few; 1 or more are needed")
        if self.permutations > MOST_PERMUTATIONS:
            raise RecipeError(
                f"{self.name}.permutations: {self.permutations} is too many; use at most {MOST_PERMUTATIONS} (FineWeb "
                "has 112, RefinedWeb 9,000)"
            )
        for name, value in (("threshold", self.threshold), ("min_similarity", self.min_similarity)):
            if value is not None and not 0 < value <= 1:
                raise RecipeError(
                    f"{self.name}.{name}: {value} is no similarity; it must be above 0 and at most 1, such as 0.75"
                )
        if not 0 <= self.margin < math.inf:
            raise RecipeError(
                f"{self.name}.margin: {self.margin} is no number of standard errors; 3 is usual, 0 the least, and with "
                "1000 nearly all pairs are compared by text"
            )
        if self.threshold is None:
            if self.bands * self.rows > self.permutations:
                raise RecipeError(
                    f"{self.name}: {self.bands} bands of {self.rows} rows need {self.bands * self.rows} permutations, "
                    f"and there are {self.permutations}; lower bands or rows, or set permutations to "
                    f"{self.bands * self.rows} or more"
                )
        elif (self.bands, self.rows) != (MinHashDedup.bands, MinHashDedup.rows):
            raise RecipeError(
                f"{self.name}: threshold {self.threshold} chooses bands and rows, but {self.bands} bands of "
                f"{self.rows} rows are asked for, too; give one or the other"
            )
        if self.banding.bands > MOST_BANDS:
            raise RecipeError(
                f"{self.name}: {self.banding.bands} bands are too many; use at most {MOST_BANDS} (FineWeb has 14), "
                "with more rows or a higher threshold"
            )
        super().prepare()

    @property
    def parameters(self) -> MinHashParameters:
        """What an index part must have in common with the sidecars."""
        return MinHashParameters(
            ngram=self.ngram, fold_numbers=self.fold_numbers, permutations=self.permutations, seed=self.seed,
            hash_bits=self.hash_bits, bands=self.banding.bands, rows=self.banding.rows, version=self.version,
        )  # fmt: skip

    @cached_property
    def banding(self) -> Banding:
        """Bands and rows in force."""
        if self.threshold is None:
            return Banding(self.bands, self.rows)
        # Imports SciPy, which takes a second. Its public face, MinHashLSH, refuses the single band that is best near 1.
        from datasketch.lsh import _optimal_param

        return Banding(*_optimal_param(self.threshold, self.permutations, 0.5, 0.5))

    @property
    def verification(self) -> Verification:
        return Verification(self.min_similarity, self.margin, self.permutations, self.similarity == "containment")

    def needs(self) -> Sequence[str]:
        return keep_needs(self.keep)

    def accept(self, needed: Mapping[str, pa.DataType]) -> None:
        accept_keep(self.keep, needed)

    def observe(self, batch: TextBatch) -> pa.RecordBatch:
        shingles = shingles_of(batch, self.ngram, self.fold_numbers)
        signatures = signatures_of(shingles, self.permutations, self.seed, self.hash_bits)
        width = pa.binary(VALUE_BYTES * self.permutations)
        stored = pa.Array.from_buffers(width, len(batch), [None, pa.py_buffer(signatures.astype("<u2", copy=False))])
        columns = [batch.documents.column("id"), stored, pa.array(shingles.words)]
        if self._sizes_told:
            columns.append(pa.array(distinct(shingles)))
        columns += keep_columns(batch, self.keep)
        columns += document_columns(batch) if self.remembers else []
        columns += [ShortSets.of(shingles).column()] if self.remembers and self.index_shingles else []
        return pa.RecordBatch.from_arrays(columns, schema=self.sidecar)

    @property
    def form(self) -> Form:
        return self.parameters.form

    def remember(
        self, sidecars: Sequence[Path], gone: pa.StringArray, folder: Path, *, seen: Sequence[Path] | None = None
    ) -> None:
        with self.new_part(folder, seen) as writer:
            rows = Sidecars(sidecars, self.sidecar, gone)
            write_minhash_part(writer, rows, self.parameters, shingles=self.index_shingles)

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
        known = self._seen_before(sidecars, excluded, read_texts, done, seen)
        absent = whole_ids("documents that go before they are compared here", excluded, known["id"])
        members, labels = self._components(sidecars, workspace, done).members()
        candidates = read_candidates(
            sidecars, self.sidecar, absent, members, labels,
            keep=self.keep, permutations=self.permutations, file=workspace / "signatures.bin",
        )  # fmt: skip
        if len(candidates.order) == 0:
            return decision(known, CLUSTERS.empty_table())
        stars = settle(
            candidates.signatures,
            candidates.order,
            candidates.components,
            bands=self.banding.bands,
            rows=self.banding.rows,
            verification=self.verification,
            exact_similarity=self._reader(candidates, read_texts, workspace),
            sizes=candidates.sizes,
        )
        return _decision(known, candidates, stars)

    def _seen_before(
        self,
        sidecars: Sequence[Path],
        excluded: pa.StringArray,
        read_texts: ReadTexts,
        done: StepFiles | None,
        seen: Sequence[Path],
    ) -> pa.Table:
        """Rows of VERDICTS of the documents that a part has."""
        parts = open_parts(seen, self.form)
        if done and SEEK in done:
            proposals = step_matches(done, excluded, PROPOSALS)
        else:
            proposals = self._sought(sidecars, excluded, parts)
        matches = seen_before(proposals, parts, self.parameters, self.verification, read_texts)
        documents = sum(sidecar_counts(sidecars, self.sidecar))
        return seen_verdicts(matches, seen, MinHashReason.SEEN_BEFORE, documents=documents)

    def _sought(self, sidecars: Sequence[Path], excluded: pa.StringArray, parts: Sequence[IndexPart]) -> pa.Table:
        rows = Sidecars(sidecars, self.sidecar, excluded)
        told = self.remembers and self.index_shingles
        return seek_minhash(rows, parts, self.parameters, self.verification, shingles=told)

    def steps(self, rows: Sequence[int]) -> Sequence[Step]:
        seek = seek_steps(rows) if self.against or self.precedence else ()
        if sum(rows) < _SHARE_WORTH_TASKS * self.task_documents:
            return seek
        return (
            *seek,
            Step("spread", len(sidecar_runs(rows, self.task_documents))),
            Step("join", len(self._runs(sum(rows)))),
        )

    def run_step(
        self, step: str, task: int, *, sidecars: Sequence[Path], seen: Sequence[Path], done: StepFiles, target: Path
    ) -> None:
        rows = sidecar_counts(sidecars, self.sidecar)
        if step == SEEK:
            parts = open_parts(seen, self.form)
            proposals = self._sought(sidecars_of(sidecars, rows, task), pa.array([], pa.string()), parts)
            write_table(target, proposals.to_batches(), proposals.schema)
            return
        with atomic_file(target) as stream:
            if step == "spread":
                first, last = sidecar_runs(rows, self.task_documents)[task]
                some = self._signatures(sidecars[first:last])
                spread(self.banding, some, sum(rows[:first]), sum(rows[first:last]), stream)
            elif step == "join":
                for pairs in same_keys(self.banding, done["spread"], self._runs(sum(rows))[task]):
                    stream.write(pairs.data)
            else:
                super().run_step(step, task, sidecars=sidecars, seen=seen, done=done, target=target)

    def _components(self, sidecars: Sequence[Path], workspace: Path, done: StepFiles | None) -> Components:
        rows = sidecar_counts(sidecars, self.sidecar)
        check_countable(sum(rows))
        components = Components(sum(rows))
        if done and "join" in done:
            for path in done["join"]:
                for pairs in read_pairs(path):
                    components.join(pairs)
            return components
        file = workspace / "keys.bin"
        with open(file, "wb") as stream:
            spread(self.banding, self._signatures(sidecars), 0, sum(rows), stream)
        for pairs in same_keys(self.banding, [file], range(self.banding.partitions)):
            components.join(pairs)
        file.unlink()
        return components

    def _signatures(self, sidecars: Sequence[Path]) -> Signatures:
        for batch in Sidecars(sidecars, self.sidecar, pa.array([], pa.string())).batches(["signature", "words"]):
            usable = batch.column("words").to_numpy() > 0
            yield signature_values(batch.column("signature"), self.permutations), usable

    def _runs(self, documents: int) -> list[range]:
        """The partitions that each task of the step `join` takes."""
        partitions = self.banding.partitions
        tasks = min(partitions, max(1, -(-documents * self.banding.bands // (_JOINED_KEYS * self.task_documents))))
        bounds = [partitions * task // tasks for task in range(tasks + 1)]
        return [range(first, last) for first, last in pairwise(bounds)]

    def _reader(self, candidates: Candidates, read_texts: ReadTexts, workspace: Path) -> ExactSimilarity:
        """Exact similarities of documents by their place in keep order; each text is read once."""
        sets = ShingleSets(workspace / "shingles.bin")
        compared = sets.containment if self.similarity == "containment" else sets.jaccard
        ids, order = candidates.ids, candidates.order
        numbers = np.full(len(order), -1, np.int64)

        def exact_similarity(left: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
            asked = np.unique(np.concatenate([left, right]))
            missing = asked[numbers[asked] < 0]
            missing_ids = ids.take(pa.array(order[missing]))
            index = IdIndex(missing_ids)
            for batch in read_texts(missing_ids.to_pylist()) if len(missing) else ():
                found = index.find(batch.documents.column("id"))
                wanted = batch.kept(found >= 0)
                numbers[missing[found[found >= 0]]] = np.arange(len(sets), len(sets) + len(wanted))
                sets.add(shingles_of(wanted, self.ngram, self.fold_numbers))
            absent = missing[numbers[missing] < 0]
            if len(absent):
                raise DamagedRunError(
                    f"{self.name}: {len(absent)} documents were observed but cannot be read again, such as "
                    f"{missing_ids[int(np.searchsorted(missing, absent[0]))].as_py()!r}; their files were removed or "
                    "changed during the run: run it again"
                )
            return compared(numbers[left], numbers[right])

        return exact_similarity


def _decision(known: pa.Table, candidates: Candidates, stars: Stars) -> Decision:
    def ids(places: NDArray[np.signedinteger[Any]]) -> pa.StringArray:
        return candidates.ids.take(pa.array(candidates.order[places]))

    going = np.flatnonzero(stars.twins >= 0)
    sizes = 1 + np.bincount(stars.twins[going], minlength=len(candidates.order))
    staying = np.flatnonzero(sizes > 1)
    near = pa.table(
        {
            "id": ids(going),
            "reason": pa.repeat(pa.scalar(str(MinHashReason.NEAR_DUPLICATE), pa.string()), len(going)),
            "kept_id": ids(stars.twins[going]),
            "similarity": stars.similarities[going],
        }
    )
    clusters = pa.table({"id": ids(staying), "cluster_size": sizes[staying]})
    return decision(pa.concat_tables([known, near.cast(VERDICTS)]), clusters)
