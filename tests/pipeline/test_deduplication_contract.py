"""What stages of deduplication may do beside other barriers: work in steps, sound an alarm, remember."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.dedup.contract import PART_FILE, RememberingDeduplication, Step
from corpusmill.documents.barrier import VERDICTS, Decision
from corpusmill.documents.errors import RecipeError, WipeOutError
from corpusmill.documents.shards import atomic_text
from corpusmill.pipeline import registry
from corpusmill.pipeline.explain import explain_as_text, explain_document
from corpusmill.pipeline.plan import plan_sources
from corpusmill.pipeline.recipe import load_recipe
from corpusmill.pipeline.run import run_recipe
from corpusmill.pipeline.summary import status_as_data, summary


class Reason(StrEnum):
    SAME = "same"
    SEEN_BEFORE = "seen_before"


CALLS: Counter[str] = Counter()


@dataclass(frozen=True, kw_only=True)
class Same(RememberingDeduplication):
    """Drops equal texts. Its steps list the texts of each sidecar, and count them."""

    name: ClassVar[str] = "same"
    reasons: ClassVar[type[StrEnum]] = Reason
    sidecar: ClassVar[pa.Schema] = pa.schema([pa.field("id", pa.string(), nullable=False), ("text", pa.string())])

    note: str = ""

    @property
    def comparable(self) -> dict[str, Any]:
        return {"note": self.note}

    def observe(self, batch: Any) -> pa.RecordBatch:
        return pa.RecordBatch.from_arrays([batch.documents.column("id"), batch.texts], schema=self.sidecar)

    def steps(self, rows: Sequence[int]) -> Sequence[Step]:
        return [Step("list", len(rows)), Step("count", 2)]

    def run_step(self, step, task, *, sidecars, seen, done, target) -> None:
        CALLS[step] += 1
        if self.note == "broken" and step == "count" and task == 1:
            raise ValueError("the second count broke")
        if step == "list":
            texts = pq.read_table(sidecars[task])["text"].to_pylist()
        else:
            listed = [text for path in done["list"] for text in json.loads(path.read_text())]
            texts = [text for text in listed if len(text) % 2 == task]
        atomic_text(target, json.dumps(texts))

    def decide(self, sidecars, *, excluded, read_texts, workspace, done=None, seen=()) -> Decision:
        rows = sorted((row for path in sidecars for row in pq.read_table(path).to_pylist()), key=lambda row: row["id"])
        if done is not None:  # it is when kernels are warmed up
            CALLS["decide"] += 1
            counted = sorted(text for path in done["count"] for text in json.loads(path.read_text()))
            assert counted == sorted(row["text"] for row in rows)
        elsewhere = {text: one for folder in seen for text, one in json.loads((folder / PART_FILE).read_text()).items()}
        there: dict[str, str] = {}
        gone = []
        for row in rows:
            if row["text"] in elsewhere:
                gone.append((row["id"], "seen_before", elsewhere[row["text"]]))
            elif row["text"] in there:
                gone.append((row["id"], "same", there[row["text"]]))
            else:
                there[row["text"]] = row["id"]
        columns = [[row[place] for row in gone] for place in range(3)]
        return Decision(pa.table([*columns, [1.0] * len(gone)], schema=VERDICTS))

    def seen(self) -> Sequence[Path]:
        parts = [folder for index in self.against for folder in (Path(index) / "parts").glob("*")]
        return sorted(folder for folder in parts if number_of(folder) < number_of(self.update_folder))

    def remember(self, sidecars, gone, folder, *, seen=None) -> None:
        left = set(gone.to_pylist())
        rows = [row for path in sidecars for row in pq.read_table(path).to_pylist() if row["id"] not in left]
        if not folder.exists():
            number = len(list(folder.parent.glob("*"))) if folder.parent.exists() else 0
            folder.mkdir(parents=True)
            (folder / "number").write_text(str(number))
        atomic_text(folder / PART_FILE, json.dumps({row["text"]: row["id"] for row in rows}))


def number_of(folder: Path | None) -> float:
    """When a part was first written; of none that is there: after all."""
    return int((folder / "number").read_text()) if folder is not None and folder.exists() else math.inf


@pytest.fixture
def recipe_of(tmp_path, monkeypatch):
    known = registry.stage_class
    names = ("same", "equal")
    for table in (registry.STAGES, registry.BARRIERS):
        for name in names:
            monkeypatch.setitem(table, name, "here:Same")
    monkeypatch.setattr(registry, "stage_class", lambda name: Same if name in names else known(name))
    CALLS.clear()

    def load(sources: dict[str, tuple[list[str], list[Any]]], name: str = "deduplicated"):
        for source, (texts, _) in sources.items():
            path = tmp_path / f"{source}.jsonl"
            if not path.exists():
                path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        recipe = {
            "name": name, "runs": str(tmp_path / "runs"), "split_bytes": 40,
            "sources": {
                source: {"paths": [f"{source}.jsonl"], "stages": stages} for source, (_, stages) in sources.items()
            },
        }  # fmt: skip
        path = tmp_path / "recipe.yaml"
        path.write_text(json.dumps(recipe))
        return load_recipe(path)

    return load


def curated(folder: Path, source: str) -> list[str]:
    return sorted(pq.read_table(folder / source / "curated")["text"].to_pylist())


def reasons(folder: Path, source: str) -> Counter[str | None]:
    return Counter(pq.read_table(folder / source / "ledger")["reason"].to_pylist())


WEB = ["one two", "a second text", "one two", "four", "a second text", "five is longer"]


def test_steps_run_one_after_the_other_and_are_gone_when_all_is_decided(recipe_of, inline_executor, quiet):
    recipe = recipe_of({"web": (WEB, ["same"])})
    result = run_recipe(recipe, inline_executor, quiet)
    assert curated(result.folder, "web") == sorted(set(WEB))
    parts = len(list((result.folder / "web" / "curated").glob("*")))
    assert parts > 2
    assert dict(CALLS) == {"list": parts, "count": 2, "decide": 1}
    assert not list(result.folder.glob("*/*/steps"))
    assert status_as_data(recipe)["state"] == "finished"
    again = run_recipe(recipe, inline_executor, quiet)
    assert again.manifest == result.manifest
    assert CALLS["decide"] == 1


def test_a_step_that_fails_costs_the_decision_and_what_was_done_is_kept(recipe_of, inline_executor, quiet, tmp_path):
    broken = run_recipe(recipe_of({"web": (WEB, [{"same": {"note": "broken"}}])}), inline_executor, quiet)
    assert broken.exit_code == 3
    assert "the second count broke" in broken.manifest["failed"][0]["error"]
    assert CALLS["decide"] == 0
    lists = CALLS["list"]
    assert len(list(broken.folder.glob("web/phase-1/steps/same/list-*.bin"))) == lists
    run_recipe(recipe_of({"web": (WEB, [{"same": {"note": "broken"}}])}), inline_executor, quiet)
    assert CALLS["list"] == lists
    mended = run_recipe(recipe_of({"web": (WEB, ["same"])}), inline_executor, quiet)
    assert curated(mended.folder, "web") == sorted(set(WEB))
    assert CALLS["list"] == 2 * lists


ORDER = {"same": {"precedence": ["books", "web", "forum"]}}


@pytest.mark.parametrize("web_stages", [[ORDER], ["exact_dedup", "pii", ORDER]], ids=["level", "web a phase later"])
@pytest.mark.parametrize("books_stages", [[ORDER], ["exact_dedup", "pii", ORDER, "pii"]], ids=["first", "books later"])
def test_a_document_goes_where_a_source_before_it_has_it(web_stages, books_stages, recipe_of, inline_executor, quiet):
    recipe = recipe_of(
        {
            "forum": (["five is longer", "shared by books and forum", "mine"], [ORDER]),
            "web": (WEB, web_stages),
            "books": (["four", "shared by books and forum", "four"], books_stages),
        }
    )
    result = run_recipe(recipe, inline_executor, quiet)
    assert result.exit_code == 0
    assert curated(result.folder, "books") == ["four", "shared by books and forum"]
    assert curated(result.folder, "web") == sorted(set(WEB) - {"four"})
    assert curated(result.folder, "forum") == ["mine"]
    assert reasons(result.folder, "forum") == {"seen_before": 2, None: 1}
    [row] = [
        row for row in pq.read_table(result.folder / "web" / "ledger").to_pylist() if row["reason"] == "seen_before"
    ]
    kept = pq.read_table(result.folder / "books" / "curated").to_pylist()
    assert row["kept_id"] == next(document["id"] for document in kept if document["text"] == "four")
    told = explain_document(row["id"], [result.folder])
    assert told["kept"]["source"] == "books"
    assert " of source books" in explain_as_text(told)
    assert status_as_data(recipe)["state"] == "finished"
    decided = CALLS["decide"]
    assert run_recipe(recipe, inline_executor, quiet).manifest == result.manifest
    assert CALLS["decide"] == decided


def test_a_source_that_waited_for_one_that_failed_is_not_decided(recipe_of, inline_executor, quiet):
    broken = {"same": {"precedence": ["books", "web"], "note": "broken"}}
    result = run_recipe(recipe_of({"web": (WEB, [broken]), "books": (["four"], [broken])}), inline_executor, quiet)
    assert result.exit_code == 3
    assert CALLS["decide"] == 0
    assert not list(result.folder.glob("*/curated/*"))


@pytest.mark.parametrize(
    ("web", "books", "told"),
    [
        ({"precedence": ["boks", "web"]}, {}, r'there is no source "boks"; did you mean "books"'),
        ({"precedence": ["books", "forum"]}, {}, r'but not "web" itself; put it at its place'),
        ({"precedence": ["books", "web"]}, None, r'source "books" has no stage same; give it the same one'),
        ({"precedence": ["books", "web"]}, {"note": "x"}, r'note, precedence of "books" and "web" differ'),
        ({"precedence": ["web", "web"]}, {}, r"names a source twice"),
        ({"update": "index"}, {}, r"update and update_as go together"),
        ({"max_dropped_share": 1.5}, {}, r"1\.5 is no share; use 0 to 1"),
        ({"update": "i", "update_as": "a"}, {"update": "i", "update_as": "a"}, r'"a" of .*; give them two names'),
        ({"update": "i", "update_as": "a"}, {"against": ["i"], "note": "x"}, r"too, but with other parameters"),
        ({"precedence": ["web"]}, {}, r"precedence: names web alone"),
        ({"against": ["runs/deduplicated/i"]}, {}, r"lies in the run's own folder"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_an_error_of_the_recipe(web, books, told, recipe_of, tmp_path):
    recipe = recipe_of(
        {"web": (WEB, [{"same": web}]), "books": (["four"], [{"same": books}] if books is not None else [])}
    )
    with pytest.raises(RecipeError, match=told):
        plan_sources(recipe, tmp_path / "runs" / "deduplicated")


def test_sources_that_wait_for_one_another_are_an_error(recipe_of, tmp_path):
    same, equal = {"same": {"precedence": ["web", "books"]}}, {"equal": {"precedence": ["books", "web"]}}
    recipe = recipe_of({"web": (WEB, [equal, "pii", same]), "books": (["four"], [same, "pii", equal])})
    with pytest.raises(RecipeError, match="wait for one another"):
        plan_sources(recipe, tmp_path)


def test_an_alarm_is_told_and_stops_the_source_if_asked(recipe_of, inline_executor, quiet):
    texts = ["same"] * 3 + ["other"]
    result = run_recipe(recipe_of({"web": (texts, [{"same": {"max_dropped_share": 0.49}}])}), inline_executor, quiet)
    [alarm] = result.manifest["alarms"]
    assert alarm["told"].startswith("same dropped 2 of 4 documents (50%), more than max_dropped_share (0.49)")
    assert "alarm: web: same dropped 2 of 4" in summary(result.manifest, result.folder)
    assert "Alarm: web: same dropped 2 of 4" in (result.folder / "report" / "index.html").read_text()
    for options in ({"max_dropped_share": 0.5}, {"max_dropped_share": None}):
        assert (
            run_recipe(recipe_of({"web": (texts, [{"same": options}])}), inline_executor, quiet).manifest["alarms"]
            == []
        )
    strict = {"same": {"max_dropped_share": 0.1, "on_wipe_out": "error"}}
    with pytest.raises(WipeOutError, match="same dropped 2 of 4 documents"):
        run_recipe(recipe_of({"web": (texts, [strict])}), inline_executor, quiet)


def test_what_stays_enters_the_index_and_later_runs_are_compared_with_it(recipe_of, inline_executor, quiet, tmp_path):
    index = str(tmp_path / "index")

    def dump(name: str, texts: list[str]):
        stage = {"same": {"against": [index], "update": index, "update_as": name}}
        return run_recipe(recipe_of({name: (texts, [stage])}, name=name), inline_executor, quiet)

    first = dump("january", ["one", "two", "one"])
    second = dump("february", ["two", "three"])
    assert curated(first.folder, "january") == ["one", "two"]
    assert curated(second.folder, "february") == ["three"]
    [row] = [row for row in pq.read_table(second.folder / "february" / "ledger").to_pylist() if row["kept_id"]]
    assert "of an earlier run: " in explain_as_text(explain_document(row["id"], [second.folder]))
    decided = CALLS["decide"]
    dump("february", ["two", "three"])
    assert CALLS["decide"] == decided
    (tmp_path / "index" / "parts" / "february" / PART_FILE).unlink()
    dump("february", ["two", "three"])
    assert CALLS["decide"] == decided + 1
    assert json.loads((tmp_path / "index" / "parts" / "february" / PART_FILE).read_text()).keys() == {"three"}


def test_what_an_index_had_stays_until_there_is_more(recipe_of, inline_executor, quiet, tmp_path):
    index = str(tmp_path / "index")
    part = tmp_path / "index" / "parts" / "january" / PART_FILE

    def dump(**options):
        stage = {"same": {"update": index, "update_as": "january", **options}}
        return run_recipe(recipe_of({"january": (["one", "one", "two"], [stage])}), inline_executor, quiet)

    dump()
    before = part.read_bytes()
    with pytest.raises(WipeOutError):
        dump(max_dropped_share=0.1, on_wipe_out="error")
    assert part.read_bytes() == before
    part.unlink()
    dump()
    assert part.read_bytes() == before


def updating(index: Path, label: str, **options: Any) -> dict[str, Any]:
    return {"same": {"update": str(index), "update_as": label, **options}}


def test_sources_that_use_one_index_come_to_the_same_when_run_again(recipe_of, inline_executor, quiet, tmp_path):
    index, order = tmp_path / "index", {"precedence": ["first", "second"]}
    first = updating(index, "first", against=[str(index)], **order)
    second = updating(index, "second", against=[str(index)], **order)
    recipe = recipe_of(
        {
            "reader": (["one", "two", "three", "four"], [{"same": {"against": [str(index)]}}]),
            "second": (["two", "three"], [second]),
            "first": (["one", "two"], ["exact_dedup", "pii", first]),
        }
    )
    result = run_recipe(recipe, inline_executor, quiet)
    assert [curated(result.folder, name) for name in ("first", "second", "reader")] == [
        ["one", "two"], ["three"], ["four"],
    ]  # fmt: skip
    decided = CALLS["decide"]
    assert run_recipe(recipe, inline_executor, quiet).manifest == result.manifest
    assert CALLS["decide"] == decided


@pytest.mark.parametrize("failing", ["books", "web"])
def test_what_a_failed_source_would_have_had_is_not_taken_for_absent(
    recipe_of, inline_executor, quiet, tmp_path, failing
):
    def stages(name: str) -> list[Any]:
        broken = "broken" if name == failing else ""
        return [{"equal": {"note": broken}}, "pii", updating(tmp_path / "index", name, precedence=["books", "web"])]

    sources = {name: (["four", "five"], stages(name)) for name in ("books", "web")}
    result = run_recipe(recipe_of(sources), inline_executor, quiet)
    assert result.exit_code == 3
    written = {path.name for path in (tmp_path / "index" / "parts").glob("*")}
    assert written == ({"books"} if failing == "web" else set())
    assert not list(result.folder.glob("web/curated/*"))
    mended = {name: (texts, ["equal", *rest]) for name, (texts, [_, *rest]) in sources.items()}
    result = run_recipe(recipe_of(mended), inline_executor, quiet)
    assert result.exit_code == 0
    assert curated(result.folder, "web") == []


def test_an_index_that_another_run_has_written_over_is_written_again(recipe_of, inline_executor, quiet, tmp_path):
    index = tmp_path / "index"
    for name, texts in (("one", ["a text"]), ("two", ["b text"]), ("one", ["a text"])):
        run_recipe(recipe_of({name: (texts, [updating(index, "label")])}, name=name), inline_executor, quiet)
    assert json.loads((index / "parts" / "label" / PART_FILE).read_text()).keys() == {"a text"}
