# SPDX-License-Identifier: MIT
"""
The images that the kernel reads, made by the project's own image writer, and their layouts.

One image per block size, with a file per layout and encrypted ones beside them. `e2fsck` judges an image
before the kernel sees it and after the kernel had it mounted for writing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from commands import RigError, run

from sim.crypto.fscrypt.contexts import (
    FLAG_PADDING_MASK,
    MODE_AES_256_CTS,
    MODE_AES_256_XTS,
    NONCE_BYTES,
    ContentsCipher,
    Context,
    MasterKey,
)
from sim.ext4.make.layout import Aged, Contiguous, Fragmented, Layout, Pattern, unwritten
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import Encryption, FileSpec, ImageSpec
from sim.ext4.read.opened import Inode
from sim.ext4.read.reader import Image
from sim.units import KIB, MIB, PAGE_BYTES

SEED = 20261124
FILE_BYTES = 8 * MIB
ENCRYPTED_BYTES = 4 * MIB
TAIL = "tail"
TAIL_BYTES = FILE_BYTES - PAGE_BYTES + 1500
"""A contiguous file whose last page is not full: with small blocks, a hole follows in that page."""
OTHER_SIZES = {TAIL: TAIL_BYTES, "short": 301 * KIB + 700, "tiny": 3 * PAGE_BYTES + 100}
"""Of the contiguous files that are not of FILE_BYTES, in bytes."""
RAW_KEY = hashlib.sha512(b"readpath truth: a test key, of no other use").digest()


def layouts(block_size: int) -> dict[str, Layout]:
    """Return the layouts by name. Between the pieces of fragN lies one block of another file."""
    page_blocks = 4 * KIB // block_size
    named: dict[str, Layout] = {"contig": Contiguous()}
    named |= {f"frag{n}": Fragmented(n, gap_blocks=1) for n in (1, 2, 3, 4, 16, 64)}
    return named | {
        "sparse": Pattern(f"{page_blocks}d{page_blocks}h"),
        "odd": Pattern("3d1h2d5h1u7d2u"),
        "unwritten": unwritten(),
        "aged": Aged(16),
        "aged4": Aged(4, hole_share=0.1, unwritten_share=0.1),
    }


ENCRYPTED = ("contig", "frag1", "frag2", "frag4", "odd", "aged")
"""Layouts of the encrypted files: fscrypt v2, AES-256-XTS."""


@dataclass(frozen=True)
class Volume:
    """An image on the host. digests: SHA-256 of each file's plaintext."""

    block_size: int
    image: Path
    digests: dict[str, str]


def make_volume(block_size: int, folder: Path, kind: str = "all") -> Volume:
    """
    Make the image of a block size, if it is not there; e2fsck must find nothing.

    kind: all (plain and encrypted files), enc, or plain: later kernels have no large folios for any file of a
    file system with the feature "encrypt". plain also has the files of OTHER_SIZES.
    """
    image = folder / f"{'' if kind == 'all' else kind + '-'}bs{block_size}.img"
    manifest = image.with_suffix(".json")
    if not manifest.exists():
        folder.mkdir(parents=True, exist_ok=True)
        plain = [FileSpec(f"/{name}", FILE_BYTES, layout) for name, layout in layouts(block_size).items()]
        encrypted = [
            FileSpec(
                f"/enc_{name}",
                ENCRYPTED_BYTES,
                layouts(block_size)[name],
                encryption=encryption(block_size, name),
            )
            for name in ENCRYPTED
        ]
        others = [FileSpec(f"/{name}", size, Contiguous()) for name, size in OTHER_SIZES.items()]
        files = {"all": plain + encrypted, "enc": encrypted, "plain": plain + others}[kind]
        made = make_image(image, ImageSpec(tuple(files), block_size, seed=SEED))
        run("e2fsck", "-fn", image)
        manifest.write_text(made.to_json())
    files = json.loads(manifest.read_text())["files"]
    digests = {file["path"]: file["sha256"] for file in files if file["neighbour_of"] is None}
    return Volume(block_size, image, digests)


def encryption(block_size: int, name: str) -> Encryption:
    """Return the encryption of a file: fscrypt v2 with the test key, a nonce of its name."""
    key = MasterKey(RAW_KEY)
    nonce = hashlib.sha256(f"truth nonce {name}".encode()).digest()[:NONCE_BYTES]
    context = Context(2, MODE_AES_256_XTS, MODE_AES_256_CTS, FLAG_PADDING_MASK, key.identifier, nonce)
    cipher = ContentsCipher(key, context, block_size)
    return Encryption(context.to_bytes(), lambda block, plain: cipher.encrypt_blocks(plain, block))


def layout_document(volume: Volume, name: str) -> dict[str, object]:
    """Return a file's layout as results/kernel keeps it."""
    return document(Image.open(volume.image).lookup(f"/{name}"), volume.block_size, name)


def document(inode: Inode, size: int, name: str) -> dict[str, object]:
    """Return a layout: a FIEMAP list in bytes, and the tree's blocks. size: of a block."""
    rows = [
        [e.logical * size, e.physical * size, e.length * size, 0x800 * e.unwritten]
        for e in inode.tree.extents
    ]
    return {
        "block_size": size,
        "layout": name,
        "file_bytes": inode.size_bytes,
        "fields": ["logical", "physical", "length", "flags"],
        "extents": rows,
        "depth": inode.tree.depth,
        "tree_blocks": inode.tree.blocks,
    }


def same_extents(ours: list[list[int]], kernels: list[list[int]]) -> bool:
    """Return whether FIEMAP says what we wrote, neighbours that continue each other taken as one."""
    return _merged(ours) == _merged(kernels)


def _merged(rows: list[list[int]]) -> list[list[int]]:
    merged: list[list[int]] = []
    for logical, physical, length, flags in rows:
        unwritten_flag = flags & 0x800
        last = merged[-1] if merged else None
        if (
            last
            and last[0] + last[2] == logical
            and last[1] + last[2] == physical
            and last[3] == unwritten_flag
        ):
            last[2] += length
        else:
            merged.append([logical, physical, length, unwritten_flag])
    return merged


def check_after(image: Path) -> None:
    """Raise RigError unless e2fsck finds nothing in an image that the kernel had mounted for writing."""
    try:
        run("e2fsck", "-fn", image)
    except RigError as error:
        raise RigError(f"after the kernel had it, {error}") from None
