"""
Sums over the calls of a run's cells.
"""

from __future__ import annotations

from collections.abc import Collection

from sim.experiment.results import Run


def calls_of(run: Run, symbols: Collection[str]) -> dict[tuple[int, int], int]:
    """Return (cell, seed) -> how often any of the symbols was called, 0 where none was."""
    found = {(row["cell"], row["seed"]): 0 for row in run.metrics}
    for row in run.calls:
        if row["symbol"] in symbols:
            found[row["cell"], row["seed"]] += row["calls"]
    return found
