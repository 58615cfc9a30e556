"""
Latent errors of a medium: sectors that cannot be read.

A command that asks for one fails as a whole (NVMe, virtio-blk, null_blk, a RAM device), and with it every bio
that was merged into it, as blk_update_request() of block/blk-mq.c (Linux 6.1) ends them all with its status.
What is not recorded: that the calls of a failed end are those of a good one.

Left out: what a disk behind sd delivers before the bad sector (sd_done() ends that part well), the driver's
own retries, the time a disk tries for, the messages of the log, reallocation by a write, writes that fail.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final, final

from mypy_extensions import mypyc_attr

from sim.block.opf import REQ_OP_WRITE


@mypyc_attr(allow_interpreted_subclasses=True)
class Noticed:
    """Who is told what those above notice: of a device with faults."""

    def found_bad(self, block: int) -> None:
        """A check has found that a physical block, as it was read last, is not what it should be."""

    def failed(self, sector: int, sectors: int) -> None:
        """A bio for these sectors has failed."""


@final
class BadSectors:
    """The sectors of 512 bytes that cannot be read."""

    def __init__(self, sectors: Iterable[int] = ()) -> None:
        self._sectors = sorted(set(sectors))

    def fail(self, sector: int, sectors: int, opf: int) -> bool:
        """Return whether a command for `sectors` from `sector` on meets one; writes do not."""
        bad = self._sectors
        if not bad or opf & REQ_OP_WRITE:
            return False
        at = bisect_left(bad, sector)
        return at < len(bad) and bad[at] < sector + sectors


NO_BAD_SECTORS: Final = BadSectors()
