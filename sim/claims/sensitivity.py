"""
Which constants a claim hangs on: each moved to the ends of its interval, the claim evaluated again.

A claim on counts hangs on none. What is CPU time is calls times constants, so a run need not be repeated to
know it at other constants, as long as the calls stay the same; then the computed value is the run's, to the
integer. Timing can change a few: a page that came just before its reader instead of just after saves it a
wait and a look-up. So every cell is also run with all constants at their lower, and with all at their upper
ends, and compared with what is computed for these: `Study.error` is the largest relative difference of CPU
time. Beyond CLOSE, and for a claim on elapsed time, latency or throughput, every change is a run. Data is
off: it changes no count and no time.

A verdict is that of the whole claim, what it says of other cells (`elsewhere`) included: at the end that is
good for a claim it may fail too, for holding where it says it does not.

Left out: constants that were split from one measurement err in opposite directions, here each is moved alone;
then all at once, each to its worse end, which is more than can be true.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from sim.claims.claims import Claim, Measure
from sim.claims.constants import (
    ENDS,
    Change,
    Constant,
    Tally,
    constants_of,
    moved_costs,
    repriced,
    same_calls,
    tally,
)
from sim.claims.intervals import Verdict
from sim.claims.verdicts import Cells, Finding, Point, evaluate
from sim.config.cell import Experiment
from sim.config.cell_result import CellResult
from sim.engine.costs import CostTable, load_costs
from sim.errors import ConfigError
from sim.experiment.results import Run, run_of
from sim.experiment.runner import MakeImage, Progress, Watcher, distinct_volumes, volume_key
from sim.experiment.workers import workers

How = Literal["counts", "computed", "run"]

CLOSE = 1e-3
"""Relative error of CPU time up to which it is computed and not run."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A claim under some constants: its value on the cell looked at (None: no such value), its verdict."""

    value: float | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Effect:
    """What one constant does to a claim, at its lower and its upper end."""

    constant: Constant
    low: Outcome
    high: Outcome

    @property
    def swing(self) -> float:
        """How far the claim's value moves from one end to the other."""
        if self.low.value is None or self.high.value is None:
            return 0.0
        return abs(self.high.value - self.low.value)


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """
    A claim and what it hangs on.

    how: "counts" (it hangs on no constant), "computed" from calls, or every change "run". at: the labels of
    the cell looked at, the one nearest to failing. effects: largest swing first. lowest, highest: with every
    constant at the end that lowers, or raises, the value.
    """

    claim: Claim
    how: How
    at: tuple[str, ...]
    base: Outcome
    effects: tuple[Effect, ...]
    lowest: Outcome
    highest: Outcome

    @property
    def turning(self) -> list[Effect]:
        """The constants of which one end changes the verdict."""
        return [e for e in self.effects if {e.low.verdict, e.high.verdict} != {self.base.verdict}]

    @property
    def robust(self) -> bool:
        """Whether no end of any one constant, nor all at their worse ends, changes the verdict."""
        return not self.turning and {self.lowest.verdict, self.highest.verdict} == {self.base.verdict}


def chosen(claims: Sequence[Claim], names: Sequence[str]) -> list[Claim]:
    """
    Return the claims of these names, all if there are none; without those on the bytes read, which no
    constant can change. Raises ConfigError for a name that is not among them.
    """
    claims = [claim for claim in claims if claim.measure.metric != "digest_ok"]
    known = [claim.name for claim in claims]
    for name in names:
        if name not in known:
            raise ConfigError("--claim", f"{name!r} is no claim of this experiment", ", ".join(known))
    return [claim for claim in claims if claim.name in names or not names]


@dataclass(frozen=True, slots=True)
class Study:
    """
    What the claims of an experiment hang on.

    error: the largest relative difference, over the cells with all constants at one end, between CPU time
    computed and run. unequal: how many of these `runs` charged other calls than with the constants as given.
    """

    claims: tuple[Sensitivity, ...]
    error: float
    unequal: int
    runs: int


def sensitivity(
    experiment: Experiment,
    claims: Sequence[Claim],
    make_image: MakeImage,
    jobs: int = 1,
    watch: Watcher = lambda _progress: None,
) -> Study:
    """
    Return what each claim hangs on, in the order of `claims`.

    experiment: loaded with data = "off". Raises ReadpathError as running its cells does.
    """
    return _Runs(experiment, claims, watch).done(make_image, jobs)


class _Runs:
    """One experiment under its claims."""

    def __init__(self, experiment: Experiment, claims: Sequence[Claim], watch: Watcher) -> None:
        self._experiment = experiment
        self._cells = list(experiment.cells)
        self._claims = list(claims)
        self._watch = watch
        self._base: list[Tally] = []
        self._tables: dict[str, CostTable] = {}

    def done(self, make_image: MakeImage, jobs: int) -> Study:
        """Run what has to be run, compute the rest."""
        with workers(jobs) as each:
            volumes = distinct_volumes(self._cells)
            made = each(make_image, [(cell,) for cell in volumes.values()])
            images = dict(zip(volumes, made, strict=True))

            def run(changes: Sequence[Change]) -> list[list[Tally]]:
                """Run all cells under each of the changes."""
                work = [
                    (cell, images[volume_key(cell)], change) for change in changes for cell in self._cells
                ]
                ran: list[Tally] = []
                for one in each(tally, work):
                    ran.append(one)
                    self._watch(Progress("runs", len(ran), len(work), work[len(ran) - 1][0].name))
                return [ran[at : at + len(self._cells)] for at in range(0, len(ran), len(self._cells))]

            self._base = run([{}])[0]
            constants = constants_of(zip(self._cells, self._base, strict=True))
            corners = run([dict.fromkeys(constants, end) for end in ENDS])
            unequal, error = 0, 0.0
            for end, ran in zip(ENDS, corners, strict=True):
                computed = self._computed(dict.fromkeys(constants, end))
                for base, corner, result in zip(self._base, ran, computed, strict=True):
                    unequal += not same_calls(base, corner)
                    error = max(error, abs(_cpu_ns(result) / _cpu_ns(corner.result) - 1))
            found = self._evaluated(constants, error <= CLOSE, run)
            return Study(tuple(found), error, unequal, len(ENDS) * len(self._cells))

    def _evaluated(
        self, constants: list[Constant], close: bool, run: Callable[[Sequence[Change]], list[list[Tally]]]
    ) -> list[Sensitivity]:
        base = self._findings([ran.result for ran in self._base])
        how = [_how(claim, close) for claim in self._claims]
        singles: list[Change] = [{constant: end} for constant in constants for end in ENDS]
        tables: dict[How, list[list[Finding]]] = {}
        if "computed" in how:
            tables["computed"] = [self._findings(self._computed(change)) for change in singles]
        if "run" in how:
            ran = run(singles)
            tables["run"] = [self._findings([one.result for one in cells]) for cells in ran]
        found = []
        for number, claim in enumerate(self._claims):
            worst = base[number].worst
            labels = worst.labels if worst is not None else ()
            effects: list[Effect] = []
            start = _outcome(base[number], labels)
            lowest = highest = start
            if how[number] != "counts":
                moved = [_outcome(findings[number], labels) for findings in tables[how[number]]]
                for at, constant in enumerate(constants):
                    effects.append(Effect(constant, moved[2 * at], moved[2 * at + 1]))
                lowest, highest = (
                    self._extreme(effects, upwards, number, labels, how[number], run)
                    for upwards in (False, True)
                )
                effects = [
                    e for e in effects if e.swing or {e.low.verdict, e.high.verdict} != {start.verdict}
                ]
                effects.sort(key=lambda effect: (-effect.swing, effect.constant))
            found.append(Sensitivity(claim, how[number], labels, start, tuple(effects), lowest, highest))
        return found

    def _extreme(
        self,
        effects: Sequence[Effect],
        upwards: bool,
        number: int,
        labels: tuple[str, ...],
        how: How,
        run: Callable[[Sequence[Change]], list[list[Tally]]],
    ) -> Outcome:
        """Return the claim with every constant at the end that raises (or lowers) its value."""
        change: dict[Constant, int] = {}
        for effect in effects:
            if effect.swing and effect.low.value is not None and effect.high.value is not None:
                change[effect.constant] = 1 if (effect.high.value > effect.low.value) == upwards else -1
        cells = self._computed(change) if how == "computed" else [one.result for one in run([change])[0]]
        return _outcome(self._findings(cells)[number], labels)

    def _computed(self, change: Change) -> list[CellResult]:
        """Return the results of all cells at changed costs, without running them; see the module."""
        results = []
        for cell, base in zip(self._cells, self._base, strict=True):
            profile = cell.profile(cell.config.machine.profile)
            if profile not in self._tables:
                self._tables[profile] = load_costs(profile)
            costs = moved_costs(self._tables[profile], profile, change)
            results.append(repriced(base, costs.scaled(cell.config.machine.cost_scale)))
        return results

    def _findings(self, results: Sequence[CellResult]) -> list[Finding]:
        run: Run = run_of(self._experiment, self._cells, results)
        cells = Cells(run)
        return [evaluate(claim, cells) for claim in self._claims]


def _how(claim: Claim, close: bool) -> How:
    """Return how a claim's value at other constants is found."""
    kinds = {_kind(measure) for measure in (claim.measure, claim.by) if measure is not None}
    if kinds == {"counts"}:
        return "counts"
    return "computed" if close and "run" not in kinds else "run"


def _cpu_ns(result: CellResult) -> float:
    return float(result.metrics["cpu_ns"])


def _kind(measure: Measure) -> How:
    if measure.counts:
        return "counts"
    on_clock = measure.metric is not None and not measure.metric.startswith("cpu_")
    return "run" if on_clock else "computed"


def _outcome(finding: Finding, labels: tuple[str, ...]) -> Outcome:
    points: Sequence[Point] = finding.parts[0].points
    value = next((point.interval.mean for point in points if point.labels == labels), None)
    return Outcome(value, finding.verdict)
