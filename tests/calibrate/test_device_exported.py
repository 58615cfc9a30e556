"""
There and back: a known drive, simulated below the whole read path, exported as fio's JSON, and fitted again.

Reads are buffered, so what the path, the driver and the interrupt take lies in the latencies; of that, the
CPU time of the job's own task is known to be the host's. The rest, of the interrupt and of waking, some 3 us,
is taken for the flash's.
"""

from __future__ import annotations

import json
from importlib import resources

import pytest
from traced_kit import traced

from sim.block.device.profile import load_device_profile
from sim.calibrate.device import fit_device
from sim.calibrate.fio_results import read_fio_result
from sim.export.fio_json import fio_document

JOBS = [("4k", 1, 40), ("16k", 1, 20), ("256k", 1, 10)]
JOBS += [("4k", clones, 40) for clones in (2, 4, 8, 16, 32)]
JOBS += [("256k", 8, 20)]
"""bs, numjobs, reads of a clone."""
EXPERIMENT = """\
title = "there and back"
data = "off"
path = "page_io"
[machine]
cpus = 32
[device]
profile = "known.toml"
[volume]
block_size = "4KiB"
files = [{ name = "data", size = "512MiB" }]
[workload]
job = "jobs.fio"
"""
UNITS, FLASH_NS, BANDWIDTH = 8, 78_000, 550_000_000


@pytest.fixture(scope="module")
def fit(tmp_path_factory):
    """The SATA drive with 8 units, as fitted to what was exported."""
    folder = tmp_path_factory.mktemp("known")
    shipped = resources.files("sim") / "profiles" / "devices" / "sata-ssd.toml"
    text = shipped.read_text(encoding="utf-8")
    assert "units = { value = 32" in text
    (folder / "known.toml").write_text(text.replace("units = { value = 32", f"units = {{ value = {UNITS}"))
    lines = ["[global]", "stonewall", "rw=randread", "group_reporting", "norandommap", "randrepeat=0"]
    for number, (bs, clones, reads) in enumerate(JOBS):
        lines += [f"[job{number}]", f"bs={bs}", f"numjobs={clones}", f"number_ios={reads}"]
    (folder / "jobs.fio").write_text("\n".join(lines) + "\n")
    document = fio_document(traced(folder, EXPERIMENT), 0, 0, False)
    (folder / "result.json").write_text(json.dumps(document))
    result = read_fio_result(folder / "result.json", buffered=True)
    assert () == result.left_out
    return fit_device([result], {}, load_device_profile("sata-ssd"), None)


def test_the_known_drive_comes_back(fit):
    """Units to one, latency within the host's 5 us that are not its task's, the limit within 10 %."""
    model = fit.profile.model
    assert abs(model.units - UNITS) <= 1
    assert FLASH_NS == pytest.approx(model.flash_read_ns, abs=5_000)
    assert BANDWIDTH == pytest.approx(model.bandwidth, rel=0.1)
    assert "constant" == model.latency_kind


def test_the_device_alone_does_what_the_whole_path_did(fit):
    """Row by row, with the host's time before each read, IOPS are those of the path within 10 %."""
    assert len(JOBS) == len(fit.compared)
    assert max(abs(one.error) for one in fit.compared) < 0.1
