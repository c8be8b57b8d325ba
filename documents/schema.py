"""The document: its columns, declared once and never inferred from data.

id              string, not null   24 hex digits: hash of source, file and offset (`document_id`)
text            string, not null   UTF-8
source          string, not null   the recipe's name for the source, such as `web`
url             string             where it was published
date            string             ISO 8601, as the source states it
language        string             ISO 639 code, set by the language stage or by the source
language_score  float32            probability of `language`, 0 to 1
quality         float32            score of the quality stage, 0 to 1
license         string             SPDX expression where known
metadata        string             a JSON object with everything else that the source said
"""

from __future__ import annotations

import hashlib

import pyarrow as pa

DOCUMENT = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("date", pa.string()),
        pa.field("language", pa.string()),
        pa.field("language_score", pa.float32()),
        pa.field("quality", pa.float32()),
        pa.field("license", pa.string()),
        pa.field("metadata", pa.string()),
    ]
)


def document_id(source: str, file: str, offset: int) -> str:
    """The id of the record at `offset` of `file`: the same on every machine, however the input is split.

    96 bits: among 10^10 documents the chance of one collision is about 6e-10.

    >>> document_id("web", "crawl/a.warc.gz", 0)
    '8f7abb6746a51f1e8d3ad3d3'
    """
    return hashlib.blake2b(f"{source}\0{file}\0{offset}".encode(), digest_size=12).hexdigest()
