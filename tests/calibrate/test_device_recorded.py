"""What fio measured of a virtual disk: fitted, and held against other jobs, as docs/devices.md has it."""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path

import pytest
from fio_results_kit import trimmed

from sim.block.device.profile import load_device_profile
from sim.calibrate.device import compare, fit_device
from sim.calibrate.device_told import noise_note
from sim.calibrate.fio_results import FioResult, read_fio_result, rows_of

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data" / "fio"
DOCUMENT = (ROOT / "docs" / "devices.md").read_text(encoding="utf-8")


def results_of(name: str) -> list[FioResult]:
    """Return the five results of the plan, or of the other jobs."""
    files = sorted(DATA.glob(f"{name}-?.json"))
    assert 5 == len(files)
    return [read_fio_result(file) for file in files]


@pytest.fixture(scope="module")
def fit():
    """The disk, fitted to five results of the plan."""
    return fit_device(results_of("plan"), {}, load_device_profile("nvme"), None)


def shown(compared) -> list[str]:
    """Return the rows of the document's tables."""
    return [
        f"| `{one.row.name}` | {one.row.bs_bytes / 1024:g} | {one.row.in_flight} | {one.row.iops:,.0f}"
        f" | {one.simulated_iops:,.0f} | {one.error:+.0%} |"
        for one in compared
    ]


def test_the_table_of_the_document_is_what_comes_out(fit):
    """Every row of the other jobs, the medians, and the noise."""
    others = results_of("other")
    judged = compare(fit.profile, rows_of(others), fit.host)
    rows = shown(judged)
    assert [row for row in rows if row not in DOCUMENT] == []
    assert 8 == len(rows)
    for compared in (fit.compared, judged):
        middle = statistics.median(abs(one.error) for one in compared)
        assert f"{middle:.0%}" in DOCUMENT
    for results in (results_of("plan"), others):
        noise = noise_note([row for result in results for row in result.rows])
        apart = re.search(r"lie (\d+%) apart in the median, (\d+%) at most", noise)
        assert apart is not None
        assert all(share in DOCUMENT for share in apart.groups())


def test_the_limits_are_those_of_the_disk(fit):
    """As --run kept them: virtio, with an elevator."""
    limits = fit.profile.limits
    assert ("virtio_blk", "mq-deadline", 254) == (limits.driver, limits.scheduler, limits.max_segments)


def test_nothing_is_kept_that_is_not_looked_at():
    """The files are small, and trimming them again changes nothing."""
    texts = [file.read_text(encoding="utf-8") for file in DATA.glob("*.json")]
    assert sum(map(len, texts)) < 100_000
    for text in texts:
        said = json.loads(text)
        assert said == trimmed(said)
        assert "filename" not in text
