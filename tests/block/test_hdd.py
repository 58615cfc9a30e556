"""The disk model: geometry against a naive layout, seek and rotation against theory, streaming, the cache."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.block.device.constants import HddModel
from sim.block.device.discs import Geometry, SeekCurve
from sim.block.device.hdd import Hdd
from sim.block.device.profile import load_device_profile
from sim.engine.mode import make_clock
from sim.engine.streams import stream
from sim.errors import ConfigError

REVOLUTION_NS = 8_000_000
SECTOR_NS = 125_000


def small_zoned(heads: int, zones: int, outer: int, inner: int) -> HddModel:
    """A disk of some thousand sectors."""
    return HddModel(
        3_000,
        heads,
        zones,
        outer,
        inner,
        7_200,
        4_000_000,
        1_000_000,
        700_000,
        0,
        10**9,
        0,
        0,
        1,
        "fifo",
        0.0,
    )


disks = st.builds(small_zoned, st.integers(1, 4), st.integers(1, 5), st.integers(40, 70), st.integers(20, 40))


def naive_layout(model: HddModel, geometry: Geometry) -> list[tuple[int, int, int]]:
    """Track, sector in the track and its length for every sector, laid out one by one."""
    places: list[tuple[int, int, int]] = []
    tracks_per_zone = geometry.cylinders // model.zones * model.heads
    track = 0
    while len(places) < model.sectors:
        zone = track // tracks_per_zone
        step = (model.outer_track_sectors - model.inner_track_sectors) * zone // max(1, model.zones - 1)
        length = model.outer_track_sectors - step
        places += [(track, within, length) for within in range(length)]
        track += 1
    return places[: model.sectors]


@given(disks)
@settings(max_examples=20, deadline=None)
def test_every_sector_has_its_place(model: HddModel) -> None:
    """`locate` agrees with laying all sectors out one by one; the disk has room for them all."""
    geometry = Geometry(model)
    places = naive_layout(model, geometry)
    assert places == [geometry.locate(sector) for sector in range(model.sectors)]
    assert places[-1][0] < geometry.cylinders * model.heads


@given(disks, st.integers(0, 2_000), st.integers(1, 900), st.integers(0, 10**8))
@settings(max_examples=40, deadline=None)
def test_reading_is_sector_by_sector(model: HddModel, sector: int, sectors: int, arrival_ns: int) -> None:
    """
    A read lasts as long as waiting for the first sector and passing over each; at a track's end the head
    switches, and the skew brings the next sector under it just then.
    """
    geometry = Geometry(model)
    revolution_ns = 60 * 10**9 // model.rpm
    assert revolution_ns == geometry.revolution_ns
    time_ns, track = arrival_ns, geometry.locate(sector)[0]
    waits = []
    for number in range(sector, sector + sectors):
        at, within, length = geometry.locate(number)
        if at != track:
            time_ns += model.head_switch_ns if at % model.heads else model.cylinder_switch_ns
            track = at
        begin = (geometry.skew_ns(track) + within * revolution_ns // length) % revolution_ns
        waits.append((begin - time_ns) % revolution_ns)
        time_ns += waits[-1]
        time_ns += (within + 1) * revolution_ns // length - within * revolution_ns // length
    assert time_ns == geometry.read(sector, sector + sectors, arrival_ns)
    assert not any(waits[1:])


@pytest.mark.parametrize("cylinders", [2, 10, 100, 999])
def test_seek_curve_has_the_mean_of_the_data_sheet(hdd: HddModel, cylinders: int) -> None:
    """Over all ordered pairs of two cylinders the mean seek is average_seek_ns; each is rounded to the ns."""
    seek = SeekCurve(hdd, cylinders)
    total = sum(2 * (cylinders - d) * seek.time_ns(d) for d in range(1, cylinders))
    pairs = cylinders * (cylinders - 1)
    expected_ns = hdd.cylinder_switch_ns if cylinders == 2 else hdd.average_seek_ns
    assert abs(total - expected_ns * pairs) <= 0.5 * pairs + 1
    assert seek.time_ns(0) == 0
    assert hdd.cylinder_switch_ns == seek.time_ns(1)


def test_seek_curve_of_many_cylinders(hdd: HddModel) -> None:
    """From 1,000 cylinders on the mean of sqrt(d) is that of the limit: off by less than 1/cylinders."""
    cylinders = 2_000
    seek = SeekCurve(hdd, cylinders)
    total = sum(2 * (cylinders - d) * seek.time_ns(d) for d in range(1, cylinders))
    mean_ns = total / (cylinders * (cylinders - 1))
    assert abs(mean_ns / hdd.average_seek_ns - 1) < 1 / cylinders


def test_whole_log_of_a_cold_read_and_its_neighbours(bench: Any, hdd: HddModel) -> None:
    """A read from track 0, the next sectors, the same again from the cache, and one on another cylinder."""
    run = bench(hdd)
    # Command until 0.1 ms; sector 8 begins at 1 ms, 8 sectors end at 2 ms, the last crosses in 1 us.
    run.at(0, 8, 8, "cold")
    # Read-ahead goes on: sectors 16-23 pass until 3 ms.
    run.at(2_100_000, 16, 8, "next")
    # In the cache: command 0.1 ms and 8 us on the wire.
    run.at(3_500_000, 8, 8, "again")
    # Cylinder 1, head 0, sector 0 = sector 128: seek 1 ms, there at 5.1 ms; its angle is 0.5 + 1 ms of skew,
    # so it comes round at 9.5 ms and 8 sectors are read at 10.5 ms.
    run.at(4_000_000, 128, 8, "far")
    expected = [
        (0, "submit", "cold"),
        (2_001_000, "complete", "cold"),
        (2_100_000, "submit", "next"),
        (3_001_000, "complete", "next"),
        (3_500_000, "submit", "again"),
        (3_608_000, "complete", "again"),
        (4_000_000, "submit", "far"),
        (10_501_000, "complete", "far"),
    ]
    assert expected == run.run()


def test_drive_waits_a_turn_after_its_read_ahead_stopped(bench: Any, hdd: HddModel) -> None:
    """
    Read-ahead stops 64 sectors after the command. A read up to there comes from the cache; one beyond must
    wait for the disc to come round.
    """
    run = bench(hdd)
    run.at(0, 0, 8, "first")  # sector 0 is just gone at 0.1 ms: read from 8 to 9 ms
    # Bound: sector 72 = track 1, sector 8. Track 0 ends at 16 ms, switch until 16.5, there at 17.5 ms.
    run.at(30_000_000, 64, 8, "cached")
    # Now the bound is 136; the head goes on from 72 when its angle, 0.5 + 1 ms, comes at 33.5 ms.
    run.at(30_200_000, 72, 8, "beyond")
    expected = [
        (9_001_000, "complete", "first"),
        (30_108_000, "complete", "cached"),
        (34_501_000, "complete", "beyond"),
    ]
    assert expected == [entry for entry in run.run() if entry[1] == "complete"]


def test_whole_log_of_two_streams_and_two_segments(bench: Any, hdd: HddModel) -> None:
    """What was read on is kept while the head is elsewhere; for a stream the head stays 16 sectors longer."""
    run = bench(replace(hdd, cache_segments=2, least_read_ahead_bytes=16 * 512))
    # As above until 2 ms; then it reads on: sectors 16-23 have passed when it leaves at 3.1 ms.
    run.at(0, 8, 8, "a")
    # Seek 1 ms; sector 128 comes round at 9.5 ms.
    run.at(3_000_000, 128, 8, "b")
    # Kept: command 0.1 ms and 8 us on the wire; the head stays with b.
    run.at(11_000_000, 16, 8, "a again")
    # At the end of what is kept: b has read to sector 142 when the head leaves at 11.3 ms; sector 24 comes
    # round at 19 ms. This is a stream: the head stays until it has read to sector 48, at 22 ms.
    run.at(11_200_000, 24, 8, "a on")
    # Leaves at 22 ms, seek 1 ms; sector 142, the 14th of its track, comes round at 27.25 ms.
    run.at(20_100_000, 142, 8, "b on")
    # Kept, the last of it.
    run.at(28_300_000, 40, 8, "a kept")
    expected = [
        (2_001_000, "complete", "a"),
        (10_501_000, "complete", "b"),
        (11_108_000, "complete", "a again"),
        (20_001_000, "complete", "a on"),
        (28_251_000, "complete", "b on"),
        (28_408_000, "complete", "a kept"),
    ]
    assert expected == [entry for entry in run.run() if entry[1] == "complete"]


def test_the_segment_longest_unused_goes(bench: Any, hdd: HddModel) -> None:
    """Of three places in two segments the first is read from the disc again, the second is not."""
    run = bench(replace(hdd, cache_segments=2))
    for number, sector in enumerate((0, 12_000, 6_000, 12_000, 0)):
        run.at(number * 100_000_000, sector, 8, number)
    ends = [time for time, what, _ in run.run() if what == "complete"]
    assert 300_108_000 == ends[3]
    assert ends[4] > 401_000_000


def test_a_segment_that_is_used_stays(bench: Any, hdd: HddModel) -> None:
    """Of three segments the one that was read from again outlives the one that came after it."""
    run = bench(replace(hdd, cache_segments=3))
    for number, sector in enumerate((0, 12_000, 6_000, 0, 3_000, 0)):
        run.at(number * 100_000_000, sector, 8, number)
    ends = [time for time, what, _ in run.run() if what == "complete"]
    assert [300_108_000, 500_108_000] == [ends[3], ends[5]]


def test_a_write_takes_segments_with_it(hdd: HddModel) -> None:
    """Sectors that are written over are not answered from what was read before."""
    profile = replace(load_device_profile("hdd"), model=replace(hdd, cache_segments=5))
    clock, ends = make_clock(), {}
    device = Hdd(clock, profile)
    for number, (sector, write) in enumerate(
        ((0, False), (12_000, False), (4, True), (6_000, False), (0, False))
    ):
        act = device.write if write else device.submit
        clock.call_after(
            number * 100_000_000,
            lambda act=act, sector=sector, number=number: act(
                sector, 4, number, lambda token: ends.__setitem__(token, clock.now)
            ),
        )
    clock.run()
    assert ends[4] > 401_000_000


def test_sequential_reads_run_at_the_rate_of_the_track(bench: Any, hdd: HddModel) -> None:
    """Reads of 8 KiB one after another take, for each cylinder, the turns of its tracks and the switches."""
    reads, per_cylinder = 20 * 8, 8
    latencies = bench(hdd).one_by_one([(0, 16 * number, 16) for number in range(reads)])
    ends = np.cumsum(latencies).tolist()
    expected_ns = 2 * REVOLUTION_NS + hdd.head_switch_ns + hdd.cylinder_switch_ns
    cylinders = ends[per_cylinder - 1 :: per_cylinder]
    assert [expected_ns] * (len(cylinders) - 1) == [b - a for a, b in pairwise(cylinders)]


def test_profile_streams_at_its_sustained_rates(bench: Any) -> None:
    """The shipped disk reads 64.8 MB/s outside and 31.0 MB/s inside, the maker's figures, within 0.5 %."""
    model = load_device_profile("hdd").model
    assert isinstance(model, HddModel)
    for begin, rate in ((0, 64.8e6), (model.sectors - 300_000, 31.0e6)):
        run = bench(model)
        latencies = run.one_by_one([(0, begin + 256 * number, 256) for number in range(1_000)])
        observed = 256 * 512 * 990 / (sum(latencies[10:]) / 1e9)
        assert math.isclose(rate, observed, rel_tol=0.005)


@given(disks, st.integers(0, 2_000), st.integers(0, 300), st.integers(0, 10**8), st.integers(0, 10**8))
@settings(max_examples=40, deadline=None)
def test_what_has_passed_by_a_time(
    model: HddModel, sector: int, ahead: int, head_ns: int, waited_ns: int
) -> None:
    """`passed` is the last sector boundary that a head which reads on has come to, found one by one."""
    geometry = Geometry(model)
    ends = range(sector + 1, sector + ahead + 1)
    done = [end for end in ends if geometry.read(sector, end, head_ns) <= head_ns + waited_ns]
    observed = geometry.passed(sector, sector + ahead, head_ns, head_ns + waited_ns)
    assert (done[-1] if done else sector) == observed


def standard_error(values: Any) -> float:
    """The standard error of the mean of independent values."""
    return float(np.std(values, ddof=1)) / math.sqrt(len(values))


def test_mean_rotation_is_half_a_revolution(bench: Any, hdd: HddModel) -> None:
    """
    On a disk of one track, reads after random pauses wait half a revolution on average: the discs turn on, so
    the waits are independent and uniform over the ns of a revolution, with mean (revolution - 1) / 2.
    """
    model = replace(hdd, sectors=64, heads=1, drive_read_ahead_bytes=0)
    random = stream(3, "rotation")
    reads, sector = [], 0
    for pause, step in zip(random.integers(0, 10**9, 4_000), random.integers(2, 62, 4_000), strict=True):
        sector = (sector + int(step)) % 64  # never the sector just read, which is in the cache
        reads.append((int(pause), sector, 1))
    latencies = bench(model).one_by_one(reads)
    waits = np.array(latencies) - model.command_ns - SECTOR_NS - 1_000
    assert waits.min() >= 0
    assert waits.max() < REVOLUTION_NS
    assert standard_error(waits) < 0.01 * REVOLUTION_NS
    assert abs(float(waits.mean()) - (REVOLUTION_NS - 1) / 2) < 4 * standard_error(waits)


def test_mean_seek_over_random_positions(bench: Any, hdd: HddModel) -> None:
    """
    Reads at uniform positions after random pauses take command, seek, half a revolution and a sector on
    average, the seek being average_seek_ns in all but the 1 in `cylinders` cases that stay.

    Two seeks in a row share a cylinder, so the standard error is that of means of 50 reads.
    """
    cylinders = 500
    model = replace(hdd, sectors=64 * cylinders, heads=1, drive_read_ahead_bytes=0, average_seek_ns=9_000_000)
    random = stream(4, "seek")
    sectors = random.integers(0, model.sectors, 10_000).tolist()
    pauses = random.integers(0, 10**9, 10_000).tolist()
    latencies = bench(model).one_by_one(
        [(pause, sector, 1) for pause, sector in zip(pauses, sectors, strict=True)]
    )
    batches = np.array(latencies).reshape(-1, 50).mean(axis=1)
    seek_ns = model.average_seek_ns * (1 - 1 / cylinders)
    expected_ns = model.command_ns + seek_ns + (REVOLUTION_NS - 1) / 2 + SECTOR_NS + 1_000
    assert standard_error(batches) < 0.01 * expected_ns
    assert abs(float(batches.mean()) - expected_ns) < 4 * standard_error(batches)


def test_sptf_takes_the_nearest_first(bench: Any, hdd: HddModel) -> None:
    """Of reads that wait together, the one with the shortest seek and rotation is served first."""
    order = {}
    for ncq in ("fifo", "sptf"):
        run = bench(replace(hdd, ncq=ncq, drive_read_ahead_bytes=0))
        for token, sector in (("a", 0), ("far", 90 * 128), ("near", 32), ("middle", 5 * 128)):
            run.submit(sector, 1, token)
        order[ncq] = [token for _, what, token in run.run() if what == "complete"]
    expected = {"fifo": ["a", "far", "near", "middle"], "sptf": ["a", "near", "middle", "far"]}
    assert expected == order


def test_ageing_lets_none_starve(bench: Any, hdd: HddModel) -> None:
    """
    A far read beside a near stream: with sptf it waits for the end of the stream, with ageing until what it
    has waited outweighs its way, and no longer than a read of the stream more.
    """
    waited = {}
    for ageing in (0.0, 0.5):
        run = bench(replace(hdd, ncq="sptf", ncq_ageing=ageing))
        run.submit(0, 8, "first")
        run.submit(50 * 128, 8, "far")
        for number in range(1, 200):
            run.at(number * 1_000_000, 8 * number, 8, number)
        waited[ageing] = next(time for time, what, token in run.run() if (what, token) == ("complete", "far"))
    stream_ns = 200 * 8 * SECTOR_NS
    assert waited[0.0] > stream_ns
    way_ns = SeekCurve(hdd, 100).time_ns(50) + REVOLUTION_NS
    assert waited[0.5] <= way_ns / 0.5 + way_ns + 2 * REVOLUTION_NS + 16 * SECTOR_NS + 2 * hdd.command_ns


def test_sptf_is_sooner_done(bench: Any, hdd: HddModel) -> None:
    """32 random reads at once are done sooner with sptf than in the order of issue, and every one once."""
    ends = {}
    sectors = stream(5, "sptf").integers(0, hdd.sectors, 32).tolist()
    for ncq in ("fifo", "sptf"):
        run = bench(replace(hdd, ncq=ncq))
        for number, sector in enumerate(sectors):
            run.submit(sector, 1, number)
        completions = [entry for entry in run.run() if entry[1] == "complete"]
        assert list(range(32)) == sorted(token for _, _, token in completions)
        ends[ncq] = completions[-1][0]
    assert ends["sptf"] < ends["fifo"]


reads = st.lists(
    st.tuples(st.integers(0, 40_000_000), st.integers(0, 12_700), st.integers(1, 100)),
    min_size=1,
    max_size=15,
)


@given(
    requests=reads,
    ncq=st.sampled_from(["fifo", "sptf"]),
    segments=st.integers(1, 4),
    least=st.sampled_from([0, 16 * 512]),
)
@settings(deadline=None)
def test_never_faster_than_it_can_be(
    bench: Any, hdd: HddModel, requests: list[tuple[int, int, int]], ncq: str, segments: int, least: int
) -> None:
    """
    Whatever is asked when: each read completes once, not before its command and transfer, and no new sector
    arrives faster than it passes under the head.
    """
    run = bench(replace(hdd, ncq=ncq, cache_segments=segments, least_read_ahead_bytes=least))
    for number, (time_ns, sector, sectors) in enumerate(requests):
        run.at(time_ns, sector, sectors, number)
    log = run.run()
    begin = {token: time for time, what, token in log if what == "submit"}
    end = {token: time for time, what, token in log if what == "complete"}
    assert 2 * len(requests) == len(log)
    assert set(range(len(requests))) == set(begin) == set(end)
    for number, (_, _, sectors) in enumerate(requests):
        assert end[number] - begin[number] >= hdd.command_ns + sectors * 1_000
    distinct = {at for _, sector, sectors in requests for at in range(sector, sector + sectors)}
    assert max(end.values()) - min(begin.values()) >= len(distinct) * SECTOR_NS


def test_reading_beyond_the_end(bench: Any, hdd: HddModel) -> None:
    """Sectors that the disk does not have are an error that names them."""
    with pytest.raises(ConfigError, match=r"read of sectors 12799 \.\. 12801; allowed: 0 \.\. 12800"):
        bench(hdd).device.submit(hdd.sectors - 1, 2, None, print)


def test_another_head_takes_its_switch(hdd: Any) -> None:
    """From track 0 to 1, the other side of the cylinder: 500 us, and no seek; to the same track nothing."""
    disk = Hdd(make_clock(), replace(load_device_profile("hdd"), kind="hdd", model=hdd))
    assert [0, 0, 500_000] == [disk._move_ns(sector) for sector in (0, 63, 64)]
