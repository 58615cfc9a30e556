"""A Perfetto trace: read by a decoder of our own, and by Perfetto's protobufs where they are installed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from traced_kit import charged, table

from sim.experiment.results import Run
from sim.export.perfetto import perfetto_packets
from sim.export.trace_packets import varint
from sim.export.trace_shapes import TIME_BYTES, padded


def number(content: bytes, at: int) -> tuple[int, int]:
    """Return a varint and the place behind it."""
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def fields(content: bytes) -> Iterator[tuple[int, Any]]:
    """Yield (field, value) of a message, as protobuf's wire format has them."""
    at = 0
    while at < len(content):
        key, at = number(content, at)
        value: Any
        if key & 7 == 0:
            value, at = number(content, at)
        elif key & 7 == 1:
            value, at = int.from_bytes(content[at : at + 8], "little"), at + 8
        else:
            assert key & 7 == 2
            length, at = number(content, at)
            value, at = content[at : at + length], at + length
        yield key >> 3, value


@dataclass
class Read:
    """A trace, read: tracks by uuid, and the events of each: time, type, name, arguments, flows, value."""

    tracks: dict[int, dict[str, Any]] = field(default_factory=dict)
    events: dict[int, list[tuple[int, int, str, dict[str, Any], list[int], int]]] = field(
        default_factory=dict
    )


def read(content: bytes) -> Read:
    """Return a trace, decoded by hand."""
    found, names, arguments = Read(), dict[int, str](), dict[int, str]()
    for _, packet in fields(content):
        said = dict(fields(packet))
        for kind, known in ((2, names), (3, arguments)):
            for at, value in fields(said.get(12, b"")):
                if at == kind:
                    entry = dict(fields(value))
                    known[entry[1]] = entry[2].decode()
        if 60 in said:
            track = dict(fields(said[60]))
            found.tracks[track[1]] = {
                "name": track[2].decode(),
                "parent": track.get(5, 0),
                "counter": 8 in track,
            }
        if 11 in said:
            several = list(fields(said[11]))
            event = dict(several)
            told = {}
            for _, value in (one for one in several if one[0] == 4):
                argument = dict(fields(value))
                told[arguments[argument[1]]] = argument[4] if 4 in argument else argument[6].decode()
            flows = [value for at, value in several if at == 47]
            row = said[8], event[9], names.get(event.get(10, 0), ""), told, flows, event.get(30, 0)
            found.events.setdefault(event[11], []).append(row)
    return found


def trace(run: Run, cell: int, **options: Any) -> bytes:
    """Return the bytes of a cell's trace."""
    return b"".join(perfetto_packets(run.path, cell, 0, **options))


def sums(found: Read) -> dict[str, list[int]]:
    """Return symbol -> calls, ps, own ns and number of slices, of the cores' tracks; all are nested."""
    total: dict[str, list[int]] = {}
    for uuid, events in found.events.items():
        open_now: list[list[Any]] = []
        for time, kind, name, told, _, _ in sorted(events, key=lambda event: event[0]):
            if kind == 1:
                open_now.append([name, time, 0])
                if found.tracks[uuid]["name"].startswith("CPU"):
                    entry = total.setdefault(name, [0, 0, 0, 0])
                    entry[0] += told.get("calls", 0)
                    entry[1] += told.get("self_ps", 0)
            elif kind == 2:
                name, began, below = open_now.pop()
                if name in total and found.tracks[uuid]["name"].startswith("CPU"):
                    total[name][2] += time - began - below
                    total[name][3] += 1
                if open_now:
                    open_now[-1][2] += time - began
        assert not open_now, found.tracks[uuid]
    return total


@given(st.integers(0, (1 << 7 * TIME_BYTES) - 1))
def test_a_time_has_always_as_many_bytes(ns):
    """A padded varint is the same number as the short one."""
    written = padded(np.array([ns], np.uint64)).tobytes()
    assert TIME_BYTES == len(written)
    assert (ns, TIME_BYTES) == number(written, 0)
    assert (ns, len(varint(ns))) == number(varint(ns), 0)


@pytest.mark.parametrize(
    ("name", "cell"), [("reads", 0), ("reads", 3), ("reads", 5), ("writes", 0), ("ciphers", 0)]
)
def test_the_slices_of_a_symbol_are_its_calls(request, name, cell):
    """Calls and ps of all slices are calls.parquet's; their length is too, to a ns a slice."""
    run = request.getfixturevalue(name)
    total = sums(read(trace(run, cell)))
    calls, ns, stacks = Counter[str](), Counter[str](), Counter[str]()
    for (_, stack), (count, spent, _) in charged(run, cell).items():
        symbol = stack.rpartition(";")[2]
        calls[symbol] += count
        ns[symbol] += spent
        stacks[symbol] += 1
    assert len(calls) > 40
    for symbol in calls:
        assert calls[symbol] == total[symbol][0], symbol
        assert 0 <= total[symbol][1] / 1000 - ns[symbol] < stacks[symbol]
        assert abs(total[symbol][2] - ns[symbol]) <= total[symbol][3] + stacks[symbol], symbol


def test_every_core_context_job_and_device_has_its_track(writes, ciphers):
    """By name: cores with their contexts, jobs, windows, queue, device, counters."""
    names = {track["name"] for track in read(trace(ciphers, 0)).tracks.values()}
    assert {"CPU 0", "CPU 1", "CPU 0 task", "CPU 1 task", "CPU 0 irq", "CPU 0 kworker"} <= names
    assert {"jobs", "job0 (0)", "job0 (1)", "job0.0 windows", "block queue", "queued 0", "device 0"} <= names
    found = read(trace(writes, 0))
    counters = {track["name"]: uuid for uuid, track in found.tracks.items() if track["counter"]}
    assert {"requests in flight", "dirty pages"} == counters.keys()
    dirty = [(event[0], event[5]) for event in found.events[counters["dirty pages"]]]
    assert [(row["time_ns"], row["value"]) for row in table(writes, "gauges", 0)] == dirty
    in_flight = [event[5] for event in found.events[counters["requests in flight"]]]
    assert 0 == min(in_flight) == in_flight[-1]
    assert max(in_flight) > 0


def test_a_flow_goes_from_a_window_to_its_requests(reads):
    """Each window begins a flow, and every request of the device has those of the bios that it holds."""
    found = read(trace(reads, 0))
    of_windows, of_requests = set[int](), list[set[int]]()
    for uuid, track in found.tracks.items():
        for event in found.events.get(uuid, []):
            if event[1] != 1:
                continue
            if track["name"].endswith("windows"):
                of_windows |= set(event[4])
            elif track["name"].startswith("device "):
                of_requests.append(set(event[4]))
    assert set(range(1, 1 + len(table(reads, "windows", 0)))) == of_windows
    assert of_windows >= set().union(*of_requests)
    bios = [event for event in table(reads, "block", 0) if event["action"] == "Q"]
    assert {event["window"] + 1 for event in bios if event["window"] >= 0} == set().union(*of_requests)
    requests = sum(event["action"] == "D" for event in table(reads, "block", 0))
    assert requests == len(of_requests)


def test_calls_of_jobs_are_slices(writes):
    """read, write and fsync, as long as they took."""
    found = read(trace(writes, 0))
    (uuid,) = [uuid for uuid, track in found.tracks.items() if track["name"] == "job0 (0)"]
    took, open_now = Counter[str](), []
    for time, kind, name, _, _, _ in sorted(found.events[uuid], key=lambda event: event[0]):
        if kind == 1:
            open_now.append((name, time))
        else:
            name, began = open_now.pop()
            took[name] += time - began
    expected = Counter[str]({"read": sum(row["latency_ns"] for row in table(writes, "reads", 0))})
    for row in table(writes, "writes", 0):
        expected[row["call"]] += row["latency_ns"]
    assert expected == took


def test_a_part_of_the_time(reads):
    """Only what begins in it is there; every slice that begins ends."""
    whole = read(trace(reads, 0))
    times = sorted(event[0] for events in whole.events.values() for event in events if event[1] == 1)
    between = times[len(times) // 3], times[len(times) // 2]
    part = read(trace(reads, 0, between=between))
    sums(part)
    begun = [event[0] for events in part.events.values() for event in events if event[1] == 1]
    assert begun
    assert len(begun) < len(times)
    cpu = {uuid for uuid, track in part.tracks.items() if track["name"].startswith("CPU")}
    others = [
        event[0]
        for uuid, events in part.events.items()
        if uuid not in cpu
        for event in events
        if event[1] == 1
    ]
    assert all(between[0] <= time < between[1] for time in others)


def test_perfetto_s_own_messages_read_the_same(writes):
    """Parsed by the protobufs of the `perfetto` package: the same tracks, events and times."""
    messages = pytest.importorskip(
        "perfetto.protos.perfetto.trace.perfetto_trace_pb2", reason="the package perfetto is not installed"
    )
    content = trace(writes, 0)
    theirs = messages.Trace()
    theirs.ParseFromString(content)
    ours = read(content)
    assert {
        p.track_descriptor.uuid: p.track_descriptor.name
        for p in theirs.packet
        if p.HasField("track_descriptor")
    } == {uuid: track["name"] for uuid, track in ours.tracks.items()}
    events = [p for p in theirs.packet if p.HasField("track_event")]
    assert sum(map(len, ours.events.values())) == len(events)
    assert sorted(event[0] for several in ours.events.values() for event in several) == sorted(
        p.timestamp for p in events
    )
