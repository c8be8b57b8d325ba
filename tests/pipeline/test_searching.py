"""A search for a mixture, through the real command, on three small languages. The proxy is the n-gram model."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner, Result

from corpusmill.documents.errors import CorpusmillError, InputError, RecipeError, UsageError
from corpusmill.pipeline.command import app
from corpusmill.pipeline.executors import LocalExecutor
from corpusmill.pipeline.progress import PlainProgress
from corpusmill.pipeline.recipe import Recipe, load_recipe
from corpusmill.pipeline.run import run_recipe
from corpusmill.pipeline.search_command import check_out, next_step, rounded, write_recipe
from corpusmill.pipeline.searching import Question, SearchResult, question_of, run_search
from corpusmill.scaling.mixtures.proposal import Interval
from corpusmill.scaling.mixtures.scale import Scale
from corpusmill.scaling.sweep_options import Pool, SweepOptions

SYLLABLES = {
    "web": ["ba", "ce", "di", "fo", "gu", "la"],
    "code": ["xor", "tmp", "ptr", "int", "def", "ret"],
    "mail": ["sta", "ver", "pli", "mno", "kru", "zeh"],
}
MIX: dict[str, Any] = {
    "ratios": {"web": 0.8, "code": {"share": 0.1, "max_epochs": 2}, "mail": 0.1},
    "budget": 12_000,
    "max_epochs": 4,
    "validation": 0,
    "split_by": "document",
}
SWEEP: dict[str, Any] = {
    "pools": {"web": {"sources": ["web"]}},
    "scores": {},
    "sizes": [1.0],
    "heldout": {"share": 0.2, "sources": ["web", "code", "mail"], "max_tokens": 3000},
    "tokenizer": {"vocab_size": 300},
    "proxies": {"ngram": {"order": 3}},
}


def texts(source: str, count: int) -> list[dict[str, str]]:
    chance = random.Random(source)
    words = ["".join(chance.choices(SYLLABLES[source], k=3)) for _ in range(60)]
    return [
        {
            "id": f"{source}{number}",
            "text": " ".join(chance.choices(words, k=50)) + ".",
            "language": "de" if number % 4 else "en",
        }
        for number in range(count)
    ]


def recipe_in(folder: Path, **changes: Any) -> Path:
    recipe = {
        "name": "searched",
        "seed": 5,
        "runs": str(folder / "runs"),
        "sources": {source: {"paths": [f"{source}.jsonl"]} for source in SYLLABLES},
        "mix": MIX,
        "sweep": SWEEP,
        **changes,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in recipe.items() if value is not None}))
    return path


@pytest.fixture(scope="module")
def workers() -> Iterator[LocalExecutor]:
    with closing(LocalExecutor(2)) as executor:
        yield executor


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, workers: LocalExecutor) -> Path:
    """A run that has ended."""
    folder = tmp_path_factory.mktemp("searched")
    for source, count in (("web", 120), ("code", 80), ("mail", 80)):
        rows = "".join(json.dumps(row) + "\n" for row in texts(source, count))
        (folder / f"{source}.jsonl").write_text(rows)
    run_recipe(load_recipe(recipe_in(folder)), workers, PlainProgress())
    return folder


def asked(
    folder: Path, *arguments: object, mix: Mapping[str, Any] = MIX, sweep: Mapping[str, Any] | None = SWEEP
) -> Result:
    recipe = recipe_in(folder, mix=dict(mix), sweep=sweep)
    return CliRunner().invoke(app, ["mix", "search", str(recipe), "--workers", "2", *map(str, arguments)])


def loaded(folder: Path, **changes: Any) -> Recipe:
    return load_recipe(recipe_in(folder, **changes))


@pytest.fixture(scope="module")
def told(folder: Path) -> Result:
    """What the command tells machines of a search that has ended."""
    told = asked(folder, "--json")
    assert told.exit_code == 0, told.output
    return told


def test_a_search_finds_that_held_out_languages_want_equal_shares(folder: Path, told: Result) -> None:
    assert re.search(r"search: 15 runs of [\d,]+ tokens, and 6 of the prior and the proposal, with ngram", told.stderr)
    found = json.loads(told.stdout)
    assert found["components"] == ["code", "mail", "web"]
    assert found["in_units"]["prior"] == pytest.approx([0.1, 0.1, 0.8], abs=1e-3)
    ratios = {ratio["component"]: ratio for ratio in found["proposal"]["ratios"]}
    assert ratios["web"]["proposed"]["estimate"] < 0.7
    assert ratios["code"]["proposed"]["estimate"] > 0.15
    assert found["proposal"]["difference"]["high"] < 0
    assert found["confirmation"]["high"] < 0
    assert found["heldout_sampled"]
    assert found["noise"] > 0
    assert found["failed"] == 0
    kept = json.loads((folder / "runs" / "searched" / "scaling" / "search" / "search-ngram.json").read_text())
    assert len(kept["runs"]) == 15 + 6
    for run in kept["runs"]:
        assert sum(run["shares"]) == pytest.approx(1)
        assert all(share <= cap + 0.02 for share, cap in zip(run["shares"], found["caps"], strict=True))
    page = (folder / "runs" / "searched" / "report" / "index.html").read_text()
    assert "Mixture law: predicted and observed losses" in page


def test_a_search_goes_on_where_it_was_and_is_the_same_again(folder: Path, told: Result) -> None:
    markers = sorted((folder / "runs" / "searched" / "scaling" / "search" / "tasks").iterdir())
    written = [marker.stat().st_mtime_ns for marker in markers]
    markers[0].unlink()
    again = asked(folder, "--json")
    assert again.stdout == told.stdout
    assert [marker.stat().st_mtime_ns for marker in markers[1:]] == written[1:]
    assert markers[0].exists()


def test_people_read_what_is_shown_and_what_is_not(folder: Path) -> None:
    told = asked(folder)
    assert "shown by new runs. Larger models are another question." in told.stdout
    assert "does not see that text is repeated" not in told.stdout, "there is enough of all"
    assert [line.split()[0] for line in told.stdout.splitlines()[:4]] == ["component", "code", "mail", "web"]


def test_the_recipe_that_it_writes_mixes_as_proposed(folder: Path) -> None:
    out = folder / "better.yaml"
    told = asked(folder, "--out", out)
    assert told.exit_code == 0, told.output
    assert out.read_text().startswith("# recipe.yaml with the ratios that `corpusmill mix search` proposed.\n")
    ratios = yaml.safe_load(out.read_text())["mix"]["ratios"]
    assert ratios["web"] + ratios["code"]["share"] + ratios["mail"] == pytest.approx(1)
    assert ratios["code"]["max_epochs"] == 2
    planned = CliRunner().invoke(app, ["mix", str(out), "--dry-run", "--json"])
    assert planned.exit_code == 0, planned.output
    assert json.loads(planned.stdout)["datasets"][0]["budget"] == 12_000
    refused = asked(folder, "--out", out)
    assert refused.exit_code == 2
    assert "is there already" in refused.stderr


def test_a_recipe_elsewhere_would_not_find_its_sources(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="paths are relative to"):
        check_out(loaded(folder), tmp_path / "new.yaml")


def test_a_dry_run_shows_the_mixtures_and_runs_none(folder: Path) -> None:
    told = asked(folder, "--dry-run", "--mixtures", "6", "--seeds", "1", "--tokens", "5000")
    assert told.exit_code == 0, told.output
    assert "search: 6 runs of 5,000 tokens, and 2 of the prior and the proposal, with ngram" in told.stderr
    assert len(told.stdout.splitlines()) == 2 + 6


def test_without_a_budget_no_component_grows_that_the_mix_has_all_of(folder: Path) -> None:
    mix = {key: value for key, value in MIX.items() if key != "budget"}
    told = asked(folder, "--json", "--mixtures", "6", "--seeds", "1", "--tokens", "8000", mix=mix)
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    web = found["components"].index("web")
    assert found["caps"][web] == pytest.approx(found["prior"][web], abs=1e-3)
    assert found["in_units"]["budget"] * found["in_units"]["proposed"][web] <= 4 * found["available"][web] + 1
    assert found["confirmation"]["low"] is not None or found["noise"] is None


def test_without_a_sweep_the_search_has_an_ngram_model(folder: Path) -> None:
    question = question_of(loaded(folder, sweep=None))
    assert question.sweep.proxies == {"ngram": {}}
    assert question.sweep.domains() == question.components


def test_slices_and_values_of_a_column_are_components_as_the_mix_has_them(folder: Path) -> None:
    mix = {
        **MIX,
        "ratios": {
            "web": {"share": 0.5, "by": "language"},
            "late": 0.2,
            "code": {"share": 0.3, "of": {"mail": 0.5, "rest": 0.5}},
        },
        "slices": {
            "late": {"source": "web", "where": "contains('02468ace', right(id, 1))"},
            "rest": {"source": "code", "where": "true"},
        },
        "budget": 8000,
    }
    mix["ratios"]["others"] = mix["ratios"].pop("code")
    question = question_of(loaded(folder, mix=mix))
    assert sorted(question.components) == ["late", "mail", "rest", "web"]
    assert question.components.index("late") < question.components.index("web")
    shares = dict(zip(question.components, question.prior, strict=True))
    assert shares == pytest.approx({"web": 0.5, "late": 0.2, "mail": 0.15, "rest": 0.15}, abs=1e-3)


def test_caps_are_epochs_of_what_there_is(folder: Path) -> None:
    question = question_of(loaded(folder))
    prior, caps = question.bounds(Scale(units=question.available, tokens=3 * question.available))
    most, has = (dict(zip(question.components, given, strict=True)) for given in (caps, question.available))
    assert most["code"] == pytest.approx(min(1, 2 * has["code"] / 12_000), abs=1e-3)
    assert most["mail"] == pytest.approx(min(1, 4 * has["mail"] / 12_000), abs=1e-3)
    assert prior == pytest.approx(question.prior)
    assert np.all(prior <= caps)


def test_caps_in_tokens_repeat_no_component_more_than_its_epochs_whatever_its_documents_are_long() -> None:
    question = Question(
        components=("books", "web"),
        prior=np.array([0.1, 0.9]),
        epochs=np.array([2.0, 4.0]),
        available=np.array([30.0, 900.0]),
        budget=200.0,
        unit="documents",
        sweep=SweepOptions(pools={"web": Pool(sources=("web",))}, scores={}, sizes=(1.0,), proxies={"ngram": {}}),
    )
    scale = Scale(units=question.available, tokens=np.array([30_000.0, 90_000.0]))
    prior, caps = question.bounds(scale)
    assert prior == pytest.approx([20_000 / 38_000, 18_000 / 38_000])
    assert caps == pytest.approx([1.0, 1.0])
    proposed = scale.of_units(np.array([0.99, 0.01]))
    assert question.budget_for(proposed) == int(60 / proposed[0]), "two passes over 30 books"
    assert question.budget_for(question.prior) == 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--proxy", "ngrams"], "did you mean 'ngram'?"),
        (["--tokens", "900000000"], "which is what the mix itself has"),
        (["--mixtures", "2"], "2 mixtures: give 4 to"),
        (["--divergence", "-1"], "divergence: -1.0 is no number of 0 or more"),
        (["--divergence", "nan"], "divergence: nan is no number of 0 or more"),
        (["--seeds", "0"], "repeats: 0 runs of the prior leave nothing to compare with"),
        (["--tokens", "0"], "a run is of 1 token or more"),
        (["--tokens", "1"], "less than half a document of every component; raise --tokens"),
    ],
)
def test_options_that_cannot_be_are_refused(folder: Path, arguments: list[str], message: str) -> None:
    told = asked(folder, *arguments)
    assert told.exit_code == 2
    assert message in told.stderr
    assert "search:" not in told.stderr, "nothing is run, and no cost told"


def test_a_component_that_is_balanced_otherwise_than_by_size_is_refused(folder: Path) -> None:
    ratios = {"web": {"share": 0.8, "by": "language", "balance": "temperature"}, "code": 0.2}
    with pytest.raises(RecipeError, match=r"mix\.ratios\.web\.balance: .* not by temperature; make a slice of each"):
        question_of(loaded(folder, mix={**MIX, "ratios": ratios}))
    group = {"all": {"share": 0.5, "of": ratios}, "mail": 0.5}
    with pytest.raises(RecipeError, match=r"mix\.ratios\.all\.of\.web\.balance"):
        question_of(loaded(folder, mix={**MIX, "ratios": group}))


def test_more_seeds_and_more_mixtures_run_what_is_new_alone(folder: Path) -> None:
    tasks = folder / "runs" / "searched" / "scaling" / "search" / "tasks"

    def names(*arguments: object) -> set[str]:
        told = asked(folder, "--tokens", "3000", *arguments)
        assert told.exit_code == 0, told.output
        return {marker.name for marker in tasks.iterdir()}

    def written() -> dict[str, int]:
        return {marker.name: marker.stat().st_mtime_ns for marker in tasks.iterdir()}

    before = names("--seeds", "1", "--mixtures", "5", "--divergence", "1e9")
    kept = written()
    more = names("--seeds", "2", "--mixtures", "6", "--divergence", "1e9") - before
    assert sorted(name.rpartition("-")[0] for name in more) == ["ngram-mixture-5", "ngram-prior-1"]
    now = written()
    assert {name: now[name] for name in kept} == kept


def test_one_component_leaves_nothing_to_search_for(folder: Path) -> None:
    with pytest.raises(RecipeError, match="web alone leaves nothing to search for"):
        question_of(loaded(folder, mix={**MIX, "ratios": {"web": 1.0}}))


def test_a_mix_of_stages_is_refused(folder: Path) -> None:
    stages = [{"name": "first", "ratios": {"web": 0.5, "code": 0.5}, "budget": 1000}]
    mix = {key: value for key, value in MIX.items() if key not in ("ratios", "budget")}
    with pytest.raises(RecipeError, match="a search is of one dataset"):
        question_of(loaded(folder, mix={**mix, "stages": stages}))


def test_a_component_without_documents_is_named(folder: Path) -> None:
    mix = {**MIX, "slices": {"none": {"source": "web", "where": "false"}}, "when_short": "renormalise"}
    mix["ratios"] = {"web": 0.7, "code": 0.2, "none": 0.1}
    with pytest.raises(InputError, match="none: nothing of it would be in the mix"):
        question_of(loaded(folder, mix=mix))


BOOKS: dict[str, Any] = {
    "ratios": {"books": 0.1, "web": 0.9},
    "unit": "documents",
    "max_epochs": 4,
    "validation": 0,
    "split_by": "document",
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, workers: LocalExecutor) -> Path:
    """A run whose books are ten times longer than its web pages, which are the same language."""
    folder = tmp_path_factory.mktemp("library")
    for source, count, copies in (("books", 40, 10), ("web", 360, 1)):
        chance = random.Random(source)
        words = ["".join(chance.choices(SYLLABLES["web" if source == "web" else "code"], k=3)) for _ in range(60)]
        rows = [
            {"id": f"{source}{n}", "text": " ".join(chance.choices(words, k=40 * copies)) + "."} for n in range(count)
        ]
        (folder / f"{source}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run_recipe(load_recipe(library_recipe(folder)), workers, PlainProgress())
    return folder


def library_recipe(folder: Path, **mix: Any) -> Path:
    sweep = {**SWEEP, "pools": {"web": {"sources": ["web"]}}}
    sweep["heldout"] = {"share": 0.2, "sources": ["books", "web"], "max_tokens": 3000}
    sources = {source: {"paths": [f"{source}.jsonl"]} for source in ("books", "web")}
    return recipe_in(folder, sources=sources, sweep=sweep, mix={**BOOKS, **mix})


def test_shares_of_documents_are_searched_as_shares_of_tokens_and_written_as_shares_of_documents(library: Path) -> None:
    out = library / "better.yaml"
    told = CliRunner().invoke(
        app,
        ["mix", "search", str(library_recipe(library, budget=300)), "--workers", "2", "--json", "--out", str(out)],
    )
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["in_units"]["prior"] == pytest.approx([0.1, 0.9], abs=0.01)
    assert 0.45 < found["prior"][0] < 0.6, "a tenth of the documents is half of the tokens"
    ratios = {ratio["component"]: ratio["proposed"]["estimate"] for ratio in found["proposal"]["ratios"]}
    assert 0.3 < ratios["books"] < 0.65, "two languages held out want equal shares of the tokens"
    written = yaml.safe_load(out.read_text())["mix"]
    assert written["ratios"]["books"] == pytest.approx(found["in_units"]["proposed"][0], abs=1e-5)
    assert written["ratios"]["books"] < 0.15
    assert written["budget"] == 300


def test_the_recipe_of_a_mix_without_a_budget_has_the_one_that_was_searched_as_far_as_epochs_allow(
    library: Path,
) -> None:
    recipe = load_recipe(library_recipe(library, ratios={"books": 0.2, "web": 0.8}, max_epochs=1))
    question = question_of(recipe)
    assert question.budget == pytest.approx(200, abs=1), "of 40 books"
    told = CliRunner().invoke(
        app,
        [
            "mix",
            "search",
            str(recipe.folder / recipe.file),
            "--workers",
            "2",
            "--tokens",
            "9000",
            "--out",
            str(library / "all.yaml"),
        ],
    )
    assert told.exit_code == 0, told.output
    written = yaml.safe_load((library / "all.yaml").read_text())["mix"]
    assert written["budget"] <= question.budget
    lowered = "# The budget was 200 documents; at these ratios" in (library / "all.yaml").read_text()
    assert lowered == (written["budget"] < 200)
    planned = CliRunner().invoke(app, ["mix", str(library / "all.yaml"), "--dry-run", "--json"])
    assert planned.exit_code == 0, planned.output
    assert json.loads(planned.stdout)["datasets"][0]["budget"] == written["budget"]


@pytest.fixture(scope="module")
def ended(folder: Path, workers: LocalExecutor) -> tuple[Recipe, SearchResult]:
    """A search that has ended, with its recipe."""
    recipe = loaded(folder)
    result = run_search(recipe, workers, PlainProgress())
    assert result is not None
    return recipe, result


def shown(result: SearchResult, low: float, high: float) -> SearchResult:
    """The same search, whose new runs found such an interval."""
    return replace(result, confirmation=Interval(estimate=(low + high) / 2, low=low, high=high))


def test_a_proposal_that_is_worse_is_not_written(folder: Path, ended: tuple[Recipe, SearchResult]) -> None:
    recipe, result = ended
    with pytest.raises(CorpusmillError, match=r"worse\.yaml: is not written: .* keep recipe.yaml") as refused:
        write_recipe(recipe, shown(result, 0.1, 0.2), folder / "worse.yaml")
    assert refused.value.exit_code == 1
    assert not (folder / "worse.yaml").exists()


def test_what_is_not_shown_is_written_and_says_so(folder: Path, ended: tuple[Recipe, SearchResult]) -> None:
    recipe, result = ended[0], shown(ended[1], -0.1, 0.2)
    out = folder / "perhaps.yaml"
    write_recipe(recipe, result, out)
    assert "is not shown" in out.read_text().splitlines()[1]
    assert "is not shown; more --seeds or --tokens may tell" in next_step(recipe, result, out)
    assert next_step(recipe, shown(result, -3.0, -1.0), out) == f"wrote {out}; next: corpusmill mix {out}"


def test_rounded_shares_sum_to_one_and_keep_their_caps() -> None:
    found = rounded({"a": 0.333333, "b": 0.333333, "c": 0.333334}, {"a": 0.333333, "b": 0.5, "c": 0.333334})
    assert sum(found.values()) == pytest.approx(1, abs=1e-12)
    assert found["a"] <= 0.333333
    assert found["c"] <= 0.333334


@pytest.mark.parametrize("arguments", [["--dry-run"], ["dataset", "--dry-run"]])
def test_mix_with_a_recipe_is_what_it_always_was(folder: Path, arguments: list[str]) -> None:
    recipe = recipe_in(folder)
    words = ["mix", *arguments[:-1], str(recipe), arguments[-1]]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    assert "web" in told.stdout
    assert CliRunner().invoke(app, ["mix", "--dry-run", str(recipe)]).stdout == told.stdout


def test_too_few_tokens_for_the_priors_whole_documents_are_refused_before_any_run(library: Path) -> None:
    recipe = library_recipe(library, ratios={"books": 0.02, "web": 0.98}, budget=300)
    words = ["mix", "search", str(recipe), "--workers", "2", "--tokens"]
    told = CliRunner().invoke(app, [*words, "900"])
    assert told.exit_code == 2
    assert "half of the runs of the prior differ from it by more than 10% of the tokens" in told.stderr
    assert "search:" not in told.stderr
    (enough,) = re.findall(r"--tokens ([\d,]+) come near enough", told.stderr)
    dry = CliRunner().invoke(app, [*words, enough.replace(",", ""), "--dry-run"])
    assert dry.exit_code == 0, dry.output
    assert "note: further than 5% of the tokens from the mixture that was asked for:" in dry.stderr


def test_a_search_with_another_proxy_leaves_what_the_first_has_found(
    folder: Path, told: Result, workers: LocalExecutor
) -> None:
    found = folder / "runs" / "searched" / "scaling" / "search"
    first = (found / "search-ngram.json").read_text()
    recipe = loaded(folder, sweep={**SWEEP, "proxies": {"ngram": {"order": 3}, "short": {"kind": "ngram", "order": 2}}})
    run_search(recipe, workers, PlainProgress(), proxy="short", tokens=3000, mixtures=4, seeds=1)
    assert (found / "search-ngram.json").read_text() == first
    assert json.loads((found / "search-short.json").read_text())["cost"]["proxy"] == "short"
    page = (folder / "runs" / "searched" / "report" / "index.html").read_text()
    assert page.count("Proposed ratios") == 2


def test_a_component_that_is_held_out_entirely_is_named_with_the_recipe(folder: Path) -> None:
    heldout = {"share": 0.2, "sources": ["web", "code"], "whole": ["mail"]}
    said = r"^recipe\.yaml: sweep\.heldout\.whole: 'mail' is held out entirely, and the component mail of mix\.ratios"
    with pytest.raises(RecipeError, match=said):
        question_of(loaded(folder, sweep={**SWEEP, "heldout": heldout}))


def test_a_proxy_of_a_search_that_cannot_run_is_named_with_its_place(folder: Path) -> None:
    proxies = {"ngram": {}, "mine": {"kind": "command", "command": "no_such_trainer {dataset} {out}"}}
    recipe = recipe_in(folder, sweep={**SWEEP, "proxies": proxies})
    told = CliRunner().invoke(app, ["mix", "search", str(recipe), "--proxy", "mine"])
    assert told.exit_code == 2
    assert "recipe.yaml: sweep.proxies.mine: command: 'no_such_trainer'" in told.stderr


def test_another_layout_of_the_table_of_documents_trains_nothing_anew(
    ended: tuple[Recipe, SearchResult], workers: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, first = ended
    tasks = first.folder / "tasks"
    before = {marker.name: marker.stat().st_mtime_ns for marker in tasks.iterdir()}
    monkeypatch.setattr("corpusmill.pipeline.preparing._TABLE", 10**6)
    again = run_search(recipe, workers, PlainProgress())
    assert again is not None
    assert again.proposal == first.proposal
    assert {marker.name: marker.stat().st_mtime_ns for marker in tasks.iterdir()} == before
