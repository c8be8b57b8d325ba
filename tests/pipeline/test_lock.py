from __future__ import annotations

import os
from pathlib import Path

import pytest

from corpusmill.documents.errors import StorageError, UsageError
from corpusmill.pipeline.lock import locked

WORDS = {"taken": "process {process} is at work in it", "unusable": "cannot be written ({reason})"}


def test_a_folder_is_made_and_held_by_one_and_free_again_after_it(tmp_path: Path) -> None:
    folder = tmp_path / "{new}" / "place"
    with locked(folder, f"--out {folder}", **WORDS):
        with pytest.raises(UsageError) as refused, locked(folder, f"--out {folder}", **WORDS):
            pass
        assert str(refused.value) == f"--out {folder}: process {os.getpid()} is at work in it"
    with locked(folder, str(folder), **WORDS):
        assert (folder / ".lock").read_text() == str(os.getpid())


def test_an_error_frees_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path, "it", **WORDS):
        raise ZeroDivisionError
    with locked(tmp_path, "it", **WORDS):
        pass


def test_the_number_of_an_earlier_holder_is_not_left_in_part(tmp_path: Path) -> None:
    (tmp_path / ".lock").write_text("9" * 40)
    with locked(tmp_path, "it", **WORDS):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())


def test_who_does_not_write_a_number_is_unknown(tmp_path: Path) -> None:
    with locked(tmp_path, "it", **WORDS):
        os.truncate(tmp_path / ".lock", 0)
        with pytest.raises(UsageError, match="it: process unknown is at work"), locked(tmp_path, "it", **WORDS):
            pass


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    expected = r"^there: cannot be written \(Not a directory\)$"
    with pytest.raises(StorageError, match=expected), locked(tmp_path / "file" / "below", "there", **WORDS):
        pass
