"""
What a target of device mapper does, in the order of its rules: calls, bios to the disk below, who does them.

Who takes it down counts it (sim.peers.tally), or plays it out in time (sim.stack).
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import mypyc_attr

from sim.block.bio import MAX_VECTORS
from sim.units import PAGE_SECTORS

MAP: Final = "map"
"""Who submits the bio, in dm_submit_bio(). The others are workers, by the queues of dm-integrity."""
OFFLOAD: Final = "offload"
METADATA: Final = "metadata"
BITMAP: Final = "bitmap"
COMMIT: Final = "commit"
WRITER: Final = "writer"


@mypyc_attr(allow_interpreted_subclasses=True)
class Asked:
    """What is asked for. Sectors are those of the disk; opf: sim.block.opf."""

    def call(self, *symbols: str, times: int = 1) -> None:
        """Call kernel symbols, `times` each; 0: not at all."""
        raise NotImplementedError

    def to_disk(self, sector: int, sectors: int, opf: int, apart: bool = True) -> None:
        """Hand down a clone of what was mapped. apart: each of its pages is a segment."""
        raise NotImplementedError

    def submit_to_disk(self, sector: int, sectors: int, opf: int, apart: bool = True) -> None:
        """Submit a bio of a buffer."""
        raise NotImplementedError

    def dm_io(self, sector: int, sectors: int, opf: int) -> None:
        """Do what the target asks for itself; sectors 0: empty the disk's cache."""
        raise NotImplementedError

    def by(self, who: str) -> None:
        """Say who does what follows: MAP begins a piece of a bio, or goes on with it."""

    def needs(self, start: int) -> None:
        """Say that the buffer at a sector, which was asked for before, must have come."""

    def takes(self, blocks: int) -> None:
        """Say that blocks are copied into entries of the journal."""

    def skips(self, blocks: int) -> None:
        """Say that entries of the journal are left empty."""

    def frees(self, blocks: int) -> None:
        """Say that entries of the journal are free again."""

    def copies(self, blocks: int) -> None:
        """Say that blocks are copied out of the journal, for a reader."""


def dm_io_bios(sector: int, sectors: int) -> list[tuple[int, int]]:
    """Return (sector, sectors) of the bios that dm_io() makes of a region: of up to BIO_MAX_VECS pages."""
    most = MAX_VECTORS * PAGE_SECTORS
    return [(sector + at, min(most, sectors - at)) for at in range(0, sectors, most)] or [(sector, 0)]


def pages_of(sectors: int) -> int:
    """Return how many pages so many sectors take that begin with a page."""
    return -(-sectors // PAGE_SECTORS)
