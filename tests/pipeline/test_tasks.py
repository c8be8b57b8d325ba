import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from corpusmill.pipeline.tasks import Task, fingerprint


@dataclass(frozen=True)
class Words:
    out: Path
    text: str


def count_words(work: Words) -> dict[str, int]:
    work.out.write_text(work.text.upper())
    return {"words": len(work.text.split())}


def word_task(folder: Path, text: str = "a b c") -> Task:
    out = folder / "out.txt"
    return Task(
        key="words",
        function=f"{__name__}:count_words",
        arguments=Words(out, text),
        outputs=(out,),
        marker=folder / "words.json",
        fingerprint=fingerprint(text),
    )


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    # Tests are imported by path; a task's function is found by name.
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or __import__(__name__))


def test_a_task_that_ran_is_done_with_its_counts(tmp_path):
    task = word_task(tmp_path)
    assert task.done() is None
    assert task.run() == {"words": 3}
    assert task.done() == {"words": 3}


def test_a_task_of_another_fingerprint_is_not_done(tmp_path):
    word_task(tmp_path).run()
    assert word_task(tmp_path, "other text").done() is None


def test_a_task_whose_output_changed_size_or_went_is_not_done(tmp_path):
    task = word_task(tmp_path)
    task.run()
    (tmp_path / "out.txt").write_text("cut")
    assert task.done() is None
    task.run()
    (tmp_path / "out.txt").unlink()
    assert task.done() is None


def test_outputs_of_the_same_name_in_other_folders_are_told_apart(tmp_path):
    first, second = tmp_path / "a" / "part.txt", tmp_path / "b" / "part.txt"
    first.parent.mkdir()
    second.parent.mkdir()
    task = word_task(tmp_path)
    twice = replace(task, arguments=Words(first, "x"), outputs=(first, second))
    second.write_text("longer than the other")
    assert twice.done() is None
    first.write_text("x")
    marker = {"fingerprint": twice.fingerprint, "outputs": {"a/part.txt": 1, "b/part.txt": 21}, "counts": {"n": 1}}
    twice.marker.write_text(json.dumps(marker))
    assert twice.done() == {"n": 1}
    first.write_text("xx")
    assert twice.done() is None


@pytest.mark.parametrize("content", ["", "[]", "{", '{"fingerprint": 3}', '{"outputs": null, "counts": {}}', "\x00"])
def test_a_marker_that_somebody_else_wrote_means_not_done(tmp_path, content):
    task = word_task(tmp_path)
    task.run()
    task.marker.write_text(content)
    assert task.done() is None


def test_running_again_removes_the_old_marker_before_it_works(tmp_path):
    task = word_task(tmp_path)
    task.run()
    broken = replace(task, function=f"{__name__}:missing")
    with pytest.raises(AttributeError):
        broken.run()
    assert not task.marker.exists()
    assert not (tmp_path / "out.txt").exists()


def test_a_fingerprint_depends_on_every_field_and_not_on_the_order_of_keys():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert fingerprint(Words(Path("x"), "t")) != fingerprint(Words(Path("y"), "t"))
    assert json.loads(json.dumps(fingerprint(1))) == fingerprint(1)


def test_what_cannot_be_written_down_cannot_enter_a_fingerprint():
    with pytest.raises(TypeError, match="cannot enter a fingerprint"):
        fingerprint(object())
