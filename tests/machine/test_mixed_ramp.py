"""A job that reads and writes, with a ramp_time: what is done in the ramp is left out of its row."""

from __future__ import annotations

from pathlib import Path

from sim.experiment.loading import load_experiment
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image

EXPERIMENT = """\
title = "t"
path = "page_io"
data = "off"
[device]
profile = "nvme"
[volume]
block_size = "4KiB"
journal = "8MiB"
files = [{ name = "data", size = "1MiB" }]
[workload]
job = { rw = "randrw", bs = "4k", ramp_time = "1ms", runtime = "3ms", time_based = "1" }
"""


def test_a_ramp_of_reads_and_writes(tmp_path: Path) -> None:
    """All are of 4 KiB: so many were measured, with a latency each, and the rest was the ramp's."""
    (tmp_path / "e.toml").write_text(EXPERIMENT)
    (cell,) = load_experiment(tmp_path / "e.toml").cells
    result = run_cell(cell, ensure_image(cell, root=tmp_path / "images"), False)
    (row,) = [row for row in result.jobs if row.scope == "job"]
    metrics = result.metrics
    assert metrics["reads"]
    assert metrics["writes"]
    assert row.reads < metrics["reads"] + metrics["writes"]
    assert row.bytes_read == row.reads * 4096
    assert metrics["bytes_read"] + metrics["bytes_streamed"] == 4096 * (metrics["reads"] + metrics["writes"])
    assert 3_000_000 <= row.runtime_ns < 3_100_000
