"""
fio jobs in a machine: every clone a task, its files opened, its start and end tied to those of others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sim.cache.address_space import OpenFile
from sim.cache.pages import Mapping
from sim.config.cell_result import CellResult, JobRow, ReadRow
from sim.fs.fs_inode import FsInode
from sim.machine.cell_metrics import NOT_COMPARED, check_delivery, refusal_metrics, result_of
from sim.machine.faults.device import read_metrics
from sim.machine.job_rows import Clone, groups_of, job_rows, write_columns
from sim.machine.job_writes import JobWrites
from sim.machine.stage import Stage
from sim.machine.verify import Verifier, WrittenVerifier
from sim.machine.volume_files import VolumeFile, known_files, plain_contents, preload, verifier_of
from sim.machine.write_jobs import MountedForWriting
from sim.units import NS_PER_S, PAGE_BYTES
from sim.workload.fio.file_service import regions, stretches
from sim.workload.fio.files import find_files
from sim.workload.fio.generator import job_stream, reads_once_in_order
from sim.workload.fio.job import Job
from sim.workload.player import Played, Stop, play
from sim.workload.read_errors import Compared, ReadErrors

_GAPS = 1 << 10  # gaps drawn at a time


class JobRun:
    """
    The jobs of one cell. files: all that were opened, by path. players: of every clone, in order.

    verifiers: of every open file. openings_ns: how long each first open took.
    """

    def __init__(self, stage: Stage) -> None:
        self._cell = stage.cell
        self._machine = stage.machine
        self._opener = stage.opener()
        self._volume = stage.volume
        self._open_file = stage.open_file
        self._sources = stage.clone_sources
        self._digests = stage.digests()
        self._trace = stage.trace
        self._faults = stage.faults
        self._tags = stage.tags
        self._errors: list[ReadErrors] = []
        self._jobs = stage.cell.config.workload.jobs
        self._known = dict.fromkeys(known_files(stage.cell, stage.volume))
        self.files: dict[str, VolumeFile] = {}
        self.verifiers: list[Verifier] = []
        self.openings_ns: list[int] = []
        self._clones: list[Clone] = []
        self._paths_opened: set[str] = set()
        self._mounted: MountedForWriting | None = None

    @property
    def players(self) -> list[Played]:
        """What each clone did, in order."""
        return [clone.played for clone in self._clones]

    def start(self) -> None:
        """Start all clones; the clock is then to run."""
        clock, processes = self._machine.clock, dict[str, list[Any]]()
        wall: Any = None  # what jobs from here on wait for: the end of all before the last stonewall
        every: list[Any] = []
        stops = _Stops(self._jobs)
        if any(job.ddir != "read" for job in self._jobs):
            self._mounted = MountedForWriting(self._machine, self._volume, self._cell.config, self._tags)
        for index, (job, group) in enumerate(zip(self._jobs, groups_of(self._jobs), strict=True)):
            if job.stonewall and every:
                wall = clock.all_of(tuple(every))
            waits = wall
            if job.wait_for is not None:
                others = clock.all_of(tuple(processes[job.wait_for]))
                waits = others if wall is None else clock.all_of((wall, others))
            for number in range(job.numjobs):
                player = self._player(job, number, group, waits, stops.of(index))
                process = clock.process(stops.told(index, player))
                every.append(process)
                processes.setdefault(job.name, []).append(process)

    def _player(self, job: Job, number: int, group: int, after: Any, stop: Stop | None) -> Any:
        """Return the process of one clone, its files opened."""
        at = len(self._clones)
        core = job.cpus[number % len(job.cpus)] if job.cpus else at
        task = self._machine.cpu.task(core, f"{job.name}.{number}")
        paths = ["/" + found.path for found in find_files(job, number, self._known)]
        files = [self._file(path) for path in paths]
        opened = tuple(self._open(job, file, len(files) == 1) for file in files)
        sizes = [file.job_bytes for file in files]
        if job.pre_read:
            for file, span in zip(files, regions(job, sizes, number), strict=True):
                end = -(-(span.start_bytes + span.length_bytes) // PAGE_BYTES)
                preload(self._machine, file, span.start_bytes // PAGE_BYTES, end)
        played = Played(log=[] if self._trace else None, wrote=[] if self._trace else None)
        self._clones.append(Clone(job, number, group, paths, played))
        writes = None
        if job.ddir != "read":
            assert self._mounted is not None
            writes = JobWrites(self._mounted, job, files, self._cell.seed, number)
        seed = self._cell.seed
        delayed = self._delayed(job, number)
        errors = None
        if self._faults is not None or any(self._is_verified(file) for file in files):
            errors = ReadErrors(self._machine.filemap, job.continue_on_read_error)
            self._errors.append(errors)
        player: Any = play(
            self._machine.clock,
            self._machine.filemap,
            task,
            opened,
            stretches(job, sizes, seed, number),
            delayed,
            played,
            after,
            stop,
            self._gaps(job, number),
            writes,
            errors,
        )
        if self._opener is not None:
            for path, file in reversed(list(zip(paths, files, strict=True))):
                first = path not in self._paths_opened
                self._paths_opened.add(path)
                player = self._opener.before(
                    player, task, file.inode, file.xattr_blocks, first, self.openings_ns
                )
        return player

    def _file(self, path: str) -> VolumeFile:
        file = self.files.get(path)
        if file is None:
            file = self.files[path] = self._open_file(path)
            source = self._sources.get(path)
            if source is not None:
                file.source = self._file(source)
        return file

    def _open(self, job: Job, file: VolumeFile, alone: bool) -> OpenFile:
        opened = self._machine.open(file.mapping, file.inode, random=job.advice == "random")
        if job.advice == "sequential":
            opened.ra_pages *= 2  # POSIX_FADV_SEQUENTIAL doubles the window (mm/fadvise.c)
        kept = self._mounted.bytes if self._mounted is not None else None
        if kept is not None:
            opened.sink = written = WrittenVerifier(lambda: kept.expected(file))
            self.verifiers.append(written)
        elif self._faults is not None:
            assert isinstance(file.inode, FsInode)
            opened.sink = Compared(plain_contents(self._volume, file.on_disk, file.inode))
        elif self._cell.config.data == "real":
            in_order = alone and reads_once_in_order(job, file.inode.size_bytes)
            known = self._digests.get(file.path)
            verifier = verifier_of(self._volume, file, in_order, known, self._is_verified(file))
            opened.sink = verifier
            self.verifiers.append(verifier)
        return opened

    def _is_verified(self, file: VolumeFile) -> bool:
        """Return whether reads of a file can be refused for what they find on an image that was changed."""
        real, inode = self._cell.config.data == "real", file.inode
        return real and isinstance(inode, FsInode) and (self._tags is not None or inode.verity is not None)

    def _delayed(self, job: Job, number: int) -> Job:
        """Return `job` with the delay that is drawn for one clone, if it has a choice."""
        if job.startdelay_high_ns is None:
            return job
        rng = job_stream(job, self._cell.seed, number, "/startdelay")
        delay = int(rng.integers(job.startdelay_ns, job.startdelay_high_ns, endpoint=True))
        return replace(job, startdelay_ns=delay, startdelay_high_ns=None)

    def _gaps(self, job: Job, number: int) -> Iterator[int] | None:
        """Return the times from read to read of a Poisson process, None for a steady rate."""
        if job.rate_process != "poisson" or job.limit_bytes_s is None:
            return None
        mean_ns = job.bs_limits_bytes[0] * NS_PER_S / job.limit_bytes_s
        return _poisson_gaps(mean_ns, job_stream(job, self._cell.seed, number, "/poisson"))

    @property
    def mappings(self) -> list[Mapping]:
        """The files that were opened (WorkloadPlayer)."""
        return [file.mapping for file in self.files.values()]

    def result(self) -> CellResult:
        """Return what all clones came to (WorkloadPlayer)."""
        check_delivery(self._machine, self.players)
        rows, reads = self.job_rows(), self.read_rows()
        refused = any(errors.refused for errors in self._errors)
        what = self.verifiers, self.openings_ns, rows, reads, self._faults is not None or refused
        result = result_of(self._machine, self.players, *what)
        if self._faults is not None:
            result.metrics.update(self._faults.store.outcomes())
        if self._faults is not None or refused:
            result.metrics.update(read_metrics(self._errors) | refusal_metrics(self._machine.sums))
            result.metrics["digest_ok"] = NOT_COMPARED
        wrote = self._trace and self._mounted is not None
        result = replace(result, columns={"writes": write_columns(self._clones)} if wrote else {})
        if self._mounted is not None:
            result.metrics.update(self._mounted.writer.sb.locks.metrics())
            result.metrics.update(self._mounted.shared_metrics())
        if self._mounted is not None and self._mounted.bytes is not None:
            result.metrics.update(self._mounted.crash_metrics(self._machine.clock.now, self._cell.seed))
            self._mounted.write_out()
        return result

    def job_rows(self) -> list[JobRow]:
        """Return what each clone came to, and each group that is reported as one."""
        return job_rows(self._clones)

    def read_rows(self) -> list[ReadRow]:
        """Return the traced reads."""
        return [
            ReadRow(reader, number, latency, clone.title, clone.paths[file], offset, length, start)
            for reader, clone in enumerate(self._clones)
            for number, (latency, (file, offset, length, start)) in enumerate(
                zip(clone.played.latencies_ns, clone.played.log or (), strict=False)
            )
        ]


def _poisson_gaps(mean_ns: float, rng: np.random.Generator) -> Iterator[int]:
    while True:
        yield from rng.exponential(mean_ns, size=_GAPS).astype(np.int64).tolist()


@dataclass(frozen=True, slots=True)
class _Ending:
    """The stop that a job looks at, and those that it asks for when it ends."""

    own: Stop
    others: tuple[Stop, ...]


class _Stops:
    """Which jobs end when one does: fio's exitall, for all jobs as soon as one has it."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self._endings: list[_Ending] = []
        if not any(job.exitall for job in jobs):
            return
        groups = groups_of(jobs)
        walls: list[int] = []
        for number, job in enumerate(jobs):
            walls.append((walls[-1] if walls else 0) + (job.stonewall and number > 0))
        stops = {group: Stop() for group in groups}
        for job, group, wall in zip(jobs, groups, walls, strict=True):
            others = {
                "group": [stops[group]],
                "stonewall": [stops[at] for at, block in zip(groups, walls, strict=True) if block == wall],
                "all": list(stops.values()),
            }[job.exit_what]
            self._endings.append(_Ending(stops[group], tuple(others)))

    def of(self, index: int) -> Stop | None:
        """Return the stop that job number `index` looks at."""
        return self._endings[index].own if self._endings else None

    def told(self, index: int, player: Any) -> Any:
        """Return the process of a clone of job number `index` that tells others when it ends."""
        return self._telling(player, self._endings[index].others) if self._endings else player

    def _telling(self, player: Any, others: tuple[Stop, ...]) -> Any:
        yield from player
        for stop in others:
            stop.asked = True
