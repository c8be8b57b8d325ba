"""pii: replaces personal data and secrets by constant placeholders.

What is replaced, and when: an email address; a public IPv4 or IPv6 address that is no version or section number; a
phone number written with its country code, or nationally as in one of `phone_regions`, or named by a word such as
"phone"; a payment card by issuer prefix, length and Luhn; an IBAN by country, length and mod 97; a US social security
number in its dashed form or behind a word that says so; other countries' numbers of persons by their check digits; keys
of services by their prefixes; private keys; addresses of crypto-currencies by their checksums. Counts of each kind go
into the measures.

After FineWeb (Penedo et al. 2024, arXiv:2406.17557), which replaces emails and public IPv4 addresses, Dolma (Soldaini
et al. 2024, arXiv:2402.00159), which also replaces US phone numbers, and BigCode (Allal et al. 2023,
arXiv:2301.03988), which replaces keys. Differs from all: candidates are validated, so that versions, ISBNs, dates,
tables and citations stay; placeholders are constant, so that a document's result does not depend on the documents
before it; a document is never dropped for its hits, which is what `pii_count` is for.

Known limits: names and street addresses are not looked for; an old-style Usenet or mail message id counts as an
email; a table's row of numbers behind gaps of two spaces or tabs is read cell by cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.compiled import frozen
from corpusmill.documents.errors import CorpusmillError
from corpusmill.filters import pii_kernels as kernels
from corpusmill.filters.contract import Rewriter
from corpusmill.filters.pii_search import COUNTS, KINDS, PiiSearch, Spans


@dataclass(frozen=True, kw_only=True)
class Pii(PiiSearch, Rewriter):
    """Replaces personal data by `<EMAIL>`, `<IPV4>`, `<PHONE>`, `<API_KEY>` … after the kind's name."""

    name: ClassVar[str] = "pii"
    version: ClassVar[int] = 2
    measures: ClassVar[pa.Schema] = COUNTS

    def rewrite(self, batch: TextBatch) -> tuple[pa.StringArray, pa.RecordBatch]:
        measures = pa.RecordBatch.from_arrays([pa.array(row) for row in self.count(batch)], schema=self.measures)
        return _replaced(batch, self.find(batch)), measures


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
