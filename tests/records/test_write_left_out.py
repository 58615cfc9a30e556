"""What of a write case is left out of a comparison, by what it did: no more than time decides."""

from __future__ import annotations

from typing import Any

import pytest

from sim.records.write_counters import COMMITS, UMOUNT, VISITS, Happened, left_out

PROBES = frozenset({VISITS, "ext4_writepages", "submit_bio"})


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
