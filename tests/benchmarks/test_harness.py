"""What the benchmark scripts share: sections of docs/benchmarks.md, figures, races."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def harness() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "harness.py"
    spec = importlib.util.spec_from_file_location("harness", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_section_is_added_once_and_then_replaced(harness: ModuleType, tmp_path: Path) -> None:
    document = tmp_path / "docs" / "benchmarks.md"
    benchmark = harness.Benchmark(name="language", document=document)
    other = harness.Benchmark(name="minhash", document=document)
    assert benchmark.write(["first"])
    assert other.write(["another"])
    assert benchmark.write(["second", "third"])
    text = document.read_text()
    assert text.startswith("# Benchmarks\n")
    assert "first" not in text
    assert "<!-- begin language -->\nsecond\n\nthird\n\nFull run of benchmarks/language.py on " in text
    assert text.count("<!-- begin") == text.count("<!-- end") == 2
    assert text.index("third") < text.index("another")


def test_a_quick_run_takes_the_place_of_a_quick_run_but_not_of_a_full_one(harness: ModuleType, tmp_path: Path) -> None:
    document = tmp_path / "benchmarks.md"
    quick = harness.Benchmark(name="language", quick=True, document=document)
    full = harness.Benchmark(name="language", document=document)
    assert quick.write(["quick 1"])
    assert quick.write(["quick 2"])
    assert "quick 2" in document.read_text()
    assert full.write(["full"])
    assert not quick.write(["quick 3"])
    assert "full" in document.read_text()
    assert "quick" not in document.read_text()


@pytest.mark.parametrize("text", ["<!-- begin x -->\nhalf", "<!-- end x -->", "<!-- end x --><!-- begin x -->"])
def test_a_section_with_half_of_its_marks_is_refused(harness: ModuleType, text: str) -> None:
    with pytest.raises(ValueError, match=r"section x needs `<!-- begin x -->` and then `<!-- end x -->`"):
        harness.with_section(text, "x", "body", keep_full=False)


def test_a_race_runs_every_contender_in_turn_and_takes_the_median(harness: ModuleType) -> None:
    ran: list[str] = []
    ticks = itertools.count()

    def contender(name: str, cost: int) -> Callable[[], None]:
        def run() -> None:
            ran.append(name)
            for _ in range(cost):
                next(ticks)

        return run

    contenders = {"fast": contender("fast", 1), "slow": contender("slow", 5)}
    timings = harness.race(contenders, rounds=3, clock=lambda: float(next(ticks)))
    assert ran == ["fast", "slow", "fast", "slow", "slow", "fast", "fast", "slow"]
    assert timings.median("fast") == 2
    assert timings.ratio("slow", "fast") == 3


def test_a_figure_is_printed_and_recorded(harness: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark = harness.Benchmark(name="language")
    benchmark.figure("lid_label_agreement", 0.9999951)
    assert capsys.readouterr().out == "figure lid_label_agreement 0.999995\n"
    assert benchmark.figures == {"lid_label_agreement": 0.9999951}


def test_the_data_folder_comes_from_the_argument_or_the_environment(
    harness: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CORPUSMILL_REALDATA", str(tmp_path))
    assert harness.Benchmark.from_arguments("x", None, []).real_data() == tmp_path
    assert harness.Benchmark.from_arguments("x", None, ["--quick"]).quick
    other = harness.Benchmark.from_arguments("x", None, ["--data", str(tmp_path / "none")])
    with pytest.raises(SystemExit, match=r"none: the real data is not there; name its folder with --data"):
        other.real_data()
    monkeypatch.delenv("CORPUSMILL_REALDATA")
    with pytest.raises(SystemExit, match="no folder: the real data is not there"):
        harness.Benchmark.from_arguments("x", None, []).real_data()


def test_a_table_is_markdown_with_short_numbers(harness: ModuleType) -> None:
    assert harness.table(["input", "MB/s", "texts"], [["prose", 71.23456, 1446], ["tiny", 0.00001234, 0]]) == (
        "| input | MB/s | texts |\n|---|---:|---:|\n| prose | 71.2 | 1,446 |\n| tiny | 1.23e-05 | 0 |"
    )


def test_child_processes_keep_compiled_modules(harness: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("KEPT", "yes")
    assert "PYTHONDONTWRITEBYTECODE" not in harness.child_environment()
    assert harness.child_environment()["KEPT"] == "yes"
