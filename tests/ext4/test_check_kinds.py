"""
One image for each kind of damage, made by mke2fs and changed in a few bytes: e2fsck calls it damaged, check
tells it by its kind.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from mke2fs_bench import BLOCK, Bench, made
from tools import e2fsck_says

from sim.ext4.check.run import check_store
from sim.ext4.format.checksums import Checksums
from sim.ext4.store import MemoryStore

Poke = Callable[[Bench], None]
PLAIN = ("-O", "^metadata_csum,^64bit,^resize_inode,^flex_bg")
EXT2 = ("-t", "ext2")
SUMS = ("-O", "metadata_csum")
MMP = ("-O", "mmp,^metadata_csum")
FROM_A_COPY = "trying backup blocks"
VALUES = ("-O", "ea_inode,^metadata_csum,^64bit,^resize_inode,^flex_bg")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where images are made."""
    return tmp_path_factory.mktemp("kinds")


def _uninit(bench: Bench) -> None:
    """Mark group 0 as one whose inodes were never written, its checksum made right."""
    at = bench.descriptor()
    bench.put(at + 0x12, "<H", 1)
    raw = bench.data[at : at + 32]
    Checksums(bench.image.superblock).descriptor(raw, 0)
    bench.data[at : at + 32] = raw


def _quota(bench: Bench) -> int:
    """Return where the first record of the users' quotas lies: four levels below block 1."""
    data = bench.image.read_file(bench.image.inode(3))
    node = 1
    for _level in range(4):
        node = next(n for (n,) in struct.iter_unpack("<I", data[node * 1024 : (node + 1) * 1024]) if n)
    return bench.block(3, node) + 16


def _value(bench: Bench) -> int:
    """Return where the inode lies that holds the value which /a and /d/x share."""
    return bench.inode(bench.image.lookup("/a").ea_values[0][0])


def _first_extent(bench: Bench) -> int:
    """Return where the first extent of a file with one lies, in an image that the reader does not read."""
    disk = bench.disk
    return next(
        at + 0x28 + 12
        for at in map(disk.inode_at, range(disk.sb.first_inode, disk.sb.inodes_count))
        if struct.unpack_from("<H", bench.data, at)[0] >> 12 == 8 and bench.data[at + 0x28 + 2]
    )


def _orphans(bench: Bench) -> int:
    return bench.block(bench.image.superblock.orphan_file)


KINDS: dict[str, tuple[tuple[str, ...], Poke, str]] = {
    "superblock: magic": (PLAIN, lambda b: b.put(1024 + 0x38, "<H", 0), "copy in block 8193 is used"),
    "superblock: inodes": (PLAIN, lambda b: b.put(1024, "<I", 77), "77 inodes"),
    "superblock: checksum": (SUMS, lambda b: b.flip(1024 + 0x88), "superblock: the checksum is"),
    "journal's number": (PLAIN, lambda b: b.put(1024 + 0xE0, "<I", 2**32 - 1), "the journal is in inode"),
    "journal's superblock": (
        PLAIN,
        lambda b: b.put(b.image.inode(8).tree.extents[0].physical * BLOCK, ">I", 1),
        "journal: the superblock has magic",
    ),
    "journal's map": (PLAIN, lambda b: b.put(b.inode(8) + 0x28 + 20, "<I", 2**31), "inode 8: extent tree"),
    "group: block bitmap": (PLAIN, lambda b: b.put(b.descriptor(), "<I", 2**31), "the block bitmap is at"),
    "group: inode table": (PLAIN, lambda b: b.put(b.descriptor() + 8, "<I", 2**31), "the inode table is at"),
    "group: free blocks": (
        PLAIN,
        lambda b: b.put(b.descriptor() + 12, "<H", 1),
        "1 free blocks are recorded",
    ),
    "group: free inodes": (
        PLAIN,
        lambda b: b.put(b.descriptor() + 14, "<H", 1),
        "1 free inodes are recorded",
    ),
    "group: directories": (PLAIN, lambda b: b.put(b.descriptor() + 16, "<H", 132), "132 directories"),
    "group: INODE_UNINIT": (
        ("-O", "^metadata_csum,uninit_bg,^64bit,^resize_inode"),
        _uninit,
        "marked INODE_UNINIT",
    ),
    "group: INODE_UNINIT without the feature": (
        PLAIN,
        lambda b: b.put(b.descriptor() + 0x12, "<H", 1),
        "inodes in use, and it is marked INODE_UNINIT",
    ),
    "group: unused inodes without the feature": (
        PLAIN,
        lambda b: b.put(b.descriptor() + 0x1C, "<H", b.image.superblock.inodes_per_group - 20),
        "which are not in use",
    ),
    "bitmap: a block in use is free": (
        PLAIN,
        lambda b: b.put(b.image.group(0).block_bitmap * BLOCK, "<H", 0),
        "blocks in use are marked free",
    ),
    "bitmap: a free block is in use": (
        PLAIN,
        lambda b: b.flip(b.image.group(1).block_bitmap * BLOCK + 1000),
        "blocks marked in use are not",
    ),
    "bitmap: its checksum": (SUMS, lambda b: b.flip(b.descriptor() + 0x18), "bitmap"),
    "bitmap: inodes": (
        PLAIN,
        lambda b: b.flip(b.image.group(0).inode_bitmap * BLOCK + 1, 4),
        "inodes in use are marked free",
    ),
    "inode: checksum": (SUMS, lambda b: b.flip(b.inode("/a") + 8), "the checksum is wrong"),
    "inode: mode": (PLAIN, lambda b: b.put(b.inode("/a"), "<H", 0x3000), "of no known type"),
    "inode: dtime": (PLAIN, lambda b: b.put(b.inode("/a") + 0x14, "<I", 2**30), "a time of deletion"),
    "inode: no dtime": (PLAIN, lambda b: b.put(b.inode("/a") + 0x1A, "<H", 0), "no time of deletion"),
    "inode: links": (PLAIN, lambda b: b.put(b.inode("/a") + 0x1A, "<H", 7), "7 links are recorded"),
    "inode: sectors": (PLAIN, lambda b: b.put(b.inode("/a") + 0x1C, "<I", 2), "2 sectors are recorded"),
    "inode: size": (PLAIN, lambda b: b.put(b.inode("/a") + 4, "<I", 10), "ends behind the last byte"),
    "inode: extra size": (PLAIN, lambda b: b.put(b.inode("/a") + 0x80, "<H", 999), "the extra size is 999"),
    "inode: a flag without its feature": (
        PLAIN,
        lambda b: b.flip(b.inode("/a") + 0x23, 4),
        "has the flag for inline data",
    ),
    "inode: a directory's size": (PLAIN, lambda b: b.put(b.inode("/d") + 4, "<I", 999), "a directory of 999"),
    "inode: encrypted without a context": (
        ("-O", "encrypt,^metadata_csum"),
        lambda b: b.flip(b.inode("/a") + 0x21, 3),
        "no encryption context",
    ),
    "pipe with a size": (PLAIN, lambda b: b.put(b.inode("/pipe") + 4, "<I", 9), "a pipe or a socket of 9"),
    "fast symlink: sectors": (PLAIN, lambda b: b.put(b.inode("/fast") + 28, "<I", 512), "block 0 points at"),
    "fast symlink: size": (PLAIN, lambda b: b.put(b.inode("/fast") + 4, "<I", 7), "symlink of 7 bytes"),
    "slow symlink: size": (PLAIN, lambda b: b.put(b.inode("/slow") + 4, "<I", 80), "symlink of 80 bytes"),
    "extent tree: magic": (PLAIN, lambda b: b.put(b.inode("/a") + 0x28, "<H", 0), "the extent magic is"),
    "extent tree: leaf against key": (
        PLAIN,
        lambda b: b.flip(b.tree("/frag", 1) + 12),
        "its parent says",
    ),
    "extent tree: checksum": (SUMS, lambda b: b.flip(b.tree("/frag") + 8), "the checksum is wrong"),
    "extent tree: out of the image": (
        PLAIN,
        lambda b: b.put(b.inode("/a") + 0x28 + 20, "<I", 2**31),
        "lies at block 2147483648",
    ),
    "two owners": (
        PLAIN,
        lambda b: b.put(b.inode("/a") + 0x28 + 20, "<I", b.block("/frag") // BLOCK),
        "has another owner",
    ),
    "map: a pointer behind the end": (EXT2, lambda b: b.put(b.inode("/d/x") + 40 + 44, "<I", 1), "last byte"),
    "map: out of the image": (EXT2, lambda b: b.put(b.tree("/frag") + 4, "<I", 2**31), "points at block"),
    "directory: record": (PLAIN, lambda b: b.put(b.block("/d") + 4, "<H", 5), "record of 5 bytes"),
    "directory: no dot": (PLAIN, lambda b: b.put(b.block("/d"), "<I", 11), 'does not start with "."'),
    "directory: dotdot": (PLAIN, lambda b: b.put(b.block("/d") + 12, "<I", 11), '".." leads to inode 11'),
    "directory: type": (PLAIN, lambda b: b.put(b.block("/d") + 24 + 7, "<B", 2), "has type code 2"),
    "directory: a name of none": (
        PLAIN,
        lambda b: b.put(b.block("/d") + 24, "<I", 4000),
        "which is not in use",
    ),
    "directory: a slash": (PLAIN, lambda b: b.put(b.block("/d") + 24 + 8, "<B", 0x2F), "the name b'/'"),
    "directory: checksum": (SUMS, lambda b: b.flip(b.block("/d") + BLOCK - 1), "the checksum is wrong"),
    "directory: a lost file": (PLAIN, lambda b: b.put(b.block("/d") + 24, "<I", 0), "has no name"),
    "hash tree: hash": (
        PLAIN,
        lambda b: b.put(b.block("/many") + 0x28 + 8, "<I", 0x1000),
        "hash tree: block",
    ),
    "hash tree: count": (PLAIN, lambda b: b.put(b.block("/many") + 0x22, "<H", 1), "are not in it"),
    "reserved inode": (PLAIN, lambda b: b.put(b.inode(6), "<H", 0x8000), "inode 6: is reserved"),
    "quota": (
        ("-O", "quota,^metadata_csum"),
        lambda b: b.put(_quota(b) + 48, "<Q", 1),
        "user quota: id 0",
    ),
    "quota: a pointer": (
        ("-O", "quota,^metadata_csum"),
        lambda b: b.put(b.block(3, 1) + 40, "<I", 2**31),
        "user quota: inode 3 holds no tree",
    ),
    "orphan file: an inode": (
        ("-O", "orphan_file,^metadata_csum"),
        lambda b: b.put(_orphans(b), "<I", 20),
        "names inodes",
    ),
    "orphan file: magic": (
        ("-O", "orphan_file,^metadata_csum"),
        lambda b: b.put(_orphans(b) + BLOCK - 8, "<I", 20),
        "the magic is 0x00000014",
    ),
    "orphan file: checksum": (
        ("-O", "orphan_file"),
        lambda b: b.flip(_orphans(b) + BLOCK - 1),
        "orphan file, block",
    ),
    "xattr block: references": (PLAIN, lambda b: b.put(b.xattrs("/a") + 4, "<I", 7), "7 references"),
    "xattr block: magic": (PLAIN, lambda b: b.put(b.xattrs("/a"), "<I", 7), "xattr magic 0x00000007"),
    "xattr block: hash": (PLAIN, lambda b: b.flip(b.xattrs("/a") + 32 + 12), "the hash is wrong"),
    "xattr block: an entry": (PLAIN, lambda b: b.put(b.xattrs("/a") + 32 + 2, "<H", 2000), "at offset 2000"),
    "xattr block: checksum": (SUMS, lambda b: b.flip(b.xattrs("/a") + 16), "the checksum is wrong"),
    "xattr block: out of the image": (
        PLAIN,
        lambda b: b.put(b.inode("/a") + 0x68, "<I", 2**31),
        "xattr block: points at block 2147483648",
    ),
    "xattr value: references": (VALUES, lambda b: b.put(_value(b) + 36, "<I", 9), "9 references"),
    "xattr value: its inode": (VALUES, lambda b: b.flip(_value(b) + 0x22, 5), "is none for values"),
    "superblock: a feature of the future": (
        PLAIN,
        lambda b: b.flip(1024 + 0x5F, 7),
        "a feature that is not known here: compat bit 0x80000000",
    ),
    "superblock: clusters": (PLAIN, lambda b: b.put(1024 + 0x24, "<I", 99), "99 clusters per group"),
    "journal: features": (
        PLAIN,
        lambda b: b.put(b.image.inode(8).tree.extents[0].physical * BLOCK + 0x2C, ">I", 1),
        "read-only 0x1 are not known",
    ),
    "inode: a large file without the feature": (
        ("-t", "ext2", "-O", "^large_file"),
        lambda b: b.put(b.inode("/a") + 4, "<I", 2**31),
        "has not the feature large_file",
    ),
    "mmp": (MMP, lambda b: b.put(b.disk.sb.mmp_block * BLOCK, "<I", 1), "mmp: the magic"),
    "cluster: alignment": (
        ("-O", "bigalloc,^metadata_csum", "-C", "4096"),
        lambda b: b.flip(_first_extent(b) + 8),
        "across clusters",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_told(folder: Path, tmp_path: Path, kind: str) -> None:
    """The sound image is clean for both; after the change both tell damage, we by its kind."""
    options, poke, words = KINDS[kind]
    data = made(folder, options)
    image = tmp_path / "judged.img"
    image.write_bytes(data)
    assert (0, []) == (e2fsck_says(image)[0], check_store(MemoryStore(data), "image").problems)
    bench = Bench(data)
    poke(bench)
    image.write_bytes(bench.data)
    problems = check_store(MemoryStore(bench.data), "image").problems
    assert any(words in problem for problem in problems), problems
    code, said = e2fsck_says(image)
    assert code or FROM_A_COPY in said
