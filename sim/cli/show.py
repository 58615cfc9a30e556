"""
readpath show: where the CPU time of a run went.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from rich.console import Console

from sim.cli.labels import labels_of
from sim.cli.render import console, print_table
from sim.config.cell_result import Currency
from sim.errors import ConfigError
from sim.experiment.results import Row, Run, load_run
from sim.report.pooling import difference_of_alike, pooled
from sim.report.table import Table
from sim.report.tables import CURRENCIES, file_bytes, groups_of, select, symbols
from sim.shipped import here_or_shipped


def show_run(
    folder: Path,
    where: list[str],
    diff: tuple[str, str] | None,
    top: int,
    stacks: bool,
    as_json: bool,
    currency: str = "",
) -> None:
    """
    Print the symbols of a run by cost, as perf report does, or by what two selections differ in.

    where, diff: "axis=label" words, joined by commas. currency: "ns" or "instructions", "" for the run's own.
    Raises ReadpathError for a folder, label or currency that is not there, or a difference that would pool
    unlike cells.
    """
    if currency not in ("", *CURRENCIES):
        raise ConfigError("--currency", f"{currency!r} is none", ", ".join(CURRENCIES))
    chosen = labels_of("--where", where)
    run = load_run(here_or_shipped(folder))
    cost = cast("Currency", currency or run.currency)
    if diff is None:
        table = symbols(run, chosen, stacks, cost)
        of = ", ".join(f"{axis}={label}" for axis, label in chosen.items()) or "all cells together"
    else:
        first, second = (labels_of("--diff", [side]) for side in diff)
        table = difference_of_alike(run, chosen, first, second, cost)
        of = " ".join((f"A: {diff[0]}, B: {diff[1]}", *(f"{axis}={label}" for axis, label in chosen.items())))
    if as_json:
        print(json.dumps(list(table.rows), indent=2))
        return
    out = console()
    if diff is None:
        _header(run, select(run, chosen), table, out)
    print_table(Table(table.columns, table.rows[:top]), out, f"{run.manifest['title']}: {of}")
    if diff is not None:
        whole = sum(row["more"] for row in table.rows)
        line = f"A - B: {whole:+,.1f} {cost} per 4 KiB: " + ", ".join(groups_of(table, cost))
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    if len(table.rows) > top:
        out.print(f"{len(table.rows) - top} more rows: --top {len(table.rows)}", highlight=False)


def _header(run: Run, rows: list[Row], table: Table, out: Console) -> None:
    """Print, as perf report does above its table, what was counted and how much of it there was."""
    ns_per_4k = sum(row["ns_per_4k"] or 0.0 for row in table.rows)
    cells, seeds = {row["cell"] for row in rows}, {row["seed"] for row in rows}
    total = sum(row["cpu_ns"] for row in rows)
    many = len({row["cell"] for row in run.metrics})
    lines = (
        f"# Event: CPU time, simulated; {ns_per_4k:,.1f} ns per 4 KiB",
        f"# Total: {total:,} ns for {sum(map(file_bytes, rows)):,} bytes",
        f"# Cells: {len(cells)} of {many}; seeds: {len(seeds)}",
        *(f"# Pooled: {axis} = {', '.join(labels)}" for axis, labels in pooled(run, rows).items()),
    )
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)
