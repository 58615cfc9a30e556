"""
Where the time of an I/O goes, from submit_bio() until the reader runs on: a bar per path, stacked by stage.

From the trace of a run. Each sector counts with the I/O that brought it. Stages overlap between I/Os (what
waits in a plug waits beside others), so a bar is the life of one I/O, not a share of the elapsed time.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from sim.experiment.results import Run
from sim.report.measure import number, room_for_numbers, tick_marks
from sim.report.page import GAP, Frame, Names, Strip, mark
from sim.report.panels import number_behind, run_footer, said
from sim.report.style import COLUMN_INCHES, STAGE_COLOURS, WIDTH_INCHES
from sim.report.traced import Compared, rows_of, traced_pages

STAGE_WORDS = {
    "plug_ns": "plug",
    "queue_ns": "queue",
    "device_ns": "device",
    "interrupt_ns": "interrupt",
    "post_read_ns": "decrypt",
    "wake_ns": "wake",
}
"""Stage -> its name in figures and tables."""

_COLUMNS, _BAR_INCHES = 3, 0.15
_VISIBLE = 0.002
"""The part of a bar from which a stage can be seen, and is in the legend."""

Bar = dict[str, float]
"""Stage -> mean ns."""


def stages(run: Run) -> list[Figure]:
    """Return pages of panels, one per combination of the axes but the compared one; none without a trace."""
    return traced_pages(run, _pages)


def _pages(compared: Compared) -> list[Figure]:
    run, trace, columns = compared.run, compared.trace, min(len(compared.fixed), _COLUMNS)
    names = Names.of(compared.names)
    rows = rows_of(compared.fixed, columns)
    tables = [
        [[trace.stages_ns(compared.cells(fixed, label)) for label in compared.labels] for fixed in row]
        for row in rows
    ]
    frame = Frame(
        width=COLUMN_INCHES if columns == 1 else WIDTH_INCHES,
        lefts=(names.inches, *[GAP] * (columns - 1)),
        legend=tuple(
            Patch(color=STAGE_COLOURS[stage], label=STAGE_WORDS[stage])
            for stage in _seen([bar for row in tables for table in row for bar in table])
        ),
        name="time of an I/O, µs, mean over the sectors read"
        + (" (each panel has its scale)" if len(compared.fixed) > 1 else ""),
        foot=run_footer(run),
    )
    height = max(_BAR_INCHES, names.each) * len(names.texts)
    strips = [Strip(height, titles=tuple(said(run, fixed) for fixed in row)) for row in rows]
    pages = []
    for numbers in frame.split(strips):
        figure, panels = frame.page([strips[at] for at in numbers])
        for at, row_panels in zip(numbers, panels, strict=True):
            for panel, table in zip(row_panels, tables[at], strict=False):
                _panel(panel, table, frame.panel_inches)
                names.beside(panel, range(len(names.texts)), shown=panel is row_panels[0])
            for empty in row_panels[len(tables[at]) :]:
                empty.remove()
        pages.append(figure)
    return pages


def _seen(bars: list[Bar]) -> list[str]:
    """Return the stages that can be seen in one of the bars."""
    return [
        stage
        for stage in STAGE_WORDS
        if any(bar.get(stage, 0) > _VISIBLE * sum(bar.values()) for bar in bars)
    ]


def _panel(panel: Axes, bars: list[Bar], inches: float) -> None:
    left = [0.0] * len(bars)
    for stage in STAGE_WORDS:
        widths = [bar.get(stage, 0.0) / 1000 for bar in bars]
        panel.barh(range(len(bars)), widths, left=left, height=0.74, color=STAGE_COLOURS[stage], linewidth=0)
        left = [start + more for start, more in zip(left, widths, strict=True)]
    for place, end in enumerate(left):
        number_behind(panel, end, place, end)
    limit = room_for_numbers([(end, number(end)) for end in left], inches)
    panel.set_xlim(0, limit)
    panel.set_ylim(len(bars) - 0.45, -0.55)
    mark(panel, "x", tick_marks(limit, inches))
    panel.grid(axis="x")
