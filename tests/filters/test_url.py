"""The URL filter: titled cases, datatrove's filter as the oracle where both mean the same, and bad lists."""

from __future__ import annotations

import gzip
import json
import pickle
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from datatrove.data import Document
from datatrove.pipeline.filters.url_filter import URLFilter
from tldextract import TLDExtract

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.errors import InputError, RecipeError
from corpusmill.documents.shards import sha256_of
from corpusmill.filters.public_suffixes import packaged_list, read_public_suffixes
from corpusmill.filters.url import Reason, Url
from corpusmill.filters.url_lists import build_index, find_lists

CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "cases" / "url.jsonl").read_text(encoding="utf-8").splitlines()
]
LISTS = {
    "gambling/domains": "casino.example\nspielbörse.example\n192.0.2.7\n",
    "adult/domains": "co.uk\n*.gov.test\n",
    "adult/urls": "forum.example/adults/\nhttp://www.forum.example/show?v=12\n",
    "school/domains": "odds.casino.example\nschool.example\n",
}
WORDS = {
    "words": "# comment\nXXvideo\n",
    "soft_words": "babes\nhot\n",
    "substrings": "alaskan pipeline\n",
}

THEIRS = {
    "domain": "domain",
    "subdomain": "domain",
    "url": "url",
    "hard_blacklisted": "word",
    "soft_blacklisted": "soft_words",
    "blacklisted_subword": "substring",
}


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Paths of an index and of word lists."""
    folder = tmp_path_factory.mktemp("lists")
    for name, content in LISTS.items():
        (folder / "ut1" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "ut1" / name).write_text(content)
    rules = read_public_suffixes(packaged_list())
    build_index(find_lists([str(folder / "ut1")]), rules).save(folder / "blocked.idx")
    for name, content in WORDS.items():
        (folder / f"{name}.txt").write_text(content)
    return {"index": str(folder / "blocked.idx"), **{name: str(folder / f"{name}.txt") for name in WORDS}}


def batch_of(urls: list[str | None]) -> TextBatch:
    return TextBatch.of_texts([""] * len(urls)).with_column("url", pa.array(urls, pa.string()))


def reasons_of(stage: Url, urls: list[str | None]) -> list[str | None]:
    verdicts = stage.judge(stage.measure(batch_of(urls))).to_pylist()
    return [None if index is None else list(Reason)[index].value for index in verdicts]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["title"])
def test_a_case_is_judged_as_its_title_says(case: dict[str, Any], options: dict[str, str]) -> None:
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in case.get("options", {}).items()}
    assert reasons_of(Url(**options, **given), [case["url"]]) == [case["reason"]]


def test_every_declared_reason_has_a_case() -> None:
    assert {case["reason"] for case in CASES} - {None} == {reason.value for reason in Reason}


def test_measures_say_what_matched(options: dict[str, str]) -> None:
    urls = ["https://odds.casino.example/", "http://forum.example/adults", "http://hot.example/xxvideo", None, "x"]
    measures = Url(**options).measure(batch_of(urls))
    assert measures.schema == Url.measures
    nothing = dict.fromkeys(Url.measures.names)
    assert measures.to_pylist() == [
        {**nothing, "domain_categories": "gambling+school", "soft_words": 0},
        {**nothing, "url_categories": "adult", "soft_words": 0},
        {**nothing, "word": "xxvideo", "soft_words": 1},
        nothing,
        {**nothing, "soft_words": 0},
    ]


def test_thresholds_do_not_change_what_is_measured(options: dict[str, str]) -> None:
    batch = batch_of([case["url"] for case in CASES])
    other = Url(**options, categories=("adult",), allow=("school",), max_soft_words=None)
    assert other.measure(batch) == Url(**options).measure(batch)


def test_verdicts_do_not_depend_on_the_other_documents(options: dict[str, str]) -> None:
    urls = [case["url"] for case in CASES]
    together = reasons_of(Url(**options), urls)
    assert together == [reasons_of(Url(**options), [url])[0] for url in urls]
    sliced = TextBatch(batch_of(urls).documents.slice(7, 9))
    assert Url(**options).measure(sliced) == Url(**options).measure(batch_of(urls)).slice(7, 9)


def test_a_batch_of_no_documents_has_no_verdicts(options: dict[str, str]) -> None:
    assert reasons_of(Url(**options), []) == []


def test_a_worker_gets_the_stage_without_its_lists(options: dict[str, str]) -> None:
    stage = Url(**options)
    stage.prepare()
    sent = pickle.dumps(stage)
    assert len(sent) < 2000
    assert reasons_of(pickle.loads(sent), ["http://casino.example"]) == ["domain"]  # noqa: S301


def test_files_enter_the_fingerprint(options: dict[str, str]) -> None:
    assert [str(path) for path in Url(**options).files()] == [
        options[name] for name in ("index", "words", "soft_words", "substrings")
    ]


def test_an_index_or_list_that_was_replaced_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("tide\n")
    assert reasons_of(Url(words=str(path)), ["https://tide.example"]) == ["word"]
    path.write_text("ebb, and other words\n")
    assert reasons_of(Url(words=str(path)), ["https://tide.example"]) == [None]


@pytest.mark.realdata
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_decisions_equal_datatroves_where_both_mean_the_same(realdata: Path, tmp_path: Path) -> None:
    """On real URLs in lower case, of ASCII, without percent signs and fragments, which are read otherwise there."""
    with gzip.open(realdata / "warc" / "pages.warc.gz") as stream:
        pages = stream.read()
    blacklists = realdata / "urls" / "ut1_blacklists" / "blacklists"
    listed = [url for kind in ("adult", "phishing") for url in (blacklists / kind / "urls").read_text().split()]
    urls = [url.decode() for url in re.findall(rb"WARC-Target-URI: (\S+)", pages)]
    urls += [f"http://{url}" for url in listed]
    urls = [url.lower() for url in urls if url.isascii() and not {"%", "#"} & set(url)]
    domains = [*(blacklists / "press" / "domains").read_text().split(), "tumblr.com", "itch.io", "pages.dev"]
    words = {
        "words": ["sex", "teen", "2014", "news"],
        "soft_words": ["hot", "de", "com"],
        "substrings": ["lust", "log in"],
    }
    for name, values in words.items():
        (tmp_path / name).write_text("\n".join(values))
    (tmp_path / "domains").write_text("\n".join(domains))
    index = build_index(find_lists([f"press={tmp_path / 'domains'}"]), read_public_suffixes(packaged_list()))
    index.save(tmp_path / "index")

    ours = reasons_of(Url(**{name: str(tmp_path / name) for name in ("index", *words)}), urls)
    oracle = URLFilter(
        extra_domains=domains, banned_words=words["words"], soft_banned_words=words["soft_words"],
        banned_subwords=words["substrings"], use_integrated_lists=False,
    )  # fmt: skip
    oracle.tldextractor = TLDExtract(suffix_list_urls=())  # its own copy of the list, and no network
    theirs = [oracle.filter(Document(text="", id="", metadata={"url": url})) for url in urls]
    expected = [None if verdict is True else THEIRS[verdict[1]] for verdict in theirs]

    assert len(urls) > 10_000
    assert [row for row in zip(urls, ours, expected, strict=True) if row[1] != row[2]] == []
    assert min(ours.count(reason) for reason in ("domain", "word", "soft_words", "substring")) > 20


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, r"url: nothing to look for; give at least one of index, words, soft_words, substrings"),
        ({"words": "w", "allow": ("x",)}, r"categories are those of an index; give its path as url.index"),
        ({"index": "i", "categories": "adult"}, r'url.categories: "adult" must be a list: \["adult"\]'),
    ],
)
def test_a_recipe_that_cannot_be_meant_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Url(**given)


def test_a_category_that_the_index_lacks_is_refused_with_the_nearest(options: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r'url.categories: "adlt" is no category of .*; did you mean "adult"\?'):
        Url(index=options["index"], categories=("adlt",)).prepare()
    with pytest.raises(InputError, match=r'url.allow: "zzz" is no category .*; it has adult, gambling, school'):
        Url(index=options["index"], allow=("zzz",)).prepare()


def test_an_index_of_another_sha256_is_refused(options: dict[str, str]) -> None:
    Url(index=options["index"], sha256=sha256_of(Path(options["index"]))).prepare()
    with pytest.raises(InputError, match=r"its sha256 is [0-9a-f]{64}, but the recipe asks for 00ff"):
        Url(index=options["index"], sha256="00ff").prepare()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"no word is listed in it; give one a line"),
        (b"# only a comment\n--\n", r"no word is listed in it"),
        (b"caf\xe9\n", r"is no UTF-8 text"),
        (b"x" * 4_000_001, r"is larger than 4,000,000 bytes, and no list of words"),
    ],
)
@pytest.mark.parametrize("name", ["words", "soft_words", "substrings"])
def test_a_broken_list_of_words_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        Url(**{name: str(path)}).prepare()


def test_a_missing_list_is_named() -> None:
    with pytest.raises(InputError, match=r"nowhere.txt: there is no such list of words"):
        Url(words="nowhere.txt").prepare()
