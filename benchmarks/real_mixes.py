"""Real mixes for the benchmarks: the inputs of mixes.yaml, the command that mixes them, and checks of a dataset.

The checks know nothing of how the mix was made. They read the files as a trainer does: rows in the order of the shards.
"""

from __future__ import annotations

import atexit
import html
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from harness import child_environment
from numpy.typing import NDArray
from scipy import stats

from corpusmill.dedup.shingles import shingles_of
from corpusmill.documents.batch import TextBatch
from corpusmill.pipeline.content.mathml import math_as_text

RECIPE = Path(__file__).with_name("mixes.yaml")
QUICK = {
    "web": "['${REALDATA}/warc/pages.warc.gz']",
    "news": "['${REALDATA}/text/reuters21578_webtext_speeches/reuters/test/[0-9]*']",
    "forum": "['${REALDATA}/text/newsgroups20_bydate/*test*/**/[0-9]*']",
    "law": "['${REALDATA}/text/german_federal_laws_md/[a-c]/**/*.md']",
}
"""Inputs that have to do where it has to be quick."""
SIMILAR = 0.75
"""Jaccard similarity from which two documents must not be in two splits."""
_SECTION = re.compile(r"^(?=\\section\{)", re.MULTILINE)
_COMMON = 1_000  # documents for validation with a shingle; a commoner one is a template's and proposes no pair


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where the sources lie curated; removed with the process.

    realdata   the folder of the real data
    folder     of inputs, tokenizer and run
    quick      whether a part of the inputs has to do
    """

    realdata: Path
    folder: Path
    quick: bool

    def mix(self, options: Mapping[str, Any], name: str, *, workers: int = 2, fresh: bool = False) -> Path:
        """Mixes the sources, and returns the folder of the dataset; `fresh`: counts everything again."""
        more = ["--out", str(self.folder / name), *(["--no-resume"] if fresh else [])]
        _run(self.command("mix", options, *more, workers=workers), self.environment)
        return self.folder / name

    def command(self, verb: str, options: Mapping[str, Any], *more: str, workers: int = 2) -> list[str]:
        """`corpusmill run` or `mix` with the recipe and other values of its mix."""
        chosen = {"tokenizer": str(self.tokenizer), **options}
        sets = [argument for key, value in chosen.items() for argument in ("--set", f"mix.{key}={json.dumps(value)}")]
        python = [sys.executable, "-m", "corpusmill.pipeline.command", verb, str(RECIPE)]
        if self.quick:
            sets += [
                argument for source, paths in QUICK.items() for argument in ("--set", f"sources.{source}.paths={paths}")
            ]
        return [*python, "--runs", str(self.folder / "runs"), "--workers", str(workers), *more, *sets]

    @property
    def environment(self) -> dict[str, str]:
        return child_environment() | {"REALDATA": str(self.realdata), "WORK": str(self.folder)}

    @property
    def tokenizer(self) -> Path:
        return self.folder / "tokenizer.json"

    def curated(self) -> dict[str, list[Path]]:
        """The parts of each source."""
        found: dict[str, list[Path]] = {}
        for path in sorted((self.folder / "runs" / "mixes").glob("*/curated/*.parquet")):
            found.setdefault(path.parent.parent.name, []).append(path)
        return found

    def units(self) -> dict[str, NDArray[np.int64]]:
        """Of every document by source, as the last mix counted them; sources without a share were not counted."""
        placed = self.folder / "runs" / "mixes" / "mix" / "placed"
        return {
            source: np.concatenate(
                [pq.read_table(placed / source / path.name, columns=["units"])["units"].to_numpy() for path in parts]
            )
            for source, parts in self.curated().items()
            if (placed / source).exists()
        }


@cache
def workplace(realdata: Path, *, quick: bool) -> Workplace:
    """The sources of mixes.yaml, curated; once for all topics that run in this process."""
    scratch = tempfile.TemporaryDirectory(prefix="mixes-")
    atexit.register(scratch.cleanup)
    place = Workplace(realdata, Path(scratch.name), quick)
    prepare(realdata, place.folder, quick=quick)
    vocabulary, training_bytes = (4_000, 2_000_000) if quick else (32_000, 20_000_000)
    train_tokenizer(realdata, place.folder, vocabulary, training_bytes)
    _run(place.command("run", {}), place.environment)
    return place


def prepare(realdata: Path, work: Path, *, quick: bool) -> None:
    """Puts the inputs of mixes.yaml that are not there as they are wanted into `work`; of code, the tests are left out
    where it has to be quick, and of mathematics most modules."""
    library = Path(sysconfig.get_path("stdlib"))
    unwanted = ["site-packages", "dist-packages", "__pycache__", "*.so", "*.a", "*.exe", *(["test*"] if quick else [])]
    ignored = shutil.ignore_patterns(*unwanted)
    shutil.copytree(library, work / "code", ignore=ignored)
    (work / "math").mkdir()
    for path in sorted((realdata / "text" / "math_stacks_project_latex").rglob("*.tex")):
        for number, section in enumerate(_SECTION.split(path.read_text("utf-8", "replace"))):
            (work / "math" / f"{path.stem}-{number:03}.tex").write_text(section)
    modules = sorted((realdata / "text" / "math_openstax_calculus_cnxml").rglob("index.cnxml"))
    for path in modules[:10] if quick else modules:
        (work / "math" / f"{path.parent.name}.txt").write_text(text_of_cnxml(path.read_text()))


def text_of_cnxml(markup: str) -> str:
    """An OpenStax module as text, its formulas as LaTeX."""
    body = re.sub(r"<metadata\b.*?</metadata>", "", math_as_text(markup), flags=re.DOTALL)
    lines = re.sub(
        r"</?(?:para|section|title|item|list|exercise|problem|solution|note|example|figure)\b", "\n\n<", body
    )
    text = html.unescape(re.sub(r"<[^>]*>", "", lines))
    return re.sub(r"\n\s*\n", "\n\n", re.sub(r"[ \t]+", " ", text)).strip() + "\n"


def train_tokenizer(realdata: Path, work: Path, vocabulary: int, training_bytes: int) -> None:
    """A byte-level BPE of as many tokens, from an equal part of each kind of text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    folders = {
        "*.md": realdata / "text" / "books_classic_markdown_a",
        "[0-9]*": realdata / "text" / "newsgroups20_bydate",
        "*.py": work / "code",
        "*.tex": work / "math",
        "*/*.md": realdata / "text" / "german_federal_laws_md",
    }

    def texts() -> Iterator[str]:
        for pattern, folder in folders.items():
            size = 0
            for path in sorted(folder.rglob(pattern)):
                if size < training_bytes // len(folders) and path.is_file():
                    text = path.read_text("utf-8", "replace")[:50_000]
                    size += len(text)
                    yield text

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    tokenizer.save(str(work / "tokenizer.json"))


def _run(arguments: Sequence[str], variables: Mapping[str, str]) -> None:
    ran = subprocess.run(arguments, env=dict(variables), capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise SystemExit(f"{' '.join(arguments)}\nended with {ran.returncode}:\n{ran.stderr[-4000:]}")


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a trainer reads of the train split, without the texts.

    names       of the components
    components  of each row in order, a number
    units       of each row
    """

    folder: Path
    manifest: dict[str, Any]
    names: list[str]
    components: NDArray[np.int64]
    units: NDArray[np.int64]

    @classmethod
    def read(cls, folder: Path) -> Dataset:
        shards = _shards(folder, "train")
        columns = pq.read_schema(shards[0]).names
        count = next(name for name in columns if name.startswith("n_"))
        component = "component" if "component" in columns else "source"
        rows = pa.concat_tables([pq.read_table(shard, columns=[component, count]) for shard in shards])
        numbered = rows.column(component).cast(pa.string()).combine_chunks().dictionary_encode()
        return cls(
            folder=folder,
            manifest=json.loads((folder / "manifest.json").read_text()),
            names=numbered.dictionary.to_pylist(),
            components=numbered.indices.to_numpy().astype(np.int64),
            units=rows.column(count).to_numpy().astype(np.int64),
        )

    @property
    def asked(self) -> dict[str, dict[str, Any]]:
        """What the manifest says of each component, the largest share first."""
        entries = sorted(self.manifest["components"], key=lambda entry: (-entry["ratio"], entry["component"]))
        return {entry["component"]: entry for entry in entries}

    def counted(self, name: str) -> tuple[int, int, int]:
        """Units, rows and the units of the longest document of a component, as the rows have them."""
        own = self.units[self.components == self.names.index(name)] if name in self.names else self.units[:0]
        return int(own.sum()), len(own), int(own.max(initial=0))

    def errors(self) -> tuple[float, float]:
        """How far the share of a component is from what was asked, at most: in percentage points, and in documents, the
        longest of the component."""
        total = int(self.units.sum())
        points = documents = 0.0
        for name, entry in self.asked.items():
            units, _, longest = self.counted(name)
            points = max(points, 100 * abs(units / total - entry["ratio"]))
            documents = max(documents, abs(units - entry["asked"]) / longest)
        return points, documents

    def windows_p(self, windows: int = 64) -> float:
        """The chance of counts in windows of rows that differ as much, if every row's place is drawn at random."""
        bounds = np.linspace(0, len(self.components), windows + 1).astype(np.int64)
        kinds = int(self.components.max()) + 1
        counts = np.array([np.bincount(self.components[a:b], minlength=kinds) for a, b in pairwise(bounds)])
        return float(stats.chi2_contingency(counts).pvalue) if kinds > 1 else 1.0


def in_two_splits(folder: Path) -> tuple[int, int, int]:
    """Ids that are both in train and validation; pairs of documents, one of each, that are similar; and the pairs whose
    similarity was found out, exactly: all that share a shingle which is not a template's."""
    held = pa.concat_tables([pq.read_table(path, columns=["id", "text"]) for path in _shards(folder, "validation")])
    held_ids = set(held.column("id").to_pylist())
    sizes, hashes, owners = _sets(held.column("text").to_pylist())
    order = np.argsort(hashes, kind="stable")
    hashes, owners = hashes[order], owners[order]
    twice: set[str] = set()
    seen: set[str] = set()
    similar = compared = 0
    for path in _shards(folder, "train"):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(512, columns=["id", "text"]):
                ids = batch.column("id").to_pylist()
                twice.update(held_ids.intersection(ids))
                new = [row for row, identity in enumerate(ids) if identity not in seen]  # each pass repeats documents
                seen.update(ids)
                found = _similarities(batch.column("text").take(pa.array(new, pa.int64())), hashes, owners, sizes)
                compared += len(found)
                similar += int((found >= SIMILAR).sum())
    return len(twice), similar, compared


def _sets(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.int64]]:
    """How many different shingles each text has, all of them, and whose each is."""
    shingles = shingles_of(TextBatch.of_texts(texts), 5, False)
    sets = [np.unique(own) for own in np.split(shingles.hashes, shingles.firsts[1:-1])]
    sizes = np.array([len(own) for own in sets], np.int64)
    return sizes, np.concatenate(sets), np.repeat(np.arange(len(sets)), sizes)


def _similarities(
    texts: pa.StringArray, hashes: NDArray[np.uint64], owners: NDArray[np.int64], sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Of all pairs of one of the texts and one of the sets that share a shingle."""
    if len(texts) == 0:
        return np.empty(0)
    own_sizes, own, rows = _sets(texts.to_pylist())
    first, last = np.searchsorted(hashes, own, side="left"), np.searchsorted(hashes, own, side="right")
    counts = np.where(last - first <= _COMMON, last - first, 0)
    places = np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
    pairs, shared = np.unique(np.repeat(rows, counts) * len(sizes) + owners[places], return_counts=True)
    one, two = np.divmod(pairs, len(sizes))
    return shared / (own_sizes[one] + sizes[two] - shared)


def _shards(folder: Path, split: str) -> list[Path]:
    return sorted(folder.glob(f"data/{split}-*.parquet"))
