"""A small corpus of many parts, for tests that run the whole command over it and disturb it.

About 400 documents, 600 KB, made from a seed: pages in WARC files, posts as JSON lines, books in Parquet, notes as text
files. Some texts stand twice, word for word or nearly, within a file, across files and across splits; some hold an
e-mail address; some are in no language that the recipe keeps.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from corpusmill.documents.shards import sha256_of
from corpusmill.pipeline.sources.contract import SourceFile
from corpusmill.pipeline.sources.gathering import Gathering
from corpusmill.pipeline.sources.text import Text

_SUBJECTS = (
    "the harbour master", "our neighbour", "a tired teacher", "the young engineer", "my grandmother", "the night watch",
    "an old sailor", "the town council", "a curious child", "the baker", "the last passenger", "every visitor",
    "the museum guard", "a travelling doctor", "the gardener", "their cousin", "the printer", "a patient student",
)  # fmt: skip
_VERBS = (
    "walked slowly towards", "had never heard of", "wrote a long letter about", "carefully repaired", "was afraid of",
    "remembered", "talked for an hour about", "wanted to paint", "looked for", "could not find", "sold", "promised",
    "had been waiting for", "quietly closed", "asked a friend about", "measured", "laughed at", "carried home",
)  # fmt: skip
_OBJECTS = (
    "the broken clock", "a basket of apples", "the letters from the coast", "an empty theatre", "the wooden bridge",
    "the map of the valley", "a small brass key", "the winter market", "the noise in the cellar", "a blue umbrella",
    "the unfinished chapel", "her first bicycle", "the price of bread", "the river in spring", "a stranger's coat",
    "the school by the hill", "the oldest tree in the park", "a story about the moon",
)  # fmt: skip
_ENDS = (
    "before the rain began", "while the others were asleep", "because nobody else would do it", "after the long summer",
    "and said nothing about it", "as the trains went by", "when the shops had closed", "in spite of the cold wind",
    "with a great deal of patience", "until the lamps were lit", "although it was far too late", "for the second time",
)  # fmt: skip
_FOREIGN = (
    "Der alte Fischer ging langsam zum Hafen und dachte an seine Kinder, die schon lange in der Stadt wohnten. "
    "Am Abend saß er wieder vor dem Haus und sprach mit den Nachbarn über das Wetter und die Preise. "
)


def sentence(chance: random.Random) -> str:
    """One of half a million sentences."""
    words = " ".join(chance.choice(part) for part in (_SUBJECTS, _VERBS, _OBJECTS, _ENDS))
    return f"{words[0].upper()}{words[1:]} on day {chance.randrange(1, 366)}."


def text(chance: random.Random, sentences: int) -> str:
    """Prose in paragraphs."""
    paragraphs = []
    while sentences > 0:
        paragraphs.append(" ".join(sentence(chance) for _ in range(min(4, sentences))))
        sentences -= 4
    return "\n\n".join(paragraphs)


def texts(seed: int, count: int, sentences: int = 12) -> list[str]:
    """Texts with copies, near copies, addresses and another language among them."""
    chance = random.Random(seed)
    found: list[str] = []
    for number in range(count):
        if number % 9 == 5:
            found.append(chance.choice(found))
        elif number % 9 == 7:
            found.append(chance.choice(found) + " " + sentence(chance))
        elif number % 13 == 4:
            found.append(_FOREIGN * 4 + f"Nummer {number}.")
        elif number % 11 == 3:
            found.append(text(chance, sentences) + f"\n\nWrite to reader{number}@harbour-news.com for more.")
        else:
            found.append(text(chance, sentences + chance.randrange(4)))
    return found


def page(content: str, url: str) -> bytes:
    """A WARC record of a page, uncompressed."""
    paragraphs = "".join(f"<p>{part}</p>" for part in content.split("\n\n"))
    html = f"<!doctype html><html><head><title>{url}</title></head><body><main>{paragraphs}</main></body></html>"
    body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + html.encode()
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{url}>\r\nWARC-Date: 2024-03-01T00:00:00Z\r\n"
        f"WARC-Target-URI: {url}\r\nContent-Type: application/http; msgtype=response\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


def write_warc(path: Path, contents: Iterable[str], name: str) -> None:
    """A WARC file, a gzip member for each record."""
    members = (
        gzip.compress(page(content, f"https://{name}.example/{number}"), mtime=0)
        for number, content in enumerate(contents)
    )
    path.write_bytes(b"".join(members))


def write_jsonl(path: Path, contents: Iterable[str]) -> None:
    path.write_text("".join(json.dumps({"text": content, "n": n}) + "\n" for n, content in enumerate(contents)))


def write_corpus(folder: Path, *, seed: int = 1, size: int = 1) -> None:
    """Writes the inputs below `folder`; `size` times as many documents in each file."""
    folder.mkdir(parents=True, exist_ok=True)
    web = texts(seed, 150 * size)
    for number in range(3):
        write_warc(folder / f"crawl-{number}.warc.gz", web[number::3], f"site{number}")
    posts = texts(seed + 1, 120 * size)
    for number in range(2):
        write_jsonl(folder / f"posts-{number}.jsonl", posts[number::2])
    books = pa.table({"text": texts(seed + 2, 60 * size, sentences=30)})
    pq.write_table(books, folder / "books.parquet", row_group_size=10, compression="none")
    notes = folder / "notes"
    notes.mkdir(exist_ok=True)
    for number, content in enumerate(texts(seed + 3, 30 * size)):
        (notes / f"{number:03d}.txt").write_text(content)


def small_recipe(**changes: Any) -> dict[str, Any]:
    """The recipe over these inputs: 23 parts, barriers together and apart, several shards."""
    return {
        "name": "small",
        "seed": 3,
        "split_bytes": 25_000,
        "sources": {
            "web": {
                "paths": ["crawl-*.warc.gz"],
                "stages": [
                    {"language": {"keep": ["en"], "min_score": 0.6}}, "exact_dedup",
                    {"gopher_quality": {"min_words": 20}}, "minhash_dedup", "pii",
                ],
            },
            "posts": {
                "paths": ["posts-0.jsonl", "posts-1.jsonl"],
                "stages": [
                    {"language": {"keep": ["en"], "min_score": 0.6}}, "exact_dedup", "minhash_dedup",
                    {"gopher_quality": {"min_words": 20}}, "pii",
                ],
            },
            "books": {"paths": ["books.parquet"], "stages": ["gopher_quality", "exact_dedup"]},
            "notes": {"paths": ["notes/"], "kind": "text", "stages": ["pii"]},
        },
        "mix": {
            "ratios": {"web": 0.4, "posts": 0.3, "books": 0.2, "notes": 0.1},
            "validation": 0.05,
            "shard_bytes": 30_000,
        },
        **changes,
    }  # fmt: skip


def write_recipe(folder: Path, recipe: Mapping[str, Any], name: str = "recipe.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(dict(recipe), sort_keys=False))
    return path


@contextlib.contextmanager
def quick_folder() -> Iterator[Path]:
    """A folder in memory where there is room: a run syncs hundreds of small files, which costs a disk seconds."""
    memory = Path("/dev/shm")
    roomy = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 500_000_000
    with tempfile.TemporaryDirectory(prefix="corpusmill-test-", dir=memory if roomy else None) as folder:
        yield Path(folder)


COMMAND = (sys.executable, "-m", "corpusmill.pipeline.command")


def corpusmill(*arguments: str | Path, cwd: Path, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    """The real command, run to its end."""
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=cwd, text=True, capture_output=True, timeout=timeout, check=False
    )


@dataclass(frozen=True)
class Result:
    """What a run came to, as far as it must not depend on how the run went."""

    curated: str
    mixed: str
    shards: Mapping[str, str]  # name -> sha256

    @classmethod
    def of(cls, run: Path) -> Result:
        manifest = json.loads((run / "manifest.json").read_text())
        dataset = json.loads((run / "dataset" / "manifest.json").read_text())
        shards = {shard["name"]: shard["sha256"] for shard in dataset["shards"]}
        return cls(manifest["content_hash"], manifest["mix"]["datasets"][0]["content_hash"], shards)


def check_whole(run: Path) -> int:
    """Fails if any file at a final path is partial, or a marker's outputs are not what it says.

    Returns how many files it looked at.
    """
    looked = 0
    for path in run.rglob("*.parquet"):
        pq.ParquetFile(path).read()
        looked += 1
    for path in run.rglob("*.arrow"):
        with pa.ipc.open_file(path) as reader:
            reader.read_all()
        looked += 1
    for marker in markers(run):
        for name, state in json.loads(marker.read_text())["outputs"].items():
            output = Path(os.path.normpath(marker.parent / name))
            # The shards' folder gets its final name when it is complete, a moment before the markers go.
            if output.exists() or ".dataset-" not in name:
                found = sha256_of(output) if isinstance(state, str) else output.stat().st_size
                assert found == state, (marker, name)
        looked += 1
    for path in (*run.glob("*.json"), *run.rglob("published.json")):
        json.loads(path.read_text())
    if (run / "dataset").exists():
        subprocess.run(["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"], cwd=run / "dataset", check=True)
    return looked


def markers(run: Path) -> list[Path]:
    return [*run.glob("*/tasks/*.json"), *run.glob("*/*/tasks/*.json")]


def ledger_rows(run: Path, columns: Sequence[str] = ("id", "verdict", "stage", "reason", "kept_id")) -> list[tuple]:
    """The rows of every source's ledger, sorted."""
    rows: list[tuple] = []
    for path in run.glob("*/ledger/*.parquet"):
        table = pq.read_table(path, columns=list(columns))
        rows += zip(*(table[name].to_pylist() for name in columns), strict=True)
    return sorted(rows, key=str)


@dataclass(frozen=True, kw_only=True)
class PoisonedText(Text):
    """Reads text files, and dies of one called poison.txt as long as a file called `armed` stands beside it."""

    def _take(self, source: SourceFile, gathering: Gathering) -> None:
        path = Path(source.uri)
        if path.name == "poison.txt" and path.with_name("armed").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        super()._take(source, gathering)


@dataclass(frozen=True)
class Hold:
    """An errand that notes its process and then holds the interpreter's lock for ages, as native code may."""

    note: Path
    size: int = 0
    key: str = "hold"

    def run(self) -> dict[str, Any]:
        self.note.write_text(str(os.getpid()))
        re.match("(a+)+b", "a" * 64)
        return {}
