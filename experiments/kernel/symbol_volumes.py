# SPDX-License-Identifier: MIT
"""
The images whose reads are counted by symbol: one per dm-crypt target, and one with fscrypt's and eCryptfs'
files beside plain ones. Made by the project's own writer and ciphers; `e2fsck` judges those it can read.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from commands import run
from symbol_cases import (
    BLOCK_BYTES,
    BLOCK_SIZE,
    CRYPTS,
    ECRYPTFS,
    FILE_BYTES,
    GENERIC,
    INLINE_BYTES,
    OPENED,
    SMALL_BYTES,
    Crypt,
)
from volumes import document, layouts

from sim.config.encryption import Encryption
from sim.crypto.ecryptfs import key_signature
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.volume.scheme_image import (
    device_cipher,
    encrypted_file,
    finished,
    open_image,
    secret,
)

SEED = 20261124
MIXED = "mixed"
NONE, FSCRYPT = Encryption(), Encryption(scheme="fscrypt-v2")
USER_XATTR = 1


@dataclass(frozen=True)
class SymbolVolume:
    """
    An image on the host. digests: SHA-256 of each file's plaintext, by the path that the kernel reads it at;
    crypt: the dm-crypt target it lies under, if it does.
    """

    name: str
    image: Path
    digests: dict[str, str]
    crypt: Crypt | None

    def layout_document(self, name: str) -> dict[str, object]:
        """Return a file's layout as results/kernel keeps it."""
        sectors = device_cipher(self.crypt.encryption, SEED) if self.crypt else None
        inode = open_image(self.image, sectors).lookup(f"/{name}")
        return document(inode, BLOCK_SIZE, name)


def device_key(crypt: Crypt) -> str:
    """Return the key of a dm-crypt volume, in hex."""
    return secret(SEED, "dm-crypt", 64 if "xts" in crypt.cipher else 32).hex()


def fscrypt_key() -> str:
    """Return the master key of the mixed volume, in hex (scheme_image.master_key(), which hides it)."""
    return hashlib.sha512(f"readpath test key\0{SEED}".encode()).hexdigest()


def ecryptfs_key() -> tuple[str, str]:
    """Return signature and key of the user of eCryptfs, in hex."""
    key = secret(SEED, "ecryptfs")
    return key_signature(key).hex(), key.hex()


def symbol_volume(name: str, folder: Path) -> SymbolVolume:
    """Return a volume by its name, made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    two = [FileSpec(f"/{name}", FILE_BYTES, layouts(BLOCK_SIZE)[name]) for name in ("contig", "frag1")]
    for crypt in (*CRYPTS, *GENERIC):
        if crypt.name == name:
            return _make(folder, name, [(crypt.encryption, two)], crypt)
    mixed: list[tuple[Encryption, list[FileSpec]]] = [
        (NONE, [*two, *_small("plain", {})]),
        (NONE, _small("x_inline", {(USER_XATTR, b"keys"): bytes(range(INLINE_BYTES))})),
        (NONE, _small("x_block", {(USER_XATTR, b"keys"): bytes(200) * (BLOCK_BYTES // 200)})),
        (FSCRYPT, [replace(file, path=f"/enc_{file.path[1:]}") for file in two] + _small("small_enc", {})),
        (Encryption(scheme="ecryptfs"), _small("small_ec", {})),
    ]
    for cipher in ECRYPTFS:
        said = Encryption(scheme="ecryptfs", cipher=cipher)
        mixed.append((said, [FileSpec(f"/ec_{cipher}", FILE_BYTES)]))
    return _make(folder, MIXED, mixed, None)


def _small(prefix: str, xattrs: dict[tuple[int, bytes], bytes]) -> list[FileSpec]:
    return [FileSpec(f"/{prefix}{number}", SMALL_BYTES, xattrs=xattrs) for number in range(OPENED)]


def _make(
    folder: Path, name: str, listed: list[tuple[Encryption, list[FileSpec]]], crypt: Crypt | None
) -> SymbolVolume:
    image, digests = folder / f"symbols-{name}.img", folder / f"symbols-{name}.json"
    if not digests.exists():
        files = [encrypted_file(said, SEED, BLOCK_SIZE, plain) for said, group in listed for plain in group]
        made = make_image(image, ImageSpec(tuple(files), BLOCK_SIZE, seed=SEED))
        run("e2fsck", "-fn", image)
        known: dict[str, str] = {}
        for said, group in listed:
            where = "/upper" if said.scheme == "ecryptfs" else "/mnt"
            manifest = finished(said, SEED, image, made, group)
            known |= {where + plain.path: manifest.file(plain.path).sha256 for plain in group}
        digests.write_text(json.dumps(known, indent=1) + "\n")
    return SymbolVolume(name, image, json.loads(digests.read_text()), crypt)
