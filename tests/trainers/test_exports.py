"""What `corpusmill export` writes, as each trainer reads it: all documents of the dataset, or all tokens, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import datasets
import numpy as np
import pytest
import webdataset
from datatrove.pipeline.readers import JsonlReader
from tokenizers import Tokenizer

from tests.mix.exports.small_dataset import EOS
from tests.small_corpus import corpusmill
from tests.trainers import reading
from tests.trainers.conftest import SPLITS, Dataset

LENGTH = 128
TEXT = "mosaic,litdata_text,jsonl,jsonl_gz,webdataset"
TOKENS = "nanotron,megatron,olmo,mosaic_tokens,litdata"


@pytest.fixture(scope="session")
def exported(mixed: Dataset, tokenizer: Path, workplace: Path) -> Path:
    """The dataset in every format."""
    out = workplace / "exported"
    ran = corpusmill(
        "export", mixed.folder, "--to", f"{TEXT},{TOKENS}", "--tokenizer", tokenizer, "--eos", EOS, "--out", out,
        "--sequence-length", LENGTH, "--workers", "1", cwd=workplace,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return out


@pytest.fixture(scope="session")
def ids(mixed: Dataset, tokenizer: Path) -> dict[str, list[list[int]]]:
    """For each split the ids of its documents in their order, EOS at the end of each, by the tokenizers library."""
    engine = Tokenizer.from_file(str(tokenizer))
    eos = engine.token_to_id(EOS)
    return {
        split: [[*encoding.ids, eos] for encoding in engine.encode_batch(mixed.texts(split), add_special_tokens=False)]
        for split in SPLITS
    }


def stream_of(documents: list[list[int]]) -> list[int]:
    return list(chain(*documents))


def shards_of(exported: Path, name: str, split: str, suffix: str) -> list[Path]:
    return sorted((exported / name / split).glob(f"*{suffix}"))


@pytest.mark.parametrize("split", SPLITS)
def test_nanotrons_nanosets_have_every_document(exported: Path, ids: dict, split: str) -> None:
    found = [reading.nanotron(path) for path in shards_of(exported, "nanotron", split, ".ds")]
    assert [document.tolist() for part in found for document in part] == ids[split]


@pytest.mark.parametrize("split", SPLITS)
def test_megatrons_dataset_has_every_document(exported: Path, ids: dict, split: str) -> None:
    found = reading.megatron(exported / "megatron" / f"{split}_text_document")
    assert [document.tolist() for document in found] == ids[split]


@pytest.mark.parametrize("split", SPLITS)
def test_olmo_cores_arrays_have_every_document(exported: Path, ids: dict, split: str) -> None:
    paths = shards_of(exported, "olmo", split, ".npy")
    found = [reading.olmo_core(path, path.with_suffix(".csv.gz"), np.uint16) for path in paths]
    assert [document.tolist() for part in found for document in part] == ids[split]


@pytest.mark.parametrize("split", SPLITS)
def test_llm_foundrys_samples_have_every_token(exported: Path, ids: dict, mixed: Dataset, split: str) -> None:
    found = [
        sample["tokens"][:LENGTH].astype(np.int64).tolist()
        for sample in reading.mosaic(exported / "mosaic_tokens" / split)
    ]
    assert list(chain(*found)) == filled(ids[split], mixed, split, LENGTH)


@pytest.mark.parametrize("split", SPLITS)
def test_litgpts_blocks_have_every_token(exported: Path, ids: dict, mixed: Dataset, split: str) -> None:
    found = [block.tolist() for block in reading.litdata_tokens(exported / "litdata" / split, LENGTH + 1)]
    assert list(chain(*found)) == filled(ids[split], mixed, split, LENGTH + 1)


def filled(documents: list[list[int]], mixed: Dataset, split: str, length: int) -> list[int]:
    """The tokens of each shard of the dataset, with EOS up to whole blocks."""
    rest = iter(documents)
    found: list[int] = []
    for rows in mixed.rows_of_shards(split):
        stream = stream_of([next(rest) for _ in range(rows)])
        found += stream + [stream[-1]] * (-len(stream) % length)
    return found


def documents_of(exported: Path, name: str, split: str) -> Iterator[tuple[str, str]]:
    """Id and text of the documents of a format, as its trainer reads them."""
    folder = exported / name / split
    match name:
        case "mosaic":
            yield from ((sample["id"], sample["text"]) for sample in reading.mosaic(folder))
        case "litdata_text":
            yield from ((record["id"], record["text"]) for record in reading.litdata_records(folder))
        case "webdataset":
            urls = [str(path) for path in shards_of(exported, name, split, ".tar")]
            samples = webdataset.WebDataset(urls, shardshuffle=False).decode().to_tuple("txt", "json")
            yield from ((known["id"], text) for text, known in samples)
        case _:
            yield from ((document.id, document.text) for document in JsonlReader(str(folder)).run())


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("name", TEXT.split(","))
def test_documents_are_those_of_the_dataset_in_its_order(exported: Path, mixed: Dataset, name: str, split: str) -> None:
    assert list(documents_of(exported, name, split)) == [(row["id"], row["text"]) for row in mixed.rows(split)]


@pytest.mark.parametrize("ranks", [2, 3])
@pytest.mark.parametrize("name", ["jsonl", "jsonl_gz"])
def test_datatroves_ranks_share_the_files(exported: Path, mixed: Dataset, name: str, ranks: int) -> None:
    parts = [
        list(JsonlReader(str(exported / name / "train")).run(rank=rank, world_size=ranks)) for rank in range(ranks)
    ]
    found = sorted((document.id, document.text) for part in parts for document in part)
    assert found == sorted((row["id"], row["text"]) for row in mixed.rows("train"))


def test_levanter_reads_lines_by_url_from_any_row_on(exported: Path) -> None:
    for suffix, name in ((".jsonl.zst", "jsonl"), (".jsonl.gz", "jsonl_gz")):
        for path in shards_of(exported, name, "train", suffix):
            every = list(reading.levanter(path.as_uri()))
            assert list(reading.levanter(path.as_uri(), 700)) == every[700:]


@pytest.mark.parametrize("name", ["jsonl", "jsonl_gz"])
def test_hugging_face_infers_the_columns_of_lines(exported: Path, mixed: Dataset, tmp_path: Path, name: str) -> None:
    loaded = datasets.load_dataset(
        "json", data_files=str(exported / name / "train" / "*"), split="train", streaming=True, cache_dir=str(tmp_path)
    )
    keys = ("id", "text", "source", "url", "license", "quality")
    assert [[row[key] for key in keys] for row in loaded] == [[row[key] for key in keys] for row in mixed.rows("train")]


def test_every_format_says_what_to_paste(exported: Path) -> None:
    for name in (TEXT + "," + TOKENS).split(","):
        told = json.loads((exported / name / "export.json").read_text())
        assert told["complete"]
        assert any(str(exported / name) in line for line in told["paste"]), name
