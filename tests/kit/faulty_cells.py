"""Cells on a device with faults: made with values replaced, run, all faults accounted for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sim.config.cell import Cell
from sim.experiment.loading import load_experiment
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image

CellOf = Callable[..., tuple[Cell, Path]]
"""Values as of --set -> the only cell of an experiment with these, and its image."""


def cells_of(folder: Path, text: str) -> CellOf:
    """Return what makes a cell of an experiment, and its image, each made once, in `folder`."""
    (folder / "e.toml").write_text(text)

    def make(*sets: str) -> tuple[Cell, Path]:
        (cell,) = load_experiment(folder / "e.toml", list(sets)).cells
        return cell, ensure_image(cell, root=folder / "images")

    return make


def accounted(cell: Cell, image: Path) -> dict[str, Any]:
    """Return the metrics of a run; each fault that was put in was told of, read by nobody, or not noticed."""
    found: dict[str, Any] = dict(run_cell(cell, image, False).metrics)
    parts = ("faults_detected", "faults_undetected", "faults_never_read")
    assert found["faults_injected"] == sum(found[part] for part in parts)
    return found
