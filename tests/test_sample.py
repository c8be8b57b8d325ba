"""The sample corpora: every planted defect is caught by the stage and rule that its label names, nothing else is."""

import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "sample_corpora"
PAGES = ("web", "math_web")  # sources whose documents are told by their URL
LABELS = [json.loads(line) for line in (SAMPLE / "expected.jsonl").read_text().splitlines()]


def corpusmill(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "corpusmill.pipeline.command", *arguments], cwd=cwd, text=True, capture_output=True
    )


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """A copy of the sample with its WARC files and lists built, and a finished run beside it."""
    folder = tmp_path_factory.mktemp("sample")
    subprocess.run(["cp", "-r", str(SAMPLE), str(folder / "sample_corpora")], check=True)
    corpora = folder / "sample_corpora"
    subprocess.run([sys.executable, str(corpora / "build.py")], check=True, capture_output=True)
    lists = sorted(map(str, (corpora / "lists/blocked").iterdir()))
    indexed = corpusmill("urls", "build", *lists, "--out", str(corpora / "built/blocked.urls"), cwd=folder)
    assert indexed.returncode == 0, indexed.stderr
    ran = corpusmill("run", str(corpora / "recipe.yaml"), cwd=folder)
    assert ran.returncode == 0, ran.stderr
    return folder, ran


@pytest.fixture(scope="module")
def ledger(sample):
    """Rows of the ledger by (source, URL or file, line)."""
    folder, _ = sample
    rows = defaultdict(list)
    files = [str(path) for path in (folder / "runs/sample").glob("*/ledger/part-*.parquet")]
    # Requests, metadata and warcinfo are the archives' frame: records, but of no page of their own.
    found = duckdb.sql(
        "select * from read_parquet($1, union_by_name = true) where reason is distinct from 'not_response'",
        params=[files],
    ).to_arrow_table()
    lines = (SAMPLE / "math/articles.jsonl").read_bytes().split(b"\n")
    starts, position = {}, 0
    for number, line in enumerate(lines, start=1):
        starts[position] = number
        position += len(line) + 1
    for row in found.to_pylist():
        line = starts[row["offset"]] if row["source"] == "math" else None
        place = row["file"] if row["source"] not in PAGES else row["url"] or f"{row['stage']}/{row['reason']}"
        rows[row["source"], place, line].append(row)
    return rows


def key(label):
    if label["planted"] == "broken_gzip":  # what a damaged member was of cannot be known
        return label["source"], label["reason"], None
    return label["source"], label["url"] if label["source"] in PAGES else label["file"], label.get("line")


def outcome(row):
    return (row["verdict"], row["stage"], f"{row['stage']}/{row['reason']}" if row["stage"] else None)


def test_every_labelled_document_has_one_row_and_its_verdict(ledger):
    wrong = []
    for label in LABELS:
        rows = ledger.get(key(label), [])
        if label["verdict"] == "one_of_group":
            continue
        expected = (label["verdict"], label["stage"], label["reason"])
        if [outcome(row) for row in rows] != [expected]:
            wrong.append((key(label), expected, [outcome(row) for row in rows]))
    assert not wrong, "\n".join(map(str, wrong))


def test_one_document_of_each_group_stays_and_the_others_name_it(ledger):
    groups = defaultdict(list)
    for label in LABELS:
        if label["verdict"] == "one_of_group":
            [row] = ledger[key(label)]
            groups[label["group"]].append((label, row))
    assert len(groups) >= 15
    for name, members in groups.items():
        kept = [row for _, row in members if row["verdict"] == "kept"]
        assert len(kept) == 1, name
        for label, row in members:
            if row is not kept[0]:
                assert outcome(row) == ("dropped", label["stage"], label["reason"]), name
                assert row["kept_id"] == kept[0]["id"], name
        assert kept[0]["cluster_size"] == len(members), name


@pytest.fixture(scope="module")
def texts(sample):
    """What was kept, by id."""
    folder, _ = sample
    tables = [
        pq.read_table(path, columns=["id", "text"]) for path in (folder / "runs/sample").glob("*/curated/*.parquet")
    ]
    return {row["id"]: row["text"] for table in tables for row in table.to_pylist()}


def test_planted_personal_data_is_counted_and_replaced_and_the_rest_is_not(ledger, texts):
    wrong = []
    for label in LABELS:
        for row in ledger.get(key(label), []):
            if row["verdict"] != "kept" or row["source"] == "math_notes":
                continue
            found = {name: row[name] for name in row if name.startswith("pii.") and row[name]}
            rewritten = label.get("rewritten") or {}
            expected = {name: count for name, count in rewritten.items() if name.startswith("pii.")}
            if found != expected:
                wrong.append((key(label), expected, found))
            for kind, count in found.items():
                assert texts[row["id"]].count(f"<{kind.removeprefix('pii.').upper()}>") == count
    assert not wrong, "\n".join(map(str, wrong))


def test_what_is_repaired_or_cut_is_counted_where_it_was_planted_and_nowhere_else(ledger):
    columns = (
        "mojibake.sequences",
        "book_matter.note_lines",
        "book_matter.contents_lines",
        "decontamination.items",
        "repeated_lines.cut_units",
        "substring_dedup.passages",
    )
    wrong = []
    for label in LABELS:
        for row in ledger.get(key(label), []):
            found = {name: row[name] for name in columns if row["verdict"] == "kept" and row[name]}
            expected = {name: count for name, count in (label.get("rewritten") or {}).items() if name in columns}
            if found != expected:
                wrong.append((key(label), expected, found))
    assert not wrong, "\n".join(map(str, wrong))


def test_passages_that_must_stand_in_what_is_kept_do(ledger, texts):
    labels = [label for label in LABELS if "contains" in label]
    assert len(labels) >= 6
    for label in labels:
        [row] = ledger[key(label)]
        assert label["contains"] in texts[row["id"]], key(label)


def test_benchmark_items_are_gone_from_what_is_kept(texts):
    for path in (SAMPLE / "benchmarks").iterdir():
        for item in map(json.loads, path.read_text().splitlines()):
            question = item.get("question") or item["problem"]
            assert not [name for name, text in texts.items() if question[:60] in text], question


def test_every_stage_that_can_drop_or_rewrite_does_so_in_some_source(sample):
    folder, _ = sample
    manifest = json.loads((folder / "runs/sample/manifest.json").read_text())
    done = defaultdict(int)
    for source in manifest["sources"].values():
        for stage in source["stages"]:
            rewritten = stage.get("rewritten", {}).get("documents", 0)
            done[stage["stage"]] += sum(stage["dropped"].values()) + rewritten + stage.get("cut", 0)
    assert len(done) >= 29
    assert not [name for name, documents in done.items() if documents == 0]


def test_every_record_is_labelled(ledger):
    unlabelled = {place: [outcome(row)[2] for row in rows] for place, rows in ledger.items()}
    for label in LABELS:
        unlabelled.pop(key(label), None)
    assert not unlabelled


def test_each_source_and_stage_balances(sample):
    folder, _ = sample
    manifest = json.loads((folder / "runs/sample/manifest.json").read_text())
    for name, source in manifest["sources"].items():
        rows = duckdb.sql(
            "select coalesce(stage, '') as stage, count(*) from read_parquet($1) group by all",
            params=[str(folder / f"runs/sample/{name}/ledger/*.parquet")],
        ).fetchall()
        dropped = dict(rows)
        left = source["records"]
        assert sum(dropped.values()) == left
        for stage in source["stages"]:
            assert stage["in"] == left
            left -= dropped.get(stage["stage"], 0)
            assert stage["kept"] == left
        assert left == dropped[""] == source["documents_out"]


def test_the_dataset_and_the_report_are_there(sample):
    folder, ran = sample
    dataset = folder / "runs/sample/dataset"
    names = sorted(path.name for path in (dataset / "data").iterdir())
    assert any(name.startswith("train-") for name in names)
    assert names[-1].startswith("validation-")
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=dataset, check=True)
    assert (folder / "runs/sample/report/index.html").stat().st_size > 10_000
    assert "Q = " in ran.stdout
    assert "mix, in estimated tokens" in ran.stdout


def test_a_second_run_reuses_everything(sample):
    folder, _ = sample
    before = {path: path.stat().st_mtime_ns for path in (folder / "runs/sample").rglob("*.parquet")}
    again = corpusmill("run", "sample_corpora/recipe.yaml", cwd=folder)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in (folder / "runs/sample").rglob("*.parquet")} == before


def test_explain_tells_a_dropped_documents_way(sample):
    folder, _ = sample
    spam = next(label for label in LABELS if label["planted"] == "seo_spam")
    told = corpusmill("explain", spam["url"], cwd=folder)
    assert told.returncode == 0, told.stderr
    assert "dropped by quality: low_score" in told.stdout
    assert "<- broken" in told.stdout
    assert "gopher_quality: passed" in told.stdout


def test_a_model_trained_from_the_samples_texts_takes_the_place_of_the_default(sample, tmp_path):
    folder, _ = sample
    corpora = folder / "sample_corpora"
    good, bad, model = corpora / "web/positive.jsonl", corpora / "web/negative.jsonl", tmp_path / "mine.npz"
    trained = corpusmill(
        "train", "quality", "--positive", str(good), "--negative", str(bad), "--out", str(model), cwd=folder
    )
    assert trained.returncode == 0, trained.stderr
    planned = corpusmill(
        "plan", str(corpora / "recipe.yaml"), "--set", f"sources.web.stages.quality.model={model}", cwd=folder
    )
    assert planned.returncode == 0, planned.stderr
    assert "quality" in planned.stdout


def test_the_readme_shows_what_the_demo_prints(sample):
    _, ran = sample
    _, block, *_ = (ROOT / "README.md").read_text().split("\n```\n")
    shown = [line for line in block.splitlines() if line not in ("", "…")]
    assert len(shown) > 30
    assert not [line for line in shown if line not in ran.stdout.splitlines()], "copy what `make demo` prints"


def test_the_sample_is_swept_and_the_readme_shows_what_came_of_it(sample):
    folder, _ = sample
    swept = corpusmill("sweep", "run", "sample_corpora/recipe.yaml", cwd=folder)
    assert swept.returncode == 0, swept.stderr
    _, _, _, block, *_ = (ROOT / "README.md").read_text().split("\n```\n")
    shown = [line for line in block.splitlines() if line not in ("", "…")]
    assert len(shown) > 8
    assert not [line for line in shown if line not in swept.stdout.splitlines()], "copy what `make demo` prints"
    page = (folder / "runs/sample/report/index.html").read_text()
    assert "<svg" in page.partition("web, ngram")[2], "the frontier is on the run's page"
    cells = pq.read_table(folder / "runs/sample/scaling/sweep/cells.parquet")
    assert len(cells) == 90
