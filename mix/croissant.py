"""The dataset's Croissant 1.0 description (mlcommons.org/croissant/1.0): JSON-LD that search engines and loaders read.

Each shard is a file object with its sha256. A split is a file set of the folder that croissant.json lies in, and its
fields are read by column.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from corpusmill.mix.options import MixOptions
from corpusmill.mix.selection import Selection
from corpusmill.mix.shuffle import ShardReport, dataset_schema, shard_pattern
from corpusmill.mix.units import UNIT_NAMES

CONFORMS_TO = "http://mlcommons.org/croissant/1.0"

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "equivalentProperty": "cr:equivalentProperty",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_LISTED_LICENSES = 50
_DESCRIPTIONS = {
    "text": "The document.",
    "id": "The document's identifier; repeated passes over a source repeat it.",
    "source": "The source that the document comes from.",
    "component": "What the document counts for in the mix.",
    "url": "Where it was published.",
    "language": "ISO 639 code.",
    "language_score": "Probability of the language, 0 to 1.",
    "quality": "Score of the quality classifier, 0 to 1.",
    "license": "SPDX expression, where known.",
}


def croissant(options: MixOptions, selection: Selection, shards: Sequence[ShardReport]) -> dict[str, Any]:
    """The content of croissant.json."""
    splits = list(selection.shards)
    licenses: Counter[str] = Counter()
    for shard in shards:
        licenses.update(shard.documents["license"])
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": options.name,
        "description": f"{selection.units:,} {UNIT_NAMES[options.unit]} of text for pretraining, mixed by corpusmill.",
        "license": [name or "unknown" for name, _ in licenses.most_common(_LISTED_LICENSES)],
        "distribution": [_file(shard) for shard in shards] + [_file_set(split) for split in splits],
        "recordSet": [_record_set(split, selection, options) for split in splits],
    }


def _file(shard: ShardReport) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": shard.name,
        "name": shard.name,
        "contentUrl": shard.name,
        "contentSize": f"{shard.file_bytes} B",
        "encodingFormat": "application/x-parquet",
        "sha256": shard.sha256,
    }


def _file_set(split: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{split}-files",
        "name": f"{split}-files",
        "encodingFormat": "application/x-parquet",
        "includes": shard_pattern(split),
    }


def _record_set(split: str, selection: Selection, options: MixOptions) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{split}/{field.name}",
                "name": field.name,
                "description": _DESCRIPTIONS.get(field.name, f"The document's {UNIT_NAMES[options.unit]}."),
                "dataType": _data_type(field.type),
                "source": {"fileSet": {"@id": f"{split}-files"}, "extract": {"column": field.name}},
            }
            for field in dataset_schema(selection.unit, components=selection.has_slices)
        ],
    }


def _data_type(kind: pa.DataType) -> str:
    return {pa.string(): "sc:Text", pa.float32(): "sc:Float", pa.int32(): "sc:Integer"}[kind]
