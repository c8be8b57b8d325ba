"""pii: replaces personal data (email, IP, phone, card and bank account numbers, SSN) by constant placeholders.

What is replaced, and when: an email address; a public IPv4 or IPv6 address that is no version or section number; a
phone number written internationally (`+`), or nationally with the grouping of one of `phone_regions`; a payment card
by issuer prefix, length and Luhn; an IBAN by country, length and mod 97; a US social security number in its dashed
form or behind a word that says so. Counts of each kind go into the measures.

After FineWeb (Penedo et al. 2024, arXiv:2406.17557), which replaces emails and public IPv4 addresses, and Dolma
(Soldaini et al. 2024, arXiv:2402.00159), which also replaces US phone numbers. Differs from both: candidates are
validated (see pii_validators.py), so that versions, ISBNs, dates, tables and citations stay; placeholders are
constant, so that a document's result does not depend on the documents before it; a document is never dropped for its
hits.

Known limits: names and street addresses are not looked for; an old-style Usenet or mail message id counts as an
email; a table's row of numbers behind gaps of two spaces or tabs is read cell by cell.

How: a byte kernel finds candidates (pii_kernels.py), validators judge them, and a second kernel writes the texts.
Where spans overlap, the kind that comes first in `PRIORITY` wins, then the earlier and the longer span.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import ClassVar, NamedTuple

import numpy as np
import phonenumbers
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen
from corpusmill.documents.errors import CorpusmillError, RecipeError
from corpusmill.filters import pii_kernels as kernels
from corpusmill.filters import pii_validators as validators
from corpusmill.filters.contract import Rewriter

KINDS = ("email", "ipv4", "ipv6", "phone", "card", "iban", "ssn")
PRIORITY = ("email", "ipv6", "ipv4", "iban", "card", "ssn", "phone")
"""Which kind a span is where two overlap."""
_BITS = {
    "email": kernels.EMAIL,
    "ipv4": kernels.IPV4,
    "ipv6": kernels.IPV6,
    "phone": kernels.PHONE | kernels.INTERNATIONAL,
    "card": kernels.CARD,
    "iban": kernels.IBAN,
    "ssn": kernels.SSN,
}
_EMAIL, _PHONE, _IBAN = (KINDS.index(kind) for kind in ("email", "phone", "iban"))
_FIRST_CAPACITY = 4096


@dataclass(frozen=True, kw_only=True)
class Pii(Rewriter):
    """Replaces personal data by `<EMAIL>`, `<IPV4>`, `<IPV6>`, `<PHONE>`, `<CARD>`, `<IBAN>` and `<SSN>`."""

    name: ClassVar[str] = "pii"
    measures: ClassVar[pa.Schema] = pa.schema([pa.field(kind, pa.int32(), nullable=False) for kind in KINDS])

    kinds: tuple[str, ...] = KINDS
    """What is replaced."""
    phone_regions: tuple[str, ...] = ("US",)
    """ISO 3166 codes of the countries whose national ways to write phone numbers count. Numbers with `+` always do."""

    def __post_init__(self) -> None:
        for kind in self.kinds:
            if kind not in KINDS:
                raise RecipeError(f'pii.kinds: "{kind}" is no kind of personal data known here; use {", ".join(KINDS)}')
        for region in self.phone_regions:
            if region not in phonenumbers.SUPPORTED_REGIONS:
                raise RecipeError(
                    f'pii.phone_regions: "{region}" is no region of libphonenumber; use ISO 3166 codes in upper case, '
                    "such as US, GB or DE"
                )

    def rewrite(self, batch: TextBatch) -> tuple[pa.StringArray, pa.RecordBatch]:
        spans = self.find(batch)
        counts = np.zeros((len(KINDS), len(batch)), np.int32)
        np.add.at(counts, (spans.kinds, spans.documents), 1)
        measures = pa.RecordBatch.from_arrays([pa.array(row) for row in counts], schema=self.measures)
        return _replaced(batch, spans), measures

    def find(self, batch: TextBatch) -> Spans:
        """Where personal data stands in the batch, in order, without overlaps."""
        candidates = _candidates(batch, self.kinds, self.phone_regions)
        accepted = np.array(list(self._validated(batch, candidates)), np.int32).reshape(-1, 4)
        table = np.empty((0, 4), np.int32)
        for kind in PRIORITY:
            table = _with_more(table, accepted[accepted[:, 2] == KINDS.index(kind)])
        return Spans(*(frozen(table[:, column]) for column in range(4)))

    def _validated(self, batch: TextBatch, candidates: _Candidates) -> Iterator[tuple[int, int, int, int]]:
        """First byte, byte after the last, kind and document of each candidate that is what it seems."""
        text, offsets = batch.text.data, batch.offsets.tolist()
        for bit, start, end, document in zip(*(column.tolist() for column in candidates)):
            if bit == kernels.EMAIL:
                following = bytes(text[end : min(end + 1, offsets[document + 1])])
                bounds = validators.email_bounds(bytes(text[start:end]), following)
                if bounds is not None:
                    yield start + bounds[0], start + bounds[1], _EMAIL, document
                continue
            front = max(offsets[document], start - validators.CONTEXT_BYTES)
            back = min(offsets[document + 1], end + validators.CONTEXT_BYTES)
            before, candidate, after = bytes(text[front:start]), bytes(text[start:end]), bytes(text[end:back])
            if bit == kernels.PHONE:
                bounds = validators.phone_bounds(candidate, before, after, self.phone_regions)
                if bounds is not None:
                    yield start + bounds[0], start + bounds[1], _PHONE, document
            elif bit == kernels.INTERNATIONAL:
                bounds = validators.international_phone_bounds(candidate, before, after)
                if bounds is not None:
                    yield start + bounds[0], start + bounds[1], _PHONE, document
            elif bit == kernels.IBAN:
                if validators.is_iban(candidate):
                    yield start, end, _IBAN, document
            elif _EXACT[bit][1](candidate, before, after):
                yield start, end, _EXACT[bit][0], document


class Spans(NamedTuple):
    """Personal data found in a batch: parallel arrays, sorted by `starts`, disjoint."""

    starts: NDArray[np.int32]  # first byte, in the batch's buffer
    ends: NDArray[np.int32]  # byte after the last
    kinds: NDArray[np.int32]  # index into KINDS
    documents: NDArray[np.int32]  # row of the batch


class _Candidates(NamedTuple):
    bits: NDArray[np.uint8]
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    documents: NDArray[np.int64]


# Kinds whose candidates are exact spans: they are what they seem, or not.
_EXACT: dict[int, tuple[int, Callable[[bytes, bytes, bytes], bool]]] = {
    kernels.IPV4: (KINDS.index("ipv4"), validators.is_public_ipv4),
    kernels.IPV6: (KINDS.index("ipv6"), validators.is_public_ipv6),
    kernels.CARD: (KINDS.index("card"), validators.is_card),
    kernels.SSN: (KINDS.index("ssn"), validators.is_ssn),
}


def _with_more(spans: NDArray[np.int32], more: NDArray[np.int32]) -> NDArray[np.int32]:
    """Rows of `spans` (disjoint, sorted by start) and those of `more` that overlap none of them nor each other.

    Among rows of `more` that overlap each other, the earlier wins, then the longer.
    """
    more = more[np.lexsort((-more[:, 1], more[:, 0]))]
    if len(spans):
        # For each row, the first span that ends behind the row's start.
        following = np.searchsorted(spans[:, 1], more[:, 0], side="right")
        next_start = np.append(spans[:, 0], np.iinfo(np.int32).max)[following]
        more = more[next_start >= more[:, 1]]
    rows, done = [], -1
    for row, (start, end) in enumerate(more[:, :2].tolist()):
        if start >= done:
            rows.append(row)
            done = end
    merged = np.concatenate((spans, more[rows]))
    return merged[np.argsort(merged[:, 0], kind="stable")]


def _candidates(batch: TextBatch, kinds: tuple[str, ...], regions: tuple[str, ...]) -> _Candidates:
    shapes, shape_kinds = _shape_table(kinds, regions)
    wanted = sum({_BITS[kind] for kind in kinds})
    capacity = _FIRST_CAPACITY
    while True:
        bits, starts, ends = np.empty(capacity, np.uint8), np.empty(capacity, np.int32), np.empty(capacity, np.int32)
        found = kernels.find_candidates(
            batch.offsets, batch.text, kernels.MARKS, wanted, _IBAN_TABLE, shapes, shape_kinds, bits, starts, ends
        )
        if found <= capacity:
            break
        capacity = found
    documents = np.searchsorted(batch.offsets, starts[:found], side="right") - 1
    return _Candidates(bits[:found], starts[:found], ends[:found], documents)


@cache
def _shape_table(kinds: tuple[str, ...], regions: tuple[str, ...]) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """Packed shapes, sorted, and the kinds that each may be."""
    table: dict[int, int] = {}
    for kind, shapes in (
        ("card", validators.CARD_SHAPES),
        ("ssn", validators.SSN_SHAPES),
        ("phone", frozenset[tuple[int, ...]]().union(*map(validators.phone_shapes, regions))),
    ):
        for shape in shapes if kind in kinds else ():
            number = kernels.packed(shape)
            table[number] = table.get(number, 0) | (_BITS[kind] & ~kernels.INTERNATIONAL)
    numbers = sorted(table)
    return frozen(np.array(numbers, np.uint64)), frozen(np.array([table[number] for number in numbers], np.uint8))


def _iban_table() -> NDArray[np.uint8]:
    """uint8[676]: characters of an IBAN, for each pair of letters."""
    table = np.zeros(26 * 26, np.uint8)
    for country, length in validators.IBAN_LENGTHS.items():
        table[(ord(country[0]) - 65) * 26 + ord(country[1]) - 65] = length
    return frozen(table)


_IBAN_TABLE = _iban_table()
_PLACEHOLDERS = [f"<{kind.upper()}>".encode() for kind in KINDS]
_PLACEHOLDER_SIZES = np.array([len(placeholder) for placeholder in _PLACEHOLDERS], np.int32)
_PLACEHOLDER_ORIGINS = np.concatenate(([0], np.cumsum(_PLACEHOLDER_SIZES)[:-1])).astype(np.int32)
_PLACEHOLDER_TEXT = frozen(np.frombuffer(b"".join(_PLACEHOLDERS), np.uint8))


def _replaced(batch: TextBatch, spans: Spans) -> pa.StringArray:
    """The batch's texts with placeholders; its own array where nothing was found."""
    if len(spans.starts) == 0:
        return batch.texts
    sizes = frozen(_PLACEHOLDER_SIZES[spans.kinds])
    size = kernels.replaced_size(batch.offsets, spans.starts, spans.ends, sizes)
    if size > np.iinfo(np.int32).max:
        raise CorpusmillError(f"pii: a batch of {size} bytes of text is more than Arrow's strings hold; cut it smaller")
    offsets, text = np.empty(len(batch) + 1, np.int32), np.empty(size, np.uint8)
    origins = frozen(_PLACEHOLDER_ORIGINS[spans.kinds])
    kernels.replace_spans(
        batch.offsets, batch.text, spans.starts, spans.ends, sizes, origins, _PLACEHOLDER_TEXT, offsets, text
    )
    return pa.StringArray.from_buffers(len(batch), pa.py_buffer(offsets), pa.py_buffer(text))
