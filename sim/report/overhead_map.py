"""
The overhead map: CPU time of buffer_head over that of an extent path, for each block size and layout.

Blue: the extent path needs less. Red, hatched and outlined: it loses.
"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sim.experiment.results import Run
from sim.report.panels import Labels, footer, mean, others, run_footer, said, spaced, words
from sim.report.style import COLUMN_INCHES, EVEN, LOSES, WINS

BASE = "buffer_head"
EXTENT_PATHS = ("page_io", "page_io_pure", "iomap")
_BLOCKS = "volume.block_size"
_LAYOUT = "volume.files.layout"
_ROWS, _PANELS = 4, 8
"""Combinations of other axes, and panels, on a page at most."""
_GAP_INCHES = 0.22
_LETTER_INCHES = 0.065
_COLOURS = LinearSegmentedColormap.from_list("ratio", [LOSES, EVEN, WINS])


def layout_axis(run: Run) -> str | None:
    """Return the axis that varies how blocks lie: the layout itself, or a key of it."""
    axes = (axis for axis, labels in run.axes.items() if len(labels) > 1)
    return next((axis for axis in axes if axis == _LAYOUT or axis.startswith(f"{_LAYOUT}.")), None)


def ratios(run: Run, path: str, layouts: str, fixed: Labels) -> list[list[float]]:
    """Return CPU time of buffer_head over that of `path`: a row per block size, a column per layout."""
    table = []
    for block_size in run.axes[_BLOCKS]:
        row = []
        for layout in run.axes[layouts]:
            at = fixed | {_BLOCKS: block_size, layouts: layout}
            cpu = [mean(run, at | {"path": name}, lambda r: r["cpu_ns_per_4k"]) for name in (BASE, path)]
            row.append(cpu[0] / cpu[1])
        table.append(row)
    return table


def overhead_map(run: Run) -> list[Figure]:
    """
    Return the map, a panel per extent path and combination of other axes.

    Nothing if the run does not vary what it shows.
    """
    layouts, paths = layout_axis(run), run.axes.get("path", [])
    extent_paths = [path for path in EXTENT_PATHS if path in paths]
    if layouts is None or len(run.axes.get(_BLOCKS, [])) < 2 or BASE not in paths or not extent_paths:
        return []
    panels = others(run, (layouts, _BLOCKS, "path"))
    tables = {
        (n, path): ratios(run, path, layouts, fixed)
        for n, fixed in enumerate(panels)
        for path in extent_paths
    }
    most = max(ratio for table in tables.values() for row in table for ratio in row)
    norm = TwoSlopeNorm(1.0, vmin=0.5, vmax=max(most, 2.0))
    pages = []
    most_rows = min(_ROWS, max(_PANELS // len(extent_paths), 1))
    for first in range(0, len(panels), most_rows):
        rows = range(first, min(first + most_rows, len(panels)))
        pages.append(_page(run, layouts, extent_paths, panels, rows, tables, norm))
    return pages


def _page(
    run: Run,
    layouts: str,
    paths: list[str],
    fixed: list[Labels],
    rows: range,
    tables: dict[tuple[int, str], list[list[float]]],
    norm: TwoSlopeNorm,
) -> Figure:
    sizes, kinds = run.axes[_BLOCKS], run.axes[layouts]
    long = max(len(kind) for kind in kinds) * len(kinds) * _LETTER_INCHES > COLUMN_INCHES - 0.8
    head, foot, each = 0.72, 0.56 + 0.5 * long, 0.2 * len(sizes)
    drawn = [(n, path) for n in rows for path in paths]
    height = head + foot + each * len(drawn) + _GAP_INCHES * (len(drawn) - 1)
    figure = Figure(figsize=(COLUMN_INCHES, height))
    panels: Any = figure.subplots(len(drawn), 1, sharex=True, squeeze=False)
    figure.subplots_adjust(
        left=0.62 / COLUMN_INCHES,
        right=0.98,
        top=1 - head / height,
        bottom=foot / height,
        hspace=_GAP_INCHES / each,
    )
    for panel, (n, path) in zip(panels[:, 0], drawn, strict=True):
        _map(panel, tables[n, path], norm)
        panel.set_xticks(
            range(len(kinds)), kinds, rotation=40 if long else 0, ha="right" if long else "center"
        )
        panel.set_yticks(range(len(sizes)), [spaced(size) for size in sizes])
        panel.tick_params(length=0)
        fixed_words = said(run, fixed[n])
        panel.set_title(f"{BASE} / {path}{', ' if fixed_words else ''}{fixed_words}", pad=3)
    by_length = layouts.endswith(".extent_blocks")
    label = "length of an extent, in blocks" if by_length else words([layouts])[layouts]
    figure.text(0.57, 0.24 / height, label, ha="center", va="center")
    figure.text(
        0.03, (height - head + foot) / 2 / height, "block size", rotation=90, ha="center", va="center"
    )
    _title(figure, height)
    footer(figure, run_footer(run))
    return figure


def _title(figure: Figure, height: float) -> None:
    figure.text(
        0.5,
        1 - 0.17 / height,
        "CPU time, per-block path over extent path (ratio)",
        ha="center",
        va="center",
    )
    handles = [
        Rectangle((0, 0), 1, 1, facecolor=WINS, alpha=0.7),
        Rectangle((0, 0), 1, 1, facecolor="#f4c9b0", hatch="////", edgecolor=LOSES),
    ]
    figure.legend(
        handles,
        ["> 1: extent path needs less", "< 1: it loses"],
        loc="center",
        bbox_to_anchor=(0.5, 1 - 0.35 / height),
        ncols=2,
        frameon=False,
        handlelength=1.2,
        handleheight=0.9,
    )


def _map(panel: Axes, table: list[list[float]], norm: TwoSlopeNorm) -> None:
    panel.imshow(table, cmap=_COLOURS, norm=norm, aspect="auto", interpolation="nearest")
    for y, row in enumerate(table):
        for x, ratio in enumerate(row):
            dark = float(norm(ratio)) > 0.85
            panel.text(
                x,
                y,
                f"{ratio:.2f}",
                ha="center",
                va="center",
                fontsize=7,
                color="white" if dark else "black",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8} if ratio < 1 else None,
                zorder=3,
            )
            if ratio < 1:
                panel.add_patch(
                    Rectangle(
                        (x - 0.48, y - 0.48),
                        0.96,
                        0.96,
                        fill=False,
                        edgecolor=LOSES,
                        hatch="////",
                        linewidth=1.2,
                        alpha=0.6,
                        zorder=2,
                    )
                )
    panel.spines[:].set_visible(False)
