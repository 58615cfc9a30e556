"""
Curves over a number that the matrix varies, a line per path: CPU time per 4 KiB above, throughput below.

`readahead` over the readahead window, `concurrency` over the number of readers, `file_size` over the size
of a file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log2

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.experiment.results import Row, Run
from sim.report.measure import APART, apart, plain, tick_marks, width_of
from sim.report.page import BARE, EDGE, GAP, TICKS, Frame, Strip, beside, mark
from sim.report.panels import Labels, line_entries, mean, others, paths_of, run_footer, said, styles
from sim.report.style import COLUMN_INCHES, TICK_POINTS, WIDTH_INCHES
from sim.units import parse_size

_HEIGHT_INCHES, _ROOM, _MARGIN = 1.55, 1.08, 0.06
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
    looks = styles("path", paths_of(run))
    lines = [
        [{path: points(run, axis, fixed | {"path": path}, value) for path in looks} for fixed in columns]
        for _, value in _METRICS
    ]
    limits = [_ROOM * max(max(line) for panel in row for line in panel.values()) or 1.0 for row in lines]
    marks = [tick_marks(limit, _HEIGHT_INCHES, upright=True) for limit in limits]
    strips = [Strip(_HEIGHT_INCHES, name=label, under=BARE) for label, _ in _METRICS]
    labels = list(map(plain, places))
    gap, right = around_places(labels)
    frame = Frame(
        width=COLUMN_INCHES if len(columns) == 1 else WIDTH_INCHES,
        lefts=(beside(strips, marks), *[gap] * (len(columns) - 1)),
        right=right,
        legend=line_entries(looks),
        titles=tuple(said(run, fixed) for fixed in columns),
        under=TICKS - BARE,
        name=name,
        foot=run_footer(run),
    )
    figure, panels = frame.page(strips)
    for row, row_panels in enumerate(panels):
        for panel, paths in zip(row_panels, lines[row], strict=True):
            for path, line in paths.items():
                panel.plot(places, line, **looks[path])
            over_places(panel, places, labels, frame.panel_inches, shown=row == len(panels) - 1)
            panel.set_ylim(0, limits[row])
            mark(panel, "y", marks[row], shown=panel is row_panels[0])
            panel.grid(axis="y")
    return figure


def around_places(labels: Sequence[str]) -> tuple[float, float]:
    """Return the room between axes with these labels and right of the last: half a label stands out."""
    first, last = (width_of(label, TICK_POINTS) / 2 for label in (labels[0], labels[-1]))
    return max(GAP, first + last + APART), max(EDGE, last)


def over_places(
    panel: Axes, places: Sequence[float], labels: Sequence[str], inches: float, shown: bool = True
) -> None:
    """
    Have a horizontal axis of `inches` with a tick at each place, and as many of their labels as can be read.

    It is logarithmic, unless a place is 0.
    """
    scale = log2 if min(places) > 0 else float
    low, high = (scale(end(places)) for end in (min, max))
    low, high = low - _MARGIN * (high - low), high + _MARGIN * (high - low)
    marks = dict(zip(places, labels, strict=True))
    read = apart(marks, lambda at: (scale(at) - low) / (high - low) * inches)
    if scale is log2:
        panel.set_xscale("log", base=2)
        low, high = 2**low, 2**high
    panel.set_xlim(low, high)
    mark(panel, "x", {at: read.get(at, "") for at in places}, shown)
