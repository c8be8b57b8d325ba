"""The site of a document: its URL's host, or its source."""

from __future__ import annotations

import pyarrow as pa
import pytest

from corpusmill.documents.batch import TextBatch
from corpusmill.documents.hosts import hosts


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://www.Example.ORG/path", "example.org"),
        ("http://user:secret@example.org:8080/a@b", "example.org"),
        ("http://example.org.", "example.org"),
        ("http://[2001:DB8::1]:80/x", "[2001:db8::1]"),
        ("https://example.org?u=http://other.example", "example.org"),
        ("https://münchen.example#x", "münchen.example"),
        ("www.example.org/path", "<books>"),
        ("file:///tmp/a", "<books>"),
        ("http://www.", "<books>"),
        ("", "<books>"),
        (None, "<books>"),
    ],
)
def test_the_host_of_an_address(url, host):
    documents = TextBatch.of_texts(["x"], source="books").with_column("url", pa.array([url], pa.string())).documents
    assert hosts(documents).to_pylist() == [host]
