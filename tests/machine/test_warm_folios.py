"""A file that is cached before the run lies in folios as a reader from front to back would have left it."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from sim.experiment.loading import load_experiment
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image

EXPERIMENT = """
title = "t"
[machine]
kernel = "7.3"
[device]
profile = "ramdisk"
[volume]
block_size = "4KiB"
files = [{ name = "data", size = "300KiB" }]
[cache]
pages = "warm"
[workload]
job = { rw = "read", bs = "300k", invalidate = 0 }
"""


@pytest.mark.parametrize(
    ("sets", "folios"),
    [
        (["device.read_ahead_kb=128"], 5),  # of 32, 32, 8, 2 pages and 1
        (["device.read_ahead_kb=64"], 7),  # of 16 four times, 8, 2, 1
        (["device.read_ahead_kb=0"], 75),
        (["machine.large_folios=false"], 75),
        (["machine.large_folios=false", 'machine.kernel="6.1"'], 75),
        (
            ["machine.large_folios=true", 'machine.kernel="6.1"', "path=iomap"],
            6,
        ),  # none of two pages: 1 and 1
        (["cache.pages.every=1"], 75),  # one by one, in no reader's order
    ],
)
def test_folios_of_a_full_window(tmp_path: Path, sets: list[str], folios: int) -> None:
    """75 pages in one read: each folio is copied once, nothing comes from the device, the bytes are right."""
    text = EXPERIMENT
    if sets[0].startswith("cache"):
        text, sets = text.replace('pages = "warm"', "pages = { every = 1 }"), []
    (tmp_path / "e.toml").write_text(text)
    (cell,) = load_experiment(tmp_path / "e.toml", sets).cells
    result = run_cell(cell, partial(ensure_image, root=tmp_path / "images")(cell), False)
    copies = [row.calls for row in result.calls if row.symbol in ("copy_page_to_iter", "copy_folio_to_iter")]
    assert (folios, 0, 1) == (sum(copies), result.metrics["bios"], result.metrics["digest_ok"])
