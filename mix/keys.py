"""The numbers that decide: for each document, a 64-bit key per purpose, from the seed and the document's id alone.

A document's id is hashed once; a key is a permutation of that hash which the seed and the purpose choose. So a choice
depends on neither the number of workers, nor how the input was split, nor which file came first. Two ids share their
keys with a chance of 2.7e-2 among 10^9 documents: they are then taken or left together, and rows of equal keys are
ordered by id.
"""

from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.documents import ids as ids_of_documents

KEYS = 1 << 64
"""Keys are below this number, each as likely as any other."""


def id_hashes(ids: pa.StringArray) -> NDArray[np.uint64]:
    """A hash of each id, the same for every seed."""
    first, _ = ids_of_documents.id_hashes(ids)
    return first


def keyed(hashes: NDArray[np.uint64], seed: int, purpose: str) -> NDArray[np.uint64]:
    """Keys of the documents with these id hashes. Another seed or purpose gives independent ones.

    The mixer is SplitMix64's finaliser (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators").
    """
    salt = hashlib.blake2b(f"{seed}\0{purpose}".encode(), digest_size=8).digest()
    values = hashes ^ np.uint64(int.from_bytes(salt, "little"))
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def selection_keys(hashes: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """The order in which a source's documents are taken."""
    return keyed(hashes, seed, "selection")


def shuffle_keys(hashes: NDArray[np.uint64], seed: int, copy: int) -> NDArray[np.uint64]:
    """The order of the rows. Each pass over a source has its own, so copies of a document lie apart."""
    return keyed(hashes, seed, f"shuffle/{copy}")


TRAIN, VALIDATION, HELD_OUT = range(3)
"""What a document can be for; `splits_of` tells which."""


def splits_of(group_hashes: NDArray[np.uint64], seed: int, validation: float, heldout: float) -> NDArray[np.int8]:
    """The split of documents whose groups of near-duplicates have these hashes: a group is never divided.

    Args:
        validation, heldout: shares of the groups.
    """
    splits = np.full(len(group_hashes), TRAIN, np.int8)
    splits[below(keyed(group_hashes, seed, "heldout"), int(heldout * KEYS))] = HELD_OUT
    splits[below(keyed(group_hashes, seed, "validation"), int(validation * KEYS))] = VALIDATION
    return splits


def below(keys: NDArray[np.uint64], bound: int) -> NDArray[np.bool_]:
    """Which keys are below `bound`, from 0 to 2^64."""
    if bound == 0:
        return np.zeros(len(keys), np.bool_)
    return keys <= np.uint64(bound - 1)


def range_starts(count: int) -> NDArray[np.uint64]:
    """The first key of each of `count` equal ranges of keys."""
    return np.array([-(-index * KEYS // count) for index in range(count)], np.uint64)
