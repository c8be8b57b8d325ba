"""How fast a dataset becomes token files: Parquet in, files out, one core, beside datatrove's DocumentTokenizer.

The dataset is prose (prose.py) in two shards, the tokenizer a byte-level BPE of 32,000 tokens that is trained on a part
of it. datatrove gets the texts in memory, ours reads the shards. Its files and ours are the same, which is checked.

    figure export_mb_per_s           MB of text a second of one core into nanotron's files
    figure export_three_mb_per_s     the same into nanotron's, Megatron's and OLMo-core's at once
    figure export_vs_datatrove       how many times as fast as datatrove into nanotron's files
    figure export_memory_mb          greatest memory of a worker that exports in three formats, libraries included
"""

from __future__ import annotations

import json
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
from datatrove.data import Document
from datatrove.pipeline.tokens.tokenizer import DocumentTokenizer
from datatrove.utils.logging import logger
from harness import Benchmark, race, table
from prose import prose
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from corpusmill.documents.shards import write_table
from corpusmill.mix.exports.contract import Export, TokenFacts
from corpusmill.mix.exports.dataset import ExportedDataset
from corpusmill.mix.exports.tokenised import ShardExport
from corpusmill.mix.tokens import load_tokens

EOS = "<|endoftext|>"
_SCHEMA = pa.schema(
    [
        pa.field("text", pa.string(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("n_bytes", pa.int32(), nullable=False),
    ]
)
_ROWS = 512


def mixing(benchmark: Benchmark) -> list[str]:
    """Races the formats and datatrove over the same documents."""
    logger.remove()
    items = prose(benchmark.real_data(), 4_000_000 if benchmark.quick else 30_000_000)
    texts = [text for _, text in items]
    mb = sum(len(text.encode()) for text in texts) / 1e6
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        tokenizer = _tokenizer(texts, folder / "tokenizer.json", 8_000 if benchmark.quick else 32_000)
        dataset = _dataset(items, folder / "dataset")
        with get_context("spawn").Pool(1) as pool:
            memory = pool.apply(_memory, (dataset, tokenizer, folder / "memory"))
        peer = _datatrove(texts, tokenizer, folder / "datatrove")
        contenders = {
            "nanotron": _export(dataset, tokenizer, folder / "one", ["nanotron"]),
            "megatron": _export(dataset, tokenizer, folder / "two", ["megatron"]),
            "olmo": _export(dataset, tokenizer, folder / "three", ["olmo"]),
            "nanotron, megatron, olmo": _export(dataset, tokenizer, folder / "all", ["nanotron", "megatron", "olmo"]),
        }
        rounds = 2 if benchmark.quick else 5
        timings = race(contenders, rounds, time.process_time)
        beside = race({"ours": contenders["nanotron"], "datatrove": peer}, 1, time.process_time)
        _check_same(folder / "one" / "nanotron" / "train", folder / "datatrove")
    benchmark.figure("export_mb_per_s", mb / timings.median("nanotron"))
    benchmark.figure("export_three_mb_per_s", mb / timings.median("nanotron, megatron, olmo"))
    benchmark.figure("export_vs_datatrove", beside.ratio("datatrove", "ours"))
    benchmark.figure("export_memory_mb", memory)
    rows = [[name, mb / timings.median(name)] for name in contenders]
    rows.append(["datatrove's DocumentTokenizer", mb / beside.median("datatrove")])
    return [
        "### Exports",
        f"{mb:.0f} MB of prose in {len(items):,} documents, from Parquet to token files, by one core (CPU time). Our "
        f"nanotron files are datatrove's, byte for byte. A worker had at most {memory:.0f} MB of memory, its libraries "
        "included.",
        table(["format", "MB/s"], rows),
    ]


def _tokenizer(texts: Sequence[str], path: Path, size: int) -> Path:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts[::5], trainer)
    tokenizer.save(str(path))
    return path


def _dataset(items: Sequence[tuple[str, str]], folder: Path) -> ExportedDataset:
    """Writes the documents as a dataset of two shards."""
    told = []
    for index in range(2):
        own = items[index * len(items) // 2 : (index + 1) * len(items) // 2]
        stem = f"train-{index:05d}-of-00002"
        batches = [
            pa.RecordBatch.from_pylist(
                [
                    {"text": text, "id": name, "source": "prose", "n_bytes": len(text.encode())}
                    for name, text in own[start : start + _ROWS]
                ],
                schema=_SCHEMA,
            )
            for start in range(0, len(own), _ROWS)
        ]
        shard = write_table(folder / "data" / f"{stem}.parquet", batches, _SCHEMA)
        name = f"data/{stem}.parquet"
        told.append({**shard.as_dict(), "name": name, "split": "train", "units": shard.text_bytes})
    manifest = {"schema_version": 2, "name": "prose", "shards": told}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return ExportedDataset.open(folder)


def _export(dataset: ExportedDataset, tokenizer: Path, out: Path, formats: Sequence[str]) -> Callable[[], None]:
    """Writes every shard in these formats, in this process."""
    tokens = load_tokens(str(tokenizer))
    eos_id = tokens.token_id(EOS)
    if eos_id is None:
        raise SystemExit(f"{tokenizer}: has no {EOS}")
    facts = TokenFacts(
        name=str(tokenizer), fingerprint=tokens.fingerprint, vocab_size=tokens.vocab_size, eos=EOS, eos_id=eos_id
    )

    def run() -> None:
        shutil.rmtree(out, ignore_errors=True)
        for shard in dataset.shards:
            exports = {
                name: Export(folder=out / name, dataset="prose", by=None, columns=dataset.columns, tokens=facts)
                for name in formats
            }
            marks = dict.fromkeys(formats, "benchmark")
            ShardExport(shard=shard, exports=exports, marks=marks, tokenizer=str(tokenizer), check_counts=False).run()

    return run


def _memory(dataset: ExportedDataset, tokenizer: Path, out: Path) -> float:
    """Greatest memory of this process, in MB, once it has exported the dataset."""
    _export(dataset, tokenizer, out, ["nanotron", "megatron", "olmo"])()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def _datatrove(texts: Sequence[str], tokenizer: Path, out: Path) -> Callable[[], None]:
    def run() -> None:
        shutil.rmtree(out, ignore_errors=True)
        step = DocumentTokenizer(
            str(out), tokenizer_name_or_path=str(tokenizer), eos_token=EOS, shuffle_documents=False
        )
        step.run(Document(text=text, id="") for text in texts)

    return run


def _check_same(ours: Path, theirs: Path) -> None:
    written = b"".join(path.read_bytes() for path in sorted(ours.glob("*.ds")))
    (peer,) = theirs.glob("*.ds")
    if written != peer.read_bytes():
        raise SystemExit("the token files differ from datatrove's; the comparison would mean nothing")
