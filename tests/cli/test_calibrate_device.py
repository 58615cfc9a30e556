"""readpath calibrate device: a profile that can be used, a table of errors, a line for what is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from fio_log import needs_fio
from fio_results_kit import measured, write_result
from typer.testing import CliRunner, Result

from sim.block.device.profile import load_device_profile
from sim.calibrate import fio_plan
from sim.cli.main import app
from sim.experiment.loading import load_experiment

SATA = load_device_profile("sata-ssd")
KNOWN = ["--give", "command_ns=10.2us", "--give", "units=32"]


def calibrate(*words: object) -> Result:
    """Call the verb."""
    return CliRunner().invoke(app, ["calibrate", "device", *map(str, words)])


@pytest.fixture
def result(tmp_path) -> Path:
    """What fio measures of the SATA drive."""
    return write_result(tmp_path / "r.json", measured(SATA))


def test_the_profile_is_one_that_an_experiment_takes(result, tmp_path):
    """Its head names the result and has a line a job; `device.profile` loads it."""
    done = calibrate("--fio", result, "--rest", "sata-ssd", *KNOWN, "-o", tmp_path / "mine.toml")
    assert 0 == done.exit_code, done.output
    text = (tmp_path / "mine.toml").read_text()
    assert text.startswith("# Written by `readpath calibrate device` from r.json (fio-3.33, ")
    assert 14 == sum(" in flight " in line for line in text.splitlines() if line.startswith("#   "))
    (tmp_path / "e.toml").write_text(
        'title = "t"\n[device]\nprofile = "mine.toml"\n[volume]\nfiles = [{ name = "a", size = "4KiB" }]\n'
        '[workload]\njob = { rw = "read" }\n'
    )
    assert load_experiment(tmp_path / "e.toml").cells
    assert "median error" in done.stdout


def test_without_an_output_the_profile_is_printed(result):
    """Positional results are as --fio; the text is the same profile."""
    done = calibrate(result, "--rest", "sata-ssd", *KNOWN)
    assert 'kind = "ssd"' in done.stdout.splitlines()


def test_the_judge_is_of_other_results(result, tmp_path):
    """--judge simulates jobs that were not fitted to; --json has their rows."""
    other = write_result(tmp_path / "o.json", measured(SATA, [("randread", 8192, 24), ("read", 65536, 4)]))
    done = calibrate(result, "--rest", "sata-ssd", *KNOWN, "--judge", other, "--json")
    rows = json.loads(done.stdout)["judged"]
    assert [("randread", 8.0, 24), ("read", 64.0, 4)] == [
        (row["rw"], row["kib"], row["in_flight"]) for row in rows
    ]
    assert max(abs(row["error"]) for row in rows) < 0.05
    table = calibrate(result, "--rest", "sata-ssd", *KNOWN, "--judge", other).stdout
    assert "judged by" in table


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "calibrate device: nothing to fit to; allowed: --fio RESULT.json, --run FILE_OR_DEVICE"),
        (["--fio", "none.json"], "none.json: cannot be read (No such file or directory)"),
        (["--run", "/"], "--run /: is a directory"),
        (["--run", "none", "--runtime", "0"], "--runtime: '0' is out of range; allowed: 10ms to 60s"),
        (["--run", "none"], "--run none: cannot be read"),
        (["--fio", "r.json"], "page_bytes, stripe_bytes, placement: fio's results do not show it"),
        (["--fio", "r.json", "--rest", "hdd"], "profile hdd is of kind hdd"),
        (["--fio", "r.json", "--rest", "nvm"], "'nvm' is not known"),
        (["--fio", "r.json", "--host", "soon"], "--host: 'soon' is not understood"),
        (["--fio", "r.json", "--give", "x=1"], "--give: 'x=1' is no constant"),
        (["--fio", "r.json", "--rest", "nvme", "--give", "units=0"], "units: is 0"),
    ],
)
@pytest.mark.usefixtures("result")
def test_what_is_wrong_is_told(tmp_path, monkeypatch, words, line):
    """Exit code 2, the line on standard error, and no file."""
    monkeypatch.chdir(tmp_path)
    done = calibrate(*words, "-o", "mine.toml")
    assert (2, "") == (done.exit_code, done.stdout)
    assert line in done.stderr
    assert not Path("mine.toml").exists()


def test_a_result_without_a_job_that_tells_is_refused(tmp_path):
    """All jobs wrote: each is named with its reason."""
    from fio_results_kit import Job

    path = write_result(tmp_path / "w.json", [Job(rw="write").entry()])
    done = calibrate(path, "--rest", "nvme")
    assert 2 == done.exit_code
    assert "has no job that tells of a device (w.json: job write-4096-1: rw=write is not" in done.stderr


@needs_fio
def test_the_real_fio_is_run_and_kept(tmp_path, monkeypatch):
    """A short plan on 64 MiB: it is printed first; the kept result gives the same profile again."""
    target = tmp_path / "data"
    with target.open("wb") as file:
        for _ in range(64):
            file.write(os.urandom(1 << 20))
        os.fsync(file.fileno())
    for name, kept in (("SIZES", (4096, 1 << 20)), ("DEPTHS", (4,)), ("BULK", ((1 << 20, 8),))):
        monkeypatch.setattr(fio_plan, name, kept)
    keep = tmp_path / "kept.json"
    words = ["--rest", "nvme", "--give", "units=4", "--give", "command_ns=1us", "--host", "5us"]
    words += ["--give", "flash_read_ns=50us", "--give", "bandwidth=1GB/s"]
    done = calibrate("--run", target, "--runtime", "10ms", "--keep", keep, *words)
    if "Invalid argument" in done.stderr or "direct" in done.stderr.partition("fio failed")[2]:
        pytest.skip(f"no O_DIRECT here: {done.stderr}")
    assert 0 == done.exit_code, done.stderr
    assert done.stderr.startswith(f"fio reads {target}, O_DIRECT, read-only: ")
    assert done.stdout == calibrate(keep, *words).stdout


@pytest.mark.parametrize("option", ["--keep", "-o"])
def test_what_could_not_be_written_is_told_before_anything_is_measured(tmp_path, option):
    """A folder that is not there: one line, and fio is not run."""
    target = tmp_path / "data"
    target.write_bytes(b"x" * (64 << 20))
    done = calibrate("--run", target, "--rest", "nvme", option, tmp_path / "none" / "x")
    assert (2, "") == (done.exit_code, done.stdout)
    assert done.stderr.startswith(f"readpath: {tmp_path / 'none' / 'x'}: cannot be written")
