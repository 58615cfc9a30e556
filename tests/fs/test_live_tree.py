"""An extent tree that is written, against a plain dictionary of blocks; and its nodes' own rules."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from write_kit import NODES, Bump, WriteRig, at_once

from sim.block.bio import Plug
from sim.engine.cpu import Task
from sim.errors import InvariantError
from sim.ext4.format.extents import MAX_UNWRITTEN_BLOCKS, ROOT_ENTRIES, Extent, ExtentTree, plan_tree
from sim.fs.live_inode import LiveInode
from sim.fs.live_tree import END, LiveTree, Node
from sim.fs.map_flags import CONVERT, CREATE, IO_CREATE, UNWRITTEN
from sim.fs.map_write import WriteMapper
from sim.fs.unwritten import Zeroout

BLOCKS = 60
Known = dict[int, tuple[int, bool]]
"""Block -> (place, unwritten)."""


def nodes(node: Node) -> list[Node]:
    """Return a node and all below it."""
    return [node, *(below for child in node.children for below in nodes(child))]


def first_of(node: Node) -> int:
    """Return the first logical block below a node."""
    return node.keys[0] if not node.depth else first_of(node.children[0])


def check(tree: LiveTree) -> None:
    """Hold every rule of an extent tree."""
    for node in nodes(tree.root):
        assert node.keys == sorted(set(node.keys))
        assert len(node.keys) <= node.room
        assert node.room == (ROOT_ENTRIES if node is tree.root else tree.room)
        assert node.keys or node is tree.root
        if node.depth:
            assert len(node.children) == len(node.keys)
            assert all(child.depth == node.depth - 1 for child in node.children)
            assert node.keys == [first_of(child) for child in node.children]
        else:
            assert len(node.keys) == len(node.physical) == len(node.length) == len(node.unwritten)
            assert not node.children
    blocks = [node.block for node in nodes(tree.root)]
    assert len(set(blocks)) == len(blocks)
    extents = tree.extents()
    ends = [extent.logical + extent.length for extent in extents]
    assert all(end <= extent.logical for end, extent in zip(ends, extents[1:], strict=False))


def mapping_of(tree: LiveTree) -> Known:
    """Return what a tree says, block by block."""
    return {
        extent.logical + at: (extent.physical + at, extent.unwritten)
        for extent in tree.extents()
        for at in range(extent.length)
    }


class Zeroed(Zeroout):
    """Notes what was filled with zeros."""

    def __init__(self) -> None:
        self.places: set[int] = set()

    def zero(
        self, task: Task, inode: LiveInode, lblk: int, block: int, count: int, plug: Plug
    ) -> Generator[Any, Any, None]:
        """Note it."""
        del task, inode, lblk, plug
        assert self.places.isdisjoint(range(block, block + count))
        self.places.update(range(block, block + count))
        yield from ()


class Edited:
    """A file without a journal whose tree is edited; blocks come in pieces that do not follow one another."""

    def __init__(self, piece: int, gap: int, in_order: bool = False, room: int = 340, size: int = 0) -> None:
        self.allocator = Bump(piece, gap, in_order)
        self.rig = WriteRig(log=0, allocator=self.allocator)
        self.zeroed = Zeroed()
        machine, writer = self.rig.machine, self.rig.writer
        self.mapper = WriteMapper(machine.ledger, writer.sb, writer.mapper.trees, self.zeroed)
        self.inode: LiveInode = self.rig.file(size)
        self.inode.tree.room = room
        self.known: Known = {}

    def map(self, lblk: int, want: int, flags: int) -> int:
        """ext4_map_blocks(); do the same to the dictionary; return how many blocks were mapped."""
        known, plug = self.known, Plug(holds=False)
        found = at_once(self.mapper.map_blocks(self.rig.task, self.inode, lblk, want, flags, plug))
        for block, (place, _) in known.items():
            if place in self.zeroed.places:
                known[block] = (place, False)
        blocks = range(lblk, lblk + found.length)
        if not flags & CREATE:
            assert all(block in known for block in blocks)
            assert found.length or lblk not in known
            return found.length or 1
        assert 1 <= found.length <= want
        assert all(
            known.get(block, (found.physical + block - lblk,))[0] == found.physical + block - lblk
            for block in blocks
        )
        if found.new and lblk not in known:
            assert not any(block in known for block in blocks)
        stays = flags & UNWRITTEN and not flags & CONVERT
        for block in blocks:
            was = known.get(block)
            unwritten = bool(stays) if was is None else was[1] and bool(stays)
            known[block] = (found.physical + block - lblk, unwritten)
        return found.length

    def do(self, what: str, lblk: int, length: int) -> None:
        """Map a whole range, as often as it takes."""
        end = lblk + length
        while lblk < end:
            if what == "io":  # write-back of one extent with dioread_nolock: split before, converted after
                done = self.map(lblk, end - lblk, CREATE | IO_CREATE)
                if any(self.known[block][1] for block in range(lblk, lblk + done)):
                    self.convert(lblk, done)
                lblk += done
                continue
            flags = {"look": 0, "write": CREATE, "reserve": CREATE | UNWRITTEN}[what]
            lblk += self.map(lblk, end - lblk, flags)

    def convert(self, lblk: int, length: int) -> None:
        """ext4_convert_unwritten_extents()."""
        end = lblk + length
        while lblk < end:
            lblk += self.map(lblk, end - lblk, CREATE | UNWRITTEN | CONVERT)


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(("write", "io", "look")), st.integers(0, BLOCKS - 1), st.integers(1, 4)),
        st.tuples(st.just("reserve"), st.integers(0, BLOCKS - 1), st.integers(1, 20)),
    ),
    min_size=6,
    max_size=30,
)
ROOMS = st.sampled_from((4, 7))
"""Entries of a node in these tests: so few that some blocks make a deep tree."""
PLACES = st.sampled_from(
    ((1, 0, False), (1, 1, False), (3, 1, False), (12, 0, False), (12, 0, True), (2, 0, True))
)
"""(piece, gap, in order) of the allocator."""


@settings(max_examples=150)
@given(
    actions=ACTIONS,
    places=PLACES,
    room=ROOMS,
    size=st.sampled_from((0, 20, BLOCKS + 10)),
    forgets=st.booleans(),
)
def test_agrees_with_a_dictionary(
    actions: list[tuple[str, int, int]], places: tuple[int, int, bool], room: int, size: int, forgets: bool
) -> None:
    """Whatever was written, reserved, split and converted: every block at its place, the tree sound."""
    edited = Edited(*places, room, size * 4096)
    for action in actions:
        if forgets:  # the tree has to answer alone
            edited.inode.es.clear()
        edited.do(*action)
        check(edited.inode.tree)
        assert mapping_of(edited.inode.tree) == edited.known
    for block, (place, unwritten) in edited.known.items():
        entry = edited.inode.es.lookup(block)
        if entry is not None and entry.status < 2:
            assert (entry.physical + block - entry.start, bool(entry.status)) == (place, unwritten)
    used = {node.block for node in nodes(edited.inode.tree.root)} - {0}
    assert used.isdisjoint(edited.allocator.freed)
    assert len(used) + len(edited.allocator.freed) == edited.allocator.next_node - NODES


@settings(max_examples=60)
@given(actions=ACTIONS, places=PLACES, room=ROOMS)
def test_a_snapshot_is_the_tree(
    actions: list[tuple[str, int, int]], places: tuple[int, int, bool], room: int
) -> None:
    """snapshot() gives a tree whose nodes are the same, found by the reader's walk as by the writer's."""
    edited = Edited(*places, room)
    for action in actions:
        edited.do(*action)
    tree = edited.inode.tree
    snapshot = tree.snapshot()
    again = LiveTree(snapshot, 4096)
    again.room = room
    for node in nodes(again.root)[1:]:
        node.room = room
    check(again)
    assert again.snapshot() == snapshot
    for block in range(BLOCKS + 10):
        assert snapshot.find(block) == tree.covering(block) == again.covering(block)
        assert snapshot.leaf_chain[snapshot.leaf_of(block)] == tuple(tree.find(block).blocks)


@given(
    lengths=st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), min_size=1, max_size=200),
    block=st.integers(0, 900),
)
def test_a_planned_tree_is_walked_alike(lengths: list[tuple[int, int]], block: int) -> None:
    """A tree as mkfs plans it: the same leaf by both walks, its neighbours as a list of extents has them."""
    extents, lblk = [], 0
    for hole, length in lengths:
        lblk += hole
        extents.append(Extent(lblk, 3000 + 2 * lblk, length, False))
        lblk += length
    plan = plan_tree(extents, 1024)
    tree = plan.tree(range(9000, 9000 + plan.blocks_needed))
    live = LiveTree(tree, 1024)
    assert live.snapshot() == tree
    path = live.find(block)
    assert live.covering(block) == tree.find(block)
    later = [extent.logical for extent in extents if extent.logical > block]
    if path.leaf.keys[path.at[-1]] <= block:
        assert path.next_allocated() == (later[0] if later else END)
    if live.covering(block) is None:
        before = [extent for extent in extents if extent.logical < block]
        behind = [extent for extent in extents if extent.logical > block]
        left = before[-1] if before else None
        expected = (left.logical + left.length - 1, left.physical + left.length - 1) if left else (block, 0)
        after = (behind[0].logical, behind[0].physical) if behind else (block, 0)
        assert path.neighbours(block) == (expected, after)


def test_five_pieces_need_a_leaf() -> None:
    """The root has room for four; with the fifth the tree grows: one node, all extents in it."""
    edited = Edited(1, 1)
    edited.do("write", 0, 4)
    assert (edited.inode.tree.depth, edited.allocator.next_node) == (0, NODES)
    edited.do("write", 4, 1)
    assert edited.inode.tree.depth == 1
    assert [node.block for node in nodes(edited.inode.tree.root)] == [0, NODES + 1]
    assert edited.inode.tree.snapshot() == ExtentTree(
        1, [Extent(at, 100_000 + 2 * at, 1, False) for at in range(5)], [0], [0], [(NODES + 1,)]
    )


def test_a_leaf_that_fits_into_the_root_goes_back() -> None:
    """Five extents in a leaf become four by joining: ext4_ext_try_to_merge_up() frees the leaf."""
    edited = Edited(1, 1)
    for lblk in (0, 2, 4, 6, 8):
        edited.do("write", lblk, 1)
    assert edited.inode.tree.depth == 1
    edited.allocator.next_data = edited.known[0][0] + 1
    edited.do("write", 1, 1)
    assert (edited.inode.tree.depth, edited.allocator.freed) == (0, [NODES + 1])
    assert edited.inode.tree.extents()[0] == Extent(0, edited.known[0][0], 3, False)
    assert len(edited.inode.tree.extents()) == 4


def test_unwritten_extents_are_a_block_shorter() -> None:
    """32,768 written blocks are one extent, unwritten ones at most 32,767."""
    leaf = Node(0, 0, ROOT_ENTRIES)
    leaf.insert(0, Extent(0, 1000, MAX_UNWRITTEN_BLOCKS, False))
    assert leaf.continues(0, Extent(MAX_UNWRITTEN_BLOCKS, 1000 + MAX_UNWRITTEN_BLOCKS, 1, False))
    leaf.unwritten[0] = True
    assert not leaf.continues(0, Extent(MAX_UNWRITTEN_BLOCKS, 1000 + MAX_UNWRITTEN_BLOCKS, 1, True))


def test_a_split_of_nothing_is_an_error() -> None:
    """ext4_ext_split() at the leaf's own level would make no node."""
    tree = LiveTree(ExtentTree(0, [Extent(0, 9, 1, False)], [0], [0], [()]), 4096)
    with pytest.raises(InvariantError, match="a split at level 0 of 0 makes nothing"):
        tree.split(tree.find(0), 0, 0, [])
