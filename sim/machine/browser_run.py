"""
The browser cache in a machine: files of the volume opened, read, verified and forgotten.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sim.cache.pages import Mapping
from sim.config.cell_result import CellResult, ReadRow
from sim.engine.cpu import Task
from sim.machine.cell_metrics import check_delivery, result_of
from sim.machine.stage import Stage
from sim.machine.verify import StreamVerifier, Verifier
from sim.machine.volume_files import VolumeFile
from sim.stack.ecryptfs import EcryptfsInode
from sim.units import KIB
from sim.workload.browser_cache import BrowserCache, BrowserCacheJob, Key
from sim.workload.player import Played

READ_BYTES = 64 * KIB


class BrowserRun:
    """
    One run. verifiers: of every read. openings_ns: how long each first open took. files: all ever opened.

    A private copy is the same file on the disk, with pages and an inode of its own.
    """

    def __init__(self, stage: Stage) -> None:
        cell, machine = stage.cell, stage.machine
        said = cell.config.workload.browser_cache
        assert said is not None
        self._machine = machine
        self._opener = stage.opener()
        self._open_file = stage.open_file
        self._digests = stage.digests()
        self._trace = stage.trace
        self._players: list[Played] = []
        self._names = [f"/{file.name}" for file in cell.config.volume.all_files]
        self._wraps = cell.config.encryption.packets
        self.job = BrowserCacheJob(
            said.users,
            said.requests,
            said.theta,
            said.capacity_bytes,
            said.shared,
            said.fetch_ns,
            said.think_ns,
        )
        sizes = [file.size_bytes for file in cell.config.volume.all_files]
        self.cache = BrowserCache(machine.clock, self.job, sizes, self, cell.seed)
        self.verifiers: list[Verifier] = []
        self.openings_ns: list[int] = []
        self.files: dict[Key, VolumeFile] = {}
        self._opened: dict[Key, set[int]] = {}
        self._ring: set[int] = set()

    def start(self) -> None:
        """Start all users (WorkloadPlayer)."""
        for user in range(self.job.users):
            played = Played()
            self._players.append(played)
            task = self._machine.cpu.task(user, f"user {user}")
            process = self.cache.user(task, user, played)
            self._machine.clock.process(process)

    @property
    def mappings(self) -> list[Mapping]:
        """The files that were ever opened (WorkloadPlayer)."""
        return [file.mapping for file in self.files.values()]

    def result(self) -> CellResult:
        """Return what all users came to (WorkloadPlayer)."""
        check_delivery(self._machine, self._players)
        reads = user_reads(self._players) if self._trace else []
        outcome = result_of(self._machine, self._players, self.verifiers, self.openings_ns, [], reads)
        return replace(outcome, metrics={**outcome.metrics, **self.metrics()})

    def read(self, task: Task, user: int, key: Key) -> Generator[Any, Any, int]:
        """Open a file for a user who has not opened it yet, and read it (Store)."""
        file = self.files.get(key)
        if file is None:
            file = self.files[key] = self._open_file(self._names[key[1]])
        users = self._opened.setdefault(key, set())
        if user not in users and self._opener is not None:
            began = task.time_ns
            blocks = file.xattr_blocks if not users else []
            yield from self._opener.open(task, file.inode, blocks, group_open=user in self._ring)
            self._ring.add(user)
            self.openings_ns.append(task.time_ns - began)
        users.add(user)
        opened = self._machine.open(file.mapping, file.inode)
        size = file.inode.size_bytes
        digest = self._digests.get(self._names[key[1]])
        if digest is not None:
            opened.sink = verifier = StreamVerifier(size, digest)
            self.verifiers.append(verifier)
        for offset in range(0, size, READ_BYTES):
            yield from self._machine.filemap.read(task, opened, offset, READ_BYTES)
        return size

    def stored(self, task: Task, user: int, key: Key) -> None:
        """A new file has its key wrapped for its users, by whom it was fetched for (Store)."""
        if self._opener is not None:
            self._opener.wrap(task, self._wraps)
        self._opened[key] = {user}  # who made it has it open

    def evicted(self, key: Key) -> None:
        """Unlinked: pages and keys are forgotten (Store)."""
        self._opened.pop(key, None)
        file = self.files.get(key)
        if file is not None:
            self._machine.cache.drop(file.mapping)
            if isinstance(file.inode, EcryptfsInode):
                self._machine.cache.drop(file.inode.lower.mapping)

    def metrics(self) -> dict[str, int | float]:
        """Return what a run has beside the usual metrics."""
        counts = self.cache.counts
        hits = np.asarray(counts.hit_ns or [0], np.int64)
        return {
            "hit_rate": counts.hits / (counts.hits + counts.misses),
            "hit_mean_ns": float(hits.mean()),
            "hit_p99_ns": float(np.percentile(hits, 99)),
            "evictions": counts.evictions,
            "private_bytes": counts.private_bytes,
            "distinct_bytes": counts.distinct_bytes,
            "space_saved": 1 - counts.distinct_bytes / counts.private_bytes,
        }


def user_reads(players: Sequence[Played]) -> list[ReadRow]:
    """Return the traced reads of a browser cache's users: whole files, of which no place is known."""
    return [
        ReadRow(reader, number, latency, f"user {reader}")
        for reader, played in enumerate(players)
        for number, latency in enumerate(played.latencies_ns)
    ]
