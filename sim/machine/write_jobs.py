"""
fio jobs that write, on a machine: the volume mounted for writing, its files open, and what each job does.

A job's writes go through generic_perform_write() into the page cache; the flusher and its fsync(2) write them
out, the journal commits. Which I/O of a mixed job is a write is drawn anew for each, from the seed; fio's own
draws are others. Left out: data (its bytes are not kept), files that do not exist yet, dm-crypt and eCryptfs.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from sim.config.cell import CellConfig
from sim.engine.cpu import Task
from sim.engine.streams import stream
from sim.errors import ConfigError
from sim.ext4.format.features import Compat, Incompat, RoCompat
from sim.ext4.format.journal import JOURNAL_INODE
from sim.ext4.read.reader import Image
from sim.fs.allocation import Ext4Allocator
from sim.fs.ext4_super import MountOptions
from sim.fs.fs_inode import FsInode
from sim.fs.live_inode import LiveInode
from sim.fs.mapper import InodeMap
from sim.fs.mballoc.allocator import MbAllocator
from sim.fs.mballoc.image import ImageBitmaps, geometry_of, seeds_of
from sim.machine.machine import Machine
from sim.machine.volume_files import VolumeFile
from sim.machine.volume_shape import JournalShape, VolumeShape
from sim.machine.writer import WRITE_PATHS, Ext4Writer
from sim.paths.flusher import total_dirty
from sim.workload.fio.job import Job
from sim.workload.player import Played, Writes

TAG_BYTES = {(False, False): 8, (False, True): 12, (True, False): 16, (True, True): 16}
"""Bytes of a descriptor's tag, by (checksums, 64 bit)."""
_DRAWN = 1 << 10


def shape_of(volume: Image) -> VolumeShape:
    """Return what the write side has to know of an image."""
    sb, journal = volume.superblock, None
    if sb.has(Compat.HAS_JOURNAL):
        tree = volume.read_extent_tree(volume.inode(JOURNAL_INODE))
        places = [extent.physical + at for extent in tree.extents for at in range(extent.length)]
        checksums, wide = sb.has(RoCompat.METADATA_CSUM), sb.has(Incompat.BIT64)
        journal = JournalShape(places, TAG_BYTES[checksums, wide], checksums)
    return VolumeShape(
        volume.block_size, sb.groups_count, sb.descriptor_blocks, sb.first_data_block + 1, journal
    )


class MountedForWriting:
    """The volume of a cell, mounted: `writer` has the system calls, `inodes` the files that are open."""

    def __init__(self, machine: Machine, volume: Image, config: CellConfig) -> None:
        """Raises ConfigError for a path that does not write."""
        name = machine.design.name
        if name not in WRITE_PATHS:
            raise ConfigError("path", f"{name!r} does not write", ", ".join(WRITE_PATHS))
        said = config.mount
        options = MountOptions(
            said.data,
            said.delalloc,
            said.dioread_nolock,
            said.barrier,
            said.journal_async_commit,
            said.commit_ns,
        )
        mb = MbAllocator(geometry_of(volume), seeds_of(volume), ImageBitmaps(volume))
        self._volume = volume
        self._machine = machine
        self.writer = Ext4Writer(
            machine.clock,
            machine.cpu,
            machine.ledger,
            machine.disk,
            machine.cache,
            shape_of(volume),
            options,
            Ext4Allocator(machine.ledger, mb),
            name,
            memory_pages=machine.spec.memory_pages,
        )
        self._inodes: dict[int, LiveInode] = {}
        self._jobs = 0
        if machine.spec.recorder is not None:
            live = self.writer.inodes
            machine.spec.recorder.gauges["dirty_pages"] = lambda: total_dirty(live.values())

    def inode(self, file: VolumeFile) -> LiveInode:
        """Return the inode of a file as it is written; what is read of it is of the same pages."""
        found = self._inodes.get(file.on_disk.number)
        if found is not None:
            found.open_files += 1
            return found
        assert isinstance(file.inode, FsInode)
        volume, number = self._volume, file.on_disk.number
        sb = volume.superblock
        group, at = divmod(number - 1, sb.inodes_per_group)
        block = volume.group(group).inode_table + at * sb.inode_size // volume.block_size
        live = LiveInode(
            number,
            block,
            group,
            file.on_disk.size_bytes,
            file.on_disk.tree,
            volume.block_size,
            file.mapping,
            file.inode.encrypted,
        )
        self._inodes[number] = live
        self.writer.add(live)
        self.writer.buffers.warm([block])
        if file.inode.map.status.entries:
            self.writer.buffers.warm(file.on_disk.tree.blocks)
        return live

    def began(self) -> None:
        """A job has begun to write."""
        self._jobs += 1

    def ended(self) -> None:
        """A job has ended: with the last one, timers do."""
        self._jobs -= 1
        if not self._jobs:
            self.writer.stop_timers()


class JobWrites(Writes):
    """What one clone of a job writes, and how it syncs."""

    def __init__(
        self, mounted: MountedForWriting, job: Job, files: list[VolumeFile], seed: int, clone: int
    ) -> None:
        self._mounted = mounted
        self._job = job
        self._files = files
        self._inodes = [mounted.inode(file) for file in files]
        self._share = {"read": 100, "write": 0}.get(job.ddir, job.rwmixread)
        self._draws = stream(seed, f"{job.name} {clone} reads or writes")
        self._drawn: list[int] = []
        self._written = 0
        mounted.began()

    def _reads(self) -> bool:
        """Draw whether the next I/O is a read."""
        if self._share in (0, 100):
            return self._share == 100
        if not self._drawn:
            self._drawn = self._draws.integers(0, 100, _DRAWN).tolist()
        return self._drawn.pop() < self._share

    def issue(
        self, task: Task, number: int, offset: int, length: int, played: Played
    ) -> Generator[Any, Any, int]:
        """Write; -1: to be read. Before either it syncs if it is time, as fio does: never behind the last."""
        inode, file = self._inodes[number], self._files[number]
        yield from self._sync_if_due(task, number, played)
        if self._reads():
            if inode.changed and isinstance(file.inode, FsInode):
                inode.changed = False
                file.inode.map = InodeMap(inode.tree.snapshot())
                file.inode.map.status.fill()
            return -1
        writer, job, began = self._mounted.writer, self._job, task.time_ns
        length = min(length, inode.size - offset)
        yield from writer.write(task, inode, offset, length)
        if job.sync != "none":
            yield from writer.sync.fsync(task, inode, job.sync == "dsync")
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
        began = task.time_ns
        yield from self._mounted.writer.sync.fsync(task, self._inodes[number], data_only)
        played.syncs_ns.append(task.time_ns - began)
        if played.wrote is not None:
            call = "fdatasync" if data_only else "fsync"
            played.wrote.append((call, number, 0, 0, began, task.time_ns - began))

    def end(self, task: Task, played: Played) -> Generator[Any, Any, None]:
        """End the job: end_fsync of every file, and fsync_on_close."""
        for asked in (self._job.end_fsync, self._job.fsync_on_close):
            for number in range(len(self._inodes)) if asked else ():
                yield from self._sync(task, number, played, False)
        for inode in self._inodes:
            inode.open_files -= 1
        self._mounted.ended()


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
