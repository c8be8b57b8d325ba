"""What `corpusmill export` does: a finished dataset as the files of other trainers.

Each format has a folder of its own below `--out`. Its `export.json` is there from the beginning and says what the
folder is an export of; only the same export goes on in it. With `complete: true` it tells the files and the lines to
paste, too, and the format is not written again.

    identity   dataset (SHA-256 of its shards' names and content), tokenizer (fingerprint), eos, by, splits,
               sequence_length (null where no file depends on it), version of the format
    complete   true once every file stands
    dataset, tokenizer      names, for people
    splits     for each split: documents, text_bytes, tokens (EOS included), and `groups`: with `by` the same for each,
               and its share of the split's tokens, or of its bytes where there are none
    inner_eos  EOS tokens within documents
    files      path from the format's folder -> bytes
    paste      lines for the trainer's configuration
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpusmill.documents.errors import DamagedRunError, UsageError
from corpusmill.documents.printable import printable
from corpusmill.documents.shards import atomic_text, remove_partial_files, storage_errors
from corpusmill.mix.exports import format_named
from corpusmill.mix.exports.contract import By, Export, Format, Group, TokenFacts, in_order
from corpusmill.mix.exports.dataset import ExportedDataset
from corpusmill.mix.exports.tokenised import PARTS, SHARDS, Receipt, ShardExport, place_of
from corpusmill.mix.tokens import Tokens, check_stored_counts, load_tokens
from corpusmill.pipeline.executors import Executor
from corpusmill.pipeline.lock import locked
from corpusmill.pipeline.tasks import Outcome, fingerprint

if TYPE_CHECKING:
    from corpusmill.pipeline.run import Progress

TOLD = "export.json"
_USUAL_EOS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "[EOS]", "<|im_end|>")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What an export is asked for.

    to               names of formats
    tokenizer        spec of mix/tokens.py
    splits           none named: all
    by               None: the documents of a split stay together
    eos              None: the tokenizer's own
    sequence_length  for formats whose samples are cut to it
    """

    to: tuple[str, ...]
    out: Path
    tokenizer: str | None = None
    splits: tuple[str, ...] = ()
    by: By | None = None
    eos: str | None = None
    sequence_length: int = 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What became of an export: for each finished format what its `export.json` says, and the tasks that failed."""

    formats: Mapping[str, Mapping[str, Any]]
    failed: tuple[Outcome, ...]

    @property
    def exit_code(self) -> int:
        return 3 if self.failed else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Going:
    """A format that is to be written."""

    format: Format
    export: Export
    identity: Mapping[str, Any]

    @property
    def mark(self) -> str:
        return fingerprint(self.identity)


def export(folder: Path, options: ExportOptions, executor: Executor, progress: Progress) -> Exported:
    """Exports a dataset, or goes on with an export that was stopped.

    Raises:
        UsageError, InputError: for a dataset, a tokenizer or a folder that cannot be used so.
        DamagedRunError: if the dataset is not what its manifest says.
        StorageError: if the disk is full; finished shards are kept.
    """
    formats = _formats(options)
    dataset = ExportedDataset.open(folder, options.splits)
    _check_place(options.out, dataset)
    tokens, counted = _token_facts(options, dataset)
    with locked(
        options.out,
        f"--out {options.out}",
        taken="another export is at work in it; wait for it, or name another",
        unusable="cannot be made or written ({reason}); name another folder",
    ):
        done: dict[str, Mapping[str, Any]] = {}
        going: list[_Going] = []
        for chosen in formats:
            place, own = options.out / chosen.name, tokens if chosen.needs_tokens else None
            identity = _identity(chosen, dataset, options, own)
            told = _standing(place, identity)
            if told is not None:
                _remove_spent(place)
                done[chosen.name] = told
                progress.say(f"{place}: is complete already")
                continue
            export = Export(
                folder=place,
                dataset=dataset.name,
                by=options.by,
                columns=dataset.columns,
                tokens=own,
                sequence_length=options.sequence_length,
            )
            going.append(_Going(format=chosen, export=export, identity=identity))
        for one in going:  # only now: a folder that is in the way of one format stops all of them
            remove_partial_files(one.export.folder)
            atomic_text(one.export.folder / TOLD, _json({"identity": one.identity, "complete": False}))
        failed = _write_shards(dataset, options, going, counted, executor, progress)
        if not failed:
            done |= {one.format.name: _finish(one, dataset) for one in going}
    return Exported(formats={name: done[name] for name in options.to if name in done}, failed=failed)


def _formats(options: ExportOptions) -> list[Format]:
    if not options.to:
        raise UsageError("--to: name at least one format, such as --to nanotron")
    if options.sequence_length < 1:
        raise UsageError(f"--sequence-length {options.sequence_length}: must be at least 1")
    formats = [format_named(name) for name in dict.fromkeys(options.to)]
    wanting = [chosen.name for chosen in formats if chosen.needs_tokens]
    if wanting and options.tokenizer is None:
        raise UsageError(
            f"--to {','.join(wanting)}: holds tokens; give --tokenizer, a tokenizer.json or NAME=FILE of tiktoken"
        )
    if options.tokenizer is not None and not wanting:
        raise UsageError(
            f"--tokenizer {options.tokenizer}: would not be used, as {', '.join(options.to)} holds text; leave it out"
        )
    return formats


def _token_facts(options: ExportOptions, dataset: ExportedDataset) -> tuple[TokenFacts | None, bool]:
    """The tokens of the export, and whether the dataset has counted them, so that every document can be checked."""
    if options.tokenizer is None:
        return None, False
    tokens = load_tokens(options.tokenizer)
    counted = check_stored_counts(dataset.folder, tokens)
    eos, eos_id = _eos(options, tokens)
    facts = TokenFacts(
        name=tokens.name, fingerprint=tokens.fingerprint, vocab_size=tokens.vocab_size, eos=eos, eos_id=eos_id
    )
    return facts, counted


def _eos(options: ExportOptions, tokens: Tokens) -> tuple[str, int]:
    """The token that ends documents, and its id."""
    if options.eos is not None:
        chosen = tokens.token_id(options.eos)
        if chosen is None:
            raise UsageError(f"--eos {options.eos}: is no token of {options.tokenizer}; {_known(tokens)}")
        return options.eos, chosen
    if tokens.eos_id is None:
        raise UsageError(
            f"--tokenizer {options.tokenizer}: does not say which token ends a document; name it with --eos; "
            f"{_known(tokens)}"
        )
    named = [token for token in _USUAL_EOS if tokens.token_id(token) == tokens.eos_id]
    return named[0] if named else str(tokens.eos_id), tokens.eos_id


def _known(tokens: Tokens) -> str:
    known = [token for token in _USUAL_EOS if tokens.token_id(token) is not None]
    return f"it has {', '.join(known)}" if known else f"it has none of {', '.join(_USUAL_EOS)}"


def _identity(
    chosen: Format, dataset: ExportedDataset, options: ExportOptions, own: TokenFacts | None
) -> dict[str, Any]:
    return {
        "dataset": dataset.identity,
        "tokenizer": own.fingerprint if own else None,
        "eos": own.eos_id if own else None,
        "by": options.by,
        "splits": sorted({shard.split for shard in dataset.shards}),
        "sequence_length": options.sequence_length if chosen.cuts_sequences else None,
        "version": chosen.version,
    }


_DIFFERENCES = {
    "dataset": "another dataset, or another state of it",
    "tokenizer": "another tokenizer",
    "eos": "another end-of-text token",
    "by": "another --by",
    "splits": "other splits",
    "sequence_length": "another --sequence-length",
    "version": "another version of the format",
}


def _standing(place: Path, identity: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a complete export of this identity says of itself; None where it is to be written.

    Raises:
        UsageError: if something else is in the way.
    """
    try:
        told = json.loads((place / TOLD).read_text())
        found = told["identity"]
        differing = [what for key, what in _DIFFERENCES.items() if found.get(key) != identity[key]]
    except (FileNotFoundError, NotADirectoryError):
        if place.exists() and (not place.is_dir() or any(place.iterdir())):
            raise UsageError(f"{place}: is in the way of the export and is none itself; name another --out") from None
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{place / TOLD}: is none of ours ({error}); name another --out, or remove {place}") from error
    if differing:
        raise UsageError(
            f"{place}: holds an export of {' and '.join(differing)}; name another --out, or remove {place}"
        )
    if not told.get("complete"):
        return None
    files = told["files"]
    try:
        stands = all((place / name).stat().st_size == size for name, size in files.items())
    except FileNotFoundError:
        stands = False
    return told if stands else None


def _check_place(out: Path, dataset: ExportedDataset) -> None:
    if out.resolve().is_relative_to(dataset.folder.resolve()):
        raise UsageError(f"--out {out}: lies within the dataset, whose checksums say what belongs there; name another")


def _write_shards(
    dataset: ExportedDataset,
    options: ExportOptions,
    going: Sequence[_Going],
    counted: bool,
    executor: Executor,
    progress: Progress,
) -> tuple[Outcome, ...]:
    """Runs a task for each shard that a format lacks; returns those that failed."""
    tasks: list[ShardExport] = []
    reused: list[Outcome] = []
    for shard in dataset.shards:
        lacking = [one for one in going if Receipt.read(one.export.folder, shard.stem, one.mark) is None]
        task = ShardExport(
            shard=shard,
            exports={one.format.name: one.export for one in lacking},
            marks={one.format.name: one.mark for one in lacking},
            tokenizer=options.tokenizer if any(one.format.needs_tokens for one in lacking) else None,
            check_counts=counted,
        )
        if lacking:
            tasks.append(task)
        else:
            reused.append(Outcome(task, reused=True))
    if going:
        size = sum(shard.text_bytes for shard in dataset.shards)
        progress.level(f"export: {', '.join(one.format.name for one in going)}", len(dataset.shards), size)
        for outcome in reused:
            progress.outcome(outcome)
    return tuple(outcome for outcome in executor.run(tasks, progress.outcome) if outcome.error is not None)


def _finish(one: _Going, dataset: ExportedDataset) -> dict[str, Any]:
    """Closes a format whose shards are all written, and says so in its `export.json`."""
    folder = one.export.folder
    groups, inner_eos = _groups(one, dataset)
    with storage_errors(folder):
        finished = one.format.finish(one.export, groups)
    kept = {
        name: size
        for group in groups
        for written in group.written
        for name, size in written.files.items()
        if not name.startswith(f"{PARTS}/")
    }
    kept |= {path.relative_to(folder).as_posix(): path.stat().st_size for path in finished.files}
    told = {
        "identity": one.identity,
        "complete": True,
        "dataset": one.export.dataset,
        "tokenizer": asdict(one.export.tokens) if one.export.tokens else None,
        "splits": _counts(groups),
        "inner_eos": inner_eos,
        "files": dict(sorted(kept.items())),
        "paste": list(finished.paste),
    }
    atomic_text(folder / TOLD, _json(told))
    _remove_spent(folder)
    return told


def _remove_spent(folder: Path) -> None:
    """Removes what only served to write a format; an export that was killed here left it to us."""
    for spent in (folder / PARTS, folder / SHARDS):
        shutil.rmtree(spent, ignore_errors=True)


def _groups(one: _Going, dataset: ExportedDataset) -> tuple[list[Group], int]:
    """What the shards' receipts say, by split and group, and the EOS tokens within documents.

    Raises:
        DamagedRunError: if a shard's files are gone again.
    """
    written: dict[tuple[str, str | None], list[Any]] = {}
    places = {}
    inner = 0
    for shard in dataset.shards:
        found = Receipt.read(one.export.folder, shard.stem, one.mark)
        if found is None:
            raise DamagedRunError(f"{one.export.folder}: files of {shard.stem} are gone; run the same command again")
        inner += found.inner_eos
        for name, part in found.groups.items():
            written.setdefault((shard.split, name), []).append(part)
            places[shard.split, name] = place_of(one.export.folder, shard, name)
    splits = in_order({split for split, _ in written})
    keys = sorted(written, key=lambda key: (splits.index(key[0]), key[1] or ""))
    groups = [
        Group(
            split=split,
            name=name,
            folder=places[split, name].folder,
            parts=places[split, name].parts,
            written=tuple(written[split, name]),
        )
        for split, name in keys
    ]
    return groups, inner


def _counts(groups: Sequence[Group]) -> dict[str, dict[str, Any]]:
    """Documents, bytes and tokens by split, and by group where documents are parted."""
    counts: dict[str, dict[str, Any]] = {}
    for split in dict.fromkeys(group.split for group in groups):
        own = [group for group in groups if group.split == split]
        whole = {key: sum(getattr(group, key) for group in own) for key in ("documents", "text_bytes", "tokens")}
        base = "tokens" if whole["tokens"] else "text_bytes"
        counts[split] = whole | {
            "groups": {
                group.name: {key: getattr(group, key) for key in whole}
                | {"share": getattr(group, base) / max(1, whole[base])}
                for group in own
                if group.name is not None
            }
        }
    return counts


def export_as_text(exported: Exported, out: Path) -> str:
    """What was written, and the lines to paste, for people."""
    lines: list[str] = []
    if exported.formats:
        # All formats hold the same documents; those with tokens tell more.
        told = max(exported.formats.values(), key=lambda told: told["tokenizer"] is not None)
        tokenizer = told["tokenizer"]
        ends = f", tokens of {tokenizer['name']}, each document ended by {tokenizer['eos']}" if tokenizer else ""
        lines.append(f"{told['dataset']}{ends}")
        for split, counts in told["splits"].items():
            lines.append(_counts_as_text(split, counts))
            lines += [_counts_as_text(f"  {name}", group) for name, group in counts["groups"].items()]
        if told["inner_eos"]:
            lines.append(
                f"{told['inner_eos']:,} end-of-text tokens stand within documents: a reader that looks for them cuts "
                "there; choose another --eos"
            )
    for name, told in exported.formats.items():
        lines += ["", f"{out / name}", *(f"    {line}" for line in told["paste"])]
    if exported.failed:
        lines += ["", f"{len(exported.failed)} shards failed; run the same command again"]
    return "\n".join(map(printable, lines))  # names of components come from documents


def _counts_as_text(label: str, counts: Mapping[str, Any]) -> str:
    tokens = f"{counts['tokens']:>18,} tokens" if counts["tokens"] else ""
    share = f"{counts['share']:>9.2%}" if "share" in counts else ""
    return f"  {label:<28}{counts['documents']:>14,} documents{counts['text_bytes'] / 1e6:>12,.1f} MB{tokens}{share}"


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"
