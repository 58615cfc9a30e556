"""Run directories made up in memory, for the tests of figures: labels in, metrics out."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

from sim.experiment.results import Run

Metrics = Callable[[dict[str, str]], dict[str, Any]]


def made_up(axes: dict[str, list[str]], metrics: Metrics, seeds: tuple[int, ...] = (0,)) -> Run:
    """Return a run of all combinations of labels; `metrics` gives a row's numbers from its labels."""
    rows, cells = [], []
    for cell, labels in enumerate(product(*axes.values())):
        named = dict(zip(axes, labels, strict=True))
        cells.append({"cell": cell, "labels": named, "config": {"path": named.get("path", "page_io")}})
        rows += [{"cell": cell, "seed": seed, **named, **metrics(named)} for seed in seeds]
    manifest = {
        "experiment": "made-up",
        "title": "Made up",
        "config_hash": "0123456789abcdef",
        "axes": [{"key": key, "labels": labels} for key, labels in axes.items()],
        "seeds": list(seeds),
        "cells": cells,
        "versions": {"readpath": "9.9"},
    }
    calls = [
        {"cell": row["cell"], "seed": row["seed"], "group": "copy", "ns": 100, "calls": 1} for row in rows
    ]
    return Run(Path("made-up"), manifest, rows, calls, [])
