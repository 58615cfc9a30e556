"""
The blocks of an inode, by an extent tree or a block map that may be damaged: what is wrong is told, the rest
is walked.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sim.errors import ImageError
from sim.ext4.check.disk import Disk
from sim.ext4.check.sums import tail_is_wrong
from sim.ext4.format.extents import (
    ENTRY_BYTES,
    MAX_LOGICAL_BLOCKS,
    Extent,
    decode_header,
    decode_index_entries,
    decode_leaf_entries,
)
from sim.ext4.format.indirect import DIRECT_BLOCKS, POINTER_BYTES

_MOST_DEPTH = 10
"""e2fsck walks deeper trees than a kernel does, and has no more to say than that they are deep."""
_SPARE_ENTRIES = 2
"""e2fsck takes a node whose header says up to this many entries fewer than there is room for."""

Say = Callable[[str], None]


@dataclass
class Mapped:
    """
    What an inode maps.

    extents: in order of the file, those that can be. own: blocks of the tree or map itself.
    sound: nothing wrong was met.
    """

    extents: list[Extent] = field(default_factory=list)
    own: list[int] = field(default_factory=list)
    depth: int = 0
    sound: bool = True

    def physical(self, logical: int) -> int | None:
        """Return where a block of the file lies; None for one that is not mapped, or not written."""
        index = bisect_right(self.extents, logical, key=lambda extent: extent.logical) - 1
        if index < 0 or self.extents[index].unwritten:
            return None
        inside = logical - self.extents[index].logical
        return self.extents[index].physical + inside if inside < self.extents[index].length else None


class _Walk:
    def __init__(self, disk: Disk, say: Say, directory: bool) -> None:
        self.disk = disk
        self.directory = directory
        self.mapped = Mapped()
        self._say = say
        self._seen: set[int] = set()

    def say(self, text: str) -> None:
        self.mapped.sound = False
        self._say(text)

    def enter(self, block: int) -> bool:
        """Note a block of the tree; return whether it can be read."""
        if block not in self.disk.blocks:
            self.say(f"the tree points at block {block}, not {_limits(self.disk)}")
            return False
        if block in self._seen:
            self.say(f"the tree visits block {block} twice")
            return False
        self._seen.add(block)
        self.mapped.own.append(block)
        return True


def _limits(disk: Disk) -> str:
    return f"{disk.blocks.start} to {disk.blocks.stop - 1}"


class _Extents(_Walk):
    def __init__(self, disk: Disk, say: Say, directory: bool, seed: int | None) -> None:
        super().__init__(disk, say, directory)
        self.seed = seed
        self.low = 0

    def node(self, raw: bytes | memoryview, depth: int | None, end: int, key: int | None, where: str) -> None:
        """Walk a node: depth and first key are what the parent says, None for the root."""
        try:
            entries, most, found = decode_header(raw, where, _MOST_DEPTH)
        except ImageError as error:
            self.say(f"{error.place}: {error.problem}")
            return
        room = len(raw) // ENTRY_BYTES - 1
        if most < room - _SPARE_ENTRIES:
            self.say(f"{where}: {entries} of {most} extent entries, there is room for {room}")
            return
        if depth is not None and found != depth:
            self.say(f"{where}: the node's depth is {found}, not {depth}")
            return
        if depth is None:
            self.mapped.depth = found
        elif self.seed is not None and tail_is_wrong(self.seed, raw, ENTRY_BYTES * (most + 1)):
            self.say(f"{where}: the checksum is wrong")
        if found:
            self.index(decode_index_entries(raw, entries), found, end, key, where)
        else:
            self.leaf(decode_leaf_entries(raw, entries), end, key, where)

    def index(
        self, children: list[tuple[int, int]], depth: int, end: int, key: int | None, where: str
    ) -> None:
        if not children:
            self.say(f"{where}: an index node without entries")
        elif key is not None and children[0][0] != key:
            self.say(f"{where}: begins at logical block {children[0][0]}, its parent says {key}")
        for number, (first, block) in enumerate(children):
            stop = children[number + 1][0] if number + 1 < len(children) else end
            if not first < stop <= end:
                self.say(f"{where}: the index key {first} is not below {stop}")
                stop = end
            if self.enter(block):
                self.node(self.disk.block(block), depth - 1, stop, first, f"extent block {block}")

    def leaf(self, extents: list[Extent], end: int, key: int | None, where: str) -> None:
        if not extents and key is not None:
            self.say(f"{where}: a leaf without extents")
        elif key is not None and extents[0].logical != key:
            self.say(f"{where}: begins at logical block {extents[0].logical}, its parent says {key}")
        for extent in extents:
            if self.extent(extent, end, where):
                self.mapped.extents.append(extent)

    def extent(self, extent: Extent, end: int, where: str) -> bool:
        logical, physical, length, unwritten = extent
        if not length:
            self.say(f"{where}: an extent of 0 blocks at logical block {logical}")
            return False
        if logical < self.low:
            self.say(f"{where}: the extent at logical block {logical} is out of order")
            return False
        if logical + length > min(end, MAX_LOGICAL_BLOCKS):
            self.say(f"{where}: the extent of {length} blocks at logical block {logical} ends behind {end}")
        self.low = logical + length
        if physical < self.disk.blocks.start or physical + length > self.disk.blocks.stop:
            self.say(
                f"{where}: the extent of {length} blocks at logical block {logical} "
                f"lies at block {physical}, not {_limits(self.disk)}"
            )
            return False
        if unwritten and self.directory:
            self.say(f"{where}: an unwritten extent in a directory at block {logical}")
        return True


class _Map(_Walk):
    def field(self, raw: bytes) -> None:
        per_block = self.disk.block_size // POINTER_BYTES
        first = 0
        for slot, pointer in enumerate(struct.unpack("<15I", raw)):
            level = max(slot - DIRECT_BLOCKS + 1, 0)
            for logical, physical in self.below(pointer, level, first, per_block):
                self.data(logical, physical)
            self.mapped.depth = max(self.mapped.depth, level if pointer else 0)
            first += per_block**level

    def below(self, pointer: int, level: int, first: int, per_block: int) -> Iterator[tuple[int, int]]:
        if not pointer:
            return
        if not level:
            yield first, pointer
            return
        if not self.enter(pointer):
            return
        step = per_block ** (level - 1)
        raw = self.disk.block(pointer)
        if not any(raw):
            return
        for offset, (child,) in enumerate(struct.iter_unpack("<I", raw)):
            if child:
                yield from self.below(child, level - 1, first + offset * step, per_block)

    def data(self, logical: int, physical: int) -> None:
        if physical not in self.disk.blocks:
            self.say(f"block {logical} points at block {physical}, not {_limits(self.disk)}")
            return
        found = self.mapped.extents
        if found and found[-1][0] + found[-1][2] == logical and found[-1][1] + found[-1][2] == physical:
            found[-1] = found[-1]._replace(length=found[-1].length + 1)
        else:
            found.append(Extent(logical, physical, 1, False))


def walk_extents(disk: Disk, field: bytes, say: Say, directory: bool, seed: int | None) -> Mapped:
    """Return what the extent tree in an inode maps; seed: of the checksums of its blocks, None for none."""
    walk = _Extents(disk, say, directory, seed)
    walk.node(field, None, MAX_LOGICAL_BLOCKS, None, "extent tree")
    return walk.mapped


def walk_map(disk: Disk, field: bytes, say: Say) -> Mapped:
    """Return what the block map in an inode maps."""
    walk = _Map(disk, say, False)
    walk.field(field)
    return walk.mapped
