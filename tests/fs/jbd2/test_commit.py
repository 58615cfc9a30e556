"""Handles, transactions and their commits: tiny logs, every bio of a sync in order."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from write_kit import BITMAP, DESCRIPTORS, LOG, TABLE, WriteRig

from sim.block.bio import Plug
from sim.errors import InvariantError
from sim.fs.jbd2.commit import Jbd2Journal
from sim.fs.jbd2.handle import METADATA, RESERVED, WAITS, WRITES
from sim.fs.live_inode import LiveInode
from sim.fs.map_flags import CREATE
from sim.units import KIB

PAGE = 4 * KIB
WHOLE = [(0, 500, 16, False)]


def journal_of(rig: WriteRig) -> Jbd2Journal:
    """Return a rig's journal."""
    assert rig.writer.journal is not None
    return rig.writer.journal


def shown(rig: WriteRig) -> str:
    """Return the bios since they were last asked for: d data, j log, s the journal's superblock, F flush."""
    words = []
    for letters, block, blocks in rig.bios():
        if not blocks:
            words.append("F")
            continue
        what = "s" if block == LOG else "j" if LOG < block < LOG + 4096 else "i" if block == TABLE else "d"
        flags = "+".join(
            name for name, said in (("PREFLUSH", letters[0] == "F"), ("FUA", "WF" in letters)) if said
        )
        words.append(f"{what}{8 * blocks}{'(' + flags + ')' if flags else ''}")
    return " ".join(words)


OVERWRITE = {
    "ordered": "d128 j8 j8 j8(PREFLUSH+FUA)",
    "writeback": "d128 j8 j8 j8(PREFLUSH+FUA)",
    "journal": "j8 " * 18 + "j8(PREFLUSH+FUA)",
    "nodelalloc": "d128 j8 j8 j8(PREFLUSH+FUA)",
    "nobarrier": "d128 j8 j8 j8",
    "async": "d128 j8 j8 j8 F",
    "no journal": "d128 i8 F",
    "no journal, nobarrier": "d128 i8",
}
"""64 KiB overwritten, then fsync(2): data, descriptor, inode, commit record."""
APPEND = {
    "ordered": "d8 j8 j8 j8 j8 j8(PREFLUSH+FUA)",
    "writeback": "d8 j8 j8 j8 j8 j8(PREFLUSH+FUA)",
    "journal": "j8 j8 j8 j8 j8 j8(PREFLUSH+FUA)",
    "nodelalloc": "d8 j8 j8 j8 j8 j8(PREFLUSH+FUA)",
    "nobarrier": "d8 j8 j8 j8 j8 j8",
    "async": "d8 j8 j8 j8 j8 j8 F",
    "no journal": "d8 i8 F",
    "no journal, nobarrier": "d8 i8",
}
"""A block appended, then fsync(2): descriptor, inode, bitmap and group descriptor, and their record."""
SAID: dict[str, dict[str, Any]] = {
    "ordered": {},
    "writeback": {"data": "writeback"},
    "journal": {"data": "journal"},
    "nodelalloc": {"delalloc": False},
    "nobarrier": {"barrier": False},
    "async": {"journal_async_commit": True},
    "no journal": {"log": 0},
    "no journal, nobarrier": {"log": 0, "barrier": False},
}


@pytest.mark.parametrize("mode", SAID)
def test_bios_of_an_overwrite_and_its_fsync(mode: str) -> None:
    """Section by section: what goes in place, what into the log, and where the cache is flushed."""
    rig = WriteRig(**SAID[mode])
    inode = rig.file(64 * KIB, WHOLE)
    rig.cached(inode)
    rig.run(rig.write(inode, 0, 64 * KIB), rig.fsync(inode))
    assert shown(rig) == OVERWRITE[mode]


@pytest.mark.parametrize("mode", SAID)
def test_bios_of_an_append_and_its_fsync(mode: str) -> None:
    """data=journal: the block is in the log, nothing goes in place; ordered: data before the log."""
    rig = WriteRig(**SAID[mode])
    inode = rig.file()
    rig.run(rig.write(inode, 0, PAGE), rig.fsync(inode))
    expected = APPEND[mode]
    assert sorted(shown(rig).split()) == sorted(expected.split())


def test_the_blocks_of_a_log() -> None:
    """Descriptor, blocks, record follow one another from the head on; the next transaction begins behind."""
    rig = WriteRig()
    inode = rig.file(64 * KIB, WHOLE)
    rig.cached(inode)
    rig.run(rig.write(inode, 0, PAGE), rig.fsync(inode))
    assert rig.bios() == [
        ("WS", 500, 1),
        ("WSM", LOG + 1, 1),
        ("WSM", LOG + 2, 1),
        ("FWFSM", LOG + 3, 1),
    ]
    rig.run(rig.write(inode, PAGE, PAGE), rig.fsync(inode))
    assert [block for _, block, _ in rig.bios()] == [501, LOG + 4, LOG + 5, LOG + 6]
    journal = journal_of(rig)
    assert journal.committed == 2
    assert journal.log.clean() == [[], [TABLE]]
    assert rig.writer.buffers.dirty_blocks == [TABLE]


def test_again_in_the_same_tick_there_is_nothing_to_commit() -> None:
    """The inode was not dirtied again: data, then a flush that no commit sends."""
    rig = WriteRig()
    inode = rig.file(64 * KIB, WHOLE)
    rig.cached(inode)
    rig.run(*[step for _ in range(2) for step in (rig.write(inode, 0, 64 * KIB), rig.fsync(inode))])
    assert shown(rig) == f"{OVERWRITE['ordered']} d128 F"


def test_times_do_not_count_for_fdatasync() -> None:
    """An overwrite and fdatasync(2): data and a flush; an append does count, its blocks are metadata."""
    rig = WriteRig(data="writeback", delalloc=False)
    inode = rig.file(64 * KIB, WHOLE)
    rig.cached(inode)
    rig.start(rig.write(inode, 0, 64 * KIB), rig.fsync(inode, data_only=True))
    rig.run_for(1_000_000)
    assert shown(rig) == "d128 F"
    rig.start(rig.write(inode, 64 * KIB, PAGE), rig.fsync(inode, data_only=True))
    rig.run_for(3_000_000)
    assert shown(rig).endswith("j8(PREFLUSH+FUA)")


def test_the_commit_interval() -> None:
    """Without a sync the transaction is committed by itself, 5 s after it began."""
    rig = WriteRig()
    inode = rig.file(64 * KIB, WHOLE)
    rig.cached(inode)
    rig.start(rig.write(inode, 0, PAGE))
    rig.run_for(4_999_999_999)
    assert shown(rig) == ""
    rig.run_for(2_000_000)
    assert shown(rig) == "j8 j8 j8(PREFLUSH+FUA)"


# -- handles ---------------------------------------------------------------------------------------------


def handle(rig: WriteRig, credits: int, blocks: list[int], stop: bool = True) -> Generator[Any, Any, None]:
    """Start a handle, change blocks, stop it."""
    journal = journal_of(rig)
    yield from journal.start(rig.task, credits)
    for block in blocks:
        journal.get_write_access(rig.task, block)
        journal.dirty_metadata(rig.task, block)
    if stop:
        journal.stop(rig.task)


def test_a_handle_that_does_not_fit_waits_for_a_commit() -> None:
    """1024 blocks: 256 credits a transaction, 2 of them for descriptors; 200 used leave no room for 60."""
    rig = WriteRig()
    journal = journal_of(rig)
    assert (journal.limit, journal.overhead) == (256, 2)
    rig.start(handle(rig, 200, list(range(200, 400))))
    rig.run_for(1_000)
    assert journal.running is not None
    assert journal.running.credits == 202
    assert journal.fits(54)
    assert not journal.fits(55)
    rig.start(handle(rig, 55, [300]))
    rig.run_for(1_000_000)
    assert journal.committed == 1
    assert shown(rig).count("j8") == 1 + 200 + 1
    assert journal.running.tid == 2
    assert journal.running.metadata() == [300]


def test_what_never_fits_is_an_error() -> None:
    """More credits than a transaction has, or than half of it set aside: nobody waits for that for ever."""
    rig = WriteRig(log=64)
    journal = journal_of(rig)
    assert journal.limit == 16
    journal.start_at_once(rig.task, 16)
    journal.stop(rig.task)
    with pytest.raises(InvariantError, match="a handle of 17 credits, in transactions of 16"):
        rig.run(handle(rig, 17, []))
    with pytest.raises(InvariantError, match="9 credits set aside, in transactions of 16"):
        next(journal.reserve(rig.task, 9))


def test_unused_credits_are_given_back() -> None:
    """A handle counts with all that it reserved while it is open, then with what it changed."""
    rig = WriteRig()
    journal = journal_of(rig)
    rig.start(handle(rig, 100, [200, 201, 200], stop=False))
    rig.run_for(1_000)
    assert journal.running is not None
    assert (journal.running.credits, journal.running.updates) == (102, 1)
    journal.stop(rig.task)
    assert (journal.running.credits, journal.running.updates) == (4, 0)


def test_a_commit_waits_for_open_handles() -> None:
    """A transaction that is asked for is committed when its last handle has stopped; none opens on it."""
    rig = WriteRig()
    journal = journal_of(rig)
    rig.start(handle(rig, 10, [200], stop=False))
    rig.run_for(1_000)
    journal.request(1)
    rig.run_for(1_000_000)
    assert shown(rig) == ""
    assert not journal.fits(1)
    journal.stop(rig.task)
    rig.run_for(2_000_000)
    assert shown(rig) == "j8 j8 j8(PREFLUSH+FUA)"


def test_reserved_credits() -> None:
    """At most half a transaction's are set aside; who asks for more waits until some are given back."""
    rig = WriteRig()
    journal = journal_of(rig)
    reached: list[int] = []

    def ask(credits: int) -> Generator[Any, Any, None]:
        yield from journal.reserve(rig.task, credits)
        reached.append(credits)

    rig.start(ask(100), ask(28), ask(1))
    rig.machine.clock.run()
    assert (reached, journal.reserved, journal.reserve_waits) == ([100, 28], 128, 1)
    journal.unreserve(28)
    rig.machine.clock.run()
    assert (reached, journal.reserved) == ([100, 28, 1], 101)
    rig.start(handle(rig, 1, [200], stop=False))
    rig.run_for(1_000)
    assert journal.running is not None
    assert journal.running.credits == 2 + 101 + 1


def test_blocks_are_got_before_they_are_changed() -> None:
    """Without access, without a handle, beyond the credits: each is an error of the simulator."""
    rig = WriteRig()
    journal = journal_of(rig)
    with pytest.raises(InvariantError, match="without a handle"):
        journal.get_write_access(rig.task, 200)
    with pytest.raises(InvariantError, match="has not"):
        journal.stop(rig.task)
    journal.start_at_once(rig.task, 1)
    with pytest.raises(InvariantError, match="block 200 is changed without access"):
        journal.dirty_metadata(rig.task, 200)
    for block in (200, 201):
        journal.get_write_access(rig.task, block)
    transaction = journal.running
    assert transaction is not None
    journal.dirty_metadata(rig.task, 200)
    assert transaction.files == {200: METADATA, 201: RESERVED}
    with pytest.raises(InvariantError, match="no credits left for block 201"):
        journal.dirty_metadata(rig.task, 201)


def test_what_is_got_and_not_changed_is_not_logged() -> None:
    """A reserved block has no place in the log; nor has a freed one."""
    rig = WriteRig()
    journal = journal_of(rig)
    journal.start_at_once(rig.task, 5)
    for block in (200, 201, 202):
        journal.get_write_access(rig.task, block)
    for block in (202, 200):
        journal.dirty_metadata(rig.task, block)
    journal.revoke(rig.task, 202)
    assert journal.running is not None
    assert journal.running.metadata() == [200]
    assert list(journal.running.revoked) == [202]
    journal.get_create_access(rig.task, 202)
    assert list(journal.running.revoked) == []


def test_a_handle_within_a_handle_is_the_same() -> None:
    """Started twice, it is stopped by the second stop."""
    rig = WriteRig()
    journal = journal_of(rig)
    first = journal.start_at_once(rig.task, 5)
    assert journal.start_at_once(rig.task, 100) is first
    journal.stop(rig.task)
    assert rig.task.handle is first
    journal.stop(rig.task)
    assert rig.task.handle is None


# -- checkpoints -----------------------------------------------------------------------------------------


def test_a_full_log_is_checkpointed() -> None:
    """The oldest transaction goes in place, a bio a block, then a flush and the journal's superblock."""
    rig = WriteRig()
    journal = journal_of(rig)
    for number in range(4):  # 200 blocks each: with descriptors and records 808 of 1023 blocks
        rig.start(handle(rig, 200, list(range(2000 + 200 * number, 2200 + 200 * number))))
        rig.run_for(1_000)
        journal.request(number + 1)
        rig.run_for(10_000_000)
    assert journal.log.free == 1023 - 4 * 202
    assert not journal.has_space()
    rig.bios()
    rig.start(handle(rig, 1, [200]))
    rig.run_for(10_000_000)
    bios = rig.bios()
    assert bios[:200] == [("WS", block, 1) for block in range(2000, 2200)]
    assert bios[200:] == [("FWS", 0, 0), ("WFSM", LOG, 1)]
    assert rig.writer.buffers.dirty_blocks == list(range(2200, 2800))
    assert journal.log.free == 1023 - 3 * 202
    assert journal.running is not None
    assert journal.running.tid == 5


# -- ordered data ----------------------------------------------------------------------------------------


def append(rig: WriteRig, inode: LiveInode) -> Generator[Any, Any, None]:
    """Start write-back of an append, and do not wait for it."""
    yield from rig.write(inode, 0, PAGE)
    yield from rig.writer.sync.write_range(rig.task, inode)


@pytest.mark.parametrize(("mode", "waits"), [("ordered", True), ("writeback", False)])
def test_the_record_waits_for_ordered_data(mode: str, waits: bool) -> None:
    """data=ordered: no commit record before the data of new blocks is there, however long it takes."""
    rig = WriteRig(block_size=1024, data_ns=1_000_000, data=mode)
    rig.start(append(rig, rig.file()))
    rig.run_for(1_000)
    journal_of(rig).request(1)
    rig.run_for(3_000_000)
    data = [time for letters, time, *_ in rig.events if letters == "C WS"]
    record = [time for letters, time, *_ in rig.events if letters == "Q FWFSM"]
    assert len(data) == len(record) == 1
    assert (data[0] <= record[0]) == waits


def test_the_record_waits_for_the_log() -> None:
    """No commit record is queued before the blocks of its transaction are in the log."""
    rig = WriteRig(latency_ns=50_000)
    inode = rig.file(16 * PAGE, WHOLE)
    rig.run(rig.write(inode, 0, PAGE), rig.fsync(inode))
    log = [time for letters, time, *_ in rig.events if letters == "C WSM"]
    (record,) = [time for letters, time, *_ in rig.events if letters == "Q FWFSM"]
    assert log
    assert max(log) <= record


def test_an_inode_is_on_the_list_for_every_reason() -> None:
    """Its data may have to be written and to be waited for: jbd2 keeps both flags."""
    rig = WriteRig()
    journal, inode = journal_of(rig), rig.file()
    journal.start_at_once(rig.task, 1)
    journal.file_inode(rig.task, inode.number, WRITES)
    journal.file_inode(rig.task, inode.number, WAITS)
    running = journal.running
    assert running is not None
    assert running.inodes == {inode.number: WRITES | WAITS}


def test_nodelalloc_data_is_written_by_the_commit() -> None:
    """The blocks exist since write(2): the commit writes their data itself, before its record."""
    rig = WriteRig(delalloc=False)
    inode = rig.file()
    rig.start(rig.write(inode, 0, PAGE))
    rig.run_for(1_000)
    assert shown(rig) == ""
    journal_of(rig).request(1)
    rig.run_for(1_000_000)
    assert shown(rig) == "d8 j8 j8 j8 j8 j8(PREFLUSH+FUA)"
    assert inode.mapping.dirty is not None
    assert inode.mapping.dirty.count(1) == 0


def test_writeback_mode_writes_no_data() -> None:
    """data=writeback: the commit comes first, and shows blocks that were never written."""
    rig = WriteRig(delalloc=False, data="writeback")
    inode = rig.file()
    rig.start(rig.write(inode, 0, PAGE))
    rig.run_for(1_000)
    journal_of(rig).request(1)
    rig.run_for(1_000_000)
    assert shown(rig) == "j8 j8 j8 j8 j8(PREFLUSH+FUA)"
    assert inode.mapping.dirty is not None
    assert inode.mapping.dirty.count(1) == 1


def test_journalled_data_goes_in_place_after_its_commit() -> None:
    """data=journal: first the log, then the page is dirty, and its block is written where it belongs."""
    rig = WriteRig(data="journal")
    inode = rig.file(64 * KIB, WHOLE)
    rig.cached(inode)
    rig.run(rig.write(inode, 0, 2 * PAGE), rig.fsync(inode))
    assert shown(rig) == "j8 j8 j8 j8 j8(PREFLUSH+FUA)"
    assert inode.mapping.dirty is not None
    assert inode.mapping.dirty.count(1) == 2
    rig.run(rig.writer.flusher.finish(rig.task))
    assert rig.bios() == [("W", 500, 1), ("W", 501, 1)]
    assert inode.mapping.dirty.count(1) == 0


def test_metadata_of_a_map_is_in_the_transaction() -> None:
    """An allocation changes inode, bitmap and group descriptor."""
    rig = WriteRig(data="writeback")
    inode = rig.file()
    mapper = rig.writer.mapper

    def allocate() -> Generator[Any, Any, None]:
        yield from rig.writer.sb.start(rig.task, 20)
        yield from mapper.map_blocks(rig.task, inode, 0, 1, CREATE, Plug(holds=False))
        rig.writer.sb.stop(rig.task)

    rig.start(allocate())
    rig.run_for(1_000)
    running = journal_of(rig).running
    assert running is not None
    assert sorted(running.metadata()) == [DESCRIPTORS, BITMAP, TABLE]
