"""Who may write a block in place, and when: never while a transaction that is not committed has it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from write_kit import LOG, WriteRig

from sim.fs.jbd2.commit import Jbd2Journal


def journal_of(rig: WriteRig) -> Jbd2Journal:
    """Return a rig's journal."""
    assert rig.writer.journal is not None
    return rig.writer.journal


def change(rig: WriteRig, *blocks: int) -> Generator[Any, Any, None]:
    """Change blocks in one handle."""
    journal = journal_of(rig)
    yield from journal.start(rig.task, max(len(blocks), 1))
    for block in blocks:
        journal.get_write_access(rig.task, block)
        journal.dirty_metadata(rig.task, block)
    journal.stop(rig.task)


def test_a_block_is_dirty_in_place_between_two_transactions() -> None:
    """From a commit until the next transaction gets it; then again from that one's commit."""
    rig = WriteRig()
    journal, buffers = journal_of(rig), rig.writer.buffers
    rig.start(change(rig, 200, 201))
    rig.run_for(1_000)
    assert buffers.dirty_blocks == []
    journal.request(1)
    rig.run_for(1_000_000)
    assert buffers.dirty_blocks == [200, 201]
    rig.start(change(rig, 200))
    rig.run_for(1_000)
    assert buffers.dirty_blocks == [201]
    journal.request(2)
    rig.run_for(1_000_000)
    assert buffers.dirty_blocks == [200, 201]
    assert journal.log.clean() == [[201], [200]]


def test_a_block_that_changes_while_it_is_committed() -> None:
    """The running transaction has it: its place stays as it was until that is committed, too."""
    rig = WriteRig()
    journal, buffers = journal_of(rig), rig.writer.buffers
    rig.start(change(rig, 200, 201))
    rig.run_for(1_000)
    journal.request(1)
    rig.run_for(40_000)
    assert journal.committing is not None
    rig.start(change(rig, 200))
    rig.run_for(1_000_000)
    assert journal.committed == 1
    assert buffers.dirty_blocks == [201]
    journal.request(2)
    rig.run_for(1_000_000)
    assert buffers.dirty_blocks == [200, 201]


def test_a_checkpoint_commits_what_changes_first() -> None:
    """
    The oldest transaction's block is in the running one: that is committed, then the block is no longer the
    oldest one's to bring in place; the rest goes there, and the log's tail moves.
    """
    rig = WriteRig(log=1024)
    journal = journal_of(rig)
    rig.start(change(rig, 200, 201))
    rig.run_for(1_000)
    journal.request(1)
    rig.run_for(1_000_000)
    rig.start(change(rig, 200))
    rig.run_for(1_000)
    rig.bios()
    rig.run(journal.do_checkpoint(rig.task))
    bios = rig.bios()
    assert journal.committed == 2
    assert [bio for bio in bios if bio[1] in (200, 201)] == [("WS", 201, 1)]
    assert bios[-3:] == [("WS", 201, 1), ("FWS", 0, 0), ("WFSM", LOG, 1)]
    assert journal.log.clean() == [[200]]
    assert rig.writer.buffers.dirty_blocks == [200]


def test_a_freed_block_is_not_written_any_more() -> None:
    """
    Its old contents could overwrite what gets the block next. The log has it until the revocation is
    committed: a checkpoint commits that first.
    """
    rig = WriteRig()
    journal, buffers = journal_of(rig), rig.writer.buffers
    rig.start(change(rig, 200, 201))
    rig.run_for(1_000)
    journal.request(1)
    rig.run_for(1_000_000)
    journal.start_at_once(rig.task, 1)
    journal.revoke(rig.task, 200)
    journal.stop(rig.task)
    assert buffers.dirty_blocks == [201]
    rig.bios()
    rig.run(journal.do_checkpoint(rig.task))
    bios = [(letters, block) for letters, block, _ in rig.bios()]
    assert journal.committed == 2
    assert [block for _, block in bios if block in (200, 201)] == [201]
    assert bios.index(("WS", 201)) > max(
        at for at, bio in enumerate(bios) if bio[0] == "FWFSM" and bio[1] > LOG
    )


def test_nothing_to_bring_in_place() -> None:
    """All is there already: a flush, and the tail."""
    rig = WriteRig()
    journal = journal_of(rig)
    rig.run(change(rig, 200))
    journal.request(1)
    rig.machine.clock.run()
    rig.run(rig.writer.flusher.syncfs(rig.task))
    rig.writer.buffers.write_back(rig.task)
    rig.machine.clock.run()
    rig.bios()
    rig.run(journal.do_checkpoint(rig.task))
    assert rig.bios() == [("FWS", 0, 0), ("WFSM", LOG, 1)]
    assert journal.log.clean() == []
