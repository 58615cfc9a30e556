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
    _reserved(disk, findings, double)


def _reserved(disk: Disk, findings: Findings, double: int) -> None:
    """Note where the pointers lead elsewhere, which matters to nobody who does not resize."""
    sb = disk.sb
    per_block = disk.block_size // POINTER_BYTES
    entries = struct.unpack(f"<{per_block}I", disk.block(double))
    first = sb.superblock_block(0) + 1 + sb.descriptor_blocks
    copies = [number for number in range(1, sb.groups_count) if sb.has_backup(number)][:per_block]
    for number in range(sb.reserved_gdt_blocks):
        block = first + number
        slot = (sb.descriptor_blocks + number) % per_block
        expected = tuple(block + copy * sb.blocks_per_group for copy in copies)
        held = struct.unpack(f"<{len(copies)}I", disk.block(block)[: POINTER_BYTES * len(copies)])
        if entries[slot] != block or held != expected:
            findings.note(_PLACE, f"entry {slot} does not lead to block {block} and its copies {expected}")
            return
