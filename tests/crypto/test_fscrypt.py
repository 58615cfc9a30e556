"""fscrypt: contexts, key derivation, and real files that a Linux 6.1 kernel encrypted."""

from __future__ import annotations

import hashlib
import json
import lzma
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.crypto.ciphers.xts import XtsUnits
from sim.crypto.fscrypt.contexts import (
    FLAG_DIRECT_KEY,
    FLAG_IV_INO_LBLK_32,
    FLAG_IV_INO_LBLK_64,
    ContentsCipher,
    Context,
    MasterKey,
    hkdf_sha512,
)
from sim.errors import CryptoError

DATA = Path(__file__).parents[1] / "data" / "fscrypt_4k"
BLOCK_BYTES = 4096
FILES = [json.loads(line) for line in (DATA / "files.jsonl").read_text().splitlines()]
KEYS = json.loads((DATA / "keys.json").read_text())
MASTER = MasterKey(bytes.fromhex(KEYS["raw_key"]))
NONCE = bytes(range(100, 116))
CONTEXT = Context(2, 1, 4, 0x03, MASTER.identifier, NONCE)


@pytest.fixture(scope="module")
def image() -> bytes:
    """The ext4 image that the kernel wrote."""
    return lzma.decompress((DATA / "fscrypt_4k.img.xz").read_bytes())


def context_of(file: dict[str, Any]) -> Context:
    """The context of a recorded file, from the policy that the kernel reported, and its nonce."""
    policy = bytes.fromhex(file["policy"])
    version = 2 if policy[0] == 2 else 1  # FSCRYPT_POLICY_V1 is 0, its context says 1
    return Context.parse(bytes([version]) + policy[1:] + bytes.fromhex(file["nonce"]))


def cipher_of(file: dict[str, Any], image: bytes, context: Context | None = None) -> ContentsCipher:
    """The cipher of a recorded file; the UUID comes from byte 0x68 of the superblock at 1024."""
    uuid = image[1024 + 0x68 :][:16]
    return ContentsCipher(
        MASTER, context or context_of(file), BLOCK_BYTES, inode_number=file["ino"], filesystem_uuid=uuid
    )


def read_plain(file: dict[str, Any], image: bytes, cipher: ContentsCipher) -> bytes:
    """The file's bytes, decrypted extent by extent; holes are zeros."""
    blocks = -(-file["size"] // BLOCK_BYTES)
    plain = bytearray(blocks * BLOCK_BYTES)
    for logical, physical, length, _flags in file["extents"]:
        stored = memoryview(image)[physical : physical + length]
        plain[logical : logical + length] = cipher.decrypt_blocks(stored, logical // BLOCK_BYTES)
    return bytes(plain[: file["size"]])


def test_image_holds_every_kind() -> None:
    """The recording has v2 files with default IVs, v1 files and IV_INO_LBLK_64 files: none is missing."""
    kinds = [(context_of(file).version, context_of(file).flags) for file in FILES]
    expected = {(2, 0x03): 8, (1, 0x00): 7, (2, 0x0B): 7}
    assert expected == {kind: kinds.count(kind) for kind in kinds}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file["path"].removeprefix("/mnt/"))
def test_kernel_made_file(file: dict[str, Any], image: bytes) -> None:
    """Every file that the kernel encrypted decrypts to the digest of its plaintext."""
    plain = read_plain(file, image, cipher_of(file, image))
    assert file["sha256"] == hashlib.sha256(plain).hexdigest()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file["path"].removeprefix("/mnt/"))
def test_encrypting_again_gives_the_kernels_bytes(file: dict[str, Any], image: bytes) -> None:
    """What we encrypt is, block by block, what the kernel stored, its padding of the last block included."""
    cipher = cipher_of(file, image)
    for logical, physical, length, _flags in file["extents"]:
        stored = image[physical : physical + length]
        plain = cipher.decrypt_blocks(stored, logical // BLOCK_BYTES)
        beyond_eof = plain[max(0, file["size"] - logical) :]
        assert bytes(len(beyond_eof)) == beyond_eof
        assert stored == cipher.encrypt_blocks(plain, logical // BLOCK_BYTES)


def test_contexts_are_stored_in_the_image_as_we_write_them(image: bytes) -> None:
    """`to_bytes` of each file's context is found in the image: its xattr, byte for byte."""
    for file in FILES:
        assert context_of(file).to_bytes() in image


def test_wrong_nonce_does_not_decrypt(image: bytes) -> None:
    """With one bit of the nonce changed, no file decrypts to its digest."""
    for file in FILES:
        context = context_of(file)
        if context.flags & FLAG_IV_INO_LBLK_64:
            continue  # one key for all files: the nonce plays no part
        nonce = bytes([context.nonce[0] ^ 1]) + context.nonce[1:]
        plain = read_plain(file, image, cipher_of(file, image, replace(context, nonce=nonce)))
        assert file["sha256"] != hashlib.sha256(plain).hexdigest()


def test_identifier_of_recorded_key() -> None:
    """The identifier derived from the raw key is the one that the kernel returned for it."""
    assert KEYS["v2_identifier"] == MASTER.identifier.hex()


@pytest.mark.parametrize(
    ("key", "okm"),
    [
        (
            b"\x0b" * 22,
            "f5fa02b18298a72a8c23898a8703472c6eb179dc204c03425c970e3b164bf90fff22d04836d0e2343bac"
            "c4e7cb6045faaa698e0e3b3eb91331306def1db8319e8a699b5ee45ab993847dc4df75bde023692c8c07"
            "10a67a55123f10a8b2d8327f9eb138da69d5bea1e09a39ea99a341c00b2c9ee0d4ba632115aec516bb71"
            "e922",
        ),
        (
            b"\x0c" * 22,
            "1407d46013d98bc6decefcfee55f0f90b0c7f63d68eb1a80eaf07e953cfc0a3a5240a155d6e4daa965bb",
        ),
    ],
)
def test_hkdf_sha512_vectors(key: bytes, okm: str) -> None:
    """HKDF-SHA512 on inputs 3 and 7 of RFC 5869 (no salt, no info), as published by several libraries."""
    assert okm == hkdf_sha512(key, b"", len(okm) // 2).hex()


@given(
    st.builds(
        Context,
        st.just(2),
        *[st.integers(0, 255)] * 3,
        st.binary(min_size=16, max_size=16),
        st.binary(min_size=16, max_size=16),
        st.integers(0, 255),
    )
    | st.builds(
        Context,
        st.just(1),
        *[st.integers(0, 255)] * 3,
        st.binary(min_size=8, max_size=8),
        st.binary(min_size=16, max_size=16),
    )
)
@settings(deadline=None)
def test_context_round_trip(context: Context) -> None:
    """Any context survives to_bytes and parse, in 28 (v1) or 40 (v2) bytes."""
    raw = context.to_bytes()
    assert (28 if context.version == 1 else 40) == len(raw)
    assert context == Context.parse(raw)


@given(st.binary(max_size=48))
@settings(deadline=None)
def test_any_bytes_parse_or_give_one_error(raw: bytes) -> None:
    """Whatever bytes an xattr holds: a context that writes back the same, or a CryptoError."""
    try:
        context = Context.parse(raw)
    except CryptoError:
        return
    assert raw == context.to_bytes()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "context version None; allowed: 1, 2"),
        (b"\x03" + bytes(39), "context version 3"),
        (CONTEXT.to_bytes()[:-1], "v2 of 39 bytes; allowed: 40 bytes"),
        (b"\x01" + bytes(39), "v1 of 40 bytes; allowed: 28 bytes"),
        (CONTEXT.to_bytes()[:6] + b"\x01" + CONTEXT.to_bytes()[7:], "reserved bytes 000100"),
    ],
)
def test_bad_contexts(raw: bytes, message: str) -> None:
    """An unknown version, a wrong length and reserved bytes are told with place and value."""
    with pytest.raises(CryptoError, match=re.escape(message)) as caught:
        Context.parse(raw, "disk.img: inode 12")
    assert str(caught.value).startswith("disk.img: inode 12: ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"flags": FLAG_DIRECT_KEY},
            "flag DIRECT_KEY (0x04) with AES-256-XTS, whose IV has no room for the nonce",
        ),
        ({"flags": FLAG_IV_INO_LBLK_32}, "flag IV_INO_LBLK_32 (0x10), which is not supported"),
        ({"flags": 0x20}, "unknown flags 0x20"),
        ({"contents_mode": 5}, "contents mode 5"),
        ({"names_mode": 6}, "names mode 6"),
        ({"log2_unit_bytes": 13}, "data unit of 8192 bytes"),
        ({"log2_unit_bytes": 8}, "data unit of 256 bytes"),
        ({"key_reference": bytes(16)}, f"master key {MASTER.identifier.hex()}; allowed: key {'00' * 16}"),
        ({"flags": FLAG_IV_INO_LBLK_64}, "IV_INO_LBLK_64 with inode number None"),
        (
            {"version": 1, "key_reference": bytes(8), "flags": FLAG_IV_INO_LBLK_64},
            "unknown flags 0x08 in a v1",
        ),
    ],
)
def test_unsupported_contexts(change: dict[str, Any], message: str) -> None:
    """What we cannot decrypt is refused by name before any byte is touched."""
    with pytest.raises(CryptoError, match=re.escape(message)):
        ContentsCipher(MASTER, replace(CONTEXT, **change), BLOCK_BYTES)


def test_data_units_smaller_than_a_block() -> None:
    """With 512-byte data units, block 3 of 4 KiB is units 24 to 31 (fscrypt.rst, Linux 6.7)."""
    small = ContentsCipher(MASTER, replace(CONTEXT, log2_unit_bytes=9), BLOCK_BYTES)
    plain = bytes(range(256)) * 16
    expected = XtsUnits(MASTER.per_file_key(NONCE)).encrypt(plain, 24, 512)
    assert expected == small.encrypt_blocks(plain, 3)
    assert plain == small.decrypt_scattered(expected, [3])


@given(
    blocks=st.lists(st.integers(0, (1 << 32) - 1), min_size=1, max_size=5),
    block_bytes=st.sampled_from([1024, 2048, 4096]),
    log2_unit_bytes=st.sampled_from([0, 9, 10]),
)
@settings(max_examples=40, deadline=None)
def test_scattered_is_block_by_block(blocks: list[int], block_bytes: int, log2_unit_bytes: int) -> None:
    """Scattered blocks decrypt as each does alone, for all block and data unit sizes."""
    cipher = ContentsCipher(MASTER, replace(CONTEXT, log2_unit_bytes=log2_unit_bytes), block_bytes)
    plain = bytes(range(256)) * (block_bytes * len(blocks) // 256)
    pieces = [plain[at : at + block_bytes] for at in range(0, len(plain), block_bytes)]
    stored = b"".join(
        cipher.encrypt_blocks(piece, block) for piece, block in zip(pieces, blocks, strict=True)
    )
    assert plain == cipher.decrypt_scattered(stored, blocks)


@given(st.binary(min_size=16, max_size=64))
@settings(max_examples=20, deadline=None)
def test_key_never_shows(raw: bytes) -> None:
    """Neither repr nor str of a master key holds its bytes."""
    key = MasterKey(raw)
    assert raw.hex()[:16] not in repr(key) + str(key)


def test_key_lengths() -> None:
    """15 and 65 bytes are no master key; 16 are too weak for AES-256-XTS, 63 too short for a v1 context."""
    for length in (15, 65):
        with pytest.raises(CryptoError, match=f"is {length} bytes long; allowed: 16 .. 64 bytes"):
            MasterKey(bytes(length))
    with pytest.raises(CryptoError, match="31 bytes are too few for AES-256-XTS; allowed: at least 32"):
        MasterKey(bytes(31)).per_file_key(NONCE)
    with pytest.raises(CryptoError, match="63 bytes are too few for AES-256-XTS; allowed: at least 64"):
        MasterKey(bytes(63)).v1_per_file_key(NONCE)
    assert len(MasterKey(bytes(32)).per_file_key(NONCE)) == 64
