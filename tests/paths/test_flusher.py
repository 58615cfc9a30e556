"""Dirty pages: who writes them when, and that they stay in memory until they are written."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from write_kit import DATA, WriteRig

from sim.cache.pages import ABSENT, Mapping
from sim.fs.live_inode import LiveInode
from sim.machine.writer import DIRTY_BACKGROUND_PERCENT, DIRTY_PERCENT, WRITEBACK_INTERVAL_NS
from sim.paths.flusher import total_dirty
from sim.paths.writepages.rounds import Ext4Writepages
from sim.paths.writepages.wait import total_under_way

PAGE = 4096


def overwritten(rig: WriteRig, pages: int, number: int = 12, at: int = 500) -> LiveInode:
    """Open a file of so many contiguous pages, all cached."""
    inode = rig.file(pages * PAGE, [(0, at, pages, False)], number)
    rig.cached(inode)
    return inode


def note(inode: LiveInode, left: list[int]) -> Generator[Any, Any, None]:
    """Note how many pages of a file are dirty."""
    left.append(total_dirty([inode]))
    yield from ()


def data_bios(rig: WriteRig) -> list[tuple[str, int, int]]:
    """Return the bios of data since they were last asked for."""
    return [bio for bio in rig.bios() if "M" not in bio[0] and bio[2]]


def test_the_thresholds_are_shares_of_memory() -> None:
    """vm.dirty_background_ratio and vm.dirty_ratio as a kernel has them."""
    assert (DIRTY_BACKGROUND_PERCENT, DIRTY_PERCENT, WRITEBACK_INTERVAL_NS) == (10, 20, 5_000_000_000)


def test_the_flusher_starts_beyond_the_background_threshold() -> None:
    """100 pages of memory: with 10 dirty ones nothing happens, with the 11th the flusher writes all."""
    rig = WriteRig(memory_pages=100)
    inode = overwritten(rig, 32)
    rig.start(rig.write(inode, 0, 10 * PAGE))
    rig.run_for(1_000_000)
    assert (data_bios(rig), total_dirty([inode])) == ([], 10)
    rig.start(rig.write(inode, 10 * PAGE, PAGE))
    rig.run_for(1_000_000)
    assert (data_bios(rig), total_dirty([inode])) == ([("W", 500, 11)], 0)


def test_a_writer_beyond_the_other_threshold_waits() -> None:
    """With 20 dirty pages it goes on at once; with the 21st it waits until the flusher has been through."""
    for pages, waits in ((20, False), (21, True)):
        rig = WriteRig(memory_pages=100, latency_ns=0)
        inode = overwritten(rig, 32)
        left: list[int] = []
        rig.start(rig.write(inode, 0, pages * PAGE), note(inode, left))
        rig.run_for(1_000_000)
        assert left == [0 if waits else 20]
        assert total_dirty([inode]) == 0


@pytest.mark.parametrize(("more", "waits"), [(9, False), (10, True)])
def test_pages_on_their_way_count_too(more: int, waits: bool) -> None:
    """11 pages are under write-back for a millisecond: with 9 dirty a writer goes on, with 10 it waits."""
    rig = WriteRig(memory_pages=100, latency_ns=1_000_000)
    inode = overwritten(rig, 32)
    ended: list[int] = []

    def end() -> Generator[Any, Any, None]:
        ended.append(rig.machine.clock.now)
        yield from ()

    rig.start(rig.write(inode, 0, 11 * PAGE))
    rig.run_for(1_000)
    assert (total_dirty([inode]), total_under_way([inode])) == (0, 11)
    rig.start(rig.write(inode, 11 * PAGE, more * PAGE), end())
    rig.run_for(10_000_000)
    assert (ended[0] >= 1_000_000) == waits


def test_the_interval() -> None:
    """Few dirty pages are written 5 s after the first was, and nothing is left to wake up for."""
    rig = WriteRig(memory_pages=1000)
    inode = overwritten(rig, 32)
    rig.start(rig.write(inode, 0, 3 * PAGE))
    rig.run_for(WRITEBACK_INTERVAL_NS - 1)
    assert (data_bios(rig), total_dirty([inode])) == ([], 3)
    rig.machine.clock.run()
    assert (data_bios(rig), total_dirty([inode])) == ([("W", 500, 3)], 0)
    assert rig.machine.clock.now < 3 * WRITEBACK_INTERVAL_NS


def test_without_memory_there_are_no_thresholds() -> None:
    """memory_pages=0: a recorded case, whose flusher is asked for by its script alone."""
    rig = WriteRig(data="writeback")
    inode = overwritten(rig, 512)
    rig.run(rig.write(inode, 0, 512 * PAGE))
    assert (data_bios(rig), total_dirty([inode])) == ([], 512)


def test_sync_writes_every_file_and_all_metadata() -> None:
    """syncfs(2): data of all files, a commit, then metadata in place; nothing is dirty then."""
    rig = WriteRig()
    one, two = overwritten(rig, 4), overwritten(rig, 4, 13, 900)
    rig.start(rig.write(one, 0, 4 * PAGE), rig.write(two, PAGE, PAGE), rig.writer.flusher.syncfs(rig.task))
    rig.run_for(10_000_000)
    assert [bio for bio in rig.bios() if "M" not in bio[0]] == [("W", 500, 4), ("W", 901, 1)]
    assert total_dirty([one, two]) == 0
    assert rig.writer.buffers.dirty_blocks == []
    assert rig.writer.journal is not None
    assert rig.writer.journal.committed == 1


@pytest.mark.parametrize("path", ["page_io", "buffer_head", "mpage"])
def test_after_all_nothing_is_dirty_and_pages_may_go(path: str) -> None:
    """After fsync(2) no page is dirty or under write-back, and all can be dropped."""
    rig = WriteRig(path=path, delalloc=False)
    inode = rig.file()
    rig.run(rig.write(inode, 0, 9 * PAGE + 5), rig.fsync(inode))
    mapping = inode.mapping
    assert mapping.dirty is not None
    assert mapping.writeback is not None
    assert (mapping.dirty.count(1), mapping.writeback.count(1), inode.under_way) == (0, 0, [])
    assert (mapping.dirty_pages, mapping.writeback_pages) == (0, 0)
    rig.machine.cache.check([mapping])
    assert rig.machine.cache.drop(mapping) == 10
    rig.machine.cache.check([mapping])
    assert bytes(mapping.state).count(ABSENT) == 10


def test_dirty_pages_are_not_dropped() -> None:
    """POSIX_FADV_DONTNEED leaves what is to be written."""
    rig = WriteRig()
    inode = overwritten(rig, 8)
    rig.start(rig.write(inode, 2 * PAGE, 3 * PAGE))
    rig.run_for(1_000)
    assert rig.machine.cache.drop(inode.mapping) == 5
    assert [page for page in range(8) if inode.mapping.state[page] != ABSENT] == [2, 3, 4]


@pytest.mark.parametrize("tag", ["dirty", "writeback"])
def test_reclaim_takes_no_page_that_is_to_be_written(tag: str) -> None:
    """Under pressure clean pages go; one that is dirty, or on its way to the disk, never."""
    rig = WriteRig(cache_pages=16)
    cache = rig.machine.cache
    old = Mapping(8, False)
    cache.insert(old, 0, 8)
    old.set_uptodate(0, 8)
    old.written_to()
    kept = {1, 4, 5}
    for page in kept:
        (old.dirty if tag == "dirty" else old.writeback)[page] = 1  # type: ignore[index]
    new = Mapping(200, False)
    for page in range(200):
        cache.insert(new, page, page + 1)
        new.set_uptodate(page, page + 1)
    assert {page for page in range(8) if old.state[page] != ABSENT} == kept
    assert cache.cached <= 16
    cache.check([old, new])
    old.dirty, old.writeback = bytearray(8), bytearray(8)
    for page in range(100):
        if new.state[page] == ABSENT:
            cache.insert(new, page, page + 1)
            new.set_uptodate(page, page + 1)
    assert old.state.count(ABSENT) == 8


def test_a_file_larger_than_memory_is_written() -> None:
    """64 pages through a cache of 32: the flusher makes room, every block is written, once."""
    rig = WriteRig(memory_pages=32, cache_pages=32)
    inode = rig.file()
    rig.run(*[rig.write(inode, page * PAGE, PAGE) for page in range(64)], rig.fsync(inode))
    blocks = [block + at for _, block, many in data_bios(rig) if block >= DATA for at in range(many)]
    assert sorted(blocks) == list(range(DATA, DATA + 64))
    assert rig.machine.cache.peak <= 32 + 1
    assert total_dirty([inode]) == 0
    assert inode.disksize == 64 * PAGE


# -- several at once -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["page_io", "buffer_head", "mpage"])
@pytest.mark.parametrize("said", [{}, {"delalloc": False}, {"data": "journal"}], ids=str)
def test_two_writers_of_two_files(path: str, said: dict[str, Any]) -> None:
    """Each appends and syncs block by block beside the other: all is written, nothing is mixed up."""
    if path != "page_io" and said == {}:
        said = {"delalloc": False, "data": "writeback"}
    rig = WriteRig(path=path, **said)
    inodes = [rig.file(number=12), rig.file(number=13)]
    for core, inode in enumerate(inodes):
        task = rig.machine.cpu.task(core, f"writer {core}")
        steps = []
        for page in range(6):
            steps += [
                rig.writer.write(task, inode, page * PAGE, PAGE),
                rig.writer.sync.fsync(task, inode),
            ]
        rig.start(*steps, task=task)
    rig.machine.clock.run()
    places: list[int] = []
    for inode in inodes:
        assert inode.size == inode.disksize == 6 * PAGE
        extents = inode.tree.extents()
        assert sum(extent.length for extent in extents) == 6
        assert not any(extent.unwritten for extent in extents)
        places += [extent.physical + at for extent in extents for at in range(extent.length)]
        assert inode.under_way == []
    assert sorted(places) == list(range(DATA, DATA + 12))
    if "data" not in said or said["data"] != "journal":
        written = {block + at for _, block, many in data_bios(rig) for at in range(many)}
        assert written >= set(places)
    assert rig.writer.journal is not None
    assert rig.writer.journal.reserved == 0
    assert rig.writer.journal.running is None


def test_two_writers_of_one_file_and_the_flusher() -> None:
    """Both overwrite it and sync while the flusher goes over it, too: it ends, and nothing is dirty."""
    rig = WriteRig(memory_pages=100)
    inode = overwritten(rig, 40)
    for core in range(2):
        task = rig.machine.cpu.task(core, f"writer {core}")
        steps = []
        for turn in range(4):
            steps.append(rig.writer.write(task, inode, (core + turn) * 5 * PAGE, 15 * PAGE))
            steps.append(rig.writer.sync.fsync(task, inode, turn % 2 == 1))
        rig.start(*steps, task=task)
    rig.machine.clock.run()
    assert total_dirty([inode]) == 0
    assert inode.under_way == []
    assert inode.tree.extents() == [(0, 500, 40, False)]
    written = {block + at for _, block, many in data_bios(rig) for at in range(many)}
    assert written == set(range(500, 500 + 35))
    assert isinstance(rig.writer.rounds, Ext4Writepages)


@pytest.mark.parametrize("said", [{}, {"dioread_nolock": False}], ids=str)
def test_write_back_that_sleeps_between_its_rounds_is_not_mixed_up(said: dict[str, Any]) -> None:
    """Two files' write-back waits for a handle; each goes on with its own pages, bios and ends of I/O."""
    rig = WriteRig(**said)
    journal = rig.writer.journal
    assert journal is not None
    inodes = [rig.file(number=12), rig.file(number=13)]
    tasks = [rig.machine.cpu.task(core, f"writer {core}") for core in range(2)]
    for task, inode in zip(tasks, inodes, strict=True):
        rig.start(rig.writer.write(task, inode, 0, 3 * PAGE), task=task)
    rig.run_for(1_000)
    journal.start_at_once(rig.task, 1)
    journal.request(1)
    rig.run_for(1_000)
    for task, inode in zip(tasks, inodes, strict=True):
        rig.start(rig.writer.sync.fsync(task, inode), task=task)
    rig.run_for(1_000)
    journal.stop(rig.task)
    rig.machine.clock.run()
    assert data_bios(rig) == [("WS", DATA, 3), ("WS", DATA + 3, 3)]
    for at, inode in enumerate(inodes):
        assert inode.tree.extents() == [(0, DATA + 3 * at, 3, False)]
        assert inode.mapping.writeback is not None
        assert (inode.mapping.writeback.count(1), inode.under_way) == (0, [])
    assert total_dirty(inodes) == 0
    assert journal.reserved == 0


@pytest.mark.parametrize("path", ["page_io", "buffer_head", "mpage"])
def test_write_back_that_waits_for_tags_is_not_mixed_up(path: str) -> None:
    """A queue of one request, files of apart blocks: both sleep in the middle of a pass, again and again."""
    rig = WriteRig(path=path, depth=1, delalloc=False, data="writeback")
    tasks = [rig.machine.cpu.task(core, f"writer {core}") for core in range(2)]
    inodes = []
    for number, task in enumerate(tasks):
        at = 50_000 + 10_000 * number
        inode = rig.file(12 * PAGE, [(page, at + 3 * (page // 2) + page % 2, 1, False) for page in range(12)])
        inode.number += number
        rig.writer.inodes[inode.number] = inode
        rig.cached(inode)
        inodes.append(inode)
        rig.start(
            rig.writer.write(task, inode, 0, 12 * PAGE),
            rig.writer.sync.write_and_wait(task, inode),
            task=task,
        )
    rig.run_for(100_000_000)
    blocks = sorted(block + at for _, block, many in data_bios(rig) for at in range(many))
    assert blocks == sorted(inode.place[page] for inode in inodes for page in range(12))
    assert len(set(blocks)) == 24
    for inode in inodes:
        assert inode.mapping.writeback is not None
        assert (inode.mapping.writeback.count(1), inode.under_way) == (0, [])
