"""
Power cuts: of all states of the disk, how many break a promise. A row per cell, a panel per promise.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from sim.experiment.results import Run
from sim.report.shares import Share, share_pages

PROMISES = {
    "crash_unsound": "not sound, log replayed",
    "crash_losing": "fsync(2) was in vain",
    "crash_stale": "shows what was deleted",
    "crash_false_alarms": "refuses a good block",
    "crash_alarms_at_rest": "refuses a block that is at rest",
}
"""Counts of states that break a promise, and what a panel calls it; the last two are of checksums of data."""


def crash(run: Run) -> list[Figure]:
    """Return the pages; none if no power was cut."""
    if any(not row.get("crash_states") for row in run.metrics):
        return []
    kept = [name for name in PROMISES if all(row.get(name) is not None for row in run.metrics)]
    panels = {PROMISES[name]: _share(name) for name in kept}
    return share_pages(run, "share of the disk's states after a power cut, %", panels, "kept")


def _share(name: str) -> Share:
    return lambda row: row[name] / row["crash_states"]
