import json
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.schema import DOCUMENT
from corpusmill.documents.shards import write_table
from corpusmill.filters.quality import QualityModel
from corpusmill.pipeline.barriers import PART_VERDICTS
from corpusmill.pipeline.phases import FirstInput, LaterInput, MapWork, built, grouped, run_map
from corpusmill.pipeline.recipe import StageSpec
from corpusmill.pipeline.samples import read_samples
from corpusmill.pipeline.sources.contract import Origin, Piece, SourceFile, Split
from corpusmill.pipeline.sources.jsonl import Jsonl

WORDS = {"min_stop_words": None, "min_alphabetic_tokens": None, "min_mean_word_length": None}
LONG_ENOUGH = StageSpec("gopher_quality", "gopher_quality", {"min_words": 3, **WORDS}, "here")
NOT_TOO_LONG = StageSpec("second", "gopher_quality", {"min_words": None, "max_words": 6, **WORDS}, "here")
PII = StageSpec("pii", "pii", {"kinds": ["email"]}, "here")
ENGLISH = StageSpec("language", "language", {"min_score": None}, "here")
EXACT = StageSpec("exact_dedup", "exact_dedup", {}, "here")


def work_on(source, folder, *stages, barriers=(), decided=(), last=True):
    return MapWork(
        source="web",
        input=source,
        stages=stages,
        decided=tuple(decided),
        barriers=tuple(barriers),
        documents=folder / "documents.parquet",
        ledger=folder / "ledger.parquet",
        samples=folder / "samples.parquet",
        sidecars={spec.name: folder / f"{spec.name}.parquet" for spec in barriers},
        last=last,
    )


def first_input(path, stop=None, start=0):
    size = path.stat().st_size
    piece = Piece(SourceFile(str(path), path.name, size, "now"), start, stop)
    return FirstInput(Jsonl(), Split((piece,), size), Origin("web"))


def written(path, *lines):
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n")
    return path


@pytest.fixture
def lines(tmp_path):
    return written(
        tmp_path / "in.jsonl",
        {"text": "one two three"}, {"text": "short"}, "{broken", {"text": "write to mara@example.org now"},
        {"text": "a b c d e f g h"}, {"text": "bob@example.org"}, {"nothing": 1}, {"text": "four five six seven"},
    )  # fmt: skip


def outcome(folder):
    rows = pq.read_table(folder / "ledger.parquet").to_pylist()
    return [(row["stage"], row["reason"]) for row in rows]


def test_every_record_is_kept_or_dropped_and_counted_by_stage_and_reason(lines, tmp_path):
    counts = run_map(work_on(first_input(lines), tmp_path, LONG_ENOUGH, PII, NOT_TOO_LONG))
    assert counts["records"] == 8
    assert counts["documents_in"] == 6
    assert counts["dropped"] == {
        "gopher_quality": {"too_few_words": 1},
        "read": {"invalid_json": 1, "no_text": 1},
        "second": {"too_many_words": 1},
    }
    assert (
        counts["documents_out"]
        == 4
        == counts["records"] - sum(sum(reasons.values()) for reasons in counts["dropped"].values())
    )
    assert Counter(outcome(tmp_path)) == {
        (None, None): 4, ("gopher_quality", "too_few_words"): 1, ("second", "too_many_words"): 1,
        ("read", "invalid_json"): 1, ("read", "no_text"): 1,
    }  # fmt: skip


def test_survivors_are_written_as_the_stages_left_them(lines, tmp_path):
    counts = run_map(work_on(first_input(lines), tmp_path, LONG_ENOUGH, PII, NOT_TOO_LONG))
    documents = pq.read_table(tmp_path / "documents.parquet")
    texts = ["one two three", "write to <EMAIL> now", "<EMAIL>", "four five six seven"]
    assert documents.schema.equals(DOCUMENT)
    assert documents["text"].to_pylist() == texts
    assert counts["bytes_out"] == sum(map(len, texts)) == counts["shard"]["text_bytes"]


def test_what_was_rewritten_is_counted_by_document_and_measure(lines, tmp_path):
    counts = run_map(work_on(first_input(lines), tmp_path, LONG_ENOUGH, PII))
    assert counts["rewritten"]["pii"]["documents"] == 2
    assert counts["rewritten"]["pii"]["measures"]["email"] == 2
    assert counts["rewritten"]["pii"]["measures"]["phone"] == 0


def test_what_was_dropped_before_is_not_counted_as_rewritten(tmp_path):
    # Both stages see the same segmented batch, in which the dropped document is still carried.
    path = written(
        tmp_path / "in.jsonl", {"text": "a@b.example"}, *({"text": f"plain words {n} here"} for n in range(9))
    )
    long = StageSpec("gopher_quality", "gopher_quality", {"min_words": 4, **WORDS}, "here")
    counts = run_map(work_on(first_input(path), tmp_path, long, PII))
    assert counts["dropped"] == {"gopher_quality": {"too_few_words": 1}}
    assert counts["rewritten"]["pii"] == {
        "documents": 0,
        "measures": dict.fromkeys(counts["rewritten"]["pii"]["measures"], 0),
    }


def test_measures_are_in_the_ledger_under_the_stages_name(lines, tmp_path):
    run_map(work_on(first_input(lines), tmp_path, LONG_ENOUGH, PII, NOT_TOO_LONG))
    rows = pq.read_table(tmp_path / "ledger.parquet").to_pylist()
    by_offset = {row["offset"]: row for row in rows if row["stage"] != "read"}
    one, short, mail = [by_offset[offset] for offset in sorted(by_offset)][:3]
    assert (one["gopher_quality.words"], one["second.words"], one["pii.email"]) == (3, 3, 0)
    assert (short["gopher_quality.words"], short["second.words"], short["pii.email"]) == (1, None, None)
    assert mail["pii.email"] == 1


def test_annotations_fill_columns_of_the_documents(tmp_path):
    text = "The ferry left late that morning because the captain had lost his keys in the village."
    path = written(tmp_path / "in.jsonl", {"text": text, "language": "xx"})
    run_map(work_on(first_input(path), tmp_path, ENGLISH))
    [row] = pq.read_table(tmp_path / "documents.parquet").to_pylist()
    assert row["language"] == "en"
    assert row["language_score"] > 0.9


def test_a_part_of_which_nothing_is_left_has_its_files(tmp_path):
    path = written(tmp_path / "in.jsonl", {"text": "short"})
    counts = run_map(work_on(first_input(path), tmp_path, LONG_ENOUGH, PII, NOT_TOO_LONG, barriers=[EXACT], last=False))
    assert counts["documents_out"] == 0
    assert pq.read_table(tmp_path / "documents.parquet").num_rows == 0
    assert pq.read_table(tmp_path / "exact_dedup.parquet").num_rows == 0
    assert len(outcome(tmp_path)) == 1


def test_an_empty_source_has_its_files(tmp_path):
    path = written(tmp_path / "in.jsonl")
    path.write_text("")
    counts = run_map(work_on(first_input(path), tmp_path, LONG_ENOUGH))
    assert counts["documents_in"] == counts["documents_out"] == 0
    assert (tmp_path / "samples.parquet").exists()


def test_sidecars_have_a_row_for_each_survivor(lines, tmp_path):
    run_map(work_on(first_input(lines), tmp_path, LONG_ENOUGH, barriers=[EXACT], last=False))
    ids = pq.read_table(tmp_path / "documents.parquet")["id"].to_pylist()
    assert pq.read_table(tmp_path / "exact_dedup.parquet")["id"].to_pylist() == ids


def test_samples_show_what_a_rule_saw_and_only_last_phases_show_what_stayed(lines, tmp_path):
    run_map(work_on(first_input(lines), tmp_path, LONG_ENOUGH, last=False))
    samples = read_samples([tmp_path / "samples.parquet"])
    assert samples.keys() == {("gopher_quality", "too_few_words")}
    assert [row["text"] for row in samples["gopher_quality", "too_few_words"]] == ["short"]
    run_map(work_on(first_input(lines), tmp_path, PII))
    kept = [row["text"] for row in read_samples([tmp_path / "samples.parquet"])[None, None]]
    assert len(kept) == 5
    assert "mara@example.org" not in " ".join(kept)


def test_how_the_input_is_cut_changes_no_row(tmp_path):
    path = written(tmp_path / "in.jsonl", *({"text": "word " * (n % 9)} for n in range(60)))
    whole, halves = tmp_path / "whole", [tmp_path / "0", tmp_path / "1"]
    run_map(work_on(first_input(path), whole, LONG_ENOUGH, NOT_TOO_LONG))
    middle = path.stat().st_size // 2
    run_map(work_on(first_input(path, stop=middle), halves[0], LONG_ENOUGH, NOT_TOO_LONG))
    run_map(work_on(first_input(path, start=middle), halves[1], LONG_ENOUGH, NOT_TOO_LONG))
    for name in ("ledger", "documents"):
        together = pa.concat_tables([pq.read_table(half / f"{name}.parquet") for half in halves])
        assert together.equals(pq.read_table(whole / f"{name}.parquet"))


def later(folder, texts, verdicts):
    """A later phase's input: documents, and a barrier's verdicts on some, as (row, stage, kept row, size)."""
    batch = TextBatch.of_texts(texts).documents
    ids = batch.column("id").to_pylist()
    write_table(folder / "before.parquet", [batch], DOCUMENT, row_group_rows=3)
    rows = [
        {
            "id": ids[row], "stage": stage, "reason": stage and "duplicate",
            "kept_id": None if kept is None else ids[kept], "similarity": stage and 1.0, "cluster_size": size,
        }
        for row, stage, kept, size in verdicts
    ]  # fmt: skip
    write_table(folder / "verdicts.parquet", pa.Table.from_pylist(rows, PART_VERDICTS).to_batches(), PART_VERDICTS)
    return LaterInput(folder / "before.parquet", folder / "verdicts.parquet"), ids


def test_what_barriers_decided_is_applied_before_the_stages(tmp_path):
    texts = [f"text number {number}" for number in range(8)]
    verdicts = [
        (1, "exact", 0, None),
        (6, "near", 0, None),
        (4, "exact", 5, None),
        (0, None, None, 3),
        (5, None, None, 2),
    ]
    source, ids = later(tmp_path, texts, verdicts)
    counts = run_map(work_on(source, tmp_path, PII))
    assert counts["dropped"] == {"exact": {"duplicate": 2}, "near": {"duplicate": 1}}
    assert pq.read_table(tmp_path / "documents.parquet")["id"].to_pylist() == [ids[n] for n in (0, 2, 3, 5, 7)]
    rows = pq.read_table(tmp_path / "ledger.parquet").to_pylist()
    assert [row["stage"] for row in rows] == [None, "exact", None, None, "exact", None, "near", None]
    assert [row["kept_id"] for row in rows] == [None, ids[0], None, None, ids[5], None, ids[0], None]
    assert [row["cluster_size"] for row in rows] == [3, None, None, None, None, 2, None, None]
    assert [row["pii.email"] for row in rows] == [0, None, 0, 0, None, 0, None, 0]


def test_without_verdicts_all_go_on(tmp_path):
    source, ids = later(tmp_path, ["a b", "c d"], [])
    assert run_map(work_on(source, tmp_path))["documents_out"] == 2
    assert pq.read_table(tmp_path / "ledger.parquet")["id"].to_pylist() == ids


def test_row_groups_with_long_texts_are_cut_up(tmp_path):
    texts = ["x" * size for size in (10, 900, 50, 2000, 10, 10, 10)]
    batch = TextBatch.of_texts(texts).documents
    write_table(tmp_path / "long.parquet", [batch, batch.slice(0, 0)], DOCUMENT, row_group_rows=4)
    pieces = list(grouped(pq.ParquetFile(tmp_path / "long.parquet"), text_bytes=1000))
    assert [piece.num_rows for piece in pieces] == [3, 1, 3]
    assert pa.Table.from_batches(pieces)["text"].to_pylist() == texts


def test_masks_of_dead_rows_do_not_leak_into_the_next_stage(tmp_path):
    # Half of the rows die at each of two filters, so that rows are carried, taken out, and carried again.
    texts = [("word " * (1 + n % 7)).strip() + (f" m{n}@a.example" if n % 5 == 0 else "") for n in range(70)]
    path = written(tmp_path / "in.jsonl", *({"text": text} for text in texts))
    run_map(work_on(first_input(path), tmp_path, LONG_ENOUGH, PII, NOT_TOO_LONG))
    words = np.array([1 + n % 7 + (3 if n % 5 == 0 else 0) for n in range(70)])  # an address is three words
    kept = pq.read_table(tmp_path / "documents.parquet")["text"].to_pylist()
    expected = [
        text.replace(f"m{n}@a.example", "<EMAIL>")
        for n, text in enumerate(texts)
        if words[n] >= 3 and words[n] - (2 if n % 5 == 0 else 0) <= 6
    ]
    assert kept == expected


def test_a_stage_is_built_once_and_anew_when_its_model_is_another(tmp_path):
    def model(intercept):
        made = QualityModel(
            bits=4, features=np.array([1], np.uint32), weights=np.array([1], np.int16), scale=1.0,
            intercept=intercept, slope=1.0, offset=0.0, facts={},
        )  # fmt: skip
        made.save(tmp_path / "model.npz")
        return built(StageSpec("quality", "quality", {"model": str(tmp_path / "model.npz")}, "here"))

    first = model(-9.0)
    assert built(StageSpec("quality", "quality", {"model": str(tmp_path / "model.npz")}, "here")) is first
    batch = TextBatch.of_texts(["a text"])
    [low], [high] = (stage.measure(batch).column("score").to_pylist() for stage in (first, model(9.0)))
    assert low < 0.1 < 0.9 < high
