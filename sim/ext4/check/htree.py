"""
Judging hash trees of directories (feature dir_index).

Source of the format: Documentation/filesystems/ext4/directory.rst, Linux 6.1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from sim.ext4.check.disk import Disk
from sim.ext4.check.findings import Findings
from sim.ext4.check.inodes import Seen, Tables
from sim.ext4.format import inode as inodes
from sim.ext4.format.crc32c import crc32c
from sim.ext4.format.features import Compat, Incompat

_FLAG_INDEX = 0x1000
_INFO = struct.Struct("<IBBBB")
_INFO_AT, _INFO_BYTES = 0x18, 8
_ROOT_AT, _NODE_AT = 0x20, 0x8
"""Where limit and count lie: behind ".", ".." and the root's fields, or behind an empty record."""
_COUNT = struct.Struct("<HH")
_ENTRY = struct.Struct("<II")
_BLOCK_MASK = 0x0FFF_FFFF
_TAIL_BYTES = 8
_MOST_VERSION = 6
_MOST_LEVELS, _MOST_LEVELS_LARGE = 2, 3


def _physical(disk: Disk, seen: Seen, logical: int) -> int | None:
    for extent in seen.mapped.extents:
        if extent.logical <= logical < extent.logical + extent.length:
            return extent.physical + logical - extent.logical
    return None


def _block(disk: Disk, seen: Seen, logical: int) -> bytes | memoryview | None:
    physical = _physical(disk, seen, logical)
    return None if physical is None else disk.block(physical)


def _children(raw: bytes | memoryview, at: int) -> list[tuple[int, int]]:
    """Return the (hash, logical block) that a node has; the first has no hash of its own."""
    limit, count = _COUNT.unpack_from(raw, at)
    most = (len(raw) - at) // _ENTRY.size
    if not 0 < count <= min(limit, most):
        return []
    first = struct.unpack_from("<I", raw, at + 4)[0]
    found = [(0, first & _BLOCK_MASK)]
    for index in range(1, count):
        value, block = _ENTRY.unpack_from(raw, at + index * _ENTRY.size)
        found.append((value, block & _BLOCK_MASK))
    return found


def index_blocks(disk: Disk, seen: Seen) -> set[int]:
    """Return the logical blocks that hold the tree, the root's block 0 included; {} if that is none."""
    root = _block(disk, seen, 0)
    if root is None:
        return set()
    levels = root[_INFO_AT + 6]
    found = {0}
    nodes = [0]
    for _level in range(min(levels, _MOST_LEVELS_LARGE)):
        below: list[int] = []
        for node in nodes:
            raw = _block(disk, seen, node)
            if raw is not None:
                at = _ROOT_AT if node == 0 else _NODE_AT
                below += [block for _hash, block in _children(raw, at) if block not in found]
        found.update(below)
        nodes = below
    return found


def index_checksum_is_wrong(raw: bytes | memoryview, seed: int) -> bool:
    """Return whether a node's checksum, behind its last possible entry, is wrong."""
    _inode, length = struct.unpack_from("<IH", raw)
    at = _NODE_AT if length == len(raw) else _ROOT_AT
    limit, count = _COUNT.unpack_from(raw, at)
    tail = at + limit * _ENTRY.size
    if count > limit or tail + _TAIL_BYTES > len(raw):
        return True
    reserved, said = struct.unpack_from("<II", raw, tail)
    crc = crc32c(seed, raw[: at + count * _ENTRY.size])
    return bool(said != crc32c(crc, struct.pack("<II", reserved, 0)))


def check_hash_trees(disk: Disk, findings: Findings, tables: Tables) -> None:
    """Judge the hash tree of every directory that has one."""
    for number, seen in tables.used.items():
        if not seen.node.flags & _FLAG_INDEX:
            continue
        place = f"inode {number}"
        if seen.node.type != inodes.TYPE_DIRECTORY:
            findings.say(place, "has the flag for a hash tree and is no directory")
        elif not disk.sb.has(Compat.DIR_INDEX):
            findings.say(place, "has a hash tree, the file system has not the feature")
        elif seen.node.flags & inodes.FLAG_INLINE_DATA:
            findings.say(place, "has a hash tree and inline data")
        else:
            for problem in _tree(disk, seen):
                findings.say(place, f"hash tree: {problem}")


def _tree(disk: Disk, seen: Seen) -> Iterator[str]:
    root = _block(disk, seen, 0)
    if root is None:
        yield "there is no root"
        return
    reserved, version, length, levels, flags = _INFO.unpack_from(root, _INFO_AT)
    most = _MOST_LEVELS_LARGE if disk.sb.has(Incompat.LARGEDIR) else _MOST_LEVELS
    if reserved or length != _INFO_BYTES or version > _MOST_VERSION or flags & 1:
        yield f"the root has version {version}, {length} bytes, flags {flags:#x}"
        return
    if levels > most:
        yield f"{levels} levels, at most {most} can be"
        return
    blocks = -(-seen.node.size_bytes // disk.block_size)
    met = {0}
    nodes = [(0, 0, 1 << 32)]
    for level in range(levels + 1):
        below: list[tuple[int, int, int]] = []
        for node, low, high in nodes:
            raw = _block(disk, seen, node)
            if raw is None:
                continue
            at = _ROOT_AT if node == 0 else _NODE_AT
            yield from _node(disk, raw, at, node)
            children = _children(raw, at)
            hashes = [low, *(value for value, _child in children[1:]), high]
            if any(a & ~1 > b & ~1 for a, b in zip(hashes, hashes[1:], strict=False)):
                yield f"block {node} has hashes out of order"
            for index, (_value, child) in enumerate(children):
                if child >= blocks:
                    yield f"block {node} leads to block {child} of {blocks}"
                elif child in met:
                    yield f"block {child} is met twice"
                else:
                    met.add(child)
                    below.append((child, hashes[index], hashes[index + 1]))
        nodes = below if level < levels else []
    if len(met) < blocks:
        yield f"{blocks - len(met)} of {blocks} blocks are not in it"


def _node(disk: Disk, raw: bytes | memoryview, at: int, node: int) -> Iterator[str]:
    limit, count = _COUNT.unpack_from(raw, at)
    room = (len(raw) - at - (_TAIL_BYTES if disk.checksums else 0)) // _ENTRY.size
    if node:
        inode, length = struct.unpack_from("<IH", raw)
        if inode or length != len(raw):
            yield f"block {node} is no node"
    if limit != room or not 0 < count <= limit:
        yield f"block {node} has {count} of {limit} entries, there is room for {room}"
