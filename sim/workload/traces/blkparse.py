"""
What blkparse(1) prints of a blktrace, in its default form: bios as they were queued (action Q).

A line is device, CPU, sequence, seconds, PID, action, RWBS, and for Q "sector + sectors [command]". What a
device was given later (D, C ...) follows from the load, so it is skipped. A process is a stream.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sim.units import NS_PER_S, SECTOR_BYTES
from sim.workload.traces.numbers import time_ns
from sim.workload.traces.trace import Builder, OpenPath

EVENT = re.compile(
    r"\s*(?P<device>[0-9]+,[0-9]+)\s+[0-9]+\s+[0-9]+\s+(?P<time>[0-9]{1,12}\.[0-9]{9})\s+(?P<pid>[0-9]+)"
    r"\s+(?P<action>[A-Z]+)\s+(?P<rwbs>[A-Z]+)\s*(?P<rest>.*)"
)
_EXTENT = re.compile(r"(?P<sector>[0-9]{1,18}) \+ (?P<sectors>[0-9]{1,9})(?: \[(?P<command>.*)\])?\s*")
_SUMMARY = re.compile(
    r"(CPU *[0-9]+|Total) \(.*\):|Throughput \(R/W\)|Events \(|Skips:|Input file |"
    r"\s+(Reads|Writes|Read|Write|PC|IO|Timer) ?[A-Z]?[A-Za-z.]*"
)


def read(lines: Sequence[str], builder: Builder) -> None:
    """Read the output of blkparse into `builder`."""
    builder.kind = "block"
    devices: dict[str, OpenPath] = {}
    for line in lines:
        if not line.strip():
            continue
        event = EVENT.fullmatch(line)
        if event is None:
            builder.skip("summary" if _SUMMARY.match(line) else "no event of blkparse")
            continue
        reason = _skipped(event)
        extent = _EXTENT.fullmatch(event["rest"])
        if reason is not None or extent is None:
            builder.skip(reason or "no sectors in it")
            continue
        if event["device"] not in devices:
            devices[event["device"]] = builder.open(event["device"])
        opened = devices[event["device"]]
        moment = time_ns(event["time"], NS_PER_S)
        assert moment is not None
        builder.used("Q")
        builder.access(
            f"{event['pid']} {extent['command'] or ''}".rstrip(),
            opened,
            int(extent["sector"]) * SECTOR_BYTES,
            int(extent["sectors"]) * SECTOR_BYTES,
            at_ns=moment,
            write="W" in event["rwbs"],
        )


def _skipped(event: re.Match[str]) -> str | None:
    """Return why an event is no bio that is queued; None if it is one."""
    if event["action"] != "Q":
        return f"action {event['action']}: follows from what is queued"
    if "D" in event["rwbs"]:
        return "discard: not modelled"
    if "R" not in event["rwbs"] and "W" not in event["rwbs"]:
        return f"RWBS {event['rwbs']}: moves no data"
    return None
