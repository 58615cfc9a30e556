"""
How often the file system is asked where a block lies: calls of ext4_map_blocks per block read, path x layout.

Outlined: once a block or more often, which is what the remark behind page_io complained of.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sim.experiment.results import Run
from sim.report.measure import number
from sim.report.number_map import NumberMap, Table, layout_axis
from sim.report.panels import Labels, mean, others, paths_of, said
from sim.report.style import EVEN, LOSES, TICK_POINTS
from sim.units import PAGE_BYTES

_COLOURS = LinearSegmentedColormap.from_list("calls", [EVEN, LOSES])
_MANY = 2.0
"""Calls per block at which the colour is full; a path that maps a block twice is as bad as it gets."""
_DECIMALS = 2
"""Of the calls per block that are written, and outlined as they are written."""


def calls_per_block(run: Run, layouts: str, fixed: Labels) -> list[list[float]]:
    """Return calls of ext4_map_blocks per block of the pages read: a row per path, a column per layout."""
    block_bytes = {
        cell["cell"]: cell["config"]["volume"]["block_size_bytes"] for cell in run.manifest["cells"]
    }
    return [
        [
            mean(
                run,
                fixed | {"path": path, layouts: layout},
                lambda row: row["map_calls"] / (row["pages_read"] * PAGE_BYTES / block_bytes[row["cell"]]),
            )
            for layout in run.axes[layouts]
        ]
        for path in paths_of(run)
    ]


def map_calls(run: Run) -> list[Figure]:
    """
    Return the map, a panel per combination of other axes.

    Nothing if layout or path does not vary, if a cell read no page (all was cached), or if the run reads
    images whose block size is their own.
    """
    layouts = layout_axis(run)
    if (
        layouts is None
        or not paths_of(run)
        or any(row.get("map_calls") is None or not row["pages_read"] for row in run.metrics)
    ):
        return []
    if any(cell["config"]["volume"]["block_size_bytes"] is None for cell in run.manifest["cells"]):
        return []
    panels = others(run, (layouts, "path"))
    return NumberMap(
        layouts=layouts,
        rows=paths_of(run),
        titles=[said(run, fixed) for fixed in panels],
        tables=[calls_per_block(run, layouts, fixed) for fixed in panels],
        heading="calls of ext4_map_blocks per block (outlined: 1 or more)",
        draw=_draw,
    ).pages(run)


def _draw(panel: Axes, table: Table) -> None:
    panel.imshow(table, cmap=_COLOURS, vmin=0, vmax=_MANY, aspect="auto", interpolation="nearest")
    for y, row in enumerate(table):
        for x, calls in enumerate(row):
            panel.text(x, y, number(calls), ha="center", va="center", fontsize=TICK_POINTS)
            if round(calls, _DECIMALS) >= 1:
                box = (x - 0.47, y - 0.44)
                panel.add_patch(Rectangle(box, 0.94, 0.88, fill=False, edgecolor=LOSES, linewidth=1.0))
