"""Cells on a Dask cluster: the same bytes, whoever runs them and whoever is killed; files that travel."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sim.cli.main import app
from sim.config.values import FileRef
from sim.errors import ConfigError
from sim.experiment import cluster
from sim.experiment.attempts import Failure
from sim.experiment.cluster import Task, code_here, content_to_send, named_files, put_files, run_there
from sim.experiment.loading import load_experiment
from sim.files import content_digest

SWEEP = """\
title = "t"
data = "off"
[device]
profile = "nvme"
[volume]
files = [{ name = "data", size = "64KiB" }]
contents = "none"
[workload]
job = { rw = "read", bs = "4k", size = "64k" }
[run]
seeds = 4
[matrix]
path = ["page_io", "buffer_head"]
"machine.cpus" = [1, 2, 3, 4, 5]
"""
READPATH = [sys.executable, "-c", "from sim.cli.main import app; app(prog_name='readpath')"]
RUN = [*READPATH, "run", "sweep.toml", "--no-figures", "--quiet"]
QUIET = {"DASK_DISTRIBUTED__LOGGING__DISTRIBUTED": "error"}


def address_in(written: Path, by: subprocess.Popen[bytes]) -> str:
    """Return where a scheduler listens, as soon as it has written it: on a port that the system gave it."""
    while by.poll() is None:
        with suppress(FileNotFoundError, json.JSONDecodeError):
            return str(json.loads(written.read_text())["address"])
        time.sleep(0.05)
    raise AssertionError(f"the scheduler ended with {by.returncode}")


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """A scheduler and two workers, each a process of its own."""
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    written = tmp_path / "scheduler.json"
    env = {**os.environ, **QUIET}
    program = [
        sys.executable,
        "-m",
        "distributed.cli.dask_scheduler",
        "--host",
        "127.0.0.1",
        "--no-dashboard",
        "--port",
        "0",
        "--scheduler-file",
        str(written),
    ]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": env, "cwd": tmp_path}
    processes = [subprocess.Popen(program, **quiet)]  # type: ignore[call-overload]
    address = address_in(written, processes[0])
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-nanny"]
    processes += [subprocess.Popen([*worker, "--no-dashboard"], **quiet) for _ in range(2)]  # type: ignore[call-overload]
    yield address, processes
    for process in processes:
        process.kill()
        process.wait()


def tables(folder: Path) -> dict[str, bytes]:
    """Return all of a run directory but what tells the time."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".parquet"} | {
        "manifest.json": (folder / "manifest.json").read_bytes()
    }


def test_a_killed_worker_changes_no_byte(tmp_path, dask):
    """Forty cells on two workers of which one is killed: the bytes of one process, nothing left over."""
    address, (_, _, victim) = dask
    (tmp_path / "sweep.toml").write_text(SWEEP)
    env = {**os.environ, **QUIET}
    subprocess.run([*RUN, "-o", "one", "--jobs", "1"], cwd=tmp_path, env=env, check=True)
    command = [*RUN, "-o", "two", "--scheduler", address, "--images", str(tmp_path / "images")]
    with subprocess.Popen(command, cwd=tmp_path, env=env) as run:
        kept, deadline = tmp_path / ".two.cells", time.monotonic() + 120
        while run.poll() is None and not any(kept.glob("[0-9a-f]*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        victim.send_signal(signal.SIGKILL)
    assert 0 == run.returncode
    assert tables(tmp_path / "one") == tables(tmp_path / "two")
    assert not kept.exists()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nowhere", "--scheduler: 'nowhere' is no address; allowed: local, or the address of a Dask"),
        ("tcp://127.0.0.1:{port}", "does not answer (Connection refused); allowed: local, or"),
    ],
)
def test_no_scheduler_is_one_line(tmp_path, address, said):
    """A wrong address: place, value, what is allowed; no run directory."""
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    (tmp_path / "sweep.toml").write_text(SWEEP)
    words = ["run", str(tmp_path / "sweep.toml"), "-o", str(tmp_path / "x"), "--scheduler"]
    with socket.socket() as bound:  # nobody else can have its port, and nobody listens
        bound.bind(("127.0.0.1", 0))
        told = CliRunner().invoke(app, [*words, address.format(port=bound.getsockname()[1])])
    assert 2 == told.exit_code
    assert said in told.stderr
    assert not (tmp_path / "x").exists()


def test_without_dask(monkeypatch):
    """It says how to install it."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ConfigError, match=r"dask\.distributed is not installed"), cluster.cluster("local", 1):
        pass


def one_cell(folder: Path, profile: str):
    """Return the only cell of an experiment that names a device profile of its own."""
    (folder / "e.toml").write_text(SWEEP.split("[run]")[0].replace('"nvme"', f'"{profile}"'))
    return load_experiment(folder / "e.toml").cells[0]


def test_files_travel_with_a_cell(tmp_path):
    """What is named relative to the experiment is found on a worker by the same name, above it too."""
    source = (Path(cluster.__file__).parents[1] / "profiles" / "devices" / "nvme.toml").read_bytes()
    (tmp_path / "mine").mkdir()
    (tmp_path / "nvme.toml").write_bytes(source)
    cell = one_cell(tmp_path / "mine", "../nvme.toml")
    (named,) = named_files(cell.config)
    assert "../nvme.toml" == named.path
    base = put_files([named, FileRef(path="a/b.txt", sha256="")], [source, b"b"])
    assert source == (base / "../nvme.toml").read_bytes()
    assert b"b" == (base / "a" / "b.txt").read_bytes()
    assert base == put_files([named, FileRef(path="a/b.txt", sha256="")], [source, b"b"])
    (tmp_path / "nvme.toml").write_bytes(source + b"#")
    with pytest.raises(ConfigError, match="has changed since"):
        content_to_send(tmp_path / "nvme.toml", named.sha256)


def test_a_large_file_does_not_travel(tmp_path, monkeypatch):
    """It needs a path that all have, which is then not looked at here."""
    source = (Path(cluster.__file__).parents[1] / "profiles" / "devices" / "nvme.toml").read_bytes()
    (tmp_path / "n.toml").write_bytes(source)
    monkeypatch.setattr(cluster, "MOST_BYTES", 16)
    with pytest.raises(ConfigError, match="up to 16B, or an absolute path that all workers have"):
        content_to_send(tmp_path / "n.toml", content_digest(tmp_path / "n.toml"))
    absolute = one_cell(tmp_path, str(tmp_path / "n.toml"))
    assert set() == named_files(absolute.config)


def test_another_version_is_an_error_of_the_cell(tmp_path):
    """A result of other code is none."""
    cell = one_cell(tmp_path, "nvme")

    def run(*_):
        raise AssertionError

    told = run_there(run, run, Task(cell, (), "another", False), [])
    assert isinstance(told, Failure)
    assert "a worker has another version of readpath" in told.error
    same = Task(replace(cell), (), code_here(()), False)
    assert "AssertionError" in run_there(run, run, same, []).error
