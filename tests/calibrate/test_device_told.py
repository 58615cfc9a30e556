"""What rows tell at once: whether large reads queue, and what a sequential read says of a read-ahead."""

from __future__ import annotations

import pytest
from fio_results_kit import row_of

from sim.calibrate.device_told import Told, Untold, read_ahead_note, tell_bandwidth

MIB = 1 << 20


def bulk(depth: int, iops: float, **more):
    """Return a row of 1 MiB reads."""
    return row_of("randread", MIB, depth, iops=iops, **more)


def test_the_bandwidth_is_that_of_reads_that_queue():
    """Alone 2 ms; with 8 in flight 8 ms each: 1,000 MiB/s. With 2 in flight 2.5 ms each is left out."""
    rows = [bulk(1, 500, lat_ns=2e6), bulk(2, 800), bulk(8, 1000)]
    told = tell_bandwidth(rows)
    assert isinstance(told, Told)
    assert (1000 * MIB, 0.0) == (told.value, told.spread)


def test_of_several_the_median_is_taken():
    """900, 1,000 and 1,200 a second: 1,000, give or take 15 %."""
    told = tell_bandwidth([bulk(1, 500, lat_ns=2e6), bulk(8, 900), bulk(16, 1000), bulk(32, 1200)])
    assert isinstance(told, Told)
    assert (1000 * MIB, 0.15) == (told.value, pytest.approx(told.spread))


def test_reads_that_do_not_queue_tell_no_limit():
    """Twice in flight and nearly twice as many: what was asked for is no limit, and is named."""
    untold = tell_bandwidth([bulk(1, 500, lat_ns=2e6), bulk(2, 980)])
    assert isinstance(untold, Untold)
    assert "no job of large reads queues: at most 1028 MB/s were asked for (row)" == untold.reason


def test_a_read_ahead_in_the_device_is_noted():
    """A sequential read of half the time, and that nothing can be said without one."""
    alone = [row_of("randread", 4096, 1, lat_ns=80_000), row_of("read", 4096, 1, lat_ns=40_000)]
    assert "a sequential read of 4 KiB takes 0.50 of a random one's time" in read_ahead_note(alone)
    assert "cannot be told" in read_ahead_note(alone[:1])
