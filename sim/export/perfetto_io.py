"""
The tracks of I/O in a Perfetto trace: calls of jobs, read windows, the queue, the device; what is counted.

A request is a slice of the queue from its allocation until it is issued, and one of the device until it
completes. Requests overlap, so there are as many tracks of either as there were requests at once. A flow goes
from a read window to the requests that bring its pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush, merge
from pathlib import Path
from typing import Any

from sim.experiment.traced_tables import pieces
from sim.export.trace_packets import Event, Names, Said, track
from sim.export.trace_shapes import Item, Shape

_CALLS, _WINDOWS, _QUEUE, _DEVICE, _COUNTERS = 10, 11, 12, 13, 14
_FIRST = {_CALLS: 100_000, _WINDOWS: 200_000, _QUEUE: 300_000, _DEVICE: 400_000, _COUNTERS: 500_000}
_TITLES = {_CALLS: "jobs", _WINDOWS: "page cache windows", _QUEUE: "block queue", _DEVICE: "device"}
_TITLES[_COUNTERS] = "counters"

_PAGES: Said = ("page", None), ("pages", None)
_SECTORS: Said = ("sector", None), ("sectors", None)

_Call = tuple[int, int, int, str, str, str, int, int]
"""Reader, start and less the duration in ns, what, job, file, offset, length."""


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


def io_items(run: Path, cell: int, seed: int, names: Names, between: tuple[int, int]) -> Iterator[Item]:
    """Yield the items of all tracks but the cores'; of what begins in `between` [ns, ns)."""
    for rank, (group, title) in enumerate(_TITLES.items()):
        yield track(group, title, rank=1000 + rank)
    yield from _calls(run, cell, seed, names, between)
    yield from _windows(run, cell, seed, names, between)
    yield from _requests(run, cell, seed, names, between)
    yield from _gauges(run, cell, seed, names, between)


def _calls(run: Path, cell: int, seed: int, names: Names, between: tuple[int, int]) -> Iterator[Item]:
    """Yield the system calls of jobs, a track a clone; one that begins with another, and is longer, first."""
    told = set[int]()
    shapes: dict[tuple[int, str, str], Shape] = {}
    tables = [table for table in ("reads", "writes") if (run / f"{table}.parquet").is_file()]
    calls = merge(*(_calls_of(run, table, cell, seed) for table in tables))
    for reader, start, back, call, job, file, offset, length in calls:
        if not between[0] <= start < between[1]:
            continue
        uuid = _FIRST[_CALLS] + reader
        if reader not in told:
            told.add(reader)
            yield track(uuid, f"{job} ({reader})", _CALLS, reader)
        shape = shapes.get((reader, call, file))
        if shape is None:
            said = ("file", file), ("offset", None), ("bytes", None)
            begin = names.event(Event.BEGIN, uuid, call, said)
            shape = shapes[reader, call, file] = begin.and_then(names.end(uuid))
            yield names.told()
        yield shape, (start, offset, length, start - back)


def _calls_of(run: Path, table: str, cell: int, seed: int) -> Iterator[_Call]:
    """Yield the calls of a table in the order of their readers and times; not those of unknown place."""
    for piece in pieces(run, table, cell, seed):
        rows: Any = piece
        calls = rows.get("call", ["read"] * len(rows["reader"]))
        columns = (
            rows[name] for name in ("reader", "start", "latency_ns", "job", "file", "offset", "length")
        )
        for call, reader, start, took, job, *place in zip(calls, *columns, strict=True):
            if start is not None:
                yield reader, start, -took, call, job, *place


def _windows(run: Path, cell: int, seed: int, names: Names, between: tuple[int, int]) -> Iterator[Item]:
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
            begin = names.event(Event.BEGIN, uuid, call, _PAGES, 1)
            if names.new:
                yield names.told()
            yield begin, (begins, page, pages, window + 1)
            yield names.end(uuid), (ends,)


class _Requests:
    """
    The requests under way: where each is shown, and which windows its bios are of.

    items() is given the events in order; of those in `between` it gives what they begin and end.
    """

    def __init__(self, names: Names, between: tuple[int, int]) -> None:
        self._names, self._between = names, between
        self._queue, self._device = Lanes(_QUEUE, "queued"), Lanes(_DEVICE, "device")
        self._queued: dict[tuple[int, bool], int] = {}
        self._issued: dict[tuple[int, bool], list[int]] = {}
        self._bios: dict[int, tuple[int, int]] = {}
        self._in_flight = 0

    def bio(self, sector: int, sectors: int, window: int) -> None:
        """A bio is submitted in a window."""
        self._bios[sector] = sectors, window

    def _windows(self, sector: int, sectors: int) -> list[int]:
        """Return the windows whose bios a request holds."""
        found: dict[int, None] = {}
        end = sector + sectors
        while sector < end:
            length, window = self._bios.pop(sector, (0, -1))
            if not length:
                break
            if window >= 0:
                found[window + 1] = None
            sector += length
        return list(found)

    def items(self, action: str, ns: int, rwbs: str, sector: int, sectors: int) -> Iterator[Item]:
        """Yield what an event of the queue begins and ends."""
        key = sector, "W" in rwbs
        shown = self._between[0] <= ns < self._between[1]
        match action:
            case "G" if shown and sectors:
                self._queued[key], new = self._queue.take()
                yield from self._begun(self._queued[key], new, ns, rwbs, sector, sectors, ())
            case "F":
                if (uuid := self._queued.pop((sector + sectors, key[1]), None)) is not None:
                    self._queued[key] = uuid
            case "D":
                flows = self._windows(sector, sectors)
                if (uuid := self._queued.pop(key, None)) is not None:
                    yield self._names.end(uuid), (ns,)
                    self._queue.give_back(uuid)
                if shown:
                    uuid, new = self._device.take()
                    self._issued.setdefault(key, []).append(uuid)
                    yield from self._begun(uuid, new, ns, rwbs, sector, sectors, flows)
                yield self._counted(1, ns, shown)
            case "C":
                if uuids := self._issued.get(key):
                    uuid = uuids.pop(0)
                    yield self._names.end(uuid), (ns,)
                    self._device.give_back(uuid)
                yield self._counted(-1, ns, shown)

    def _begun(
        self, uuid: int, new: bytes, ns: int, rwbs: str, sector: int, sectors: int, flows: Sequence[int]
    ) -> Iterator[Item]:
        begin = self._names.event(Event.BEGIN, uuid, rwbs, _SECTORS, len(flows))
        if new or self._names.new:
            yield new + self._names.told()
        yield begin, (ns, sector, sectors, *flows)

    def _counted(self, more: int, ns: int, shown: bool) -> Item:
        self._in_flight += more
        if not shown:
            return b""
        return self._names.event(Event.COUNTER, _FIRST[_COUNTERS], value=self._in_flight), (ns,)


def _requests(run: Path, cell: int, seed: int, names: Names, between: tuple[int, int]) -> Iterator[Item]:
    """Yield the requests in the queue and at the device, and how many are there."""
    under_way = _Requests(names, between)
    yield track(_FIRST[_COUNTERS], "requests in flight", _COUNTERS, counter=True)
    names_of = ("action", "time_ns", "rwbs", "sector", "sectors", "window")
    for piece in pieces(run, "block", cell, seed, names_of):
        rows: Any = piece
        columns = (rows[name] for name in names_of)
        for action, ns, rwbs, sector, sectors, window in zip(*columns, strict=True):
            if action == "Q":
                under_way.bio(sector, sectors, window)
            elif action in "GFDC":
                yield from under_way.items(action, ns, rwbs, sector, sectors)


def _gauges(run: Path, cell: int, seed: int, names: Names, between: tuple[int, int]) -> Iterator[Item]:
    """Yield what is counted in a run: dirty pages."""
    uuids: dict[str, int] = {}
    for piece in pieces(run, "gauges", cell, seed):
        rows: Any = piece
        for ns, gauge, value in zip(rows["time_ns"], rows["gauge"], rows["value"], strict=True):
            if gauge not in uuids:
                uuids[gauge] = _FIRST[_COUNTERS] + 1 + len(uuids)
                yield track(uuids[gauge], gauge.replace("_", " "), _COUNTERS, 1 + len(uuids), counter=True)
            if between[0] <= ns < between[1]:
                yield names.event(Event.COUNTER, uuids[gauge], value=value), (ns,)
