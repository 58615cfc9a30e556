"""
What was written through a scheme of encryption, read again without the code that wrote it: OpenSSL's
ciphers, one data unit a call, over the raw bytes of the device; key derivation and IVs as their documents
have them.
"""

from __future__ import annotations

import hashlib
import struct
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from crash_cells import Played
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from tools import found

from sim.ext4.read.opened import Inode
from sim.ext4.read.reader import Image
from sim.volume.keyed_image import wrapped_keys
from sim.volume.scheme_image import key_ring, openers, secret

SECTOR = 512
EXTENT = 4096
HEADER = 8192
TAG_3_KEY_AT = 26 + 2 + 13
"""Where a lower file's wrapped key begins: behind the marks, and the packet's head, salt and count."""


def xts(key: bytes, number: int, ciphertext: bytes) -> bytes:
    """Return one data unit under AES-256-XTS, whose tweak is its number, 128 bits little endian."""
    cipher = Cipher(algorithms.AES(key), modes.XTS(number.to_bytes(16, "little")))
    return cipher.decryptor().update(ciphertext)


def decrypted_device(raw: bytes, key: bytes, sector_bytes: int = SECTOR) -> bytes:
    """Return a device under aes-xts-plain64: IVs are numbers of 512 bytes."""
    return b"".join(
        xts(key, at // SECTOR, raw[at : at + sector_bytes]) for at in range(0, len(raw), sector_bytes)
    )


def by_blocks(key: bytes, data: bytes, size: int) -> bytes:
    """Return a file whose blocks are data units."""
    blocks = (xts(key, at // size, data[at : at + size]) for at in range(0, len(data), size))
    return b"".join(blocks)


def fscrypt_key(run: Played, on_disk: Inode) -> bytes:
    """Return an fscrypt v2 file's key: HKDF-SHA512 of the master key and the file's nonce."""
    (said,) = tomllib.loads((run.image.parent / "keys.toml").read_text())["key"]
    nonce = (on_disk.encryption_context or b"")[-16:]
    derive = HKDF(SHA512(), 64, salt=None, info=b"fscrypt\0\x02" + nonce)
    return derive.derive(bytes.fromhex(said["raw"]))


def wrapped_key(run: Played, on_disk: Inode) -> bytes:
    """Return a file's own key, unwrapped."""
    said, seed = run.cell.config.encryption, run.cell.config.volume.seed
    return key_ring(said, seed).unwrap(wrapped_keys(on_disk), openers(said), "f").raw


def openssl(cipher: str, key: bytes, data: bytes, iv: bytes = b"") -> bytes:
    """Return what the openssl program decrypts."""
    program = found("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    words = [program, "enc", "-d", f"-{cipher}", "-nopad", "-K", key.hex()]
    return subprocess.run(
        [*words, *(["-iv", iv.hex()] if iv else [])], input=data, capture_output=True, check=True
    ).stdout


def ecryptfs_contents(run: Played, lower: bytes, pages: Callable[[int], bool]) -> dict[int, bytes]:
    """Return extents of a lower file by number, those that are asked for, cut at the size in its header."""
    user_key = secret(run.cell.config.volume.seed, "ecryptfs")
    key = openssl("aes-128-ecb", user_key[:16], lower[TAG_3_KEY_AT : TAG_3_KEY_AT + 16])
    (size,) = struct.unpack_from(">Q", lower)
    root = hashlib.md5(key).digest()  # the format's
    out = {}
    for number in range(-(-size // EXTENT)):
        if pages(number):
            iv = hashlib.md5(root + str(number).encode().ljust(16, b"\0")).digest()
            at = HEADER + number * EXTENT
            plain = openssl("aes-128-cbc", key, lower[at : at + EXTENT], iv)
            out[number] = plain[: size - number * EXTENT]
    return out


def contents(run: Played, image: Image, path: str) -> bytes:
    """Return a file of fscrypt, or with wrapped keys, of a plain file system; not of eCryptfs."""
    on_disk, scheme = image.lookup(path), run.cell.config.encryption.scheme
    raw = bytes(image.read_file(on_disk, whole_blocks=True))
    if scheme in ("none", "dm-crypt"):
        return raw[: on_disk.size_bytes]
    key = (fscrypt_key if scheme in ("fscrypt-v2", "inline") else wrapped_key)(run, on_disk)
    return by_blocks(key, raw, image.block_size)[: on_disk.size_bytes]


def whole(folder: Path, data: bytes) -> Image:
    """Return the file system in some bytes."""
    path = folder / "whole"
    path.write_bytes(data)
    return Image.open(path)
