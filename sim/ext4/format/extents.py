"""
The extent tree: its entries on disk, the tree as a value, and how a tree is planned.

Units are file-system blocks. A tree has its root in the inode (60 bytes: a header and 4 entries); below
it, each index or leaf block holds a header and (block size - 12) // 12 entries. Source of the format:
Documentation/filesystems/ext4 (ifork.rst), Linux 6.1.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import NamedTuple

from sim.errors import ImageError

EXTENT_MAGIC = 0xF30A
ENTRY_BYTES = 12
ROOT_BYTES = 60
ROOT_ENTRIES = (ROOT_BYTES - ENTRY_BYTES) // ENTRY_BYTES
MAX_WRITTEN_BLOCKS = 32_768
MAX_UNWRITTEN_BLOCKS = 32_767
MAX_LOGICAL_BLOCKS = 1 << 32
MAX_PHYSICAL_BLOCK = (1 << 48) - 1
MAX_DEPTH = 5
"""Deep enough for 2^32 one-block extents at 1 KiB; the kernel allows no more."""

_HEADER = struct.Struct("<HHHHI")
_LEAF = struct.Struct("<IHHI")
_INDEX = struct.Struct("<IIHH")


class Extent(NamedTuple):
    """A run of `length` blocks from `logical` in the file, at `physical` on the device."""

    logical: int
    physical: int
    length: int
    unwritten: bool


class Header(NamedTuple):
    """The header of a node: entries in use, entries there is room for, levels below."""

    entries: int
    max_entries: int
    depth: int


def entries_per_block(block_size: int) -> int:
    """Return how many entries an index or leaf block of `block_size` bytes holds."""
    return (block_size - ENTRY_BYTES) // ENTRY_BYTES


def encode_header(header: Header) -> bytes:
    """Return the 12 bytes of a node's header."""
    return _HEADER.pack(EXTENT_MAGIC, header.entries, header.max_entries, header.depth, 0)


def decode_header(node: bytes | memoryview, place: str, max_depth: int = MAX_DEPTH) -> Header:
    """Return the header of a node's bytes; raise ImageError if it cannot be one."""
    magic, entries, max_entries, depth, _generation = _HEADER.unpack_from(node)
    if magic != EXTENT_MAGIC:
        raise ImageError(place, f"the extent magic is {magic:#06x}", f"{EXTENT_MAGIC:#06x}")
    room = len(node) // ENTRY_BYTES - 1
    if max_entries > room or entries > max_entries:
        raise ImageError(place, f"{entries} of {max_entries} extent entries", f"at most {room}")
    if depth > max_depth:
        raise ImageError(place, f"the extent depth is {depth}", f"0 to {max_depth}")
    return Header(entries, max_entries, depth)


def encode_leaf_entries(extents: Iterable[Extent]) -> bytes:
    """Return 12 bytes for each extent."""
    return b"".join(
        _LEAF.pack(
            logical,
            length + MAX_WRITTEN_BLOCKS if unwritten else length,
            physical >> 32,
            physical & 0xFFFF_FFFF,
        )
        for logical, physical, length, unwritten in extents
    )


def decode_leaf_entries(node: bytes | memoryview, entries: int) -> list[Extent]:
    """Return the first `entries` extents of a leaf (header included); their values are not judged."""
    # An unwritten extent stores its length plus 32768; exactly 32768 is a written extent of that length.
    return [
        Extent(block, high << 32 | low, raw - MAX_WRITTEN_BLOCKS, True)
        if raw > MAX_WRITTEN_BLOCKS
        else Extent(block, high << 32 | low, raw, False)
        for block, raw, high, low in _LEAF.iter_unpack(node[ENTRY_BYTES : ENTRY_BYTES * (entries + 1)])
    ]


def encode_index_entries(children: Iterable[tuple[int, int]]) -> bytes:
    """Return 12 bytes for each child (logical key, physical block)."""
    return b"".join(_INDEX.pack(key, block & 0xFFFF_FFFF, block >> 32, 0) for key, block in children)


def decode_index_entries(node: bytes | memoryview, entries: int) -> list[tuple[int, int]]:
    """Return the first `entries` children of an index node as (logical key, physical block)."""
    return [
        (key, high << 32 | low)
        for key, low, high, _unused in _INDEX.iter_unpack(node[ENTRY_BYTES : ENTRY_BYTES * (entries + 1)])
    ]


@dataclass(frozen=True, slots=True)
class ExtentTree:
    """
    An extent tree with its leaves flattened.

    depth: levels of blocks below the inode.
    extents: all extents, by logical block.
    leaf_first: for each leaf, the index in `extents` of its first extent.
    leaf_key: for each leaf, the first logical block for which the walk chooses it (the key of its index
        entry; what lies before the first key belongs to the first child, as in the kernel's search).
    leaf_chain: for each leaf, the physical blocks read on the walk to it, the root's child first and the
        leaf last; () for the one leaf of depth 0, which is the inode.
    """

    depth: int
    extents: list[Extent]
    leaf_first: list[int]
    leaf_key: list[int]
    leaf_chain: list[tuple[int, ...]]

    def leaf_of(self, lblk: int) -> int:
        """Return the number of the leaf that the walk for logical block `lblk` ends at."""
        return max(bisect_right(self.leaf_key, lblk) - 1, 0)

    def find(self, lblk: int) -> Extent | None:
        """Return the extent that covers logical block `lblk`, or None for a hole."""
        index = bisect_right(self.extents, lblk, key=_logical) - 1
        if index >= 0 and lblk < self.extents[index].logical + self.extents[index].length:
            return self.extents[index]
        return None

    @property
    def blocks(self) -> list[int]:
        """The physical blocks of the tree itself: leaves by logical key, then index blocks bottom up."""
        seen: dict[int, None] = {}
        for level in range(self.depth - 1, -1, -1):
            seen.update(dict.fromkeys(chain[level] for chain in self.leaf_chain))
        return list(seen)


def _logical(extent: Extent) -> int:
    return extent.logical


def normalise(extents: Iterable[Extent], merge: bool = True) -> list[Extent]:
    """
    Return extents sorted by logical block, cut to the lengths an entry can hold.

    With `merge`, neighbours that continue each other logically and physically in the same state become
    one, as the kernel merges what it appends.
    """
    joined: list[Extent] = []
    for extent in sorted(extents):
        last = joined[-1] if joined else None
        if (
            merge
            and last is not None
            and last.unwritten == extent.unwritten
            and last.logical + last.length == extent.logical
            and last.physical + last.length == extent.physical
        ):
            joined[-1] = last._replace(length=last.length + extent.length)
        else:
            joined.append(extent)
    return [piece for extent in joined for piece in _cut(extent)]


def _cut(extent: Extent) -> Iterator[Extent]:
    limit = MAX_UNWRITTEN_BLOCKS if extent.unwritten else MAX_WRITTEN_BLOCKS
    if extent.length <= limit:
        yield extent
        return
    for start in range(0, extent.length, limit):
        yield Extent(
            extent.logical + start,
            extent.physical + start,
            min(limit, extent.length - start),
            extent.unwritten,
        )


@dataclass(frozen=True, slots=True)
class TreePlan:
    """
    The shape of a tree before its blocks have a place.

    levels[0] holds the leaves, each a (first, end) range of `extents`; levels[n] the index blocks above,
    each a range of levels[n - 1]. At depth 0 the one leaf is the inode. Blocks are numbered, here and in
    `tree_blocks` of a layout, leaves first in logical order, then the index blocks of each level upwards.
    """

    block_size: int
    extents: list[Extent]
    levels: list[list[tuple[int, int]]]

    @property
    def depth(self) -> int:
        """Levels of blocks below the inode."""
        return len(self.levels)

    @property
    def blocks_needed(self) -> int:
        """How many leaf and index blocks the tree takes."""
        return sum(len(level) for level in self.levels)

    def _children(self, numbers: Sequence[int]) -> Iterator[list[tuple[int, int]]]:
        """Yield, level by level, the (key, block) of every node."""
        if len(numbers) != self.blocks_needed:
            raise ValueError(f"{len(numbers)} blocks for a tree of {self.blocks_needed}")
        keys = [extent.logical for extent in self.extents]
        starts = accumulate((len(level) for level in self.levels), initial=0)
        for level, (start, end) in zip(self.levels, pairwise(starts), strict=True):
            keys = [keys[first] for first, _end in level]
            yield list(zip(keys, numbers[start:end], strict=True))

    def encode(self, numbers: Sequence[int]) -> tuple[bytes, dict[int, bytes]]:
        """
        Return the 60 bytes of the inode's root, and the bytes of every tree block by its number.

        numbers: one physical block for each of `blocks_needed`, in the order the class names.
        """
        room = entries_per_block(self.block_size)
        blocks: dict[int, bytes] = {}
        below: list[tuple[int, int]] = []
        for height, nodes in enumerate(self._children(numbers)):
            for (first, end), (_key, number) in zip(self.levels[height], nodes, strict=True):
                if height == 0:
                    body = encode_leaf_entries(self.extents[first:end])
                else:
                    body = encode_index_entries(below[first:end])
                head = encode_header(Header(end - first, room, height))
                blocks[number] = (head + body).ljust(self.block_size, b"\0")
            below = nodes
        body = encode_index_entries(below) if self.levels else encode_leaf_entries(self.extents)
        count = len(body) // ENTRY_BYTES
        root = encode_header(Header(count, ROOT_ENTRIES, self.depth)) + body
        return root.ljust(ROOT_BYTES, b"\0"), blocks

    def tree(self, numbers: Sequence[int]) -> ExtentTree:
        """Return the tree as a reader would see it, with its blocks at `numbers` (as for `encode`)."""
        if not self.levels:
            return ExtentTree(0, self.extents, [0], [0], [()])
        leaves, *uppers = self._children(numbers)
        chains: list[tuple[int, ...]] = [(block,) for _key, block in leaves]
        ranges = [(first, first + 1) for first in range(len(leaves))]
        for level, nodes in zip(self.levels[1:], uppers, strict=True):
            ranges = [(ranges[first][0], ranges[end - 1][1]) for first, end in level]
            for (first, end), (_key, block) in zip(ranges, nodes, strict=True):
                for leaf in range(first, end):
                    chains[leaf] = (block, *chains[leaf])
        return ExtentTree(
            self.depth,
            self.extents,
            [first for first, _end in self.levels[0]],
            [0, *(key for key, _block in leaves[1:])],
            chains,
        )


def plan_tree(extents: list[Extent], block_size: int) -> TreePlan:
    """
    Return the tree that the kernel leaves behind a file written front to back.

    Nodes are packed full in logical order, and the depth grows only when the four entries of the root
    are not enough. `extents` must be sorted, disjoint and within the lengths an entry holds (see
    normalise). Not modelled: the half-full nodes that splits in the middle of a file leave.
    """
    room = entries_per_block(block_size)
    levels: list[list[tuple[int, int]]] = []
    count = len(extents)
    while count > ROOT_ENTRIES:
        levels.append([(first, min(first + room, count)) for first in range(0, count, room)])
        count = len(levels[-1])
    return TreePlan(block_size, extents, levels)
