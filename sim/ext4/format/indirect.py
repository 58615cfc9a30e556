"""
The block map of ext2 and ext3: 12 direct blocks, then blocks of pointers, 1-, 2- and 3-fold.

Units are file-system blocks; a pointer is 4 bytes, 0 is a hole. Source of the format:
Documentation/filesystems/ext4 (ifork.rst, "Direct/Indirect Block Addressing"), Linux 6.1.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sim.errors import ImageError
from sim.ext4.format.extents import Extent, normalise

DIRECT_BLOCKS = 12
POINTER_BYTES = 4

Path = tuple[int, ...]
"""The way to a block: the slot in the inode, then the offset in each block of pointers."""


def block_path(block: int, per_block: int) -> Path:
    """Return the way to a logical block; `per_block`: pointers a block holds."""
    if block < DIRECT_BLOCKS:
        return (block,)
    rest = block - DIRECT_BLOCKS
    for level in (1, 2, 3):
        if rest < per_block**level or level == 3:
            offsets = tuple(rest // per_block**power % per_block for power in range(level - 1, -1, -1))
            return (DIRECT_BLOCKS + level - 1, *offsets)
        rest -= per_block**level
    raise AssertionError("unreachable")


def blocks_to_boundary(block: int, per_block: int) -> int:
    """Return how many blocks from `block` on are mapped by the same block of pointers, or by the inode."""
    if block < DIRECT_BLOCKS:
        return DIRECT_BLOCKS - block
    return per_block - (block - DIRECT_BLOCKS) % per_block


@dataclass(frozen=True, slots=True)
class IndirectMap:
    """
    A file's block map. nodes: the way to each block of pointers -> where it lies. extents: the data, as runs.
    """

    per_block: int
    nodes: dict[Path, int]
    extents: list[Extent]

    def chain(self, block: int) -> tuple[int, ...]:
        """Return the blocks of pointers on the way to a logical block, up to the first that is absent."""
        path, found = block_path(block, self.per_block), []
        for length in range(1, len(path)):
            node = self.nodes.get(path[:length])
            if node is None:
                break
            found.append(node)
        return tuple(found)


def read_map(
    field: bytes,
    read_block: Callable[[int, str], bytes | memoryview],
    valid: range,
    blocks: int,
    block_size: int,
    place: str,
) -> IndirectMap:
    """
    Return the block map in the 60 bytes of an inode's block field.

    valid: the physical blocks there are. blocks: those that the file's size spans; pointers beyond are not
    looked at. Raises ImageError for a pointer out of `valid`, or a block of pointers met twice.
    """
    walk = _Walk(read_block, valid, blocks, block_size // POINTER_BYTES, place)
    runs = normalise(walk.extents(field))
    return IndirectMap(walk.per_block, walk.nodes, runs)


class _Walk:
    """One walk of a whole map."""

    def __init__(
        self,
        read_block: Callable[[int, str], bytes | memoryview],
        valid: range,
        blocks: int,
        per_block: int,
        place: str,
    ) -> None:
        self.per_block = per_block
        self.nodes: dict[Path, int] = {}
        self._read_block = read_block
        self._valid = valid
        self._blocks = blocks
        self._place = place
        self._seen: set[int] = set()

    def extents(self, field: bytes) -> Iterator[Extent]:
        """Yield the data, block by block."""
        first = 0
        for slot, pointer in enumerate(struct.unpack("<15I", field)):
            level = max(slot - DIRECT_BLOCKS + 1, 0)
            yield from self._below((slot,), pointer, level, first)
            first += self.per_block**level

    def _below(self, path: Path, pointer: int, level: int, first: int) -> Iterator[Extent]:
        """Yield the data below one pointer, which maps from logical block `first` on."""
        if not pointer or first >= self._blocks:
            return
        if pointer not in self._valid:
            limits = f"{self._valid.start} to {self._valid.stop - 1}"
            raise ImageError(self._place, f"block {first} points at block {pointer}", limits)
        if not level:
            yield Extent(first, pointer, 1, False)
            return
        if pointer in self._seen:
            raise ImageError(
                self._place, f"the block map visits block {pointer} twice", "a map without loops"
            )
        self._seen.add(pointer)
        self.nodes[path] = pointer
        node = self._read_block(pointer, f"{self._place}, indirect block {pointer}")
        step = self.per_block ** (level - 1)
        for offset, (child,) in enumerate(struct.iter_unpack("<I", node)):
            yield from self._below((*path, offset), child, level - 1, first + offset * step)
