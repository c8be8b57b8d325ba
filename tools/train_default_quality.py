"""Makes the default English quality model: texts from the shared real data, then `corpusmill train quality`.

    python tools/train_default_quality.py --data FOLDER --texts FOLDER [--out filters/models/english_quality.npz]

Writes into the texts' folder `<role>/<class>/<source>.jsonl` and `sources.json`, what each is made of:

    training/good   texts to keep, all of them openly licensed: public-domain books and speeches, encyclopedia articles,
                    answers that readers voted for, news retold for learners
    training/bad    texts to drop: what stands beside the article on web pages (navigation, listings, notices), result
                    pages of search engines, spam mail
    unseen/…        sources that the model never sees, to judge it by (benchmarks/topics/quality.py)
    unseen/neither  texts that are neither: mail and posts between people

What a model learns from "books against raw web" is the difference between a book and a web page, and it then takes an
article for a listing. Two things are against that. Of web pages only what is not the article is bad, so that their
subjects tell little, and news of today is among the good. And texts are cut into pieces of 300 to 6,000 characters, no
more than 400 of each source, so that neither length nor a large source counts.
"""

from __future__ import annotations

import argparse
import csv
import email
import gzip
import html
import json
import math
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from functools import lru_cache
from pathlib import Path
from xml.etree import ElementTree

from fastwarc.warc import ArchiveIterator, WarcRecordType
from resiliparse.extract.html2text import extract_plain_text

from corpusmill.documents.batch import TextBatch
from corpusmill.filters.language import Language

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "filters" / "models" / "english_quality.npz"

PIECES = 400  # of a source
MIN_PIECE, MAX_PIECE = 300, 6_000  # characters; lengths between are equally common on a logarithmic scale
PIECES_A_TEXT = 3
PIECE_SLACK = 400  # characters that a piece begins earlier, where a line begins there
MIN_TEXT = 200  # characters: shorter ones are no documents
MAX_TEXT = 50_000
GOOD_VOTES = 5  # a question or answer of so many votes is a good one
PARAGRAPH = 80  # characters: a line of so many is one of running text
PAGE_OF_BOOK = 4_000

_TAG = re.compile(r"<[^>]*>")
_NOT_WORD = re.compile(r"\W+")
_CHARSET = re.compile(rb"charset=[\"']?([\w-]+)")


@dataclass(frozen=True, slots=True)
class Source:
    """Texts of one kind from one pack of the shared data."""

    name: str
    role: str  # training or unseen
    kind: str  # good, bad or neither
    pack: str
    what: str
    texts: Callable[[Path], Iterable[str]]


def page_text(page: str, *, main: bool) -> str:
    return str(extract_plain_text(page, main_content=main, alt_texts=False))


def decoded(content: bytes) -> str:
    found = _CHARSET.search(content[:4096])
    try:
        return content.decode(found[1].decode() if found else "utf-8", "replace")
    except LookupError:
        return content.decode("utf-8", "replace")


def plain(markup: str) -> str:
    return html.unescape(_TAG.sub("", markup))


def _normal(text: str) -> str:
    return _NOT_WORD.sub(" ", text.lower()).strip()


def besides(page: str, main: str) -> str:
    """The lines of a page that are no part of its main text, nor a shortened or linked form of one."""
    known, lines = _normal(main), []
    for line in page_text(page, main=False).split("\n"):
        words = _normal(line).split()
        if not words or " ".join(words) in known:
            continue
        runs = [" ".join(words[start : start + 4]) for start in range(0, len(words) - 3, 2)] if len(words) > 7 else []
        if sum(run in known for run in runs) <= 0.2 * len(runs):
            lines.append(line.strip())
    return "\n".join(lines)


Pages = Callable[[Path], Iterable[tuple[str, str]]]


@lru_cache(maxsize=1)
def _parts(pages: Pages, data: Path) -> tuple[list[str], list[str]]:
    """Main texts, and what else stands on their pages."""
    found = [(page, main) for page, main in pages(data) if len(main) >= MIN_TEXT]
    return [main for _, main in found], [besides(page, main) for page, main in found]


def main_texts(pages: Pages) -> Callable[[Path], Iterable[str]]:
    return lambda data: _parts(pages, data)[0]


def other_texts(pages: Pages) -> Callable[[Path], Iterable[str]]:
    return lambda data: _parts(pages, data)[1]


def daniel(data: Path) -> Iterator[tuple[str, str]]:
    folder = data / "web/daniel_multilingual_html_gold/Corpus_daniel_v2.1"
    languages = json.loads((folder / "doc_lg.json").read_text())
    for path in sorted((folder / "html").iterdir()):
        gold = folder / "reference" / path.name
        if languages.get(path.name) == "English" and gold.exists():
            yield decoded(path.read_bytes()), plain(gold.read_text("utf-8", "replace"))


def trafilatura_pages(data: Path) -> Iterator[tuple[str, str]]:
    """Without gold texts: the long lines of what resiliparse takes for the main content."""
    for path in sorted((data / "web/trafilatura_eval_html").glob("*/*.htm*")):
        page = decoded(path.read_bytes())
        lines = [line.strip() for line in page_text(page, main=True).split("\n")]
        yield page, "\n\n".join(line for line in lines if len(line) >= PARAGRAPH)


def scrapinghub(data: Path) -> Iterator[tuple[str, str]]:
    folder = data / "web/scrapinghub_article_extraction"
    for name, gold in json.loads((folder / "ground-truth.json").read_text()).items():
        page = gzip.decompress((folder / "html" / f"{name}.html.gz").read_bytes())
        yield page.decode("utf-8", "replace"), gold["articleBody"]


def mozilla(data: Path) -> Iterator[tuple[str, str]]:
    for folder in sorted((data / "web/mozilla_readability_pages/test-pages").iterdir()):
        yield (
            (folder / "source.html").read_text("utf-8", "replace"),
            page_text((folder / "expected.html").read_text("utf-8", "replace"), main=False),
        )


def archived(pattern: str, *, main: bool = True) -> Callable[[Path], Iterator[str]]:
    def texts(data: Path) -> Iterator[str]:
        for path in sorted(data.glob(pattern)):
            with open(path, "rb") as stream:
                for record in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True):
                    if "html" in (record.http_content_type or ""):
                        yield page_text(decoded(record.reader.read()), main=main)

    return texts


def books(data: Path) -> Iterator[str]:
    chance = random.Random(1)
    for path in sorted((data / "text/books_classic_markdown_a").rglob("*.md")):
        paged = list(pages_of(path.read_text("utf-8", "replace"), PAGE_OF_BOOK))
        yield from chance.sample(paged, min(len(paged), 5))


def pages_of(text: str, characters: int) -> Iterator[str]:
    """A long text cut at paragraphs."""
    page: list[str] = []
    for paragraph in text.split("\n\n"):
        page.append(paragraph)
        if sum(map(len, page)) >= characters:
            yield "\n\n".join(page)
            page = []
    yield "\n\n".join(page)


def encyclopedia(data: Path) -> Iterator[str]:
    """Sections of WikiText-2's articles, its tokens put together again."""
    for name in ("valid", "test"):
        whole = (data / f"text/wikitext2_valid_test/wikitext-2/{name}.txt").read_text("utf-8")
        for section in re.split(r"\n = .* = \n", whole):
            joined = re.sub(r" @(.)@ ", r"\1", section).replace("<unk>", "")
            joined = re.sub(r"\( ", "(", re.sub(r" ([,.;:!?)'])", r"\1", joined))
            yield re.sub(r"\n\s*\n+", "\n\n", re.sub(r" {2,}", " ", re.sub(r'" (.*?) "', r'"\1"', joined)))


def answers(data: Path) -> Iterator[str]:
    for path in sorted((data / "text/stackexchange_posts_a").rglob("Posts.xml")):
        for row in ElementTree.parse(path).getroot():
            if int(row.get("Score") or 0) >= GOOD_VOTES:
                yield plain(row.get("Body") or "")


def files(pattern: str, encoding: str = "utf-8", *, every: int = 1) -> Callable[[Path], Iterator[str]]:
    def texts(data: Path) -> Iterator[str]:
        for path in sorted(path for path in data.glob(pattern) if path.is_file())[::every]:
            yield path.read_text(encoding, "replace").lstrip("\ufeff")

    return texts


def speeches(data: Path) -> Iterator[str]:
    for folder in ("state_union", "inaugural"):
        for text in files(f"text/reuters21578_webtext_speeches/{folder}/*.txt", "latin-1")(data):
            yield from list(pages_of(text, 1_500))[:12]


def chatter(data: Path) -> Iterator[str]:
    """Overheard talk, personal advertisements, bug reports and wine notes: a line is a paragraph."""
    for name in ("overheard", "singles", "firefox", "wine"):
        path = data / f"text/reuters21578_webtext_speeches/webtext/{name}.txt"
        yield from list(pages_of(path.read_text("latin-1").replace("\n", "\n\n"), 800))[:150]


def articles(data: Path) -> Iterator[str]:
    [path] = (data / "neardup/minhash_articles_truth").rglob("*_1000.train")
    for line in path.read_text("utf-8", "replace").splitlines():
        yield line.partition(" ")[2]


def mail(*folders: str) -> Callable[[Path], Iterator[str]]:
    def texts(data: Path) -> Iterator[str]:
        for folder in folders:
            for path in sorted((data / "quality/spamassassin_mail_a" / folder).iterdir()):
                if path.is_file():
                    yield mail_text(email.message_from_bytes(path.read_bytes()))

    return texts


def mail_text(message: Message) -> str:
    """The first part of a mail that is text."""
    for part in message.walk():
        if part.get_content_maintype() == "text":
            content = part.get_payload(decode=True)
            raw = content if isinstance(content, bytes) else b""
            try:
                text = raw.decode(part.get_content_charset() or "latin-1", "replace")
            except LookupError:
                text = raw.decode("latin-1")
            return page_text(text, main=False) if part.get_content_subtype() == "html" else text
    return ""


def posts(data: Path) -> Iterator[str]:
    for text in files("text/newsgroups20_bydate/20news-bydate-test/*/*", "latin-1", every=12)(data):
        yield text.partition("\n\n")[2]


def garbage(data: Path) -> Iterator[str]:
    text = (data / "quality/ungoliant_garbage.txt").read_text("utf-8", "replace")
    return (text[start : start + 2_000] for start in range(0, len(text), 2_000))


_NLTK = "text/reuters21578_webtext_speeches"
_SERPS = "warc/aql_serp_warc_a"
_DANIEL, _TRAFILATURA = "web/daniel_multilingual_html_gold", "web/trafilatura_eval_html"
_SCRAPINGHUB, _MOZILLA = "web/scrapinghub_article_extraction", "web/mozilla_readability_pages"
_SPAM = "quality/spamassassin_mail_a"
SOURCES = (
    Source("daniel_rest", "training", "bad", _DANIEL, "what else stands on their pages", other_texts(daniel)),
    Source("blog_rest", "training", "bad", _TRAFILATURA, "the other lines", other_texts(trafilatura_pages)),
    Source("books", "training", "good", "text/books_classic_markdown_a", "pages of novels and essays", books),
    Source("encyclopedia", "training", "good", "text/wikitext2_valid_test", "sections of articles", encyclopedia),
    Source("answers", "training", "good", "text/stackexchange_posts_a", "posts of five votes or more", answers),
    Source("speeches", "training", "good", _NLTK, "presidents' speeches", speeches),
    Source("onestop", "training", "good", "quality/onestop_english_3levels", "news for learners, advanced",
           files("quality/onestop_english_3levels/Texts-SeparatedByReadingLevel/Adv-Txt/*.txt")),
    Source("results", "training", "bad", _SERPS, "main content of result pages", archived(f"{_SERPS}/*.warc.gz")),
    Source("results_whole", "training", "bad", _SERPS, "their whole text", archived(f"{_SERPS}/*.warc.gz", main=False)),
    Source("spam", "training", "bad", _SPAM, "spam mail", mail("spam-1", "spam-2")),
    Source("scrapinghub_articles", "unseen", "good", _SCRAPINGHUB, "articles, gold text", main_texts(scrapinghub)),
    Source("scrapinghub_rest", "unseen", "bad", _SCRAPINGHUB, "what else stands there", other_texts(scrapinghub)),
    Source("mozilla_articles", "unseen", "good", _MOZILLA, "articles, gold text", main_texts(mozilla)),
    Source("mozilla_rest", "unseen", "bad", _MOZILLA, "what else stands there", other_texts(mozilla)),
    Source("reuters", "unseen", "good", _NLTK, "news agency reports",
           files(f"{_NLTK}/reuters/*/*", "latin-1", every=12)),
    Source("minhash_articles", "unseen", "good", "neardup/minhash_articles_truth", "news articles", articles),
    Source("reviews", "unseen", "good", _NLTK, "film reviews", files(f"{_NLTK}/movie_reviews/*/*", "latin-1", every=4)),
    Source("garbage", "unseen", "bad", "quality/ungoliant_garbage.txt", "bytes of pictures as text", garbage),
    Source("chatter", "unseen", "bad", _NLTK, "overheard talk, personal ads, bug reports", chatter),
    Source("archive_org", "unseen", "bad", "warc/aut_warc_arc", "forum registers, log-ins, error pages of 2008",
           archived("warc/aut_warc_arc/warc/example.warc.gz")),
    Source("ham", "unseen", "neither", _SPAM, "mail that is no spam", mail("easy-ham-1", "easy-ham-2", "hard-ham-1")),
    Source("newsgroups", "unseen", "neither", "text/newsgroups20_bydate", "posts of 1993", posts),
)  # fmt: skip


def english(texts: Iterable[str]) -> list[str]:
    """Those that are long enough and, as far as can be told, English; none twice."""
    there = list(dict.fromkeys(text.strip()[:MAX_TEXT] for text in texts if len(text.strip()) >= MIN_TEXT))
    if not there:
        return []
    languages = Language().measure(TextBatch.of_texts(there)).column("language").to_pylist()
    return [text for text, language in zip(there, languages, strict=True) if language == "en"]


def cut(texts: Iterable[str], most: int) -> list[str]:
    """At most `most` pieces of texts, from all over them."""
    chance, pieces = random.Random(2), []
    for text in texts:
        for _ in range(PIECES_A_TEXT):
            length = int(math.exp(chance.uniform(math.log(MIN_PIECE), math.log(MAX_PIECE))))
            if len(text) <= length:
                pieces.append(text)
                break
            start = chance.randrange(len(text) - length)
            start = 1 + max(text.rfind("\n", max(start - PIECE_SLACK, 0), start), text.rfind(" ", 0, start))
            pieces.append(text[start : start + length])
    pieces = list(dict.fromkeys(pieces))
    return pieces if len(pieces) <= most else chance.sample(pieces, most)


def write_texts(data: Path, folder: Path, roles: Iterable[str], most: int | None) -> None:
    """Writes the texts of all sources of these roles, at most `most` of each unseen one, and `sources.json`."""
    with open(data / "MANIFEST.tsv", encoding="utf-8", newline="") as stream:
        licences = {
            row["file"].removesuffix(".tar.gz"): row["license"] for row in csv.DictReader(stream, delimiter="\t")
        }
    described = []
    for source in (source for source in SOURCES if source.role in roles):
        found = source.texts(data)
        texts = list(found) if source.name == "garbage" else english(found)
        if source.role == "training":
            texts = cut(texts, PIECES)
        elif most is not None and len(texts) > most:
            texts = random.Random(3).sample(texts, most)
        path = folder / source.role / source.kind / f"{source.name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        described.append(
            {
                **{key: getattr(source, key) for key in ("name", "role", "kind", "pack", "what")},
                "licence": licences[source.pack],
                "texts": len(texts),
                "characters": sum(map(len, texts)),
            }
        )
    (folder / "sources.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of the unpacked real data")
    parser.add_argument("--texts", type=Path, required=True, help="folder to write the texts to")
    parser.add_argument("--out", type=Path, default=MODEL, help="the model to write")
    parser.add_argument("--only-texts", choices=("training", "unseen", "all"), help="write these texts, train nothing")
    parser.add_argument("--most", type=int, help="texts of each unseen source")
    given = parser.parse_args()
    roles = ("training", "unseen") if given.only_texts == "all" else (given.only_texts or "training",)
    write_texts(given.data, given.texts, roles, given.most)
    if given.only_texts is None:
        command = [sys.executable, "-m", "corpusmill.pipeline.command", "train", "quality"]
        classes = [
            f"--{name}={given.texts}/training/{kind}" for name, kind in (("positive", "good"), ("negative", "bad"))
        ]
        given.out.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run([*command, *classes, f"--out={given.out}"], check=True)


if __name__ == "__main__":
    main()
