"""nanotron: token files as datatrove writes them, which nanotron's Nanosets read through datatrove.

Layout: datatrove 0.10, `pipeline/tokens/tokenizer.py` (`TokenizedFile`), `utils/dataset.py` (`DatatroveFolderDataset`).

    <stem>.ds            ids of all documents, each ended by EOS: uint16, or uint32 for vocabularies above 65,536
    <stem>.ds.index      where each document ends, in tokens: uint64
    <stem>.ds.metadata   three lines: `NAME|BYTES OF A TOKEN`, the number of tokens, the same for people

A folder is a Nanoset. nanotron cuts each file into windows of sequence_length + 1 and leaves out what remains of it.

Differs from datatrove: files bear the names of the dataset's shards, and rows stay in the dataset's order, which is
shuffled already; datatrove shuffles within a file by default.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import floor, log10
from typing import Any

from corpusmill.mix.exports.contract import Documents, Export, Finished, Format, Group, Place, Writer, shares

_PREFIXES = ("", "k", "M", "G", "T", "P", "E")


class Nanotron(Format):
    """`.ds` files for nanotron and everything else that reads datatrove's."""

    name = "nanotron"
    needs_tokens = True

    def writer(self, place: Place, export: Export) -> Writer:
        return _Writer(place, export)

    def finish(self, export: Export, groups: Sequence[Group]) -> Finished:
        facts = export.token_facts
        paste = []
        for split, weights in shares(groups).items():
            paste += [f"# {split}", "dataset:", "  dataset_folder:"]
            paste += [f"    - {_quoted(str(group.folder.resolve()))}" for group in weights]
            paste.append("  dataset_weights:")
            paste += [f"    - {weight:.6f}" for weight in weights.values()]
            # All three, and the name as it stands in the metadata: nanotron then asks no hub for the tokenizer.
            paste += [
                f"  tokenizer_name: {_quoted(_plain(facts.name))}",
                f"  vocab_size: {facts.vocab_size}",
                f"  token_size_in_bytes: {facts.id_bytes}",
            ]
        return Finished(paste=tuple(paste))


class _Writer(Writer):
    def __init__(self, place: Place, export: Export) -> None:
        super().__init__(place, export)
        self._tokens, self._index = self.file(".ds"), self.file(".ds.index")
        self._written = 0

    def write(self, documents: Documents) -> None:
        tokens, ends = documents.tokenised()
        self._tokens.write(tokens.data)
        self._index.write((ends + self._written).astype("<u8").data)
        self._written += len(tokens)

    def end(self) -> dict[str, Any]:
        facts = self.export.token_facts
        lines = [f"{_plain(facts.name)}|{facts.id_bytes}", str(self._written), in_short(self._written)]
        self.file(".ds.metadata").write("\n".join(lines).encode())
        return {}


def in_short(tokens: int) -> str:
    """A number of tokens with three digits and a prefix, as datatrove's metadata has it.

    >>> in_short(0), in_short(950), in_short(1_234_567)
    ('0.00 T', '950 T', '1.23 MT')
    """
    exponent = floor(log10(tokens)) if tokens else 0
    value = tokens / 10 ** (exponent // 3 * 3)
    return f"{value:.{2 - exponent % 3}f} {_PREFIXES[exponent // 3]}T"


def _quoted(text: str) -> str:
    """A string for YAML, which reads JSON's."""
    return json.dumps(text, ensure_ascii=False)


def _plain(name: str) -> str:
    """The tokenizer's name as nanotron finds it again: it cuts the first line at the bar."""
    return " ".join(name.replace("|", " ").split())
