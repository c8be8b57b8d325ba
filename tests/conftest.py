"""What all tests share: the real data, unpacked once for all workers, and real English documents made of it.

Tests marked `realdata` are skipped where the shared folder is not there. CORPUSMILL_REALDATA names a folder that holds
the data unpacked; CORPUSMILL_SHARED names the shared folder (default: `shared` beside the checkout).
"""

from __future__ import annotations

import fcntl
import gzip
import html
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from corpusmill.documents.codepoints import CLASSES, SOLO

# A kernel's first call compiles it, which takes seconds and says nothing of the test. The examples are the same in
# every run, so that a change fails for what it changed; HYPOTHESIS_PROFILE=explore draws new ones.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

SHARED = Path(os.environ.get("CORPUSMILL_SHARED", Path(__file__).parents[2] / "shared"))
UNPACKED = os.environ.get("CORPUSMILL_REALDATA")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if UNPACKED or (SHARED / "tools" / "realdata.py").exists():
        return
    missing = pytest.mark.skip(
        reason=f"no real data: {SHARED} is not there; set CORPUSMILL_SHARED to the shared folder, or "
        "CORPUSMILL_REALDATA to a folder that holds its data unpacked"
    )
    for item in items:
        if item.get_closest_marker("realdata"):
            item.add_marker(missing)


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real data, unpacked by the first worker that asks."""
    if UNPACKED:
        return Path(UNPACKED)
    folder = Path(tempfile.gettempdir()) / f"corpusmill-realdata-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / ".unpacked").exists():
            subprocess.run([sys.executable, SHARED / "tools" / "realdata.py", folder], check=True)
            (folder / ".unpacked").touch()
    return folder


@pytest.fixture(scope="session")
def english_texts(realdata: Path) -> list[str]:
    """3,000 real documents, nearly all English: books, posts, news, licences, answers, mail, terms, LaTeX, pages."""
    chance = random.Random(7)

    def texts(folder: str, pattern: str, count: int, encoding: str = "utf-8") -> list[str]:
        paths = sorted(
            path for path in (realdata / folder).rglob(pattern) if path.is_file() and path.name != ".complete"
        )
        chosen = chance.sample(paths, min(count, len(paths)))
        return [path.read_bytes().decode(encoding, "replace") for path in chosen]

    def pieces(whole: list[str], sizes: tuple[int, ...], count: int) -> list[str]:
        found = []
        for text in chance.choices(whole, k=count):
            start = chance.randrange(len(text))
            found.append(text[start : start + chance.choice(sizes)])
        return found

    posts = [
        html.unescape(re.sub(r"<[^>]+>", "", html.unescape(body)))
        for text in texts("text/stackexchange_posts_a", "*", 2)
        for body in re.findall(r'Body="([^"]*)"', text)
    ]
    articles = json.loads((realdata / "web/scrapinghub_article_extraction/ground-truth.json").read_text())
    pages = [
        re.sub(r"<[^>]+>", "", gzip.decompress(path.read_bytes()).decode("utf-8", "replace"))
        for path in sorted((realdata / "web/scrapinghub_article_extraction").rglob("*.html.gz"))[:40]
    ]
    texts_found = [
        *pieces(texts("text/books_classic_markdown_a", "*", 80), (300, 1500, 4000, 20000), 450),
        *texts("text/newsgroups20_bydate", "*", 500, "latin-1"),
        *texts("text/reuters21578_webtext_speeches", "*", 500, "latin-1"),
        *texts("neardup/license_texts_spdx_google", "*.txt", 300),
        *chance.sample(posts, 400),
        *pieces(texts("text/wikitext2_valid_test", "*", 3), (500, 5000), 100),
        *texts("quality/spamassassin_mail_a", "*", 250, "latin-1"),
        *texts("neardup/opentermsarchive_revisions_contrib", "*", 80),
        *texts("quality/onestop_english_3levels", "*.txt", 100),
        *pieces(texts("text/math_stacks_project_latex", "*", 20), (3000,), 100),
        *(article["articleBody"] for article in articles.values()),
        *pages,
    ]
    # The oracles are slow, and nothing happens behind 15,000 characters that does not happen before.
    return [text[:15_000] for text in texts_found]


@pytest.fixture(scope="session")
def words_of() -> Callable[..., list[str]]:
    """The words of a text as the segmentation finds them, by `re`: what the oracles get for a word tokenizer."""
    solo = {chr(code) for code in np.flatnonzero(CLASSES & SOLO)}

    def find(text: str, language: str | None = None) -> list[str]:
        if solo.isdisjoint(text):
            return re.findall(r"\w+|[^\w\s]", text)
        words = []
        for word in re.findall(r"\w+|[^\w\s]", text):
            start = 0
            for place, character in enumerate(word):
                if character in solo:
                    words += [word[start:place]] * (place > start) + [character]
                    start = place + 1
            words += [word[start:]] * (start < len(word))
        return words

    return find
