"""Perplexity: what it tells apart, that KenLM computes the same, and how fast both are.

The model is trained on public-domain books and a little Wikipedia (the validation part of WikiText-2). The texts that
it ranks are of whole sources that it never saw (those of tools/train_default_quality.py), the test part of WikiText-2,
and spam. A pair's ROC AUC is the chance that a text of
the good source has a lower perplexity than one of the bad. `shuffled` are the good source's own texts with the words of
each in random order, which no bag of words can tell from them.

    figure perplexity_auc               mean ROC AUC over all pairs of a good and a bad source
    figure perplexity_auc_shuffled      mean ROC AUC of good texts against themselves shuffled
    figure perplexity_kenlm_difference  largest |Δ log10 p| between KenLM, reading our ARPA file, and us, of any word
    figure perplexity_mb_per_s          text to perplexity, one core, segmentation included
    figure perplexity_vs_kenlm          how many times as fast as KenLM through Python on lines that are words already
    figure perplexity_vs_kenlm_text     the same where KenLM begins with the text, too: CCNet's normalisation, words
    figure perplexity_train_mb_per_s    reference text to model
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import mean

import numpy as np
import pyarrow as pa
from harness import Benchmark, Timings, shortened, table
from numpy.typing import NDArray
from peers_venv import peers_environment, peers_python
from resiliparse.extract.html2text import extract_plain_text
from sklearn.metrics import roc_auc_score

from corpusmill.documents.batch import TextBatch
from corpusmill.filters.ngram_model import LanguageModel, write_arpa
from corpusmill.filters.perplexity import measured_by
from corpusmill.filters.perplexity_training import train_perplexity

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "train_default_quality.py"
PEER = Path(__file__).resolve().parents[1] / "peer_kenlm.py"
SEED = 2020
_HELD_OUT = 8  # of so many books, one is not learned from


def accuracy(benchmark: Benchmark) -> list[str]:
    """The table of AUC, and KenLM's agreement."""
    data, quick = benchmark.real_data(), benchmark.quick
    learned, _ = books(data, 3_000_000 if quick else None)
    learned.append(_wikitext(data, "valid"))
    with tempfile.TemporaryDirectory() as name, trained(learned) as model:
        good, bad = _sources(data, Path(name), most=40 if quick else 500)
        auc = {
            pair: _auc(_perplexities(model, good[pair[0]]), _perplexities(model, bad[pair[1]]))
            for pair in ((one, other) for one in good for other in bad)
        }
        chance = random.Random(SEED)
        shuffled = {
            one: _auc(_perplexities(model, texts), _perplexities(model, [_shuffled(text, chance) for text in texts]))
            for one, texts in good.items()
        }
        benchmark.figure("perplexity_auc", mean(auc.values()))
        benchmark.figure("perplexity_auc_shuffled", mean(shuffled.values()))
        difference, n_words, n_lines = _difference(model, _wikitext(data, "test"), Path(name), quick=quick)
        benchmark.figure("perplexity_kenlm_difference", difference)
        return [
            "### Perplexity",
            f"ROC AUC of `perplexity` by a model of books and a little Wikipedia ({model.facts['bytes'] / 1e6:.0f} MB, "
            f"order 5), lower being better: mean {mean(auc.values()):.3f}, worst {min(auc.values()):.3f}. The model "
            "has seen none of these sources but, of `wikitext`, other articles: how far that row is from the others is "
            "what a reference of the right kind is worth. Overheard talk (`chatter`) and spam are prose, and a model "
            "of books has no reason to find them strange.",
            table(
                ["good \\ bad", "median perplexity", *bad, "shuffled"],
                [
                    [
                        one,
                        float(np.median(_perplexities(model, good[one]))),
                        *(f"{auc[one, other]:.3f}" for other in bad),
                        f"{shuffled[one]:.3f}",
                    ]
                    for one in good
                ]
                + [["median perplexity", "", *(float(np.median(_perplexities(model, t))) for t in bad.values()), ""]],
            ),
            f"KenLM 0.3.0 reads the model's ARPA file and gives the same log10 probability to each of {n_words:,} "
            f"words and line ends in {n_lines:,} lines of WikiText-2: the largest difference is "
            f"{shortened(difference)}.",
        ]


def speed(benchmark: Benchmark) -> list[str]:
    """Training, and scoring beside KenLM."""
    data, quick = benchmark.real_data(), benchmark.quick
    rounds = 3 if quick else 7
    learned, held_out = books(data, 2_000_000 if quick else None)
    held_out = [text[: 200_000 if quick else None] for text in held_out[: 2 if quick else None]]
    with trained(["a b"]):
        pass  # compiles
    begun = time.process_time()
    with tempfile.TemporaryDirectory() as name, trained(learned) as model:
        training = time.process_time() - begun
        rows = []
        for what, texts in (("books, held out", held_out), ("WikiText-2", [_wikitext(data, "test")])):
            timings = _raced(model, texts, Path(name), rounds)
            size = sum(len(text.encode()) for text in texts) / 1e6
            ours = size / timings.median("ours")
            against = timings.ratio("lines", "ours"), timings.ratio("documents", "ours")
            rows.append(
                [what, size, ours, size / timings.median("lines"), size / timings.median("documents"), *against]
            )
        benchmark.figure("perplexity_mb_per_s", rows[0][2])
        benchmark.figure("perplexity_vs_kenlm", rows[0][5])
        benchmark.figure("perplexity_vs_kenlm_text", rows[0][6])
        rate = model.facts["bytes"] / 1e6 / training
        benchmark.figure("perplexity_train_mb_per_s", rate)
        kept = sum(model.facts["kept"])
    header = [
        "text",
        "MB",
        "ours, MB/s",
        "KenLM on words, MB/s",
        "KenLM on text, MB/s",
        "times KenLM on words",
        "times KenLM on text",
    ]
    return [
        "### Perplexity against KenLM",
        f"Order 5, trained on {model.facts['bytes'] / 1e6:.1f} MB of books at {rate:.1f} MB/s ({kept:,} n-grams kept "
        f"of {sum(model.facts['found']):,}). One core, CPU seconds. Ours begins with the text; KenLM through Python "
        "gets lines of words found and joined beforehand, or does CCNet's normalisation and finds words itself.",
        table(header, rows),
    ]


def books(data: Path, n_bytes: int | None) -> tuple[list[str], list[str]]:
    """Books to learn from, about `n_bytes` of them, and others."""
    paths = sorted((data / "text" / "books_classic_markdown_a").rglob("*.md"))
    held_out = [path.read_text() for path in paths[::_HELD_OUT]]
    learned: list[str] = []
    for index, path in enumerate(paths):
        if index % _HELD_OUT == 0:
            continue
        if n_bytes is not None and sum(map(len, learned)) >= n_bytes:
            break
        learned.append(path.read_text()[:n_bytes])
    return learned, held_out


@contextmanager
def trained(texts: Sequence[str]) -> Iterator[LanguageModel]:
    with train_perplexity(pa.array([text], pa.string()) for text in texts) as made:
        yield made.model


def _sources(data: Path, folder: Path, most: int) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Good and bad texts by source."""
    command = [sys.executable, str(TOOL), "--data", str(data), "--texts", str(folder)]
    subprocess.run([*command, "--only-texts", "unseen", "--most", str(most)], check=True)
    found: dict[str, dict[str, list[str]]] = {"good": {}, "bad": {}, "neither": {}}
    for source in json.loads((folder / "sources.json").read_text()):
        path = folder / source["role"] / source["kind"] / f"{source['name']}.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines()
        found[source["kind"]][source["name"]] = [json.loads(line)["text"] for line in lines]
    articles = re.split(r"\n (?== [^=]+ = \n)", _wikitext(data, "test"))
    found["good"]["wikitext"] = [article for article in articles if len(article) > 200][:most]
    found["bad"]["spam"] = _spam(data)[:most]
    return found["good"], found["bad"]


def _wikitext(data: Path, part: str) -> str:
    return (data / "text" / "wikitext2_valid_test" / "wikitext-2" / f"{part}.txt").read_text()


def _spam(data: Path) -> list[str]:
    """What stands below the headers of spam, without HTML."""
    bodies = []
    for path in sorted((data / "quality" / "spamassassin_mail_a" / "spam-1").iterdir()):
        _, _, body = path.read_text(encoding="latin-1").partition("\n\n")
        if "base64" not in body:
            bodies.append(extract_plain_text(body) if "<html" in body.lower() else body)
    return [body for body in bodies if len(body) > 200]


def _shuffled(text: str, chance: random.Random) -> str:
    words = text.split()
    return " ".join(chance.sample(words, len(words)))


def _perplexities(model: LanguageModel, texts: Sequence[str]) -> NDArray[np.float64]:
    return measured_by(model, TextBatch.of_texts(texts))[0]


def _auc(good: NDArray[np.float64], bad: NDArray[np.float64]) -> float:
    labels = np.repeat([1, 0], [len(good), len(bad)])
    return float(roc_auc_score(labels, -np.concatenate((good, bad))))


@contextmanager
def _kenlm(model: LanguageModel, texts: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A KenLM that has read our model, and the texts."""
    write_arpa(model, folder / "model.arpa")
    lines = [" ".join(words) for text in texts for words in model.tokens(text)]
    (folder / "lines.json").write_text(json.dumps({"lines": lines, "documents": list(texts)}))
    command = [str(peers_python()), str(PEER), str(folder / "model.arpa"), str(folder / "lines.json")]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a progress bar
        text=True,
        env=peers_environment(),
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def _asked(process: subprocess.Popen[str], question: str) -> object:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{question}\n")
    process.stdin.flush()
    if not (answer := process.stdout.readline()):
        raise SystemExit(f"benchmarks/peer_kenlm.py ended with {process.wait()}; run it by hand to see why")
    return json.loads(answer)


def _difference(model: LanguageModel, text: str, folder: Path, *, quick: bool) -> tuple[float, int, int]:
    """The largest difference of any log10 probability, and how many words and lines there were."""
    text = text[: 300_000 if quick else None]
    with _kenlm(model, [text], folder) as process:
        theirs = [score for line in _asked(process, "scores") for score in line]
    sentences = model.sentences(TextBatch.of_texts([text]))
    ours = model.ngrams.token_scores(sentences.keys, sentences.offsets)
    return float(np.abs(ours - np.array(theirs)).max()), len(theirs), len(sentences.offsets) - 1


def _raced(model: LanguageModel, texts: Sequence[str], folder: Path, rounds: int) -> Timings:
    """CPU seconds of both for the same texts, in turns."""
    seconds: dict[str, list[float]] = {"ours": [], "lines": [], "documents": []}
    array = pa.array(texts, pa.string())
    with _kenlm(model, texts, folder) as process:
        for turn in range(rounds + 1):
            batch = TextBatch(pa.RecordBatch.from_arrays([array], names=["text"]))
            begun = time.process_time()
            measured_by(model, batch)
            found: dict[str, float] = {"ours": time.process_time() - begun}
            found |= _rates(_asked(process, "rates"))
            if turn:  # the first warms up
                for name in seconds:
                    seconds[name].append(found[name])
    return Timings(seconds)


def _rates(answer: object) -> Mapping[str, float]:
    if not isinstance(answer, dict):
        raise TypeError(f"peer_kenlm.py answers {answer!r}, and an object was asked for")
    return answer
