"""Memory across runs through the real command: dumps in sequence, the same runs again, and questions to the index."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from corpusmill.dedup import index as index_module
from corpusmill.dedup.index import open_index, open_part
from corpusmill.pipeline import barriers, executors
from corpusmill.pipeline.command import app
from corpusmill.pipeline.recipe import load_recipe
from corpusmill.pipeline.run import run_recipe


@pytest.fixture
def ask(monkeypatch, inline_executor):
    """Calls the command in this process, with tasks in this process, too."""
    monkeypatch.setattr(executors, "LocalExecutor", lambda workers: inline_executor)
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def words(chance: random.Random, count: int = 60) -> list[str]:
    return [f"w{chance.randrange(100_000)}" for _ in range(count)]


CHANCE = random.Random(11)
SHARED, NEAR, FIRST, SECOND = (words(CHANCE) for _ in range(4))
DUMPS = {
    "one": [SHARED, NEAR, FIRST, FIRST],
    "two": [SECOND, SHARED, [*NEAR, "changed"], [*SECOND, "twice"]],
    "three": [[*SECOND, "thrice"], words(CHANCE)],
}


def write_dump(folder: Path, label: str, stage: str = "minhash_dedup", **options: Any) -> Path:
    """A dump and its recipe, which updates the index and compares with it."""
    texts = [" ".join(text) for text in DUMPS[label]]
    (folder / f"{label}.jsonl").write_text(
        "".join(
            json.dumps({"text": text, "url": f"https://{label}.example/{n}"}) + "\n" for n, text in enumerate(texts)
        )
    )
    dedup = {"against": ["index"], "update": "index", "update_as": label, "keep": "first_id", **options}
    recipe = {
        "name": f"run_{label}",
        "runs": str(folder / "runs"),
        "sources": {"web": {"paths": f"{label}.jsonl", "stages": [{stage: dedup}]}},
    }
    path = folder / f"{label}.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def ledger(folder: Path, label: str) -> dict[str, tuple[str, str | None]]:
    """By URL: the reason, and the URL of the twin or its id."""
    rows = pq.read_table(folder / "runs" / f"run_{label}" / "web" / "ledger").to_pylist()
    return {row["url"]: (row["reason"], row["kept_id"]) for row in rows if row["reason"]}


def ids(folder: Path, label: str) -> dict[str, str]:
    part = open_part(folder / "index" / "parts" / label)
    rows = pq.read_table(part.folder / "documents.parquet").to_pylist()
    return {row["id"]: row["url"] for row in rows}


@pytest.mark.parametrize("stage", ["minhash_dedup", "exact_dedup"])
def test_dumps_in_sequence_leave_what_is_new_and_again_change_nothing(ask, tmp_path, stage):
    recipes = [write_dump(tmp_path, label, stage) for label in DUMPS]
    for recipe in recipes:
        told = ask("run", recipe)
        assert told.exit_code == 0, told.output
    kept = ids(tmp_path, "one") | ids(tmp_path, "two")
    seen = {
        label: {url: kept[twin] for url, (reason, twin) in ledger(tmp_path, label).items() if reason == "seen_before"}
        for label in DUMPS
    }
    near = stage == "minhash_dedup"
    expected = {"https://two.example/1": "https://one.example/0"}
    assert seen["one"] == {}
    assert seen["two"] == expected | ({"https://two.example/2": "https://one.example/1"} if near else {})
    assert list(seen["three"]) == (["https://three.example/0"] if near else [])
    assert [reason for reason, _ in ledger(tmp_path, "one").values()] == ["near_duplicate" if near else "duplicate"]

    before = {path: path.read_bytes() for path in sorted((tmp_path / "index").rglob("*")) if path.is_file()}
    for recipe in recipes:
        told = ask("run", recipe)
        assert "decisions: 1 of 1 task, done before" in told.stderr
        assert "seek" not in told.stderr
    assert {path: path.read_bytes() for path in sorted((tmp_path / "index").rglob("*")) if path.is_file()} == before


def test_a_run_under_the_same_name_takes_its_part_s_place_and_keeps_its_number(ask, tmp_path):
    for label in ("one", "two"):
        assert ask("run", write_dump(tmp_path, label)).exit_code == 0
    before = ids(tmp_path, "one"), ledger(tmp_path, "two")
    told = ask("run", write_dump(tmp_path, "one"), "--set", "sources.web.stages.0.minhash_dedup.min_similarity=0.9")
    assert told.exit_code == 0, told.output
    assert (ids(tmp_path, "one"), dict(open_index(tmp_path / "index").numbers)) == (before[0], {"one": 1, "two": 2})
    # One that has other documents: the later dump, run again, decides anew.
    text = (tmp_path / "one.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "one.jsonl").write_text("".join(text[1:]))
    assert ask("run", tmp_path / "one.yaml").exit_code == 0
    assert "https://one.example/0" not in ids(tmp_path, "one").values()
    assert dict(open_index(tmp_path / "index").numbers) == {"one": 1, "two": 2}
    told = ask("run", tmp_path / "two.yaml")
    assert "phase 1: 1 of 1 task, done before" in told.stderr
    assert ledger(tmp_path, "two").keys() == before[1].keys() - {"https://two.example/1"}


def test_an_update_that_was_stopped_is_made_good_by_running_again(ask, tmp_path, monkeypatch):
    recipe = write_dump(tmp_path, "one")
    with monkeypatch.context() as patch:

        def stop(*arguments: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(index_module, "_put", stop)
        assert ask("run", recipe).exit_code == 130
    assert not (tmp_path / "index" / "parts" / "one").exists()
    assert ask("run", write_dump(tmp_path, "two")).exit_code == 0
    assert dict(open_index(tmp_path / "index").numbers) == {"two": 1}
    assert ask("run", recipe).exit_code == 0
    assert dict(open_index(tmp_path / "index").numbers) == {"two": 1, "one": 2}


@pytest.mark.parametrize("stage", ["minhash_dedup", "exact_dedup"])
def test_of_two_runs_at_once_the_later_one_is_compared_with_the_earlier_when_it_is_run_again(
    ask, tmp_path, monkeypatch, stage
):
    earlier, later = (write_dump(tmp_path, label, stage) for label in ("one", "two"))
    alarm = barriers._alarm

    def overtaken(*arguments: Any) -> str | None:
        monkeypatch.setattr(barriers, "_alarm", alarm)
        assert ask("run", earlier).exit_code == 0
        return alarm(*arguments)

    monkeypatch.setattr(barriers, "_alarm", overtaken)
    told = ask("run", later)
    assert told.exit_code == 1
    assert "index: another run has added one to the index meanwhile" in told.output
    assert dict(open_index(tmp_path / "index").numbers) == {"one": 1}
    assert ask("run", later).exit_code == 0
    assert ledger(tmp_path, "two")["https://two.example/1"][0] == "seen_before"
    before = ids(tmp_path, "two")
    assert "done before" in ask("run", later).stderr
    assert ids(tmp_path, "two") == before


def test_a_damaged_index_and_one_of_other_parameters_stop_a_run_before_it_begins(ask, tmp_path):
    assert ask("run", write_dump(tmp_path, "one")).exit_code == 0
    recipe = write_dump(tmp_path, "two")
    told = ask("run", recipe, "--set", "sources.web.stages.0.minhash_dedup.ngram=4")
    assert told.exit_code == 2
    assert "ngram 5 there, 4 here" in told.stderr
    keys = tmp_path / "index" / "parts" / "one" / "keys.bin"
    keys.write_bytes(keys.read_bytes()[:-8])
    (keys.parent / "part.json").touch()
    for command in ("run", "plan"):
        told = ask(command, recipe)
        assert told.exit_code == 2
        assert "keys.bin: has 328 bytes instead of 336; the index part is damaged" in told.stderr
    assert not (tmp_path / "runs" / "run_two").exists()


@pytest.mark.parametrize("stage", ["minhash_dedup", "exact_dedup"])
def test_a_source_with_precedence_keeps_what_another_has_too(ask, tmp_path, stage):
    for label in ("one", "two"):
        write_dump(tmp_path, label)
    dedup = [{stage: {"precedence": ["books", "web"]}}]
    recipe = {
        "name": "both",
        "runs": str(tmp_path / "runs"),
        "sources": {"web": {"paths": "one.jsonl", "stages": dedup}, "books": {"paths": "two.jsonl", "stages": dedup}},
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    told = ask("run", tmp_path / "recipe.yaml", "--json")
    assert told.exit_code == 0, told.output
    rows = {
        source: {
            row["url"]: row["reason"]
            for row in pq.read_table(tmp_path / "runs" / "both" / source / "ledger").to_pylist()
        }
        for source in ("web", "books")
    }
    assert rows["web"]["https://one.example/0"] == "seen_before"
    assert rows["books"]["https://two.example/1"] is None
    assert (rows["web"]["https://one.example/1"] == "seen_before") == (stage == "minhash_dedup")


@pytest.fixture(scope="module")
def two_dumps(tmp_path_factory, inline_executor, quiet) -> Path:
    """An index of two dumps."""
    folder = tmp_path_factory.mktemp("dumps")
    for label in ("one", "two"):
        run_recipe(load_recipe(write_dump(folder, label)), inline_executor, quiet)
    return folder / "index"


@pytest.fixture
def filled(two_dumps, tmp_path) -> Path:
    """The same, for a test to change."""
    return shutil.copytree(two_dumps, tmp_path / "index")


def test_a_question_names_what_the_index_holds_that_is_like_a_text(ask, tmp_path, filled):
    (tmp_path / "text.txt").write_text(" ".join([*SHARED, "\x1b[31m"]))
    told = ask("dedup", "query", filled, tmp_path / "text.txt")
    assert told.exit_code == 0, told.output
    [first, found] = told.stdout.splitlines()
    assert first.startswith("text 1: w")
    assert "https://one.example/0" in found
    assert found.split()[0].startswith("0.9")
    assert found.split()[2:4] == ["one", "web"]
    assert "\x1b" not in told.stdout


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_questions_can_come_from_a_table_and_be_answered_as_json(ask, tmp_path, filled, kind):
    texts = [" ".join(SHARED), "nothing of the kind", "", " ".join(NEAR)]
    path = tmp_path / f"texts.{kind}"
    if kind == "jsonl":
        path.write_text("".join(json.dumps({"body": text}) + "\n" for text in texts))
    else:
        pq.write_table(pa.table({"body": texts}), path)
    told = ask("dedup", "query", filled, path, "--field", "body", "--json", "--min-similarity", "0.9", "--top", "1")
    assert told.exit_code == 0, told.output
    answers = [json.loads(line) for line in told.stdout.splitlines()]
    assert [[found["url"] for found in answer["similar"]] for answer in answers] == [
        ["https://one.example/0"], [], [], ["https://one.example/1"]
    ]  # fmt: skip
    assert answers[0]["similar"][0] | {"id": "", "url": ""} == {
        "similarity": 1.0, "exact": True, "id": "", "part": "one", "source": "web", "url": ""
    }  # fmt: skip
    assert "nothing like it" in ask("dedup", "query", filled, path, "--field", "body").stdout


def test_questions_that_cannot_be_answered_are_errors(ask, tmp_path, filled):
    (tmp_path / "text.txt").write_text("some words")
    (tmp_path / "empty.txt").write_text(" ... ")
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9")
    pq.write_table(pa.table({"body": ["a"]}), tmp_path / "table.parquet")
    assert ask("run", write_dump(tmp_path, "three", "exact_dedup", against=[], update="exact")).exit_code == 0
    for arguments, message in (
        ((tmp_path / "none", "text.txt"), "none: there is no index"),
        ((filled, "none.txt"), "none.txt: there is no such file"),
        ((filled, "empty.txt"), "empty.txt: holds no text with a word in it"),
        ((filled, "latin.txt"), "latin.txt: is no UTF-8"),
        ((filled, "table.parquet"), 'table.parquet: has no string column "text", but body'),
        ((tmp_path / "exact", "text.txt"), "exact: is an index of exact fingerprints, which knows equal texts"),
        ((filled, "text.txt", "--min-similarity", "1.5"), "--min-similarity: 1.5 is no similarity"),
        ((filled, "text.txt", "--top", "0"), "--top: 0 is too few"),
    ):
        index, file, *options = arguments
        told = ask("dedup", "query", index, tmp_path / file, *options)
        assert told.exit_code == 2, arguments
        assert message in told.stderr


def test_an_index_tells_of_itself_and_forgets_a_part(ask, tmp_path, filled):
    told = ask("dedup", "info", filled, "--check")
    assert told.exit_code == 0, told.output
    assert "minhash (ngram 5, " in told.stdout
    facts = json.loads(ask("dedup", "info", filled, "--json").stdout)
    assert [(part["part"], part["number"], part["rows"]) for part in facts["parts"]] == [("one", 1, 3), ("two", 2, 1)]
    (filled / "parts" / "two" / "sizes.bin").write_bytes(b"\1\0\0\0")
    told = ask("dedup", "info", filled, "--check")
    assert told.exit_code == 2
    assert "parts/two/sizes.bin: is not what part.json says: its SHA-256 differs" in told.stderr
    assert ask("dedup", "forget", filled, "two").exit_code == 0
    assert "two" not in ask("dedup", "info", filled, "--check").stdout
    assert 'has no part "two"; its parts: one' in ask("dedup", "forget", filled, "two").stderr
