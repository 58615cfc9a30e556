"""
Holding the quota files (feature quota) against what every user, group and project has.

Source of the format: the kernel's fs/quota/quotaio_v2.h and quota_tree.h, Linux 6.1: a tree of four levels of
256 pointers, by the bytes of the id, over blocks of 1 KiB with records of 72 bytes (version 1).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from sim.ext4.check.disk import Disk
from sim.ext4.check.findings import Findings
from sim.ext4.check.seen import Seen, Tables
from sim.ext4.format import inode as inodes
from sim.ext4.format.features import RoCompat

_BLOCK_BYTES = 1024
_LEVELS = 4
_LEAF_HEADER_BYTES, _RECORD_BYTES = 16, 72
_RECORD = struct.Struct("<I4x8Q")
_MAGIC = {"user": 0xD9C01F11, "group": 0xD9C01927, "project": 0xD9C03F14}
_VERSION = 1
_PROJECT_AT = 0x9C
_SECTOR = 512

Usage = dict[int, tuple[int, int]]
"""id -> (bytes, inodes)."""


def check_quotas(disk: Disk, findings: Findings, tables: Tables) -> None:
    """Judge each quota file that the superblock names."""
    sb = disk.sb
    if not sb.has(RoCompat.QUOTA):
        return
    for word, number, owner in (
        ("user", sb.user_quota, _user),
        ("group", sb.group_quota, _group),
        ("project", sb.project_quota, _project),
    ):
        place = f"{word} quota"
        if not number or (word == "project" and not sb.has(RoCompat.PROJECT)):
            continue
        seen = tables.used.get(number)
        if seen is None or not seen.is_regular:
            findings.say(place, f"its inode {number} is no file")
            continue
        said = _read(disk, seen, _MAGIC[word])
        if said is None:
            findings.say(place, f"inode {number} holds no tree of quotas of version {_VERSION}")
            continue
        counted = _count(disk, tables, owner)
        for key in sorted({*said, *counted}):
            if said.get(key, (0, 0)) != counted.get(key, (0, 0)):
                findings.say(
                    place,
                    f"id {key}: (bytes, inodes) are recorded as {said.get(key, (0, 0))}, "
                    f"{counted.get(key, (0, 0))} counted",
                )


def _user(seen: Seen) -> int:
    return seen.node.uid


def _group(seen: Seen) -> int:
    return seen.node.gid


def _project(seen: Seen) -> int:
    if len(seen.raw) < _PROJECT_AT + 4 or inodes.GOOD_OLD_BYTES + seen.node.extra_isize < _PROJECT_AT + 4:
        return 0
    return int.from_bytes(seen.raw[_PROJECT_AT : _PROJECT_AT + 4], "little")


def _count(disk: Disk, tables: Tables, owner: Callable[[Seen], int]) -> Usage:
    sb = disk.sb
    apart = disk.named_inodes()
    found: Usage = {}
    for number, seen in tables.used.items():
        has_name = number == inodes.ROOT_INODE or number >= sb.first_inode
        if not has_name or number in apart or seen.node.flags & inodes.FLAG_EA_INODE:
            continue
        huge = seen.node.flags & inodes.FLAG_HUGE_FILE and sb.has(RoCompat.HUGE_FILE)
        taken = seen.node.sectors * (disk.block_size if huge else _SECTOR)
        had_bytes, had_inodes = found.get(owner(seen), (0, 0))
        values = len(seen.xattrs.ea_inodes)
        found[owner(seen)] = (had_bytes + taken, had_inodes + 1 + values)
    return found


def _block(disk: Disk, seen: Seen, number: int) -> bytes:
    """Return a block of a quota file, zeros for a hole."""
    logical, at = divmod(number * _BLOCK_BYTES, disk.block_size)
    raw = seen.block(disk, logical)
    return bytes(_BLOCK_BYTES) if raw is None else bytes(raw[at : at + _BLOCK_BYTES])


def _read(disk: Disk, seen: Seen, magic: int) -> Usage | None:
    """Return what a quota file records; None if it is none."""
    if struct.unpack_from("<2I", _block(disk, seen, 0)) != (magic, _VERSION):
        return None
    count = seen.node.size_bytes // _BLOCK_BYTES
    nodes, met = {1}, {1}
    for _level in range(_LEVELS):
        below = {n for node in nodes for (n,) in struct.iter_unpack("<I", _block(disk, seen, node)) if n}
        if any(child >= count for child in below):
            return None
        nodes = below - met
        met |= nodes
    found: Usage = {}
    for leaf in nodes:
        data = _block(disk, seen, leaf)
        for at in range(_LEAF_HEADER_BYTES, _BLOCK_BYTES - _RECORD_BYTES + 1, _RECORD_BYTES):
            key, *numbers = _RECORD.unpack_from(data, at)
            used_inodes, used_bytes = numbers[2], numbers[5]
            if any(data[at : at + _RECORD_BYTES]):
                found[key] = (used_bytes, used_inodes)
    return found
