"""Processes that are killed: a worker's end is told and costs its cell, the parent's is its workers'."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fabricated import fabricated_cell, no_image
from test_failed_cells import TEXT

from sim.config.cell import Cell
from sim.config.cell_result import CellResult
from sim.experiment.finished_cells import count_kept
from sim.experiment.loading import load_experiment
from sim.experiment.runner import execute
from sim.experiment.workers import WorkerLostError, workers

_HERE = f"{Path(__file__).parent}:{Path(__file__).parents[1] / 'kit'}"


def killed_at_the_last(cell: Cell, image: Path | None, trace: bool) -> CellResult:
    """Run a cell; the last one's process is killed, once, when the others are kept."""
    folder = cell.base
    if (cell.index, cell.seed) == (2, 1) and not (folder / "killed").exists():
        while count_kept(folder / "out") < 5:
            time.sleep(0.01)
        (folder / "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return fabricated_cell(cell, image, trace)


def test_a_worker_that_is_killed(tmp_path):
    """One line; what was finished is kept, and the same command goes on from there."""
    (tmp_path / "e.toml").write_text(TEXT)
    experiment, heard = load_experiment(tmp_path / "e.toml"), []

    def go():
        return execute(
            experiment, tmp_path / "out", killed_at_the_last, no_image,
            draw=lambda *_run, **_each: None, jobs=2, watch=heard.append,
        )  # fmt: skip

    with pytest.raises(WorkerLostError, match="jobs: a worker process was killed"):
        go()
    assert (False, 5) == ((tmp_path / "out").exists(), count_kept(tmp_path / "out"))
    heard.clear()
    assert 6 == len(go().metrics)
    assert ("kept", 5, 6) == (heard[0].what, heard[0].done, heard[0].total)
    assert 0 == count_kept(tmp_path / "out")


def write_number(folder: str) -> None:
    """Say which process this is, and wait for ever."""
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)


def hire(folder: str) -> None:
    with workers(2) as each:
        list(each(write_number, [(folder,), (folder,)]))


def _lives(number: int) -> bool:
    try:
        return "Z" != Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def test_workers_end_with_their_parent(tmp_path):
    """The parent is killed: no worker stays, not even one that is at work."""
    code = "import sys; sys.path[:0] = sys.argv[1].split(':'); import test_workers as t; t.hire(sys.argv[2])"
    with subprocess.Popen([sys.executable, "-c", code, _HERE, str(tmp_path)]) as parent:
        while len(list(tmp_path.iterdir())) < 2:
            assert parent.poll() is None
            time.sleep(0.02)
        parent.kill()
    numbers = [int(path.name) for path in tmp_path.iterdir()]
    deadline = time.monotonic() + 300
    while any(map(_lives, numbers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert [] == [number for number in numbers if _lives(number)]


def test_who_is_imported_by_a_worker_begins_none(monkeypatch):
    """As multiprocessing marks a process while it imports the script that runs; one process is no matter."""
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    monkeypatch.setattr("sim.experiment.workers.ProcessPoolExecutor", None)  # nor is a semaphore made
    with workers(1) as each:
        assert list(each(abs, [(-1,)])) == [1]
    with pytest.raises(WorkerLostError, match=r"imports this script.*__main__"), workers(2):
        pass
