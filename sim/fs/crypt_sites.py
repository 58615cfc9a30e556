"""
What encrypting the blocks of a file charges on their way out: the cipher, and tags that are made with them.
"""

from __future__ import annotations

from typing import NamedTuple

from sim.engine.ledger import TASK, Ledger


class BlockCalls(NamedTuple):
    """
    What is called for a block. calls: as of a site; unit: which of them takes longer by the byte. length: how
    many bytes it gets, 0: the block's.
    """

    calls: str
    unit: str
    length: int = 0


class CryptSites:
    """
    Where encrypting charges, below one stack. calls: of the cipher, and then of what makes the tag of a block
    that is written, if it is made on the way.
    """

    def __init__(self, ledger: Ledger, stack: str, calls: tuple[BlockCalls, ...], block_size: int) -> None:
        self._size = block_size
        cipher, *tags = calls
        self._cipher = ledger.site(TASK, stack, cipher.calls, unit=cipher.unit)
        self._tags = [
            (ledger.site(TASK, stack, one.calls, unit=one.unit), one.length or block_size) for one in tags
        ]

    def charge(self, blocks: int, written: int) -> int:
        """Return the cost of encrypting blocks, of which so many are written: a page is encrypted whole."""
        ps = self._cipher.charge_units(blocks, blocks * self._size)
        for site, length in self._tags:
            ps += site.charge_units(written, written * length)
        return ps
