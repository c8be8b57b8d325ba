"""WebDataset: tar files in which the members of a sample stand together, `KEY.txt` and `KEY.json`.

Written after POSIX.1-1988 (ustar), the layout that every tar reads, and the naming that the webdataset library groups
by: what stands before the first dot is the key, the rest names the field.

    <split>/<stem>.tar
        00000-0000000012.txt     the text, UTF-8
        00000-0000000012.json    everything else (json_rows.py), `id` among it

A key is the shard's number and the document's row in it: ids can have dots and slashes, and a document that a mix
repeats would end a sample with its own key. Headers say nothing of machine or time (owner 0, date 0, mode 0644), so
that the same documents are the same bytes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.mix.exports.contract import Documents, Export, Finished, Format, Group, Place, Writer
from corpusmill.mix.exports.json_rows import json_rows
from corpusmill.mix.exports.records import cells, joined, lengths, of_ends

_BLOCK = 512
_RECORD = 20 * _BLOCK
"""A tar file is a whole number of these."""
_PLACE_DIGITS = 10
_SIZE = slice(124, 135)
_CHECKSUM = slice(148, 156)


class _TarWriter(Writer):
    def __init__(self, place: Place, export: Export) -> None:
        super().__init__(place, export)
        self._stream = self.file(".tar")
        number = re.search(r"-(\d+)-of-", place.stem)
        self._shard = number[1] if number else re.sub(r"\W", "_", place.stem)
        self._bytes = 0

    def write(self, documents: Documents) -> None:
        rows = json_rows(documents.rows, text=False)
        texts = documents.rows.column("text")
        objects = of_ends(rows.ends, rows.data)
        places = documents.numbers
        members = joined(
            [
                *_member(self._shard, places, b".txt", texts),
                *_member(self._shard, places, b".json", objects),
            ]
        )
        self._stream.write(members.data.data)
        self._bytes += len(members.data)

    def end(self) -> dict[str, Any]:
        self._stream.write(bytes(2 * _BLOCK + -(self._bytes + 2 * _BLOCK) % _RECORD))
        return {}


class WebDataset(Format):
    """Tar files of texts with what is known of them."""

    name = "webdataset"

    def writer(self, place: Place, export: Export) -> Writer:
        return _TarWriter(place, export)

    def finish(self, export: Export, groups: Sequence[Group]) -> Finished:
        paste = ["import webdataset as wds"]
        for split in dict.fromkeys(group.split for group in groups):
            variable = re.sub(r"\W", "_", split)
            own = [group for group in groups if group.split == split]
            if export.by is None:
                paste.append(f"{variable} = {_loader(own[0])}")
            else:
                total = sum(group.documents for group in own)
                shares = ", ".join(f"{group.documents / total:.6f}" for group in own)
                paste += [f"{variable} = {{", *(f"    {group.name!r}: {_loader(group)}," for group in own), "}"]
                paste.append(
                    f"{variable}_mixed = wds.RandomMix(list({variable}.values()), probs=[{shares}], longest=True)"
                )
        return Finished(paste=tuple(paste))


def _loader(group: Group) -> str:
    """Reads a group's files, in Python."""
    names = _braces([f"{written.stem}.tar" for written in group.written])
    urls = [str(group.folder.resolve() / name) for name in names]
    return (
        f'wds.WebDataset({urls if len(urls) > 1 else urls[0]!r}, shardshuffle=False).decode().to_tuple("txt", "json")'
    )


def _member(shard: str, places: NDArray[np.int64], extension: bytes, contents: pa.Array) -> list[pa.Array]:
    """Headers, contents and what fills the last blocks, one member for each row."""
    sizes = lengths(contents)
    filling = np.cumsum(-sizes % _BLOCK)
    zeros = np.zeros(int(filling[-1]) if len(filling) else 0, np.uint8)
    return [cells(headers(shard, places, extension, sizes)), contents, of_ends(filling, zeros)]


def headers(shard: str, places: NDArray[np.int64], extension: bytes, sizes: NDArray[np.int64]) -> NDArray[np.uint8]:
    """uint8[n, 512]: the ustar headers of regular files `<shard>-<place><extension>`."""
    prefix = f"{shard}-".encode()
    header = np.zeros((len(places), _BLOCK), np.uint8)
    digits = slice(len(prefix), len(prefix) + _PLACE_DIGITS)
    header[:, : len(prefix)] = np.frombuffer(prefix, np.uint8)
    header[:, digits] = _digits(places, 10, _PLACE_DIGITS)
    header[:, digits.stop : digits.stop + len(extension)] = np.frombuffer(extension, np.uint8)
    for place, text in ((100, b"0000644"), (108, b"0000000"), (116, b"0000000"), (136, b"00000000000"), (156, b"0"),
                        (257, b"ustar\0" b"00")):  # fmt: skip
        header[:, place : place + len(text)] = np.frombuffer(text, np.uint8)
    header[:, _SIZE] = _digits(sizes, 8, 11)
    header[:, _CHECKSUM] = ord(" ")
    sums = header.sum(axis=1, dtype=np.int64)
    header[:, _CHECKSUM.start : _CHECKSUM.start + 6] = _digits(sums, 8, 6)
    header[:, _CHECKSUM.start + 6] = 0
    return header


def _digits(values: NDArray[np.int64], base: int, width: int) -> NDArray[np.uint8]:
    """uint8[n, width]: the numbers in ASCII, with zeros before."""
    powers = base ** np.arange(width - 1, -1, -1, dtype=np.int64)
    return (values[:, None] // powers % base + ord("0")).astype(np.uint8)


def _braces(names: Sequence[str]) -> list[str]:
    """The names as one pattern, `train-{00000..00007}-of-00008.tar`, where their numbers follow one another."""
    parts = [re.fullmatch(r"(.*-)(\d+)(-of-\d+\.tar)", name) for name in names]
    if len(names) > 1 and all(parts):
        found = [part.groups() for part in parts if part]
        numbers = [int(number) for _, number, _ in found]
        if numbers == list(range(numbers[0], numbers[0] + len(names))) and len({(a, c) for a, _, c in found}) == 1:
            return [f"{found[0][0]}{{{found[0][1]}..{found[-1][1]}}}{found[0][2]}"]
    return list(names)
