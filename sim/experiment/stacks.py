"""
Stacks of a run and what they cost.
"""

from __future__ import annotations

from collections.abc import Iterable

from sim.config.cell_result import Currency
from sim.experiment.results import Row


def stack_costs(rows: Iterable[Row], currency: Currency) -> dict[tuple[str, ...], int]:
    """
    Return (context, caller, ..., symbol) -> own ns or instructions, of rows of calls.parquet, sorted.

    Stacks that cost nothing are left out.
    """
    costs: dict[tuple[str, ...], int] = {}
    for row in rows:
        stack = (row["context"], *row["stack"].split(";"))
        costs[stack] = costs.get(stack, 0) + row[currency]
    return {stack: costs[stack] for stack in sorted(costs) if costs[stack]}
