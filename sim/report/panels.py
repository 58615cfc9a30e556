"""
What the figures share: which cells a panel shows, how axes and lines are called and drawn, writing to files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import cycle, groupby, product
from pathlib import Path
from statistics import fmean
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sim.config.cell_result import GROUPS
from sim.errors import ConfigError
from sim.experiment.results import Row, Run
from sim.report.measure import BEHIND, POINTS_PER_INCH, number
from sim.report.style import (
    GROUP_COLOURS,
    GROUP_LABELS,
    LINE_COLOURS,
    LINE_MARKERS,
    TICK_POINTS,
    path_looks,
    path_word,
)
from sim.report.tables import short_axes

FORMATS = ("svg", "png")

_WORDS = {
    "encryption.scheme": "encryption",
    "machine.cpus": "cores",
    "volume.block_size": "blocks",
    "volume.files.layout": "layout",
    "workload.browser_cache.shared": "shared cache",
    "workload.job.numjobs": "readers",
}
"""Axes that read better under another name; for the others the last part of the key will do."""

_PHRASES = {
    "faults": "{}",
    "scheme": "{}",
    "device.profile": "{}",
    "device.read_ahead_kb": "readahead {} KiB",
    "encryption": "{}",
    "encryption.scheme": "{}",
    "machine.cpus": "{} cores",
    "machine.kernel": "Linux {}",
    "machine.profile": "{}",
    "path": "{}",
    "volume.block_size": "{} blocks",
    "volume.files": "{}",
    "volume.files.layout": "{}",
    "volume.files.layout.extent_blocks": "extents of {} blocks",
    "volume.files.size": "files of {}",
    "workload": "{}",
    "workload.browser_cache.shared": "{} cache",
    "checksums": "{}",
    "integrity": "{}",
    "checksums.algorithm": "{}",
    "workload.job": "{}",
    "workload.job.numjobs": "{} readers",
    "workload.secure_delete": "{}",
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
    if axis in ("encryption", "encryption.scheme") and label == "none":
        return "not encrypted"
    if label in ("true", "false"):
        return words(axes)[axis] if label == "true" else f"no {words(axes)[axis]}"
    text = _PHRASES.get(axis, f"{words(axes)[axis]} {{}}").format(spaced(label))
    return text.removesuffix("s") if label == "1" else text


def spaced(label: str) -> str:
    """Return a size with a space before its unit: "1 KiB"; a path as path_word(); others as they are."""
    return re.sub(r"^([0-9]+)([KMGT]?i?B)$", r"\1 \2", path_word(label))


def said(run: Run, fixed: Mapping[str, str]) -> str:
    """Return what a panel's cells have in common, axes with one label left out."""
    axes = list(run.axes)
    return ", ".join(phrase(axes, axis, label) for axis, label in fixed.items() if len(run.axes[axis]) > 1)


def cells_at(run: Run, fixed: Mapping[str, str]) -> set[int]:
    """Return the numbers of the cells with these labels."""
    return {row["cell"] for row in run.rows_at(fixed)}


def mean(run: Run, fixed: Mapping[str, str], value: Callable[[Row], float]) -> float:
    """
    Return the mean of `value` over the seeds of the cell with these labels.

    Raises ConfigError if the run has no such cell.
    """
    rows = run.rows_at(fixed)
    if not rows:
        raise ConfigError(str(run.path), f"no cell {dict(fixed)}", "a whole run")
    return fmean(value(row) for row in rows)


def paths_of(run: Run) -> list[str]:
    """Return the paths that the matrix varies; none if it does not."""
    paths = run.axes.get("path", [])
    return paths if len(paths) > 1 else []


def only_path(run: Run) -> str:
    """Return the path of a run whose matrix does not vary it."""
    said = run.manifest["cells"][0]["config"]["path"]
    return said if isinstance(said, str) else f"{said['file']}:{said['name']}"


def group_patches(groups: Collection[str], **called: str) -> tuple[Patch, ...]:
    """Return legend entries of those cost groups, in the order of the bars; called: other names for some."""
    labels = GROUP_LABELS | called
    return tuple(
        Patch(color=GROUP_COLOURS[group], label=labels[group]) for group in GROUPS if group in groups
    )


def styles(axis: str | None, labels: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return how the line of each label of an axis is drawn; hollow markers, so that equal ones both show."""
    if axis in (None, "path"):
        looks = path_looks(labels)
    else:
        each = zip(cycle(LINE_COLOURS), cycle(LINE_MARKERS), strict=False)
        looks = [next(each) for _ in labels]
    return {
        label: {
            "color": colour,
            "marker": marker,
            "markersize": 4,
            "markerfacecolor": "none",
            "markeredgewidth": 1.0,
            "linewidth": 1.0,
        }
        for label, (colour, marker) in zip(labels, looks, strict=True)
    }


def line_entries(looks: Mapping[str, Mapping[str, Any]]) -> tuple[Line2D, ...]:
    """Return legend entries of `styles`."""
    return tuple(Line2D([], [], label=path_word(label), **look) for label, look in looks.items())


def number_behind(panel: Axes, end: float, place: float, value: float, text: str | None = None) -> None:
    """Write a value, or a text, behind the horizontal bar at `place` that ends at `end`."""
    panel.annotate(
        number(value) if text is None else text,
        (end, place),
        xytext=(BEHIND * POINTS_PER_INCH, 0),
        textcoords="offset points",
        va="center",
        fontsize=TICK_POINTS,
        color="#303030",
    )


def run_footer(run: Run) -> str:
    """Return where the numbers of a run come from: experiment, seeds, configuration, version."""
    manifest = run.manifest
    return (
        f"{manifest['experiment']}   seeds {_ranges(manifest['seeds'])}   "
        f"config {manifest['config_hash'][:12]}   readpath {manifest['versions']['readpath']}"
    )


def _ranges(seeds: Sequence[int]) -> str:
    """Return numbers as "0 to 9, 256"."""
    runs = [[seed for _, seed in some] for _, some in groupby(enumerate(seeds), lambda one: one[1] - one[0])]
    return ", ".join(
        f"{some[0]} to {some[-1]}" if len(some) > 2 else ", ".join(map(str, some)) for some in runs
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
