"""What lies round a target of dm-integrity in tests: what it hands down, and what its rules would."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sim.block.bio import Bio, Plug
from sim.block.dm.integrity import IntegrityDevice
from sim.block.opf import REQ_FUA, REQ_OP_WRITE, REQ_PREFLUSH
from sim.block.protocols import BioQueue, StackedQueue
from sim.integrity.interleaved import Interleaved
from sim.peers.tally import DISK, Tally

Sent = tuple[int, int, int]
"""Sector, sectors, opf."""


class Noted(StackedQueue):
    """Notes the bios that are submitted to a queue, those of a row one by one."""

    def __init__(self, below: BioQueue) -> None:
        super().__init__(below)
        self.bios: list[Sent] = []

    def submit(self, task: Any, bio: Bio, plug: Plug) -> None:
        """Note it."""
        unit = bio.unit_sectors
        self.bios += [(bio.sector + at * unit, unit, bio.opf) for at in range(bio.count)]
        self._below.submit(task, bio, plug)


class Counted:
    """The rules alone, counting: what a bio to the target asks for."""

    def __init__(self, layout: Interleaved, max_sectors: int = 1280) -> None:
        self.tally = Tally()
        self.device = IntegrityDevice(layout, self.tally, max_sectors=max_sectors)

    def run(self, sector: int, sectors: int, opf: int) -> Counter[Sent]:
        """Return the bios of one, or of a flush, at the disk."""
        tally, before = self.tally, len(self.tally.bios)
        tally.call("submit_bio")
        tally.queue("dm0", sector, sectors, opf)
        if opf & REQ_PREFLUSH:
            self.device.flush()
        if sectors and opf & REQ_OP_WRITE:
            self.device.write(sector, sectors, opf & ~(REQ_PREFLUSH | REQ_FUA))
        elif sectors:
            self.device.read(sector, sectors, opf)
        if opf & REQ_FUA:
            self.device.fua()
        bios = [bio for bio in tally.bios[before:] if bio.device == DISK]
        return Counter((bio.sector, bio.sectors, bio.opf) for bio in bios)
