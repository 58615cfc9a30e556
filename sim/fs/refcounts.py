"""
The reference counts of a mounted volume: how many files have each shared block, in leaves that fill, are cut
in two and become empty. No ext4 has them; the format is sim.ext4.format.refcounts', the rules are those of
XFS' refcount btree, without its index: leaves are in memory as long as the volume is mounted.

Left out: joining leaves that are half empty, records that would be one across two leaves.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import Final

from sim.errors import InvariantError
from sim.ext4.format.refcounts import Record

NO_BLOCK: Final = -1


class Leaf:
    """Records in order. block: where it lies on the device, NO_BLOCK as long as it has no place."""

    __slots__ = ("block", "records")

    def __init__(self, block: int, records: Iterable[Record]) -> None:
        self.block = block
        self.records = list(records)

    @property
    def first(self) -> int:
        """The first block that it counts."""
        return self.records[0][0]


class RefCounts:
    """The counts, as leaves of at most `room` records. Blocks that no record has are one file's, or free."""

    def __init__(self, leaves: Sequence[Leaf], room: int) -> None:
        self._room = room
        self._leaves = sorted((leaf for leaf in leaves if leaf.records), key=lambda leaf: leaf.first)
        self._empty = [leaf for leaf in leaves if not leaf.records]
        self._firsts = [leaf.first for leaf in self._leaves]

    @property
    def leaves(self) -> list[Leaf]:
        """All leaves, the empty ones last."""
        return self._leaves + self._empty

    @property
    def shared_blocks(self) -> int:
        """How many blocks several files have."""
        return sum(length for leaf in self._leaves for _first, length, _files in leaf.records)

    def leaves_of(self, block: int, length: int) -> int:
        """Return how many leaves count blocks of a range, at most."""
        end = bisect_left(self._firsts, block + length)
        return max(end - max(bisect_right(self._firsts, block) - 1, 0), 1)

    def run(self, block: int, most: int) -> tuple[bool, int]:
        """Tell whether a block is shared, and for how many blocks from it on, of `most`, that is so."""
        end, at, shared = block + most, block, False
        for leaf in self._leaves[max(bisect_right(self._firsts, block) - 1, 0) :]:
            if leaf.first >= end:
                break
            for first, length, _files in leaf.records:
                if first + length <= at:
                    continue
                if first > at:
                    return (True, at - block) if shared else (False, min(first, end) - block)
                shared, at = True, first + length
                if at >= end:
                    return True, most
        return (True, at - block) if shared else (False, most)

    def adjust(self, first: int, length: int, by: int) -> list[Leaf]:
        """
        Let one file more (by 1) or less (-1) have blocks; return the leaves that change, in order.

        Raises InvariantError for a file less of blocks that only one has: who takes these away frees them.
        """
        changed: list[Leaf] = []
        at, end = first, first + length
        if not self._leaves:
            self._put(0, self._empty.pop() if self._empty else Leaf(NO_BLOCK, ()), at)
        while at < end:
            number = max(bisect_right(self._firsts, at) - 1, 0)
            behind = self._firsts[number + 1] if number + 1 < len(self._firsts) else end
            stop = min(end, behind)
            leaf = self._leaves[number]
            leaf.records = adjusted(leaf.records, at, stop, by)
            changed += [each for each in self._settle(number) if each not in changed]
            at = stop
        return changed

    def _put(self, number: int, leaf: Leaf, first: int) -> None:
        self._leaves.insert(number, leaf)
        self._firsts.insert(number, first)

    def _settle(self, number: int) -> list[Leaf]:
        """Cut a leaf with too many records in pieces, set an empty one aside; return what that leaves."""
        leaf = self._leaves[number]
        if not leaf.records:
            del self._leaves[number], self._firsts[number]
            self._empty.append(leaf)
            return [leaf]
        self._firsts[number] = leaf.first
        if len(leaf.records) <= self._room:
            return [leaf]
        half = len(leaf.records) // 2
        other = self._empty.pop() if self._empty else Leaf(NO_BLOCK, ())
        other.records, leaf.records = leaf.records[half:], leaf.records[:half]
        self._put(number + 1, other, other.first)
        return [*self._settle(number), *self._settle(number + 1)]


def adjusted(records: Sequence[Record], first: int, end: int, by: int) -> list[Record]:
    """Return records in order with the counts of blocks [first, end) changed; those below 2 are gone."""
    found: list[Record] = []
    at = first
    for start, length, files in [*records, (end, 0, 0)]:
        stop = start + length
        if stop <= first:
            _add(found, start, stop, files)
            continue
        if at < min(start, end):
            _add(found, at, min(start, end), _one(by, at))
            at = min(start, end)
        _add(found, start, min(stop, first), files)
        _add(found, max(start, first), min(stop, end), files + by)
        at = max(at, min(stop, end))
        _add(found, max(start, end), stop, files)
    return found


def _one(by: int, block: int) -> int:
    """Return the new count of a block that one file has."""
    if by < 0:
        raise InvariantError(f"block {block} is given back, and is not shared")
    return 1 + by


def _add(found: list[Record], start: int, stop: int, files: int) -> None:
    """Add a run to those before it, and to the last one if it goes on."""
    if start >= stop or files < 2:
        return
    if found and sum(found[-1][:2]) == start and found[-1][2] == files:
        found[-1] = (found[-1][0], found[-1][1] + stop - start, files)
    else:
        found.append((start, stop - start, files))
