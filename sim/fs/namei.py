"""
Names: files and directories that are made (fs/ext4/namei.c, ialloc.c, file.c of Linux 6.1).

Which inode is free is sim.fs.ialloc's to say, which knows no time; here its blocks are read, its calls
charged, and inode bitmap, group descriptor, inode and directory put into a transaction, in their order.

Left out: directories of more than one block, hashed ones, links, renames, ACLs, encryption's own
attribute, quota. Taking names away: sim.fs.unlink.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final, final

from sim.block.bio import Plug
from sim.cache.pages import Mapping
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.errors import ConfigError, ReadpathError
from sim.ext4.format.extents import Extent, ExtentTree
from sim.ext4.format.features import Compat, Incompat
from sim.ext4.format.inode import (
    FLAG_ENCRYPTED,
    FLAG_EXTENTS,
    FLAG_INDEXED_DIRECTORY,
    FLAG_INLINE_DATA,
    ROOT_INODE,
)
from sim.ext4.read.reader import Image
from sim.fs.directory import ENTRY_BYTES, Directory
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
        self.unused = list(unused)

    def place(self, number: int) -> tuple[int, int]:
        """Return an inode's block, and its group."""
        group, at = divmod(number - 1, self._per_group)
        return self._tables[group] + at // self._per_block, group

    def together(self, number: int) -> range:
        """Return the numbers of the inodes in its block."""
        first = number - (number - 1) % self._per_group % self._per_block
        return range(first, first + self._per_block)

    def use(self, number: int) -> None:
        """An inode is in use: it, and those before it in its group, are not among the unused any more."""
        group, at = divmod(number - 1, self._per_group)
        self.unused[group] = min(self.unused[group], self._per_group - at - 1)

    def read_with(self, number: int) -> range:
        """Return the blocks that are read with an inode's (__ext4_get_inode_loc())."""
        block, group = self.place(number)
        table = self._tables[group]
        first = max(block - block % READAHEAD_BLOCKS, table)
        used = table + (self._per_group - self.unused[group]) // self._per_block
        return range(first, min(first + READAHEAD_BLOCKS, used) + 1)


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

    def directory(
        self, number: int, block: int, spreads: bool, room: int, raw: bytes = b"", typed: bool = True
    ) -> Directory:
        """Return a directory that is there: its block is in memory."""
        place, group = self._tables.place(number)
        tree = ExtentTree(0, [Extent(0, block, 1, False)], [0], [0], [()])
        size = self._sb.block_size
        inode = LiveInode(number, place, group, size, tree, size, Mapping(1, False))
        inode.regular = False
        self._sb.buffers.warm([block])
        return Directory(inode, Parent(number, group, spreads), block, room, raw, typed)

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
        self,
        task: Task,
        directory: Directory,
        name: str,
        encrypted: bool = False,
        mapping: Mapping | None = None,
    ) -> Generator[Any, Any, LiveInode]:
        """
        open(2) with O_CREAT of a name that is not there: a lookup, the inode, an entry for it.

        mapping: its pages, empty; None for a new one.
        """
        task.ps += self._s_open.charge(1)
        yield from self.look_up(task, directory)
        new = self._inodes.new(directory.parent, False)
        yield from self.read_bitmap(task, new.bitmap_read)
        yield from self._sb.start(task, CREATE_CREDITS)
        pages = Mapping(0, self._keep_content) if mapping is None else mapping
        inode = yield from self._new_inode(task, new, encrypted, pages)
        yield from self._add_entry(task, directory, name, inode.number)
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
        yield from self.look_up(task, directory)
        new = self._inodes.new(directory.parent, True, name_hash)
        yield from self.read_bitmap(task, new.bitmap_read)
        yield from sb.start(task, CREATE_CREDITS)
        inode = yield from self._new_inode(task, new, False, Mapping(0, False))
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
        yield from self._add_entry(task, directory, name, inode.number)
        sb.mark_inode_dirty(task, directory.inode)
        sb.stop(task)
        yield from task.settle()
        room = sb.block_size - 2 * (ENTRY_BYTES + 4)
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

    def look_up(self, task: Task, directory: Directory) -> Generator[Any, Any, None]:
        """Find a block of a directory, and have it in memory (ext4_getblk(), ext4_bread_batch())."""
        yield from self._mapper.map_blocks(task, directory.inode, 0, 1, 0, Plug(holds=False))
        self._sb.buffers.getblk(task, 1)

    def read_bitmap(self, task: Task, block: int) -> Generator[Any, Any, None]:
        """ext4_read_inode_bitmap() of one that had to be read; 0: none had."""
        buffers = self._sb.buffers
        if block and not buffers.holds(block):
            buffers.make(task, block)
            yield from buffers.read(task, block, Plug(holds=False))

    def _new_inode(
        self, task: Task, new: NewInode, encrypted: bool, mapping: Mapping
    ) -> Generator[Any, Any, LiveInode]:
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
        self._tables.use(new.number)
        yield from self._have_table(task, new.number, block)
        tree = ExtentTree(0, [], [0], [0], [()])
        inode = LiveInode(new.number, block, group, 0, tree, sb.block_size, mapping, encrypted)
        if sb.bytes is not None:
            sb.bytes.inode_made(inode, task.time_ns)
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

    def _add_entry(
        self, task: Task, directory: Directory, name: str, inode: int
    ) -> Generator[Any, Any, None]:
        """ext4_add_entry(), into the one block that there is."""
        if not directory.add(name, inode):
            at = f"directory of inode {directory.inode.number}"
            raise ReadpathError(at, f"its block has no room for {name!r}", "directories of one block")
        yield from self.look_up(task, directory)
        self._sb.get_write_access(task, directory.block)
        self._sb.mark_inode_dirty(task, directory.inode)
        self._sb.dirty_metadata(task, directory.block)


def tables_of(image: Image) -> InodeTables:
    """Return where the inodes of an image lie."""
    sb = image.superblock
    groups = [image.group(number) for number in range(sb.groups_count)]
    unused = [group.unused_inodes if sb.has_group_checksums else 0 for group in groups]
    tables = [group.inode_table for group in groups]
    return InodeTables(tables, sb.inodes_per_group, sb.inode_size, sb.block_size, unused)


def root_of(image: Image, names: Names) -> Directory:
    """Return an image's root; ConfigError for one that names cannot be changed in here."""
    sb, root = image.superblock, image.inode(ROOT_INODE)
    left_out = FLAG_INDEXED_DIRECTORY | FLAG_INLINE_DATA | FLAG_ENCRYPTED
    if not root.flags & FLAG_EXTENTS or root.flags & left_out or root.size_bytes != sb.block_size:
        problem = f"its root of {root.size_bytes} bytes is indexed, encrypted, inline or of several blocks"
        raise ConfigError(image.name, problem, "a root of one block, mapped by an extent")
    if sb.has(Compat.ORPHAN_FILE):
        raise ConfigError(image.name, "has an orphan file", "an image without the feature orphan_file")
    (extent,) = root.tree.extents
    raw = bytes(image.read_block(extent.physical))
    return names.directory(ROOT_INODE, extent.physical, True, 0, raw, sb.has(Incompat.FILETYPE))
