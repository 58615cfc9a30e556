"""Writing 1 GiB in 128 KiB and one fsync, beside reading it: cells of a fio job, data off, CPU seconds."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from sim.experiment.loading import load_experiment
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image

LEAST_OF_READ = {"write": 0.7, "write, data=journal": 0.3}
"""The bars: the speed of writing as a share of that of reading. Journalled data is written twice."""
MODES = ("read", *LEAST_OF_READ)
_CELL = """
title = "{mode}"
data = "off"
[machine]
memory = "8GiB"
[device]
profile = "nvme"
[volume]
block_size = "{block_size}"
journal = "256MiB"
contents = "none"
files = [{{ name = "data", size = "1GiB" }}]
[mount]
data = "{data}"
[workload]
job = {{ rw = "{rw}", bs = "128k"{more} }}
"""


def seconds(mode: str, block_size: str, folder: Path) -> float:
    """Return the CPU seconds of one run of a cell, its image made before."""
    rw, _, data = mode.partition(", data=")
    file = folder / "cell.toml"
    more = ', end_fsync = "1"' if rw == "write" else ""
    file.write_text(_CELL.format(mode=mode, block_size=block_size, data=data or "ordered", rw=rw, more=more))
    (cell,) = load_experiment(file).cells
    image = ensure_image(cell, folder / "images")
    began = time.process_time()
    run_cell(cell, image, False)
    return time.process_time() - began


def speeds(repetitions: int, block_size: str) -> dict[str, float]:
    """Return GiB/s of each mode, the best of a few repetitions that alternate."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        best = dict.fromkeys(MODES, float("inf"))
        for _ in range(repetitions):
            for mode in MODES:
                best[mode] = min(best[mode], seconds(mode, block_size, folder))
    return {mode: 1 / took for mode, took in best.items()}
