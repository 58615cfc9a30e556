"""
The part of a page where two cells are chosen: a flame graph that zooms, and what symbols differ in.

The page has every cell's calls by stack; its script draws and divides, as tables.symbols() and
tables.difference() do.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sim.config.cell_result import GROUPS
from sim.experiment.results import Row, Run
from sim.report.html.elements import Html, joined, section, tag
from sim.report.html.settings import folder_name
from sim.report.style import GROUP_COLOURS, GROUP_LABELS, LOSES, WINS
from sim.report.tables import file_bytes, short_axes
from sim.units import PAGE_BYTES

MOST_BYTES = 6 << 20
"""Of the calls in a page: about 2,000 cells. A page that takes seconds to open helps nobody."""
_PAIRS = (("buffer_head", "page_io"), ("per_block", "page_io"))
"""Paths that are compared first, where the matrix has them."""


def explorer(runs: Sequence[Run], titles: Sequence[str], level: int) -> Html:
    """Return the section with its data; where there is too much of it, a section that says so."""
    data = {
        "groups": [[group, GROUP_LABELS[group], GROUP_COLOURS[group]] for group in GROUPS],
        "loses": LOSES,
        "wins": WINS,
        "runs": [_run(run, title) for run, title in zip(runs, titles, strict=True)],
    }
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    if len(text) > MOST_BYTES:
        cells = sum(len(run.manifest["cells"]) for run in runs)
        words = (
            f"Left out: the calls of {cells} cells are {len(text) >> 20} MiB, more than the"
            f" {MOST_BYTES >> 20} that a page may have: readpath show, readpath plot --figure flame."
        )
        return section(level, "symbols", "Symbols and flame graph", tag("p", words))
    body = joined(
        tag("p", "Choose two cells: where their CPU time goes, and which symbols make the difference."),
        tag(
            "noscript",
            tag("p", "This part needs JavaScript; the tables and figures do not.", class_="warning"),
        ),
        tag("div", id="pickers", class_="controls"),
        tag("div", id="flames"),
        tag("p", id="flame-said", class_="said", role="status"),
        tag("div", id="legend", class_="legend", aria_hidden="true"),
        tag("div", id="difference"),
        tag("p", id="show-command", class_="command"),
        tag(
            "script",
            Html(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")),
            type="application/json",
            id="calls",
        ),
    )
    return section(level, "symbols", "Symbols and flame graph", body)


def _run(run: Run, title: str) -> dict[str, Any]:
    names = short_axes(list(run.axes))
    numbers: dict[tuple[str, str, str], int] = {}
    sums: dict[int, dict[int, list[int]]] = {}
    for call in run.calls:
        key = (call["context"], call["stack"], call["group"])
        number = numbers.setdefault(key, len(numbers))
        total = sums.setdefault(call["cell"], {}).setdefault(number, [0, 0, 0])
        for at, name in enumerate(("calls", "ns", "instructions")):
            total[at] += call.get(name, 0)
    rows: dict[int, list[Row]] = {}
    for row in run.metrics:
        rows.setdefault(row["cell"], []).append(row)
    axes = run.axes
    cells = [
        {
            "labels": [labels.index(seeds[0][axis]) for axis, labels in axes.items()],
            "of4k": sum(map(file_bytes, seeds)) / PAGE_BYTES,
            "pages": sum(row["pages_read"] for row in seeds),
            "calls": [
                value for number, total in sorted(sums.get(cell, {}).items()) for value in (number, *total)
            ],
        }
        for cell, seeds in rows.items()
    ]
    return {
        "title": title,
        "folder": folder_name(run),
        "currency": run.currency,
        "axes": [{"key": axis, "name": names[axis], "labels": labels} for axis, labels in axes.items()],
        "stacks": [[context, stack, GROUPS.index(group)] for context, stack, group in numbers],
        "cells": cells,
        "first": _first(axes, [cell["labels"] for cell in cells]),
    }


def _first(axes: dict[str, list[str]], cells: list[list[int]]) -> list[int]:
    """Return the places of the two cells shown at first: two paths, or the first and the last of a run."""
    keys = list(axes)
    for pair in _PAIRS:
        paths = axes.get("path", [])
        if not set(pair) <= set(paths):
            continue
        at, wanted = keys.index("path"), [paths.index(path) for path in pair]
        for place, labels in enumerate(cells):
            other = [*labels[:at], wanted[1], *labels[at + 1 :]]
            if labels[at] == wanted[0] and other in cells:
                return [place, cells.index(other)]
    return [0, max(len(cells) - 1, 0)]
