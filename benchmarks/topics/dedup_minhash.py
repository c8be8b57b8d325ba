"""From text to MinHash signatures, against datatrove, datasketch, rensa, and a C loop that does the same.

112 values over n-grams of five words, one thread, CPU seconds, taking turns on the same English prose. Ours begins with
bare Arrow text: finding, folding and hashing words is in it, which other stages mostly have done before. datatrove's
block runs as it is shipped, and with a regular expression in place of spaCy; datasketch and rensa, which know no texts,
are fed n-grams made in Python the quickest way we found. The C loop (minhash.c) makes our signatures to the bit, which
is checked; it is left out where there is no C compiler.

    figure minhash_mb_per_s                    ours, 64-bit permutations (the default), one core
    figure minhash_32_mb_per_s                 ours, 32-bit permutations
    figure minhash_vs_datatrove                ours (64-bit) against datatrove's block as it is shipped
    figure minhash_vs_best_python_fed_peer     ours (64-bit) against the best of datasketch and rensa
    figure minhash_vs_c                        our rate (64-bit) over the C loop's, compiled with -O3 -march=native
"""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from harness import Benchmark, race_timed, table
from numpy.typing import NDArray
from peers_venv import peers_environment, peers_python
from prose import prose

from corpusmill.dedup.minhash import MinHashDedup
from corpusmill.dedup.shingles import shingles_of
from corpusmill.dedup.signatures import permutations, signatures_of
from corpusmill.documents.batch import TextBatch
from corpusmill.documents.codepoints import CLASSES, FOLD

_ROWS = 1000
_BENCHMARKS = Path(__file__).resolve().parents[1]
_STAGE = MinHashDedup()
_PEER_BYTES = {
    "datatrove": 400_000,
    "datatrove_regex": 1_000_000,
    "datasketch": 4_000_000,
    "rensa": 8_000_000,
    "rensa_c": 8_000_000,
}
_NAMES = {
    "ours_64": "`minhash_dedup`, from text to signatures",
    "ours_32": "the same with `hash_bits: 32`",
    "observe": "`minhash_dedup`, the whole sidecar",
    "c": "the C loop",
    "datatrove": "datatrove 0.10.1",
    "datatrove_regex": "datatrove with a regular expression for words",
    "datasketch": "datasketch 2.0.0, `MinHash.bulk`, n-grams from Python",
    "rensa": "rensa 0.5.0, `RMinHash`, n-grams from Python",
    "rensa_c": "rensa 0.5.0, `CMinHash`, n-grams from Python",
}


def speed(benchmark: Benchmark) -> list[str]:
    """Races them all."""
    quick = benchmark.quick
    texts = [text for _, text in prose(benchmark.real_data(), 2_000_000 if quick else 16_000_000)]
    mb = sum(len(text.encode()) for text in texts) / 1e6
    batches = [TextBatch.of_texts(texts[start : start + _ROWS]).documents for start in range(0, len(texts), _ROWS)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.parquet"
        pq.write_table(pa.table({"text": texts}), file)
        contenders: dict[str, Callable[[], float]] = {
            "ours_64": lambda: _seconds(batches, lambda batch: signatures(batch, 64)) / mb,
            "ours_32": lambda: _seconds(batches, lambda batch: signatures(batch, 32)) / mb,
            "observe": lambda: _seconds(batches, _STAGE.observe) / mb,
        }
        loop = c_loop(Path(folder))
        if loop is not None:
            _check(batches, loop)
            contenders["c"] = lambda: _seconds(batches, loop) / mb
        with subprocess.Popen(
            [peers_python(), _BENCHMARKS / "peer_minhash.py", file],
            env=peers_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as child:

            def peer(name: str, size: int) -> float:
                print(name, size, file=child.stdin, flush=True)
                answer = json.loads(child.stdout.readline())
                return float(answer["seconds"] / answer["bytes"] * 1e6)

            for name, size in _PEER_BYTES.items():
                contenders[name] = partial(peer, name, size // 4 if quick else size)
            timings = race_timed(contenders, rounds=2 if quick else 7)
            child.terminate()
    benchmark.figure("minhash_mb_per_s", 1 / timings.median("ours_64"))
    benchmark.figure("minhash_32_mb_per_s", 1 / timings.median("ours_32"))
    benchmark.figure("minhash_vs_datatrove", timings.ratio("datatrove", "ours_64"))
    best = min(("datasketch", "rensa", "rensa_c"), key=timings.median)
    benchmark.figure("minhash_vs_best_python_fed_peer", timings.ratio(best, "ours_64"))
    said = "No C compiler was found, so the C loop was left out. "
    if loop is not None:
        benchmark.figure("minhash_vs_c", timings.ratio("c", "ours_64"))
        said = "The C loop's signatures equal ours to the bit; it keeps no words for other stages. "
    rows = [
        [_NAMES[name], 1 / timings.median(name), timings.ratio(name, "ours_64") if name != "ours_64" else 1.0]
        for name in contenders
    ]
    return [
        "### From text to MinHash signatures",
        table(["112 values, n-grams of five words", "MB/s a core", "ours is times as fast"], rows),
        f"{mb:.1f} MB of English prose (benchmarks/prose.py), less for slower peers; one thread, CPU seconds, medians "
        f"of rounds in turn. {said}Numbers below 1 in the last column: faster than ours.",
    ]


def signatures(batch: TextBatch, bits: int) -> NDArray[np.uint16]:
    """What the sidecar is made of, as `observe` makes it."""
    return signatures_of(shingles_of(batch, _STAGE.ngram, False), _STAGE.permutations, _STAGE.seed, bits)


def _seconds(batches: list[pa.RecordBatch], run: Callable[[TextBatch], object]) -> float:
    """CPU seconds over fresh batches, in which no words are found yet."""
    begun = time.process_time()
    for documents in batches:
        run(TextBatch(documents))
    return time.process_time() - begun


def c_loop(folder: Path) -> Callable[[TextBatch], NDArray[np.uint16]] | None:
    """minhash.c as a function of a batch; None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    library = folder / "minhash.so"
    options = ["-O3", "-march=native", "-shared", "-fPIC"]
    subprocess.run([compiler, *options, "-o", str(library), str(_BENCHMARKS / "minhash.c")], check=True)
    function = ctypes.CDLL(str(library)).signatures
    multipliers, increments = permutations(_STAGE.permutations, _STAGE.seed)

    def run(batch: TextBatch) -> NDArray[np.uint16]:
        longest = int(np.diff(batch.offsets).max(initial=0))
        scratch = [np.empty(size, np.uint64) for size in (longest, longest, _STAGE.permutations)]
        out = np.empty((len(batch), _STAGE.permutations), np.uint16)
        given: list[NDArray[np.generic] | int] = [
            batch.offsets, len(batch), batch.text, len(batch.text), CLASSES, FOLD, _STAGE.ngram,
            multipliers, increments, _STAGE.permutations, *scratch, out,
        ]  # fmt: skip
        function(*(ctypes.c_int64(v) if isinstance(v, int) else ctypes.c_void_p(v.ctypes.data) for v in given))
        return out

    return run


def _check(batches: list[pa.RecordBatch], loop: Callable[[TextBatch], NDArray[np.uint16]]) -> None:
    """Compares every signature of the C loop with ours."""
    for documents in batches:
        if not np.array_equal(loop(TextBatch(documents)), signatures(TextBatch(documents), 64)):
            raise SystemExit("benchmarks/minhash.c: its signatures are not ours; it must follow dedup/signatures.py")
