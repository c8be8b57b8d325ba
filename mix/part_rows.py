"""What a selection takes of a part, row by row: the shuffle writes these documents, and the score counts them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.mix.keys import HELD_OUT, TRAIN, VALIDATION, selection_keys, splits_of
from corpusmill.mix.selection import Selection


@dataclass(frozen=True, slots=True)
class PartRows:
    """What the placement says of each row of a part (or of a piece of it), as parallel arrays.

    keys        of the selection (mix/keys.py)
    chosen      the number of the row's component among the selection's; -1: none
    wanted      whether it is in the dataset at all, in whichever split
    """

    hashes: NDArray[np.uint64]
    keys: NDArray[np.uint64]
    splits: NDArray[np.int8]
    chosen: NDArray[np.int64]
    copies: NDArray[np.int64]
    units: NDArray[np.int64]
    wanted: NDArray[np.bool_]

    @classmethod
    def of(cls, placement: pa.Table, selection: Selection) -> PartRows:
        """From the columns id_hash, group_hash, component, copies and units of a placement (mix/placement.py)."""
        hashes, groups, copies, units = (
            placement.column(name).to_numpy() for name in ("id_hash", "group_hash", "copies", "units")
        )
        names = pa.array([chosen.component for chosen in selection.components])
        chosen = pc.fill_null(pc.index_in(placement.column("component"), names), -1).to_numpy().astype(np.int64)
        keys = selection_keys(hashes, selection.seed)
        splits = splits_of(groups, selection.seed, selection.validation, selection.heldout)
        wanted = (splits == HELD_OUT) & (chosen >= 0)
        for number, component in enumerate(selection.components):  # later passes have nothing that the first has not
            wanted |= (chosen == number) & component.taken(keys, 0)
        return cls(hashes, keys, splits, chosen, copies.astype(np.int64), units, wanted)

    def piece(self, first: int, count: int) -> PartRows:
        """So many rows from the row `first` on."""
        return PartRows(*(getattr(self, name)[first : first + count] for name in self.__slots__))

    def taken(self, copy: int, selection: Selection) -> NDArray[np.bool_]:
        """Which rows the pass number `copy` takes; those of other splits go with the first."""
        found = (self.splits == HELD_OUT) & (self.chosen >= 0) & (copy == 0)
        for number, component in enumerate(selection.components):
            found |= (self.chosen == number) & (self.splits == TRAIN) & component.taken(self.keys, copy)
        return found | (self.wanted & (self.splits == VALIDATION)) if copy == 0 else found

    def times_in_train(self, selection: Selection) -> NDArray[np.int32]:
        """How often each row occurs in the train split, over all passes and with its copies."""
        passes = np.zeros(len(self.keys), np.int64)
        for number, component in enumerate(selection.components):
            own = (self.chosen == number) & (self.splits == TRAIN)
            for copy in range(component.copies):
                passes[own] += component.taken(self.keys[own], copy)
        return (passes * self.copies).astype(np.int32)
