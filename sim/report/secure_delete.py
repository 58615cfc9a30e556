"""
Secure deletion: how long it takes over the size of the file, what it writes, whose CPU time it is, and what
the image tells afterwards. A line per method.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sim.config.cell_result import GROUPS
from sim.experiment.results import Row, Run
from sim.report.panels import Labels, cells_at, footer, mean, others, plain_logs, run_footer, said, spaced
from sim.report.style import GROUP_COLOURS, GROUP_LABELS, WIDTH_INCHES
from sim.units import KIB, MIB, parse_size

METHOD, SIZE = "workload.secure_delete", "volume.files.size"
_COLUMNS = 3
_MARKERS = "os^Dx+v"
_COLOURS = ("#9a9a9a", "#0072B2", "#56B4E9", "#D55E00", "#E69F00", "#009E73", "#CC79A7")


def secure_delete(run: Run) -> list[Figure]:
    """Return the pages: time, then the rest; none if the run deletes nothing or varies neither axis."""
    if any(row.get("delete_ns") is None for row in run.metrics):
        return []
    if len(run.axes.get(METHOD, [])) < 2 or len(run.axes.get(SIZE, [])) < 2:
        return []
    panels = others(run, (METHOD, SIZE))
    pages = [_times(run, panels)]
    pages.append(_rest(run, panels[0]))
    return pages


def _styles(run: Run) -> dict[str, dict[str, Any]]:
    return {
        method: {
            "color": colour,
            "marker": marker,
            "markersize": 4,
            "markerfacecolor": "none",
            "linewidth": 1.0,
        }
        for method, colour, marker in zip(run.axes[METHOD], _COLOURS, _MARKERS, strict=False)
    }


def _times(run: Run, panels: list[Labels]) -> Figure:
    """One panel per combination of the other axes: time against size, both logarithmic."""
    last = list(panels[0])[-1] if panels[0] else None
    columns = len(run.axes[last]) if last else 1
    if last and columns > _COLUMNS:
        columns = _COLUMNS
    rows = -(-len(panels) // columns)
    head, foot, each = 0.62, 0.6, 1.55
    height = head + foot + rows * each
    figure = Figure(figsize=(WIDTH_INCHES, height))
    grid: Any = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    figure.subplots_adjust(
        left=0.09,
        right=0.975,
        top=1 - head / height,
        bottom=foot / height,
        hspace=0.28,
        wspace=0.06,
    )
    flat = [panel for row in grid for panel in row]
    for panel, fixed in zip(flat, panels, strict=False):
        _lines(panel, run, fixed, lambda row: row["delete_ns"] / 1e6)
        panel.set_yscale("log")
        panel.set_title(said(run, fixed), pad=3)
    for panel in flat[len(panels) :]:
        panel.set_visible(False)
    low, high = flat[0].get_ylim()
    ticks = [tick for tick in (0.1, 1, 10, 100, 1000, 10_000, 100_000) if low <= tick <= high]
    plain_logs(flat[0], "y", ticks, [f"{tick:,g}" for tick in ticks])
    for row in grid:
        row[0].set_ylabel("time, ms")
    figure.text(0.53, 0.24 / height, "size of the file", ha="center", va="center", fontsize=7.5)
    _legend(figure, run, height)
    footer(figure, run_footer(run))
    return figure


def _lines(panel: Axes, run: Run, fixed: Labels, value: Any) -> None:
    sizes = run.axes[SIZE]
    places = [float(parse_size("", size)) for size in sizes]
    for method, style in _styles(run).items():
        heights = [mean(run, {**fixed, METHOD: method, SIZE: size}, value) for size in sizes]
        panel.plot(places, heights, **style)
    panel.set_xscale("log", base=2)
    plain_logs(panel, "x", places, [spaced(size) for size in sizes])
    panel.grid(axis="both")


def _rest(run: Run, fixed: Labels) -> Figure:
    """What is written, whose CPU time it is, and what is left, on the first of the other axes' labels."""
    height = 3.0
    figure = Figure(figsize=(WIDTH_INCHES, height))
    grid: Any = figure.subplots(1, 3, gridspec_kw={"width_ratios": (1.1, 1, 1)})
    figure.subplots_adjust(left=0.09, right=0.985, top=0.76, bottom=0.2, wspace=0.64)
    written, cpu, left = grid
    _lines(written, run, fixed, lambda row: row["bytes_written"] / KIB)
    written.set_yscale("log")
    low, high = written.get_ylim()
    ticks = [tick for tick in (4 * 8**n for n in range(8)) if low <= tick <= high]
    plain_logs(
        written, "y", ticks, [f"{tick / KIB:,g} MiB" if tick >= KIB else f"{tick} KiB" for tick in ticks]
    )
    written.set_title("written to the device", pad=3)
    written.tick_params(axis="x", labelrotation=45)
    _cpu(cpu, run, fixed)
    _left(left, run, fixed)
    _legend(figure, run, height)
    where = said(run, fixed)
    figure.text(0.985, 0.07 / height, where, ha="right", va="center", fontsize=5.5, color="#606060")
    footer(figure, run_footer(run))
    return figure


def _cpu(panel: Axes, run: Run, fixed: Labels) -> None:
    """CPU time by cost group, a bar per method, for the file whose size is nearest to 1 MiB."""
    size = min(run.axes[SIZE], key=lambda label: abs(parse_size("", label) - MIB))
    methods = run.axes[METHOD]
    for at, method in enumerate(methods):
        cells = cells_at(run, {**fixed, METHOD: method, SIZE: size})
        start = 0.0
        for group in GROUPS:
            ns = sum(call["ns"] for call in run.calls if call["cell"] in cells and call["group"] == group)
            width = ns / 1e3 / max(len(run.manifest["seeds"]), 1)
            if width:
                panel.barh(at, width, 0.62, left=start, color=GROUP_COLOURS[group])
                start += width
        panel.text(start, at, f" {start:,.0f}", va="center", fontsize=6.5)
    panel.set_yticks(range(len(methods)), methods)
    panel.set_ylim(len(methods) - 0.5, -0.5)
    panel.set_xlim(0, panel.get_xlim()[1] * 1.22)
    panel.set_title(f"CPU time, µs ({spaced(size)} file)", pad=3)
    panel.grid(axis="x")
    used = {call["group"] for call in run.calls}
    handles = [
        Line2D([], [], marker="s", linestyle="none", color=GROUP_COLOURS[g], label=_word(g))
        for g in GROUPS
        if g in used
    ]
    panel.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.4, -0.12),
        ncols=4,
        frameon=False,
        fontsize=5.5,
        handletextpad=0.1,
        columnspacing=0.7,
    )


def _word(group: str) -> str:
    return "journal, other" if group == "other" else GROUP_LABELS[group]


def _left(panel: Axes, run: Run, fixed: Labels) -> None:
    """What the image still tells: share of ciphertext left, whether keys are found, what is recovered."""
    methods, sizes = run.axes[METHOD], run.axes[SIZE]
    columns: tuple[tuple[str, Any], ...] = (
        ("wrapped\nkeys", lambda row: float(row["keys_left"] > 0)),
        ("cipher-\ntext", lambda row: float(row["blocks_left"] > 0)),
        ("plain-\ntext", lambda row: row["bytes_recovered"] / row["bytes_deleted"]),
    )
    for (at, method), (column, (_, value)) in product(enumerate(methods), enumerate(columns)):
        searched = [_searched(run, {**fixed, METHOD: method, SIZE: size}, value) for size in sizes]
        known = [share for share in searched if share is not None]
        share = max(known) if known else None
        word = "?" if share is None else "found" if share else "gone"
        colour = "#ffffff" if share is None else "#f3c9b4" if share else "#d4e8f4"
        panel.barh(at, 0.94, 0.84, left=column + 0.03, color=colour)
        panel.text(column + 0.5, at, word, ha="center", va="center", fontsize=6.5)
    panel.set_xticks([0.5, 1.5, 2.5], [name for name, _ in columns])
    panel.set_xlim(0, 3)
    panel.set_yticks(range(len(methods)), methods)
    panel.set_ylim(len(methods) - 0.5, -0.5)
    panel.set_title("in the whole image, any size", pad=3)
    panel.tick_params(length=0)
    panel.spines[["left", "bottom"]].set_visible(False)


def _searched(run: Run, fixed: Labels, value: Any) -> float | None:
    """Return a share of a cell, None if its image was not searched."""

    def known(row: Row) -> float:
        return -1.0 if row["blocks_left"] < 0 else value(row)

    share = mean(run, fixed, known)
    return share if share >= 0 else None


def _legend(figure: Figure, run: Run, height: float) -> None:
    handles = [Line2D([], [], label=method, **style) for method, style in _styles(run).items()]
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.05, 1 - 0.2 / height),
        ncols=len(handles),
        frameon=False,
        columnspacing=1.6,
        handletextpad=0.5,
    )
    figure.suptitle(run.manifest["title"], x=0.012, y=1 - 0.08 / height, ha="left", fontsize=8.5)
