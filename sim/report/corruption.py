"""
Faults of the device: of all that were read, how many were noticed, and what readers got. A row per cell.
"""

from __future__ import annotations

from matplotlib.figure import Figure

from sim.experiment.results import Run
from sim.report.shares import Share, share_pages

PANELS = {
    "reads_eio": "refused (EIO)",
    "reads_wrong": "wrong data",
}
"""Counts of reads that did not bring what the file holds, and what a panel calls them."""
UNNOTICED = "not noticed"
"""Of the faults, those that were read into the cache with nobody telling."""


def corruption(run: Run) -> list[Figure]:
    """Return the pages; none of a run in which some cell has no faults."""
    if any(not row.get("faults_injected") for row in run.metrics):
        return []
    panels = {title: _of_reads(name) for name, title in PANELS.items()}
    panels[UNNOTICED] = lambda row: row["faults_undetected"] / row["faults_injected"]
    return share_pages(run, "share of the reads, and of the faults, %", panels, "none")


def _of_reads(name: str) -> Share:
    return lambda row: row[name] / (row["reads_right"] + row["reads_eio"] + row["reads_wrong"])
