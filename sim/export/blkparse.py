"""
A block trace as text: the lines that `blkparse` prints by default.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sim.export.block_events import MAJOR, MINOR, BlockEvent
from sim.units import NS_PER_S


def blkparse_lines(events: Iterable[BlockEvent]) -> Iterator[str]:
    """Yield a line an event, without its newline. Times count from the first event, as blkparse's do."""
    first = -1
    for event in events:
        if first < 0:
            first = event.time_ns
        seconds, ns = divmod(event.time_ns - first, NS_PER_S)
        yield (
            f"{MAJOR:3d},{MINOR:<3d} {event.cpu:2d} {event.sequence:8d} {seconds:5d}.{ns:09d} {event.pid:5d}"
            f" {event.action:>2s} {event.rwbs:>3s} {_rest(event)}"
        )


def _rest(event: BlockEvent) -> str:
    """Return what a line has behind RWBS."""
    place = f"{event.sector} + {event.sectors} " if event.sectors else ""
    match event.action:
        case "C":
            return f"{place}[0]" if place else f"{event.sector} [0]"
        case "P":
            return f"[{event.comm}]"
        case "U":
            return f"[{event.comm}] {event.number}"
        case "X":
            return f"{event.sector} / {event.number} [{event.comm}]"
    return f"{place}[{event.comm}]"
