"""
Judging the journal's inode and superblock, and the multi-mount protection block.

Source of the formats: Documentation/filesystems/ext4 (journal.rst, mmp.rst), Linux 6.1.
"""

from __future__ import annotations

import struct

from sim.errors import ImageError
from sim.ext4.check.disk import Disk
from sim.ext4.check.findings import Findings
from sim.ext4.check.seen import Tables
from sim.ext4.format.crc32c import crc32c
from sim.ext4.format.features import Compat, Incompat

_MAGIC = 0xC03B3998
_SUPERBLOCK_V1, _SUPERBLOCK_V2 = 3, 4
_LEAST_BLOCKS = 1024
_INCOMPAT = 0x3F
"""Revoke, 64-bit, asynchronous commit, checksums of versions 2 and 3, fast commit."""
_WITH_CHECKSUM = 0x18
_CHECKSUM_AT = 0xFC
_SUPER_BYTES = 1024
_MMP_MAGIC = 0x004D4D50
_MMP_CHECKSUM_AT = 0x3FC
_MOST_USERS = 48


def check_journal(disk: Disk, findings: Findings, tables: Tables) -> None:
    """Judge the journal that the superblock names."""
    sb, place = disk.sb, "journal"
    number = sb.journal_inode
    if not sb.has(Compat.HAS_JOURNAL):
        if sb.has(Incompat.NEEDS_RECOVERY):
            findings.say(place, "is to be replayed, and there is none")
        if not number and any(sb.journal_uuid):
            findings.say(place, "is to lie on another device, and the file system has not the feature")
        elif number or sb.journal_device:
            findings.note(place, "is named by the superblock, and the file system has not the feature")
        if not number:
            return
    if not number:
        has_other = sb.journal_device or any(sb.journal_uuid)
        if has_other:
            findings.unchecked.append("the journal, which lies on another device")
            if sb.has(Incompat.NEEDS_RECOVERY):
                findings.say(place, "is to be replayed, and lies on another device")
        else:
            findings.say(place, "is in no inode and on no device")
        return
    if any(sb.journal_uuid):
        findings.say(place, f"is in inode {number}, and on a device of its own as well")
    if not 0 < number <= sb.inodes_count:
        findings.say("superblock", f"the journal is in inode {number}, not 1 to {sb.inodes_count}")
        return
    seen = tables.used.get(number)
    if seen is None or not seen.is_regular or not seen.node.links:
        findings.say(place, f"inode {number} is no file")
        return
    blocks = -(-seen.node.size_bytes // disk.block_size)
    covered = 0
    for extent in sorted(seen.mapped.extents):
        if extent.logical != covered:
            break
        covered += extent.length
    if blocks < _LEAST_BLOCKS or covered < blocks or not seen.mapped.sound:
        findings.say(place, f"{covered} blocks in one piece of {blocks}, at least {_LEAST_BLOCKS} are needed")
        return
    first = min(seen.mapped.extents).physical
    _superblock(disk, findings, bytes(disk.block(first))[:_SUPER_BYTES], blocks)


def _superblock(disk: Disk, findings: Findings, raw: bytes, blocks: int) -> None:
    place = "journal"
    magic, kind = struct.unpack_from(">2I", raw)
    size, length, first, _sequence, start, errno = struct.unpack_from(">6I", raw, 12)
    _compat, incompat, ro_compat = struct.unpack_from(">3I", raw, 0x24)
    users = struct.unpack_from(">I", raw, 0x40)[0]
    if magic != _MAGIC or kind not in (_SUPERBLOCK_V1, _SUPERBLOCK_V2):
        findings.say(place, f"the superblock has magic {magic:#010x} and type {kind}")
        return
    if size != disk.block_size or length > blocks or not 0 < first < max(length, 1):
        findings.say(place, f"blocks of {size} bytes, {first} to {length} of {blocks}")
    if start and start >= length:
        findings.say(place, f"the log begins at block {start} of {length}")
    if kind == _SUPERBLOCK_V1:
        if any(raw[0x24:0x100]):
            findings.note(place, "is of version 1 and has fields of version 2")
        incompat = ro_compat = 0
    elif users > _MOST_USERS:
        findings.say(place, f"{users} file systems use it")
    if incompat & ~_INCOMPAT or ro_compat:
        findings.say(place, f"features {incompat:#x} and read-only {ro_compat:#x} are not known")
    elif incompat & _WITH_CHECKSUM:
        bare = raw[:_CHECKSUM_AT] + bytes(4) + raw[_CHECKSUM_AT + 4 :]
        if struct.unpack_from(">I", raw, _CHECKSUM_AT)[0] != crc32c(0xFFFF_FFFF, bare):
            findings.say(place, "the checksum of the superblock is wrong")
    if errno:
        findings.note(place, f"a kernel has noted error {errno} in it")
    if start and not disk.sb.has(Incompat.NEEDS_RECOVERY):
        findings.note(place, "has transactions in it, and the file system does not need recovery")
    if disk.sb.has(Incompat.NEEDS_RECOVERY):
        findings.unclean.append(f"{disk.name}: the journal was not replayed; all is judged as it lies")


def check_mmp(disk: Disk, findings: Findings) -> None:
    """Judge the block of the multi-mount protection."""
    sb = disk.sb
    if not sb.has(Incompat.MMP):
        return
    number = sb.mmp_block
    if number <= disk.blocks.start or number not in disk.blocks:
        findings.say("mmp", f"its block is {number}")
        return
    try:
        raw = disk.block(number)
    except ImageError as error:
        findings.say("mmp", error.problem)
        return
    magic = struct.unpack_from("<I", raw)[0]
    if magic != _MMP_MAGIC:
        findings.say("mmp", f"the magic is {magic:#010x}, not {_MMP_MAGIC:#010x}")
    elif disk.checksums.on:
        said = struct.unpack_from("<I", raw, _MMP_CHECKSUM_AT)[0]
        if said != crc32c(disk.checksums.seed, raw[:_MMP_CHECKSUM_AT]):
            findings.say("mmp", "the checksum is wrong")
