"""Traces in a machine: the same reads as a job's give the same counts; pauses and times are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from shared_images import shared_image

from sim.config.cell_result import CellResult
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.machine.run_cell import run_cell

SYSTEM = """\
title = "t"
data = "{data}"
[machine]
cpus = 2
[device]
profile = "{device}"
"""


def played(
    folder: Path,
    workload: str,
    traces: dict[str, str],
    data: str = "real",
    volume: str = "",
    device: str = "nvme",
) -> CellResult:
    """Run the one cell of an experiment beside its traces; keep its reads."""
    for name, text in traces.items():
        (folder / name).write_text(text)
    path = folder / "e.toml"
    said = SYSTEM.format(data=data, device=device)
    path.write_text(f"{said}{volume}\n[workload]\n{workload}\n")
    (cell,) = load_experiment(path).cells
    return run_cell(cell, shared_image(cell), True)


def table(*rows: tuple[int, int], step_us: int = 0) -> str:
    """Return a CSV of reads (offset, length), one every `step_us`."""
    if not step_us:
        return "offset,length\n" + "".join(f"{offset},{length}\n" for offset, length in rows)
    lines = [f"{number * step_us},{offset},{length}" for number, (offset, length) in enumerate(rows)]
    return "\n".join(["time,offset,length", *lines])


def test_reads_in_order_are_those_of_a_job(tmp_path: Path) -> None:
    """A trace of one process that reads a file front to back is fio's sequential job, call for call."""
    rows = [(offset, 65536) for offset in range(0, 1 << 20, 65536)]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    replay = 'replay = { file = "t.csv", pauses = "none" }'
    ours = played(tmp_path / "a", replay, {"t.csv": table(*rows)})
    volume = '[volume]\nfiles = [{ name = "file", size = "1MiB" }]'
    job = 'job = { rw = "read", bs = "64k", size = "1m", fadvise_hint = "0" }'
    theirs = played(tmp_path / "b", job, {}, volume=volume)
    same = {key for key in theirs.metrics if not key.startswith("digest")}
    assert {key: theirs.metrics[key] for key in same} == {key: ours.metrics[key] for key in same}
    assert theirs.histograms == ours.histograms
    assert theirs.calls == ours.calls
    assert 1 == ours.metrics["digest_ok"]


def test_each_open_file_has_its_own_readahead(tmp_path: Path) -> None:
    """Two processes on one file, each from its front: the second finds pages, and looks ahead by itself."""
    rows = "".join(f"p{who},{offset},4096\n" for offset in range(0, 32768, 4096) for who in (1, 2))
    result = played(
        tmp_path, 'replay = { file = "t.csv", pauses = "none" }', {"t.csv": "process,offset,length\n" + rows}
    )
    assert 16 == result.metrics["reads"]
    assert 65536 == result.metrics["bytes_read"]
    assert 8 == result.metrics["pages_read"]
    assert {"p1", "p2"} == {row.job for row in result.reads}


@pytest.mark.parametrize(("pauses", "starts"), [("recorded", [0, 500_000, 1_000_000]), ("none", None)])
def test_times_are_kept_or_not(tmp_path: Path, pauses: str, starts: list[int] | None) -> None:
    """Without durations a read comes at its recorded time; without pauses as soon as the last is done."""
    text = table((0, 4096), (131072, 4096), (65536, 4096), step_us=500)
    said = f'replay = {{ file = "t.csv", time_unit = "us", pauses = "{pauses}" }}'
    result = played(tmp_path, said, {"t.csv": text})
    told = [row.start for row in result.reads]
    if starts is not None:
        assert starts == told
        return
    first = result.reads[0]
    assert told[1] == first.start + first.latency_ns
    assert told[2] < 500_000


def test_a_pause_is_between_the_end_of_one_and_the_start_of_the_next(tmp_path: Path) -> None:
    """With durations a process thinks as long as it did, however long its reads take here."""
    text = "time,took,offset,length\n0,5000,0,4096\n5300,7,65536,4096\n"
    result = played(tmp_path, 'replay = { file = "t.csv", time_unit = "us" }', {"t.csv": text})
    first, second = result.reads
    assert first.latency_ns < 1_000_000
    assert first.start + first.latency_ns + 300_000 == second.start


BLOCK = 'replay = { file = "t.csv", kind = "block", time_unit = "us", pauses = "%s" }'
BIOS = "time,op,offset,length\n0,read,1048576,131072\n10,read,0,4096\n20,write,8192,8192\n"


def test_a_block_trace_is_a_load_of_the_device(tmp_path: Path) -> None:
    """Its bios go to the queue as they are: no file, no page, no mapping; all at their times."""
    result = played(tmp_path, BLOCK % "recorded", {"t.csv": BIOS}, data="off")
    assert {256: 1, 8: 1, 16: 1} == result.histograms["bio_sectors"]
    assert (135_168, 8192) == (result.metrics["bytes_read"], result.metrics["bytes_streamed"])
    assert 0 == result.metrics["pages_read"] == result.metrics["map_calls"]
    assert (2, 0) == (result.metrics["reads"], result.metrics["pages_cached"])
    assert [0, 10_000] == sorted(row.start for row in result.reads)


def test_without_pauses_a_process_waits_for_each_bio(tmp_path: Path) -> None:
    """One at a time: the second starts when the first is done."""
    result = played(tmp_path, BLOCK % "none", {"t.csv": BIOS}, data="off")
    first, second = sorted(result.reads, key=lambda row: row.start)
    assert first.start + first.latency_ns <= second.start


@pytest.mark.parametrize(
    ("workload", "traces", "data", "volume", "said"),
    [
        (
            'replay = { file = "t.csv" }',
            {"t.csv": table((0, 1))},
            "real",
            "",
            "recorded, and the trace has no times",
        ),
        ('replay = { file = "no.csv" }', {}, "real", "", "no such file"),
        (BLOCK % "none", {"t.csv": BIOS}, "real", "", '"real" with the trace of a block device'),
        (
            'replay = { file = "t.csv", pauses = "none" }',
            {"t.csv": table((0, 8192))},
            "real",
            '[volume]\nfiles = [{ name = "file", size = 4096 }]',
            "/file has 4096 bytes, 8192 are read in the trace",
        ),
        (
            'replay = { file = "t.csv", pauses = "none" }',
            {"t.csv": table((0, 8192))},
            "real",
            '[volume]\nfiles = [{ name = "other", size = 8192 }]',
            "no file /file for file of the trace",
        ),
        (
            'replay = { file = "t.csv", format = "strace", time_unit = "s" }',
            {"t.csv": ""},
            "real",
            "",
            "time_unit with format 'strace'",
        ),
        ('replay = { file = "t.csv", format = "dtrace" }', {"t.csv": ""}, "real", "", "dtrace"),
    ],
)
def test_what_cannot_be_replayed_is_one_line(
    tmp_path: Path, workload: str, traces: dict[str, str], data: str, volume: str, said: str
) -> None:
    """A trace that does not go with the rest says so."""
    with pytest.raises(ConfigError) as caught:
        played(tmp_path, workload, traces, data, volume)
    assert said.casefold() in str(caught.value).casefold()


def test_several_logs_are_several_processes(tmp_path: Path) -> None:
    """fio writes a log for each job: they run side by side, on one file."""
    log = "fio version 2 iolog\n/mnt/f add\n/mnt/f open\n/mnt/f read {} 4096\n/mnt/f close\n"
    traces = {"a.log": log.format(0), "b.log": log.format(65536)}
    result = played(tmp_path, 'replay = { file = ["a.log", "b.log"], pauses = "none" }', traces)
    assert [0, 0] == [row.start for row in result.reads]
    assert {("/mnt/f", 0), ("/mnt/f", 65536)} == {(row.file, row.offset) for row in result.reads}
