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
    """
    Entries by their first block.

    They lie in chunks, none of which is empty, so that one more costs the same among many as among few.
    _firsts: the first block of each chunk.
    """

    def __init__(self, chunk: int = 512) -> None:
        """chunk: entries that lie together at most."""
        self._most = chunk
        self._firsts: list[int] = []
        self._starts: list[list[int]] = []
        self._entries: list[list[EsEntry]] = []
        self._count = 0

    def __len__(self) -> int:
        """Return how many entries there are."""
        return self._count

    @property
    def levels(self) -> int:
        """Levels of a balanced tree of the entries: the steps of a lookup."""
        return self._count.bit_length()

    def entries(self) -> list[EsEntry]:
        """Return all entries in order."""
        return [entry for chunk in self._entries for entry in chunk]

    def lookup(self, lblk: int) -> EsEntry | None:
        """Return the entry that has a block; None if nothing is known of it."""
        entry = self._before(lblk)
        return entry if entry is not None and lblk < entry.start + entry.length else None

    def _before(self, lblk: int) -> EsEntry | None:
        """Return the last entry that begins at `lblk` or before."""
        chunk = bisect_right(self._firsts, lblk) - 1
        if chunk < 0:
            return None
        return self._entries[chunk][bisect_right(self._starts[chunk], lblk) - 1]

    def _behind(self, lblk: int) -> EsEntry | None:
        """Return the first entry that ends behind `lblk`."""
        chunk = bisect_right(self._firsts, lblk) - 1
        at = 0
        if chunk < 0:
            chunk = 0
        else:
            at = bisect_right(self._starts[chunk], lblk) - 1
            if self._entries[chunk][at].start + self._entries[chunk][at].length <= lblk:
                at += 1
                if at == len(self._entries[chunk]):
                    chunk, at = chunk + 1, 0
        return self._entries[chunk][at] if chunk < len(self._entries) else None

    def _add(self, entry: EsEntry) -> None:
        """Put in an entry that overlaps none."""
        start, self._count = entry.start, self._count + 1
        if not self._firsts:
            self._firsts.append(start)
            self._starts.append([start])
            self._entries.append([entry])
            return
        chunk = max(bisect_right(self._firsts, start) - 1, 0)
        starts, entries = self._starts[chunk], self._entries[chunk]
        at = bisect_right(starts, start)
        starts.insert(at, start)
        entries.insert(at, entry)
        self._firsts[chunk] = starts[0]
        if len(starts) > self._most:
            half = len(starts) // 2
            self._firsts.insert(chunk + 1, starts[half])
            self._starts.insert(chunk + 1, starts[half:])
            self._entries.insert(chunk + 1, entries[half:])
            del starts[half:], entries[half:]

    def _drop(self, start: int) -> None:
        """Take out the entry that begins at `start`."""
        self._count -= 1
        chunk = bisect_right(self._firsts, start) - 1
        starts = self._starts[chunk]
        at = bisect_right(starts, start) - 1
        del starts[at], self._entries[chunk][at]
        if starts:
            self._firsts[chunk] = starts[0]
        else:
            del self._firsts[chunk], self._starts[chunk], self._entries[chunk]

    def knows_any(self, start: int, length: int) -> bool:
        """Tell whether anything is known of [start, start + length)."""
        entry = self._before(start + length - 1)
        return entry is not None and entry.start + entry.length > start

    def delayed_from(self, lblk: int, end: int) -> EsEntry | None:
        """ext4_es_find_extent_range(): return the first delayed entry of [lblk, end)."""
        entry = self._behind(lblk)
        while entry is not None and entry.start < end:
            if entry.status == ES_DELAYED:
                return entry
            entry = self._behind(entry.start + entry.length)
        return None

    def remove(self, start: int, length: int) -> bool:
        """
        __es_remove_extent(): know nothing of [start, start + length); tell whether an entry fell in two.
        """
        end, removed = start + length, 0
        left: list[EsEntry] = []
        entry = self._behind(start)
        while entry is not None and entry.start < end:
            entry_end = entry.start + entry.length
            if entry.start < start:
                left.append(EsEntry(entry.start, start - entry.start, entry.status, entry.physical))
            if entry_end > end:
                left.append(EsEntry(end, entry_end - end, entry.status, entry.physical + end - entry.start))
            self._drop(entry.start)
            removed += 1
            entry = self._behind(entry_end) if entry_end < end else None
        for entry in left:
            self._add(entry)
        return removed == 1 and len(left) == 2

    def insert(self, start: int, length: int, status: int, physical: int) -> bool:
        """
        ext4_es_insert_extent(): know [start, start + length), whatever was known of it.

        Returns whether an entry fell in two for it, whose second half was inserted anew.
        """
        parted = self.remove(start, length)
        entry = self._before(start)
        if entry is not None and entry.joins(start, status, physical):
            entry.length += length
        else:
            entry = EsEntry(start, length, status, physical)
            self._add(entry)
        end = entry.start + entry.length
        behind = self._behind(end)
        if behind is not None and entry.joins(behind.start, behind.status, behind.physical):
            self._drop(behind.start)
            entry.length += behind.length
        return parted

    def cache(self, start: int, length: int, status: int, physical: int) -> bool:
        """ext4_es_cache_extent(): the same, unless something of it is known; tell whether it was inserted."""
        if self.knows_any(start, length):
            return False
        self.insert(start, length, status, physical)
        return True

    def clear(self) -> None:
        """Know nothing."""
        self._firsts.clear()
        self._starts.clear()
        self._entries.clear()
        self._count = 0
