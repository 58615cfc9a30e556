"""
Reading an extent tree from a device, and refusing one that cannot be true.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.errors import ImageError
from sim.ext4.format.extents import (
    MAX_LOGICAL_BLOCKS,
    Extent,
    ExtentTree,
    decode_header,
    decode_index_entries,
    decode_leaf_entries,
)


class _Walk:
    """One walk of a whole tree: what it has collected, and what it may still visit."""

    def __init__(
        self, read_block: Callable[[int], bytes | memoryview], blocks: range, depth: int, place: str
    ) -> None:
        self.read_block = read_block
        self.blocks = blocks
        self.place = place
        self.depth = depth
        self.seen: set[int] = set()
        self.mapped = 0
        self.extents: list[Extent] = []
        self.leaf_first: list[int] = []
        self.leaf_key: list[int] = []
        self.leaf_chain: list[tuple[int, ...]] = []

    def leaf(self, extents: list[Extent], key: int, end: int, chain: tuple[int, ...]) -> None:
        """Add a leaf whose extents must lie in logical blocks [key, end)."""
        self.leaf_first.append(len(self.extents))
        self.leaf_key.append(key)
        self.leaf_chain.append(chain)
        low = key
        for extent in extents:
            if extent.length == 0 or extent.logical < low or extent.logical + extent.length > end:
                raise ImageError(
                    self.place,
                    f"extent of {extent.length} blocks at logical block {extent.logical}",
                    f"a length above 0, inside logical blocks {low} to {end - 1}, in order",
                )
            if extent.physical < self.blocks.start or extent.physical + extent.length > self.blocks.stop:
                raise ImageError(
                    self.place,
                    f"extent of {extent.length} blocks at physical block {extent.physical}",
                    f"inside blocks {self.blocks.start} to {self.blocks.stop - 1}",
                )
            low = extent.logical + extent.length
            self.mapped += extent.length
        if self.mapped > len(self.blocks):
            raise ImageError(
                self.place,
                f"the extents map {self.mapped} blocks",
                f"at most the file system's {len(self.blocks)}",
            )
        self.extents += extents

    def index(
        self, children: list[tuple[int, int]], depth: int, key: int, end: int, chain: tuple[int, ...]
    ) -> None:
        """Visit the children of an index node that the walk chooses for logical blocks [key, end)."""
        if not children:
            raise ImageError(self.place, "an index node of the extent tree has no entries", "at least 1")
        for number, (child_key, block) in enumerate(children):
            child_end = children[number + 1][0] if number + 1 < len(children) else end
            if not key <= child_key < child_end <= end:
                raise ImageError(
                    self.place,
                    f"extent index key {child_key} before {child_end}",
                    f"increasing keys inside logical blocks {key} to {end - 1}",
                )
            if block not in self.blocks:
                raise ImageError(
                    self.place,
                    f"the extent index points at block {block}",
                    f"{self.blocks.start} to {self.blocks.stop - 1}",
                )
            if block in self.seen:
                raise ImageError(
                    self.place, f"the extent tree visits block {block} twice", "a tree without loops"
                )
            self.seen.add(block)
            node = self.read_block(block)
            self._begins(node, child_key, block)
            # The first child is chosen for everything before the second, whatever its own key.
            self.node(node, depth - 1, key if number == 0 else child_key, child_end, (*chain, block))

    def _begins(self, node: bytes | memoryview, key: int, block: int) -> None:
        """Refuse a node that begins elsewhere than its parent says (ext4_valid_extent_entries, 5.17)."""
        place = f"{self.place}, extent block {block}"
        header = decode_header(node, place)
        # Both kinds of entries begin with the logical block.
        first = decode_index_entries(node, 1)[0][0] if header.entries else key
        if first != key:
            raise ImageError(place, f"begins at logical block {first}", f"{key}, as its parent says")

    def node(self, node: bytes | memoryview, depth: int, key: int, end: int, chain: tuple[int, ...]) -> None:
        """Visit a node of which the parent says how deep it is."""
        place = f"{self.place}, extent block {chain[-1]}" if chain else self.place
        header = decode_header(node, place)
        if header.depth != depth:
            raise ImageError(place, f"the node's depth is {header.depth}", f"{depth}, one below its parent's")
        if depth:
            self.index(decode_index_entries(node, header.entries), depth, key, end, chain)
        else:
            self.leaf(decode_leaf_entries(node, header.entries), key, end, chain)


def read_tree(
    root: bytes | memoryview, read_block: Callable[[int], bytes | memoryview], blocks: range, place: str
) -> ExtentTree:
    """
    Return the extent tree whose root is the 60 bytes of an inode's block field.

    read_block: gives the bytes of a physical block; each block is asked for at most once.
    blocks: the physical blocks that exist.
    Raises ImageError, naming `place`, on a wrong magic, depth, order or range, a loop, overlapping
    extents, or more mapped blocks than the file system has.
    """
    depth = decode_header(root, place).depth
    walk = _Walk(read_block, blocks, depth, place)
    walk.node(root, depth, 0, MAX_LOGICAL_BLOCKS, ())
    return ExtentTree(depth, walk.extents, walk.leaf_first, walk.leaf_key, walk.leaf_chain)
