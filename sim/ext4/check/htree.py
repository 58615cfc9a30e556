"""
Judging hash trees of directories (feature dir_index).

Source of the format: Documentation/filesystems/ext4/directory.rst, Linux 6.1.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from sim.ext4.check.disk import Disk
from sim.ext4.check.findings import Findings
from sim.ext4.check.index import (
    COUNT,
    ENTRY_BYTES,
    INFO_AT,
    MOST_LEVELS,
    MOST_LEVELS_LARGE,
    NODE_AT,
    ROOT_AT,
    TAIL_BYTES,
    children,
)
from sim.ext4.check.names import Directory, Record
from sim.ext4.check.seen import Seen, Tables
from sim.ext4.format import inode as inodes
from sim.ext4.format.dirhash import UNSIGNED, name_hashes
from sim.ext4.format.features import Compat, Incompat

_INFO = struct.Struct("<IBBBB")
_INFO_BYTES = 8
_MOST_VERSION = 6
_SIPHASH = 6
_FLAG_UNSIGNED = 0x2


def check_hash_trees(
    disk: Disk, findings: Findings, tables: Tables, directories: Mapping[int, Directory]
) -> None:
    """Judge the hash tree of every directory that has one, and whether its names are where it says."""
    for number, seen in tables.used.items():
        if not seen.node.flags & inodes.FLAG_INDEXED_DIRECTORY:
            continue
        place = f"inode {number}"
        if not seen.is_directory:
            findings.say(place, "has the flag for a hash tree and is no directory")
        elif not disk.sb.has(Compat.DIR_INDEX):
            findings.say(place, "has a hash tree, the file system has not the feature")
        elif seen.node.flags & inodes.FLAG_INLINE_DATA:
            findings.say(place, "has a hash tree and inline data")
        else:
            directory = directories.get(number)
            for problem in _tree(disk, seen, directory.records if directory else []):
                findings.say(place, f"hash tree: {problem}")


def _tree(disk: Disk, seen: Seen, records: Sequence[Record]) -> Iterator[str]:
    root = seen.block(disk, 0)
    if root is None:
        yield "there is no root"
        return
    reserved, version, length, levels, flags = _INFO.unpack_from(root, INFO_AT)
    most = MOST_LEVELS_LARGE if disk.sb.has(Incompat.LARGEDIR) else MOST_LEVELS
    if reserved or length != _INFO_BYTES or version > _MOST_VERSION or flags & 1:
        yield f"the root has version {version}, {length} bytes, flags {flags:#x}"
        return
    if levels > most:
        yield f"{levels} levels, at most {most} can be"
        return
    blocks = -(-seen.node.size_bytes // disk.block_size)
    met = {0}
    nodes = [(0, 0, 1 << 32)]
    leaves: list[tuple[int, int, int]] = []
    for level in range(levels + 1):
        below: list[tuple[int, int, int]] = []
        for node, low, high in nodes:
            raw = seen.block(disk, node)
            if raw is None:
                continue
            at = ROOT_AT if node == 0 else NODE_AT
            yield from _node(disk, raw, at, node)
            below_it = children(raw, at)
            hashes = [low, *(value for value, _child in below_it[1:]), high]
            if any(a & ~1 > b & ~1 for a, b in pairwise(hashes)):
                yield f"block {node} has hashes out of order"
            for index, (_value, child) in enumerate(below_it):
                if child >= blocks:
                    yield f"block {node} leads to block {child} of {blocks}"
                elif child in met:
                    yield f"block {child} is met twice"
                else:
                    met.add(child)
                    below.append((child, hashes[index], hashes[index + 1]))
        nodes = below if level < levels else []
        leaves = below
    if len(met) < blocks:
        yield f"{blocks - len(met)} of {blocks} blocks are not in it"
    yield from _misplaced(disk, seen, version, leaves, records)


def _misplaced(
    disk: Disk, seen: Seen, version: int, leaves: Sequence[tuple[int, int, int]], records: Sequence[Record]
) -> Iterator[str]:
    """Yield the leaves that hold names whose hash lies outside of what the tree says."""
    if seen.node.flags & inodes.FLAG_CASEFOLD or version == _SIPHASH:
        return  # the hash is of a folded name, or of one that takes a key
    if version < UNSIGNED and disk.sb.flags & _FLAG_UNSIGNED:
        version += UNSIGNED
    bounds = {block: (low & ~1, high & ~1) for block, low, high in leaves}
    inside = [record for record in records if record.block in bounds]
    hashes = name_hashes([record.name for record in inside], version, disk.sb.hash_seed)
    told: set[int] = set()
    for record, value in zip(inside, hashes, strict=True):
        low, high = bounds[record.block]
        if not low <= value <= high and record.block not in told:
            told.add(record.block)
            yield f"block {record.block} has a name of hash {value:#x}, not {low:#x} to {high:#x}"


def _node(disk: Disk, raw: bytes | memoryview, at: int, node: int) -> Iterator[str]:
    limit, count = COUNT.unpack_from(raw, at)
    room = (len(raw) - at - (TAIL_BYTES if disk.checksums.on else 0)) // ENTRY_BYTES
    if node:
        inode, length = struct.unpack_from("<IH", raw)
        if inode or length != len(raw):
            yield f"block {node} is no node"
    if limit != room or not 0 < count <= limit:
        yield f"block {node} has {count} of {limit} entries, there is room for {room}"
