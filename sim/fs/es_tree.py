"""
The extent status tree of an inode that is written: what is known of its blocks, delayed ones included
(fs/ext4/extents_status.c of Linux 6.1).

Entries are stretches of one status, in order and apart; neighbours of one status that lie side by side on the
disk are one entry. Left out: the shrinker, sequence numbers, the limit of an entry's length (2^32 blocks).
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

ES_WRITTEN: Final = 0
ES_UNWRITTEN: Final = 1
ES_HOLE: Final = 2
ES_DELAYED: Final = 3


class EsEntry:
    """`length` blocks of one status from `start` on, at `physical` if they have a place."""

    __slots__ = ("length", "physical", "start", "status")

    def __init__(self, start: int, length: int, status: int, physical: int) -> None:
        self.start = start
        self.length = length
        self.status = status
        self.physical = physical

    def joins(self, start: int, status: int, physical: int) -> bool:
        """Tell whether what begins at `start` goes on with this entry."""
        if status != self.status or self.start + self.length != start:
            return False
        return status >= ES_HOLE or self.physical + self.length == physical


class EsTree:
    """Entries by their first block."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._entries: list[EsEntry] = []

    def __len__(self) -> int:
        """Return how many entries there are."""
        return len(self._starts)

    @property
    def levels(self) -> int:
        """Levels of a balanced tree of the entries: the steps of a lookup."""
        return len(self._starts).bit_length()

    def lookup(self, lblk: int) -> EsEntry | None:
        """Return the entry that has a block; None if nothing is known of it."""
        at = bisect_right(self._starts, lblk) - 1
        if at < 0:
            return None
        entry = self._entries[at]
        return entry if lblk < entry.start + entry.length else None

    def knows_any(self, start: int, length: int) -> bool:
        """Tell whether anything is known of [start, start + length)."""
        at = bisect_right(self._starts, start + length - 1) - 1
        return at >= 0 and self._entries[at].start + self._entries[at].length > start

    def delayed_from(self, lblk: int, end: int) -> EsEntry | None:
        """ext4_es_find_extent_range(): return the first delayed entry of [lblk, end)."""
        at = max(bisect_right(self._starts, lblk) - 1, 0)
        while at < len(self._starts) and self._starts[at] < end:
            entry = self._entries[at]
            if entry.status == ES_DELAYED and entry.start + entry.length > lblk:
                return entry
            at += 1
        return None

    def remove(self, start: int, length: int) -> bool:
        """
        __es_remove_extent(): know nothing of [start, start + length); tell whether an entry fell in two.
        """
        end = start + length
        first = bisect_right(self._starts, start) - 1
        if first < 0 or self._entries[first].start + self._entries[first].length <= start:
            first += 1
        last = first
        left: list[EsEntry] = []
        while last < len(self._starts) and self._starts[last] < end:
            entry = self._entries[last]
            entry_end = entry.start + entry.length
            if entry.start < start:
                left.append(EsEntry(entry.start, start - entry.start, entry.status, entry.physical))
            if entry_end > end:
                left.append(EsEntry(end, entry_end - end, entry.status, entry.physical + end - entry.start))
            last += 1
        self._entries[first:last] = left
        self._starts[first:last] = [entry.start for entry in left]
        return last == first + 1 and len(left) == 2

    def insert(self, start: int, length: int, status: int, physical: int) -> bool:
        """
        ext4_es_insert_extent(): know [start, start + length), whatever was known of it.

        Returns whether an entry fell in two for it, whose second half was inserted anew.
        """
        parted = self.remove(start, length)
        at = bisect_right(self._starts, start)
        if at and self._entries[at - 1].joins(start, status, physical):
            entry = self._entries[at - 1]
            entry.length += length
            at -= 1
        else:
            entry = EsEntry(start, length, status, physical)
            self._entries.insert(at, entry)
            self._starts.insert(at, start)
        if at + 1 < len(self._starts):
            behind = self._entries[at + 1]
            if entry.joins(behind.start, behind.status, behind.physical):
                entry.length += behind.length
                del self._entries[at + 1], self._starts[at + 1]
        return parted

    def cache(self, start: int, length: int, status: int, physical: int) -> bool:
        """ext4_es_cache_extent(): the same, unless something of it is known; tell whether it was inserted."""
        if self.knows_any(start, length):
            return False
        self.insert(start, length, status, physical)
        return True

    def clear(self) -> None:
        """Know nothing."""
        self._starts.clear()
        self._entries.clear()
