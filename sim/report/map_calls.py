"""
How often the file system is asked where a block lies: calls of ext4_map_blocks per block read, path x layout.

Outlined: once a block or more often, which is what the remark behind page_io complained of.
"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sim.experiment.results import Run
from sim.report.overhead_map import layout_axis
from sim.report.panels import Labels, footer, mean, others, paths_of, run_footer, said, words
from sim.report.style import COLUMN_INCHES, EVEN, LOSES
from sim.units import PAGE_BYTES

_COLOURS = LinearSegmentedColormap.from_list("calls", [EVEN, LOSES])
_MOST, _GAP_INCHES, _LETTER_INCHES = 6, 0.22, 0.065
_MANY = 2.0
"""Calls per block at which the colour is full; a path that maps a block twice is as bad as it gets."""


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
    return [_page(run, layouts, panels[first : first + _MOST]) for first in range(0, len(panels), _MOST)]


def _page(run: Run, layouts: str, panels: list[Labels]) -> Figure:
    paths, kinds = paths_of(run), run.axes[layouts]
    long = max(len(kind) for kind in kinds) * len(kinds) * _LETTER_INCHES > COLUMN_INCHES - 1.0
    head, foot, each = 0.5, 0.56 + 0.5 * long, 0.16 * len(paths)
    height = head + foot + each * len(panels) + _GAP_INCHES * (len(panels) - 1)
    figure = Figure(figsize=(COLUMN_INCHES, height))
    grid: Any = figure.subplots(len(panels), 1, sharex=True, squeeze=False)
    figure.subplots_adjust(
        left=0.82 / COLUMN_INCHES,
        right=0.98,
        top=1 - head / height,
        bottom=foot / height,
        hspace=_GAP_INCHES / each,
    )
    for panel, fixed in zip(grid[:, 0], panels, strict=True):
        _map(panel, calls_per_block(run, layouts, fixed))
        panel.set_xticks(
            range(len(kinds)), kinds, rotation=40 if long else 0, ha="right" if long else "center"
        )
        panel.set_yticks(range(len(paths)), paths)
        panel.tick_params(length=0)
        panel.set_title(said(run, fixed), pad=3)
    by_length = layouts.endswith(".extent_blocks")
    label = "length of an extent, in blocks" if by_length else words([layouts])[layouts]
    figure.text(0.6, 0.24 / height, label, ha="center", va="center")
    figure.text(
        0.5,
        1 - 0.15 / height,
        "calls of ext4_map_blocks per block (outlined: 1 or more)",
        ha="center",
        va="center",
    )
    footer(figure, run_footer(run))
    return figure


def _map(panel: Axes, table: list[list[float]]) -> None:
    panel.imshow(table, cmap=_COLOURS, vmin=0, vmax=_MANY, aspect="auto", interpolation="nearest")
    for y, row in enumerate(table):
        for x, calls in enumerate(row):
            often = calls >= 1 - 1e-9
            panel.text(x, y, f"{calls:.2f}", ha="center", va="center", fontsize=7)
            if often:
                box = (x - 0.47, y - 0.44)
                panel.add_patch(Rectangle(box, 0.94, 0.88, fill=False, edgecolor=LOSES, linewidth=1.0))
    panel.spines[:].set_visible(False)
