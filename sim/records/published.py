"""
Published measurements beside the simulator: experiments/published/measured.toml says which cell stands for
which number; this runs the cells and compares.

A machine of somebody else's is ours times one factor on all CPU costs, found by running one cell, named in
the file, at factor 1: time on a RAM disk is CPU time, so throughput goes with 1/factor. That cell agrees by
construction and is shown as fitted; all else on that machine is prediction. No other constant is touched.

`simulated.json` beside it keeps what the simulator gave, so that a change of the model shows.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from sim.config.cell import Cell, Experiment
from sim.config.table import Model, custom
from sim.errors import ConfigError
from sim.experiment.error_lines import from_validation
from sim.experiment.loading import load_experiment
from sim.experiment.runner import MakeImage, Progress, Watcher, distinct_volumes, volume_key, workers
from sim.machine.run_cell import run_cell

MEASURED, SIMULATED = "measured.toml", "simulated.json"
DIGITS = 6
"""Significant digits of simulated values."""

Labels = dict[str, str]
Figure = Annotated[float, Field(strict=False, gt=0, allow_inf_nan=False)]


class FittedMachine(Model):
    """A machine that ours stands for, by one factor fitted on one cell; see the module."""

    name: str
    experiment: str
    cell: Labels
    metric: str
    measured: Figure
    about: str


class PublishedRow(Model):
    """One measured value, or the ratio of two: after, before. over: labels of the cell to divide by."""

    label: str
    cell: Labels
    over: Labels = Field(default_factory=dict)
    metric: str = ""
    measured: Figure | None = None
    ratio: Annotated[tuple[Figure, Figure], Field(strict=False)] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.measured is None) == (self.ratio is None) or bool(self.over) != (self.ratio is not None):
            raise custom("a row is a value or a ratio", "measured, or ratio with over")
        return self


class PublishedNumber(Model):
    """A published measurement; reason: why it is out of reach, if it is."""

    id: str
    what: str
    source: str
    experiment: str = ""
    machine: str = ""
    metric: str = ""
    unit: str = ""
    stands_for: str = ""
    reason: str = ""
    rows: tuple[PublishedRow, ...] = Field(default=(), strict=False)

    @model_validator(mode="after")
    def _reached_or_not(self) -> Self:
        if bool(self.rows) == bool(self.reason) or bool(self.rows) != bool(self.experiment):
            raise custom(f"{self.id} has rows, or a reason why not", "rows with experiment, or reason")
        return self


class _File(Model):
    machine: tuple[FittedMachine, ...] = Field(default=(), strict=False)
    number: tuple[PublishedNumber, ...] = Field(strict=False, min_length=1)


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
        return f"{self.number.id} {self.row.label}"

    @property
    def error(self) -> float:
        """Relative error."""
        return self.simulated / self.measured - 1


@dataclass(frozen=True, slots=True)
class Comparison:
    """All rows, the factor of each machine, and the numbers out of reach."""

    rows: tuple[Compared, ...]
    factors: dict[str, float]
    machines: tuple[FittedMachine, ...]
    beyond: tuple[PublishedNumber, ...]

    def values(self) -> dict[str, float]:
        """Return what simulated.json keeps: row -> simulated value, rounded."""
        factors = {f"factor of {name}": _rounded(factor) for name, factor in self.factors.items()}
        return factors | {row.key: _rounded(row.simulated) for row in self.rows}


def compare(
    folder: Path, make_image: MakeImage, jobs: int = 1, watch: Watcher = lambda _progress: None
) -> Comparison:
    """
    Run what measured.toml of `folder` asks for and return it beside what was measured.

    Raises ReadpathError for a file that cannot be used, a cell that is not there.
    """
    file = _parse(folder / MEASURED)
    machines = {machine.name: machine for machine in file.machine}
    with workers(jobs) as each:
        runs = _Runs(folder, make_image, each, watch)
        runs.need([(machine.experiment, 1.0, machine.cell) for machine in file.machine])
        factors = {
            name: runs.value(machine.experiment, 1.0, machine.cell, machine.metric) / machine.measured
            for name, machine in machines.items()
        }
        reached = [number for number in file.number if number.rows]
        wanted = []
        for number in reached:
            if number.machine and number.machine not in machines:
                raise ConfigError(f"{folder / MEASURED}: {number.id}", f"no machine {number.machine!r}")
            factor = factors.get(number.machine, 1.0)
            for row in number.rows:
                cells = [row.cell, row.cell | row.over] if row.over else [row.cell]
                wanted += [(number.experiment, factor, cell) for cell in cells]
        runs.need(wanted)
        rows = [_compared(number, row, runs, factors, machines) for number in reached for row in number.rows]
    return Comparison(
        tuple(rows), factors, file.machine, tuple(number for number in file.number if number.reason)
    )


def _compared(
    number: PublishedNumber,
    row: PublishedRow,
    runs: _Runs,
    factors: dict[str, float],
    machines: dict[str, FittedMachine],
) -> Compared:
    factor, metric = factors.get(number.machine, 1.0), row.metric or number.metric
    simulated = runs.value(number.experiment, factor, row.cell, metric)
    measured = row.measured or 0.0
    if row.ratio is not None:
        simulated /= runs.value(number.experiment, factor, row.cell | row.over, metric)
        measured = row.ratio[0] / row.ratio[1]
    machine = machines.get(number.machine)
    fitted = (
        machine is not None
        and row.ratio is None
        and (machine.experiment, machine.cell) == (number.experiment, row.cell)
    )
    return Compared(number, row, measured, simulated, fitted)


def read_simulated(folder: Path) -> dict[str, float]:
    """Return simulated.json of `folder`; raise ConfigError if it is not there or is none."""
    path = folder / SIMULATED
    try:
        values: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            str(path), f"cannot be read ({error})", "readpath validate --published --update"
        ) from None
    return values


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _parse(path: Path) -> _File:
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        return _File.model_validate(raw)
    except ValidationError as error:
        raise from_validation(error, _File, raw, str(path)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(str(path), f"cannot be read ({error})", "experiments/published") from None


Wanted = tuple[str, float, Labels]
"""A cell of an experiment at a factor on all CPU costs."""


class _Runs:
    """Cells run so far, each once."""

    def __init__(self, folder: Path, make_image: MakeImage, each: Any, watch: Watcher) -> None:
        self._folder = folder
        self._make_image = make_image
        self._each = each
        self._watch = watch
        self._experiments: dict[tuple[str, float], Experiment] = {}
        self._metrics: dict[tuple[str, float, int], dict[str, Any]] = {}
        self._images: dict[str, Path | None] = {}

    def need(self, wanted: Sequence[Wanted]) -> None:
        """Run these cells, unless they ran before."""
        todo: dict[tuple[str, float, int], Cell] = {}
        for stem, factor, labels in wanted:
            cell = self._cell(stem, factor, labels)
            if (stem, factor, cell.index) not in self._metrics:
                todo[stem, factor, cell.index] = cell
        volumes = distinct_volumes(list(todo.values()))
        new = {key: cell for key, cell in volumes.items() if key not in self._images}
        made = self._each(self._make_image, [(cell,) for cell in new.values()])
        self._images.update(zip(new, made, strict=True))
        work = [(cell, self._images[volume_key(cell)], False) for cell in todo.values()]
        for done, (key, result) in enumerate(zip(todo, self._each(run_cell, work), strict=True), start=1):
            self._metrics[key] = result.metrics
            self._watch(Progress("cells", done, len(work), f"{key[0]} {todo[key].name}"))

    def value(self, stem: str, factor: float, labels: Labels, metric: str) -> float:
        """Return a metric of a cell that ran."""
        metrics = self._metrics[stem, factor, self._cell(stem, factor, labels).index]
        if metric not in metrics:
            raise ConfigError(str(self._folder / MEASURED), f"no metric {metric!r}", ", ".join(metrics))
        return float(metrics[metric])

    def _cell(self, stem: str, factor: float, labels: Labels) -> Cell:
        """Return the one cell with these labels; an axis may go by its last word."""
        if (stem, factor) not in self._experiments:
            sets = [f"machine.cost_scale={factor!r}"] if factor != 1 else []
            self._experiments[stem, factor] = load_experiment(self._folder / f"{stem}.toml", sets)
        found = [
            cell
            for cell in self._experiments[stem, factor].cells
            if all(
                any(label == has and name in (axis, axis.rpartition(".")[2]) for axis, has in cell.labels)
                for name, label in labels.items()
            )
        ]
        if len(found) != 1:
            place = f"{self._folder / MEASURED}: {stem}"
            raise ConfigError(place, f"{labels} is {len(found)} cells of it", "labels of one cell")
        return found[0]
