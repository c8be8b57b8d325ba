"""Tokenizers of every kind that is encoded by kernels, trained on this repository's own pages, and their files."""

from __future__ import annotations

import base64
import json
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from corpusmill.mix.pretokens import (
    CL100K,
    GPT2,
    GPT2_DIGITS,
    GPT2_REGEX,
    LETTER,
    MARK,
    O200K,
    Pattern,
    regex_of,
)

_REPOSITORY = Path(__file__).parents[2]

HARD_CHARACTERS = [
    *" \n\r\t'’/.-=_aAsStTeErRlLdDmMvVxX019½Ⅷ٣éÉǅʰªßſKक中アก😀❤ﬁİıΣςא\x00\x1c\x1f\u0085\u00a0\u2028",
    "\u3000", "\u200d", "\ufe0f", "\ufeff", "\u0301", "\u0327", "\u093e", "\u0e31", "\u05b0",
    "'s", "'LL", "'ſ", "'re", "  ", "    ", "<|endoftext|>", "<pad>",
    " the", "ing", "\u0378", "\U0001fae9", "\U000e0001", "\ue000", "\uffff",
]  # fmt: skip
"""Of every class that patterns tell apart, assigned only by newer versions of Unicode, assigned by none."""


def library_splitter(pattern: Pattern) -> Any:
    """What cuts text by this pattern in the tokenizers library, without bytes."""
    if pattern.family == GPT2_DIGITS:
        return pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Split(Regex(GPT2_REGEX), "isolated")]
        )
    return pre_tokenizers.Split(Regex(regex_of(pattern)), "isolated")


def library_pretokenizer(pattern: Pattern) -> Any:
    """The same with bytes, as tokenizer.json files have it."""
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if pattern.family == GPT2:
        return whole
    if pattern.family == GPT2_DIGITS:
        return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), whole])
    return pre_tokenizers.Sequence(
        [library_splitter(pattern), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


@cache
def trained(pattern: Pattern, vocabulary: int = 3000) -> str:
    """A tokenizer.json with one special token."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = library_pretokenizer(pattern)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    pages = [path.read_text() for path in sorted(_REPOSITORY.glob("docs/*.md"))]
    tokenizer.train_from_iterator([*pages, "Größe École हिन्दी में ภาษาไทย 日本語です Привет " * 20], trainer)
    text: str = tokenizer.to_str()
    return text


PATTERNS = [
    Pattern(family=GPT2),
    Pattern(family=GPT2_DIGITS, digits=1),
    Pattern(family=O200K, digits=3),
    *(
        Pattern(family=CL100K, letters=letters, digits=digits, tail_whole=tail)
        for letters in (LETTER, LETTER | MARK)
        for digits in (0, 1, 3)
        for tail in (False, True)
    ),
]


def saved(folder: Path, text: str, name: str = "tokenizer.json") -> str:
    """The path of a file with this text."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def changed(text: str, **model: Any) -> str:
    """A tokenizer.json with other values in its model."""
    data = json.loads(text)
    data["model"] |= model
    return json.dumps(data)


def with_added(text: str, *contents: str, special: bool = False) -> str:
    tokenizer = Tokenizer.from_str(text)
    add = tokenizer.add_special_tokens if special else tokenizer.add_tokens
    add([AddedToken(content, special=special) for content in contents])
    made: str = tokenizer.to_str()
    return made


def composing(text: str) -> str:
    """The same tokenizer with Normalization Form C before it."""
    tokenizer = Tokenizer.from_str(text)
    tokenizer.normalizer = normalizers.NFC()
    made: str = tokenizer.to_str()
    return made


def ranks(text: str) -> dict[bytes, int]:
    """The vocabulary of a byte-level tokenizer.json as tiktoken ranks: bytes, then tokens in order of merging."""
    data = json.loads(text)
    signs = {sign: byte for byte, sign in byte_signs().items()}
    found = {bytes([byte]): byte for byte in range(256)}
    for left, right in data["model"]["merges"]:
        found.setdefault(bytes(signs[sign] for sign in left + right), len(found))
    return found


def ranks_file(found: dict[bytes, int]) -> bytes:
    return b"".join(base64.b64encode(token) + b" %d\n" % rank for token, rank in found.items())


def byte_signs() -> dict[int, str]:
    """GPT-2's `bytes_to_unicode`, from its description."""
    signs = {byte: chr(byte) for byte in range(256) if chr(byte).isprintable() and byte not in (0x20, 0xAD)}
    for byte in range(256):
        if byte not in signs:
            signs[byte] = chr(256 + sum(other > 255 for other in map(ord, signs.values())))
    return signs
