"""
The main figure: CPU time per 4 KiB, stacked by cost group, a bar per path, a panel per layout (columns) and
per block size, encryption and whatever else the matrix varies (rows).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.config.cell_result import GROUPS
from sim.errors import ConfigError
from sim.experiment.results import Run
from sim.report.measure import number, room_for_numbers, tick_marks
from sim.report.page import BARE, GAP, TICKS, Frame, Names, Strip, mark
from sim.report.panels import group_patches, number_behind, only_path, phrase, run_footer, spaced
from sim.report.style import COLUMN_INCHES, GROUP_COLOURS, WIDTH_INCHES

MAX_COLUMNS = 5
_SCALE_RATIO = 1.5
_BAR_INCHES = 0.135


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar: ns per 4 KiB by group, means over seeds; the totals of the seeds that were least and most."""

    groups: dict[str, float]
    least: float
    most: float

    @property
    def total(self) -> float:
        """CPU time in ns per 4 KiB."""
        return sum(self.groups.values())


def cpu_bars(run: Run) -> dict[tuple[str, ...], Bar]:
    """
    Return the bars of a run by the labels of its axes, in the order of the axes.

    The groups of a bar are those of GROUPS, 0.0 for what the cell never did. Raises ConfigError for a
    call of an unknown group.
    """
    bytes_read = {(row["cell"], row["seed"]): row["bytes_read"] for row in run.metrics}
    per_seed: dict[tuple[int, int], dict[str, float]] = {
        key: dict.fromkeys(GROUPS, 0.0) for key in bytes_read
    }
    for call in run.calls:
        key = (call["cell"], call["seed"])
        if call["group"] not in GROUPS:
            raise ConfigError(str(run.path), f"cost group {call['group']!r} is unknown", ", ".join(GROUPS))
        per_seed[key][call["group"]] += call["ns"] * 4096 / bytes_read[key]
    by_label: dict[tuple[str, ...], list[dict[str, float]]] = {}
    for row in run.metrics:
        labels = tuple(row[axis] for axis in run.axes)
        by_label.setdefault(labels, []).append(per_seed[row["cell"], row["seed"]])
    return {
        labels: Bar(
            {group: fmean(groups[group] for groups in seeds) for group in GROUPS},
            min(sum(groups.values()) for groups in seeds),
            max(sum(groups.values()) for groups in seeds),
        )
        for labels, seeds in by_label.items()
    }


@dataclass(frozen=True, slots=True)
class _Grid:
    """Which axes of the matrix become rows of panels, columns of panels, and bars."""

    axes: tuple[str, ...]
    rows: tuple[str, ...]
    column: str | None
    bar: str | None


def _grid(run: Run) -> _Grid:
    """Bars are the path if it varies; columns the longest other axis that fits; rows the others."""
    axes = run.axes
    several = [axis for axis in axes if len(axes[axis]) > 1]
    bar = "path" if "path" in several else several[-1] if several else None
    others = [axis for axis in several if axis != bar]
    fitting = [axis for axis in others if len(axes[axis]) <= MAX_COLUMNS]
    column = max(fitting, key=lambda axis: len(axes[axis]), default=None)
    return _Grid(tuple(axes), tuple(axis for axis in others if axis != column), column, bar)


def cpu_per_4k(run: Run) -> list[Figure]:
    """Return the stacked figure of a run, on as many pages as its rows of panels take."""
    if not all(row["bytes_read"] for row in run.metrics):
        return []
    grid, bars = _grid(run), cpu_bars(run)
    columns = run.axes[grid.column] if grid.column else [""]
    names = Names.of([spaced(name) for name in (run.axes[grid.bar] if grid.bar else [only_path(run)])])
    used = {call["group"] for call in run.calls if call["ns"]}
    frame = Frame(
        width=WIDTH_INCHES if len(columns) > 1 else COLUMN_INCHES,
        lefts=(names.inches, *[GAP] * (len(columns) - 1)),
        legend=group_patches(used),
        titles=tuple(phrase(grid.axes, grid.column, label) for label in columns) if grid.column else (),
        under=TICKS - BARE,
        name="CPU time, µs per 4 KiB read",
        foot=run_footer(run),
    )
    limits = _limits_us(grid, bars, frame.panel_inches)
    if len(set(limits.values())) > 1:
        frame = replace(frame, name=f"{frame.name} (each column has its scale)")
    rows = [
        dict(zip(grid.rows, labels, strict=True))
        for labels in product(*(run.axes[axis] for axis in grid.rows))
    ]
    strips = [Strip(_height(names), _heading(grid, row), under=BARE) for row in rows]
    pages = []
    for numbers in frame.split(strips):
        figure, panels = frame.page([strips[at] for at in numbers])
        for at, row_panels in zip(numbers, panels, strict=True):
            for panel, column in zip(row_panels, columns, strict=True):
                fixed = rows[at] | ({grid.column: column} if grid.column else {})
                _panel(panel, _picked(run, grid, bars, fixed), limits[column])
                names.beside(panel, range(len(names.texts)), shown=panel is row_panels[0])
                marks = tick_marks(limits[column], frame.panel_inches)
                mark(panel, "x", marks, shown=at == numbers[-1])
        pages.append(figure)
    return pages


def _height(names: Names) -> float:
    return max(_BAR_INCHES, names.each) * (len(names.texts) + 0.1)


def _heading(grid: _Grid, row: dict[str, str]) -> str:
    return ", ".join(phrase(grid.axes, axis, label) for axis, label in row.items())


def _limits_us(grid: _Grid, bars: dict[tuple[str, ...], Bar], panel_inches: float) -> dict[str, float]:
    """
    Return the end of the x axis of each column of panels.

    It is the same for all unless one column's bars would then be too short to tell their parts apart.
    """
    at = grid.axes.index(grid.column) if grid.column else None
    ends: dict[str, list[tuple[float, str]]] = {}
    for labels, bar in bars.items():
        column = "" if at is None else labels[at]
        ends.setdefault(column, []).append((bar.most / 1000, number(bar.total / 1000)))
    limits = {column: room_for_numbers(column_ends, panel_inches) for column, column_ends in ends.items()}
    same = max(limits.values()) <= _SCALE_RATIO * min(limits.values())
    return dict.fromkeys(limits, max(limits.values())) if same else limits


def _picked(run: Run, grid: _Grid, bars: dict[tuple[str, ...], Bar], fixed: dict[str, str]) -> list[Bar]:
    """Return the bars of a panel."""
    found = []
    for name in run.axes[grid.bar] if grid.bar else [""]:
        labels = [name if axis == grid.bar else fixed.get(axis, run.axes[axis][0]) for axis in grid.axes]
        found.append(bars[tuple(labels)])
    return found


def _panel(panel: Axes, bars: Sequence[Bar], limit_us: float) -> None:
    places = range(len(bars))
    left = [0.0] * len(bars)
    for group in GROUPS:
        widths = [bar.groups[group] / 1000 for bar in bars]
        panel.barh(places, widths, left=left, height=0.74, color=GROUP_COLOURS[group], linewidth=0)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for place, bar in zip(places, bars, strict=True):
        if bar.most > bar.least:
            panel.plot([bar.least / 1000, bar.most / 1000], [place, place], color="black", linewidth=0.7)
        number_behind(panel, max(bar.total, bar.most) / 1000, place, bar.total / 1000)
    panel.set_xlim(0, limit_us)
    panel.set_ylim(len(bars) - 0.45, -0.55)
    panel.grid(axis="x")
