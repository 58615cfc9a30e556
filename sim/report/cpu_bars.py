"""
The main figure: CPU time per 4 KiB, stacked by cost group, a bar per path, a panel per layout (columns) and
per block size, encryption and whatever else the matrix varies (rows).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from sim.config.cell_result import GROUPS
from sim.errors import ConfigError
from sim.experiment.results import Run
from sim.report.panels import footer, phrase, run_footer, spaced
from sim.report.style import COLUMN_INCHES, GROUP_COLOURS, GROUP_LABELS, WIDTH_INCHES

MAX_COLUMNS, MAX_ROWS = 5, 8
_ROOM_FOR_NUMBERS = 1.36
_SCALE_RATIO = 1.5
_HEAD_INCHES, _FOOT_INCHES, _ROW_INCHES, _BAR_INCHES = 0.62, 0.62, 0.46, 0.135


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
    """Return the stacked figure of a run; several, of MAX_ROWS rows of panels, if a page is too small."""
    if not all(row["bytes_read"] for row in run.metrics):
        return []
    grid, bars = _grid(run), cpu_bars(run)
    rows = list(product(*(run.axes[axis] for axis in grid.rows)))
    limits = _limits_us(grid, bars)
    return [
        _page(run, grid, bars, rows[first : first + MAX_ROWS], limits)
        for first in range(0, len(rows), MAX_ROWS)
    ]


def _limits_us(grid: _Grid, bars: dict[tuple[str, ...], Bar]) -> dict[str, float]:
    """
    Return the end of the x axis of each column of panels.

    It is the same for all unless one column's bars would then be too short to tell their parts apart.
    """
    at = grid.axes.index(grid.column) if grid.column else None
    most: dict[str, float] = {}
    for labels, bar in bars.items():
        column = "" if at is None else labels[at]
        most[column] = max(most.get(column, 0.0), bar.most * _ROOM_FOR_NUMBERS / 1000)
    most = {column: limit or 1.0 for column, limit in most.items()}
    same = max(most.values()) <= _SCALE_RATIO * min(most.values())
    return dict.fromkeys(most, max(most.values())) if same else most


def _page(
    run: Run,
    grid: _Grid,
    bars: dict[tuple[str, ...], Bar],
    rows: list[tuple[str, ...]],
    limits_us: dict[str, float],
) -> Figure:
    columns = run.axes[grid.column] if grid.column else [""]
    names = run.axes[grid.bar] if grid.bar else [_only_path(run)]
    width = WIDTH_INCHES if len(columns) > 1 else COLUMN_INCHES
    height = _HEAD_INCHES + _FOOT_INCHES + (_ROW_INCHES + _BAR_INCHES * len(names)) * len(rows)
    figure = Figure(figsize=(width, height))
    panels: Any = figure.subplots(len(rows), len(columns), sharex="col", sharey=True, squeeze=False)
    figure.subplots_adjust(
        left=0.82 / width,
        right=1 - 0.36 / width,
        top=1 - _HEAD_INCHES / height,
        bottom=_FOOT_INCHES / height,
        wspace=0.09,
        hspace=0.12,
    )
    for row_panels, row in zip(panels, rows, strict=True):
        for panel, column in zip(row_panels, columns, strict=True):
            fixed = dict(zip(grid.rows, row, strict=True))
            if grid.column:
                fixed[grid.column] = column
            _panel(panel, names, [_pick(run, grid, bars, fixed, name) for name in names], limits_us[column])
        said = [phrase(grid.axes, axis, label) for axis, label in zip(grid.rows, row, strict=True)]
        _row_title(row_panels[-1], "\n".join(reversed(said)))
    for panel, column in zip(panels[0], columns, strict=True):
        panel.set_title(phrase(grid.axes, grid.column, column) if grid.column else column, pad=4)
    _frame(figure, run, height, scales=len(set(limits_us.values())))
    return figure


def _only_path(run: Run) -> str:
    return str(run.manifest["cells"][0]["config"]["path"])


def _pick(run: Run, grid: _Grid, bars: dict[tuple[str, ...], Bar], fixed: dict[str, str], name: str) -> Bar:
    labels = [name if axis == grid.bar else fixed.get(axis, run.axes[axis][0]) for axis in grid.axes]
    return bars[tuple(labels)]


def _panel(panel: Axes, names: Sequence[str], bars: Sequence[Bar], limit_us: float) -> None:
    places = range(len(names))
    left = [0.0] * len(names)
    for group in GROUPS:
        widths = [bar.groups[group] / 1000 for bar in bars]
        panel.barh(places, widths, left=left, height=0.74, color=GROUP_COLOURS[group], linewidth=0)
        left = [start + width for start, width in zip(left, widths, strict=True)]
    for place, bar in zip(places, bars, strict=True):
        if bar.most > bar.least:
            panel.plot([bar.least / 1000, bar.most / 1000], [place, place], color="black", linewidth=0.7)
        panel.text(
            max(bar.total, bar.most) / 1000 + limit_us * 0.015,
            place,
            f"{bar.total / 1000:.2f}",
            va="center",
            ha="left",
            fontsize=7,
            color="#303030",
        )
    panel.set_xlim(0, limit_us)
    panel.set_ylim(len(names) - 0.45, -0.55)
    panel.set_yticks(list(places), [spaced(name) for name in names])
    panel.tick_params(axis="y", length=0)
    panel.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    panel.grid(axis="x")


def _row_title(panel: Axes, text: str) -> None:
    """Say at the right edge what the panels of a row have in common."""
    panel.text(
        1.03,
        0.5,
        text,
        transform=panel.transAxes,
        rotation=270,
        va="center",
        ha="left",
        fontsize=7,
        linespacing=1.15,
    )


def _frame(figure: Figure, run: Run, height: float, scales: int) -> None:
    """Add legend, the label of all x axes, and the footer that says where the numbers come from."""
    used = {call["group"] for call in run.calls if call["ns"]}
    handles = [
        Patch(color=GROUP_COLOURS[group], label=GROUP_LABELS[group]) for group in GROUPS if group in used
    ]
    figure.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.53, 1 - 0.04 / height),
        ncols=len(handles) if figure.get_figwidth() > COLUMN_INCHES else -(-len(handles) // 2),
        frameon=False,
        handlelength=1.0,
        handleheight=0.9,
        columnspacing=1.3,
        handletextpad=0.5,
    )
    label = "CPU time, µs per 4 KiB read" + (" (each column has its scale)" if scales > 1 else "")
    figure.text(0.53, 0.27 / height, label, ha="center", va="center", fontsize=7.5)
    footer(figure, run_footer(run))
