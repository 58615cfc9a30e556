"""
Judging inode 7, which keeps blocks behind the descriptors of every copy for descriptors to come.

Source of the format: Documentation/filesystems/ext4 (special_inodes.rst) and the layout that mke2fs writes.
"""

from __future__ import annotations

import struct

from sim.ext4.check.claims import Claims
from sim.ext4.check.disk import Disk
from sim.ext4.check.findings import Findings
from sim.ext4.check.inodes import RESIZE
from sim.ext4.check.seen import Tables
from sim.ext4.format.features import Compat
from sim.ext4.format.indirect import DIRECT_BLOCKS, POINTER_BYTES
from sim.units import SECTOR_BYTES

_DOUBLE = DIRECT_BLOCKS + 1
_PLACE = f"inode {RESIZE} (for resizing)"


def check_resize_inode(disk: Disk, findings: Findings, tables: Tables, claims: Claims) -> None:
    """Judge the resize inode: one block of pointers to reserved blocks, each with pointers to its copies."""
    sb = disk.sb
    seen = tables.used.get(RESIZE)
    if seen is None:
        return
    pointers = struct.unpack("<15I", seen.node.block)
    if not sb.has(Compat.RESIZE_INODE):
        if seen.node.links or seen.node.sectors or any(pointers):
            findings.note(_PLACE, "is not clear, and the file system has not the feature")
        return
    others = any(pointers[slot] for slot in range(15) if slot != _DOUBLE)
    double = pointers[_DOUBLE]
    if seen.node.links != 1 or not seen.is_regular or others or double not in disk.blocks:
        findings.say(_PLACE, "is none")
        return
    claims.add(double, 1, RESIZE, _PLACE)
    table = _Pointers(disk, double)
    if table.illegal:
        findings.say(_PLACE, f"{table.illegal} pointers lead out of the file system")
    if sb.cluster_blocks == 1:  # with bigalloc mke2fs counts clusters here, and nobody looks
        taken = 1 + table.taken - table.illegal + bool(seen.node.xattr_block)
        findings.compare(_PLACE, "sectors", seen.node.sectors, taken * disk.block_size // SECTOR_BYTES)
    _copies(disk, findings, table)


class _Pointers:
    """
    The pointers in block `double`, and those in the blocks to which they lead.

    taken: how many there are of both. illegal: how many of them lead out of the file system.
    """

    def __init__(self, disk: Disk, double: int) -> None:
        self.disk = disk
        self.entries = self.read(double)
        below = [
            pointer
            for block in self.entries
            if block and block in disk.blocks
            for pointer in self.read(block)
        ]
        every = [pointer for pointer in (*self.entries, *below) if pointer]
        self.taken = len(every)
        self.illegal = sum(pointer not in disk.blocks for pointer in every)

    def read(self, block: int) -> tuple[int, ...]:
        """Return the pointers in a block."""
        return struct.unpack(f"<{self.disk.block_size // POINTER_BYTES}I", self.disk.block(block))


def _copies(disk: Disk, findings: Findings, table: _Pointers) -> None:
    """Note where the pointers lead elsewhere, which matters to nobody who does not resize."""
    sb = disk.sb
    first, per_block = sb.superblock_block(0) + 1 + sb.descriptor_blocks, len(table.entries)
    copies = [number for number in range(1, sb.groups_count) if sb.has_backup(number)][:per_block]
    for number in range(sb.reserved_gdt_blocks):
        block, slot = first + number, (sb.descriptor_blocks + number) % per_block
        expected = tuple(block + copy * sb.blocks_per_group for copy in copies)
        if table.entries[slot] != block or table.read(block)[: len(expected)] != expected:
            findings.note(_PLACE, f"entry {slot} does not lead to block {block} and its copies {expected}")
            return
