"""AES-256-XTS over data units: published vectors, a second implementation, and laws that any key obeys."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.crypto.ciphers.xts import MAX_UNIT, OUT_SLACK_BYTES, XtsUnits
from sim.errors import CryptoError

# IEEE Std 1619-2007, annex B: key and plaintext are those of all XTS-AES-256 vectors (10 to 14).
IEEE_KEY = bytes.fromhex(
    "27182818284590452353602874713526624977572470936999595749669676273141592653589793238462643383279502"
    "884197169399375105820974944592"
)
IEEE_PLAIN = bytes(range(256)) * 2
IEEE_VECTOR_10 = bytes.fromhex(
    "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b5d31e276f8fe4a8d66b317f9ac683f44680a"
    "86ac35adfc3345befecb4bb188fd5776926c49a3095eb108fd1098baec70aaa66999a72a82f27d848b21d4a741b0c5cd4d5f"
    "ff9dac89aeba122961d03a757123e9870f8acf1000020887891429ca2a3e7a7d7df7b10355165c8b9a6d0a7de8b062c4500d"
    "c4cd120c0f7418dae3d0b5781c34803fa75421c790dfe1de1834f280d7667b327f6c8cd7557e12ac3a0f93ec05c52e0493ef"
    "31a12d3d9260f79a289d6a379bc70c50841473d1a8cc81ec583e9645e07b8d9670655ba5bbcfecc6dc3966380ad8fecb17b6"
    "ba02469a020a84e18e8f84252070c13e9f1f289be54fbc481457778f616015e1327a02b140f1505eb309326d68378f837459"
    "5c849d84f4c333ec4423885143cb47bd71c5edae9be69a2ffeceb1bec9de244fbe15992b11b77c040f12bd8f6a975a44a0f9"
    "0c29a9abc3d4d893927284c58754cce294529f8614dcd2aba991925fedc4ae74ffac6e333b93eb4aff0479da9a410e4450e0"
    "dd7ae4c6e2910900575da401fc07059f645e8b7e9bfdef33943054ff84011493c27b3429eaedb4ed5376441a77ed43851ad7"
    "7f16f541dfd269d50d6a5f14fb0aab1cbb4c1550be97f7ab4066193c4caa773dad38014bd2092fa755c824bb5e54c4f36ffd"
    "a9fcea70b9c6e693e148c151"
)
# The first 16 bytes of vectors 10 to 14. They tell one data unit number from another; the rest of a unit
# follows from its tweak alone, which vector 10 shows in full.
IEEE_HEADS = {
    0xFF: "1c3b3a102f770386e4836c99e370cf9b",
    0xFFFF: "77a31251618a15e6b92d1d66dffe7b50",
    0xFFFFFF: "e387aaa58ba483afa7e8eb469778317e",
    0xFFFFFFFF: "bf53d2dade78e822a4d949a9bc6766b0",
    0xFFFFFFFFFF: "64497e5a831e4a932c09be3e5393376d",
}

CAVS = json.loads((Path(__file__).parent / "nist_cavs_xts_aes256.json").read_text())

KEY = bytes(range(64))
units = st.integers(0, MAX_UNIT)
unit_sizes = st.integers(32, 256).map(lambda blocks: 16 * blocks)  # 512 .. 4096 bytes


def pattern(size: int) -> bytes:
    """Bytes of which no two AES blocks are alike."""
    return b"".join(block.to_bytes(16, "big") for block in range((size + 15) // 16))[:size]


def test_ieee_1619_whole_unit() -> None:
    """Vector 10 of IEEE 1619 (512 bytes, unit number 0xff) both ways, to the last byte."""
    plain, cipher = IEEE_PLAIN, IEEE_VECTOR_10
    assert cipher == XtsUnits(IEEE_KEY).encrypt(plain, 0xFF, 512)
    assert plain == XtsUnits(IEEE_KEY).decrypt(cipher, 0xFF, 512)


@pytest.mark.parametrize("unit", IEEE_HEADS)
def test_ieee_1619_unit_numbers(unit: int) -> None:
    """The unit numbers of vectors 10 to 14, one to five bytes long, become tweaks as IEEE 1619 has them."""
    assert IEEE_HEADS[unit] == XtsUnits(IEEE_KEY).encrypt(IEEE_PLAIN, unit, 512)[:16].hex()


@pytest.mark.parametrize("vector", CAVS["vectors"], ids=lambda v: f"{v['state']}-{v['count']}")
def test_nist_cavs(vector: dict[str, str]) -> None:
    """Vectors of NIST's validation system, with their own key each, both ways."""
    plain, cipher = bytes.fromhex(vector["plain"]), bytes.fromhex(vector["cipher"])
    xts, unit = XtsUnits(bytes.fromhex(vector["key"])), int(vector["unit"])
    assert cipher == xts.encrypt(plain, unit, len(plain))
    assert plain == xts.decrypt(cipher, unit, len(plain))


def openssl_ecb(key: bytes, data: bytes, direction: str) -> bytes:
    """AES-256-ECB by the openssl command, direction "-e" or "-d"."""
    command = ["openssl", "enc", "-aes-256-ecb", direction, "-K", key.hex(), "-nopad"]
    return subprocess.run(command, input=data, capture_output=True, check=True).stdout


def xts_by_the_book(key: bytes, cipher: bytes, unit: int) -> bytes:
    """One unit by IEEE 1619, 5.4: XOR with tweak * alpha^j around AES, modulo x^128 + x^7 + x^2 + x + 1."""
    tweak = int.from_bytes(openssl_ecb(key[32:], unit.to_bytes(16, "little"), "-e"), "little")
    mask = b""
    for _ in range(0, len(cipher), 16):
        mask += tweak.to_bytes(16, "little")
        tweak = (tweak << 1) & ((1 << 128) - 1) ^ (0x87 if tweak >> 127 else 0)
    masked = bytes(left ^ right for left, right in zip(cipher, mask, strict=True))
    return bytes(left ^ right for left, right in zip(openssl_ecb(key[:32], masked, "-d"), mask, strict=True))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl command to compare with")
@pytest.mark.parametrize(
    ("unit", "unit_bytes"), [(0, 4096), (1, 512), (0x1234567890ABCDEF, 1024), (MAX_UNIT, 2048)]
)
def test_agrees_with_openssl_command(unit: int, unit_bytes: int) -> None:
    """XTS written out by the standard over `openssl enc -aes-256-ecb` (enc itself refuses XTS) agrees."""
    cipher = pattern(unit_bytes)
    assert xts_by_the_book(KEY, cipher, unit) == XtsUnits(KEY).decrypt(cipher, unit, unit_bytes)


@given(
    key=st.binary(min_size=64, max_size=64), data=st.data(), unit_bytes=unit_sizes, count=st.integers(0, 4)
)
@settings(max_examples=60, deadline=None)
def test_decrypt_inverts_encrypt(key: bytes, data: st.DataObject, unit_bytes: int, count: int) -> None:
    """Whatever key, unit size and unit numbers: what was encrypted comes back, and did not stay as it was."""
    if key[:32] == key[32:]:
        key = KEY
    first = data.draw(st.integers(0, MAX_UNIT - max(count - 1, 0)))
    plain = pattern(unit_bytes * count)
    cipher = XtsUnits(key).encrypt(plain, first, unit_bytes)
    assert plain == XtsUnits(key).decrypt(cipher, first, unit_bytes)
    assert len(plain) == len(cipher)
    assert not count or plain != cipher


@given(numbers=st.lists(units, min_size=1, max_size=6), unit_bytes=unit_sizes)
@settings(max_examples=60, deadline=None)
def test_units_are_independent(numbers: list[int], unit_bytes: int) -> None:
    """Units handled together give what each gives alone, in both directions, in any order of numbers."""
    xts, data = XtsUnits(KEY), pattern(unit_bytes * len(numbers))
    pieces = [data[start : start + unit_bytes] for start in range(0, len(data), unit_bytes)]
    alone = b"".join(
        xts.encrypt(piece, unit, unit_bytes) for piece, unit in zip(pieces, numbers, strict=True)
    )
    assert alone == xts.encrypt_units(data, numbers, unit_bytes)
    assert data == xts.decrypt_units(alone, numbers, unit_bytes)


def test_consecutive_is_a_list_of_numbers() -> None:
    """`decrypt(first)` numbers its units first, first+1, first+2."""
    data = pattern(3 * 512)
    assert XtsUnits(KEY).decrypt_units(data, [7, 8, 9], 512) == XtsUnits(KEY).decrypt(data, 7, 512)


@given(bit=st.integers(0, 511), unit=units)
@settings(max_examples=30, deadline=None)
def test_wrong_key_or_unit_never_gives_the_plaintext(bit: int, unit: int) -> None:
    """A key with one bit changed, and the neighbouring unit number, decrypt to something else everywhere."""
    plain = pattern(512)
    cipher = XtsUnits(KEY).encrypt(plain, unit, 512)
    wrong_key = (int.from_bytes(KEY, "big") ^ 1 << bit).to_bytes(64, "big")
    for other in (
        XtsUnits(wrong_key).decrypt(cipher, unit, 512),
        XtsUnits(KEY).decrypt(cipher, unit ^ 1, 512),
    ):
        assert not [at for at in range(0, 512, 16) if plain[at : at + 16] == other[at : at + 16]]


def test_any_buffer() -> None:
    """bytes, bytearray and a memoryview into the middle of something give the same plaintext."""
    cipher = pattern(1024)
    expected = XtsUnits(KEY).decrypt(cipher, 5, 512)
    assert expected == XtsUnits(KEY).decrypt(bytearray(cipher), 5, 512)
    assert expected == XtsUnits(KEY).decrypt(memoryview(b"xyz" + cipher + b"z")[3:-1], 5, 512)


@pytest.mark.parametrize("key", [b"", bytes(range(32)), bytes(range(65)), bytes(range(32)) * 2])
def test_bad_keys(key: bytes) -> None:
    """Keys of another length, or with equal halves, are refused without being shown."""
    with pytest.raises(CryptoError, match="AES-256-XTS key") as caught:
        XtsUnits(key)
    assert not key or key.hex()[:16] not in str(caught.value)


@pytest.mark.parametrize(
    ("size", "first", "unit_bytes", "message"),
    [
        (4095, 0, 4096, "4095 bytes of data"),
        (4096, -1, 4096, "data unit number -1"),
        (8192, MAX_UNIT, 4096, f"data unit number {MAX_UNIT + 1}"),
        (4096, 0, 0, "data unit of 0 bytes"),
        (4096, 0, 100, "data unit of 100 bytes"),
    ],
)
def test_bad_lengths_and_numbers(size: int, first: int, unit_bytes: int, message: str) -> None:
    """Parts of a unit and numbers beyond 64 bits are errors that name the value."""
    with pytest.raises(CryptoError, match=re.escape(message)):
        XtsUnits(KEY).decrypt(bytes(size), first, unit_bytes)
    with pytest.raises(CryptoError, match=re.escape(message)):
        XtsUnits(KEY).encrypt(bytes(size), first, unit_bytes)


def test_count_of_numbers_must_match() -> None:
    """One number too few is an error, not a shorter result."""
    with pytest.raises(CryptoError, match="1 unit numbers for 2 units"):
        XtsUnits(KEY).decrypt_units(bytes(1024), [1], 512)


def test_repr_hides_the_key() -> None:
    """Neither repr nor str of the cipher holds key bytes."""
    assert KEY.hex()[:8] not in repr(XtsUnits(KEY)) + str(XtsUnits(KEY))


@given(
    unit_bytes=st.sampled_from((512, 1024, 4096)),
    count=st.integers(1, 5),
    first=st.integers(0, MAX_UNIT - 5),
    data=st.data(),
)
def test_decrypting_into_a_buffer_is_decrypting(
    unit_bytes: int, count: int, first: int, data: st.DataObject
) -> None:
    """decrypt_into gives decrypt's bytes, and leaves the slack behind them alone."""
    units = XtsUnits(bytes(range(64)))
    ciphertext = data.draw(st.binary(min_size=unit_bytes * count, max_size=unit_bytes * count))
    out = bytearray(b"\xee" * (len(ciphertext) + OUT_SLACK_BYTES))
    units.decrypt_into(ciphertext, first, unit_bytes, memoryview(out))
    expected = units.decrypt(ciphertext, first, unit_bytes)
    assert expected == bytes(out[: len(ciphertext)])
    assert b"\xee" * OUT_SLACK_BYTES == bytes(out[len(ciphertext) :])


@given(
    unit_bytes=st.sampled_from([16, 32, 48, 272, 512, 1024]),
    count=st.integers(30, 64),
    first=st.integers(0, MAX_UNIT - 64 * 8),
    step=st.integers(1, 8),
)
@settings(max_examples=60, deadline=None)
def test_short_units_at_once(unit_bytes: int, count: int, first: int, step: int) -> None:
    """
    Runs of short units, which are handled at once, decrypt as each unit does alone; nothing is written
    behind.
    """
    xts = XtsUnits(IEEE_KEY)
    plain = (bytes(range(251)) * (unit_bytes * count // 251 + 1))[: unit_bytes * count]
    units = range(first, first + count * step, step)
    stored = xts.encrypt_units(plain, units, unit_bytes)
    out = bytearray(b"\xee" * (len(plain) + OUT_SLACK_BYTES))
    xts.decrypt_into(stored, first, unit_bytes, memoryview(out), step)
    assert plain + b"\xee" * OUT_SLACK_BYTES == out
    unaligned = memoryview(b"#" + stored)[1:]
    xts.decrypt_into(unaligned, first, unit_bytes, memoryview(out), step)
    assert plain == out[: len(plain)]
