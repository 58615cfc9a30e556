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
from sim.ext4.format.inode import TYPE_REGULAR
from sim.ext4.format.superblock import SUPERBLOCK_OFFSET

_DOUBLE = 13
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
    if seen.node.links != 1 or seen.node.type != TYPE_REGULAR or others or double not in disk.blocks:
        findings.say(_PLACE, "is none")
        return
    claims.add(double, 1, RESIZE, _PLACE)
    _reserved(disk, findings, double, seen.node.sectors)


def _reserved(disk: Disk, findings: Findings, double: int, sectors: int) -> None:
    """Judge the pointers; a valid one that leads elsewhere matters to nobody who does not resize: a note."""
    sb = disk.sb
    per_block = disk.block_size // 4
    taken, illegal = 1, 0
    entries = struct.unpack(f"<{per_block}I", disk.block(double))
    held: dict[int, tuple[int, ...]] = {}
    for block in filter(None, entries):
        taken += 1
        if block in disk.blocks:
            held[block] = struct.unpack(f"<{per_block}I", disk.block(block))
            taken += sum(pointer != 0 for pointer in held[block])
            illegal += sum(pointer != 0 and pointer not in disk.blocks for pointer in held[block])
        else:
            illegal += 1
    if illegal:
        findings.say(_PLACE, f"{illegal} pointers lead out of the file system")
    if disk.ratio == 1:  # with bigalloc mke2fs counts clusters here, and nobody looks
        findings.compare(_PLACE, "sectors", sectors, (taken - illegal) * disk.block_size // 512)
    primary = SUPERBLOCK_OFFSET // disk.block_size  # block 0 is free for booting where blocks are of 1 KiB
    first = primary + 1 + sb.descriptor_blocks
    copies = [n for n in range(1, sb.groups_count) if disk.has_super(n)]
    for number in range(sb["reserved_gdt_blocks"]):
        block = first + number
        slot = (sb.descriptor_blocks + number) % per_block
        expected = tuple(block + copy * sb["blocks_per_group"] for copy in copies[:per_block])
        if entries[slot] != block or held.get(block, ())[: len(expected)] != expected:
            findings.note(_PLACE, f"entry {slot} does not lead to block {block} and its copies {expected}")
            return
