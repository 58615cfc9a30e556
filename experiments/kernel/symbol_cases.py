# SPDX-License-Identifier: MIT
"""
Which cases the plugin counts by symbol, and the images they are on: encryption below, in and above ext4, and
opening files.

A case is the record that results/kernel/symbols-schema.json describes, without what was measured, and with
`guest`: the words that tell the program inside what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sim.config.encryption import Encryption
from sim.units import MIB, PAGE_BYTES

Record = dict[str, Any]

BLOCK_SIZE = PAGE_BYTES
FILE_BYTES = 4 * MIB
PAGES = FILE_BYTES // PAGE_BYTES
OPENED = 8
"""Files that are opened in one window."""
SMALL_BYTES = PAGE_BYTES
INLINE_BYTES, BLOCK_BYTES = 40, 1000
"""Bytes of an xattr that fits into the inode, and of one that takes a block of its own."""
LAYOUTS = "symbols_"
"""What the names of the layouts' files start with, before the image and the file."""
DEVICE = "rtram, the rig's bio-based RAM disk: copies, completes inline"
FSCRYPT = "fscrypt v2 AES-256-XTS"
READS = (("contig", "seq128k"), ("contig", "rand4k"), ("frag1", "seq128k"))


@dataclass(frozen=True)
class Crypt:
    """
    A dm-crypt volume: its cipher, the bytes of its sectors, and the words of the record.

    generic: the machine has no AES instructions, so that the kernel takes its C code (aes_generic).
    """

    cipher: str
    sector_bytes: int
    generic: bool = False

    @property
    def name(self) -> str:
        """Names the image, and the boot."""
        return "generic-" * self.generic + f"dm-{self.cipher.replace(':', '-')}-{self.sector_bytes}"

    @property
    def encryption(self) -> Encryption:
        """The scheme, as an experiment file has it."""
        said = {"scheme": "dm-crypt", "cipher": self.cipher, "sector_size": self.sector_bytes}
        return Encryption.model_validate(said)

    def words(self, inline: bool) -> str:
        """Return the record's `encryption`."""
        key = "512-bit key" if "xts" in self.cipher else "256-bit key"
        said = f"dm-crypt {self.cipher} {key}, {self.sector_bytes}-byte sectors"
        return said + ", no_read_workqueue" * inline + ", aes-generic" * self.generic


CRYPTS = tuple(
    Crypt(cipher, sector) for cipher in ("aes-xts-plain64", "aes-cbc-essiv:sha256") for sector in (512, 4096)
)
GENERIC = tuple(Crypt(cipher, 4096, generic=True) for cipher in ("aes-xts-plain64", "aes-cbc-essiv:sha256"))
ECRYPTFS = ("aes-128", "aes-256")


def _read(name: str, layout: str, access: str, es: str, encryption: str, file: str, guest: Record) -> Record:
    pages = PAGES if access == "seq128k" else PAGES // 4
    record: Record = {
        "case": f"{name}/bs{BLOCK_SIZE}/ext4/{layout}/{access}/{es}",
        "what": "read",
        "block_size": BLOCK_SIZE,
        "path": "ext4",
        "layout": layout,
        "access": access,
        "es": es,
        "file_bytes": FILE_BYTES,
        "pages_read": pages,
        "layout_file": f"{LAYOUTS}{'crypt' if encryption.startswith('dm-crypt') else 'mixed'}_{file}.json",
        "device": DEVICE,
    }
    if encryption:
        record["encryption"] = encryption
    return record | {"guest": {"op": "read", "held": 1, "drop": "pages", "paths": [f"/mnt/{file}"]} | guest}


def crypt_cases(crypt: Crypt, inline: bool) -> list[Record]:
    """Return the reads through one dm-crypt target."""
    name = crypt.name + ("-inline" if inline else "")
    return [_read(name, layout, access, "warm", crypt.words(inline), layout, {}) for layout, access in READS]


def fscrypt_cases() -> list[Record]:
    """Return the reads of fscrypt's files, and of plain ones beside them."""
    return [
        _read(
            "fscrypt" if encryption else "plain",
            layout,
            access,
            "warm",
            encryption,
            f"enc_{layout}" if encryption else layout,
            {},
        )
        for encryption in (FSCRYPT, "")
        for layout, access in READS
    ]


def ecryptfs_cases(cipher: str) -> list[Record]:
    """Return the reads through eCryptfs: the lower file's pages in memory (warm), and then not."""
    file = f"ec_{cipher}"
    at = {"paths": [f"/upper/{file}"]}
    cases = [
        _read(f"ecryptfs-{cipher}", "contig", access, "warm", f"eCryptfs {cipher} on ext4", file, at)
        for access in ("seq128k", "rand4k")
    ]
    cold = at | {"drop": "", "rounds": 1}
    words = f"eCryptfs {cipher} on ext4, both caches cold"
    return [*cases, _read(f"ecryptfs-{cipher}", "contig", "seq128k", "es_cold", words, file, cold)]


def open_cases() -> Iterator[Record]:
    """
    Return openings, look-ups of xattrs and of keys.

    state: known: the file is open already; inode: its inode is in memory, and what it was opened with;
    cold: dentry and inode were dropped, blocks are in the buffer cache; all_cold: these too were dropped.
    """
    files = {"plain": "/mnt/plain", "fscrypt": "/mnt/small_enc", "ecryptfs": "/upper/small_ec"}
    for scheme, prefix in files.items():
        paths = [f"{prefix}{number}" for number in range(OPENED)]
        for state, guest in (
            ("known", {"held": 1}),
            ("inode", {}),
            ("cold", {"drop": "inodes"}),
            ("all_cold", {"drop": "all"}),
        ):
            yield _once("open", scheme, state, {"op": "open", "paths": paths} | guest)
    for place in ("inline", "block"):
        paths = [f"/mnt/x_{place}{number}" for number in range(OPENED)]
        for state, guest in (("inode", {}), ("cold", {"drop": "inodes"})):
            words = {"op": "getxattr", "attribute": "user.keys", "paths": paths}
            yield _once("getxattr", place, state, words | guest)
    words = {"op": "search", "attribute": "SIGNATURE", "paths": ["/mnt"] * 64}
    yield _once("search", "user's key ring", "known", words)


def _once(what: str, scheme: str, state: str, guest: Record) -> Record:
    return {
        "case": f"{what}/{scheme}/{state}",
        "what": what,
        "scheme": scheme,
        "state": state,
        "times": len(guest["paths"]),
        "block_size": BLOCK_SIZE,
        "device": DEVICE,
        "guest": guest,
    }
