"""A sweep of 2,000 cells on Dask (a scheduler and three workers, each a process), beside one process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sim.config.cell import Cell
from sim.config.cell_result import CellResult
from sim.experiment.cluster import cluster
from sim.experiment.loading import load_experiment
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image

CELLS, WORKERS = 2000, 3
MOST_DISPATCH_MS = 5
_SWEEP = """
title = "a sweep of small cells"
data = "off"
[device]
profile = "nvme"
[volume]
files = [{{ name = "data", size = "64KiB" }}]
contents = "none"
[workload]
job = {{ rw = "read", bs = "4k", size = "64k" }}
[run]
seeds = 4
[matrix]
path = ["page_io", "buffer_head"]
"machine.cpus" = {cpus}
"""
_READPATH = [sys.executable, "-c", "from sim.cli.main import app; app(prog_name='readpath')"]
_PYTHONPATH = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
_QUIET = {**os.environ, "DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "error", "PYTHONPATH": _PYTHONPATH}
"""Workers find `Ready`, too."""


class Ready:
    """Runs a cell by giving back a result that was there before: what is left is dispatch."""

    def __init__(self, result: CellResult) -> None:
        self.result = result

    def __call__(self, cell: Cell, image: Path | None, trace: bool) -> CellResult:  # noqa: ARG002 - as RunCell
        """Return the result."""
        return self.result


def no_image(cell: Cell) -> Path:  # noqa: ARG001 - as MakeImage
    """Return a path that nobody opens."""
    return Path("none")


@contextmanager
def processes(folder: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Yield the address of a scheduler, and its workers' processes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    address = f"tcp://127.0.0.1:{port}"
    program = [
        sys.executable,
        "-m",
        "distributed.cli.dask_scheduler",
        "--host",
        "127.0.0.1",
        "--no-dashboard",
    ]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"]

    def start(command: list[str]) -> subprocess.Popen[bytes]:
        quiet = subprocess.DEVNULL
        return subprocess.Popen(command, stdout=quiet, stderr=quiet, env=_QUIET, cwd=folder)

    started = [start([*program, "--port", str(port)])]
    time.sleep(3)
    started += [start([*worker, "--no-dashboard"]) for _ in range(WORKERS)]
    time.sleep(5)
    try:
        yield address, started[1:]
    finally:
        for process in started:
            process.kill()
            process.wait()


def sweep_file(folder: Path) -> Path:
    """Write the sweep, in a folder that is not there yet."""
    folder.mkdir(parents=True)
    file = folder / "sweep.toml"
    file.write_text(_SWEEP.format(cpus=list(range(1, CELLS // 8 + 1))))
    return file


def dispatch_ms(address: str, file: Path) -> float:
    """Return the wall milliseconds that a cell takes to a worker and back when it has nothing to do."""
    cells = load_experiment(file).cells
    first = cells[0]
    ready = Ready(run_cell(first, ensure_image(first, file.parent / "images"), False))
    with cluster(address, WORKERS) as elsewhere:
        keyed = [(cell, str(number)) for number, cell in enumerate(cells)]
        began = time.perf_counter()
        for _key, result in elsewhere(ready, no_image, keyed, False):
            assert isinstance(result, CellResult), result
        return (time.perf_counter() - began) * 1e3 / len(cells)


def one_process(file: Path) -> float:
    """Return the wall seconds of the sweep in one process."""
    return _run(file, "one", ["--jobs", "1"])


def with_a_kill(address: str, file: Path, victim: subprocess.Popen[bytes]) -> float:
    """Return the wall seconds of the sweep on all workers, one of which is killed when a third has come."""
    kept = file.parent / ".two.cells"

    def kill(run: subprocess.Popen[bytes]) -> None:
        while run.poll() is None and len(list(kept.glob("[0-9a-f]*"))) < CELLS // 3:
            time.sleep(0.1)
        victim.send_signal(signal.SIGKILL)

    return _run(file, "two", ["--scheduler", address, "--images", str(file.parent / "images")], kill)


def _run(file: Path, output: str, more: list[str], beside: Any = None) -> float:
    command = [*_READPATH, "run", file.name, "--no-figures", "--quiet", "-o", output, *more]
    began = time.perf_counter()
    with subprocess.Popen(command, cwd=file.parent, env=_QUIET) as run:
        if beside is not None:
            beside(run)
    assert 0 == run.returncode
    return time.perf_counter() - began


def tables(folder: Path) -> dict[str, bytes]:
    """Return all of a run directory but what tells the time."""
    kept = [*folder.glob("*.parquet"), folder / "manifest.json"]
    return {path.name: path.read_bytes() for path in kept}


def measured() -> tuple[float, float, float, bool]:
    """Return dispatch (ms a cell), seconds in one process and with a kill, whether all bytes are the same."""
    with tempfile.TemporaryDirectory() as name:
        file = sweep_file(Path(name) / "sweep")
        with processes(Path(name)) as (address, workers):
            dispatch = dispatch_ms(address, file)
            alone = one_process(file)
            killed = with_a_kill(address, file, workers[-1])
        same = tables(file.parent / "one") == tables(file.parent / "two")
    return dispatch, alone, killed, same
