"""Web pages of the shared real data whose main content somebody wrote down, and how a text is held against it.

    scrapinghub  181 news articles of 2019, mostly English, with the text (scrapinghub/article-extraction-benchmark)
    daniel       1,689 news pages of 2011 and 2012 in Greek, English, Polish, Russian and Chinese, with the text
                 (Lejeune et al. 2012)
    trafilatura  990 pages, mostly German, with phrases that a text must and must not hold (Barbaresi's evaluation)
    readability  130 pages with what Mozilla's Readability should find

`judged` says which pages the content model never saw: all of scrapinghub's, and a third of daniel's and trafilatura's,
cut by domain. tools/train_content_model.py trains on the others.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import unescape
from pathlib import Path

_SECOND_LEVEL = frozenset(("co", "com", "org", "gov", "ac", "net", "edu"))
_WORD = re.compile(r"\w+")
_SOLO = "\u2e80-\u2fff\u3040-\ud7af\uf900-\ufaff"  # a word each
_ANY_WORD = re.compile(rf"[{_SOLO}]|[^\W{_SOLO}]+")
_TAG = re.compile(r"<[^>]+>")


@dataclass(frozen=True, slots=True)
class GoldPage:
    """A page and what is known of its main content."""

    pack: str
    name: str
    domain: str
    language: str
    """daniel's word for it, empty elsewhere."""
    path: Path
    gold: str = ""
    """The main content; of readability as HTML; empty for trafilatura's."""
    musts: tuple[str, ...] = ()
    must_nots: tuple[str, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether the content model was not trained on pages of this domain."""
        if self.pack in ("scrapinghub", "readability"):
            return self.pack == "scrapinghub"
        return hashlib.blake2b(b"split" + self.domain.encode(), digest_size=2).digest()[0] % 3 == 0

    def payload(self) -> bytes:
        """The page's bytes."""
        data = self.path.read_bytes()
        return gzip.decompress(data) if self.path.suffix == ".gz" else data


def gold_pages(realdata: Path, packs: Sequence[str] = ("scrapinghub", "daniel", "trafilatura")) -> list[GoldPage]:
    """All pages of some packs, in one order."""
    readers = {
        "scrapinghub": _scrapinghub,
        "daniel": _daniel,
        "trafilatura": _trafilatura,
        "readability": _readability,
    }
    return [page for pack in packs for page in readers[pack](realdata / "web")]


def _scrapinghub(web: Path) -> Iterator[GoldPage]:
    folder = web / "scrapinghub_article_extraction"
    for name, known in json.loads((folder / "ground-truth.json").read_text()).items():
        path = folder / "html" / f"{name}.html.gz"
        yield GoldPage("scrapinghub", name, _domain(known["url"]), "", path, known["articleBody"])


def _daniel(web: Path) -> Iterator[GoldPage]:
    folder = web / "daniel_multilingual_html_gold" / "Corpus_daniel_v2.1"
    for name, language in json.loads((folder / "doc_lg.json").read_text()).items():
        path = folder / "html" / name
        if path.exists():
            gold = unescape(_TAG.sub("\n", (folder / "reference" / name).read_text("utf-8", "replace")))
            yield GoldPage("daniel", name, _domain(name.partition("_")[2].partition("_")[0]), language, path, gold)


def _trafilatura(web: Path) -> Iterator[GoldPage]:
    folder = web / "trafilatura_eval_html"
    for url, known in json.loads((folder / "evaldata.json").read_text()).items():
        paths = (folder / part / known["file"] for part in ("eval", "cache"))
        path = next((path for path in paths if path.exists()), None)
        if path is not None:
            phrases = (tuple(known["with"]), tuple(known["without"]))
            yield GoldPage("trafilatura", url, _domain(url), "", path, "", *phrases)


def _readability(web: Path) -> Iterator[GoldPage]:
    for folder in sorted((web / "mozilla_readability_pages" / "test-pages").iterdir()):
        if (folder / "expected.html").exists():
            gold = (folder / "expected.html").read_text("utf-8", "replace")
            yield GoldPage("readability", folder.name, f"readability {folder.name}", "", folder / "source.html", gold)


def _domain(url: str) -> str:
    """The registered domain of a URL or host, about."""
    labels = url.rpartition("//")[2].partition("/")[0].partition(":")[0].split(".")
    return ".".join(labels[-3:] if len(labels) > 2 and labels[-2] in _SECOND_LEVEL else labels[-2:])


def words(text: str) -> list[str]:
    """Words in lower case; an ideograph, kana or Hangul syllable is one of its own."""
    return [word.lower() for word in _ANY_WORD.findall(text)]


def shingle_scores(golds: Sequence[str], texts: Sequence[str]) -> tuple[float, float, float]:
    """Precision, recall and F1 as scrapinghub's benchmark has them: shingles of four `\\w+`, mean over pages."""
    return _mean_scores([_counts(_WORD.findall(gold), _WORD.findall(text), 4) for gold, text in zip(golds, texts)])


def word_scores(golds: Sequence[str], texts: Sequence[str]) -> tuple[float, float, float]:
    """Precision, recall and F1 by words as a multiset, mean over pages."""
    return _mean_scores([_counts(words(gold), words(text), 1) for gold, text in zip(golds, texts)])


def phrase_scores(pages: Sequence[GoldPage], texts: Sequence[str]) -> tuple[float, float, float]:
    """The share of phrases found that must be there, of those left out that must not, and F1 as trafilatura's
    evaluation has it."""
    found = wrong = musts = must_nots = 0
    for page, text in zip(pages, texts, strict=True):
        line = " ".join(text.split())
        found += sum(" ".join(phrase.split()) in line for phrase in page.musts)
        wrong += sum(" ".join(phrase.split()) in line for phrase in page.must_nots)
        musts += len(page.musts)
        must_nots += len(page.must_nots)
    return found / musts, 1 - wrong / must_nots, 2 * found / (found + musts + wrong)


def _counts(gold: Sequence[str], found: Sequence[str], length: int) -> tuple[float, float, float]:
    """True positives, false positives and false negatives, as shares of their sum."""
    truth, guess = _shingles(gold, length), _shingles(found, length)
    common = sum((truth & guess).values())
    wrong, missing = guess.total() - common, truth.total() - common
    whole = max(1, common + wrong + missing)
    return common / whole, wrong / whole, missing / whole


def _shingles(of: Sequence[str], length: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(of[at : at + length]) for at in range(max(1, len(of) - length + 1)) if of)


def _mean_scores(counts: Sequence[tuple[float, float, float]]) -> tuple[float, float, float]:
    precisions = [common / (common + wrong) for common, wrong, _ in counts if common + wrong]
    recalls = [common / (common + missing) for common, _, missing in counts if common + missing]
    precision, recall = sum(precisions) / max(1, len(precisions)), sum(recalls) / max(1, len(recalls))
    return precision, recall, 2 * precision * recall / max(1e-9, precision + recall)
