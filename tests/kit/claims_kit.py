"""Experiments on small files, for tests of their claims; and runs made by hand."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from sim.claims.claims import Claim, load_claims
from sim.claims.intervals import AS_SAID
from sim.claims.verdicts import Cells, evaluate
from sim.experiment.loading import load_experiment
from sim.experiment.results import Run
from sim.experiment.runner import execute
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
CLAIMS = load_claims(EXPERIMENTS / "claims")
MAIN = "per_block_vs_per_extent"


def run_small(experiment: str, size: str, folder: Path, images: Path) -> Run:
    """Run a shipped experiment on files of `size`, without moving data, in this process."""
    small = load_experiment(EXPERIMENTS / f"{experiment}.toml", [f"volume.files.size={size}", "data=off"])
    make = partial(ensure_image, root=images)
    return execute(small, folder, run_cell, make, draw=lambda *_run, **_each: None)


def not_held(run: Run) -> set[str]:
    """Return the names of the claims that a run does not bear out, but the one that needs the data."""
    cells = Cells(run)
    findings = [evaluate(claim, cells) for claim in CLAIMS[run.manifest["experiment"]]]
    return {f.claim.name for f in findings if f.verdict not in AS_SAID} - {"what-is-read-is-what-was-written"}


AXES = {"volume.block_size": ["1KiB", "4KiB"], "path": ["buffer_head", "page_io"]}


def made(ns: dict[tuple[str, str], list[int]], maps: dict[tuple[str, str], int] | None = None) -> Run:
    """
    Return a run made by hand, with 8 pages read in each cell.

    ns: (block size, path) -> cpu_ns per seed, half of it in ext4_map_blocks. maps: calls of that symbol, 8 if
    not given.
    """
    metrics, calls, cells = [], [], []
    seeds = range(len(next(iter(ns.values()))))
    for cell, (labels, values) in enumerate(ns.items()):
        block_bytes = {"1KiB": 1024, "4KiB": 4096}[labels[0]]
        cells.append(
            {"cell": cell, "config": {"volume": {"block_size_bytes": block_bytes}, "workload": {"jobs": []}}}
        )
        for seed in seeds:
            row = {"cell": cell, "seed": seed, **dict(zip(AXES, labels, strict=True))}
            metrics.append(row | {"cpu_ns": values[seed], "pages_read": 8, "bytes_read": 32768, "bios": 4})
            call = {"cell": cell, "seed": seed, "symbol": "ext4_map_blocks", "group": "mapping"}
            calls.append(call | {"calls": (maps or {}).get(labels, 8), "ns": values[seed] // 2})
    manifest = {
        "experiment": "e",
        "title": "Made by hand",
        "config_hash": "c" * 64,
        "axes": [{"key": key, "labels": labels} for key, labels in AXES.items()],
        "seeds": list(seeds),
        "cells": cells,
        "versions": {"model": "m" * 64},
    }
    return Run(Path("run"), manifest, metrics, calls, [])


def claim(**keys: object) -> Claim:
    """Return a claim on cpu_ns of buffer_head over page_io, at least 1.3, with `keys` replaced."""
    base: dict[str, object] = {
        "name": "c",
        "sentence": "s",
        "source": "x",
        "measure": {"metric": "cpu_ns"},
        "of": {"path": "buffer_head"},
        "over": {"path": "page_io"},
        "kind": "at least",
        "margin": 1.3,
        "margin_source": "planted",
    }
    return Claim.model_validate(base | keys)
