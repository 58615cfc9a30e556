"""
Journal modes: what reaches the device for each byte that is written, and how long a sync takes. A row per
combination of the other axes, a marker per mode.
"""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.experiment.results import Row, Run
from sim.report.measure import log_marks, tick_marks
from sim.report.page import GAP, Frame, Names, Strip, mark
from sim.report.panels import Labels, line_entries, mean, others, run_footer, said, styles
from sim.report.style import WIDTH_INCHES
from sim.units import NS_PER_MS

MODE = "mount.data"
_ROW_INCHES, _ROWS_A_STRIP = 0.3, 12
_MARGIN = 1.3
"""What an axis shows beyond its most (and a logarithmic one below its least), as a factor."""
_TITLES = ("bytes to the device per byte written", "mean time of a sync, ms")


def journal_modes(run: Run) -> list[Figure]:
    """Return the pages; none if the run does not vary the mode, or a cell syncs nothing."""
    if len(run.axes.get(MODE, [])) < 2 or any(not row.get("syncs") for row in run.metrics):
        return []
    rows = others(run, (MODE,))
    names = Names.of([said(run, fixed) for fixed in rows])
    looks = {mode: look | {"linestyle": "none"} for mode, look in styles(MODE, run.axes[MODE]).items()}
    frame = Frame(
        width=WIDTH_INCHES,
        lefts=(names.inches, GAP),
        heading=run.manifest["title"],
        legend=line_entries({f"data={mode}": look for mode, look in looks.items()}),
        foot=run_footer(run),
    )
    amounts = _table(run, rows, lambda row: row["bytes_written"] / row["bytes_streamed"])
    times = _table(run, rows, lambda row: row["sync_latency_mean_ns"] / NS_PER_MS)
    parts = [range(at, min(at + _ROWS_A_STRIP, len(rows))) for at in range(0, len(rows), _ROWS_A_STRIP)]
    each = max(_ROW_INCHES, names.each)
    strips = [Strip(each * len(part), titles=_TITLES) for part in parts]
    pages = []
    for numbers in frame.split(strips):
        figure, drawn = frame.page([strips[at] for at in numbers])
        for at, (amount, time) in zip(numbers, drawn, strict=True):
            _amounts(amount, amounts, frame.panel_inches)
            _times(time, times, frame.panel_inches)
            for panel, table in ((amount, amounts), (time, times)):
                for mode, line in table.items():
                    panel.plot(line, range(len(rows)), **looks[mode])
                panel.set_ylim(parts[at].stop - 0.5, parts[at].start - 0.5)
                panel.grid(axis="both")
                names.beside(panel, range(len(rows)), shown=panel is amount)
                panel.set_ylim(parts[at].stop - 0.5, parts[at].start - 0.5)
        pages.append(figure)
    return pages


def _table(run: Run, rows: list[Labels], value: Callable[[Row], float]) -> dict[str, list[float]]:
    """Return mode -> a value for each of `rows`."""
    return {mode: [mean(run, {**fixed, MODE: mode}, value) for fixed in rows] for mode in run.axes[MODE]}


def _amounts(panel: Axes, table: dict[str, list[float]], inches: float) -> None:
    high = max(max(line) for line in table.values()) * _MARGIN
    panel.set_xlim(0, high)
    mark(panel, "x", tick_marks(high, inches))


def _times(panel: Axes, table: dict[str, list[float]], inches: float) -> None:
    low = min(min(line) for line in table.values()) / _MARGIN
    high = max(max(line) for line in table.values()) * _MARGIN
    panel.set_xscale("log")
    panel.set_xlim(low, high)
    mark(panel, "x", log_marks(low, high, inches))
