"""
Shares of a whole, counted: a row per cell, a panel per thing that was counted, a bar for its share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.experiment.results import Row, Run
from sim.report.measure import tick_marks
from sim.report.page import GAP, Frame, Names, Strip, mark
from sim.report.panels import mean, others, run_footer, said
from sim.report.style import LOSES, TALLEST_INCHES, TICK_POINTS, WIDTH_INCHES

Share = Callable[[Row], float]
"""A row of the metrics -> a share, 0 to 1."""
_ROW_INCHES, _ROWS_A_STRIP = 0.22, 16
_AROUND_INCHES = 2.5
"""What a page has around its rows, at most."""
_FULL, _ROOM = 100, 1.35
"""A whole in per cent, and how many of it a panel has room for: what a bar is stands behind it."""


def share_pages(
    run: Run,
    name: str,
    panels: Mapping[str, Share],
    nothing: str,
    colours: Mapping[str, str] | None = None,
    pooled: Sequence[str] = (),
) -> list[Figure]:
    """
    Return the pages. name: of the axis. panels: title -> share; nothing: what is written at one of 0.
    colours: of panels, by title, in which bars are nothing bad. pooled: axes whose cells share a row.
    """
    rows = others(run, pooled)
    names = Names.of([said(run, fixed) for fixed in rows])
    frame = Frame(
        width=WIDTH_INCHES,
        lefts=(names.inches, *[GAP] * (len(panels) - 1)),
        heading=run.manifest["title"],
        name=name,
        foot=run_footer(run),
    )
    each = max(_ROW_INCHES, names.each)
    most = max(min(_ROWS_A_STRIP, int((TALLEST_INCHES - _AROUND_INCHES) / each)), 1)
    parts = [range(at, min(at + most, len(rows))) for at in range(0, len(rows), most)]
    strips = [Strip(each * len(part), titles=tuple(panels)) for part in parts]
    table = [[_FULL * mean(run, fixed, share) for fixed in rows] for share in panels.values()]
    pages = []
    for numbers in frame.split(strips):
        figure, drawn = frame.page([strips[at] for at in numbers])
        for at, row_panels in zip(numbers, drawn, strict=True):
            for title, panel, shares in zip(panels, row_panels, table, strict=True):
                colour = (colours or {}).get(title, LOSES)
                _bars(panel, parts[at], shares, frame.panel_inches, nothing, colour)
                names.beside(panel, range(len(rows)), shown=panel is row_panels[0])
                panel.set_ylim(parts[at].stop - 0.5, parts[at].start - 0.5)
        pages.append(figure)
    return pages


def equal_axes(run: Run, panels: Mapping[str, Share]) -> list[str]:
    """Return the axes along which no share differs, whatever the other labels are."""
    found: list[str] = []
    for axis, labels in run.axes.items():
        rows = others(run, (*found, axis))
        if len(labels) > 1 and all(
            len({mean(run, {**fixed, axis: label}, share) for label in labels}) == 1
            for fixed in rows
            for share in panels.values()
        ):
            found.append(axis)
    return found


def _bars(panel: Axes, rows: range, shares: list[float], inches: float, nothing: str, colour: str) -> None:
    """Draw a bar for each share of these rows, and write what it is."""
    panel.barh(rows, [shares[at] for at in rows], height=0.62, color=colour, zorder=2)
    panel.set_xlim(0, _FULL * _ROOM)
    mark(panel, "x", tick_marks(_FULL, inches / _ROOM))
    panel.grid(axis="x")
    for at in rows:
        share = shares[at]
        text = nothing if not share else f"{share:.0f} %" if share >= 1 else "< 1 %"
        panel.text(share + 2, at, text, va="center", ha="left", fontsize=TICK_POINTS, zorder=3)
