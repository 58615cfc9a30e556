"""A cell as fio's document: the keys of the installed fio, the run's numbers, fio's own converter."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tools import found
from traced_kit import READS, WRITES, table, traced

from sim.errors import ConfigError
from sim.export.fio_json import fio_document

OURS = {"description", "ioengine", "iodepth", "numjobs", "fsync"}


def keys(value: Any, place: str = "") -> set[str]:
    """Return the paths of all keys of a document; not those of bins, which are values, and of options."""
    if isinstance(value, list):
        return set().union(*(keys(one, place) for one in value))
    if not isinstance(value, dict):
        return {place}
    if place.endswith(("/bins", "/job options")):
        return {place}
    return {place}.union(*(keys(one, f"{place}/{name}") for name, one in value.items()))


def fio(folder: Path, *options: str, form: str) -> dict[str, Any]:
    """Return what the installed fio says of a small job on a file."""
    program = found("fio")
    if program is None:
        pytest.skip("fio is not installed")
    job = ["--name=a", "--filename=x", "--size=256k", "--bs=16k", "--ioengine=psync", *options]
    done = subprocess.run(
        [program, *job, f"--output-format={form}"], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"fio cannot run here: {done.stderr.strip()}")
    said: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
    if said["fio version"] != "fio-3.33":
        pytest.skip(f"{said['fio version']}: the form is that of 3.33")
    return said


@pytest.mark.parametrize("form", ["json", "json+"])
def test_the_keys_are_those_of_fio(writes, reads, tmp_path, form):
    """Of a job that reads, writes and syncs, and of one that only reads: no key more, none less."""
    plus = form == "json+"
    theirs = fio(tmp_path, "--rw=randrw", "--fsync=4", form=form)
    assert keys(theirs) == keys(fio_document(writes, 0, 0, plus))
    only_reads = fio(tmp_path, "--rw=randread", "--numjobs=2", form=form)
    assert keys(only_reads) == keys(fio_document(reads, 0, 0, plus))


def test_the_numbers_are_those_of_the_run(reads):
    """Bytes, I/Os, latencies of each clone are jobs.parquet's; units are fio's."""
    document = fio_document(reads, 0, 0, True)
    rows = [row for row in reads.jobs if row["cell"] == 0]
    assert [(row["bytes_read"], row["reads"]) for row in rows] == [
        (job["read"]["io_bytes"], job["read"]["total_ios"]) for job in document["jobs"]
    ]
    for row, job in zip(rows, document["jobs"], strict=True):
        said = job["read"]["clat_ns"]
        assert (row["latency_min_ns"], row["latency_max_ns"]) == (said["min"], said["max"])
        assert pytest.approx(row["latency_mean_ns"]) == said["mean"]
        assert pytest.approx(row["iops"]) == job["read"]["iops"]
        assert pytest.approx(row["throughput_mib_s"], abs=0.01) == job["read"]["bw_bytes"] / (1 << 20)
        assert row["reads"] == sum(said["bins"].values())
        middle = said["percentile"]["50.000000"]
        assert abs(row["latency_p50_ns"] - middle) * 128 <= middle
        shares = [sum(job[f"latency_{unit}"].values()) for unit in ("ns", "us", "ms")]
        assert pytest.approx(100) == sum(shares)
        assert 0 == job["usr_cpu"]
        assert 0 < job["sys_cpu"] < 100
        assert job["ctx"] > 0


def test_sys_cpu_is_the_task_s_own(reads):
    """100 times the CPU time of the clone's task over its runtime."""
    document = fio_document(reads, 0, 0, False)
    spent = sum(row["ns"] for row in table(reads, "bursts", 0) if row["comm"] == "job0.1")
    runtime = next(row["runtime_ns"] for row in reads.jobs if (row["cell"], row["clone"]) == (0, 1))
    assert pytest.approx(100 * spent / runtime) == document["jobs"][1]["sys_cpu"]


def test_the_disk_is_the_run_s(reads):
    """Requests and merges of disk_util are those of the metrics, on every device but one of bios."""
    for row in reads.metrics[:4]:
        (disk,) = fio_document(reads, row["cell"], 0, False)["disk_util"]
        assert row["requests"] == disk["read_ios"]
        assert row["back_merges"] + row["front_merges"] == disk["read_merges"]
        assert pytest.approx(100 * row["device_busy_ns"] / row["elapsed_ns"]) == disk["util"]
        assert disk["read_ticks"] == disk["in_queue"] > 0
    row = reads.metrics[5]
    (disk,) = fio_document(reads, 5, 0, False)["disk_util"]
    assert row["bios"] == disk["read_ios"]
    io = table(reads, "io", 5)
    stages = sum(one["bios"] * (one["plug_ns"] + one["queue_ns"] + one["device_ns"]) for one in io)
    assert stages // 10**6 == disk["read_ticks"]


def test_syncs_are_apart(writes):
    """fsync(2) counts in `sync`, not among the writes, and in the depths as fio counts it."""
    (job,) = fio_document(writes, 0, 0, False)["jobs"]
    (row,) = writes.metrics
    assert (row["reads"], row["writes"], row["syncs"]) == tuple(
        job[name]["total_ios"] for name in ("read", "write", "sync")
    )
    total = row["reads"] + row["writes"]
    assert pytest.approx(100 * (total + row["syncs"]) / total) == job["iodepth_level"]["1"]


def test_a_group_is_one_job_and_a_ramp_is_left_out(tmp_path):
    """With group_reporting two clones are one entry; what a ramp_time reads is in no number."""
    job = '{ rw = "randread", bs = "4k", numjobs = 2, group_reporting = true, ramp_time = "400us" }'
    text = READS.replace('{ rw = "randread", bs = "20k", numjobs = 2 }', job) + 'path = ["page_io"]\n'
    run = traced(tmp_path, text)
    (entry,) = fio_document(run, 0, 0, True)["jobs"]
    (group,) = [row for row in run.jobs if row["scope"] == "group"]
    assert (group["reads"], group["bytes_read"]) == (entry["read"]["total_ios"], entry["read"]["io_bytes"])
    assert len(table(run, "reads", 0)) > group["reads"] > 0
    assert group["latency_max_ns"] == entry["read"]["clat_ns"]["max"]


def test_a_cell_without_jobs_is_a_mistake(tmp_path):
    """What was run without a trace has no I/Os to tell of."""
    run = traced(tmp_path, WRITES, trace=False)
    with pytest.raises(ConfigError, match=r"has no reads\.parquet"):
        fio_document(run, 0, 0, False)


def test_fio_s_own_converter_reads_it(writes, tmp_path):
    """fio_jsonplus_clat2csv makes tables of the bins."""
    program = found("fio_jsonplus_clat2csv")
    if program is None:
        pytest.skip("fio is not installed")
    (tmp_path / "o.json").write_text(json.dumps(fio_document(writes, 0, 0, True)))
    command = ["/usr/bin/python3", program, "o.json", "o.csv"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    if "No module named 'six'" in done.stderr:
        pytest.skip("python3-six, which fio_jsonplus_clat2csv needs, is not installed")
    assert 0 == done.returncode, done.stderr
    (made,) = tmp_path.glob("*.csv")
    lines = [line.split(", ") for line in made.read_text().splitlines()]
    at = lines[0].index("read_clat_ns_count")
    counts = [int(line[at]) for line in lines[1:] if line[at].strip()]
    assert writes.metrics[0]["reads"] == sum(counts)


def test_fio_plot_draws_it(reads, tmp_path):
    """fio-plot (PyPI) makes its bars and its histogram of our document."""
    program = found("fio-plot")
    if program is None:
        pytest.skip("fio-plot is not installed")
    document = fio_document(reads, 0, 0, True)
    document["jobs"] = document["jobs"][:1]
    (tmp_path / "cell0.json").write_text(json.dumps(document))
    for form in ("-l", "-H"):
        words = ["-i", ".", "-T", "t", form, "-r", "randread", "-d", "1", "-n", "2", "-f", "read"]
        done = subprocess.run(
            [program, *words, "-o", f"plot{form}.png"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, done.stderr
        assert (tmp_path / f"plot{form}.png").stat().st_size > 1000


def test_errors_of_jobs_are_not_told_wrongly(tmp_path: Path) -> None:
    """fio's document has the error of each job, and a run does not keep it: one line instead."""
    text = READS.replace('data = "off"', 'data = "real"') + "\n"
    faults = '[faults]\nkind = "bit_flip"\ncount = 1\n[matrix]\n'
    run = traced(tmp_path, text.replace("[matrix]\n", faults))
    with pytest.raises(ConfigError, match=r"cell 0: has \[faults\].*; allowed: one without"):
        fio_document(run, 0, 0, False)
