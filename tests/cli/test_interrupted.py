"""Ctrl-C during `readpath run`: how many cells are kept is told, and the same command goes on."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

import sim.cli.run as verb
from sim.cli.main import app
from sim.machine.run_cell import run_cell

TEXT = """\
title = "t"
data = "off"
[device]
profile = "nvme"
[volume]
files = [{ name = "data", size = "64KiB" }]
[workload]
job = { bs = "16k" }
[matrix]
path = ["buffer_head", "mpage", "page_io", "iomap"]
"""
WORDS = ["run", "e.toml", "-o", "out", "-j", "1", "--no-figures"]


def _run(monkeypatch, stop_at: int):
    def stops(cell, image, trace):
        if cell.index == stop_at:
            raise KeyboardInterrupt
        return run_cell(cell, image, trace)

    monkeypatch.setattr(verb, "run_cell", stops)
    return CliRunner().invoke(app, WORDS)


def test_how_many_cells_are_kept_is_told(tmp_path, monkeypatch):
    """Stopped in the third of four cells: two are kept, taken up by the next, and gone when it is whole."""
    monkeypatch.chdir(tmp_path)
    Path("e.toml").write_text(TEXT, encoding="utf-8")
    first = _run(monkeypatch, 0)
    assert (130, "0 of 4 cells are finished and kept; the same command begins anew") == _told(first)
    stopped = _run(monkeypatch, 2)
    assert (130, "2 of 4 cells are finished and kept; the same command goes on from there") == _told(stopped)
    again = _run(monkeypatch, 3)
    assert "readpath: 2 of 4 cells taken up from an interrupted run" in again.stderr
    assert (130, "3 of 4 cells are finished and kept; the same command goes on from there") == _told(again)
    whole = _run(monkeypatch, 9)
    assert (0, "3 of 4 cells taken up from an interrupted run") == _told(whole, last=0)
    assert ["e.toml", "out", "results"] == sorted(path.name for path in tmp_path.iterdir())


def _told(result, last: int = -2) -> tuple[int, str]:
    """Return the exit code, and a line of what was told: the last but "interrupted"."""
    return result.exit_code, result.stderr.splitlines()[last].removeprefix("readpath: ")
