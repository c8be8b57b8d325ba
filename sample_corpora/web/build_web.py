#!/usr/bin/env python3
"""Pack the page sources in `pages/*.txt` into WARC files such as Common Crawl's.

Written into the output folder: `web-00.warc.gz`, `web-01.warc.gz`, `web-02.warc.gz` and `math-00.warc.gz`, each a
warcinfo record and then the responses, some with their request and metadata records. Every record is a gzip member of
its own. The article of a page is wrapped in one of seven site templates (`site_templates.py`), so that extraction has
something to remove.

A page source is a header line and a body:

    === url: https://host.example/path | title: A title | language: en | site: blog
    First paragraph.

    ## A heading

    - an item of a list

Fields besides those four, all optional:

| field | meaning |
|---|---|
| `copy_of` | the URL of the page whose title and body are taken; body lines `old => new` edit it, others are added |
| `keep` | with `copy_of`: how many of its first paragraphs to take |
| `repeat` | the body is repeated so many times |
| `mojibake` | how many times the article's UTF-8 was read as windows-1252 |
| `encoding`, `declare` | the page's encoding, and where it is declared: `meta`, `header` or `bom` |
| `status`, `type` | HTTP status (200), content type (text/html); what is not HTML has its body as it stands |
| `crawl` | `web` (where not said) or `math`: the files that the page goes into, and the source of its label |
| `place` | `damaged`, `healthy` or `truncated`: the last three members of the last file of `web` |
| `planted`, `verdict`, `stage`, `reason`, `group`, `note` | the row in `../expected.jsonl` |
| `rewritten` | what rewriters are to count: `email=2, mojibake.sequences=4`; without a stage it is of `pii` |
| `contains` | what must stand in the text that is kept |

A paragraph of the single word `---` starts the next post (forum template). Lines between two lines of three backquotes
are preformatted, those between two lines of three tildes are HTML as it stands.

Gzip members hold stored blocks, written here byte by byte: deflate output differs between zlib and zlib-ng, and these
files are to be the same everywhere.

`python3 build_web.py --labels` writes the rows of pages in `../expected.jsonl` again from the headers.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import struct
import sys
import uuid
import zlib
from pathlib import Path

import site_templates

HERE = Path(__file__).resolve().parent
LABELS = HERE.parent / "expected.jsonl"
FILES = {"web": 3, "math": 1}
SOURCES = {"web": "web", "math": "math_web"}  # what the recipe calls them
CRAWL_DATE = "2025-03-14T09:26:53Z"
FIELDS = frozenset(
    (
        *("url", "title", "language", "site", "copy_of", "keep", "repeat", "mojibake", "encoding", "declare", "status"),
        *("type", "crawl", "place", "planted", "verdict", "stage", "reason", "group", "rewritten", "contains", "note"),
    )
)
STATUS_TEXT = {200: "OK", 301: "Moved Permanently", 403: "Forbidden", 404: "Not Found", 500: "Internal Server Error"}
STORED_BLOCK = 4096
GZIP_HEADER = b"\x1f\x8b\x08\x00" + bytes(4) + b"\x00\xff"  # no name, no time, unknown system
GROUPS = {
    "exact_duplicate": ("exact_dedup", "exact_dedup/duplicate"),
    "near_duplicate": ("minhash_dedup", "minhash_dedup/near_duplicate"),
}


# Page sources


def read_pages(folder: Path = HERE / "pages") -> list[dict]:
    """Return the pages of all sources in the order of file names, with copies made and URLs checked to be unique."""
    pages: dict[str, dict] = {}
    for path in sorted(folder.glob("*.txt")):
        for block in re.split(r"^=== ", path.read_text(encoding="utf-8"), flags=re.M)[1:]:
            header, _, body = block.partition("\n")
            page = dict(field.split(": ", 1) for field in header.strip().split(" | "))
            if unknown := page.keys() - FIELDS:
                raise ValueError(f"{path.name}: {header!r}: unknown field {sorted(unknown)}")
            if page["url"] in pages:
                raise ValueError(f"{path.name}: {page['url']} is there already")
            page["body"] = body.strip("\n")
            pages[page["url"]] = page
    for page in pages.values():
        if "copy_of" in page:
            original = pages[page["copy_of"]]
            make_copy(page, original)
            if "group" in page:
                for member in (page, original):
                    for field in ("group", "planted"):
                        member.setdefault(field, page[field])
                    stage, reason = GROUPS[page["planted"]]
                    member.update(verdict="one_of_group", stage=stage, reason=reason)
        if "repeat" in page:
            page["body"] = "\n\n".join([page["body"]] * int(page["repeat"]))
    return list(pages.values())


def make_copy(page: dict, original: dict) -> None:
    """Fill in title, language and body of `page` from the page that it copies, with its edits and additions."""
    paragraphs = original["body"].split("\n\n")
    paragraphs = paragraphs[: int(page.get("keep", len(paragraphs)))]
    body = "\n\n".join(paragraphs)
    added = []
    for paragraph in filter(None, page["body"].split("\n\n")):
        if " => " not in paragraph:
            added.append(paragraph)
            continue
        for line in paragraph.splitlines():
            old, new = line.split(" => ")
            if body.count(old) != 1:
                raise ValueError(f"{page['url']}: {old!r} occurs {body.count(old)} times in {original['url']}")
            body = body.replace(old, new)
    page["body"] = "\n\n".join([body, *added])
    page.setdefault("title", original["title"])
    page.setdefault("language", original["language"])


def read_as_windows_1252(text: str) -> str:
    """Return the text as it looks when its UTF-8 bytes are taken for windows-1252."""
    return "".join(
        bytes([byte]).decode("cp1252", "ignore") or chr(byte)  # five bytes have no character: browsers give C1 controls
        for byte in text.encode("utf-8")
    )


# HTML


def article_html(page: dict) -> list[str]:
    """Return the HTML of each post of the page: one for an article, several for a forum thread."""
    posts: list[list[str]] = [[]]
    text = page["body"]
    for _ in range(int(page.get("mojibake", 0))):
        text = read_as_windows_1252(text)
    for part in re.split(r"^(```\n.*?\n```|~~~\n.*?\n~~~)$", text, flags=re.M | re.S):
        if part.startswith("```"):
            posts[-1].append(f"<pre><code>{html.escape(part[4:-4], quote=False)}</code></pre>")
            continue
        if part.startswith("~~~"):
            posts[-1].append(part[4:-4])
            continue
        for paragraph in filter(None, (block.strip("\n") for block in part.split("\n\n"))):
            escaped = html.escape(paragraph, quote=False)
            if paragraph == "---":
                posts.append([])
            elif paragraph.startswith("## "):
                posts[-1].append(f"<h2>{escaped[3:]}</h2>")
            elif paragraph.startswith("- "):
                items = "\n".join(f"<li>{line[2:]}</li>" for line in escaped.splitlines())
                posts[-1].append(f"<ul>\n{items}\n</ul>")
            else:
                posts[-1].append("<p>" + escaped.replace("\n", "<br>\n") + "</p>")
    return ["\n".join(post) for post in posts]


def page_payload(page: dict, neighbours: list[dict]) -> tuple[bytes, str]:
    """Return the body of the HTTP response and its content type."""
    kind = page.get("type", "text/html")
    if kind != "text/html":
        body = page["body"].encode()
        if kind == "image/png":
            body = b"\x89PNG\r\n\x1a\n" + b"".join(hashlib.sha256(bytes([i])).digest() for i in range(24))
        return body, kind
    if page.get("planted") == "empty_body":
        return b"", kind
    encoding, declare = page.get("encoding", "utf-8"), page.get("declare", "meta")
    charset = encoding if declare == "meta" else None
    text = site_templates.render(page, article_html(page), neighbours, charset)
    payload = b"\xff\xfe" + text.encode("utf-16-le") if declare == "bom" else text.encode(encoding, "xmlcharrefreplace")
    return payload, f"{kind}; charset={encoding}" if declare == "header" else kind


# WARC


def gzip_member(data: bytes) -> bytes:
    """Return `data` as one gzip member of stored blocks."""
    blocks = [data[at : at + STORED_BLOCK] for at in range(0, len(data), STORED_BLOCK)] or [b""]
    packed = (struct.pack("<BHH", block is blocks[-1], len(block), len(block) ^ 0xFFFF) + block for block in blocks)
    return b"".join([GZIP_HEADER, *packed, struct.pack("<II", zlib.crc32(data), len(data))])


def digest(data: bytes) -> str:
    """Return the SHA-1 of `data` as WARC headers give it."""
    return "sha1:" + base64.b32encode(hashlib.sha1(data).digest()).decode()


def record_id(kind: str, name: str) -> str:
    """Return a record id that depends on the record's kind and name alone."""
    return f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{kind} {name}')}>"


def warc_record(kind: str, name: str, block: bytes, fields: dict[str, str]) -> bytes:
    """Return a WARC record as a gzip member; `name` is the URL, or the file name of a warcinfo record."""
    head = {
        "WARC-Type": kind,
        "WARC-Date": CRAWL_DATE,
        "WARC-Record-ID": record_id(kind, name),
        "Content-Length": str(len(block)),
        **fields,
    }
    lines = "".join(f"{key}: {value}\r\n" for key, value in head.items())
    return gzip_member(f"WARC/1.0\r\n{lines}\r\n".encode() + block + b"\r\n\r\n")


def warcinfo_record(file_name: str) -> bytes:
    """Return the record that opens a file."""
    about = (
        "isPartOf: CORPUSMILL-SAMPLE\r\npublisher: corpusmill\r\nsoftware: sample_corpora/web/build_web.py\r\n"
        "description: made-up pages on reserved hosts; CC0-1.0\r\nformat: WARC File Format 1.0\r\n"
    )
    fields = {"WARC-Filename": file_name, "Content-Type": "application/warc-fields"}
    return warc_record("warcinfo", file_name, about.encode(), fields)


def request_record(url: str) -> bytes:
    """Return the request that the crawler sent for `url`."""
    host, _, path = url.removeprefix("https://").partition("/")
    block = (
        f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: corpusmill-sample/1.0\r\n"
        "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.7\r\nAccept-Encoding: gzip\r\n\r\n"
    ).encode()
    fields = {
        "Content-Type": "application/http; msgtype=request",
        "WARC-Target-URI": url,
        "WARC-Concurrent-To": record_id("response", url),
    }
    return warc_record("request", url, block, fields)


def response_record(page: dict, neighbours: list[dict]) -> bytes:
    """Return the response for a page, with its HTTP headers."""
    payload, content_type = page_payload(page, neighbours)
    status = int(page.get("status", 200))
    lines = [
        f"HTTP/1.1 {status} {STATUS_TEXT[status]}",
        "Date: Fri, 14 Mar 2025 09:26:53 GMT",
        "Server: nginx",
        f"Content-Type: {content_type}",
        *(["Location: https://moved.example/"] if status == 301 else []),
        "X-Crawler-Content-Encoding: gzip",
        "Vary: Accept-Encoding",
        f"Content-Length: {len(payload)}",
    ]
    block = "\r\n".join(lines).encode() + b"\r\n\r\n" + payload
    fields = {
        "Content-Type": "application/http; msgtype=response",
        "WARC-Target-URI": page["url"],
        "WARC-IP-Address": "192.0.2.80",
        "WARC-Payload-Digest": digest(payload),
        "WARC-Block-Digest": digest(block),
        "WARC-Identified-Payload-Type": content_type.partition(";")[0],
    }
    return warc_record("response", page["url"], block, fields)


def metadata_record(page: dict) -> bytes:
    """Return the crawler's notes on a page."""
    charset = page.get("encoding", "utf-8").upper()
    block = f"fetchTimeMs: {len(page['body']) % 900 + 40}\r\ncharset-detected: {charset}\r\n\r\n"
    fields = {
        "Content-Type": "application/warc-fields",
        "WARC-Target-URI": page["url"],
        "WARC-Concurrent-To": record_id("response", page["url"]),
    }
    return warc_record("metadata", page["url"], block.encode(), fields)


def damage(member: bytes) -> bytes:
    """Flip bytes in the middle of a gzip member: the lengths of its second block, and what follows them."""
    at = 10 + 5 + STORED_BLOCK
    return member[:at] + bytes(byte ^ 0xA5 for byte in member[at : at + 16]) + member[at + 16 :]


# The whole


def by_hash(page: dict) -> str:
    """Return the key by which pages are shuffled."""
    return hashlib.sha256(page["url"].encode()).hexdigest()


def build(out_dir: str | Path) -> list[Path]:
    """Write the WARC files into `out_dir`, and return their paths."""
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    pages = sorted(read_pages(), key=by_hash)
    linkable: dict[str, list[dict]] = {}
    for page in pages:
        if page.get("planted", "clean") == "clean" and "title" in page:
            linkable.setdefault(page["language"], []).append(page)
    files = {
        name: [warcinfo_record(name)]
        for crawl, count in FILES.items()
        for name in (f"{crawl}-{number:02d}.warc.gz" for number in range(count))
    }
    placed: dict[str, bytes] = {}
    for index, page in enumerate(pages):
        candidates = linkable.get(page.get("language", "en"), linkable["en"])
        neighbours = [candidates[(index * 7 + step * 5) % len(candidates)] for step in range(7)]
        member = response_record(page, neighbours)
        if "place" in page:
            placed[page["place"]] = member
            continue
        crawl = page.get("crawl", "web")
        records = files[f"{crawl}-{index % FILES[crawl]:02d}.warc.gz"]
        if index % 4 == 0:
            records.append(request_record(page["url"]))
        records.append(member)
        if index % 4 in (0, 2):
            records.append(metadata_record(page))
    truncated = placed["truncated"]
    last = files[f"web-{FILES['web'] - 1:02d}.warc.gz"]
    last += [damage(placed["damaged"]), placed["healthy"], truncated[: len(truncated) * 3 // 5]]
    paths = []
    for name, records in files.items():
        path = out_dir / name
        content = b"".join(records)
        if not path.exists() or path.read_bytes() != content:  # an unchanged file keeps its time, and a run its tasks
            path.write_bytes(content)
        paths.append(path)
    return paths


def label(page: dict) -> dict:
    """Return the page's row in `expected.jsonl`."""
    row = {
        "source": SOURCES[page.get("crawl", "web")],
        "url": page["url"],
        "verdict": page.get("verdict", "kept"),
        "stage": page.get("stage"),
        "reason": page.get("reason"),
        "planted": page.get("planted", "clean"),
        "note": page.get("note", ""),
    }
    if "group" in page:
        row["group"] = page["group"]
    if "rewritten" in page:
        pairs = (pair.split("=") for pair in page["rewritten"].split(", "))
        row["rewritten"] = {kind if "." in kind else f"pii.{kind}": int(count) for kind, count in pairs}
    if "contains" in page:
        row["contains"] = page["contains"]
    return row


def write_labels(path: Path = LABELS) -> None:
    """Write one row for each page, and leave the rows of files as they are."""
    others = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = sorted((label(page) for page in read_pages()), key=lambda row: (row["source"] != "web", row["url"]))
    rows += [row for row in others if "url" not in row]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["--labels"]:
        write_labels()
    else:
        build(sys.argv[1] if len(sys.argv) > 1 else HERE.parent / "built")
