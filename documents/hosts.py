"""The site that a document belongs to: the host of its URL."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

# The authority of a URL: what follows `//`, without user and port. RE2 takes linear time.
_HOST = r"^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#]*@)?(?P<host>\[[^\]/?#]*\]|[^/?#:@]+)"


def hosts(documents: pa.RecordBatch) -> pa.StringArray:
    """The site of each document: its URL's host, in lower case, without user, port and "www.".

    Documents without one belong to one site, their source, in angle brackets, as no host is.
    """
    found = pc.struct_field(pc.extract_regex(documents.column("url"), _HOST), "host")
    named = pc.replace_substring_regex(pc.ascii_lower(found), r"^www\.|\.$", "")
    source = pc.binary_join_element_wise("<", documents.column("source"), ">", "")
    return pc.if_else(pc.fill_null(pc.not_equal(named, ""), False), named, source)
