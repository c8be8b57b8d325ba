"""The dataset card: README.md with the YAML front matter that the Hugging Face Hub reads.

Names, languages and licences come from recipes and documents, and documents are hostile: YAML is written by a
library, and what goes into the text is cut to one line and escaped.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import pyarrow as pa
import yaml

from corpusmill.mix.options import MixOptions
from corpusmill.mix.quality_score import QualityScore
from corpusmill.mix.selection import Selection
from corpusmill.mix.shuffle import ShardReport, dataset_schema, shard_pattern
from corpusmill.mix.table import mix_table
from corpusmill.mix.units import COUNT_COLUMNS, UNIT_NAMES

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
_LANGUAGE_CODE = re.compile(r"[a-z]{2,3}")
_LANGUAGE_SHARE = 0.01
"""Languages with fewer of the documents are left out of the front matter; the manifest has them all."""
_LISTED_LICENSES = 50
_SIZES = [(10**power, name) for power, name in ((3, "1K"), (4, "10K"), (5, "100K"), (6, "1M"), (7, "10M"), (8, "100M"),
                                               (9, "1B"), (10, "10B"), (11, "100B"), (12, "1T"))]  # fmt: skip


def dataset_card(
    options: MixOptions, selection: Selection, shards: Sequence[ShardReport], quality: QualityScore | None
) -> str:
    """The text of README.md."""
    front = yaml.safe_dump(front_matter(options, selection, shards), sort_keys=False, allow_unicode=True, width=120)
    unit = UNIT_NAMES[options.unit]
    count = COUNT_COLUMNS[options.unit]
    parts = [
        f"---\n{front}---\n",
        f"# {escaped(options.name)}\n",
        f"{selection.units:,} {unit} in {_total(shards, 'train', 'rows'):,} rows for training"
        + f", {_total(shards, 'validation', 'rows'):,} documents held out for validation. "
        + "Written by corpusmill: `manifest.json` says how, and `sha256sum -c SHA256SUMS` checks every file.\n",
        "## Mix\n",
        f"| component | asked % | achieved % | {unit} | worth in new text | rows | epochs | available |\n"
        + "|---|---:|---:|---:|---:|---:|---:|---:|\n"
        + "\n".join(
            f"| {escaped(row.component)} | {100 * row.asked:.2f} | {100 * row.achieved:.2f} | {row.units:,} "
            f"| {row.effective:,.0f} | {row.documents:,} | {row.epochs:.3f} | {row.available:,} |"
            for row in mix_table(selection)
        )
        + "\n",
        "A row's `id` is its document's; repeated passes over a source repeat it. The order is random with seed "
        + f"{selection.seed}. `{count}` counts {unit}. What repetition is worth follows Muennighoff et al. 2023 "
        + "(arXiv:2305.16264).\n",
        "## Quality\n",
        _quality_section(quality),
        "## Licences\n",
        "| licence | rows |\n|---|---:|\n"
        + "\n".join(
            f"| {escaped(name) or 'not stated'} | {rows:,} |"
            for name, rows in _counted(shards, "license").most_common(_LISTED_LICENSES)
        )
        + "\n",
    ]
    return "\n".join(parts)


def front_matter(options: MixOptions, selection: Selection, shards: Sequence[ShardReport]) -> dict[str, Any]:
    """What the Hub reads: licences, languages, size, which files make which split, and the columns."""
    splits = list(selection.shards)
    rows = sum(shard.rows for shard in shards)
    languages = [
        language
        for language, documents in _counted(shards, "language").most_common()
        if _LANGUAGE_CODE.fullmatch(language) and documents >= _LANGUAGE_SHARE * rows
    ]
    return {
        "pretty_name": " ".join(options.name.split()),
        **({"language": languages} if languages else {}),
        **hub_licenses(_counted(shards, "license")),
        "task_categories": ["text-generation"],
        "size_categories": [size_category(rows)],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": shard_pattern(split)} for split in splits],
            }
        ],
        "dataset_info": {
            "features": [
                {"name": field.name, "dtype": _feature(field.type)}
                for field in dataset_schema(selection.unit, components=selection.has_slices)
            ],
            "splits": [
                {
                    "name": split,
                    "num_bytes": _total(shards, split, "text_bytes"),
                    "num_examples": _total(shards, split, "rows"),
                }
                for split in splits
            ],
            "download_size": sum(shard.file_bytes for shard in shards),
            "dataset_size": sum(shard.text_bytes for shard in shards),
        },
    }


def hub_licenses(documents: Counter[str]) -> dict[str, Any]:
    """The Hub's `license` for licences as documents state them (SPDX).

    >>> hub_licenses(Counter({"MIT": 3, "GPL-3.0-or-later": 1}))
    {'license': ['gpl-3.0', 'mit']}
    """
    names = set()
    for stated in documents:
        plain = _SPDX_SUFFIXES.sub("", stated.lower())
        plain = _SPDX_TO_HUB.get(plain, plain)
        names.add("unknown" if not plain else plain if plain in HUB_LICENSES else "other")
    return {"license": sorted(names) if len(names) > 1 else next(iter(names), "unknown")}


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


def escaped(text: str) -> str:
    """`text` as one line of Markdown that shows what it says: at most 200 characters, no markup, no HTML."""
    return re.sub(r"([\\`*_\[\]<>|#&!~$])", r"\\\1", " ".join(text.split())[:200])


def _quality_section(quality: QualityScore | None) -> str:
    if quality is None:
        return "Not scored.\n"
    rows = "\n".join(f"| {name} | {100 * share:.2f} |" for name, share in quality.losses().items())
    return f"Q = {quality.q:.3f}. {quality.definition}\n\n| lost to | % |\n|---|---:|\n{rows}\n"


def _counted(shards: Iterable[ShardReport], column: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for shard in shards:
        counts.update(shard.documents[column])
    return counts


def _total(shards: Iterable[ShardReport], split: str, key: str) -> int:
    return sum(getattr(shard, key) for shard in shards if shard.split == split)


def _feature(kind: pa.DataType) -> str:
    return {pa.string(): "string", pa.float32(): "float32", pa.int32(): "int32"}[kind]
