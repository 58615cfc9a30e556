"""
Where the time of an I/O goes, from submit_bio() until the reader runs on: a bar per path, stacked by stage.

From the trace of a run. Each sector counts with the I/O that brought it. Stages overlap between I/Os (what
waits in a plug waits beside others), so a bar is the life of one I/O, not a share of the elapsed time.
"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from sim.experiment.results import Run
from sim.experiment.trace import Trace
from sim.report.panels import Labels, cells_at, footer, paths_of, run_footer, said, traced_pages
from sim.report.style import COLUMN_INCHES, STAGE_COLOURS, WIDTH_INCHES

STAGE_WORDS = {
    "plug_ns": "plug",
    "queue_ns": "queue",
    "device_ns": "device",
    "interrupt_ns": "interrupt",
    "post_read_ns": "decrypt",
    "wake_ns": "wake",
}
"""Stage -> its name in figures and tables."""

_COLUMNS, _ROWS = 3, 5
_VISIBLE = 0.002
"""The part of a bar from which a stage can be seen, and is in the legend."""
_GAP_INCHES = 0.46
"""Between rows of panels: tick labels and a title."""


def stages(run: Run) -> list[Figure]:
    """Return pages of panels, one per combination of the axes but the path; nothing without a trace."""
    return traced_pages(run, _page, _COLUMNS * _ROWS)


def _page(run: Run, trace: Trace, panels: list[Labels]) -> Figure:
    paths = paths_of(run)
    columns = min(len(panels), _COLUMNS)
    rows = -(-len(panels) // columns)
    width = COLUMN_INCHES if columns == 1 else WIDTH_INCHES
    head, foot, each = 0.46 if columns > 1 else 0.62, 0.62, _GAP_INCHES + 0.15 * len(paths)
    height = head + foot + each * rows
    figure = Figure(figsize=(width, height))
    grid: Any = figure.subplots(rows, columns, sharey=True, squeeze=False)
    figure.subplots_adjust(
        left=0.82 / width,
        right=1 - 0.1 / width,
        top=1 - (head + 0.08) / height,
        bottom=(foot + 0.06) / height,
        wspace=0.1,
        hspace=_GAP_INCHES / (each - _GAP_INCHES),
    )
    flat = list(grid.flat)
    tables = [[trace.stages_ns(cells_at(run, fixed | {"path": path})) for path in paths] for fixed in panels]
    for panel, fixed, table in zip(flat, panels, tables, strict=False):
        _panel(panel, paths, table)
        panel.set_title(said(run, fixed), pad=4)
    for empty in flat[len(panels) :]:
        empty.set_visible(False)
    used = [
        stage
        for stage in STAGE_WORDS
        if any(bar.get(stage, 0) > _VISIBLE * sum(bar.values()) for table in tables for bar in table)
    ]
    figure.legend(
        handles=[Patch(color=STAGE_COLOURS[stage], label=STAGE_WORDS[stage]) for stage in used],
        loc="upper center",
        bbox_to_anchor=(0.5, 1 - 0.04 / height),
        ncols=len(used) if columns > 1 else 3,
        frameon=False,
        handlelength=1.0,
        handleheight=0.9,
        columnspacing=1.3,
        handletextpad=0.5,
    )
    label = "time of an I/O, µs, mean over the sectors read (each panel has its scale)"
    if columns == 1:
        label = "time of an I/O, µs, mean over sectors"
    figure.text(0.53, 0.26 / height, label, ha="center", va="center", fontsize=7.5)
    footer(figure, run_footer(run))
    return figure


def _panel(panel: Axes, paths: list[str], table: list[dict[str, float]]) -> None:
    left = [0.0] * len(paths)
    for stage in STAGE_WORDS:
        widths = [bar.get(stage, 0.0) / 1000 for bar in table]
        panel.barh(range(len(paths)), widths, left=left, height=0.74, color=STAGE_COLOURS[stage], linewidth=0)
        left = [start + more for start, more in zip(left, widths, strict=True)]
    longest = max(left) or 1.0
    for place, end in enumerate(left):
        panel.text(
            end + 0.015 * longest, place, f"{end:.1f}", va="center", ha="left", fontsize=7, color="#303030"
        )
    panel.set_xlim(0, 1.22 * longest)
    panel.set_ylim(len(paths) - 0.45, -0.55)
    panel.set_yticks(range(len(paths)), paths)
    panel.tick_params(axis="y", length=0)
    panel.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    panel.grid(axis="x")
