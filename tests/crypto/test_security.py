"""
What every scheme owes: published vectors, no plaintext without the right key, no key where results are kept.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap,
    aes_key_wrap_with_padding,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.crypto.ciphers.cbc import CbcUnits
from sim.crypto.dmcrypt import CBC_ESSIV, XTS_PLAIN64, DmCrypt
from sim.crypto.ecryptfs import HEADER_BYTES, LowerFile, LowerHeader
from sim.crypto.fscrypt.contexts import ContentsCipher, Context, MasterKey
from sim.crypto.keys.data_units import RECORD_BYTES, GcmContents, contents_cipher
from sim.crypto.keys.file_keys import MODE_AES_256_GCM, MODE_AES_256_XTS, FileKey, UserKey, unwrap, wrap
from sim.crypto.streams import NamedStream
from sim.errors import CryptoError

CRYPTO = Path(__file__).parents[2] / "sim" / "crypto"
SP800_38A = bytes.fromhex(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)


@pytest.mark.parametrize(
    ("key", "cipher"),
    [
        (
            "2b7e151628aed2a6abf7158809cf4f3c",
            "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"
            "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
        ),
        (
            "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
            "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d"
            "39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
        ),
    ],
    ids=["F.2.1 AES-128", "F.2.5 AES-256"],
)
def test_cbc_vectors(key: str, cipher: str) -> None:
    """
    NIST SP 800-38A's CBC vectors, both ways, as one unit and as units that start where the chain goes on.
    """
    units, iv = CbcUnits(bytes.fromhex(key)), bytes(range(16))
    stored = bytes.fromhex(cipher)
    assert stored == units.encrypt(SP800_38A, iv, 64)
    assert SP800_38A == units.decrypt(stored, iv, 64)
    assert SP800_38A == units.decrypt(stored, iv + stored[:48], 16)


def test_gcm_vectors() -> None:
    """Test case 14 of the GCM specification (McGrew and Viega), with the cipher that our contents use."""
    gcm = GcmContents(FileKey(MODE_AES_256_GCM, bytes(32)), 16, bytes(RECORD_BYTES))
    sealed = bytes.fromhex("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919")
    # The nonce is zero, which for us means never written: the cipher itself is asked.
    assert sealed == gcm._gcm.encrypt(bytes(12), bytes(16), None)
    assert bytes(16) == gcm._gcm.decrypt(bytes(12), sealed, None)


def test_key_wrap_vectors() -> None:
    """RFC 3394 (4.6) and RFC 5649 (6): what the aes-kw format stands on."""
    data = bytes.fromhex("00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f")
    wrapped = "28c9f404c4b810f4cbccb35cfb87f8263f5786e2d80ed326cbc7f0e71a99f43bfb988b9b7a02dd21"
    assert wrapped == aes_key_wrap(bytes(range(32)), data).hex()
    assert data == aes_key_unwrap(bytes(range(32)), bytes.fromhex(wrapped))
    kek = bytes.fromhex("5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")
    for plain, want in (
        (
            "c37b7e6492584340bed12207808941155068f738",
            "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a",
        ),
        ("466f7250617369", "afbeb0f07dfbf5419200f2ccb50bb24f"),
    ):
        assert want == aes_key_wrap_with_padding(kek, bytes.fromhex(plain)).hex()
        assert plain == aes_key_unwrap_with_padding(kek, bytes.fromhex(want)).hex()
        for bit in range(len(want) * 4):
            changed = bytearray.fromhex(want)
            changed[bit // 8] ^= 1 << bit % 8
            with pytest.raises(InvalidUnwrap):
                aes_key_unwrap_with_padding(kek, bytes(changed))


@dataclass(frozen=True)
class Scheme:
    """seal(key, plaintext of 4 KiB) -> what is stored; read(key, stored) -> bytes, or a CryptoError."""

    seal: Callable[[bytes, bytes], bytes]
    read: Callable[[bytes, bytes], bytes]


def _file_keys(form: str, mode: int) -> Scheme:
    key = FileKey.generate(NamedStream(1, "file"), mode)
    table: list[bytes] = []

    def seal(user_key: bytes, plain: bytes) -> bytes:
        contents = contents_cipher(key, 4096, bytes(RECORD_BYTES))
        stored = contents.encrypt_blocks(plain, 0)
        table[:] = [bytes(contents.table) if isinstance(contents, GcmContents) else b""]
        wrapped = wrap(form, key, [UserKey("user", user_key)], NamedStream(1, "wrap"))
        return stored + wrapped

    def read(user_key: bytes, stored: bytes) -> bytes:
        opened = unwrap(stored[4096:], UserKey("user", user_key))
        return contents_cipher(opened, 4096, table[0]).decrypt_blocks(stored[:4096], 0)

    return Scheme(seal, read)


def _fscrypt(version: int, flags: int = 0) -> Scheme:
    context = Context(version, 1, 4, flags, bytes(8), bytes(range(16)))

    def cipher(key: bytes) -> ContentsCipher:
        master = MasterKey(key)
        named = context if version == 1 else Context(2, 1, 4, flags, stored_reference[0], context.nonce)
        return ContentsCipher(master, named, 4096, inode_number=12, filesystem_uuid=bytes(16))

    stored_reference: list[bytes] = []

    def seal(key: bytes, plain: bytes) -> bytes:
        stored_reference[:] = [MasterKey(key).identifier]
        return cipher(key).encrypt_blocks(plain, 7)

    return Scheme(seal, lambda key, stored: cipher(key).decrypt_blocks(stored, 7))


def _ecryptfs() -> Scheme:
    def seal(key: bytes, plain: bytes) -> bytes:
        return LowerFile.create(len(plain), key, NamedStream(1, "lower")).lower_contents(plain)

    def read(key: bytes, stored: bytes) -> bytes:
        return LowerFile(LowerHeader.parse(stored), key).decrypt_extents(stored[HEADER_BYTES:], 0)

    return Scheme(seal, read)


def _dm(cipher: str, key_bytes: int) -> Scheme:
    return Scheme(
        lambda key, plain: DmCrypt(cipher, key[:key_bytes]).encrypt(plain, 64),
        lambda key, stored: DmCrypt(cipher, key[:key_bytes]).decrypt(stored, 64),
    )


SCHEMES = {
    "fscrypt v1": _fscrypt(1),
    "fscrypt v2": _fscrypt(2),
    "fscrypt v2 IV_INO_LBLK_64": _fscrypt(2, 8),
    "dm-crypt xts": _dm(XTS_PLAIN64, 64),
    "dm-crypt cbc-essiv": _dm(CBC_ESSIV, 32),
    "ecryptfs": _ecryptfs(),
    "file-keys rfc2014 xts": _file_keys("rfc2014", MODE_AES_256_XTS),
    "file-keys rfc2014 gcm": _file_keys("rfc2014", MODE_AES_256_GCM),
    "file-keys aes-kw xts": _file_keys("aes-kw", MODE_AES_256_XTS),
    "file-keys aes-kw gcm": _file_keys("aes-kw", MODE_AES_256_GCM),
}


@pytest.mark.parametrize("name", SCHEMES)
@given(st.binary(min_size=64, max_size=64), st.integers(0, 511), st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_no_plaintext_without_the_right_key(name: str, key: bytes, bit: int, seed: int) -> None:
    """
    The right key reads; one bit off, nothing comes that shares any 16-byte block with the plaintext.

    Nor is any of the plaintext in what is stored.
    """
    scheme = SCHEMES[name]
    key = bytes(a ^ b for a, b in zip(key, NamedStream(2, "distinct halves")(64), strict=True))
    plain = hashlib.shake_128(str(seed).encode()).digest(4096)
    blocks = {plain[at : at + 16] for at in range(0, 4096, 16)}
    stored = scheme.seal(key, plain)
    assert plain == scheme.read(key, stored)
    assert not any(block in stored for block in blocks)
    wrong = bytearray(key)
    used_bits = 256 if "cbc" in name else 512
    wrong[bit % used_bits // 8] ^= 1 << bit % 8
    read, said = b"", ""
    try:
        read = scheme.read(bytes(wrong), stored)
    except CryptoError as error:
        said = str(error)
    assert not {key.hex()[:12], bytes(wrong).hex()[:12]} & {said[at : at + 12] for at in range(len(said))}
    assert not blocks & {read[at : at + 16] for at in range(0, len(read), 16)}


def test_tags_are_compared_in_constant_time() -> None:
    """
    In sim/crypto nothing that depends on a key is compared with == or !=: tags, checks, signatures, keys.
    """
    secret = re.compile(r"\btag\b|_tag\(|\.check\(|\.raw\b|\bkey\b\)|key_signature|digest\(")
    found = []
    for path in sorted(CRYPTO.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq):
                said = ast.unparse(node)
                if secret.search(said) and not said.startswith("len("):
                    found.append(f"{path.name}: {said}")
    assert [] == found
    used = [path.name for path in CRYPTO.rglob("*.py") if "hmac.compare_digest" in path.read_text()]
    assert {"rfc2014.py", "wrapped.py", "ecryptfs.py", "file_keys.py", "user_keys.py"} == set(used)


EXPERIMENT = """
title = "Encrypted"
path = "page_io"
[device]
profile = "ramdisk"
[volume]
block_size = "4KiB"
seed = 5
files = [{ name = "data", size = "64KiB" }]
[encryption]
scheme = "fscrypt-v2"
[workload]
job = { rw = "read", bs = "4k", size = "64k" }
"""
