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


def ratios(run: Run, layouts: str, fixed: Labels, value: Callable[[Row], float]) -> Table:
    """Return `value` over that without checksums: a row per other label of the axis, a column per layout."""
    plain = [mean(run, fixed | {AXIS: NONE, layouts: layout}, value) for layout in run.axes[layouts]]
    return [
        [
            mean(run, fixed | {AXIS: way, layouts: layout}, value) / base
            for layout, base in zip(run.axes[layouts], plain, strict=True)
        ]
        for way in run.axes[AXIS]
        if way != NONE
    ]


def checksums(run: Run) -> list[Figure]:
    """Return the map; nothing if the run does not vary what it shows, or has no cell without checksums."""
    layouts, ways = layout_axis(run), run.axes.get(AXIS, [])
    if layouts is None or NONE not in ways or len(ways) < 2:
        return []
    panels = [(fixed, name) for fixed in others(run, (layouts, AXIS)) for name in MEASURES]
    return NumberMap(
        layouts=layouts,
        rows=[way for way in ways if way != NONE],
        titles=[", ".join(filter(None, (said(run, fixed), name))) for fixed, name in panels],
        tables=[ratios(run, layouts, fixed, MEASURES[name]) for fixed, name in panels],
        heading="A reader with checksums over one without (ratio)",
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
