"""The SSD model: exact latencies, limits, and the shared interface against a naive one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.block.device.make import make_device
from sim.block.device.profile import load_device_profile
from sim.block.device.ssd import Interface
from sim.engine.mode import make_clock


def test_whole_log_of_three_reads(bench: Any, ssd: Any) -> None:
    """Two reads of one unit queue there, one of another overtakes: issue, flash and transfer, to the ns."""
    run = bench(ssd)
    run.at(0, 0, 8, "a")  # unit 0: command 0-1, flash 1-51, transfer 51-52 us
    run.at(0, 32, 8, "b")  # unit 0 again: command 1-2, flash 51-101, transfer 101-102 us
    run.at(500, 8, 8, "c")  # unit 1: command 2-3, flash 3-53, transfer 53-54 us
    expected = [
        (0, "submit", "a"),
        (0, "submit", "b"),
        (500, "submit", "c"),
        (52_000, "complete", "a"),
        (54_000, "complete", "c"),
        (102_000, "complete", "b"),
    ]
    assert expected == run.run()


def test_least_busy_spreads_what_striping_queues(bench: Any, ssd: Any) -> None:
    """With placement least-busy the two reads of one address run side by side on two units."""
    run = bench(replace(ssd, placement="least-busy"))
    run.at(0, 0, 8, "a")
    run.at(0, 32, 8, "b")
    expected = [(52_000, "complete", "a"), (53_000, "complete", "b")]
    assert expected == run.run()[2:]


def test_least_busy_queue(bench: Any, ssd: Any) -> None:
    """Five reads at once on two least busy units: each starts when the first of the two is free."""
    run = bench(replace(ssd, units=2, placement="least-busy"))
    for number in range(5):
        run.submit(0, 8, number)
    expected = [(52_000, 0), (53_000, 1), (102_000, 2), (103_000, 3), (152_000, 4)]
    assert expected == [(time, token) for time, what, token in run.run() if what == "complete"]


@pytest.mark.parametrize(
    ("sector", "sectors", "expected_ns"),
    [
        (0, 8, 52_000),  # a page
        (0, 1, 51_125),  # an eighth of it: the whole flash read, an eighth of the transfer
        (7, 2, 51_250),  # two pages on two units, a sector of each
        (0, 32, 55_000),  # four pages at once, four transfers
        (
            0,
            64,
            105_000,
        ),  # eight pages on four units: two rounds; the first four transfers hide in the second
    ],
)
def test_latency_at_queue_depth_1_is_exact(
    bench: Any, ssd: Any, sector: int, sectors: int, expected_ns: int
) -> None:
    """At queue depth 1 a read takes command, flash rounds and the transfers that remain, to the ns."""
    assert [expected_ns] * 3 == bench(ssd).one_by_one([(10, sector, sectors)] * 3)


@pytest.mark.parametrize(
    ("name", "expected_ns"), [("nvme", 1_000 + 40_000 + 586), ("sata-ssd", 10_200 + 78_000 + 7_448)]
)
def test_profiles_at_queue_depth_1(name: str, expected_ns: int) -> None:
    """The shipped drives read 4 KiB at QD1 in the data sheet's 1/IOPS, less some 4 us for the host."""
    clock, finished = make_clock(), []
    make_device(clock, load_device_profile(name), 0).submit(0, 8, None, lambda _: finished.append(clock.now))
    clock.run()
    assert [expected_ns] == finished
    qd1_iops = {"nvme": 22_000, "sata-ssd": 10_000}[name]
    assert 3_500 < 10**9 / qd1_iops - expected_ns < 4_500


def test_deep_queue_of_large_reads_runs_at_interface_bandwidth(bench: Any, ssd: Any) -> None:
    """256 reads of 128 KiB issued at once take a command, a flash read, then the interface without a gap."""
    reads, pages = 256, 32
    run = bench(replace(ssd, units=128))  # 128 pages in 50 us: the flash is faster than the interface
    for number in range(reads):
        run.submit(number * pages * 8, pages * 8, number)
    # Commands take 256 us in all, 1 us each for 32 us of transfer: never in the way after the first.
    assert (1_000 + 50_000 + reads * pages * 1_000, "complete", reads - 1) == run.run()[-1]


def test_deep_queue_of_small_reads_runs_at_command_rate(bench: Any, ssd: Any) -> None:
    """Sector-sized reads on plenty of units complete one command time apart: the IOPS limit, exactly."""
    run = bench(replace(ssd, units=1000, placement="least-busy"))
    for number in range(900):
        run.submit(number * 8, 1, number)
    ends = [time for time, what, _ in run.run() if what == "complete"]
    assert [51_125 + 1_000 * number for number in range(900)] == ends


def test_flash_bound(bench: Any, ssd: Any) -> None:
    """With four units, 4 KiB reads complete at 4 / 50 us however deep the queue."""
    run = bench(ssd)
    for number in range(400):
        run.submit(number * 8, 8, number)
    # Unit 3 starts its first read at 4 us, and its 100th ends 100 reads later; then one transfer.
    expected = (4_000 + 100 * 50_000 + 1_000, "complete", 399)
    assert expected == run.run()[-1]


requests = st.lists(
    st.tuples(st.integers(0, 60_000), st.integers(0, 200), st.integers(1, 40)), min_size=1, max_size=20
)


@given(
    requests=requests,
    kind=st.sampled_from(["constant", "exponential", "lognormal"]),
    least_busy=st.booleans(),
)
@settings(deadline=None)
def test_never_faster_than_it_can_be(
    bench: Any, ssd: Any, requests: list[tuple[int, int, int]], kind: str, least_busy: bool
) -> None:
    """
    Whatever is asked when: every read completes once, no sooner than its command and its own transfer take
    (at constant latency: its flash read too), and all of them no sooner than the interface can send them.
    """
    placement = "least-busy" if least_busy else "striped"
    run = bench(replace(ssd, latency_kind=kind, latency_sigma=0.5, placement=placement))
    for number, (time_ns, sector, sectors) in enumerate(requests):
        run.at(time_ns, sector, sectors, number)
    log = run.run()
    begin = {token: time for time, what, token in log if what == "submit"}
    end = {token: time for time, what, token in log if what == "complete"}
    assert 2 * len(requests) == len(log)
    assert set(range(len(requests))) == set(begin) == set(end)
    floor_ns = 51_000 if kind == "constant" else 1_000
    for number, (_, _, sectors) in enumerate(requests):
        assert end[number] - begin[number] >= floor_ns + sectors * 125
    assert max(end.values()) - min(begin.values()) >= 125 * sum(sectors for _, _, sectors in requests)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 30), st.integers(1, 9)), max_size=25))
@settings(deadline=None)
def test_interface_against_slots(transfers: list[tuple[int, int, int]]) -> None:
    """A transfer takes the first free ns from its ready time on; a set of taken ns says the same."""
    link, taken, now = Interface(), set[int](), 0
    for later, wait, duration in transfers:
        now += later
        at, left = now + wait, duration
        while left:
            if at not in taken:
                taken.add(at)
                left -= 1
            at += 1
        assert at == link.reserve(now + wait, duration, now)
        assert max(taken) + 1 == link.end_ns


def test_same_seed_same_log(bench: Any, ssd: Any) -> None:
    """Random latencies are a function of the seed and nothing else."""
    logs = []
    for seed in (1, 1, 2):
        run = bench(replace(ssd, latency_kind="exponential"), seed)
        for number in range(50):
            run.submit(number * 8, 8, number)
        logs.append(run.run())
    assert logs[0] == logs[1]
    assert logs[0] != logs[2]


def test_pages_are_striped_by_the_stripe(bench: Any, ssd: Any) -> None:
    """Stripes of two pages: 0 and 1 are one unit's, one after the other, 1 and 2 are read side by side."""
    run = bench(replace(ssd, stripe_bytes=8192))
    run.at(0, 0, 16, "one unit")  # command 0-1, flash 1-51 and 51-101, transfer 101-102 us
    run.at(1_000_000, 8, 16, "two units")  # command 0-1, flash 1-51 both, transfers 51-53 us
    assert [(102_000, "complete", "one unit"), (1_053_000, "complete", "two units")] == [
        event for event in run.run() if event[1] == "complete"
    ]
