"""
Published measurements beside the simulator: experiments/published/measured.toml says which cell stands for
which number; this runs the cells and compares.

A machine of somebody else's is ours times one factor on all CPU costs, and what a system call takes there
outside the file code. Both are found from two cells that the file names, one of large reads and one of small
ones, run at factor 1: time on a RAM disk is CPU time, so that it is factor x ours + system calls. These two
cells agree by construction, to the rounding of constants to picoseconds, and are shown as fitted; all else on
that machine is prediction. Without a small cell the system call costs what ours does. No other constant is
touched.

The null model answers 1 to every ratio: a prediction is worth something where it is nearer than that.

`simulated.json` beside it keeps what the simulator gave, so that a change of the model shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from sim.config.cell import Cell, Experiment
from sim.documents import read_json
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.experiment.runner import MakeImage, Progress, Watcher, distinct_volumes, volume_key
from sim.experiment.workers import workers
from sim.machine.run_cell import run_cell
from sim.records.published_file import FittedMachine, Labels, PublishedNumber, PublishedRow, parse
from sim.units import MIB, NS_PER_S

MEASURED, SIMULATED = "measured.toml", "simulated.json"
WITHIN = 0.1
"""The relative error that ratios aim at."""
DIGITS = 6
"""Significant digits of simulated values."""


@dataclass(frozen=True, slots=True)
class Compared:
    """
    A row beside the simulator. error: simulated over measured, less 1. fitted: the machine's factor was
    fitted on it, so it cannot err.
    """

    number: PublishedNumber
    row: PublishedRow
    measured: float
    simulated: float
    fitted: bool

    @property
    def key(self) -> str:
        """A name of its own."""
        return row_key(self.number, self.row)

    @property
    def error(self) -> float:
        """Relative error."""
        return self.simulated / self.measured - 1

    @property
    def null_error(self) -> float | None:
        """Relative error of the null model; None of a value that is no ratio."""
        return None if self.row.ratio is None else 1 / self.measured - 1


@dataclass(frozen=True, slots=True)
class Scale:
    """How a machine of ours stands for another: a factor on CPU costs, and ns more for a system call."""

    factor: float = 1.0
    syscall_ns: int = 0


@dataclass(frozen=True, slots=True)
class Score:
    """
    Predicted ratios only: how many there are, within 10 % by the simulator and by the null model, and nearer
    than the null model. median_error: None if there are none.
    """

    ratios: int
    within: int
    null_within: int
    nearer: int
    median_error: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows, the scale of each machine, and the numbers out of reach."""

    rows: tuple[Compared, ...]
    scales: dict[str, Scale]
    machines: tuple[FittedMachine, ...]
    beyond: tuple[PublishedNumber, ...]

    def values(self) -> dict[str, float]:
        """Return what simulated.json keeps: row -> simulated value, rounded."""
        scales: dict[str, float] = {}
        for name, scale in self.scales.items():
            scales[f"factor of {name}"] = _rounded(scale.factor)
            scales[f"system call of {name}, ns"] = scale.syscall_ns
        return scales | {row.key: row.simulated for row in self.rows}

    @property
    def score(self) -> Score:
        """Return how good the predictions of ratios are, against answering 1 to all."""
        predicted = [row for row in self.rows if row.row.ratio is not None and not row.fitted]
        errors = [abs(row.error) for row in predicted]
        nulls = [abs(row.null_error or 0.0) for row in predicted]
        return Score(
            len(predicted),
            sum(error <= WITHIN for error in errors),
            sum(error <= WITHIN for error in nulls),
            sum(abs(row.error) < null for row, null in zip(predicted, nulls, strict=True)),
            median(errors) if errors else None,
        )


def compare(
    folder: Path, make_image: MakeImage, jobs: int = 1, watch: Watcher = lambda _progress: None
) -> Comparison:
    """
    Run what measured.toml of `folder` asks for and return it beside what was measured.

    Raises ReadpathError for a file that cannot be used, a cell that is not there.
    """
    file = parse(folder / MEASURED)
    machines = {machine.name: machine for machine in file.machine}
    with workers(jobs) as each:
        runs = _Runs(folder, make_image, each, watch)
        ours = Scale()
        fits = [(machine, cell) for machine in file.machine for cell in _fitted_cells(machine)]
        runs.need([(machine.experiment, ours, cell) for machine, cell in fits])
        scales = {name: _fitted_scale(machine, runs) for name, machine in machines.items()}
        reached = [number for number in file.number if number.rows]
        wanted = []
        for number in reached:
            if number.machine and number.machine not in machines:
                raise ConfigError(f"{folder / MEASURED}: {number.id}", f"no machine {number.machine!r}")
            scale = scales.get(number.machine, ours)
            for row in number.rows:
                cells = [row.cell, row.cell | row.over] if row.over else [row.cell]
                wanted += [(number.experiment, scale, cell) for cell in cells]
        runs.need(wanted)
        rows = [_compared(number, row, runs, scales, machines) for number in reached for row in number.rows]
    return Comparison(
        tuple(rows), scales, file.machine, tuple(number for number in file.number if number.reason)
    )


def _compared(
    number: PublishedNumber,
    row: PublishedRow,
    runs: _Runs,
    scales: dict[str, Scale],
    machines: dict[str, FittedMachine],
) -> Compared:
    scale, metric = scales.get(number.machine, Scale()), row.metric or number.metric
    simulated = runs.value(number.experiment, scale, row.cell, metric)
    if row.ratio is not None:
        simulated /= runs.value(number.experiment, scale, row.cell | row.over, metric)
    return _beside(number, row, simulated, machines)


def _beside(
    number: PublishedNumber, row: PublishedRow, simulated: float, machines: dict[str, FittedMachine]
) -> Compared:
    measured = row.measured or 0.0
    if row.ratio is not None:
        measured = row.ratio[0] / row.ratio[1]
    machine = machines.get(number.machine)
    fitted = row.fitted or (
        machine is not None
        and row.ratio is None
        and machine.experiment == number.experiment
        and row.cell in _fitted_cells(machine)
    )
    return Compared(number, row, measured, _rounded(simulated), fitted)


def _fitted_cells(machine: FittedMachine) -> list[Labels]:
    """Return the cells that a machine is fitted on."""
    return [machine.cell, machine.small_cell] if machine.small_cell else [machine.cell]


def _fitted_scale(machine: FittedMachine, runs: _Runs) -> Scale:
    """Return the scale under which the machine's cells have their measured throughput."""
    ours = Scale()
    if machine.small_measured is None:
        return Scale(runs.value(machine.experiment, ours, machine.cell, machine.metric) / machine.measured)
    # Per MiB: factor x our time + calls x system call = their time, for the large reads and for the small.
    equations, times = [], []
    for cell, measured in (
        (machine.cell, machine.measured),
        (machine.small_cell, machine.small_measured),
    ):
        rate = runs.value(machine.experiment, ours, cell, machine.metric)
        calls = runs.value(machine.experiment, ours, cell, "reads")
        mib = runs.value(machine.experiment, ours, cell, "bytes_read") / MIB
        equations.append([1 / rate, calls / mib / NS_PER_S])
        times.append(1 / measured)
    try:
        factor, syscall_ns = np.linalg.solve(np.array(equations), np.array(times))
    except np.linalg.LinAlgError:
        problem = "cell and small_cell read alike"
        raise ConfigError(machine.name, problem, "large reads and small ones") from None
    if factor <= 0 or syscall_ns < 0:
        problem = f"factor {factor:.3g}, system call {syscall_ns:.0f} ns"
        raise ConfigError(machine.name, problem, "a factor above 0, a system call of 0 ns or more")
    return Scale(float(factor), round(float(syscall_ns)))


def kept(folder: Path) -> Comparison:
    """
    Return what `compare` would, of the values that simulated.json of `folder` keeps: nothing is run.

    No scales: those are of runs. Raises ConfigError for a file that cannot be used, or a row without a value.
    """
    file, values = parse(folder / MEASURED), read_simulated(folder)
    machines = {machine.name: machine for machine in file.machine}
    try:
        rows = [
            _beside(number, row, values[row_key(number, row)], machines)
            for number in file.number
            for row in number.rows
        ]
    except KeyError as error:
        missing = f"no value of {error.args[0]!r}"
        raise ConfigError(
            str(folder / SIMULATED), missing, "readpath validate --published --update"
        ) from None
    return Comparison(tuple(rows), {}, file.machine, tuple(number for number in file.number if number.reason))


def row_key(number: PublishedNumber, row: PublishedRow) -> str:
    """Return a row's name of its own."""
    return f"{number.id} {row.label}"


def read_simulated(folder: Path) -> dict[str, float]:
    """Return simulated.json of `folder`; raise ConfigError if it is not there or is none."""
    place, allowed = str(folder / SIMULATED), "readpath validate --published --update"
    values = read_json(Path(place), place, allowed)
    if not isinstance(values, dict) or not {type(value) for value in values.values()} <= {int, float}:
        raise ConfigError(place, "is no table of numbers", allowed)
    return values


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


Wanted = tuple[str, Scale, Labels]
"""A cell of an experiment at a scale."""


class _Runs:
    """Cells run so far, each once."""

    def __init__(self, folder: Path, make_image: MakeImage, each: Any, watch: Watcher) -> None:
        self._folder = folder
        self._make_image = make_image
        self._each = each
        self._watch = watch
        self._experiments: dict[tuple[str, Scale], Experiment] = {}
        self._metrics: dict[tuple[str, Scale, int], dict[str, Any]] = {}
        self._images: dict[str, Path | None] = {}

    def need(self, wanted: Sequence[Wanted]) -> None:
        """Run these cells, unless they ran before."""
        todo: dict[tuple[str, Scale, int], Cell] = {}
        for stem, scale, labels in wanted:
            cell = self._cell(stem, scale, labels)
            if (stem, scale, cell.index) not in self._metrics:
                todo[stem, scale, cell.index] = cell
        volumes = distinct_volumes(list(todo.values()))
        new = {key: cell for key, cell in volumes.items() if key not in self._images}
        made = self._each(self._make_image, [(cell,) for cell in new.values()])
        self._images.update(zip(new, made, strict=True))
        work = [(cell, self._images[volume_key(cell)], False) for cell in todo.values()]
        for done, (key, result) in enumerate(zip(todo, self._each(run_cell, work), strict=True), start=1):
            self._metrics[key] = result.metrics
            self._watch(Progress("cells", done, len(work), f"{key[0]} {todo[key].name}"))

    def value(self, stem: str, scale: Scale, labels: Labels, metric: str) -> float:
        """Return a metric of a cell that ran."""
        metrics = self._metrics[stem, scale, self._cell(stem, scale, labels).index]
        if metric not in metrics:
            raise ConfigError(str(self._folder / MEASURED), f"no metric {metric!r}", ", ".join(metrics))
        return float(metrics[metric])

    def _cell(self, stem: str, scale: Scale, labels: Labels) -> Cell:
        """Return the one cell with these labels; an axis may go by its last word."""
        if (stem, scale) not in self._experiments:
            sets = [f"machine.cost_scale={scale.factor!r}"] if scale.factor != 1 else []
            sets += [f"machine.syscall={scale.syscall_ns}ns"] if scale.syscall_ns else []
            self._experiments[stem, scale] = load_experiment(self._folder / f"{stem}.toml", sets)
        found = [
            cell
            for cell in self._experiments[stem, scale].cells
            if all(
                any(label == has and name in (axis, axis.rpartition(".")[2]) for axis, has in cell.labels)
                for name, label in labels.items()
            )
        ]
        if len(found) != 1:
            place = f"{self._folder / MEASURED}: {stem}"
            raise ConfigError(place, f"{labels} is {len(found)} cells of it", "labels of one cell")
        return found[0]
