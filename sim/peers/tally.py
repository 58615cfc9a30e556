"""
What the block layer counts of a bio on its way to the disk, and the list of all bios that were queued.

Counted as kprobes see it on Linux 6.1: submit_bio, submit_bio_noacct_nocheck, blk_mq_submit_bio, bio_split,
bio_alloc_bioset, bio_endio, and the tracepoints block_bio_queue, block_split, block_bio_complete. A bio
that the disk's limits do not take is cut; the rest is queued anew, without being seen again.

Left out: requests, and what merges in a plug (sim.block has them); time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from sim.block.dm.asked import Asked, dm_io_bios, pages_of
from sim.block.dm.integrity import MAX_SECTORS
from sim.units import PAGE_SECTORS

REQ_RAHEAD: Final = 256
"""Read ahead of what was asked for; the bits of sim.block.opf end before it."""
DISK: Final = "null"
"""The device below all others, as the recordings call it."""
MAX_SEGMENTS: Final = 128
"""Segments of a request of the recordings' disk, null_blk."""


@dataclass(frozen=True, slots=True, order=True)
class Queued:
    """A bio as it was queued. device: whose queue. sectors 0: a flush. opf: sim.block.opf, and REQ_RAHEAD."""

    device: str
    sector: int
    sectors: int
    opf: int


class Tally(Asked):
    """Calls by kernel symbol, and bios in the order of submission."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.bios: list[Queued] = []

    def call(self, *symbols: str, times: int = 1) -> None:
        """Count calls; none leaves no trace."""
        if times:
            for symbol in symbols:
                self.calls[symbol] += times

    def queue(self, device: str, sector: int, sectors: int, opf: int) -> None:
        """Queue a bio: the tracer sees it."""
        self.call("submit_bio_noacct_nocheck", "block_bio_queue")
        self.bios.append(Queued(device, sector, sectors, opf))

    def to_disk(self, sector: int, sectors: int, opf: int, apart: bool = True) -> None:
        """Queue a bio at the disk, have it done and ended. apart: each of its pages is a segment."""
        self.queue(DISK, sector, sectors, opf)
        cuts = rests(sectors, apart)
        self.call("blk_mq_submit_bio", "bio_endio", times=1 + cuts)
        self.call("submit_bio_noacct_nocheck", "bio_split", "bio_alloc_bioset", "block_split", times=cuts)

    def submit_to_disk(self, sector: int, sectors: int, opf: int, apart: bool = True) -> None:
        """As `to_disk`, for who submits a bio of his own (submit_bio)."""
        self.call("submit_bio")
        self.to_disk(sector, sectors, opf, apart)

    def dm_io(self, sector: int, sectors: int, opf: int) -> None:
        """Do what a target asks of the disk for itself (drivers/md/dm-io.c)."""
        self.call("dm_io")
        for at, length in dm_io_bios(sector, sectors):
            self.call("bio_alloc_bioset")
            self.call("bio_add_page", times=pages_of(length))
            self.submit_to_disk(at, length, opf)


def rests(sectors: int, apart: bool) -> int:
    """Return how often the disk's queue cuts a bio (bio_split): it takes MAX_SECTORS, in MAX_SEGMENTS."""
    most = min(MAX_SECTORS, MAX_SEGMENTS * PAGE_SECTORS) if apart else MAX_SECTORS
    return max(-(-sectors // most), 1) - 1
