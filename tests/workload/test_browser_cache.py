"""The browser cache: what is kept, who is evicted, what is counted."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.engine.cpu import Cpu, Task
from sim.engine.mode import make_clock
from sim.errors import ConfigError
from sim.experiment.loading import expand
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image
from sim.workload.browser_cache import SHARED, BrowserCache, BrowserCacheJob, Key, LruCache
from sim.workload.player import Played


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 40)), max_size=60), st.integers(1, 100))
def test_the_cache_is_bounded_and_evicts_the_least_recently_used(
    puts: list[tuple[int, int]], capacity: int
) -> None:
    """Against a naive model: a list in order of use, cut from the front."""
    cache = LruCache(capacity)
    naive: list[tuple[Key, int]] = []
    for number, size in puts:
        key = (SHARED, number)
        held = dict(naive)
        if key in held:
            naive = [entry for entry in naive if entry[0] != key] + [(key, held[key])]
            expected: list[Key] = []
        elif size > capacity:
            expected = []
        else:
            expected = []
            while sum(bytes_ for _, bytes_ in naive) + size > capacity:
                expected.append(naive.pop(0)[0])
            naive.append((key, size))
        assert expected == cache.put(key, size)
        assert sum(bytes_ for _, bytes_ in naive) == cache.used_bytes <= capacity


class Shelf:
    """A store that notes what happens; a read takes no time."""

    def __init__(self) -> None:
        self.log: list[tuple[str, int, Key]] = []

    def read(self, _task: Task, user: int, key: Key) -> Generator[Any, Any, int]:
        """Note a read."""
        self.log.append(("read", user, key))
        return 10
        yield

    def stored(self, _task: Task, user: int, key: Key) -> None:
        """Note a new file."""
        self.log.append(("stored", user, key))

    def evicted(self, key: Key) -> None:
        """Note an unlinked file."""
        self.log.append(("evicted", -1, key))


@pytest.mark.parametrize("shared", [True, False])
def test_every_request_is_a_hit_or_a_miss_and_fetches_take_their_time(shared: bool) -> None:
    """Private caches never mix owners; a user's time is that of the misses."""
    clock, shelf = make_clock(), Shelf()
    job = BrowserCacheJob(3, 40, 0.8, 300, shared, 1000, 0)
    cache = BrowserCache(clock, job, [10] * 20, shelf, seed=1)
    played = [Played() for _ in range(3)]
    cpu = Cpu(clock, 3)
    for user in range(3):
        clock.process(cache.user(cpu.task(user, ""), user, played[user]))
    clock.run()
    counts = cache.counts
    assert 120 == counts.hits + counts.misses == sum(len(one.latencies_ns) for one in played)
    assert counts.hits == sum(word == "read" for word, _, _ in shelf.log)
    for user, one in enumerate(played):
        misses = sum(word == "stored" and who == user for word, who, _ in shelf.log)
        assert 1000 * misses == one.ended_ns
    owners = {key[0] for _, _, key in shelf.log}
    assert ({SHARED} if shared else {0, 1, 2}) == owners


def cell(encryption: dict[str, Any], shared: bool = True, **browser: Any) -> Any:
    """Return a small browser cache."""
    raw = {
        "title": "cache",
        "device": {"profile": "nvme"},
        "machine": {"memory": "1MiB"},
        "volume": {"block_size": "4KiB", "objects": {"count": 30, "median": "6KiB"}},
        "workload": {
            "browser_cache": {
                "users": 4,
                "requests": 25,
                "capacity": "128KiB",
                "shared": shared,
                "think": "5ms",
                **browser,
            }
        },
        "encryption": encryption,
    }
    return expand(raw, Path("cache.toml"), []).cells[0]


def test_sharing_hits_more_and_keys_cost_nanoseconds(tmp_path: Path) -> None:
    """Same space: a shared cache hits more. Wrapped keys change no hit, only what it takes."""
    got = {}
    for name, chosen in {
        "plain": cell({"scheme": "none"}),
        "private": cell({"scheme": "none"}, shared=False),
        "keys": cell({"scheme": "file-keys", "policy": "any-of", "users": 4, "charge_open": True}),
        "ecryptfs": cell({"scheme": "ecryptfs"}),
    }.items():
        got[name] = run_cell(chosen, ensure_image(chosen, tmp_path), trace=False).metrics
        assert 1 == got[name]["digest_ok"], name
    assert got["private"]["hit_rate"] < got["plain"]["hit_rate"]
    assert got["plain"]["hit_rate"] == got["keys"]["hit_rate"] == got["ecryptfs"]["hit_rate"]
    assert got["plain"]["hit_mean_ns"] < got["keys"]["hit_mean_ns"] < got["ecryptfs"]["hit_mean_ns"]
    assert got["plain"]["evictions"] > 0


def test_a_group_key_is_opened_once_by_each_user(tmp_path: Path) -> None:
    """It stays on the user's ring: 4 users, 4 unwrappings more than with keys that need no group."""
    opened = {}
    for policy, packets in (("any-of", 4), ("group", 1)):
        chosen = cell({"scheme": "file-keys", "policy": policy, "users": 4, "charge_open": True})
        result = run_cell(chosen, ensure_image(chosen, tmp_path), trace=False)
        misses = round(100 * (1 - float(result.metrics["hit_rate"])))
        unwrapped = sum(row.calls for row in result.calls if row.symbol == "aes_kw_unwrap")
        opened[policy] = (misses, unwrapped - packets * misses)
    assert opened["any-of"][0] == opened["group"][0]
    assert 4 == opened["group"][1] - opened["any-of"][1]


def test_mistakes_are_told() -> None:
    """Two workloads at once, no objects, theta 1."""
    with pytest.raises(ConfigError, match="theta 1"):
        cell({"scheme": "none"}, theta=1.0)
    raw = {
        "title": "t",
        "device": {"profile": "nvme"},
        "volume": {"block_size": "4KiB", "files": [{"name": "data", "size": "64KiB"}]},
        "workload": {"browser_cache": {"users": 1, "requests": 1, "capacity": "64KiB"}},
    }
    with pytest.raises(ConfigError, match=r"browser_cache without volume\.objects"):
        expand(raw, Path("t.toml"), [])
    raw["workload"] = {}
    with pytest.raises(ConfigError, match="no workload, or two"):
        expand(raw, Path("t.toml"), [])
