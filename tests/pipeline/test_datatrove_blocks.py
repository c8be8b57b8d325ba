"""datatrove both ways: its blocks as our stages, and our stages in its pipelines, run by its own executor."""

from __future__ import annotations

import gzip
import json
import pickle
import sys
from collections import Counter

import pyarrow.parquet as pq
import pytest

from corpusmill.documents.errors import RecipeError
from corpusmill.pipeline.recipe import load_recipe
from corpusmill.pipeline.run import run_recipe

datatrove_filters = pytest.importorskip("datatrove.pipeline.filters")

from datatrove.data import Document  # noqa: E402
from datatrove.executor.local import LocalPipelineExecutor  # noqa: E402
from datatrove.pipeline.filters.base_filter import BaseFilter  # noqa: E402
from datatrove.pipeline.formatters import PIIFormatter  # noqa: E402
from datatrove.pipeline.readers import JsonlReader  # noqa: E402
from datatrove.pipeline.writers import JsonlWriter  # noqa: E402

from corpusmill.pipeline.datatrove_blocks import CorpusmillFilter, CorpusmillRewriter  # noqa: E402

TEXTS = [
    "The boat was late and the harbour master wrote to mara@example.org about it.",
    "Nothing here to see, forbidden fruit.",
    "short",
    "The house of the baker stands at the end of the street, and that is where they have their bread from.",
]


class Shouting(BaseFilter):
    """Drops a text with an exclamation mark, makes others upper case, and says how long they were."""

    def __init__(self, least: int = 0):
        super().__init__()
        self.least = least

    def filter(self, doc: Document):
        doc.metadata["length"] = len(doc.text)
        if "!" in doc.text:
            return False, "exclaims"
        doc.text = doc.text.upper()
        return len(doc.text) >= self.least


@pytest.fixture
def corpus(tmp_path):
    lines = [
        json.dumps({"id": str(n), "text": text, "metadata": {"url": f"https://a.example/{n}"}})
        for n, text in enumerate(TEXTS)
    ]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jsonl").write_text("\n".join(lines) + "\n")
    return tmp_path


@pytest.fixture
def run(corpus, inline_executor, quiet):
    def run(*stages):
        recipe = {
            "name": "x",
            "runs": str(corpus / "runs"),
            "sources": {"web": {"paths": ["in/*.jsonl"], "stages": list(stages)}},
        }
        (corpus / "recipe.yaml").write_text(json.dumps(recipe))
        folder = run_recipe(load_recipe(corpus / "recipe.yaml"), inline_executor, quiet).folder
        kept = pq.read_table(folder / "web" / "curated")["text"].to_pylist()
        return kept, pq.read_table(folder / "web" / "ledger").to_pylist()

    return run


def lines_of(folder):
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl.gz")) for line in gzip.open(path, "rt")]


def test_a_filter_of_datatrove_drops_what_it_drops_there(run, corpus):
    options = {"regex_exp": "forbidden"}
    kept, rows = run({"datatrove": {"block": "RegexFilter", "args": options}})
    LocalPipelineExecutor(
        [
            JsonlReader(str(corpus / "in")),
            datatrove_filters.RegexFilter(**options),
            JsonlWriter(str(corpus / "theirs")),
        ],
        logging_dir=str(corpus / "logs"),
    ).run()
    assert sorted(kept) == sorted(row["text"] for row in lines_of(corpus / "theirs"))
    dropped = [row for row in rows if row["verdict"] == "dropped"]
    assert [(row["stage"], row["reason"], row["datatrove_filter.reason"]) for row in dropped] == [
        ("datatrove_filter", "refused", "refused")
    ]


def test_a_formatter_of_datatrove_rewrites_what_it_rewrites_there(run):
    kept, rows = run({"datatrove": {"block": "PIIFormatter"}})
    # Its placeholders take turns from call to call, so that only where they stand is the same.
    before, after = TEXTS[0].split("mara@example.org")
    assert kept[0].startswith(before)
    assert kept[0].endswith(after)
    assert "mara@" not in kept[0]
    assert kept[1:] == [PIIFormatter().format(text) for text in TEXTS[1:]] == TEXTS[1:]
    assert [row["datatrove_formatter.changed"] for row in rows] == [1, 0, 0, 0]


def test_a_filter_that_edits_is_taken_in_two_steps_when_the_recipe_says_so(run):
    block = {"block": f"{__name__}:Shouting", "args": {"least": 10}}
    kept, rows = run({"datatrove": {**block, "edits": True}})
    assert kept == [text.upper() for text in TEXTS if len(text) >= 10]
    assert json.loads(rows[0]["datatrove_filter.metadata"]) == {"length": len(TEXTS[0])}
    assert [row["reason"] for row in rows] == [None, None, "refused", None]


def test_a_filter_that_edits_without_leave_fails_its_task(run):
    with pytest.raises(Exception, match="edits texts while it judges; say so in the recipe"):
        run({"datatrove": {"block": f"{__name__}:Shouting"}})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"block": "GopherQualityFiltr"},
            "has no filter or formatter 'GopherQualityFiltr'; it has .*GopherQualityFilter",
        ),
        ({"block": "RegexFilter", "args": {"pattern": "x"}}, "RegexFilter cannot be made of .*pattern"),
        ({"block": "json:JSONDecoder"}, "is no class below datatrove's BaseFilter"),
        ({"block": "nowhere_at_all:Block"}, "No module named"),
        ({"block": ":Block"}, "Empty module name; write module:Class"),
        ({"args": {}}, "needs `block`"),
        ("PIIFormatter", "needs `block`"),
    ],
)
def test_what_is_no_block_is_told_before_any_work(options, message, run):
    with pytest.raises(RecipeError, match=message):
        run({"datatrove": options})


def test_a_recipe_that_asks_for_datatrove_where_it_is_missing_says_what_to_install(run, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "datatrove"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "datatrove", None)
    with pytest.raises(RecipeError, match=r"datatrove: is not installed .*pip install corpusmill\[datatrove\]"):
        run({"datatrove": {"block": "PIIFormatter"}})


def test_a_text_of_datatrove_may_hold_what_utf8_cannot():
    documents = [Document(text="half a pair \ud83d", id="a", metadata={"url": "\udc00"})]
    assert CorpusmillFilter("gopher_quality", {"min_words": 3}).filter_batch(documents)[0] == (
        False,
        "gopher_quality/short_words",
    )


@pytest.mark.parametrize("workers", [1, 2])
def test_our_stages_work_in_a_pipeline_of_datatrove_as_they_do_in_ours(workers, run, corpus):
    thresholds = {"min_words": 6, "min_stop_words": None}
    LocalPipelineExecutor(
        [
            JsonlReader(str(corpus / "in")),
            CorpusmillFilter("gopher_quality", thresholds, exclusion_writer=JsonlWriter(str(corpus / "dropped"))),
            CorpusmillRewriter("pii", {"kinds": ["email"]}),
            JsonlWriter(str(corpus / "out")),
        ],
        tasks=workers,
        workers=workers,
        logging_dir=str(corpus / "logs"),
    ).run()
    kept, rows = run({"gopher_quality": thresholds}, {"pii": {"kinds": ["email"]}})
    theirs = lines_of(corpus / "out")
    assert sorted(kept) == sorted(row["text"] for row in theirs)
    assert {row["metadata"]["gopher_quality.words"] for row in theirs} == {
        row["gopher_quality.words"] for row in rows if row["verdict"] == "kept"
    }
    reasons = Counter(row["metadata"]["filter_reason"] for row in lines_of(corpus / "dropped"))
    assert reasons == Counter(f"{row['stage']}/{row['reason']}" for row in rows if row["verdict"] == "dropped")
    assert sum(reasons.values()) == 2


def test_a_block_of_ours_travels_to_workers_and_refuses_what_it_does_not_know():
    block = pickle.loads(pickle.dumps(CorpusmillFilter("gopher_quality", {"min_words": 3})))  # noqa: S301
    assert block.filter(Document(text="two words", id="1")) == (False, "gopher_quality/too_few_words")
    with pytest.raises(RecipeError, match="corpusmill has no filter 'pii'"):
        CorpusmillFilter("pii")
    with pytest.raises(RecipeError, match='unknown key "min_wrods"; did you mean "min_words"'):
        CorpusmillFilter("gopher_quality", {"min_wrods": 1})
