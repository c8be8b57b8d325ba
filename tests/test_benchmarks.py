"""The scripts in benchmarks/: how they are called, that they say what their figures are, and how they count.

None of them is run; that takes minutes and says nothing on a busy machine.
"""

from __future__ import annotations

import ast
import gzip
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow.parquet as pq
import pytest

from corpusmill.dedup.minhash import MinHashDedup

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
SCRIPTS = [
    "accuracy",
    "dedup",
    "end_to_end",
    "exports",
    "filters",
    "language",
    "laws",
    "mix",
    "proxies",
    "quality_score",
    "scale",
    "sweeps",
]
TOPICS = sorted(path.stem for path in (BENCHMARKS / "topics").glob("*.py"))


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Imports a module of benchmarks/ as it is when run: beside the others."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").is_relative_to(BENCHMARKS):
            del sys.modules[name]


@pytest.fixture
def module(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("end_to_end")


RUN_ALL = """
import contextlib, io, json, runpy, sys
answers = {}
for path in sys.argv[1:]:
    for option in ("--help", "--quick"):
        sys.argv = [path, option]
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as error:
            try:
                runpy.run_path(path, run_name="__main__")
                code = 0
            except SystemExit as end:
                code = end.code
        answers[f"{path} {option}"] = code, out.getvalue(), error.getvalue()
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def run() -> Callable[[str, str], subprocess.CompletedProcess[str]]:
    """What a script answers to `--help`, and to `--quick` without real data; all in one process, which imports once."""
    environment = {name: value for name, value in os.environ.items() if name != "CORPUSMILL_REALDATA"}
    paths = [str(BENCHMARKS / f"{script}.py") for script in SCRIPTS]
    command = [sys.executable, "-c", RUN_ALL, *paths]
    ran = subprocess.run(
        command, env={**environment, "PYTHONPATH": str(BENCHMARKS)}, capture_output=True, text=True, timeout=120
    )
    assert ran.returncode == 0, ran.stderr
    answers = json.loads(ran.stdout)

    def answer(script: str, option: str) -> subprocess.CompletedProcess[str]:
        code, out, error = answers[f"{BENCHMARKS / script}.py {option}"]
        if isinstance(code, str):  # as the interpreter ends with such an exit
            code, error = 1, error + code
        return subprocess.CompletedProcess([script, option], code or 0, out, error)

    return answer


def test_there_is_no_other_script() -> None:
    using_the_harness = [
        path.stem
        for path in sorted(BENCHMARKS.glob("*.py"))
        if re.search("^from (harness|topical) import", text := path.read_text(), re.MULTILINE) and "__main__" in text
    ]
    assert using_the_harness == SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_names_the_options_and_every_figure(
    run: Callable[[str, str], subprocess.CompletedProcess[str]], script: str
) -> None:
    answer = run(script, "--help")
    assert answer.returncode == 0, answer.stderr
    assert "--quick" in answer.stdout
    assert "--data" in answer.stdout
    assert re.search(r"^ +figure \w+ +\S", answer.stdout, re.MULTILINE)


@pytest.mark.parametrize("script", SCRIPTS)
def test_without_the_real_data_a_script_says_how_to_name_it(
    run: Callable[[str, str], subprocess.CompletedProcess[str]], script: str
) -> None:
    answer = run(script, "--quick")
    assert answer.returncode == 1
    assert answer.stderr.strip().endswith(
        "the real data is not there; name its folder with --data or in the environment variable CORPUSMILL_REALDATA"
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_figures_that_a_script_prints_are_those_that_it_documents(script: str) -> None:
    tree = ast.parse((BENCHMARKS / f"{script}.py").read_text())
    documented = set(re.findall(r"^ +figure (\w+)", ast.get_docstring(tree) or "", re.MULTILINE))
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "figure"
    ]
    printed = {ast.literal_eval(call.args[0]) for call in calls}
    assert printed == documented


@pytest.mark.parametrize("topic", TOPICS)
def test_the_figures_that_a_topic_prints_are_those_that_it_documents(topic: str) -> None:
    tree = ast.parse((BENCHMARKS / "topics" / f"{topic}.py").read_text())
    documented = re.findall(r"^ +figure (\w+) +\S", ast.get_docstring(tree) or "", re.MULTILINE)
    calls = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "figure"
    ]
    names = [call.args[0] for call in calls]
    fixed = {ast.literal_eval(name) for name in names if isinstance(name, ast.Constant)}
    assert fixed <= set(documented)
    assert len(documented) == len(set(documented)) > 0
    if len(fixed) == len(names):
        assert fixed == set(documented)


def topics_of(script: str) -> list[str]:
    [named] = [
        ast.literal_eval(node.value)
        for node in ast.parse((BENCHMARKS / f"{script}.py").read_text()).body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", None) == "TOPICS"
    ]
    return list(named)


@pytest.mark.parametrize(
    ("function", "scripts"),
    [
        ("accuracy", ["accuracy"]),
        ("speed", ["dedup", "filters"]),
        ("laws", ["laws"]),
        ("mixing", ["mix"]),
        ("proxy", ["proxies"]),
    ],
)
def test_every_topic_that_offers_a_function_is_in_one_script(function: str, scripts: list[str]) -> None:
    offered = [
        topic
        for topic in TOPICS
        if any(
            isinstance(node, ast.FunctionDef) and node.name == function
            for node in ast.parse((BENCHMARKS / "topics" / f"{topic}.py").read_text()).body
        )
    ]
    assert sorted(topic for script in scripts for topic in topics_of(script)) == offered


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_section_of_the_document_was_written_by_its_script(script: str) -> None:
    if script in ("accuracy", "dedup", "filters", "mix", "proxies"):
        return  # their sections are their topics'
    pages = {"scale": "scale.md", "quality_score": "quality_score.md", "sweeps": "experiments/pruning/README.md"}
    page = pages.get(script, "benchmarks.md")
    text = (ROOT / "docs" / page).read_text()
    section = re.search(rf"<!-- begin {script}\w* -->\n(.*?)\n<!-- end {script}\w* -->", text, re.DOTALL)
    assert section is not None, f"run benchmarks/{script}.py"
    assert re.search(rf" run of benchmarks/{script}\.py (--only \w+ )?on ", section[1].splitlines()[-1])


def test_every_version_of_the_peers_is_exact() -> None:
    lines = (BENCHMARKS / "peers.txt").read_text().splitlines()
    requirements = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9._-]+==[0-9][a-z0-9.]*", line) for line in requirements)
    assert "datatrove==0.10.1" in requirements
    writers_of_fasttext = [line for line in requirements if re.match(r"fasttext", line)]
    assert len(writers_of_fasttext) == 1, "two packages that write the module fasttext overwrite each other"


def test_a_slope_leaves_the_start_up_out(module: ModuleType) -> None:
    ours, theirs = module.Slope((10, 20)), module.Slope((5, 10))
    for slope, start_up, each in ((ours, 3.0, 0.1), (theirs, 8.0, 4.0)):
        for size in slope.sizes:
            for load in (1.5, 1.0, 2.0):
                slope.add(size, module.Usage(load * (start_up + each * size), load * each * size, 100.0 + size, load))
    assert ours.per_unit() == pytest.approx(0.1)
    assert ours.least(20) == pytest.approx(5.0)
    race = module.Race(ours, theirs)
    assert race.steady() == pytest.approx(40.0)
    assert race.steady("cpu_seconds") == pytest.approx(40.0)
    assert race.with_start_up() == pytest.approx(48.0 / 4.0)
    assert len(race.all_usages()) == 12


def test_a_command_is_charged_for_the_processes_that_it_starts(module: ModuleType, tmp_path: Path) -> None:
    grandchild = "data = bytearray(80_000_000)\nimport time\nend = time.time() + 1.2\nwhile time.time() < end: pass"
    program = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}], check=True); print('done')"
    )
    usage = module.watched([sys.executable, "-c", program], os.environ, tmp_path / "log.txt")
    assert (tmp_path / "log.txt").read_text() == "done\n"
    assert usage.seconds > 1.2
    assert usage.cpu_seconds > 0.1
    assert 80 < usage.worker_mb < 200
    assert 80 < usage.memory_mb < 250  # both processes, without what they map


def test_a_command_that_fails_shows_its_last_words(module: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="ended with 3:\nno such luck"):
        module.watched([sys.executable, "-c", "print('no such luck'); exit(3)"], os.environ, tmp_path / "log.txt")


def test_pages_are_cut_out_of_an_archive_member_by_member(module: ModuleType, tmp_path: Path) -> None:
    bodies = [b"WARC/1.0\r\nA: b\r\n" + os.urandom(size) for size in (1, 200_000, 0, 70_000, 30)]
    archive = b"".join(map(gzip.compress, bodies))
    pages = [body.replace(b"A:", b"WARC-Identified-Payload-Type: text/html\r\nA:", 1) for body in bodies]
    (tmp_path / "warc").mkdir()
    (tmp_path / "warc" / "pages.warc.gz").write_bytes(archive)
    module.write_pages(tmp_path, {4: tmp_path / "four", 5: tmp_path / "five"}, files=2)
    assert gzip.decompress((tmp_path / "five" / "00000.warc.gz").read_bytes()) == pages[0] + pages[2] + pages[4]
    assert gzip.decompress((tmp_path / "five" / "00001.warc.gz").read_bytes()) == pages[1] + pages[3]
    assert gzip.decompress((tmp_path / "four" / "00000.warc.gz").read_bytes()) == pages[0] + pages[2]
    with pytest.raises(SystemExit, match="holds 5 pages, and 6 were asked for"):
        module.write_pages(tmp_path, {6: tmp_path / "six"}, files=2)
    (tmp_path / "warc" / "pages.warc.gz").write_bytes(archive[:-3])
    with pytest.raises(SystemExit, match="the archive ends within the member that begins at byte"):
        module.write_pages(tmp_path, {4: tmp_path / "cut"}, files=2)


@pytest.mark.realdata
def test_a_smaller_input_is_the_beginning_of_a_larger_one(module: ModuleType, realdata: Path, tmp_path: Path) -> None:
    items = module.prose(realdata, 600_000)
    fewer = module.prose(realdata, 100_000)
    assert items[: len(fewer)] == fewer
    assert len({name for name, _ in items}) == len(items)
    assert 600_000 <= sum(len(text.encode()) for _, text in items) < 800_000
    folder = module.beginning(items, 100_000, tmp_path / "text")
    assert len(list(folder.glob("*.parquet"))) == 2


def test_planted_copies_are_found_and_settled_by_their_signatures(load: Callable[[str], ModuleType]) -> None:
    planted = load("planted_signatures")
    bases = np.repeat(np.arange(40), 30)
    decoys = np.arange(len(bases)) % 30 == 0
    signatures = planted.planted(bases, decoys, np.random.default_rng(1))
    for base in range(40):
        own, copies = signatures[base * 30], signatures[base * 30 + 1 : base * 30 + 30]
        for one, two in combinations(copies, 2):
            assert (one == two).sum() >= MinHashDedup().verification.accepted_from
            assert (one == two).reshape(14, 8).all(axis=1).sum() >= 2
        alike = (own == copies).sum(axis=1)
        assert (alike < MinHashDedup().verification.rejected_below).all()
        assert (own == copies).reshape(29, 14, 8).all(axis=2).any()


def test_planted_documents_are_as_many_as_were_asked_for(load: Callable[[str], ModuleType], tmp_path: Path) -> None:
    paths = load("planted_signatures").write_sidecars(tmp_path, 3000, "crawl")
    table = pq.read_table(paths)
    assert table.num_rows == 3000
    assert table.schema.equals(MinHashDedup().sidecar)
    assert len(set(table["id"].to_pylist())) == 3000


def test_what_grows_faster_than_the_documents_goes_on_doing_so(load: Callable[[str], ModuleType]) -> None:
    growth = load("scale").Growth
    steep, flat = growth.of((100, 400), (1.0, 8.0)), growth.of((100, 400), (1.0, 2.0))
    assert steep.power == pytest.approx(1.5)
    assert steep.at(1600) == pytest.approx(64.0)
    assert flat.power == 1.0, "a fixed cost must not make it look cheaper"
    assert flat.at(1600) == pytest.approx(8.0)


def test_what_one_core_does_alone_is_not_divided_among_the_others(load: Callable[[str], ModuleType]) -> None:
    scale = load("scale")
    steady = scale.Growth(1e6, 1.0, 1.0)
    rate = scale.Measured(
        page=1e-3, page_bytes=30_000, signed_byte=1e-8, spread=steady, joined=steady, decided=steady, dealt=steady,
        read_byte=0, rewritten_byte=0, mixed_byte=0, sidecar=1, keys=1, pairs=1, ledger=1, stored=1, worker_mb=1,
        step_mb=1, decide_bytes=100, base_mb=0,
    )  # fmt: skip
    one, many = (scale.Estimate(scale.Dump(pages=1e6, documents=1e6, cores=cores), rate) for cores in (2, 10))
    assert one.alone == many.alone == pytest.approx(2.0)
    assert one.seconds == pytest.approx(500 + 1 + 2)
    assert many.seconds == pytest.approx(100 + 0.2 + 2)
    assert one.decide_gb == pytest.approx(0.1)
