"""The compiled core against plain Python: whole runs, to the byte."""

from __future__ import annotations

import importlib
import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import sim
from sim.engine.mode import compiled

TOP = Path(sim.__file__).parents[1]
EXPERIMENT = """
title = "Both ways"
[device]
profile = "nvme"
[volume]
block_size = "1KiB"
files = [{ name = "data", size = "512KiB" }]
[workload]
job = { rw = "read", bs = "64k", numjobs = 2 }
[cache]
status = "all_cold"
[matrix]
"volume.files.layout" = [{ kind = "contiguous" }, { kind = "aged", seed = 3 }]
"workload.job.rw" = ["read", "randread"]
"encryption.scheme" = ["none", "fscrypt-v2", "dm-crypt"]
path = ["buffer_head", "mpage", "page_io", "page_io_pure", "iomap", "per_block"]
"""


def _run(tree: Path, experiment: Path, target: Path, **env: str) -> dict[str, bytes]:
    """Run an experiment with the code in `tree`; return the bytes of its tables."""
    words = [sys.executable, "-c", "from sim.cli.main import main; main()", "run", str(experiment)]
    said = {**os.environ, "PYTHONPATH": str(tree), **env}
    words += ["-o", str(target), "--quiet", "--no-figures"]
    subprocess.run(words, env=said, cwd=target.parent, check=True, timeout=300)
    return {path.name: path.read_bytes() for path in sorted(target.glob("*.parquet"))}


def _plain_copy(folder: Path) -> Path:
    """Return a tree with the package's sources and nothing compiled."""
    shutil.copytree(TOP / "sim", folder / "sim", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    return folder


def test_both_ways_give_the_same_bytes(tmp_path: Path) -> None:
    """72 cells: paths, layouts, block sizes, schemes; compiled and plain, or plain on both clocks."""
    experiment = tmp_path / "both.toml"
    experiment.write_text(EXPERIMENT)
    plain = _plain_copy(tmp_path / "plain")
    on_simpy = _run(plain, experiment, tmp_path / "simpy", READPATH_CLOCK="simpy")
    other = TOP if compiled() else plain
    assert {"metrics.parquet", "calls.parquet", "histograms.parquet", "jobs.parquet"} == set(on_simpy)
    assert on_simpy == _run(other, experiment, tmp_path / "native", READPATH_CLOCK="native")


@pytest.mark.skipif(not compiled(), reason="the core is not compiled; `make fast` does it")
def test_all_of_the_core_is_compiled() -> None:
    """Every module that setup.py lists runs compiled: none falls back in silence."""
    listed = runpy.run_path(str(TOP / "setup.py"), run_name="setup")["core"]()
    for file in listed:
        module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
        assert (module.__file__ or "").endswith(".so"), file
