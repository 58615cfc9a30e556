"""
One byte for each page of a file, as the compiled core has them: an array of its own.

In plain Python it is `sim.cache.plain_bytes`, a bytearray, which is quicker there; compiled code would ask
for each byte through objects. `sim.cache.make_bytes.page_bytes` makes the one or the other, and the tests
hold the two against each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

from librt.vecs import append, vec
from mypy_extensions import i64, u8


@final
class PageBytes:
    """
    `size` values of 0..255, all 0 at first. Ranges are [start, end); none is negative.

    IndexError for a page beyond the last; who only looks takes what lies beyond as other than all values.
    """

    __slots__ = ("_items",)

    def __init__(self, size: i64) -> None:
        self._items = vec[u8]([0] * size)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._items)

    def __getitem__(self, page: i64) -> i64:
        """Return a page's value."""
        return i64(self._items[page])

    def __setitem__(self, page: i64, value: i64) -> None:
        """Give a page a value."""
        self._items[page] = u8(value)

    def __iter__(self) -> Iterator[int]:
        """Go through all."""
        return iter(self.part(0, len(self._items)))

    def _within(self, end: i64) -> i64:
        last: i64 = len(self._items)
        return end if end < last else last

    def part(self, start: i64, end: i64) -> bytes:
        """Return a copy of the values of [start, end)."""
        return bytes(self._items[start:end])

    def grow(self, more: i64) -> None:
        """Have `more` at the end, 0."""
        items = self._items
        for _ in range(more):
            items = append(items, 0)
        self._items = items

    def fill(self, start: i64, end: i64, value: i64) -> None:
        """Give all of [start, end) one value."""
        items, new = self._items, u8(value)
        for page in range(start, end):
            items[page] = new

    def turn(self, start: i64, end: i64, table: bytes) -> None:
        """Give all of [start, end) what `table` has for their values (bytes.translate())."""
        items = self._items
        for page in range(start, end):
            items[page] = u8(table[i64(items[page])])

    def run(self, start: i64, end: i64, value: i64) -> i64:
        """Return how many from `start` on, before `end`, have `value`."""
        items, wanted = self._items, u8(value)
        page, stop = start, self._within(end)
        while page < stop and items[page] == wanted:
            page += 1
        return page - start

    def find(self, value: i64, start: i64, end: i64) -> i64:
        """Return the first of [start, end) that has `value`, or -1."""
        items, wanted = self._items, u8(value)
        for page in range(start, self._within(end)):
            if items[page] == wanted:
                return page
        return -1

    def rfind(self, value: i64, start: i64, end: i64) -> i64:
        """Return the last of [start, end) that has `value`, or -1."""
        items, wanted = self._items, u8(value)
        page = self._within(end)
        while page > start:
            page -= 1
            if items[page] == wanted:
                return page
        return -1

    def count(self, value: i64, start: i64, end: i64) -> i64:
        """Return how many of [start, end) have `value`."""
        items, wanted = self._items, u8(value)
        found: i64 = 0
        for page in range(start, self._within(end)):
            if items[page] == wanted:
                found += 1
        return found
