"""
fio jobs that write, on a volume that is mounted for writing: what each clone of a job does.

A job's writes go through generic_perform_write() into the page cache; the flusher and its fsync(2) write them
out, the journal commits. Which I/O of a mixed job is a write is drawn anew for each, from the seed; fio's own
draws are others. Files that are not there yet are made when a job comes to them, and taken away where it says
so; fio closes each file at the end of a pass, which is modelled for files that grow or are taken away, and
for no others.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from sim.engine.cpu import Task
from sim.engine.streams import stream
from sim.fs.live_inode import LiveInode
from sim.machine.crash.history import WriteCall
from sim.machine.volume_files import VolumeFile
from sim.machine.write_jobs import MountedForWriting
from sim.workload.fio.job import Job
from sim.workload.player import Played, Writes

_DRAWN = 1 << 10


class JobWrites(Writes):
    """What one clone of a job writes, how it syncs, which files it makes and takes away."""

    def __init__(
        self, mounted: MountedForWriting, job: Job, files: list[VolumeFile], seed: int, clone: int
    ) -> None:
        """Raises ConfigError where names are to be made or taken away, and the volume's root is left out."""
        self._mounted = mounted
        self._job = job
        self._files = files
        self._closes = job.unlink or job.unlink_each_loop or any(file.grows_to for file in files)
        if self._closes:
            mounted.names()
        self._inodes = [None if file.found is None else mounted.inode(file) for file in files]
        self._share = {"read": 100, "write": 0}.get(job.ddir, job.rwmixread)
        self._draws = stream(seed, f"{job.name} {clone} reads or writes")
        self._drawn: list[int] = []
        self._written = 0
        self._last = 0
        mounted.began()

    def _reads(self) -> bool:
        """Draw whether the next I/O is a read."""
        if self._share in (0, 100):
            return self._share == 100
        if not self._drawn:
            self._drawn = self._draws.integers(0, 100, _DRAWN).tolist()
        return self._drawn.pop() < self._share

    def _open(self, task: Task, number: int) -> Generator[Any, Any, LiveInode]:
        """Return a file's inode, open; make it if it is not there."""
        inode = self._inodes[number]
        if inode is None:
            inode = self._inodes[number] = yield from self._mounted.open(task, self._files[number])
        return inode

    def issue(
        self, task: Task, number: int, offset: int, length: int, played: Played
    ) -> Generator[Any, Any, int]:
        """Write; -1: to be read. Before either it syncs if it is time, as fio does: never behind the last."""
        file = self._files[number]
        inode = yield from self._open(task, number)
        self._last = number
        yield from self._sync_if_due(task, number, played)
        if self._reads():
            return -1
        mounted, job, began = self._mounted, self._job, task.time_ns
        seen = mounted.now_ns
        length = min(length, file.job_bytes - offset)
        data = mounted.stamped(inode, offset, length)
        write = mounted.writes
        yield from mounted.write(task, inode, offset, length, data)
        mounted.wrote(inode, WriteCall(write, offset, length, seen, task.time_ns))
        if job.sync != "none":
            at = mounted.now_ns
            yield from mounted.fsync(task, inode, job.sync == "dsync")
            mounted.synced(inode, at, task.time_ns)
        played.writes_ns.append(task.time_ns - began)
        if played.wrote is not None:
            played.wrote.append(("write", number, offset, length, began, task.time_ns - began))
        played.bytes_written += length
        self._written += 1
        return length

    def _sync_if_due(self, task: Task, number: int, played: Played) -> Generator[Any, Any, None]:
        """fsync(2) or fdatasync(2), not both, if so many writes are a multiple of what the job says."""
        for every, data_only in ((self._job.fsync_every, False), (self._job.fdatasync_every, True)):
            if every and self._written and not self._written % every:
                yield from self._sync(task, number, played, data_only)
                return

    def _sync(self, task: Task, number: int, played: Played, data_only: bool) -> Generator[Any, Any, None]:
        inode = yield from self._open(task, number)
        began, seen = task.time_ns, self._mounted.now_ns
        yield from self._mounted.fsync(task, inode, data_only)
        played.syncs_ns.append(task.time_ns - began)
        self._mounted.synced(inode, seen, task.time_ns)
        if played.wrote is not None:
            call = "fdatasync" if data_only else "fsync"
            played.wrote.append((call, number, 0, 0, began, task.time_ns - began))

    def passed(self, task: Task, played: Played) -> Generator[Any, Any, None]:
        """
        fio looks for the next I/O of a pass before it knows that there is none, and syncs if it is time; the
        next pass does so again. Not behind the last pass, where all bytes are done.

        Then it closes its files, and unlinks them with unlink_each_loop.
        """
        if self._job.loops > 1:
            yield from self._sync_if_due(task, self._last, played)
        if self._closes:
            yield from self._close(task, self._job.unlink_each_loop)

    def end(self, task: Task, played: Played) -> Generator[Any, Any, None]:
        """End the job: end_fsync of every file, and fsync_on_close."""
        for asked in (self._job.end_fsync, self._job.fsync_on_close):
            for number in range(len(self._inodes)) if asked else ():
                yield from self._sync(task, number, played, False)

    def close(self, task: Task) -> Generator[Any, Any, None]:
        """Close the files, and unlink them: fio counts neither as the job's time."""
        if self._closes:
            yield from self._close(task, self._job.unlink)
        for inode in self._inodes:
            if inode is not None:
                inode.open_files -= 1
        self._mounted.ended()

    def _close(self, task: Task, unlinks: bool) -> Generator[Any, Any, None]:
        """Close all files, and unlink them; the next pass opens them anew, or makes them."""
        for number, file in enumerate(self._files):
            inode = self._inodes[number]
            if inode is not None:
                yield from self._mounted.close(task, file, inode)
                self._inodes[number] = None
                if unlinks:
                    yield from self._mounted.unlink(task, file, inode)


def write_metrics(players: Sequence[Played]) -> dict[str, float | int]:
    """Return what the writes and syncs of all players came to; nothing if there were none."""
    writes = np.array([ns for played in players for ns in played.writes_ns], np.int64)
    syncs = np.array([ns for played in players for ns in played.syncs_ns], np.int64)
    found: dict[str, float | int] = {
        "bytes_streamed": sum(played.bytes_written for played in players),
        "writes": len(writes),
        "syncs": len(syncs),
    }
    for name, latencies in (("write", writes), ("sync", syncs)):
        if len(latencies):
            found |= {
                f"{name}_latency_mean_ns": float(latencies.mean()),
                f"{name}_latency_p50_ns": float(np.percentile(latencies, 50)),
                f"{name}_latency_p99_ns": float(np.percentile(latencies, 99)),
            }
    return found
