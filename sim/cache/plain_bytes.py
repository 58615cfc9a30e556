"""
One byte for each page of a file, as plain Python has them: `sim.cache.page_bytes` on a bytearray.
"""

from __future__ import annotations

from sim.cache.page_runs import filled


class PlainBytes(bytearray):
    """PageBytes, whose docstrings say what each does; find(), rfind() and count() are bytearray's own."""

    def part(self, start: int, end: int) -> bytes:
        """Return a copy of [start, end)."""
        return bytes(self[start:end])

    def grow(self, more: int) -> None:
        """Have `more` at the end, 0."""
        self.extend(bytes(more))

    def fill(self, start: int, end: int, value: int) -> None:
        """Give all of [start, end) one value."""
        self[start:end] = filled(value, end - start)

    def turn(self, start: int, end: int, table: bytes) -> None:
        """Give all of [start, end) what `table` has for their values."""
        self[start:end] = self[start:end].translate(table)

    def run(self, start: int, end: int, value: int) -> int:
        """Return how many from `start` on, before `end`, have `value`."""
        part = self[start:end]
        if part == filled(value, end - start):
            return end - start
        return len(part) - len(part.lstrip(bytes((value,))))
