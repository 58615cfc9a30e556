"""
Draws: other values of the constants that the records allow as well, and so how far a sum of them is known.

Constants that always come together are not told apart by whole cases: what one is given too much another has
too little, so the error of a sum is not the sum of errors. A draw is one more fit, to records and a prior
moved as far as they may be wrong:

- the layouts are drawn anew, each as often as chance has it (bootstrap), for what the model has wrong in a
  layout it has wrong in all of its cases;
- each time is moved by a normal error as large as the cases lie from the fit;
- the prior of each constant, and that of each group together, is moved by PRIOR_WIDTH: so far hot loops of
  whole primitives lie from the pace, and a primitive is a group more than a symbol;
- the least a constant can be, which is of a whole loop, is moved by as much, for a part of a loop may be as
  far from the loop.

Left out: that the kernel whose times are recorded (user-mode Linux) has other instructions than the one whose
instructions are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sim.calibrate.constants import MODEL, SYMBOLS, Constant
from sim.calibrate.fit import PRIOR_WIDTH, Equations, Fitted, Row, Values, equations, predict, solve
from sim.calibrate.records import CostRecords

DRAWS = 40
SEED = 20261127
Drawn = dict[Constant, list[float]]
"""Per constant, its ns in each draw."""


def draw_costs(records: CostRecords, fitted: Fitted, draws: int = DRAWS) -> Drawn:
    """Return `draws` values of every constant of the fit, the same for the same records."""
    problem = equations(records, fitted.instructions)
    rng = np.random.default_rng(SEED)
    lies = [row for row in problem.own if row.layout]
    away = [predict(row.features, fitted.ns) / row.ns - 1 for row in lies]
    misfit = float(np.sqrt(np.mean(np.square(away))))
    found: Drawn = {constant: [] for constant in fitted.ns}
    for _ in range(draws):
        moved = _moved(problem, misfit, rng)
        values = {constant: value for constant, (value, _) in solve(moved).items()}
        for constant, ns in fitted.ns.items():
            before = problem.prior[constant]
            unfitted = ns * moved.prior[constant] / before if before else 0.0
            found[constant].append(values.get(constant, unfitted))
    return found


def _moved(problem: Equations, misfit: float, rng: np.random.Generator) -> Equations:
    """Return the equations with rows and prior moved as far as they may be wrong."""
    layouts = sorted({row.layout for row in problem.own if row.layout})
    times = dict(zip(layouts, rng.multinomial(len(layouts), [1 / len(layouts)] * len(layouts)), strict=True))
    groups = sorted({entry.group for entry in SYMBOLS})
    of_group = dict(zip(groups, np.exp(rng.normal(0.0, PRIOR_WIDTH, len(groups))), strict=True))
    prior: Values = {}
    floor: Values = {}
    for constant, ns in problem.prior.items():
        own, part = np.exp(rng.normal(0.0, PRIOR_WIDTH, 2))
        prior[constant] = ns * float(own * of_group[MODEL[constant[0]].group])
        floor[constant] = min(problem.floor.get(constant, 0.0) * float(part), prior[constant])

    def again(rows: list[Row]) -> list[Row]:
        drawn = []
        for row in rows:
            error = misfit if row.layout else row.sigma / row.ns
            ns = row.ns * (1 + float(rng.normal(0.0, error)))
            drawn += [Row(row.features, ns, error * row.ns, row.layout)] * (
                int(times[row.layout]) if row.layout else 1
            )
        return drawn

    return replace(problem, own=again(problem.own), others=again(problem.others), prior=prior, floor=floor)
