"""
Curves over a number that the matrix varies, a line per path: CPU time per 4 KiB above, throughput below.

`readahead` over the readahead window, `concurrency` over the number of readers, `file_size` over the size
of a file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sim.experiment.results import Row, Run
from sim.report.panels import (
    Labels,
    footer,
    mean,
    others,
    path_legend,
    path_style,
    paths_of,
    plain_logs,
    run_footer,
    said,
)
from sim.report.style import COLUMN_INCHES, WIDTH_INCHES
from sim.units import parse_size

_COLUMNS = 4
_METRICS: tuple[tuple[str, Callable[[Row], float]], ...] = (
    ("CPU time, µs per 4 KiB", lambda row: row["cpu_ns_per_4k"] / 1000),
    ("throughput, MiB/s", lambda row: float(row["throughput_mib_s"])),
)


def readahead(run: Run) -> list[Figure]:
    """Return the curves over device.read_ahead_kb."""
    return _curves(run, "device.read_ahead_kb", "readahead window, KiB", float)


def concurrency(run: Run) -> list[Figure]:
    """Return the curves over the number of readers."""
    return _curves(run, "workload.job.numjobs", "readers (numjobs)", float)


def file_size(run: Run) -> list[Figure]:
    """Return the curves over the size of the files."""
    return _curves(run, "volume.files.size", "file size, KiB", lambda label: parse_size("", label) / 1024)


def points(run: Run, axis: str, fixed: Labels, value: Callable[[Row], float]) -> list[float]:
    """Return the means over seeds of `value` along an axis."""
    return [mean(run, fixed | {axis: label}, value) for label in run.axes[axis]]


def _curves(run: Run, axis: str, name: str, number: Callable[[str], float]) -> list[Figure]:
    """Return the pages of a figure; nothing if the run varies neither the axis nor the path."""
    if len(run.axes.get(axis, [])) < 2 or not paths_of(run):
        return []
    columns = others(run, (axis, "path"))
    places = [number(label) for label in run.axes[axis]]
    return [
        _page(run, axis, name, places, columns[first : first + _COLUMNS])
        for first in range(0, len(columns), _COLUMNS)
    ]


def _page(run: Run, axis: str, name: str, places: list[float], columns: list[Labels]) -> Figure:
    width = COLUMN_INCHES if len(columns) == 1 else WIDTH_INCHES
    titled = any(said(run, fixed) for fixed in columns)
    legend_rows = 1 if len(columns) > 1 or len(paths_of(run)) < 4 else 2
    head, foot, each = (
        (0.38 if titled else 0.24) + 0.17 * legend_rows,
        0.66,
        1.5 if len(columns) == 1 else 1.75,
    )
    height = head + foot + 2 * each
    figure = Figure(figsize=(width, height))
    panels: Any = figure.subplots(len(_METRICS), len(columns), sharex=True, sharey="row", squeeze=False)
    figure.subplots_adjust(
        left=0.6 / width,
        right=1 - 0.11 / width,
        top=1 - head / height,
        bottom=foot / height,
        wspace=0.08,
        hspace=0.12,
    )
    for row_panels, (label, value) in zip(panels, _METRICS, strict=True):
        highest = 0.0
        for panel, fixed in zip(row_panels, columns, strict=True):
            for path in paths_of(run):
                heights = points(run, axis, fixed | {"path": path}, value)
                panel.plot(places, heights, **path_style(path))
                highest = max(highest, *heights)
            _axes(panel, places)
        row_panels[0].set_ylim(0, 1.08 * highest)
        row_panels[0].set_ylabel(label)
    for panel, fixed in zip(panels[0], columns, strict=True):
        panel.set_title(said(run, fixed), pad=4)
    figure.align_ylabels(list(panels[:, 0]))
    path_legend(figure, paths_of(run), height, legend_rows)
    figure.text(0.53, 0.26 / height, name, ha="center", va="center", fontsize=7.5)
    footer(figure, run_footer(run))
    return figure


def _axes(panel: Axes, places: list[float]) -> None:
    if min(places) > 0:
        panel.set_xscale("log", base=2)
        plain_logs(panel, "x", places)
    panel.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,g}"))
    panel.grid(axis="y")
