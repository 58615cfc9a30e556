"""Tags: vectors that others published, the openssl program, and every single bit."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tools import found

from sim.crypto.macs import Aead, SealedTags, mac_key_of
from sim.errors import ConfigError, ImageError
from sim.integrity.algorithms import ALGORITHMS, KEY_BYTES, MAX_COUNTER, algorithm_of, nonce

KEY = bytes(range(KEY_BYTES))
BLOCK = bytes(number * 7 % 251 for number in range(1024))
VECTORS = [
    # RFC 3720, B.4: 32 zeros, 32 ones, incrementing bytes
    ("crc32c", b"", bytes(32), "aa36918a"),
    ("crc32c", b"", b"\xff" * 32, "43aba862"),
    ("crc32c", b"", bytes(range(32)), "4e79dd46"),
    # xxHash's specification: the empty input
    ("xxh64", b"", b"", "99e9d85137db46ef"),
    # FIPS 180-2, B.1
    ("sha256", b"", b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    # RFC 4231, test case 2, cut to 16 bytes
    ("hmac-sha256", b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c7"),
    # RFC 4493, examples 1 to 4
    ("aes-cmac", bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"), b"", "bb1d6929e95937287fa37d129b756746"),
    (
        "aes-cmac",
        bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"),
        bytes.fromhex("6bc1bee22e409f96e93d7e117393172a"),
        "070a16b46b4d4144f79bdd9dd04a287c",
    ),
    (
        "aes-cmac",
        bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c"),
        bytes.fromhex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411"),
        "dfa66747de9ae63030ca32611497c827",
    ),
]


@pytest.mark.parametrize(("name", "key", "data", "tag"), VECTORS)
def test_published_vectors(name: str, key: bytes, data: bytes, tag: str) -> None:
    """Byte for byte what the documents have; crc32c is kept with its low byte first, as they print it."""
    assert tag == ALGORITHMS[name].make(key, 0, data).hex()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sha256", ["dgst", "-sha256"]),
        ("hmac-sha256", ["dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{KEY.hex()}"]),
        ("aes-cmac", ["mac", "-cipher", "AES-256-CBC", "-macopt", f"hexkey:{KEY.hex()}", "-in", "-", "CMAC"]),
        (
            "aes-256-gcm",
            [
                "mac", "-cipher", "AES-256-GCM", "-macopt", f"hexkey:{KEY.hex()}",
                "-macopt", f"hexiv:{nonce(1, 9).hex()}", "-in", "-", "GMAC",
            ],
        ),
    ],
)  # fmt: skip
def test_openssl_says_the_same(name: str, words: list[str]) -> None:
    """The last bytes of the tag are those that openssl prints."""
    program = found("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    said = subprocess.run([program, *words], input=BLOCK, capture_output=True, check=True).stdout
    told = said.decode().split()[-1].lower()
    ours = ALGORITHMS[name].make(KEY, 9, BLOCK).hex()
    assert told.startswith(ours[8:] if name == "aes-256-gcm" else ours)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_single_bit(name: str) -> None:
    """No flip of one bit of a block of 1 KiB keeps its tag: all 8,192 of them."""
    algorithm = ALGORITHMS[name]
    stored = algorithm.make(KEY, 3, BLOCK)
    assert algorithm.tag_bytes == len(stored)
    assert stored == algorithm.again(KEY, 3, BLOCK, stored)
    for bit in range(8 * len(BLOCK)):
        other = bytearray(BLOCK)
        other[bit >> 3] ^= 1 << (bit & 7)
        assert stored != algorithm.again(KEY, 3, bytes(other), stored)


@given(
    st.sampled_from(sorted(ALGORITHMS)), st.binary(max_size=99), st.binary(max_size=99), st.integers(0, 99)
)
def test_what_was_made_holds(name: str, key: bytes, data: bytes, position: int) -> None:
    """And under another key of a keyed one it does not."""
    algorithm, key = ALGORITHMS[name], key[:KEY_BYTES].ljust(KEY_BYTES, b"k")
    stored = algorithm.make(key, position, data)
    assert stored == algorithm.again(key, position, data, stored)
    other = bytes(byte ^ 1 for byte in key)
    assert algorithm.keyed == (stored != algorithm.again(other, position, data, stored))


def test_a_counter_goes_up_and_ends() -> None:
    """A nonce never comes twice under a key: each tag of a position has the next counter; at the end, no."""
    gcm, stored, nonces = ALGORITHMS["aes-256-gcm"], b"", set()
    for _write in range(5):
        stored = gcm.make(KEY, 1, BLOCK, stored)
        nonces.add(stored[:4])
    assert 5 == len(nonces)
    last = MAX_COUNTER.to_bytes(4, "little")
    with pytest.raises(ImageError, match=r"position 1 was written 2\^32 - 1 times"):
        gcm.make(KEY, 1, BLOCK, last)


def test_an_unknown_name_is_told() -> None:
    """With those there are."""
    with pytest.raises(ConfigError, match=r"algorithm: 'md5'.*crc32c, xxh64"):
        algorithm_of("md5")


def test_aead_and_sealed_tags() -> None:
    """A block opens with its own nonce, tag and context alone; a sealed tag tells nothing of the tag."""
    cipher = Aead(KEY)
    sealed, tag = cipher.seal(nonce(1, 2), BLOCK, b"here")
    assert BLOCK == cipher.open(nonce(1, 2), sealed, tag, b"here")
    for wrong in ((nonce(1, 3), b"here"), (nonce(1, 2), b"there")):
        assert cipher.open(wrong[0], sealed, tag, wrong[1]) is None
    assert tag == cipher.tag(nonce(1, 2), sealed, b"here") != cipher.tag(nonce(1, 2), BLOCK, b"here")
    seal = SealedTags(KEY)
    assert seal.seal(b"abcd", 1) == seal.seal(b"abcd", 1) != seal.seal(b"abcd", 2)
    assert 16 == len(seal.seal(b"abcd", 1))
    assert KEY != mac_key_of(KEY) != mac_key_of(bytes(32))
