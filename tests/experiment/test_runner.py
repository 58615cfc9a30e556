"""Run directories: the same to the byte for the same run, whole or not there."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fabricated import fabricated_cell, no_image

from sim.config.cell_result import METRICS, CallRow, CellResult, IoRow, ReadRow
from sim.errors import ConfigError, ImageError
from sim.experiment import versions
from sim.experiment.finished_cells import keys_of_cells, run_and_keep, take_up
from sim.experiment.loading import load_experiment
from sim.experiment.results import draw_into, load_run, written_aside
from sim.experiment.runner import Progress, default_folder, execute

TEXT = """\
title = "t"
path = "mpage"
[device]
profile = "nvme"
[volume]
block_size = "4KiB"
files = [{ name = "data", size = "1MiB" }]
[workload]
job = { bs = "128k" }
[matrix]
"volume.block_size" = ["1KiB", "4KiB"]
path = ["buffer_head", "page_io"]
[run]
seeds = 2
"""

_HERE = f"{Path(__file__).parent}:{Path(__file__).parents[1] / 'kit'}"
"""Where a process of its own finds this file and the kit."""


@pytest.fixture(autouse=True)
def _one_model(monkeypatch):
    """Runs that are compared are of one model, that of the tree as a test begins, whoever edits it then."""
    model = versions.model_digest()
    monkeypatch.setattr(versions, "model_digest", lambda: model)


def _experiment(folder: Path, old: str = "", new: str = ""):
    file = folder / "e.toml"
    file.write_text(TEXT.replace(old, new))
    return load_experiment(file)


def _draw(_run, folder: Path, **_each) -> None:
    (folder / "f.svg").write_text("drawn")


def _run(experiment, target: Path, **options):
    return execute(experiment, target, fabricated_cell, no_image, draw=_draw, **options)


def _bytes(folder: Path) -> dict[str, str]:
    """Return the digest of every file of a run, but the log that says when it was."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "run.log.json"
    }


def test_workers_and_hash_seeds_change_no_byte(tmp_path):
    """One process, two workers, and a process with another PYTHONHASHSEED write the same files."""
    experiment = _experiment(tmp_path)
    _run(experiment, tmp_path / "one")
    _run(experiment, tmp_path / "two", jobs=2)
    code = (
        "import sys, pathlib; sys.path[:0] = sys.argv[1].split(':'); import test_runner as t;"
        "d = pathlib.Path(sys.argv[2]); t._run(t.load_experiment(d / 'e.toml'), d / 'three')"
    )
    subprocess.run(
        [sys.executable, "-c", code, _HERE, str(tmp_path)],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        check=True,
    )
    one = _bytes(tmp_path / "one")
    assert set(one) == {
        "manifest.json", "metrics.parquet", "calls.parquet", "histograms.parquet", "figures/f.svg",
    }  # fmt: skip
    assert one == _bytes(tmp_path / "two")
    assert one == _bytes(tmp_path / "three")


def test_a_run_reads_back(tmp_path):
    """Rows come back in matrix order with labels and metrics; the manifest holds every configuration."""
    run = _run(_experiment(tmp_path), tmp_path / "out")
    assert [
        (row["cell"], row["seed"], row["volume.block_size"], row["path"], row["map_calls"])
        for row in run.metrics
    ] == [
        (0, 0, "1KiB", "buffer_head", 1024),
        (0, 1, "1KiB", "buffer_head", 1024),
        (1, 0, "1KiB", "page_io", 8),
        (1, 1, "1KiB", "page_io", 8),
        (2, 0, "4KiB", "buffer_head", 256),
        (2, 1, "4KiB", "buffer_head", 256),
        (3, 0, "4KiB", "page_io", 8),
        (3, 1, "4KiB", "page_io", 8),
    ]
    assert len(run.calls) == 3 * 8
    assert run.axes == {"volume.block_size": ["1KiB", "4KiB"], "path": ["buffer_head", "page_io"]}
    assert [cell["cell"] for cell in run.manifest["cells"]] == [0, 1, 2, 3]
    assert run.manifest["cells"][0]["config"]["volume"]["block_size_bytes"] == 1024
    assert set(json.loads((tmp_path / "out" / "run.log.json").read_text())) == {
        "started",
        "wall_s",
        "workers",
        "cells_taken_up",
    }


def test_columns_say_their_unit(tmp_path):
    """Every metric we know is written with the unit and meaning that METRICS gives."""
    _run(_experiment(tmp_path), tmp_path / "out")
    schema = pq.read_schema(tmp_path / "out" / "metrics.parquet")
    for name in set(METRICS) & set(schema.names):
        said = schema.field(name).metadata
        assert METRICS[name] == (said[b"unit"].decode(), said[b"about"].decode())
    assert b"pandas" not in (schema.metadata or {})


def test_progress_is_told_in_order(tmp_path):
    """The watcher hears each volume once, then each cell."""
    heard: list[Progress] = []
    _run(_experiment(tmp_path), tmp_path / "out", watch=heard.append)
    assert [(p.what, p.done, p.total) for p in heard[:2]] == [("images", 1, 2), ("images", 2, 2)]
    assert [("cells", n, 8) for n in range(1, 9)] == [(p.what, p.done, p.total) for p in heard[2:]]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_failing_cell_leaves_the_old_run(tmp_path, jobs):
    """An error in a cell is passed on; the run that was there stays, and nothing lies around."""
    _run(_experiment(tmp_path), tmp_path / "out")
    before = _bytes(tmp_path / "out")
    broken = _experiment(tmp_path, '"data"', '"broken"')
    with pytest.raises(ImageError, match=r"volume.img: is damaged"):
        _run(broken, tmp_path / "out", jobs=jobs)
    assert before == _bytes(tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.toml", "out"]


def _interrupted(experiment, target: Path, after: int, **options) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.what == "cells" and progress.done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _run(experiment, target, watch=interrupt, **options)


def test_a_folder_of_somebody_else_is_an_error_and_stays(tmp_path):
    """An empty directory under the name of the finished cells is not used and not removed."""
    theirs = tmp_path / ".run.cells"
    theirs.mkdir(mode=0o700)
    with pytest.raises(ConfigError, match="is in the way"):
        _run(_experiment(tmp_path), tmp_path / "run")
    assert theirs.is_dir()


@pytest.mark.parametrize("after", [1, 3, 8])
def test_an_interrupted_run_goes_on_where_it_was(tmp_path, after):
    """Ctrl-C after some cells keeps these, and nothing half-written; the rerun has the same bytes."""
    experiment, target = _experiment(tmp_path), tmp_path / "out"
    _interrupted(experiment, target, after)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.cells", "e.toml"]
    heard: list[Progress] = []
    _run(experiment, target, watch=heard.append)
    assert heard[0] == Progress("kept", after, 8, "e")
    assert [p.done for p in heard if p.what == "cells"] == list(range(after + 1, 9))
    assert json.loads((target / "run.log.json").read_text())["cells_taken_up"] == after
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.toml", "out"]
    _run(experiment, tmp_path / "whole")
    assert _bytes(target) == _bytes(tmp_path / "whole")


def test_only_what_is_still_true_is_taken_up(tmp_path, monkeypatch):
    """Other cells, another code, another trace flag, a changed byte: nothing of it is used, or left."""
    experiment, target = _experiment(tmp_path), tmp_path / "out"
    kept = tmp_path / ".out.cells"

    def taken_up(experiment) -> int:
        return len(take_up(kept, keys_of_cells(experiment.cells, False)))

    _interrupted(experiment, target, 3)
    files = sorted(kept.iterdir())
    changed = bytearray(files[0].read_bytes())
    changed[len(changed) // 2] ^= 1  # whichever cell's it is: the names are hashes, in no order to rely on
    files[0].write_bytes(changed)
    files[1].write_bytes(files[1].read_bytes()[:-1])
    (kept / "something").write_text("else")
    assert taken_up(experiment) == 1
    assert list(kept.iterdir()) == [files[2]]
    assert taken_up(_experiment(tmp_path, '"1MiB"', '"2MiB"')) == 0
    assert list(kept.iterdir()) == []
    _interrupted(experiment, target, 3)
    assert set(keys_of_cells(experiment.cells, False)).isdisjoint(keys_of_cells(experiment.cells, True))
    monkeypatch.setattr("sim.experiment.versions.model_digest", lambda: "another")
    assert taken_up(experiment) == 0


def test_results_survive_being_kept(tmp_path):
    """A result with floats, bins and traced rows comes back equal, types and order included."""
    (cell, *_) = _experiment(tmp_path).cells
    result = CellResult(
        {"a_ns": 3, "b": 0.1 + 0.2, "c": "text", "d": 1.0},
        [CallRow("s", "a;s", "irq", 1, 2, "bio")],
        {"bio_sectors": {256: 1, 8: 2}},
        [IoRow(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)],
        [ReadRow(0, 1, 2)],
    )
    run_and_keep(lambda *_: result, tmp_path / "kept", "k", cell, None, True)
    (back,) = take_up(tmp_path / "kept", ["k"]).values()
    assert back == result
    assert repr(back) == repr(result)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_is_followed_by_one_that_goes_on(tmp_path, how):
    """A process killed in its fifth cell, workers and all: the next takes up what was finished."""
    experiment, target = _experiment(tmp_path), tmp_path / "out"
    code = (
        "import sys, pathlib; sys.path[:0] = sys.argv[1].split(':'); import test_runner as t;"
        "d = pathlib.Path(sys.argv[2]); e = t.load_experiment(d / 'e.toml');"
        "t.execute(e, d / 'out', t.stops_at_cell_2, t.no_image, draw=t._draw)"
    )
    words = [sys.executable, "-c", code, _HERE, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "stopped\n"
        process.send_signal(how)
        process.wait(timeout=300)
    assert len(list((tmp_path / ".out.cells").iterdir())) == 4
    _run(experiment, target)
    assert json.loads((target / "run.log.json").read_text())["cells_taken_up"] == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["e.toml", "out"]
    _run(experiment, tmp_path / "whole")
    assert _bytes(target) == _bytes(tmp_path / "whole")


def stops_at_cell_2(cell, image, trace):
    """Do as the fabricated core does, and hang in the third cell of the matrix."""
    if cell.index == 2:
        print("stopped", flush=True)
        time.sleep(600)
    return fabricated_cell(cell, image, trace)


def test_a_directory_of_a_living_process_is_left_alone(tmp_path):
    """Two runs into one directory: the second does not take away what the first is writing."""
    with written_aside(tmp_path / "out") as first:
        (first / "manifest.json").write_text("{}")
        with written_aside(tmp_path / "out") as second:
            assert first.is_dir()
            (second / "manifest.json").write_text("{}")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_run_replaces_a_run_and_nothing_else(tmp_path):
    """An old run is replaced when the new one is whole; a directory of something else is not touched."""
    target = tmp_path / "out"
    _run(_experiment(tmp_path), target)
    (target / "stale").write_text("")
    _run(_experiment(tmp_path), target)
    assert not (target / "stale").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match="is not empty and not a run directory"), written_aside(other):
        pass
    assert (other / "thesis.tex").exists()
    with pytest.raises(ConfigError, match="is not a directory"), written_aside(tmp_path / "e.toml"):
        pass


def test_damaged_runs_are_refused(tmp_path):
    """A directory that is no run, is cut off, or is of another format gives one error."""
    target = tmp_path / "out"
    with pytest.raises(ConfigError, match="is not a run directory"):
        load_run(target)
    _run(_experiment(tmp_path), target)
    (target / "calls.parquet").write_bytes((target / "calls.parquet").read_bytes()[:-9])
    with pytest.raises(ConfigError, match="is not a run directory"):
        load_run(target)
    _run(_experiment(tmp_path), target)
    (target / "metrics.parquet").write_bytes((target / "histograms.parquet").read_bytes())
    with pytest.raises(ConfigError, match=r"\(metrics.parquet: config_hash: is missing"):
        load_run(target)
    for text in ('{"format": 1}', "[]", '{"format": 1, "axes": [], "cells": [], "seeds": [0]}'):
        _run(_experiment(tmp_path), target)
        (target / "manifest.json").write_text(text)
        with pytest.raises(ConfigError, match="is not a run directory"):
            load_run(target)
    (target / "manifest.json").write_text('{"format": 99}')
    with pytest.raises(ConfigError, match="format 99 of another readpath; allowed: 1"):
        load_run(target)


def test_figures_are_replaced_when_drawn(tmp_path):
    """New figures take the place of the old ones at once; a drawing that fails leaves the old."""
    _run(_experiment(tmp_path), tmp_path / "out")

    def again(folder: Path) -> list[Path]:
        (folder / "g.svg").write_text("again")
        return [folder / "g.svg"]

    assert draw_into(tmp_path / "out", again) == [tmp_path / "out" / "figures" / "g.svg"]
    assert [path.name for path in (tmp_path / "out" / "figures").iterdir()] == ["g.svg"]

    def fails(_folder: Path) -> list[Path]:
        raise ConfigError("figure", "cannot be drawn")

    with pytest.raises(ConfigError):
        draw_into(tmp_path / "out", fails)
    assert [path.name for path in (tmp_path / "out" / "figures").iterdir()] == ["g.svg"]


def test_default_folder_is_name_and_hash(tmp_path):
    """Another configuration goes to another directory by default."""
    one, other = _experiment(tmp_path), _experiment(tmp_path, '"1MiB"', '"2MiB"')
    assert default_folder(one, Path("r")) == Path("r") / f"e-{one.config_hash[:8]}"
    assert default_folder(one, Path("r")) != default_folder(other, Path("r"))


@pytest.mark.parametrize("name", ["", ".", "a/..", "/"])
def test_a_target_needs_a_name(tmp_path, monkeypatch, name):
    """A run directory takes the place of what was there: not that of the current directory, or above."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    with pytest.raises(ConfigError, match="has no name of its own; allowed: a new -o DIR"):
        _run(_experiment(tmp_path), Path(name))
    assert {"a", "e.toml"} == {path.name for path in tmp_path.iterdir()}


def test_a_script_without_a_guard_is_told(tmp_path):
    """Workers import the script that runs; one that runs again when imported is told how it would not."""
    (tmp_path / "e.toml").write_text(TEXT.replace("seeds = 2", "seeds = 1"))
    call = 'run("e.toml", to="out", jobs=2)'
    (tmp_path / "script.py").write_text(f"from sim.api import run\n{call}\n")
    done = _script(tmp_path)
    assert done.returncode == 1, done.stderr
    told = [
        line for line in done.stderr.splitlines() if line.startswith("sim.experiment.workers.WorkerLostError")
    ]
    assert all("__main__" in line for line in told)
    assert "a worker process was killed" in told[-1], (
        done.stderr
    )  # the script's own; those before, its workers'
    assert "semaphore" not in done.stderr, done.stderr  # workers have begun none of their own
    assert not (tmp_path / "out").exists()
    guarded = f'from sim.api import run\nif __name__ == "__main__":\n    print(len({call}.metrics))\n'
    (tmp_path / "script.py").write_text(guarded)
    done = _script(tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "4"), done.stderr


def _script(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "script.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
