"""
One pass of a job whose reads differ in size, are partly sequential, leave gaps, or prefer some blocks.

The rules are those of fio 3.33 (get_next_offset, get_next_buflen and mark_random_map in its io_u.c), told in
our own words and compared with its I/O logs in the tests: a length that does not fit is drawn again, and
the pass ends where not even the smallest does; a random read is cut short before a block that was read in
this pass; a sequential one goes on where the last read ended, and reads what was read before.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

import numpy as np

from sim.workload.fio.job import Job
from sim.workload.fio.laws import law_starts, spread

_DRAW = 1 << 12  # random numbers drawn at a time
_FREE, _TAKEN = 0, 1


def random_blocks(job: Job, length: int, file_size: int) -> int:
    """Return at how many places, blockalign or the smallest read apart, a random read may start."""
    smallest, align = job.bs_limits_bytes[0], job.blockalign_bytes
    if align is None or align == smallest:
        return length // smallest
    return max(min(length, file_size) - max(smallest - align, 0), 0) // align


def mixed_pass(
    job: Job, start: int, end: int, file_size: int, rng: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """
    Yield (offset, length) in bytes of one pass over [start, end); without end if blocks may be read twice.

    Each kind of decision draws from `rng` in a fixed order, so equal states give equal passes.
    """
    bs, largest = job.bs_limits_bytes
    unit = job.blockalign_bytes or bs
    blocks = random_blocks(job, end - start, file_size)
    random = job.rw == "randread"
    taken = bytearray(blocks) if random and job.once else None
    share = job.percentage_random / 100 if random else 0.0
    starts = _starts(job, blocks, unit, taken, rng)
    lengths = _Lengths(job, rng)
    chance = _uniform(rng)
    position = last = start
    until_jump = 1
    while True:
        until_jump -= 1
        hit = until_jump == 0 and job.sequence > 0
        if hit:
            until_jump = job.sequence
        at_random = hit and share > 0 and (share == 1 or next(chance) < share)
        repeats = not hit and job.rw_sequencer == "identical"
        if at_random or (random and position >= file_size and not repeats):  # nothing comes after the end
            block = next(starts, None)
            if block is None:
                return
            offset = start + block * unit
        else:
            block = None
            offset = last if repeats else _following(job, position, start, end, file_size)
        room = end - offset
        if room <= 0 or offset + bs > file_size or (bs < largest and room < bs):
            return
        length = lengths.draw(room)
        if block is not None and taken is not None:
            length = _take(taken, block, length, bs)
        position, last = offset + length, offset
        yield offset, length


def _following(job: Job, position: int, start: int, end: int, file_size: int) -> int:
    """Return where a sequential read starts after one that ended at `position`; `end` if nowhere."""
    stride = job.stride_bytes
    if not stride:
        return position
    if position >= file_size:
        return end
    last_place = min(end - start, file_size)
    if position == start and start and stride < 0:
        position = last_place
    at = position - start
    if at:
        at += stride
        if not 0 <= at < file_size:
            # fio wraps round, and takes a place in the file for one in the region
            at = start if stride > 0 else last_place + stride
    return start + at if at >= 0 else end


def _take(taken: bytearray, block: int, length: int, bs: int) -> int:
    """Mark the blocks of a read, up to the first one that was marked; return its length in bytes."""
    stop = min(block + -(-length // bs), len(taken))
    found = taken.find(_TAKEN, block, stop)
    if found >= 0:
        stop, length = found, (found - block) * bs
    taken[block:stop] = bytes((_TAKEN,)) * (stop - block)
    return length


def _starts(
    job: Job, blocks: int, unit: int, taken: bytearray | None, rng: np.random.Generator
) -> Iterator[int]:
    """Yield where random reads start, in units of bytes."""
    if job.random_distribution != "random":
        yield from law_starts(job, blocks, unit, rng)
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
        self._unaligned = job.bs_unaligned
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
            return self._aligned(low + int(high * chance))
        length = low
        for length, upper in self._split:
            if chance < upper and length <= room:
                break
        return self._aligned(length)

    def _aligned(self, length: int) -> int:
        """Return a length cut to multiples of the smallest, unless bs_unaligned, and to the largest."""
        return min(length if self._unaligned else length - length % self._low, self._high)


def _uniform(rng: np.random.Generator) -> Iterator[float]:
    while True:
        yield from rng.random(_DRAW).tolist()
