"""
The free blocks of an image being made, as sorted runs. First fit, so that the result is reproducible.
"""

from __future__ import annotations

from bisect import bisect_right

from sim.errors import ConfigError


class Allocator:
    """Free runs of blocks [start, end), disjoint and sorted."""

    def __init__(self, blocks: range) -> None:
        self._starts = [blocks.start]
        self._ends = [blocks.stop]

    @property
    def free_blocks(self) -> int:
        """How many blocks are free."""
        return sum(self._ends) - sum(self._starts)

    @property
    def free_runs(self) -> list[tuple[int, int]]:
        """The free runs as (start, end)."""
        return list(zip(self._starts, self._ends, strict=True))

    def reserve(self, start: int, length: int, place: str) -> None:
        """Take exactly blocks [start, start + length); ConfigError, naming `place`, if one is not free."""
        index = bisect_right(self._starts, start) - 1
        end = start + length
        if index < 0 or end > self._ends[index]:
            raise ConfigError(place, f"blocks {start} to {end - 1} are not free", "blocks no one else has")
        self._cut(index, start, end)

    def _cut(self, index: int, start: int, end: int) -> None:
        """Remove [start, end) from the run at `index`."""
        low, high = self._starts[index], self._ends[index]
        left = [(low, start)] if low < start else []
        right = [(end, high)] if end < high else []
        self._starts[index : index + 1] = [run[0] for run in left + right]
        self._ends[index : index + 1] = [run[1] for run in left + right]

    def take(self, length: int, place: str) -> list[tuple[int, int]]:
        """
        Take `length` blocks and return them as (start, length) runs.

        The first free run that holds them all, else the longest free runs, in the order of the device:
        superblock backups cut a device into pieces, as on a real one. ConfigError if there are not enough.
        """
        if length == 0:
            return []
        for index, (start, end) in enumerate(zip(self._starts, self._ends, strict=True)):
            if end - start >= length:
                self._cut(index, start, start + length)
                return [(start, length)]
        free = self.free_blocks
        if free < length:
            raise ConfigError(place, f"needs {length} blocks", f"a larger image, only {free} blocks are free")
        # Long runs keep the file in few pieces; ties go to the lower block.
        longest = sorted(self.free_runs, key=lambda run: (run[0] - run[1], run[0]))
        taken = []
        for start, end in longest:
            count = min(length, end - start)
            self.reserve(start, count, place)
            taken.append((start, count))
            length -= count
            if not length:
                break
        return sorted(taken)

    def release(self, start: int, length: int) -> None:
        """Give blocks [start, start + length) back."""
        index = bisect_right(self._starts, start)
        end = start + length
        if index < len(self._starts) and self._starts[index] == end:
            end = self._ends[index]
            del self._starts[index], self._ends[index]
        if index and self._ends[index - 1] == start:
            self._ends[index - 1] = end
        else:
            self._starts.insert(index, start)
            self._ends.insert(index, end)
