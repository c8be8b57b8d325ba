"""What can go wrong, as one tree.

    CorpusmillError                exit code 1
    ├── UsageError                 2  the command, the recipe or a named input cannot be used as it stands
    │   ├── RecipeError            2  a recipe says something that cannot be done
    │   └── InputError             2  a named path, model or table is missing or is not what it should be
    ├── StorageError               1  the disk or store cannot take what is written
    ├── ShortSourceError           1  a source has fewer tokens than the mix asks of it
    ├── WipeOutError               1  a stage took more of a source than its alarm allows
    └── DamagedRunError            1  a file of a run is missing or differs from what the run wrote

A record that cannot be read is no exception: it is a row of the ledger.
Every message names the value, the place and the mend.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CorpusmillError(Exception):
    """Anything that ends a command with a message instead of a traceback."""

    exit_code = 1


class UsageError(CorpusmillError):
    """The command, the recipe or a named input cannot be used as it stands."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe says something that cannot be done."""


class InputError(UsageError):
    """A named path, model or table is missing, or is not what it should be."""


class StorageError(CorpusmillError):
    """The disk or store cannot take what is written."""


class ShortSourceError(CorpusmillError):
    """A source has fewer tokens than the mix asks of it."""


class WipeOutError(CorpusmillError):
    """A stage took more of a source than its alarm allows."""


class DamagedRunError(CorpusmillError):
    """A file of a run is missing, or differs from what the run wrote."""


def nearest(word: str, choices: Iterable[str], likeness: float = 0.6) -> str | None:
    """The choice most like `word`, for "did you mean"; None if none is like it (`likeness`: difflib's ratio).

    >>> nearest("langauge", ["language", "quality"]), nearest("url", ["quality"])
    ('language', None)
    """
    found = difflib.get_close_matches(word, list(choices), n=1, cutoff=likeness)
    return found[0] if found else None
