"""What exact_dedup and minhash_dedup have in common: they compare with indexes (index.py), and leave a part for one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from corpusmill.dedup.contract import RememberingDeduplication
from corpusmill.dedup.index import Form, PartWriter, check_label, check_writable, new_part, parts_before


@dataclass(frozen=True, kw_only=True)
class IndexedDeduplication(RememberingDeduplication):
    """One whose memory is an index."""

    @property
    @abstractmethod
    def form(self) -> Form:
        """What index parts must have in common with the sidecars."""

    def prepare(self) -> None:
        """Checks the label and opens the indexes: after a stage's own checks, since `form` is of its parameters."""
        super().prepare()
        if self.update_as is not None:
            check_label(self.update_as, f"{self.name}.update_as")
        if self.update is not None:
            check_writable(self.update)
        self.seen()

    @property
    def remembers(self) -> bool:
        """Whether an index part may be written of what stays."""
        return self.update is not None or bool(self.precedence)

    @property
    def comparable(self) -> Mapping[str, int | str | bool]:
        return self.form.parameters

    def seen(self) -> Sequence[Path]:
        return parts_before(self.against, self.update, self.update_as, self.form)

    def new_part(self, folder: Path, seen: Sequence[Path] | None) -> AbstractContextManager[PartWriter]:
        """Writes an index part: in the index that is updated, or outside any, for other sources of the run.

        Args:
            seen: as for `remember`.
        """
        index = Path(self.update) if self.update is not None and folder == self.update_folder else None
        return new_part(folder, self.form, index, against=self.against, seen=seen)
