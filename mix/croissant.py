"""The dataset's Croissant 1.0 description (mlcommons.org/croissant/1.0): JSON-LD that search engines and loaders read.

Each shard is a file object with its sha256. A split is a file set of the folder that croissant.json lies in, and its
fields are read by column.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from corpusmill.mix.licenses import is_unstated, spdx_name
from corpusmill.mix.shuffle import shard_pattern

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


def croissant(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The content of croissant.json, from the dataset's manifest."""
    splits = [split for split, sums in manifest["splits"].items() if sums["rows"]]
    train = manifest["splits"]["train"]
    licenses: Counter[str] = Counter()
    for counts in manifest["licenses"].values():
        licenses.update(counts)
    stated = dict.fromkeys("unknown" if is_unstated(name) else spdx_name(name) for name, _ in licenses.most_common())
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": manifest["name"],
        "description": f"{train['units']:,} {manifest['unit_name']} of text for pretraining in {train['rows']:,} rows, "
        "mixed by corpusmill.",
        # A new dataset has a new content hash, and so another version, without anybody's keeping count.
        "version": f"1.0.0+{manifest['content_hash'][:16]}",
        "license": list(stated)[:_LISTED_LICENSES] or ["unknown"],
        "distribution": [_file(shard) for shard in manifest["shards"]] + [_file_set(split) for split in splits],
        "recordSet": [_record_set(split, manifest) for split in splits],
    }


def _file(shard: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": shard["name"],
        "name": shard["name"],
        "contentUrl": shard["name"],
        "contentSize": f"{shard['file_bytes']} B",
        "encodingFormat": "application/x-parquet",
        "sha256": shard["sha256"],
    }


def _file_set(split: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{split}-files",
        "name": f"{split}-files",
        "encodingFormat": "application/x-parquet",
        "includes": shard_pattern(split),
    }


def _record_set(split: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{split}/{column['name']}",
                "name": column["name"],
                "description": _description(column["name"], manifest),
                "dataType": _DATA_TYPES[column["type"]],
                "source": {"fileSet": {"@id": f"{split}-files"}, "extract": {"column": column["name"]}},
            }
            for column in manifest["columns"]
        ],
    }


def _description(column: str, manifest: Mapping[str, Any]) -> str:
    if column in _DESCRIPTIONS:
        return _DESCRIPTIONS[column]
    counted = "UTF-8 bytes" if manifest["unit"] == "documents" else manifest["unit_name"]
    return f"How many {counted} the text has."


_DATA_TYPES = {"string": "sc:Text", "float": "sc:Float", "int32": "sc:Integer"}
