from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import fsspec

from corpusmill.pipeline.manifest import input_entry
from corpusmill.pipeline.recipe import load_recipe
from corpusmill.pipeline.run import run_recipe
from corpusmill.pipeline.sources.contract import SourceFile


def test_a_run_names_the_files_that_its_stages_read_and_where_its_inputs_were(
    tmp_path: Path, write_recipe: Any, inline_executor: Any, quiet: Any
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("terrible\n")
    store = fsspec.filesystem("memory")
    store.pipe_file("/CC-MAIN-2024-10/notes.jsonl", json.dumps({"text": "A note on the weather."}).encode())
    recipe = write_recipe(
        tmp_path,
        sources={
            "posts": {"paths": "posts.jsonl", "stages": [{"c4_bad_words": {"list": "words.txt"}}]},
            "notes": {"paths": "memory:///CC-MAIN-2024-10/notes.jsonl"},
        },
        mix=None,
    )
    manifest = run_recipe(load_recipe(recipe), inline_executor, quiet).manifest
    [stage] = [stage for stage in manifest["stages"]["posts"] if stage["stage"] == "c4_bad_words"]
    assert stage["files"] == [{"file": "words.txt", "sha256": hashlib.sha256(words.read_bytes()).hexdigest()}]
    [posts], [notes] = manifest["inputs"]["posts"], manifest["inputs"]["notes"]
    assert set(posts) == {"file", "size", "identity"}
    assert notes["uri"] == "memory:///CC-MAIN-2024-10/notes.jsonl"
    assert notes["dump"] == "CC-MAIN-2024-10"
    assert "etag" not in notes  # memory has none


def test_of_a_file_in_a_store_its_etag_is_told_and_of_a_local_one_no_time_of_change_as_such() -> None:
    remote = input_entry(SourceFile("s3://bucket/a.jsonl", "a.jsonl", 5, '5-"5d41-2"'))
    assert remote["etag"] == '"5d41-2"'
    assert input_entry(SourceFile("/data/a.jsonl", "a.jsonl", 5, "5-1700")) == {
        "file": "a.jsonl",
        "size": 5,
        "identity": "5-1700",
    }
