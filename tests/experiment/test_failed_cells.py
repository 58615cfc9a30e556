"""Cells that cannot be run: a row with the error each, and the others finish."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from fabricated import fabricated_cell, no_image

from sim.claims.baseline import write_baseline
from sim.claims.claims import load_claims
from sim.claims.verdicts import Cells, evaluate
from sim.cli.run import tell_failed
from sim.config.cell import Cell
from sim.config.cell_result import CellResult
from sim.errors import ConfigError, ImageError, InvariantError
from sim.experiment.loading import load_experiment
from sim.experiment.results import Run, load_run
from sim.experiment.runner import Progress, execute
from sim.report.figures import draw
from sim.report.tables import summary

TEXT = """\
title = "t"
[device]
profile = "nvme"
[volume]
files = [{ name = "data", size = "1MiB" }]
[workload]
job = { bs = "128k" }
[matrix]
path = ["buffer_head", "mpage", "page_io"]
[run]
seeds = 2
"""

PATHS = '["buffer_head", "mpage", "page_io"]'


def some_fail(cell: Cell, image: Path | None, trace: bool) -> CellResult:
    """Fail as a user's mistake does on mpage, as a bug does on buffer_head with seed 1."""
    if cell.config.path == "mpage":
        raise ImageError("disk.img", "is damaged")
    if cell.config.path == "buffer_head" and cell.seed == 1:
        return CellResult({"x": 1 // (cell.seed - 1)}, [])
    return fabricated_cell(cell, image, trace)


def image_fails(cell: Cell) -> None:
    """Make no image where the block size is 1 KiB."""
    if cell.config.volume.block_size_bytes == 1024:
        raise ConfigError("volume", "is too small")


def _experiment(folder: Path, text: str = TEXT):
    (folder / "e.toml").write_text(text)
    return load_experiment(folder / "e.toml")


def _run(folder: Path, run_cell, jobs: int = 1, make=no_image, text: str = TEXT) -> Run:
    return execute(
        _experiment(folder, text), folder / "out", run_cell, make, draw=lambda *_run, **_each: None, jobs=jobs
    )


FAILED = [
    (
        0,
        1,
        "buffer_head",
        "a fault in readpath (ZeroDivisionError: integer division or modulo by zero)",
        True,
    ),
    (1, 0, "mpage", "disk.img: is damaged", False),
    (1, 1, "mpage", "disk.img: is damaged", False),
]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_row_each_and_the_others_finish(tmp_path, jobs):
    """failed.parquet has cell, seed, labels and error; the tables have the others; the log a traceback."""
    run = _run(tmp_path, some_fail, jobs)
    assert FAILED == [tuple(row.values()) for row in run.failed]
    assert [(0, 0), (2, 0), (2, 1)] == [(row["cell"], row["seed"]) for row in run.metrics]
    assert 3 == run.missing
    assert 2 == len(summary(run).rows)
    (fault,) = json.loads((tmp_path / "out" / "run.log.json").read_text())["faults"]
    assert "ZeroDivisionError" in fault
    assert [".out.cells", "e.toml", "out"] == sorted(path.name for path in tmp_path.iterdir())


def _bytes(folder: Path) -> dict[str, bytes]:
    """Return what is in the files of a run, but the log."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != "run.log.json")
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.parametrize("jobs", [1, 2])
def test_only_what_failed_is_tried_again(tmp_path, jobs):
    """The same command takes up the cells that were run; then the run is whole, and nothing is left."""
    _run(tmp_path, some_fail, jobs)
    tried = tmp_path / "tried"
    tried.mkdir()
    run = _run(tmp_path, partial(tells, tried), jobs)
    assert ["0-1", "1-0", "1-1"] == sorted(path.name for path in tried.iterdir())
    assert ([], 0) == (run.failed, run.missing)
    assert 3 == json.loads((tmp_path / "out" / "run.log.json").read_text())["cells_taken_up"]
    again = _bytes(tmp_path / "out")
    assert "failed.parquet" not in again
    _run(tmp_path, fabricated_cell)
    assert _bytes(tmp_path / "out") == again
    assert ["e.toml", "out", "tried"] == sorted(path.name for path in tmp_path.iterdir())


def tells(folder: Path, cell: Cell, image: Path | None, trace: bool) -> CellResult:
    """Do as the fabricated core does, and leave a file that says so."""
    (folder / f"{cell.index}-{cell.seed}").touch()
    return fabricated_cell(cell, image, trace)


def test_what_fails_again_is_told_again(tmp_path):
    """As often as the command is given: the same rows, the same bytes, the others kept."""
    _run(tmp_path, some_fail)
    first = _bytes(tmp_path / "out")
    assert FAILED == [tuple(row.values()) for row in _run(tmp_path, some_fail).failed]
    assert first == _bytes(tmp_path / "out")
    assert 3 == len(list((tmp_path / ".out.cells").iterdir()))


def test_an_interruption_among_failures(tmp_path):
    """The run with failed.parquet stays as it was; what was finished, before or since, is taken up."""
    _run(tmp_path, some_fail)
    first = _bytes(tmp_path / "out")

    def interrupt(progress: Progress) -> None:
        if (progress.what, progress.done) == ("cells", 5):
            raise KeyboardInterrupt

    def run(run_cell, watch) -> Run:
        return execute(
            _experiment(tmp_path),
            tmp_path / "out",
            run_cell,
            no_image,
            draw=lambda *_run, **_each: None,
            watch=watch,
        )

    with pytest.raises(KeyboardInterrupt):
        run(fabricated_cell, interrupt)
    assert first == _bytes(tmp_path / "out")
    heard: list[Progress] = []
    assert [] == run(fabricated_cell, heard.append).failed
    assert Progress("kept", 5, 6, "e") == heard[0]
    assert ["e.toml", "out"] == sorted(path.name for path in tmp_path.iterdir())


def test_failures_before_an_interruption_are_tried_again(tmp_path):
    """What failed is not kept, so it cannot be taken for finished."""

    def interrupt(progress: Progress) -> None:
        if (progress.what, progress.done) == ("cells", 5):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(
            _experiment(tmp_path),
            tmp_path / "out",
            some_fail,
            no_image,
            draw=lambda *_run, **_each: None,
            watch=interrupt,
        )
    assert 2 == len(list((tmp_path / ".out.cells").iterdir()))
    assert FAILED == [tuple(row.values()) for row in _run(tmp_path, some_fail).failed]


def test_workers_change_no_byte_of_it(tmp_path):
    """One process and two write the same failed.parquet."""
    content = []
    for jobs in (1, 2):
        _run(tmp_path, some_fail, jobs)
        content.append((tmp_path / "out" / "failed.parquet").read_bytes())
    assert content[0] == content[1]


def test_an_image_that_cannot_be_made_fails_its_cells(tmp_path):
    """The cells of that volume have the image's error, the others are run."""
    text = TEXT.replace(
        'path = ["buffer_head", "mpage", "page_io"]', '"volume.block_size" = ["1KiB", "4KiB"]'
    )
    run = _run(tmp_path, fabricated_cell, make=image_fails, text=text)
    assert [(0, "volume: is too small"), (0, "volume: is too small")] == [
        (row["cell"], row["error"]) for row in run.failed
    ]
    assert [1, 1] == [row["cell"] for row in run.metrics]


def test_if_none_can_be_run_there_is_no_run(tmp_path):
    """The first error is raised, a fault as an InvariantError with its traceback."""
    with pytest.raises(ConfigError, match="is too small"):
        _run(
            tmp_path,
            fabricated_cell,
            make=image_fails,
            text=TEXT.replace("[volume]", "[volume]\nblock_size = 1024"),
        )
    text = TEXT.replace(PATHS, '["buffer_head"]').replace("= 2", "= [1]")
    with pytest.raises(InvariantError, match=r"(?s)ZeroDivisionError.*Traceback"):
        _run(tmp_path, some_fail, text=text)
    assert ["e.toml"] == [path.name for path in tmp_path.iterdir()]


def test_what_hangs_on_all_cells_says_so(tmp_path, capsys):
    """Claims cannot be told, no figures, no baseline; the terminal has each error and a last sentence."""
    run = replace(_run(tmp_path, some_fail), path=tmp_path / "out")
    claims = Path(__file__).parents[1] / "fuzz" / "corpus" / "claims"
    (tmp_path / "figures").mkdir()
    finding = evaluate(load_claims(claims)["small"][1], Cells(run))
    assert ("cannot tell", ("3 cells of this run have no result",)) == (finding.verdict, finding.notes)
    assert [] == draw(run, tmp_path / "figures")
    for refused in (
        lambda: draw(run, tmp_path, names=["cpu_per_4k"]),
        lambda: write_baseline(tmp_path, run, []),
    ):
        with pytest.raises(ConfigError, match="3 cells have no result"):
            refused()
    tell_failed(run)
    said = capsys.readouterr().err.splitlines()
    assert "readpath: cell 1 (mpage) seed 0 could not be run: disk.img: is damaged" == said[1]
    assert "readpath: 3 of 6 could not be run" in said[3]
    assert "run.log.json" in said[4]


def test_failed_rows_are_checked_when_read(tmp_path):
    """A failed cell that has a result too is no run."""
    _run(tmp_path, some_fail)
    failed = (tmp_path / "out" / "failed.parquet").read_bytes()
    _run(tmp_path, fabricated_cell)
    (tmp_path / "out" / "failed.parquet").write_bytes(failed)
    with pytest.raises(ConfigError, match=r"failed\.parquet: cells that"):
        load_run(tmp_path / "out")
