"""
Block mapping: ext4_map_blocks() of Linux 6.1, for reads.

The status cache answers, or the extent tree is walked: `ext4_ext_map_blocks` -> `ext4_find_extent`, whose
index and leaf blocks come through the buffer cache and are waited for. A leaf seen for the first time
enters the status cache whole (so does the root of a tree without leaves, at every walk); otherwise only
the extent found, clipped to what was asked for, or the hole, whole. A block of the tree that cannot be read
fails the map, and is read again by the next. What such a block holds is the image's: read_tree_map.py looks.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from mypy_extensions import mypyc_attr

from sim.block.bio import Plug
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.buffer_cache import FIRST, UNREAD, BufferCache
from sim.fs.mapper import InodeMap, Mapper
from sim.fs.status_cache import FAILED, HOLE, UNWRITTEN, WRITTEN, Mapped


@mypyc_attr(allow_interpreted_subclasses=True)
class Ext4Mapper(Mapper):
    """ext4_map_blocks() for all inodes of a file system."""

    def __init__(self, ledger: Ledger, buffers: BufferCache, block_size: int) -> None:  # noqa: ARG002
        super().__init__(ledger, buffers, "ext4_map_blocks")
        walk = "ext4_map_blocks;ext4_ext_map_blocks"
        call, lookup = "ext4_map_blocks ext4_map_blocks;ext4_es_lookup_extent", "ext4_es_lookup_extent"
        self._s_mapped = ledger.site(TASK, "", f"{call} ext4_map_blocks:written", unit=lookup)
        self._s_unmapped = ledger.site(TASK, "", call, unit=lookup)
        self._s_walk = ledger.site(TASK, "", f"{walk} {walk};ext4_find_extent")
        find = f"{walk};ext4_find_extent"
        self._s_node = ledger.site(TASK, find, f"__read_extent_tree_block /{find}:node")
        self._s_insert = ledger.site(
            TASK, "ext4_map_blocks", "ext4_es_insert_extent", unit="ext4_es_insert_extent"
        )
        self._s_cache = ledger.site(TASK, f"{walk};ext4_find_extent", "ext4_cache_extents")
        self._s_cached = ledger.site(
            TASK,
            f"{walk};ext4_find_extent;ext4_cache_extents",
            "ext4_es_cache_extent ext4_es_cache_extent:entry",
        )

    def charge_hits(
        self,
        task: Task,
        imap: InodeMap,
        calls: int,
        block: int = 0,  # noqa: ARG002
        kind: int = WRITTEN,
    ) -> None:
        """
        Charge `calls` look-ups in the status cache; one costs a step per level of its tree.

        block: the first one asked for, if there is one call per block; no matter here. kind: what they find.
        """
        site = self._s_mapped if kind == WRITTEN else self._s_unmapped
        task.ps += site.charge_units(calls, calls * imap.status.levels)

    def known(self, task: Task, imap: InodeMap, block: int, want: int) -> Mapped | None:
        """Return what the status cache knows, if it does (Mapper); a subclass's map() may say otherwise."""
        return self._remembered(task, imap, block, want) if type(self) is Ext4Mapper else None

    def _remembered(self, task: Task, imap: InodeMap, block: int, want: int) -> Mapped | None:
        found = imap.status.lookup(block)
        if found is None:
            return None
        self.charge_hits(task, imap, 1, kind=found.kind)
        return found if found.length <= want else found.cut(want)

    def map(
        self, task: Task, imap: InodeMap, block: int, want: int, plug: Plug
    ) -> Generator[Any, Any, Mapped]:
        """Map up to `want` blocks from `block` in one call."""
        found = self._remembered(task, imap, block, want)
        if found is None:
            self.charge_hits(task, imap, 1)
            found = yield from self._walk(task, imap, block, want, plug)
        return found if found.length <= want else found.cut(want)

    def map_each(
        self, task: Task, imap: InodeMap, block: int, want: int, plug: Plug
    ) -> Generator[Any, Any, Mapped]:
        """
        Map up to `want` blocks from `block` with one call per block, as buffer heads do.

        Stops at the end of a run; the answer's length says how many calls were made. A walk that has to
        read a tree block ends the answer after one block, so that the caller can do what the kernel
        does before it sleeps.
        """
        status = imap.status
        found = status.lookup(block)
        if found is not None:
            calls = min(found.length, want)
            self.charge_hits(task, imap, calls, kind=found.kind)
            return found if found.length == calls else found.cut(calls)
        self.charge_hits(task, imap, 1)
        found = yield from self._walk(task, imap, block, 1, plug)
        return found.cut(1)

    def would_sleep(self, imap: InodeMap, block: int, blocks: int) -> bool:
        """Return whether mapping [block, block + blocks) may have to read a tree block."""
        at = block
        while at < block + blocks:
            found = imap.status.lookup(at)
            if found is None:
                if not self.buffers.holds(imap.tree.leaf_chain[imap.tree.leaf_of(at)]):
                    return True
                at += 1
            else:
                at += found.length
        return False

    def _walk(
        self, task: Task, imap: InodeMap, block: int, want: int, plug: Plug
    ) -> Generator[Any, Any, Mapped]:
        """ext4_ext_map_blocks(): walk the tree to `block` and remember what is there."""
        task.ps += self._s_walk.charge(1)
        tree = imap.tree
        leaf = tree.leaf_of(block)
        chain = tree.leaf_chain[leaf]
        if not chain:
            self._cache_leaf(task, imap, leaf)
        elif self.buffers.holds(chain):
            task.ps += self._s_node.charge(len(chain))
            self.buffers.touch(task, len(chain))
        else:
            for node in chain:
                task.ps += self._s_node.charge(1)
                told = yield from self.buffers.get(task, node, plug)
                if told == UNREAD:
                    return Mapped(FAILED, 0, 1)
                if told == FIRST and node == chain[-1]:
                    self._cache_leaf(task, imap, leaf)
        extent = imap.extent_at(leaf, block)
        if extent is not None and block < extent.logical + extent.length:
            offset = block - extent.logical
            length = min(extent.length - offset, want)
            task.ps += self._s_insert.charge_units(1, imap.status.levels)
            imap.status.insert(block, length)
            return Mapped(UNWRITTEN if extent.unwritten else WRITTEN, extent.physical + offset, length)
        # Before the first extent a hole is known from `block` on; a tree without extents is one hole.
        before = block if tree.extents else 0
        start = extent.logical + extent.length if extent is not None else before
        end = imap.next_allocated(block)
        task.ps += self._s_insert.charge_units(1, imap.status.levels)
        imap.status.insert(start, end - start)
        return Mapped(HOLE, 0, end - block)

    def _cache_leaf(self, task: Task, imap: InodeMap, leaf: int) -> None:
        """ext4_cache_extents(): all extents of a leaf, and the holes between them."""
        status = imap.status
        task.ps += self._s_cache.charge(1)
        previous = calls = 0
        for logical, _, length, _ in imap.leaf_extents(leaf):
            if previous and previous != logical:
                status.cache(previous, logical - previous)
                calls += 1
            status.cache(logical, length)
            calls += 1
            previous = logical + length
        task.ps += self._s_cached.charge(calls)
