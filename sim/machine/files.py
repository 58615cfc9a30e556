"""
The files of a mounted volume as they are made, closed and taken away: open(2) with O_CREAT, close(2),
unlink(2), and the end of an inode that has no name and that nobody has open.

Left out: names in other directories than the root, files whose data is journalled, an eviction that waits for
its own write-back alone (here for the flusher's pass).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from sim.cache.page_cache import PageCache
from sim.cache.pages import Mapping
from sim.engine.cpu import Task
from sim.engine.ledger import Ledger
from sim.errors import ConfigError
from sim.ext4.format.xattr import block_references
from sim.ext4.read.opened import Inode
from sim.ext4.read.reader import Image
from sim.ext4.store import ByteStore
from sim.fs.ialloc import ImageInodeBitmaps, InodeAllocator, inode_groups_of
from sim.fs.live_inode import LiveInode
from sim.fs.mballoc.allocator import MbAllocator
from sim.fs.name_bytes import NameBytes
from sim.fs.namei import Names, root_of, tables_of
from sim.fs.unlink import Unlinks
from sim.machine.eviction import PageEviction
from sim.machine.writer import Ext4Writer

EVICT: Final = "entry_SYSCALL_64;ext4_evict_inode;truncate_inode_pages_range"


class MountedFiles:
    """The names in the root of an image that is mounted for writing."""

    def __init__(
        self,
        ledger: Ledger,
        writer: Ext4Writer,
        cache: PageCache,
        volume: Image,
        blocks: MbAllocator,
        disk: ByteStore | None,
    ) -> None:
        """
        blocks: the volume's. disk: what is on the device, None if data is off.

        Raises ConfigError for a root that names cannot be changed in.
        """
        sb = volume.superblock
        self._volume = volume
        self._writer = writer
        self._inodes = InodeAllocator(
            blocks,
            inode_groups_of(volume),
            sb.inodes_per_group,
            sb.first_inode,
            ImageInodeBitmaps(volume),
        )
        tables = tables_of(volume)
        self._names = Names(ledger, writer.sb, writer.mapper, self._inodes, tables)
        self.root = root_of(volume, self._names)
        reflink = writer.mapper.reflink
        self._unlinks = Unlinks(ledger, writer.sb, self._names, self._inodes, writer.allocator, reflink)
        self._pages = PageEviction(ledger, writer, cache, EVICT)
        self._on_disk: dict[int, Inode] = {}
        if writer.sb.bytes is not None and disk is not None:
            writer.sb.bytes.names = NameBytes(volume, disk, self._inodes, tables.unused)
            writer.sb.bytes.names.directory(self.root)

    def known(self, inode: LiveInode, on_disk: Inode) -> None:
        """An inode is one of the image's."""
        inode.links = on_disk.raw.links
        self._on_disk[inode.number] = on_disk

    def create(self, task: Task, name: str, mapping: Mapping) -> Generator[Any, Any, LiveInode]:
        """open(2) with O_CREAT of a name that is not there. mapping: its pages, empty."""
        inode = yield from self._names.create(task, self.root, name, mapping=mapping)
        self._writer.add(inode)
        return inode

    def lock(self, task: Task) -> Generator[Any, Any, None]:
        """inode_lock() of the root, before a name in it is made or taken away."""
        return self._writer.sb.locks.lock(task, self.root.inode)

    def unlock(self) -> None:
        """inode_unlock() of the root."""
        self.root.inode.rwsem.up_write()

    def unlink(self, task: Task, name: str, inode: LiveInode) -> Generator[Any, Any, None]:
        """unlink(2); the inode goes with its last name, unless it is open."""
        if inode.journalled:
            raise ConfigError("mount.data", "'journal' with files that are unlinked", "ordered, writeback")
        yield from self.lock(task)
        yield from self._writer.sb.locks.lock(task, inode)
        yield from self._unlinks.unlink(task, self.root, name, inode)
        inode.rwsem.up_write()
        self.unlock()
        yield from self._put(task, inode)

    def close(self, task: Task, inode: LiveInode) -> Generator[Any, Any, None]:
        """close(2)."""
        yield from self._writer.sb.locks.down_write(task, inode.data_sem)
        self._writer.allocator.close(task, inode)
        inode.data_sem.up_write()
        yield from self._put(task, inode)
        yield from task.settle()

    def _put(self, task: Task, inode: LiveInode) -> Generator[Any, Any, None]:
        """iput() of an inode that may have neither name nor user any more."""
        if inode.links or inode.open_files:
            return
        yield from self._drop_pages(task, inode)
        on_disk = self._on_disk.pop(inode.number, None)
        if on_disk is None:
            yield from self._unlinks.delete(task, inode)
        else:
            values = [self._value(number) for number, _ in on_disk.ea_values]
            yield from self._unlinks.delete(task, inode, self._own_xattr_block(on_disk), values)
        if self._writer.inodes.get(inode.number) is inode:  # else its number is a new file's by now
            del self._writer.inodes[inode.number]

    def _drop_pages(self, task: Task, inode: LiveInode) -> Generator[Any, Any, None]:
        """truncate_inode_pages_final(), and jbd2_journal_release_jbd_inode()."""
        writer, mapping, journal = self._writer, inode.mapping, self._writer.journal
        inode.dirty = inode.dirty_datasync = False
        inode.associated.clear()
        yield from writer.flusher.idle(task)
        while inode.under_way:
            yield from task.wait(inode.under_way[0].awaited(writer.clock))
        committing = journal.committing if journal is not None else None
        if journal is not None and committing is not None and inode.number in committing.inodes:
            yield from journal.complete(task, committing.tid)
        if journal is not None and journal.running is not None:
            journal.running.inodes.pop(inode.number, None)
        if mapping.dirty is not None:
            for page in range(mapping.pages):
                mapping.tag_dirty(page, False)
        inode.state = bytearray(len(inode.state))
        writer.allocator.unpromise(inode)
        self._pages.drop(task, inode)

    def _own_xattr_block(self, on_disk: Inode) -> int:
        """Return the block of an inode's xattrs, 0 for none; ConfigError for one that others share."""
        block = on_disk.raw.xattr_block
        if block and block_references(self._volume.read_block(block)) > 1:
            raise ConfigError(on_disk.place, "shares its xattr block with others", "an inode with its own")
        return block

    def _value(self, number: int) -> LiveInode:
        """Return an inode that holds the value of an xattr."""
        on_disk = self._volume.inode(number)
        if on_disk.ea_references > 1:
            raise ConfigError(on_disk.place, "holds an xattr of several inodes", "one of its own")
        inode = live_inode(self._volume, on_disk, Mapping(0, False))
        self._writer.buffers.warm([inode.table_block, *on_disk.tree.blocks])
        return inode


def live_inode(
    volume: Image, on_disk: Inode, mapping: Mapping, encrypted: bool = False, inline: bool = False
) -> LiveInode:
    """Return an inode of an image as it is written. inline: where it is encrypted, the device does it."""
    number, size = on_disk.number, volume.block_size
    group, block = (number - 1) // volume.superblock.inodes_per_group, volume.inode_at(number) // size
    return LiveInode(number, block, group, on_disk.size_bytes, on_disk.tree, size, mapping, encrypted, inline)
