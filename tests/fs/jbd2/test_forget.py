"""Blocks of metadata that are freed: what becomes of them in a transaction, the log and in place."""

from __future__ import annotations

from typing import Any

import pytest
from write_kit import LOG, NODES, Bump, WriteRig, at_once

from sim.block.bio import Plug
from sim.fs.map_flags import CREATE
from sim.units import KIB

PAGE = 4 * KIB
NODE = NODES + 1


class Freed:
    """A rig with a transaction in which a node is freed."""

    def __init__(self, **said: Any) -> None:
        self.rig = WriteRig(**said)
        self.sb = self.rig.writer.sb
        assert self.sb.journal is not None
        self.journal = self.sb.journal
        self.inode = self.rig.file()

    def change(self) -> None:
        """Change the node in a transaction of its own, left running."""
        task = self.rig.task
        self.sb.buffers.warm([NODE])
        self.sb.start_at_once(task, 4)
        self.sb.get_write_access(task, NODE)
        self.sb.dirty_metadata(task, NODE)
        self.sb.stop(task)

    def commit(self) -> list[tuple[str, int, int]]:
        """Commit what runs; return the bios."""
        running = self.journal.running
        assert running is not None
        self.rig.bios()
        self.rig.run(self.journal.complete(self.rig.task, running.tid))
        return self.rig.bios()

    def free(self, changes: bool = False) -> int:
        """Free the node, changed before if told; return how many credits the handle has then."""
        task = self.rig.task
        self.sb.start_at_once(task, 4)
        if changes:
            self.sb.get_write_access(task, NODE)
            self.sb.dirty_metadata(task, NODE)
        self.sb.forget(task, self.inode, NODE)
        credits = int(task.handle.credits)
        self.sb.stop(task)
        return credits


def test_what_was_changed_and_freed_in_one_transaction_is_not_logged() -> None:
    """A block of revocations, which has META and IDLE as the log's others, and a record; nothing in place."""
    freed = Freed()
    assert 5 == freed.free(changes=True)
    calls = freed.rig.calls()
    assert (1, 1) == (calls["jbd2_journal_revoke"], calls["jbd2_journal_forget"])
    assert [("WSM", LOG + 1, 1), ("FWFSM", LOG + 2, 1)] == freed.commit()[-2:]
    assert not freed.sb.buffers.is_dirty(NODE)
    assert freed.rig.calls()["end_buffer_write_sync"] >= 1


def test_with_journalled_data_nothing_is_revoked() -> None:
    """ext4_forget() of data=journal: the block is forgotten, and the log has a record alone."""
    freed = Freed(data="journal")
    freed.free(changes=True)
    calls = freed.rig.calls()
    assert (0, 1) == (calls.get("jbd2_journal_revoke", 0), calls["jbd2_journal_forget"])
    assert [("FWFSM", LOG + 1, 1)] == freed.commit()[-1:]


def test_a_block_of_an_older_transaction_is_let_go_with_the_commit() -> None:
    """It is filed once more (BJ_Forget); until that commit the old one keeps it, behind it does not."""
    freed = Freed()
    freed.change()
    freed.commit()
    assert freed.journal.log.has(NODE)
    before = freed.rig.calls().get("__jbd2_journal_refile_buffer", 0)
    freed.free()
    assert freed.journal.running is not None
    assert [NODE] == list(freed.journal.running.forgotten)
    assert freed.journal.log.has(NODE)
    assert not freed.sb.buffers.is_dirty(NODE)
    freed.commit()
    assert not freed.journal.log.has(NODE)
    assert before + 1 == freed.rig.calls()["__jbd2_journal_refile_buffer"]


def test_without_a_journal_a_freed_block_is_dropped() -> None:
    """bforget(): neither the device nor fsync(2) writes it."""
    rig = WriteRig(log=0)
    sb, inode = rig.writer.sb, rig.file()
    sb.buffers.warm([NODE])
    sb.dirty_metadata(rig.task, NODE, inode)
    assert [NODE] == list(inode.associated)
    sb.forget(rig.task, inode, NODE)
    assert not sb.buffers.is_dirty(NODE)
    assert not inode.associated


@pytest.mark.parametrize("room", [True, False])
def test_a_leaf_goes_up_only_with_credits_for_it(room: bool) -> None:
    """ext4_ext_try_to_merge_up() gives up where jbd2_journal_extend() does: the transaction is full."""
    rig = WriteRig(allocator=Bump(1, 1), data="writeback")
    sb, inode = rig.writer.sb, rig.file()
    journal = sb.journal
    assert journal is not None
    sb.start_at_once(rig.task, 60)

    def map_block(lblk: int) -> None:
        at_once(rig.writer.mapper.map_blocks(rig.task, inode, lblk, 1, CREATE, Plug(holds=False)))

    for lblk in (0, 2, 4, 6, 8):
        map_block(lblk)
    assert 1 == inode.tree.depth
    rig.allocator.next_data = inode.tree.extents()[0].physical + 1
    assert journal.running is not None
    if not room:
        journal.running.credits = journal.limit
    map_block(1)
    sb.stop(rig.task)
    assert 1 == rig.calls()["jbd2_journal_extend"]
    assert (0 if room else 1, [NODE] if room else []) == (inode.tree.depth, rig.allocator.freed)
