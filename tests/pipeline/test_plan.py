import os
import re

import pytest
import yaml

from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.pipeline.plan import automatic_split, plan_sources
from corpusmill.pipeline.recipe import load_recipe, parse_recipe
from corpusmill.pipeline.run import run_recipe
from corpusmill.pipeline.sources.contract import ExtractReason, ReadReason, SourceFile
from corpusmill.pipeline.tasks import Outcome


def planned(folder, stages=(), **source):
    if not (folder / "a.jsonl").exists():
        (folder / "a.jsonl").write_text('{"text": "one"}\n')
    data = {"name": "plan", "seed": 5, "sources": {"web": {"paths": "a.jsonl", "stages": list(stages), **source}}}
    [plan] = plan_sources(parse_recipe(data, folder, "recipe.yaml"), folder / "runs/plan")
    return plan


def names(plan):
    return [([s.name for s in phase.stages], [s.name for s in phase.barriers]) for phase in plan.phases]


@pytest.mark.parametrize(
    ("stages", "phases"),
    [
        ([], [([], [])]),
        (["pii"], [(["pii"], [])]),
        (["exact_dedup"], [([], ["exact_dedup"]), ([], [])]),
        (["exact_dedup", "minhash_dedup", "pii"], [([], ["exact_dedup", "minhash_dedup"]), (["pii"], [])]),
        (["c4", "exact_dedup", "pii", "minhash_dedup"],
         [(["c4"], ["exact_dedup"]), (["pii"], ["minhash_dedup"]), ([], [])]),
    ],
)  # fmt: skip
def test_stages_are_cut_into_phases_behind_barriers(tmp_path, stages, phases):
    assert names(planned(tmp_path, stages)) == phases


def test_every_reason_of_every_stage_is_declared_in_order(tmp_path):
    declared = planned(tmp_path, ["exact_dedup", "pii", "gopher_quality"]).reasons()
    assert list(declared) == ["read", "exact_dedup", "pii", "gopher_quality"]
    assert declared["read"] == [str(reason) for reason in ReadReason]
    assert declared["pii"] == []
    assert declared["gopher_quality"][0] == "too_few_words"


def test_pages_can_also_fail_in_extraction(tmp_path):
    (tmp_path / "a.warc.gz").touch()
    declared = planned(tmp_path, paths="a.warc.gz").reasons()
    assert declared["extract"] == [str(reason) for reason in ExtractReason]


def test_stages_get_the_recipes_seed_and_their_files_from_its_folder(tmp_path):
    stages = planned(tmp_path, ["minhash_dedup", {"minhash_dedup": {"seed": 9}}]).stages()
    assert [spec.build().seed for spec in stages] == [5, 9]
    with pytest.raises(InputError, match=f"{tmp_path}/m.npz: there is no such quality model"):
        planned(tmp_path, [{"quality": {"model": "m.npz"}}])


@pytest.mark.parametrize(
    ("source", "error", "message"),
    [
        ({"paths": "b.jsonl"}, InputError, 'sources.web.paths: b.jsonl: matches no file: .* did you mean "a.jsonl"'),
        ({"kind": "json"}, RecipeError, 'sources.web.kind: nothing reads "json"; did you mean "jsonl"'),
        ({"extract": {"engine": "trafilatura"}}, RecipeError, "sources.web.extract: jsonl files hold text already"),
        ({"read": {"txt": "body"}}, RecipeError, 'sources.web.read: unknown key "txt"; did you mean "text"'),
        ({"stages": [{"language": {"keep": ["engl"]}}]}, RecipeError, r"stages\[0\].language.*engl"),
    ],
)
def test_what_would_stop_the_run_later_stops_the_plan(tmp_path, source, error, message):
    with pytest.raises(error, match=message):
        planned(tmp_path, **source)


def fingerprints(plan):
    """Of every task that can be told before any has run: the first phase's, and its barriers'."""
    maps = plan.map_tasks(0, {}, None)
    done = {part: Outcome(task, {"bytes_out": 3, "bytes_in": 3}) for part, task in maps.items()}
    for spec in plan.phases[0].barriers:
        for part in maps:
            plan.sidecar(0, spec.name, part).parent.mkdir(parents=True, exist_ok=True)
            plan.sidecar(0, spec.name, part).touch()
    barrier = plan.barrier_task(0, done, {}, {})
    return [task.fingerprint for task in maps.values()], barrier and barrier.fingerprint


STAGES = [{"gopher_quality": {"min_words": 5}}, {"minhash_dedup": {"min_similarity": 0.8}}]


def test_the_same_recipe_has_the_same_fingerprints(tmp_path):
    assert fingerprints(planned(tmp_path, STAGES)) == fingerprints(planned(tmp_path, STAGES))


def test_a_filters_threshold_touches_its_phase_and_what_follows(tmp_path):
    before = fingerprints(planned(tmp_path, STAGES))
    after = fingerprints(planned(tmp_path, [{"gopher_quality": {"min_words": 6}}, STAGES[1]]))
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_what_a_barrier_only_judges_by_leaves_its_sidecars_good(tmp_path):
    before = fingerprints(planned(tmp_path, STAGES))
    judged = fingerprints(planned(tmp_path, [STAGES[0], {"minhash_dedup": {"min_similarity": 0.9}}]))
    observed = fingerprints(planned(tmp_path, [STAGES[0], {"minhash_dedup": {"min_similarity": 0.8, "ngram": 4}}]))
    assert before[0] == judged[0]
    assert before[1] != judged[1]
    assert before[0] != observed[0]


def test_a_changed_file_or_reader_touches_its_tasks(tmp_path):
    before = fingerprints(planned(tmp_path, STAGES))
    assert before[0] != fingerprints(planned(tmp_path, STAGES, read={"text": "body"}))[0]
    assert before[0] != fingerprints(planned(tmp_path, STAGES, license="MIT"))[0]
    plan = planned(tmp_path, STAGES)
    os.utime(tmp_path / "a.jsonl", (1, 1))
    [after] = plan_sources(parse_recipe({"name": "plan", "sources": {"web": {"paths": "a.jsonl", "stages": STAGES}}},
                                        tmp_path, "recipe.yaml"), tmp_path / "runs/plan")  # fmt: skip
    assert fingerprints(plan)[0] != fingerprints(after)[0]


def test_how_many_splits_there_are_depends_on_the_files_and_split_bytes_alone(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "one two three"}\n' * 100)
    data = {"name": "plan", "split_bytes": 500, "sources": {"web": {"paths": "a.jsonl"}}}
    [plan] = plan_sources(parse_recipe(data, tmp_path, "recipe.yaml"), tmp_path / "runs")
    tasks = plan.map_tasks(0, {}, None)
    assert len(tasks) == len(plan.splits) == 6
    assert sum(task.size for task in tasks.values()) == plan.size == (tmp_path / "a.jsonl").stat().st_size
    assert len({task.fingerprint for task in tasks.values()}) == 6
    assert [task.key for task in tasks.values()] == [f"web/phase-1/{part}" for part in plan.parts]


def test_a_part_is_named_after_what_it_holds_whatever_other_files_there_are(tmp_path):
    for name in ("b.jsonl", "c é.jsonl"):
        (tmp_path / name).write_text('{"text": "one"}\n')
    data = {"name": "plan", "split_bytes": 1, "sources": {"web": {"paths": "*.jsonl"}}}
    [two] = plan_sources(parse_recipe(data, tmp_path, "recipe.yaml"), tmp_path / "runs")
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n')
    [three] = plan_sources(parse_recipe(data, tmp_path, "recipe.yaml"), tmp_path / "runs")
    assert set(two.parts) < set(three.parts)
    assert all(re.fullmatch(r"part-[a-z-]+-[0-9a-f]{16}", part) for part in three.parts)


def files_of(plan):
    return {path for path in plan.folder.rglob("*") if path.is_file()}


def test_a_run_writes_what_its_plan_expects_and_no_more(small_run):
    for plan in plan_sources(load_recipe(small_run.recipe), small_run.folder):
        assert files_of(plan) == plan.expected_files() - {
            plan.verdicts(len(plan.phases) - 1, 0), plan.marker(len(plan.phases) - 1, "barriers"),
        }  # fmt: skip


def test_a_finished_run_has_nothing_left_to_do(small_run):
    for plan in plan_sources(load_recipe(small_run.recipe), small_run.folder):
        parts, barrier = {}, None
        for phase in range(len(plan.phases)):
            tasks = plan.map_tasks(phase, parts, barrier)
            parts = {part: Outcome(task, task.done()) for part, task in tasks.items()}
            assert all(outcome.counts for outcome in parts.values())
            task = plan.barrier_task(phase, parts, {}, {})
            barrier = task and Outcome(task, task.done())
        [ledger] = plan.ledger_tasks(parts).values()
        assert ledger.done() == {"posts": {"kept": 3, "dropped": 7}, "notes": {"kept": 12, "dropped": 0}}[plan.name]


def test_files_of_an_older_plan_go_when_the_recipe_changes(tmp_path, write_recipe, inline_executor, quiet):
    path = write_recipe(tmp_path)
    folder = run_recipe(load_recipe(path), inline_executor, quiet).folder
    assert (folder / "posts/phase-3").is_dir()
    data = yaml.safe_load(path.read_text())
    data["sources"]["posts"]["stages"] = data["sources"]["posts"]["stages"][:1]
    path.write_text(yaml.safe_dump(data))
    run_recipe(load_recipe(path), inline_executor, quiet)
    [posts, _] = plan_sources(load_recipe(path), folder)
    assert files_of(posts) <= posts.expected_files()
    assert not (folder / "posts/phase-3").exists()


@pytest.mark.parametrize(
    ("size", "split"), [(0, 4), (10**6, 4), (2**30, 4), (2**30 + 1, 8), (10**10, 64), (2**36, 256), (10**14, 256)]
)
def test_a_source_is_cut_into_about_256_tasks_where_the_recipe_does_not_say(size, split):
    assert automatic_split([SourceFile("a", "a", size, "")]) == split << 20
