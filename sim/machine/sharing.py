"""
Files that share blocks, on a volume that is mounted for writing: their counts, all in memory, and what
copying came to.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from sim.cache.pages import Mapping
from sim.config.cell_result import Number
from sim.engine.cpu import Task
from sim.engine.ledger import Ledger
from sim.errors import ConfigError, ImageError
from sim.ext4.edit.changeable import refuse_unsound
from sim.ext4.format.features import RoCompat
from sim.ext4.format.refcounts import decode_leaves, records_per_block
from sim.ext4.read.counts import counts_inode, counts_of
from sim.ext4.read.reader import Image
from sim.fs.live_inode import LiveInode
from sim.fs.mballoc.allocator import MbAllocator
from sim.fs.refcounts import Leaf, RefCounts
from sim.fs.reflink import Reflink
from sim.machine.files import live_inode
from sim.machine.writer import Ext4Writer


class Sharing:
    """What the files of one mount share. wrote: the inodes that jobs have written."""

    def __init__(self, writer: Ext4Writer, volume: Image, ledger: Ledger, blocks: MbAllocator) -> None:
        """
        blocks: the volume's.

        Raises ConfigError where copying on write is not modelled, ImageError for counts that are damaged.
        """
        self.wrote: set[int] = set()
        self._writer = writer
        self._volume = volume
        self._blocks = blocks
        self._free_before = blocks.free
        self._clones_ns: list[int] = []
        self._reflink = writer.mapper.reflink = _mounted(writer, volume, ledger)

    def sharers(self) -> dict[str, int]:
        """Return the numbers of the inodes that shared blocks when the volume was mounted, by path."""
        counts = counts_of(self._volume)
        return {
            path: inode.number
            for path, inode in self._volume.walk()
            if inode.is_regular and inode.has_contents and any(block in counts for block in inode.own_blocks)
        }

    def noted(self, inode: LiveInode) -> None:
        """A file is opened."""
        if self._reflink is not None:
            self._reflink.noted(inode)

    def clone(self, task: Task, source: LiveInode, target: LiveInode) -> Generator[Any, Any, None]:
        """
        ioctl(2) with FICLONE: an empty file gets all blocks of another, which is written out before.

        i_rwsem of both is held (lock_two_nondirectories()): nobody writes the source in between.
        """
        assert self._reflink is not None
        began = task.time_ns
        locks = self._writer.sb.locks
        yield from locks.lock(task, source)
        yield from locks.lock(task, target)
        yield from self._writer.sync.write_and_wait(task, source)
        yield from self._reflink.clone(task, source, target)
        target.rwsem.up_write()
        source.rwsem.up_write()
        if source.bytes is not None and target.bytes is not None:
            target.bytes.expected[:] = source.bytes.expected
        self._clones_ns.append(task.time_ns - began)

    def metrics(self, inodes: Iterable[LiveInode]) -> dict[str, Number]:
        """Return what sharing and copying came to; nothing without counts. inodes: all that are open."""
        if self._reflink is None:
            return {}
        clones = self._clones_ns
        return {
            "cow_blocks": self._reflink.copied_blocks,
            "shared_blocks": self._reflink.counts.shared_blocks,
            "blocks_taken": self._free_before - self._blocks.free + self._blocks.dirty,
            "file_extents": sum(len(inode.tree.extents()) for inode in inodes if inode.number in self.wrote),
            "clone_ns": sum(clones) / len(clones) if clones else 0.0,
        }


def _mounted(writer: Ext4Writer, volume: Image, ledger: Ledger) -> Reflink | None:
    """Return what copies on write what files share; None for a volume that has no counts."""
    on_disk = counts_inode(volume)
    if on_disk is None:
        if volume.superblock.has(RoCompat.SHARED_BLOCKS):
            problem = "has shared_blocks, and no counts of who has them"
            raise ImageError(volume.name, problem, "an image that readpath image clone has made, or unshared")
        return None
    refuse_unsound(volume, volume.name)
    said = "files that share blocks, on a volume that is written,"
    if writer.loop != "page_io":
        raise ConfigError("write_path", f"{said} with write-back of {writer.loop!r}", "page_io")
    if writer.sb.options.data != "ordered" or not writer.sb.delalloc:
        problem = f"{said} with data {writer.sb.options.data!r}, delalloc {writer.sb.delalloc}"
        raise ConfigError("mount", problem, 'data = "ordered", delalloc = true')
    if writer.journal is None:
        raise ConfigError("volume.journal", f"{said} without a journal", 'a size, as "16MiB"')
    raw = [bytes(data) for _at, data in volume.iter_blocks(on_disk)]
    places = [extent.physical + at for extent in on_disk.tree.extents for at in range(extent.length)]
    leaves = decode_leaves(raw, on_disk.place)
    counts = RefCounts(
        [Leaf(block, records) for block, records in zip(places, leaves, strict=True)],
        records_per_block(volume.block_size),
    )
    inode = live_inode(volume, on_disk, Mapping(0, False))
    inode.regular = False
    writer.inodes[inode.number] = inode
    writer.buffers.warm([inode.table_block, *on_disk.tree.blocks, *places])
    mapper = writer.mapper
    return Reflink(writer.clock, ledger, writer.sb, mapper.trees, counts, inode, mapper.map_blocks)
