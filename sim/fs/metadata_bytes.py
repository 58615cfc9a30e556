"""
The bytes of a mounted ext4's metadata: what each block that the write side changes holds.

A block is made when it is asked for, of what is in memory: inodes as they were last copied into their block
of the table, nodes of extent trees, block bitmaps, group descriptors; names and inode bitmaps are NameBytes',
checksums of data TagBytes'.
The rest is as on the image. All checksums are set (metadata_csum). Left out: the superblock's counts (a
kernel leaves them as they are until the file system is unmounted, e2fsck counts anew), atime.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Final

from sim.errors import InvariantError
from sim.ext4.edit import inode_bytes
from sim.ext4.format.checksums import Checksums
from sim.ext4.format.descriptor import DESCRIPTOR_BYTES_64BIT, GroupDescriptor
from sim.ext4.format.extents import ROOT_BYTES
from sim.ext4.format.inode import FLAG_EXTENTS, TYPE_REGULAR, RawInode
from sim.ext4.format.refcounts import encode_leaf
from sim.ext4.read.reader import Image
from sim.fs.live_inode import LiveInode
from sim.fs.live_tree import Node, encoded, nodes_below
from sim.fs.mballoc.groups import Group, Groups
from sim.fs.name_bytes import NameBytes
from sim.fs.refcounts import RefCounts
from sim.fs.tag_bytes import TagBytes
from sim.units import NS_PER_S, SECTOR_BYTES

JournalledData = Callable[[int], bytes | None]
"""Return what a block of a file's data, which the journal has, holds; None for a block that is none."""

_FREE_LOW_AT, _FLAGS_AT, _FREE_HIGH_AT = 0x0C, 0x12, 0x2C
_NEW_MODE: Final = TYPE_REGULAR | 0o644
_NO_CHANGE: Final = b""


class MetadataBytes:
    """
    image: as it was mounted. groups: of the allocator. inodes: that are open, by number. data: journalled.
    names: None while none changes; tags: None without checksums of data; counts: of shared blocks, None
    without. epoch_s: the wall clock's seconds when the simulated clock says 0: the image's last write. given:
    blocks whose bytes are said, whatever is in memory.
    """

    def __init__(
        self, image: Image, groups: Groups, inodes: Mapping[int, LiveInode], data: JournalledData
    ) -> None:
        self.epoch_s = image.superblock.write_time_s
        self._image = image
        self._groups = groups
        self._inodes = inodes
        self._data = data
        self._sums = Checksums(image.superblock)
        self.names: NameBytes | None = None
        self.counts: RefCounts | None = None
        self.tags: TagBytes | None = None
        self.given: dict[int, bytes] = {}
        self._copied: dict[int, bytearray] = {}
        self._tables: dict[int, int] = {}
        self._made = 0
        self._sectors: dict[int, int] = {}
        self._bitmaps = {group.bitmap_block: group for group in groups.every}
        sb = image.superblock
        self._per_block = sb.block_size // sb.descriptor_bytes
        self._descriptors = {sb.descriptor_block(at): at for at in range(sb.descriptor_blocks)}

    # -- inodes --------------------------------------------------------------------------------------

    def inode_made(self, inode: LiveInode, now_ns: int) -> None:
        """__ext4_new_inode(): an empty file of root's; its generation, random in a kernel, is a number."""
        self._made += 1
        now = self.epoch_s * NS_PER_S + now_ns
        size = self._image.superblock.inode_size
        fresh = RawInode(
            mode=_NEW_MODE,
            links=1,
            flags=FLAG_EXTENTS,
            atime_ns=now,
            ctime_ns=now,
            mtime_ns=now,
            generation=self._made,
        ).encode()
        self._keep(inode, bytearray(fresh.ljust(size, b"\0")[:size]))

    def _keep(self, inode: LiveInode, raw: bytearray) -> None:
        self._copied[inode.number] = raw
        self._sectors[inode.number] = inode_bytes.sectors(raw)
        self._tables[inode.number] = inode.table_block

    def xattr_block_dropped(self, inode: LiveInode) -> None:
        """An inode has no xattr block any more."""
        inode_bytes.set_xattr_block(self._copied[inode.number], 0)

    def inode_copied(self, inode: LiveInode, now_ns: int) -> None:
        """ext4_do_update_inode(): size, blocks, times and the root of the tree go into the inode's bytes."""
        if inode.number not in self._copied:
            self._keep(inode, bytearray(self._image.inode(inode.number).raw_bytes))
        raw = self._copied[inode.number]
        if inode.regular:
            inode_bytes.set_links(raw, inode.links)
            inode_bytes.set_deleted(raw, inode.dtime)
        inode_bytes.set_size(raw, inode.disksize)
        taken = inode.taken * (self._image.block_size // SECTOR_BYTES)
        inode_bytes.set_sectors(raw, self._sectors[inode.number] + taken)
        inode_bytes.set_root(raw, encoded(inode.tree.root).ljust(ROOT_BYTES, b"\0"))
        inode_bytes.set_changed(raw, self.epoch_s * NS_PER_S + now_ns)
        if self.tags is not None:
            self.tags.inode_copied(inode.number, raw)
        self._sums.inode(raw, inode.number)

    # -- blocks --------------------------------------------------------------------------------------

    def block(self, block: int) -> bytes:
        """Return what a block of metadata, or of journalled data, holds now."""
        given = self.given.get(block)
        if given is not None:
            return given
        group = self._bitmaps.get(block)
        if group is not None:
            return self._groups.packed_bitmap(group.number)
        index = self._descriptors.get(block)
        if index is not None:
            return self._descriptor_block(block, index)
        data = self._data(block)
        if data is not None:
            return data
        for part in (self.names, self.tags):
            held = part.block(block) if part is not None else None
            if held is not None:
                return held
        for leaf in self.counts.leaves if self.counts is not None else ():
            if leaf.block == block:
                return encode_leaf(leaf.records, self._image.block_size)
        table = self._table_block(block)
        if table:
            return table
        for inode in self._inodes.values():
            for node in nodes_below(inode.tree.root):
                if node.block == block:
                    return self._node(inode, node)
        raise InvariantError(f"block {block} is changed, and nobody knows what it holds")

    def _table_block(self, block: int) -> bytes:
        """Return a block of an inode table with the inodes in it; nothing if none of them lies there."""
        held, size = bytearray(self._image.read_block(block)), self._image.superblock.inode_size
        per_group, found = self._image.superblock.inodes_per_group, False
        changed: Mapping[int, bytes] = {} if self.tags is None else self.tags.inodes()
        for number, raw in chain(self._copied.items(), changed.items()):
            if self._tables.get(number, self._image.inode_at(number) // len(held)) == block:
                at = (number - 1) % per_group * size % len(held)
                held[at : at + size] = raw
                found = True
        return bytes(held) if found else _NO_CHANGE

    def _node(self, inode: LiveInode, node: Node) -> bytes:
        raw = bytearray(encoded(node).ljust(self._image.block_size, b"\0"))
        self._sums.extent_block(raw, self._copied[inode.number], inode.number)
        return bytes(raw)

    def _descriptor_block(self, block: int, index: int) -> bytes:
        held, size = bytearray(self._image.read_block(block)), self._image.superblock.descriptor_bytes
        first = index * self._per_block
        for group in self._groups.every[first : first + self._per_block]:
            at = (group.number - first) * size
            raw = held[at : at + size]
            if group.bitmap is not None and not group.uninit:
                self._describe(raw, group)
            if self.names is not None:
                self.names.describe(raw, group.number)
            self._sums.descriptor(raw, group.number)
            held[at : at + size] = raw
        return bytes(held)

    def _describe(self, raw: bytearray, group: Group) -> None:
        """Put free blocks, flags and the bitmap's checksum of a group into its descriptor."""
        struct.pack_into("<H", raw, _FREE_LOW_AT, group.described_free & 0xFFFF)
        if len(raw) >= DESCRIPTOR_BYTES_64BIT:
            struct.pack_into("<H", raw, _FREE_HIGH_AT, group.described_free >> 16)
        flags = struct.unpack_from("<H", raw, _FLAGS_AT)[0]
        struct.pack_into("<H", raw, _FLAGS_AT, flags & ~GroupDescriptor.BLOCK_UNINIT)
        self._sums.block_bitmap(self._groups.packed_bitmap(group.number), raw)
