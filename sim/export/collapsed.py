"""
Stacks and what they cost, a line each, as stackcollapse-perf.pl makes them of `perf script`: for
flamegraph.pl, speedscope, inferno and others.
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.config.cell_result import Currency
from sim.experiment.results import Run
from sim.experiment.stacks import stack_costs


def collapsed_lines(run: Run, cell: int, seed: int, currency: Currency) -> Iterator[str]:
    """Yield the lines of a cell with one seed, without newlines: frames joined by ";", a blank, the cost."""
    rows = [row for row in run.calls if (row["cell"], row["seed"]) == (cell, seed)]
    for stack, cost in stack_costs(rows, currency).items():
        yield f"{';'.join(stack)} {cost}"
