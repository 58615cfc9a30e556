"""Two tasks and one journal: a sync behind another's flush, a log that both find full, pages that it has."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from write_kit import LOG, TABLE, WriteRig

from sim.engine.cpu import Task
from sim.fs.jbd2.commit import Jbd2Journal
from sim.units import KIB

PAGE = 4 * KIB
WHOLE = [(0, 500, 16, False)]


def journal_of(rig: WriteRig) -> Jbd2Journal:
    """Return a rig's journal."""
    assert rig.writer.journal is not None
    return rig.writer.journal


def test_a_sync_behind_the_flush_of_a_commit_flushes_itself() -> None:
    """
    Data that came to the device after the commit record's PREFLUSH is not covered by it, whatever transaction
    the inode waits for (T_COMMIT_JFLUSH in jbd2_trans_will_send_data_barrier()).
    """
    rig = WriteRig(latency_ns=300_000)
    first, second = rig.file(64 * KIB, WHOLE, number=12), rig.file(64 * KIB, [(0, 600, 16, False)], number=13)
    for inode in (first, second):
        rig.cached(inode)
    other = rig.machine.cpu.task(1, "other")
    rig.run_for(1)
    rig.start(rig.write(first, 0, PAGE), rig.write(second, 0, PAGE), rig.fsync(first))
    rig.run_for(700_000)
    letters = [letters for letters, _, _ in rig.bios()]
    assert letters == ["WS", "WSM", "WSM", "FWFSM"]  # data, descriptor, inode; the record is under way
    writer = rig.writer
    rig.start(writer.write(other, second, PAGE, PAGE), writer.sync.fsync(other, second), task=other)
    rig.run_for(2_000_000)
    assert [said for said in rig.bios() if said[0] == "FWS"] == [("FWS", 0, 0)]
    assert journal_of(rig).committed == 1


def test_a_sync_before_the_flush_of_a_commit_leaves_it_to_that() -> None:
    """The commit is still to come: its own flush does."""
    rig = WriteRig()
    inode = rig.file(64 * KIB, WHOLE)
    rig.cached(inode)
    rig.run(rig.write(inode, 0, PAGE), rig.fsync(inode))
    assert [letters for letters, _, _ in rig.bios()] == ["WS", "WSM", "WSM", "FWFSM"]


def test_two_that_find_the_log_full_make_one_checkpoint() -> None:
    """
    The second waits for the first (j_checkpoint_mutex) and finds that there is room: else it would drop the
    next transaction, whose blocks are nowhere but in the log.
    """
    rig = WriteRig()
    journal = journal_of(rig)

    def handle(task: Task, blocks: range) -> Generator[Any, Any, None]:
        yield from journal.start(task, len(blocks))
        for block in blocks:
            journal.get_write_access(task, block)
            journal.dirty_metadata(task, block)
        journal.stop(task)

    for number in range(4):
        rig.start(handle(rig.task, range(2000 + 200 * number, 2200 + 200 * number)))
        rig.run_for(1_000)
        journal.request(number + 1)
        rig.run_for(10_000_000)
    rig.bios()
    other = rig.machine.cpu.task(1, "other")
    rig.start(handle(rig.task, range(200, 201)))
    rig.start(handle(other, range(201, 202)), task=other)
    rig.run_for(10_000_000)
    assert rig.bios()[200:] == [("FWS", 0, 0), ("WFSM", LOG, 1)]
    assert rig.writer.buffers.dirty_blocks == list(range(2200, 2800))
    assert [len(blocks) for blocks in journal.log.clean()] == [200] * 3
    assert journal.running is not None
    assert journal.running.metadata() == [200, 201]


def test_pages_that_the_journal_has_stay_in_memory() -> None:
    """data=journal: until its commit, what was written is nowhere but in the page (ext4_release_folio())."""
    rig = WriteRig(data="journal")
    inode = rig.file(64 * KIB, WHOLE)
    rig.cached(inode)
    cache, mapping = rig.machine.cache, inode.mapping
    rig.start(rig.write(inode, 0, 2 * PAGE))
    rig.run_for(1_000_000)
    assert cache.drop(mapping) == 14
    rig.run(rig.fsync(inode))
    assert cache.drop(mapping) == 0  # committed, and dirty in their pages
    rig.run(rig.writer.flusher.finish(rig.task))
    assert cache.drop(mapping) == 2
    assert TABLE in rig.writer.buffers.dirty_blocks


def test_a_reserved_handle_comes_to_a_locked_transaction() -> None:
    """The last open handle stops, and before the commit wakes a reserved one begins: it waits for that."""
    rig = WriteRig()
    journal = journal_of(rig)
    worker = rig.machine.cpu.task(1, "worker")
    rig.run(journal.reserve(worker, 2))
    journal.start_at_once(rig.task, 2)
    journal.get_write_access(rig.task, 200)
    journal.dirty_metadata(rig.task, 200)
    journal.request(1)
    rig.run_for(1_000_000)
    journal.stop(rig.task)
    journal.start_reserved(worker, 2)
    rig.run_for(1_000_000)
    assert rig.bios() == []
    journal.get_write_access(worker, 201)
    journal.dirty_metadata(worker, 201)
    journal.stop(worker)
    rig.run_for(1_000_000)
    assert [block for _, block, _ in rig.bios()] == [LOG + 1, LOG + 2, LOG + 3, LOG + 4]
    assert journal.log.clean() == [[200, 201]]
