"""
Judging the orphan file: blocks of inode numbers, all 0 while the file system is not mounted.

Source of the format: Documentation/filesystems/ext4/orphan.rst, Linux 6.1.
"""

from __future__ import annotations

import struct

from sim.ext4.check.disk import Disk
from sim.ext4.check.findings import Findings
from sim.ext4.check.seen import Tables
from sim.ext4.format.crc32c import crc32c
from sim.ext4.format.features import Compat, RoCompat

_TAIL = struct.Struct("<II")
_MAGIC = 0x0B10CA04


def check_orphan_file(disk: Disk, findings: Findings, tables: Tables) -> None:
    """Judge every block of the orphan file: its tail, its checksum, and that no inode is in it."""
    sb = disk.sb
    seen = tables.used.get(sb.orphan_file)
    if not sb.has(Compat.ORPHAN_FILE):
        return
    if seen is None:
        findings.say("orphan file", f"its inode {sb.orphan_file} is not in use")
        return
    seed = disk.checksums.inode_seed(seen.raw, sb.orphan_file)
    for extent in seen.mapped.extents:
        for block in range(extent.physical, extent.physical + extent.length):
            raw = disk.block(block)
            at = len(raw) - _TAIL.size
            magic, said = _TAIL.unpack_from(raw, at)
            place = f"orphan file, block {block}"
            counted = crc32c(crc32c(seed, block.to_bytes(8, "little")), raw[:at]) if disk.checksums.on else 0
            if magic != _MAGIC:
                findings.say(place, f"the magic is {magic:#010x}, not {_MAGIC:#010x}")
            elif said != counted:
                findings.say(place, "the checksum is wrong")
            elif any(raw[:at]) and not sb.has(RoCompat.ORPHAN_PRESENT):
                findings.say(place, "names inodes, and the file system has not orphan_present")
