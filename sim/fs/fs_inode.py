"""
The file system's side of an open file: size in blocks, block map, and how to decrypt its contents.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.ext4.format.extents import ExtentTree
from sim.ext4.format.indirect import IndirectMap
from sim.fs.file_tags import FileTags
from sim.fs.mapper import InodeMap
from sim.fs.merkle import VerityState
from sim.units import PAGE_BYTES

Decrypt = Callable[[memoryview, int, memoryview], None]
"""Decrypt whole blocks: (ciphertext, first logical block, where to; a few bytes longer than the data)."""


class FsInode:
    """
    A regular file.

    encrypted: its blocks are decrypted after reading. inline: by the device, before they arrive. decrypt:
    how, when data is real. blocks: ceil(size / block size); blocks from there on are beyond EOF. verity: its
    Merkle tree, None without. tags: the checksums of its data, None without. tree_of: of the pseudo-file of a
    tree's pages, whose tree it is. mappable: the block before which readahead asks for maps: the end of the
    file, or none where a tree follows it.
    """

    __slots__ = (
        "blocks",
        "decrypt",
        "encrypted",
        "inline",
        "map",
        "mappable",
        "size_bytes",
        "tags",
        "tree_of",
        "verity",
    )

    def __init__(
        self,
        tree: ExtentTree,
        size_bytes: int,
        block_size: int,
        encrypted: bool = False,
        decrypt: Decrypt | None = None,
        inline: bool = False,
        indirect: IndirectMap | None = None,
    ) -> None:
        self.map = InodeMap(tree, indirect)
        self.size_bytes = size_bytes
        self.blocks = -(-size_bytes // block_size)
        self.encrypted = encrypted
        self.decrypt = decrypt
        self.inline = inline
        self.verity: VerityState | None = None
        self.tags: FileTags | None = None
        self.tree_of: VerityState | None = None
        self.mappable = self.blocks

    def crypt(self, lblk: int, physical: int) -> tuple[FsInode, int] | None:
        """
        Return the blk-crypto context of block `lblk` at `physical`: key and data unit number; None without.

        Of two neighbours on the disk it is the same if and only if their numbers are neighbours too.
        """
        return (self, physical - lblk) if self.inline else None

    @property
    def pages(self) -> int:
        """Pages up to EOF."""
        return -(-self.size_bytes // PAGE_BYTES)
