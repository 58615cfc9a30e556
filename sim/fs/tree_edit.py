"""
Changing an extent tree under a handle: insertion, splitting, conversion (fs/ext4/extents.c of Linux 6.1).

Every touched node is announced to the journal before and after, as the kernel does it. Left out: removal of
extents, collapse and insert range, a tree that runs out of space.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from sim.block.bio import Plug
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.ext4.format.extents import Extent
from sim.fs.allocation import Allocator
from sim.fs.es_tree import ES_HOLE, ES_UNWRITTEN, ES_WRITTEN
from sim.fs.ext4_super import Ext4Super
from sim.fs.live_inode import LiveInode
from sim.fs.live_tree import END, Node, Path

_MAP = "ext4_ext_map_blocks"
_FREES = 2
"""Credits for freeing a block: bitmap and descriptor."""


class TreeEditor:
    """Edits the trees of one file system."""

    def __init__(self, ledger: Ledger, sb: Ext4Super, allocator: Allocator) -> None:
        self._sb = sb
        self.allocator = allocator
        self._s_find = ledger.site(TASK, _MAP, "ext4_find_extent")
        self._s_node = ledger.site(TASK, f"{_MAP};ext4_find_extent", "__read_extent_tree_block")
        cached = "ext4_map_blocks;ext4_ext_map_blocks;ext4_find_extent;ext4_cache_extents"
        self._s_cache = ledger.site(TASK, cached, "ext4_es_cache_extent")
        self._s_cached = ledger.site(TASK, f"{cached};ext4_es_cache_extent", "__es_insert_extent")
        self._s_insert = ledger.site(TASK, _MAP, "ext4_ext_insert_extent")
        insert = f"{_MAP};ext4_ext_insert_extent"
        self._s_correct = ledger.site(TASK, insert, "ext4_ext_correct_indexes")
        self._s_access = ledger.site(TASK, insert, "ext4_ext_get_access")
        self._s_dirty = ledger.site(TASK, insert, "__ext4_ext_dirty")
        self._s_merge = ledger.site(TASK, insert, "ext4_ext_try_to_merge")
        self._s_right = ledger.site(TASK, f"{insert};ext4_ext_try_to_merge", "ext4_ext_try_to_merge_right")
        self._s_split = ledger.site(TASK, _MAP, "ext4_split_extent")
        self._s_split_at = ledger.site(TASK, f"{_MAP};ext4_split_extent", "ext4_split_extent_at")

    # -- walking -----------------------------------------------------------------------------------

    def find(self, task: Task, inode: LiveInode, lblk: int) -> Path:
        """ext4_find_extent(), of nodes that are in memory."""
        path = inode.tree.find(lblk)
        self.charge_walk(task, len(path.nodes) - 1)
        for node in path.nodes[1:]:
            self.look_at(task, inode, node)
        return path

    def look_at(self, task: Task, inode: LiveInode, node: Node) -> None:
        """Verify a node; of a leaf that nobody has looked at yet all extents are remembered."""
        if self._sb.buffers.verify(node.block) and not node.depth:
            self.cache(task, inode, node)

    def cache(self, task: Task, inode: LiveInode, leaf: Node) -> None:
        """ext4_cache_extents(): all of a leaf, and the holes between."""
        previous = 0
        for at in range(len(leaf.keys)):
            start, length = leaf.keys[at], leaf.length[at]
            if previous and previous != start:
                self._cache_one(task, inode, previous, start - previous, ES_HOLE, 0)
            status = ES_UNWRITTEN if leaf.unwritten[at] else ES_WRITTEN
            self._cache_one(task, inode, start, length, status, leaf.physical[at])
            previous = start + length

    def _cache_one(
        self, task: Task, inode: LiveInode, start: int, length: int, status: int, physical: int
    ) -> None:
        task.ps += self._s_cache.charge(1)
        if inode.es.cache(start, length, status, physical):
            task.ps += self._s_cached.charge(1)

    def charge_walk(self, task: Task, nodes: int) -> None:
        """Charge for a walk over so many blocks."""
        task.ps += self._s_find.charge(1)
        self.charge_nodes(task, nodes)

    def charge_nodes(self, task: Task, nodes: int) -> None:
        """Charge for blocks of the tree that are looked at."""
        if nodes:
            task.ps += self._s_node.charge(nodes)
            self._sb.buffers.getblk(task, nodes)

    # -- telling the journal -------------------------------------------------------------------------

    def access(self, task: Task, node: Node) -> None:
        """ext4_ext_get_access(): the root is in the inode, which needs none."""
        task.ps += self._s_access.charge(1)
        if node.block:
            self._sb.get_write_access(task, node.block)

    def dirty(self, task: Task, inode: LiveInode, node: Node) -> None:
        """ext4_ext_dirty()."""
        task.ps += self._s_dirty.charge(1)
        if node.block:
            self._sb.dirty_metadata(task, node.block, inode)
        else:
            self._sb.mark_inode_dirty(task, inode)

    # -- insertion -----------------------------------------------------------------------------------

    def insert(
        self, task: Task, inode: LiveInode, path: Path, extent: Extent, pre_io: bool, plug: Plug
    ) -> Generator[Any, Any, None]:
        """ext4_ext_insert_extent(). pre_io: it joins nothing, for it is only written at the end of I/O."""
        task.ps += self._s_insert.charge(1)
        leaf, at = path.leaf, path.at[-1]
        if at >= 0 and not pre_io:
            joined = self._join(task, leaf, at, extent)
            if joined >= 0:
                path.at[-1] = joined
                self._finish(task, inode, path, pre_io)
                return
        if leaf.full:
            path = yield from self._room(task, inode, path, extent, plug)
            leaf, at = path.leaf, path.at[-1]
        self.access(task, leaf)
        place = at + 1 if at >= 0 and extent.logical > leaf.keys[at] else max(at, 0)
        leaf.insert(place, extent)
        path.at[-1] = place
        self._finish(task, inode, path, pre_io)

    def _join(self, task: Task, leaf: Node, at: int, extent: Extent) -> int:
        """Join an extent to its neighbour if it can be; return which, -1 if none."""
        if at + 1 < len(leaf.keys) and leaf.keys[at] + leaf.length[at] < extent.logical:
            at += 1
            behind = False
        elif at > 0 and extent.logical + extent.length < leaf.keys[at]:
            at -= 1
            behind = True
        else:
            behind = True
        if behind and leaf.continues(at, extent):
            self.access(task, leaf)
            leaf.length[at] += extent.length
            return at
        if leaf.precedes(at, extent):
            self.access(task, leaf)
            leaf.keys[at], leaf.physical[at] = extent.logical, extent.physical
            leaf.length[at] += extent.length
            return at
        return -1

    def _finish(self, task: Task, inode: LiveInode, path: Path, pre_io: bool) -> None:
        if not pre_io:
            self.try_to_merge(task, inode, path)
        self.correct_indexes(task, inode, path)
        self.dirty(task, inode, path.leaf)

    def try_to_merge(self, task: Task, inode: LiveInode, path: Path) -> None:
        """ext4_ext_try_to_merge(): with what is left of it, else with what is right."""
        task.ps += self._s_merge.charge(1)
        leaf, at = path.leaf, path.at[-1]
        done = False
        if at > 0:
            task.ps += self._s_right.charge(1)
            done = leaf.merge_right(at - 1)
            if done:
                path.at[-1] = at - 1
        if not done:
            task.ps += self._s_right.charge(1)
            leaf.merge_right(at)
        if inode.tree.shrinks and self._sb.extend(task, _FREES):
            self.allocator.free_node(task, inode, inode.tree.shrink())
            path.nodes, path.at = [inode.tree.root], [path.at[-1]]

    def correct_indexes(self, task: Task, inode: LiveInode, path: Path) -> None:
        """
        ext4_ext_correct_indexes(): a leaf's first block is its key above, and so on while it is the first.
        """
        task.ps += self._s_correct.charge(1)
        if path.at[-1] or len(path.nodes) == 1:
            return
        first = path.leaf.keys[0]
        for level in range(len(path.nodes) - 2, -1, -1):
            node = path.nodes[level]
            self.access(task, node)
            node.keys[path.at[level]] = first
            self.dirty(task, inode, node)
            if path.at[level]:
                return

    def _room(
        self, task: Task, inode: LiveInode, path: Path, extent: Extent, plug: Plug
    ) -> Generator[Any, Any, Path]:
        """Find or make a leaf with room for an extent: the next one, or a new one."""
        leaf = path.leaf
        if leaf.keys and extent.logical > leaf.keys[-1]:
            following = path.next_leaf()
            if following != END:
                other = self.find(task, inode, following)
                if not other.leaf.full:
                    return other
        while True:
            depth = len(path.nodes) - 1
            level = depth - 1
            while level >= 0 and path.nodes[level].full:
                level -= 1
            if depth and level >= 0:
                yield from self._split(task, inode, path, level, extent, plug)
                path = self.find(task, inode, extent.logical)
            else:
                yield from self._grow(task, inode, plug)
                path = self.find(task, inode, extent.logical)
            if not path.leaf.full:
                return path

    def _grow(self, task: Task, inode: LiveInode, plug: Plug) -> Generator[Any, Any, None]:
        """ext4_ext_grow_indepth()."""
        block = yield from self.allocator.new_level(task, inode, plug)
        self._sb.buffers.make(task, block)
        self._sb.buffers.fresh(block)
        self._sb.get_create_access(task, block)
        inode.tree.grow(block)
        self._sb.dirty_metadata(task, block, inode)
        self._sb.mark_inode_dirty(task, inode)

    def _split(
        self, task: Task, inode: LiveInode, path: Path, level: int, extent: Extent, plug: Plug
    ) -> Generator[Any, Any, None]:
        """ext4_ext_split()."""
        leaf, at = path.leaf, path.at[-1]
        border = leaf.keys[at + 1] if at + 1 < len(leaf.keys) else extent.logical
        blocks = [0] * (len(path.nodes) - 1 - level)
        for number in range(len(blocks)):
            block = yield from self.allocator.new_node(task, inode, path, extent.logical, plug)
            blocks[number] = block
        moved = [len(node.keys) - 1 > path.at[number] for number, node in enumerate(path.nodes)]
        made = inode.tree.split(path, level, border, blocks)
        for number, node in enumerate(made):
            self._sb.buffers.make(task, node.block)
            self._sb.buffers.warm([node.block])  # up to date, but not verified
            self._sb.get_create_access(task, node.block)
            self._sb.dirty_metadata(task, node.block, inode)
            old = len(path.nodes) - 1 - number
            if moved[old]:
                self.access(task, path.nodes[old])
                self.dirty(task, inode, path.nodes[old])
        self.access(task, path.nodes[level])
        self.dirty(task, inode, path.nodes[level])

    # -- unwritten extents ---------------------------------------------------------------------------

    def split(
        self,
        task: Task,
        inode: LiveInode,
        path: Path,
        lblk: int,
        length: int,
        unwritten: bool,
        pre_io: bool,
        plug: Plug,
    ) -> Generator[Any, Any, None]:
        """
        ext4_split_extent(): let [lblk, lblk + length) be an extent of its own; unwritten: as what it stays.
        """
        task.ps += self._s_split.charge(1)
        extent = path.leaf.extent(path.at[-1])
        if lblk + length < extent.logical + extent.length:
            yield from self._split_at(task, inode, path, lblk + length, True, True, plug)
        path = self.find(task, inode, lblk)
        if lblk >= path.leaf.keys[path.at[-1]]:
            yield from self._split_at(task, inode, path, lblk, unwritten, pre_io, plug)

    def replace(
        self, task: Task, inode: LiveInode, lblk: int, length: int, physical: int, plug: Plug
    ) -> Generator[Any, Any, None]:
        """
        Let [lblk, lblk + length), part of one written extent, lie elsewhere: an extent of its own, joined to
        its neighbours where it goes on with them. For copy on write, which no ext4 has, on the calls it has.
        """
        task.ps += self._s_split.charge(1)
        path = self.find(task, inode, lblk)
        for cut in (lblk + length, lblk):
            extent = path.leaf.extent(path.at[-1])
            if extent.logical < cut < extent.logical + extent.length:
                yield from self._split_at(task, inode, path, cut, False, True, plug)
                path = self.find(task, inode, lblk)
        self.access(task, path.leaf)
        path.leaf.physical[path.at[-1]] = physical
        self.try_to_merge(task, inode, path)
        self.dirty(task, inode, path.leaf)

    def _split_at(
        self,
        task: Task,
        inode: LiveInode,
        path: Path,
        at_block: int,
        right_unwritten: bool,
        pre_io: bool,
        plug: Plug,
    ) -> Generator[Any, Any, None]:
        """ext4_split_extent_at(): cut an extent in two; what is left of the cut stays unwritten."""
        task.ps += self._s_split_at.charge(1)
        leaf, at = path.leaf, path.at[-1]
        extent = leaf.extent(at)
        self.access(task, leaf)
        if at_block == extent.logical:
            leaf.unwritten[at] = right_unwritten
            if not pre_io:
                self.try_to_merge(task, inode, path)
            self.dirty(task, inode, path.leaf)
            return
        left = at_block - extent.logical
        leaf.length[at] = left
        self.dirty(task, inode, leaf)
        right = Extent(at_block, extent.physical + left, extent.length - left, right_unwritten)
        yield from self.insert(task, inode, path, right, pre_io, plug)

    def convert(
        self, task: Task, inode: LiveInode, lblk: int, length: int, path: Path, plug: Plug
    ) -> Generator[Any, Any, None]:
        """ext4_convert_unwritten_extents_endio(): what was written is written."""
        extent = path.leaf.extent(path.at[-1])
        if extent.logical != lblk or extent.length > length:
            yield from self.split(task, inode, path, lblk, length, True, True, plug)
            path = self.find(task, inode, lblk)
        leaf, at = path.leaf, path.at[-1]
        self.access(task, leaf)
        leaf.unwritten[at] = False
        self.try_to_merge(task, inode, path)
        self.dirty(task, inode, path.leaf)
