"""fio's jobs as a machine sees them: what they tell posix_fadvise(2), and on which cores they run."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.experiment.loading import load_experiment
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image

EXPERIMENT = """\
title = "t"
path = "page_io"
data = "off"
[machine]
cpus = 2
[device]
profile = "nvme"
[volume]
block_size = "4KiB"
files = [{ name = "data", size = "1MiB" }]
[workload]
"""


@pytest.mark.parametrize(
    ("job", "sectors"),
    [
        ('rw = "read", fadvise_hint = "sequential"', 512),
        ('rw = "read"', 512),
        ('rw = "read", fadvise_hint = "0"', 256),
        ('rw = "read", fadvise_hint = "random"', 8),
        ('rw = "randread"', 8),
    ],
)
def test_advice_sets_the_window(tmp_path: Path, job: str, sectors: int) -> None:
    """
    A file read in 4 KiB with 128 KiB of readahead: its largest bio is of 256 KiB with POSIX_FADV_SEQUENTIAL,
    which doubles the window, and of a page with POSIX_FADV_RANDOM. fio gives the job's own pattern.
    """
    (tmp_path / "e.toml").write_text(EXPERIMENT + f'job = {{ {job}, bs = "4k" }}\n')
    (cell,) = load_experiment(tmp_path / "e.toml").cells
    result = run_cell(cell, ensure_image(cell, root=tmp_path / "images"), False)
    assert sectors == max(result.histograms["bio_sectors"])


def test_clones_run_side_by_side(tmp_path: Path) -> None:
    """Each clone on the next core: two that find everything cached take as long as one, not twice as long."""
    took = []
    for clones in (1, 2):
        job = f'job = {{ rw = "read", bs = "4k", numjobs = {clones}, pre_read = true }}'
        (tmp_path / "e.toml").write_text(EXPERIMENT + job + "\n")
        (cell,) = load_experiment(tmp_path / "e.toml").cells
        result = run_cell(cell, ensure_image(cell, root=tmp_path / "images"), False)
        took.append(result.metrics["elapsed_ns"])
    assert took[0] == took[1]
