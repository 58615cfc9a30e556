"""
One image for each kind of damage, made by mke2fs and changed in a few bytes: e2fsck calls it damaged, check
tells it. And for each set of features that mke2fs knows: e2fsck calls the image clean, check tells nothing.
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tools import tool

from sim.ext4.check.run import check_store
from sim.ext4.read.reader import Image
from sim.ext4.store import MemoryStore

Poke = Callable[["Bench"], None]
BLOCK = 1024
PLAIN = ("-O", "^metadata_csum,^64bit,^resize_inode,^flex_bg")
EXT2 = ("-t", "ext2")
SUMS = ("-O", "metadata_csum")


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file in pieces, a directory large enough for a hash tree, symlinks and a small tree."""
    folder = tmp_path_factory.mktemp("kinds") / "source"
    folder.mkdir()
    noise = random.Random(1)
    (folder / "a").write_bytes(noise.randbytes(9000))
    (folder / "d").mkdir()
    (folder / "d" / "x").write_bytes(b"x" * 100)
    (folder / "fast").symlink_to("short")
    (folder / "slow").symlink_to("q" * 90)
    os.mkfifo(folder / "pipe")
    (folder / "many").mkdir()
    for number in range(200):
        (folder / "many" / f"a-name-that-takes-some-room-{number:04}").touch()
    with (folder / "frag").open("wb") as file:
        for number in range(400):
            file.seek(number * 8 * BLOCK)
            file.write(noise.randbytes(BLOCK))
    return folder


_MADE: dict[tuple[str, ...], bytes] = {}


def make(folder: Path, source: Path, options: tuple[str, ...]) -> bytes:
    """Return an image with these options of mke2fs; its directories have hash trees."""
    if options not in _MADE:
        path = folder / "made.img"
        path.unlink(missing_ok=True)
        size = "64M" if "65536" in options else "16M"
        kind = () if "-t" in options else ("-t", "ext4")
        blocks = () if "-b" in options else ("-b", str(BLOCK))
        words = [tool("mke2fs"), "-q", "-F", *kind, *blocks, *options, "-d", str(source), str(path), size]
        subprocess.run(words, check=True, capture_output=True)
        subprocess.run([tool("e2fsck"), "-fyD", str(path)], check=False, capture_output=True)
        _MADE[options] = path.read_bytes()
    return _MADE[options]


def verdict(folder: Path, data: bytes | bytearray) -> int:
    """Return the exit code of `e2fsck -fn`."""
    path = folder / "judged.img"
    path.write_bytes(data)
    return subprocess.run([tool("e2fsck"), "-fn", str(path)], check=False, capture_output=True).returncode


class Bench:
    """An image to be changed: places by name, and pokes."""

    def __init__(self, data: bytes) -> None:
        self.data = bytearray(data)
        self.image = Image(MemoryStore(data))

    def inode(self, path: str | int) -> int:
        """Return the byte at which an inode lies."""
        number = path if isinstance(path, int) else self.image.lookup(path).number
        group, index = divmod(number - 1, self.image.superblock.inodes_per_group)
        table = self.image.group(group).inode_table
        return table * self.image.block_size + index * self.image.superblock.inode_size

    def block(self, path: str, logical: int = 0) -> int:
        """Return the byte at which a block of a file lies."""
        inode = self.image.lookup(path)
        return next(
            (physical + logical - first) * self.image.block_size
            for first, length, physical in self.image.runs(inode)
            if physical is not None and first <= logical < first + length
        )

    def tree(self, path: str, number: int = 0) -> int:
        """Return the byte at which a block of a file's extent tree or map lies."""
        inode = self.image.lookup(path)
        nodes = inode.tree.blocks or list(inode.indirect.nodes.values() if inode.indirect else ())
        return nodes[number] * self.image.block_size

    def descriptor(self, group: int = 0) -> int:
        """Return the byte at which a group's descriptor lies."""
        sb = self.image.superblock
        return (sb.first_data_block + 1) * self.image.block_size + group * sb.descriptor_bytes

    def put(self, at: int, code: str, *values: int) -> None:
        """Write numbers."""
        struct.pack_into(code, self.data, at, *values)

    def flip(self, at: int, bit: int = 0) -> None:
        """Turn over a bit."""
        self.data[at] ^= 1 << bit


def _uninit(bench: Bench) -> None:
    """Mark group 0 as one whose inodes were never written, its checksum made right."""
    from sim.ext4.check.disk import Disk
    from sim.ext4.check.fields import Fields
    from sim.ext4.check.sums import descriptor_fault

    at = bench.descriptor()
    bench.put(at + 0x12, "<H", 1)
    for value in (0, None):
        disk = Disk(MemoryStore(bench.data), "", Fields(bench.data[1024:2048]), 1)
        fault = descriptor_fault(disk, 0)
        if value == 0 and fault:
            bench.put(at + 0x1E, "<H", int(fault.split(", ")[1].split()[0], 16))


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
    "directory: a slash": (PLAIN, lambda b: b.put(b.block("/d") + 24 + 8, "<B", 0x2F), "has a slash"),
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
    "mmp": (("-O", "mmp,^metadata_csum"), lambda b: b.put(_mmp(b), "<I", 1), "mmp: the magic"),
}


def _quota(bench: Bench) -> int:
    """Return the byte at which the first record of the users' quotas lies: four levels below block 1."""
    file = bench.image.inode(3)
    data = bench.image.read_file(file)
    node = 1
    for _level in range(4):
        node = next(n for (n,) in struct.iter_unpack("<I", data[node * 1024 : (node + 1) * 1024]) if n)
    extent = next(e for e in file.tree.extents if e.logical <= node < e.logical + e.length)
    return (extent.physical + node - extent.logical) * BLOCK + 16


def _mmp(bench: Bench) -> int:
    return int(struct.unpack_from("<Q", bench.data, 1024 + 0x168)[0]) * BLOCK


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_told(tmp_path: Path, source: Path, kind: str) -> None:
    """The sound image is clean for both; after the change both tell damage, we by its kind."""
    options, poke, words = KINDS[kind]
    data = make(tmp_path, source, options)
    assert (0, []) == (verdict(tmp_path, data), check_store(MemoryStore(data), "image").problems)
    bench = Bench.__new__(Bench) if kind == "mmp" else Bench(data)
    bench.data = bytearray(data)
    poke(bench)
    problems = check_store(MemoryStore(bench.data), "image").problems
    assert any(words in problem for problem in problems), problems
    corrected = kind in (
        "superblock: magic",
        "superblock: inodes",
        "superblock: checksum",
        "group: inode table",
    )
    corrected |= kind == "group: block bitmap"
    assert corrected or verdict(tmp_path, bench.data)  # those e2fsck reads from a copy, and says so


FEATURES = (
    ("-t", "ext2"),
    ("-t", "ext2", "-r", "0"),
    ("-t", "ext3"),
    ("-I", "128"),
    ("-b", "2048"),
    ("-b", "4096"),
    ("-b", "8192"),
    ("-O", "inline_data"),
    ("-O", "bigalloc", "-C", "4096"),
    ("-b", "4096", "-O", "bigalloc", "-C", "65536"),
    ("-O", "meta_bg,^resize_inode"),
    ("-O", "^64bit"),
    ("-O", "^flex_bg"),
    ("-O", "sparse_super2"),
    ("-O", "orphan_file"),
    ("-O", "quota,project"),
    ("-O", "mmp"),
    ("-O", "casefold,encrypt"),
    ("-O", "ea_inode,verity"),
    ("-O", "^extent,^64bit,^huge_file"),
    ("-O", "^has_journal"),
    ("-g", "1024"),
    ("-O", "metadata_csum_seed,large_dir"),
    ("-O", "^metadata_csum,uninit_bg"),
    ("-O", "fast_commit,stable_inodes"),
    ("-b", "4096", "-t", "ext2", "-O", "none"),
)


@pytest.mark.parametrize("options", FEATURES, ids=" ".join)
def test_no_sound_image_is_called_damaged(tmp_path: Path, source: Path, options: tuple[str, ...]) -> None:
    """Whatever features mke2fs gives an image, check has nothing to say of it."""
    data = make(tmp_path, source, options)
    assert (0, []) == (verdict(tmp_path, data), check_store(MemoryStore(data), "image").problems)
