"""
Curves over a number that the matrix varies, a line per path: CPU time per 4 KiB above, throughput below.

`readahead` over the readahead window, `concurrency` over the number of readers, `file_size` over the size
of a file, `rewritten` over the share of a clone that was written over. `fsync_storm` over the number of
writers, a line per data= mode: syncs a second, the time of one, and how many commits there are for each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log2

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.experiment.results import Row, Run
from sim.report.calls import calls_of
from sim.report.journal_modes import MODE
from sim.report.measure import APART, apart, log_marks, plain, tick_marks, width_of
from sim.report.page import BARE, EDGE, GAP, TICKS, Frame, Strip, beside, mark
from sim.report.panels import Labels, line_entries, mean, others, paths_of, run_footer, said, styles
from sim.report.style import COLUMN_INCHES, TICK_POINTS, WIDTH_INCHES
from sim.units import NS_PER_MS, NS_PER_S, parse_size

_HEIGHT_INCHES, _ROOM, _LOG_ROOM, _MARGIN = 1.55, 1.08, 1.4, 0.06
_COLUMNS = 4
Metrics = tuple[tuple[str, Callable[[Row], float]], ...]
"""What the strips show, from above: a name of the vertical axis, and the value of a row."""
LOGARITHMIC = ("syncs a second", "time of a sync, ms")
"""Those whose axis is logarithmic: devices a thousand times apart stand side by side."""
_METRICS: Metrics = (
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


def rewritten(run: Run) -> list[Figure]:
    """Return the curves over the share of a clone that was written over before it is read."""
    return _curves(run, "volume.rewritten", "share of the clone that was written over", float)


def fsync_storm(run: Run) -> list[Figure]:
    """Return the curves over the number of writers; nothing if the run has another path or mode than one."""
    axis = "workload.job.numjobs"
    varied = len(run.axes.get(axis, [])) > 1 and len(run.axes.get(MODE, [])) > 1
    if not varied or paths_of(run) or any(not row.get("syncs") for row in run.metrics):
        return []
    commits = calls_of(run, ("jbd2_journal_commit_transaction",))
    metrics: Metrics = (
        ("syncs a second", lambda row: row["syncs"] * NS_PER_S / row["elapsed_ns"]),
        ("time of a sync, ms", lambda row: row["sync_latency_mean_ns"] / NS_PER_MS),
        ("commits per sync", lambda row: commits[row["cell"], row["seed"]] / row["syncs"]),
    )
    return _curves(run, axis, "writers (numjobs)", float, MODE, metrics)


def points(run: Run, axis: str, fixed: Labels, value: Callable[[Row], float]) -> list[float]:
    """Return the means over seeds of `value` along an axis."""
    return [mean(run, fixed | {axis: label}, value) for label in run.axes[axis]]


def _curves(
    run: Run,
    axis: str,
    name: str,
    number: Callable[[str], float],
    by: str = "path",
    metrics: Metrics = _METRICS,
) -> list[Figure]:
    """Return the pages of a figure, a line per label of `by`; nothing if the run varies not both."""
    if len(run.axes.get(axis, [])) < 2 or len(run.axes.get(by, [])) < 2:
        return []
    columns = others(run, (axis, by))
    places = [number(label) for label in run.axes[axis]]
    return [
        _page(run, axis, name, places, columns[first : first + _COLUMNS], by, metrics)
        for first in range(0, len(columns), _COLUMNS)
    ]


def _page(
    run: Run, axis: str, name: str, places: list[float], columns: list[Labels], by: str, metrics: Metrics
) -> Figure:
    looks = styles(by, run.axes[by])
    lines = [
        [{label: points(run, axis, fixed | {by: label}, value) for label in looks} for fixed in columns]
        for _, value in metrics
    ]
    ends = [
        _ends(name, [value for panel in row for line in panel.values() for value in line])
        for (name, _), row in zip(metrics, lines, strict=True)
    ]
    marks = [
        (
            log_marks(low, high, _HEIGHT_INCHES, upright=True)
            if low
            else tick_marks(high, _HEIGHT_INCHES, upright=True)
        )
        for low, high in ends
    ]
    strips = [Strip(_HEIGHT_INCHES, name=label, under=BARE) for label, _ in metrics]
    labels = list(map(plain, places))
    gap, right = around_places(labels)
    frame = Frame(
        width=COLUMN_INCHES if len(columns) == 1 else WIDTH_INCHES,
        lefts=(beside(strips, marks), *[gap] * (len(columns) - 1)),
        right=right,
        legend=line_entries(
            {f"data={label}" if by == MODE else label: look for label, look in looks.items()}
        ),
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
            if ends[row][0]:
                panel.set_yscale("log")
            panel.set_ylim(*ends[row])
            mark(panel, "y", marks[row], shown=panel is row_panels[0])
            panel.grid(axis="y")
    return figure


def _ends(name: str, values: list[float]) -> tuple[float, float]:
    """Return the ends of a vertical axis: from 0, or where it is logarithmic from below the least."""
    if name in LOGARITHMIC:
        return min(values) / _LOG_ROOM, max(values) * _LOG_ROOM
    return 0.0, _ROOM * max(values) or 1.0


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
