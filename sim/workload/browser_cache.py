"""
A cache of small files that many users share: who asks for what, what is kept, what is evicted.

Each user asks for one object after another, popular ones more often (Zipf). An object that is cached is
opened and read; one that is not is fetched, which takes a fixed time, and stored. When the cache is full, a
privileged evictor unlinks the files that were used least recently, without any key. `shared`: one copy for
all users; else each user has a cache of the same share of the space.

Left out: writing the fetched file (the simulator does not write: its pages are not in memory afterwards, as
after a write-back under memory pressure), validity and private objects.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.streams import stream
from sim.workload.player import Played
from sim.workload.zipf import zipf_ranks

Key = tuple[int, int]
"""Of a cached file: its owner (SHARED for all) and the object."""

SHARED = -1


@dataclass(frozen=True, slots=True)
class BrowserCacheJob:
    """
    The workload. users: how many. requests: of each. theta: of Zipf's law, not 1. capacity_bytes: of the
    cache, all users' together. fetch_ns: what a miss takes. think_ns: mean pause of a user, exponential.
    """

    users: int
    requests: int
    theta: float
    capacity_bytes: int
    shared: bool
    fetch_ns: int
    think_ns: int


@dataclass(slots=True)
class CacheCounts:
    """
    What happened. private_bytes: what each user's objects would take as copies of their own, without a limit;
    distinct_bytes: what one copy of each takes. hit_ns: how long each hit took, opening included.
    """

    hits: int = 0
    misses: int = 0
    evictions: int = 0
    private_bytes: int = 0
    distinct_bytes: int = 0
    hit_ns: list[int] = field(default_factory=list)


class LruCache:
    """Files by key, at most `capacity_bytes` of them, the least recently used first to go."""

    def __init__(self, capacity_bytes: int) -> None:
        self.capacity_bytes = capacity_bytes
        self.used_bytes = 0
        self._sizes: OrderedDict[Key, int] = OrderedDict()

    def touch(self, key: Key) -> bool:
        """Return whether `key` is cached; it is then the last to go."""
        if key not in self._sizes:
            return False
        self._sizes.move_to_end(key)
        return True

    def put(self, key: Key, size_bytes: int) -> list[Key]:
        """
        Store a file; return whom the evictor unlinked for it.

        A file larger than the cache is not stored; one that is there already (fetched twice at a time) stays.
        """
        if self.touch(key) or size_bytes > self.capacity_bytes:
            return []
        evicted = []
        while self.used_bytes + size_bytes > self.capacity_bytes:
            old, freed = self._sizes.popitem(last=False)
            self.used_bytes -= freed
            evicted.append(old)
        self._sizes[key] = size_bytes
        self.used_bytes += size_bytes
        return evicted


class Store(Protocol):
    """What the workload asks of the machine below it."""

    def read(self, task: Task, user: int, key: Key) -> Generator[Any, Any, int]:
        """Open a cached file for a user and read it whole; return its bytes."""
        ...

    def stored(self, task: Task, user: int, key: Key) -> None:
        """A file was fetched for a user and stored."""
        ...

    def evicted(self, key: Key) -> None:
        """A file was unlinked."""
        ...


class BrowserCache:
    """One run of the workload over objects of `sizes` bytes."""

    def __init__(self, clock: Clock, job: BrowserCacheJob, sizes: list[int], store: Store, seed: int) -> None:
        self._clock = clock
        self._job = job
        self._sizes = sizes
        self._store = store
        self._seed = seed
        shares = 1 if job.shared else job.users
        owners = [SHARED] if job.shared else list(range(job.users))
        self._caches = {owner: LruCache(job.capacity_bytes // shares) for owner in owners}
        self._seen: set[Key] = set()
        self.counts = CacheCounts()

    def user(self, task: Task, user: int, played: Played) -> Generator[Any, Any, None]:
        """Make the requests of one user."""
        job, counts = self._job, self.counts
        random = stream(self._seed, f"browser cache, user {user}")
        owner = SHARED if job.shared else user
        cache = self._caches[owner]
        played.started_ns = task.time_ns
        for wanted in self._wanted(random):
            yield from task.settle()
            if job.think_ns:
                yield self._clock.timeout(int(random.exponential(job.think_ns)))
            self._note(user, wanted)
            key, began = (owner, wanted), task.time_ns
            if cache.touch(key):
                played.bytes_read += yield from self._store.read(task, user, key)
                counts.hits += 1
                counts.hit_ns.append(task.time_ns - began)
            else:
                yield self._clock.timeout(job.fetch_ns)
                counts.misses += 1
                for old in cache.put(key, self._sizes[wanted]):
                    self._store.evicted(old)
                    counts.evictions += 1
                self._store.stored(task, user, key)
            played.latencies_ns.append(task.time_ns - began)
        yield from task.settle()
        played.ended_ns = self._clock.now

    def _wanted(self, random: np.random.Generator) -> Iterator[int]:
        """Yield the objects that a user asks for."""
        ranks = zipf_ranks(self._job.theta, len(self._sizes), random)
        for _request in range(self._job.requests):
            yield next(ranks)

    def _note(self, user: int, wanted: int) -> None:
        """Count the space that copies take, each user's or one."""
        for owner in (user, SHARED):
            if (owner, wanted) not in self._seen:
                self._seen.add((owner, wanted))
                if owner == SHARED:
                    self.counts.distinct_bytes += self._sizes[wanted]
                else:
                    self.counts.private_bytes += self._sizes[wanted]
