"""
Pages of dots: a row per combination of labels, panels side by side, a marker per series in each row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.experiment.results import Row, Run
from sim.report.measure import log_marks, tick_marks
from sim.report.page import GAP, Frame, Names, Strip, mark
from sim.report.panels import Labels, line_entries, mean, run_footer, said
from sim.report.style import WIDTH_INCHES

_ROW_INCHES, _ROWS_A_STRIP = 0.3, 12
_MARGIN = 1.3
"""What an axis shows beyond its most (and a logarithmic one below its least), as a factor."""


@dataclass(frozen=True, slots=True)
class Series:
    """One marker: what the legend calls it, the labels of its cells, and how it looks."""

    name: str
    labels: Labels
    look: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: its title, what it shows of a cell, and whether its axis is logarithmic."""

    title: str
    value: Callable[[Row], float]
    logarithmic: bool = False


def dots(run: Run, rows: list[Labels], series: Sequence[Series], panels: Sequence[Panel]) -> list[Figure]:
    """Return the pages; `rows` and the series' labels together name every cell that is shown."""
    names = Names.of([said(run, fixed) for fixed in rows])
    frame = Frame(
        width=WIDTH_INCHES,
        lefts=(names.inches, *[GAP] * (len(panels) - 1)),
        heading=run.manifest["title"],
        legend=line_entries({one.name: one.look for one in series}),
        foot=run_footer(run),
    )
    tables = [
        [[mean(run, {**fixed, **one.labels}, panel.value) for fixed in rows] for one in series]
        for panel in panels
    ]
    parts = [range(at, min(at + _ROWS_A_STRIP, len(rows))) for at in range(0, len(rows), _ROWS_A_STRIP)]
    each = max(_ROW_INCHES, names.each)
    titles = tuple(panel.title for panel in panels)
    strips = [Strip(each * len(part), titles=titles) for part in parts]
    pages = []
    for numbers in frame.split(strips):
        figure, drawn = frame.page([strips[at] for at in numbers])
        for at, axes in zip(numbers, drawn, strict=True):
            for panel, table, shown in zip(axes, tables, panels, strict=True):
                _scale(panel, table, shown.logarithmic, frame.panel_inches)
                for one, line in zip(series, table, strict=True):
                    panel.plot(line, range(len(rows)), **one.look)
                panel.set_ylim(parts[at].stop - 0.5, parts[at].start - 0.5)
                panel.grid(axis="both")
                names.beside(panel, range(len(rows)), shown=panel is axes[0])
                panel.set_ylim(parts[at].stop - 0.5, parts[at].start - 0.5)
        pages.append(figure)
    return pages


def _scale(panel: Axes, table: list[list[float]], logarithmic: bool, inches: float) -> None:
    """Have a horizontal axis that shows all of a table, from 0 where it is not logarithmic."""
    high = max(max(line) for line in table) * _MARGIN
    if not logarithmic:
        panel.set_xlim(0, high)
        mark(panel, "x", tick_marks(high, inches))
        return
    low = min(min(line) for line in table) / _MARGIN
    panel.set_xscale("log")
    panel.set_xlim(low, high)
    mark(panel, "x", log_marks(low, high, inches))
