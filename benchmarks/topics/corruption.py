"""Corruption of documents: texts misread in other code pages, sound texts, degrees of corruption, and small datasets.

How right the score as a whole is stands in docs/quality_score.md; here are its parts. Clean sets, corruptors and code
pages are those of benchmarks/corruptors.py. "Found" is the share of the corrupted documents' bytes that is lost, by any
kind of corruption; "false" that of the others'.

    figure corruption_misread_found   share of misread texts' bytes that is lost, mean over ways and languages
    figure corruption_misread_false   share of sound texts' bytes, in some 500 languages, that are called misread
    figure corruption_evidence_mb_per_s   text a second and core of the first pass, words found
    figure corruption_judged_mb_per_s     text a second and core of the second pass, words found
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

import corruptors
import numpy as np
import prose
from garbled import DAMAGED, sound_texts
from gold_pages import gold_pages
from harness import Benchmark, table

from corpusmill.documents.batch import TextBatch
from corpusmill.mix.corruption import KINDS, corrupted_shares
from corpusmill.mix.evidence import Evidence, Gathering

_BATCH = 256
_LEAST_CHANGED = 0.05  # of the words, for a way to be tried on a language
_LONG = 300  # characters of an article at least
_MISREAD = [KINDS.index(kind) for kind in ("mojibake", "unreadable")]


def accuracy(benchmark: Benchmark) -> list[str]:
    """Measures all of it."""
    chance = random.Random(1)
    clean = {
        name: chance.sample(texts, min(len(texts), 150 if benchmark.quick else 1_000))
        for name, texts in corruptors.clean_texts(benchmark.real_data()).items()
    }
    return [
        "## Corruption",
        *_misread(benchmark, clean["wikipedia"]),
        *_sound(benchmark),
        *_degrees(clean),
        *_sizes(benchmark, clean),
        *_speed(benchmark, [text for texts in clean.values() for text in texts]),
    ]


def _misread(benchmark: Benchmark, english: Sequence[str]) -> list[str]:
    data = benchmark.real_data()
    texts: dict[str, list[str]] = {"English": list(english)}
    for page in gold_pages(data, ("daniel",)):
        if len(page.gold) > _LONG and page.language in ("Chinese", "Greek", "Polish", "Russian"):
            texts.setdefault(page.language, []).append(page.gold)
    texts["German"] = [
        prose._read(path)[:12_000] for path in prose._files(data, "text/german_federal_laws_md", "**/*.md")
    ]
    few = 20 if benchmark.quick else 100
    languages = sorted(texts)
    rows: list[list[object]] = []
    everything: list[float] = []
    for written, read in corruptors.ENCODINGS:
        row: list[object] = [f"{written} as {read}"]
        for language in languages:
            spoilt = _spoilt(texts[language][:few], written, read)
            found = [] if spoilt is None else [_lost(spoilt)]
            row += found or [""]
            everything += found
        if any(row[1:]):
            rows.append(row)
    benchmark.figure("corruption_misread_found", float(np.mean(everything)))
    return [
        f"{few} texts of each language, written in one code page and read in another: what is found by the characters "
        f"alone. Tried is what the first page can write and what changes {_LEAST_CHANGED:.0%} of the words.",
        table(["misread", *languages], rows),
    ]


def _spoilt(texts: Sequence[str], written: str, read: str) -> list[str] | None:
    """The misread texts, or None if this cannot happen to them or changes next to nothing."""
    able = [text for text in texts if text.encode(written, "ignore").decode(written, "ignore") == text]
    if len(able) < len(texts) / 4:
        return None
    words = [word for text in able for word in text.split()]
    if sum(corruptors.misread(word, written, read) != word for word in words) < _LEAST_CHANGED * len(words):
        return None
    return [corruptors.misread(text, written, read) for text in able]


def _lost(texts: Sequence[str]) -> float:
    """The share of the bytes that mojibake and unreadable characters take."""
    batch = TextBatch.of_texts(texts)
    return float(np.diff(batch.offsets) @ corrupted_shares(batch)[:, _MISREAD].sum(axis=1) / batch.n_bytes)


def _sound(benchmark: Benchmark) -> list[str]:
    texts = [
        text
        for name, text in sound_texts(benchmark.real_data(), 10 if benchmark.quick else 1)
        if name not in DAMAGED and text.strip()
    ]
    batch = TextBatch.of_texts(texts)
    shares = corrupted_shares(batch)[:, KINDS.index("mojibake")]
    share = float(np.diff(batch.offsets) @ shares / batch.n_bytes)
    benchmark.figure("corruption_misread_false", share)
    return [
        f"Of {len(texts):,} sound texts in some 500 languages and 100 encodings (declarations, sentences, web pages) "
        f"{np.count_nonzero(shares > 0.05)} lose a twentieth or more to mojibake, and {share:.2%} of the bytes are "
        "lost. Read, most of these hold damage, or rare ideographs: a Vietnamese text in Nôm."
    ]


def _measured(texts: Sequence[str], touched: np.ndarray) -> tuple[float, float]:
    """The shares of the bytes lost, of touched texts and of others, by the texts' own evidence."""
    batches = [TextBatch.of_texts(texts[start : start + _BATCH]) for start in range(0, len(texts), _BATCH)]
    evidence = _gathered(batches)
    lost = np.concatenate([corrupted_shares(batch, evidence).sum(axis=1) for batch in batches])
    sizes = np.concatenate([np.diff(batch.offsets) for batch in batches]).astype(np.float64)
    found, false = (float(sizes[of] @ lost[of] / max(1.0, sizes[of].sum())) for of in (touched, ~touched))
    return found, false


def _gathered(batches: Sequence[TextBatch]) -> Evidence:
    gathering = Gathering()
    for batch in batches:
        gathering.add(batch)
    return gathering.evidence()


def _degrees(clean: dict[str, list[str]]) -> list[str]:
    tokenizer = corruptors.byte_level_bpe([text for texts in clean.values() for text in texts])
    ways: dict[str, corruptors.Corruptor] = {
        f"{share:.0%} of the tokens random": corruptors.random_tokens(tokenizer, share)
        for share in (0.05, 0.1, 0.25, 0.5)
    }
    ways |= {f"OCR errors in {rate:.0%} of the characters": corruptors.ocr_noise(rate) for rate in (0.02, 0.05, 0.1)}
    ways["words in random order"] = corruptors.shuffled
    rows = [
        [name, *(share for texts in clean.values() for share in _measured(*corruptors.corrupted(texts, 0.3, way)))]
        for name, way in ways.items()
    ]
    return [
        "A corrupted document counts as corrupted as a whole, or not at all; how much of one must be wrong? In 30 % of "
        f"the documents ({', '.join(f'{len(texts):,} of {name}' for name, texts in clean.items())}):",
        table(["corruption", *(f"{name}: {what}" for name in clean for what in ("found", "false"))], rows),
    ]


def _sizes(benchmark: Benchmark, clean: dict[str, list[str]]) -> list[str]:
    tokenizer = corruptors.byte_level_bpe([text for texts in clean.values() for text in texts])
    texts = [text for row in zip(*clean.values(), strict=False) for text in row]
    ways = {
        "half of the tokens random": corruptors.random_tokens(tokenizer),
        "OCR noise": corruptors.ocr_noise(),
        "shuffled": corruptors.shuffled,
    }
    rows = []
    for size in (20, 50, 100, 200) if benchmark.quick else (20, 50, 100, 200, 400, 800, 1_500):
        shares = [_measured(*corruptors.corrupted(texts[:size], 0.3, way)) for way in ways.values()]
        rows.append([size, *(share for pair in shares for share in pair)])
    return [
        "What evidence a small dataset holds: the first documents of the three sets, in turns.",
        table(["documents", *(f"{way}: {what}" for way in ways for what in ("found", "false"))], rows),
    ]


def _speed(benchmark: Benchmark, texts: Sequence[str]) -> list[str]:
    batches = [TextBatch.of_texts(texts[start : start + _BATCH]) for start in range(0, len(texts), _BATCH)]
    megabytes = sum(batch.n_bytes for batch in batches) / 1e6
    evidence = _gathered(batches)
    for batch in batches:
        corrupted_shares(batch, evidence)  # all is compiled, and words, lines and hashes are found
    seconds: list[list[float]] = []
    for _ in range(5):
        gathering = Gathering()
        times = [time.process_time()]
        for batch in batches:
            gathering.add(batch)
        times.append(time.process_time())
        gathering.evidence()
        times.append(time.process_time())
        for batch in batches:
            corrupted_shares(batch, evidence)
        times.append(time.process_time())
        seconds.append(np.diff(times).tolist())
    first, learning, second = (float(np.median(column)) for column in zip(*seconds, strict=True))
    benchmark.figure("corruption_evidence_mb_per_s", megabytes / first)
    benchmark.figure("corruption_judged_mb_per_s", megabytes / second)
    return [
        f"The first pass reads {megabytes / first:.0f} MB/s on a core and then learns from its sample for "
        f"{learning:.2f} s, however large the dataset; the second reads {megabytes / second:.0f} MB/s. Words, lines "
        f"and hashes were already found ({megabytes:.0f} MB)."
    ]
