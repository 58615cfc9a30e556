"""
Where the device drowns the difference: per device the time a reader waits for 4 KiB, the CPU time in it, and
how much longer buffer_head takes than page_io.
"""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.experiment.results import Row, Run
from sim.report.measure import log_marks, number, room_for_numbers, tick_marks
from sim.report.page import NAME, TICKS, Frame, Names, Strip, mark
from sim.report.panels import (
    Labels,
    line_entries,
    mean,
    number_behind,
    others,
    paths_of,
    run_footer,
    said,
    styles,
)
from sim.report.style import COLUMN_INCHES, PATH_COLOURS
from sim.units import PAGE_BYTES

BASE, EXTENT = "buffer_head", "page_io"
MAX_PAGES = 12
_DEVICE = "device.profile"
_ROW_INCHES = 0.17
_MARGIN = 1.2
"""What a logarithmic axis shows beyond its first and its last dot, as a factor."""


def elapsed_us(row: Row) -> float:
    """Return simulated time per 4 KiB read, in µs."""
    return float(row["elapsed_ns"] * PAGE_BYTES / row["bytes_read"] / 1000)


def cpu_share(row: Row) -> float:
    """Return CPU time of all contexts per elapsed time, in percent of one core."""
    return float(100 * row["cpu_ns"] / row["elapsed_ns"])


def device_bound(run: Run) -> list[Figure]:
    """
    Return a page per combination of the other axes; nothing if device or path does not vary.

    Nor if there are more than MAX_PAGES: the run is about something else.
    """
    pages = others(run, (_DEVICE, "path"))
    if len(run.axes.get(_DEVICE, [])) < 2 or not paths_of(run) or len(pages) > MAX_PAGES:
        return []
    return [_page(run, fixed) for fixed in pages]


def _page(run: Run, fixed: Labels) -> Figure:
    devices, paths = run.axes[_DEVICE], paths_of(run)
    looks, names = styles("path", paths), Names.of(devices)
    pair = {BASE, EXTENT} <= set(paths)
    frame = Frame(
        width=COLUMN_INCHES,
        lefts=(names.inches,),
        right=0.15,
        legend=line_entries(looks),
        titles=(said(run, fixed),),
        foot=run_footer(run),
    )
    each = max(_ROW_INCHES, names.each)
    figure, panels = frame.page([Strip(each * len(devices), under=TICKS + NAME)] * (3 if pair else 2))
    for (panel,) in panels:
        panel.set_ylim(len(devices) - 0.5, -0.5)
        names.beside(panel, range(len(devices)))
        panel.grid(axis="x")
    _elapsed(panels[0][0], _table(run, fixed, elapsed_us), frame.panel_inches)
    _share(panels[1][0], _table(run, fixed, cpu_share), frame.panel_inches)
    if pair:
        _gain(panels[2][0], _table(run, fixed, elapsed_us), frame.panel_inches)
    return figure


def _table(run: Run, fixed: Labels, value: Callable[[Row], float]) -> dict[str, list[float]]:
    """Return the values of each path, one per device."""
    return {
        path: [mean(run, fixed | {_DEVICE: device, "path": path}, value) for device in run.axes[_DEVICE]]
        for path in paths_of(run)
    }


def _dots(panel: Axes, table: dict[str, list[float]]) -> list[float]:
    """Draw a dot per device and path, a line from a device's least to its most; return all values."""
    for place, all_paths in enumerate(zip(*table.values(), strict=True)):
        panel.plot([min(all_paths), max(all_paths)], [place, place], color="#c0c0c0", linewidth=2.5, zorder=1)
    for path, look in styles("path", list(table)).items():
        panel.plot(table[path], range(len(table[path])), **(look | {"linewidth": 0}))
    return [value for values in table.values() for value in values]


def _elapsed(panel: Axes, table: dict[str, list[float]], inches: float) -> None:
    values = _dots(panel, table)
    low, high = min(values) / _MARGIN, max(values) * _MARGIN
    panel.set_xscale("log")
    panel.set_xlim(low, high)
    mark(panel, "x", log_marks(low, high, inches))
    panel.set_xlabel("elapsed time, µs per 4 KiB")


def _share(panel: Axes, table: dict[str, list[float]], inches: float) -> None:
    limit = 1.05 * max(_dots(panel, table)) or 1.0
    panel.set_xlim(0, limit)
    mark(panel, "x", tick_marks(limit, inches))
    panel.set_xlabel("CPU time in it, % of one core")


def _gain(panel: Axes, table: dict[str, list[float]], inches: float) -> None:
    """Draw how much longer the per-block path takes, from 1 = no longer."""
    ratios = [base / extent for base, extent in zip(table[BASE], table[EXTENT], strict=True)]
    low = min(0.9, 0.95 * min(ratios))
    for place, ratio in enumerate(ratios):
        panel.barh(place, ratio - 1, left=1, height=0.5, color=PATH_COLOURS[BASE], linewidth=0)
        number_behind(panel, max(ratio, 1), place, ratio)
    limit = low + room_for_numbers([(max(ratio, 1) - low, number(ratio)) for ratio in ratios], inches)
    panel.axvline(1, color="#606060", linewidth=0.6, linestyle=(0, (3, 2)))
    panel.set_xlim(low, limit)
    mark(panel, "x", tick_marks(limit, inches, low))
    panel.set_xlabel(f"elapsed, {BASE} / {EXTENT}")
