"""Which recorded case of instructions a cell of an experiment is, if it is one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sim.experiment.loading import load_experiment
from sim.records.instructions import of_cell, per_page

ROOT = Path(__file__).parents[2]
TEXT = """
title = "t"
data = "off"
path = "page_io"
machine = { kernel = "7.3", cpus = 1 }
device = { profile = "ramdisk" }
volume = { block_size = "1KiB", files = [{ name = "data", size = "8MiB", layout = LAYOUT }] }
workload = { job = { rw = "read", bs = "128k", fadvise_hint = "0" } }
cache = { status = "warm" }
"""
FRAG1 = '{ kind = "fragmented", extent_blocks = 1 }'


def spent(folder: Path, *sets: str, layout: str = FRAG1) -> float | None:
    """Return what a kernel spent on the cell, None if it is no case."""
    (folder / "e.toml").write_text(TEXT.replace("LAYOUT", layout))
    (cell,) = load_experiment(folder / "e.toml", sets).cells
    return of_cell(cell.config.canonical())


def recorded(version: str, case: str) -> float:
    """Return a record's instructions per page, read here."""
    file = ROOT / "results" / "kernel" / version / "matrix-instructions.jsonl"
    records: list[dict[str, Any]] = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
    (found,) = [record for record in records if record["case"] == case]
    return float(found["t_median"] / found["pages_read"])


@pytest.mark.parametrize(
    ("sets", "layout", "version", "case"),
    [
        ((), FRAG1, "linux-7.3.4", "icount_bs1024/bs1024/ext4/frag1/seq128k/warm"),
        (("path=mpage",), FRAG1, "linux-7.3.4", "icount_bs1024/bs1024/mpage/frag1/seq128k/warm"),
        (
            ("path=mpage", "machine.large_folios=false"),
            FRAG1,
            "linux-7.3.4",
            "icount_bs1024/bs1024/mpage/frag1/seq128k/warm/small",
        ),
        (("machine.kernel=6.1",), FRAG1, "linux-6.1.192", "icount2_bs1024/bs1024/ext4/frag1/seq128k/warm"),
        (
            ("workload.job.bs=4k",),
            '{ kind = "contiguous" }',
            "linux-7.3.4",
            "icount_bs1024/bs1024/ext4/contig/seq4k/warm",
        ),
        (
            ("machine.large_folios=false",),
            '{ kind = "fragmented", extent = "16KiB" }',
            "linux-7.3.4",
            "icount_bs1024/bs1024/ext4/frag16/seq128k/warm/small",
        ),
    ],
)
def test_a_cell_that_does_the_same_is_the_case(
    tmp_path: Path, sets: tuple[str, ...], layout: str, version: str, case: str
) -> None:
    """Path, layout, block size, kernel, large folios and reads decide; per page, and by name as well."""
    assert recorded(version, case) == spent(tmp_path, *sets, layout=layout) == per_page(f"{version}/{case}")


@pytest.mark.parametrize(
    "change",
    [
        "machine.large_folios=false",  # page_io without them is not recorded on this layout
        "machine.kernel=3.16",
        "path=per_block",
        "device.profile=nvme",
        "device.read_ahead_kb=1024",
        "volume.files=[{name='data', size='16MiB', layout={kind='fragmented', extent_blocks=1}}]",
        "volume.block_size=2KiB",
        "cache.status=all_cold",
        "cache.pages=warm",
        "encryption.scheme=dm-crypt",
        "workload.job.rw=randread",
        "workload.job.bs=64k",
        "workload.job.loops=2",
        "workload.job.size=1m",
        "workload.job.fadvise_hint=1",
    ],
)
def test_a_cell_that_differs_is_none(tmp_path: Path, change: str) -> None:
    """One thing else, and no record is of it."""
    assert spent(tmp_path) is not None
    sets = [change, "workload.job.invalidate=0"] if "pages" in change else [change]
    assert spent(tmp_path, *sets) is None


def test_a_name_that_is_none() -> None:
    """Neither of a kernel nor of a case."""
    assert per_page("linux-9.9/icount_bs1024/bs1024/ext4/frag1/seq128k/warm") is None
    assert per_page("linux-7.3.4/nosuch") is None
