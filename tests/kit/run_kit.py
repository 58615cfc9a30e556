"""Run directories made up in memory, for the tests of figures: labels in, metrics out."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

from sim.experiment.results import Run

Metrics = Callable[[dict[str, str]], dict[str, Any]]


def made_up(
    axes: dict[str, list[str]],
    metrics: Metrics,
    seeds: tuple[int, ...] = (0,),
    groups: Callable[[int], dict[str, float]] = lambda _seed: {"copy": 100},
    symbols: tuple[str, ...] = (),
) -> Run:
    """
    Return a run of all combinations of labels; `metrics` gives a row's numbers from its labels.

    groups: ns by cost group of each cell, from the seed. symbols: called once in each cell, for nothing.
    """
    rows, cells = [], []
    for cell, labels in enumerate(product(*axes.values())):
        named = dict(zip(axes, labels, strict=True))
        machine = {"kernel": named.get("machine.kernel", "6.1"), "currency": "ns", "profile": ""}
        path = named.get("path", "page_io")
        config = {"path": path, "machine": machine, "volume": {"block_size_bytes": 4096}}
        cells.append({"cell": cell, "labels": named, "config": config})
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
        {"cell": row["cell"], "seed": row["seed"], "symbol": "", "group": group, "ns": ns, "calls": 1}
        for row in rows
        for group, ns in groups(row["seed"]).items()
    ]
    calls += [
        {"cell": row["cell"], "seed": row["seed"], "symbol": symbol, "group": "other", "ns": 0, "calls": 1}
        for row in rows
        for symbol in symbols
    ]
    return Run(Path("made-up"), manifest, rows, calls, [])
