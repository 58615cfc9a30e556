"""
Latency of read(2) as a distribution: a line per path, percentiles marked; from the trace of a run.

The vertical axis counts nines (logarithm of what is left above), as tails are what percentiles are about. A
percentile is marked only where enough reads lie above it to know it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log10
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.experiment.results import Run
from sim.experiment.trace import Numbers
from sim.report.measure import Marks, apart, log_marks, tick_marks
from sim.report.page import GAP, Frame, Strip, beside, mark
from sim.report.panels import line_entries, run_footer, said, styles
from sim.report.style import COLUMN_INCHES, WIDTH_INCHES
from sim.report.traced import Compared, rows_of, traced_pages

PERCENTILES = (50.0, 99.0, 99.9)
_TICKS = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99)
_SHOWN_FROM = 0.1
"""Reads faster than all but this part (hits of another reader's pages) do not stretch the axis of time."""
_LOG_FROM = 10
"""Ratio of the slowest to the fastest read from which the axis of time is logarithmic."""
_COLUMNS, _HEIGHT_INCHES = 3, 1.25


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
    """Return pages of panels, one per combination of the axes but the compared one; none without a trace."""
    return traced_pages(run, _pages)


def _pages(compared: Compared) -> list[Figure]:
    columns = min(len(compared.fixed), _COLUMNS)
    rows = rows_of(compared.fixed, columns)
    latencies = [
        [
            [compared.trace.latencies_ns(compared.cells(one, label)) for label in compared.labels]
            for one in row
        ]
        for row in rows
    ]
    top = max(_top(panel) for row in latencies for panel in row)
    marks = _percents(top)
    looks = styles(compared.axis, compared.labels)
    strips = [
        Strip(
            _HEIGHT_INCHES,
            titles=tuple(map(_title, (said(compared.run, one) for one in row), row_latencies)),
            name="reads done within, %",
        )
        for row, row_latencies in zip(rows, latencies, strict=True)
    ]
    frame = Frame(
        width=COLUMN_INCHES if columns == 1 else WIDTH_INCHES,
        lefts=(beside(strips, [marks]), *[GAP] * (columns - 1)),
        legend=line_entries(dict(zip(compared.names, looks.values(), strict=True))),
        name="latency of a read(2), µs (marks: 50, 99 and 99.9 %)",
        foot=run_footer(compared.run),
    )
    pages = []
    for numbers in frame.split(strips):
        figure, panels = frame.page([strips[at] for at in numbers])
        for at, row_panels in zip(numbers, panels, strict=True):
            for panel, some in zip(row_panels, latencies[at], strict=False):
                _panel(panel, some, list(looks.values()), frame.panel_inches)
                panel.set_ylim(0, top)
                mark(panel, "y", marks, shown=panel is row_panels[0])
            for empty in row_panels[len(latencies[at]) :]:
                empty.remove()
        pages.append(figure)
    return pages


def _title(said: str, latencies: Sequence[Numbers]) -> str:
    """Return what is common to the lines of a panel, and how many reads each has."""
    counts = sorted({len(some) for some in latencies if len(some)}) or [0]
    reads = " to ".join(f"{count:,}" for count in dict.fromkeys((counts[0], counts[-1])))
    each = f"{reads} reads each" if len(latencies) > 1 else f"{reads} reads"
    return f"{said}\n{each}" if said else each


def _top(latencies: Sequence[Numbers]) -> float:
    """Return how far up the axis of nines the lines of a panel go."""
    most = max((len(some) for some in latencies), default=0)
    return max(nines(99.9), -log10(0.5 / most) if most else 0) + 0.15


def _percents(top: float) -> Marks:
    marks = {nines(tick): f"{tick:g}" for tick in _TICKS if nines(tick) <= top}
    return apart(marks, lambda at: at / top * _HEIGHT_INCHES, upright=True)


def _panel(panel: Axes, latencies: Sequence[Numbers], looks: Sequence[dict[str, Any]], inches: float) -> None:
    low, high = np.inf, 0.0
    for some, look in zip(latencies, looks, strict=True):
        if not len(some):
            continue
        reads, us = len(some), some / 1000
        low, high = min(low, us[int(_SHOWN_FROM * reads)]), max(high, us[-1])
        # After the k-th of n reads, k/n do not exceed it; the last would be at infinity: half a read is kept.
        left = 1 - np.arange(1, reads + 1) / reads
        left[-1] = 0.5 / reads
        panel.step(
            np.concatenate([us[:1], us]),
            np.concatenate([[0.0], -np.log10(left)]),
            where="post",
            color=look["color"],
            linewidth=1.0,
        )
        known = [(percentile_ns(some, percent), percent) for percent in PERCENTILES]
        panel.plot(
            [ns / 1000 for ns, _ in known if ns is not None],
            [nines(percent) for ns, percent in known if ns is not None],
            **(look | {"linestyle": "none"}),
        )
    _time_axis(panel, low, high, inches)
    panel.grid(axis="both")


def _time_axis(panel: Axes, low: float, high: float, inches: float) -> None:
    """Have an axis of time, logarithmic where the latencies are far apart."""
    if high > _LOG_FROM * low > 0:
        low, high = low / 1.2, high * 1.2
        panel.set_xscale("log")
        panel.set_xlim(low, high)
        mark(panel, "x", log_marks(low, high, inches))
    else:
        limit = high * 1.05 or 1.0
        panel.set_xlim(0, limit)
        mark(panel, "x", tick_marks(limit, inches))


def nines(percent: float) -> float:
    """Return where a percentile is on the axis: 0 at 0 %, 1 at 90 %, 2 at 99 %."""
    return float(-np.log10(1 - percent / 100))
