"""
Block mapping by what the device returns: ext4_find_extent() of Linux 6.1 over the bytes of the tree's blocks.

Each block is judged when it has been read (node_problem()): one that is not what it should be fails the map,
stays in memory, and is judged again by the next who comes (a buffer that is up to date, and not verified).
One that passes is believed, whatever it says. For a tree as the image has it all that is counted and charged
is `Ext4Mapper`'s. Left out: faults of inodes, whose table is read when a file is opened.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Sequence
from functools import lru_cache
from typing import Any

from mypy_extensions import mypyc_attr

from sim.block.bio import Plug
from sim.engine.cpu import Task
from sim.engine.ledger import Ledger
from sim.ext4.check.node import BlockValidity, node_problem
from sim.ext4.format.extents import (
    Extent,
    ExtentTree,
    decode_header,
    decode_index_entries,
    decode_leaf_entries,
)
from sim.fs.buffer_cache import FIRST, UNREAD, BufferCache
from sim.fs.es_tree import EsTree
from sim.fs.ext4_map import Ext4Mapper
from sim.fs.mapper import InodeMap
from sim.fs.status_cache import END_OF_BLOCKS, FAILED, HOLE, UNWRITTEN, WRITTEN, Mapped, StatusCache


class ReadStatus(StatusCache):
    """The extent status cache of a file of which only what was read is known."""

    def __init__(self) -> None:
        super().__init__([])
        self._es = EsTree()

    def lookup(self, block: int) -> Mapped | None:
        """Return what is known from `block` on, to the end of its entry; None if nothing is."""
        entry = self._es.lookup(block)
        if entry is None:
            return None
        inside = block - entry.start
        physical = 0 if entry.status == HOLE else entry.physical + inside
        return Mapped(entry.status, physical, entry.length - inside)

    def know(self, block: int, length: int, kind: int, physical: int) -> None:
        """ext4_es_insert_extent(): know a stretch, whatever was known of it."""
        self._es.insert(block, length, kind, physical)
        self.entries = len(self._es)

    def know_new(self, block: int, length: int, kind: int, physical: int) -> None:
        """ext4_es_cache_extent(): the same, unless a part of it is known already."""
        self._es.cache(block, length, kind, physical)
        self.entries = len(self._es)


class ReadMap(InodeMap):
    """
    One inode's extent tree as the device returns it. tree: as the image has it.

    root: the 60 bytes in the inode, which are right. seed: of the checksums of its blocks, None without.
    """

    __slots__ = ("known", "root", "seed")

    def __init__(self, tree: ExtentTree, root: bytes, seed: int | None) -> None:
        super().__init__(tree)
        self.root = root
        self.seed = seed
        self.known = ReadStatus()
        self.status = self.known

    def place(self, block: int) -> int:
        """Return where a block lies that has been mapped: as it was mapped."""
        found = self.known.lookup(block)
        assert found is not None
        return found.physical


@mypyc_attr(allow_interpreted_subclasses=True)
class ReadTreeMapper(Ext4Mapper):
    """ext4_map_blocks() for files whose map is a `ReadMap`. validity: which blocks a tree may name."""

    def __init__(
        self, ledger: Ledger, buffers: BufferCache, block_size: int, validity: BlockValidity
    ) -> None:
        super().__init__(ledger, buffers, block_size)
        self._validity = validity
        self._nodes: dict[int, bytes] = {}
        buffers.kept = self._nodes

    def would_sleep(self, imap: InodeMap, block: int, blocks: int) -> bool:
        """Return whether something of [block, block + blocks) is not known, so that the tree is walked."""
        at = block
        while at < block + blocks:
            found = imap.status.lookup(at)
            if found is None:
                return True
            at += found.length
        return False

    def _walk(
        self, task: Task, imap: InodeMap, block: int, want: int, plug: Plug
    ) -> Generator[Any, Any, Mapped]:
        """ext4_ext_map_blocks(): walk the tree to `block` and remember what is there."""
        assert isinstance(imap, ReadMap)
        task.ps += self._s_walk.charge(1)
        node, end = imap.root, END_OF_BLOCKS
        entries, _, depth = decode_header(node, "the root of an extent tree")
        if not depth:
            self._cache_extents(task, imap, _extents(node))
        while depth:
            children = decode_index_entries(node, entries)
            at = max(bisect_right(children, (block, 1 << 64)) - 1, 0)
            if at + 1 < len(children):
                end = children[at + 1][0]
            key, child = children[at]
            depth -= 1
            task.ps += self._s_node.charge(1)
            told = yield from self.buffers.get(task, child, plug)
            if told == UNREAD:
                return Mapped(FAILED, 0, 1)
            node = self._nodes[child]
            if told == FIRST:
                if _problem(node, depth, key, self._validity, imap.seed):
                    self.buffers.refuse(child)
                    return Mapped(FAILED, 0, 1)
                if not depth:
                    self._cache_extents(task, imap, _extents(node))
            entries = _entries(node)
        return self._found(task, imap, _extents(node), end, block, want)

    def _found(
        self, task: Task, imap: ReadMap, extents: Sequence[Extent], end: int, block: int, want: int
    ) -> Mapped:
        """Return what a leaf, behind which the next one begins at `end`, says of `block`; remember it."""
        at = bisect_right(extents, block, key=_logical) - 1
        task.ps += self._s_insert.charge_units(1, imap.known.levels)
        start = block if extents else 0
        if at >= 0:
            logical, physical, length, unwritten = extents[at]
            start = logical + length
            if block < start:
                physical += block - logical
                kind, length = UNWRITTEN if unwritten else WRITTEN, min(start - block, want)
                imap.known.know(block, length, kind, physical)
                return Mapped(kind, physical, length)
        if at + 1 < len(extents):
            end = extents[at + 1].logical
        imap.known.know(start, end - start, HOLE, 0)
        return Mapped(HOLE, 0, end - block)

    def _cache_extents(self, task: Task, imap: ReadMap, extents: Sequence[Extent]) -> None:
        """ext4_cache_extents(): all extents of a leaf, and the holes between them."""
        task.ps += self._s_cache.charge(1)
        previous = calls = 0
        for logical, physical, length, unwritten in extents:
            if previous and previous != logical:
                imap.known.know_new(previous, logical - previous, HOLE, 0)
                calls += 1
            imap.known.know_new(logical, length, UNWRITTEN if unwritten else WRITTEN, physical)
            calls += 1
            previous = logical + length
        task.ps += self._s_cached.charge(calls)


def _entries(node: bytes) -> int:
    return decode_header(node, "a block of an extent tree").entries


# A leaf is walked to, and one that is wrong judged, for every page below it.
@lru_cache(maxsize=128)
def _extents(node: bytes) -> Sequence[Extent]:
    return decode_leaf_entries(node, _entries(node))


@lru_cache(maxsize=128)
def _problem(node: bytes, depth: int, key: int, validity: BlockValidity, seed: int | None) -> str:
    return node_problem(node, depth, key, validity, seed)


def _logical(extent: Extent) -> int:
    return extent.logical
