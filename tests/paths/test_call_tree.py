"""Who calls whom in the stacks of the ledger: held against the call tree of 6.1; what differs is named."""

from __future__ import annotations

import itertools
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sim.api import run

ROOT = Path(__file__).parents[2]
TREE = ROOT / "tests" / "data" / "call-tree-6.1.toml"

Edge = tuple[str, str]

SMALL = ("data=off", "run.seeds=1")
SELECTION = {
    "founding_claim": (*SMALL, 'volume.files=[{name="data",size="256KiB"}]', "cache.status=all_cold"),
    "readahead": (*SMALL, 'volume.files=[{name="data",size="256KiB"}]', "device.read_ahead_kb=[0,128]"),
    "encryption_placement": (
        *SMALL,
        'workload=["sequential 128 KiB"]',
        'volume.files=[{name="data",size="256KiB"}]',
        "device.profile=nvme",
        'path=["buffer_head","mpage","page_io","iomap"]',
    ),
    "device_bound": (*SMALL, 'volume.files=[{name="data",size="256KiB"}]'),
    "memory": (
        *SMALL,
        'volume.files=[{name="data",size="1200KiB"}]',
        "machine.memory=1MiB",
        "device.read_ahead_kb=32",
        "volume.block_size=1KiB",
        'path=["buffer_head","page_io"]',
    ),
    "key_policies": SMALL,
    "secure_delete": (*SMALL, "device.profile=nvme", 'volume.files.size=["64KiB"]'),
    "browser_cache": (*SMALL, "workload.browser_cache.users=4"),
}
"""Experiments, cut down, that together take every path, scheme, driver and kind of workload."""


@cache
def tree() -> dict[str, Any]:
    """Return the call tree."""
    said: dict[str, Any] = tomllib.loads(TREE.read_text(encoding="utf-8"))
    return said


def known() -> set[Edge]:
    """Return the edges that are in the tree: calls, what goes through others, what is assumed."""
    said = tree()
    calls = {(caller, callee) for caller, callees in said["calls"].items() for callee in callees}
    through = {(entry["from"], callee) for entry in said["through"] for callee in entry["to"]}
    return calls | through | assumed()


def assumed() -> set[Edge]:
    """Return the edges that no kernel of 6.1 has."""
    edges = [edge.split() for entry in tree()["assumed"] for edge in entry["edges"]]
    return {(caller, callee) for caller, callee in edges}


def edges_of(experiment: str, images: Path) -> set[Edge]:
    """Return the edges of a run's stacks, its contexts as the callers of what begins them."""
    sets = SELECTION[experiment]
    result = run(ROOT / "experiments" / f"{experiment}.toml", *sets, images=images)
    stacks = {(row["context"], *row["stack"].split(";")) for row in result.calls}
    return {edge for stack in stacks for edge in itertools.pairwise(stack)}


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[Edge]]:
    """The edges of every experiment of the selection."""
    images = tmp_path_factory.mktemp("images")
    return {experiment: edges_of(experiment, images) for experiment in SELECTION}


def test_every_edge_is_in_the_call_tree(seen: dict[str, set[Edge]]) -> None:
    """No stack has a caller and a callee that are not in 6.1 or named as an assumption."""
    roots = {(context, first) for context, firsts in tree()["roots"].items() for first in firsts}
    allowed = known() | roots
    assert {} == {name: sorted(edges - allowed) for name, edges in seen.items() if edges - allowed}


def test_no_assumption_is_there_for_nothing(seen: dict[str, set[Edge]]) -> None:
    """What is named as not so in the kernel is charged by some run: one that is gone is taken out."""
    assert set() == assumed() - set().union(*seen.values())


def test_an_edge_is_one_thing() -> None:
    """What is in the kernel is not assumed, and every reason is a sentence."""
    said = tree()
    calls = {(caller, callee) for caller, callees in said["calls"].items() for callee in callees}
    through = {(entry["from"], callee) for entry in said["through"] for callee in entry["to"]}
    assert set() == assumed() & (calls | through)
    assert set() == calls & through
    assert all(entry["reason"].endswith(".") for entry in said["assumed"])
