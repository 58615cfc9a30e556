"""Rows of fio jobs: one a clone, one a group where it is asked for, with fio's percentiles."""

from __future__ import annotations

import math

from sim.config.cell_result import PERCENTILES, percentile_name
from sim.machine.job_rows import Clone, groups_of, job_rows
from sim.workload.fio.job import Job
from sim.workload.player import Played


def _clone(job: Job, number: int, group: int, latencies: list[int], **played: int) -> Clone:
    said = {"started_ns": 100, "measured_from_ns": 100, "ended_ns": 1_000_000_100} | played
    return Clone(
        job, number, group, ["/f"], Played(bytes_read=4096 * len(latencies), latencies_ns=latencies, **said)
    )


def test_groups_begin_at_walls():
    """A stonewall or new_group begins a group, but not for the first job."""
    jobs = [
        Job(name="a", stonewall=True),
        Job(name="b"),
        Job(name="c", stonewall=True),
        Job(name="d"),
        Job(name="e", new_group=True),
    ]
    assert [0, 0, 1, 1, 2] == groups_of(jobs)


def test_a_row_a_clone_and_a_row_a_group():
    """Clones in order, and behind those of a group that is reported as one its own row over all of it."""
    a, b = Job(name="a", title="first", group_reporting=True), Job(name="b")
    clones = [_clone(a, 0, 0, [10, 20]), _clone(a, 1, 0, [30]), _clone(b, 0, 1, [40])]
    rows = [(row.scope, row.job, row.clone, row.group, row.reads, row.bytes_read) for row in job_rows(clones)]
    assert [
        ("job", "first", 0, 0, 2, 8192),
        ("job", "first", 1, 0, 1, 4096),
        ("group", "first", 2, 0, 3, 12288),
        ("job", "b", 0, 1, 1, 4096),
    ] == rows


def test_percentiles_are_of_nearest_rank():
    """Percentile p of n latencies is the smallest that at least p percent do not exceed; a mean is a mean."""
    latencies = [7 * number % 1009 for number in range(1009)]
    (row,) = job_rows([_clone(Job(name="a"), 0, 0, latencies)])
    ordered = sorted(latencies)
    for percentile in PERCENTILES:
        rank = math.ceil(round(percentile * 1009 / 100, 9))
        assert ordered[rank - 1] == row.latencies_ns[percentile_name(percentile)]
    assert (0, 1008, 504.0) == tuple(row.latencies_ns[name] for name in ("min", "max", "mean"))
    assert "p99_99" in row.latencies_ns


def test_rates_are_of_the_time_that_counts():
    """Reads and bytes of the ramp are left out, and so is its time."""
    clone = _clone(
        Job(name="a"), 0, 0, [1] * 10, ramp_reads=4, ramp_bytes=4 * 4096, measured_from_ns=500_000_100
    )
    (row,) = job_rows([clone])
    assert (6, 6 * 4096, 500_000_000, 12.0) == (row.reads, row.bytes_read, row.runtime_ns, row.iops)
    assert 6 * 4096 / 2**20 / 0.5 == row.throughput_mib_s


def test_a_group_is_from_the_first_start_to_the_last_end():
    """The runtime of a group is that of all its clones together."""
    job = Job(name="a", group_reporting=True)
    early = _clone(job, 0, 0, [1], measured_from_ns=100, ended_ns=300)
    late = _clone(job, 1, 0, [1], measured_from_ns=200, ended_ns=900)
    assert [200, 700, 800] == [row.runtime_ns for row in job_rows([early, late])]
    late = _clone(job, 0, 0, [1], measured_from_ns=200, ended_ns=900)
    early = _clone(job, 1, 0, [1], measured_from_ns=100, ended_ns=300)
    assert [700, 200, 800] == [row.runtime_ns for row in job_rows([late, early])]


def test_a_job_without_reads_has_no_latencies():
    """Nothing is made up where nothing was read."""
    (row,) = job_rows([_clone(Job(name="a"), 0, 0, [])])
    assert {None} == set(row.latencies_ns.values())
    assert (0, 0.0) == (row.reads, row.iops)
