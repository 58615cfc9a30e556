"""
Replays a trace: the read(2)s of a process on files, or the bios of one on a block device.

With `pauses` as recorded a process waits as long between two reads as it did, where the trace tells how long
reads took; else a read comes at its recorded time after the start, or when the one before is done, if that
is later. A bio of a block trace comes at its time, whatever is under way. Without pauses each read or bio
comes as soon as the process' one before is done.

Left out: what the processes did besides (their CPU time is a pause), opening and closing.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from sim.block.bio import Bio, EndIo, Plug
from sim.block.opf import REQ_OP_READ, REQ_OP_WRITE, REQ_SYNC
from sim.block.protocols import BioQueue
from sim.cache.address_space import OpenFile
from sim.cache.filemap import Filemap
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.units import PAGE_SECTORS, SECTOR_BYTES
from sim.workload.player import Played
from sim.workload.traces.trace import UNKNOWN, Access


def replay_reads(
    clock: Clock,
    filemap: Filemap,
    task: Task,
    accesses: Sequence[Access],
    files: dict[int, OpenFile],
    pauses: bool,
    played: Played,
) -> Generator[Any, Any, None]:
    """
    Read what one process read, in order.

    files: the open file of each handle. pauses: as recorded; else none.
    """
    played.started_ns = played.measured_from_ns = task.time_ns
    thinks = _Thinks(clock, task, pauses)
    for access in accesses:
        yield from thinks.until(access)
        began = task.time_ns
        got = yield from filemap.read(task, files[access.handle], access.offset, access.length)
        played.bytes_read += got
        played.latencies_ns.append(task.time_ns - began)
        if played.log is not None:
            played.log.append((access.handle, access.offset, got, began))
    yield from task.settle()
    played.ended_ns = clock.now


class _Thinks:
    """The pauses of one process."""

    def __init__(self, clock: Clock, task: Task, pauses: bool) -> None:
        self._clock = clock
        self._task = task
        self._pauses = pauses
        self._ended_ns = UNKNOWN

    def until(self, access: Access) -> Generator[Any, Any, None]:
        """Wait until `access` is due."""
        if not self._pauses or access.at_ns == UNKNOWN:
            return
        due = access.at_ns
        if self._ended_ns != UNKNOWN:
            due = self._task.time_ns + max(access.at_ns - self._ended_ns, 0)
        if access.took_ns != UNKNOWN:
            self._ended_ns = access.at_ns + access.took_ns
        if due > self._task.time_ns:
            yield from self._task.settle()
            yield self._clock.timeout(max(due - self._clock.now, 0))


class _Load(EndIo):
    """The bios of one process: what of them is under way, and how long each took."""

    def __init__(self, clock: Clock, played: Played) -> None:
        self._clock = clock
        self._played = played
        self.under_way: dict[int, Any] = {}

    def charge(self, bio: Bio, context: str) -> int:
        """What ends a bio of a load costs nothing (EndIo)."""
        del bio, context
        return 0

    def done(self, bio: Bio) -> None:
        """Note the latency; whoever waits goes on (EndIo)."""
        played, (number, began) = self._played, bio.owner
        took = self._clock.now - began
        if bio.opf & REQ_OP_WRITE:
            played.bytes_written += bio.sectors * SECTOR_BYTES
            played.writes_ns.append(took)
        else:
            played.bytes_read += bio.sectors * SECTOR_BYTES
            played.latencies_ns.append(took)
            if played.log is not None:
                played.log.append((0, bio.sector * SECTOR_BYTES, bio.sectors * SECTOR_BYTES, began))
        self.under_way.pop(number).succeed()


def replay_bios(
    clock: Clock,
    queue: BioQueue,
    task: Task,
    accesses: Sequence[Access],
    pauses: bool,
    played: Played,
) -> Generator[Any, Any, None]:
    """
    Submit what one process submitted to a device, in order, each bio without a plug.

    pauses: each at its time; else when the one before is done. Its pages are taken as scattered.
    """
    played.started_ns = played.measured_from_ns = task.time_ns
    load = _Load(clock, played)
    for number, access in enumerate(accesses):
        if pauses and access.at_ns > task.time_ns:
            yield from task.settle()
            yield clock.timeout(max(access.at_ns - clock.now, 0))
        sectors = access.length // SECTOR_BYTES
        done = load.under_way[number] = clock.event()
        opf = REQ_OP_WRITE | REQ_SYNC if access.write else REQ_OP_READ
        segments = -(-sectors // PAGE_SECTORS)
        owner = (number, task.time_ns)
        bio = Bio(access.offset // SECTOR_BYTES, sectors, 1, segments, load, owner, [], False, opf)
        queue.submit(task, bio, Plug(holds=False))
        if task.blocked is not None:
            yield from queue.wait_for_tag(task)
        if not pauses:
            yield from task.wait(done)
    yield from task.settle()
    for event in list(load.under_way.values()):
        yield from task.wait(event)
    played.ended_ns = clock.now
