"""
Where a job reads: the offsets and lengths of its read(2) calls, in order, pass by pass.

How many calls there are, where they start and where they stop is fio's (compared with fio's I/O logs in the
tests). In a random order the *set* is fio's too (each block once a pass, unless norandommap or zipf), the
order itself is not: fio's LFSR and Tausworthe generators are not reproduced, numpy's Philox takes their
place. Nor are the lengths under bssplit and bsrange the same ones, only as frequent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.engine.streams import stream
from sim.errors import ConfigError
from sim.workload.fio.job import Job
from sim.workload.fio.mixed_pass import mixed_pass, spread

Read = tuple[int, int]
"""(offset_bytes, length_bytes) of one read(2)."""

_ALL = 100
_DRAW = 1 << 16  # random blocks drawn at a time, so that a long job holds little memory


def job_stream(job: Job, run_seed: int, clone: int) -> np.random.Generator:
    """
    Return the random stream of clone number `clone` (0-based, < numjobs) of `job`.

    With randrepeat, fio's default, it depends on the job's randseed alone: every run reads in one order.
    Without, it depends on the run's seed too.
    """
    seed = job.randseed if job.randrepeat else run_seed
    return stream(seed, f"workload/{job.name}/{clone}" + ("" if job.randrepeat else f"/{job.randseed}"))


@dataclass(frozen=True, slots=True)
class Region:
    """
    What a job reads of one file.

    start_bytes, length_bytes: the region. pass_blocks: reads of a pass when all have one size, else places,
    the smallest block apart, where a random read may start. total_bytes: read in all, loops included.
    more_bytes: what passes beyond the loops may still add up to, None = there are none.
    """

    start_bytes: int
    length_bytes: int
    pass_blocks: int
    total_bytes: int
    more_bytes: int | None


def region(job: Job, file_size: int) -> Region:
    """
    Return which part of a file of `file_size` bytes `job` reads, and how much.

    A block that would stick out of the file is not read. A last block that sticks out of the region only is
    read by a sequential job of one block size and by no other, as in fio. An offset in percent is rounded
    up, a size in percent down to the smallest block, and cut at the end of the file.

    Raises ConfigError if the region reaches past the end of the file or holds no block, or if a time_based
    job has no runtime.
    """
    place = f"job {job.name!r}"
    if job.time_based and job.runtime_ns is None:
        raise ConfigError(place, "time_based without runtime", "runtime=SECONDS")
    bs, largest = job.bs_limits_bytes
    start = job.offset_bytes
    if job.offset_percent is not None:
        start = -(-(file_size * job.offset_percent // 100) // bs) * bs
    left = file_size - start
    length = left if job.size_bytes is None else job.size_bytes
    if job.size_percent is not None:
        length = min(file_size * job.size_percent // 100 // bs * bs, left)
    if length > left or left <= 0:
        what = f"offset {start} + size {max(length, 0)}"
        raise ConfigError(place, f"{what} is past the end", f"at most {file_size} bytes, the file's size")
    overhang = job.rw == "read" and bs == largest
    blocks = min(-(-length // bs) if overhang else length // bs, left // bs)
    if length < bs or blocks == 0:
        raise ConfigError(place, f"bs {bs} is larger than the {length} bytes to read", "a smaller bs")
    io_size = job.io_size_bytes
    if job.io_size_percent is not None:
        io_size = max(length * job.io_size_percent // 100, 1)
    return Region(start, length, blocks, (io_size or length) * job.loops, io_size)


def passes(job: Job, file_size: int, rng: np.random.Generator) -> Iterator[Iterator[Read]]:
    """
    Yield the passes of `job` over its region of a file of `file_size` bytes; a pass yields its reads.

    rng: the job's own stream (`job_stream`); a sequential job of one block size draws nothing from it. Each
    pass has to be used up before the next is asked for, and passes of a time_based job never end.

    A random order without norandommap is one permutation of the blocks; it takes 4 or 8 bytes a block.
    Passes repeat one another, as fio starts its generators anew, but for a time_based job. There are `loops`
    passes, and more as long as a whole block of io_size is left; none goes on beyond io_size (or size) times
    loops. Raises ConfigError as `region` does.
    """
    span = region(job, file_size)
    begin = _pass_maker(job, span, file_size, rng)
    return iter(begin, None) if job.time_based else _counted_passes(job, span, begin)


def offsets(job: Job, file_size: int, rng: np.random.Generator) -> Iterator[Read]:
    """Yield the reads of all passes of `job`; see `passes`."""
    return chain.from_iterable(passes(job, file_size, rng))


def reads_once_in_order(job: Job, file_size: int) -> bool:
    """Return whether `job` reads every byte of a file of `file_size` bytes once, front to back."""
    span = region(job, file_size)
    plain = job.rw == "read" and job.runtime_ns is None and span.total_bytes == span.length_bytes == file_size
    bs, largest = job.bs_limits_bytes
    return plain and bs == largest and file_size % bs == 0


def _counted_passes(job: Job, span: Region, begin: Callable[[], Iterator[Read]]) -> Iterator[Iterator[Read]]:
    """fio's rule for one more pass: keep_running() in backend.c, 3.33."""
    bs, largest = job.bs_limits_bytes
    once = job.rw == "read" or not (job.norandommap or job.random_distribution == "zipf")
    known = bs == largest and (job.rw == "read" or job.percentage_random == _ALL)  # how long a pass is
    done = 0

    def counted() -> Iterator[Read]:
        nonlocal done
        for read in begin():
            yield read
            done += read[1]
            if done >= span.total_bytes:
                return

    loops = job.loops
    while done < span.total_bytes:
        if loops:
            loops -= 1
        elif span.more_bytes is None or span.more_bytes - done < largest:
            return
        if known:  # nothing to count read by read
            reads = -(-(span.total_bytes - done) // bs)
            reads = min(reads, span.pass_blocks) if once else reads
            done += reads * bs
            yield islice(begin(), reads)
        else:
            yield counted()


def _pass_maker(
    job: Job, span: Region, file_size: int, rng: np.random.Generator
) -> Callable[[], Iterator[Read]]:
    """Return a function that begins a pass."""
    start, blocks = span.start_bytes, span.pass_blocks
    bs, largest = job.bs_limits_bytes
    if bs == largest and job.rw == "read":
        return lambda: ((offset, bs) for offset in range(start, start + blocks * bs, bs))
    whole = bs == largest and job.percentage_random == _ALL and job.random_distribution == "random"
    if whole and job.norandommap:
        return lambda: _anywhere(start, bs, blocks, rng)
    if whole:
        order = spread(blocks, rng)
        return lambda: _in_order(start, bs, spread(blocks, rng) if job.time_based else order)
    end = start + span.length_bytes
    state = rng.bit_generator.state

    def again() -> Iterator[Read]:
        if not job.time_based:
            rng.bit_generator.state = state
        return mixed_pass(job, start, end, file_size, rng)

    return again


def _anywhere(start: int, bs: int, blocks: int, rng: np.random.Generator) -> Iterator[Read]:
    while True:
        for block in rng.integers(blocks, size=_DRAW).tolist():
            yield start + block * bs, bs


def _in_order(start: int, bs: int, order: NDArray[Any]) -> Iterator[Read]:
    for at in range(0, len(order), _DRAW):
        for block in order[at : at + _DRAW].tolist():
            yield start + block * bs, bs


def pattern(positions: Iterable[int], length_bytes: int) -> Iterator[Read]:
    """Yield reads of `length_bytes` at explicit positions in bytes, as a recorded run made them."""
    return ((position, length_bytes) for position in positions)
