"""Block events in blktrace's forms: blkparse reads ours and prints what we print, btt finds our stages."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from tools import found
from traced_kit import READS, table, traced

from sim.errors import ConfigError
from sim.experiment.results import Run
from sim.export.blkparse import blkparse_lines
from sim.export.blktrace import events_of, write_blktrace
from sim.export.block_events import DEVICE, block_events
from sim.export.formats import FORMATS, Wanted
from sim.units import SECTOR_BYTES
from sim.workload.traces.formats import read_trace


def program(name: str) -> str:
    """Return the path of a program of blktrace, or skip the test."""
    path = found(name)
    if path is None:
        pytest.skip(f"{name} (blktrace) is not installed")
    return path


def written(run: Run, cell: int, folder: Path) -> None:
    """Write a cell's binary files."""
    cpus = run.manifest["cells"][cell]["config"]["machine"]["cpus"]
    assert cpus == len(write_blktrace(block_events(run.path, cell, 0), cpus, folder))


def said(folder: Path, *command: str) -> str:
    """Return what a program prints; fail if it complains."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr.strip()), done.stderr
    return done.stdout


def in_order(lines: list[str]) -> list[str]:
    """Return lines by time, CPU and number: blkparse puts those of one time in some order."""
    return sorted(lines, key=lambda line: (line.split()[3], line.split()[1], int(line.split()[2])))


@pytest.mark.parametrize("cell", range(6))
def test_blkparse_prints_what_we_print(reads, tmp_path, cell):
    """The text of the binary files is the text that is exported, line by line, on every device and path."""
    blkparse = program("blkparse")
    written(reads, cell, tmp_path)
    theirs = said(tmp_path, blkparse, "-i", DEVICE)
    lines = [line for line in theirs.splitlines() if re.match(r"\s*\d+,\d+ ", line)]
    ours = list(blkparse_lines(block_events(reads.path, cell, 0)))
    assert len(ours) > 50
    assert in_order(ours) == in_order(lines)
    assert f"Events ({DEVICE}): {len(ours)} entries" in theirs
    assert "Skips: 0 forward" in theirs


def test_writes_and_flushes_too(writes, tmp_path):
    """The same of a job that writes and syncs: W, S, M, F before and behind, commands without sectors."""
    blkparse = program("blkparse")
    written(writes, 0, tmp_path)
    theirs = said(tmp_path, blkparse, "-i", DEVICE)
    lines = [line for line in theirs.splitlines() if re.match(r"\s*\d+,\d+ ", line)]
    assert in_order(list(blkparse_lines(block_events(writes.path, 0, 0)))) == in_order(lines)
    assert {"FN", "FWS", "FWFSM", "WS", "WSM", "RA"} <= {line.split()[6] for line in lines}


def btt(folder: Path) -> dict[str, tuple[float, int]]:
    """Return what btt says: stage -> mean in seconds, how many."""
    blkparse, program_btt = program("blkparse"), program("btt")
    said(folder, blkparse, "-i", DEVICE, "-d", "binary", "-O")
    text = said(folder, program_btt, "-i", "binary")
    rows = re.findall(r"^(\w\d?\w)\s+[\d.]+\s+([\d.]+)\s+[\d.]+\s+(\d+)$", text, re.MULTILINE)
    return {name: (float(mean), int(count)) for name, mean, count in rows}


ALONE = READS.replace('rw = "randread", bs = "20k", numjobs = 2', 'rw = "randread", bs = "4k", numjobs = 2')
ALONE = ALONE.replace('layout = { kind = "fragmented", extent = "3KiB" }', 'layout = { kind = "contiguous" }')
"""Reads of a page each: bios that merge with nothing."""


@pytest.mark.parametrize("device", ["nvme", "sata-ssd"])
def test_btt_finds_the_stages(tmp_path, device):
    """
    btt's D2C and Q2C are the sums of our stages to the ns; with an elevator Q2G and G2I are the time in the
    plug, I2D that in the queue; without one what is left of Q2C is the time to issue.
    """
    run = traced(tmp_path, f'{ALONE}"device.profile" = ["{device}"]\npath = ["page_io"]\n')
    written(run, 0, tmp_path)
    stages = btt(tmp_path)
    io = table(run, "io", 0)
    assert all(row["bios"] == 1 and row["merges"] == 0 for row in io)
    plug, queue, device_ns = (sum(row[name] for row in io) for name in ("plug_ns", "queue_ns", "device_ns"))

    def total(name: str) -> float:
        mean, count = stages[name]
        assert len(io) == count
        return 1e9 * mean * count

    rounding = len(io)  # btt's means are in whole ns
    assert abs(device_ns - total("D2C")) <= rounding
    assert abs(plug + queue + device_ns - total("Q2C")) <= rounding
    if device == "nvme":
        assert "G2I" not in stages  # nothing is inserted where there is no elevator
    else:
        assert abs(plug - total("Q2G") - total("G2I")) <= 2 * rounding
        assert abs(queue - total("I2D")) <= rounding


@pytest.mark.parametrize("cell", [0, 2])
def test_btt_sees_every_bio_of_a_row(reads, tmp_path, cell):
    """Where one-block bios merge, Q2C is over all of them: each with the stages of its row."""
    written(reads, cell, tmp_path)
    stages = btt(tmp_path)
    io = table(reads, "io", cell)
    bios = sum(row["bios"] for row in io)
    assert bios == stages["Q2C"][1] == stages["D2C"][1]
    counts = Counter(event.action for event in block_events(reads.path, cell, 0))
    assert (counts["G"], counts["M"] + counts["F"]) == (stages["Q2G"][1], stages["Q2M"][1])


def test_a_device_of_bios_completes_them(reads):
    """A RAM disk has no requests: Q and C, one of each a bio, C when its stages say that it is copied."""
    events = list(block_events(reads.path, 5, 0))
    assert {"Q", "C"} == {event.action for event in events}
    ends = sorted((event.time_ns, event.sector) for event in events if event.action == "C")
    io = table(reads, "io", 5)
    stages = ("queued_ns", "plug_ns", "queue_ns", "device_ns")
    expected = [
        (sum(row[name] for name in stages), row["sector"] + at * row["sectors"] // row["bios"])
        for row in io
        for at in range(row["bios"])
    ]
    assert sorted(expected) == ends


def test_the_records_are_numbered_and_dated(reads, tmp_path):
    """Per CPU numbers go up by one and times never back; a task is named before its first event."""
    written(reads, 0, tmp_path)
    for cpu in range(2):
        named, numbers, times = set[int](), [], []
        for fields in events_of((tmp_path / f"{DEVICE}.blktrace.{cpu}").read_bytes()):
            magic, number, time, _, _, action, pid, _, at, _, _ = fields
            assert (0x65617407, cpu) == (magic, at)
            if action & 1 << 26:  # a notice
                named.add(pid)
            else:
                assert pid in named
                numbers.append(number)
                times.append(time)
        assert list(range(1, len(numbers) + 1)) == numbers
        assert sorted(times) == times


def test_the_text_is_a_trace_that_can_be_replayed(reads):
    """Read back as a trace, it has the bios that were queued, each at its time."""
    events = list(block_events(reads.path, 0, 0))
    trace = read_trace("\n".join(blkparse_lines(events)), "out.txt")
    queued = [event for event in events if event.action == "Q"]
    first = queued[0].time_ns
    assert sorted((event.time_ns - first, event.sector, event.sectors) for event in queued) == sorted(
        (access.at_ns, access.offset // SECTOR_BYTES, access.length // SECTOR_BYTES)
        for access in trace.accesses
    )
    assert len(events) == trace.lines


@pytest.mark.parametrize("form", ["blktrace", "blkparse"])
def test_requests_that_fail_are_not_told_as_done(tmp_path, form):
    """A cell with sectors that cannot be read is refused; a flipped bit, of which no device tells, is not."""
    text = READS.replace('data = "off"\n', "").replace(
        "numjobs = 2", 'numjobs = 2, continue_on_error = "read"'
    )
    faults = '[faults]\nkind = "{}"\ncount = 1\n[matrix]\n'
    runs = {
        kind: traced(tmp_path / kind, text.replace("[matrix]\n", faults.format(kind)))
        for kind in ("sector_error", "bit_flip")
    }
    (tmp_path / "out").mkdir()
    write = FORMATS[form].write
    with pytest.raises(
        ConfigError, match=r"cell 0: has faults of kind .sector_error.: which requests failed"
    ):
        write(Wanted(runs["sector_error"], 0, 0, "cell0"), tmp_path / "out")
    assert [] == list((tmp_path / "out").iterdir())
    assert write(Wanted(runs["bit_flip"], 0, 0, "cell0"), tmp_path / "out")
