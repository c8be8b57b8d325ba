"""How right the quality score Q is: planted corruption and duplicates, clean text, web pages raw and curated.

Writes docs/quality_score.md.

    figure q_error_corruption   largest |Q - truth| over the paper's own corruption, shares 0 to .5, every set
    figure q_error_duplicates   the same over planted copies, exact and with one word of 50 changed, and over copies of
                                corrupted text
    figure q_error_other        the same over shuffled words, OCR noise and wrong encodings
    figure q_monotone           share of the series in which Q never rises as more is planted
    figure q_clean              lowest Q of the clean sets
    figure q_raw_web            Q of web pages with all their text
    figure q_curated_web        Q of the same pages, extracted, filtered and deduplicated
    figure q_interval_holds     share of samples whose 95 % interval holds the Q of the whole
    figure q_mb_per_s           text scored a second of one core's time, every document measured
"""

from __future__ import annotations

import random
import re
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import islice, pairwise
from pathlib import Path

import corruptors
import numpy as np
import prose
import pyarrow as pa
import yaml
from harness import Benchmark, child_environment, table
from scipy.sparse import csr_matrix
from web_pages import write_pages

from corpusmill.mix.groups import find_groups
from corpusmill.mix.quality_law import LAWS
from corpusmill.mix.quality_score import KINDS, LOSSES, SAMPLE_BYTES, QualityScore, combine
from corpusmill.mix.scoring_rows import Piece, Sampling, write_rows, write_sketch
from corpusmill.pipeline.score_command import score

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "quality_score.md"
TITLE = "# The quality score Q\n\nWritten by benchmarks/quality_score.py.\n"
SHARES = (0.0, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5)
_BATCH = 256
_FALLS = 1e-9
_NEWS_ALIKE = 0.3  # Jaccard similarity of 3-grams from which two reports are not both taken
_WEB_STAGES = [
    {"language": {"keep": ["en", "de", "fr", "es", "pl", "ru", "el", "zh"], "min_score": 0.65}},
    "gopher_repetition",
    {
        "gopher_quality": {
            "min_stop_words": 0,
            "min_mean_word_length": 1,
            "min_alphabetic_tokens": None,
            "min_alphabetic_words": 0.8,
        }
    },
    {"c4": {"require_terminal_punctuation": False, "min_sentences": 3}},
    {"c4_lines": {"require_terminal_punctuation": False}},
    "fineweb_quality",
    "exact_dedup",
    "minhash_dedup",
    "repeated_lines",
]

Texts = list[str]


def scored(texts: Sequence[str], share: float = 1.0) -> QualityScore:
    """The score of some texts, or of a sample of them, as that of a file."""

    def pieces() -> Iterator[Piece]:
        for start in range(0, len(texts), _BATCH):
            some = pa.array(texts[start : start + _BATCH], pa.string())
            yield Piece(texts=some, id_hash=np.arange(start, start + len(some), dtype=np.uint64))

    with tempfile.TemporaryDirectory() as name:
        folder, groups = Path(name), None
        if share < 1:
            groups = folder / "groups"
            write_sketch(pieces(), folder / "sketch")
            find_groups([folder / "sketch"], groups, folder)
        write_rows(pieces(), folder / "rows", Sampling(share=share), "bytes", groups)
        return combine([folder / "rows"])


def size(texts: Sequence[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def without_copies(texts: Sequence[str]) -> Texts:
    """The texts without those like another one: exact Jaccard similarity of all pairs, no hashing of ours."""
    numbers: dict[tuple[str, ...], int] = {}
    rows, columns = [], []
    for row, text in enumerate(texts):
        words = re.findall(r"\w+", text.lower())
        for gram in set(zip(words, words[1:], words[2:], strict=False)):
            rows.append(row)
            columns.append(numbers.setdefault(gram, len(numbers)))
    sets = csr_matrix((np.ones(len(rows), np.int32), (rows, columns)), (len(texts), max(1, len(numbers))))
    sizes = np.asarray(sets.sum(axis=1)).ravel()
    shared = (sets @ sets.T).tocoo()
    alike = shared.data >= _NEWS_ALIKE * (sizes[shared.row] + sizes[shared.col] - shared.data)
    dropped = np.unique(shared.row[alike & (shared.row > shared.col)])
    return [text for row, text in enumerate(texts) if row not in set(dropped.tolist())]


def with_words_changed(text: str, chance: random.Random, vocabulary: Sequence[str], every: int) -> str:
    """`text` with one word of so many replaced, at least one."""
    parts = re.split(r"(\s+)", text)
    for place in chance.sample(range(0, len(parts), 2), max(1, len(parts) // 2 // every)):
        parts[place] = chance.choice(vocabulary)
    return "".join(parts)


def with_copies(
    texts: Sequence[str], share: float, spoil: Callable[[str, random.Random], str]
) -> tuple[Texts, list[int]]:
    """The texts with copies of some of them, about this share of all bytes, and which are their originals."""
    chance, copies, originals = random.Random(5), [], []
    wanted, have = size(texts) * share / (1 - share), 0
    while have < wanted:
        originals.append(chance.randrange(len(texts)))
        copies.append(spoil(texts[originals[-1]], chance))
        have += len(copies[-1].encode())
    return [*texts, *copies], originals


# Calibration.

Series = Iterator[tuple[float, Texts, float]]
"""Share planted, texts, and the share of their bytes that is neither corrupted nor a copy."""


def corruption_series(texts: Texts, corruptor: corruptors.Corruptor, shares: Sequence[float]) -> Series:
    for share in shares:
        spoilt, touched = corruptors.corrupted(texts, share, corruptor)
        bad = size([text for text, hit in zip(spoilt, touched, strict=True) if hit])
        yield share, spoilt, 1 - bad / size(spoilt)


def copy_series(texts: Texts, spoil: Callable[[str, random.Random], str], shares: Sequence[float]) -> Series:
    for share in shares:
        everything, _ = with_copies(texts, share, spoil)
        yield share, everything, size(texts) / size(everything)


def both_series(
    texts: Texts,
    corruptor: corruptors.Corruptor,
    shares: Sequence[float],
    spoil: Callable[[str, random.Random], str] = lambda text, chance: text,
) -> Series:
    """A share is corrupted, then copies are made of whatever there is, half of as large a share."""
    for share in shares:
        spoilt, touched = corruptors.corrupted(texts, share, corruptor)
        everything, _ = with_copies(spoilt, share / 2, spoil)
        good = size([text for text, hit in zip(spoilt, touched, strict=True) if not hit])
        yield share, everything, good / size(everything)


def planted(benchmark: Benchmark) -> list[str]:
    sets = clean(benchmark)
    shares = (0.0, 0.3) if benchmark.quick else SHARES
    tokenizer = corruptors.byte_level_bpe([text for texts in sets.values() for text in texts])
    kinds: dict[str, tuple[str, Callable[[Texts], Series]]] = {
        "half of the tokens random": (
            "corruption",
            lambda texts: corruption_series(texts, corruptors.random_tokens(tokenizer), shares),
        ),
        "exact copies": ("duplicates", lambda texts: copy_series(texts, lambda text, chance: text, shares)),
        "copies, one word of 50 changed": (
            "duplicates",
            lambda texts: copy_series(texts, _changing(texts, 50), shares),
        ),
        "random tokens, and copies of all": (
            "duplicates",
            lambda texts: both_series(texts, corruptors.random_tokens(tokenizer), shares),
        ),
        "words shuffled": ("other", lambda texts: corruption_series(texts, corruptors.shuffled, shares)),
        "OCR noise": ("other", lambda texts: corruption_series(texts, corruptors.ocr_noise(), shares)),
        "wrong encodings": ("other", lambda texts: corruption_series(texts, corruptors.wrongly_encoded, shares)),
        "words shuffled, and near copies of all": (
            "other",
            lambda texts: both_series(texts, corruptors.shuffled, shares, _changing(texts, 50)),
        ),
        "copies, one word of 20 changed": ("", lambda texts: copy_series(texts, _changing(texts, 20), shares)),
    }
    errors: dict[str, list[float]] = {"corruption": [], "duplicates": [], "other": [], "": []}
    falling, rows = [], []
    for title, (group, series) in kinds.items():
        for name, texts in sets.items():
            cells, found = [], []
            for _, planted, truth in series(texts):
                result = scored(planted)
                found.append(result.q)
                errors[group].append(abs(result.q - truth))
                cells.append(f"{result.q:.3f} ({result.q - truth:+.3f})")
            falling.append(all(later <= earlier + _FALLS for earlier, later in pairwise(found)))
            rows.append([title, name, *cells])
            print(f"{title}, {name}: {' '.join(cells)}", file=sys.stderr, flush=True)
    benchmark.figure("q_error_corruption", max(errors["corruption"]))
    benchmark.figure("q_error_duplicates", max(errors["duplicates"]))
    benchmark.figure("q_error_other", max(errors["other"]))
    benchmark.figure("q_monotone", sum(falling) / len(falling))
    return [
        "## Planted corruption and copies",
        "Q, and in brackets how far it is from the truth: the share of the bytes that is neither corrupted nor "
        "a copy. "
        "Nothing is subtracted for what the clean sets lose themselves. The columns are the share planted: of the "
        "documents' bytes that are corrupted, or of all bytes that are copies; in the row on both, so much is "
        "corrupted "
        "and half as much are copies, of sound and of corrupted text. The corruptors are in "
        "benchmarks/corruptors.py; "
        "random tokens are those of a byte-level BPE of 32,000 that was trained on the clean sets.",
        table(["planted", "in", *(f"{share:g}" for share in shares)], rows),
        f"Largest errors: the paper's corruption {max(errors['corruption']):.3f}, copies "
        f"{max(errors['duplicates']):.3f}"
        f", shuffled words, OCR noise and wrong encodings {max(errors['other']):.3f}; of copies with one word of 20 "
        f"changed, which are not among those, {max(errors['']):.3f}. Of {len(falling)} series, {sum(falling)} "
        f"never rise.",
    ]


def _changing(texts: Texts, every: int) -> Callable[[str, random.Random], str]:
    vocabulary = sorted({word for text in texts[:200] for word in text.split()})
    return lambda text, chance: with_words_changed(text, chance, vocabulary, every)


# Clean text, and other kinds.


def clean_text(benchmark: Benchmark) -> list[str]:
    """What the clean sets lose, and what news lose as they are."""
    scores = {name: scored(texts) for name, texts in clean(benchmark).items()}
    benchmark.figure("q_clean", min(score.q for score in scores.values()))
    whole = scored(corruptors.clean_texts(benchmark.real_data())["news"])
    return [
        "## Clean text",
        "Pages of books, articles of Wikipedia (WikiText-2), and news of Reuters, which sends reports twice, corrected "
        f"or brought up to date: as they are, Q is {whole.q:.3f}, of which exact copies lose "
        f"{whole.lost['duplicates']:.3f}, near copies {whole.lost['near_duplicates']:.3f} and shared passages "
        f"{whole.lost['overlap']:.3f}. So the clean set has one report of each pair whose 3-grams are alike by "
        f"{_NEWS_ALIKE:g}, found by comparing all pairs exactly.",
        _losses_table({name: (clean(benchmark)[name], score) for name, score in scores.items()}),
    ]


def other_kinds(benchmark: Benchmark) -> list[str]:
    """What other real texts lose: nobody knows the truth, and every reader can look."""
    realdata = benchmark.real_data()
    some = 120 if benchmark.quick else 4000
    stdlib = Path(sysconfig.get_path("stdlib"))
    code = [path for path in sorted(stdlib.rglob("*.py")) if not {"site-packages", "test", "tests"} & set(path.parts)]
    kinds = {
        "Python's standard library": [path.read_text("utf-8", "replace") for path in code[:some]],
        "Stacks project, LaTeX": [
            text[start : start + 20_000]
            for path in prose._files(realdata, "text/math_stacks_project_latex", "*.tex")
            for text in [path.read_text("utf-8", "replace")]
            for start in range(0, len(text), 20_000)
        ][:some],
        "German laws": [
            path.read_text("utf-8", "replace")
            for path in prose._files(realdata, "text/german_federal_laws_md", "*/*/*.md")[: some // 4]
        ],
        "newsgroups": [text for _, text in islice(prose._posts(realdata), some)],
        "forum posts": [text for _, text in islice(prose._forums(realdata), some)],
        "web articles, five languages": [text for _, text in islice(prose._web(realdata), some)],
        "film reviews": [
            path.read_text("latin-1")
            for path in prose._files(realdata, "text/reuters21578_webtext_speeches", "movie_reviews/*/*")[:some]
        ],
    }
    found = {name: ([text for text in texts if text.strip()], None) for name, texts in kinds.items()}
    return [
        "## Other kinds of text",
        _losses_table({name: (texts, scored(texts)) for name, (texts, _) in found.items()}),
    ]


def _losses_table(found: dict[str, tuple[Texts, QualityScore]]) -> str:
    shown = [loss for loss in LOSSES if any(score.lost[loss] >= 0.0005 for _, score in found.values())]
    rows = [
        [
            name,
            len(texts),
            f"{size(texts) / 1e6:.1f}",
            f"{score.q:.3f}",
            *(f"{100 * score.lost[loss]:.2f}" for loss in shown),
        ]
        for name, (texts, score) in found.items()
    ]
    return table(["text", "documents", "MB", "Q", *(f"{loss.replace('_', ' ')} %" for loss in shown)], rows)


def _some(texts: Sequence[str], most: int) -> Texts:
    """Every so many of the texts, with about `most` bytes."""
    return list(texts[:: max(1, -(-size(texts) // most))])


# Web pages.


def web(benchmark: Benchmark) -> list[str]:
    with tempfile.TemporaryDirectory() as scratch:
        return _web(benchmark, Path(scratch))


def _web(benchmark: Benchmark, scratch: Path) -> list[str]:
    pages = 300 if benchmark.quick else 2900
    write_pages(benchmark.real_data(), {pages: scratch / "warc"}, 2)
    source = {"paths": [str(scratch / "warc")], "kind": "warc"}
    runs = {
        "all text of the pages": {**source, "extract": {"engine": "resiliparse_all"}, "stages": []},
        "main content": {**source, "stages": []},
        "main content, filtered and deduplicated": {**source, "stages": _WEB_STAGES},
    }
    rows, scores = [], []
    for number, (title, web_source) in enumerate(runs.items()):
        recipe = scratch / f"recipe{number}.yaml"
        recipe.write_text(
            yaml.safe_dump({"name": f"run{number}", "runs": str(scratch / "runs"), "sources": {"web": web_source}})
        )
        subprocess.run(
            [sys.executable, "-m", "corpusmill.pipeline.command", "run", str(recipe), "--workers", "2"],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=child_environment(),
        )  # fmt: skip
        told = score([str(scratch / "runs" / f"run{number}" / "web" / "curated")])
        scores.append(told["q"])
        rows.append([title, told["documents"], f"{told['tokens'] / 1e6:.1f}", f"{told['q']:.3f}",
                     *(f"{100 * told[loss]:.2f}" for loss in LOSSES)])  # fmt: skip
    benchmark.figure("q_raw_web", scores[0])
    benchmark.figure("q_curated_web", scores[-1])
    head = ["", "documents", "MB", "Q", *(f"{loss.replace('_', ' ')} %" for loss in LOSSES)]
    return [
        "## Web pages, raw and curated",
        f"{pages:,} pages of six languages, with what `corpusmill run` makes of them.",
        table(head, rows),
    ]


# Samples and costs.


def samples(benchmark: Benchmark) -> list[str]:
    """How well a tenth of a mixture tells the whole: several mixtures, as one has one sample alone."""
    sets = clean(benchmark)
    tokenizer = corruptors.byte_level_bpe([text for texts in sets.values() for text in texts][:500], 8_000)
    mixtures = 1 if benchmark.quick else 10
    held, rows = 0, []
    for number in range(mixtures):
        texts = [text for some in sets.values() for text in some[number % 2 :: 2]]
        spoilt, _ = corruptors.corrupted(texts, 0.1, corruptors.random_tokens(tokenizer), seed=number)
        texts, _ = with_copies(spoilt, 0.05 + 0.02 * number, _changing(spoilt, 50))
        # The sample goes by the texts: another word in front of each makes it another sample.
        texts = [f"{number} {text}" for text in texts]
        whole, some = scored(texts), scored(texts, 0.1)
        low, high = some.low or 0.0, some.high or 1.0
        holds = low <= whole.q <= high
        held += holds
        rows.append([number + 1, f"{whole.q:.4f}", f"{some.q:.4f}", f"{low:.4f} to {high:.4f}",
                     "yes" if holds else "no"])  # fmt: skip
    benchmark.figure("q_interval_holds", held / mixtures)
    texts = [text for some in sets.values() for text in some]
    begun = time.process_time()
    scored(texts)
    speed = size(texts) / 1e6 / (time.process_time() - begun)
    benchmark.figure("q_mb_per_s", speed)
    return [
        "## Samples",
        "A tenth of the documents, of mixtures of the clean sets with random tokens in a tenth of the documents "
        "and copies with one word of 50 changed. A sample judges corruption by its own words alone, so it also errs "
        "where it has too few; the interval knows only of which documents came into it.",
        table(["mixture", "Q of all", "Q of a tenth", "95 % interval", "holds"], rows),
        f"Scoring every document takes {1000 / speed:.0f} ms of one core for a MB of text ({speed:.0f} MB/s). "
        f"Of more than {SAMPLE_BYTES / 1e6:.0f} MB a sample is measured, so beyond that the cost is reading and "
        "hashing.",
    ]


def definition(benchmark: Benchmark) -> list[str]:
    kinds = ", ".join(kind.replace("_", " ") for kind in KINDS)
    worth = "; ".join(f"{law.name} β {law.beta:g}, γ {law.gamma:g}, so D·Q^{law.gamma / law.beta:.3g}" for law in LAWS)
    return [
        "## What Q is",
        "Q is the share of a dataset's tokens that are neither corrupted nor redundant (Subramanyam, Chen and "
        "Grossman 2025, arXiv:2510.03313). `corpusmill score DATASET` prints it for a dataset of ours or any Parquet "
        "or JSONL, whole or on a sample with a 95 % interval; `corpusmill run` and `mix` put it into the dataset's "
        "card and manifest.",
        "Every token is lost at most once, in this order: repeated passes (worth less, by the decay of Muennighoff "
        "et al. 2023), exact duplicates, near duplicates (half of the 3-grams in common, by MinHash), corruption "
        f"({kinds}), lines that many documents have, runs of 13 words that the document had before, and runs that "
        "another document has. Tokens are weighed by the count column, or are bytes.",
        "The paper has two estimators. `Q = 1 − CR` is the one above. `Q = exp(−Δ)`, with Δ = μ1·noise + μ2/coverage "
        "+ μ3·redundancy + μ4·synthetic share, has no published weights. Ours are μ1 = μ3 = 1, with noise the share "
        "lost to corruption and redundancy the share lost to it, so that both agree to first order; coverage and "
        "synthetic share are not measured.",
        f"What Q is worth in tokens, by the paper's Huber fits: {worth} (mix/quality_law.py).",
    ]


def limits(benchmark: Benchmark) -> list[str]:
    return [
        "## What Q does not see",
        "- Whether text is true, useful, well written or worth learning: a dull or wrong sentence counts as sound.",
        "- Paraphrases, translations and text of models: redundancy is of words in a row.",
        "- Corruption that most of a language's documents share: what is usual is learnt from the dataset itself, so "
        "a dataset that is garbled throughout looks usual, and so does one language that is. Datasets of less than "
        "half a megabyte, and languages and kinds with fewer than some forty pages, have too little to compare with; "
        "only wrong characters, boilerplate and broken ends are seen there.",
        "- Sound words that no other document has from unsound ones, where there are many: in small sets, and in "
        "text full of names and compounds, part of it counts as garbled, as German laws and newsgroups show above.",
        "- Copies of which less than half of the 3-grams are left, but for passages of 13 words and more.",
        "- That a second source says the same as a first one that is not in the dataset.",
        "- Which part of legal text, tables, logs and code must repeat: it is counted as redundant all the same, as "
        "the table of other kinds shows. Compare Q between datasets of one kind.",
    ]


def clean(benchmark: Benchmark) -> dict[str, Texts]:
    """The clean sets: of each text at most so much, evenly taken, and of news nothing twice."""
    return _clean(benchmark.real_data(), 2_000_000 if benchmark.quick else 6_000_000)


@lru_cache(maxsize=1)
def _clean(realdata: Path, most: int) -> dict[str, Texts]:
    everything = corruptors.clean_texts(realdata)
    everything["news"] = without_copies(everything["news"])
    return {name: _some(texts, most) for name, texts in everything.items()}


TOPICS: dict[str, Callable[[Benchmark], list[str]]] = {
    "definition": definition,
    "clean": clean_text,
    "planted": planted,
    "web": web,
    "kinds": other_kinds,
    "samples": samples,
    "limits": limits,
}


def main() -> None:
    given = Benchmark.from_arguments("quality_score", __doc__, topics=tuple(TOPICS))
    benchmark = Benchmark(name=given.name, quick=given.quick, data=given.data, document=DOCUMENT, title=TITLE)
    benchmark.real_data()
    for topic in given.only or TOPICS:
        benchmark.write(TOPICS[topic](benchmark), topic)


if __name__ == "__main__":
    main()
