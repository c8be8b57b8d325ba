"""Addresses and keys of crypto-currencies: each is judged by the checksum that it carries.

Sources: base58check, Bitcoin's wiki and its `base58.cpp`; bech32, BIP 173, and bech32m, BIP 350; mixed-case Ethereum
addresses, EIP-55; Keccak-256, Bertoni et al., "The Keccak reference" (2011), with the padding from before FIPS 202;
Monero, "Zero to Monero" (2020), section 5.2. An Ethereum address of one case has no checksum and counts behind a word
of the trade only.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

import numpy as np
from numba import uint64
from numpy.typing import NDArray

from corpusmill.documents.compiled import frozen, inlined, kernel

_BITCOIN_ALPHABET = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_RIPPLE_ALPHABET = b"rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz"
# Versions of base58check whose payload is a hash of 20 bytes: Bitcoin, its test network, Litecoin, Dogecoin, Dash,
# Zcash (two bytes), Tron.
_ADDRESS_VERSIONS = frozenset(
    {b"\x00", b"\x05", b"\x6f", b"\xc4", b"\x30", b"\x32", b"\x1e", b"\x16", b"\x4c", b"\x10", b"\x41"}
    | {b"\x1c\xb8", b"\x1c\xbd"}
)
_PRIVATE_VERSIONS = frozenset({b"\x80", b"\xef", b"\xb0"})  # wallet import format: Bitcoin, test network, Litecoin
_EXTENDED_KEYS = {
    bytes.fromhex("0488b21e"): False, bytes.fromhex("0488ade4"): True,  # xpub, xprv
    bytes.fromhex("049d7cb2"): False, bytes.fromhex("049d7878"): True,  # ypub, yprv
    bytes.fromhex("04b24746"): False, bytes.fromhex("04b2430c"): True,  # zpub, zprv
}  # fmt: skip
_BECH32_PREFIXES = frozenset({"bc", "tb", "ltc", "addr", "stake", "cosmos", "osmo", "inj", "celestia"})
_BECH32_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_BECH32_CONSTANTS = (1, 0x2BC830A3)  # bech32 and bech32m
_BECH32_LENGTHS = (38, 110)
_MONERO_LENGTHS = (95, 106)
_MONERO_NETWORKS = (18, 19, 42, 24, 53)
_ETHEREUM_WORD = re.compile(rb"(?i)\b(?:eth|ethereum|wallet|erc-?20|metamask|etherscan|address)\b[^\n]{0,16}\Z")

ANCHORS = (b"bc1", b"BC1", b"tb1", b"ltc", b"add", b"sta", b"cos", b"osm", b"inj", b"cel",
           b"xpu", b"xpr", b"ypu", b"ypr", b"zpu", b"zpr")  # fmt: skip
"""What addresses that need not mix upper and lower case begin with."""


def is_address(candidate: bytes, before: bytes) -> bool:
    """Whether a token is an address, or a public key from which addresses follow.

    >>> is_address(b"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", b""), is_address(b"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", b"")
    (True, False)
    """
    if candidate.startswith((b"0x", b"0X")):
        return _is_ethereum(candidate[2:], before)
    return _kind(candidate) == "address"


def is_private_key(candidate: bytes) -> bool:
    """Whether a token is a private key as wallets write it: WIF, xprv and its like."""
    return not candidate.startswith((b"0x", b"0X")) and _kind(candidate) == "key"


@lru_cache(maxsize=4096)
def _kind(token: bytes) -> str:
    if token[:1] in b"13LMDXtTmn2cK59AQ" or token[:4] in (b"xpub", b"xprv", b"ypub", b"yprv", b"zpub", b"zprv"):
        payload = _base58check(token)
        if payload is not None:
            return _payload_kind(payload)
    if token[:1] == b"r" and 25 <= len(token) <= 35:
        payload = _base58check(token, _RIPPLE_ALPHABET)
        return "address" if payload is not None and len(payload) == 21 and payload[0] == 0 else ""
    if token[:1] in b"48" and len(token) in _MONERO_LENGTHS:
        return "address" if _is_monero(token) else ""
    return "address" if _is_bech32(token.decode("ascii")) else ""


def _payload_kind(payload: bytes) -> str:
    if len(payload) == 78:
        private = _EXTENDED_KEYS.get(payload[:4])
        return "" if private is None else "key" if private else "address"
    if payload[:-20] in _ADDRESS_VERSIONS:
        return "address"
    compressed = len(payload) == 34 and payload[-1] == 1
    return "key" if payload[:1] in _PRIVATE_VERSIONS and (len(payload) == 33 or compressed) else ""


def _base58check(token: bytes, alphabet: bytes = _BITCOIN_ALPHABET) -> bytes | None:
    """What a base58check string of at most 111 characters says, without its checksum; None if that is wrong."""
    number = 0
    for byte in token:
        digit = alphabet.find(byte)
        if digit < 0:
            return None
        number = number * 58 + digit
    zeros = len(token) - len(token.lstrip(alphabet[:1]))
    content = bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
    if len(content) < 5:
        return None
    digest = hashlib.sha256(hashlib.sha256(content[:-4]).digest()).digest()
    return content[:-4] if digest[:4] == content[-4:] else None


def _is_bech32(token: str) -> bool:
    prefix, _, data = token.lower().rpartition("1")
    if prefix not in _BECH32_PREFIXES or not (token.islower() or token.isupper()):
        return False
    if not _BECH32_LENGTHS[0] <= len(token) <= _BECH32_LENGTHS[1]:
        return False
    values = [_BECH32_ALPHABET.find(character) for character in data]
    if min(values, default=-1) < 0:
        return False
    codes = prefix.encode()
    remainder = 1
    for value in [*(code >> 5 for code in codes), 0, *(code & 31 for code in codes), *values]:
        top = remainder >> 25
        remainder = (remainder & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            if top >> bit & 1:
                remainder ^= generator
    return remainder in _BECH32_CONSTANTS


def _is_ethereum(digits: bytes, before: bytes) -> bool:
    """EIP-55: a letter is upper case where the hash of the address in lower case has a digit of 8 or more."""
    if len(digits) != 40 or re.fullmatch(rb"[0-9A-Fa-f]{40}", digits) is None:
        return False
    if digits.islower() or digits.isupper() or digits.isdigit():
        return len(set(digits)) > 4 and _ETHEREUM_WORD.search(before) is not None
    hashed = keccak_256(digits.lower()).hex()
    return all((97 > byte >= 65) == (int(digit, 16) >= 8) for byte, digit in zip(digits, hashed) if byte >= 65)


def _is_monero(token: bytes) -> bool:
    """Blocks of 11 characters are 8 bytes each, the last of 7 is 5; the last four bytes are a checksum."""
    content = b""
    for start in range(0, len(token), 11):
        block = token[start : start + 11]
        number = 0
        for byte in block:
            digit = _BITCOIN_ALPHABET.find(byte)
            if digit < 0:
                return False
            number = number * 58 + digit
        size = {11: 8, 7: 5}.get(len(block))
        if size is None or number >> 8 * size:
            return False
        content += number.to_bytes(size, "big")
    return content[0] in _MONERO_NETWORKS and keccak_256(content[:-4])[:4] == content[-4:]


_RATE = 136  # bytes that Keccak-256 takes in at a time


def keccak_256(message: bytes) -> bytes:
    """Keccak-256 of a message of fewer than 136 bytes.

    >>> keccak_256(b"").hex()[:16]
    'c5d2460186f7233c'
    """
    block = bytearray(200)
    block[: len(message)] = message
    block[len(message)] ^= 0x01
    block[_RATE - 1] ^= 0x80
    return absorbed(bytes(block))[:32]


def absorbed(block: bytes) -> bytes:
    """The state of 200 bytes after `block` has been taken into an empty one."""
    state = np.frombuffer(block, np.uint64).copy()
    permute(_ROUND_CONSTANTS, state)
    return state.tobytes()


def _round_constants() -> NDArray[np.uint64]:
    """uint64[24]: bits 2^j - 1 of each are taken from a linear feedback shift register."""
    register, constants = 1, []
    for _ in range(24):
        constant = 0
        for power in range(7):
            if register & 1:
                constant |= 1 << (1 << power) - 1
            register = register << 1 ^ (0x171 if register & 0x80 else 0)
        constants.append(constant)
    return frozen(np.array(constants, np.uint64))


_ROUND_CONSTANTS = _round_constants()


@inlined
def _rotated(lane: np.uint64, bits: int) -> np.uint64:
    return lane << uint64(bits) | lane >> uint64(64 - bits)


@kernel
def permute(constants: NDArray[np.uint64], state: NDArray[np.uint64]) -> None:
    """Keccak-f[1600] on the 25 lanes of `state`."""
    columns = np.empty(5, np.uint64)
    for constant in constants:
        for x in range(5):
            columns[x] = state[x] ^ state[x + 5] ^ state[x + 10] ^ state[x + 15] ^ state[x + 20]
        for x in range(5):
            mixed = columns[(x + 4) % 5] ^ _rotated(columns[(x + 1) % 5], 1)
            for y in range(0, 25, 5):
                state[x + y] ^= mixed
        lane = state[1]
        x, y = 1, 0
        for step in range(24):
            x, y = y, (2 * x + 3 * y) % 5
            moved = state[x + 5 * y]
            bits = (step + 1) * (step + 2) // 2 % 64
            state[x + 5 * y] = lane if bits == 0 else _rotated(lane, bits)
            lane = moved
        for y in range(0, 25, 5):
            for x in range(5):
                columns[x] = state[x + y]
            for x in range(5):
                state[x + y] = columns[x] ^ (~columns[(x + 1) % 5] & columns[(x + 2) % 5])
        state[0] ^= constant
