"""
Integrity below the file system and inside it: what each way costs over none, a row per way, a column per job.
"""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from sim.experiment.results import Row, Run
from sim.report.checksums import AXIS as TAGS
from sim.report.checksums import device_bytes, ways_map
from sim.report.number_map import layout_axis

AXIS, JOBS = "integrity", "workload.job"


def _moved(row: Row) -> float:
    """Return the bytes that the device read for a job that reads, read and wrote for one that writes."""
    if row.get("bytes_written") is None:
        return device_bytes(row)
    return float(row["bytes_written"]) + float(row.get("checksum_bytes_read") or 0)


MEASURES: dict[str, Callable[[Row], float]] = {
    "time": lambda row: float(row["elapsed_ns"]),
    "CPU time": lambda row: float(row["cpu_ns"]),
    "bytes at the device": _moved,
}


def integrity(run: Run) -> list[Figure]:
    """
    Return the map; nothing if the run does not vary the ways, or tags alone, and the jobs.

    Of a run that varies tags and layouts `checksums` is the figure.
    """
    axis = AXIS if AXIS in run.axes else TAGS
    if axis == TAGS and layout_axis(run) is not None:
        return []
    return ways_map(run, axis, JOBS, MEASURES, "Jobs with integrity over jobs without (ratio)")
