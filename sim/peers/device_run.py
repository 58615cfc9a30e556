"""
A script of direct requests to a device, run on a model: what each phase calls and which bios it queues.

Direct: each read(2) and write(2) is a bio of its own, fsync a flush (block/fops.c, Linux 6.1), up to 256
pages.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from sim.block.opf import FLUSH, REQ_IDLE, REQ_OP_READ, REQ_OP_WRITE, REQ_SYNC
from sim.peers.phases import run_counted
from sim.peers.script import Request, Step
from sim.peers.tally import Tally
from sim.units import SECTOR_BYTES


class Device(Protocol):
    """What takes bios that were queued to it."""

    def read(self, sector: int, sectors: int, opf: int) -> None:
        """Read."""

    def write(self, sector: int, sectors: int, opf: int) -> None:
        """Write."""

    def flush(self) -> None:
        """Make durable what was written."""


def run_direct(steps: Iterable[Step], device: Device, name: str, tally: Tally) -> dict[str, Tally]:
    """
    Return what each phase counts, by its name, in order.

    device: already set up, and counting in `tally`. name: whose queue the program's own bios go to.
    """
    return run_counted(steps, tally, lambda step: _do(step.request, device, name, tally))


def _do(request: Request, device: Device, name: str, tally: Tally) -> None:
    sector, sectors = request.offset // SECTOR_BYTES, request.length // SECTOR_BYTES
    if request.kind == "sleep":
        return
    tally.call("submit_bio")
    if request.kind == "read":
        tally.queue(name, sector, sectors, REQ_OP_READ | REQ_SYNC)
        device.read(sector, sectors, REQ_OP_READ | REQ_SYNC)
    elif request.kind == "write":
        opf = REQ_OP_WRITE | REQ_SYNC | REQ_IDLE
        tally.queue(name, sector, sectors, opf)
        device.write(sector, sectors, opf)
    else:
        tally.call("blkdev_issue_flush")
        tally.queue(name, 0, 0, FLUSH)
        device.flush()
