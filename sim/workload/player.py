"""
The player: tasks that issue a job's reads one after another (ioengine=psync) and time each.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any

from sim.cache.filemap import Filemap, OpenFile
from sim.engine.clock import Clock
from sim.engine.cpu import Task


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
    reads: Iterable[tuple[int, int]],
    thinktime_ns: int,
    played: Played,
) -> Generator[Any, Any, None]:
    """
    Read `reads`, (offset, length) in bytes, one after another; pause for `thinktime_ns` after each.

    A read ends when its last byte is copied, whether or not the task's core was free to go on at once.
    """
    note = played.latencies_ns.append
    read = filemap.read
    began = played.started_ns = task.time_ns
    for offset, length in reads:
        played.bytes_read += yield from read(task, file, offset, length)
        now = task.time_ns
        note(now - began)
        if thinktime_ns:
            yield from task.settle()
            yield clock.timeout(thinktime_ns)
            now = task.time_ns
        began = now
    yield from task.settle()
    played.ended_ns = clock.now
