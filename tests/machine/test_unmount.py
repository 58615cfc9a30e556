"""umount(2): what it writes and in which order, and that nothing is left."""

from __future__ import annotations

from typing import Any

import pytest
from write_kit import LOG, TABLE, WriteRig

from sim.engine.mode import compiled
from sim.errors import InvariantError
from sim.machine.unmount import Unmount
from sim.records.write_case import CountedCalls
from sim.units import KIB, NS_PER_S

WHOLE = [(0, 500, 16, False)]
BLOCK = 4096


def rig_with_a_file(**said: Any) -> tuple[WriteRig, Any]:
    """Return a mounted volume with an open file of 64 KiB, all of it cached."""
    rig = WriteRig(costs=CountedCalls(), **said)
    inode = rig.file(64 * KIB, WHOLE)
    rig.cached(inode)
    return rig, inode


def unmount(rig: WriteRig) -> dict[str, int]:
    """Unmount; return what that called."""
    before = rig.calls()
    rig.run(Unmount(rig.machine.ledger, rig.writer, rig.machine.cache, 1).run(rig.task))
    return {symbol: calls - before.get(symbol, 0) for symbol, calls in rig.calls().items()}


def shown(rig: WriteRig) -> str:
    """Return the bios since the last time: RWBS and first block; flushes as F."""
    return " ".join("F" if not blocks else f"{rwbs}:{block}" for rwbs, block, blocks in rig.bios())


@pytest.mark.parametrize("delalloc", [False, True])
def test_of_what_was_synced_metadata_is_left(delalloc: bool) -> None:
    """
    The inode's block goes in place; each sync without a commit ends with a flush, of which there are three
    more with delalloc, for quota. Then the log's tail moves to the last transaction, and, that being in
    place, behind it; the log is empty; the superblock says so.
    """
    rig, inode = rig_with_a_file(delalloc=delalloc)
    rig.run(rig.write(inode, 0, BLOCK), rig.fsync(inode))
    rig.run(rig.write(inode, BLOCK, BLOCK), rig.fsync(inode))
    rig.bios()
    calls = unmount(rig)
    syncs = 4 if delalloc else 1
    moves = f"F WFSM:{LOG} F WFSM:{LOG}"
    assert shown(rig) == f"WM:{TABLE} {'F ' * syncs}{moves} FWFSM:{LOG} WFSM:0"
    assert (calls["ext4_sync_fs"], calls["jbd2_log_do_checkpoint"]) == (2 * syncs, 2)
    assert calls["ext4_es_remove_extent"] == 4, "the file, the root, the journal, the buddies"


def test_dirty_data_is_written_and_committed() -> None:
    """The flusher's data without SYNC, then the commit, then metadata, then the superblocks."""
    rig, inode = rig_with_a_file(delalloc=False)
    rig.start(rig.write(inode, 0, BLOCK))
    rig.run_for(NS_PER_S)
    assert rig.bios() == []
    unmount(rig)
    bios = shown(rig).split()
    assert bios[0] == "W:500"
    assert bios[1:4] == [f"WSM:{LOG + 1}", f"WSM:{LOG + 2}", f"FWFSM:{LOG + 3}"]
    assert f"WSM:{TABLE}" in bios
    assert bios[-2:] == [f"FWFSM:{LOG}", "WFSM:0"]


def test_journalled_data_goes_in_place() -> None:
    """data=journal: what fsync left in the log only; its blocks are off the journal's list then."""
    rig, inode = rig_with_a_file(data="journal")
    rig.run(rig.write(inode, 0, 2 * BLOCK), rig.fsync(inode))
    rig.bios()
    calls = unmount(rig)
    bios = shown(rig).split()
    assert bios[:3] == ["W:500", "W:501", f"WM:{TABLE}"]
    assert (calls["jbd2_journal_invalidate_folio"], calls.get("block_invalidate_folio")) == (2, 1)
    assert rig.writer.journal is not None
    assert rig.writer.journal.log.clean() == []


def test_what_a_page_has_no_block_for_stays_on_the_list() -> None:
    """A page of 4 KiB with one block of 2: the other's place is none, and not the superblock's, block 0."""
    rig = WriteRig(2048, costs=CountedCalls(), data="journal", delalloc=False)
    inode = rig.file(2048, [(0, 500, 1, False)])
    journal = rig.writer.journal
    assert journal is not None
    rig.start(rig.write(inode, 0, 100), rig.fsync(inode))
    rig.run_for(NS_PER_S)
    rig.start(rig.write(inode, 0, 100))
    rig.run_for(NS_PER_S)
    seen: list[int] = []
    leaves = journal.log.leaves
    if not compiled():
        journal.log.leaves = lambda block: (seen.append(block), leaves(block))  # type: ignore[method-assign]
    unmount(rig)
    assert 0 not in seen
    assert 500 in seen or compiled()


def test_journalled_data_that_umount_commits_goes_in_place_too() -> None:
    """Into the log by the sync, then, before its pages are dropped, in place."""
    rig, inode = rig_with_a_file(data="journal", delalloc=False)
    rig.start(rig.write(inode, 0, 2 * BLOCK))
    rig.run_for(NS_PER_S)
    assert rig.bios() == []
    unmount(rig)
    bios = shown(rig).split()
    assert bios[:5] == [f"WSM:{LOG + number}" for number in (1, 2, 3, 4)] + [f"FWFSM:{LOG + 5}"]
    assert {"WS:500", "WS:501"} <= set(bios)
    assert inode.mapping.dirty_pages == 0


@pytest.mark.parametrize("barrier", [True, False])
def test_without_barriers_nothing_is_flushed(barrier: bool) -> None:
    """Nor has anything FUA; what is written is the same."""
    rig, inode = rig_with_a_file(barrier=barrier)
    rig.run(rig.write(inode, 0, BLOCK), rig.fsync(inode))
    rig.bios()
    unmount(rig)
    bios = shown(rig)
    assert barrier == ("F" in bios)
    assert [word.partition(":")[2] for word in bios.split() if ":" in word][-2:] == [str(LOG), "0"]


def test_without_a_journal_only_the_superblock_is_left() -> None:
    """fsync wrote the inode's block; its page is looked at once more."""
    rig, inode = rig_with_a_file(log=0, delalloc=False)
    rig.run(rig.write(inode, 0, BLOCK), rig.fsync(inode))
    rig.bios()
    calls = unmount(rig)
    assert shown(rig) == "F WFSM:0"
    assert (calls["block_write_full_page"], calls["ext4_sync_fs"]) == (1, 2)
    assert calls["__writeback_single_inode"] == 1, "the device's: the file's inode is clean"


def test_no_page_is_left() -> None:
    """Pages of the file with their buffer heads, and the device's own; what was read ahead has no heads."""
    rig, inode = rig_with_a_file()
    rig.run(rig.write(inode, 0, 3 * BLOCK), rig.fsync(inode))
    calls = unmount(rig)
    assert (calls["jbd2_journal_try_to_free_buffers"], rig.machine.cache.cached) == (3, 0)
    assert rig.writer.buffers.dirty_page_count == 0
    assert not rig.writer.buffers.holds(TABLE)
    assert rig.writer.journal is not None
    assert rig.writer.journal.closed
    rig.machine.cache.check([inode.mapping])


def test_a_second_umount_writes_what_a_clean_one_does() -> None:
    """Nothing dirty, nothing committed: the log is marked as empty, the superblock is written."""
    rig = WriteRig(costs=CountedCalls(), delalloc=False)
    unmount(rig)
    assert shown(rig) == f"F FWFSM:{LOG} WFSM:0"


def test_a_journal_with_a_transaction_is_not_destroyed() -> None:
    """Who unmounts has committed before."""
    rig, inode = rig_with_a_file()
    rig.start(rig.write(inode, 0, BLOCK))
    rig.run_for(NS_PER_S)
    assert rig.writer.journal is not None
    with pytest.raises(InvariantError, match="transaction 1 is not committed"):
        rig.run(rig.writer.journal.destroy(rig.task))
