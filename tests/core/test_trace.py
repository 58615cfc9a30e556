"""Tracing: what it records, and that it changes nothing."""

from __future__ import annotations

import pytest
from core_kit import PATHS, Rig, sequential

from sim.block.io_record import STAGES, IoRecord
from sim.block.limits import QueueLimits
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
    limits = QueueLimits(
        64, 16, 2, bio_based=bio_based, driver="brd_submit_bio" if bio_based else "nvme_queue_rq"
    )
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
