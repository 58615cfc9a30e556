"""
Memory of buffer heads per cached page: a bar per path, for each block size.

Left out: what other paths keep per page (iomap a 24-byte struct iomap_page on pages of smaller blocks), and
the slab's own overhead.
"""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sim.experiment.results import Row, Run
from sim.report.panels import Labels, footer, mean, others, paths_of, run_footer, said, spaced
from sim.report.style import COLUMN_INCHES, PATH_COLOURS
from sim.units import PAGE_BYTES

BUFFER_HEAD_BYTES = 104
"""sizeof(struct buffer_head) on x86-64: include/linux/buffer_head.h of Linux 6.1, 12 words and two halves."""

_BLOCKS = "volume.block_size"
_MOST = 6
_GAP_INCHES = 0.26


def bytes_per_page(row: Row) -> float:
    """Return bytes of buffer heads per page that was read into the page cache."""
    return float(
        row["buffer_heads"] * BUFFER_HEAD_BYTES / max(row["pages_read"], 1)
    )  # none, if none was read


def memory(run: Run) -> list[Figure]:
    """
    Return the figure, a panel per combination of the other axes.

    Nothing if block size or path does not vary, or if there are more than six combinations to compare.
    """
    known = all(row.get("buffer_heads") is not None for row in run.metrics)
    if len(run.axes.get(_BLOCKS, [])) < 2 or not paths_of(run) or not known:
        return []
    columns = others(run, (_BLOCKS, "path"))
    if len(columns) > _MOST:
        return []
    return [_page(run, columns)]


def _page(run: Run, columns: list[Labels]) -> Figure:
    sizes, paths = run.axes[_BLOCKS], paths_of(run)
    legend_rows = 1 if len(paths) < 4 else 2
    head, foot, each = 0.3 + 0.17 * legend_rows, 0.62, 0.115 * (len(paths) + 1) * len(sizes)
    height = head + foot + each * len(columns) + _GAP_INCHES * (len(columns) - 1)
    figure = Figure(figsize=(COLUMN_INCHES, height))
    panels: Any = figure.subplots(len(columns), 1, sharex=True, squeeze=False)
    figure.subplots_adjust(
        left=0.6 / COLUMN_INCHES,
        right=0.97,
        top=1 - head / height,
        bottom=foot / height,
        hspace=_GAP_INCHES / each,
    )
    middle = [group * (len(paths) + 1) + (len(paths) - 1) / 2 for group in range(len(sizes))]
    for panel, fixed in zip(panels[:, 0], columns, strict=True):
        for group, size in enumerate(sizes):
            for place, path in enumerate(paths):
                at = group * (len(paths) + 1) + place
                width = mean(run, fixed | {_BLOCKS: size, "path": path}, bytes_per_page)
                panel.barh(at, width, height=0.85, color=PATH_COLOURS[path], linewidth=0)
                text = f"{width:.0f} B  ({100 * width / PAGE_BYTES:.1f} %)" if width else "0"
                panel.text(width + 4, at, text, va="center", ha="left", fontsize=7, color="#303030")
        panel.set_title(said(run, fixed), pad=4)
        panel.set_xlim(0, BUFFER_HEAD_BYTES * 4 * 1.5)
        panel.grid(axis="x")
        panel.tick_params(axis="y", length=0)
        panel.set_yticks(middle, [f"{spaced(size)}\nblocks" for size in sizes])
        panel.set_ylim((len(paths) + 1) * len(sizes) - 1, -1)
    figure.legend(
        handles=[Patch(color=PATH_COLOURS[path], label=path) for path in paths],
        loc="upper center",
        bbox_to_anchor=(0.5, 1 - 0.04 / height),
        ncols=-(-len(paths) // legend_rows),
        frameon=False,
        handlelength=1.0,
        handleheight=0.9,
    )
    label = "buffer heads, bytes per cached page (% of it)"
    figure.text(0.53, 0.26 / height, label, ha="center", va="center", fontsize=7.5)
    footer(figure, run_footer(run))
    return figure
