"""
The legend above a figure's panels: as many entries side by side as fit, in rows to be read from the left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sim.report.measure import POINTS_PER_INCH, height_of, width_of, wrapped
from sim.report.style import TEXT_POINTS

_EM = TEXT_POINTS / POINTS_PER_INCH
_PATCH, _LINE, _TO_TEXT, _BETWEEN, _ROWS = 1.0, 2.2, 0.5, 1.3, 0.25
"""Lengths of a handle and of the gaps, in font sizes."""


@dataclass(frozen=True, slots=True)
class Legend:
    """Entries, their labels broken to the width, and how many columns of them fit into `inches`."""

    entries: tuple[Artist, ...]
    labels: tuple[str, ...]
    columns: int
    handle: float

    @classmethod
    def of(cls, entries: Sequence[Artist], inches: float) -> Legend:
        """Return the legend of artists with labels that is at most `inches` wide."""
        lines = any(
            isinstance(one, Line2D) and one.get_linestyle() not in ("None", "none") for one in entries
        )
        handle = _LINE if lines else _PATCH
        room = inches - (handle + _TO_TEXT) * _EM
        labels = tuple(wrapped(str(one.get_label()), room) for one in entries)
        widths = [width_of(label) for label in labels]
        most = max(n for n in range(1, len(labels) + 1) if n == 1 or _width(widths, n, handle) <= inches)
        rows = -(-len(labels) // most)
        return cls(tuple(entries), labels, -(-len(labels) // rows), handle)

    @property
    def height(self) -> float:
        """Height in inches."""
        rows = [
            self.labels[first : first + self.columns] for first in range(0, len(self.labels), self.columns)
        ]
        return sum(max(map(height_of, row)) + _ROWS * _EM for row in rows)

    def draw(self, figure: Figure, top: float) -> None:
        """Draw it in the middle of a figure, below `top` (inches from the lower edge)."""
        # matplotlib fills columns, one after the other
        order = [
            at for column in range(self.columns) for at in range(column, len(self.entries), self.columns)
        ]
        figure.legend(
            [self.entries[at] for at in order],
            [self.labels[at] for at in order],
            loc="upper center",
            bbox_to_anchor=(0.5, top / figure.get_figheight()),
            ncols=self.columns,
            frameon=False,
            borderpad=0,
            borderaxespad=0,
            handlelength=self.handle,
            handleheight=0.9,
            handletextpad=_TO_TEXT,
            columnspacing=_BETWEEN,
            labelspacing=_ROWS,
        )


def _width(widths: Sequence[float], columns: int, handle: float) -> float:
    """Return how wide a legend of so many columns is."""
    each = [
        max(widths[column::columns], default=0.0) + (handle + _TO_TEXT) * _EM for column in range(columns)
    ]
    return sum(each) + (columns - 1) * _BETWEEN * _EM
