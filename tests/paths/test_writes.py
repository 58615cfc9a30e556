"""Buffered writes, their write-out and the journal's commits: tiny model, whole log, exact counts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from core_kit import Rig, sequential
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.block.queue.limits import QueueLimits
from sim.cache.buffered_write import BufferedWriter, DirtyPages
from sim.cache.pages import Mapping
from sim.errors import InvariantError
from sim.ext4.format.journal import Journal
from sim.fs.jbd2.flush import Jbd2, runs_of
from sim.paths.writeback import Ext4Writeback, _bios, vectors

LIMITS = QueueLimits(2560, 256, 64, write_cache=True)
PAGE = 4096


class Kept:
    """A disk that keeps what is written, block by block."""

    def __init__(self) -> None:
        self.blocks: dict[int, bytes] = {}

    def write(self, offset: int, data: bytes) -> None:
        """Keep it; the same block is never expected twice in these tests."""
        for at in range(0, len(data), PAGE):
            self.blocks[(offset + at) // PAGE] = data[at : at + PAGE]


class Writing(Rig):
    """A machine and a file that is written: in calls of `step` bytes, then fdatasync."""

    def __init__(self, extents: Any, size_bytes: int, **options: Any) -> None:
        super().__init__("page_io", extents, size_bytes, limits=LIMITS, **options)
        machine, size = self.machine, self.machine.spec.block_size
        self.disk = Kept()
        self.writer = BufferedWriter(machine.ledger, machine.cache, size)
        self.writeback = Ext4Writeback(machine.clock, machine.ledger, machine.disk, size, self.disk)
        self.dirty = DirtyPages()

    def overwrite(self, step: int, passes: int = 1) -> dict[str, int]:
        """Run it; return calls per symbol."""
        task = self.machine.cpu.task(0, "writer")
        file = self.open()
        whole = self.inode.blocks * self.machine.spec.block_size

        def process() -> Any:
            for number in range(passes):
                for offset in range(0, whole, step):
                    self.writer.write(task, file, self.dirty, offset, min(step, whole - offset))
                yield from task.settle()
                runs = self.dirty.take(self.mapping)
                yield from self.writeback.fdatasync(
                    task, self.inode, runs, lambda lblk, n, number=number: _content(number, lblk, n)
                )
            yield from task.settle()

        self.machine.clock.process(process())
        return self.finish()


def _content(number: int, lblk: int, blocks: int) -> bytes:
    return b"".join(bytes([number, (lblk + i) % 251]) * (PAGE // 2) for i in range(blocks))


def test_whole_log_of_a_small_overwrite() -> None:
    """Three blocks, two of them neighbours on the disk: two bios, two commands, then one flush."""
    rig = Writing([(0, 100, 2), (2, 900, 1)], 3 * PAGE)
    calls = rig.overwrite(PAGE)
    assert [
        ("Q WS", 800, 16),
        ("G WS", 800, 16),
        ("Q WS", 7200, 8),
        ("G WS", 7200, 8),
        ("D WS", 7200, 8),
        ("D WS", 800, 16),
        ("C WS", 7200, 8),
        ("C WS", 800, 16),
        ("Q FWS", 0, 0),
        ("G FWS", 0, 0),
        ("D FF", 0, 0),
        ("C FF", 0, 0),
    ] == [(letter, sector, sectors) for letter, _, sector, sectors in rig.block_log if letter != "P"]
    expected = {
        "ext4_file_write_iter": 3,
        "ext4_da_write_begin": 3,
        "ext4_da_get_block_prep": 3,
        "alloc_buffer_head": 3,
        "mark_buffer_dirty": 3,
        "__folio_mark_dirty": 3,
        "ext4_bio_write_page": 3,
        "io_submit_add_bh": 3,
        "ext4_io_submit": 2,
        "ext4_end_bio": 2,
        "folio_wait_writeback": 2,
        "folio_end_writeback": 3,
        "blkdev_issue_flush": 1,
    }
    assert expected == {symbol: calls[symbol] for symbol in expected}
    assert {100: _content(0, 0, 1), 101: _content(0, 1, 1), 900: _content(0, 2, 1)} == rig.disk.blocks


def test_pages_are_made_once_and_dirtied_each_pass() -> None:
    """A second pass finds its pages and buffers; it dirties, writes and flushes as the first."""
    once, twice = (Writing([(0, 100, 64)], 64 * PAGE).overwrite(128 << 10, passes) for passes in (1, 2))
    for symbol in ("filemap_add_folio", "create_empty_buffers", "ext4_da_get_block_prep"):
        assert (64, 64) == (once[symbol], twice[symbol])
    for symbol in ("__folio_mark_dirty", "ext4_bio_write_page", "mark_buffer_dirty"):
        assert (64, 128) == (once[symbol], twice[symbol])
    assert (1, 2) == (once["blkdev_issue_flush"], twice["blkdev_issue_flush"])


def test_small_blocks_share_pages_and_bios() -> None:
    """1 KiB blocks: four buffers a page, one bio as long as they follow one another on the disk."""
    calls = Writing([(0, 100, 32)], 32 * 1024, block_size=1024).overwrite(16 << 10)
    assert (8, 32, 32, 1) == tuple(
        calls[symbol]
        for symbol in ("ext4_bio_write_page", "io_submit_add_bh", "alloc_buffer_head", "ext4_io_submit")
    )


def test_a_reader_finds_what_was_written() -> None:
    """Pages that were written are up to date: reading them afterwards reads nothing from the device."""
    rig = Writing([(0, 100, 8)], 8 * PAGE)
    rig.overwrite(8 * PAGE)
    before = len(rig.block_log)
    rig.run(sequential(8 * PAGE, PAGE))
    assert before == len(rig.block_log)


def test_parts_of_blocks_are_refused() -> None:
    """A write that would have to read the rest of a block is no write of this model."""
    rig = Writing([(0, 100, 8)], 8 * PAGE)
    with pytest.raises(InvariantError, match="blocks of 4096 only"):
        rig.overwrite(1000)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), max_size=20))
@settings(deadline=None)
def test_dirty_pages_are_a_set(writes: list[tuple[int, int]]) -> None:
    """Runs are what a set of pages says, apart and in order, and the mapping holds just them."""
    mapping, dirty, pages = Mapping(64, False), DirtyPages(), set[int]()
    for start, count in writes:
        dirty.add(mapping, start, start + count)
        pages.update(range(start, start + count))
        assert pages == {page for first, last in dirty.runs for page in range(first, last)}
        assert all(one[1] < other[0] for one, other in pairwise(dirty.runs))
        assert sorted(mapping.held) == dirty.runs
    dirty.take(mapping)
    assert ([], []) == (dirty.runs, mapping.held)


extents = st.lists(st.tuples(st.integers(1, 700), st.integers(0, 3)), min_size=1, max_size=12)


@given(
    extents=extents,
    per_page=st.sampled_from([1, 2, 4]),
    bounds=st.tuples(st.integers(0, 900), st.integers(1, 900)),
)
@settings(deadline=None)
def test_bios_cover_what_is_dirty_once(
    extents: list[tuple[int, int]], per_page: int, bounds: tuple[int, int]
) -> None:
    """
    Whatever lies where: the bios of a run of pages have each block once, in order, at its place; within one
    all are neighbours and lie in at most 256 pages; one ends where the next block is no neighbour, or full.
    """
    logical, physical, laid = 0, 100, []
    for length, gap in extents:
        physical += gap
        laid.append((logical, physical, length))
        logical, physical = logical + length, physical + length
    rig = Rig("page_io", laid, logical * PAGE // per_page, block_size=PAGE // per_page, trace=False)
    where = {lblk + i: at + i for lblk, at, length in laid for i in range(length)}
    start, end = bounds[0], bounds[0] + bounds[1]
    bios = list(_bios(rig.inode, [(start, end)], per_page))
    blocks = [(lblk + i, at + i) for bio in bios for lblk, at, length in bio for i in range(length)]
    wanted = range(start * per_page, min(end * per_page, logical))
    assert [(lblk, where[lblk]) for lblk in wanted] == blocks
    for bio in bios:
        places = [at + i for _, at, length in bio for i in range(length)]
        assert list(range(places[0], places[0] + len(places))) == places
        assert vectors(bio, per_page) <= 256
    for bio, following in pairwise(bios):
        last = bio[-1]
        neighbours = last[1] + last[2] == following[0][1]
        assert not neighbours or vectors(bio, per_page) + 1 > 256 - (len(bio) > 1)


class Journaled(Rig):
    """A machine with a journal of 1,024 blocks from block 50,000 on."""

    def __init__(self, **limits: Any) -> None:
        super().__init__("page_io", [(0, 100, 1)], PAGE, limits=QueueLimits(2560, 256, 64, **limits))
        self.disk = Kept()
        machine = self.machine
        self.journal = Journal(range(50_000, 51_024), PAGE, bytes(16))
        self.jbd2 = Jbd2(machine.clock, machine.ledger, machine.disk, self.journal, self.disk)

    def do(self, *steps: Any) -> list[tuple[str, int, int]]:
        """Run steps one after another; return what went to the device."""
        task = self.machine.cpu.task(0, "task")

        def process() -> Any:
            for step in steps:
                yield from step(task)
            yield from task.settle()

        self.machine.clock.process(process())
        self.finish()
        return self.letters_of("D")

    def letters_of(self, letter: str) -> list[tuple[str, int, int]]:
        """Return the events of a letter, whatever RWBS."""
        return [(said, sector, sectors) for said, _, sector, sectors in self.block_log if said[0] == letter]


BLOCKS = [(700, b"a" * PAGE), (9, b"b" * PAGE)]
LOG = 50_000 * 8
LETTERS = ("D WS", "C WS", "D FF", "D FWFS", "C FWFS")


def test_whole_log_of_a_commit_and_a_checkpoint() -> None:
    """
    The superblock, for the log was empty; descriptor and blocks in one command; flush, record, flush; blocks
    in place; flush; the superblock and its flush, twice: that is jbd2 on a device with a cache and no FUA.
    """
    rig = Journaled(write_cache=True)
    done = rig.do(lambda task: rig.jbd2.commit(task, BLOCKS), lambda task: rig.jbd2.checkpoint(task, BLOCKS))
    assert [
        ("D WS", LOG, 8),
        ("D WS", LOG + 8, 24),
        ("D FF", 0, 0),
        ("D FWFS", LOG + 32, 8),
        ("D FF", 0, 0),
        ("D WSM", 72, 8),
        ("D WSM", 5600, 8),
        ("D FF", 0, 0),
        ("D WFS", LOG, 8),
        ("D FF", 0, 0),
        ("D WFS", LOG, 8),
        ("D FF", 0, 0),
    ] == done
    assert dict(BLOCKS) == {block: rig.disk.blocks[block] for block, _ in BLOCKS}
    assert b"b" * PAGE == rig.disk.blocks[50_003]
    assert rig.journal.superblock()[1] == rig.disk.blocks[50_000]
    assert (0, 2) == (rig.journal.tail, rig.journal.sequence)


def test_the_commit_record_waits_for_the_log() -> None:
    """Superblock, log, then flush, record, flush, each 50 us and none before the last is over."""
    rig = Journaled(write_cache=True)
    rig.do(lambda task: rig.jbd2.commit(task, BLOCKS))
    at = {
        said: [time // 50_000 for letter, time, _, _ in rig.block_log if letter == said] for said in LETTERS
    }
    assert {"D WS": [0, 1], "C WS": [1, 2], "D FF": [2, 4], "D FWFS": [3], "C FWFS": [4]} == at


def test_a_commit_is_durable_before_anything_is_in_place() -> None:
    """The superblock on the medium says where the log begins: a second commit does not write it again."""
    rig = Journaled(write_cache=True)
    done = rig.do(lambda task: rig.jbd2.commit(task, BLOCKS), lambda task: rig.jbd2.commit(task, BLOCKS))
    assert 1 == [sector for _, sector, _ in done].count(LOG)
    start = int.from_bytes(rig.disk.blocks[50_000][0x1C:0x20], "big")
    sequence = int.from_bytes(rig.disk.blocks[50_000][0x18:0x1C], "big")
    assert (1, 1) == (start, sequence)


def test_with_fua_and_without_a_cache() -> None:
    """FUA saves the flush behind record and superblock; without a cache there is none at all."""
    steps = (
        lambda rig: lambda task: rig.jbd2.commit(task, BLOCKS),
        lambda rig: lambda task: rig.jbd2.checkpoint(task, BLOCKS),
    )
    flushes = []
    for limits in ({"write_cache": True, "fua": True}, {}):
        rig = Journaled(**limits)
        rig.do(*(step(rig) for step in steps))
        flushes.append(rig.machine.queue.stats.flushes)
    assert [2, 0] == flushes


def test_a_flush_maps_no_memory() -> None:
    """On NVMe two flushes and three writes of a commit are five completions; only the writes unmap data."""
    rig = Journaled(driver="nvme", write_cache=True)
    done = rig.do(lambda task: rig.jbd2.commit(task, BLOCKS))
    assert ["D WS", "D WS", "D FF", "D FWFS", "D FF"] == [letter for letter, _, _ in done]
    calls = rig.machine.ledger.calls()
    assert 5 == calls["nvme_complete_batch_req"]
    assert 3 == calls["dma_unmap_page_attrs"] + calls["dma_unmap_sg_attrs"]


def test_zeroing_and_searching_the_log() -> None:
    """1,023 blocks in bios of 256 pages: zeros over all but the superblock, or reads of the same."""
    rig = Journaled()
    done = rig.do(rig.jbd2.zero_log)
    sizes = [2048, 2048, 2048, 8 * 255]
    assert sorted(sizes) == sorted(sectors for _, _, sectors in done)
    assert {block: bytes(PAGE) for block in range(50_001, 51_024)} == rig.disk.blocks
    reads = Journaled()
    assert {"D"} == {letter for letter, _, _ in reads.do(reads.jbd2.search_log)}
    assert {} == reads.disk.blocks


def test_runs_of_blocks() -> None:
    """Neighbours, up to the most; what follows nothing begins anew."""
    assert [(5, 2), (7, 1), (9, 1)] == runs_of([5, 6, 7, 9], 2)
