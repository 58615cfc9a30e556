"""
The tracks of I/O in a Perfetto trace: calls of jobs, read windows, the queue, the device; what is counted.

A request is a slice of the queue from its allocation until it is issued, and one of the device until it
completes. Requests overlap, so there are as many tracks of either as there were requests at once. A flow goes
from a read window to the requests that bring its pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

from sim.experiment.traced_tables import pieces
from sim.export.trace_packets import Event, Names, timed, track

_CALLS, _WINDOWS, _QUEUE, _DEVICE, _COUNTERS = 10, 11, 12, 13, 14
_FIRST = {_CALLS: 100_000, _WINDOWS: 200_000, _QUEUE: 300_000, _DEVICE: 400_000, _COUNTERS: 500_000}
_TITLES = {_CALLS: "jobs", _WINDOWS: "page cache windows", _QUEUE: "block queue", _DEVICE: "device"}
_TITLES[_COUNTERS] = "counters"


class Lanes:
    """Tracks of one kind, as many as there are slices at once."""

    def __init__(self, group: int, name: str) -> None:
        self._group, self._name = group, name
        self._free: list[int] = []
        self._made = 0

    def take(self) -> tuple[int, bytes]:
        """Return a track that is free, and the packet that describes it if it is new."""
        if self._free:
            return heappop(self._free), b""
        self._made += 1
        uuid = _FIRST[self._group] + self._made
        return uuid, track(uuid, f"{self._name} {self._made - 1}", self._group, self._made)

    def give_back(self, uuid: int) -> None:
        """The slice on a track has ended."""
        heappush(self._free, uuid)


def io_packets(run: Path, cell: int, seed: int, names: Names, between: tuple[int, int]) -> Iterator[bytes]:
    """Yield the packets of all tracks but the cores'; of what begins in `between` [ns, ns)."""
    for rank, (group, title) in enumerate(_TITLES.items()):
        yield track(group, title, rank=1000 + rank)
    yield from _calls(run, cell, seed, names, between)
    yield from _windows(run, cell, seed, names, between)
    yield from _requests(run, cell, seed, names, between)
    yield from _gauges(run, cell, seed, names, between)


def _calls(run: Path, cell: int, seed: int, names: Names, between: tuple[int, int]) -> Iterator[bytes]:
    """Yield the system calls of jobs, a track a clone."""
    told = set[int]()
    for table in ("reads", "writes"):
        if not (run / f"{table}.parquet").is_file():
            continue
        for piece in pieces(run, table, cell, seed):
            rows: Any = piece
            calls = rows.get("call", ["read"] * len(rows["reader"]))
            columns = (
                rows[name] for name in ("reader", "job", "start", "latency_ns", "file", "offset", "length")
            )
            for call, reader, job, start, took, file, offset, length in zip(calls, *columns, strict=True):
                if start is None or not between[0] <= start < between[1]:
                    continue
                uuid = _FIRST[_CALLS] + reader
                if reader not in told:
                    told.add(reader)
                    yield track(uuid, f"{job} ({reader})", _CALLS, reader)
                said = {"file": file, "offset": offset, "bytes": length}
                begin = names.event(Event.BEGIN, uuid, call, said)
                yield names.told() + timed(begin, start) + timed(names.event(Event.END, uuid), start + took)


def _windows(run: Path, cell: int, seed: int, names: Names, between: tuple[int, int]) -> Iterator[bytes]:
    """Yield the read windows, a track a task."""
    told = set[int]()
    for piece in pieces(run, "windows", cell, seed):
        rows: Any = piece
        columns = (
            rows[name] for name in ("window", "pid", "comm", "call", "page", "pages", "begin_ns", "end_ns")
        )
        for window, pid, comm, call, page, pages, begins, ends in zip(*columns, strict=True):
            if not between[0] <= begins < between[1]:
                continue
            uuid = _FIRST[_WINDOWS] + pid
            if pid not in told:
                told.add(pid)
                yield track(uuid, f"{comm} windows", _WINDOWS, pid)
            said = {"page": page, "pages": pages}
            begin = names.event(Event.BEGIN, uuid, call, said, (window + 1,))
            yield names.told() + timed(begin, begins) + timed(names.event(Event.END, uuid), ends)


class _Requests:
    """The requests under way: where each is shown, and which windows its bios are of."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.queue, self.device = Lanes(_QUEUE, "queued"), Lanes(_DEVICE, "device")
        self.queued: dict[tuple[int, bool], tuple[int, int]] = {}
        self.issued: dict[tuple[int, bool], list[int]] = {}
        self.window_of: dict[int, list[tuple[int, int]]] = {}
        self.in_flight = 0

    def bio(self, sector: int, sectors: int, window: int) -> None:
        """A bio is submitted in a window."""
        self.window_of.setdefault(sector, []).append((sectors, window))

    def windows(self, sector: int, sectors: int) -> list[int]:
        """Return the windows whose bios a request holds."""
        found: dict[int, None] = {}
        at, end = sector, sector + sectors
        while at < end:
            waiting = self.window_of.get(at)
            if not waiting:
                break
            length, window = waiting.pop(0)
            if not waiting:
                del self.window_of[at]
            if window >= 0:
                found[window + 1] = None
            at += max(length, 1)
        return list(found)

    def begun(self, uuid: int, new: bytes, event: dict[str, Any], flows: list[int]) -> bytes:
        """Return the packets of a slice that begins."""
        said = {"sector": event["sector"], "sectors": event["sectors"]}
        begin = self.names.event(Event.BEGIN, uuid, event["rwbs"], said, flows)
        return new + self.names.told() + timed(begin, event["time_ns"])

    def ended(self, uuid: int, ns: int) -> bytes:
        """Return the packet of a slice that ends."""
        return timed(self.names.event(Event.END, uuid), ns)


def _requests(run: Path, cell: int, seed: int, names: Names, between: tuple[int, int]) -> Iterator[bytes]:
    """Yield the requests in the queue and at the device, and how many are there."""
    under_way = _Requests(names)
    counter = _FIRST[_COUNTERS]
    yield track(counter, "requests in flight", _COUNTERS, counter=True)
    columns = ("time_ns", "action", "rwbs", "sector", "sectors", "window")
    for piece in pieces(run, "block", cell, seed):
        rows: Any = piece
        for values in zip(*(rows[name] for name in columns), strict=True):
            event = dict(zip(columns, values, strict=True))
            shown = between[0] <= event["time_ns"] < between[1]
            yield from _request_event(under_way, event, shown)
            if shown and event["action"] in "DC":
                count = names.event(Event.COUNTER, counter, value=under_way.in_flight)
                yield timed(count, event["time_ns"])


def _request_event(under_way: _Requests, event: dict[str, Any], shown: bool) -> Iterator[bytes]:
    """Yield what an event of the queue begins and ends."""
    ns, sector, sectors = event["time_ns"], event["sector"], event["sectors"]
    key = sector, "W" in event["rwbs"]
    match event["action"]:
        case "Q":
            under_way.bio(sector, sectors, event["window"])
        case "G" if shown and sectors:
            uuid, new = under_way.queue.take()
            under_way.queued[key] = uuid, ns
            yield under_way.begun(uuid, new, event, [])
        case "F":
            if (moved := under_way.queued.pop((sector + sectors, key[1]), None)) is not None:
                under_way.queued[key] = moved
        case "D":
            under_way.in_flight += 1
            flows = under_way.windows(sector, sectors)
            if (waited := under_way.queued.pop(key, None)) is not None:
                yield under_way.ended(waited[0], ns)
                under_way.queue.give_back(waited[0])
            if shown:
                uuid, new = under_way.device.take()
                under_way.issued.setdefault(key, []).append(uuid)
                yield under_way.begun(uuid, new, event, flows)
        case "C":
            under_way.in_flight -= 1
            if uuids := under_way.issued.get(key):
                uuid = uuids.pop(0)
                yield under_way.ended(uuid, ns)
                under_way.device.give_back(uuid)


def _gauges(run: Path, cell: int, seed: int, names: Names, between: tuple[int, int]) -> Iterator[bytes]:
    """Yield what is counted in a run: dirty pages."""
    uuids: dict[str, int] = {}
    for piece in pieces(run, "gauges", cell, seed):
        rows: Any = piece
        for ns, gauge, value in zip(rows["time_ns"], rows["gauge"], rows["value"], strict=True):
            if gauge not in uuids:
                uuids[gauge] = _FIRST[_COUNTERS] + 1 + len(uuids)
                yield track(uuids[gauge], gauge.replace("_", " "), _COUNTERS, 1 + len(uuids), counter=True)
            if between[0] <= ns < between[1]:
                yield timed(names.event(Event.COUNTER, uuids[gauge], value=value), ns)
