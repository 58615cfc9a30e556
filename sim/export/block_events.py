"""
Block events of a traced cell, as the writers of blktrace's forms take them.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import merge
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from sim.experiment.traced_tables import pieces

DEVICE = "readpath0"
"""What the files of a trace call the device."""
MAJOR, MINOR = 259, 0
"""Its numbers: those of block devices without a major of their own. (btt takes 253 for a device mapper.)"""
COMM_LETTERS = 15
"""TASK_COMM_LEN, less the zero at its end."""


class BlockEvent(NamedTuple):
    """
    One event. action: blktrace's letter. sequence: its number on its CPU, from 1. number: of U the requests
    inserted, of X the sector at which the rest begins.
    """

    time_ns: int
    action: str
    rwbs: str
    sector: int
    sectors: int
    cpu: int
    sequence: int
    pid: int
    comm: str
    number: int


def block_events(run: Path, cell: int, seed: int) -> Iterator[BlockEvent]:
    """
    Yield the events of a cell in the order of their times.

    Of a device whose driver takes bios there are no requests; its completions are those of the bios' stages.
    """
    if not _takes_bios(run, cell, seed):
        yield from _recorded(run, cell, seed)
        return
    sequences: dict[int, int] = {}
    both = merge(_recorded(run, cell, seed), _ended(run, cell, seed), key=attrgetter("time_ns"))
    for event in both:
        sequences[event.cpu] = number = sequences.get(event.cpu, 0) + 1
        yield event._replace(sequence=number)


def _recorded(run: Path, cell: int, seed: int) -> Iterator[BlockEvent]:
    sequences: dict[int, int] = {}
    flags: dict[tuple[str, bool], str] = {}
    for piece in pieces(run, "block", cell, seed):
        columns: Any = piece
        names = ("time_ns", "action", "rwbs", "sector", "sectors", "cpu", "pid", "comm", "count")
        for time_ns, action, rwbs, sector, sectors, cpu, pid, comm, count in zip(
            *(columns[name] for name in names), strict=True
        ):
            number = sector + sectors if action == "X" else count
            name = "swapper/0" if pid == 0 else comm[:COMM_LETTERS]
            shown = flags.get((rwbs, sectors > 0))
            if shown is None:
                shown = flags[rwbs, sectors > 0] = _flags(rwbs, sectors)
            sequences[cpu] = sequence = sequences.get(cpu, 0) + 1
            yield BlockEvent(time_ns, action, shown, sector, sectors, cpu, sequence, pid, name, number)


def _takes_bios(run: Path, cell: int, seed: int) -> bool:
    """Tell whether nothing was ever issued: bios end in their submitter."""
    return not any("D" in piece["action"] for piece in pieces(run, "block", cell, seed, ("action",)))


def _ended(run: Path, cell: int, seed: int) -> Iterator[BlockEvent]:
    """Yield the completions of bios, from their stages; on CPU 0, where it is not known which it was."""
    ends = []
    for piece in pieces(run, "io", cell, seed):
        rows: Any = piece
        names = ("queued_ns", "plug_ns", "queue_ns", "device_ns", "sector", "sectors", "bios")
        for queued, plug, queue, device, sector, sectors, bios in zip(
            *(rows[name] for name in names), strict=True
        ):
            each = sectors // bios
            ends += [(queued + plug + queue + device, sector + at * each, each) for at in range(bios)]
    for time_ns, sector, sectors in sorted(ends):
        yield BlockEvent(time_ns, "C", "R", sector, sectors, 0, 0, 0, "swapper/0", 0)


def _flags(rwbs: str, sectors: int) -> str:
    """Return RWBS as blkparse prints it: a command without sectors that writes nothing is N."""
    if rwbs == "FF":
        return "FN"
    return rwbs.replace("R", "N") if not sectors else rwbs
