"""
A block trace in blktrace's binary form: one file a CPU, as `blktrace -d DEVICE` leaves them.

The records are those of include/uapi/linux/blktrace_api.h (version 7), little-endian. Each file begins with
the time and the names of the tasks that its events speak of. Left out: messages, cgroups, remaps.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from sim.export.block_events import COMM_LETTERS, DEVICE, MAJOR, MINOR, BlockEvent
from sim.units import SECTOR_BYTES

_RECORD = struct.Struct("<IIQQIIIIIHH")
"""magic, sequence, time (ns), sector, bytes, action, pid, device, cpu, error, length of what follows."""
_MAGIC_AND_VERSION = 0x65617400 | 7
_DEVICE_NUMBER = MAJOR << 20 | MINOR
_READ, _WRITE, _FLUSH, _SYNC, _QUEUE, _ISSUE, _COMPLETE, _FS = (
    1 << 16 + bit for bit in (0, 1, 2, 3, 4, 6, 7, 8)
)
_NOTIFY, _AHEAD, _META, _FUA = (1 << 16 + bit for bit in (10, 11, 12, 15))
_PROCESS, _TIMESTAMP = 0 | _NOTIFY, 1 | _NOTIFY
_ACTIONS = {
    "Q": 1 | _QUEUE,
    "M": 2 | _QUEUE,
    "F": 3 | _QUEUE,
    "G": 4 | _QUEUE,
    "D": 7 | _ISSUE,
    "C": 8 | _COMPLETE,
    "P": 9 | _QUEUE,
    "U": 10 | _QUEUE,
    "I": 12 | _QUEUE,
    "X": 13,
}


def action_of(action: str, rwbs: str) -> int:
    """Return a record's action: what happened, and the categories it belongs to."""
    flags = _ACTIONS[action]
    before, _, behind = rwbs.partition("W") if "W" in rwbs else rwbs.partition("R")
    flags |= _WRITE if "W" in rwbs else _READ
    flags |= _FLUSH if "F" in before else 0
    flags |= _FUA if "F" in behind else 0
    for letter, flag in (("A", _AHEAD), ("S", _SYNC), ("M", _META)):
        flags |= flag if letter in behind else 0
    return flags


def write_blktrace(events: Iterable[BlockEvent], cpus: int, folder: Path) -> list[Path]:
    """
    Write DEVICE.blktrace.N into `folder` for each of `cpus`; return the files.

    A name is told before the first event that has its pid, in each file.
    """
    paths = [folder / f"{DEVICE}.blktrace.{cpu}" for cpu in range(cpus)]
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        told: list[set[int]] = [set() for _ in paths]
        first = True
        actions: dict[tuple[str, str], int] = {}
        for event in events:
            file = files[event.cpu]
            if first:
                stamp = struct.pack("<II", 0, 0)
                file.write(_packed(event, _TIMESTAMP, 0, stamp))
                first = False
            if event.pid not in told[event.cpu]:
                told[event.cpu].add(event.pid)
                name = event.comm.encode()[:COMM_LETTERS].ljust(COMM_LETTERS + 1, b"\0")
                file.write(_packed(event, _PROCESS, event.pid, name))
            action = actions.get((event.action, event.rwbs))
            if action is None:
                action = actions[event.action, event.rwbs] = action_of(event.action, event.rwbs)
            _write(file, event, action)
    return paths


def _write(file: BinaryIO, event: BlockEvent, action: int) -> None:
    more = struct.pack(">Q", event.number) if event.action in "UX" else b""
    place = event.sector, event.sectors * SECTOR_BYTES, action, event.pid, _DEVICE_NUMBER, event.cpu
    file.write(_RECORD.pack(_MAGIC_AND_VERSION, event.sequence, event.time_ns, *place, 0, len(more)) + more)


def _packed(event: BlockEvent, action: int, pid: int, content: bytes) -> bytes:
    """Return a record that says something about the trace, at the time and CPU of an event."""
    place = 0, 0, action, pid, _DEVICE_NUMBER, event.cpu
    head = _RECORD.pack(_MAGIC_AND_VERSION, 0, event.time_ns, *place, 0, len(content))
    return head + content


def events_of(content: bytes) -> Iterator[tuple[int, ...]]:
    """Yield the fields of each record of a file, as `_RECORD` has them: for tests, and to look into one."""
    at = 0
    while at < len(content):
        fields = _RECORD.unpack_from(content, at)
        at += _RECORD.size + fields[-1]
        yield fields
