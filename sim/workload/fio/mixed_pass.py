"""
One pass of a job whose reads differ in size, are partly sequential, or prefer some blocks (zipf).

The rules are those of fio 3.33 (get_next_offset, get_next_buflen and mark_random_map in its io_u.c), told in
our own words and compared with its I/O logs in the tests: a length that does not fit is drawn again, and
the pass ends where not even the smallest does; a random read is cut short before a block that was read in
this pass; a sequential one goes on where the last read ended, and reads what was read before.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.workload.fio.job import Job
from sim.workload.zipf import zipf_ranks

_DRAW = 1 << 12  # random numbers drawn at a time
_FREE, _TAKEN = 0, 1


def spread(count: int, rng: np.random.Generator) -> NDArray[Any]:
    """Return a permutation of 0 <= block < count, in 4 bytes a block if that is enough."""
    small = count <= np.iinfo(np.uint32).max
    return rng.permutation(np.arange(count, dtype=np.uint32 if small else np.uint64))


def mixed_pass(
    job: Job, start: int, end: int, file_size: int, rng: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """
    Yield (offset, length) in bytes of one pass over [start, end); without end if blocks may be read twice.

    Each kind of decision draws from `rng` in a fixed order, so equal states give equal passes.
    """
    bs, largest = job.bs_limits_bytes
    blocks = (end - start) // bs
    random = job.rw == "randread"
    mapped = random and not job.norandommap and job.random_distribution == "random"
    taken = bytearray(blocks) if mapped else None
    share = job.percentage_random / 100 if random else 0.0
    starts = _starts(job, blocks, taken, rng)
    lengths = _Lengths(job, rng)
    chance = _uniform(rng)
    position = start
    while True:
        at_random = share > 0 and (share == 1 or next(chance) < share)
        if at_random or (random and position >= file_size):  # nothing comes after the end of the file
            block = next(starts, None)
            if block is None:
                return
            offset = start + block * bs
        else:
            block = None
            offset = position
        room = end - offset
        if room <= 0 or offset + bs > file_size or (bs < largest and room < bs):
            return
        length = lengths.draw(room)
        if block is not None and taken is not None:
            length = _take(taken, block, length, bs)
        position = offset + length
        yield offset, length


def _take(taken: bytearray, block: int, length: int, bs: int) -> int:
    """Mark the blocks of a read, up to the first one that was marked; return its length in bytes."""
    stop = min(block + -(-length // bs), len(taken))
    found = taken.find(_TAKEN, block, stop)
    if found >= 0:
        stop, length = found, (found - block) * bs
    taken[block:stop] = bytes((_TAKEN,)) * (stop - block)
    return length


def _starts(job: Job, blocks: int, taken: bytearray | None, rng: np.random.Generator) -> Iterator[int]:
    """Yield where random reads start, in blocks."""
    if job.random_distribution == "zipf":
        # The ranks are scattered over the file, as fio does with a hash (where two may share a block).
        place = spread(blocks, rng)
        for rank in zipf_ranks(job.zipf_theta or 0.0, blocks, rng):
            yield int(place[rank])
    elif taken is None:
        while True:
            yield from rng.integers(blocks, size=_DRAW).tolist()
    else:
        order = spread(blocks, rng)
        for at in range(0, blocks, _DRAW):
            for block in order[at : at + _DRAW].tolist():
                if taken[block] == _FREE:
                    yield block


class _Lengths:
    """Draws the lengths of reads."""

    def __init__(self, job: Job, rng: np.random.Generator) -> None:
        self._low, self._high = job.bs_limits_bytes
        self._uniform = _uniform(rng)
        split = [(size, percent) for size, percent in job.bs_split or () if percent]
        uppers = [upper / 100 for upper in accumulate(percent for _, percent in split)]
        if uppers:
            uppers[-1] = 1.0  # what blank percentages leave over
        self._split = [(size, upper) for (size, _), upper in zip(split, uppers, strict=True)]

    def draw(self, room: int) -> int:
        """Return a length in bytes of at most `room`; a single block size is not drawn, and not cut."""
        low, high = self._low, self._high
        if low == high:
            return low
        while True:
            length = self._one(next(self._uniform), room)
            if length <= room:
                return length

    def _one(self, chance: float, room: int) -> int:
        """Return a length for 0 <= chance < 1."""
        low, high = self._low, self._high
        if not self._split:
            # fio's formula: every multiple of the smallest alike, the largest with what is left.
            length = low + int(high * chance)
            return min(length - length % low, high)
        length = low
        for length, upper in self._split:
            if chance < upper and length <= room:
                break
        return min(length - length % low, high)


def _uniform(rng: np.random.Generator) -> Iterator[float]:
    while True:
        yield from rng.random(_DRAW).tolist()
