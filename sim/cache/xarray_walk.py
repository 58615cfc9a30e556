"""
How page_cache_next_miss() and page_cache_prev_miss() walk a mapping that has large folios: over the slots of
an XArray (lib/xarray.c), a page a step.

A node has 64 slots. A folio of less than 64 pages fills slots of a node that stands for 64 pages, a larger
one slots of the node above. A walk that begins within a folio is set on that folio's first slot, while its
index stays where it was asked for. From there on both move by one a step, and stay apart until the slot
leaves its node: then the way down goes by the index again. So an answer may be some pages off, and a hole not
be seen.
"""

from __future__ import annotations

from typing import Final

from sim.cache.page_bytes import PageBytes

SLOT_BITS: Final = 6
SLOTS: Final = 1 << SLOT_BITS


class Walk:
    """
    A cursor over the pages of a mapping.

    state, orders: of its pages, as FolioMapping has them. index: the page it is at by its own account. level:
    of its node, whose slots stand for 64^level pages; slot: its slot, counted from page 0 on.
    """

    __slots__ = ("_orders", "_state", "index", "level", "slot")

    def __init__(self, state: PageBytes, orders: bytearray, index: int) -> None:
        self._state = state
        self._orders = orders
        self.index = index
        self.level = 0
        self.slot = 0

    def load(self) -> bool:
        """xas_load(): stand on the entry that holds `index`; return whether there is one."""
        index = self.index
        if not self._holds(index):
            return False
        order = self._orders[index]
        self.level = order // SLOT_BITS
        self.slot = index >> order << order >> (self.level * SLOT_BITS)
        return True

    def step(self, by: int) -> bool:
        """xas_next() or xas_prev(): go a page on, or back (by = 1, -1); return whether there is an entry."""
        edge = SLOTS - 1 if by > 0 else 0
        self.index += by
        if not self.level and self.slot % SLOTS != edge:
            self.slot += by
            return self._holds(self.slot)
        if self.slot % SLOTS != self._offset():
            at_edge = self.slot % SLOTS == edge
            self.slot += by
            while at_edge:
                self.level += 1
                above = (self.slot - by) // SLOTS
                if above + by < 0:
                    return False
                at_edge = above % SLOTS == edge
                self.slot = above + by
        return self._down()

    def _offset(self) -> int:
        """Return which slot of a node the index is in, at this level."""
        return (self.index >> (self.level * SLOT_BITS)) % SLOTS

    def _down(self) -> bool:
        """Go down from a slot to the entry that the index is in; return whether there is one."""
        while self.level:
            shift = self.level * SLOT_BITS
            first = self.slot << shift
            if first < 0:
                return False
            if self.level == 1 and self._holds(first) and self._orders[first] >= SLOT_BITS:
                return True
            stop = min(first + (1 << shift), len(self._state))
            if stop <= first or self._state.run(first, stop, 0) == stop - first:
                return False
            self.level -= 1
            self.slot = self.slot * SLOTS + self._offset()
        return self._holds(self.slot)

    def _holds(self, page: int) -> bool:
        return 0 <= page < len(self._state) and self._state[page] != 0


def next_miss(state: PageBytes, orders: bytearray, index: int, max_scan: int) -> int:
    """Return where page_cache_next_miss() says that the first hole from `index` on is."""
    walk = Walk(state, orders, index)
    there = walk.load()
    for _ in range(max_scan - 1):
        if not there:
            return walk.index
        there = walk.step(1)
    return walk.index + 1 if there else walk.index


def prev_miss(state: PageBytes, orders: bytearray, index: int, max_scan: int) -> int:
    """Return where page_cache_prev_miss() says that the last hole up to `index` is."""
    walk = Walk(state, orders, index)
    there = walk.load()
    for _ in range(max_scan - 1):
        if not there:
            return walk.index
        there = walk.step(-1)
    return walk.index - 1 if there else walk.index
