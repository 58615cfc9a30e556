"""
Checksums of file data: what a reader pays for each way to keep them, as a ratio to none.

A row per way, a column per layout of the file, a panel per measure and combination of other axes; the least
of a column is outlined.
"""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sim.experiment.results import Row, Run
from sim.report.measure import number
from sim.report.number_map import NumberMap, Table, layout_axis
from sim.report.panels import Labels, mean, others, said
from sim.report.style import EVEN, LOSES, TICK_POINTS, WINS
from sim.units import PAGE_BYTES

AXIS = "checksums"
NONE = "none"
_COLOURS = LinearSegmentedColormap.from_list("more", [EVEN, LOSES])
_MOST = 20.0
"""The ratio from which on a cell has the full colour."""


def device_bytes(row: Row) -> float:
    """Return the bytes of data and of checksums that a run read."""
    return float(row["pages_read"]) * PAGE_BYTES + float(row.get("checksum_bytes_read") or 0)


MEASURES: dict[str, Callable[[Row], float]] = {
    "time of a read": lambda row: float(row["latency_mean_ns"]),
    "CPU time": lambda row: float(row["cpu_ns"]),
    "bytes from the device": device_bytes,
}


def ratios(run: Run, columns: str, fixed: Labels, value: Callable[[Row], float], axis: str = AXIS) -> Table:
    """Return `value` over that of NONE: a row per other label of an axis, a column per one of `columns`."""
    plain = [mean(run, fixed | {axis: NONE, columns: column}, value) for column in run.axes[columns]]
    return [
        [
            mean(run, fixed | {axis: way, columns: column}, value) / base
            for column, base in zip(run.axes[columns], plain, strict=True)
        ]
        for way in run.axes[axis]
        if way != NONE
    ]


def checksums(run: Run) -> list[Figure]:
    """Return the map; nothing if the run does not vary what it shows, or has no cell without checksums."""
    heading = "A reader with checksums over one without (ratio)"
    return ways_map(run, AXIS, layout_axis(run), MEASURES, heading)


def ways_map(
    run: Run, axis: str, columns: str | None, measures: dict[str, Callable[[Row], float]], heading: str
) -> list[Figure]:
    """Return the map of an axis with a NONE over another; nothing if the run does not vary both."""
    ways = run.axes.get(axis, [])
    if columns is None or columns not in run.axes or NONE not in ways or len(ways) < 2:
        return []
    panels = [(fixed, name) for fixed in others(run, (columns, axis)) for name in measures]
    return NumberMap(
        layouts=columns,
        rows=[way for way in ways if way != NONE],
        titles=[", ".join(filter(None, (said(run, fixed), name))) for fixed, name in panels],
        tables=[ratios(run, columns, fixed, measures[name], axis) for fixed, name in panels],
        heading=heading,
        draw=_draw,
        legend=(
            Rectangle((0, 0), 1, 1, fill=False, edgecolor=WINS, linewidth=1.4, label="least of its column"),
            Rectangle((0, 0), 1, 1, facecolor=LOSES, label=f"{_MOST:g} times and more"),
        ),
    ).pages(run)


def _draw(panel: Axes, table: Table) -> None:
    norm = LogNorm(1.0, _MOST, clip=True)
    panel.imshow(table, cmap=_COLOURS, norm=norm, aspect="auto", interpolation="nearest")
    least = [number(min(column)) for column in zip(*table, strict=True)]
    for y, row in enumerate(table):
        for x, ratio in enumerate(row):
            dark = float(norm(ratio)) > 0.7
            panel.text(
                x,
                y,
                number(ratio),
                ha="center",
                va="center",
                fontsize=TICK_POINTS,
                color="white" if dark else "black",
            )
            if number(ratio) == least[x]:
                box = Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, fill=False, edgecolor=WINS, linewidth=1.4)
                panel.add_patch(box)
