"""Questions to an index of near-duplicates: what it holds that is like a text, and the same by datasketch.

    index = MinHashIndex.open(Path("index"))
    [found] = index.similar(TextBatch.of_texts(["some text"]))
    lsh, sketch = index.to_datasketch()
    lsh.query(sketch("some text"))                  # (part, id) of documents that share a band with it

Similarities are exact, by 32 bits of each shingle, for parts that hold shingles; for the others they are the
signatures' estimates.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from corpusmill.dedup.clusters import Verification
from corpusmill.dedup.index import DOCUMENTS, Index, IndexPart, open_index
from corpusmill.dedup.minhash import MinHashDedup
from corpusmill.dedup.minhash_index import KIND, Asked, MinHashParameters, Proposed, ShortSets, candidates
from corpusmill.dedup.shingles import Shingles, shingles_of
from corpusmill.dedup.signatures import permutations, signatures_of
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError
from corpusmill.documents.shards import read_batches

if TYPE_CHECKING:
    from datasketch import MinHash, MinHashLSH

_PER_KEY = 1_000  # a question may cost more than a document of a source
_ALL = 1e9  # a margin within which all pairs are


@dataclass(frozen=True, slots=True)
class Similar:
    """A document of an index that is like a text."""

    similarity: float
    """Jaccard similarity of the sets of shingles."""
    exact: bool
    """False: the estimate of the signatures."""
    id: str
    part: str
    source: str
    url: str | None


class MinHashIndex:
    """An index of near-duplicates, opened for reading. Its files are mapped, and only what is asked for is read."""

    def __init__(self, index: Index) -> None:
        if index.form.kind != KIND:
            raise InputError(
                f"{index.folder}: is an index of {index.form.kind} fingerprints, which knows equal texts and no "
                "similar ones; ask one that minhash_dedup has written"
            )
        self.parameters = _parameters(index)
        self.folder = index.folder
        self.parts: Sequence[IndexPart] = index.parts()

    @classmethod
    def open(cls, folder: Path) -> MinHashIndex:
        """The index in a folder.

        Raises:
            InputError: if there is none, if it is damaged, or of another kind or version.
        """
        return cls(open_index(folder))

    def similar(self, batch: TextBatch, *, min_similarity: float = 0.5, top: int = 10) -> list[list[Similar]]:
        """For each text, the documents that are at least so similar, the likest first, at most `top`.

        Only documents that share a band with the text are found at all: at 14 bands of 8 rows and a similarity of .5,
        5 in 100 are; of .8, 92.
        """
        shingles = shingles_of(batch, self.parameters.ngram, self.parameters.fold_numbers)
        sets = ShortSets.of(shingles)
        asked = Asked(self.signatures(shingles), sets.sizes, shingles.words > 0)
        verification = Verification(min_similarity, _ALL, self.parameters.permutations)
        proposed = candidates(
            asked, self.parts, self.parameters, verification, most=max(64, 4 * top), per_key=_PER_KEY
        ).proved(sets, self.parts, verification)
        order = np.lexsort((np.arange(len(proposed.asked)), -proposed.similarities, proposed.asked))
        places = np.arange(len(order)) - np.searchsorted(proposed.asked, proposed.asked)
        return self._told(proposed, order[places < top], len(batch))

    def _told(self, proposed: Proposed, chosen: NDArray[np.int64], texts: int) -> list[list[Similar]]:
        """The chosen pairs by text, in their order. Of each part the rows are read at once."""
        rows: dict[int, dict[str, Any]] = {}
        for number, part in enumerate(self.parts):
            here = chosen[proposed.parts[chosen] == number]
            rows |= zip(here.tolist(), part.documents(proposed.rows[here]).to_pylist()) if len(here) else ()
        found: list[list[Similar]] = [[] for _ in range(texts)]
        for pair in chosen.tolist():
            part = self.parts[proposed.parts[pair]]
            similarity = float(proposed.similarities[pair])
            similar = Similar(similarity=similarity, exact=part.has("shingles"), part=part.label, **rows[pair])
            found[proposed.asked[pair]].append(similar)
        return found

    def signatures(self, shingles: Shingles) -> NDArray[np.uint16]:
        """uint16[texts, permutations]: signatures as the index has them."""
        own = self.parameters
        return signatures_of(shingles, own.permutations, own.seed, own.hash_bits)

    def to_datasketch(self, **options: Any) -> tuple[MinHashLSH, Callable[[str], MinHash]]:
        """A datasketch MinHashLSH with every document of the index, and what makes a MinHash of a text for it.

        Keys are (part, id). The LSH finds what shares a band with the text, unverified: the same documents that
        `similar` looks at. All of it is in memory, or in the store that `storage_config` names, for questions on-line.

        The values of such a MinHash are our 16-bit ones: `jaccard` compares them well, but do not `update` it.

        Args:
            options: for MinHashLSH, such as storage_config.
        """
        from datasketch import MinHashLSH

        own = self.parameters
        lsh = MinHashLSH(num_perm=own.permutations, params=(own.bands, own.rows), **options)
        for part in self.parts:
            signatures = part.array("signatures")
            for row, identity in enumerate(_ids(part)):
                lsh.insert((part.label, identity), self.sketch_of(signatures[row]))

        def sketch(text: str) -> MinHash:
            shingles = shingles_of(TextBatch.of_texts([text]), own.ngram, own.fold_numbers)
            return self.sketch_of(self.signatures(shingles)[0])

        return lsh, sketch

    def sketch_of(self, signature: NDArray[np.uint16]) -> MinHash:
        """datasketch's form of a signature of this index."""
        from datasketch import MinHash

        return MinHash(hashvalues=signature.astype(np.uint64), permutations=self._permutations, **self._scheme)

    @cached_property
    def _permutations(self) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        return permutations(self.parameters.permutations, self.parameters.seed)

    @cached_property
    def _scheme(self) -> dict[str, Any]:
        """datasketch 2 wants to be told how values were made; before, it cannot be."""
        from datasketch import MinHash

        return {"scheme": "affine64"} if "scheme" in inspect.signature(MinHash).parameters else {}


def _parameters(index: Index) -> MinHashParameters:
    """The parameters of an index, if this program can make the same signatures."""
    names = [item.name for item in fields(MinHashParameters)]
    stated = {name: index.form.parameters.get(name) for name in names}
    if wrong := [name for name, value in stated.items() if not isinstance(value, int)]:
        raise InputError(
            f"{index.folder}: its index.json says {stated[wrong[0]]!r} of {wrong[0]}, which is no number; restore it, "
            "or build the index anew"
        )
    parameters = MinHashParameters(**stated)  # type: ignore[arg-type]
    # Unicode's version and the stage's must be those of this program, or words and hashes are others.
    replace(parameters, version=MinHashDedup.version).form.check(index.form, index.folder)
    return parameters


def _ids(part: IndexPart) -> Iterator[str]:
    with pq.ParquetFile(part.folder / DOCUMENTS) as file:
        part.check_unchanged()
        for batch in read_batches(file, 65_536, ["id"]):
            yield from batch.column(0).to_pylist()
