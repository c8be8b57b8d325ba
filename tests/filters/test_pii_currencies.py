"""Checksums of crypto-currencies, against what the standards print and against other implementations."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpusmill.filters import pii_currencies as currencies

ADDRESSES = [
    b"1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",  # the first block's
    b"1111111111111111111114oLvT2",  # 20 zero bytes
    b"bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",  # BIP 173
    b"bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",  # BIP 350
    b"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",  # EIP-55
    b"0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    b"rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh",
    b"44AFFq5kSiGBoZ4NMDwYtN18obc8AemS33DBLWs3H7otXft3XjrpDtQGv7SqSsaBYBb98uNbr2VBBEt7f2wfn3RVGQBEP3A",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_address_is_known_and_one_with_a_changed_character_is_not(address: bytes) -> None:
    assert currencies.is_address(address, b"")
    assert not currencies.is_private_key(address)
    place = len(address) // 2
    for other in b"2345678":
        changed = address[:place] + bytes([other]) + address[place + 1 :]
        assert changed == address or not currencies.is_address(changed, b"")


@pytest.mark.parametrize(
    ("message", "digest"),
    [
        (b"", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        (b"abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
    ],
)
def test_keccak_gives_the_digests_of_its_authors(message: bytes, digest: str) -> None:
    assert currencies.keccak_256(message).hex() == digest


@given(st.binary(max_size=135))
def test_the_permutation_is_that_of_sha3(message: bytes) -> None:
    """SHA3-256 is the same sponge with other padding, and the standard library has it."""
    block = bytearray(200)
    block[: len(message)] = message
    block[len(message)] ^= 0x06
    block[135] ^= 0x80
    assert currencies.absorbed(bytes(block))[:32] == hashlib.sha3_256(message).digest()


@given(st.binary(max_size=80))
def test_no_token_is_too_strange_to_be_judged(token: bytes) -> None:
    if token.isalnum():
        currencies.is_address(token, b"")
        currencies.is_private_key(token)
