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
from sim.report.frame import Labels, footer, mean, others, run_footer, said, spaced, words
from sim.report.style import EVEN, LOSES, WIDTH_INCHES, WINS

BASE = "buffer_head"
EXTENT_PATHS = ("page_io", "page_io_pure", "iomap")
_BLOCKS = "volume.block_size"
_LAYOUT = "volume.files.layout"
_ROWS = 4
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
    """Return the map, a column of panels per extent path; nothing if the run does not vary what it shows."""
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
    for first in range(0, len(panels), _ROWS):
        rows = range(first, min(first + _ROWS, len(panels)))
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
    long = max(len(kind) for kind in kinds) * len(kinds) * _LETTER_INCHES > 6.2 / len(paths)
    head, foot, each = 0.66, 0.62 + 0.45 * long, 0.26 * len(sizes) + 0.12
    height = head + foot + each * len(rows)
    figure = Figure(figsize=(WIDTH_INCHES, height))
    panels: Any = figure.subplots(len(rows), len(paths), sharex=True, sharey=True, squeeze=False)
    figure.subplots_adjust(
        left=0.075, right=0.95, top=1 - head / height, bottom=foot / height, wspace=0.05, hspace=0.2
    )
    for row_panels, n in zip(panels, rows, strict=True):
        for panel, path in zip(row_panels, paths, strict=True):
            _map(panel, tables[n, path], norm, figures=2 if len(paths) * len(kinds) <= 18 else 1)
            panel.set_xticks(
                range(len(kinds)), kinds, rotation=40 if long else 0, ha="right" if long else "center"
            )
            panel.set_yticks(range(len(sizes)), [spaced(size) for size in sizes])
            panel.tick_params(length=0)
            if n == rows[0]:
                panel.set_title(f"{BASE} / {path}", pad=4)
        row_panels[-1].text(
            1.015, 0.5, said(run, fixed[n]).replace(" ", "\n", 1), transform=row_panels[-1].transAxes,
            rotation=270, va="center", ha="left", fontsize=7,
        )  # fmt: skip
    by_length = layouts.endswith(".extent_blocks")
    label = "length of an extent, in blocks" if by_length else words([layouts])[layouts]
    figure.text(0.52, 0.24 / height, label, ha="center", va="center")
    figure.text(
        0.012, (height - head + foot) / 2 / height, "block size", rotation=90, ha="center", va="center"
    )
    _title(figure, height)
    footer(figure, run_footer(run))
    return figure


def _title(figure: Figure, height: float) -> None:
    figure.text(
        0.5,
        1 - 0.17 / height,
        "CPU time of the per-block path over that of the extent path (ratio)",
        ha="center",
        va="center",
    )
    handles = [
        Rectangle((0, 0), 1, 1, facecolor=WINS, alpha=0.7),
        Rectangle((0, 0), 1, 1, facecolor="#f4c9b0", hatch="////", edgecolor=LOSES),
    ]
    figure.legend(
        handles,
        ["> 1: the extent path needs less", "< 1: the extent path loses"],
        loc="center",
        bbox_to_anchor=(0.5, 1 - 0.35 / height),
        ncols=2,
        frameon=False,
        handlelength=1.2,
        handleheight=0.9,
    )


def _map(panel: Axes, table: list[list[float]], norm: TwoSlopeNorm, figures: int) -> None:
    panel.imshow(table, cmap=_COLOURS, norm=norm, aspect="auto", interpolation="nearest")
    for y, row in enumerate(table):
        for x, ratio in enumerate(row):
            dark = float(norm(ratio)) > 0.85
            panel.text(
                x,
                y,
                f"{ratio:.{figures}f}",
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
