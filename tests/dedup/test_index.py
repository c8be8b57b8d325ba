"""The format of an index: parts that are whole or absent, numbers that stay, files that are what they should be."""

import json
import os
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.dedup import index as index_module
from corpusmill.dedup import seeking
from corpusmill.dedup.index import (
    DOCUMENT_SCHEMA,
    Form,
    check_label,
    check_writable,
    forget_part,
    new_part,
    open_index,
    open_part,
    parts_before,
)
from corpusmill.dedup.seeking import seek_steps
from corpusmill.documents.errors import CorpusmillError, InputError, RecipeError

FORM = Form.of("exact", {"normalisation": "none", "version": 1})


def write(index: Path, label: str, values: list[int], form: Form = FORM, *, within: bool = True) -> Path:
    folder = index / "parts" / label
    with new_part(folder, form, index if within else None) as writer:
        with writer.array("numbers", "uint32", [2]) as numbers:
            numbers.add(np.array(values).reshape(-1, 2))
        with writer.documents() as documents:
            ids = [f"{label}{row}" for row in range(len(values) // 2)]
            rows = pa.table([ids, ["web"] * len(ids), [None] * len(ids)], schema=DOCUMENT_SCHEMA)
            for batch in rows.to_batches():
                documents.add(batch)
    return folder


def labels(folders: list[Path]) -> list[str]:
    return [folder.name for folder in folders]


def test_a_part_is_read_as_it_was_written(tmp_path):
    part = open_part(write(tmp_path / "index", "one", [1, 2, 3, 4]))
    assert (part.label, part.number, part.rows, dict(part.sources), part.form) == ("one", 1, 2, {"web": 2}, FORM)
    assert part.array("numbers").tolist() == [[1, 2], [3, 4]]
    assert part.documents(np.array([1, 0, 1]))["id"].to_pylist() == ["one1", "one0", "one1"]
    part.check_content()


def test_a_part_without_rows_is_a_part(tmp_path):
    part = open_part(write(tmp_path / "index", "none", []))
    assert (part.rows, part.array("numbers").shape) == (0, (0, 2))
    assert part.documents(np.empty(0, np.int64)).num_rows == 0


def test_a_part_written_again_is_the_same_to_the_byte(tmp_path):
    files = []
    for _ in range(2):
        folder = write(tmp_path / "index", "one", [1, 2, 3, 4])
        files.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert files[0] == files[1]
    assert set(files[0]) == {"part.json", "documents.parquet", "numbers.bin"}


def test_numbers_count_up_and_a_part_in_the_place_of_another_keeps_its_number(tmp_path):
    index = tmp_path / "index"
    for label in ("b", "a", "c"):
        write(index, label, [1, 2])
    write(index, "a", [5, 6])
    assert dict(open_index(index).numbers) == {"b": 1, "a": 2, "c": 3}
    assert open_part(index / "parts" / "a").array("numbers").tolist() == [[5, 6]]
    # A task that is run anew removes its outputs first, the part's file among them.
    (index / "parts" / "a" / "part.json").unlink()
    write(index, "a", [7, 8])
    assert dict(open_index(index).numbers) == {"b": 1, "a": 2, "c": 3}


def test_a_run_is_compared_with_the_parts_that_were_there_before_its_own(tmp_path):
    index, other = str(tmp_path / "index"), str(tmp_path / "other")
    assert parts_before([index], index, "b", FORM) == []
    for label in ("a", "b", "c"):
        write(tmp_path / "index", label, [1, 2])
    write(tmp_path / "other", "b", [1, 2])
    assert labels(parts_before([index], None, None, FORM)) == ["a", "b", "c"]
    assert labels(parts_before([index], index, "d", FORM)) == ["a", "b", "c"]
    assert labels(parts_before([index], index, "b", FORM)) == ["a"]
    assert labels(parts_before([index, other], index, "a", FORM)) == ["b"]
    assert labels(parts_before([], index, "d", FORM)) == []
    spelled_otherwise = str(tmp_path / "other" / ".." / "index")
    assert labels(parts_before([spelled_otherwise, index], index, "b", FORM)) == ["a"]


def test_the_number_of_a_part_that_was_forgotten_is_not_given_again(tmp_path):
    index = tmp_path / "index"
    for label in ("a", "b", "c"):
        write(index, label, [1, 2])
    forget_part(index, "c")
    forget_part(index, "a")
    write(index, "d", [1, 2])
    write(index, "c", [1, 2])
    assert dict(open_index(index).numbers) == {"b": 2, "d": 4, "c": 5}
    # An index that does not say it, written before.
    path = index / "index.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in facts.items() if name != "highest"}))
    write(index, "e", [1, 2])
    assert dict(open_index(index).numbers) == {"b": 2, "d": 4, "c": 5, "e": 6}


def test_a_run_is_not_let_in_where_another_has_updated_the_index_since_it_looked(tmp_path):
    index = tmp_path / "index"

    def update(label: str, seen: list[Path], against: list[str]) -> None:
        part = new_part(index / "parts" / label, FORM, index, against=against, seen=seen)
        with part as writer, writer.documents():
            pass

    looked = [write(index, "one", [1, 2])]
    update("two", looked, [str(index)])
    before = (index / "index.json").read_bytes()
    with pytest.raises(
        CorpusmillError, match=r"index: another run has added two to the index meanwhile, .*; run again"
    ):
        update("three", looked, [str(tmp_path / "." / "index")])
    assert (index / "index.json").read_bytes() == before
    assert sorted(path.name for path in (index / "parts").iterdir()) == ["one", "two"]
    update("one", [], [str(index)])  # those after it are none of its business
    update("three", looked, [str(tmp_path / "other")])  # nor is any, where it is not compared with this index
    update("four", [*looked, index / "parts" / "two", index / "parts" / "three"], [str(index)])
    assert dict(open_index(index).numbers) == {"one": 1, "two": 2, "three": 3, "four": 4}


def test_a_writer_that_fails_leaves_the_old_part_and_nothing_else(tmp_path):
    folder = write(tmp_path / "index", "one", [1, 2])
    with pytest.raises(ZeroDivisionError), new_part(folder, FORM, tmp_path / "index"):
        raise ZeroDivisionError
    assert open_part(folder).array("numbers").tolist() == [[1, 2]]
    assert [path.name for path in folder.parent.iterdir()] == ["one"]


def test_a_writer_that_was_killed_leaves_no_part_and_the_next_one_clears_up(tmp_path):
    folder = write(tmp_path / "index", "one", [1, 2])
    if (child := os.fork()) == 0:
        with new_part(folder.with_name("two"), FORM, tmp_path / "index") as writer, writer.array("numbers", "uint32"):
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert len(list(folder.parent.glob(".two.partial-*"))) == 1
    assert labels(parts_before([str(tmp_path / "index")], None, None, FORM)) == ["one"]
    write(tmp_path / "index", "two", [3, 4])  # the lock went with the process
    assert sorted(path.name for path in folder.parent.iterdir()) == ["one", "two"]


def test_a_part_that_a_killed_writer_had_set_aside_is_put_back(tmp_path):
    folder = write(tmp_path / "index", "one", [1, 2])
    if (child := os.fork()) == 0:
        with new_part(folder, FORM, tmp_path / "index"):
            Path.rename(folder, folder.with_name(".one.partial-old"))  # as the writer does, and then it is killed
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    with pytest.raises(ZeroDivisionError), new_part(folder, FORM, tmp_path / "index"):
        raise ZeroDivisionError  # the next writer comes no further
    assert open_part(folder).array("numbers").tolist() == [[1, 2]]
    assert [path.name for path in folder.parent.iterdir()] == ["one"]


def test_a_part_that_is_replaced_while_it_is_read_is_an_error(tmp_path):
    folder = write(tmp_path / "index", "one", [1, 2, 3, 4])
    part = open_part(folder)
    kept = part.array("numbers")
    write(tmp_path / "index", "one", [1, 2, 3, 4])
    assert part.array("numbers").tolist() == [[1, 2], [3, 4]]  # the same again
    for values in ([5, 6, 7, 8], [5, 6]):  # of the same size, and of another
        write(tmp_path / "index", "one", values)
        for read in (lambda: part.array("numbers"), lambda: part.documents(np.array([0]))):
            with pytest.raises(InputError, match=r"parts/one: was replaced while it was read, by another run: run ag"):
                read()
    assert kept.tolist() == [[1, 2], [3, 4]]  # what was mapped stays


def test_a_part_that_is_replaced_while_it_is_opened_is_no_damage(tmp_path, monkeypatch):
    folder = write(tmp_path / "index", "one", [1, 2, 3, 4])
    parsed = index_module._parsed

    def replacing(path: Path, content: bytes) -> dict:
        monkeypatch.undo()
        write(tmp_path / "index", "one", [5, 6])
        return parsed(path, content)

    index_module._opened.cache_clear()
    monkeypatch.setattr(index_module, "_parsed", replacing)
    with pytest.raises(InputError, match="was replaced while it was read"):
        open_part(folder)
    assert open_part(folder).rows == 1


def test_a_part_that_stands_there_counts_though_its_writer_was_killed_before_it_said_so(tmp_path):
    for label in ("one", "two"):
        write(tmp_path / "index", label, [1, 2])
    path = tmp_path / "index" / "index.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({**facts, "parts": {"one": 1}}))
    assert dict(open_index(tmp_path / "index").numbers) == {"one": 1, "two": 2}
    write(tmp_path / "index", "three", [1, 2])
    assert json.loads(path.read_text())["parts"] == {"one": 1, "two": 2, "three": 3}


def test_a_part_that_is_not_whole_is_an_error_for_those_that_need_it_alone(tmp_path):
    for label in ("one", "two"):
        write(tmp_path / "index", label, [1, 2])
    (tmp_path / "index" / "parts" / "two" / "part.json").unlink()
    index = str(tmp_path / "index")
    assert labels(parts_before([index], index, "two", FORM)) == ["one"]
    with pytest.raises(InputError, match=r"parts/two: is no index part, or not a whole one .* run it to its end, or"):
        parts_before([index], index, "three", FORM)
    forget_part(tmp_path / "index", "two")
    assert labels(parts_before([index], index, "three", FORM)) == ["one"]
    assert not (tmp_path / "index" / "parts" / "two").exists()
    with pytest.raises(InputError, match=r'has no part "two"; its parts: one'):
        forget_part(tmp_path / "index", "two")


def test_writers_at_the_same_time_come_one_after_the_other(tmp_path):
    begin = threading.Barrier(4)

    def update(label: str) -> None:
        begin.wait()
        write(tmp_path / "index", label, list(range(1000)))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(update, "abcd"))
    numbers = open_index(tmp_path / "index").numbers
    assert sorted(numbers) == ["a", "b", "c", "d"]
    assert sorted(numbers.values()) == [1, 2, 3, 4]
    assert {label: open_part(tmp_path / "index" / "parts" / label).number for label in numbers} == numbers


def test_a_part_can_stand_alone(tmp_path):
    folder = write(tmp_path, "alone", [1, 2], within=False)
    assert open_part(folder).number == 0
    assert not (tmp_path / "index.json").exists()
    assert open_part(shutil.copytree(folder, tmp_path / "moved")).form == FORM


@pytest.mark.parametrize("name", ["numbers.bin", "documents.parquet"])
def test_a_file_that_was_cut_off_or_removed_is_an_error_that_names_it(tmp_path, name):
    folder = write(tmp_path / "index", "one", [1, 2, 3, 4])
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[:-1])
    touched = folder / "part.json"  # what is known of a part is kept as long as its file is the same
    os.utime(touched, ns=(1, 1))
    with pytest.raises(InputError, match=rf"one/{name}: has {len(whole) - 1} bytes instead of {len(whole)}; the index"):
        open_part(folder)
    (folder / name).unlink()
    with pytest.raises(InputError, match=rf"one/{name}: is missing; the index part is damaged: run the run that wrote"):
        open_part(folder)


def test_other_content_of_the_same_size_is_found_when_asked_for(tmp_path):
    folder = write(tmp_path / "index", "one", [1, 2, 3, 4])
    (folder / "numbers.bin").write_bytes(np.array([1, 2, 3, 5], np.uint32).tobytes())
    with pytest.raises(InputError, match=r"numbers\.bin: is not what part\.json says: its SHA-256 differs"):
        open_part(folder).check_content()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts: "{", "part.json: cannot be read"),
        (lambda facts: "[" * 100_000, "part.json: cannot be read"),
        (lambda facts: "[]", "part.json: is no object with a format"),
        (lambda facts: {**facts, "format": 2}, "part.json: has format 2, and this version of corpusmill reads 1"),
        (lambda facts: {**facts, "rows": -1}, "part.json: does not say what a part's file says .*-1 is no count"),
        (lambda facts: {**facts, "files": {"../x.bin": facts["files"]["numbers.bin"]}}, "'../x.bin' is no file of a"),
        (lambda facts: {**facts, "files": {"numbers.bin": {**facts["files"]["numbers.bin"], "shape": [3, 2]}}},
         "numbers.bin cannot have 16 bytes and the shape"),
        (lambda facts: {**facts, "files": {"numbers.bin": {**facts["files"]["numbers.bin"], "type": "object"}}},
         "'object' is no type of an array"),
        (lambda facts: {**facts, "sources": ["web"]}, "part.json: does not say"),
        (lambda facts: {name: facts[name] for name in facts if name != "kind"}, "part.json: does not say .*kind"),
    ],
)  # fmt: skip
def test_a_part_s_file_that_says_what_cannot_be_is_an_error(tmp_path, change, message):
    folder = write(tmp_path / "index", "one", [1, 2, 3, 4])
    path = folder / "part.json"
    changed = change(json.loads(path.read_text()))
    path.write_text(changed if isinstance(changed, str) else json.dumps(changed))
    with pytest.raises(InputError, match=message):
        open_part(folder)


def test_an_array_that_the_part_does_not_have_is_an_error(tmp_path):
    with pytest.raises(InputError, match="names no array signatures"):
        open_part(write(tmp_path / "index", "one", [1, 2])).array("signatures")


def test_an_index_that_is_not_there_is_an_error_unless_it_is_to_be_made(tmp_path):
    missing, empty = str(tmp_path / "missing"), tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(
        InputError, match=r"missing: there is no index \(index.json is missing\); a run whose dedup stage"
    ):
        parts_before([missing], None, None, FORM)
    with pytest.raises(InputError, match=r"empty: holds no index"):
        open_index(empty)
    assert parts_before([missing], missing, "one", FORM) == []


def test_an_index_whose_file_is_damaged_or_missing_beside_its_parts_is_an_error(tmp_path):
    index = tmp_path / "index"
    write(index, "one", [1, 2])
    (index / "index.json").write_text("{}")
    with pytest.raises(
        InputError, match=r"index\.json: is no object with a format; restore it from a copy, or let the"
    ):
        open_index(index)
    (index / "index.json").unlink()
    for use in (lambda: parts_before([str(index)], str(index), "two", FORM), lambda: write(index, "two", [])):
        with pytest.raises(
            InputError, match=r"index\.json: is missing, and parts of an index are there; restore it from"
        ):
            use()


def test_an_index_of_another_kind_or_other_parameters_is_an_error_that_tells_them(tmp_path):
    index = tmp_path / "index"
    write(index, "one", [1, 2])
    folded = Form.of("exact", {"normalisation": "folded", "version": 1})
    for use in (lambda form: parts_before([str(index)], None, None, form),
                lambda form: parts_before([], str(index), "two", form),
                lambda form: write(index, "two", [], form)):  # fmt: skip
        with pytest.raises(
            InputError, match=r"other parameters \(normalisation none there, folded here\); give the st"
        ):
            use(folded)
        with pytest.raises(InputError, match="is an index of exact fingerprints, and minhash ones are needed"):
            use(Form.of("minhash", {}))
    assert dict(open_index(index).numbers) == {"one": 1}


@pytest.mark.parametrize("label", ["", ".hidden", "a/b", "..", "a b", "x" * 101, "é"])
def test_a_label_that_could_be_no_folder_everywhere_is_refused(label):
    with pytest.raises(RecipeError, match="is no name of an index part; use up to 100 letters"):
        check_label(label, "exact_dedup.update_as")


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    (tmp_path / "index").write_text("a file")
    with pytest.raises(Exception, match="index cannot be made or written"):
        write(tmp_path / "index", "one", [])


def test_an_index_that_cannot_be_written_is_found_before_any_work(tmp_path, monkeypatch):
    check_writable(str(tmp_path / "new" / "index"))
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "deep" / "index"):
        with pytest.raises(InputError, match=rf"{re.escape(str(tmp_path))}/file: is no folder, and the index .* to be"):
            check_writable(str(place))
    write(tmp_path / "index", "one", [1, 2])
    check_writable(str(tmp_path / "index"))
    for locked in (tmp_path, tmp_path / "index" / "parts"):
        # Root may write everywhere, so permissions are said here.
        monkeypatch.setattr(os, "access", lambda place, mode, locked=locked: place != locked)
        place = tmp_path / "new" / "index" if locked == tmp_path else tmp_path / "index"
        with pytest.raises(
            InputError, match=rf"^{re.escape(str(locked))}: cannot be written, and the index .* mend it"
        ):
            check_writable(str(place))


@given(st.lists(st.integers(0, 9), max_size=30))
def test_the_tasks_of_the_step_take_every_sidecar_once_and_in_order(rows):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seeking, "_SEEK_ROWS", 10)
        groups = seeking._groups(rows)
        assert [step.tasks for step in seek_steps(rows)] == [len(groups)]
    taken = [number for begin, end in groups for number in range(begin, end)]
    assert taken == list(range(len(rows)))
    assert all(sum(rows[begin:end]) < 20 for begin, end in groups)
