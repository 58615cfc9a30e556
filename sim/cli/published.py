"""
readpath validate --published: what others measured, beside the simulator.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from sim.cli.render import console, print_table, progress
from sim.errors import ConfigError
from sim.experiment.results import write_json
from sim.records.published import SIMULATED, WITHIN, Comparison, compare, read_simulated
from sim.report.table import Column, Table
from sim.shipped import here_or_shipped, is_installed
from sim.volume.images import ensure_image

FOLDER, IMAGES = Path("experiments/published"), Path("results/images")
DIFFERS = 1


def validate_published(update: bool, as_json: bool, folder: Path = FOLDER, images: Path = IMAGES) -> int:
    """
    Print measured and simulated values; return 1 if a simulated one is not what simulated.json says.

    update: write that file instead. An error, however large, is no failure: it stays in the table. Raises
    ReadpathError for files that cannot be used.
    """
    folder = here_or_shipped(folder)
    if update and is_installed(folder):
        raise ConfigError("--update", f"would change {folder}", "in a checkout of readpath")
    with progress(wanted=not as_json) as watch:
        found = compare(folder, partial(ensure_image, root=images), len(os.sched_getaffinity(0)), watch)
    values = found.values()
    if update:
        write_json(folder / SIMULATED, values)
    kept = read_simulated(folder)
    changed = [name for name in values | kept if values.get(name) != kept.get(name)]
    if as_json:
        print(json.dumps(_document(found, changed), indent=2))
        return DIFFERS if changed else 0
    out = console()
    _print(found)
    for name in changed:
        line = f"{name}: {kept.get(name)} in {folder / SIMULATED}, now {values.get(name)}"
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    return DIFFERS if changed else 0


def _print(found: Comparison) -> None:
    columns = (
        Column("id", "id"),
        Column("what", "what"),
        Column("at", "label"),
        Column("unit", "unit"),
        Column("measured", "measured", ",.4g"),
        Column("simulated", "simulated", ",.4g"),
        Column("error, %", "error", "+.1f"),
        Column("of answering 1", "null_error", "+.1f"),
        Column("source repeats, %", "repeats", ".0f"),
        Column("", "mark"),
    )
    out = console()
    rows = []
    for row in _rows(found):
        ratio = row["unit"] == "ratio"
        beyond = ratio and abs(row["error"]) > WITHIN
        mark = "fitted" if row["fitted"] else "beyond 10 %" if beyond else ""
        percent = ("error", "null_error", "repeats")
        shown = {name: None if row[name] is None else 100 * row[name] for name in percent}
        rows.append(row | shown | {"mark": mark})
    print_table(
        Table(columns, tuple(rows), ("id",), ("id", "label")),
        out,
        "published measurements beside the simulator",
    )
    said = {row.number.id: row.number.stands_for for row in found.rows}
    for machine in found.machines:
        scale = found.scales[machine.name]
        there = f"factor {scale.factor:.3f}, system call {scale.syscall_ns} ns"
        line = f"{machine.name}: {there}: {machine.about}"
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    for name, words in said.items():
        out.print(f"{name}: {words}", markup=False, highlight=False, soft_wrap=True)
    for number in found.beyond:
        line = f"{number.id}, out of reach: {number.what}: {number.reason}"
        out.print(line, markup=False, highlight=False, soft_wrap=True)
    line = score_line(found)
    out.print(line, markup=False, highlight=False, soft_wrap=True)


def score_line(found: Comparison) -> str:
    """Return how good the predictions of ratios are, in a sentence."""
    score = found.score
    if score.median_error is None:
        return "no ratio is predicted"
    return (
        f"{score.within} of {score.ratios} predicted ratios within 10 %"
        f" (answering 1 to all: {score.null_within}), {score.nearer} nearer than answering 1;"
        f" median error {100 * score.median_error:.1f} %"
    )


def _rows(found: Comparison) -> list[dict[str, Any]]:
    return [
        {
            "id": row.number.id,
            "what": row.number.what,
            "label": row.row.label,
            "unit": "ratio" if row.row.ratio is not None else row.number.unit,
            "measured": row.measured,
            "simulated": row.simulated,
            "error": row.error,
            "null_error": row.null_error,
            "repeats": row.number.repeats,
            "fitted": row.fitted,
        }
        for row in found.rows
    ]


def _document(found: Comparison, changed: list[str]) -> dict[str, Any]:
    sources = {row.number.id: row.number for row in found.rows}
    return {
        "machines": {name: asdict(scale) for name, scale in found.scales.items()},
        "score": asdict(found.score),
        "rows": [
            row
            | {"source": sources[row["id"]].source, "stands_for": sources[row["id"]].stands_for}
            | {"machine": sources[row["id"]].machine}
            for row in _rows(found)
        ],
        "out_of_reach": [
            {"id": n.id, "what": n.what, "source": n.source, "reason": n.reason} for n in found.beyond
        ],
        "changed": changed,
    }
