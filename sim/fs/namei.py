"""
Names: files and directories that are made (fs/ext4/namei.c, ialloc.c, file.c of Linux 6.1).

Which inode is free is sim.fs.ialloc's to say, which knows no time; here its blocks are read, its calls
charged, and inode bitmap, group descriptor, inode and directory put into a transaction, in their order.

Left out: directories of more than one block, hashed ones, removal, links, renames, ACLs, encryption's own
attribute, quota.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final, final

from sim.block.bio import Plug
from sim.cache.pages import Mapping
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.errors import ReadpathError
from sim.ext4.format.extents import Extent, ExtentTree
from sim.fs.ext4_super import Ext4Super
from sim.fs.ialloc import InodeAllocator, NewInode, Parent
from sim.fs.live_inode import LiveInode
from sim.fs.map_flags import CREATE
from sim.fs.map_write import WriteMapper

READAHEAD_BLOCKS: Final = 32
"""inode_readahead_blks: how many blocks of the inode table are read together."""
CREATE_CREDITS: Final = 20 + 6 - 2 + 12 + 3
"""What ext4_create() and ext4_mkdir() reserve: for data, attributes and an index, and three more."""
JOURNALLED_BACKUPS: Final = 2
"""Copies of the superblock that change with it in one transaction (ext4_update_superblocks_fn())."""
DIRENT_BYTES: Final = 8
"""Bytes of an entry beside its name."""
OPEN_CREDITS: Final = 1
"""What the first open reserves, which notes in the superblock where the volume is mounted."""


@final
class InodeTables:
    """
    Where inodes lie. tables: first block of each group's; unused: inodes at its end that were never used.
    """

    def __init__(
        self,
        tables: Sequence[int],
        inodes_per_group: int,
        inode_bytes: int,
        block_size: int,
        unused: Sequence[int],
    ) -> None:
        """unused: zeros where descriptors have no checksums."""
        self._tables = tables
        self._per_group = inodes_per_group
        self._per_block = block_size // inode_bytes
        self._unused = unused

    def place(self, number: int) -> tuple[int, int]:
        """Return an inode's block, and its group."""
        group, at = divmod(number - 1, self._per_group)
        return self._tables[group] + at // self._per_block, group

    def together(self, number: int) -> range:
        """Return the numbers of the inodes in its block."""
        first = number - (number - 1) % self._per_group % self._per_block
        return range(first, first + self._per_block)

    def read_with(self, number: int) -> range:
        """Return the blocks that are read with an inode's (__ext4_get_inode_loc())."""
        block, group = self.place(number)
        table = self._tables[group]
        first = max(block - block % READAHEAD_BLOCKS, table)
        used = table + (self._per_group - self._unused[group]) // self._per_block
        return range(first, min(first + READAHEAD_BLOCKS, used) + 1)


@final
class Directory:
    """A directory of one block. inode: with its map. parent: what ialloc knows of it. room: bytes left."""

    def __init__(self, inode: LiveInode, parent: Parent, block: int, room: int) -> None:
        """Known and open."""
        self.inode = inode
        self.parent = parent
        self.block = block
        self.room = room


class Names:
    """What makes files on one mounted volume."""

    def __init__(
        self,
        ledger: Ledger,
        sb: Ext4Super,
        mapper: WriteMapper,
        inodes: InodeAllocator,
        tables: InodeTables,
        keep_content: bool = False,
    ) -> None:
        """keep_content: files have bytes."""
        self._sb = sb
        self._mapper = mapper
        self._inodes = inodes
        self._tables = tables
        self._keep_content = keep_content
        self._mounted_at = False
        self._s_open = ledger.site(TASK, "", "entry_SYSCALL_64")

    def directory(self, number: int, block: int, spreads: bool, room: int) -> Directory:
        """Return a directory that is there: its block is in memory."""
        place, group = self._tables.place(number)
        tree = ExtentTree(0, [Extent(0, block, 1, False)], [0], [0], [()])
        size = self._sb.block_size
        inode = LiveInode(number, place, group, size, tree, size, Mapping(1, False))
        self._sb.buffers.warm([block])
        return Directory(inode, Parent(number, group, spreads), block, room)

    def mounted(self, task: Task, backups: Sequence[int]) -> Generator[Any, Any, None]:
        """
        ext4_update_overhead(): a superblock that does not say what metadata takes is told, with its copies.

        backups: all copies; the first two go through the journal, the others are written at once, which is
        left out.
        """
        sb = self._sb
        if not backups:
            return
        yield from sb.start(task, 1 + len(backups[:JOURNALLED_BACKUPS]))
        sb.buffers.warm(backups)
        for block in (sb.superblock, *backups[:JOURNALLED_BACKUPS]):
            sb.get_write_access(task, block)
            sb.dirty_metadata(task, block)
        sb.stop(task)

    # -- making --------------------------------------------------------------------------------------

    def create(
        self, task: Task, directory: Directory, name: str, encrypted: bool = False
    ) -> Generator[Any, Any, LiveInode]:
        """open(2) with O_CREAT of a name that is not there: a lookup, the inode, an entry for it."""
        task.ps += self._s_open.charge(1)
        yield from self._look_up(task, directory)
        new = self._inodes.new(directory.parent, False)
        yield from self._bitmap(task, new)
        yield from self._sb.start(task, CREATE_CREDITS)
        inode = yield from self._new_inode(task, new, encrypted)
        yield from self._add_entry(task, directory, name)
        self._sb.mark_inode_dirty(task, inode)
        self._sb.stop(task)
        yield from self.opened(task)
        yield from task.settle()
        return inode

    def make_directory(
        self, task: Task, directory: Directory, name: str, name_hash: int
    ) -> Generator[Any, Any, Directory]:
        """mkdir(2): an inode, a block with two entries, an entry in the directory above."""
        sb = self._sb
        task.ps += self._s_open.charge(1)
        yield from self._look_up(task, directory)
        new = self._inodes.new(directory.parent, True, name_hash)
        yield from self._bitmap(task, new)
        yield from sb.start(task, CREATE_CREDITS)
        inode = yield from self._new_inode(task, new, False)
        inode.open_files = 0
        inode.regular = False
        found = yield from self._mapper.map_blocks(task, inode, 0, 1, CREATE, Plug(holds=False))
        block = found.physical
        sb.buffers.make(task, block)
        sb.buffers.fresh(block)
        sb.get_create_access(task, block)
        sb.dirty_metadata(task, block)
        inode.size = inode.disksize = sb.block_size
        sb.mark_inode_dirty(task, inode)
        sb.get_write_access(task, block)
        sb.dirty_metadata(task, block)
        sb.mark_inode_dirty(task, inode)
        yield from self._add_entry(task, directory, name)
        sb.mark_inode_dirty(task, directory.inode)
        sb.stop(task)
        yield from task.settle()
        room = sb.block_size - 2 * (DIRENT_BYTES + 4)
        return Directory(inode, Parent(inode.number, inode.group, False), block, room)

    def forget(self, number: int, directory: bool = False) -> None:
        """An inode is free again; that it was freed is not charged."""
        self._inodes.free(number, directory)

    def opened(self, task: Task) -> Generator[Any, Any, None]:
        """ext4_sample_last_mounted(): the first file that is opened notes in the superblock where it is."""
        if self._mounted_at:
            return
        self._mounted_at = True
        sb = self._sb
        yield from sb.start(task, OPEN_CREDITS)
        sb.get_write_access(task, sb.superblock)
        sb.dirty_metadata(task, sb.superblock)
        sb.stop(task)

    # -- parts ---------------------------------------------------------------------------------------

    def _look_up(self, task: Task, directory: Directory) -> Generator[Any, Any, None]:
        """Find a block of a directory, and have it in memory (ext4_getblk(), ext4_bread_batch())."""
        yield from self._mapper.map_blocks(task, directory.inode, 0, 1, 0, Plug(holds=False))
        self._sb.buffers.getblk(task, 1)

    def _bitmap(self, task: Task, new: NewInode) -> Generator[Any, Any, None]:
        """ext4_read_inode_bitmap()."""
        buffers = self._sb.buffers
        if new.bitmap_read and not buffers.holds(new.bitmap_read):
            buffers.make(task, new.bitmap_read)
            yield from buffers.read(task, new.bitmap_read, Plug(holds=False))

    def _new_inode(self, task: Task, new: NewInode, encrypted: bool) -> Generator[Any, Any, LiveInode]:
        """What __ext4_new_inode() changes, under the task's handle."""
        sb = self._sb
        bitmap, descriptor = self._inodes.groups[new.group].bitmap_block, sb.descriptor_block(new.group)
        sb.get_write_access(task, bitmap)
        sb.dirty_metadata(task, bitmap)
        sb.get_write_access(task, descriptor)
        if new.block_bitmap_made:
            blocks = self._inodes.block_bitmap(new.group)
            sb.buffers.make(task, blocks)
            sb.buffers.fresh(blocks)
            sb.get_write_access(task, blocks)
            sb.dirty_metadata(task, blocks)
        sb.dirty_metadata(task, descriptor)
        block, group = self._tables.place(new.number)
        yield from self._have_table(task, new.number, block)
        tree = ExtentTree(0, [], [0], [0], [()])
        mapping = Mapping(0, self._keep_content)
        inode = LiveInode(new.number, block, group, 0, tree, sb.block_size, mapping, encrypted)
        sb.mark_inode_dirty(task, inode)
        sb.note_sync(task, inode, data=True)
        sb.mark_inode_dirty(task, inode)
        return inode

    def _have_table(self, task: Task, number: int, block: int) -> Generator[Any, Any, None]:
        """__ext4_get_inode_loc(): a block of which no other inode is in use need not be read."""
        buffers = self._sb.buffers
        buffers.make(task, block)
        if buffers.holds(block):
            return
        if not any(self._inodes.is_used(other) for other in self._tables.together(number) if other != number):
            buffers.warm([block])
            return
        plug = Plug()
        for each in self._tables.read_with(number):
            buffers.make(task, each)
            buffers.start_read(task, each, plug, True)
        buffers.finish(task, plug)
        yield from buffers.read(task, block, Plug(holds=False))

    def _add_entry(self, task: Task, directory: Directory, name: str) -> Generator[Any, Any, None]:
        """ext4_add_entry(), into the one block that there is."""
        need = DIRENT_BYTES + -(-len(name.encode()) // 4) * 4
        if need > directory.room:
            at = f"directory of inode {directory.inode.number}"
            raise ReadpathError(at, f"its block has no room for {name!r}", "directories of one block")
        directory.room -= need
        yield from self._look_up(task, directory)
        self._sb.get_write_access(task, directory.block)
        self._sb.mark_inode_dirty(task, directory.inode)
        self._sb.dirty_metadata(task, directory.block)
