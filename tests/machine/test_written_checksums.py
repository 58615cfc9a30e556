"""Checksums of what jobs write: who computes them when, what is logged, what the rest of a run costs."""

from __future__ import annotations

from pathlib import Path

import pytest
from shared_images import shared_image

from sim.config.cell_result import Number
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.machine.run_cell import played_cell

TEXT = """\
title = "t"
data = "{data}"
[device]
profile = "nvme"
[cache]
status = "{status}"
[mount]
data = "{mode}"
delalloc = {delalloc}
commit = "{commit}"
[volume]
block_size = "{size}KiB"
journal = "16MiB"
files = [{{ name = "data", size = "1MiB", layout = {{ kind = "{kind}" }} }}]
[workload]
job = [{{ rw = "{rw}", bs = "{bs}", fsync = {fsync}, end_fsync = 1, {more} }}]
[checksums]
{sums}
"""
TABLE = 'layout = "table_data"'


def ran(folder: Path, sums: str = TABLE, **said: object) -> dict[str, Number]:
    """Return the metrics of a job of 16 random overwrites of 4 KiB, each with an fsync, or as it is said."""
    words = {
        "data": "off",
        "status": "all_cold",
        "mode": "ordered",
        "delalloc": "true",
        "commit": "5s",
        "size": 4,
        "kind": "contiguous",
        "rw": "randwrite",
        "bs": "4k",
        "fsync": 1,
        "more": "number_ios = 16",
    }
    (folder / "e.toml").write_text(TEXT.format(sums=sums, **words | said))
    (cell,) = load_experiment(folder / "e.toml").cells
    return played_cell(cell, shared_image(cell))[0].metrics


@pytest.mark.parametrize("mode", ["ordered", "writeback", "journal"])
def test_a_table_has_a_row_logged_for_each_synced_overwrite(tmp_path: Path, mode: str) -> None:
    """16 overwrites, each synced: a block's and its row's checksum each; the row was read once."""
    found = ran(tmp_path, mode=mode)
    assert (32, 16) == (found["checksums_computed"], found["checksum_blocks_logged"])
    assert (4096, 0) == (found["checksum_bytes_read"], found["checksum_more_bytes"])
    assert 32 * 4096 == found["checksum_bytes_hashed"]


def test_an_overwrite_has_to_commit_for_its_checksum(tmp_path: Path) -> None:
    """Without checksums most syncs of an overwrite have nothing to commit; with them all log three blocks."""
    none, table = ran(tmp_path, 'layout = "none"'), ran(tmp_path)
    assert int(none["bytes_written"]) + 10 * 3 * 4096 < int(table["bytes_written"])
    assert 16 * (4096 + 3 * 4096) <= int(table["bytes_written"])


@pytest.mark.parametrize(
    ("mode", "delalloc", "kind"),
    [
        ("ordered", "true", "contiguous"),
        ("ordered", "true", "hole"),
        ("ordered", "false", "hole"),
        ("writeback", "false", "hole"),
        ("ordered", "true", "unwritten"),
        ("journal", "true", "hole"),
    ],
)
@pytest.mark.parametrize("size", [1, 4])
def test_every_block_that_is_written_gets_its_checksum(
    tmp_path: Path, mode: str, delalloc: str, kind: str, size: int
) -> None:
    """1 MiB written once, overwritten or new, by fsync or by a commit: as many checksums as blocks."""
    said: dict[str, object] = {"rw": "write", "bs": "64k", "fsync": 0, "more": "fallocate = 'none'"}
    said["commit"] = "100us"
    said |= {"mode": mode, "delalloc": delalloc, "kind": kind, "size": size}
    found = ran(tmp_path, **said)  # type: ignore[arg-type]
    of_blocks = int(found["checksums_computed"]) - int(found["checksum_blocks_logged"])
    assert 1024 // size == of_blocks


def test_the_rest_of_a_run_is_read_once(tmp_path: Path) -> None:
    """Runs of 64 blocks, 4 in the file: each is read but for the block that is written first, then never."""
    found = ran(tmp_path, 'layout = "per_extent"\nextent_blocks = 64', more="number_ios = 64")
    assert 4 * 63 * 4096 == found["checksum_more_bytes"]
    assert 2 * 64 == found["checksums_computed"]


def test_a_run_of_a_block_needs_nothing_more(tmp_path: Path) -> None:
    """One block a run: no more data, but a list of 256 tags, in a block of xattrs, for every write."""
    found = ran(tmp_path, 'layout = "per_extent"\nextent_blocks = 1')
    assert (0, 4096) == (found["checksum_more_bytes"], found["checksum_bytes_read"])
    assert 16 == found["checksum_blocks_logged"]
    list_bytes = 20 + 256 * (8 + 4) + 4
    assert 16 * (4096 + list_bytes) == found["checksum_bytes_hashed"]


def test_a_list_in_an_inode_of_its_own_has_that_logged_with_it(tmp_path: Path) -> None:
    """
    256 tags of 32 bytes: 3 blocks, and the block of the inode table with their hash, for every write; that
    block has the file's inode, too, and is logged at some writes anyway.
    """
    found = ran(tmp_path, 'layout = "per_extent"\nextent_blocks = 1\nalgorithm = "sha256"')
    assert 16 * (3 + 1) == found["checksum_blocks_logged"]
    assert 3 * 4096 == found["checksum_bytes_read"]
    in_block = ran(tmp_path, 'layout = "per_extent"\nextent_blocks = 1')
    more = int(found["bytes_written"]) - int(in_block["bytes_written"])
    assert 16 * 2 * 4096 < more <= 16 * 3 * 4096


def test_a_list_in_its_inode_is_logged_with_it(tmp_path: Path) -> None:
    """A whole extent's list lies in the inode: no block of its own is logged, nor read."""
    found = ran(tmp_path, 'layout = "per_extent"')
    assert (0, 0) == (found["checksum_blocks_logged"], found["checksum_bytes_read"])
    assert 255 * 4096 == found["checksum_more_bytes"]


def test_a_warm_table_is_not_read(tmp_path: Path) -> None:
    """What is in memory when the run begins, the writer finds there."""
    assert 0 == ran(tmp_path, status="warm")["checksum_bytes_read"]


@pytest.mark.parametrize(
    ("sums", "change", "problem"),
    [
        (
            'layout = "per_extent"',
            {"data": "real", "more": 'number_ios = 4 }, { rw = "read", bs = "4k"'},
            'jobs that read and jobs that write, and data "real"',
        ),
        ('layout = "per_extent"', {"rw": "randrw"}, "a job that reads and writes"),
        ('layout = "per_extent"', {"kind": "hole"}, "layout 'hole'"),
    ],
)
def test_what_cannot_be_kept_up_is_told(
    tmp_path: Path, sums: str, change: dict[str, object], problem: str
) -> None:
    """One line: what does not go together."""
    with pytest.raises(ConfigError, match=problem):
        ran(tmp_path, sums, **change)
