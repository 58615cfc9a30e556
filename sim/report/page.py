"""
A page of panels, laid out by what its texts measure: legend, rows of panels under each other, foot.

A figure says what is written where; how wide its panels are, how high the page is and where a text breaks
follows. Lengths are in inches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.report.legend import Legend
from sim.report.measure import POINTS_PER_INCH, Marks, height_of, width_of, wrapped
from sim.report.style import SMALL_POINTS, TALLEST_INCHES, TEXT_POINTS, TICK_POINTS

EDGE = 0.08
"""White at the edges of a page."""
GAP = 0.17
"""Between panels side by side that share their vertical axis: room for half a short number on either side."""
BARE, TICKS, NAME = 0.1, 0.24, 0.17
"""Below a panel: room for tick marks, for these with their labels, and in addition for the axis' name."""
_ABOVE, _PAD = 0.04, 0.05
_TO_PANEL = 0.08
_NAMES_INCHES = 1.4
"""How wide names beside a panel may be before they are broken into lines."""


@dataclass(frozen=True, slots=True)
class Strip:
    """
    A row of panels of one height.

    heading: what they have in common, above them at the left. titles: one above each panel, or none. name:
    of the vertical axis, at the left. above: room above them, in addition. under: room below them, of BARE,
    TICKS and NAME.
    """

    height: float
    heading: str = ""
    titles: tuple[str, ...] = ()
    name: str = ""
    above: float = 0.0
    under: float = TICKS


@dataclass(frozen=True, slots=True)
class Frame:
    """
    What a page has around its panels, and how these share its width.

    lefts: room to the left of each column of panels. legend: artists with labels. titles: of the columns,
    above the first strip of a page. under: below its last strip, in addition. name: of the horizontal axes of
    all panels. foot: where the numbers come from.
    """

    width: float
    lefts: tuple[float, ...]
    foot: str
    right: float = EDGE
    heading: str = ""
    legend: tuple[Artist, ...] = ()
    titles: tuple[str, ...] = ()
    under: float = 0.0
    name: str = ""

    @property
    def panel_inches(self) -> float:
        """Width of a panel."""
        return (self.width - sum(self.lefts) - self.right) / len(self.lefts)

    def split(self, strips: Sequence[Strip]) -> list[range]:
        """Return which strips go on which page; one that is higher than a page has its own."""
        titles = max(map(height_of, self._titles(self.titles)), default=0.0)
        room = TALLEST_INCHES - self._head() - titles - self.under - self._tail()
        pages, used = [range(0)], 0.0
        for number, strip in enumerate(strips):
            inches = self._inches(strip)
            if pages[-1] and used + inches > room:
                pages.append(range(number, number))
                used = 0.0
            pages[-1], used = range(pages[-1].start, number + 1), used + inches
        return pages

    def page(self, strips: Sequence[Strip]) -> tuple[Figure, list[list[Axes]]]:
        """Return a page with these strips, and the empty panels of each, from the left."""
        strips = [replace(strips[0], titles=self.titles or strips[0].titles), *strips[1:]]
        strips[-1] = replace(strips[-1], under=strips[-1].under + self.under)
        height = self._head() + sum(map(self._inches, strips)) + self._tail()
        figure = Figure(figsize=(self.width, height))
        self._draw_head(figure, height - EDGE)
        panels, top = [], height - self._head()
        for strip in strips:
            panels.append(self._draw_strip(figure, strip, top))
            top -= self._inches(strip)
        foot = self._wide(self.foot, SMALL_POINTS)
        above = EDGE + height_of(foot, SMALL_POINTS) + _PAD
        _write(figure, self._middle(), above, self._name(), ha="center")
        _write(figure, EDGE, EDGE, foot, fontsize=SMALL_POINTS, color="#606060")
        return figure, panels

    def _draw_head(self, figure: Figure, top: float) -> None:
        heading = self._wide(self.heading)
        _write(figure, EDGE, top, heading, va="top")
        if self.legend:
            self._legend().draw(figure, top - _padded(height_of(heading)))

    def _draw_strip(self, figure: Figure, strip: Strip, top: float) -> list[Axes]:
        titles, heading = self._titles(strip.titles), self._wide(strip.heading, weight="bold")
        upper = top - self._above(strip)
        width, height = figure.get_size_inches()
        _write(figure, EDGE, upper + _PAD, heading, fontweight="bold")
        starts = accumulate(
            self.lefts[1:], lambda x, left: x + self.panel_inches + left, initial=self.lefts[0]
        )
        panels = []
        for x in starts:
            place = (x, upper - strip.height, self.panel_inches, strip.height)
            panels.append(figure.add_axes(tuple(place[at] / (width, height)[at % 2] for at in range(4))))
        for panel, title in zip(panels, titles, strict=False):
            panel.set_title(title, pad=(_PAD + _padded(height_of(heading))) * POINTS_PER_INCH)
        if strip.name:
            name = wrapped(strip.name, strip.height)
            panels[0].set_ylabel(name)
            at = (EDGE + height_of(name) - self.lefts[0]) / self.panel_inches
            panels[0].yaxis.set_label_coords(at, 0.5)
        return panels

    def _inches(self, strip: Strip) -> float:
        return self._above(strip) + strip.height + strip.under

    def _above(self, strip: Strip) -> float:
        titles = max(map(height_of, self._titles(strip.titles)), default=0.0)
        heading = _padded(height_of(self._wide(strip.heading, weight="bold")))
        return _ABOVE + strip.above + titles + heading + _PAD

    def _titles(self, titles: Sequence[str]) -> list[str]:
        room = self.panel_inches + (min(self.lefts[1:]) - _PAD if len(self.lefts) > 1 else 0.0)
        return [wrapped(title, room) for title in titles]

    def _head(self) -> float:
        legend = _padded(self._legend().height) if self.legend else 0.0
        return EDGE + _padded(height_of(self._wide(self.heading))) + legend

    def _tail(self) -> float:
        foot = height_of(self._wide(self.foot, SMALL_POINTS), SMALL_POINTS)
        return _padded(height_of(self._name())) + _padded(foot) + EDGE

    def _middle(self) -> float:
        """Return where the middle of all panels is."""
        return (self.lefts[0] + self.width - self.right) / 2

    def _name(self) -> str:
        return wrapped(self.name, 2 * (min(self._middle(), self.width - self._middle()) - EDGE))

    def _legend(self) -> Legend:
        return Legend.of(self.legend, self.width - 2 * EDGE)

    def _wide(self, text: str, points: float = TEXT_POINTS, weight: str = "normal") -> str:
        return wrapped(text, self.width - 2 * EDGE, points, weight)


def _padded(inches: float) -> float:
    return inches + _PAD if inches else 0.0


def _write(figure: Figure, x: float, y: float, text: str, **style: Any) -> None:
    """Write a text at a place in inches from the lower left."""
    if text:
        width, height = figure.get_size_inches()
        figure.text(x / width, y / height, text, **{"va": "bottom"} | style)


@dataclass(frozen=True, slots=True)
class Names:
    """Names beside a panel, broken into lines; the room that they need beside it, and the height of one."""

    texts: tuple[str, ...]
    inches: float
    each: float

    @classmethod
    def of(cls, labels: Sequence[str]) -> Names:
        """Return names that are no wider than they should be."""
        texts = tuple(wrapped(label, _NAMES_INCHES, TICK_POINTS) for label in labels)
        inches = EDGE + _TO_PANEL + max((width_of(text, TICK_POINTS) for text in texts), default=0.0)
        return cls(texts, inches, max((height_of(text, TICK_POINTS) for text in texts), default=0.0))

    def beside(self, panel: Axes, places: Sequence[float], shown: bool = True) -> None:
        """Write them at `places` of the vertical axis of a panel; or only have them there."""
        panel.set_yticks(list(places), list(self.texts))
        panel.tick_params(axis="y", length=0, labelleft=shown)


def beside(strips: Sequence[Strip], marks: Sequence[Marks]) -> float:
    """Return the room to the left of strips that their names and the ticks of their vertical axes need."""
    names = max(height_of(wrapped(strip.name, strip.height)) for strip in strips)
    ticks = max(width_of(said, TICK_POINTS) for some in marks for said in some.values())
    return EDGE + _padded(names) + ticks + _TO_PANEL


def mark(panel: Axes, axis: str, marks: Marks, shown: bool = True) -> None:
    """Set the ticks of an axis ("x" or "y") of a panel, and no others; with their labels, or without."""
    at, said = list(marks), list(marks.values())
    if axis == "x":
        panel.set_xticks(at, said)
        panel.set_xticks([], minor=True)
        panel.tick_params(axis="x", labelbottom=shown)
    else:
        panel.set_yticks(at, said)
        panel.set_yticks([], minor=True)
        panel.tick_params(axis="y", labelleft=shown)
