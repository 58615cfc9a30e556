"""
Images that mke2fs makes of one folder with something of every kind, and a bench to change them on.
"""

from __future__ import annotations

import os
import random
import struct
import subprocess
from functools import cached_property
from pathlib import Path

from tools import debugfs, mke2fs, tool

from sim.ext4.check.disk import Disk
from sim.ext4.check.findings import Findings
from sim.ext4.check.superblock import open_disk
from sim.ext4.read.reader import Image
from sim.ext4.store import MemoryStore

BLOCK = 1024
_MADE: dict[tuple[str, ...], bytes] = {}


def fill(folder: Path) -> None:
    """Make a folder: a file in pieces, a directory large enough for a hash tree, links, a small tree."""
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


def made(folder: Path, options: tuple[str, ...]) -> bytes:
    """
    Return an image with these options of mke2fs, its directories with hash trees, /a with an xattr block.

    With the feature ea_inode /a and /d/x share a large value. Images are kept for the process.
    """
    if options in _MADE:
        return _MADE[options]
    source, path = folder / "source", folder / "made.img"
    if not source.exists():
        fill(source)
    size = "64M" if "65536" in options else "16M"
    blocks = () if "-b" in options else ("-b", str(BLOCK))
    mke2fs(path, source, *blocks, *options, size=size)
    if not any("mmp" in option for option in options):  # a writer waits for others to tell of themselves
        _change(path, folder, any("ea_inode" in option for option in options))
    _MADE[options] = path.read_bytes()
    path.unlink()
    return _MADE[options]


def _change(path: Path, folder: Path, large: bool) -> None:
    """Give files xattrs, and directories hash trees."""
    for name, length in (("value", 700), ("large", 3000)):
        (folder / name).write_bytes(random.Random(length).randbytes(length))
    changes = [f"ea_set -f {folder / 'value'} /a user.block"]
    changes += [f"ea_set -f {folder / 'large'} {file} user.large" for file in ("/a", "/d/x") if large]
    debugfs(path, *changes, write=True)
    subprocess.run([tool("e2fsck"), "-fyD", str(path)], check=False, capture_output=True)


class Bench:
    """An image to be changed: places by name, in bytes from its start, and pokes."""

    def __init__(self, data: bytes) -> None:
        self._sound = data
        self.data = bytearray(data)

    @cached_property
    def image(self) -> Image:
        """The image before it was changed, where the reader reads it."""
        return Image(MemoryStore(self._sound))

    @property
    def disk(self) -> Disk:
        """The same, as check opens it."""
        return open_disk(MemoryStore(self._sound), "image", Findings())

    def inode(self, path: str | int) -> int:
        """Return where an inode lies."""
        number = path if isinstance(path, int) else self.image.lookup(path).number
        group, index = divmod(number - 1, self.image.superblock.inodes_per_group)
        table = self.image.group(group).inode_table
        return table * self.image.block_size + index * self.image.superblock.inode_size

    def block(self, path: str | int, logical: int = 0) -> int:
        """Return where a block of a file lies."""
        inode = self.image.inode(path) if isinstance(path, int) else self.image.lookup(path)
        return next(
            (physical + logical - first) * self.image.block_size
            for first, length, physical in self.image.runs(inode)
            if physical is not None and first <= logical < first + length
        )

    def tree(self, path: str, number: int = 0) -> int:
        """Return where a block of a file's extent tree or map lies."""
        inode = self.image.lookup(path)
        nodes = inode.tree.blocks or list(inode.indirect.nodes.values() if inode.indirect else ())
        return nodes[number] * self.image.block_size

    def xattrs(self, path: str) -> int:
        """Return where a file's xattr block lies."""
        return self.image.lookup(path).raw.xattr_block * self.image.block_size

    def descriptor(self, group: int = 0) -> int:
        """Return where a group's descriptor lies."""
        sb = self.image.superblock
        return sb.descriptor_block(0) * self.image.block_size + group * sb.descriptor_bytes

    def put(self, at: int, code: str, *values: int) -> None:
        """Write numbers."""
        struct.pack_into(code, self.data, at, *values)

    def flip(self, at: int, bit: int = 0) -> None:
        """Turn over a bit."""
        self.data[at] ^= 1 << bit
