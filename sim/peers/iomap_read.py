"""
Reading a file through iomap on XFS (fs/iomap/buffered-io.c, Linux 6.1): whether its blocks are shared or
not.

A window of readahead is mapped extent by extent, and each run of blocks becomes a bio. Nothing is checked.
Left out: holes, unwritten extents, inline data, bios of more than 256 folios.
"""

from __future__ import annotations

from sim.block.opf import REQ_OP_READ
from sim.peers.page_reads import Folios
from sim.peers.tally import REQ_RAHEAD, Tally
from sim.peers.xfs_file import XfsFile
from sim.units import PAGE_SECTORS

RA_PAGES = 32
"""read_ahead_kb of the recordings' disk: 128."""


class IomapReader:
    """Reads a file's folios."""

    def __init__(self, file: XfsFile, tally: Tally) -> None:
        self._file = file
        self._tally = tally

    def read_folios(self, folios: Folios) -> None:
        """Read folios in a row (iomap_readahead)."""
        self._tally.call("iomap_readahead", "iomap_iter")
        block, end = folios[0][0], folios[-1][1]
        while block < end:
            stop = min(end, self._file.extent_end(block))
            self._tally.call("iomap_iter", "xfs_read_iomap_begin", "xfs_bmapi_read")
            touched = sum(first < stop and last > block for first, last in folios)
            self._tally.call("iomap_readpage_iter", times=touched)
            self._tally.call("bio_alloc_bioset")
            sector = self._file.places[block] * PAGE_SECTORS
            # The folios are large, and lie apart: fewer segments than pages.
            self._tally.submit_to_disk(
                sector, (stop - block) * PAGE_SECTORS, REQ_OP_READ | REQ_RAHEAD, apart=False
            )
            block = stop
