"""Real web pages for the benchmarks of whole chains: slices of the shared real data's warc/pages.warc.gz.

Some 3,000 pages in German, English, Chinese, Greek, Polish and Russian, in the order of the packs that they come from.
Each gets the line that Common Crawl's records have, `WARC-Identified-Payload-Type: text/html`: without it datatrove
asks libmagic, which takes a fifth of these pages for something else, and leaves them out.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path


def write_pages(realdata: Path, folders: Mapping[int, Path], files: int) -> None:
    """Each folder gets so many pages, spread evenly over the archive, as `files` WARC files."""
    archive = realdata / "warc" / "pages.warc.gz"
    if not archive.exists():
        raise SystemExit(f"{archive}: is not there; name the folder of the real data with --data")
    members = list(gzip_members(archive.read_bytes()))
    for count, folder in folders.items():
        if count > len(members):
            raise SystemExit(f"{archive}: holds {len(members)} pages, and {count} were asked for")
        folder.mkdir(parents=True)
        chosen = [_labelled(members[index * len(members) // count]) for index in range(count)]
        for index in range(files):
            (folder / f"{index:05d}.warc.gz").write_bytes(b"".join(chosen[index::files]))


def _labelled(member: bytes) -> bytes:
    version, line_end, rest = gzip.decompress(member).partition(b"\r\n")
    label = b"WARC-Identified-Payload-Type: text/html\r\n"
    return gzip.compress(version + line_end + label + rest, compresslevel=6, mtime=0)


def gzip_members(data: bytes) -> Iterator[bytes]:
    """The members of a gzip file, still compressed."""
    view = memoryview(data)
    position = 0
    while position < len(data):
        member, begun = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS), position
        while not member.eof:
            if position >= len(data):
                raise SystemExit(f"the archive ends within the member that begins at byte {begun}")
            piece = view[position : position + 65_536]
            member.decompress(piece)
            position += len(piece)
        position -= len(member.unused_data)
        yield data[begun:position]
