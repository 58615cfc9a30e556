"""Reading 64 MiB of real data in 128 KiB with checksums beside reading it without: CPU seconds of a cell."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from sim.experiment.loading import load_experiment
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image

LEAST_OF_PLAIN = 0.5
"""The bar: the speed with checksums as a share of that without."""
LAYOUTS = ("none", "table_data", "per_extent")
_CELL = """
title = "{layout}"
data = "real"
[device]
profile = "nvme"
[volume]
block_size = "{block_size}"
files = [{{ name = "data", size = "64MiB", layout = {{ kind = "fragmented", extent = "256KiB" }} }}]
[workload]
job = {{ rw = "read", bs = "128k" }}
[checksums]
layout = "{layout}"
"""


def seconds(layout: str, block_size: str, folder: Path) -> float:
    """Return the CPU seconds of one run of a cell, its image made before."""
    file = folder / "cell.toml"
    file.write_text(_CELL.format(layout=layout, block_size=block_size))
    (cell,) = load_experiment(file).cells
    image = ensure_image(cell, folder / "images")
    began = time.process_time()
    run_cell(cell, image, False)
    return time.process_time() - began


def shares(repetitions: int, block_size: str) -> dict[str, float]:
    """Return each layout's speed over that without checksums, the best of repetitions that alternate."""
    with tempfile.TemporaryDirectory() as name:
        best = dict.fromkeys(LAYOUTS, float("inf"))
        for _ in range(repetitions):
            for layout in LAYOUTS:
                best[layout] = min(best[layout], seconds(layout, block_size, Path(name)))
    return {layout: best["none"] / best[layout] for layout in LAYOUTS[1:]}
