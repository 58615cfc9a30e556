"""fsync(2), fdatasync(2) of a file system without a journal: what is written, and when there is a flush."""

from __future__ import annotations

import pytest
from write_kit import BITMAP, NODES, TABLE, Bump, WriteRig

from sim.fs.live_inode import LiveInode
from sim.units import KIB

PAGE = 4 * KIB
WHOLE = [(0, 500, 16, False)]
INODE, FLUSH = ("WSM", TABLE, 1), ("FWS", 0, 0)


def overwritten() -> tuple[WriteRig, LiveInode]:
    """Return a file of 64 KiB of which a page was written over, its data already in place."""
    rig = WriteRig(log=0)
    inode = rig.file(64 * KIB, WHOLE)
    rig.cached(inode)
    rig.run(rig.write(inode, 0, PAGE), rig.writer.sync.write_and_wait(rig.task, inode))
    assert [("WS", 500, 1)] == rig.bios()
    return rig, inode


def test_new_times_are_for_fsync_not_for_fdatasync() -> None:
    """An overwrite leaves new times: fdatasync(2) writes nothing and does not flush, fsync(2) does, once."""
    rig, inode = overwritten()
    rig.run(rig.fsync(inode, True))
    assert [] == rig.bios()
    assert (True, False) == (inode.dirty, inode.dirty_datasync)
    rig.run(rig.fsync(inode))
    assert [INODE, FLUSH] == rig.bios()
    rig.run(rig.fsync(inode))
    assert [] == rig.bios()


def test_a_new_size_is_for_fdatasync_too() -> None:
    """The size is what reads need: I_DIRTY_DATASYNC."""
    rig = WriteRig(log=0)
    inode = rig.file()
    rig.run(rig.write(inode, 0, PAGE), rig.writer.sync.write_and_wait(rig.task, inode))
    rig.bios()
    assert inode.dirty_datasync
    rig.run(rig.fsync(inode, True))
    assert [INODE, FLUSH] == rig.bios()
    assert not inode.dirty_datasync


def test_an_inode_that_was_written_behind_it_is_not_written_again() -> None:
    """The flusher has copied the inode (ext4_write_inode()); its block is the device's to write."""
    rig, inode = overwritten()
    before = rig.calls().get("__ext4_get_inode_loc", 0)
    rig.run(rig.writer.flusher.finish(rig.task))
    assert before + 1 == rig.calls()["__ext4_get_inode_loc"]
    rig.run(rig.fsync(inode))
    assert [] == rig.bios()


@pytest.mark.parametrize("delalloc", [True, False])
def test_nodes_of_the_tree_are_written_with_the_file(delalloc: bool) -> None:
    """Five extents need a node: it is the file's (mark_buffer_dirty_inode()); the bitmap is not."""
    rig = WriteRig(log=0, allocator=Bump(1, 1), delalloc=delalloc)
    inode = rig.file()
    rig.run(rig.write(inode, 0, 5 * PAGE), rig.writer.sync.write_and_wait(rig.task, inode))
    rig.bios()
    assert rig.calls()["mark_buffer_dirty_inode"] > 0
    rig.run(rig.fsync(inode))
    assert [("WSM", NODES + 1, 1), INODE, FLUSH] == rig.bios()
    assert 1 == rig.calls()["write_dirty_buffer"]
    assert rig.writer.sb.buffers.is_dirty(BITMAP)
    assert not inode.associated


def test_a_node_that_is_in_place_already_is_not_written_again() -> None:
    """The device's own write-back came before."""
    rig = WriteRig(log=0, allocator=Bump(1, 1))
    inode = rig.file()
    rig.run(rig.write(inode, 0, 5 * PAGE), rig.writer.sync.write_and_wait(rig.task, inode))
    rig.run(rig.writer.flusher.sync_blockdev(rig.task, []))
    rig.bios()
    rig.run(rig.fsync(inode))
    assert [FLUSH] == rig.bios()


def test_unwritten_extents_are_converted_under_handles_of_their_own() -> None:
    """Without a journal nothing was reserved: a start for each piece that is converted, and its credits."""
    rig = WriteRig(log=0, allocator=Bump(1, 1))
    inode = rig.file()
    rig.run(rig.write(inode, 0, 3 * PAGE))
    before = rig.calls()
    rig.run(rig.writer.sync.write_and_wait(rig.task, inode))
    after = rig.calls()

    def more(symbol: str) -> int:
        return after.get(symbol, 0) - before.get(symbol, 0)

    assert 0 == more("jbd2_journal_start_reserved") == more("__ext4_journal_start_reserved")
    assert 3 == more("ext4_convert_unwritten_extents")
    assert more("__ext4_journal_start_sb") == more("__ext4_journal_stop")
