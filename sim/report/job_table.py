"""
A table of what each fio job of a run came to.
"""

from __future__ import annotations

from statistics import fmean
from typing import Any

from sim.experiment.results import Run
from sim.report.table import Column, Table
from sim.report.tables import short_axes
from sim.units import NS_PER_US

_PERCENTILES = ("p50", "p90", "p99", "p99_9", "p99_99")


def job_results(run: Run) -> Table:
    """Return a row per cell and clone of a job, and per group reported as one; means over the seeds."""
    axes = list(run.axes)
    labels = {row["cell"]: {axis: row[axis] for axis in axes} for row in run.metrics}
    together: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in run.jobs:
        key = (row["cell"], row["group"], row["scope"], row["job"], row["clone"])
        together.setdefault(key, []).append(row)
    rows = [
        {
            "cell": cell,
            **labels[cell],
            "group": group,
            "scope": scope,
            "job": job if scope == "job" else f"{job}, all {clone}",
            "clone": clone if scope == "job" else None,
            **{name: fmean(row[name] for row in seeds) for name in _MEANS},
            **{f"{name}_us": _mean_us([row[f"latency_{name}_ns"] for row in seeds]) for name in _LATENCIES},
        }
        for (cell, group, scope, job, clone), seeds in together.items()
    ]
    names = short_axes(axes)
    columns = (
        *(Column(names[axis], axis) for axis in axes),
        Column("job", "job"),
        Column("clone", "clone"),
        Column("reads", "reads", ",.0f"),
        Column("MiB/s", "throughput_mib_s", ",.1f"),
        Column("IOPS", "iops", ",.0f"),
        Column("mean us", "mean_us", ",.1f"),
        *(Column(name.replace("_", "."), f"{name}_us", ",.1f") for name in _PERCENTILES),
    )
    return Table(columns, tuple(rows), tuple(axes))


_MEANS = ("reads", "throughput_mib_s", "iops", "runtime_ns")
_LATENCIES = ("mean", *_PERCENTILES)


def _mean_us(latencies_ns: list[float | None]) -> float | None:
    known = [latency for latency in latencies_ns if latency is not None]
    return fmean(known) / NS_PER_US if known else None
