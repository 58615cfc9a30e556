"""
What fio's rows tell of a device at once, without a simulation: bandwidth, latency, and how that is spread.

Each question has an answer (Told) or the reason why the rows have none (Untold); nothing is guessed. In the
model (sim/block/device/ssd.py) a read alone takes host + command_ns + flash_read_ns + bytes / bandwidth.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sim.calibrate.device_jobs import Host
from sim.calibrate.fio_results import FioRow, repeated
from sim.units import KIB, NS_PER_S

HostOf = Callable[[FioRow], Host]

LEAST_BULK_BYTES = 64 * KIB
"""Smaller reads than this say nothing of the bandwidth."""
QUEUED = 2.0
"""A limit shows where a read takes so many times as long as alone: it waits longer than it is worked on."""
CPU_BOUND = 0.9
"""A clone whose CPU was busy for so much of the time measures the host."""
_BIN = 1 / 64
"""The width of a bin of fio's latencies (FIO_IO_U_PLAT_BITS = 6), relative."""
_Z80 = statistics.NormalDist().inv_cdf(0.8)


@dataclass(frozen=True, slots=True)
class Told:
    """A value in the model's unit, its relative half-width, and the rows it is from, in words."""

    value: float
    spread: float
    source: str


@dataclass(frozen=True, slots=True)
class Untold:
    """Why there is none."""

    reason: str


def own_cpu(row: FioRow) -> Host:
    """Return the host's share of a row as fio's CPU times have it."""
    return Host(row.system_ns, row.user_ns)


def cpu_share(row: FioRow) -> float:
    """Return how much of the time a clone's CPU was busy."""
    return (row.system_ns + row.user_ns) * row.iops / row.clones / NS_PER_S


def tell_bandwidth(rows: Sequence[FioRow]) -> Told | Untold:
    """Return bytes a second: the median of the rows of the largest reads that queue."""
    bulk = [row for row in rows if row.bs_bytes >= LEAST_BULK_BYTES and not row.alone]
    if not bulk:
        return Untold("no job with blocks of 64 KiB or more and iodepth > 1")
    alone = {row.bs_bytes: row.lat_ns for row in rows if row.alone}
    compared = [row for row in bulk if row.bs_bytes in alone]
    if not compared:
        sizes = ", ".join(f"{row.name} ({row.bs_bytes // KIB} KiB)" for row in bulk)
        return Untold(f"no job with iodepth 1 and the blocks of {sizes}, so whether these queue is unknown")
    full = [row for row in compared if row.in_flight * NS_PER_S / row.iops >= QUEUED * alone[row.bs_bytes]]
    if not full:
        best = max(compared, key=lambda row: row.bytes_per_s)
        most = f"at most {best.bytes_per_s / 1e6:.0f} MB/s were asked for ({best.name})"
        return Untold(f"no job of large reads queues: {most}")
    largest = max(row.bs_bytes for row in full)
    alike = [row for row in full if row.bs_bytes == largest]
    rates = [row.bytes_per_s for row in alike]
    middle = statistics.median(rates)
    return Told(middle, (max(rates) - min(rates)) / 2 / middle, f"{_names(alike)}, which queue: the median")


def small_alone(rows: Sequence[FioRow], page_bytes: int) -> list[FioRow]:
    """Return the random rows of up to a page with the device for themselves."""
    return [row for row in rows if row.random and row.alone and row.bs_bytes <= page_bytes]


def tell_latency(small: Sequence[FioRow], bandwidth: float, host: HostOf) -> Told | Untold:
    """Return command_ns + flash_read_ns: the median over rows of what the host and the transfer leave."""
    if not small:
        return Untold("no random job of up to a page with iodepth 1")
    left = [row.lat_ns - host(row).within_ns - row.bs_bytes * NS_PER_S / bandwidth for row in small]
    middle = statistics.median(left)
    if middle <= 0:
        return Untold(f"the host takes all of the latency of {_names(small)}")
    spread = (max(left) - min(left)) / 2 / middle
    means = ", ".join(f"{row.lat_ns / 1000:.1f}" for row in small)
    hosts = ", ".join(f"{host(row).within_ns / 1000:.1f}" for row in small)
    source = (
        f"{_names(small)}: mean latency {means} us less the host's {hosts} us and the transfer; the median"
    )
    return Told(middle, spread, source)


def tell_sigma(small: Sequence[FioRow], bandwidth: float, command_ns: float, host: HostOf) -> Told | Untold:
    """
    Return the sigma of the flash's latency, taken as lognormal: from the 20th and the 80th percentile.

    0 if both lie in neighbouring bins of fio's: then it is constant as far as fio can tell.
    """
    if not small:
        return Untold("no random job of up to a page with iodepth 1")
    row = max(small, key=lambda row: row.reads)
    if row.low_ns is None or row.high_ns is None:
        return Untold(f"job {row.name} kept no percentiles (clat_percentiles)")
    source = f"{row.name}: percentiles 20 and 80 at {row.low_ns / 1000:.1f} and {row.high_ns / 1000:.1f} us"
    if row.high_ns <= row.low_ns * (1 + 2 * _BIN):
        return Told(0.0, 0.0, f"{source}, in neighbouring bins")
    fixed = host(row).within_ns + command_ns + row.bs_bytes * NS_PER_S / bandwidth
    if row.low_ns <= fixed:
        return Untold(f"a fifth of the reads of {row.name} take no longer than the host")
    return Told(math.log((row.high_ns - fixed) / (row.low_ns - fixed)) / (2 * _Z80), 0.0, source)


def depth_rows(rows: Sequence[FioRow], page_bytes: int) -> list[FioRow]:
    """Return the random rows of one small size with more than one read in flight, that has most of them."""
    deep = [row for row in rows if row.random and not row.alone and row.bs_bytes <= page_bytes]
    deep = [row for row in deep if cpu_share(row) < CPU_BOUND]
    sizes: dict[int, set[int]] = {}
    for row in deep:
        sizes.setdefault(row.bs_bytes, set()).add(row.in_flight)
    if not deep:
        return []
    chosen = max(sorted(sizes), key=lambda size: len(sizes[size]))
    return sorted((row for row in deep if row.bs_bytes == chosen), key=lambda row: row.in_flight)


def read_ahead_note(rows: Sequence[FioRow]) -> str:
    """Return what sequential small reads say of a read-ahead in the device, which the model does not have."""
    pairs = [
        (row, other)
        for row in rows
        for other in rows
        if not row.random and other.random and row.alone and other.alone and row.bs_bytes == other.bs_bytes
    ]
    if not pairs:
        return (
            "the device's own read-ahead cannot be told: no sequential job beside a random one at iodepth 1"
        )
    row, other = min(pairs, key=lambda pair: pair[0].bs_bytes)
    share = row.lat_ns / other.lat_ns
    return (
        f"the device's own read-ahead: at iodepth 1 a sequential read of {row.bs_bytes / KIB:g} KiB takes"
        f" {share:.2f} of a random one's time ({row.name}, {other.name}); the model has no read-ahead"
    )


def noise_note(rows: Sequence[FioRow]) -> str:
    """Return how far apart the IOPS of a job lie that several results have; "" if none is there twice."""
    several = [[row.iops for row in same] for same in repeated(rows) if len(same) > 1]
    if not several:
        return ""
    apart = [max(iops) / min(iops) - 1 for iops in several]
    middle, most = statistics.median(apart), max(apart)
    jobs = f"{len(apart)} jobs that were run more than once"
    return f"noise: the IOPS of {jobs} lie {middle:.0%} apart in the median, {most:.0%} at most"


def _names(rows: Sequence[FioRow]) -> str:
    return ", ".join(row.name for row in rows)
