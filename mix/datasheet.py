"""The datasheet: DATASHEET.md, answers to the questions that readers of a dataset have, from its manifest alone.

Gebru et al. 2021, "Datasheets for Datasets" (Communications of the ACM 64(12), arXiv:1803.09010), section 3:
motivation, composition, collection, preprocessing, uses, distribution, maintenance. Differs from the paper: questions
are put shorter, and those on annotation are left out, as nothing is annotated by hand. What the manifest cannot know is
marked for a person to fill in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from corpusmill.mix.card import value_counts
from corpusmill.mix.markdown import escaped, table
from corpusmill.mix.quality_score import LOSSES

TO_FILL = "*To be filled in by a person: the manifest does not know.*"
_REASONS = 3  # of a stage, the most frequent
_DUMPS = 20
_SHOWN = 50  # rows of a table
_PERSONAL = ("pii", "pii_count")
_HARMFUL = ("toxicity", "c4_bad_words", "url")

Answer = tuple[str, Sequence[str]]
"""A question, and the paragraphs that answer it."""


def datasheet(manifest: Mapping[str, Any]) -> str:
    """The text of DATASHEET.md.

    Args:
        manifest: the dataset's, as manifest.json has it.
    """
    lines = [
        f"# Datasheet of {escaped(manifest['name'])}",
        "After Gebru et al. 2021, arXiv:1803.09010. Written by corpusmill from `manifest.json`; what only a person can "
        "say is marked.",
    ]
    for title, answers in (
        ("Motivation", _motivation(manifest)),
        ("Composition", _composition(manifest)),
        ("Collection", _collection(manifest)),
        ("Preprocessing and cleaning", _preprocessing(manifest)),
        ("Uses", _uses(manifest)),
        ("Distribution", _distribution(manifest)),
        ("Maintenance", _maintenance(manifest)),
    ):
        lines.append(f"## {title}")
        for question, answer in answers:
            lines += [f"**{question}**", *answer]
    return "\n\n".join(lines) + "\n"


def _motivation(manifest: Mapping[str, Any]) -> list[Answer]:
    return [
        ("What is it for?", ["Pretraining of language models.", f"The gap that it fills: {TO_FILL}"]),
        ("Who made it, for whom, and who paid?", [TO_FILL]),
    ]


def _composition(manifest: Mapping[str, Any]) -> list[Answer]:
    unit = manifest["unit_name"]
    rows = sum(split["rows"] for split in manifest["splits"].values())
    without = {column: value_counts(manifest, column)[""] for column in ("language", "license")}
    return [
        (
            "What is a row?",
            ["A document: a web page, a book, a source file or what else the source has, as plain text."],
        ),
        (
            "How many rows are there?",
            [
                f"{rows:,}, a document that is repeated counted each time.",
                table(
                    ("split", "rows", unit, "UTF-8 bytes", "characters"),
                    [
                        (name, split["rows"], split["units"], split["text_bytes"], split["characters"])
                        for name, split in manifest["splits"].items()
                    ],
                ),
            ],
        ),
        (
            "Is it all there is, or a sample?",
            [
                "A sample of each component, in the shares that the recipe asks. Documents are taken in the order of a "
                f"hash of their id with seed {manifest['seed']}; an epoch is a pass over what is there for training.",
                table(
                    ("component", "asked %", "achieved %", f"{unit} for training", "epochs", f"{unit} there"),
                    [
                        (
                            entry["component"],
                            f"{100 * entry['ratio']:.2f}",
                            f"{100 * entry['achieved_ratio']:.2f}",
                            entry["units"],
                            f"{entry['epochs']:.3f}",
                            entry["available_units"],
                        )
                        for entry in sorted(manifest["components"], key=lambda entry: -entry["ratio"])
                    ],
                ),
            ],
        ),
        (
            "What does a row consist of?",
            [
                table(
                    ("column", "type", "always there"),
                    [
                        (column["name"], column["type"], "no" if column["nullable"] else "yes")
                        for column in manifest["columns"]
                    ],
                )
            ],
        ),
        ("Is there a label?", ["No. `quality`, where it is there, is a classifier's score of the text, 0 to 1."]),
        (
            "Is anything missing?",
            [
                f"{without['language']:,} rows have no language and {without['license']:,} state no licence. What was "
                "left out on purpose stands under preprocessing."
            ],
        ),
        (
            "Do rows belong together?",
            [
                "Rows of one `id` are passes over one document."
                + (
                    " Documents that are near-duplicates are in one split: a hash of their group decides which."
                    if manifest["options"]["split_by"] == "cluster"
                    else " Near-duplicates of a document may be in another split."
                )
            ],
        ),
        (
            "Which splits are recommended?",
            [
                "`train`, and `validation` to measure the loss on."
                + (
                    " Splits `heldout_…` are of one source each, to measure what a mix does to it."
                    if any(name.startswith("heldout") for name in manifest["splits"])
                    else ""
                )
            ],
        ),
        ("Are there errors, noise or redundancy?", _quality(manifest["quality"])),
        ("Does it depend on anything outside?", ["No. `url` says where a text was found; it may have changed there."]),
        ("Is there anything confidential or personal in it?", _treated(manifest, _PERSONAL, "personal data")),
        ("Is there anything offensive in it?", _treated(manifest, _HARMFUL, "offensive text")),
    ]


def _quality(quality: Mapping[str, Any] | None) -> list[str]:
    if quality is None:
        return ["Not measured."]
    return [
        f"Q = {quality['q']:.3f}. {quality['definition']}",
        table(
            ("lost to", "% of the tokens"), [(name, f"{100 * quality[name]:.2f}") for name in LOSSES if name in quality]
        ),
    ]


def _treated(manifest: Mapping[str, Any], kinds: Sequence[str], what: str) -> list[str]:
    """What the stages of some kinds did for each source, and which sources had none."""
    sources = manifest["stages"]
    if not sources:
        return [TO_FILL]
    told = []
    bare = []
    for source, stages in sources.items():
        names = [stage["name"] for stage in stages if stage["stage"] in kinds]
        counted = {stage["stage"]: stage for stage in manifest["curation"].get(source, {}).get("stages", ())}
        for name in names:
            stage = counted.get(name, {})
            dropped = sum(stage.get("dropped", {}).values())
            rewritten = stage.get("rewritten", {}).get("documents", 0)
            told.append(
                f"- {escaped(source)}: {escaped(name)} dropped {_documents(dropped)}"
                + (f" and rewrote {_documents(rewritten)}." if rewritten else ".")
            )
        if not names:
            bare.append(escaped(source))
    parts = ["\n".join(told)] if told else []
    if bare:
        parts.append(f"No stage looked for {what} in {', '.join(bare)}.")
    return [*parts, "No stage finds all of it: expect some to be left."]


def _collection(manifest: Mapping[str, Any]) -> list[Answer]:
    rows = []
    for source, entry in manifest["inputs"].items():
        dumps = sorted({file["dump"] for file in entry["files"] if "dump" in file})
        shown = ", ".join(dumps[:_DUMPS]) + (f" and {len(dumps) - _DUMPS} more" if len(dumps) > _DUMPS else "")
        rows.append(
            (source, len(entry["files"]), sum(file["size"] for file in entry["files"]), shown, entry["license"] or "")
        )
    return [
        (
            "How was it gathered?",
            [
                "From files, which `inputs` of the manifest lists; `recipe` says where they were.",
                table(("source", "files", "bytes", "dumps of Common Crawl", "licence of the source"), rows),
            ]
            if rows
            else [TO_FILL],
        ),
        ("Over what time was it gathered?", [TO_FILL]),
        ("Who gathered it, and how were they paid?", [TO_FILL]),
        ("Did the authors of the texts know or agree, and was there an ethical review?", [TO_FILL]),
    ]


def _preprocessing(manifest: Mapping[str, Any]) -> list[Answer]:
    funnels = []
    for source, entry in manifest["curation"].items():
        rows = []
        for stage in entry["stages"]:
            dropped = sorted(((count, reason) for reason, count in stage["dropped"].items() if count), reverse=True)
            reasons = ", ".join(f"{reason} {count:,}" for count, reason in dropped[:_REASONS])
            rows.append((stage["stage"], stage["in"], sum(count for count, _ in dropped), reasons, stage["kept"]))
        funnels.append(f"{escaped(source)}:")
        funnels.append(table(("stage", "documents in", "dropped", "most often for", "documents left"), rows))
    models = [
        (model["source"], model["stage"], model["file"], model["sha256"]) for model in manifest["models"][:_SHOWN]
    ]
    versions = ", ".join(escaped(f"{name} {number}") for name, number in manifest["versions"].items())
    return [
        ("What was done to the data?", funnels or [TO_FILL]),
        (
            "Which models and lists took part?",
            [table(("source", "stage", "file", "SHA-256"), models)]
            if models
            else ["None that a stage reads from a file."],
        ),
        (
            "Is the raw data kept?",
            ["The run's ledger has a row for every record that came in, kept or not.", f"The inputs: {TO_FILL}"],
        ),
        (
            "Is the software to be had?",
            [
                f"corpusmill {manifest['tool_version']} ({versions}). The recipe stands in the manifest"
                + (f", with the hash {manifest['recipe_hash']}." if manifest["recipe_hash"] else ".")
            ],
        ),
    ]


def _uses(manifest: Mapping[str, Any]) -> list[Answer]:
    sets = manifest["decontamination"]
    if sets:
        sources = ", ".join(f"{escaped(entry['source'])} against {_listed(entry['benchmarks'])}" for entry in sets)
        told = f"Benchmarks were sought in the documents of {sources}. Others may be in it, and reworded items, too."
    else:
        told = "No benchmark was sought in it: scores on public benchmarks may be too good."
    return [
        ("What has it been used for, and what else could it be used for?", [TO_FILL]),
        ("Is there anything that limits its uses?", [told]),
        ("What should it not be used for?", [TO_FILL]),
    ]


def _distribution(manifest: Mapping[str, Any]) -> list[Answer]:
    rows = [
        (source, name or "not stated", count)
        for source, licenses in manifest["licenses"].items()
        for name, count in sorted(licenses.items(), key=lambda item: (-item[1], item[0]))[:_SHOWN]
    ]
    return [
        ("Who gets it, how and when?", [TO_FILL]),
        (
            "Under which licences?",
            [
                "Each document has its own, where its source states one. Rows by source and licence:",
                table(("source", "licence", "rows"), rows),
            ],
        ),
        ("Do third parties or regulators restrict it?", [TO_FILL]),
    ]


def _maintenance(manifest: Mapping[str, Any]) -> list[Answer]:
    return [
        ("Who hosts and maintains it, and whom does one write to?", [TO_FILL]),
        ("Will it be updated, and are documents taken out on request?", [TO_FILL]),
        (
            "How does one know that it is the same?",
            [
                f"Its content hash is `{manifest['content_hash']}`, whatever the order of its rows; `SHA256SUMS` has "
                "that of each file, and `corpusmill verify` checks both, and what the manifest says."
            ],
        ),
    ]


def _documents(number: int) -> str:
    return f"{number:,} document{'s' * (number != 1)}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(escaped(name) for name in names)
