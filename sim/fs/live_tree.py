"""
An extent tree that changes: the nodes in memory, as fs/ext4/extents.c of Linux 6.1 walks, fills and splits
them.

The root is in the inode, with room for four entries; below it lie blocks. Where an entry goes, which nodes
that touches and in what order follow the kernel, for each touched node is a block in the log. Left out:
truncation and punching of holes, joining of nodes that have become empty (but for a leaf that fits into the
root again), fast commits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from sim.errors import InvariantError
from sim.ext4.format.extents import (
    MAX_UNWRITTEN_BLOCKS,
    MAX_WRITTEN_BLOCKS,
    ROOT_ENTRIES,
    Extent,
    ExtentTree,
    Header,
    encode_header,
    encode_index_entries,
    encode_leaf_entries,
    entries_per_block,
)

END: Final = (1 << 32) - 1
"""EXT_MAX_BLOCKS."""


class Node:
    """
    A node: the root (block 0), an index or a leaf. depth: levels below it.

    keys: of a leaf the first logical blocks of its extents, of an index those of its children. physical,
    length, unwritten: of a leaf's extents. children: of an index.
    """

    __slots__ = ("block", "children", "depth", "keys", "length", "physical", "room", "unwritten")

    def __init__(self, block: int, depth: int, room: int) -> None:
        self.block = block
        self.depth = depth
        self.room = room
        self.keys: list[int] = []
        self.physical: list[int] = []
        self.length: list[int] = []
        self.unwritten: list[bool] = []
        self.children: list[Node] = []

    @property
    def full(self) -> bool:
        """Whether it has no room for another entry."""
        return len(self.keys) >= self.room

    def insert(self, at: int, extent: Extent) -> None:
        """Put an extent into a leaf."""
        self.keys.insert(at, extent.logical)
        self.physical.insert(at, extent.physical)
        self.length.insert(at, extent.length)
        self.unwritten.insert(at, extent.unwritten)

    def remove(self, at: int) -> None:
        """Take an extent out of a leaf."""
        del self.keys[at], self.physical[at], self.length[at], self.unwritten[at]

    def extent(self, at: int) -> Extent:
        """Return an extent of a leaf."""
        return Extent(self.keys[at], self.physical[at], self.length[at], self.unwritten[at])

    def move(self, other: Node, first: int) -> None:
        """Give entries from `first` on to another, empty node of the same level."""
        other.keys, self.keys = self.keys[first:], self.keys[:first]
        if self.depth:
            other.children, self.children = self.children[first:], self.children[:first]
            return
        other.physical, self.physical = self.physical[first:], self.physical[:first]
        other.length, self.length = self.length[first:], self.length[:first]
        other.unwritten, self.unwritten = self.unwritten[first:], self.unwritten[:first]

    def continues(self, at: int, extent: Extent) -> bool:
        """ext4_can_extents_be_merged(): tell whether `extent` follows entry `at` and they may be one."""
        unwritten, length = self.unwritten[at], self.length[at]
        return (
            unwritten == extent.unwritten
            and self.keys[at] + length == extent.logical
            and self.physical[at] + length == extent.physical
            and length + extent.length <= (MAX_UNWRITTEN_BLOCKS if unwritten else MAX_WRITTEN_BLOCKS)
        )

    def precedes(self, at: int, extent: Extent) -> bool:
        """Tell whether entry `at` follows `extent` and they may be one."""
        unwritten, length = self.unwritten[at], self.length[at]
        return (
            unwritten == extent.unwritten
            and extent.logical + extent.length == self.keys[at]
            and extent.physical + extent.length == self.physical[at]
            and length + extent.length <= (MAX_UNWRITTEN_BLOCKS if unwritten else MAX_WRITTEN_BLOCKS)
        )

    def merge_right(self, at: int) -> bool:
        """ext4_ext_try_to_merge_right(): join what follows entry `at` to it; tell whether any was."""
        merged = False
        while at + 1 < len(self.keys) and self.continues(at, self.extent(at + 1)):
            self.length[at] += self.length[at + 1]
            self.remove(at + 1)
            merged = True
        return merged


class Path:
    """
    The way to a block (struct ext4_ext_path): nodes from the root to the leaf, and the entry taken in each.

    at: of the leaf the last extent that begins at or before the block, else the first; -1 if it has none.
    """

    __slots__ = ("at", "nodes")

    def __init__(self, nodes: list[Node], at: list[int]) -> None:
        self.nodes = nodes
        self.at = at

    @property
    def leaf(self) -> Node:
        """The last node."""
        return self.nodes[-1]

    @property
    def blocks(self) -> list[int]:
        """Blocks read on the way, the root's child first."""
        return [node.block for node in self.nodes[1:]]

    def next_allocated(self) -> int:
        """ext4_ext_next_allocated_block(): the next entry's first logical block, END if there is none."""
        leaf, at = self.nodes[-1], self.at[-1]
        if at >= 0 and at + 1 < len(leaf.keys):
            return leaf.keys[at + 1]
        for level in range(len(self.nodes) - 2, -1, -1):
            node = self.nodes[level]
            if self.at[level] + 1 < len(node.keys):
                return node.keys[self.at[level] + 1]
        return END

    def next_leaf(self) -> int:
        """ext4_ext_next_leaf_block(): the first logical block of the next leaf, END if there is none."""
        for level in range(len(self.nodes) - 2, -1, -1):
            node = self.nodes[level]
            if self.at[level] + 1 < len(node.keys):
                return node.keys[self.at[level] + 1]
        return END

    def neighbours(self, lblk: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """
        ext4_ext_search_left() and _right(): the last block of the extent before a hole at `lblk` and the
        first of the one behind, each (logical, physical); `lblk` and 0 where there is none.
        """
        leaf, at = self.nodes[-1], self.at[-1]
        left = right = (lblk, 0)
        if at < 0:
            return left, right
        if leaf.keys[at] > lblk:
            return left, (leaf.keys[at], leaf.physical[at])
        last = leaf.length[at] - 1
        left = (leaf.keys[at] + last, leaf.physical[at] + last)
        if at + 1 < len(leaf.keys):
            return left, (leaf.keys[at + 1], leaf.physical[at + 1])
        chain = self.chain_right()
        if chain:
            right = (chain[-1].keys[0], chain[-1].physical[0])
        return left, right

    def chain_right(self) -> list[Node]:
        """
        Return the nodes to read for the next leaf (ext4_ext_search_right()); none if this one has the next.
        """
        leaf, at = self.nodes[-1], self.at[-1]
        if at < 0 or at + 1 < len(leaf.keys):
            return []
        for level in range(len(self.nodes) - 2, -1, -1):
            node = self.nodes[level]
            if self.at[level] + 1 < len(node.keys):
                chain = [node.children[self.at[level] + 1]]
                while chain[-1].depth:
                    chain.append(chain[-1].children[0])
                return chain
        return []


class LiveTree:
    """The extent tree of one inode. room: entries of a block."""

    def __init__(self, tree: ExtentTree, block_size: int) -> None:
        self.room = entries_per_block(block_size)
        self.root = _built(tree, self.room)

    @property
    def depth(self) -> int:
        """Levels below the root."""
        return self.root.depth

    def find(self, lblk: int) -> Path:
        """ext4_find_extent(): return the way to a block."""
        node, nodes, at = self.root, [], []
        while True:
            nodes.append(node)
            place = bisect_right(node.keys, lblk) - 1
            if place < 0 and node.keys:
                place = 0
            at.append(place)
            if not node.depth:
                return Path(nodes, at)
            node = node.children[place]

    def covering(self, lblk: int) -> Extent | None:
        """Return the extent that has a block; None for a hole."""
        path = self.find(lblk)
        at = path.at[-1]
        if at < 0:
            return None
        extent = path.leaf.extent(at)
        return extent if extent.logical <= lblk < extent.logical + extent.length else None

    def leaves(self) -> list[Node]:
        """Return all leaves in order."""
        level = [self.root]
        while level[0].depth:
            level = [child for node in level for child in node.children]
        return level

    def extents(self) -> list[Extent]:
        """Return all extents in order."""
        return [leaf.extent(at) for leaf in self.leaves() for at in range(len(leaf.keys))]

    def snapshot(self) -> ExtentTree:
        """Return the tree as a value."""
        extents: list[Extent] = []
        firsts: list[int] = []
        keys: list[int] = []
        chains: list[tuple[int, ...]] = []
        self._collect(self.root, 0, (), extents, firsts, keys, chains)
        return ExtentTree(self.depth, extents, firsts, keys, chains)

    def _collect(
        self,
        node: Node,
        key: int,
        chain: tuple[int, ...],
        extents: list[Extent],
        firsts: list[int],
        keys: list[int],
        chains: list[tuple[int, ...]],
    ) -> None:
        if not node.depth:
            firsts.append(len(extents))
            keys.append(key)
            chains.append(chain)
            extents.extend(node.extent(at) for at in range(len(node.keys)))
            return
        for child, first in zip(node.children, node.keys, strict=True):
            self._collect(child, first, (*chain, child.block), extents, firsts, keys, chains)

    def grow(self, block: int) -> Node:
        """ext4_ext_grow_indepth(): a new level under the root, in one new block; return its node."""
        root = self.root
        child = Node(block, root.depth, self.room)
        root.move(child, 0)
        root.depth += 1
        root.keys = [child.keys[0] if child.keys else 0]
        root.children = [child]
        return child

    def split(self, path: Path, level: int, border: int, blocks: Sequence[int]) -> list[Node]:
        """
        ext4_ext_split(): split every node below `level` of a path behind its entry, and index the new ones.

        border: the first logical block of what goes right. blocks: new ones, one for each node, the leaf's
        first. Returns the new nodes, the leaf first.
        """
        depth = len(path.nodes) - 1
        made: list[Node] = []
        below: Node | None = None
        for number, at_level in enumerate(range(depth, level, -1)):
            old = path.nodes[at_level]
            new = Node(blocks[number], old.depth, self.room)
            old.move(new, path.at[at_level] + 1)
            if below is not None:
                new.keys.insert(0, border)
                new.children.insert(0, below)
            made.append(new)
            below = new
        if below is None:
            raise InvariantError(f"a split at level {level} of {depth} makes nothing")
        node = path.nodes[level]
        at = path.at[level] + 1 if border > node.keys[path.at[level]] else path.at[level]
        node.keys.insert(at, border)
        node.children.insert(at, below)
        return made

    @property
    def shrinks(self) -> bool:
        """Whether there is a lone leaf, and it fits into the root."""
        root = self.root
        return root.depth == 1 and len(root.children) == 1 and len(root.children[0].keys) <= ROOT_ENTRIES

    def shrink(self) -> int:
        """ext4_ext_try_to_merge_up(): take the lone leaf into the root; return its block."""
        root = self.root
        leaf = root.children[0]
        root.depth, root.children, root.keys = 0, [], []
        leaf.move(root, 0)
        return leaf.block


def nodes_below(root: Node) -> list[Node]:
    """Return all nodes of a tree that lie in blocks."""
    found: list[Node] = []
    level = root.children
    while level:
        found += level
        level = [child for node in level for child in node.children]
    return found


def encoded(node: Node) -> bytes:
    """Return the bytes of a node, up to its last entry."""
    head = encode_header(Header(len(node.keys), node.room, node.depth))
    if node.depth:
        blocks = [child.block for child in node.children]
        return head + encode_index_entries(zip(node.keys, blocks, strict=True))
    return head + encode_leaf_entries([node.extent(at) for at in range(len(node.keys))])


def _built(tree: ExtentTree, room: int) -> Node:
    """Return the nodes of a tree."""
    root = Node(0, tree.depth, ROOT_ENTRIES)
    if not tree.depth:
        for at, extent in enumerate(tree.extents):
            root.insert(at, extent)
        return root
    known: dict[tuple[int, ...], Node] = {(): root}
    for leaf, chain in enumerate(tree.leaf_chain):
        end = tree.leaf_first[leaf + 1] if leaf + 1 < len(tree.leaf_first) else len(tree.extents)
        parent = root
        for level in range(1, len(chain) + 1):
            node = known.get(chain[:level])
            if node is None:
                node = known[chain[:level]] = Node(chain[level - 1], tree.depth - level, room)
                parent.keys.append(tree.leaf_key[leaf])
                parent.children.append(node)
            parent = node
        for at, extent in enumerate(tree.extents[tree.leaf_first[leaf] : end]):
            parent.insert(at, extent)
    return root
