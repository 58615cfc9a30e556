"""
A metric over many runs of one experiment: a line per read path, and the steps in it.

A line is the geometric mean over the cells that all runs have; the mean over its seeds is a cell's value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from statistics import fmean

from matplotlib.figure import Figure

from sim.documents import read_json
from sim.errors import ConfigError
from sim.experiment.results import Row, Run, load_run
from sim.report.steps import Step, steps
from sim.report.style import LINE_COLOURS, LINE_MARKERS, SMALL_POINTS, WIDTH_INCHES, path_looks


@dataclass(frozen=True, slots=True)
class Line:
    """One line: its label, a value per run, and its steps."""

    label: str
    values: tuple[float, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class History:
    """runs: what each is called, in order. cells: how many all runs have; left_out: how many some lack."""

    experiment: str
    metric: str
    axis: str
    runs: tuple[str, ...]
    folders: tuple[str, ...]
    lines: tuple[Line, ...]
    cells: int
    left_out: int


def runs_in(folder: Path, experiment: str) -> list[Run]:
    """
    Return the runs in a folder, of one experiment, in the order in which they were made.

    experiment: "" if there is only one. Raises ConfigError if there are several, or fewer than two runs.
    """
    found = [load_run(path.parent) for path in sorted(folder.glob("[!.]*/manifest.json"))]
    names = list(dict.fromkeys(str(run.manifest["experiment"]) for run in found))
    if experiment and experiment not in names:
        raise ConfigError("--experiment", f"{experiment!r} has no run in {folder}", ", ".join(names))
    if not experiment and len(names) > 1:
        raise ConfigError(
            str(folder), "has runs of several experiments", "--experiment " + " or ".join(names)
        )
    chosen = [run for run in found if not experiment or run.manifest["experiment"] == experiment]
    if len(chosen) < 2:
        raise ConfigError(str(folder), f"has {len(chosen)} runs", "two or more run directories")
    return sorted(chosen, key=_began)


def _began(run: Run) -> tuple[str, str]:
    """Return when a run was made, and its name; a run without its log comes first."""
    log_file = run.path / "run.log.json"
    started = (
        read_json(log_file, str(log_file), "what `readpath run` made")["started"]
        if log_file.is_file()
        else ""
    )
    return str(started), run.path.name


def history(runs: Sequence[Run], metric: str, threshold: float) -> History:
    """
    Return a metric over runs.

    Raises ConfigError if a run does not have it, or no cell is in all of them.
    """
    if threshold <= 1:
        raise ConfigError("--threshold", f"{threshold:g}", "more than 1, such as 1.05")
    axes = [axis for axis in runs[0].axes if all(axis in run.axes for run in runs)]
    by_run = [_values(run, axes, metric) for run in runs]
    common = [labels for labels in by_run[0] if all(labels in values for values in by_run)]
    if not common:
        raise ConfigError(
            "--metric", f"{metric!r}: no cell that all runs have has it", "a metric of all runs"
        )
    every = set().union(*by_run)
    axis = _compared(axes, common)
    at = axes.index(axis) if axis else -1
    names = list(dict.fromkeys(labels[at] for labels in common)) if axis else ["all cells"]
    lines = []
    for name in names:
        cells = [labels for labels in common if not axis or labels[at] == name]
        values = tuple(exp(fmean(log(values[labels]) for labels in cells)) for values in by_run)
        lines.append(Line(name, values, tuple(steps(values, threshold))))
    return History(
        str(runs[0].manifest["experiment"]),
        metric,
        axis,
        tuple(_called(run) for run in runs),
        tuple(run.path.name for run in runs),
        tuple(lines),
        len(common),
        len(every) - len(common),
    )


def _values(run: Run, axes: Sequence[str], metric: str) -> dict[tuple[str, ...], float]:
    """Return labels -> mean over all rows that have them; without what is 0 or less, or not there."""
    rows: dict[tuple[str, ...], list[Row]] = {}
    for row in run.metrics:
        rows.setdefault(tuple(row[axis] for axis in axes), []).append(row)
    found = {}
    for labels, same in rows.items():
        numbers = [row[metric] for row in same if isinstance(row.get(metric), int | float)]
        if numbers and min(numbers) > 0:
            found[labels] = fmean(numbers)
    return found


def _compared(axes: Sequence[str], common: Sequence[tuple[str, ...]]) -> str:
    """Return the axis that has a line per label: the path, or the last one with few labels."""
    few = [
        axis
        for at, axis in enumerate(axes)
        if 1 < len({labels[at] for labels in common}) <= len(LINE_COLOURS)
    ]
    return "path" if "path" in few else few[-1] if few else ""


def _called(run: Run) -> str:
    """Return what a run is called at the axis: its day and time, version and model."""
    versions = run.manifest["versions"]
    day, _, time = _began(run)[0].partition("T")
    words = [day, time[:5], f"{versions['readpath']} {str(versions.get('model', ''))[:7]}"]
    return "\n".join(word for word in words if word)


def history_figure(found: History) -> Figure:
    """Return the figure: a line per label, a mark and a ratio at each step."""
    figure = Figure(figsize=(WIDTH_INCHES, 3.6), layout="constrained")
    panel = figure.add_subplot()
    labels = [line.label for line in found.lines]
    looks = (
        path_looks(labels) if found.axis == "path" else list(zip(LINE_COLOURS, LINE_MARKERS, strict=False))
    )
    for line, (colour, marker) in zip(found.lines, looks, strict=False):
        panel.plot(
            range(len(line.values)), line.values, color=colour, marker=marker, ms=4, lw=1, label=line.label
        )
        for step in line.steps:
            panel.plot([step.at - 0.5] * 2, [step.before, step.after], color=colour, lw=2.5, alpha=0.6)
            panel.annotate(
                f"{step.ratio:.2f} x",
                (step.at - 0.5, (step.before * step.after) ** 0.5),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=SMALL_POINTS,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
            )
    panel.set_xticks(range(len(found.runs)), found.runs, fontsize=SMALL_POINTS)
    panel.set_xlim(-0.5, len(found.runs) - 0.5)
    panel.set_ylim(0, 1.12 * max(max(line.values) for line in found.lines))
    panel.set_ylabel(found.metric)
    panel.grid(axis="y")
    left_out = f", {found.left_out} that some runs lack are left out" if found.left_out else ""
    panel.set_title(f"{found.experiment}: {found.metric}, geometric mean of {found.cells} cells{left_out}")
    if len(found.lines) > 1 or found.axis:
        panel.legend(frameon=False, ncols=min(len(found.lines), 4))
    return figure
