"""What of a write case is left out of a comparison, by what it did: no more than time decides."""

from __future__ import annotations

from typing import Any

import pytest

from sim.records.write_counters import COMMITS, DROPPED, TICKS, UMOUNT, VISITS, Happened, left_out

PROBES = frozenset({VISITS, "ext4_writepages", "submit_bio", *DROPPED})


def record(mode: str, sync: str) -> dict[str, Any]:
    """Return what is looked at of a record."""
    return {
        "mode": mode,
        "sync": sync,
        "group": "over",
        "total": 65536,
        "device": "nullb",
        "script": [],
        "phases": [],
    }


@pytest.mark.parametrize(
    ("mode", "late", "left"), [("j", True, True), ("j", False, False), ("od", True, False)]
)
def test_visits_are_left_out_where_a_commit_makes_pages_dirty(mode: str, late: bool, left: bool) -> None:
    """Only of umount, with data=journal, where it has something to commit."""
    said = record(mode, "sfr")
    assert left == (left_out(said, PROBES, UMOUNT, Happened(late=late)).get(VISITS) == COMMITS)
    assert VISITS not in left_out(said, PROBES, "sync", Happened(late=late))


@pytest.mark.parametrize(
    ("mode", "sync", "left"),
    [("od", "fdatasync_each", True), ("od", "fsync_each", False), ("on", "fsync_each", True)],
)
def test_ticks_decide_what_umount_commits(mode: str, sync: str, left: bool) -> None:
    """fdatasync(2) leaves new times to a later commit: which write had them decides if umount has one."""
    said, some = record(mode, sync), Happened(ticks=2, writes=8)
    found = left_out(said, PROBES, UMOUNT, some)
    assert left == (found.get("ext4_writepages") == TICKS)
    assert not any(found.get(symbol) == TICKS for symbol in DROPPED)
    for every in (Happened(ticks=8, writes=8), Happened(ticks=0, writes=8), Happened(2, 8, grew=8)):
        assert TICKS not in left_out(said, PROBES, UMOUNT, every).values()
