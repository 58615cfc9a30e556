"""Files and directories that are made: inodes, entries, what of them is in a transaction."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from write_kit import BITMAP, DESCRIPTORS, TABLE, WriteRig

from sim.errors import ReadpathError
from sim.fs.ialloc import InodeAllocator, InodeBitmapSource, InodeGroup
from sim.fs.live_inode import LiveInode
from sim.fs.mballoc.allocator import MbAllocator
from sim.fs.mballoc.buddy import pack
from sim.fs.mballoc.geometry import BitmapSource, GroupSeed, MbGeometry
from sim.fs.namei import CREATE_CREDITS, Directory, InodeTables, Names
from sim.units import NS_PER_S

INODE_BITMAP, ROOT_BLOCK = 11, 30
PER_GROUP, USED = 64, 11
"""Inodes of the one group, and how many of them are in use."""


class Used(InodeBitmapSource):
    """A group whose first inodes are in use."""

    def read(self, group: int) -> bytes:
        """Return its bitmap."""
        del group
        return pack(bytearray(b"\1" * USED) + bytearray(8 * 4096 - USED))


class NoBlocks(BitmapSource):
    """Groups whose blocks nobody asks for."""

    def read(self, group: int) -> bytes:
        """Never called."""
        raise AssertionError(group)


class Rig(WriteRig):
    """A mounted volume of one group, with names; root: its directory."""

    def __init__(self, block_size: int = 4096, in_memory: bool = True, **said: Any) -> None:
        super().__init__(block_size, **said)
        geometry = MbGeometry(block_size, 8192, 0, 8192, True, 4, False)
        blocks = MbAllocator(geometry, [GroupSeed(4000, BITMAP, False)], NoBlocks())
        groups = [InodeGroup(PER_GROUP - USED, 2, INODE_BITMAP, False)]
        inodes = InodeAllocator(blocks, groups, PER_GROUP, 11, Used())
        tables = InodeTables([TABLE], PER_GROUP, 256, block_size, [0])
        machine = self.machine
        self.names = Names(machine.ledger, self.writer.sb, self.writer.mapper, inodes, tables)
        self.writer.buffers.warm([self.writer.sb.superblock])
        if in_memory:
            self.writer.buffers.warm([INODE_BITMAP])
        self.root = self.names.directory(2, ROOT_BLOCK, True, 100)
        self.made: list[Any] = []

    def create(self, name: str, directory: Directory | None = None) -> Any:
        """Make a file; it is in `made`."""
        self.made.append((yield from self.names.create(self.task, directory or self.root, name)))

    def make_directory(self, name: str, name_hash: int = 0) -> Any:
        """Make a directory; it is in `made`."""
        self.made.append((yield from self.names.make_directory(self.task, self.root, name, name_hash)))

    def run(self, *steps: Generator[Any, Any, Any]) -> None:
        """Do one after the other, and let less time pass than until the next commit."""
        self.start(*steps)
        self.run_for(NS_PER_S)

    def logged(self) -> list[int]:
        """Return the blocks that the running transaction has, in their order."""
        journal = self.writer.journal
        assert journal is not None
        assert journal.running is not None
        return journal.running.metadata()


def test_a_new_file_is_in_a_transaction() -> None:
    """Bitmap, descriptor, inode, directory; with the first one that is opened the superblock, too."""
    rig = Rig()
    rig.run(rig.create("a"))
    (first,) = rig.made
    assert (first.number, first.table_block, first.size) == (12, TABLE, 0)
    assert rig.logged() == [INODE_BITMAP, DESCRIPTORS, TABLE, ROOT_BLOCK, rig.writer.sb.superblock]
    calls = rig.calls()
    assert (calls["__ext4_mark_inode_dirty"], calls["ext4_map_blocks"]) == (4, 2)
    assert calls["__ext4_journal_start_sb"] == 2, "one more for the superblock"
    rig.run(rig.create("b"))
    assert rig.made[1].number == 13
    assert rig.calls()["__ext4_journal_start_sb"] == 3, "that only once"
    assert rig.bios() == []


def test_fsync_of_a_new_file_commits_it() -> None:
    """Descriptor, five blocks, record: what its creation changed is waited for."""
    rig = Rig()
    rig.run(rig.create("a"))
    rig.writer.add(rig.made[0])
    rig.run(rig.fsync(rig.made[0]))
    assert [letters for letters, *_ in rig.bios()] == ["WSM"] * 6 + ["FWFSM"]


def test_an_inode_bitmap_is_read_once() -> None:
    """It was not in memory: read for the first file, with META and PRIO; known for the second."""
    rig = Rig(in_memory=False)
    rig.run(rig.create("a"))
    assert rig.bios() == [("RM", INODE_BITMAP, 1)]
    rig.run(rig.create("b"))
    assert rig.bios() == []


def test_a_table_block_is_read_if_somebody_else_is_in_it() -> None:
    """A block of 4 KiB has 16 inodes: of one without any in use nothing has to be read, not even ahead."""
    rig = Rig()
    for _ in range(6):  # the 17th is the first of the second block
        rig.run(rig.create("x"))
    assert (rig.made[-1].number, rig.made[-1].table_block) == (17, TABLE + 1)
    assert "RM" not in {letters for letters, *_ in rig.bios()}
    rig.writer.buffers.drop_pages()
    rig.writer.buffers.warm([INODE_BITMAP, DESCRIPTORS, TABLE, ROOT_BLOCK])
    rig.run(rig.create("y"))
    assert rig.made[-1].number == 18
    assert [bio for bio in rig.bios() if bio[0] == "RM"] == [("RM", TABLE + n, 1) for n in (1, 2, 3, 4)]


def test_inodes_are_read_ahead() -> None:
    """Up to 32 blocks from an aligned one on, as far as inodes were used, and one more."""
    tables = InodeTables([43, 1000], 16, 256, 1024, [0, 12])
    assert tables.place(14) == (46, 0)
    assert tables.place(17) == (1000, 1)
    assert tables.together(14) == range(13, 17)
    assert tables.read_with(2) == range(43, 48)
    assert tables.read_with(17) == range(1000, 1002)
    large = InodeTables([40], 1024, 256, 1024, [0])
    assert large.read_with(100) == range(64, 97)


def test_a_directory_has_a_block() -> None:
    """Inode and block, its entry above, both directories' inodes; files that are made in it go there."""
    rig = Rig()
    rig.run(rig.make_directory("d"))
    (directory,) = rig.made
    assert (directory.inode.number, directory.room) == (12, 4096 - 24)
    logged = rig.logged()
    assert logged[:3] == [INODE_BITMAP, DESCRIPTORS, TABLE]
    assert {BITMAP, directory.block, ROOT_BLOCK} == set(logged[3:])
    rig.run(rig.create("a", directory))
    assert directory.room == 4096 - 24 - 12
    assert directory.block in rig.logged()


def test_a_directory_of_one_block_is_full_some_time() -> None:
    """An entry takes 8 bytes and its name, in fours: 100 bytes have room for 8 of 12; then it says so."""
    rig = Rig()
    for _ in range(8):
        rig.run(rig.create("abcd"))
    with pytest.raises(ReadpathError, match="inode 2: its block has no room for 'abcd'"):
        rig.run(rig.create("abcd"))


def test_without_a_journal_all_is_dirty_in_place() -> None:
    """The same blocks, in the device's pages."""
    rig = Rig(log=0)
    rig.run(rig.create("a"))
    expected = [DESCRIPTORS, INODE_BITMAP, TABLE, ROOT_BLOCK, rig.writer.sb.superblock]
    assert rig.writer.buffers.dirty_blocks == sorted(expected)


def test_the_first_mount_tells_the_superblock_its_overhead() -> None:
    """With two copies in one transaction; the others are in memory, too. None if it knows."""
    rig = Rig()
    rig.run(rig.names.mounted(rig.task, []))
    assert "__ext4_journal_start_sb" not in {name for name, calls in rig.calls().items() if calls}
    rig.run(rig.names.mounted(rig.task, [100, 200, 300]))
    assert rig.logged() == [rig.writer.sb.superblock, 100, 200]
    assert rig.writer.buffers.holds(300)


def test_a_new_file_has_nothing() -> None:
    """No extent, no page; it may be written, which allocates its first block."""
    rig = Rig(delalloc=False)
    rig.run(rig.create("a"))
    file: LiveInode = rig.made[0]
    rig.writer.add(file)
    assert (list(file.tree.extents()), file.mapping.pages, file.open_files) == ([], 0, 1)
    rig.run(rig.write(file, 0, 100))
    assert [extent[::2] for extent in file.tree.extents()] == [(0, 1)]
    assert CREATE_CREDITS == 39
