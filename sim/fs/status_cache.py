"""
The extent status cache of one inode (fs/ext4/extents_status.c), for a file that does not change.

What the cache may say about a block is fixed by the file: a *run*, the longest stretch of one kind
(written, unwritten, hole) that is contiguous on the disk. The kernel merges what it inserts with its
neighbours, so an entry is always a stretch of one run; the cache is therefore kept as the runs of the file
and, per run, the stretches that are known. Units are blocks. Left out: the shrinker, delayed extents.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, final

from mypy_extensions import mypyc_attr

from sim.ext4.format.extents import Extent

WRITTEN: Final = 0
UNWRITTEN: Final = 1
HOLE: Final = 2
FAILED: Final = 3
"""Not a kind of block: the map could not be made (EIO, EFSCORRUPTED, EFSBADCRC of ext4_map_blocks())."""
END_OF_BLOCKS: Final = (1 << 32) - 1
"""EXT_MAX_BLOCKS: where the last hole of every file ends."""


@final
@mypyc_attr(free_list_len=1)
class Mapped:
    """An answer: `length` blocks of `kind` from the block asked for, at `physical` (if not a hole)."""

    __slots__ = ("kind", "length", "physical")

    def __init__(self, kind: int, physical: int, length: int) -> None:
        self.kind = kind
        self.physical = physical
        self.length = length

    def __eq__(self, other: object) -> bool:
        """Whether it answers the same."""
        return isinstance(other, Mapped) and self._values() == other._values()

    def __hash__(self) -> int:
        """As equality has it."""
        return hash(self._values())

    def __repr__(self) -> str:
        """Its values, in the order of the constructor."""
        return f"Mapped{self._values()}"

    def _values(self) -> tuple[int, int, int]:
        return self.kind, self.physical, self.length

    def cut(self, length: int) -> Mapped:
        """Return the answer's first `length` blocks."""
        return self if length == self.length else Mapped(self.kind, self.physical, length)


class StatusCache:
    """
    The known stretches of a file's runs.

    run_start, run_kind, run_physical: the runs, with a last entry at END_OF_BLOCKS. entries: how many
    stretches are known, which sets the cost of a lookup.
    """

    def __init__(self, extents: Sequence[Extent]) -> None:
        """Start empty: nothing is known."""
        self.run_start: list[int] = []
        self.run_kind: list[int] = []
        self.run_physical: list[int] = []
        self.entries = 0
        self._known: dict[int, list[tuple[int, int]]] = {}
        self._full = False
        self._last = 0
        at = 0
        for extent in extents:
            if extent.logical > at:
                self._add_run(at, HOLE, 0)
            self._add_run(extent.logical, UNWRITTEN if extent.unwritten else WRITTEN, extent.physical)
            at = extent.logical + extent.length
        if at < END_OF_BLOCKS:
            self._add_run(at, HOLE, 0)
        self.run_start.append(END_OF_BLOCKS)

    def _add_run(self, start: int, kind: int, physical: int) -> None:
        if (
            self.run_kind
            and kind != HOLE
            and self.run_kind[-1] == kind
            and self.run_physical[-1] + start - self.run_start[-1] == physical
        ):
            return
        self.run_start.append(start)
        self.run_kind.append(kind)
        self.run_physical.append(physical)

    @property
    def levels(self) -> int:
        """Levels of a balanced tree of the entries: the steps of a lookup."""
        return self.entries.bit_length()

    def fill(self) -> None:
        """Know everything: the state after the file was read and its extents were precached."""
        self._full = True
        self._known.clear()
        self.entries = len(self.run_kind)

    def clear(self) -> None:
        """Forget everything (EXT4_IOC_CLEAR_ES_CACHE, or a fresh mount)."""
        self._full = False
        self._known.clear()
        self.entries = 0

    def run_of(self, block: int) -> int:
        """Return the number of the run that holds `block`."""
        run, start = self._last, self.run_start
        if not start[run] <= block < start[run + 1]:
            run += 1
            if not (run < len(self.run_kind) and start[run] <= block < start[run + 1]):
                run = bisect_right(start, block) - 1
            self._last = run
        return run

    def lookup(self, block: int) -> Mapped | None:
        """Return what is known from `block` on, to the end of its entry; None if nothing is."""
        run = self.run_of(block)
        if self._full:
            end = self.run_start[run + 1]
        else:
            known = self._known.get(run)
            if known is None:
                return None
            at = bisect_right(known, (block, END_OF_BLOCKS)) - 1
            if at < 0 or block >= known[at][1]:
                return None
            end = known[at][1]
        return Mapped(self.run_kind[run], self.run_physical[run] + block - self.run_start[run], end - block)

    def insert(self, block: int, length: int) -> None:
        """ext4_es_insert_extent(): know [block, block + length), which lies in one run."""
        if self._full:
            return
        run = self.run_of(block)
        known = self._known.setdefault(run, [])
        start, end = block, min(block + length, self.run_start[run + 1])
        first = bisect_right(known, (start, -1))
        if first and known[first - 1][1] >= start:
            first -= 1
        last = bisect_right(known, (end, END_OF_BLOCKS))
        if first < last:
            start = min(start, known[first][0])
            end = max(end, known[last - 1][1])
        known[first:last] = [(start, end)]
        self.entries += 1 - (last - first)

    def cache(self, block: int, length: int) -> None:
        """ext4_es_cache_extent(): the same, unless a part of it is known already."""
        if self._full:
            return
        known = self._known.get(self.run_of(block))
        if known:
            at = bisect_right(known, (block + length - 1, END_OF_BLOCKS)) - 1
            if at >= 0 and known[at][1] > block:
                return
        self.insert(block, length)
