"""
Pooling: which unlike cells a table would add up, and why a difference of two selections must not.

A sum over cells of several block sizes or schemes is an average that nobody asked for, weighted by what each
cell reads. One table may show it, if it says so; a difference may not: its sides need not be mixed alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sim.config.cell_result import Currency
from sim.errors import ConfigError
from sim.experiment.results import Row, Run
from sim.report.table import Table
from sim.report.tables import difference, select, short_axes


def pooled(run: Run, rows: Sequence[Row]) -> dict[str, list[str]]:
    """Return axis (short name) -> its labels, for each axis on which these rows of metrics are not alike."""
    names = short_axes(list(run.axes))
    found = {axis: list(dict.fromkeys(row[axis] for row in rows)) for axis in run.axes}
    return {names[axis]: labels for axis, labels in found.items() if len(labels) > 1}


def refuse_unlike(run: Run, where: Mapping[str, str]) -> None:
    """
    Raise ConfigError if the cells that `where` selects (axis -> label) are not alike.

    where: one side of a difference. Seeds of one cell are alike. The error names the axes, their labels, and
    a --where that is enough.
    """
    unlike = pooled(run, select(run, where))
    if unlike:
        side = ", ".join(f"{axis}={label}" for axis, label in where.items())
        labels = "; ".join(f"{axis} = {', '.join(labels)}" for axis, labels in unlike.items())
        words = " ".join(f'--where "{axis}={labels[0]}"' for axis, labels in unlike.items())
        raise ConfigError(str(run.path), f"{side} would pool {labels}", f"one label of each, as {words}")


def difference_of_alike(
    run: Run,
    where: Mapping[str, str],
    first: Mapping[str, str],
    second: Mapping[str, str],
    currency: Currency = "ns",
) -> Table:
    """Return `tables.difference` of two sides, each of cells that are alike; ConfigError if one is not."""
    for side in (first, second):
        refuse_unlike(run, {**where, **side})
    return difference(run, where, first, second, currency)
