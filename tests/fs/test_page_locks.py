"""Pages that write-back looks at, and pages that are written: who waits for whom."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from write_kit import DATA, WriteRig

from sim.cache.pages import Mapping
from sim.fs.live_inode import LiveInode
from sim.fs.page_locks import LockedPages, PageLocks

PAGE = 4096
SLOW_NS = 10_000_000


def test_whose_page_it_is() -> None:
    """A page is busy for all but its holder, until the holder has let it go; one that is read, for all."""
    mapping = Mapping(8, False)
    locks, one, other = PageLocks(mapping), LockedPages(2, 4), LockedPages(6, 6)
    locks.hold(one)
    locks.hold(other)
    assert [page for page in range(8) if locks.busy(page)] == [2, 3]
    assert not locks.busy(3, one)
    assert locks.busy(3, other)
    one.first = 3
    assert not locks.busy(2)
    mapping.lock(7)
    assert [page for page in range(8) if locks.busy(page, one)] == [7]
    locks.drop(one)
    assert not locks.busy(3)


def ends(rig: WriteRig, step: Generator[Any, Any, None], ended: list[int]) -> Generator[Any, Any, None]:
    """Do a step; note when it has ended."""
    yield from step
    ended.append(rig.machine.clock.now)


def collected(rig: WriteRig) -> LiveInode:
    """
    Have a sync that has collected page 0, whose block is delayed, and waits for page 1, which is on its way.
    """
    inode = rig.file(2 * PAGE, [(1, DATA, 1, False)])
    start = rig.writer.sync.sync_file_range(rig.task, inode, False, True, False)
    rig.start(rig.write(inode, PAGE, PAGE), start, rig.write(inode, 0, 2 * PAGE), rig.fsync(inode))
    rig.run_for(SLOW_NS // 2)
    return inode


@pytest.mark.parametrize(("page", "waits"), [(0, True), (2, False)])
def test_a_writer_waits_for_a_page_that_was_collected(page: int, waits: bool) -> None:
    """Until it is in a bio, which is behind the wait for page 1; for another page it does not wait."""
    rig, ended = WriteRig(data_ns=SLOW_NS), list[int]()
    inode = collected(rig)
    task = rig.machine.cpu.task(1, "other")
    rig.start(ends(rig, rig.writer.write(task, inode, page * PAGE, PAGE), ended), task=task)
    rig.run_for(3 * SLOW_NS)
    assert (ended[0] >= SLOW_NS) == waits
    assert not inode.page_locks.holders


@pytest.mark.parametrize("path", ["page_io", "mpage", "iomap"])
def test_a_page_under_write_back_is_in_a_bio_that_can_be_waited_for(path: str) -> None:
    """
    Page 0 is in a bio that is not sent yet, for page 1 is waited for: a second sync waits for both, and at no
    time is a page under write-back without a bio.
    """
    rig, ended = WriteRig(path=path, data_ns=SLOW_NS, delalloc=False), list[int]()
    inode = rig.file(2 * PAGE, [(0, DATA, 2, False)])
    rig.cached(inode)
    start = rig.writer.sync.sync_file_range(rig.task, inode, False, True, False)
    rig.start(rig.write(inode, PAGE, PAGE), start, rig.write(inode, 0, 2 * PAGE), rig.fsync(inode))
    other = rig.machine.cpu.task(1, "other")
    late = rig.writer.sync.sync_file_range(other, inode, True, False, False)
    rig.run_for(SLOW_NS // 2)
    rig.start(ends(rig, late, ended), task=other)
    for _ in range(30):
        rig.run_for(SLOW_NS // 10)
        tags = inode.mapping.writeback
        assert tags is not None
        for page in range(2):
            assert not tags[page] or any(data.pages.has(page) for data in inode.under_way)
    assert ended[0] >= 2 * SLOW_NS
