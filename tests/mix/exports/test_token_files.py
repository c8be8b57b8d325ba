"""Token files, beside those that datatrove writes of the same rows, and as each trainer's reader takes them."""

from __future__ import annotations

import csv
import gzip
import json
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import humanize
import numpy as np
import pyarrow as pa
import pytest
from datatrove.data import Document
from datatrove.pipeline.tokens.megatron_tokenizer import MegatronDocumentTokenizer
from datatrove.pipeline.tokens.tokenizer import DocumentTokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.mix.exports import format_named
from corpusmill.mix.exports.contract import Documents, Export, Finished, Group, Place, TokenFacts, Written
from corpusmill.mix.exports.nanotron import in_short
from corpusmill.mix.exports.tokenised import tokenised
from corpusmill.mix.tokens import load_tokens
from tests.mix.exports.small_dataset import EOS, texts

SCHEMA = pa.schema([pa.field("text", pa.string(), False), pa.field("id", pa.string(), False)])
FACTS = TokenFacts(name="small", fingerprint="0" * 64, vocab_size=600, eos=EOS, eos_id=0)


def facts_of(tokenizer: Path) -> TokenFacts:
    tokens = load_tokens(str(tokenizer))
    eos_id = tokens.token_id(EOS)
    assert eos_id is not None
    return replace(FACTS, vocab_size=tokens.vocab_size, fingerprint=tokens.fingerprint, eos_id=eos_id)


def batch(some: Sequence[str], first: int = 0) -> pa.RecordBatch:
    ids = [f"id,{first + row}\n" for row in range(len(some))]
    return pa.RecordBatch.from_arrays([pa.array(some, pa.string()), pa.array(ids, pa.string())], schema=SCHEMA)


def of_ids(ids: Sequence[Sequence[int]], facts: TokenFacts, first: int = 0) -> Documents:
    """Documents that have these tokens, EOS not included."""
    ended = [[*own, facts.eos_id] for own in ids]
    return Documents(
        rows=batch([""] * len(ids), first),
        numbers=np.arange(first, first + len(ids)),
        tokens=np.array([number for own in ended for number in own], facts.id_type),
        ends=np.cumsum([len(own) for own in ended]),
    )


def written(
    folder: Path,
    name: str,
    facts: TokenFacts,
    shards: Sequence[Sequence[Documents]],
    names: Sequence[str | None] = (None,),
) -> tuple[Path, Finished]:
    """Takes shards, each of several batches, through a format; with names, each goes to every group."""
    form = format_named(name)
    out = folder / name
    export = Export(
        folder=out, dataset="small", by="source" if names != (None,) else None, columns=SCHEMA, tokens=facts
    )
    groups = []
    for group in names:
        inner = Path("train", *filter(None, [group]))
        told = []
        for index, shard in enumerate(shards):
            stem = f"train-{index:05d}-of-{len(shards):05d}"
            place = Place(split="train", group=group, folder=out / inner, parts=out / ".parts" / inner, stem=stem)
            with form.writer(place, export) as writer:
                for documents in shard:
                    writer.write(documents)
            told.append(
                Written(
                    stem=stem,
                    documents=sum(part.rows.num_rows for part in shard),
                    text_bytes=0,
                    tokens=sum(len(part.tokenised()[0]) for part in shard),
                    files={},
                    facts=writer.facts,
                )
            )
        groups.append(
            Group(split="train", name=group, folder=out / inner, parts=out / ".parts" / inner, written=tuple(told))
        )
    return out, form.finish(export, groups)


def read_index(path: Path) -> dict[str, Any]:
    """A Megatron index, by its layout."""
    data = path.read_bytes()
    assert data[:9] == b"MMIDIDX\x00\x00"
    version, code, sequences, entries = struct.unpack("<QBQQ", data[9:34])
    sizes = np.frombuffer(data, "<i4", sequences, 34)
    pointers = np.frombuffer(data, "<i8", sequences, 34 + 4 * sequences)
    documents = np.frombuffer(data, "<i8", entries, 34 + 12 * sequences)
    assert len(data) == 34 + 12 * sequences + 8 * entries
    return {"version": version, "code": code, "sizes": sizes, "pointers": pointers, "documents": documents}


def megatron_documents(prefix: Path) -> list[list[int]]:
    """What Megatron's IndexedDataset gives for each document."""
    index = read_index(prefix.with_name(f"{prefix.name}.idx"))
    assert index["version"] == 1
    kind = {8: "<u2", 4: "<i4"}[index["code"]]
    data = prefix.with_name(f"{prefix.name}.bin").read_bytes()
    rows = zip(index["pointers"].tolist(), index["sizes"].tolist(), strict=True)
    return [np.frombuffer(data, kind, size, pointer).tolist() for pointer, size in rows]


def test_nanotron_files_are_byte_for_byte_those_of_datatrove(tmp_path: Path, tokenizer: Path) -> None:
    some = texts(200, 1)
    facts = replace(facts_of(tokenizer), name=str(tokenizer))
    step = DocumentTokenizer(
        str(tmp_path / "datatrove"),
        tokenizer_name_or_path=str(tokenizer),
        eos_token=EOS,
        shuffle_documents=False,
        save_final_metadata=True,
    )
    step.run(iter([Document(text=text, id=str(row)) for row, text in enumerate(some)]))
    engine = load_tokens(str(tokenizer))
    parts = [
        Documents(rows=batch(some[start : start + 64], start), numbers=np.arange(start, min(start + 64, len(some))))
        for start in range(0, len(some), 64)
    ]
    out, _ = written(tmp_path, "nanotron", facts, [[tokenised(part, engine, facts)[0] for part in parts]])
    for suffix in (".ds", ".ds.index", ".ds.metadata"):
        (theirs,) = (tmp_path / "datatrove").glob(f"*{suffix}")
        assert (out / "train" / f"train-00000-of-00001{suffix}").read_bytes() == theirs.read_bytes(), suffix


def test_a_megatron_dataset_is_byte_for_byte_that_of_datatrove(tmp_path: Path, tokenizer: Path) -> None:
    some = texts(150, 2)
    facts = facts_of(tokenizer)
    step = MegatronDocumentTokenizer(
        str(tmp_path / "datatrove"), tokenizer_name_or_path=str(tokenizer), eos_token=EOS, save_filename="one"
    )
    step.run(iter([Document(text=text, id=str(row)) for row, text in enumerate(some)]))
    engine = load_tokens(str(tokenizer))
    shards = [
        [tokenised(Documents(rows=batch(part), numbers=np.arange(len(part))), engine, facts)[0]]
        for part in (some[:40], some[40:41], some[41:])
    ]
    out, _ = written(tmp_path, "megatron", facts, shards)
    for suffix in (".bin", ".idx"):
        (theirs,) = (tmp_path / "datatrove").glob(f"*{suffix}")
        assert (out / f"train_text_document{suffix}").read_bytes() == theirs.read_bytes(), suffix


IDS = st.lists(st.lists(st.integers(1, 599), max_size=6), min_size=1, max_size=5)


@settings(max_examples=20)  # each syncs some twenty files
@given(st.lists(st.lists(IDS, min_size=1, max_size=3), min_size=1, max_size=3))
def test_each_reader_finds_the_documents_however_they_were_cut(
    tmp_path_factory: pytest.TempPathFactory, shards: list[list[list[list[int]]]]
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    cut: list[list[Documents]] = []
    for shard in shards:
        first, parts = 0, []
        for ids in shard:
            parts.append(of_ids(ids, FACTS, first))
            first += len(ids)
        cut.append(parts)
    wanted = [[[*own, 0] for part in shard for own in part] for shard in shards]
    nanotron, _ = written(folder, "nanotron", FACTS, cut)
    olmo, _ = written(folder, "olmo", FACTS, cut)
    megatron, _ = written(folder, "megatron", FACTS, cut)
    for number, documents in enumerate(wanted):
        stem = f"train-{number:05d}-of-{len(wanted):05d}"
        flat = [one for own in documents for one in own]
        ends = np.cumsum([len(own) for own in documents]).tolist()
        assert np.fromfile(nanotron / "train" / f"{stem}.ds", "<u2").tolist() == flat
        assert np.fromfile(nanotron / "train" / f"{stem}.ds.index", "<u8").tolist() == ends
        assert np.memmap(olmo / "train" / f"{stem}.npy", np.uint16, "r").tolist() == flat
        with gzip.open(olmo / "train" / f"{stem}.csv.gz", "rt") as stream:
            lines = list(csv.reader(stream))
        starts = [0, *ends[:-1]]
        assert lines == [
            [str(start), str(end), f"id_{row}_", stem, str(row)]
            for row, (start, end) in enumerate(zip(starts, ends, strict=True))
        ]
    assert megatron_documents(megatron / "train_text_document") == [own for shard in wanted for own in shard]
    assert read_index(megatron / "train_text_document.idx")["documents"].tolist() == list(
        range(sum(map(len, wanted)) + 1)
    )


@pytest.mark.parametrize(
    ("vocab_size", "nanotron", "megatron"),
    [(65_499, "<u2", 8), (65_500, "<u2", 4), (65_536, "<u2", 4), (65_537, "<u4", 4)],
)
def test_the_type_of_ids_is_the_one_that_each_trainer_expects(
    tmp_path: Path, vocab_size: int, nanotron: str, megatron: int
) -> None:
    facts = replace(FACTS, vocab_size=vocab_size, eos_id=vocab_size - 1)
    shards = [[of_ids([[1, vocab_size - 2]], facts)]]
    wanted = [1, vocab_size - 2, vocab_size - 1]
    out, finished = written(tmp_path, "nanotron", facts, shards)
    assert np.fromfile(out / "train" / "train-00000-of-00001.ds", nanotron).tolist() == wanted
    size = np.dtype(nanotron).itemsize
    assert (out / "train" / "train-00000-of-00001.ds.metadata").read_text() == f"small|{size}\n3\n3.00 T"
    assert f"  token_size_in_bytes: {size}" in finished.paste
    out, finished = written(tmp_path, "olmo", facts, shards)
    assert np.fromfile(out / "train" / "train-00000-of-00001.npy", nanotron).tolist() == wanted
    assert f"    dtype=NumpyDatasetDType.{np.dtype(nanotron).name}," in finished.paste
    out, _ = written(tmp_path, "megatron", facts, shards)
    assert read_index(out / "train_text_document.idx")["code"] == megatron
    assert megatron_documents(out / "train_text_document") == [wanted]


def test_groups_have_weights_that_sum_to_one_in_each_trainer_s_words(tmp_path: Path) -> None:
    shards = [[of_ids([[1, 2, 3]], FACTS)]]
    names = ("code", "math", "web")
    out, finished = written(tmp_path, "megatron", FACTS, shards, names)
    blend = json.loads((out / "blend.json").read_text())
    assert blend["valid"] is None
    assert blend["test"] is None
    assert [float(weight) for weight in blend["train"][::2]] == pytest.approx([1 / 3] * 3, abs=1e-6)
    assert blend["train"][1::2] == [str(out / "train" / f"{name}_text_document") for name in names]
    assert all(Path(f"{prefix}.bin").is_file() for prefix in blend["train"][1::2])
    line = next(line for line in finished.paste if line.startswith("--train-data-path"))
    assert line.split()[1:] == blend["train"]

    out, finished = written(tmp_path, "nanotron", FACTS, shards, names)
    lines = [line.strip(" -") for line in finished.paste]
    start = lines.index("dataset_weights:")
    assert sum(map(float, lines[start + 1 : start + 4])) == pytest.approx(1, abs=1e-5)
    assert [json.loads(line) for line in lines[lines.index("dataset_folder:") + 1 : start]] == [
        str(out / "train" / name) for name in names
    ]

    out, finished = written(tmp_path, "olmo", FACTS, shards, names)
    mixture = json.loads((out / "train_mixture.yaml").read_text())["sources"]
    assert [source["source_name"] for source in mixture] == list(names)
    assert sum(source["target_ratio"] for source in mixture) == pytest.approx(1)
    assert [list(Path("/").glob(source["paths"][0][1:])) for source in mixture] == [
        [out / "train" / name / "train-00000-of-00001.npy"] for name in names
    ]
    assert "        requested_tokens=12," in finished.paste


def test_a_writer_that_fails_leaves_no_file(tmp_path: Path) -> None:
    for name in ("nanotron", "megatron", "olmo"):
        place = Place(
            split="train", group=None, folder=tmp_path / "train", parts=tmp_path / ".parts", stem="train-00000-of-00001"
        )
        export = Export(folder=tmp_path, dataset="small", by=None, columns=SCHEMA, tokens=FACTS)
        writer = format_named(name).writer(place, export)
        writer.write(of_ids([[1]], FACTS))
        writer.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
        assert not [path for path in tmp_path.rglob("*") if path.is_file()], name


@given(st.integers(0, 10**15))
def test_a_number_of_tokens_reads_as_in_datatrove(tokens: int) -> None:
    assert in_short(tokens) == humanize.metric(tokens, unit="T")


def test_the_metadata_s_name_cannot_break_its_line(tmp_path: Path) -> None:
    facts = replace(FACTS, name="a|b\nc")
    out, _ = written(tmp_path, "nanotron", facts, [[of_ids([[1]], facts)]])
    first = (out / "train" / "train-00000-of-00001.ds.metadata").read_text().split("\n")[0]
    assert first.split("|") == ["a b c", "2"]


@pytest.mark.realdata
def test_real_texts_give_the_files_of_datatrove(english_texts: list[str], tokenizer: Path, tmp_path: Path) -> None:
    some = english_texts[:1000:3]
    facts = facts_of(tokenizer)
    engine = load_tokens(str(tokenizer))
    step = {"tokenizer_name_or_path": str(tokenizer), "eos_token": EOS}
    documents = [Document(text=text, id=str(row)) for row, text in enumerate(some)]
    DocumentTokenizer(str(tmp_path / "ds"), shuffle_documents=False, **step).run(iter(documents))
    MegatronDocumentTokenizer(str(tmp_path / "mmap"), **step).run(iter(documents))
    shard = [tokenised(Documents(rows=batch(some), numbers=np.arange(len(some))), engine, facts)[0]]
    nanotron, _ = written(tmp_path, "nanotron", facts, [shard])
    megatron, _ = written(tmp_path, "megatron", facts, [shard])
    for folder, suffix, ours in [
        ("ds", ".ds", nanotron / "train" / "train-00000-of-00001.ds"),
        ("ds", ".ds.index", nanotron / "train" / "train-00000-of-00001.ds.index"),
        ("mmap", ".bin", megatron / "train_text_document.bin"),
        ("mmap", ".idx", megatron / "train_text_document.idx"),
    ]:
        (theirs,) = (tmp_path / folder).glob(f"*{suffix}")
        assert ours.read_bytes() == theirs.read_bytes(), suffix
