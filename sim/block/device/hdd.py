"""
A hard disk: one actuator, rotating discs, a buffer that reads ahead for several streams.

Time. The head moves (sim.block.device.discs), waits for the sector, and reads at the rate of the track. The
angle of the discs is the simulated time modulo one revolution: rotation is never random. The interface sends
what has been read, in order of service; the last sector crosses after it has been read.

Reading on. The drive goes on reading after a command, up to `drive_read_ahead_bytes` beyond its end, and
keeps that in a segment of its buffer. A command that begins in that segment, or where the head will be
without a seek, is served from there. When the drive stopped at that bound, it must wait for the sector to
come round again. A head that has to go elsewhere leaves at once; but after a command that went on where a
segment holds or ends (a stream, not the first read of a place), only when it has read
`least_read_ahead_bytes` further.

Segments. `cache_segments` are kept, the one longest unused goes first. What lies wholly in one is sent from
the buffer, and the head stays where it is; what goes on beyond its end makes the head go there, and only the
rest is read. Thus as many streams as there are segments find what was read on for them.

Commands are served in the order of issue ("fifo"), or the one with the shortest seek plus rotation first
("sptf", Worthington, Ganger and Patt, SIGMETRICS 1994), from which `ncq_ageing` times its waiting is taken
off so that none starves (Jacobson and Wilkes, HPL-CSP-91-7, 1991); without ageing a far one may.

A write crosses the interface into the drive's buffer and is answered then, if it holds a volatile cache with
room for it: when the writes before it that would make it overflow are on the disc. The head writes in the
order of issue, after what it had to do before and ahead of reads that wait, and `settle_ns` longer after a
seek than for a read. Without a volatile cache a write is answered when it is on the disc, and so is a flush.
With one, so is a write with FUA, in its turn: what lies before it in the buffer is written first. Reading on
ends with a write.

Left out: reordering of writes in the buffer; answers out of order from the buffer while the head reads; the
size of a segment (what a stream has read stays, until its segment goes); with one segment, the few tracks
that reading on moves the head before the next seek.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from sim.block.device.constants import HddModel, HddWrite
from sim.block.device.discs import Geometry, SeekCurve
from sim.block.device.profile import DeviceProfile
from sim.block.hardware import WritableHardware
from sim.engine.clock import Clock
from sim.errors import ConfigError
from sim.units import NS_PER_S, SECTOR_BYTES

_Command = tuple[int, int, object, Callable[[object], None], int]


class Segment:
    """Sectors `first` to `end` - 1 in the drive's buffer."""

    __slots__ = ("end", "first")

    def __init__(self, first: int, end: int) -> None:
        self.first = first
        self.end = end


class Hdd(WritableHardware):
    """A hard disk; the module says how it works and what it leaves out."""

    def __init__(self, clock: Clock, profile: DeviceProfile) -> None:
        """Start with the head over track 0 and an empty buffer. Nothing in it is random."""
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
        self._least_ahead_sectors = model.least_read_ahead_bytes // SECTOR_BYTES
        self._sector_transfer_ns = -(-SECTOR_BYTES * NS_PER_S // model.bandwidth)
        self._interface_free_ns = 0
        # At _head_ns the head has read the segment `_read`, and reads on to _bound_sector; it does not leave
        # before _least_sector. At first nothing is cached: no sector lies between these bounds.
        self._read = Segment(1, 0)
        self._bound_sector = self._least_sector = 0
        self._head_ns = 0
        self._kept_most = model.cache_segments - 1
        self._kept: list[Segment] = []  # the others, the last used first
        self._sptf = model.ncq == "sptf"
        self._ageing = model.ncq_ageing
        self._waiting: list[_Command] = []
        self._busy = False
        self._buffered: deque[tuple[int, int]] = deque()  # (when on the disc, bytes) of writes, in order
        self._unflushed = False

    def submit(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """
        Start reading `sectors` from `sector` on, now; `done(token)` follows when the last one is there.

        Raises ConfigError for sectors beyond the end of the disk.
        """
        self._require_on_disk("read", sector, sector + sectors)
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
        self._write(sector, sectors, token, done, False)

    def write_fua(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """Start such a write; `done(token)` follows when the last sector is on the disc."""
        self._write(sector, sectors, token, done, True)

    def _write(
        self, sector: int, sectors: int, token: object, done: Callable[[object], None], fua: bool
    ) -> None:
        """Start a write, with FUA or without."""
        model = self._write_model()
        end_sector, written_bytes = sector + sectors, sectors * SECTOR_BYTES
        self._require_on_disk("write", sector, end_sector)
        now = self._clock.now
        start_ns = now + self._command_ns
        self._rest_at_bound(start_ns)
        sent_ns = max(start_ns, self._interface_free_ns) + -(-written_bytes * NS_PER_S // self._bandwidth)
        self._interface_free_ns = sent_ns
        # The head may start as soon as the first sector has come, and cannot end before the last.
        leave_ns = max(start_ns, self._head_ns)
        self._put_away(leave_ns)
        move_ns = self._move_ns(sector)
        arrival_ns = leave_ns + move_ns + (model.settle_ns if move_ns else 0)
        on_disc_ns = max(self.geometry.read(sector, end_sector, arrival_ns), sent_ns)
        self._kept = [kept for kept in self._kept if kept.end <= sector or kept.first >= end_sector]
        self._read, self._head_ns = Segment(sector, end_sector), on_disc_ns
        self._bound_sector = self._least_sector = end_sector
        taken_ns = on_disc_ns
        if model.volatile_cache and not fua:
            taken_ns = max(sent_ns, self._room_ns(written_bytes, model.cache_bytes, sent_ns))
        self._buffered.append((on_disc_ns, written_bytes))
        self._unflushed |= not fua
        self._clock.call(min(taken_ns, on_disc_ns) - now, done, token)

    def _room_ns(self, wanted_bytes: int, cache_bytes: int, now_ns: int) -> int:
        """Return when the buffer has room for a write: enough of those before it are on the disc."""
        buffered = self._buffered
        while buffered and buffered[0][0] <= now_ns:
            buffered.popleft()
        over = sum(size for _, size in buffered) + wanted_bytes - cache_bytes
        for on_disc_ns, size in buffered:
            if over <= 0:
                break
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
        if not isinstance(write, HddWrite):
            raise ConfigError(f"device {self.profile.name}", "cannot be written to", "a profile with [write]")
        return write

    def _require_on_disk(self, what: str, sector: int, end_sector: int) -> None:
        if end_sector > self._capacity_sectors:
            raise ConfigError(
                self.profile.name,
                f"{what} of sectors {sector} .. {end_sector}",
                f"0 .. {self._capacity_sectors}",
            )

    def _serve_nearest(self) -> None:
        """Start the waiting command with the shortest aged positioning time (if equal, the first issued)."""
        now = self._clock.now
        best = min(range(len(self._waiting)), key=lambda i: self._aged_ns(self._waiting[i], now))
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

    def _aged_ns(self, command: _Command, now_ns: int) -> float:
        """Return the positioning time of a command, less what it is favoured by for having waited."""
        return self._positioning_ns(command, now_ns) - self._ageing * (now_ns - command[4])

    def _positioning_ns(self, command: _Command, now_ns: int) -> int:
        """Return how long the head needs, from when it could leave, to begin reading for a command."""
        sector, end_sector = command[0], command[0] + command[1]
        if self._is_cached(sector, now_ns):
            return 0
        kept = self._find(sector)
        if kept is not None:
            if end_sector <= kept.end:
                return 0
            sector = kept.end
        leave_ns = self._leave_ns(now_ns)
        move_ns = self._move_ns(sector)
        return move_ns + self.geometry.rotation_ns(sector, leave_ns + move_ns)

    def _serve(self, sector: int, end_sector: int, start_ns: int) -> int:
        """Serve one command that the drive has understood at `start_ns`; return its completion time."""
        self._rest_at_bound(start_ns)
        goes_on = True
        if self._is_cached(sector, start_ns):
            read_ns = start_ns
            if end_sector > self._read.end:
                self._head_ns = read_ns = self.geometry.read(self._read.end, end_sector, self._head_ns)
                self._read.end = end_sector
        else:
            kept = self._find(sector)
            if kept is not None and end_sector <= kept.end:
                self._kept.remove(kept)
                self._kept.insert(0, kept)
                return self._sent(sector, end_sector, start_ns, start_ns)
            leave_ns = self._leave_ns(start_ns)
            if kept is None:
                goes_on, kept = False, Segment(sector, sector)
            else:
                self._kept.remove(kept)
            self._put_away(leave_ns)
            arrival_ns = leave_ns + self._move_ns(kept.end)
            self._head_ns = read_ns = self.geometry.read(kept.end, end_sector, arrival_ns)
            kept.end = end_sector
            self._read = kept
        bound = min(end_sector + self._read_ahead_sectors, self._capacity_sectors)
        self._bound_sector = max(bound, self._read.end)
        least = end_sector + self._least_ahead_sectors if goes_on else end_sector
        self._least_sector = min(least, self._bound_sector)
        return self._sent(sector, end_sector, start_ns, read_ns)

    def _sent(self, sector: int, end_sector: int, start_ns: int, read_ns: int) -> int:
        """Return when all has crossed the interface of a command whose last sector is read at `read_ns`."""
        transfer_ns = -(-(end_sector - sector) * SECTOR_BYTES * NS_PER_S // self._bandwidth)
        sent_ns = max(start_ns, self._interface_free_ns) + transfer_ns
        self._interface_free_ns = max(sent_ns, read_ns + self._sector_transfer_ns)
        return self._interface_free_ns

    def _is_cached(self, sector: int, start_ns: int) -> bool:
        """
        Whether a command at `sector` needs no positioning: cached, next under the head, or read ahead by now.

        A sector that read-ahead is still to come to is not: going to its track takes just as long.
        """
        if not self._read.first <= sector <= self._bound_sector:
            return False
        if sector <= self._read.end:
            return True
        return self.geometry.read(self._read.end, sector, self._head_ns) <= start_ns

    def _find(self, sector: int) -> Segment | None:
        """Return the kept segment that has most of what begins at `sector`, or ends there; else None."""
        best: Segment | None = None
        for kept in self._kept:
            if kept.first <= sector <= kept.end and (best is None or kept.end > best.end):
                best = kept
        return best

    def _leave_ns(self, start_ns: int) -> int:
        """Return when the head can go elsewhere for a command that is understood at `start_ns`."""
        leave_ns = max(start_ns, self._head_ns)
        if self._least_sector > self._read.end:
            read_ns = self.geometry.read(self._read.end, self._least_sector, self._head_ns)
            leave_ns = max(leave_ns, read_ns)
        return leave_ns

    def _put_away(self, leave_ns: int) -> None:
        """Keep what has been read by `leave_ns`, when the head leaves; what was longest unused may go."""
        if self._kept_most == 0:
            return
        read = self._read
        if read.end < self._bound_sector:
            read.end = self.geometry.passed(read.end, self._bound_sector, self._head_ns, leave_ns)
        if read.first < read.end:
            self._kept.insert(0, read)
            del self._kept[self._kept_most :]

    def _rest_at_bound(self, now_ns: int) -> None:
        """If read-ahead came to its bound before `now_ns`, let the head rest there; else leave it running."""
        if self._head_ns >= now_ns:
            return
        bound_ns = self._head_ns
        if self._bound_sector > self._read.end:
            bound_ns = self.geometry.read(self._read.end, self._bound_sector, self._head_ns)
        if bound_ns < now_ns:
            self._read.end, self._head_ns = self._bound_sector, now_ns

    def _move_ns(self, sector: int) -> int:
        """Return the time to bring the head from where it is to the track of `sector`."""
        from_track = self.geometry.locate(min(self._read.end, self._capacity_sectors - 1))[0]
        to_track = self.geometry.locate(sector)[0]
        distance = abs(to_track // self.geometry.heads - from_track // self.geometry.heads)
        if distance == 0 and to_track != from_track:
            return self._head_switch_ns
        return self.seek.time_ns(distance)
