"""
Solid-state drives: a controller, parallel flash units, and one interface to the host.

A command passes three stages.

1. The controller takes commands one after another, `command_ns` each: the limit on IOPS.
2. Each flash page that the command touches is read on a unit: the one its address is striped to, or the
   least busy one. A unit reads one page at a time, in the order of issue. A whole page is read whatever part
   of it was asked for.
3. The asked-for bytes of each page cross the interface as soon as they are read, at `bandwidth`. The
   interface is shared; where transfers compete, the earlier command goes first, and its pieces interleave
   with those of later ones wherever it leaves the interface idle (PCIe and SATA move small packets).

The command completes when its last byte has crossed. Everything is known when a command is issued: stages 1
and 2 serve in order of issue, and in stage 3 no later command can delay an earlier one, so a command costs
one clock event. Hence nothing is faster than the latency at queue depth 1 nor than the interface.

A write passes the controller and crosses the interface like any transfer, into the drive's write cache, and
is answered `acknowledge_ns` later. From the cache writes go to the flash one after another, `sustained_rate`
but at least `least_ns` each; when `cache_bytes` of them wait, the next is answered only as they go.
A flush is answered `flush_ns` after the last write that was taken is on the flash, or at once if none is new.

A write with FUA to a volatile cache is answered `flush_ns` after its own data is on the flash: what a flush
of little takes is the programming of a page and of its mapping, not the amount, and FUA needs both. Other
data need not go out for it (NVM Express, FUA: "that data"): it takes the flash ahead of what lies in the
cache, which goes later by as much, but behind others with FUA and what a flush has asked for. It leaves
nothing to flush. A cache that keeps its contents without power is as good as the flash: there FUA is a write
like others.

Where a profile says so: the flash takes `buffer_bytes` at that rate, with one bit a cell, and what comes when
they are full at `rate_behind_buffer`, at which they are emptied all the time; a read that comes while the
flash is being written takes `read_behind_write_ns` longer, and what is being written `write_behind_read_ns`.
Where none says so, reads and writes meet at the controller and the interface only.

Left out: garbage collection, which makes a drive that is full slower still, and reads of what lies in the
cache; what the flash is in the middle of when a write with FUA comes, and reads that delay that; caches,
read-ahead and page registers for reads (reading the other half of a page costs a flash read again); planes
and the flash bus; retries; power states.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from heapq import heapreplace
from typing import Final

import numpy as np
import numpy.typing as npt
from librt.vecs import vec
from mypy_extensions import i64

from sim.block.device.constants import SsdModel, SsdWrite
from sim.block.device.profile import DeviceProfile
from sim.block.hardware import WritableHardware
from sim.engine.clock import Clock
from sim.engine.streams import stream
from sim.errors import ConfigError, InvariantError
from sim.units import NS_PER_S, SECTOR_BYTES

_DRAWS: Final = 4096


class Ssd(WritableHardware):
    """An NVMe or SATA solid-state drive; the module says how it works and what it leaves out."""

    def __init__(self, clock: Clock, profile: DeviceProfile, seed: int = 0) -> None:
        """`seed` decides the flash latencies, unless they are constant."""
        model = profile.model
        assert isinstance(model, SsdModel)
        self.profile = profile
        self._clock = clock
        self._command_ns = model.command_ns
        self._page_sectors = model.page_bytes // SECTOR_BYTES
        self._pages_per_stripe = model.stripe_bytes // model.page_bytes
        self._units = model.units
        # When each unit is free: a heap if the least busy one is taken, else by unit number.
        self._soonest_ns = [0] * (model.units if model.placement == "least-busy" else 0)
        self._unit_free_ns = vec[i64]([0] * model.units)
        # Rounded up, so that no sum of transfers is ever faster than the interface.
        self._transfer_ns = [
            -(-sectors * SECTOR_BYTES * NS_PER_S // model.bandwidth)
            for sectors in range(self._page_sectors + 1)
        ]
        self._bandwidth = model.bandwidth
        self._controller_free_ns = 0
        self._interface = Interface()
        self._latency = FlashLatency(model, seed, profile.name)
        self._constant_ns = model.flash_read_ns if model.latency_kind == "constant" else -1
        self._first_issue_ns = -1
        self._transferred_ns = 0
        self._flash_written_ns = 0
        self._awaited_ns = 0  # until then the flash has what somebody waits for: FUA, a flush
        self._unflushed = False
        write = profile.write
        self._read_behind_write_ns = write.read_behind_write_ns if isinstance(write, SsdWrite) else 0
        self._write_behind_read_ns = write.write_behind_read_ns if isinstance(write, SsdWrite) else 0
        self._rate = 1
        self._buffered_bytes = 0
        self._buffered_at_ns = 0

    def submit(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """Start reading `sectors` from `sector` on; `done(token)` follows when the last byte is there."""
        now: i64 = self._clock.now
        issued: i64 = self._controller_free_ns
        if issued < now:
            issued = now
        issued += self._command_ns
        self._controller_free_ns = issued
        if issued < self._flash_written_ns:  # never so where nothing was written
            issued += self._read_behind_write_ns
            self._flash_written_ns += self._write_behind_read_ns
        page_sectors: i64 = self._page_sectors
        pages_per_stripe: i64 = self._pages_per_stripe
        units: i64 = self._units
        at: i64 = sector
        page: i64 = at // page_sectors
        soonest, free = self._soonest_ns, self._unit_free_ns
        last_sector = at + sectors
        interface = self._interface
        transfers_ns = self._transfer_ns
        page_ns: i64 = transfers_ns[page_sectors]
        constant_ns: i64 = self._constant_ns
        end: i64 = 0
        transferred_ns: i64 = 0
        # One round a page: this loop decides what simulating a large read costs.
        while at < last_sector:
            next_sector = (page + 1) * page_sectors
            if next_sector > last_sector:
                next_sector = last_sector
            unit = page // pages_per_stripe % units
            read: i64 = soonest[0] if soonest else free[unit]
            if read < issued:
                read = issued
            read += constant_ns if constant_ns >= 0 else self._latency.draw()
            if soonest:
                heapreplace(soonest, read)
            else:
                free[unit] = read
            transfer_ns = page_ns if next_sector - at == page_sectors else transfers_ns[next_sector - at]
            transferred_ns += transfer_ns
            arrived = interface.reserve(read, transfer_ns, now)
            if arrived > end:
                end = arrived
            at = next_sector
            page += 1
        self._finish(now, end, transferred_ns)
        self._clock.call(end - now, done, token)

    def write(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """Start writing `sectors` to `sector` on; `done(token)` follows when the drive has taken them."""
        del sector  # the drive puts it wherever it likes
        self._write(sectors, token, done, False)

    def write_fua(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """Start such a write; `done(token)` follows when it is on the flash, if the cache is volatile."""
        del sector  # likewise
        self._write(sectors, token, done, True)

    def _write(self, sectors: int, token: object, done: Callable[[object], None], fua: bool) -> None:
        """Start a write, with FUA or without."""
        model = self._write_model()
        now, written_bytes = self._clock.now, sectors * SECTOR_BYTES
        issued = max(self._controller_free_ns, now) + self._command_ns
        self._controller_free_ns = issued
        transfer_ns = -(-written_bytes * NS_PER_S // self._bandwidth)
        taken = self._interface.reserve(issued, transfer_ns, now)
        self._finish(now, taken, transfer_ns)
        flash_ns = max(self._flash_ns(model, written_bytes), model.least_ns)
        self._flash_written_ns = max(self._flash_written_ns, taken) + flash_ns
        # What waits for the flash may be as much as the cache holds, this write included.
        room_ns = self._flash_written_ns - model.cache_bytes * NS_PER_S // self._rate
        answered_ns = max(taken + model.acknowledge_ns, room_ns)
        if fua and model.volatile_cache:
            self._awaited_ns = max(self._awaited_ns, taken) + flash_ns
            answered_ns = max(answered_ns, self._awaited_ns + model.flush_ns)
        else:
            self._unflushed = True
        self._clock.call(answered_ns - now, done, token)

    def _flash_ns(self, model: SsdWrite, written_bytes: int) -> int:
        """Return how long the flash takes: at one rate into the buffer, at another when that is full."""
        self._rate = model.sustained_rate
        if not model.buffer_bytes:
            return -(-written_bytes * NS_PER_S // model.sustained_rate)
        now = self._clock.now
        emptied = (now - self._buffered_at_ns) * model.rate_behind_buffer // NS_PER_S
        self._buffered_at_ns = now
        level = max(self._buffered_bytes - emptied, 0)
        fast = min(written_bytes, model.buffer_bytes - level)
        self._buffered_bytes = level + fast
        slow = written_bytes - fast
        if slow:
            self._rate = model.rate_behind_buffer
        fast_ns = -(-fast * NS_PER_S // model.sustained_rate)
        return fast_ns + -(-slow * NS_PER_S // model.rate_behind_buffer)

    def flush(self, token: object, done: Callable[[object], None]) -> None:
        """Empty the write cache; `done(token)` follows when all writes taken are on the flash."""
        model = self._write_model()
        now = self._clock.now
        issued = max(self._controller_free_ns, now) + self._command_ns
        self._controller_free_ns = issued
        end = max(issued, self._flash_written_ns) + model.flush_ns if self._unflushed else issued
        self._unflushed = False
        self._awaited_ns = max(self._awaited_ns, self._flash_written_ns)
        self._clock.call(end - now, done, token)

    def _write_model(self) -> SsdWrite:
        write = self.profile.write
        if not isinstance(write, SsdWrite):
            raise ConfigError(f"device {self.profile.name}", "cannot be written to", "a profile with [write]")
        return write

    def _finish(self, now: int, end: int, transferred_ns: int) -> None:
        """Check the invariants: no answer before the flash could give it, none faster than the interface."""
        self._transferred_ns += transferred_ns
        if self._first_issue_ns < 0:
            self._first_issue_ns = now
        if end < now or self._interface.end_ns - self._first_issue_ns < self._transferred_ns:
            raise InvariantError(f"{self.profile.name}: faster than its interface at {now} ns")


class Interface:
    """
    A shared link as the list of times at which it is taken: disjoint, in order, never touching.

    A transfer takes what is free from the time its data is ready, in pieces if need be, and what it took
    stays taken: earlier reservations have priority, and the link never idles while data waits.
    """

    __slots__ = ("_ends", "_last_start", "_starts", "end_ns")

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        # The last interval, which most transfers come behind, is by itself; it ends at end_ns.
        self._last_start: i64 = 0
        self.end_ns: i64 = 0
        """The end of the last reservation."""

    def reserve(self, ready_ns: i64, duration_ns: i64, now_ns: i64) -> i64:
        """Take the link for `duration_ns` in all, from `ready_ns` >= `now_ns` on; return when it is done."""
        ends = self._ends
        if ends and ends[0] <= now_ns:  # nothing is asked for in the past any more
            past = bisect_right(ends, now_ns)
            del self._starts[:past], ends[:past]
        last_end = self.end_ns
        if ready_ns > last_end:
            if last_end > now_ns:
                self._starts.append(self._last_start)
                ends.append(last_end)
            self._last_start = ready_ns
            end = ready_ns + duration_ns
        elif ready_ns >= self._last_start:  # it waits for the last one: the case of a busy link
            end = last_end + duration_ns
        else:
            return self._between(ready_ns, duration_ns)
        self.end_ns = end
        return end

    def _between(self, ready_ns: int, duration_ns: int) -> int:
        """Reserve what is ready before the last interval begins."""
        starts, ends = self._starts, self._ends
        starts.append(self._last_start)
        ends.append(self.end_ns)
        first = following = bisect_left(ends, ready_ns)  # the first that touches ready_ns or lies later
        at, left = ready_ns, duration_ns
        while following < len(starts):
            gap = starts[following] - at
            if gap >= left:
                break
            if gap > 0:
                left -= gap
            at = ends[following]
            following += 1
        end = taken_until = at + left
        if following < len(starts) and starts[following] == end:
            taken_until = ends[following]
            following += 1
        # From ready_ns on, the link is now taken without a gap: one interval replaces all that were passed.
        begin = min(ready_ns, starts[first])
        starts[first:following] = [begin]
        ends[first:following] = [taken_until]
        self._last_start = starts.pop()
        self.end_ns = ends.pop()
        return end


class FlashLatency:
    """The time to read a flash page, in ns, when it is random: drawn from the device's own stream."""

    __slots__ = ("_model", "_random", "_waiting")

    def __init__(self, model: SsdModel, seed: int, device_name: str) -> None:
        """The stream is named after the device: two devices of a run draw independently."""
        self._model = model
        self._random = stream(seed, f"device.{device_name}.flash")
        self._waiting: list[int] = []

    def draw(self) -> int:
        """Return the latency of the next page read."""
        if not self._waiting:
            # Batches: one draw at a time from numpy costs as much as the rest of a request. Reversed, since
            # pop() takes the last one.
            self._waiting = np.rint(self._batch()).astype(np.int64)[::-1].tolist()
        return self._waiting.pop()

    def _batch(self) -> npt.NDArray[np.float64]:
        mean_ns, sigma = self._model.flash_read_ns, self._model.latency_sigma
        if self._model.latency_kind == "exponential":
            return self._random.exponential(mean_ns, _DRAWS)
        # The mean of exp(N(mu, sigma^2)) is exp(mu + sigma^2 / 2).
        return self._random.lognormal(np.log(mean_ns) - sigma**2 / 2, sigma, _DRAWS)
