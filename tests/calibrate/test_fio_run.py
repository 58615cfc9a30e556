"""Running fio on a file or device: what is refused, what the plan says, and that nothing is written."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from fio_log import needs_fio

from sim.calibrate.fio_plan import LEAST_BYTES, Plan, PlannedJob, plan_for
from sim.calibrate.fio_results import parse_fio_result
from sim.calibrate.fio_run import check_target, find_fio, queue_limits, run_plan
from sim.errors import ConfigError


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("none", "cannot be read (No such file or directory)"),
        ("folder", "is a directory"),
        ("fifo", "is neither a file nor a block device"),
        ("short", f"has {LEAST_BYTES - 1} bytes"),
        ("sparse", "has holes: 0 of"),
        ("a\nb", "has letters in its name that a job file cannot hold"),
    ],
)
def test_what_cannot_be_measured_is_told(tmp_path, kind, problem):
    """One line with what is wrong and what could be measured; a FIFO is not waited for."""
    target = tmp_path / kind
    if kind == "folder":
        target.mkdir()
    if kind == "fifo":
        os.mkfifo(target)
    if kind in ("short", "sparse"):
        target.touch()
        os.truncate(target, LEAST_BYTES - (kind == "short"))
    with pytest.raises(ConfigError) as error:
        check_target(target)
    assert problem in str(error.value)
    assert "allowed: a block device or a written file of 64 MiB or more" in str(error.value)


def test_without_fio_it_is_told(monkeypatch):
    """A line, and that results of another machine will do."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr("sim.calibrate.fio_run.find_program", lambda _name: None)
    with pytest.raises(
        ConfigError, match=r"--run: fio is not installed; allowed: fio 3, or --fio RESULT.json"
    ):
        find_fio()


def test_the_plan_only_reads_and_says_how_long():
    """Every job reads, directly; 26 jobs of 1 s behind 0.2 s, with 0.3 s each to start, are 39 s at most."""
    plan = plan_for(10**9, 512)
    text = plan.job_file("/dev/x:1")
    assert {"rw=read", "rw=randread"} == {line for line in text.splitlines() if line.startswith("rw=")}
    assert {"direct=1", "allow_file_create=0", r"filename=/dev/x\:1"} <= set(text.splitlines())
    assert "26 jobs, 1 s each behind 0.2 s, 39 s in all at most" in plan.lines("x")[0]
    assert 26 == len(plan.jobs) == len(plan.lines("x")) - 1


def test_a_device_of_large_sectors_is_not_asked_for_small_reads():
    """With sectors of 4 KiB the plan begins at 4 KiB."""
    assert 4096 == min(job.bs_bytes for job in plan_for(10**9, 4096).jobs)


def test_the_queues_limits_are_the_kernels(tmp_path):
    """A virtio disk's folder: values and units of its files; of a scheduler that is not modelled, none."""
    queue = tmp_path / "vda" / "queue"
    queue.mkdir(parents=True)
    said = {"max_sectors_kb": "4096", "max_segments": "254", "nr_requests": "256", "read_ahead_kb": "128"}
    for name, text in {**said, "scheduler": "none [mq-deadline] bfq"}.items():
        (queue / name).write_text(text + "\n")
    found = {name: (entry["value"], entry["unit"]) for name, entry in queue_limits(queue).items()}
    assert found == {
        "max_sectors": (4096, "KiB"),
        "max_segments": (254, "count"),
        "queue_depth": (256, "count"),
        "read_ahead_bytes": (128, "KiB"),
        "scheduler": ("mq-deadline", "name"),
        "driver": ("virtio_blk", "name"),
        "bio_based": (False, "flag"),
    }
    (queue / "scheduler").write_text("none [bfq]\n")
    assert "scheduler" not in queue_limits(queue)
    assert {} == queue_limits(None)


def written(path: Path) -> Path:
    """Write a file that lies on the device."""
    with path.open("wb") as file:
        for _ in range(LEAST_BYTES >> 20):
            file.write(os.urandom(1 << 20))
        os.fsync(file.fileno())
    return path


@needs_fio
def test_fio_reads_and_leaves_the_file_as_it_is(tmp_path):
    """Two short jobs of the real fio: two rows, with the plan beside them, and not a byte is changed."""
    target = written(tmp_path / "data:1")
    before = hashlib.sha256(target.read_bytes()).digest(), target.stat().st_mtime_ns
    check_target(target)
    plan = Plan((PlannedJob("one", "randread", 4096, 1), PlannedJob("deep", "randread", 4096, 4)), 50_000_000)
    try:
        text = run_plan(find_fio(), target, plan, {})
    except ConfigError as error:
        pytest.skip(f"no O_DIRECT here: {error}")
    assert [1, 4] == [row.in_flight for row in parse_fio_result(text, "run.json").rows]
    assert 3 == len(json.loads(text)["readpath"]["plan"])
    assert before == (hashlib.sha256(target.read_bytes()).digest(), target.stat().st_mtime_ns)


@needs_fio
def test_a_job_that_fio_cannot_run_is_told_in_its_words(tmp_path):
    """Blocks that O_DIRECT does not take: fio's own line."""
    target = written(tmp_path / "data")
    plan = Plan((PlannedJob("odd", "randread", 100, 1),), 50_000_000)
    with pytest.raises(ConfigError, match=r"--run .*data: fio failed: fio: .*Invalid argument"):
        run_plan(find_fio(), target, plan, {})


def test_fio_is_told_to_write_nothing(tmp_path):
    """A program in fio's place sees --readonly first, and what it says is told as its failure."""
    fake = tmp_path / "fio"
    fake.write_text('#!/bin/sh\necho "$@" >&2\nexit 1\n')
    fake.chmod(0o755)
    with pytest.raises(
        ConfigError, match=r"fio failed: --readonly --output-format=json --output=\S+ \S+plan.fio"
    ):
        run_plan(str(fake), tmp_path, plan_for(10**7, 512), {})
