from __future__ import annotations

import json

from corpusmill.mix.provenance import provenance
from tests.mix.conftest import RUN


def test_inputs_are_told_without_what_the_machine_knows_of_them() -> None:
    told = provenance(RUN, ["web", "code"])["inputs"]
    assert told["web"] == {
        "license": "CC0-1.0",
        "files": [
            {
                "file": "CC-MAIN-2024-10/a.warc.gz",
                "size": 1000,
                "uri": "s3://commoncrawl/a",
                "etag": "xyz",
                "dump": "CC-MAIN-2024-10",
            }
        ],
    }
    assert told["code"] == {"license": None, "files": [{"file": "a.py", "size": 10}]}


def test_models_and_benchmarks_are_listed_and_their_folders_are_not() -> None:
    told = provenance(RUN, ["web", "code"])
    assert told["models"] == [{"source": "web", "stage": "decontamination", "file": "arc.jsonl", "sha256": "ab" * 32}]
    assert told["decontamination"] == [{"source": "web", "stage": "decontamination", "benchmarks": ["arc"]}]
    assert told["stages"]["web"][0]["options"]["benchmarks"]["arc"]["paths"] == ["arc.jsonl"]
    assert told["stages"]["web"][1]["options"]["prefix"] == "/not/a/file"
    assert "private" not in json.dumps(told)


def test_the_funnel_of_each_source_is_told_with_its_reasons() -> None:
    funnel = provenance(RUN, ["web", "code"])["curation"]["web"]
    assert funnel["records"] == 900
    assert funnel["stages"][1]["dropped"] == {"contaminated": 97, "too_little_left": 3}
    assert "shards" not in funnel


def test_a_dataset_without_a_run_has_empty_answers() -> None:
    assert provenance({}, ["web"]) == {
        "recipe": {}, "recipe_hash": None, "versions": {}, "stages": {}, "inputs": {}, "models": [],
        "decontamination": [], "curation": {}, "alarms": [],
    }  # fmt: skip


def test_sources_without_a_share_are_left_to_the_recipe() -> None:
    told = provenance(RUN | {"alarms": [{"source": "web", "stage": "minhash_dedup", "told": "80 %"}]}, ["code"])
    for part in ("stages", "inputs", "curation"):
        assert set(told[part]) == {"code"}
    assert told["models"] == told["decontamination"] == told["alarms"] == []
    assert set(told["recipe"]["sources"]) == {"web", "code"}
