"""
Taking names away, and what becomes of an inode that has none and that nobody uses: unlink(2), the list of
orphans, truncation, the inode given back (fs/ext4/namei.c, orphan.c, inode.c, extents.c, ialloc.c of 6.1).

From the source: no recording has it. Left out: quota, xattr blocks that inodes share, data=journal, the
orphan file, what inodes without a journal have no list of.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final

from sim.block.bio import Plug
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.allocation import Allocator
from sim.fs.directory import Directory
from sim.fs.ext4_super import Ext4Super
from sim.fs.ialloc import InodeAllocator
from sim.fs.live_inode import LiveInode
from sim.fs.live_tree import Node
from sim.fs.namei import Names
from sim.fs.reflink import Reflink
from sim.units import NS_PER_S

UNLINK_CREDITS: Final = 20 + 6 - 2
"""EXT4_DATA_TRANS_BLOCKS()."""
MOST_TRUNCATE_BLOCKS: Final = 64
"""EXT4_MAX_TRANS_DATA: what a truncation reserves for bitmaps at most."""
EVICT_CREDITS: Final = 6 - 3
"""What ext4_evict_inode() reserves beside a truncation's credits."""
FREE_CREDITS: Final = 7
"""For an extent that is freed: leaf, superblock, inode, bitmap and descriptor of two groups."""


class Orphans:
    """Inodes without a name that are still open, the newest first: a list through their times of deletion."""

    def __init__(self, sb: Ext4Super) -> None:
        self._sb = sb
        self._inodes: list[LiveInode] = []

    def add(self, task: Task, inode: LiveInode) -> None:
        """ext4_orphan_add()."""
        sb = self._sb
        if sb.journal is None:
            return
        sb.get_write_access(task, sb.superblock)
        sb.reserve_inode_write(task, inode)
        inode.dtime = self._inodes[0].number if self._inodes else 0
        self._inodes.insert(0, inode)
        self._head_changes(task)
        sb.mark_iloc_dirty(task, inode)

    def remove(self, task: Task, inode: LiveInode) -> None:
        """ext4_orphan_del()."""
        sb = self._sb
        if inode not in self._inodes:
            return
        sb.reserve_inode_write(task, inode)
        at = self._inodes.index(inode)
        del self._inodes[at]
        if at:
            before = self._inodes[at - 1]
            sb.reserve_inode_write(task, before)
            before.dtime = inode.dtime
            sb.mark_iloc_dirty(task, before)
        else:
            sb.get_write_access(task, sb.superblock)
            self._head_changes(task)
        inode.dtime = 0
        sb.mark_iloc_dirty(task, inode)

    def _head_changes(self, task: Task) -> None:
        sb = self._sb
        if sb.bytes is not None and sb.bytes.names is not None:
            sb.bytes.names.last_orphan(self._inodes[0].number if self._inodes else 0)
        sb.dirty_metadata(task, sb.superblock)


class Unlinks:
    """What takes names and inodes away on one mounted volume."""

    def __init__(
        self,
        ledger: Ledger,
        sb: Ext4Super,
        names: Names,
        inodes: InodeAllocator,
        allocator: Allocator,
        reflink: Reflink | None = None,
    ) -> None:
        """reflink: None where no blocks are shared."""
        self._sb = sb
        self._names = names
        self._reflink = reflink
        self._inodes = inodes
        self._allocator = allocator
        self.orphans = Orphans(sb)
        self._s_unlink = ledger.site(TASK, "", "entry_SYSCALL_64 ext4_unlink")
        self._s_es = ledger.site(TASK, "", "ext4_es_remove_extent ext4_es_remove_extent;__es_remove_extent")

    def unlink(
        self, task: Task, directory: Directory, name: str, inode: LiveInode
    ) -> Generator[Any, Any, None]:
        """unlink(2) of a name that is there."""
        sb = self._sb
        task.ps += self._s_unlink.charge(1)
        yield from self._names.look_up(task, directory)
        yield from sb.start(task, UNLINK_CREDITS)
        sb.get_write_access(task, directory.block)
        directory.drop(name)
        sb.dirty_metadata(task, directory.block)
        sb.mark_inode_dirty(task, directory.inode)
        inode.links -= 1
        if not inode.links:
            self.orphans.add(task, inode)
        sb.mark_inode_dirty(task, inode)
        sb.stop(task)
        yield from task.settle()

    def delete(
        self, task: Task, inode: LiveInode, xattr_block: int = 0, values: Sequence[LiveInode] = ()
    ) -> Generator[Any, Any, None]:
        """
        ext4_evict_inode() of an inode without names, its pages gone: its blocks are freed, then it is.

        xattr_block: its own, 0 for none. values: inodes that hold values of its xattrs, and of no other's.
        """
        sb = self._sb
        yield from sb.start(task, self._truncate_credits(inode) + EVICT_CREDITS)
        inode.size = 0
        sb.mark_inode_dirty(task, inode)
        if inode.tree.depth or inode.tree.root.keys:
            yield from self._truncate(task, inode)
        for value in values:
            value.links = 0
            self.orphans.add(task, value)
            sb.mark_inode_dirty(task, value)
        if xattr_block:
            yield from self._drop_xattr_block(task, inode, xattr_block)
        self.orphans.remove(task, inode)
        epoch_s = sb.bytes.epoch_s if sb.bytes is not None else 0
        inode.dtime = max(epoch_s + task.time_ns // NS_PER_S, 1)
        sb.mark_inode_dirty(task, inode)
        yield from self._free_inode(task, inode)
        sb.stop(task)
        for value in values:
            yield from self.delete(task, value)
        yield from task.settle()

    def _truncate_credits(self, inode: LiveInode) -> int:
        """ext4_blocks_for_truncate()."""
        blocks = sum(extent.length for extent in inode.tree.extents())
        return UNLINK_CREDITS + min(max(blocks, 2), MOST_TRUNCATE_BLOCKS)

    # -- blocks --------------------------------------------------------------------------------------

    def _truncate(self, task: Task, inode: LiveInode) -> Generator[Any, Any, None]:
        """ext4_truncate() to nothing."""
        sb = self._sb
        yield from sb.start(task, sb.extent_credits())
        self._allocator.closed(task, inode)
        inode.disksize = 0
        sb.mark_inode_dirty(task, inode)
        task.ps += self._s_es.charge(1)
        inode.es.clear()
        root = inode.tree.root
        yield from sb.start(task, root.depth + 1)
        yield from self._empty(task, inode, root)
        root.depth = 0
        sb.mark_inode_dirty(task, inode)
        sb.stop(task)
        sb.mark_inode_dirty(task, inode)
        sb.stop(task)

    def _empty(self, task: Task, inode: LiveInode, node: Node) -> Generator[Any, Any, None]:
        """ext4_ext_remove_space() below a node, from its end: leaf by leaf, each freed when it is empty."""
        sb = self._sb
        if not node.depth:
            yield from self._empty_leaf(task, inode, node)
            return
        while node.children:
            child = node.children[-1]
            if not sb.buffers.holds(child.block):
                sb.buffers.make(task, child.block)
                yield from sb.buffers.read(task, child.block, Plug(holds=False))
            yield from self._empty(task, inode, child)
            self._get_access(task, node)
            del node.children[-1], node.keys[-1]
            self._dirty(task, inode, node)
            self._allocator.free_node(task, inode, child.block)
            yield from sb.mark_dirty_sync(task, inode)

    def _empty_leaf(self, task: Task, inode: LiveInode, leaf: Node) -> Generator[Any, Any, None]:
        """ext4_ext_rm_leaf()."""
        sb, depth = self._sb, inode.tree.depth
        while leaf.keys:
            last = len(leaf.keys) - 1
            credits = FREE_CREDITS + (0 if last else depth + 1)
            extent = leaf.extent(last)
            if self._reflink is not None and inode.shares:
                credits += self._reflink.credits(extent.physical, extent.length)
            yield from sb.ensure_credits(task, credits)
            self._get_access(task, leaf)
            if self._reflink is not None and inode.shares:
                yield from self._reflink.free(task, inode, extent.physical, extent.length)
            else:
                yield from self._allocator.free_data(task, inode, extent.physical, extent.length)
            leaf.remove(last)
            self._dirty(task, inode, leaf)

    def _get_access(self, task: Task, node: Node) -> None:
        """ext4_ext_get_access(): the root has no block of its own."""
        if node.block:
            self._sb.get_write_access(task, node.block)

    def _dirty(self, task: Task, inode: LiveInode, node: Node) -> None:
        """ext4_ext_dirty()."""
        if node.block:
            self._sb.dirty_metadata(task, node.block)
        else:
            self._sb.mark_inode_dirty(task, inode)

    def _drop_xattr_block(self, task: Task, inode: LiveInode, block: int) -> Generator[Any, Any, None]:
        """ext4_xattr_release_block() of one that is nobody else's."""
        sb = self._sb
        if not sb.buffers.holds(block):
            sb.buffers.make(task, block)
            yield from sb.buffers.read(task, block, Plug(holds=False))
        sb.get_write_access(task, block)
        self._allocator.free_node(task, inode, block)
        yield from sb.mark_dirty_sync(task, inode)
        if sb.bytes is not None:
            sb.bytes.xattr_block_dropped(inode)
        sb.mark_inode_dirty(task, inode)

    # -- the inode -----------------------------------------------------------------------------------

    def _free_inode(self, task: Task, inode: LiveInode) -> Generator[Any, Any, None]:
        """ext4_free_inode()."""
        sb = self._sb
        task.ps += self._s_es.charge(1)
        self._allocator.closed(task, inode)
        self._allocator.forget(inode)
        yield from self._names.read_bitmap(task, self._inodes.free(inode.number, False))
        blocks = (self._inodes.groups[inode.group].bitmap_block, sb.descriptor_block(inode.group))
        for block in blocks:
            sb.get_write_access(task, block)
        for block in reversed(blocks):
            sb.dirty_metadata(task, block)
