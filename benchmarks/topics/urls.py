"""The URL filter against datatrove's, and an index of five million domains.

The race: URLs of real pages and of UT1's lists, by the same lists of domains and URLs (UT1's, without adult, malware
and phishing domains, which the real data lacks) and the same words, soft words and substrings (FineWeb's, which come
with datatrove). One thread, CPU seconds, in turns; datatrove is given one Document after the other, as its pipeline
does.

The index: made-up domains, and as many URLs, half of them on listed domains, so that hardly two look-ups are near one
another in memory.

    figure url_per_s                    URLs a second and core, by all five rules
    figure url_vs_datatrove             how many times as fast as datatrove's URLFilter
    figure url_index_bytes_per_entry    of the file, five million entries
    figure url_index_mb                 what a process has of it in memory, shared with all others
    figure url_large_index_per_s        URLs a second and core, by that index alone
"""

from __future__ import annotations

import gzip
import random
import re
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
from harness import Benchmark, race, table

from corpusmill.documents.batch import TextBatch
from corpusmill.filters.public_suffixes import packaged_list, read_public_suffixes
from corpusmill.filters.url import Url
from corpusmill.filters.url_lists import build_index, find_lists

SEED = 2024
_ENTRIES = 5_000_000


def speed(benchmark: Benchmark) -> list[str]:
    """Races the filter against datatrove's, and looks up in a large index."""
    with tempfile.TemporaryDirectory() as folder:
        return [*_race(benchmark, Path(folder)), *_large_index(benchmark, Path(folder))]


def _batch(urls: list[str]) -> TextBatch:
    return TextBatch.of_texts([""] * len(urls)).with_column("url", pa.array(urls, pa.string()))


def _race(benchmark: Benchmark, folder: Path) -> list[str]:
    from datatrove.data import Document
    from datatrove.pipeline.filters import url_filter
    from tldextract import TLDExtract

    lists = benchmark.real_data() / "urls" / "ut1_blacklists" / "blacklists"
    urls = _real_urls(benchmark.real_data(), lists)[: 4_000 if benchmark.quick else 40_000]
    assets = Path(url_filter.ASSETS_PATH)
    index = folder / "ut1.idx"
    build_index(find_lists([str(lists)]), read_public_suffixes(packaged_list())).save(index)
    ours = Url(
        index=str(index), words=str(assets / "banned_words.txt"), soft_words=str(assets / "soft_banned_words.txt"),
        substrings=str(assets / "banned_subwords.txt"),
    )  # fmt: skip
    theirs = url_filter.URLFilter(
        extra_domains=_entries(lists, "domains"),
        extra_urls=_entries(lists, "urls"),
        banned_words=_lines(assets / "banned_words.txt"),
        soft_banned_words=_lines(assets / "soft_banned_words.txt"),
        banned_subwords=_lines(assets / "banned_subwords.txt"),
        use_integrated_lists=False,
    )
    theirs.tldextractor = TLDExtract(suffix_list_urls=())  # its own copy of the list, and no network
    batch = _batch(urls)
    documents = [Document(text="", id="", metadata={"url": url}) for url in urls]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # datatrove asks tldextract by an older name
        timings = race(
            {
                "corpusmill": lambda: ours.judge(ours.measure(batch)),
                "datatrove": lambda: [theirs.filter(document) for document in documents],
            },
            rounds=3 if benchmark.quick else 5,
            clock=time.process_time,
        )
        verdicts = [theirs.filter(document) is True for document in documents]
    kept = ours.judge(ours.measure(batch)).is_null().to_pylist()
    benchmark.figure("url_per_s", len(urls) / timings.median("corpusmill"))
    benchmark.figure("url_vs_datatrove", timings.ratio("datatrove", "corpusmill"))
    rows = [
        [name, len(urls) / timings.median(name), timings.ratio("datatrove", name), sum(keeps)]
        for name, keeps in (("corpusmill", kept), ("datatrove", verdicts))
    ]
    same = sum(one == other for one, other in zip(kept, verdicts, strict=True))
    return [
        f"### URLs by lists, words and substrings\n\n{len(urls):,} URLs of real pages and of UT1's lists.",
        table(["", "URLs/s a core", "times as fast", "kept"], rows),
        f"Both decide alike on {same:,} of {len(urls):,}. They differ where docs/filters/url.md says so: a listed "
        "domain or URL blocks what is below it (a listed URL had to be equal there), and words are found in any case.",
    ]


def _real_urls(data: Path, lists: Path) -> list[str]:
    with gzip.open(data / "warc" / "pages.warc.gz") as stream:
        pages = [url.decode() for url in re.findall(rb"WARC-Target-URI: (http\S+)", stream.read())]
    listed = [f"http://{url}" for url in _entries(lists, "urls")]
    urls = [*pages * 8, *listed]
    random.Random(SEED).shuffle(urls)
    return urls


def _entries(lists: Path, kind: str) -> list[str]:
    return [line for path in sorted(lists.glob(f"*/{kind}")) for line in _lines(path)]


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _large_index(benchmark: Benchmark, folder: Path) -> list[str]:
    count = _ENTRIES // 25 if benchmark.quick else _ENTRIES
    numbers = np.random.default_rng(SEED).permutation(4 * count)
    (folder / "listed.txt").write_text("".join(f"site-{number:x}.example\n" for number in numbers[:count].tolist()))
    began = time.process_time()
    built = build_index(find_lists([str(folder / "listed.txt")]), read_public_suffixes(packaged_list()))
    built.save(folder / "large.idx")
    seconds = time.process_time() - began
    size = (folder / "large.idx").stat().st_size
    asked = numbers[count // 2 : count // 2 + min(count, 500_000)].tolist()
    asked[::2] = numbers[: len(asked[::2])].tolist()
    batch = _batch([f"https://www.site-{number:x}.example/pages/{number}.html" for number in asked])
    stage = Url(index=str(folder / "large.idx"))
    timings = race({"index": lambda: stage.judge(stage.measure(batch))}, rounds=5, clock=time.process_time)
    resident = _resident(folder / "large.idx")
    benchmark.figure("url_index_bytes_per_entry", size / count)
    benchmark.figure("url_index_mb", resident / 1e6)
    benchmark.figure("url_large_index_per_s", len(batch) / timings.median("index"))
    return [
        "### An index of many domains",
        table(
            ["entries", "file, MB", "bytes an entry", "in memory, shared, MB", "built in CPU s", "URLs/s a core"],
            [[count, size / 1e6, size / count, resident / 1e6, seconds, len(batch) / timings.median("index")]],
        ),
    ]


def _resident(path: Path) -> int:
    """Bytes of a mapped file that this process has in memory; they are the system's pages, shared by all processes."""
    mapped = False
    total = 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            mapped = line.endswith(str(path))
        elif mapped and line.startswith("Rss:"):
            total += int(line.split()[1]) * 1024
    return total
