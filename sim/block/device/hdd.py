"""
A hard disk: one actuator, rotating discs, a track buffer that reads ahead.

Geometry. Sectors fill track after track of a cylinder, cylinder after cylinder, from the outer zone inwards;
each zone has its own number of sectors per track. The start of a track is skewed against the one before by
the time of the switch between them, so a sequential read never waits for a revolution.

Time. A seek over d > 0 cylinders takes a + b * (sqrt(d) - 1), with a the switch to the next cylinder and b
such that the mean over all pairs of cylinders is `average_seek_ns`; the acceleration-limited part of
Ruemmler and Wilkes, "An introduction to disk drive modeling", IEEE Computer 27(3), 1994. Settling is part of
it, as in data sheets. The angle of the discs is the simulated time modulo one revolution: rotation is never
random. Sectors are then read at the rate of the track. The interface sends what has been read, in order of
service; the last sector crosses after it has been read.

The drive goes on reading after a command, up to `drive_read_ahead_bytes` beyond its end, and keeps that in
one cache segment. A command that begins in the segment, or where the head will be without a seek, is served
from there. When the drive stopped at that bound, it must wait for the sector to come round again.

Commands are served in the order of issue ("fifo"), or the one with the shortest seek plus rotation first
("sptf", Worthington, Ganger and Patt, SIGMETRICS 1994; no ageing, so a far command may starve).

A write crosses the interface into the drive's buffer and is answered then, if it holds a volatile cache with
room for it: when the writes before it that would make it overflow are on the disc. The head writes in the
order of issue, after what it had to do before, and `settle_ns` longer after a seek than for a read. Without a
volatile cache a write is answered when it is on the disc, and so is a flush. Reading on ends with a write.

Left out: several cache segments, reordering of writes in the buffer, writes with "sptf", remapped sectors,
thermal recalibration, serpentine layouts, the linear part of long seeks, the few tracks that read-ahead moves
the head before the next seek.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from math import sqrt
from typing import Final

from sim.block.device.constants import HddModel, HddWrite
from sim.block.device.profile import DeviceProfile
from sim.block.hardware import WritableHardware
from sim.engine.clock import Clock
from sim.errors import ConfigError
from sim.units import NS_PER_S, SECTOR_BYTES

_SECONDS_PER_MINUTE: Final = 60
_Command = tuple[int, int, object, Callable[[object], None], int]


class Geometry:
    """Where a sector lies, and when a head over its track can read it. Angles are in ns of rotation."""

    def __init__(self, model: HddModel) -> None:
        """Lay `model.sectors` out over zones of equal numbers of cylinders."""
        self.revolution_ns = _SECONDS_PER_MINUTE * NS_PER_S // model.rpm
        self.heads = model.heads
        self._head_switch_ns = model.head_switch_ns
        self._cylinder_switch_ns = model.cylinder_switch_ns
        self._cylinder_skew_ns = (model.heads - 1) * model.head_switch_ns + model.cylinder_switch_ns
        spread = model.outer_track_sectors - model.inner_track_sectors
        per_track = [
            model.outer_track_sectors - spread * zone // max(1, model.zones - 1)
            for zone in range(model.zones)
        ]
        cylinders_per_zone = -(-model.sectors // (sum(per_track) * model.heads))
        self.cylinders = cylinders_per_zone * model.zones
        self._track_sectors = per_track
        self._zone_tracks = cylinders_per_zone * model.heads
        self._zone_sector = [0]
        for sectors in per_track[:-1]:
            self._zone_sector.append(self._zone_sector[-1] + sectors * self._zone_tracks)

    def locate(self, sector: int) -> tuple[int, int, int]:
        """Return track (from the outermost on), sector within the track, and sectors of that track."""
        zone = bisect_right(self._zone_sector, sector) - 1
        per_track = self._track_sectors[zone]
        track, within = divmod(sector - self._zone_sector[zone], per_track)
        return zone * self._zone_tracks + track, within, per_track

    def cylinder(self, sector: int) -> int:
        """Return the cylinder of a sector."""
        return self.locate(sector)[0] // self.heads

    def skew_ns(self, track: int) -> int:
        """Return the angle at which sector 0 of a track begins."""
        cylinder, head = divmod(track, self.heads)
        return (cylinder * self._cylinder_skew_ns + head * self._head_switch_ns) % self.revolution_ns

    def rotation_ns(self, sector: int, arrival_ns: int) -> int:
        """Return how long a head that is over the track at `arrival_ns` waits for the sector to begin."""
        track, within, per_track = self.locate(sector)
        angle = self.skew_ns(track) + within * self.revolution_ns // per_track
        return (angle - arrival_ns) % self.revolution_ns

    def read(self, sector: int, end_sector: int, arrival_ns: int) -> int:
        """Return when all up to `end_sector` is read by a head over the track of `sector` at `arrival_ns`."""
        time_ns = arrival_ns + self.rotation_ns(sector, arrival_ns)
        track, within, per_track = self.locate(sector)
        while True:
            last = min(per_track, within + end_sector - sector)
            time_ns += last * self.revolution_ns // per_track - within * self.revolution_ns // per_track
            sector += last - within
            if sector >= end_sector:
                return time_ns
            # Skew makes the next track begin exactly when the switch is over: there is no wait.
            track += 1
            time_ns += self._head_switch_ns if track % self.heads else self._cylinder_switch_ns
            _, within, per_track = self.locate(sector)


class SeekCurve:
    """Seek time over distance in cylinders."""

    def __init__(self, model: HddModel, cylinders: int) -> None:
        """Fit the curve to the mean over all ordered pairs of two different cylinders."""
        self._least_ns = model.cylinder_switch_ns
        # Of the c(c-1) ordered pairs, 2(c-d) are d apart. The mean of sqrt(d) over them is
        # sqrt(c) * 8/15 in the limit; the sum is taken where that is too coarse.
        mean_root = sqrt(cylinders) * 8 / 15
        if cylinders < 1_000:
            weights = sum((cylinders - d) * sqrt(d) for d in range(1, cylinders))
            mean_root = 2 * weights / max(1, cylinders * (cylinders - 1))
        excess_ns = model.average_seek_ns - model.cylinder_switch_ns
        self._slope_ns = excess_ns / (mean_root - 1) if mean_root > 1 else 0.0

    def time_ns(self, distance: int) -> int:
        """Return the time in ns to move over `distance` >= 0 cylinders and settle; 0 for none."""
        if distance == 0:
            return 0
        return self._least_ns + round(self._slope_ns * (sqrt(distance) - 1))


class Hdd(WritableHardware):
    """A hard disk; the module says how it works and what it leaves out."""

    def __init__(self, clock: Clock, profile: DeviceProfile) -> None:
        """Start with the head over track 0 and an empty cache. Nothing in it is random."""
        model = profile.model
        assert isinstance(model, HddModel)
        self.profile = profile
        self.geometry = Geometry(model)
        self.seek = SeekCurve(model, self.geometry.cylinders)
        self._clock = clock
        self._capacity_sectors = model.sectors
        self._command_ns = model.command_ns
        self._head_switch_ns = model.head_switch_ns
        self._bandwidth = model.bandwidth
        self._read_ahead_sectors = model.drive_read_ahead_bytes // SECTOR_BYTES
        self._sector_transfer_ns = -(-SECTOR_BYTES * NS_PER_S // model.bandwidth)
        self._interface_free_ns = 0
        # At _head_ns the head has read [_cached_from, _head_sector), and reads on to _bound_sector. At first
        # nothing is cached: no sector lies between these bounds.
        self._cached_from = 1
        self._head_sector = self._bound_sector = 0
        self._head_ns = 0
        self._sptf = model.ncq == "sptf"
        self._waiting: list[_Command] = []
        self._busy = False
        self._buffered: deque[tuple[int, int]] = deque()  # (when on the disc, bytes) of writes, in order
        self._unflushed = False

    def submit(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """
        Start reading `sectors` from `sector` on, now; `done(token)` follows when the last one is there.

        Raises ConfigError for sectors beyond the end of the disk.
        """
        if sector + sectors > self._capacity_sectors:
            raise ConfigError(
                self.profile.name,
                f"read of sectors {sector} .. {sector + sectors}",
                f"0 .. {self._capacity_sectors}",
            )
        now = self._clock.now
        if not self._sptf:
            end = self._serve(sector, sector + sectors, now + self._command_ns)
            self._clock.call(end - now, done, token)
            return
        self._waiting.append((sector, sectors, token, done, now + self._command_ns))
        if not self._busy:
            self._serve_nearest()

    def write(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """
        Start writing `sectors` to `sector` on, now; `done(token)` follows when the drive has taken them.

        Raises ConfigError for sectors beyond the end of the disk.
        """
        model = self._write_model()
        end_sector, written_bytes = sector + sectors, sectors * SECTOR_BYTES
        if end_sector > self._capacity_sectors:
            raise ConfigError(
                self.profile.name,
                f"write of sectors {sector} .. {end_sector}",
                f"0 .. {self._capacity_sectors}",
            )
        now = self._clock.now
        start_ns = now + self._command_ns
        self._rest_at_bound(start_ns)
        sent_ns = max(start_ns, self._interface_free_ns) + -(-written_bytes * NS_PER_S // self._bandwidth)
        self._interface_free_ns = sent_ns
        # The head may start as soon as the first sector has come, and cannot end before the last.
        move_ns = self._move_ns(sector)
        arrival_ns = max(start_ns, self._head_ns) + move_ns + (model.settle_ns if move_ns else 0)
        on_disc_ns = max(self.geometry.read(sector, end_sector, arrival_ns), sent_ns)
        self._cached_from, self._head_sector, self._head_ns = sector, end_sector, on_disc_ns
        self._bound_sector = end_sector
        taken_ns = on_disc_ns
        if model.volatile_cache:
            taken_ns = max(sent_ns, self._room_ns(written_bytes, model.cache_bytes, sent_ns))
        self._buffered.append((on_disc_ns, written_bytes))
        self._unflushed = True
        self._clock.call(min(taken_ns, on_disc_ns) - now, done, token)

    def _room_ns(self, wanted_bytes: int, cache_bytes: int, now_ns: int) -> int:
        """Return when the buffer has room for a write: enough of those before it are on the disc."""
        buffered = self._buffered
        while buffered and buffered[0][0] <= now_ns:
            buffered.popleft()
        over = sum(size for _, size in buffered) + wanted_bytes - cache_bytes
        for on_disc_ns, size in buffered:
            if over <= 0:
                return now_ns
            over -= size
            now_ns = on_disc_ns
        return now_ns

    def flush(self, token: object, done: Callable[[object], None]) -> None:
        """Empty the buffer; `done(token)` follows when all writes taken are on the disc."""
        model = self._write_model()
        now = self._clock.now
        end = now + self._command_ns
        if self._unflushed:
            last_ns = self._buffered[-1][0] if self._buffered else end
            end = max(end, last_ns) + model.flush_ns
        self._unflushed = False
        self._clock.call(end - now, done, token)

    def _write_model(self) -> HddWrite:
        write = self.profile.write
        if not isinstance(write, HddWrite) or self._sptf:
            allowed = 'a profile with [write], and ncq = "fifo"'
            raise ConfigError(f"device {self.profile.name}", "cannot be written to", allowed)
        return write

    def _serve_nearest(self) -> None:
        """Start the waiting command with the shortest positioning time (the first one issued if equal)."""
        now = self._clock.now
        best = min(range(len(self._waiting)), key=lambda i: self._positioning_ns(self._waiting[i][0], now))
        sector, sectors, token, done, start_ns = self._waiting.pop(best)
        self._busy = True
        end = self._serve(sector, sector + sectors, max(now, start_ns))

        def complete(_event: object) -> None:
            self._busy = False
            # The drive picks the next command before the host can react to this completion.
            if self._waiting:
                self._serve_nearest()
            done(token)

        self._clock.call(end - now, complete)

    def _positioning_ns(self, sector: int, now_ns: int) -> int:
        if self._is_cached(sector, now_ns):
            return 0
        start_ns = max(now_ns, self._head_ns)
        move_ns = self._move_ns(sector)
        return move_ns + self.geometry.rotation_ns(sector, start_ns + move_ns)

    def _serve(self, sector: int, end_sector: int, start_ns: int) -> int:
        """Serve one command that the drive has understood at `start_ns`; return its completion time."""
        self._rest_at_bound(start_ns)
        if not self._is_cached(sector, start_ns):
            arrival_ns = max(start_ns, self._head_ns) + self._move_ns(sector)
            self._cached_from = sector
            self._head_ns = read_ns = self.geometry.read(sector, end_sector, arrival_ns)
            self._head_sector = end_sector
        elif end_sector > self._head_sector:
            self._head_ns = read_ns = self.geometry.read(self._head_sector, end_sector, self._head_ns)
            self._head_sector = end_sector
        else:
            read_ns = start_ns
        bound = min(end_sector + self._read_ahead_sectors, self._capacity_sectors)
        self._bound_sector = max(bound, self._head_sector)
        transfer_ns = -(-(end_sector - sector) * SECTOR_BYTES * NS_PER_S // self._bandwidth)
        sent_ns = max(start_ns, self._interface_free_ns) + transfer_ns
        self._interface_free_ns = max(sent_ns, read_ns + self._sector_transfer_ns)
        return self._interface_free_ns

    def _is_cached(self, sector: int, start_ns: int) -> bool:
        """
        Whether a command at `sector` needs no positioning: cached, next under the head, or read ahead by now.

        A sector that read-ahead is still to come to is not: going to its track takes just as long.
        """
        if not self._cached_from <= sector <= self._bound_sector:
            return False
        if sector <= self._head_sector:
            return True
        return self.geometry.read(self._head_sector, sector, self._head_ns) <= start_ns

    def _rest_at_bound(self, now_ns: int) -> None:
        """If read-ahead came to its bound before `now_ns`, let the head rest there; else leave it running."""
        if self._head_ns >= now_ns:
            return
        bound_ns = self._head_ns
        if self._bound_sector > self._head_sector:
            bound_ns = self.geometry.read(self._head_sector, self._bound_sector, self._head_ns)
        if bound_ns < now_ns:
            self._head_sector, self._head_ns = self._bound_sector, now_ns

    def _move_ns(self, sector: int) -> int:
        """Return the time to bring the head from where it is to the track of `sector`."""
        from_track = self.geometry.locate(min(self._head_sector, self._capacity_sectors - 1))[0]
        to_track = self.geometry.locate(sector)[0]
        distance = abs(to_track // self.geometry.heads - from_track // self.geometry.heads)
        if distance == 0 and to_track != from_track:
            return self._head_switch_ns
        return self.seek.time_ns(distance)
