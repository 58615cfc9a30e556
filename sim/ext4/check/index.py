"""
The blocks of a directory that hold its hash tree.

Source of the format: Documentation/filesystems/ext4/directory.rst, Linux 6.1.
"""

from __future__ import annotations

import struct

from sim.ext4.check.disk import Disk
from sim.ext4.check.seen import Seen
from sim.ext4.format.crc32c import crc32c

INFO_AT = 0x18
ROOT_AT, NODE_AT = 0x20, 0x8
"""Where limit and count lie: behind ".", ".." and the root's fields, or behind an empty record."""
COUNT = struct.Struct("<HH")
ENTRY_BYTES, TAIL_BYTES = 8, 8
MOST_LEVELS, MOST_LEVELS_LARGE = 2, 3
_BLOCK_MASK = 0x0FFF_FFFF
_LEVELS_AT = INFO_AT + 6


def children(raw: bytes | memoryview, at: int) -> list[tuple[int, int]]:
    """Return the (hash, logical block) that a node has; the first has no hash of its own."""
    limit, count = COUNT.unpack_from(raw, at)
    most = (len(raw) - at) // ENTRY_BYTES
    if not 0 < count <= min(limit, most):
        return []
    first = struct.unpack_from("<I", raw, at + 4)[0]
    found = [(0, first & _BLOCK_MASK)]
    for index in range(1, count):
        value, child = struct.unpack_from("<II", raw, at + index * ENTRY_BYTES)
        found.append((value, child & _BLOCK_MASK))
    return found


def index_blocks(disk: Disk, seen: Seen) -> set[int]:
    """Return the logical blocks that hold the tree, the root's block 0 included; {} if that is none."""
    root = seen.block(disk, 0)
    if root is None:
        return set()
    levels = root[_LEVELS_AT]
    found = {0}
    nodes = [0]
    for _level in range(min(levels, MOST_LEVELS_LARGE)):
        below: list[int] = []
        for node in nodes:
            raw = seen.block(disk, node)
            if raw is not None:
                at = ROOT_AT if node == 0 else NODE_AT
                below += [block for _hash, block in children(raw, at) if block not in found]
        found.update(below)
        nodes = below
    return found


def index_checksum_is_wrong(raw: bytes | memoryview, seed: int) -> bool:
    """Return whether a node's checksum, behind its last possible entry, is wrong."""
    _inode, length = struct.unpack_from("<IH", raw)
    at = NODE_AT if length == len(raw) else ROOT_AT
    limit, count = COUNT.unpack_from(raw, at)
    tail = at + limit * ENTRY_BYTES
    if count > limit or tail + TAIL_BYTES > len(raw):
        return True
    reserved, said = struct.unpack_from("<II", raw, tail)
    crc = crc32c(seed, raw[: at + count * ENTRY_BYTES])
    return bool(said != crc32c(crc, struct.pack("<II", reserved, 0)))
