"""The [crash] table: what it says, and what of it is refused, in one line that names the place."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash_cells import CRASH, JOBS, VOLUME, cell_of, cell_text
from typer.testing import CliRunner

from sim.cli.main import app
from sim.config.crash import Crash
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.machine.run_cell import run_cell

READS = 'job = [{ name = "a", filename = "full", rw = "randread", bs = "4k", size = "64k" }]'


@pytest.mark.parametrize(
    ("said", "at"), [("bios", "bios"), ("random", "random"), ("20ms", 20_000_000), (7, 7), ("1.5us", 1500)]
)
def test_moments(said: str | int, at: str | int) -> None:
    """Words, a time with its unit, or ns."""
    assert Crash.model_validate({"at": said}).at == at


def test_defaults() -> None:
    """Behind bios, 50 of them, 4 states each."""
    assert (Crash().at, Crash().points, Crash().states) == ("bios", 50, 4)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            cell_text().replace('data = "real"', 'data = "off"', 1),
            ': crash with data off, or without jobs that write; allowed: data = "real", and rw = "write"',
        ),
        (
            cell_text(jobs=READS),
            ': crash with data off, or without jobs that write; allowed: data = "real", and rw = "write"',
        ),
        (
            cell_text(jobs=JOBS.replace('bs = "4k"', 'bs = "1000"')),
            ": crash with job 'a' of (1000, 1000) bytes; allowed: whole sectors of 512",
        ),
        (
            cell_text(jobs=JOBS.replace('bs = "4k"', 'bsrange = "512-1000"')),
            ": crash with job 'a' of (512, 1000) bytes; allowed: whole sectors of 512",
        ),
        (
            cell_text(crash='[crash]\nat = "often"'),
            ":5: crash.at: 'often' is not understood; allowed: ns, or a number with ns, us, ms, s, or"
            ' "bios", "random"',
        ),
        (
            cell_text(crash="[crash]\nat = -5"),
            ':5: crash.at: -5 is negative; allowed: ns, or a number with ns, us, ms, s, or "bios", "random"',
        ),
        (cell_text(crash="[crash]\nstates = 0"), ":5: crash.states: 0 cannot be used; allowed: >= 1"),
        (
            cell_text(crash="[crash]\nwhen = 3"),
            ":5: crash.when: unknown key 'when'; allowed: at, points, states",
        ),
        (
            cell_text(mount="journal_async_commit = true"),
            'journal_async_commit with data "ordered"; allowed: data = "writeback" or "journal"',
        ),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, told: str) -> None:
    """Before anything is run."""
    path = tmp_path / "x.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_experiment(path)
    assert str(caught.value).endswith(told)
    assert str(caught.value).startswith(str(path))
    done = CliRunner().invoke(app, ["run", str(path), "--output", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert told in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            cell_text(crash='[crash]\nat = "60s"'),
            r"crash.at: 60000000000 ns, but the run ends at \d+ ns; allowed: a time of the run",
        ),
        (
            cell_text(jobs=JOBS.replace('bs = "4k"', 'bs = "4k", blockalign = "100"')),
            r"workload.job: writes 4096 bytes at \d+, with \[crash\]; allowed: whole sectors of 512",
        ),
        (
            cell_text(volume=VOLUME.replace('journal = "1MiB"', "")),
            'volume.journal: data "real" with jobs that write, on a volume without journal; allowed: a size, '
            'as "16MiB", or data = "off"',
        ),
    ],
)
def test_what_a_run_refuses(tmp_path: Path, text: str, told: str) -> None:
    """What only the run, or the image, tells."""
    cell, image = cell_of(text, tmp_path)
    with pytest.raises(ConfigError, match=told):
        run_cell(cell, image, trace=False)


def test_a_run_without_it_is_as_before(tmp_path: Path) -> None:
    """No table: no states, and nothing of it in what is hashed."""
    cell, image = cell_of(cell_text(crash=""), tmp_path)
    assert "crash" not in cell.config.canonical()
    assert not [name for name in run_cell(cell, image, trace=False).metrics if name.startswith("crash")]
    cell, _ = cell_of(cell_text(crash=CRASH), tmp_path)
    assert cell.config.canonical()["crash"] == {"at": "bios", "points": 6, "states": 3}
