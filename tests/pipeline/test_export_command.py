"""`corpusmill export`: the same bytes however it ran, gone on with where it stopped, refused where two would mix."""

from __future__ import annotations

import fcntl
import inspect
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from corpusmill.documents.errors import CorpusmillError, InputError, UsageError
from corpusmill.mix.exports import FORMATS
from corpusmill.mix.exports.tokenised import ShardExport
from corpusmill.mix.tokens import load_tokens
from corpusmill.pipeline.command import app
from corpusmill.pipeline.executors import Executor, LocalExecutor, Watch
from corpusmill.pipeline.export_command import Exported, ExportOptions, export, export_as_text
from corpusmill.pipeline.tasks import Outcome, Runnable
from tests.mix.exports.small_dataset import EOS, make_tokenizer, write_dataset

EVERY = ("nanotron", "megatron", "olmo", "jsonl")


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tokenizer(tmp_path_factory.mktemp("export_tokenizer") / "tokenizer.json")


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory, tokenizer: Path) -> Path:
    shards = {"train": (120, 90, 100), "validation": (20,), "heldout_math": (15,)}
    return write_dataset(tmp_path_factory.mktemp("export_dataset") / "dataset", tokenizer, shards)


class Watching:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.said: list[str] = []

    def level(self, title: str, tasks: int, size: int) -> None: ...

    def outcome(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def say(self, line: str) -> None:
        self.said.append(line)


class InThisProcess(Executor):
    """Runs tasks one after another, and is killed before task number `until`."""

    def __init__(self, until: int | None = None) -> None:
        self.until = until

    def run(self, tasks: Sequence[Runnable], watch: Watch) -> list[Outcome]:
        found = []
        for number, task in enumerate(tasks):
            if number == self.until:
                raise KeyboardInterrupt
            try:
                found.append(Outcome(task, task.run()))
            except UsageError:
                raise
            except CorpusmillError as error:
                found.append(Outcome(task, error=str(error)))
            watch(found[-1])
        return found


def run(
    dataset: Path, out: Path, spec: Path | None, until: int | None = None, **options: Any
) -> tuple[Exported, Watching]:
    progress = Watching()
    asked = {"to": EVERY, "tokenizer": str(spec) if spec else None} | options
    return export(dataset, ExportOptions(out=out, **asked), InThisProcess(until), progress), progress


def bytes_of(folder: Path) -> dict[str, bytes]:
    """All files, with the paths of the export in them made equal."""
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes().replace(str(folder).encode(), b"OUT")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    for name in [name for name in found if name.endswith("export.json")]:
        told = json.loads(found[name])
        del told["files"]  # the sizes of files that hold paths
        found[name] = json.dumps(told).encode()
    return found


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, dataset: Path, tokenizer: Path) -> Path:
    """The dataset in every format, by component."""
    out = tmp_path_factory.mktemp("exported") / "out"
    run(dataset, out, tokenizer, by="component")
    return out


def test_one_worker_and_two_write_the_same_bytes(
    dataset: Path, tokenizer: Path, exported: Path, tmp_path: Path
) -> None:
    executor = LocalExecutor(2)
    try:
        options = ExportOptions(to=EVERY, out=tmp_path / "out", tokenizer=str(tokenizer), by="component")
        assert export(dataset, options, executor, Watching()).exit_code == 0
    finally:
        executor.close()
    assert bytes_of(tmp_path / "out") == bytes_of(exported)


def test_every_format_holds_the_dataset_s_tokens_and_one_eos_a_document(
    dataset: Path, tokenizer: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result, _ = run(dataset, out, tokenizer)
    tokens = load_tokens(str(tokenizer))
    eos = tokens.token_id(EOS)
    manifest = json.loads((dataset / "manifest.json").read_text())
    for split in ("train", "validation", "heldout_math"):
        shards = [shard for shard in manifest["shards"] if shard["split"] == split]
        units, rows = (sum(shard[key] for shard in shards) for key in ("units", "rows"))
        for name in ("nanotron", "megatron", "olmo"):
            counted = result.formats[name]["splits"][split]
            assert counted["documents"] == rows, (name, split)
            assert counted["tokens"] == units + rows, (name, split)
        texts = [text for shard in shards for text in pq.read_table(dataset / shard["name"])["text"].to_pylist()]
        ids, offsets = tokens.encode(pq.read_table(dataset / shards[0]["name"])["text"].combine_chunks())
        stem = Path(shards[0]["name"]).stem
        wanted = np.insert(ids.astype(np.int64), offsets[1:], eos)
        for place in (out / "nanotron" / split / f"{stem}.ds", out / "olmo" / split / f"{stem}.npy"):
            assert np.fromfile(place, "<u2").tolist() == wanted.tolist()
        joined = np.fromfile(out / "megatron" / f"{split}_text_document.bin", "<u2")
        assert joined[: len(wanted)].tolist() == wanted.tolist()
        assert np.count_nonzero(joined == eos) == len(texts) == rows


def test_what_is_told_of_an_export_is_there(exported: Path) -> None:
    for name in EVERY:
        told = json.loads((exported / name / "export.json").read_text())
        assert told["complete"]
        on_disk = {
            path.relative_to(exported / name).as_posix(): path.stat().st_size
            for path in (exported / name).rglob("*")
            if path.is_file() and path.name != "export.json"
        }
        assert told["files"] == on_disk
        for counts in told["splits"].values():
            assert sum(group["share"] for group in counts["groups"].values()) == pytest.approx(1)
            for key in ("documents", "text_bytes", "tokens"):
                assert sum(group[key] for group in counts["groups"].values()) == counts[key]
        assert list(told["splits"]) == ["train", "validation", "heldout_math"]


@pytest.mark.parametrize("until", [1, 4])
def test_an_export_that_was_killed_goes_on_where_it_was(
    dataset: Path, tokenizer: Path, exported: Path, tmp_path: Path, until: int
) -> None:
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        run(dataset, out, tokenizer, until, by="component")
    assert not list(out.glob("*/.parts/**/*.partial-*"))
    result, progress = run(dataset, out, tokenizer, by="component")
    assert sum(outcome.reused for outcome in progress.outcomes) == until
    assert result.exit_code == 0
    assert bytes_of(out) == bytes_of(exported)


def test_a_kill_while_parts_are_joined_costs_no_tokenisation(
    dataset: Path, tokenizer: Path, exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("corpusmill.mix.exports.megatron._blend", killed)
        with pytest.raises(KeyboardInterrupt):
            run(dataset, out, tokenizer, by="component")
    _, progress = run(dataset, out, tokenizer, by="component")
    assert all(outcome.reused for outcome in progress.outcomes)
    assert len(progress.outcomes) == 5
    assert bytes_of(out) == bytes_of(exported)


def test_a_file_that_is_gone_or_cut_short_is_written_again(
    dataset: Path, tokenizer: Path, exported: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(exported, tmp_path / "out"))
    (out / "nanotron" / "train" / "code" / "train-00001-of-00003.ds").unlink()
    (out / "megatron" / "train" / "code_text_document.bin").write_bytes(b"")
    run(dataset, out, tokenizer, to=("nanotron", "megatron"), by="component")
    for name in ("nanotron", "megatron"):
        assert bytes_of(out / name) == bytes_of(exported / name)


def test_a_format_that_is_added_leaves_the_others_alone(
    dataset: Path, tokenizer: Path, exported: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(dataset, out, None, to=("jsonl",), by="component")
    before = {path: path.stat().st_mtime_ns for path in (out / "jsonl").rglob("*") if path.is_file()}
    result, progress = run(dataset, out, tokenizer, by="component")
    assert progress.said == [f"{out / 'jsonl'}: is complete already"]
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert list(result.formats) == list(EVERY)
    assert bytes_of(out) == bytes_of(exported)


def test_a_dataset_in_another_unit_is_exported_unchecked(tokenizer: Path, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "dataset", tokenizer, {"train": (30,)}, unit="bytes", components=False)
    result, _ = run(folder, tmp_path / "out", tokenizer, to=("nanotron",), by="component")
    train = result.formats["nanotron"]["splits"]["train"]
    assert train["documents"] == 30
    assert set(train["groups"]) <= {"web", "code", "math"}


def test_only_the_splits_that_were_named_are_written(dataset: Path, tmp_path: Path) -> None:
    run(dataset, tmp_path / "out", None, to=("jsonl",), splits=("validation",))
    assert [path.name for path in (tmp_path / "out" / "jsonl").iterdir() if path.is_dir()] == ["validation"]


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"to": ()}, "--to: name at least one format"),
    ({"to": ("nanotorn",)}, "--to nanotorn: is no format; did you mean 'nanotron'"),
    ({"to": ("nanotron", "olmo"), "tokenizer": None}, "--to nanotron,olmo: holds tokens; give --tokenizer"),
    ({"to": ("jsonl",)}, "would not be used, as jsonl holds text; leave it out"),
    ({"tokenizer": "/nowhere.json"}, "/nowhere.json is no file"),
    ({"eos": "<|end|>"}, r"--eos <\|end\|>: is no token of .*; it has <\|endoftext\|>"),
    ({"splits": ("test",)}, "has no such split"),
    ({"sequence_length": 0}, "--sequence-length 0: must be at least 1"),
]


@pytest.mark.parametrize(("options", "said"), REFUSED)
def test_what_cannot_be_done_is_said_before_anything_is_written(
    dataset: Path, tokenizer: Path, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        run(dataset, tmp_path / "out", tokenizer, **options)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_tokenizer_that_did_not_count_the_dataset_is_refused(dataset: Path, tmp_path: Path) -> None:
    other = make_tokenizer(tmp_path / "other" / "tokenizer.json", 300)
    with pytest.raises(InputError, match="were counted with the tokenizer"):
        run(dataset, tmp_path / "out", other)


def test_a_tokenizer_without_an_end_of_text_wants_one_named(tmp_path: Path, tokenizer: Path) -> None:
    data = json.loads(tokenizer.read_text())
    data["added_tokens"] = []
    data["model"]["vocab"]["ending"] = data["model"]["vocab"].pop(EOS)
    bare = tmp_path / "bare.json"
    bare.write_text(json.dumps(data))
    folder = write_dataset(tmp_path / "dataset", bare, {"train": (5,)})
    with pytest.raises(UsageError, match="does not say which token ends a document; name it with --eos; it has"):
        run(folder, tmp_path / "out", bare, to=("nanotron",))
    result, _ = run(folder, tmp_path / "out", bare, to=("nanotron",), eos="ending")
    assert result.formats["nanotron"]["tokenizer"]["eos"] == "ending"


DIFFERENT: list[tuple[dict[str, Any], str]] = [
    ({"by": None}, "another --by"),
    ({"eos": "."}, "another end-of-text token"),
    ({"splits": ("train",)}, "another dataset, or another state of it and other splits"),
]


@pytest.mark.parametrize(("options", "said"), DIFFERENT)
def test_a_folder_that_holds_another_export_is_refused(
    dataset: Path, tokenizer: Path, exported: Path, options: dict[str, Any], said: str
) -> None:
    before = bytes_of(exported)
    with pytest.raises(UsageError, match=f"nanotron: holds an export of {said}; name another --out, or remove"):
        run(dataset, exported, tokenizer, **({"to": ("nanotron",), "by": "component"} | options))
    assert bytes_of(exported) == before


def test_the_export_of_another_dataset_is_refused_even_where_it_was_not_finished(
    dataset: Path, tokenizer: Path, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(dataset, tmp_path / "out", tokenizer, 1)
    other = write_dataset(tmp_path / "dataset", tokenizer, {"train": (10,)})
    with pytest.raises(UsageError, match="holds an export of another dataset"):
        run(other, tmp_path / "out", tokenizer)


@pytest.mark.parametrize("content", ["no JSON", "[]", "{}", '{"identity": 3}'])
def test_something_that_is_no_export_is_left_alone(
    dataset: Path, tokenizer: Path, tmp_path: Path, content: str
) -> None:
    place = tmp_path / "out" / "olmo"
    place.mkdir(parents=True)
    (place / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="olmo: is in the way of the export and is none itself"):
        run(dataset, tmp_path / "out", tokenizer)
    (place / "export.json").write_text(content)
    with pytest.raises(UsageError, match=r"export\.json: is none of ours"):
        run(dataset, tmp_path / "out", tokenizer)
    assert (place / "mine.txt").read_text() == "mine"
    assert not (tmp_path / "out" / "nanotron").exists()


def test_an_export_into_the_dataset_itself_is_refused(dataset: Path, tokenizer: Path) -> None:
    before = sorted(dataset.rglob("*"))
    with pytest.raises(UsageError, match="lies within the dataset"):
        run(dataset, dataset / "data" / ".." / "exports", tokenizer)
    assert sorted(dataset.rglob("*")) == before


def test_two_exports_do_not_work_in_one_folder_at_once(dataset: Path, tokenizer: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with open(out / ".lock", "wb") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another export is at work in it"):
            run(dataset, out, tokenizer)


def test_a_shard_that_fails_leaves_the_export_unfinished(
    dataset: Path, tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = ShardExport.run

    def damaged(task: ShardExport) -> dict[str, Any]:
        return ran(replace(task, shard=replace(task.shard, rows=task.shard.rows + 1)))

    with monkeypatch.context() as patched:
        patched.setattr(ShardExport, "run", damaged)
        result, _ = run(dataset, tmp_path / "out", tokenizer)
    assert result.exit_code == 3
    assert not result.formats
    assert "5 shards failed; run the same command again" in export_as_text(result, tmp_path / "out")
    assert run(dataset, tmp_path / "out", tokenizer)[0].exit_code == 0


def test_names_from_documents_cannot_write_to_the_terminal() -> None:
    counts = {"documents": 1, "text_bytes": 1, "tokens": 0}
    splits = {"train": counts | {"groups": {"web/\x1b[2J": counts | {"share": 1.0}}}}
    told = {"dataset": "d", "tokenizer": None, "splits": splits, "inner_eos": 0, "paste": ["\x9b"]}
    text = export_as_text(Exported(formats={"jsonl": told}, failed=()), Path("out"))
    assert text.replace("\n", "").isprintable()


def test_a_file_in_the_place_of_a_folder_is_said(dataset: Path, tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "olmo").write_text("mine")
    with pytest.raises(UsageError, match="olmo: is in the way of the export"):
        run(dataset, tmp_path / "out", tokenizer)
    with pytest.raises(CorpusmillError, match=r"--out .*: cannot be made or written"):
        run(dataset, tmp_path / "out" / "olmo", tokenizer)
    with pytest.raises(InputError, match="is no dataset"):
        run(dataset / "manifest.json", tmp_path / "other", tokenizer)


def test_the_page_names_every_format_and_every_option() -> None:
    page = (Path(__file__).parents[2] / "docs" / "exports.md").read_text()
    for name in FORMATS:
        assert f"`{name}`" in page or f"### {name}\n" in page, name
    parameters = next(command for command in app.registered_commands if command.callback.__name__ == "export")
    for name in inspect.signature(parameters.callback).parameters:
        if name not in ("dataset",):
            option = {"as_json": "json"}.get(name, name).replace("_", "-")
            assert f"--{option}" in page, name


def test_the_command_says_what_it_wrote_and_what_to_paste(dataset: Path, tokenizer: Path, tmp_path: Path) -> None:
    asked = ["export", str(dataset), "--to", "nanotron,megatron", "--out", str(tmp_path / "out")]
    asked += ["--tokenizer", str(tokenizer), "--by", "source", "--workers", "1"]
    shown = CliRunner().invoke(app, asked)
    assert shown.exit_code == 0, shown.output
    assert "each document ended by <|endoftext|>" in shown.stdout
    assert "--train-data-path 0." in shown.stdout
    told = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert list(told) == ["nanotron", "megatron"]
    assert set(told["megatron"]["splits"]["train"]["groups"]) == {"web", "code", "math"}
    wrong = CliRunner().invoke(app, ["export", str(tmp_path), "--to", "olmo", "--out", str(tmp_path / "x")])
    assert wrong.exit_code == 2
