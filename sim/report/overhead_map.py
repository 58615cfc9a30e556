"""
The overhead map: CPU time of buffer_head over that of an extent path, for each block size and layout.

Blue: the extent path needs less. Red, hatched and outlined: it loses. A cell is drawn as its number reads:
1.00 is even, though the ratio may be 0.996.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, TwoSlopeNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from sim.experiment.results import Run
from sim.paths.registry import DESIGNS, PATHS
from sim.report.measure import number
from sim.report.number_map import NumberMap, Table, layout_axis
from sim.report.panels import Labels, mean, others, said, spaced
from sim.report.style import EVEN, LOSES, TICK_POINTS, WINS

BASE = "buffer_head"
EXTENT_PATHS = tuple(name for name, design in DESIGNS.items() if design.per_extent)
_BLOCKS = "volume.block_size"
_COLOURS = LinearSegmentedColormap.from_list("ratio", [LOSES, EVEN, WINS])
_DECIMALS = 2
"""Of the ratios that are written."""


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
    extent_paths += [path for path in paths if path not in PATHS]  # of a user's own
    if layouts is None or len(run.axes.get(_BLOCKS, [])) < 2 or BASE not in paths or not extent_paths:
        return []
    panels = [(path, fixed) for fixed in others(run, (layouts, _BLOCKS, "path")) for path in extent_paths]
    tables = [ratios(run, path, layouts, fixed) for path, fixed in panels]
    most = max(ratio for table in tables for row in table for ratio in row)
    norm = TwoSlopeNorm(1.0, vmin=0.5, vmax=max(most, 2.0))
    return NumberMap(
        layouts=layouts,
        rows=[f"{spaced(size)} blocks" for size in run.axes[_BLOCKS]],
        titles=[", ".join(filter(None, (f"{BASE} / {path}", said(run, fixed)))) for path, fixed in panels],
        tables=tables,
        heading="CPU time, per-block path over extent path (ratio)",
        draw=lambda panel, table: _draw(panel, table, norm),
        legend=(
            Rectangle((0, 0), 1, 1, facecolor=WINS, alpha=0.7, label="> 1: extent path needs less"),
            Rectangle(
                (0, 0), 1, 1, facecolor="#f4c9b0", hatch="////", edgecolor=LOSES, label="< 1: it loses"
            ),
        ),
    ).pages(run)


def _draw(panel: Axes, table: Table, norm: TwoSlopeNorm) -> None:
    panel.imshow(table, cmap=_COLOURS, norm=norm, aspect="auto", interpolation="nearest")
    for y, row in enumerate(table):
        for x, ratio in enumerate(row):
            loses = round(ratio, _DECIMALS) < 1
            panel.text(
                x,
                y,
                number(ratio),
                ha="center",
                va="center",
                fontsize=TICK_POINTS,
                color="white" if float(norm(ratio)) > 0.85 else "black",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8} if loses else None,
                zorder=3,
            )
            if loses:
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
