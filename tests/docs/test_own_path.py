"""docs/own-path.md: its code runs, is as short as its title says, and does what its sentences say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from own_path import blocks, written

from sim.api import run
from sim.experiment.results import Run

TIMING = {"driver", "other"}
"""Cost groups whose calls depend on when the device answers: interrupts, doorbells, waking."""

CONTIGUOUS = 'volume.files.layout=[{kind="contiguous"}]'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the document's files."""
    where = tmp_path_factory.mktemp("own")
    written(where)
    return where


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where images are kept."""
    return tmp_path_factory.mktemp("images")


def _calls(result: Run, path: str, layout: str) -> dict[tuple[str, str], int]:
    """Return the calls of a cell by stack and context, without those that hang on the device's time."""
    cell = next(
        row["cell"] for row in result.metrics if row["path"] == path and row["volume.files.layout"] == layout
    )
    return {
        (row["stack"], row["context"]): row["calls"]
        for row in result.calls
        if row["cell"] == cell and row["group"] not in TIMING and row["calls"]
    }


def _cell(result: Run, **labels: Any) -> dict[str, Any]:
    (row,) = [row for row in result.metrics if all(row[key] == label for key, label in labels.items())]
    return row


@pytest.mark.parametrize("name", ["ext4_iomap.py", "f2fs.py"])
def test_a_path_has_sixty_lines_at_most(name: str) -> None:
    """The title's number; blank lines and the line that names the file do not count."""
    assert 60 >= sum(bool(line.strip()) for line in blocks()[name].splitlines())


@pytest.mark.parametrize("block_size", ["1KiB", "4KiB"])
def test_ext4_through_iomap_calls_what_iomap_calls(folder: Path, images: Path, block_size: str) -> None:
    """Every symbol on every stack as often, on each layout, but for those that hang on the device's time."""
    sets = (f"volume.block_size={block_size}", "cache.status=warm")
    if block_size == "4KiB":
        sets = (
            *sets,
            'volume.files.layout=[{kind="contiguous"},{kind="fragmented",extent="8KiB"},{kind="sparse"}]',
        )
    result = run(folder / "experiment.toml", *sets, images=images)
    for layout in result.axes["volume.files.layout"]:
        ours, theirs = (_calls(result, path, layout) for path in ("iomap", "ext4_iomap.py:Ext4Iomap"))
        assert ours == theirs
        assert len(ours) > 30
    assert {1} == {row["digest_ok"] for row in result.metrics}


def test_a_cold_path_of_ones_own_reads_every_byte(folder: Path, images: Path) -> None:
    """What is read is what was written, also with the extent tree on the disk, at random, beside others."""
    job = '{ rw = "randread", bs = "8k", numjobs = 2 }'
    result = run(
        folder / "experiment.toml",
        'path=["ext4_iomap.py:Ext4Iomap"]',
        "cache.status=all_cold",
        f"workload.job={job}",
        images=images,
    )
    assert {1} == {row["digest_ok"] for row in result.metrics}


def test_f2fs_reads_a_node_for_1018_blocks(folder: Path, images: Path) -> None:
    """A node for each 1018 blocks, unless the extent cache knows them; a map for each window."""
    file = 'volume.files=[{name="data",size="6MiB"}]'
    sets = (
        "volume.block_size=4KiB",
        file,
        'path=["f2fs.py:F2fs"]',
        CONTIGUOUS,
    )
    cold, warm = (
        run(folder / "experiment.toml", *sets, f"cache.status={status}", images=images)
        for status in ("all_cold", "warm")
    )
    nodes = -(-6 * 256 // 1018)
    assert nodes == _cell(cold)["bios"] - _cell(warm)["bios"]
    windows = 6 * (1 << 20) // (128 << 10)
    by_symbol = {row["symbol"]: row["calls"] for row in warm.calls if row["group"] == "mapping"}
    assert windows + 1 == by_symbol["f2fs_map_blocks"]  # one window lies over a node's end
    assert windows + 1 == _cell(warm)["map_calls"]
    assert {1} == {row["digest_ok"] for row in (*cold.metrics, *warm.metrics)}


def test_a_post_read_step_is_paid_by_the_block_in_a_work_item(folder: Path, images: Path) -> None:
    """fs-verity: 2 us for each of 256 blocks, in kworkers; a work item a bio, and nothing else differs."""
    sets = ("volume.block_size=4KiB", CONTIGUOUS)
    result = run(folder / "experiment.toml", *sets, 'path=["page_io","parts.py:VerityPageIo"]', images=images)
    cell = _cell(result, path="parts.py:VerityPageIo")
    calls = {(row["symbol"], row["context"]): row for row in result.calls if row["cell"] == cell["cell"]}
    hashed = calls["fsverity_verify_page", "kworker"]
    assert (256, 512_000) == (hashed["calls"], hashed["ns"])
    assert cell["bios"] == calls["process_one_work", "kworker"]["calls"]
    assert ("fscrypt_decrypt_bio", "kworker") not in calls
    assert _cell(result, path="page_io")["bios"] == cell["bios"]


def test_a_device_a_mapper_and_a_kernel_of_ones_own(folder: Path, images: Path) -> None:
    """The device takes a millisecond a command, the mapper maps twice, the kernel reads nothing ahead."""
    sets = ("volume.block_size=4KiB", CONTIGUOUS, 'path=["page_io"]')
    sets = (*sets, "cache.status=warm", 'volume.files=[{name="data",size="64KiB"}]')
    result = run(
        folder / "experiment.toml",
        *sets,
        "device.model=parts.py:Sluggish",
        "mapping=parts.py:Twice",
        "machine.kernel=parts.py:UNREADY",
        "workload.job.bs=4k",
        images=images,
    )
    cell = _cell(result)
    assert (16, 16) == (cell["requests"], cell["bios"])  # a page at a time
    assert 32 == cell["map_calls"]
    assert 16_000_000 <= cell["elapsed_ns"] < 17_000_000
