"""
The player: tasks that issue a job's reads one after another (ioengine=psync) and time each.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any

from sim.cache.filemap import Filemap, OpenFile
from sim.cache.readahead import RaState
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.units import NS_PER_S
from sim.workload.fio.job import Job


@dataclass(slots=True)
class Played:
    """
    What one task did. Times in ns of the clock; latencies_ns: one per read(2), in order.
    """

    started_ns: int = 0
    ended_ns: int = 0
    bytes_read: int = 0
    latencies_ns: list[int] = field(default_factory=list)


def play(
    clock: Clock,
    filemap: Filemap,
    task: Task,
    file: OpenFile,
    passes: Iterable[Iterable[tuple[int, int]]],
    job: Job,
    played: Played,
    after: Any = None,
) -> Generator[Any, Any, None]:
    """
    Read each (offset, length) in bytes of each of `passes`, as fast or as slowly as `job` says.

    after: an event of the clock to wait for before anything else, or None. Every pass but one at time 0,
    when the page cache is as the experiment made it, drops the file's cached pages first (see `_begin_pass`).

    A read ends when its last byte is copied, whether or not the task's core was free to go on at once. A
    read that is under way at the end of the runtime is finished, and so is a thinktime; a wait for the rate
    is cut short (fio 3.33).
    """
    if after is not None:
        yield after
    if job.startdelay_ns:
        yield clock.timeout(job.startdelay_ns)
    note = played.latencies_ns.append
    read = filemap.read
    began = played.started_ns = task.time_ns
    pace = _Pace(clock, task, job) if job.rate_bytes_s or job.runtime_ns or job.thinktime_ns else None
    for number, reads in enumerate(passes):
        if number or clock.now:
            _begin_pass(filemap, file, job)
        for offset, length in reads:
            if pace is not None:
                yield from pace.before(played.bytes_read)
                began = task.time_ns
                if pace.over(began):
                    break
            played.bytes_read += yield from read(task, file, offset, length)
            now = task.time_ns
            note(now - began)
            began = now
            if pace is not None:
                yield from pace.behind()
        else:
            continue
        break
    yield from task.settle()
    played.ended_ns = clock.now


def _begin_pass(filemap: Filemap, file: OpenFile, job: Job) -> None:
    """
    Do what fio does between passes: posix_fadvise(DONTNEED), and, but for a time_based job, reopen the file.

    Left out: their CPU time, and that fio names the job's region where we drop the whole file.
    """
    if job.invalidate:
        filemap.cache.drop(file.mapping)
    if not job.time_based:
        file.ra = RaState()
        file.position = -1


class _Pace:
    """
    The pauses of one job: thinktime, rate (linear, as fio's rate_process=linear), runtime.

    A job that fell behind its rate, by its thinktime or the device, catches up, as in fio.
    """

    def __init__(self, clock: Clock, task: Task, job: Job) -> None:
        self._clock = clock
        self._task = task
        self._thinktime_ns = job.thinktime_ns
        self._thinktime_blocks = job.thinktime_blocks
        self._rate_bytes_s = job.rate_bytes_s
        self._start_ns = task.time_ns
        self._end_ns = None if job.runtime_ns is None else self._start_ns + job.runtime_ns
        self._reads = 0

    def over(self, now_ns: int) -> bool:
        """Return whether the runtime is over at `now_ns`."""
        return self._end_ns is not None and now_ns >= self._end_ns

    def before(self, bytes_read: int) -> Generator[Any, Any, None]:
        """Wait until the next read is due, `bytes_read` having been read."""
        if self._rate_bytes_s is None:
            return
        task, clock = self._task, self._clock
        due = self._start_ns + -(-bytes_read * NS_PER_S // self._rate_bytes_s)
        if due > task.time_ns:
            yield from task.settle()
            if self._end_ns is not None and self._end_ns < due:
                due = self._end_ns
            if due > clock.now:
                yield clock.timeout(due - clock.now)

    def behind(self) -> Generator[Any, Any, None]:
        """Think after a read."""
        self._reads += 1
        if self._thinktime_ns and self._reads % self._thinktime_blocks == 0:
            yield from self._task.settle()
            yield self._clock.timeout(self._thinktime_ns)
