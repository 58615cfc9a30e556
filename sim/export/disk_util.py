"""
What fio's disk_util says of a device, from its block events: requests, merges, time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sim.export.block_events import block_events
from sim.units import NS_PER_MS


def disk_util(run: Path, cell: int, seed: int, name: str, busy_ns: int, elapsed_ns: int) -> dict[str, Any]:
    """
    Return fio's fields. A request's time (ticks, in ms) is from when it was allocated to its completion, as
    the kernel counts; of a device that takes bios, from their submission.
    """
    ios, merges, ticks = [0, 0], [0, 0], [0, 0]
    began: dict[tuple[int, int], int] = {}
    bios: dict[tuple[int, int], list[int]] = {}
    for event in block_events(run, cell, seed):
        write = int("W" in event.rwbs)
        key = event.sector, write
        match event.action:
            case "Q":
                bios.setdefault(key, []).append(event.time_ns)
            case "G":
                began[key] = event.time_ns
            case "F":
                merges[write] += 1
                if (moved := began.pop((event.sector + event.sectors, write), None)) is not None:
                    began[key] = moved
            case "M":
                merges[write] += 1
            case "C" if event.sectors:
                queued = bios.pop(key, [event.time_ns])
                ios[write] += 1
                ticks[write] += event.time_ns - began.pop(key, queued[0])
    spent = [ns // NS_PER_MS for ns in ticks]
    return {
        "name": name,
        "read_ios": ios[0],
        "write_ios": ios[1],
        "read_merges": merges[0],
        "write_merges": merges[1],
        "read_ticks": spent[0],
        "write_ticks": spent[1],
        "in_queue": sum(ticks) // NS_PER_MS,
        "util": 100 * min(busy_ns / elapsed_ns, 1.0) if elapsed_ns else 0.0,
    }
