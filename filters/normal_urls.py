"""A column of URLs in one normal form (see url_kernels.py), as buffers that kernels look things up in.

Hosts beyond ASCII are brought into the form that the domain name system knows (`bücher.example` becomes
`xn--bcher-kva.example`; UTS 46, by the package `idna`), one by one: a crawl has few. A label that the standard refuses
is encoded all the same (RFC 3492), so that what a list and a page write alike stays alike.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

import idna
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from corpusmill.documents.batch import text_buffers
from corpusmill.documents.compiled import frozen
from corpusmill.filters import url_kernels as kernels

_DOTS = re.compile("[.\u3002\uff0e\uff61]")  # the full stops of UTS 46, section 2.3
_MAX_LABEL = 63
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f#%/:<>?@\[\\\]^|]")  # WHATWG URL Standard, "forbidden domain code point"


@dataclass(frozen=True, slots=True, eq=False)
class NormalUrls:
    """URLs in their normal form: number r is `text[offsets[r]:offsets[r + 1]]`, and its host ends at `host_ends[r]`.

    What has no host, such as "" and null, begins with an empty one.
    """

    offsets: NDArray[np.int32]
    host_ends: NDArray[np.int32]
    text: NDArray[np.uint8]

    def hosts(self) -> pa.StringArray:
        """The hosts; "" where there is none."""
        return self.spans(self.offsets[:-1], self.host_ends)

    def spans(self, starts: NDArray[np.int32], ends: NDArray[np.int32]) -> pa.StringArray:
        """The texts between these positions, a row for each pair."""
        offsets = np.empty(len(starts) + 1, np.int32)
        out = np.empty(int((ends - starts).sum()), np.uint8)
        kernels.copy_spans(self.text, frozen(starts), frozen(ends), offsets, out)
        return pa.StringArray.from_buffers(len(starts), pa.py_buffer(offsets), pa.py_buffer(out))


def normal_urls(urls: pa.StringArray) -> NormalUrls:
    """The normal forms of `urls`."""
    host_starts, host_ends, ends = (np.empty(len(urls), np.int32) for _ in range(3))
    foreign = np.empty(len(urls), np.bool_)
    offsets, text = text_buffers(urls)
    kernels.authorities(offsets, text, host_starts, host_ends, ends, foreign)
    if foreign.any():
        offsets, text = text_buffers(_with_plain_hosts(urls, foreign, host_starts, host_ends, ends))
        kernels.authorities(offsets, text, host_starts, host_ends, ends, foreign)
    written, hosts = np.empty(len(urls) + 1, np.int32), np.empty(len(urls), np.int32)
    out = np.empty(int(offsets[-1] - offsets[0]), np.uint8)
    kernels.write_normal(offsets, text, frozen(host_starts), frozen(host_ends), frozen(ends), written, hosts, out)
    return NormalUrls(frozen(written), frozen(hosts), frozen(out[: written[-1]]))


def _with_plain_hosts(
    urls: pa.StringArray,
    foreign: NDArray[np.bool_],
    host_starts: NDArray[np.int32],
    host_ends: NDArray[np.int32],
    ends: NDArray[np.int32],
) -> pa.StringArray:
    """The URLs with hosts of ASCII letters in place of the foreign ones."""
    offsets, text = text_buffers(urls)
    plain = []
    for row in np.flatnonzero(foreign).tolist():
        host = plain_host(text[host_starts[row] : host_ends[row]].tobytes().decode())
        rest = text[ends[row] : offsets[row + 1]].tobytes().decode()
        plain.append(f"//{host or '.'}{rest}")  # a dot alone is an empty host, too
    return pc.replace_with_mask(urls, pa.array(foreign), pa.array(plain, pa.string()))


def plain_host(host: str) -> str:
    """A host in lower case and ASCII; "" for what no host may hold.

    >>> plain_host("B%C3%BCcher.example"), plain_host("a%2Fb")
    ('xn--bcher-kva.example', '')
    """
    if len(host) > 9 * kernels.MAX_HOST_BYTES:  # three bytes a letter, three characters a byte
        return ""
    decoded = re.sub(r"[\t\r\n]", "", unquote(host))
    labels = [_plain_label(label) for label in _DOTS.split(decoded)]
    found = ".".join(labels).rstrip(".")
    return found if len(found) <= kernels.MAX_HOST_BYTES and not _FORBIDDEN.search(found) else ""


def _plain_label(label: str) -> str:
    if label.isascii():
        return label.lower()
    if len(label) > _MAX_LABEL:
        return ""
    try:
        return idna.encode(label, uts46=True).decode()
    except idna.IDNAError:
        return "xn--" + _mapped(label).encode("punycode").decode()


def _mapped(label: str) -> str:
    try:
        return idna.uts46_remap(label, std3_rules=False)
    except idna.IDNAError:
        return label.lower()
