"""
Where the device drowns the difference: per device the time a reader waits for 4 KiB, the CPU time in it, and
how much longer buffer_head takes than page_io.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
from sim.report.style import COLUMN_INCHES, PATH_COLOURS
from sim.units import PAGE_BYTES

BASE, EXTENT = "buffer_head", "page_io"
MAX_PAGES = 12
_DEVICE = "device.profile"
_GAP_INCHES = 0.42
"""Between panels: tick labels and the name of an axis."""
_DECADES = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)


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
    legend_rows = 1 if len(paths) < 4 else 2
    head, foot, each = (0.36 if said(run, fixed) else 0.2) + 0.17 * legend_rows, 0.56, 0.17 * len(devices)
    height = head + foot + 3 * each + 2 * _GAP_INCHES
    figure = Figure(figsize=(COLUMN_INCHES, height))
    panels: Any = figure.subplots(3, 1)
    figure.subplots_adjust(
        left=0.75 / COLUMN_INCHES,
        right=0.95,
        top=1 - head / height,
        bottom=foot / height,
        hspace=_GAP_INCHES / each,
    )
    time, share, gain = panels
    _dots(time, run, fixed, devices, elapsed_us)
    time.set_xscale("log")
    low, high = time.get_xlim()
    plain_logs(time, "x", [tick for tick in _DECADES if low <= tick <= high])
    time.set_xlabel("elapsed time, µs per 4 KiB")
    _dots(share, run, fixed, devices, cpu_share)
    share.set_xlim(left=0)
    share.set_xlabel("CPU time in it, % of one core")
    if {BASE, EXTENT} <= set(paths):
        _gain(gain, run, fixed, devices)
    gain.set_xlabel(f"elapsed, {BASE} / {EXTENT}")
    for panel in panels:
        panel.set_ylim(len(devices) - 0.5, -0.5)
        panel.set_yticks(range(len(devices)), devices)
        panel.tick_params(axis="y", length=0)
        panel.grid(axis="x")
    if said(run, fixed):
        time.set_title(said(run, fixed), pad=4)
    path_legend(figure, paths, height, legend_rows)
    footer(figure, run_footer(run))
    return figure


def _dots(
    panel: Axes, run: Run, fixed: Labels, devices: Sequence[str], value: Callable[[Row], float]
) -> None:
    """Draw a dot per device and path, and the stretch between the least and the most of a device."""
    table = {
        path: [mean(run, fixed | {_DEVICE: device, "path": path}, value) for device in devices]
        for path in paths_of(run)
    }
    for place, all_paths in enumerate(zip(*table.values(), strict=True)):
        panel.plot([min(all_paths), max(all_paths)], [place, place], color="#c0c0c0", linewidth=2.5, zorder=1)
    for path, values in table.items():
        panel.plot(values, range(len(devices)), **(path_style(path) | {"linewidth": 0}))


def _gain(panel: Axes, run: Run, fixed: Labels, devices: Sequence[str]) -> None:
    """Draw how much longer the per-block path takes, from 1 = no longer."""
    for place, device in enumerate(devices):
        base, extent = (
            mean(run, fixed | {_DEVICE: device, "path": path}, elapsed_us) for path in (BASE, EXTENT)
        )
        ratio = base / extent
        panel.barh(place, ratio - 1, left=1, height=0.5, color=PATH_COLOURS[BASE], linewidth=0)
        panel.text(max(ratio, 1) + 0.04, place, f"{ratio:.2f}", va="center", ha="left", fontsize=7)
    low, high = panel.get_xlim()
    panel.axvline(1, color="#606060", linewidth=0.6, linestyle=(0, (3, 2)))
    panel.set_xlim(min(low, 0.9), high + 0.18 * (high - low))
