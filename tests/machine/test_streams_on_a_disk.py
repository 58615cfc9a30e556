"""
Several sequential readers on a disk, with small and large read-ahead of the host, through the whole stack.

The bounds are those of any disk with one arm: between two windows of a reader the head must go to another
reader's file and back, each way a seek and at most a revolution. A reader has at most two windows at the
disk, the one it waits for and the one ahead of it (mm/readahead.c, Linux 6.1), so a seek is paid for by two
windows at most, and by one at least.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sim.block.device.constants import HddModel
from sim.block.device.discs import Geometry, SeekCurve
from sim.block.device.profile import DeviceProfile, load_device_profile
from sim.experiment.loading import load_experiment
from sim.machine.run_cell import played_cell
from sim.volume.images import ensure_image

FILE_BYTES = 16 << 20
DISTANCE = 8 << 30
SMALL, LARGE = 128 << 10, 2 << 20

TEXT = """
title = "t"
question = "q?"
data = "off"

[device]
profile = "hdd"
read_ahead_kb = {kib}

[volume]
block_size = "4KiB"
files = [{files}]

[workload]
job = "streams.fio"

[matrix]
path = ["page_io"]
"""


def rate(folder: Path, device: DeviceProfile, readers: int, window: int) -> float:
    """Return B/s of sequential readers of a file each, which lie DISTANCE apart."""
    names = [f"f{number}" for number in range(readers)]
    for number, name in enumerate(names):
        extent = [0, number * DISTANCE + (1 << 24), FILE_BYTES, 0]
        (folder / f"{name}.json").write_text(json.dumps([extent]))
    files = ", ".join(
        f'{{ name = "{name}", size = {FILE_BYTES}, layout = {{ kind = "fiemap", path = "{name}.json" }} }}'
        for name in names
    )
    (folder / "e.toml").write_text(TEXT.format(files=files, kib=window >> 10))
    sections = "".join(f"[{name}]\nfilename={name}\n" for name in names)
    (folder / "streams.fio").write_text(f"[global]\nrw=read\nbs=128k\n{sections}")
    (cell,) = load_experiment(folder / "e.toml").cells
    image = ensure_image(cell, folder / "images")
    result: Any = played_cell(cell, image, device=device)[0]
    assert readers * FILE_BYTES == result.metrics["bytes_read"]
    return float(result.metrics["bytes_read"] / result.metrics["elapsed_ns"] * 1e9)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for images that the tests of this file share."""
    return tmp_path_factory.mktemp("streams")


@pytest.mark.parametrize("readers", [2, 4])
def test_small_read_ahead_pays_for_each_window(folder: Path, readers: int) -> None:
    """On a disk that follows one stream, small windows are lost in seeks and large ones are not."""
    profile = load_device_profile("hdd")
    model = profile.model
    assert isinstance(model, HddModel)
    geometry = Geometry(model)
    near = geometry.cylinder((DISTANCE - FILE_BYTES) // 512)
    far = geometry.cylinder((readers * DISTANCE) // 512)
    curve = SeekCurve(model, geometry.cylinders)
    alone = rate(folder, profile, 1, LARGE)
    least_ns, most_ns = curve.time_ns(near), curve.time_ns(far) + geometry.revolution_ns + model.command_ns
    small, large = (rate(folder, profile, readers, window) for window in (SMALL, LARGE))
    assert small <= 2 * SMALL / (2 * SMALL / alone + least_ns / 1e9)
    assert large >= LARGE / (LARGE / alone + most_ns / 1e9)


@pytest.mark.parametrize("readers", [2, 4])
def test_segments_make_up_for_small_read_ahead(folder: Path, readers: int) -> None:
    """
    With small windows a disk that reads on for each of them loses less than one that follows one of them, and
    one that also sorts by what is nearest still less; none is faster than one reader alone.
    """
    profile = load_device_profile("hdd-2020")
    assert isinstance(profile.model, HddModel)
    fifo = replace(profile, model=replace(profile.model, ncq="fifo"))
    plain = replace(fifo, model=replace(fifo.model, cache_segments=1, least_read_ahead_bytes=0))
    alone = rate(folder, profile, 1, SMALL)
    sorts, follows, lost = (rate(folder, device, readers, SMALL) for device in (profile, fifo, plain))
    assert lost < follows < sorts < alone
