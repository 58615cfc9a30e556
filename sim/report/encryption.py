"""
Schemes of encryption side by side: a line per scheme, a panel per measure, a row of panels for the rest.

Which measures: hits and their time for a browser cache; throughput for a stream of writes; the time of an
open where opening is charged; else CPU time, latency and memory. Marks are the paths if the matrix varies
them, else the labels of its last axis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.experiment.results import Row, Run
from sim.report.measure import tick_marks
from sim.report.page import GAP, NAME, Frame, Names, Strip, mark
from sim.report.panels import Labels, line_entries, mean, only_path, phrase, run_footer, said, styles
from sim.report.style import WIDTH_INCHES
from sim.units import KIB, NS_PER_US, PAGE_BYTES

AXIS = "encryption"
_LINE_INCHES = 0.155
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
    "page cache, bytes per byte read",
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
    looks = {
        label: look | {"linestyle": "none", "markersize": 5, "markeredgewidth": 1.1}
        for label, look in styles(marks, run.axes[marks] if marks else [only_path(run)]).items()
    }
    fixed = [axis for axis in run.axes if axis not in (AXIS, marks)]
    rows = [dict(zip(fixed, labels, strict=True)) for labels in product(*(run.axes[axis] for axis in fixed))]
    return _pages(run, rows, marks, looks)


def _pages(run: Run, rows: list[Labels], marks: str | None, looks: dict[str, dict[str, Any]]) -> list[Figure]:
    shown, names = measures(run), Names.of(run.axes[AXIS])
    several = {phrase(list(run.axes), marks, label): look for label, look in looks.items()} if marks else {}
    frame = Frame(
        width=WIDTH_INCHES,
        lefts=(names.inches, *[GAP] * (len(shown) - 1)),
        heading=run.manifest["title"],
        legend=line_entries(several),
        under=NAME,
        foot=run_footer(run),
    )
    each = max(_LINE_INCHES, names.each)
    strips = [Strip(each * len(names.texts), said(run, fixed)) for fixed in rows]
    tables = [[_table(run, fixed, marks, list(looks), measure) for measure in shown] for fixed in rows]
    limits = _limits(run, rows, tables)
    pages = []
    for numbers in frame.split(strips):
        figure, panels = frame.page([strips[at] for at in numbers])
        for at, row_panels in zip(numbers, panels, strict=True):
            for column, panel in enumerate(row_panels):
                _draw(panel, tables[at][column], looks)
                panel.set_xlim(0, limits[at][column])
                mark(panel, "x", tick_marks(limits[at][column], frame.panel_inches))
                names.beside(panel, range(len(names.texts)), shown=column == 0)
                if at == numbers[-1]:
                    panel.set_xlabel(shown[column].title)
        pages.append(figure)
    return pages


def _table(
    run: Run, fixed: Labels, marks: str | None, labels: list[str], measure: Measure
) -> dict[str, list[float]]:
    """Return the values of each label of the marks, one per scheme."""
    table = {}
    for label in labels:
        chosen = {**fixed, **({marks: label} if marks else {})}
        table[label] = [mean(run, {**chosen, AXIS: scheme}, measure.value) for scheme in run.axes[AXIS]]
    return table


def _limits(run: Run, rows: list[Labels], tables: list[list[dict[str, list[float]]]]) -> list[list[float]]:
    """Return where the axis of each panel ends; the same for those that are compared."""
    limits = [[1.06 * max(map(max, table.values())) or 1.0 for table in row] for row in tables]
    if COMPARABLE.issuperset(axis for axis in rows[0] if len(run.axes[axis]) > 1):
        return [[max(column) for column in zip(*limits, strict=True)]] * len(rows)
    return limits


def _draw(panel: Axes, table: dict[str, list[float]], looks: dict[str, dict[str, Any]]) -> None:
    """Draw one measure: a mark per scheme and label."""
    for label, values in table.items():
        panel.plot(values, range(len(values)), **looks[label])
        panel.set_ylim(len(values) - 0.5, -0.5)
    panel.grid(axis="both")
