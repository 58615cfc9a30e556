"""Traced runs of the real core for tests, made once each; and what their tables add up to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sim.experiment.loading import load_experiment
from sim.experiment.results import Run
from sim.experiment.runner import execute
from sim.experiment.traced_tables import rows
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image

READS = """\
title = "t"
data = "off"
[machine]
cpus = 2
[device]
profile = "nvme"
[volume]
block_size = "1KiB"
files = [{ name = "data", size = "128KiB", layout = { kind = "fragmented", extent = "3KiB" } }]
[workload]
job = { rw = "randread", bs = "20k", numjobs = 2 }
[matrix]
"""
"""Two readers of a file in pieces; the matrix is yet to be said."""

WRITES = """\
title = "t"
data = "off"
path = "page_io"
[device]
profile = "nvme"
[volume]
block_size = "4KiB"
journal = "4MiB"
files = [{ name = "data", size = "512KiB" }]
[workload]
job = { rw = "randrw", bs = "16k", fsync = 4 }
"""
"""One job that reads, writes and syncs."""


def traced(folder: Path, text: str, trace: bool = True) -> Run:
    """Run an experiment with its trace, or without."""
    folder.mkdir(exist_ok=True)
    (folder / "e.toml").write_text(text)
    experiment = load_experiment(folder / "e.toml")
    make = partial(ensure_image, root=folder / "images")
    target = folder / ("run" if trace else "plain")
    return execute(experiment, target, run_cell, make, draw=lambda *_run, **_each: None, trace=trace)


def cells_of(run: Run) -> Iterator[tuple[int, int]]:
    """Yield cell and seed of each result."""
    for row in run.metrics:
        yield row["cell"], row["seed"]


def table(run: Run, name: str, cell: int, seed: int = 0) -> list[Any]:
    """Return the rows of a long table."""
    return list(rows(run.path, name, cell, seed))


def charged(run: Run, cell: int) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Return (context, stack) -> calls, ns and instructions, of calls.parquet."""
    return {
        (row["context"], row["stack"]): (row["calls"], row["ns"], row["instructions"])
        for row in run.calls
        if row["cell"] == cell
    }


def burst_sums(run: Run, cell: int) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Return the same from the bursts and their kinds, added up before they are rounded down."""
    times = Counter({row["burst"]: row["kind"] for row in table(run, "bursts", cell)}.values())
    sums: dict[tuple[str, str], list[int]] = {}
    for row in table(run, "burst_calls", cell):
        entry = sums.setdefault((row["context"], row["stack"]), [0, 0, 0])
        for at, key in enumerate(("calls", "ps", "milli_instructions")):
            entry[at] += times[row["kind"]] * row[key]
    return {key: (calls, ps // 1000, mi // 1000) for key, (calls, ps, mi) in sums.items()}
