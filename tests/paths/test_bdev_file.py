"""A block device's own pages, written: buffer heads, bios, fsync, the last close."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest
from core_kit import FixedLatency
from write_kit import LIMITS

from sim.machine.machine import Machine
from sim.machine.spec import MachineSpec
from sim.paths.bdev_file import BdevFile
from sim.records.write_case import CountedCalls

KIB = 1024


class Rig:
    """A device that is open; events: what was queued."""

    def __init__(self, block_size: int, write_cache: bool = True) -> None:
        self.events: list[tuple[str, int, int, int]] = []
        limits = replace(LIMITS, write_cache=write_cache)
        spec = MachineSpec(
            "page_io", block_size, limits, CountedCalls(), tracer=lambda *event: self.events.append(event)
        )
        machine = self.machine = Machine(spec, lambda clock: FixedLatency(clock, 50_000))
        self.file = BdevFile(machine.clock, machine.ledger, machine.disk, machine.cache, block_size)
        self.task = machine.cpu.task(0, "writer")

    def run(self, *steps: Generator[Any, Any, None]) -> dict[str, int]:
        """Do one after the other; return what was called."""
        before = self.machine.ledger.calls()

        def process() -> Any:
            for step in steps:
                yield from step

        self.machine.clock.process(process())
        self.machine.clock.run()
        calls = self.machine.ledger.calls()
        return {name: number - before.get(name, 0) for name, number in calls.items()}

    def bios(self) -> list[tuple[str, int, int]]:
        """Return (RWBS, sector, sectors) of the bios since the last time."""
        queued = [(letter[2:] or "R", *rest[1:]) for letter, *rest in self.events if letter[0] == "Q"]
        self.events.clear()
        return queued


@pytest.mark.parametrize("block_size", [1 * KIB, 2 * KIB, 4 * KIB])
def test_write_back_is_a_bio_a_block(block_size: int) -> None:
    """Three pages in one write: all buffer heads dirty; fsync: their bios, in order, and a flush."""
    rig = Rig(block_size)
    blocks, sectors = 12 * KIB // block_size, block_size // 512
    written = rig.run(rig.file.write(rig.task, 8192, 12 * KIB))
    assert (3, blocks, blocks, 3) == tuple(
        written[name]
        for name in ("blkdev_write_begin", "alloc_buffer_head", "mark_buffer_dirty", "__folio_mark_dirty")
    )
    assert [] == rig.bios()
    synced = rig.run(rig.file.fsync(rig.task))
    assert (1, 3, blocks) == tuple(
        synced[name] for name in ("blkdev_fsync", "blkdev_writepage", "submit_bh_wbc")
    )
    assert [("WS", 16 + n * sectors, sectors) for n in range(blocks)] + [("FWS", 0, 0)] == rig.bios()
    assert 0 == rig.file.pages.mapping.dirty_pages
    again = rig.run(rig.file.fsync(rig.task))
    assert (0, 1) == (again["blkdev_writepages"], again["blkdev_fsync"])


def test_blocks_that_are_partly_written_are_read_under_the_writes_plug() -> None:
    """Bytes 100 to 1100 of a page: of two blocks of 1 KiB a part; one request, for the plug joins them."""
    rig = Rig(KIB)
    calls = rig.run(rig.file.write(rig.task, 4096 + 100, 1000))
    assert [("R", 8, 2), ("R", 10, 2)] == rig.bios()
    assert 1 == calls["blk_mq_end_request"]
    assert (2, 2) == (calls["submit_bh_wbc"], calls["mark_buffer_dirty"])
    rig.run(rig.file.write(rig.task, 4096 + 200, 300))
    assert [] == rig.bios(), "what was read once is known"


def test_a_whole_block_is_not_read() -> None:
    """The second KiB of a page: the others stay unknown, and are read when they are touched in part."""
    rig = Rig(KIB)
    rig.run(rig.file.write(rig.task, 1024, 1024), rig.file.fsync(rig.task))
    assert [("WS", 2, 2), ("FWS", 0, 0)] == rig.bios()
    rig.run(rig.file.write(rig.task, 0, 10))
    assert [("R", 0, 2)] == rig.bios()


def test_the_last_close_writes_and_forgets() -> None:
    """What is dirty goes out; every page's buffer heads are freed; the cache is empty."""
    rig = Rig(2 * KIB)
    rig.run(rig.file.write(rig.task, 0, 8 * KIB))
    calls = rig.run(rig.file.close(rig.task))
    assert [("WS", 4 * n, 4) for n in range(4)] == rig.bios(), "no flush: nobody asked for one"
    assert (2, 4, 1) == tuple(
        calls[name] for name in ("block_invalidate_folio", "free_buffer_head", "__writeback_single_inode")
    )
    assert (0, 0) == (rig.machine.cache.cached, rig.machine.cache.buffer_heads)


def test_times_change_once_a_tick() -> None:
    """Two writes within 4 ms: one update beside the pages' own; or as often as is told."""
    rig = Rig(4 * KIB)
    rig.run(rig.file.write(rig.task, 0, 4096), rig.file.write(rig.task, 4096, 4096))
    assert 3 == rig.machine.ledger.calls()["__mark_inode_dirty"]
    told = Rig(4 * KIB)
    told.file.ticks_left = 2
    told.run(*[told.file.write(told.task, 4096 * n, 4096) for n in range(5)])
    assert 7 == told.machine.ledger.calls()["__mark_inode_dirty"]
