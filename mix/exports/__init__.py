"""Files that trainers read, written from a finished dataset: one module for each format, one table that names them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from corpusmill.documents.errors import UsageError, nearest

if TYPE_CHECKING:
    from corpusmill.mix.exports.contract import Format

FORMATS = {
    "nanotron": "nanotron:Nanotron",
    "megatron": "megatron:Megatron",
    "olmo": "olmo:Olmo",
    "mosaic": "mosaic:Mosaic",
    "mosaic_tokens": "mosaic:MosaicTokens",
    "litdata": "litdata:LitData",
    "litdata_text": "litdata:LitDataText",
    "jsonl": "jsonl:JsonLines",
    "jsonl_gz": "jsonl:JsonLinesGzip",
    "webdataset": "webdataset:WebDataset",
}
"""`--to` -> module and class; a class takes no arguments."""


def format_named(name: str) -> Format:
    """The format that `--to` names.

    Raises:
        UsageError: if there is none of this name.
    """
    if name not in FORMATS:
        close = nearest(name, FORMATS)
        mend = f"did you mean {close!r}?" if close else f"choose from {', '.join(FORMATS)}"
        raise UsageError(f"--to {name}: is no format; {mend}")
    module, _, kind = FORMATS[name].partition(":")
    found: Format = getattr(import_module(f"corpusmill.mix.exports.{module}"), kind)()
    return found
