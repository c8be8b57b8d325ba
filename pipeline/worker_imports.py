"""What the fork server does once, so that each worker does not: the heavy imports, and what libraries put off until
they are first used, together 1 s of a worker's time. Nothing of it starts threads of ours."""

import warnings

import duckdb  # noqa: F401
import pyarrow as pa
import pyarrow.parquet

import corpusmill.documents.batch
import corpusmill.documents.shards
import corpusmill.pipeline.barriers
import corpusmill.pipeline.command  # a worker runs the command's script again, as far as its imports
import corpusmill.pipeline.phases  # noqa: F401
from corpusmill.documents.compiled import kernel


@kernel
def _first() -> int:
    return 0


_first()  # numba imports scipy and sets up its tables when it meets the first kernel
pa.array([0])  # pyarrow imports pandas, where that is installed, when it makes the first array
# `python -m corpusmill.pipeline.command` would have each worker warn that the command was imported before.
warnings.filterwarnings("ignore", "'corpusmill.pipeline.command' found in sys.modules", RuntimeWarning)
