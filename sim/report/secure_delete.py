"""
Secure deletion: how long it takes over the size of the file, what it writes, whose CPU time it is, and what
the image tells afterwards. A line per method.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sim.config.cell_result import GROUPS
from sim.experiment.results import Row, Run
from sim.report.curves import around_places, over_places
from sim.report.measure import height_of, log_marks, plain, room_for_numbers, tick_marks
from sim.report.page import GAP, TICKS, Frame, Names, Strip, beside, mark
from sim.report.panels import (
    Labels,
    cells_at,
    group_patches,
    line_entries,
    mean,
    number_behind,
    others,
    run_footer,
    said,
    spaced,
    styles,
)
from sim.report.style import COLUMN_INCHES, GROUP_COLOURS, TICK_POINTS, WIDTH_INCHES
from sim.report.traced import rows_of
from sim.units import KIB, MIB, NS_PER_MS, parse_size

METHOD, SIZE = "workload.secure_delete", "volume.files.size"
_COLUMNS, _HEIGHT_INCHES, _ROW_INCHES = 3, 1.35, 0.3
_MARGIN = 1.5
"""What a logarithmic axis shows beyond its least and its most, as a factor."""
_LEFT: tuple[tuple[str, Callable[[Row], float]], ...] = (
    ("wrapped\nkeys", lambda row: float(row["keys_left"] > 0)),
    ("cipher-\ntext", lambda row: float(row["blocks_left"] > 0)),
    ("plain-\ntext", lambda row: row["bytes_recovered"] / row["bytes_deleted"]),
)
"""What may be left in the image: what it is called, and what share of it is."""


def secure_delete(run: Run) -> list[Figure]:
    """Return the pages: times, what is written, the rest; none if the run varies neither axis."""
    if any(row.get("delete_ns") is None for row in run.metrics):
        return []
    if len(run.axes.get(METHOD, [])) < 2 or len(run.axes.get(SIZE, [])) < 2:
        return []
    panels = others(run, (METHOD, SIZE))
    times = _lines(run, panels, "time, ms", lambda row: row["delete_ns"] / NS_PER_MS)
    written = _lines(
        run, panels[:1], "written to the device", lambda row: row["bytes_written"] / KIB, sizes=True
    )
    return [*times, *written, _rest(run, panels[0])]


def _size(kib: float) -> str:
    return f"{plain(kib / KIB)} MiB" if kib >= KIB else f"{plain(kib)} KiB"


def _lines(
    run: Run, panels: list[Labels], name: str, value: Callable[[Row], float], sizes: bool = False
) -> list[Figure]:
    """
    Return pages of panels, one per combination of the other axes: a value against size, both logarithmic.

    sizes: the value is in KiB.
    """
    last = list(panels[0])[-1] if panels[0] else None
    columns = min(len(run.axes[last]) if last else 1, _COLUMNS, len(panels))
    rows, labels = rows_of(panels, columns), run.axes[SIZE]
    looks = styles(METHOD, run.axes[METHOD])
    lines = [
        [
            {m: [mean(run, {**fixed, METHOD: m, SIZE: at}, value) for at in labels] for m in looks}
            for fixed in row
        ]
        for row in rows
    ]
    values = [one for row in lines for panel in row for line in panel.values() for one in line if one > 0]
    low, high = min(values, default=1.0) / _MARGIN, max(values, default=1.0) * _MARGIN
    base, say = (2, _size) if sizes else (10, plain)
    marks = log_marks(low, high, _HEIGHT_INCHES, base=base, upright=True, say=say)
    strips = [Strip(_HEIGHT_INCHES, titles=tuple(said(run, one) for one in row), name=name) for row in rows]
    named = list(map(spaced, labels))
    gap, right = around_places(named)
    frame = Frame(
        width=WIDTH_INCHES if columns > 1 else COLUMN_INCHES,
        lefts=(beside(strips, [marks]), *[gap] * (columns - 1)),
        right=right,
        heading=run.manifest["title"],
        legend=line_entries(looks),
        name="size of the file",
        foot=run_footer(run),
    )
    places = [float(parse_size("", size)) for size in labels]
    pages = []
    for numbers in frame.split(strips):
        figure, drawn = frame.page([strips[at] for at in numbers])
        for at, row_panels in zip(numbers, drawn, strict=True):
            for panel, table in zip(row_panels, lines[at], strict=False):
                for method, line in table.items():
                    panel.plot(places, line, **looks[method])
                over_places(panel, places, named, frame.panel_inches)
                panel.set_yscale("log")
                panel.set_ylim(low, high)
                mark(panel, "y", marks, shown=panel is row_panels[0])
                panel.grid(axis="both")
            for empty in row_panels[len(lines[at]) :]:
                empty.remove()
        pages.append(figure)
    return pages


def _rest(run: Run, fixed: Labels) -> Figure:
    """Whose CPU time a deletion is, and what is left, on the first of the other axes' labels."""
    methods, size = run.axes[METHOD], min(run.axes[SIZE], key=lambda label: abs(parse_size("", label) - MIB))
    names = Names.of(methods)
    used = {call["group"] for call in run.calls if call["ns"]}
    frame = Frame(
        width=WIDTH_INCHES,
        lefts=(names.inches, names.inches + GAP),
        heading=f"{run.manifest['title']} ({said(run, fixed)})"
        if said(run, fixed)
        else run.manifest["title"],
        legend=group_patches(used, other="journal, other"),
        foot=run_footer(run),
    )
    height = max(_ROW_INCHES, names.each) * len(methods)
    titles = (f"CPU time, µs ({spaced(size)} file)", "left in the whole image, any size")
    under = TICKS + height_of("x", TICK_POINTS)
    figure, [(cpu, left)] = frame.page([Strip(height, titles=titles, under=under)])
    _cpu(cpu, run, {**fixed, SIZE: size}, frame.panel_inches)
    _left(left, run, fixed)
    for panel in (cpu, left):
        panel.set_ylim(len(methods) - 0.5, -0.5)
        names.beside(panel, range(len(methods)))
    return figure


def _cpu(panel: Axes, run: Run, fixed: Labels, inches: float) -> None:
    """CPU time by cost group, a bar per method."""
    ends = []
    for at, method in enumerate(run.axes[METHOD]):
        cells = cells_at(run, {**fixed, METHOD: method})
        start = 0.0
        for group in GROUPS:
            ns = sum(call["ns"] for call in run.calls if call["cell"] in cells and call["group"] == group)
            width = ns / 1e3 / max(len(run.manifest["seeds"]), 1)
            panel.barh(at, width, 0.62, left=start, color=GROUP_COLOURS[group], linewidth=0)
            start += width
        ends.append((start, f"{start:,.0f}"))
        number_behind(panel, start, at, start, f"{start:,.0f}")
    limit = room_for_numbers(ends, inches)
    panel.set_xlim(0, limit)
    mark(panel, "x", tick_marks(limit, inches))
    panel.grid(axis="x")


def _left(panel: Axes, run: Run, fixed: Labels) -> None:
    """What the image still tells: share of ciphertext left, whether keys are found, what is recovered."""
    methods, sizes = run.axes[METHOD], run.axes[SIZE]
    for (at, method), (column, (_, value)) in product(enumerate(methods), enumerate(_LEFT)):
        searched = [_searched(run, {**fixed, METHOD: method, SIZE: size}, value) for size in sizes]
        known = [share for share in searched if share is not None]
        share = max(known) if known else None
        word = "?" if share is None else "found" if share else "gone"
        colour = "#ffffff" if share is None else "#f3c9b4" if share else "#d4e8f4"
        panel.barh(at, 0.94, 0.84, left=column + 0.03, color=colour)
        panel.text(column + 0.5, at, word, ha="center", va="center", fontsize=TICK_POINTS)
    panel.set_xticks([0.5, 1.5, 2.5], [name for name, _ in _LEFT])
    panel.set_xlim(0, len(_LEFT))
    panel.tick_params(length=0)
    panel.spines[["left", "bottom"]].set_visible(False)


def _searched(run: Run, fixed: Labels, value: Callable[[Row], float]) -> float | None:
    """Return a share of a cell, None if its image was not searched."""

    def known(row: Row) -> float:
        return -1.0 if row["blocks_left"] < 0 else value(row)

    share = mean(run, fixed, known)
    return share if share >= 0 else None
