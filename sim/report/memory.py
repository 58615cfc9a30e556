"""
Memory of buffer heads per cached page: a bar per path, for each block size.

Left out: what other paths keep per page (iomap a 24-byte struct iomap_page on pages of smaller blocks), and
the slab's own overhead.
"""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sim.experiment.results import Row, Run
from sim.report.measure import number, room_for_numbers, tick_marks
from sim.report.page import BARE, TICKS, Frame, Names, Strip, mark
from sim.report.panels import Labels, mean, number_behind, others, paths_of, run_footer, said, spaced
from sim.report.style import COLUMN_INCHES, path_looks
from sim.units import PAGE_BYTES

BUFFER_HEAD_BYTES = 104
"""sizeof(struct buffer_head) on x86-64: include/linux/buffer_head.h of Linux 6.1, 12 words and two halves."""

_BLOCKS = "volume.block_size"
_MOST, _BAR_INCHES = 6, 0.115


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
    panels = others(run, (_BLOCKS, "path"))
    return _pages(run, panels) if len(panels) <= _MOST else []


def _pages(run: Run, fixed: list[Labels]) -> list[Figure]:
    sizes, paths = run.axes[_BLOCKS], paths_of(run)
    places = {
        (size, path): group * (len(paths) + 1) + place
        for group, size in enumerate(sizes)
        for place, path in enumerate(paths)
    }
    tables = [
        {bar: mean(run, one | {_BLOCKS: bar[0], "path": bar[1]}, bytes_per_page) for bar in places}
        for one in fixed
    ]
    names = Names.of([f"{spaced(size)} blocks" for size in sizes])
    colours = {path: colour for path, (colour, _) in zip(paths, path_looks(paths), strict=True)}
    frame = Frame(
        width=COLUMN_INCHES,
        lefts=(names.inches,),
        legend=tuple(Patch(color=colours[path], label=path) for path in paths),
        under=TICKS - BARE,
        name="buffer heads, bytes per cached page (% of it)",
        foot=run_footer(run),
    )
    limit = room_for_numbers(
        [(width, _said(width)) for table in tables for width in table.values()], frame.panel_inches
    )
    strips = [
        Strip(_BAR_INCHES * (len(paths) + 1) * len(sizes), titles=(said(run, one),), under=BARE)
        for one in fixed
    ]
    pages = []
    for numbers in frame.split(strips):
        figure, panels = frame.page([strips[at] for at in numbers])
        for at, (panel,) in zip(numbers, panels, strict=True):
            for bar, width in tables[at].items():
                panel.barh(places[bar], width, height=0.85, color=colours[bar[1]], linewidth=0)
                number_behind(panel, width, places[bar], width, _said(width))
            panel.set_xlim(0, limit)
            panel.set_ylim(len(places) + len(sizes) - 1, -1)
            panel.grid(axis="x")
            middles = [places[size, paths[0]] + (len(paths) - 1) / 2 for size in sizes]
            names.beside(panel, middles)
            mark(panel, "x", tick_marks(limit, frame.panel_inches), shown=at == numbers[-1])
        pages.append(figure)
    return pages


def _said(width: float) -> str:
    """Return bytes per page, and what part of a page that is."""
    if width < 1:
        return f"{number(width)} B" if width else "0"
    share = 100 * width / PAGE_BYTES
    return f"{width:,.0f} B  ({f'{share:,.1f}' if share >= 0.05 else number(share)} %)"
