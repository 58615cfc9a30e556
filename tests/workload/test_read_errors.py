"""Reads that fail in a job: what counts, and when the job ends, as the real fio has it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from fio_log import needs_fio
from shared_images import shared_image

from sim.config.cell import Cell
from sim.experiment.loading import load_experiment
from sim.ext4.read.reader import Image
from sim.machine.faults.device import FaultyDevice
from sim.machine.run_cell import run_cell

PRELOAD = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
ssize_t pread64(int fd, void *to, size_t length, off64_t at) {
  ssize_t (*real)(int, void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pread64");
  off64_t bad = BAD_PAGE * 4096;
  if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY && at < bad + 4096 && at + (off64_t)length > bad) {
    if (at >= bad) { errno = EIO; return -1; }
    length = bad - at;
  }
  return real(fd, to, length, at);
}
ssize_t pread(int fd, void *to, size_t length, off_t at) { return pread64(fd, to, length, at); }
"""
"""Makes one page of every file that is opened to be read a bad one, as read(2) has it."""

EXPERIMENT = """\
title = "t"
path = "page_io"
[device]
profile = "nvme"
[volume]
block_size = "4KiB"
files = [{ name = "data", size = "256KiB", layout = { kind = "contiguous" } }]
[workload]
job = "fio --name=a --filename=data --rw=read --bs=16k --continue_on_error=none"
[faults]
kind = "sector_error"
count = 1
"""


def cell_of(folder: Path, *sets: str) -> tuple[Cell, Path]:
    """Return the experiment's only cell, and its image."""
    (folder / "e.toml").write_text(EXPERIMENT)
    (cell,) = load_experiment(folder / "e.toml", list(sets)).cells
    return cell, shared_image(cell)


def ran(folder: Path, *sets: str) -> dict[str, Any]:
    """Return the metrics of the experiment on one small file."""
    return dict(run_cell(*cell_of(folder, *sets), False).metrics)


def bad_page(folder: Path) -> int:
    """Return which page of the file cannot be read."""
    cell, path = cell_of(folder)
    volume = Image.open(path)
    assert cell.config.faults is not None
    (block,) = FaultyDevice(cell, cell.config.faults, volume, volume.store).plan.blocks
    (extent,) = volume.lookup("/data").tree.extents
    return block - extent.physical


@needs_fio
@pytest.mark.parametrize("said", ["none", "read", "all", "write"])
def test_fio_counts_as_we_do(tmp_path: Path, said: str) -> None:
    """Of 256 KiB in 16 KiB with one bad page: bytes, reads that count, short ones, and whether it goes on."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler: nothing to make a read of fio fail with")
    ours = ran(tmp_path, f"workload.job.continue_on_error={said}")
    page = bad_page(tmp_path)
    (tmp_path / "eio.c").write_text(PRELOAD.replace("BAD_PAGE", str(page)))
    words = [compiler, "-shared", "-fPIC", "-o", "eio.so", "eio.c", "-ldl"]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "data").write_bytes(bytes(256 << 10))
    job = ["--name=a", "--filename=data", "--rw=read", "--bs=16k", "--size=256k", "--ioengine=psync"]
    done = subprocess.run(
        ["fio", *job, f"--continue_on_error={said}", "--output-format=json"],
        cwd=tmp_path,
        env={**os.environ, "LD_PRELOAD": "./eio.so"},
        capture_output=True,
        text=True,
        check=False,
    )
    theirs = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]
    goes_on = said in ("read", "all")
    read = theirs["read"]
    counted = read["io_bytes"], read["lat_ns"]["N"], read["short_ios"], theirs["error"]
    assert counted == (ours["bytes_read"], ours["reads"], ours["short_reads"], 5 * (ours["reads_eio"] > 0))
    assert theirs.get("total_err", 0) == goes_on * ours["reads_eio"]
    assert (not goes_on) == ours["jobs_ended"]
