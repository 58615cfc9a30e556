"""fio jobs in whole runs: several jobs on a real image, real bytes, one after another or together."""

from __future__ import annotations

import pytest

from sim.config.cell_result import CellResult
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image

EXPERIMENT = """\
title = "t"
path = "page_io"
[device]
profile = "nvme"
[volume]
block_size = "4KiB"
files = [{ name = "data", size = "1MiB" }, { name = "other", size = "1MiB" }]
[workload]
job = "x.fio"
"""
GLOBAL = "[global]\nioengine=psync\nfilename=data\nbs=64k\n"


def _run(folder, jobs: str) -> CellResult:
    (folder / "e.toml").write_text(EXPERIMENT)
    (folder / "x.fio").write_text(GLOBAL + jobs)
    (cell,) = load_experiment(folder / "e.toml").cells
    return run_cell(cell, ensure_image(cell, root=folder / "images"), False)


def test_stonewall_puts_jobs_one_after_another(tmp_path):
    """
    Two jobs on two files take, walled, the sum of their times and, together, less; a wall is before a job's
    first clone only, so its clones run together.
    """
    one = _run(tmp_path, "[a]\n").metrics["elapsed_ns"]
    together = _run(tmp_path, "[a]\n[b]\nfilename=other\n").metrics["elapsed_ns"]
    walled = _run(tmp_path, "[a]\n[b]\nfilename=other\nstonewall\n").metrics["elapsed_ns"]
    clones = _run(tmp_path, "[b]\nfilename=other\nstonewall\nnumjobs=2\n").metrics["elapsed_ns"]
    assert together < 1.9 * one < walled
    assert clones < 1.9 * one


@pytest.mark.parametrize(
    "options",
    [
        "bssplit=4k/60:64k/40",
        "rw=randread\nbsrange=1k-16k",
        "rw=randread\nrandom_distribution=zipf:1.1\nbs=4k",
        "rw=randread\npercentage_random=30\nbs=4k\nloops=2",
        "size=50%\noffset=25%\nloops=2",
        "io_size=1536k",
        "time_based\nruntime=3ms",
        "rate=200m",
        "runtime=500us",
    ],
)
def test_every_kind_of_job_reads_right_bytes(tmp_path, options):
    """Whatever the job, what it read is what was written, and a second run is the same to the ns."""
    first = _run(tmp_path, f"[a]\n{options}\n")
    assert first.metrics["digest_ok"] == 1
    assert first.metrics == _run(tmp_path, f"[a]\n{options}\n").metrics


def test_jobs_that_cannot_be_played_say_so(tmp_path):
    """What only the file's size shows is an error that names the job."""
    with pytest.raises(ConfigError) as caught:
        _run(tmp_path, "[a]\ntime_based\n")
    assert str(caught.value) == "job 'a': time_based without runtime; allowed: runtime=SECONDS"


@pytest.mark.parametrize("path", ["buffer_head", "mpage", "page_io", "page_io_pure", "iomap"])
@pytest.mark.parametrize(
    ("pages", "read"),
    [
        ('"empty"', 256),
        ('"warm"', 0),
        ("{ every = 4 }", 192),
        ("{ share = 0.25 }", 192),
        ("{ share = 0.5, buffers = true, uptodate_blocks = 1 }", 256),
    ],
)
def test_pages_cached_before_the_run_are_not_read(tmp_path, path, pages, read):
    """Of 256 pages of an encrypted file, those up to date are not read again, and all bytes are right."""
    text = EXPERIMENT.replace('"page_io"', f'"{path}"').replace('"4KiB"', '"1KiB"')
    text += f'[encryption]\nscheme = "fscrypt-v2"\n[cache]\npages = {pages}\n'
    (tmp_path / "e.toml").write_text(text)
    (tmp_path / "x.fio").write_text(GLOBAL + "[a]\ninvalidate=0\n")
    (cell,) = load_experiment(tmp_path / "e.toml").cells
    result = run_cell(cell, ensure_image(cell, root=tmp_path / "images"), False)
    assert (1, read) == (result.metrics["digest_ok"], result.metrics["pages_read"])


def test_a_job_behind_a_stonewall_drops_what_the_first_found_cached(tmp_path):
    """A warm pass, then a cold one: the second job's invalidate=1 drops the file, and it reads it all."""
    (tmp_path / "e.toml").write_text(EXPERIMENT + '[cache]\npages = "warm"\n')
    (tmp_path / "x.fio").write_text(GLOBAL + "[a]\ninvalidate=0\n[b]\nstonewall\n")
    (cell,) = load_experiment(tmp_path / "e.toml").cells
    result = run_cell(cell, ensure_image(cell, root=tmp_path / "images"), False)
    assert (1, 256) == (result.metrics["digest_ok"], result.metrics["pages_read"])
