"""
The player: tasks that issue a job's reads one after another (ioengine=psync) and time each.

Every pass but one at time 0 drops the files' cached pages first. A read ends when its last byte is copied,
whether or not the core was free to go on at once; one that fails counts for nothing, not for the job's rate
either. At the end of the runtime the read under way is finished, or the thinktime (fio 3.33).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from mypy_extensions import mypyc_attr

from sim.cache.address_space import OpenFile
from sim.cache.filemap import Filemap
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.errors import ConfigError
from sim.units import NS_PER_S
from sim.workload.fio.job import Job
from sim.workload.read_errors import ReadErrors

MOST_STILL_READS: Final = 1 << 20
"""So many reads that take 0 ns are no rounding."""


@dataclass(slots=True)
class Played:
    """
    What one task did. Times in ns of the clock; ended_ns: -1 as long as it has not; latencies_ns: one per
    read(2), in order.

    ramp_reads, ramp_bytes, ramp_writes, ramp_written: of these, those of the job's ramp_time;
    measured_from_ns: when it was over. writes_ns, syncs_ns: as latencies_ns, of writes and syncs. log: of
    each read the number of its file, offset and length in bytes, and when it began; None: not wanted. wrote:
    likewise of each write and sync, in order: the call, the number of its file, offset, length, when it began
    and how long it took.
    """

    started_ns: int = 0
    ended_ns: int = -1
    bytes_read: int = 0
    latencies_ns: list[int] = field(default_factory=list)
    ramp_reads: int = 0
    ramp_bytes: int = 0
    measured_from_ns: int = 0
    log: list[tuple[int, int, int, int]] | None = None
    bytes_written: int = 0
    ramp_writes: int = 0
    ramp_written: int = 0
    writes_ns: list[int] = field(default_factory=list)
    syncs_ns: list[int] = field(default_factory=list)
    wrote: list[tuple[str, int, int, int, int, int]] | None = None


@mypyc_attr(allow_interpreted_subclasses=True)
class Writes:
    """How a job writes: asked before each of its I/Os, and at its end."""

    def issue(
        self, task: Task, number: int, offset: int, length: int, played: Played
    ) -> Generator[Any, Any, int]:
        """
        Write `length` bytes of file `number` at `offset`, with its syncs; return -1 if they are to be read.
        """
        raise NotImplementedError

    def passed(self, task: Task, played: Played) -> Generator[Any, Any, None]:
        """Do what is done at the end of a pass that another follows."""
        raise NotImplementedError

    def end(self, task: Task, played: Played) -> Generator[Any, Any, None]:
        """Do what is done at the end of a job, in its time."""
        raise NotImplementedError

    def close(self, task: Task) -> Generator[Any, Any, None]:
        """Do what is done behind the job's time."""
        raise NotImplementedError


class Stop:
    """Whether the tasks that share it are to end after the read that is under way (fio's exitall)."""

    __slots__ = ("asked",)

    def __init__(self) -> None:
        self.asked = False


def play(
    clock: Clock,
    filemap: Filemap,
    task: Task,
    files: tuple[OpenFile, ...],
    stretches: Iterable[tuple[bool, int, Iterable[tuple[int, int]]]],
    job: Job,
    played: Played,
    after: Any = None,
    stop: Stop | None = None,
    gaps_ns: Iterator[int] | None = None,
    writes: Writes | None = None,
    errors: ReadErrors | None = None,
) -> Generator[Any, Any, None]:
    """
    Read, or write, each (offset, length) in bytes of each of `stretches`, as fast or as slowly as `job` says.

    stretches: (whether a pass begins, number of the file in `files`, reads). after: an event of the clock to
    wait for before anything else, or None. stop: see Stop. gaps_ns: from one read to the next, for a rate
    that is no steady one. writes: what is not to be read; None: all is. errors: how reads go that may fail.
    """
    yield from _started(clock, job, after)
    log, note = played.log, played.latencies_ns.append
    read = filemap.read if errors is None else errors.read
    began = played.started_ns = played.measured_from_ns = task.time_ns
    pace = _pace_of(clock, task, job, stop, gaps_ns)
    first = True
    for begins, number, reads in () if stop is not None and stop.asked else stretches:
        if begins and (not first or clock.now):
            yield from _begin_pass(filemap, files, job, task, played, None if first else writes)
        first = False
        for offset, length in reads:
            if pace is not None:
                yield from pace.before()
                began = task.time_ns
                if pace.over(began):
                    break
            got = -1 if writes is None else (yield from writes.issue(task, number, offset, length, played))
            wrote = got >= 0
            if not wrote:
                began = began if writes is None else task.time_ns  # without the sync before it
                got = yield from read(task, files[number], offset, length)
                if got < 0:
                    if errors is None or errors.ends:
                        break
                    began = task.time_ns
                    continue
                played.bytes_read += got
                note(task.time_ns - began)
                if log is not None:
                    log.append((number, offset, got, began))
            began = now = task.time_ns
            if pace is not None:
                yield from pace.behind(now, got, wrote, played)
        else:
            continue
        break
    yield from _end(clock, task, played, pace, writes)


def _end(
    clock: Clock, task: Task, played: Played, pace: _Pace | None, writes: Writes | None
) -> Generator[Any, Any, None]:
    """End a job: what belongs to its time, and what comes behind it."""
    if writes is not None:
        yield from writes.end(task, played)
    yield from task.settle()
    played.ended_ns = clock.now
    if pace is not None:
        pace.ended(played)
    if writes is not None:
        yield from writes.close(task)
        yield from task.settle()


def _end_ramp(played: Played) -> None:
    """All that was done so far was the ramp's."""
    played.ramp_reads, played.ramp_bytes = len(played.latencies_ns), played.bytes_read
    played.ramp_writes, played.ramp_written = len(played.writes_ns), played.bytes_written


def _started(clock: Clock, job: Job, after: Any) -> Generator[Any, Any, None]:
    """Wait until a job may start."""
    if after is not None:
        yield after
    if job.startdelay_ns:
        yield clock.timeout(job.startdelay_ns)


def _begin_pass(
    filemap: Filemap,
    files: tuple[OpenFile, ...],
    job: Job,
    task: Task,
    played: Played,
    writes: Writes | None,
) -> Generator[Any, Any, None]:
    """
    Do what fio does between passes: a last look at the one before, posix_fadvise(DONTNEED), and reopen the
    files. writes: of the pass before, None without one.

    A job that goes on by time_based within its one file, or at random, does not open it anew. Left out: their
    CPU time, and that fio names the job's region where we drop the whole file.
    """
    if writes is not None:
        yield from writes.passed(task, played)
    goes_on = job.time_based and (len(files) == 1 or job.rw == "randread")
    for file in files:
        if job.invalidate:
            filemap.cache.drop(file.mapping)
        if not goes_on:
            file.reopen()


def _pace_of(
    clock: Clock, task: Task, job: Job, stop: Stop | None, gaps_ns: Iterator[int] | None
) -> _Pace | None:
    """Return the pauses of a job, None for one that reads as fast as it can to its end."""
    if job.limit_bytes_s or job.runtime_ns or job.thinktime_ns or job.ramp_ns or stop is not None:
        return _Pace(clock, task, job, stop, gaps_ns)
    return None


class _Pace:
    """
    The pauses of one job: thinktime, rate, runtime; its ramp, and the end that others bring.

    A wait for the rate is cut short by the end of the runtime.

    A job that fell behind its rate, by its thinktime or the device, catches up, as in fio; by its thinktime
    not with rate_ignore_thinktime.
    """

    def __init__(
        self, clock: Clock, task: Task, job: Job, stop: Stop | None, gaps_ns: Iterator[int] | None
    ) -> None:
        self._clock = clock
        self._task = task
        self._stop = stop
        self._gaps_ns = gaps_ns
        self._thinktime_ns = job.thinktime_ns
        self._thinktime_blocks = job.thinktime_blocks
        self._ignore_thinktime = job.rate_ignore_thinktime
        self._smallest_bytes = job.bs_limits_bytes[0]
        self._rate_bytes_s = job.limit_bytes_s
        self._runtime_ns = job.runtime_ns
        self._start_ns = task.time_ns
        self._ramp_end_ns = self._start_ns + job.ramp_ns if job.ramp_ns else -1
        self._issued_bytes = 0
        self._gone_ns = 0
        self._reads = 0
        self._end_ns = -1
        self._place = job.place
        self._last_ns = -1
        self._still_reads = 0
        self._set_end()

    def _set_end(self) -> None:
        """The runtime is counted from the end of the ramp, which it does not cut short."""
        if self._runtime_ns is not None and self._ramp_end_ns < 0:
            self._end_ns = self._start_ns + self._runtime_ns

    def over(self, now_ns: int) -> bool:
        """Return whether the runtime is over at `now_ns`, or others have ended the job."""
        if self._stop is not None and self._stop.asked:
            return True
        return 0 <= self._end_ns <= now_ns

    def before(self) -> Generator[Any, Any, None]:
        """Wait until the next read is due."""
        if self._rate_bytes_s is None:
            return
        task, clock = self._task, self._clock
        due = self._start_ns + self._gone_ns
        if self._gaps_ns is None:
            due = self._start_ns + -(-self._issued_bytes * NS_PER_S // self._rate_bytes_s)
        if due > task.time_ns:
            yield from task.settle()
            if 0 <= self._end_ns < due:
                due = self._end_ns
            if due > clock.now:
                yield clock.timeout(due - clock.now)

    def behind(self, now_ns: int, length: int, wrote: bool, played: Played) -> Generator[Any, Any, None]:
        """
        Think after a read or write of `length` bytes that ended at `now_ns`; the first after the ramp ends
        it.
        """
        self._require_progress(now_ns)
        if 0 <= self._ramp_end_ns <= now_ns:
            self._ramp_end_ns = -1
            self._start_ns = played.measured_from_ns = now_ns
            self._issued_bytes = self._gone_ns = 0
            _end_ramp(played)
            if wrote:
                played.ramp_writes -= 1
                played.ramp_written -= length
            else:
                played.ramp_reads -= 1
                played.ramp_bytes -= length
            self._set_end()
        self._reads += 1
        self._issued_bytes += length
        if self._gaps_ns is not None:
            self._gone_ns += next(self._gaps_ns)
        if self._thinktime_ns and self._reads % self._thinktime_blocks == 0:
            yield from self._task.settle()
            yield self._clock.timeout(self._thinktime_ns)
            if self._ignore_thinktime and self._rate_bytes_s is not None:
                self._pardon()

    def _require_progress(self, now_ns: int) -> None:
        """A machine on which nothing costs anything never comes to the end of a runtime."""
        self._still_reads = self._still_reads + 1 if now_ns == self._last_ns else 0
        self._last_ns = now_ns
        if self._still_reads == MOST_STILL_READS:
            problem = f"{MOST_STILL_READS} reads in a row took no time"
            raise ConfigError(self._place, problem, "costs, or a device, that take some")

    def ended(self, played: Played) -> None:
        """A job that ended in its ramp has nothing to show."""
        if self._ramp_end_ns >= 0:
            _end_ramp(played)
            played.measured_from_ns = played.ended_ns

    def _pardon(self) -> None:
        """Count what the rate would have been during a thinktime as read, as fio does, but for a little."""
        missed = self._rate_bytes_s * self._thinktime_ns // NS_PER_S if self._rate_bytes_s is not None else 0
        left = min(self._smallest_bytes, self._smallest_bytes * self._thinktime_ns // NS_PER_S)
        self._issued_bytes += max(missed - left, 0)
        self._gone_ns += self._thinktime_ns
