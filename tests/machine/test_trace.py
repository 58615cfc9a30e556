"""Tracing: what it records, and that it changes nothing."""

from __future__ import annotations

from dataclasses import astuple, replace

import pytest
from core_kit import PATHS, Rig, sequential

from sim.block.io_record import STAGES, IoRecord
from sim.block.queue.limits import QueueLimits
from sim.engine.costs import CostTable, load_costs
from sim.units import KIB


def times(record: IoRecord) -> list[int]:
    """Return the times of a record in the order in which they must come."""
    return [record.queued_ns, *(getattr(record, end) for _, end in STAGES.values())]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("bio_based", [False, True])
@pytest.mark.parametrize("encrypted", [False, True])
def test_tracing_changes_nothing_and_loses_no_bio(path: str, bio_based: bool, encrypted: bool) -> None:
    """With and without records a run gives equal counts and times; records hold every bio, in order."""
    extents = [(8 * i, 1000 + 9 * i, 8) for i in range(64)]
    limits = QueueLimits(64, 16, 2, bio_based=bio_based, driver="brd" if bio_based else "nvme")
    results = []
    for record_io in (True, False):
        rig = Rig(
            path,
            extents,
            512 * KIB,
            1024,
            "all_cold",
            limits=limits,
            encrypted=encrypted,
            trace=False,
            record_io=record_io,
        )
        returned = rig.start(sequential(512 * KIB, 16 * KIB))
        results.append((rig.finish(), returned, rig.machine.queue.stats))
        if record_io:
            records = rig.machine.records or []
            assert rig.machine.queue.stats.queued == sum(record.bios for record in records)
            assert all(times(record) == sorted(times(record)) for record in records)
            assert all(record.queued_ns >= 0 for record in records)
            plain = [record for record in records if record.ready_ns == record.interrupted_ns]
            tree_reads = len(rig.inode.map.tree.blocks)
            assert (tree_reads if encrypted else len(records)) == len(plain)
        else:
            assert rig.machine.records is None
    assert results[0] == results[1]


def test_stages_of_one_io() -> None:
    """A lone read: what it waits in the plug, 50 us at the device, and interrupt work, to the ns."""
    rig = Rig("page_io", [(0, 1000, 16)], 64 * KIB, latency_ns=50_000, trace=False, record_io=True)
    returned = rig.start([(0, 4096)], rig.open(random=True))
    rig.finish()
    (record,) = rig.machine.records or []
    assert (8000, 8, 1) == (record.sector, record.sectors, record.bios)
    assert 50_000 == record.completed_ns - record.issued_ns
    assert 0 < record.queued_ns < record.issued_ns
    assert record.completed_ns < record.ready_ns < returned[0]


FEW = {
    "ext4_map_blocks": 10_000,
    "bio_endio": 100_000,
    "fscrypt_decrypt_bio": 1_000_000,
    "decrypt_bh": 100_000,
}
"""ps of the symbols that cost something below; the others cost nothing."""

LOGS = {
    # sector, sectors, bios, merges; then queued, flushed, issued, completed, interrupted, ready, woken
    "page_io": [
        (8000, 16, 1, 0, 20, 30, 30, 50_030, 50_130, 51_230, 51_230),
        (16_000, 16, 1, 0, 30, 30, 30, 50_030, 50_230, 52_230, 52_230),
        # There are two tags. One comes back at 50,130; before the reader, both interrupts and a work item
        # run.
        (24_000, 16, 1, 0, 30, 51_230, 51_230, 101_230, 101_330, 102_330, 102_330),
    ],
    "buffer_head": [
        (8000, 16, 2, 1, 20, 60, 60, 50_060, 50_260, 50_660, 50_660),
        (16_000, 16, 2, 1, 40, 60, 60, 50_060, 50_460, 50_860, 50_860),
        (24_000, 16, 2, 1, 60, 50_660, 50_660, 100_660, 100_860, 101_060, 101_060),
    ],
}


@pytest.mark.parametrize("path", LOGS)
def test_the_whole_log_of_three_extents(path: str) -> None:
    """Three encrypted extents, a device that has two tags, one core: every time of every I/O."""
    table = load_costs("linux-6.1-epyc")
    costs = {
        symbol: replace(cost, self_ps=FEW.get(symbol, 0), unit_ps=0) for symbol, cost in table.costs.items()
    }
    rig = Rig(
        path,
        [(0, 1000, 2), (2, 2000, 2), (4, 3000, 2)],
        24 * KIB,
        limits=QueueLimits(1280, 128, 2),
        encrypted=True,
        costs=CostTable("few", costs),
        trace=False,
        record_io=True,
        cpus=1,
        kernel="3.16",  # whose plug issues in the order of the disk
    )
    rig.run([(0, 24 * KIB)])
    records = rig.machine.records or []
    assert LOGS[path] == [
        (sector, sectors, bios, merges, queued, *rest)
        for sector, sectors, bios, queued, merges, *rest in map(astuple, records)
    ]
