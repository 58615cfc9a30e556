"""
readpath show: where the CPU time of a run went.
"""

from __future__ import annotations

import json
from pathlib import Path

from sim.cli.render import console, print_table
from sim.errors import ConfigError
from sim.experiment.results import load_run
from sim.report.tables import Table, symbols


def show_run(folder: Path, where: list[str], top: int, stacks: bool, as_json: bool) -> None:
    """
    Print the symbols of a run by CPU time, as perf report does.

    where: "axis=label" words. Raises ReadpathError for a folder or label there is not.
    """
    chosen = {}
    for word in where:
        axis, equals, label = word.partition("=")
        if not equals:
            raise ConfigError(f"--where {word}", "is not understood", "--where AXIS=LABEL")
        chosen[axis] = label
    run = load_run(folder)
    table = symbols(run, chosen, stacks)
    if as_json:
        print(json.dumps(list(table.rows), indent=2))
        return
    of = ", ".join(f"{axis}={label}" for axis, label in chosen.items()) or "all cells together"
    out = console()
    print_table(Table(table.columns, table.rows[:top]), out, f"{run.manifest['title']}: {of}")
    if len(table.rows) > top:
        out.print(f"{len(table.rows) - top} more rows: --top {len(table.rows)}", highlight=False)
