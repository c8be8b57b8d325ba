"""External trainers: one that works, and all the ways in which one may not."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.pipeline.recipe import build
from corpusmill.scaling.contract import Trained, Training
from corpusmill.scaling.proxies import command_files, supervised
from corpusmill.scaling.proxies.command_losses import TrainerError, read_losses
from corpusmill.scaling.proxies.command_proxy import CommandProxy
from tests.scaling.encoded_texts import training_on

PAGE = (Path(__file__).parents[3] / "docs" / "scaling" / "proxies.md").read_text()
TRAINER = next(block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "run.json" in block)
"""The one that the page on proxies shows."""
TEXTS = ["A mill grinds corn.", "", "Größe 日本語", "One, two, three.\nFour.\n"]
HELDOUT = {"web": ["Corn is ground."], "böök/s": ["Ein Wort", "日"]}
BYTES = {"web": 100, "books": 50}


def command(program: str, *arguments: str) -> str:
    """This Python with a program as the command of a recipe."""
    return shlex.join([sys.executable, "-c", program, *(arguments or ("{dataset}", "{out}"))])


def run(folder: Path, program: str, *arguments: str, **options: object) -> tuple[Trained, Training]:
    training = training_on(folder, TEXTS, HELDOUT)
    proxy = build(CommandProxy, {"command": command(program, *arguments), **options}, "proxies.ours")
    proxy.check()
    return proxy.run(training), training


def test_the_trainer_of_the_page_on_proxies_reads_texts_and_its_losses_are_read(tmp_path: Path) -> None:
    found, training = run(tmp_path, TRAINER)
    counts = Counter([*range(256), *"".join(TEXTS).encode()])
    held = {domain: "".join(texts).encode() for domain, texts in HELDOUT.items()}
    assert found.bits_per_byte == pytest.approx(
        {d: sum(-math.log2(counts[byte] / counts.total()) for byte in text) / len(text) for d, text in held.items()}
    )
    assert (found.parameters, found.train_tokens, found.flops) == (256, 1000, None)
    assert sorted(path.name for path in training.folder.iterdir()) == ["losses.json", "stderr.txt", "stdout.txt"]


def test_how_long_a_command_may_take_makes_it_no_other() -> None:
    ours, slower = (CommandProxy(command="a {dataset} {out}", timeout=timeout, keep=True) for timeout in (None, 60))
    assert ours.identity() == slower.identity() != CommandProxy(command="b {dataset} {out}").identity()


def test_a_command_is_another_when_a_file_that_it_names_or_its_version_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, config, large = (tmp_path / name for name in ("train", "tiny.json", "weights"))
    for path in (program, config):
        path.write_text("an older one")
    program.chmod(0o700)
    large.write_bytes(bytes(99))
    monkeypatch.setattr(command_files, "LARGEST", 98)
    words = [str(program), f"--config={config}", str(large), str(tmp_path), "x" * 5000, "{dataset}", "{out}"]

    def identity(**options: Any) -> Any:
        return CommandProxy(command=shlex.join(words), **options).identity()

    assert list(identity()["files"]) == words[:3]
    assert identity()["files"][str(large)] == "99 bytes"
    for path in (program, config):
        before = identity()
        path.write_text("a newer one")
        assert identity() != before
        assert identity() | {"files": {}} == before | {"files": {}}
    assert identity() != identity(version=1) != identity(version=2)
    program.unlink()
    assert list(identity()["files"]) == words[1:3]


@pytest.mark.parametrize("there", [True, False])
def test_a_command_that_writes_a_file_which_its_words_name_is_refused_at_its_first_cell(
    tmp_path: Path, there: bool
) -> None:
    log = tmp_path / "log.txt"
    if there:
        log.write_text("an older one")
    program = TRAINER + f"\nopen({str(log)!r}, 'a').write('a line')"
    with pytest.raises(TrainerError, match=r"--log=.*log\.txt: changed while the command ran, whose words name it"):
        run(tmp_path, program, "{dataset}", "{out}", f"--log={log}")


def test_what_the_page_on_proxies_shows_of_losses_is_read(tmp_path: Path) -> None:
    [shown] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    found = losses(tmp_path, shown)
    assert dict(found.bits_per_byte) == {"web": 1.12, "books": 1.31}
    assert (found.parameters, found.flops, found.told) == (1_000_000, 6e12, {"steps": 500})


def test_the_dataset_holds_texts_in_order_the_tokenizer_and_the_facts(tmp_path: Path) -> None:
    _, training = run(tmp_path, TRAINER, keep=True)
    dataset = training.folder / "dataset"
    facts = json.loads((dataset / "run.json").read_text())
    assert pq.read_table(dataset / "train-00000.parquet").to_pydict() == {
        "id": ["d0", "d1", "d2", "d3"],
        "text": TEXTS,
    }
    assert {
        d: pq.read_table(dataset / each["path"])["text"].to_pylist() for d, each in facts["heldout"].items()
    } == HELDOUT
    assert (dataset / "tokenizer.json").read_bytes() == training.tokenizer.read_bytes()
    assert facts["train"]["tokens"] == training.train.offsets[-1]
    assert facts["heldout"]["web"]["text_bytes"] == len(HELDOUT["web"][0])
    assert {key: facts[key] for key in ("seed", "tokens", "eos_id")} == {"seed": 7, "tokens": 1000, "eos_id": 0}
    inside = {path.relative_to(dataset).parts[0] for path in dataset.rglob("*")}
    assert inside == {"train-00000.parquet", "heldout", "tokenizer.json", "run.json"}


def test_a_trainer_may_remove_the_dataset_itself(tmp_path: Path) -> None:
    found, training = run(tmp_path, f"{TRAINER}\nimport shutil; shutil.rmtree(dataset)")
    assert found.parameters == 256
    assert not (training.folder / "dataset").exists()


def test_many_documents_are_written_in_batches(tmp_path: Path) -> None:
    from corpusmill.scaling.proxies.command_dataset import written

    texts = [f"document {number}" for number in range(3000)]
    written(training_on(tmp_path, texts, HELDOUT), tmp_path / "dataset")
    assert pq.read_table(tmp_path / "dataset" / "train-00000.parquet")["text"].to_pylist() == texts


def test_what_an_earlier_attempt_left_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    (tmp_path / "cell" / "dataset").mkdir(parents=True)
    (tmp_path / "cell" / "dataset" / "old.parquet").touch()
    (tmp_path / "cell" / "losses.json").write_text('{"bits_per_byte": {"web": 1, "böök/s": 1}}')
    with pytest.raises(TrainerError, match="wrote no losses"):
        run(tmp_path, "pass")
    assert not (tmp_path / "cell" / "dataset" / "old.parquet").exists()


def test_paths_with_spaces_are_one_word_and_other_braces_stay(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    folder.mkdir()
    program = "import sys; print(sys.argv[3]); open(sys.argv[2], 'w').write(sys.argv[4])"
    losses = '{"nats": {"web": 7, "böök/s": 8}}'
    found, training = run(folder, program, "{dataset}", "{out}", "{step} {seed}x{tokens}", losses)
    assert (training.folder / "stdout.txt").read_text() == "{step} 7x1000\n"
    assert found.bits_per_byte["web"] == pytest.approx(7 / math.log(2) / len(HELDOUT["web"][0]))


def test_a_failing_command_is_reported_with_its_last_words_and_its_dataset_stays(tmp_path: Path) -> None:
    program = r"import sys; [print('line', n, file=sys.stderr) for n in range(99)]; print('\x1b[31mbad\0'); sys.exit(3)"
    with pytest.raises(TrainerError) as raised:
        run(tmp_path, program)
    [message] = str(raised.value).splitlines()  # a sweep shows one line of each cell
    assert message.startswith("the command ended with 3; ")
    assert "stderr.txt ends: line 95 / line 96 / line 97 / line 98; its dataset is kept" in message
    assert (tmp_path / "cell" / "dataset" / "run.json").exists()
    with pytest.raises(TrainerError, match=r"stdout\.txt ends: .{0,3}\[31mbad.?; its") as raised:
        run(tmp_path, r"print('\x1b[31mbad\0'); raise SystemExit(1)")
    assert str(raised.value).isprintable()
    with pytest.raises(TrainerError, match=r"ended with 1; it said nothing"):
        run(tmp_path, "raise SystemExit(1)")
    with pytest.raises(TrainerError, match="was killed by signal 9"):
        run(tmp_path, "import os; os.kill(os.getpid(), 9)")


CHILD = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid)"


def gone(pid: int) -> bool:
    """Whether a process has ended, or does so within a second; nobody may have asked how."""
    for _ in range(100):
        try:
            if (stat := Path(f"/proc/{pid}/stat")).exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
            os.kill(pid, 0)
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.01)
    return False


def test_a_command_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    begun = time.monotonic()
    shell = shlex.join(["sh", "-c", "sleep 60 & echo $!; wait", "{dataset}", "{out}"])
    with pytest.raises(TrainerError, match=r"was ended after 1\.5 s; .*; raise `timeout`"):
        run(tmp_path, "", command=shell, timeout=1.5)
    assert time.monotonic() - begun < 40
    assert gone(int((tmp_path / "cell" / "stdout.txt").read_text()))


def test_a_command_that_will_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervised, "GRACE", 0.1)
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        supervised.run(["sh", "-c", "trap '' TERM; sleep 60; sleep 60"], tmp_path / "out", tmp_path / "err", 0.5)
    assert time.monotonic() - begun < 40


def test_what_a_command_leaves_running_is_killed_when_it_ends(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="no losses"):
        run(tmp_path, CHILD)
    assert gone(int((tmp_path / "cell" / "stdout.txt").read_text()))


def test_a_command_ends_when_the_worker_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    sleeper = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    program = (
        "from pathlib import Path; from corpusmill.scaling.proxies import supervised; "
        f"supervised.run({[sys.executable, '-c', sleeper]!r}, Path('out'), Path('err'), None)"
    )
    worker = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path)
    for _ in range(1000):
        if pid_file.exists() and pid_file.read_text():
            break
        time.sleep(0.02)
    time.sleep(0.2)
    worker.kill()
    worker.wait()
    assert gone(int(pid_file.read_text()))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"command": ""}, "command: is empty"),
        ({"command": "train 'x {dataset} {out}"}, "close its quotation"),
        ({"command": "train {dataset}"}, r"does not say where \{out\} goes"),
        ({"command": "train {datset} {out}"}, r"did you mean \{dataset\}"),
        ({"command": "train {dataset} {out}", "timeout": 0}, "must be above 0 seconds"),
        ({"command": "train {dataset} {out}", "timeout": math.inf}, "must be above 0 seconds"),
        ({"command": "train {dataset} {out}", "keeps": True}, 'did you mean "keep"'),
    ],
)
def test_options_that_cannot_work_are_refused_in_the_recipe(options: dict[str, object], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        build(CommandProxy, options, "proxies.ours")


def test_a_command_that_is_not_there_is_refused_before_the_sweep(tmp_path: Path) -> None:
    for name in ("no-such-trainer", str(tmp_path), __file__):
        with pytest.raises(InputError, match=f"'{re.escape(name)}' is not found, or cannot be run"):
            CommandProxy(command=f"{name} {{dataset}} {{out}}").check()


def test_nobody_knows_what_a_command_costs() -> None:
    cost = CommandProxy(command="train {dataset} {out}").cost(10, 10)
    assert (cost.seconds, cost.flops) == (None, None)


def losses(folder: Path, content: object) -> Trained:
    path = folder / "losses.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return read_losses(path, BYTES, 500)


@pytest.mark.parametrize(
    ("unit", "given", "web"),
    [("bits_per_byte", 2.0, 2.0), ("nats_per_byte", math.log(4), 2.0), ("nats", 200 * math.log(2), 2.0)],
)
def test_losses_of_every_unit_become_bits_per_byte(tmp_path: Path, unit: str, given: float, web: float) -> None:
    found = losses(tmp_path, {unit: {"books": given / 2, "web": given}})
    assert found.bits_per_byte["web"] == pytest.approx(web)
    assert list(found.bits_per_byte) == list(BYTES)
    assert found.train_tokens == 500


def test_what_else_a_trainer_knows_is_kept(tmp_path: Path) -> None:
    known = {"parameters": 10, "flops": 6e3, "train_tokens": 77.0, "told": {"steps": 5}}
    found = losses(tmp_path, {"nats": dict.fromkeys(BYTES, 3), **known})
    assert (found.parameters, found.flops, found.train_tokens, found.told) == (10, 6000.0, 77, {"steps": 5})


GOOD = {"web": 1, "books": 1}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[1]", "is no object"),
        (" " * (1 << 20) + "{}", "larger than 1,048,576 bytes"),
        ({}, "has no losses; give one of bits_per_byte"),
        ({"nats": GOOD, "bits_per_byte": GOOD}, "has bits_per_byte and nats"),
        ({"nats": [1, 2]}, r"give a loss for each of web, books, not \[1, 2\]"),
        ({"nats": {"web": 1}}, r"nats\.books: is missing; evaluate each of web, books"),
        ({"nats": {**GOOD, "forum": 1}}, r"nats\.forum: is no held-out domain"),
        ({"nats": {**GOOD, "web": math.nan}}, r"nats\.web: nan must be finite"),
        ({"nats": {**GOOD, "web": math.inf}}, r"nats\.web: inf must be finite"),
        ({"nats": {**GOOD, "web": 10**400}}, r"nats\.web: 10+ must be finite"),
        ({"nats": {**GOOD, "web": -1}}, r"nats\.web: -1 must be finite, and 0 or more"),
        ({"nats": {**GOOD, "web": 0}}, r"nats\.web: is 0, which says that the model knew every byte"),
        ({"nats": {**GOOD, "web": "1"}}, r"nats\.web: '1' is no number"),
        ({"nats": {**GOOD, "web": True}}, r"nats\.web: True is no number"),
        ({"nats": {**GOOD, "web": None}}, r"nats\.web: None is no number"),
        ({"nats": GOOD, "paramters": 1}, 'paramters: is not read; did you mean "parameters"'),
        ({"nats": GOOD, "steps": 1}, "steps: is not read; put what is for people under `told`"),
        ({"nats": GOOD, "parameters": 1.5}, "parameters: 1.5 must be a whole number"),
        ({"nats": GOOD, "train_tokens": 0}, "train_tokens: 0 must be a whole number, 1 or more"),
        ({"nats": GOOD, "flops": -1}, "flops: -1 must be finite"),
        ({"nats": GOOD, "told": 1}, "told: give an object"),
        ({"nats": GOOD, "told": {"losses": [math.nan]}}, "told: holds NaN or an infinity"),
    ],
)
def test_losses_that_cannot_be_used_are_refused(tmp_path: Path, content: object, words: str) -> None:
    with pytest.raises(TrainerError, match=words):
        losses(tmp_path, content)


def test_losses_that_are_a_folder_are_none_and_the_next_attempt_removes_it(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(TrainerError, match="wrote no losses"):
            run(tmp_path, "import os, sys; os.mkdir(sys.argv[2])")
