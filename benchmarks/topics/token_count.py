"""Counting tokens: our kernels beside tiktoken and tokenizers, on the same vocabularies, in CPU seconds of one core.

Three vocabularies of 32,768 tokens are trained on the texts themselves, one for each family of patterns that
mix/pretokens.py knows: GPT-2's, ours (of the family of cl100k_base) and that of o200k_base. tiktoken gets the same
tokens as ranks, and its own pattern where it has one. Texts are prose (mostly English, from seven sources), sentences
in 75 languages in documents of 100 lines, the modules of Python's standard library, and the Stacks project's LaTeX.
Ours begins each round with an empty memory of words, as a worker does once; tokenizers keeps its own.

    figure token_count_mb_per_s            ours on prose with our pattern: MB of UTF-8 a second
    figure token_count_mb_per_s_languages  the same on 75 languages
    figure token_count_mb_per_s_code       the same on code
    figure token_count_vs_tiktoken         prose, GPT-2's pattern: how many times as long tiktoken takes
    figure token_count_vs_tokenizers       prose, our pattern: how many times as long tokenizers takes
    figure token_ids_equal                 share of all texts whose ids are the library's, over the three vocabularies
"""

from __future__ import annotations

import json
import random
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tiktoken
from harness import Benchmark, race, table
from prose import prose
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

from corpusmill.mix.pretokens import CL100K, GPT2, LETTER, MARK, O200K, Pattern, regex_of
from corpusmill.mix.tokens import Tokens, byte_signs, load_tokens

SEED = 7
VOCABULARY = 32_768
_LINES = 100
PATTERNS = {
    "GPT-2": Pattern(family=GPT2),
    "ours": Pattern(family=CL100K, letters=LETTER | MARK, digits=3),
    "o200k": Pattern(family=O200K, digits=3),
}
# How tiktoken states GPT-2's pattern, for speed; it has none for ours, and o200k's is the same.
_TIKTOKEN = {"GPT-2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"}


def inputs(data: Path, n_bytes: int) -> dict[str, list[str]]:
    """Texts of each kind, about so many bytes of each."""
    chance = random.Random(SEED)
    languages = []
    for path in sorted((data / "langid" / "lingua_testdata_75lang" / "sentences").glob("*.txt")):
        lines = path.read_text(encoding="utf-8").splitlines()
        languages += ["\n".join(lines[start : start + _LINES]) for start in range(0, len(lines), _LINES)]
    modules = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("[a-z]*/*.py"))
    code = [path.read_text(errors="replace") for path in modules if "site-packages" not in path.parts]
    latex = [path.read_text(errors="replace") for path in sorted((data / "text").glob("math_stacks*/**/*.tex"))]
    kinds = {"prose": [text for _, text in prose(data, n_bytes)]}
    for name, texts in (("75 languages", languages), ("Python", code), ("LaTeX", latex)):
        chance.shuffle(texts)
        sizes = np.cumsum([len(text.encode()) for text in texts])
        kinds[name] = texts[: int(np.searchsorted(sizes, n_bytes)) + 1]
    return kinds


def trained(pattern: Pattern, texts: list[str], folder: Path) -> str:
    """A tokenizer.json of this pattern."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(regex_of(pattern)), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    path = folder / f"{pattern.family}.json"
    tokenizer.save(str(path))
    return str(path)


def as_tiktoken(path: str, pattern: str) -> Callable[[str], list[int]]:
    """tiktoken with the tokens of a tokenizer.json: their ranks are the order in which they were merged."""
    data = json.loads(Path(path).read_text())
    signs = {sign: byte for byte, sign in enumerate(byte_signs())}
    ranks = {bytes([byte]): byte for byte in range(256)}
    for left, right in data["model"]["merges"]:
        ranks.setdefault(bytes(signs[sign] for sign in left + right), len(ranks))
    return tiktoken.Encoding("same", pat_str=pattern, mergeable_ranks=ranks, special_tokens={}).encode_ordinary


def fresh(tokens: Tokens, texts: pa.Array) -> Callable[[], object]:
    """Counts with an empty memory of words."""

    def run() -> object:
        tokens.forget()
        return tokens.count(texts)

    return run


def mixing(benchmark: Benchmark) -> list[str]:
    """Speed and equality of counts and ids."""
    quick = benchmark.quick
    kinds = inputs(benchmark.real_data(), 150_000 if quick else 5_000_000)
    sizes = {kind: sum(len(text.encode()) for text in texts) / 1e6 for kind, texts in kinds.items()}
    every = [text for texts in kinds.values() for text in texts]
    rows: list[list[object]] = []
    equal = 0
    with tempfile.TemporaryDirectory() as scratch:
        for name, pattern in PATTERNS.items():
            path = trained(pattern, every, Path(scratch))
            tokens = load_tokens(path)
            library: Any = Tokenizer.from_file(path)
            equal += _equal(tokens, library, every)
            core = as_tiktoken(path, _TIKTOKEN.get(name, regex_of(pattern)))
            for kind, texts in kinds.items():
                array = pa.array(texts, pa.string())
                contenders: dict[str, Callable[[], object]] = {
                    "ours": fresh(tokens, array),
                    "tiktoken": lambda texts=texts, core=core: sum(len(core(text)) for text in texts),
                    "tokenizers": lambda texts=texts, library=library: library.encode_batch_fast(texts),
                }
                timings = race(contenders, rounds=2 if quick else 3, clock=time.process_time)
                speeds = [sizes[kind] / timings.median(peer) for peer in contenders]
                rows.append([f"{kind}, {name}", sizes[kind], *speeds])
                if (kind, name) == ("prose", "ours"):
                    benchmark.figure("token_count_mb_per_s", speeds[0])
                    benchmark.figure("token_count_vs_tokenizers", timings.ratio("tokenizers", "ours"))
                elif (kind, name) == ("prose", "GPT-2"):
                    benchmark.figure("token_count_vs_tiktoken", timings.ratio("tiktoken", "ours"))
                elif (kind, name) == ("75 languages", "ours"):
                    benchmark.figure("token_count_mb_per_s_languages", speeds[0])
                elif (kind, name) == ("Python", "ours"):
                    benchmark.figure("token_count_mb_per_s_code", speeds[0])
    benchmark.figure("token_ids_equal", equal / (len(PATTERNS) * len(every)))
    return [
        "### Counting tokens",
        "MB of UTF-8 in a CPU second, from an array of texts to the count of each; vocabularies of 32,768 tokens:",
        table(["texts, pattern", "MB", "ours", "tiktoken", "tokenizers"], rows),
        f"Ids equal to those of tokenizers: {equal:,} of {len(PATTERNS) * len(every):,} texts, the three vocabularies "
        "taken together.",
    ]


def _equal(tokens: Tokens, library: Any, texts: list[str]) -> int:
    """How many texts get the library's ids."""
    ids, offsets = tokens.encode(pa.array(texts, pa.string()))
    same = 0
    for start in range(0, len(texts), 256):
        for row, encoding in enumerate(library.encode_batch_fast(texts[start : start + 256]), start):
            same += np.array_equal(ids[offsets[row] : offsets[row + 1]], encoding.ids)
    return same
