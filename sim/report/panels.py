"""
What the figures share: which cells a panel shows, names of axes, legend of paths, footer, writing to files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sim.errors import ConfigError
from sim.experiment.results import Row, Run
from sim.experiment.trace import Trace, has_trace, load_trace
from sim.report.style import PATH_COLOURS, PATH_MARKERS
from sim.report.tables import short_axes

FORMATS = ("svg", "png")

_WORDS = {
    "encryption.scheme": "encryption",
    "machine.cpus": "cores",
    "volume.block_size": "blocks",
    "volume.files.layout": "layout",
    "workload.job.numjobs": "readers",
}
"""Axes that read better under another name; for the others the last part of the key will do."""

_PHRASES = {
    "device.profile": "{}",
    "device.read_ahead_kb": "readahead {} KiB",
    "encryption.scheme": "{}",
    "machine.cpus": "{} cores",
    "machine.kernel": "Linux {}",
    "volume.block_size": "{} blocks",
    "volume.files.layout": "{}",
    "volume.files.layout.extent_blocks": "extents of {} blocks",
    "volume.files.size": "files of {}",
    "workload.job": "{}",
    "workload.job.numjobs": "{} readers",
}
"""How a label of an axis is said; of the others, name and label."""

Labels = dict[str, str]
"""A label for each of some axes."""


def words(axes: Sequence[str]) -> dict[str, str]:
    """Return axis -> what it is called in a figure."""
    return {axis: _WORDS.get(axis, name.replace("_", " ")) for axis, name in short_axes(axes).items()}


def others(run: Run, used: Sequence[str]) -> list[Labels]:
    """Return all combinations of labels of the axes that are not `used`; one, empty, if none is left."""
    left = {axis: labels for axis, labels in run.axes.items() if axis not in used}
    return [dict(zip(left, labels, strict=True)) for labels in product(*left.values())]


def phrase(axes: Sequence[str], axis: str, label: str) -> str:
    """Return a label of an axis in words: "1 KiB blocks", "1 core", "not encrypted"."""
    if axis == "encryption.scheme" and label == "none":
        return "not encrypted"
    text = _PHRASES.get(axis, f"{words(axes)[axis]} {{}}").format(spaced(label))
    return text.removesuffix("s") if label == "1" else text


def spaced(label: str) -> str:
    """Return a size with a space before its unit: "1 KiB"; any other label as it is."""
    return re.sub(r"^([0-9]+)([KMGT]?i?B)$", r"\1 \2", label)


def said(run: Run, fixed: Mapping[str, str]) -> str:
    """Return what a panel's cells have in common, axes with one label left out."""
    axes = list(run.axes)
    return ", ".join(phrase(axes, axis, label) for axis, label in fixed.items() if len(run.axes[axis]) > 1)


def cells_at(run: Run, fixed: Mapping[str, str]) -> set[int]:
    """Return the numbers of the cells with these labels."""
    return {row["cell"] for row in run.metrics if all(row[axis] == label for axis, label in fixed.items())}


def mean(run: Run, fixed: Mapping[str, str], value: Callable[[Row], float]) -> float:
    """
    Return the mean of `value` over the seeds of the cell with these labels.

    Raises ConfigError if the run has no such cell.
    """
    rows = [row for row in run.metrics if all(row[axis] == label for axis, label in fixed.items())]
    if not rows:
        raise ConfigError(str(run.path), f"no cell {dict(fixed)}", "a whole run")
    return fmean(value(row) for row in rows)


def paths_of(run: Run) -> list[str]:
    """Return the paths that the matrix varies; none if it does not."""
    paths = run.axes.get("path", [])
    return paths if len(paths) > 1 else []


def traced_pages(
    run: Run, page: Callable[[Run, Trace, list[Labels]], Figure], panels_per_page: int
) -> list[Figure]:
    """Return pages of panels, one per combination of the axes but the path; nothing without a trace."""
    if not paths_of(run) or not has_trace(run.path):
        return []
    trace, panels = load_trace(run.path), others(run, ("path",))
    firsts = range(0, len(panels), panels_per_page)
    return [page(run, trace, panels[first : first + panels_per_page]) for first in firsts]


def path_legend(figure: Figure, paths: Sequence[str], height_inches: float, rows: int = 1) -> None:
    """Draw the legend of paths at the top, in `rows` lines, as `path_style` draws them."""
    handles = [Line2D([], [], label=path, **path_style(path)) for path in paths]
    figure.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, 1 - 0.04 / height_inches),
        ncols=-(-len(handles) // rows),
        frameon=False,
        columnspacing=1.6,
        handletextpad=0.5,
    )


def path_style(path: str) -> dict[str, Any]:
    """Return how the line of a path is drawn; hollow markers, so that equal ones both show."""
    return {
        "color": PATH_COLOURS[path],
        "marker": PATH_MARKERS[path],
        "markersize": 4,
        "markerfacecolor": "none",
        "markeredgewidth": 1.0,
        "linewidth": 1.0,
    }


def plain_logs(panel: Axes, axis: str, ticks: Sequence[float], labels: Sequence[str] | None = None) -> None:
    """Write the ticks of a log axis ("x" or "y") as plain numbers, and no others."""
    named = list(labels or (f"{tick:g}" for tick in ticks))
    if axis == "x":
        panel.set_xticks(list(ticks), named)
        panel.set_xticks([], minor=True)
    else:
        panel.set_yticks(list(ticks), named)
        panel.set_yticks([], minor=True)


def run_footer(run: Run) -> str:
    """Return where the numbers of a run come from: experiment, seeds, configuration, version."""
    manifest = run.manifest
    seeds = ", ".join(str(seed) for seed in manifest["seeds"])
    return (
        f"{manifest['experiment']}   seeds {seeds}   config {manifest['config_hash'][:12]}   "
        f"readpath {manifest['versions']['readpath']}"
    )


def footer(figure: Figure, text: str) -> None:
    """Write the small line at the foot."""
    figure.text(
        0.012,
        0.07 / figure.get_figheight(),
        text,
        ha="left",
        va="center",
        fontsize=5.5,
        color="#606060",
    )


def check_formats(formats: Sequence[str]) -> None:
    """Raise ConfigError for a format that is not in FORMATS."""
    for form in formats:
        if form not in FORMATS:
            raise ConfigError("--format", f"{form!r} is not known", ", ".join(FORMATS))


def save(figures: Sequence[Figure], name: str, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write the pages of a figure, without a date; return the files."""
    files = []
    for page, figure in enumerate(figures, start=1):
        for form in formats:
            path = folder / (f"{name}.{form}" if page == 1 else f"{name}_{page}.{form}")
            stamp = {"Date": None} if form == "svg" else {"Software": None}
            figure.savefig(path, format=form, metadata=stamp)
            files.append(path)
    return files
