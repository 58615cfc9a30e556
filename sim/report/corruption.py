"""
Faults of the device: of all that were read, how many were noticed, and what readers got. A row per cell;
cells that differ in nothing share one.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from sim.experiment.results import Run
from sim.report.shares import Share, equal_axes, share_pages
from sim.report.style import WINS

PANELS = {
    "reads_eio": "refused (EIO)",
    "reads_wrong": "wrong data",
}
"""Counts of reads that did not bring what the file holds, and what a panel calls them."""
UNNOTICED = "not noticed"
"""Of the faults, those that were read into the cache with nobody telling."""


def corruption(run: Run) -> list[Figure]:
    """Return the pages; none of a run in which some cell has no faults, but for those drawn at a rate."""
    if any(row.get("faults_injected") is None for row in run.metrics):
        return []
    panels = {title: _of_reads(name) for name, title in PANELS.items()}
    panels[UNNOTICED] = lambda row: row["faults_undetected"] / max(row["faults_injected"], 1)
    same = equal_axes(run, panels)
    name = "share of the reads, and of the faults, %"
    if same:
        name += f"; the same for {', '.join(label for axis in same for label in run.axes[axis])}"
    return share_pages(run, name, panels, "none", {PANELS["reads_eio"]: WINS}, same)


def _of_reads(name: str) -> Share:
    return lambda row: row[name] / (row["reads_right"] + row["reads_eio"] + row["reads_wrong"])
