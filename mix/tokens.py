"""Tokens: one interface to the tokenizers that count a mix and encode its texts.

Two kinds of files are read, both from the local disk alone:

    tokenizer.json    of Hugging Face's tokenizers, any model
    NAME=FILE         an encoding of tiktoken and its published file of ranks: on each line a token's bytes in base64
                      and its rank, such as `cl100k_base=ranks/cl100k_base.tiktoken`

`Tokens.engine` says what encodes: `compiled`, our kernels (mix/byte_pairs.py), for byte-level BPE with a pattern that
mix/pretokens.py knows; or `tokenizers`, the library itself, for everything else. The ids are those of the library, or
of tiktoken for its own encodings: what the kernels are to encode is checked at load, with the whole vocabulary and a
text of hard cases, and where they differ the library encodes. It also encodes single texts with characters that this
Python's Unicode does not know, or with added tokens of the vocabulary that are not special.

No special token is added, and none is recognised: `<|endoftext|>` in a document is text like any other, or whoever
wrote the document could end it for the trainer. (tokenizers calls that `encode_special_tokens`, tiktoken
`encode_ordinary`.)
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import threading
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from corpusmill.documents.batch import text_buffers
from corpusmill.documents.errors import InputError, nearest
from corpusmill.mix.byte_pairs import HARD, Encoder, Merges
from corpusmill.mix.pretokens import (
    CL100K,
    GPT2,
    GPT2_DIGITS,
    GPT2_REGEX,
    O200K,
    Pattern,
    known_pattern,
    regex_of,
)

Engine = Literal["compiled", "tokenizers"]

_SLICE_BYTES = 4_000_000
_SLICE_ROWS = 1024
_MANY_ADDED = 64
END_OF_TEXT = "<|endoftext|>"
_ENDS = (END_OF_TEXT, "<|end_of_text|>", "</s>", "<eos>", "<|eos|>", "<EOS>", "[EOS]", "[SEP]")
"""What the end of a text is called where no tokenizer_config.json says it."""


@dataclass(frozen=True, kw_only=True)
class Published:
    """An encoding that tiktoken names.

    sha256   of its published file of ranks
    special  special tokens and their ids
    """

    sha256: str
    pattern: Pattern
    special: Mapping[str, int]


_CODE_TOKENS = {"<|fim_prefix|>": 100258, "<|fim_middle|>": 100259, "<|fim_suffix|>": 100260, "<|endofprompt|>": 100276}
_R50K = Published(
    sha256="306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
    pattern=Pattern(family=GPT2),
    special={END_OF_TEXT: 50256},
)
PUBLISHED = {
    "gpt2": _R50K,  # the same tokens with the same ids
    "r50k_base": _R50K,
    "p50k_base": Published(
        sha256="94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069",
        pattern=Pattern(family=GPT2),
        special={END_OF_TEXT: 50256},
    ),
    "cl100k_base": Published(
        sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
        pattern=Pattern(family=CL100K, digits=3, tail_whole=True),
        special={END_OF_TEXT: 100257, **_CODE_TOKENS},
    ),
    "o200k_base": Published(
        sha256="446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
        pattern=Pattern(family=O200K, digits=3),
        special={END_OF_TEXT: 199999, "<|endofprompt|>": 200018},
    ),
}

PROBE = (
    "The 1st of 12,345 tests (it's, IT'S, don't, we'Ve, 'ſ)... x=0xFFee;\n\tif (a<=b) { return a_b['k'] }  // ok\r\n"
    "\r\n  two  spaces \n \n\n tail\u00a0no-break\u3000wide\u2028line\u0085next \x00\x01nul "
    "Größe ÉCOLE naïve ﬁﬂ ǅ ʰ ª e\u0301\u0327 ЁЖ Привет ΣΑΣ हिन्दी में ภาษาไทย עברית العَرَبِيَّة 日本語です。한국어 ①½² ٣٤٥ ⅷ "
    "😀👩‍👩‍👧❤️🏳️‍🌈 ---- ==== ''''' \"q\" $x^2$ <|endoftext|> <pad> \ufffd \u200b\u200d\ufeff "
    "aaaaaaaaaaaaaaaa 1234567890 \n   "
)
"""A text of hard cases; what encodes must give its ids as the tokenizer's own library does."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokens:
    """A tokenizer, ready to count and to encode. One thread at a time encodes; others wait.

    name         for people: a tiktoken name, or the file's, or its folder's where that is `tokenizer.json`
    fingerprint  SHA-256 of all that decides ids, 64 hexadecimal digits; formatting and post-processing do not count
    vocab_size   one more than the largest id
    eos_id       the id that ends a text, None where the vocabulary has no such token
    engine       what encodes
    why          the reason where the engine is `tokenizers`, for people; else empty
    """

    name: str
    fingerprint: str
    vocab_size: int
    eos_id: int | None
    engine: Engine
    why: str
    _library: _Library
    _encoder: Encoder | None
    _added: tuple[str, ...] = ()
    _composed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, texts: pa.Array) -> NDArray[np.int64]:
        """The number of tokens of each text; nulls have none."""
        counts = [self._encoded(some, keep=False)[0] for some in _slices(texts)]
        return np.concatenate([np.zeros(0, np.int64), *counts])

    def encode(self, texts: pa.Array) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """All ids, one text after another, and where each text's begin: int64[texts + 1]."""
        parts = [self._encoded(some, keep=True) for some in _slices(texts)]
        ids = np.concatenate([np.zeros(0, np.uint32), *(ids for _, ids in parts)])
        counts = np.concatenate([np.zeros(1, np.int64), *(counts for counts, _ in parts)])
        return ids, np.cumsum(counts)

    def forget(self) -> None:
        """Empties the memory of words met before, for whoever measures speed. It changes no result."""
        if self._encoder is not None:
            with self._lock:
                self._encoder.forget()

    def token_id(self, text: str) -> int | None:
        """The id of a token of the vocabulary, added and special ones included."""
        return self._library.token_id(text)

    @cached_property
    def token_bytes(self) -> NDArray[np.int32] | None:
        """int32[vocab_size]: bytes of text that each id stands for; None where ids do not stand for bytes."""
        return self._library.token_bytes(self.vocab_size)

    def _encoded(self, texts: pa.StringArray, *, keep: bool) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
        """Counts, and the ids if `keep`, of texts that are not null."""
        if self._encoder is None:
            lists = self._library.encode(texts)
            counts = np.fromiter(map(len, lists), np.int64, len(lists))
            return counts, _joined(lists) if keep else np.zeros(0, np.uint32)
        plain = _composed(texts) if self._composed else texts
        with self._lock:
            counts, ids = self._encoder.encode(*text_buffers(plain), keep=keep)
        hard = counts == HARD
        for token in self._added:
            hard |= pc.match_substring(plain, token).to_numpy(zero_copy_only=False)
            hard |= pc.match_substring(texts, token).to_numpy(zero_copy_only=False)
        if not hard.any():
            return counts, ids
        places = np.flatnonzero(hard)
        lists = self._library.encode(texts.take(pa.array(places)))
        starts = np.concatenate([[0], np.cumsum(np.maximum(counts, 0))])
        counts[places] = [len(some) for some in lists]
        if not keep:
            return counts, ids
        pieces, done = [], 0
        for place, some in zip(places.tolist(), lists, strict=True):
            pieces += [ids[done : starts[place]], np.array(some, np.uint32)]
            done = starts[place + 1]
        return counts, np.concatenate([*pieces, ids[done:]])


class _Library:
    """The tokenizers library with one tokenizer, or with none until it is needed."""

    def __init__(self, tokenizer: Any = None, ranks: _Ranks | None = None) -> None:
        self._given = tokenizer
        self._ranks = ranks

    @cached_property
    def tokenizer(self) -> Any:
        tokenizer = self._given if self._ranks is None else _library_of_ranks(self._ranks)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True
        return tokenizer

    def encode(self, texts: pa.StringArray) -> list[list[int]]:
        try:
            encodings = self.tokenizer.encode_batch_fast(texts.to_pylist(), add_special_tokens=False)
        except Exception as error:  # the library raises bare Exception
            raise InputError(f"tokenizer: the vocabulary cannot encode a text: {error}") from error
        return [encoding.ids for encoding in encodings]

    def token_id(self, text: str) -> int | None:
        if self._ranks is not None:
            return self._ranks.special.get(text, self._ranks.ids.get(text.encode()))
        found: int | None = self.tokenizer.token_to_id(text)
        return found

    def token_bytes(self, size: int) -> NDArray[np.int32] | None:
        if self._ranks is not None:
            known: Mapping[bytes, int] = self._ranks.ids
        else:
            vocabulary = _bytes_of_vocabulary(json.loads(self.tokenizer.to_str()))
            if vocabulary is None:
                return None
            known = vocabulary
        lengths = np.zeros(size, np.int32)
        for content, identifier in known.items():
            lengths[identifier] = len(content)
        return lengths


@dataclass(frozen=True, kw_only=True)
class _Ranks:
    """A tiktoken encoding: ids by bytes, its special tokens and its pattern."""

    ids: dict[bytes, int]
    special: Mapping[str, int]
    pattern: Pattern

    @cached_property
    def pairs(self) -> dict[tuple[int, int], tuple[int, int]]:
        """tiktoken joins any two neighbours that are a token together, and the token of the lowest rank first."""
        ids = self.ids
        return {
            (ids[content[:cut]], ids[content[cut:]]): (rank, rank)
            for content, rank in ids.items()
            for cut in range(1, len(content))
            if content[:cut] in ids and content[cut:] in ids
        }


def load_tokens(spec: str) -> Tokens:
    """The tokenizer that `spec` names: a path of a tokenizer.json, or NAME=FILE for an encoding of tiktoken. Loaded
    once, and again when its file is another.

    Raises:
        InputError: if there is no such file, or it is no tokenizer, or not the one that its name says.
    """
    name, path = _named_file(spec)
    try:
        status = path.stat()
        config = path.with_name("tokenizer_config.json")
        changed = (status.st_mtime_ns, config.stat().st_mtime_ns if name is None and config.is_file() else 0)
        return _loaded(name, path, status.st_size, changed)
    except OSError as error:
        raise InputError(f"tokenizer: {path} cannot be read ({error.strerror})") from error


def check_stored_counts(folder: Path, tokens: Tokens) -> bool:
    """Whether the dataset in `folder` has counted its rows with this tokenizer; False if it counts another unit.

    A few rows are counted again, too.

    Raises:
        InputError: if it was counted with another tokenizer, or its rows were not counted with the one it names.
    """
    shards = sorted((folder / "data").glob("*.parquet"))
    if not shards:
        raise InputError(f"{folder}: has no data/*.parquet; name the folder of a dataset that corpusmill wrote")
    for shard in shards:
        stored = _stored_fingerprint(shard)
        if stored is None:
            return False
        if stored != tokens.fingerprint:
            raise InputError(
                f"{shard}: its tokens were counted with the tokenizer {stored or 'unknown'}, and {tokens.name} is "
                f"{tokens.fingerprint}; name the tokenizer of the mix, or mix again with this one"
            )
    with pq.ParquetFile(shards[0]) as file:
        rows = next(file.iter_batches(16, columns=["text", "n_tokens"]), None)
    if rows is not None:
        counted, noted = tokens.count(rows.column("text")), rows.column("n_tokens").to_numpy()
        wrong = np.flatnonzero(counted != noted)
        if len(wrong):
            row = int(wrong[0])
            raise InputError(
                f"{shards[0]}: row {row} has n_tokens {int(noted[row]):,}, and {tokens.name} ({tokens.fingerprint}) "
                f"counts {int(counted[row]):,}; mix again"
            )
    return True


def _stored_fingerprint(shard: Path) -> str | None:
    """The fingerprint that a shard's counts carry, empty if none; None if its unit is another."""
    metadata = pq.read_schema(shard).metadata or {}
    if metadata.get(b"corpusmill.unit") != b"tokens":
        return None
    return metadata.get(b"corpusmill.tokenizer", b"").decode("utf-8", "replace")


def _named_file(spec: str) -> tuple[str | None, Path]:
    """The tiktoken name, if one is given, and the file."""
    name, separator, path = spec.partition("=")
    if not separator or Path(spec).is_file():
        if spec in PUBLISHED:
            raise InputError(
                f"tokenizer: {spec} needs its file of ranks, and nothing is downloaded; give it as "
                f"{spec}=FOLDER/{'r50k_base' if spec == 'gpt2' else spec}.tiktoken"
            )
        if not Path(spec).is_file():
            raise InputError(
                f"tokenizer: {spec} is no file; give the path of a Hugging Face tokenizer.json, or NAME=FILE such as "
                "cl100k_base=cl100k_base.tiktoken"
            )
        return None, Path(spec)
    if name not in PUBLISHED:
        close = nearest(name, PUBLISHED)
        mend = f"did you mean {close!r}?" if close else f"known are {', '.join(PUBLISHED)}"
        raise InputError(f"tokenizer: {name!r} is no encoding of tiktoken that is known here; {mend}")
    if not Path(path).is_file():
        raise InputError(f"tokenizer: {path} is no file; {name} needs its published file of ranks")
    return name, Path(path)


@lru_cache(maxsize=4)
def _loaded(name: str | None, path: Path, size: int, changed: tuple[int, int]) -> Tokens:
    content = path.read_bytes()
    return _from_json(path, content) if name is None else _from_ranks(name, path, content)


def _from_ranks(name: str, path: Path, content: bytes) -> Tokens:
    published = PUBLISHED[name]
    digest = hashlib.sha256(content).hexdigest()
    if digest != published.sha256:
        raise InputError(
            f"tokenizer: {path} is not the file that {name} was published with: its SHA-256 is {digest}, not "
            f"{published.sha256}; download it again"
        )
    ranks = _Ranks(ids=_parsed_ranks(path, content), special=published.special, pattern=published.pattern)
    merges = Merges(
        bytes_to_ids=[ranks.ids[bytes([byte])] for byte in range(256)],
        pairs=ranks.pairs,
        whole=ranks.ids,
        pattern=ranks.pattern,
    )
    stated = {"special": dict(ranks.special), "pattern": regex_of(ranks.pattern), "ranks": digest}
    return Tokens(
        name=name,
        fingerprint=hashlib.sha256(_canonical(stated)).hexdigest(),
        vocab_size=1 + max(*ranks.ids.values(), *ranks.special.values()),
        eos_id=ranks.special[END_OF_TEXT],
        engine="compiled",
        why="",
        _library=_Library(ranks=ranks),
        _encoder=Encoder(merges),
    )


def _parsed_ranks(path: Path, content: bytes) -> dict[bytes, int]:
    ids = {}
    for number, line in enumerate(content.splitlines(), 1):
        try:
            token, rank = line.split()
            ids[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise InputError(f"tokenizer: {path}, line {number}: is no token in base64 with its rank") from error
    if missing := [byte for byte in range(256) if bytes([byte]) not in ids]:
        raise InputError(f"tokenizer: {path}: has no token for the byte {missing[0]:#04x}; it is cut short")
    return ids


def _library_of_ranks(ranks: _Ranks) -> Any:
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers

    signs = byte_signs()
    spelled = {identifier: "".join(signs[byte] for byte in content) for content, identifier in ranks.ids.items()}
    pairs = sorted((rank, left, right) for (left, right), (rank, _) in ranks.pairs.items())
    tokenizer = Tokenizer(
        models.BPE(
            {text: identifier for identifier, text in spelled.items()},
            [(spelled[left], spelled[right]) for _, left, right in pairs],
            ignore_merges=True,
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(regex_of(ranks.pattern)), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer


def _from_json(path: Path, content: bytes) -> Tokens:
    from tokenizers import Tokenizer  # loads in a second, and most mixes need none

    try:
        tokenizer = Tokenizer.from_str(content.decode())
    except Exception as error:  # the library raises bare Exception
        raise InputError(f"tokenizer: {path} is no Hugging Face tokenizer.json: {error}") from error
    data = json.loads(tokenizer.to_str())  # the library's own reading: files of older versions lack keys
    if data["model"].get("dropout"):  # of merges, at random, while a model is trained
        tokenizer.model.dropout = data["model"]["dropout"] = None
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    if not vocabulary:
        raise InputError(f"tokenizer: {path} has an empty vocabulary; train or download it again")
    fast = _merges_of(data)
    tokens = Tokens(
        name=path.parent.resolve().name if path.name == "tokenizer.json" else path.stem,
        fingerprint=_fingerprint(data),
        vocab_size=1 + max(vocabulary.values()),
        eos_id=_end_of_text(path, vocabulary),
        engine="tokenizers" if isinstance(fast, str) else "compiled",
        why=fast if isinstance(fast, str) else "",
        _library=_Library(tokenizer),
        _encoder=None if isinstance(fast, str) else Encoder(fast),
        _added=tuple(token["content"] for token in data["added_tokens"] if not token["special"]),
        _composed=data["normalizer"] is not None,
    )
    return tokens if tokens._encoder is None else _checked(tokens, vocabulary)


def _checked(tokens: Tokens, vocabulary: Mapping[str, int]) -> Tokens:
    """The same with the library as its engine, if the kernels give other ids than the library."""
    bytes_of = {sign: byte for byte, sign in enumerate(byte_signs())}
    known = [
        bytes(bytes_of[sign] for sign in token).decode("utf-8", "ignore")
        for token in vocabulary
        if all(sign in bytes_of for sign in token)
    ]
    texts = pa.array([PROBE, "\n".join(known), *known[:: max(1, len(known) // 1000)]], pa.string())
    slow = replace(tokens, engine="tokenizers", why="our kernels gave other ids than the library", _encoder=None)
    ours, theirs = tokens.encode(texts), slow.encode(texts)
    same = np.array_equal(ours[0], theirs[0]) and np.array_equal(ours[1], theirs[1])
    return tokens if same else slow


def _merges_of(data: Mapping[str, Any]) -> Merges | str:
    """What the kernels need of a tokenizer.json, or why they cannot encode as it says."""
    model = data["model"]
    if model.get("type") != "BPE":
        return f"the model is {model.get('type')}, not BPE"
    for option in ("continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"):
        if model.get(option):
            return f"the model has {option}"
    if data["normalizer"] not in (None, {"type": "NFC"}):
        return "the text is normalised first, by more than NFC"
    pattern = _pattern_of(data["pre_tokenizer"])
    if pattern is None:
        return "the pre-tokenizer is no byte-level one with a pattern that is known"
    if sum(not token["special"] for token in data["added_tokens"]) > _MANY_ADDED:
        return "there are many added tokens that are not special"
    vocabulary = model["vocab"]
    signs = byte_signs()
    if not all(sign in vocabulary for sign in signs):
        return "the vocabulary does not have all bytes"
    pairs: dict[tuple[int, int], tuple[int, int]] = {}
    for rank, merge in enumerate(model["merges"]):
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        pairs[vocabulary[left], vocabulary[right]] = rank, vocabulary[left + right]
    whole = (_bytes_of_vocabulary(data) or {}) if model.get("ignore_merges") else {}
    return Merges(
        bytes_to_ids=[vocabulary[sign] for sign in signs],
        pairs=pairs,
        whole=whole,
        pattern=pattern,
    )


def _pattern_of(pretokenizer: Mapping[str, Any] | None) -> Pattern | None:
    if pretokenizer is None:
        return None
    steps = pretokenizer["pretokenizers"] if pretokenizer["type"] == "Sequence" else [pretokenizer]
    *before, last = steps
    if last["type"] != "ByteLevel" or last["add_prefix_space"]:
        return None
    if not before:
        return known_pattern(GPT2_REGEX) if last["use_regex"] else None
    if len(before) > 1:
        return None
    [step] = before
    if last["use_regex"]:
        digits = step["type"] == "Digits" and step["individual_digits"]
        return Pattern(family=GPT2_DIGITS, digits=1) if digits else None
    if step["type"] != "Split" or step["behavior"] not in ("Isolated", "Removed") or "Regex" not in step["pattern"]:
        return None
    if step["invert"] != (step["behavior"] == "Removed"):
        return None
    return known_pattern(step["pattern"]["Regex"])


def _bytes_of_vocabulary(data: Mapping[str, Any]) -> dict[bytes, int] | None:
    """The tokens of a byte-level vocabulary by their bytes, None if it is no such; added tokens stand for no bytes."""
    model, signs = data["model"], {sign: byte for byte, sign in enumerate(byte_signs())}
    if model["type"] != "BPE" or _pattern_of(data["pre_tokenizer"]) is None:
        return None
    added = {token["id"] for token in data["added_tokens"]}
    return {
        bytes(signs[sign] for sign in token): identifier
        for token, identifier in model["vocab"].items()
        if identifier not in added and all(sign in signs for sign in token)
    }


def byte_signs() -> list[str]:
    """The character that byte-level vocabularies write for each byte (Radford et al. 2019): itself where it shows, else
    one from U+0100 on."""
    shown = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) if byte in shown else chr(0x100 + hidden.index(byte)) for byte in range(256)]


def _end_of_text(path: Path, vocabulary: Mapping[str, int]) -> int | None:
    """The id of the token that tokenizer_config.json beside `path` calls eos_token, else of one that is called so."""
    config = path.with_name("tokenizer_config.json")
    named: object = None
    if config.is_file():
        try:
            named = json.loads(config.read_bytes()).get("eos_token")
        except (ValueError, AttributeError, RecursionError) as error:
            raise InputError(f"tokenizer: {config} is no JSON object; mend it or take it away") from error
        if isinstance(named, dict):
            named = named.get("content")
    if isinstance(named, str):
        return vocabulary.get(named)
    return next((vocabulary[name] for name in _ENDS if name in vocabulary), None)


def _fingerprint(data: Mapping[str, Any]) -> str:
    deciding = {key: _stated(data[key]) for key in ("added_tokens", "normalizer", "pre_tokenizer", "model")}
    return hashlib.sha256(_canonical(deciding)).hexdigest()


def _stated(data: Any) -> Any:
    """JSON without what is off or empty: newer versions of the library write options that older ones do not know."""
    if isinstance(data, dict):
        kept = {key: value for key, value in data.items() if value is not None and value is not False}
        return {key: _stated(value) for key, value in kept.items() if value not in ("", [], {})}
    return [_stated(value) for value in data] if isinstance(data, list) else data


def _canonical(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def _slices(texts: pa.Array) -> Iterator[pa.StringArray]:
    """Pieces with 32-bit offsets, of a few megabytes where no single text is larger, without nulls.

    Raises:
        InputError: if a text is no UTF-8.
    """
    sizes = np.cumsum(pc.binary_length(texts).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64))
    start = 0
    while start < len(texts):
        base = int(sizes[start - 1]) if start else 0
        end = int(np.searchsorted(sizes, base + _SLICE_BYTES, side="right"))
        end = min(max(end, start + 1), start + _SLICE_ROWS)
        piece = texts.slice(start, end - start).fill_null("").cast(pa.string())
        try:
            piece.validate(full=True)
        except pa.ArrowInvalid as error:
            raise InputError(f"texts {start} to {end - 1}: not all are UTF-8 ({error}); write them as UTF-8") from error
        yield piece
        start = end


def _joined(lists: Sequence[Sequence[int]]) -> NDArray[np.uint32]:
    return np.concatenate([np.zeros(0, np.uint32), *(np.array(some, np.uint32) for some in lists)])


def _composed(texts: pa.StringArray) -> pa.StringArray:
    """The texts in Normalization Form C."""
    if pc.all(pc.string_is_ascii(texts)).as_py():
        return texts
    return pa.array([unicodedata.normalize("NFC", text) for text in texts.to_pylist()], pa.string())
