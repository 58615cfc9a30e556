"""Nothing is seen before it is paid for: many readers on one core, two of one file in memory."""

from __future__ import annotations

import pytest
from core_kit import PATHS, Rig

from sim.block.queue.limits import QueueLimits
from sim.calibrate.constants import counting_table
from sim.engine.costs import load_costs

KIB = 1024
RAM = QueueLimits(1 << 20, 1 << 16, 1 << 16, bio_based=True, driver="brd", copies="memcpy_page")


@pytest.mark.parametrize("path", PATHS)
def test_a_second_reader_waits_for_the_one_who_copies(path: str) -> None:
    """
    Two CPUs read the same 128 KiB from a RAM disk, in reads of 4 KiB.

    The first does the whole job, in its own time; no page is there for the second before it is copied.
    """
    rig = Rig(path, [(0, 1000, 32)], 128 * KIB, limits=RAM, record_io=True)
    reads = [(at, 4 * KIB) for at in range(0, 128 * KIB, 4 * KIB)]
    first, second = (rig.start(reads, rig.open(), core) for core in (0, 1))
    rig.finish()
    assert rig.machine.records is not None
    came = {record.sector: record.interrupted_ns for record in rig.machine.records}
    assert len(first) == len(second) == 32
    for page, returned in enumerate(second):
        behind = [at for sector, at in came.items() if sector <= 8 * (1000 + page)]
        assert returned > max(behind), page


@pytest.mark.parametrize("readers", [1, 2, 64])
def test_every_reader_on_one_core_sleeps_and_is_woken(readers: int) -> None:
    """
    Random reads from a device of 3 us, all on one core: each read sleeps once and is woken once, whoever has
    the core meanwhile, and no time is spent twice.
    """
    pages = 4 * readers
    rig = Rig("page_io", [(0, 1000, pages)], pages * 4 * KIB, latency_ns=3_000, record_io=True)
    for reader in range(readers):
        rig.start([(4 * KIB * (reader + readers * k), 4 * KIB) for k in range(4)], rig.open(random=True))
    calls = rig.finish()
    assert calls["schedule"] == calls["try_to_wake_up"] == calls["folio_put_wait_locked"] == pages
    assert sum(rig.machine.cpu.busy_ns) <= rig.machine.clock.now
    assert rig.machine.records is not None
    for record in rig.machine.records:
        assert record.queued_ns <= record.flushed_ns <= record.issued_ns < record.completed_ns
        assert record.completed_ns < record.interrupted_ns


@pytest.mark.parametrize("path", PATHS)
def test_a_device_in_memory_keeps_no_one_waiting(path: str) -> None:
    """One reader finds its pages there, whether its work costs something or nothing: the calls are alike."""
    found = []
    for costs in (load_costs("linux-6.1-epyc"), counting_table()):
        rig = Rig(path, [(0, 1000, 64)], 256 * KIB, limits=RAM, costs=costs)
        calls = rig.run([(4 * KIB * page, 4 * KIB) for page in (40, 7, 8, 9, 63, 0, 1)])
        assert "folio_put_wait_locked" not in calls
        found.append(calls)
    assert found[0] == found[1]
