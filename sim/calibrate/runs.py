"""
Recorded cases as users run them: an experiment on the recorded layout, and its costs beside the record.

What the judge predicts from features, a run must charge: same machine profile, same device, same calls. Run
are the sequential reads; a recording's random order is the rig's own and no fio job has it, and "nop" is a
path of no file system. A recording of times reads inside the kernel, so a run's system calls are taken off;
"ram" is a RAM disk that copies nothing, so there the copy is taken off too.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from sim.calibrate.judge import Predicted
from sim.calibrate.measured import Measured
from sim.config.cell import Cell
from sim.engine.costs import DEFAULT_MACHINE
from sim.experiment.loading import load_experiment
from sim.machine.run_cell import run_cell
from sim.records.kernel_case import PATH_NAMES
from sim.units import PAGE_BYTES
from sim.volume.images import ensure_image

BS = {"seq128k": "128k", "seq4k": "4k"}
"""Access pattern of a record -> the job's block size."""
DEVICES = {"ram": "ramdisk", "ram+copy": "ramdisk", "null_blk": "null_blk"}
"""Device of a record -> device profile."""

_EXPERIMENT = """
title = "A recorded case"
path = "{path}"
data = "off"
[machine]
profile = "{machine}"
cpus = 1
[device]
profile = "{device}"
[volume]
block_size = {block_size}
files = [{{ name = "data", size = {size}, layout = {{ kind = "fiemap", path = "{layout}" }} }}]
[workload]
job = {{ rw = "read", bs = "{bs}", fadvise_hint = 0 }}
[cache]
status = "{status}"
"""


def runnable(case: Measured) -> bool:
    """Return whether an experiment can do the work of a case."""
    return case.access in BS and case.device in DEVICES and PATH_NAMES[case.path] != PATH_NAMES["nop"]


def covering(cases: Iterable[Measured]) -> list[Measured]:
    """Return a selection of runnable cases that has every device, path, layout and block size together."""
    chosen: dict[tuple[str, str, str, int], Measured] = {}
    for case in cases:
        if runnable(case):
            chosen.setdefault((case.device, case.path, case.layout, case.block_size), case)
    return list(chosen.values())


def run_cases(
    cases: Iterable[Measured], currency: str, layouts: Path, machine: str = DEFAULT_MACHINE
) -> Iterator[Predicted]:
    """
    Run cases as experiments and yield each beside its record; `machine`: the profile that was fitted.

    currency: "ns" or "instructions". layouts: the folder of the recorded layouts. What differs only in the
    device's copy is run once.
    """
    with tempfile.TemporaryDirectory(prefix="readpath.") as scratch:
        folder = Path(scratch)
        results: dict[str, dict[str, float]] = {}
        for case in cases:
            name = str(case.record["layout_file"])
            if not (folder / name).exists():
                shutil.copy(layouts / name, folder / name)
            text = _EXPERIMENT.format(
                path=PATH_NAMES[case.path],
                machine=machine,
                device=DEVICES[case.device],
                block_size=case.block_size,
                size=case.record["file_bytes"],
                layout=name,
                bs=BS[case.access],
                status=case.status,
            )
            if text not in results:
                results[text] = _per_4k(folder, text, currency)
            simulated = sum(cost for symbol, cost in results[text].items() if case.charges(symbol))
            yield Predicted(case, currency, "", case.value, simulated)


def _per_4k(folder: Path, text: str, currency: str) -> dict[str, float]:
    """Run an experiment of one cell; return what each symbol cost per 4 KiB read."""
    file = folder / "case.toml"
    file.write_text(text, encoding="utf-8")
    (cell,) = load_experiment(file).cells
    assert isinstance(cell, Cell)
    image = ensure_image(cell, folder / "images")
    result = run_cell(cell, image, False)
    pages = int(result.metrics["bytes_read"]) / PAGE_BYTES
    costs: dict[str, float] = {}
    for row in result.calls:
        spent = row.ns if currency == "ns" else row.instructions
        costs[row.symbol] = costs.get(row.symbol, 0.0) + spent / pages
    return costs
