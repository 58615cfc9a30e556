"""
Claims held against a run: values per cell and seed, and the verdict they come to.

A claim is decided cell by cell, and holds if it holds on every cell selected *and* does what it says it does
elsewhere. One cell that fails is enough to fail it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sim.claims.beside import Beside, beside
from sim.claims.claims import Claim, Measure, Selection
from sim.claims.intervals import Interval, Verdict, judge
from sim.errors import ConfigError
from sim.experiment.results import Row, Run
from sim.units import PAGE_BYTES


@dataclass(frozen=True, slots=True)
class Point:
    """A claim on one cell: its labels, a value per seed, their interval and what it says."""

    labels: tuple[str, ...]
    values: tuple[float, ...]
    interval: Interval
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Part:
    """
    A claim on one selection. expect: what each point should come to. because: why, if not "held".

    missing: why there is no point (more seeds needed, no such cell in this run); empty if there are.
    """

    of: Selection
    expect: Verdict
    because: str
    points: tuple[Point, ...]
    missing: str = ""

    @property
    def verdict(self) -> Verdict:
        """Whether the selection does what is expected of it: held, failed or cannot tell."""
        said = {point.verdict for point in self.points}
        if said - {self.expect, "cannot tell"}:
            return "failed"
        return "held" if said == {self.expect} and not self.missing else "cannot tell"


@dataclass(frozen=True, slots=True)
class Finding:
    """
    A claim and what became of it.

    notes: one line each, for whoever reads the verdict. recorded: what a kernel says, if the claim names it.
    """

    claim: Claim
    verdict: Verdict
    parts: tuple[Part, ...]
    notes: tuple[str, ...] = field(default=())
    recorded: Beside | None = None

    @property
    def worst(self) -> Point | None:
        """The point of the claim's own cells that is nearest to failing; None if there is none."""
        points = self.parts[0].points
        return max(points, key=self._closeness, default=None)

    def _closeness(self, point: Point) -> tuple[bool, float]:
        kind, margin, ends = self.claim.kind, self.claim.margin, point.interval
        near = {
            "at least": -ends.low,
            "at most": ends.high,
            "equal": max(abs(value - margin) for value in point.values),
            "equivalent": max(ends.high - 1, 1 - ends.low),
        }
        return point.verdict == "failed", near[kind]


class Cells:
    """A run, ready to be measured: rows by labels and seed, calls by cell and seed."""

    def __init__(self, run: Run) -> None:
        self.place = str(run.path)
        self.lacking = run.missing
        self.axes = run.axes
        last = [axis.rpartition(".")[2] for axis in self.axes]
        self._short = {axis: axis for axis in self.axes} | {
            name: axis for axis, name in zip(self.axes, last, strict=True) if last.count(name) == 1
        }
        self.rows = {(self.labels(row), row["seed"]): row for row in run.metrics}
        self.seeds: list[int] = list(run.manifest["seeds"])
        self._block_bytes = {
            cell["cell"]: cell["config"]["volume"]["block_size_bytes"] for cell in run.manifest["cells"]
        }
        self._chance = {cell["cell"]: _has_chance(cell["config"]) for cell in run.manifest["cells"]}
        self._calls: dict[tuple[int, int], list[Row]] = {}
        for call in run.calls:
            self._calls.setdefault((call["cell"], call["seed"]), []).append(call)
        self.symbols = {call["symbol"] for call in run.calls}

    def labels(self, row: Row) -> tuple[str, ...]:
        """Return a row's labels in the order of the axes."""
        return tuple(row[axis] for axis in self.axes)

    def axis(self, name: str, claim: Claim) -> int:
        """Return the position of an axis, by its key or its last word; raise ConfigError if there is none."""
        if name not in self._short:
            place = f"claim {claim.name}"
            raise ConfigError(place, f"{self.place} has no axis {name!r}", ", ".join(self.axes))
        return list(self.axes).index(self._short[name])

    def select(self, of: Selection, claim: Claim) -> list[tuple[str, ...]]:
        """Return the labels of the cells that `of` selects, in matrix order."""
        wanted = {self.axis(name, claim): labels for name, labels in of.items()}
        cells = dict.fromkeys(labels for labels, _ in self.rows)
        return [cell for cell in cells if all(cell[at] in labels for at, labels in wanted.items())]

    def absent(self, of: Selection, claim: Claim) -> list[str]:
        """Return, in words, the labels of a selection that this run does not have."""
        there = list(self.axes.values())
        return [
            f"{name} is never {label!r} in this run"
            for name, labels in of.items()
            for label in labels
            if label not in there[self.axis(name, claim)]
        ]

    def has_chance(self, labels: tuple[str, ...]) -> bool:
        """Return whether a cell's times depend on its seed: its reads or its users are random."""
        return self._chance[self.rows[labels, self.seeds[0]]["cell"]]

    def value(self, measure: Measure, labels: tuple[str, ...], seed: int) -> float:
        """Return a measure of one cell and seed."""
        row = self.rows[labels, seed]
        if measure.metric is not None:
            if row.get(measure.metric) is None:
                raise ConfigError(self.place, f"has no metric {measure.metric!r}", "a run of this readpath")
            amount = row[measure.metric]
        else:
            amount = sum(_taken(measure, call) for call in self._calls[row["cell"], seed])
        if measure.per == "run":
            return float(amount)
        divisor = self._divisor(measure, row)
        if not divisor:
            problem = f"cell {row['cell']} read no {measure.per} to divide by"
            raise ConfigError(self.place, problem, "a cold cache, or a measure per run")
        return float(amount / divisor)

    def _divisor(self, measure: Measure, row: Row) -> Any:
        if measure.per == "page":
            return row["pages_read"]
        if measure.per == "bio":
            return row["bios"]
        if measure.per == "4KiB":
            return row["bytes_read"] / PAGE_BYTES
        block_bytes = self._block_bytes[row["cell"]]
        if block_bytes is None:
            raise ConfigError(self.place, "reads a given image: its block size is not known", "per page")
        return row["pages_read"] * PAGE_BYTES // block_bytes


def _has_chance(config: dict[str, Any]) -> bool:
    """Return whether anything in a cell's configuration is drawn at random, run by run."""
    workload = config["workload"]
    if workload.get("browser_cache"):
        return True
    return any(
        "rand" in job["rw"] or job["bs_split"] or job["bs_range_bytes"] for job in workload.get("jobs") or ()
    )


def _taken(measure: Measure, call: Row) -> int:
    """Return what one row of calls adds to a measure."""
    if measure.calls is not None:
        return int(call["calls"]) if call["symbol"] in measure.calls else 0
    if measure.ns is not None:
        return int(call["ns"]) if call["symbol"] in measure.ns else 0
    return int(call["ns"]) if call["group"] in (measure.groups or ()) else 0


LEAST_SEEDS = 5
"""Runs that a claim about times needs where chance is at work."""


def evaluate(claim: Claim, cells: Cells) -> Finding:
    """
    Return what a run says about a claim: held, failed or cannot tell.

    Raises ConfigError for an axis the run does not have.
    """
    parts = [_part(claim, cells, claim.of, claim.expect, claim.learnt)]
    parts += [_part(claim, cells, claim.of | at.of, at.expect, at.because) for at in claim.elsewhere]
    found = beside(claim, [value for point in parts[0].points for value in point.values])
    verdicts = [part.verdict for part in parts] + ([] if found is None else [found.verdict])
    verdict: Verdict = "held"
    if "failed" in verdicts:
        verdict = "failed"
    elif "cannot tell" in verdicts:
        verdict = "cannot tell"
    if verdict == "held" and claim.definition:
        verdict = "definition"
    if verdict == "held" and claim.expect == "failed":
        verdict = "refuted"
    notes = [part.missing for part in parts if part.missing]
    notes += [_contrary(part) for part in parts[claim.expect == "held" :] if part.verdict == "failed"]
    notes += [] if found is None else [found.note]
    return Finding(claim, verdict, tuple(parts), tuple(dict.fromkeys(notes)), found)


def _contrary(part: Part) -> str:
    labels = next(point.labels for point in part.points if point.verdict not in (part.expect, "cannot tell"))
    return f"at {', '.join(labels)} it should be {part.expect} ({part.because}), and is not"


def _part(claim: Claim, cells: Cells, of: Selection, expect: Verdict, because: str) -> Part:
    unusable = _unusable(claim, cells)
    missing = [*(() if cells.lacking else cells.absent(of, claim)), *unusable]
    points: list[Point] = []
    for labels in [] if unusable else cells.select(of, claim):
        partner = _partner(claim, cells, labels)
        if (partner, cells.seeds[0]) not in cells.rows:
            missing.append(f"this run has no {', '.join(partner)} to compare with")
            continue
        if not claim.measure.counts and len(cells.seeds) < LEAST_SEEDS and cells.has_chance(labels):
            few = f"{len(cells.seeds)} seeds are less than {LEAST_SEEDS}"
            missing.append(f"{', '.join(labels)} has chance in it: {few}")
            continue
        pairs = [_fraction(claim, cells, labels, partner, seed) for seed in cells.seeds]
        if any(below == 0 for _, below in pairs):
            missing.append(f"at {', '.join(labels)} there is nothing to divide by")
            continue
        values = tuple(above / below for above, below in pairs)
        verdict, over_seeds = judge(claim.kind, claim.margin, values)
        points.append(Point(labels, values, over_seeds, verdict))
    return Part(of, expect, because, tuple(points), "; ".join(dict.fromkeys(missing)))


def _unusable(claim: Claim, cells: Cells) -> Sequence[str]:
    if cells.lacking:
        return [f"{cells.lacking} cells of this run have no result"]
    if len(cells.seeds) < claim.seeds:
        return [f"{len(cells.seeds)} seeds; this claim needs {claim.seeds}"]
    named = [symbol for part in (claim.measure, claim.by) if part for symbol in part.calls or part.ns or ()]
    return [f"this run never calls {symbol}" for symbol in named if symbol not in cells.symbols]


def _partner(claim: Claim, cells: Cells, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Return the labels of the cell to compare with: its own, but for what over or less change."""
    changed = list(labels)
    for name, label in (claim.over or claim.less).items():
        changed[cells.axis(name, claim)] = label
    return tuple(changed)


def _fraction(
    claim: Claim, cells: Cells, labels: tuple[str, ...], partner: tuple[str, ...], seed: int
) -> tuple[float, float]:
    """Return what is divided and by what, for one cell and seed; (value, 1) for a claim that is no ratio."""
    above = cells.value(claim.measure, labels, seed)
    below = claim.by or claim.measure
    if claim.less:
        whole = cells.value(below, labels, seed) - cells.value(below, partner, seed)
        return above - cells.value(claim.measure, partner, seed), whole
    if claim.over or claim.by:
        return above, cells.value(below, partner, seed)
    return above, 1.0
