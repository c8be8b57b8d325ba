"""Reading lists, the index file, the normal form of URLs and the kernels, against plain Python on hostile URLs."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusmill.documents.errors import InputError
from corpusmill.filters import url_kernels as kernels
from corpusmill.filters.key_table import key_table
from corpusmill.filters.normal_urls import normal_urls, plain_host
from corpusmill.filters.public_suffixes import PublicSuffixes, packaged_list, read_public_suffixes
from corpusmill.filters.url_lists import UrlIndex, build_index, find_lists, read_list, reports_text

PIECES = st.sampled_from(
    [
        "http://", "HTTPS:", "ftp://", "//", "/", "\\", "www.", "example.com", "EXAMPLE.com.", "co.uk", "a.", ".", "..",
        "user:pw@", "@", ":8080", ":", "?", "&", "=", ";", "#", "q", "dir/", "%41", "%2F", "%2e", "%", "%4", "%C3%BC",
        "ü", "Ü", "ß", "。", "食狮", "[::1]", "[", "]", " ", "\t", "\n", "\x00", "xn--", "-", "_", "1.2.3.4", "a" * 70,
    ]
)  # fmt: skip
URLS = st.lists(PIECES, max_size=12).map("".join)


def plain_normal(url: str) -> tuple[bytes, bytes]:
    """The host and what follows it in the normal form, by regular expressions."""
    url = url.lstrip("".join(map(chr, range(0x21))))
    begun = re.match(r"(?:[A-Za-z0-9+.-]+:(?=[/\\]{2})|(?i:https?):)?[/\\]*", url)
    authority = re.match(r"[^/\\?#]*", url[begun.end() :])[0]
    rest = url[begun.end() + len(authority) :].rstrip("".join(map(chr, range(0x21))))
    if begun.end() + len(authority) == len(url):
        authority = authority.rstrip("".join(map(chr, range(0x21))))
    host = authority.rpartition("@")[2]
    host = host[: host.rfind("]") + 1] if host.startswith("[") else host.partition(":")[0]
    host = host.rstrip(".")
    if not host.isascii() or re.search(r"[%\t\r\n]", host):
        host = plain_host(host)
    rest = re.sub(r"%([0-9A-Fa-f]{2})", decoded_once, rest.partition("#")[0])
    rest = re.sub(r"[\t\r\n]", "", rest)
    path, query, tail = rest.partition("?")
    rest = path.replace("\\", "/") + query + tail
    return lowered(host), lowered(rest)


def decoded_once(found: re.Match[str]) -> str:
    character = chr(int(found[1], 16))
    return character if re.match(r"""[A-Za-z0-9._~"<>^`{|}-]""", character) else found[0]


def lowered(text: str) -> bytes:
    return text.encode().lower()


def parts_of(urls: list[str]) -> list[tuple[bytes, bytes]]:
    normal = normal_urls(pa.array(urls, pa.string()))
    bounds = zip(normal.offsets[:-1].tolist(), normal.host_ends.tolist(), normal.offsets[1:].tolist(), strict=True)
    return [(normal.text[start:end].tobytes(), normal.text[end:stop].tobytes()) for start, end, stop in bounds]


@settings(max_examples=400)
@given(st.lists(URLS, max_size=4))
def test_the_normal_form_is_that_of_plain_python(urls: list[str]) -> None:
    assert parts_of(urls) == [plain_normal(url) for url in urls]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://user:pw@WWW.Example.com.:8080/", "www.example.com"),
        ("example.com/path", "example.com"),
        ("http:\\\\example.com\\path", "example.com"),
        ("https:example.com", "example.com"),
        ("  \n http://example.com", "example.com"),
        ("http://exam\nple.com/", "example.com"),
        ("http://Bücher.example/", "xn--bcher-kva.example"),
        ("http://b%C3%BCcher.example/", "xn--bcher-kva.example"),
        ("http://食狮。中国/", "xn--85x722f.xn--fiqs8s"),
        ("http://☃️.example/", "xn--n3h.example"),
        ("http://a%2Fb.example/", ""),
        ("http://[2001:db8::1]:80/", "[2001:db8::1]"),
        ("http://" + "ü" * 3000 + ".example/", ""),
        ("", ""),
        ("/only/a/path", "only"),
    ],
)
def test_a_url_s_host_is_found(url: str, host: str) -> None:
    assert normal_urls(pa.array([url])).hosts().to_pylist() == [host]


def suffixes(tmp_path: Path, rules: str) -> PublicSuffixes:
    """A list of our own rules behind enough others to be a whole one."""
    filler = "\n".join(f"filler{number}" for number in range(120))
    path = tmp_path / "suffixes.dat"
    path.write_text(
        f"// ===BEGIN ICANN DOMAINS===\n{filler}\n{rules}\n// ===END ICANN DOMAINS===\n"
        "// ===BEGIN PRIVATE DOMAINS===\nblogs.test\n// ===END PRIVATE DOMAINS===\n"
    )
    return read_public_suffixes(path)


@pytest.fixture(scope="module")
def packaged() -> PublicSuffixes:
    return read_public_suffixes(packaged_list())


HOSTS = st.lists(st.sampled_from(["www", "a", "b", "co", "uk", "com", "x"]), min_size=1, max_size=5).map(".".join)
RESTS = st.lists(st.sampled_from(["/", "?", "&", "=", ";", "a", "b", "dir", "v=1"]), max_size=6).map(
    lambda parts: "/" + "".join(parts)
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(HOSTS, st.sampled_from(["one", "two"]), max_size=4),
    st.dictionaries(st.tuples(HOSTS, RESTS), st.sampled_from(["one", "two"]), max_size=4),
    st.lists(st.tuples(HOSTS, RESTS), max_size=6),
)
def test_the_index_finds_what_plain_python_finds(
    tmp_path_factory: pytest.TempPathFactory,
    domains: dict[str, str],
    urls: dict[tuple[str, str], str],
    asked: list[tuple[str, str]],
) -> None:
    rules = {"com", "uk", "co.uk", "x"}
    folder = tmp_path_factory.mktemp("index")
    listed: dict[str, list[str]] = {}
    for host, category in domains.items():
        listed.setdefault(category, []).append(host)
    for (host, rest), category in urls.items():
        listed.setdefault(category, []).append(host + rest)
    if not listed:
        return
    for category, entries in listed.items():
        (folder / f"{category}.txt").write_text("\n".join(entries))
    lists = find_lists([str(folder / f"{category}.txt") for category in listed])
    build_index(lists, suffixes(folder, "com\nuk\nco.uk\nx")).save(folder / "index")
    index = UrlIndex.load(folder / "index")

    asked += [*urls, *((host, "/") for host in domains)]
    normal = normal_urls(pa.array([f"http://{host}{rest}" for host, rest in asked], pa.string()))
    found = [np.zeros((len(asked), 1), np.uint64) for _ in range(2)]
    kernels.match_hosts(
        normal.offsets, normal.host_ends, normal.text, index.keys, index.values, index.slots, index.max_boundaries,
        index.masks, *found,
    )  # fmt: skip

    def plain(host: str) -> str:
        return host[4:] if re.match(r"www\..*\.", host) else host

    # A URL with nothing behind its host but slashes is a domain.
    entries = [*domains.items(), *((host, category) for (host, rest), category in urls.items() if not rest.strip("/"))]
    beginnings = [
        (plain(host) + rest.rstrip("/"), category) for (host, rest), category in urls.items() if rest.strip("/")
    ]
    for row, (host, rest) in enumerate(asked):
        by_host = {
            category
            for name, category in entries
            if name in (host, plain(host)) or (host.endswith(f".{name}") and name not in rules and "." in name)
        }
        whole = plain(host) + rest
        by_url = {
            category
            for beginning, category in beginnings
            if whole == beginning or (whole.startswith(beginning) and whole[len(beginning)] in "/?&;=")
        }
        names = [index.names(masks[row : row + 1]).to_pylist()[0] for masks in found]
        assert names == ["+".join(sorted(by_host)) or None, "+".join(sorted(by_url)) or None]


WORD_PIECES = st.lists(st.sampled_from(["sea", "Sea", "SEAS", "é", "-", "/", "?", "%73ea", "7"]), max_size=10)


@settings(max_examples=200)
@given(st.lists(WORD_PIECES.map("".join), max_size=4))
def test_words_are_those_of_plain_python(pieces: list[str]) -> None:
    words = {"sea": kernels.HARD, "7": kernels.SOFT, "seas": kernels.SOFT, "sea7": kernels.HARD | kernels.SOFT}
    listed = normal_urls(pa.array(list(words)))
    keys = np.empty(len(words), np.uint64)
    kernels.key_hosts(listed.offsets, listed.host_ends, listed.text, keys)
    values = np.array([number << 2 | bits for number, bits in enumerate(words.values())], np.uint32)
    table = key_table(keys, values)
    normal = normal_urls(pa.array([f"x.example/{piece}" for piece in pieces], pa.string()))
    first, soft = np.empty(len(pieces), np.int32), np.empty(len(pieces), np.int32)
    last_seen = np.full(len(words), -1, np.int64)
    kernels.match_words(normal.offsets, normal.text, table.keys, table.values, table.slots, last_seen, first, soft)
    for row, piece in enumerate(pieces):
        found = re.findall(r"[a-z0-9\x80-\U0010ffff]+", b"".join(plain_normal(f"x.example/{piece}")).decode())
        hard = [word for word in found if words.get(word, 0) & kernels.HARD]
        assert first[row] == (list(words).index(hard[0]) if hard else -1)
        assert soft[row] == len({word for word in found if words.get(word, 0) & kernels.SOFT})


@settings(max_examples=200)
@given(st.sets(st.integers(1, 2**64 - 1), max_size=60), st.lists(st.integers(1, 2**64 - 1), max_size=20))
def test_a_key_table_finds_its_keys_and_no_others(keys: set[int], others: list[int]) -> None:
    listed = np.array(sorted(keys, key=lambda key: key * 0x9E3779B97F4A7C15 % 2**64), np.uint64)
    table = key_table(listed, np.arange(len(listed), dtype=np.uint32))
    for key in [*listed.tolist(), *others]:
        home = (key >> 32) * table.slots >> 32
        slot = next((slot for slot in range(home, len(table.keys)) if table.keys[slot] in (0, key)), None)
        stands = slot is not None and int(table.keys[slot]) == key
        assert stands == (key in keys)
        if stands:
            assert listed[table.values[slot]] == key


def test_the_order_of_lists_and_lines_does_not_change_the_index(tmp_path: Path, packaged: PublicSuffixes) -> None:
    (tmp_path / "one").write_text("a.example\nb.example/x\nc.example\na.example\n")
    (tmp_path / "two").write_text("c.example\n")
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "one").write_text("c.example\nb.example/x\n\na.example\na.example\n")
    digests = [
        build_index(find_lists([str(path) for path in paths]), packaged).save(tmp_path / "index")
        for paths in ([tmp_path / "one", tmp_path / "two"], [tmp_path / "two", tmp_path / "again" / "one"])
    ]
    assert digests[0] == digests[1]


def test_lists_are_read_in_all_their_layouts(tmp_path: Path, packaged: PublicSuffixes) -> None:
    ut1 = tmp_path / "ut1"
    for name, content in {
        "adult/domains": "a.example\n",
        "adult/urls": "forum.example/x\n",
        "adult/usage": "black\n",
        "adult/expressions": "(a|b)\n",
        "empty/domains": "",
    }.items():
        (ut1 / name).parent.mkdir(parents=True, exist_ok=True)
        (ut1 / name).write_text(content)
    hosts = tmp_path / "hosts.txt"
    hosts.write_text(
        "127.0.0.1 localhost\n::1 localhost\n0.0.0.0 ads.example tracker.example # both\n# 0.0.0.0 no.example\n"
    )
    plain = tmp_path / "plain.gz"
    plain.write_bytes(gzip.compress(b"  p.example # comment\r\nhttps://user@q.example:80/path#top\r\n\r\n*.co.uk\n"))
    files = find_lists([str(ut1 / "adult"), str(hosts), f"mine={plain}"])
    assert [file.category for file in files] == ["adult", "adult", "hosts", "mine"]
    built = build_index(files, packaged)
    assert built.entries() == {"adult": 2, "hosts": 2, "mine": 3}
    built.save(tmp_path / "index")
    index = UrlIndex.load(tmp_path / "index")
    assert index.categories == ("adult", "hosts", "mine")
    assert index.facts["entries"] == built.entries()
    with pytest.raises(InputError, match=r"empty.domains: no domain and no URL is listed in it; leave it out"):
        build_index(find_lists([str(ut1)]), packaged)


def test_a_report_names_broken_lines_and_public_suffixes(tmp_path: Path, packaged: PublicSuffixes) -> None:
    path = tmp_path / "list"
    path.write_text("co.uk\n" + "".join(f"site{number}.example\n" for number in range(150)) + "||ads.example^\n")
    report = read_list(find_lists([str(path)])[0], packaged).report
    assert (report.entries, report.broken, report.suffixes) == (151, 1, ("co.uk",))
    assert list(reports_text([report])) == [
        f'{path}: passed over 1 lines (line 152: "||ads.example^")',
        f"{path}: 1 public suffixes, listed for themselves alone: co.uk",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"no domain and no URL is listed in it; leave it out"),
        (b"# nothing\n\n", r"no domain and no URL is listed in it"),
        (
            b"||ads.example^\n@@||x.example^\n",
            r'2 of 2 entries are neither domains nor URLs \(line 1: "\|\|ads.example',
        ),
        (b"two words\nthree more words\n", r"2 of 2 entries are neither domains nor URLs"),
        (b"caf\xe9.example\n", r"is no UTF-8 text"),
        (gzip.compress(b"a.example\n" * 999, mtime=0)[:-20], r"cannot be read to its end"),
    ],
)
def test_a_broken_list_is_refused(tmp_path: Path, packaged: PublicSuffixes, content: bytes, message: str) -> None:
    path = tmp_path / ("list.gz" if content.startswith(b"\x1f\x8b") else "list.txt")
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        build_index(find_lists([str(path)]), packaged)


def test_paths_that_are_no_lists_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: there is no such list"):
        find_lists(["nowhere"])
    with pytest.raises(InputError, match=r"holds no list; a folder's categories are folders with the files"):
        find_lists([str(tmp_path)])
    (tmp_path / "a+b").write_text("a.example\n")
    with pytest.raises(InputError, match=r'"a\+b" cannot name a category; .* NAME='):
        find_lists([str(tmp_path / "a+b")])


def test_too_many_categories_are_refused(tmp_path: Path, packaged: PublicSuffixes) -> None:
    (tmp_path / "list").write_text("a.example\n")
    lists = find_lists([f"c{number}={tmp_path / 'list'}" for number in range(257)])
    with pytest.raises(InputError, match="257 categories are too many; an index holds up to 256"):
        build_index(lists, packaged)
    build_index(lists[:256], packaged).save(tmp_path / "index")
    index = UrlIndex.load(tmp_path / "index")
    assert index.names(index.masks).to_pylist() == [None, "+".join(sorted(f"c{number}" for number in range(256)))]


@pytest.fixture
def index_bytes(tmp_path: Path, packaged: PublicSuffixes) -> bytes:
    (tmp_path / "list").write_text("a.example\nb.example/x\n")
    build_index(find_lists([str(tmp_path / "list")]), packaged).save(tmp_path / "index")
    return (tmp_path / "index").read_bytes()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: b"", r"is no index of URLs; lists become one by `corpusmill urls build`"),
        (lambda content: b"PK\x03\x04" + content, r"is no index of URLs"),
        (lambda content: content[:20], r"is a damaged index of URLs"),
        (lambda content: content[:16] + b"\xff" * 8 + content[24:], r"is a damaged index of URLs \(a header of"),
        (lambda content: content[:-1], r"bytes instead of .*, so it was cut short"),
        (lambda content: content[:-6] + b"\x01" + content[-5:], r"differs from the index of URLs that was"),
        (lambda content: content.replace(b'"slots": 4', b'"slots": 3'), r"differs from the index of URLs"),
        (lambda content: content.replace(b'"format": 1', b'"format": 2'), r"was made by another version of corpusmill"),
        (lambda content: content.replace(b'"slots"', b'"slits"'), r"is a damaged index of URLs"),
    ],
)  # fmt: skip
def test_a_damaged_index_is_refused(tmp_path: Path, index_bytes: bytes, damage: object, message: str) -> None:
    path = tmp_path / "damaged"
    path.write_bytes(damage(index_bytes))  # type: ignore[operator]
    assert path.read_bytes() != index_bytes
    with pytest.raises(InputError, match=message):
        UrlIndex.load(path)


def test_a_missing_index_is_named() -> None:
    with pytest.raises(InputError, match=r"nowhere.idx: there is no such index of URLs; make one with"):
        UrlIndex.load(Path("nowhere.idx"))


@pytest.mark.realdata
def test_registrable_domains_are_those_of_the_list_s_own_tests(realdata: Path) -> None:
    folder = realdata / "urls" / "badwords_psl_easylist" / "psl"
    rows = [
        line.split()
        for line in (folder / "tests" / "tests.txt").read_text().splitlines()
        if line.strip() and not line.startswith("//")
    ]
    rules = read_public_suffixes(folder / "public_suffix_list.dat", private=True)
    found = rules.registrable_domains(pa.array([host for host, _ in rows])).to_pylist()
    assert len(rows) > 70
    assert found == [None if domain == "null" else plain_host(domain) for _, domain in rows]


def test_private_suffixes_are_suffixes_when_asked_for(tmp_path: Path) -> None:
    suffixes(tmp_path, "test")
    hosts = pa.array(["a.b.blogs.test", "https://blogs.test/x", "1.2.3.4", "[::1]", None])
    found = {private: read_public_suffixes(tmp_path / "suffixes.dat", private=private) for private in (False, True)}
    assert found[False].registrable_domains(hosts).to_pylist() == ["blogs.test", "blogs.test", None, None, None]
    assert found[True].registrable_domains(hosts).to_pylist() == ["b.blogs.test", None, None, None, None]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"0 rules and 0 of 2 sections are no whole public suffix list; get it anew"),
        (b"com\nnet\n", r"0 rules and 0 of 2 sections"),
        (b"// ===BEGIN ICANN DOMAINS===\na.*.b\n", r'line 2, "a.\*.b", is no rule'),
        (b"\xff\xfe", r"is no public suffix list that can be read"),
    ],
)
def test_a_broken_suffix_list_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "list.dat"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_public_suffixes(path)
    with pytest.raises(InputError, match=r"nowhere.dat: there is no such public suffix list"):
        read_public_suffixes(tmp_path / "nowhere.dat")


def test_a_whole_suffix_list_that_was_cut_is_refused(tmp_path: Path) -> None:
    text = packaged_list().read_text()
    (tmp_path / "cut.dat").write_text(text[: len(text) // 2])
    with pytest.raises(InputError, match=r"of 2 sections are no whole public suffix list"):
        read_public_suffixes(tmp_path / "cut.dat")
