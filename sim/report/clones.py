"""
Files that share blocks. `copy_on_write`: overwriting a clone against a file with blocks of its own, a marker
per volume. `clone_or_copy`: making a clone against making a copy, a marker per workload.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from sim.experiment.results import Run
from sim.report.dots import Panel, Series, dots
from sim.report.panels import others, styles
from sim.units import KIB, NS_PER_MS, NS_PER_US

FILES, WORKLOAD = "volume.files", "workload"
_WRITTEN = (
    Panel("CPU time, µs per 4 KiB", lambda row: row["cpu_ns_per_4k"] / NS_PER_US, logarithmic=True),
    Panel("bytes to the device per byte written", lambda row: row["bytes_written"] / row["bytes_streamed"]),
    Panel("mean time of a sync, ms", lambda row: row["sync_latency_mean_ns"] / NS_PER_MS, logarithmic=True),
)
_MADE = (
    Panel("time, ms", lambda row: row["elapsed_ns"] / NS_PER_MS, logarithmic=True),
    Panel("CPU time, ms", lambda row: row["cpu_ns"] / NS_PER_MS, logarithmic=True),
    Panel("KiB to the device", lambda row: row["bytes_written"] / KIB, logarithmic=True),
)


def copy_on_write(run: Run) -> list[Figure]:
    """Return the pages; none if the run does not vary its files, copies nothing or does not sync all."""
    if any(not row.get("syncs") or row.get("clone_ns") for row in run.metrics):
        return []
    return _pages(run, FILES, _WRITTEN) if any(row.get("cow_blocks") for row in run.metrics) else []


def clone_or_copy(run: Run) -> list[Figure]:
    """Return the pages; none if the run does not vary its workload, or no job makes a clone."""
    return _pages(run, WORKLOAD, _MADE) if any(row.get("clone_ns") for row in run.metrics) else []


def _pages(run: Run, axis: str, panels: Sequence[Panel]) -> list[Figure]:
    if len(run.axes.get(axis, [])) < 2:
        return []
    looks = styles("", run.axes[axis])
    series = [Series(name, {axis: name}, look | {"linestyle": "none"}) for name, look in looks.items()]
    return dots(run, others(run, (axis,)), series, panels)
