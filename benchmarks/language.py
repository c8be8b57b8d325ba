"""Language identification: our kernels against py3langid, whose model both walk, on the same real texts in one run.

py3langid is called as its documentation says, once for each text (a str), with normalised probabilities. Ours takes
the texts as an Arrow array. Both run in one thread and are timed by its CPU seconds. Prose are whole documents,
mostly English; declarations are the Declaration of Human Rights in 500 languages and variants, many unknown to the
model; sentences are sentences, word pairs and words in 75 languages.

    figure lid_vs_py3langid     how many times as fast on prose
    figure lid_mb_per_s         ours on prose, one core
    figure lid_label_agreement  share of all texts on which both say the same language
"""

from __future__ import annotations

import random
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from harness import Benchmark, race, table
from prose import prose
from py3langid.langid import MODEL_FILE, LanguageIdentifier
from resiliparse.extract.html2text import extract_plain_text
from threadpoolctl import threadpool_limits

from corpusmill.filters import langid

SEED = 2024


def declarations(data: Path) -> list[str]:
    pages = sorted((data / "langid" / "udhr_declarations_html").rglob("*.html"))
    return [extract_plain_text(page.read_text(errors="replace")) for page in pages]


def sentences(data: Path, count: int) -> list[str]:
    lists = sorted((data / "langid" / "lingua_testdata_75lang").rglob("*.txt"))
    lines = [line for path in lists for line in path.read_text().splitlines() if line.strip()]
    return random.Random(SEED).sample(lines, count)


def main() -> None:
    benchmark = Benchmark.from_arguments("language", __doc__)
    data, quick = benchmark.real_data(), benchmark.quick
    corpora = {
        "prose": [text for _, text in prose(data, 2_000_000 if quick else 16_000_000)],
        "declarations": declarations(data)[:: 8 if quick else 1],
        "sentences": sentences(data, 2_000 if quick else 20_000),
    }
    races = {name: measured(texts, rounds=3 if quick else 5) for name, texts in corpora.items()}
    benchmark.figure("lid_vs_py3langid", races["prose"].ratio)
    benchmark.figure("lid_mb_per_s", races["prose"].ours)
    n_texts = sum(len(texts) for texts in corpora.values())
    benchmark.figure("lid_label_agreement", sum(result.same for result in races.values()) / n_texts)
    header = [
        "input",
        "texts",
        "MB",
        "ours, MB/s a core",
        "py3langid, MB/s a core",
        "times as fast",
        "same language",
        "largest Δp",
    ]
    rows = [
        [name, len(texts), r.megabytes, r.ours, r.library, r.ratio, f"{r.same:,} of {len(texts):,}", r.difference]
        for (name, texts), r in zip(corpora.items(), races.values(), strict=True)
    ]
    benchmark.write(["### Language identification against py3langid", table(header, rows)])


@dataclass(frozen=True, slots=True)
class Result:
    """One corpus: MB, MB/s of both, how many times as fast ours is, texts with the same label, and the largest |Δp|."""

    megabytes: float
    ours: float
    library: float
    ratio: float
    same: int
    difference: float


def measured(texts: list[str], rounds: int) -> Result:
    array = pa.array(texts, pa.string())
    library = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    with threadpool_limits(1):  # a second thread of numpy's would cost the library CPU seconds and gain it nothing
        timings = race(
            {
                "ours": lambda: langid.identify(array),
                "py3langid": lambda: [library.classify(text) for text in texts],
            },
            rounds,
            time.process_time,
        )
    languages, scores = langid.identify(array)
    expected = [library.classify(text) for text in texts]
    codes = [langid.model().languages[index] for index in languages]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    return Result(
        megabytes,
        megabytes / timings.median("ours"),
        megabytes / timings.median("py3langid"),
        timings.ratio("py3langid", "ours"),
        sum(code == label for code, (label, _) in zip(codes, expected, strict=True)),
        max(abs(float(score) - p) for score, (_, p) in zip(scores, expected, strict=True)),
    )


if __name__ == "__main__":
    main()
