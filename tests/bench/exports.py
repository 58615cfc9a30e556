"""What `readpath export` takes of a traced cell of random reads: CPU seconds and peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sim.units import MIB

READS = 1_000_000
MOST_SECONDS, MOST_MIB = 60, 1024
"""The bar, of each format."""
FORMATS = ("perfetto", "blktrace", "fio-json", "collapsed")
_CELL = """
title = "random reads of a page"
data = "off"
path = "page_io"
[device]
profile = "nvme"
[volume]
block_size = "4KiB"
contents = "none"
files = [{{ name = "data", size = "4GiB" }}]
[workload]
job = {{ rw = "randread", bs = "4k", number_ios = {reads} }}
"""


@dataclass(frozen=True, slots=True)
class Took:
    """What one export took, and how large its files are."""

    seconds: float
    peak_mib: float
    written_mib: float


def traced_run(folder: Path, reads: int) -> Path:
    """Make a run with its trace: some minutes, and 2.5 KiB of memory a read."""
    (folder / "cell.toml").write_text(_CELL.format(reads=reads))
    target = folder / "run"
    words = [_readpath(), "run", folder / "cell.toml", "--trace", "--force", "-o", target, "--quiet"]
    subprocess.run(words, check=True, cwd=folder)
    return target


def export(run: Path, form: str) -> Took:
    """Export a run in a process of its own; the files are removed."""
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "out"
        child = subprocess.Popen([_readpath(), "export", run, "--format", form, "-o", out, "--quiet"])
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"readpath export --format {form}: exit code {child.returncode}")
        size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    return Took(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, size / MIB)


def _readpath() -> Path:
    return Path(sys.executable).with_name("readpath")
