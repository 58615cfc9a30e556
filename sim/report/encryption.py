"""
Schemes of encryption side by side: a line per scheme, a panel per measure, a row of panels for the rest.

Which measures: hits and their time for a browser cache; throughput for a stream of writes; the time of an
open where opening is charged; else CPU time, latency and memory. Marks are the paths if the matrix varies
them, else the labels of its last axis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, product

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from sim.experiment.results import Row, Run
from sim.report.panels import footer, mean, run_footer, said
from sim.report.style import GROUP_COLOURS, PATH_COLOURS, PATH_MARKERS, WIDTH_INCHES
from sim.units import KIB, NS_PER_US, PAGE_BYTES

AXIS = "encryption"
_HEAD_INCHES, _FOOT_INCHES, _LINE_INCHES, _ROW_INCHES = 0.5, 0.55, 0.155, 0.45
_MAX_ROWS = 6
COMPARABLE = frozenset({"volume.block_size"})
"""Axes whose panels are read against each other, and so have one scale."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What a panel shows: its title with the unit, and how a row of metrics gives it."""

    title: str
    value: Callable[[Row], float]


CPU = Measure("CPU, µs per 4 KiB", lambda row: float(row["cpu_ns_per_4k"]) / NS_PER_US)
LATENCY = Measure("mean read(2), µs", lambda row: float(row["latency_mean_ns"]) / NS_PER_US)
MEMORY = Measure(
    "memory per byte read",
    lambda row: float(row["peak_pages"]) * PAGE_BYTES / float(row["bytes_read"]),
)
OPEN = Measure("open, µs", lambda row: float(row["open_ns"]) / NS_PER_US)
THROUGHPUT = Measure("written and synced, MiB/s", lambda row: float(row["throughput_mib_s"]))
HITS = Measure("hits, %", lambda row: 100 * float(row["hit_rate"]))
HIT_TIME = Measure("mean hit, µs", lambda row: float(row["hit_mean_ns"]) / NS_PER_US)
CACHED = Measure("page cache, KiB", lambda row: float(row["peak_pages"]) * PAGE_BYTES / KIB)


def measures(run: Run) -> tuple[Measure, ...]:
    """Return the measures that the run is about."""
    rows = run.metrics
    if all(row.get("hit_rate") is not None for row in rows):
        return HITS, HIT_TIME, CACHED
    if all(row.get("bytes_streamed") is not None for row in rows):
        return CPU, THROUGHPUT
    opened = sum(float(row.get("open_ns") or 0) > 0 for row in rows)
    if 2 * opened > len(rows):
        return OPEN, CPU
    return CPU, LATENCY, MEMORY


def encryption(run: Run) -> list[Figure]:
    """Return the pages of the figure; none if the matrix has no axis of schemes."""
    schemes = run.axes.get(AXIS, [])
    if len(schemes) < 2 or any(row.get("peak_pages") is None for row in run.metrics):
        return []
    several = [axis for axis, labels in run.axes.items() if len(labels) > 1 and axis != AXIS]
    marks = "path" if "path" in several else several[-1] if several else None
    fixed = [axis for axis in run.axes if axis not in (AXIS, marks)]
    rows = [dict(zip(fixed, labels, strict=True)) for labels in product(*(run.axes[axis] for axis in fixed))]
    shown = measures(run)
    return [
        _page(run, rows[first : first + _MAX_ROWS], marks, shown) for first in range(0, len(rows), _MAX_ROWS)
    ]


def _page(run: Run, rows: list[dict[str, str]], marks: str | None, shown: tuple[Measure, ...]) -> Figure:
    schemes = run.axes[AXIS]
    row_inches = len(schemes) * _LINE_INCHES + _ROW_INCHES
    height = _HEAD_INCHES + _FOOT_INCHES + len(rows) * row_inches
    figure = Figure(figsize=(WIDTH_INCHES, height))
    grid = figure.subplots(len(rows), len(shown), squeeze=False, sharey=True)
    figure.subplots_adjust(
        left=0.19,
        right=0.985,
        top=1 - _HEAD_INCHES / height,
        bottom=_FOOT_INCHES / height,
        hspace=_ROW_INCHES / (len(schemes) * _LINE_INCHES) * 1.15,
        wspace=0.14,
    )
    styles = _styles(run, marks)
    for panels, fixed in zip(grid, rows, strict=True):
        for panel, measure in zip(panels, shown, strict=True):
            _draw(panel, run, fixed, marks, measure, styles)
            panel.xaxis.set_major_locator(MaxNLocator(4))
        panels[0].set_yticks(range(len(schemes)), schemes)
        panels[0].set_ylim(len(schemes) - 0.5, -0.5)
        panels[0].set_title(said(run, fixed), loc="left", fontweight="bold")
    for column, measure in zip(grid.T, shown, strict=True):
        column[-1].set_xlabel(measure.title)
        if COMPARABLE.issuperset(axis for axis in rows[0] if len(run.axes[axis]) > 1):
            most = max(panel.get_xlim()[1] for panel in column)
            for panel in column:
                panel.set_xlim(0, most)
    handles = [Line2D([], [], label=label, **style) for label, style in styles.items() if label]  # type: ignore[arg-type]
    if handles:
        figure.legend(handles=handles, loc="upper right", ncols=len(handles), frameon=False)
    figure.suptitle(run.manifest["title"], x=0.012, y=1 - 0.08 / height, ha="left", fontsize=8.5)
    footer(figure, run_footer(run))
    return figure


def _draw(
    panel: Axes,
    run: Run,
    fixed: dict[str, str],
    marks: str | None,
    measure: Measure,
    styles: dict[str, dict[str, object]],
) -> None:
    """Draw one measure: a mark per scheme and label."""
    most = 0.0
    for label, style in styles.items():
        chosen = {**fixed, **({marks: label} if marks else {})}
        values = [mean(run, {**chosen, AXIS: scheme}, measure.value) for scheme in run.axes[AXIS]]
        panel.plot(values, range(len(values)), **style)  # type: ignore[arg-type]
        most = max(most, *values)
    panel.set_xlim(0, 1.06 * most or 1)
    panel.grid(axis="both")
    panel.tick_params(axis="y", length=0)


def _styles(run: Run, marks: str | None) -> dict[str, dict[str, object]]:
    """Return how each label of the marks is drawn."""
    common: dict[str, object] = {
        "linestyle": "none",
        "markersize": 5,
        "markerfacecolor": "none",
        "markeredgewidth": 1.1,
    }
    if marks is None:
        return {"": {**common, "marker": "o", "color": PATH_COLOURS["page_io"]}}
    if marks == "path":
        return {
            path: {**common, "marker": PATH_MARKERS[path], "color": PATH_COLOURS[path]}
            for path in run.axes[marks]
        }
    colours = cycle(
        [colour for group, colour in GROUP_COLOURS.items() if group in ("bio", "mapping", "decrypt")]
    )
    shapes = cycle("os^Dx+")
    return {
        label: {**common, "marker": shape, "color": colour}
        for label, shape, colour in zip(run.axes[marks], shapes, colours, strict=False)
    }
