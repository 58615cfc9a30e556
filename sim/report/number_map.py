"""
Maps of numbers: a coloured cell per row and layout, its number in it; a panel per combination of other axes.

The figure is one column wide if the numbers fit, else two; layouts that do not fit then go on another page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, radians, sin

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.experiment.results import Run
from sim.report.measure import height_of, number, width_of, wrapped
from sim.report.page import BARE, EDGE, Frame, Names, Strip
from sim.report.panels import run_footer, words
from sim.report.style import COLUMN_INCHES, TICK_POINTS, WIDTH_INCHES, path_word

Table = list[list[float]]
"""Numbers: a list per row, a number per layout in each."""

_LAYOUT = "volume.files.layout"
_ROW_INCHES, _AROUND, _SLANT, _WORD = 0.17, 0.08, 40, 0.8
"""
The height of a row, what a cell is wider than its number, how names are turned that are too wide, and the
longest word that is not broken in one that stands upright.
"""


def layout_axis(run: Run) -> str | None:
    """Return the axis that varies how blocks lie: the layout itself, or a key of it."""
    axes = (axis for axis, labels in run.axes.items() if len(labels) > 1)
    return next((axis for axis in axes if axis == _LAYOUT or axis.startswith(f"{_LAYOUT}.")), None)


@dataclass(frozen=True, slots=True)
class NumberMap:
    """
    What is on the pages: `tables` under `titles`, names of their rows and layouts, heading and legend.

    draw: draws the cells of a table into a panel; cell (row, layout) is the unit square around it.
    """

    layouts: str
    rows: Sequence[str]
    titles: Sequence[str]
    tables: Sequence[Table]
    heading: str
    draw: Callable[[Axes, Table], None]
    legend: tuple[Artist, ...] = ()

    def pages(self, run: Run) -> list[Figure]:
        """Return the pages."""
        kinds, names = run.axes[self.layouts], Names.of([path_word(row) for row in self.rows])
        texts = {number(value) for table in self.tables for row in table for value in row}
        cell = max(width_of(text, TICK_POINTS) for text in texts) + _AROUND
        needed = names.inches + EDGE + cell * len(kinds)
        width = COLUMN_INCHES if needed <= COLUMN_INCHES else WIDTH_INCHES
        room = width - names.inches - EDGE
        each = max(min(len(kinds), int(room / cell)), 1)
        by_length = self.layouts.endswith(".extent_blocks")
        name = "length of an extent, in blocks" if by_length else words([self.layouts])[self.layouts]
        pages = []
        for first in range(0, len(kinds), each):
            some = slice(first, first + each)
            below = Below.of(kinds[some], room / len(kinds[some]), names.inches)
            frame = Frame(
                width=width,
                lefts=(names.inches,),
                heading=self.heading,
                legend=self.legend,
                under=below.inches - BARE,
                name=name,
                foot=run_footer(run),
            )
            pages += self._pages(frame, names, below, some)
        return pages

    def _pages(self, frame: Frame, names: Names, below: Below, some: slice) -> list[Figure]:
        height = max(_ROW_INCHES, names.each) * len(self.rows)
        strips = [Strip(height, titles=(title,), under=BARE / 2) for title in self.titles]
        pages = []
        for numbers in frame.split(strips):
            figure, panels = frame.page([strips[at] for at in numbers])
            for at, (panel,) in zip(numbers, panels, strict=True):
                self.draw(panel, [row[some] for row in self.tables[at]])
                names.beside(panel, range(len(names.texts)))
                below.write(panel, shown=at == numbers[-1])
                panel.spines[:].set_visible(False)
            pages.append(figure)
        return pages


def _upright(labels: Sequence[str], lines: int) -> tuple[str, ...]:
    """Return labels broken into at most so many lines each, at words as long as these are no sentences."""
    inches = min(max(width_of(word, TICK_POINTS) for label in labels for word in label.split()), _WORD)
    texts = tuple(wrapped(label, inches, TICK_POINTS) for label in labels)
    while any(text.count("\n") >= lines for text in texts):
        inches += 0.1
        texts = tuple(wrapped(label, inches, TICK_POINTS) for label in labels)
    return texts


@dataclass(frozen=True, slots=True)
class Below:
    """Names below a map, each under its column: broken into lines, or turned where that is not enough."""

    texts: tuple[str, ...]
    inches: float
    degrees: int

    @classmethod
    def of(cls, labels: Sequence[str], cell: float, left: float) -> Below:
        """Return names for columns of `cell` inches, of which the first begins `left` of the page's edge."""
        room = cell - _AROUND
        if all(width_of(word, TICK_POINTS) <= room for label in labels for word in label.split()):
            texts = tuple(wrapped(label, room, TICK_POINTS) for label in labels)
            return cls(texts, _AROUND + max(height_of(text, TICK_POINTS) for text in texts), 0)
        line = height_of("x", TICK_POINTS)
        width = max(width_of(label, TICK_POINTS) for label in labels)
        slant = radians(_SLANT)
        if cell * sin(slant) >= line and width * cos(slant) <= left + cell / 2 - EDGE:
            return cls(tuple(labels), _AROUND + width * sin(slant) + line * cos(slant), _SLANT)
        texts = _upright(labels, max(int(cell / line), 1))
        return cls(texts, _AROUND + max(width_of(text, TICK_POINTS) for text in texts), 90)

    def write(self, panel: Axes, shown: bool) -> None:
        """Write them below a panel, or only have them there."""
        beside = {0: "center", 90: "center"}.get(self.degrees, "right")
        panel.set_xticks(range(len(self.texts)), self.texts, rotation=self.degrees, ha=beside)
        panel.tick_params(length=0, labelbottom=shown)
