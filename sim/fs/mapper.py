"""
Where a file's blocks lie: what a read path asks (`Mapper`), and what of it belongs to one inode (`InodeMap`).

`Mapper` is the protocol: ext4's is ext4_map.py, others are other_maps.py, the null one maps for nothing. What
all have in common is that the answer is the image's layout; they differ in what an answer costs, how far it
reaches, and what has to be read for it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator
from typing import Any

from mypy_extensions import mypyc_attr

from sim.block.bio import Plug
from sim.engine.cpu import Task
from sim.engine.ledger import Ledger
from sim.ext4.format.extents import Extent, ExtentTree
from sim.ext4.format.indirect import IndirectMap
from sim.fs.buffer_cache import BufferCache
from sim.fs.status_cache import END_OF_BLOCKS, HOLE, UNWRITTEN, WRITTEN, Mapped, StatusCache


class InodeMap:
    """One inode's extent tree and status cache; and its block map, if it has one instead of a tree."""

    __slots__ = ("firsts", "indirect", "status", "tree")

    def __init__(self, tree: ExtentTree, indirect: IndirectMap | None = None) -> None:
        self.tree = tree
        self.indirect = indirect
        self.firsts = [extent.logical for extent in tree.extents]
        self.status = StatusCache(tree.extents)

    def extent_at(self, leaf: int, block: int) -> Extent | None:
        """Return the leaf's last extent that starts at or before `block`; None before its first."""
        at = bisect_right(self.firsts, block) - 1
        return self.tree.extents[at] if at >= self.tree.leaf_first[leaf] else None

    def place(self, block: int) -> int:
        """Return where a block lies that has been mapped."""
        extent = self.tree.find(block)
        assert extent is not None
        return extent.physical + block - extent.logical

    def leaf_extents(self, leaf: int) -> list[Extent]:
        """Return the extents of a leaf."""
        first = self.tree.leaf_first
        end = first[leaf + 1] if leaf + 1 < len(first) else len(self.tree.extents)
        return self.tree.extents[first[leaf] : end]

    def next_allocated(self, block: int) -> int:
        """Return the first block of the next extent after `block`, or END_OF_BLOCKS."""
        at = bisect_right(self.firsts, block)
        return self.firsts[at] if at < len(self.firsts) else END_OF_BLOCKS


@mypyc_attr(allow_interpreted_subclasses=True)
class Mapper:
    """
    What finds blocks, for all inodes of a file system.

    symbol: the call that counts as a mapping. by_block: what a call costs depends on the block, and a map may
    end at a BOUNDARY. buffers: through which metadata is read.
    """

    def __init__(self, ledger: Ledger, buffers: BufferCache, symbol: str, by_block: bool = False) -> None:
        self.ledger = ledger
        self.buffers = buffers
        self.symbol = symbol
        self.by_block = by_block

    def charge_hits(
        self, task: Task, imap: InodeMap, calls: int, block: int = 0, kind: int = WRITTEN
    ) -> None:
        """
        Charge `calls` calls that find what is in memory.

        block: the first one asked for, if there is one call per block. kind: what they find.
        """
        raise NotImplementedError

    def known(self, task: Task, imap: InodeMap, block: int, want: int) -> Mapped | None:  # noqa: ARG002
        """Return, and charge, what map() would without a wait; None: it has to be called."""
        return None

    def map(
        self, task: Task, imap: InodeMap, block: int, want: int, plug: Plug
    ) -> Generator[Any, Any, Mapped]:
        """Map up to `want` blocks from `block` in one call: a run of one kind, from `block` on."""
        raise NotImplementedError

    def map_each(
        self, task: Task, imap: InodeMap, block: int, want: int, plug: Plug
    ) -> Generator[Any, Any, Mapped]:
        """
        Map up to `want` blocks from `block` with one call per block, as buffer heads do.

        Stops at the end of a run; the answer's length says how many calls were made. Where it has to read a
        block of metadata it ends after one block, so that the caller can do what the kernel does before it
        sleeps.
        """
        raise NotImplementedError

    def would_sleep(self, imap: InodeMap, block: int, blocks: int) -> bool:
        """Return whether mapping [block, block + blocks) may have to read metadata."""
        raise NotImplementedError

    def boundary(self, end: int) -> bool:  # noqa: ARG002
        """Return whether a map that ends before block `end` has BOUNDARY; asked of mappers by_block."""
        return False

    def walkable(self, imap: InodeMap, block: int, blocks: int) -> int:  # noqa: ARG002
        """Return how many of `blocks` from `block` may be mapped in one go without waiting."""
        return blocks


@mypyc_attr(allow_interpreted_subclasses=True)
class NullMapper(Mapper):
    """The null mapper: it knows every layout, and no call costs anything."""

    def __init__(self, ledger: Ledger, buffers: BufferCache, block_size: int) -> None:  # noqa: ARG002
        super().__init__(ledger, buffers, "")

    def charge_hits(
        self, task: Task, imap: InodeMap, calls: int, block: int = 0, kind: int = WRITTEN
    ) -> None:
        """Charge nothing."""

    def map(
        self,
        task: Task,  # noqa: ARG002
        imap: InodeMap,
        block: int,
        want: int,
        plug: Plug,  # noqa: ARG002
    ) -> Generator[Any, Any, Mapped]:
        """Return what the layout says."""
        yield from ()
        found = known_run(imap, block)
        return found.cut(min(found.length, want))

    def map_each(
        self, task: Task, imap: InodeMap, block: int, want: int, plug: Plug
    ) -> Generator[Any, Any, Mapped]:
        """Return what the layout says."""
        return self.map(task, imap, block, want, plug)

    def would_sleep(self, imap: InodeMap, block: int, blocks: int) -> bool:  # noqa: ARG002
        """Return False: nothing is ever read; the layout is known from here on."""
        known_run(imap, block)
        return False


def layout_run(imap: InodeMap, block: int) -> Mapped:
    """Return the extent or hole that `block` is in, from `block` on, as the image has it."""
    at = bisect_right(imap.firsts, block) - 1
    if at >= 0:
        logical, physical, length, unwritten = imap.tree.extents[at]
        if block < logical + length:
            offset = block - logical
            return Mapped(UNWRITTEN if unwritten else WRITTEN, physical + offset, length - offset)
    return Mapped(HOLE, 0, imap.next_allocated(block) - block)


def known_run(imap: InodeMap, block: int) -> Mapped:
    """Return the run of one kind that `block` is in, from `block` on, as the layout says; free of charge."""
    found = imap.status.lookup(block)
    if found is None:
        imap.status.fill()
        found = imap.status.lookup(block)
        assert found is not None
    return found
