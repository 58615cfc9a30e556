"""
What `readpath calibrate device --run` asks fio to do: a plan of jobs that only read, and its time.

Random reads one at a time by size, reads of 4 KiB with more and more in flight, large reads that meet the
bandwidth's limit, and small sequential ones. All with O_DIRECT, one after another, each for the same time.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.units import KIB, MIB, NS_PER_MS, NS_PER_S

SIZES = tuple(512 << power for power in range(12))
"""512 B to 1 MiB."""
DEPTHS = (2, 4, 8, 16, 32, 64)
BULK = ((128 * KIB, 32), (MIB, 8), (MIB, 32))
"""Blocks and iodepth."""
RUNTIMES_NS = range(10 * NS_PER_MS, 60 * NS_PER_S + 1)
"""How long a job may read; 0 would be for ever in fio."""
LEAST_BYTES = max(DEPTHS) * MIB
"""A smaller file has no room for the deepest queue of the largest blocks."""
START_NS = 300 * NS_PER_MS
"""What fio takes at most to start and end a job, beside its time."""


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """One job of the plan."""

    name: str
    rw: str
    bs_bytes: int
    iodepth: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The jobs, each for `runtime_ns` behind a fifth of it that does not count."""

    jobs: tuple[PlannedJob, ...]
    runtime_ns: int

    @property
    def ramp_ns(self) -> int:
        """What a job reads before it is measured."""
        return self.runtime_ns // 5

    @property
    def most_ns(self) -> int:
        """How long all of it takes at most."""
        return len(self.jobs) * (self.runtime_ns + self.ramp_ns + START_NS)

    def lines(self, target: str) -> list[str]:
        """Return the plan in words."""
        each = f"{self.runtime_ns / NS_PER_S:g} s each behind {self.ramp_ns / NS_PER_S:g} s"
        return [
            f"fio reads {target}, O_DIRECT, read-only: {len(self.jobs)} jobs, {each},"
            f" {self.most_ns / NS_PER_S:.0f} s in all at most",
            *(f"  {job.name}: rw={job.rw} bs={job.bs_bytes} iodepth={job.iodepth}" for job in self.jobs),
        ]

    def job_file(self, target: str) -> str:
        """Return the plan as a job file of fio; colons part files in fio's `filename`."""
        name = target.replace(":", "\\:")
        lines = [
            "[global]",
            f"filename={name}",
            "direct=1",
            "ioengine=libaio",
            "allow_file_create=0",
            "thread=1",
            "time_based=1",
            f"runtime={self.runtime_ns // NS_PER_MS}ms",
            f"ramp_time={self.ramp_ns // NS_PER_MS}ms",
            "stonewall",
        ]
        for job in self.jobs:
            lines += [f"[{job.name}]", f"rw={job.rw}", f"bs={job.bs_bytes}", f"iodepth={job.iodepth}"]
        return "\n".join(lines) + "\n"


def plan_for(runtime_ns: int, least_bytes: int) -> Plan:
    """Return the plan for a device whose reads are multiples of `least_bytes`."""
    one_by_one = [PlannedJob(f"one-{_word(bs)}", "randread", bs, 1) for bs in SIZES if bs >= least_bytes]
    deep = [PlannedJob(f"deep-{depth}", "randread", 4 * KIB, depth) for depth in DEPTHS]
    bulk = [
        PlannedJob(f"bulk-{rw}-{_word(bs)}-{depth}", rw, bs, depth)
        for rw in ("read", "randread")
        for bs, depth in BULK
    ]
    stream = [PlannedJob(f"stream-{_word(bs)}", "read", bs, 1) for bs in (4 * KIB, 128 * KIB)]
    return Plan((*one_by_one, *deep, *bulk, *stream), runtime_ns)


def _word(size: int) -> str:
    for unit, letter in ((MIB, "m"), (KIB, "k")):
        if size >= unit:
            return f"{size // unit}{letter}"
    return str(size)
