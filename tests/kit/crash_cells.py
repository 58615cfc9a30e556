"""
Small runs whose jobs write real bytes: their cells, their image after the run, and what a power cut needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from shared_images import shared_image

from sim.config.cell import Cell
from sim.config.cell_result import CellResult
from sim.config.crash import Crash
from sim.experiment.loading import load_experiment
from sim.machine import write_jobs
from sim.machine.crash.history import FileHistory
from sim.machine.crash.judge import Verdicts
from sim.machine.mounted_bytes import MountedBytes
from sim.machine.run_cell import run_cell

VOLUME = """
block_size = "1KiB"
journal = "1MiB"
files = [
    { name = "holes", size = "64KiB", layout = { kind = "sparse", data = "4KiB", hole = "4KiB" } },
    { name = "full", size = "64KiB" },
]
"""
JOBS = """
job = [
    { name = "a", filename = "holes", rw = "randwrite", bs = "4k", size = "64k", io_size = "64k", end_fsync = "1" },
    { name = "b", filename = "full", rw = "randwrite", bs = "4k", size = "64k", io_size = "32k", fsync = "2" },
]
"""  # noqa: E501
CRASH = """
[crash]
at = "bios"
points = 6
states = 3
"""


def cell_text(
    volume: str = VOLUME, jobs: str = JOBS, mount: str = "", crash: str = CRASH, more: str = ""
) -> str:
    """Return an experiment of one cell: tables without their heads, `more` with its own."""
    return (
        f'title = "t"\nquestion = "q"\ndata = "real"\n{crash}\n[volume]\n{volume}\n'
        f'[device]\nprofile = "sata-ssd"\n[workload]\n{jobs}\n[mount]\n{mount}\n{more}\n'
    )


def cell_of(text: str, folder: Path) -> tuple[Cell, Path]:
    """Return the one cell of an experiment, and its image."""
    path = folder / "x.toml"
    path.write_text(text)
    (cell,) = load_experiment(path).cells
    return cell, shared_image(cell)


@dataclass
class Played:
    """
    A run that is over. mounted, files, end_ns, volatile: what power cuts are judged by.
    """

    cell: Cell
    image: Path
    result: CellResult
    mounted: MountedBytes
    files: dict[str, tuple[int, FileHistory]] = field(default_factory=dict)
    end_ns: int = 0
    volatile: bool = False

    def disk(self) -> bytearray:
        """Return what is on the disk at the end, its log not replayed."""
        return bytearray(self.mounted.disk.read(0, self.mounted.disk.size_bytes))


def played(text: str, folder: Path, judged: bool = False) -> Played:
    """Run a cell and return all of it; judged: with its power cuts, else these are only noted."""
    kept: dict[str, Any] = {}
    real = write_jobs.crash_run

    def noted(
        said: Crash,
        mounted: MountedBytes,
        files: dict[str, tuple[int, FileHistory]],
        end_ns: int,
        volatile: bool,
        seed: int,
    ) -> Verdicts:
        kept.update(files=files, end_ns=end_ns, volatile=volatile)
        return real(said, mounted, files, end_ns, volatile, seed) if judged else Verdicts()

    def check(self: MountedBytes) -> None:
        kept["mounted"] = self
        checked(self)

    checked = MountedBytes.check
    cell, image = cell_of(text, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write_jobs, "crash_run", noted)
        patch.setattr(MountedBytes, "check", check)
        result = run_cell(cell, image, trace=False)
    return Played(cell, image, result, **kept)
