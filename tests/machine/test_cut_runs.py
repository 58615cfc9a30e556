"""Runs with one checksum that are cut round what is written: what is read for it, how the list grows."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash_cells import cell_of, cell_text

from sim.config.cell_result import Number
from sim.errors import ConfigError
from sim.machine import write_jobs
from sim.machine.run_cell import run_cell
from sim.workload.stamps import stamped

VOLUME = """
block_size = "4KiB"
journal = "4MiB"
files = [{ name = "f", size = "1MiB" }]
"""
JOBS = """
job = [{ name = "a", filename = "f", rw = "randwrite", bs = "4k", io_size = "192k", fsync = 1 }]
"""
BLOCKS = 256
HEAD_BYTES, RUN_BYTES = 20, 8


def text_of(sums: str, mount: str = "", jobs: str = JOBS) -> str:
    """Return 48 overwrites of a block in 256, each with a sync but the last."""
    return cell_text(VOLUME, jobs, mount, crash="", more=f"[checksums]\n{sums}")


class Wrote:
    """A run, and the block of each of its writes."""

    def __init__(self, folder: Path, text: str) -> None:
        self.blocks: list[int] = []
        cell, image = cell_of(text, folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(write_jobs, "stamped", self._stamped)
            self.metrics: dict[str, Number] = run_cell(cell, image, trace=False).metrics

    def _stamped(self, number: int, offset: int, length: int, write: int) -> bytes:
        self.blocks.append(offset // 4096)
        return stamped(number, offset, length, write)


class Naive:
    """One block after the other, each synced: the runs that are left, and the blocks that were read."""

    def __init__(self, blocks: list[int], most: int, splits: bool, linear: bool) -> None:
        self.read = self.cut = 0
        self.runs = [list(range(at, at + most)) for at in range(0, BLOCKS, most)]
        self._cached: set[int] = set()
        for block in blocks:
            self._cached.add(block)
            (run,) = [run for run in self.runs if block in run]
            pieces = [[at for at in run if at < block], [at for at in run if at > block]]
            pieces = [piece for piece in pieces if piece] if splits else [run]
            absent = sorted((set(piece) - self._cached for piece in pieces), key=len)
            if splits and linear and absent and len(absent[-1]) > 1:
                absent.pop()
                self.read += 1
            for piece in absent:
                self.read += len(piece)
                self._cached |= piece
            if splits and pieces:
                self.cut += 1
                self.runs.remove(run)
                self.runs += [[block], *pieces]


@pytest.mark.parametrize("mount", ["ordered", "journal"])
@pytest.mark.parametrize("overwrite", ["read", "split"])
@pytest.mark.parametrize(("algorithm", "tag"), [("crc32c", 4), ("xxh64", 8), ("hmac-sha256", 16)])
@pytest.mark.parametrize("most", [8, 64])
def test_what_is_read_and_how_the_list_grows(
    tmp_path: Path, most: int, algorithm: str, tag: int, overwrite: str, mount: str
) -> None:
    """As a naive model has it; with real bytes, whose checksums are held against the image."""
    sums = f'layout = "per_extent"\nalgorithm = "{algorithm}"\nextent_blocks = {most}\n'
    run = Wrote(tmp_path, text_of(f'{sums}overwrite = "{overwrite}"', f'data = "{mount}"'))
    assert 48 == len(run.blocks)
    synced = run.blocks if mount == "journal" else run.blocks[:-1]
    naive = Naive(synced, most, overwrite == "split", algorithm == "crc32c")
    assert naive.read * 4096 == run.metrics["checksum_more_bytes"]
    assert naive.cut == run.metrics["checksum_runs_cut"]
    list_bytes = HEAD_BYTES + len(naive.runs) * (RUN_BYTES + tag) + tag
    assert list_bytes == run.metrics["checksum_list_bytes"]
    assert 0 == run.metrics["checksum_runs_whole"]


def test_a_hash_reads_as_much_for_pieces_as_for_the_run(tmp_path: Path) -> None:
    """Runs of 64: all of them is read either way; crc32c needs a third of it."""
    read = {}
    for name in ("xxh64", "crc32c"):
        for overwrite in ("read", "split"):
            sums = (
                f'layout = "per_extent"\nalgorithm = "{name}"\nextent_blocks = 64\noverwrite = "{overwrite}"'
            )
            read[name, overwrite] = Wrote(tmp_path, text_of(sums)).metrics["checksum_more_bytes"]
    whole = 4 * 63 * 4096
    assert (whole, whole) == (read["xxh64", "read"], read["xxh64", "split"])
    assert whole == read["crc32c", "read"]
    assert int(read["crc32c", "split"]) < whole


def test_old_contents_are_read_only_where_that_is_less(tmp_path: Path) -> None:
    """Two blocks of a run of four, then a third: the other two are read once, and are in memory then."""
    jobs = """
    job = [
        { name = "a", filename = "f", rw = "write", bs = "8k", size = "8k", end_fsync = 1 },
        { name = "b", filename = "f", rw = "write", bs = "4k", offset = "8k", size = "4k", end_fsync = 1, stonewall = 1, invalidate = 0 },
    ]
    """  # noqa: E501
    run = Wrote(tmp_path, text_of('layout = "per_extent"\nextent_blocks = 4\noverwrite = "split"', jobs=jobs))
    assert [0, 2] == run.blocks
    assert 2 * 4096 == run.metrics["checksum_more_bytes"]
    assert 2 == run.metrics["checksum_runs_cut"]


def test_a_list_without_room_keeps_its_runs(tmp_path: Path) -> None:
    """A list in its inode has room for few runs: the others stay whole, and are counted."""
    run = Wrote(tmp_path, text_of('layout = "per_extent"\noverwrite = "split"'))
    assert 0 < int(run.metrics["checksum_runs_whole"])
    assert int(run.metrics["checksum_list_bytes"]) <= 256 - 128 - 32
    assert 0 == run.metrics["checksum_blocks_logged"]


def test_counts_are_those_without_bytes(tmp_path: Path) -> None:
    """data = "off" has the same counts and times."""
    text = text_of('layout = "per_extent"\nextent_blocks = 8\noverwrite = "split"')
    found = []
    for data in ("real", "off"):
        metrics = dict(Wrote(tmp_path, text.replace('data = "real"', f'data = "{data}"', 1)).metrics)
        found.append({name: value for name, value in metrics.items() if name != "digest_ok"})
    assert found[1] == found[0]


@pytest.mark.parametrize(
    ("sums", "jobs", "problem"),
    [
        ('layout = "table_data"', JOBS, "overwrite \"split\" with layout 'table_data'"),
        ('layout = "per_extent"', 'job = [{ rw = "read" }]', "overwrite 'split' without jobs that write"),
        (
            'layout = "per_extent"',
            JOBS.replace("}]", '}, { rw = "read" }]'),
            'jobs that read and jobs that write, and overwrite "split"',
        ),
    ],
)
def test_what_cannot_be_cut_is_told(tmp_path: Path, sums: str, jobs: str, problem: str) -> None:
    """One line: what does not go together."""
    with pytest.raises(ConfigError, match=problem):
        cell_of(text_of(f'{sums}\noverwrite = "split"', jobs=jobs), tmp_path)
