"""
The browser cache in a machine: files of the volume opened, read, verified and forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Protocol

import numpy as np

from sim.cache.pages import Mapping
from sim.config.cell import Cell
from sim.engine.cpu import Task
from sim.fs.fs_inode import FsInode
from sim.machine.machine import Machine
from sim.machine.schemes import Opener
from sim.machine.verify import StreamVerifier, Verifier
from sim.stack.ecryptfs import EcryptfsInode
from sim.units import KIB
from sim.workload.browser_cache import BrowserCache, BrowserCacheJob, Key
from sim.workload.player import Played

READ_BYTES = 64 * KIB


class CachedFile(Protocol):
    """A file of the volume as the machine sees it."""

    inode: FsInode | EcryptfsInode
    mapping: Mapping

    xattr_blocks: list[list[int]]
    """The blocks in which its xattrs lie, in batches."""


class BrowserRun:
    """
    One run. verifiers: of every read. openings_ns: how long each first open took. files: all ever opened.

    A private copy is the same file on the disk, with pages and an inode of its own.
    """

    def __init__(
        self,
        cell: Cell,
        machine: Machine,
        opener: Opener | None,
        open_file: Callable[[str], CachedFile],
        digests: dict[str, str],
    ) -> None:
        said = cell.config.workload.browser_cache
        assert said is not None
        self._machine = machine
        self._opener = opener
        self._open_file = open_file
        self._digests = digests
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
        self.files: dict[Key, CachedFile] = {}
        self._opened: dict[Key, set[int]] = {}
        self._ring: set[int] = set()

    def start(self) -> list[Played]:
        """Start all users; the clock is then to run."""
        players = []
        for user in range(self.job.users):
            played = Played()
            players.append(played)
            task = self._machine.cpu.task(user, f"user {user}")
            process = self.cache.user(task, user, played)
            self._machine.clock.process(process)
        return players

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
