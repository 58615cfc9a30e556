"""A traced run: it changes no number, and its tables add up to the run's."""

from __future__ import annotations

from collections import Counter

import pyarrow.parquet as pq
import pytest
from traced_kit import READS, WRITES, burst_sums, cells_of, charged, table, traced

from sim.experiment.results import Run

MATRICES = {
    "reads": '"encryption.scheme" = ["none", "fscrypt-v2", "dm-crypt", "ecryptfs"]\n',
    "devices": '"device.profile" = ["ramdisk", "sata-ssd"]\npath = ["buffer_head", "page_io"]\n',
    "queues": '"encryption.work_queue" = ["unbound", "bound", "tasklet"]\n',
    "writes": 'path = ["buffer_head", "page_io", "mpage"]\n',
}


def _text(name: str) -> str:
    if name == "writes":
        return f"{WRITES}[matrix]\n{MATRICES[name]}"
    text = (
        READS
        if name != "queues"
        else READS.replace("[matrix]", '[encryption]\nscheme = "fscrypt-v2"\n[matrix]')
    )
    return text + MATRICES[name]


@pytest.fixture(scope="module", params=list(MATRICES))
def run(request, tmp_path_factory) -> Run:
    """A traced run of each matrix."""
    return traced(tmp_path_factory.mktemp(request.param), _text(request.param))


def test_the_trace_changes_nothing(run, tmp_path):
    """Metrics, calls, histograms and jobs are those of the run without a trace, to the byte."""
    (tmp_path / "x").mkdir()
    plain = traced(tmp_path / "x", (run.path.parent / "e.toml").read_text(), trace=False)
    for name in ("metrics", "calls", "histograms", "jobs"):
        assert (plain.path / f"{name}.parquet").read_bytes() == (run.path / f"{name}.parquet").read_bytes()
    said = {path.stem for path in plain.path.glob("*.parquet")}
    assert {"metrics", "calls", "histograms", "jobs"} == said


def test_the_bursts_are_charged_what_the_run_is(run):
    """Calls, ns and instructions of every stack, added up over the bursts, are calls.parquet's."""
    for cell, _ in cells_of(run):
        assert charged(run, cell) == burst_sums(run, cell)


def test_no_two_pieces_of_a_context_are_at_once(run):
    """Within a core and context one stretch runs at a time, and together they are the CPU time."""
    for row in run.metrics:
        spent, ends = Counter[str](), dict[tuple[int, str], int]()
        for piece in table(run, "bursts", row["cell"]):
            key = piece["cpu"], piece["context"]
            assert ends.get(key, 0) <= piece["start_ns"] or not piece["ns"]
            ends[key] = max(ends.get(key, 0), piece["start_ns"] + piece["ns"])
            spent[piece["context"]] += piece["ns"]
        bursts = len(table(run, "bursts", row["cell"]))
        for context in ("task", "irq", "kworker"):
            assert abs(spent[context] - row[f"cpu_{context}_ns"]) <= bursts  # each takes whole ns


def test_a_stretch_is_as_long_as_its_calls(run):
    """What a stretch was charged is how long it is, but for 1 % of all where that cannot be told."""
    for cell, _ in cells_of(run):
        charges = Counter[int]()
        for row in table(run, "burst_calls", cell):
            charges[row["kind"]] += row["ps"]
        lengths, kinds = Counter[int](), dict[int, int]()
        for row in table(run, "bursts", cell):
            lengths[row["burst"]] += row["ns"]
            kinds[row["burst"]] = row["kind"]
        wrong = sum(
            abs(charges[kinds[burst]] / 1000 - ns)
            for burst, ns in lengths.items()
            if abs(charges[kinds[burst]] / 1000 - ns) > 1
        )
        assert wrong <= sum(lengths.values()) / 100


def test_who_asked_for_a_request_inserts_it(run):
    """An I has the task of its request's G, though tasks take turns; a D of a task has its, too."""
    for cell, _ in cells_of(run):
        asked: dict[tuple[int, str], int] = {}
        for event in table(run, "block", cell):
            key = event["sector"], event["rwbs"]
            match event["action"]:
                case "G":
                    asked[key] = event["pid"]
                case "F":
                    asked[key] = asked.pop((event["sector"] + event["sectors"], event["rwbs"]))
                case "I":
                    assert asked[key] == event["pid"]


def test_the_events_are_counted_as_the_queue_counts(run):
    """Q, M, F and D are the run's bios, merges and requests, and the rows are in the order of their times."""
    for row in run.metrics:
        events = table(run, "block", row["cell"])
        assert sorted(event["time_ns"] for event in events) == [event["time_ns"] for event in events]
        counts = Counter(event["action"] for event in events)
        flushes = sum(event["action"] == "D" and event["rwbs"] == "FF" for event in events)
        assert row["bios"] == counts["Q"]
        assert row["requests"] == counts["D"] - flushes
        assert (row["back_merges"], row["front_merges"]) == (counts["M"], counts["F"])
        assert counts["D"] == counts["C"]
        unplugged = sum(event["count"] for event in events if event["action"] == "U")
        assert unplugged <= counts["I"]


def test_windows_are_of_their_bios(run):
    """Every read bio is of a window of its own task that was open when it was submitted."""
    for cell, _ in cells_of(run):
        windows = table(run, "windows", cell)
        of_windows = [event for event in table(run, "block", cell) if event["window"] >= 0]
        assert windows
        assert of_windows
        for event in of_windows:
            window = windows[event["window"]]
            assert window["pid"] == event["pid"]
            assert window["begin_ns"] <= event["time_ns"] <= window["end_ns"]


def test_writes_and_syncs_are_kept(tmp_path):
    """One row per write(2) and fsync(2), in their order, with place and time; dirty pages come and go."""
    run = traced(tmp_path, WRITES)
    (row,) = run.metrics
    calls = table(run, "writes", 0)
    assert {"write": row["writes"], "fsync": row["syncs"]} == Counter(call["call"] for call in calls)
    assert row["bytes_streamed"] == sum(call["length"] for call in calls)
    starts = [call["start"] for call in calls]
    assert sorted(starts) == starts
    dirty = [gauge["value"] for gauge in table(run, "gauges", 0)]
    assert 4 == dirty[0]  # 16 KiB
    assert max(dirty) <= 4 * 4  # it syncs after 4 writes
    schema = pq.read_schema(run.path / "writes.parquet")
    assert b"ns" == schema.field("latency_ns").metadata[b"unit"]
