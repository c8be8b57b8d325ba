"""What stages of deduplication have in common: an alarm, work that many workers share, and a memory across runs.

Every one of them is a barrier (documents/barrier.py). Beyond that contract:

- **Alarm.** A stage that takes more of a source than `max_dropped_share` says so, or fails. A threshold that does not
  suit a source shows up as nothing else: without verification, MinHash has removed 98.6 % of Gutenberg.
- **Steps.** What can be done in parts before `decide` is done by tasks of their own, on any executor.
- **Memory.** A stage can compare a source with documents of earlier runs, or of other sources of its run, and write
  down which documents stayed, for later ones. What it writes is an index part: a folder that is complete when its
  `part.json` is there. An index (dedup/index.py) is a folder of such parts.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import pyarrow as pa

from corpusmill.documents.barrier import Barrier, Decision, ReadTexts
from corpusmill.documents.errors import RecipeError

PART_FILE = "part.json"
"""Written last of an index part's files: where it is, the part is whole."""

StepFiles = Mapping[str, Sequence[Path]]
"""The files of each step that has been done, by its name, in the order of its tasks."""


@dataclass(frozen=True, slots=True)
class Step:
    """Work that `tasks` tasks do side by side, each of them one file."""

    name: str
    tasks: int


@dataclass(frozen=True, kw_only=True)
class Deduplication(Barrier):
    """A barrier that drops, or cuts out, what is there more than once."""

    judged_fields: ClassVar[frozenset[str]] = frozenset({"max_dropped_share", "on_wipe_out"})

    max_dropped_share: float | None = 0.5
    """Share of the documents that came, from 0 to 1, above which the alarm goes off; None: never."""

    on_wipe_out: Literal["warn", "error"] = "warn"
    """warn: the run goes on, and its manifest and report say so; error: the source ends here."""

    def prepare(self) -> None:
        if self.max_dropped_share is not None and not 0 <= self.max_dropped_share <= 1:
            raise RecipeError(
                f"{self.name}.max_dropped_share: {self.max_dropped_share} is no share; use 0 to 1, or null for no alarm"
            )

    def steps(self, rows: Sequence[int]) -> Sequence[Step]:
        """What is to be done before `decide`, one step after the other.

        Args:
            rows: of each sidecar. Empty sidecars are among them.
        """
        return ()

    def run_step(
        self, step: str, task: int, *, sidecars: Sequence[Path], seen: Sequence[Path], done: StepFiles, target: Path
    ) -> None:
        """Does one task of a step: writes `target`, in one go (documents/shards.py: atomic_file).

        Documents that an earlier barrier has dropped are among the rows: `decide` leaves them out.

        Args:
            sidecars: all of them, in the order of `rows`.
            seen: index parts to compare with, as for `decide`.
            done: the files of the steps before.
        """
        raise NotImplementedError(f"{self.name} has no step {step!r}")

    @abstractmethod
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
        """As Barrier.decide.

        Args:
            done: the files of the steps; None: none has been run, and what they do is to be done here.
            seen: folders of index parts. A document that one of them has goes, whatever its `keep` order; the verdict's
                `kept_id` is its id there.
        """


@dataclass(frozen=True, kw_only=True)
class RememberingDeduplication(Deduplication):
    """One that can compare a source with others, and with earlier runs."""

    judged_fields: ClassVar[frozenset[str]] = Deduplication.judged_fields | {"against", "update_as"}

    precedence: tuple[str, ...] = ()
    """Sources of the recipe, first the one whose documents stay. Each must have a stage of this name with the same
    parameters; a document goes if a source further up has it. Empty: each source is compared with itself alone."""

    against: tuple[str, ...] = field(default=(), metadata={"path": True})
    """Indexes of earlier runs: documents that one of them has go."""

    update: str | None = field(default=None, metadata={"path": True})
    """The index that takes up what stays here; it is made if it is not there. It may be one of `against`."""

    update_as: str | None = None
    """Name of this source's part in the index that is updated, such as CC-MAIN-2024-10. A run under the same name puts
    its part in the place of the older one, and is compared with those parts only that were there before it."""

    def prepare(self) -> None:
        super().prepare()
        if (self.update is None) != (self.update_as is None):
            raise RecipeError(
                f"{self.name}: update and update_as go together: the index's folder, and this source's name in it, "
                "such as CC-MAIN-2024-10"
            )
        if len(self.precedence) == 1:
            raise RecipeError(
                f"{self.name}.precedence: names {self.precedence[0]} alone; name the sources that it is to be compared "
                "with, too, first the one whose documents stay"
            )
        if len(set(self.precedence)) != len(self.precedence):
            raise RecipeError(f"{self.name}.precedence: {', '.join(self.precedence)} names a source twice")

    @property
    @abstractmethod
    def comparable(self) -> Mapping[str, int | str | bool]:
        """The parameters in force that documents must have in common to be compared."""

    @abstractmethod
    def seen(self) -> Sequence[Path]:
        """The folders of the index parts of `against` that count for this run, in a fixed order.

        Raises:
            InputError, RecipeError: for an index that is missing, damaged, or of other parameters.
        """

    @abstractmethod
    def remember(
        self, sidecars: Sequence[Path], gone: pa.StringArray, folder: Path, *, seen: Sequence[Path] | None = None
    ) -> None:
        """Writes an index part of the documents that stay.

        Args:
            gone: ids of those that do not: dropped here, or by a barrier before.
            folder: of the part; what is there is replaced, and `part.json` is written last.
            seen: what `decide` was given, to tell whether another run has updated the index since; None: unknown.

        Raises:
            CorpusmillError: if one has.
        """

    @property
    def update_folder(self) -> Path | None:
        """Where the index part goes that this run leaves."""
        return None if self.update is None or self.update_as is None else Path(self.update) / "parts" / self.update_as
