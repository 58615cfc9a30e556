"""
eCryptfs: lower files of a Linux 6.1 kernel, the format against openssl, what a header tells without a key.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.crypto.ecryptfs import (
    EXTENT_BYTES,
    HEADER_BYTES,
    LowerFile,
    LowerHeader,
    is_lower_file,
    key_signature,
    passphrase_key,
)
from sim.crypto.streams import NamedStream
from sim.errors import CryptoError

DATA = Path(__file__).parents[1] / "data" / "ecryptfs"
RECORDED = [json.loads(line) for line in (DATA / "files.jsonl").read_text().splitlines()]
USER_KEY = bytes(range(64))
PLAIN = hashlib.shake_128(b"contents").digest(3 * EXTENT_BYTES + 17)


def lower(plain: bytes = PLAIN, key_bytes: int = 16) -> tuple[LowerFile, bytes]:
    """Return a lower file and its bytes."""
    file = LowerFile.create(len(plain), USER_KEY, NamedStream(1, "lower"), key_bytes=key_bytes)
    return file, file.lower_contents(plain)


def openssl(*words: str, data: bytes) -> bytes:
    """Return what openssl's enc makes of data."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    return subprocess.run(
        [program, "enc", "-nopad", *words], input=data, capture_output=True, check=True
    ).stdout


@pytest.mark.parametrize("record", RECORDED, ids=lambda record: record["file"])
def test_kernel_made_lower_file(record: dict[str, Any]) -> None:
    """
    A lower file of the kernel: header and extents as we write them, contents with the digest the kernel
    gave.
    """
    raw = lzma.decompress((DATA / f"{record['file']}.xz").read_bytes())
    header = LowerHeader.parse(raw)
    file = LowerFile(header, bytes.fromhex((DATA / "key.hex").read_text()))
    assert raw[:HEADER_BYTES] == header.to_bytes()
    assert (record["size"], record["key_bytes"]) == (header.size_bytes, len(header.wrapped_key))
    assert len(raw) == file.lower_bytes
    plain = file.decrypt_extents(raw[HEADER_BYTES:], 0)
    assert record["sha256"] == hashlib.sha256(plain[: record["size"]]).hexdigest()
    assert raw[HEADER_BYTES:] == file.encrypt_extents(plain, 0)


@pytest.mark.parametrize(("key_bytes", "bits"), [(16, "128"), (32, "256")])
def test_openssl_decrypts_a_lower_file(key_bytes: int, bits: str) -> None:
    """
    openssl, told only the user's key and the rules, gets the plaintext out of our lower file.

    Independent of our code: the place of the wrapped key (byte 41), ECB for it, MD5 for IVs, CBC.
    """
    _file, raw = lower(key_bytes=key_bytes)
    wrapped = raw[41 : 41 + key_bytes]
    file_key = openssl("-d", f"-aes-{bits}-ecb", "-K", USER_KEY[:key_bytes].hex(), data=wrapped)
    root_iv = hashlib.md5(file_key).digest()
    plain = b""
    for extent in range(4):
        iv = hashlib.md5(root_iv + f"{extent}".encode() + bytes(16 - len(f"{extent}"))).hexdigest()
        at = 8192 + 4096 * extent
        words = ("-d", f"-aes-{bits}-cbc", "-K", file_key.hex(), "-iv", iv)
        plain += openssl(*words, data=raw[at : at + 4096])
    assert PLAIN == plain[: len(PLAIN)]
    assert bytes(len(plain) - len(PLAIN)) == plain[len(PLAIN) :]


def test_header_is_laid_out_as_documented() -> None:
    """Size, marker, version, extents and packets stand where the format puts them."""
    _file, raw = lower()
    assert len(PLAIN) == int.from_bytes(raw[:8], "big")
    assert 0x3C81B7F5 == int.from_bytes(raw[8:12], "big") ^ int.from_bytes(raw[12:16], "big")
    assert "03000002000010000002" == raw[16:26].hex()
    assert "8c1d04070301" == raw[26:32].hex()
    assert b"\xed\x16b\x08_CONSOLE\0\0\0\0" + hashlib.sha512(USER_KEY).digest()[:8] == raw[57:81]
    assert bytes(HEADER_BYTES - 81) == raw[81:HEADER_BYTES]


@given(st.binary(min_size=0, max_size=9000), st.sampled_from([16, 32]))
@settings(max_examples=25, deadline=None)
def test_round_trip(plain: bytes, key_bytes: int) -> None:
    """Any contents come back from the bytes of the lower file alone and the user's key."""
    _file, raw = lower(plain, key_bytes)
    again = LowerFile(LowerHeader.parse(raw), USER_KEY)
    assert raw[:HEADER_BYTES] == again.header.to_bytes()
    assert len(raw) == again.lower_bytes
    found = again.decrypt_extents(raw[HEADER_BYTES:], 0)[: len(plain)] if plain else b""
    assert plain == found
    if len(plain) > EXTENT_BYTES:
        one = again.decrypt_extents(raw[HEADER_BYTES + EXTENT_BYTES :][:EXTENT_BYTES], 1)
        assert plain[EXTENT_BYTES : 2 * EXTENT_BYTES] == one[: len(plain) - EXTENT_BYTES]


def test_wrong_key_is_enokey() -> None:
    """Another key is refused by the signature, before anything is decrypted."""
    _file, raw = lower()
    with pytest.raises(CryptoError, match="ENOKEY: the key given is"):
        LowerFile(LowerHeader.parse(raw), bytes(64))


@given(st.integers(0, 80), st.integers(1, 255), st.integers(0, 90))
@settings(max_examples=80, deadline=None)
def test_damaged_headers(at: int, change: int, keep: int) -> None:
    """A changed or cut header gives one CryptoError, or a header that writes back as it was read."""
    _file, raw = lower()
    damaged = bytearray(raw[:HEADER_BYTES])
    damaged[at] ^= change
    for data in (bytes(damaged), bytes(damaged[:keep])):
        try:
            header = LowerHeader.parse(data)
        except CryptoError:
            continue
        assert header == LowerHeader.parse(header.to_bytes())


def test_passphrases() -> None:
    """The key of a passphrase is SHA-512 applied 65,536 times; salt and passphrase both matter."""
    key = hashlib.sha512(bytes(8) + b"secret").digest()
    for _round in range(65_535):
        key = hashlib.sha512(key).digest()
    assert key == passphrase_key(b"secret", bytes(8))
    assert 8 == len(key_signature(key))
    assert not is_lower_file(b"no lower file at all, but long enough")
