"""
fio's jobs on a device model alone: so many reads in flight, each followed by another.

No page cache and no file lie between, as with O_DIRECT. What the host takes is a time a read on each clone's
CPU, one read after another: `Host`. The device sees reads of one size, aligned to it, in sequence or drawn at
random from SPAN_BYTES. Left out: merging, splitting of reads that the queue would not take whole, requests
that wait for a tag.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from sim.block.device.constants import SsdModel
from sim.block.device.make import make_device
from sim.block.device.profile import DeviceProfile
from sim.calibrate.fio_results import FioRow
from sim.engine.clock import Clock
from sim.engine.mode import make_clock
from sim.units import GIB, NS_PER_S, SECTOR_BYTES

SPAN_BYTES = GIB
LEAST_READS, READS_A_PLACE, MOST_PAGES = 1000, 20, 20_000
"""How many reads a job is simulated for: its mean is then within about 1 % of a longer one's."""


@dataclass(frozen=True, slots=True)
class Host:
    """ns a read of a clone's CPU: within fio's latency, and between two reads."""

    within_ns: float
    between_ns: float = 0.0


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a job did: reads a second, and the mean latency as fio takes it."""

    iops: float
    lat_ns: float


class _Clone:
    """One clone: its CPU issues a read when it is free and one is wanted."""

    def __init__(self, loop: _Loop, number: int) -> None:
        self._loop = loop
        self._free_ns = 0
        self._number = number
        self._at = loop.first_sector(number)

    def want(self, _token: object = None) -> None:
        """Issue the next read as soon as the CPU is there."""
        loop = self._loop
        now = loop.clock.now
        start = max(self._free_ns, now)
        issue = start + loop.within_ns
        self._free_ns = issue + loop.between_ns
        loop.clock.call(issue - now, self._issue, start)

    def _issue(self, start: int) -> None:
        loop = self._loop
        self._at = loop.next_sector(self._at)
        loop.device.submit(self._at, loop.sectors, start, self._done)

    def _done(self, start: object) -> None:
        assert isinstance(start, int)
        if self._loop.finish(start):
            self.want()


class _Loop:
    """A job on its device, until `most` reads have ended."""

    def __init__(self, clock: Clock, profile: DeviceProfile, row: FioRow, host: Host, most: int) -> None:
        self.clock = clock
        self.device = make_device(clock, profile, 0)
        self.sectors = row.bs_bytes // SECTOR_BYTES
        self.within_ns, self.between_ns = round(host.within_ns), round(host.between_ns)
        self._blocks = max(SPAN_BYTES // row.bs_bytes, 1)
        self._random = random.Random(0) if row.random else None
        self._clones = row.clones
        self._most, self._skipped = most, row.in_flight
        self._began_ns = self._ended_ns = self._lat_ns = self._reads = 0

    def first_sector(self, number: int) -> int:
        """Return where a clone's region begins, less a read."""
        return number * (self._blocks // self._clones) * self.sectors - self.sectors

    def next_sector(self, at: int) -> int:
        """Return where the read that follows one begins."""
        if self._random is not None:
            return int(self._random.random() * self._blocks) * self.sectors
        return (at + self.sectors) % (self._blocks * self.sectors)

    def finish(self, start: int) -> bool:
        """Count a read that has ended; return whether another follows. The first ones find an idle device."""
        now = self.clock.now
        self._reads += 1
        if self._reads <= self._skipped:
            self._began_ns = now
        elif self._reads <= self._most:
            self._ended_ns = now
            self._lat_ns += now - start
        return self._reads < self._most

    def result(self) -> Simulated:
        """Return the means, once all is done."""
        counted = self._most - self._skipped
        return Simulated(counted * NS_PER_S / (self._ended_ns - self._began_ns), self._lat_ns / counted)


def simulate_job(profile: DeviceProfile, row: FioRow, host: Host) -> Simulated:
    """Return what a job measures on a device."""
    model = profile.model
    assert isinstance(model, SsdModel)
    pages = max(-(-row.bs_bytes // model.page_bytes), 1)
    wanted = max(LEAST_READS, READS_A_PLACE * row.in_flight)
    most = row.in_flight + max(min(wanted, MOST_PAGES // pages), 4 * row.in_flight)
    clock = make_clock()
    loop = _Loop(clock, profile, row, host, most)
    for number in range(row.clones):
        clone = _Clone(loop, number)
        for _ in range(row.depth):
            clone.want()
    clock.run()
    return loop.result()


def with_model(profile: DeviceProfile, **changes: object) -> DeviceProfile:
    """Return a profile with other constants of its model."""
    assert isinstance(profile.model, SsdModel)
    return replace(profile, model=replace(profile.model, **changes))  # type: ignore[arg-type]
