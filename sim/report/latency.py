"""
Latency of read(2) as a distribution: a line per path, percentiles marked; from the trace of a run.

The vertical axis counts nines (logarithm of what is left above), as tails are what percentiles are about. A
percentile is marked only where enough reads lie above it to know it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from sim.experiment.results import Run
from sim.experiment.trace import Numbers, Trace
from sim.report.panels import (
    Labels,
    cells_at,
    footer,
    path_legend,
    paths_of,
    run_footer,
    said,
    traced_pages,
)
from sim.report.style import COLUMN_INCHES, PATH_COLOURS, PATH_MARKERS, WIDTH_INCHES

PERCENTILES = (50.0, 99.0, 99.9)
_TICKS = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99)
_SHOWN_FROM = 0.1
"""Reads faster than all but this part (hits of another reader's pages) do not stretch the axis of time."""
_LOG_FROM = 10
"""Ratio of the slowest to the fastest read from which the axis of time is logarithmic."""
_COLUMNS, _ROWS = 3, 4


def percentile_ns(latencies_ns: Numbers, percent: float) -> int | None:
    """
    Return the smallest latency that `percent` of the reads do not exceed; None if too few reads lie above.

    latencies_ns: in order. Too few: less than one read, on average, is beyond the percentile.
    """
    n = len(latencies_ns)
    beyond = n * (100 - percent) / 100
    if beyond < 1 - 1e-9:
        return None
    return int(latencies_ns[n - int(beyond + 1e-9) - 1])


def latency_cdf(run: Run) -> list[Figure]:
    """Return pages of panels, one per combination of the axes but the path; nothing without a trace."""
    return traced_pages(run, _page, _COLUMNS * _ROWS)


def _page(run: Run, trace: Trace, panels: list[Labels]) -> Figure:
    columns = min(len(panels), _COLUMNS)
    rows = -(-len(panels) // columns)
    width = COLUMN_INCHES if columns == 1 else WIDTH_INCHES
    head, foot, each = 0.66, 0.62, 1.9 if columns == 1 else 1.6
    height = head + foot + each * rows
    figure = Figure(figsize=(width, height))
    grid: Any = figure.subplots(rows, columns, sharey=True, squeeze=False)
    figure.subplots_adjust(
        left=0.53 / width,
        right=1 - 0.12 / width,
        top=1 - head / height,
        bottom=foot / height,
        wspace=0.08,
        hspace=0.44,
    )
    flat = list(grid.flat)
    for panel, fixed in zip(flat, panels, strict=False):
        _panel(panel, run, trace, fixed)
    for empty in flat[len(panels) :]:
        empty.set_visible(False)
    for row in grid:
        row[0].set_ylabel("reads done within, %")
    path_legend(figure, paths_of(run), height)
    label = "latency of a read(2), µs (marks: 50, 99 and 99.9 %)"
    figure.text(0.53, 0.26 / height, label, ha="center", va="center", fontsize=7.5)
    footer(figure, run_footer(run))
    return figure


def _panel(panel: Axes, run: Run, trace: Trace, fixed: Labels) -> None:
    reads, low, high = 0, np.inf, 0.0
    for path in paths_of(run):
        latencies = trace.latencies_ns(cells_at(run, fixed | {"path": path}))
        if not len(latencies):
            continue
        reads, us = len(latencies), latencies / 1000
        low, high = min(low, us[int(_SHOWN_FROM * reads)]), max(high, us[-1])
        # After the k-th of n reads, k/n do not exceed it; the last would be at infinity: half a read is kept.
        left = 1 - np.arange(1, reads + 1) / reads
        left[-1] = 0.5 / reads
        panel.step(
            np.concatenate([us[:1], us]),
            np.concatenate([[0.0], -np.log10(left)]),
            where="post",
            color=PATH_COLOURS[path],
            linewidth=1.0,
        )
        known = [(percentile_ns(latencies, percent), percent) for percent in PERCENTILES]
        panel.plot(
            [ns / 1000 for ns, _ in known if ns is not None],
            [nines(percent) for ns, percent in known if ns is not None],
            linestyle="none",
            color=PATH_COLOURS[path],
            marker=PATH_MARKERS[path],
            markersize=4,
            markerfacecolor="none",
            markeredgewidth=1.0,
        )
    if high > _LOG_FROM * low:
        panel.set_xscale("log")
        panel.set_xlim(low / 1.2, high * 1.2)
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
        panel.xaxis.set_minor_locator(NullLocator())
    else:
        panel.set_xlim(0, high * 1.05)
        panel.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda us, _: f"{us:,g}"))
    panel.yaxis.set_major_locator(FixedLocator([nines(tick) for tick in _TICKS]))
    panel.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * (1 - 10**-y):.6g}"))
    panel.set_ylim(0, max(nines(99.9), -np.log10(0.5 / reads)) + 0.15 if reads else None)
    panel.grid(axis="both")
    title = said(run, fixed)
    panel.set_title(f"{title}\n{reads:,} reads a path" if title else f"{reads:,} reads a path", pad=4)


def nines(percent: float) -> float:
    """Return where a percentile is on the axis: 0 at 0 %, 1 at 90 %, 2 at 99 %."""
    return float(-np.log10(1 - percent / 100))
