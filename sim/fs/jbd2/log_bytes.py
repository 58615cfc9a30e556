"""
The bytes of a log: what each of its blocks holds, and each block of metadata as it was last committed.

A transaction's blocks are taken when its last handle has stopped (jbd2 copies those that the next one changes
before they are written: b_frozen_data): what is logged, and later written in place, is that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from sim.ext4.format.journal_blocks import SEQUENCES
from sim.ext4.format.journal_super import LogSuperblock
from sim.units import NS_PER_S

BlockBytes = Callable[[int], bytes]
"""Return what a block of metadata, or of journalled data, holds now."""
FIRST_TID: Final = 1
"""The transaction that has the sequence number of the superblock at mount."""


class LogBytes:
    """
    superblock: of the log at mount. places: of its blocks, the superblock's first. now: what blocks hold.
    epoch_s: the wall clock's seconds when the simulated clock says 0.
    """

    def __init__(
        self, superblock: LogSuperblock, places: Sequence[int], now: BlockBytes, epoch_s: int
    ) -> None:
        self.committed: dict[int, bytes] = {}
        self._superblock = superblock
        self._first = superblock.sequence
        self._format = superblock.format
        self._place = places[0]
        self._now = now
        self._epoch_s = epoch_s
        self._log: dict[int, bytes] = {}
        self._logged: list[bytes] = []

    def held(self, block: int) -> bytes | None:
        """Return what a block of the log, or one that was committed, is to hold on the disk; else None."""
        found = self._log.get(block)
        return self.committed.get(block) if found is None else found

    def freeze(self, blocks: Sequence[int]) -> None:
        """No handle of their transaction is open any more: these are its blocks."""
        for block in blocks:
            self.committed[block] = self._now(block)

    def revocations(self, tid: int, blocks: Sequence[int], places: Sequence[int]) -> None:
        """Log what a transaction revokes."""
        for place, raw in zip(places, self._format.revocations(self._sequence(tid), blocks), strict=True):
            self._log[place] = raw

    @property
    def revocations_per_block(self) -> int:
        """How many revocations a block holds."""
        return self._format.revocations_per_block

    def descriptor(self, tid: int, blocks: Sequence[int], places: Sequence[int]) -> None:
        """Log a descriptor and the blocks that it tells of."""
        written = [(block, self.committed[block]) for block in blocks]
        raws = self._format.descriptor(self._sequence(tid), written)
        for place, raw in zip(places, raws, strict=True):
            self._log[place] = raw
        if self._format.sums_transactions:
            self._logged.extend(raws)

    def record(self, tid: int, place: int, now_ns: int) -> None:
        """Log the commit record of a transaction."""
        seconds, ns = divmod(now_ns, NS_PER_S)
        self._log[place] = self._format.commit(self._sequence(tid), self._epoch_s + seconds, ns, self._logged)
        self._logged = []

    def tail(self, tid: int, start: int) -> None:
        """The log begins with this transaction, at this block of the journal."""
        self._superblock = self._superblock.at(self._sequence(tid), start)
        self._log[self._place] = self._superblock.encode()

    def _sequence(self, tid: int) -> int:
        return (self._first + tid - FIRST_TID) % SEQUENCES
