"""Where personal data stands in a batch: what the stages `pii` and `pii_count` share.

How: two byte kernels find candidates (pii_kernels.py, pii_token_kernels.py), a third settles those that are plain
(pii_sieve.py), and validators judge the rest (pii_validators.py, pii_phones.py, pii_national_ids.py, pii_secrets.py,
pii_currencies.py). Where spans overlap, the kind that comes first in `PRIORITY` wins, then the earlier and the longer
span.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import phonenumbers
import pyarrow as pa
from numpy.typing import NDArray

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen
from corpusmill.documents.errors import RecipeError
from corpusmill.filters import pii_currencies as currencies
from corpusmill.filters import pii_kernels as kernels
from corpusmill.filters import pii_national_ids as numbers
from corpusmill.filters import pii_phones as phones
from corpusmill.filters import pii_secrets as secrets
from corpusmill.filters import pii_token_kernels as tokens
from corpusmill.filters import pii_validators as validators
from corpusmill.filters.pii_sieve import ACCEPT, ASK, LABEL, LABEL_BEHIND, PERSON, SECURITY, VERSION, sieve, word_table

KINDS = (
    "email", "ipv4", "ipv6", "phone", "card", "iban", "ssn", "national_id", "api_key", "private_key", "crypto",
)  # fmt: skip
PRIORITY = (
    "private_key", "api_key", "email", "crypto", "ipv6", "ipv4", "iban", "card", "national_id", "ssn", "phone",
)  # fmt: skip
"""Which kind a span is where two overlap."""
COUNTS = pa.schema([pa.field(kind, pa.int32(), nullable=False) for kind in KINDS])
"""How many of each kind a document has."""

_BITS = {
    "email": kernels.EMAIL,
    "ipv4": kernels.IPV4,
    "ipv6": kernels.IPV6,
    "phone": kernels.PHONE | kernels.INTERNATIONAL | kernels.LABELLED,
    "card": kernels.CARD,
    "iban": kernels.IBAN,
    "ssn": kernels.SSN,
    "national_id": kernels.NATIONAL | kernels.NAMED | kernels.NINO | tokens.FISCAL,
    "api_key": tokens.SECRET,
    "private_key": tokens.PEM | tokens.CURRENCY,
    "crypto": tokens.CURRENCY,
}
_TOKEN_BITS = tokens.SECRET | tokens.PEM | tokens.CURRENCY | tokens.FISCAL | tokens.ENTROPY
_ANCHORS = frozen(np.array(sorted({tokens.anchor(start) for start in secrets.ANCHORS + currencies.ANCHORS}), np.uint32))
_BYTES_A_CANDIDATE, _LEAST_CAPACITY = 64, 4096  # mail has one in 100 bytes; more only costs a second pass


class Spans(NamedTuple):
    """Personal data found in a batch: parallel arrays, sorted by `starts`, disjoint."""

    starts: NDArray[np.int32]  # first byte, in the batch's buffer
    ends: NDArray[np.int32]  # byte after the last
    kinds: NDArray[np.int32]  # index into KINDS
    documents: NDArray[np.int32]  # row of the batch


class Candidates(NamedTuple):
    """What may be personal data: parallel arrays."""

    bits: NDArray[np.uint32]  # one of the numbers in pii_kernels.py and pii_token_kernels.py
    starts: NDArray[np.int32]
    ends: NDArray[np.int32]
    documents: NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class PiiSearch:
    """What is looked for."""

    kinds: tuple[str, ...] = KINDS
    """Kinds of personal data."""
    phone_regions: tuple[str, ...] = ("US",)
    """ISO 3166 codes of the countries whose national ways to write phone numbers count. Numbers with `+`, and those
    behind a word such as "phone", always do."""
    national_ids: tuple[str, ...] = numbers.COUNTRIES
    """ISO 3166 codes of the countries whose personal numbers count as `national_id`."""
    min_entropy: float | None = None
    """Bits a byte above which a quoted string given to a name such as `password` or `api_key` counts as `api_key`. For
    sources of code; detect-secrets takes 4.5. None: off."""

    def __post_init__(self) -> None:
        stage = getattr(self, "name", "pii")
        if not self.kinds:
            raise RecipeError(f"{stage}.kinds: none is named; use some of {', '.join(KINDS)}, or leave the stage out")
        for kind in self.kinds:
            if kind not in KINDS:
                raise RecipeError(
                    f'{stage}.kinds: "{kind}" is no kind of personal data known here; use {", ".join(KINDS)}'
                )
        for region in self.phone_regions:
            if region not in phonenumbers.SUPPORTED_REGIONS:
                raise RecipeError(
                    f'{stage}.phone_regions: "{region}" is no region of libphonenumber; use ISO 3166 codes in upper '
                    "case, such as US, GB or DE"
                )
        for country in self.national_ids:
            if country not in numbers.COUNTRIES:
                raise RecipeError(
                    f'{stage}.national_ids: "{country}" is no country whose numbers are known here; use '
                    f"{', '.join(numbers.COUNTRIES)}"
                )
        if self.min_entropy is not None and not 0 < self.min_entropy <= 6:
            raise RecipeError(
                f"{stage}.min_entropy: {self.min_entropy} is no bits a byte of a random string; use 3 to 4.5, or null"
            )

    def find(self, batch: TextBatch) -> Spans:
        """Where personal data stands in the batch, in order, without overlaps."""
        key = f"pii {self.kinds} {self.phone_regions} {self.national_ids} {self.min_entropy}"
        if key not in batch.cache:
            accepted = self._accepted(batch)
            table = np.empty((0, 4), np.int32)
            for kind in map(KINDS.index, PRIORITY):
                more = accepted[accepted[:, 2] == kind]
                table = _with_more(table, more) if len(more) else table
            batch.cache[key] = Spans(*(frozen(table[:, column]) for column in range(4)))
        spans: Spans = batch.cache[key]
        return spans

    def count(self, batch: TextBatch) -> NDArray[np.int32]:
        """int32[kinds, documents]: how many of each kind a document has."""
        spans = self.find(batch)
        counts = np.zeros((len(KINDS), len(batch)), np.int32)
        np.add.at(counts, (spans.kinds, spans.documents), 1)
        return counts

    def _wanted(self) -> int:
        wanted = 0
        for kind in self.kinds:
            wanted |= _BITS[kind]
        if "GB" not in self.national_ids:
            wanted &= ~kernels.NINO
        if "IT" not in self.national_ids:
            wanted &= ~tokens.FISCAL
        if self.min_entropy is not None and "api_key" in self.kinds:
            wanted |= tokens.ENTROPY
        return wanted

    def candidates(self, batch: TextBatch) -> Candidates:
        """What may be personal data."""
        wanted = self._wanted()
        found = []
        if wanted & ~_TOKEN_BITS:
            shapes, shape_kinds = _shape_table(self.kinds, self.phone_regions, self.national_ids)
            arguments = (kernels.MARKS, wanted, _IBAN_TABLE, shapes, shape_kinds)
            found.append(_found_by(kernels.find_candidates, batch, *arguments))
        if wanted & _TOKEN_BITS:
            found.append(_found_by(tokens.find_tokens, batch, tokens.TOKEN_MARKS, wanted, _ANCHORS))
        return Candidates(*(np.concatenate(columns) for columns in zip(*found, strict=True)))

    def settle(self, batch: TextBatch, candidates: Candidates) -> NDArray[np.uint8]:
        """The sieve's verdicts on candidates. Those that it accepts get their exact bounds in place."""
        verdicts = np.empty(len(candidates.bits), np.uint8)
        begins, limits = (frozen(batch.offsets[candidates.documents + place]) for place in (0, 1))
        north_american = any(map(phones.is_north_american, self.phone_regions))
        tables = (_WORDS, _NETWORKS, _SUFFIXES, int(north_american))
        bits, starts, ends, _ = candidates
        sieve(batch.text, begins, limits, *tables, frozen(bits), starts, ends, verdicts)
        return verdicts

    def _accepted(self, batch: TextBatch) -> NDArray[np.int32]:
        """int32[n, 4]: first byte, byte after the last, kind and document of each candidate that is what it seems."""
        candidates = self.candidates(batch)
        verdicts = self.settle(batch, candidates)
        bits, *columns = (column[verdicts == ACCEPT] for column in candidates)
        sure = np.stack((columns[0], columns[1], _KIND_OF_SETTLED[bits], columns[2]), axis=1)
        asked = Candidates(*(column[verdicts == ASK] for column in candidates))
        judged = np.array(list(self._judged(batch, asked)), np.int32).reshape(-1, 4)
        return np.concatenate((sure.astype(np.int32), judged))

    def _judged(self, batch: TextBatch, candidates: Candidates) -> Iterator[tuple[int, int, int, int]]:
        """The rows of `_accepted` for candidates that only a validator can judge."""
        rows = {
            bit: [(KINDS.index(row.kind), row) for row in JUDGES if row.bit == bit and row.kind in self.kinds]
            for bit in {row.bit for row in JUDGES}
        }
        text, offsets = batch.text.data, batch.offsets.tolist()
        for bit, start, end, document in zip(*(column.tolist() for column in candidates), strict=True):
            for kind, row in rows[bit]:
                front = max(offsets[document], start - row.ahead)
                back = min(offsets[document + 1], end + row.behind)
                bounds = row.judge(bytes(text[start:end]), bytes(text[front:start]), bytes(text[end:back]), self)
                if bounds is not None:
                    yield start + bounds[0], start + bounds[1], kind, document
                    break


# A judge is told a candidate and what stands before and behind it. It answers where the personal data begins and ends,
# counted from the candidate's first byte; None if there is none.
_Judge = Callable[[bytes, bytes, bytes, PiiSearch], tuple[int, int] | None]


def _exactly(holds: Callable[[bytes, bytes, bytes], bool]) -> _Judge:
    """The judge of a kind whose candidates are what they seem, or not."""
    return lambda piece, before, after, search: (0, len(piece)) if holds(piece, before, after) else None


def _without_options(judge: Callable[[bytes, bytes, bytes], tuple[int, int] | None]) -> _Judge:
    return lambda piece, before, after, search: judge(piece, before, after)


def _national_phone(piece: bytes, before: bytes, after: bytes, search: PiiSearch) -> tuple[int, int] | None:
    return phones.national_bounds(piece, before, after, search.phone_regions)


def _national_id(piece: bytes, before: bytes, after: bytes, search: PiiSearch) -> tuple[int, int] | None:
    return numbers.national_id_bounds(piece, before, after, search.national_ids, named=False)


def _named_id(piece: bytes, before: bytes, after: bytes, search: PiiSearch) -> tuple[int, int] | None:
    return numbers.national_id_bounds(piece, before, after, search.national_ids, named=True)


def _random_string(piece: bytes, before: bytes, after: bytes, search: PiiSearch) -> tuple[int, int] | None:
    if search.min_entropy is None:
        return None
    return secrets.random_string_bounds(piece, before, after, search.min_entropy)


class Row(NamedTuple):
    """How candidates of one bit are judged."""

    bit: int
    kind: str
    judge: _Judge
    ahead: int  # bytes that the judge may see before a candidate
    behind: int  # … and behind it


_NEAR = validators.CONTEXT_BYTES
JUDGES: tuple[Row, ...] = (
    Row(kernels.EMAIL, "email", lambda piece, _, after, __: validators.email_bounds(piece, after), 0, 1),
    Row(kernels.IPV4, "ipv4", _exactly(validators.is_public_ipv4), _NEAR, _NEAR),
    Row(kernels.IPV6, "ipv6", _exactly(validators.is_public_ipv6), _NEAR, _NEAR),
    Row(kernels.INTERNATIONAL, "phone", _without_options(phones.international_bounds), _NEAR, _NEAR),
    Row(kernels.LABELLED, "phone", _without_options(phones.labelled_bounds), _NEAR, _NEAR),
    Row(kernels.PHONE, "phone", _national_phone, _NEAR, _NEAR),
    Row(kernels.CARD, "card", _exactly(validators.is_card), _NEAR, _NEAR),
    Row(kernels.IBAN, "iban", _exactly(lambda piece, _, __: validators.is_iban(piece)), 0, 0),
    Row(kernels.SSN, "ssn", _exactly(validators.is_ssn), _NEAR, _NEAR),
    Row(kernels.NATIONAL, "national_id", _national_id, _NEAR, _NEAR),
    Row(kernels.NAMED, "national_id", _named_id, _NEAR, _NEAR),
    Row(kernels.NINO, "national_id", _exactly(lambda piece, before, _: numbers.is_nino(piece, before)), _NEAR, 0),
    Row(tokens.FISCAL, "national_id", _exactly(lambda piece, _, __: numbers.is_fiscal_code(piece)), 0, 0),
    Row(
        tokens.SECRET,
        "api_key",
        _without_options(secrets.secret_bounds),
        secrets.FRONT_BYTES,
        secrets.WINDOW_BYTES,
    ),
    Row(tokens.ENTROPY, "api_key", _random_string, _NEAR, secrets.QUOTED_BYTES),
    Row(tokens.PEM, "private_key", lambda piece, _, after, __: secrets.pem_bounds(piece + after), 0, secrets.PEM_BYTES),
    Row(tokens.CURRENCY, "crypto", _exactly(lambda piece, before, _: currencies.is_address(piece, before)), _NEAR, 0),
    Row(tokens.CURRENCY, "private_key", _exactly(lambda piece, _, __: currencies.is_private_key(piece)), 0, 0),
)


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
    if (more[1:, 0] < more[:-1, 1]).any():
        rows, done = [], -1
        for row, (start, end) in enumerate(more[:, :2].tolist()):
            if start >= done:
                rows.append(row)
                done = end
        more = more[rows]
    if len(spans) == 0:
        return more
    merged = np.concatenate((spans, more))
    return merged[np.argsort(merged[:, 0], kind="stable")]


def _found_by(find: Callable[..., int], batch: TextBatch, *arguments: NDArray[Any] | int) -> Candidates:
    """What the kernel `find` finds."""
    capacity = batch.n_bytes // _BYTES_A_CANDIDATE + _LEAST_CAPACITY
    while True:
        bits, starts, ends = np.empty(capacity, np.uint32), np.empty(capacity, np.int32), np.empty(capacity, np.int32)
        found = find(batch.offsets, batch.text, *arguments, bits, starts, ends)
        if found <= capacity:
            break
        capacity = found
    documents = np.searchsorted(batch.offsets, starts[:found], side="right") - 1
    return Candidates(bits[:found], starts[:found], ends[:found], documents)


@cache
def _shape_table(
    kinds: tuple[str, ...], regions: tuple[str, ...], countries: tuple[str, ...]
) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    """Packed shapes, sorted, and the bits of what each may be."""
    table: dict[int, int] = {}
    for kind, bit, shapes in (
        ("card", kernels.CARD, validators.CARD_SHAPES),
        ("ssn", kernels.SSN, validators.SSN_SHAPES),
        ("phone", kernels.PHONE, frozenset[tuple[int, ...]]().union(*map(phones.phone_shapes, regions))),
        ("national_id", kernels.NATIONAL, numbers.national_id_shapes(countries, named=False)),
        ("national_id", kernels.NAMED, numbers.national_id_shapes(countries, named=True)),
    ):
        for shape in shapes if kind in kinds else ():
            number = kernels.packed(shape)
            table[number] = table.get(number, 0) | bit
    packed = sorted(table)
    return frozen(np.array(packed, np.uint64)), frozen(np.array([table[number] for number in packed], np.uint32))


def _iban_table() -> NDArray[np.uint8]:
    """uint8[676]: characters of an IBAN, for each pair of letters."""
    table = np.zeros(26 * 26, np.uint8)
    for country, length in validators.IBAN_LENGTHS.items():
        table[(ord(country[0]) - 65) * 26 + ord(country[1]) - 65] = length
    return frozen(table)


_IBAN_TABLE = _iban_table()
_WORDS = word_table(
    {
        LABEL: phones.LABEL_WORDS,
        LABEL_BEHIND: phones.LABEL_WORDS_BEHIND,
        VERSION: validators.VERSION_WORDS,
        PERSON: numbers.NAME_WORDS,
        SECURITY: validators.SSN_WORDS,
    }
)
_NETWORKS = frozen(
    np.array(
        [
            int(network.network_address) << 32 | int(network.netmask)
            for network in map(ipaddress.IPv4Network, validators.RESERVED_NETWORKS)
        ],
        np.uint64,
    )
)
_SUFFIXES = frozen(np.array([int.from_bytes(suffix.encode(), "big") for suffix in validators.FILE_SUFFIXES], np.uint64))
_KIND_OF_SETTLED = np.zeros(kernels.PHONE + 1, np.int32)
for _kind in ("email", "ipv4", "phone"):
    _KIND_OF_SETTLED[_BITS[_kind] & (kernels.EMAIL | kernels.IPV4 | kernels.PHONE)] = KINDS.index(_kind)
