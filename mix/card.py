"""The dataset card: README.md with the YAML front matter that the Hugging Face Hub reads.

Names, languages and licences come from recipes and documents, and documents are hostile: YAML is written by a
library, and what goes into the text is cut to one line and escaped.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import yaml

from corpusmill.mix.licenses import is_unstated, spdx_name
from corpusmill.mix.markdown import escaped, table
from corpusmill.mix.quality_score import LOSSES
from corpusmill.mix.shuffle import shard_pattern
from corpusmill.mix.units import COUNT_COLUMNS

_HUB_LICENSES = """
    apache-2.0 mit openrail afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc
    cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0  cc-by-nc-4.0
    cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0
    cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1  eupl-1.2 agpl-3.0 gfdl
    gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl osl-3.0 postgresql ofl-1.1 ncsa
    unlicense zlib pddl
"""
HUB_LICENSES = frozenset(_HUB_LICENSES.split())
"""Names of licences that the Hub knows; others are `other`, and a missing one is `unknown`."""
_SPDX_SUFFIXES = re.compile(r"-(only|or-later)$")
_SPDX_TO_HUB = {
    "odc-by-1.0": "odc-by",
    "odbl-1.0": "odbl",
    "pddl-1.0": "pddl",
    "gfdl-1.3": "gfdl",
    "lppl-1.3": "lppl-1.3c",
}
_NO_NAME = re.compile(r"[^a-z0-9.-]+")  # what the Hub's license_name may not have
_NAME_LENGTH = 96
_LANGUAGE_CODE = re.compile(r"[a-z]{2,3}")
_LANGUAGE_SHARE = 0.01
"""Languages with fewer of the documents are left out of the front matter; the manifest has them all."""
_LISTED_LICENSES = 50
_SIZES = [(10**power, name) for power, name in ((3, "1K"), (4, "10K"), (5, "100K"), (6, "1M"), (7, "10M"), (8, "100M"),
                                               (9, "1B"), (10, "10B"), (11, "100B"), (12, "1T"))]  # fmt: skip


def dataset_card(manifest: Mapping[str, Any]) -> str:
    """The text of README.md, from the dataset's manifest."""
    front = yaml.safe_dump(front_matter(manifest), sort_keys=False, allow_unicode=True, width=120)
    unit, splits = manifest["unit_name"], manifest["splits"]
    held = [f"{sums['rows']:,} in `{name}`" for name, sums in splits.items() if name != "train"]
    parts = [
        f"# {escaped(manifest['name'])}",
        f"{splits['train']['units']:,} {unit} in {splits['train']['rows']:,} rows for training"
        + (f"; held out are {', '.join(held)}" if held else "")
        + ". Written by corpusmill: `manifest.json` says how, DATASHEET.md answers the usual questions, and "
        "`corpusmill verify` checks that all of it is so (`sha256sum -c SHA256SUMS` the files alone).",
        "## Mix",
        table(
            ("component", "asked %", "achieved %", unit, "worth in new text", "rows", "epochs", "available"),
            [
                (
                    entry["component"],
                    f"{100 * entry['ratio']:.2f}",
                    f"{100 * entry['achieved_ratio']:.2f}",
                    entry["units"],
                    round(entry["effective_units"]),
                    entry["documents"],
                    f"{entry['epochs']:.3f}",
                    entry["available_units"],
                )
                for entry in sorted(manifest["components"], key=lambda entry: (-entry["ratio"], entry["component"]))
            ],
        ),
        "A row's `id` is its document's; repeated passes over a source repeat it. The order is random with seed "
        f"{manifest['seed']}. {_counting(manifest)} What repetition is worth follows Muennighoff et al. 2023 "
        "(arXiv:2305.16264).",
        "## Quality",
        *_quality_section(manifest["quality"]),
        "## Licences",
        table(
            ("source", "licence", "rows"),
            [
                (source, name or "not stated", rows)
                for source, licenses in manifest["licenses"].items()
                for name, rows in list(licenses.items())[:_LISTED_LICENSES]
            ],
        ),
    ]
    return f"---\n{front}---\n\n" + "\n\n".join(parts) + "\n"


def front_matter(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What the Hub reads: licences, languages, size, which files make which split, and the columns."""
    splits = {name: sums for name, sums in manifest["splits"].items() if sums["rows"]}
    rows = sum(sums["rows"] for sums in splits.values())
    languages = [
        language
        for language, documents in value_counts(manifest, "language").most_common()
        if _LANGUAGE_CODE.fullmatch(language) and documents >= _LANGUAGE_SHARE * rows
    ]
    return {
        "pretty_name": " ".join(manifest["name"].split()),
        **({"language": languages} if languages else {}),
        **hub_licenses(value_counts(manifest, "license")),
        "task_categories": ["text-generation"],
        "size_categories": [size_category(rows)],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": shard_pattern(split)} for split in splits],
            }
        ],
        "dataset_info": {
            "features": [{"name": item["name"], "dtype": _FEATURES[item["type"]]} for item in manifest["columns"]],
            "splits": [
                {"name": name, "num_bytes": sums["text_bytes"], "num_examples": sums["rows"]}
                for name, sums in splits.items()
            ],
            "download_size": sum(sums["file_bytes"] for sums in splits.values()),
            "dataset_size": sum(sums["text_bytes"] for sums in splits.values()),
        },
    }


def hub_licenses(documents: Counter[str]) -> dict[str, Any]:
    """The Hub's `license` for licences as documents state them (SPDX), and its `license_name` for a single other one.

    >>> hub_licenses(Counter({"MIT": 3, "GPL-3.0-or-later": 1}))
    {'license': ['gpl-3.0', 'mit']}
    """
    names = {stated: _hub_license(stated) for stated in documents}
    found = sorted(set(names.values()))
    if len(found) > 1:
        return {"license": found}
    if found == ["other"]:
        own = _NO_NAME.sub("-", min(names).lower()).strip("-")[:_NAME_LENGTH]
        return {"license": "other", "license_name": own or "other"}
    return {"license": found[0] if found else "unknown"}


def _hub_license(stated: str) -> str:
    if is_unstated(stated):
        return "unknown"
    plain = _SPDX_SUFFIXES.sub("", spdx_name(stated).lower())
    plain = _SPDX_TO_HUB.get(plain, plain)
    return plain if plain in HUB_LICENSES else "other"


def size_category(rows: int) -> str:
    """The Hub's class for a number of rows.

    >>> size_category(999), size_category(1000), size_category(10**12)
    ('n<1K', '1K<n<10K', 'n>1T')
    """
    if rows < _SIZES[0][0]:
        return f"n<{_SIZES[0][1]}"
    for (_, low), (bound, high) in pairwise(_SIZES):
        if rows < bound:
            return f"{low}<n<{high}"
    return f"n>{_SIZES[-1][1]}"


def value_counts(manifest: Mapping[str, Any], column: str) -> Counter[str]:
    """Rows of all splits by the values of a column; null is the empty name."""
    counts: Counter[str] = Counter()
    for shard in manifest["shards"]:
        counts.update(shard["documents"][column])
    return counts


def _counting(manifest: Mapping[str, Any]) -> str:
    """What the count column counts, in a sentence."""
    column, counted = COUNT_COLUMNS[manifest["unit"]], manifest["unit_name"]
    if manifest["unit"] == "documents":
        return f"`{column}` counts UTF-8 bytes."
    tokenizer = manifest["tokenizer"]
    by = (
        f" with the tokenizer {escaped(tokenizer['name'])} ({tokenizer['vocab_size']:,} entries, fingerprint "
        f"`{tokenizer['fingerprint'][:16]}`)"
        if tokenizer
        else ""
    )
    return f"`{column}` counts {counted}{by}."


def _quality_section(quality: Mapping[str, Any] | None) -> list[str]:
    if quality is None:
        return ["Not scored."]
    interval = quality.get("interval")
    told = f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
    losses = [(name, f"{100 * quality[name]:.2f}") for name in LOSSES]
    return [f"Q = {quality['q']:.3f}{told}. {quality['definition']}", table(("lost to", "%"), losses)]


_FEATURES = {"string": "string", "float": "float32", "int32": "int32"}
