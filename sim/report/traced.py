"""
What the figures of a trace compare in a panel, and which panels there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from sim.experiment.results import Run
from sim.experiment.trace import Trace, has_trace, load_trace
from sim.report.panels import Labels, cells_at, only_path, others, paths_of, phrase
from sim.report.style import LINE_COLOURS


@dataclass(frozen=True, slots=True)
class Compared:
    """
    A traced run, and the axis whose labels a panel compares; without one, its only path is all there is.

    fixed: the labels of the other axes, a panel for each.
    """

    run: Run
    trace: Trace
    axis: str | None
    labels: list[str]
    fixed: list[Labels]

    @property
    def names(self) -> list[str]:
        """What the labels are called."""
        return (
            [phrase(list(self.run.axes), self.axis, one) for one in self.labels] if self.axis else self.labels
        )

    def cells(self, fixed: Labels, label: str) -> set[int]:
        """Return the cells of one label in a panel."""
        return cells_at(self.run, fixed | ({self.axis: label} if self.axis else {}))


def traced_pages(run: Run, pages: Callable[[Compared], list[Figure]]) -> list[Figure]:
    """
    Return the pages of what a traced run compares; nothing without a trace.

    Compared are the paths; where the matrix does not vary them, the labels of its last axis that has few.
    """
    if not has_trace(run.path):
        return []
    few = [axis for axis, labels in run.axes.items() if 1 < len(labels) <= len(LINE_COLOURS)]
    axis = "path" if paths_of(run) else few[-1] if few else None
    labels = run.axes[axis] if axis else [only_path(run)]
    return pages(Compared(run, load_trace(run.path), axis, labels, others(run, (axis,) if axis else ())))


def rows_of(panels: Sequence[Labels], most: int) -> list[Sequence[Labels]]:
    """Return the panels in rows of `most`."""
    return [panels[first : first + most] for first in range(0, len(panels), most)]
