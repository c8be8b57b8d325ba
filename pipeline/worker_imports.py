"""What the fork server imports once, so that each worker does not: the heavy libraries, and nothing that starts
threads."""

import duckdb  # noqa: F401
import numba  # noqa: F401
import pyarrow.parquet  # noqa: F401

import corpusmill.documents.batch
import corpusmill.documents.shards  # noqa: F401
