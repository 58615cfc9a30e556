"""fio's logs: the lines that fio writes, one an I/O, and a tool of fio's reads them."""

from __future__ import annotations

import subprocess

import pytest
from tools import found
from traced_kit import table

from sim.export.fio_logs import KINDS, write_fio_logs


def test_a_line_an_io_in_fio_s_units(writes, tmp_path):
    """Time in ms from the job's start, value, direction, bytes, priority; in the order of the ends."""
    files = write_fio_logs(writes, 0, 0, tmp_path, "w")
    assert [f"w_{kind}.1.log" for kind in KINDS] == [path.name for path in files]
    calls = [(row["start"], row["latency_ns"], 0, row["length"]) for row in table(writes, "reads", 0)]
    calls += [
        (row["start"], row["latency_ns"], 1, row["length"])
        for row in table(writes, "writes", 0)
        if row["call"] == "write"
    ]
    began = min(calls)[0]
    ends = sorted((start + took, took, length, ddir) for start, took, ddir, length in calls)
    expected = [f"{(end - began) // 10**6}, {took}, {ddir}, {length}, 0" for end, took, length, ddir in ends]
    assert expected == (tmp_path / "w_lat.1.log").read_text().splitlines()
    assert expected == (tmp_path / "w_clat.1.log").read_text().splitlines()
    assert "" == (tmp_path / "w_slat.1.log").read_text()
    rates = [line.split(", ")[1] for line in (tmp_path / "w_bw.1.log").read_text().splitlines()]
    assert [str(length * 10**6 // took) for _, took, length, _ in ends] == rates
    assert {"1"} == {line.split(", ")[1] for line in (tmp_path / "w_iops.1.log").read_text().splitlines()}


def test_a_clone_has_logs_of_its_own(reads, tmp_path):
    """They are numbered from 1, and hold its reads."""
    write_fio_logs(reads, 0, 0, tmp_path, "r")
    counts = [len((tmp_path / f"r_bw.{number}.log").read_text().splitlines()) for number in (1, 2)]
    assert [row["reads"] for row in reads.jobs if row["cell"] == 0] == counts


def test_fio2gnuplot_reads_them(writes, tmp_path):
    """fio2gnuplot finds the least and the most bandwidth of the log."""
    program = found("fio2gnuplot")
    if program is None:
        pytest.skip("fio is not installed")
    write_fio_logs(writes, 0, 0, tmp_path, "w")
    command = ["/usr/bin/python3", program, "-p", "w_bw*.log"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    rates = [int(line.split(", ")[1]) for line in (tmp_path / "w_bw.1.log").read_text().splitlines()]
    for name, expected in (("min", min(rates)), ("max", max(rates))):
        assert f"0 {expected}" == (tmp_path / f"w_bw.{name}").read_text().splitlines()[-1]
