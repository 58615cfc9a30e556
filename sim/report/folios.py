"""
What large folios win and lose, and why: cost, map calls, bios and buffer heads per 4 KiB read, over layouts.

A line per kernel, or per path where the run has one kernel; a row of panels per block size. Stars are what a
kernel was recorded to spend, in the cells that are recorded cases (sim.records.instructions).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.experiment.results import Row, Run
from sim.kernels import KERNELS
from sim.records.instructions import of_cell
from sim.report.measure import tick_marks, width_of
from sim.report.number_map import Below, layout_axis
from sim.report.page import BARE, EDGE, Frame, Strip, mark
from sim.report.panels import (
    Labels,
    line_entries,
    mean,
    others,
    phrase,
    run_footer,
    said,
    spaced,
    styles,
    words,
)
from sim.report.style import OKABE_ITO, TICK_POINTS, WIDTH_INCHES
from sim.units import PAGE_BYTES

MOST_LAYOUTS: Final = 8
"""As many as have room for their names below a panel."""
_KERNELS: Final = ("machine.kernel", "machine")
_BLOCKS: Final = "volume.block_size"
_HEIGHT_INCHES, _ROOM, _MARGIN, _BETWEEN = 1.1, 1.08, 0.35, 0.32
_NEWEST: Final = tuple(OKABE_ITO[name] for name in ("sky", "black", "blue", "vermillion"))
"""Colours of kernels, the last one's last."""
_WIDEST, _THINNER = (2.2, 6.8), (0.5, 1.2)
"""Line and marker of the first line in points, and what each later one has less: equal lines show."""

_RECORDED: Final = {
    "color": "#606060",
    "marker": "*",
    "markersize": 6.5,
    "markeredgewidth": 0.4,
    "markeredgecolor": "white",
    "markerfacecolor": None,
    "linestyle": "none",
}

Value = Callable[[Row], float]


def _per_page(metric: str) -> Value:
    return lambda row: row[metric] * PAGE_BYTES / row["bytes_read"]


_COUNTS: Final = (
    ("calls of ext4_map_blocks", _per_page("map_calls")),
    ("bios", _per_page("bios")),
    ("buffer heads", _per_page("buffer_heads")),
)
_COSTS: Final[dict[str, tuple[str, Value]]] = {
    "instructions": ("1,000 instructions", lambda row: row["instructions_per_4k"] / 1000),
    "ns": ("CPU time, µs", lambda row: row["cpu_ns_per_4k"] / 1000),
}


def folios(run: Run) -> list[Figure]:
    """
    Return a page for each combination of what is neither layout, block size nor kernel.

    Nothing for a run without a kernel that has large folios, that does not vary how blocks lie, or does so in
    more than MOST_LAYOUTS ways.
    """
    layouts, lines = layout_axis(run), _lines(run)
    if layouts is None or lines is None or len(run.axes[layouts]) > MOST_LAYOUTS:
        return []
    if not all(row["bytes_read"] and row.get("map_calls") is not None for row in run.metrics):
        return []
    rows = [{_BLOCKS: size} for size in run.axes.get(_BLOCKS, [])] or [{}]
    kept = (layouts, lines, *(key for row in rows[:1] for key in row))
    return [_page(run, layouts, lines, rows, fixed) for fixed in others(run, kept)]


def _lines(run: Run) -> str | None:
    """Return the axis whose labels are lines, if the run has a kernel with large folios."""
    kernels = [cell["config"]["machine"]["kernel"] for cell in run.manifest["cells"]]
    if not any(KERNELS[kernel].folios_unasked for kernel in kernels if kernel in KERNELS):
        return None
    return next((axis for axis in (*_KERNELS, "path") if len(run.axes.get(axis, [])) > 1), None)


def _looks(run: Run, lines: str) -> dict[str, dict[str, Any]]:
    looks = styles(lines, run.axes[lines])
    if lines != "path":
        colours = cycle(_NEWEST[-len(looks) :])
        looks = {label: {**look, "color": next(colours)} for label, look in looks.items()}
    for at, look in enumerate(looks.values()):
        width, marker = (max(most - at * less, 1.0) for most, less in zip(_WIDEST, _THINNER, strict=True))
        look |= {"linewidth": width, "markersize": max(marker, 4.0)}
    return looks


def _page(run: Run, layouts: str, lines: str, rows: list[Labels], fixed: Labels) -> Figure:
    currency = run.manifest["cells"][0]["config"]["machine"]["currency"]
    shown = (_COSTS[currency], *_COUNTS)
    looks = _looks(run, lines)
    tables = [[_table(run, layouts, lines, fixed | row, value) for _, value in shown] for row in rows]
    ends = [
        max(value for table in tables for line in table[at].values() for value in line) for at in range(4)
    ]
    recorded = [_recorded(run, layouts, lines, fixed | row, currency) for row in rows]
    known = [point for table in recorded for points in table.values() for _, point in points]
    ends[0] = max(ends[0], *known, 0.0)
    limits = [end * _ROOM or 1.0 for end in ends]
    marks = [tick_marks(limit, _HEIGHT_INCHES, upright=True) for limit in limits]
    ticks = [max(width_of(text, TICK_POINTS) for text in some.values()) for some in marks]
    lefts = tuple(_BETWEEN + width for width in ticks)
    kinds = [spaced(label) for label in run.axes[layouts]]
    panel = (WIDTH_INCHES - sum(lefts) - EDGE) / len(shown)
    below = Below.of(kinds, panel / (len(kinds) - 1 + 2 * _MARGIN), lefts[0])
    strips = [
        Strip(
            _HEIGHT_INCHES,
            heading=", ".join(phrase(list(run.axes), axis, size) for axis, size in row.items()),
            under=BARE,
        )
        for row in rows
    ]
    frame = Frame(
        width=WIDTH_INCHES,
        lefts=lefts,
        heading=": ".join(filter(None, (said(run, fixed), "per 4 KiB read"))),
        legend=line_entries(
            {_called(lines, label): look for label, look in looks.items()}
            | ({"recorded": _RECORDED} if known else {})
        ),
        titles=tuple(name for name, _ in shown),
        under=below.inches - BARE,
        name=words([layouts])[layouts],
        foot=run_footer(run),
    )
    figure, panels = frame.page(strips)
    for at, row_panels in enumerate(panels):
        for column, axes in enumerate(row_panels):
            _draw(axes, tables[at][column], looks)
            for line, points in ({} if column else recorded[at]).items():
                look = {**looks[line], **_RECORDED, "color": looks[line]["color"]}
                axes.plot([x for x, _ in points], [y for _, y in points], **look)
            axes.set_ylim(0, limits[column])
            mark(axes, "y", marks[column])
            below.write(axes, shown=at == len(panels) - 1)
    return figure


def _called(lines: str, label: str) -> str:
    return label if lines == "path" else f"Linux {label}"


def _table(run: Run, layouts: str, lines: str, fixed: Labels, value: Value) -> dict[str, list[float]]:
    """Return, for each line, the means over seeds along the layouts."""
    return {
        line: [mean(run, {**fixed, lines: line, layouts: kind}, value) for kind in run.axes[layouts]]
        for line in run.axes[lines]
    }


def _recorded(
    run: Run, layouts: str, lines: str, fixed: Labels, currency: str
) -> dict[str, list[tuple[int, float]]]:
    """Return, for each line, (number of the layout, 1,000 instructions) of the cells that are recorded."""
    configs = {
        tuple(cell["labels"][axis] for axis in run.axes): cell["config"] for cell in run.manifest["cells"]
    }
    found: dict[str, list[tuple[int, float]]] = {}
    for line in run.axes[lines] if currency == "instructions" else ():
        for at, kind in enumerate(run.axes[layouts]):
            labels = {**fixed, lines: line, layouts: kind}
            spent = of_cell(configs[tuple(labels[axis] for axis in run.axes)])
            if spent is not None:
                found.setdefault(line, []).append((at, spent / 1000))
    return found


def _draw(axes: Axes, table: dict[str, list[float]], looks: dict[str, dict[str, Any]]) -> None:
    for line, values in table.items():
        axes.plot(range(len(values)), values, **looks[line], clip_on=False)
    places = len(next(iter(table.values())))
    axes.set_xlim(-_MARGIN, places - 1 + _MARGIN)
    axes.grid(axis="y")
