"""
readpath history: a metric over the runs in a folder.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from sim.cli.render import console, print_table
from sim.report.history import history, history_figure, runs_in
from sim.report.panels import check_formats, save
from sim.report.style import own_style
from sim.report.table import Column, Table
from sim.report.tables import PER_4K


def show_history(
    folder: Path,
    experiment: str,
    metric: str,
    threshold: float,
    output: Path,
    formats: list[str],
    as_json: bool,
    quiet: bool,
) -> None:
    """
    Draw a metric over the runs in `folder`, and print where its level changed.

    experiment, metric: "" for the only one, and for the cost of its currency. Raises ReadpathError for what
    cannot be used; then nothing is drawn.
    """
    check_formats(formats)
    runs = runs_in(folder, experiment)
    found = history(runs, metric or PER_4K[runs[0].currency], threshold)
    with own_style():
        figure = history_figure(found)
        output.mkdir(parents=True, exist_ok=True)
        files = save([figure], f"history_{found.experiment}_{found.metric}", output, formats)
    rows = tuple(
        {
            "label": line.label,
            "run": found.folders[step.at],
            "before": step.before,
            "after": step.after,
            "ratio": step.ratio,
        }
        for line in found.lines
        for step in line.steps
    )
    if as_json:
        document = {**asdict(found), "steps": rows, "figures": [str(path) for path in files]}
        print(json.dumps(document, indent=2))
    elif not quiet:
        out = console()
        columns = (
            Column(found.axis or "cells", "label"),
            Column("from run", "run"),
            Column("before", "before", ",.5g"),
            Column("after", "after", ",.5g"),
            Column("ratio", "ratio", ".3f"),
        )
        if rows:
            print_table(Table(columns, rows), out, f"{found.metric}: steps")
        else:
            out.print(f"{found.metric}: no step in {len(runs)} runs", markup=False, highlight=False)
        print("\n".join(str(path) for path in files))
