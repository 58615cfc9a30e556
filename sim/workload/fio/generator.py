"""
Where a job reads: the offsets and lengths of its read(2) calls, in order, pass by pass.

How many calls there are, where they start and where they stop is fio's (compared with fio's I/O logs in the
tests). In a random order the *set* is fio's too (each block once a pass, unless norandommap or a law of
distribution), the order itself is not: fio's LFSR and Tausworthe generators are not reproduced, numpy's
Philox takes their place. Nor are the lengths under bssplit and bsrange the same ones, only as frequent.
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
from sim.workload.fio.laws import spread
from sim.workload.fio.mixed_pass import mixed_pass, random_blocks

Read = tuple[int, int]
"""(offset_bytes, length_bytes) of one read(2)."""

_ALL = 100
_DRAW = 1 << 16  # random blocks drawn at a time, so that a long job holds little memory
_FIRST = 1 << 8  # of an order, taken at first: many short jobs hold little memory either


def job_stream(job: Job, run_seed: int, clone: int, purpose: str = "") -> np.random.Generator:
    """
    Return the random stream of clone number `clone` (0-based, < numjobs) of `job`.

    With randrepeat, fio's default, it depends on the job's randseed alone: every run reads in one order.
    Without, it depends on the run's seed too. purpose: what else than the order in its first file.
    """
    seed = job.randseed if job.randrepeat else run_seed
    name = f"workload/{job.name}/{clone}{purpose}"
    return stream(seed, name + ("" if job.randrepeat else f"/{job.randseed}"))


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


def region(job: Job, file_size: int, clone: int = 0, share_bytes: int | None = None) -> Region:
    """
    Return which part of a file of `file_size` bytes clone number `clone` of `job` reads, and how much.

    share_bytes: of the job's size, for one of several files.

    A block that would stick out of the file is not read. A last block that sticks out of the region only is
    read by a sequential job of one block size and by no other, as in fio. An offset in percent is rounded
    up, a size in percent down to the smallest block, and cut at the end of the file.

    Raises ConfigError if the region reaches past the end of the file or holds no block.
    """
    place = job.place
    bs, largest = job.bs_limits_bytes
    start = _start(job, file_size, clone)
    left = file_size - start
    length = _length(job, file_size, start, share_bytes)
    if length > left or left <= 0:
        what = f"offset {start} + size {max(length, 0)}"
        raise ConfigError(place, f"{what} is past the end", f"at most {file_size} bytes, the file's size")
    overhang = job.rw == "read" and bs == largest
    blocks = min(-(-length // bs) if overhang else length // bs, left // bs)
    if length < bs or blocks == 0 or (job.rw == "randread" and not random_blocks(job, length, file_size)):
        raise ConfigError(place, f"bs {bs} is larger than the {length} bytes to read", "a smaller bs")
    total, more = totals(job, length)
    return Region(start, length, blocks, total, more)


def totals(job: Job, length: int) -> tuple[int, int | None]:
    """
    Return (bytes in all, bytes that passes beyond the loops may add up to) of regions of `length` together.
    """
    io_size = job.io_size_bytes
    if job.io_size_percent is not None:
        io_size = max(length * job.io_size_percent // 100, 1)
    once = length if job.size_bytes is None else min(job.size_bytes, length)
    return (io_size or once) * job.loops, io_size


def _start(job: Job, file_size: int, clone: int) -> int:
    """Return where the region starts; one that is said in percent is rounded up."""
    step, start = job.offset_increment_bytes, job.offset_bytes
    if job.offset_increment_percent is not None:
        step = job.offset_increment_percent * file_size // 100
    if job.offset_percent is not None:
        start = file_size * job.offset_percent // 100
    start += step * clone
    if job.offset_percent is not None or job.offset_increment_percent is not None:
        align = job.offset_align_bytes or job.bs_limits_bytes[0]
        start = -(-start // align) * align
    return start


def _length(job: Job, file_size: int, start: int, share_bytes: int | None) -> int:
    """Return how long the region is, by filesize, by the job's size, or up to the end of the file."""
    left = file_size - start
    length = left
    if job.filesize_bytes is not None:
        low, high = job.filesize_bytes
        if low < high and not low <= file_size <= high:
            problem = f"a file of {file_size} bytes with filesize {low} to {high}"
            raise ConfigError(job.place, problem, "a file of a size in between, or one size")
        length = left if low <= file_size <= high else low - start
    elif job.size_bytes is not None:
        length = job.size_bytes if share_bytes is None else share_bytes
    if job.size_percent is not None:
        smallest = job.bs_limits_bytes[0]
        length = min((length + start) * job.size_percent // 100 // smallest * smallest, length)
    return length


def passes(
    job: Job,
    file_size: int,
    rng: np.random.Generator,
    clone: int = 0,
) -> Iterator[Iterator[Read]]:
    """
    Yield the passes of `job` over its region of a file of `file_size` bytes; a pass yields its reads.

    rng: the job's own stream (`job_stream`); a sequential job of one block size draws nothing from it. Each
    pass has to be used up before the next is asked for, and passes of a time_based job never end.

    A random order without norandommap is one permutation of the blocks; it takes 4 or 8 bytes a block.
    Passes repeat one another, as fio starts its generators anew, but for a time_based job. There are `loops`
    passes, and more as long as a whole block of io_size is left; none goes on beyond io_size (or size) times
    loops. Raises ConfigError as `region` does.
    """
    span = region(job, file_size, clone)
    begin = pass_maker(job, span, file_size, rng)
    found = iter(begin, None) if job.time_based else _counted_passes(job, span, begin)
    return _first_reads(found, job.number_ios * job.loops) if job.number_ios else found


def _first_reads(passes: Iterator[Iterator[Read]], reads: int) -> Iterator[Iterator[Read]]:
    """Cut passes off behind so many reads in all."""
    left = reads

    def counted(each: Iterator[Read]) -> Iterator[Read]:
        nonlocal left
        for read in each:
            left -= 1
            yield read
            if not left:
                return

    for each in passes:
        yield counted(each)
        if not left:
            return


def offsets(job: Job, file_size: int, rng: np.random.Generator) -> Iterator[Read]:
    """Yield the reads of all passes of `job`; see `passes`."""
    return chain.from_iterable(passes(job, file_size, rng))


def reads_once_in_order(job: Job, file_size: int) -> bool:
    """Return whether `job` reads every byte of a file of `file_size` bytes once, front to back."""
    span = region(job, file_size)
    plain = job.rw == "read" and not job.stride_bytes and job.runtime_ns is None and not job.number_ios
    whole = span.total_bytes == span.length_bytes == file_size
    bs, largest = job.bs_limits_bytes
    return plain and whole and bs == largest and file_size % bs == 0 and not job.exitall


def _is_plain(job: Job) -> bool:
    """Whether the reads of a pass have one size and follow one rule: in sequence, or all at random."""
    bs, largest = job.bs_limits_bytes
    if job.rw == "read":
        return bs == largest and not job.stride_bytes
    whole = job.percentage_random == _ALL and job.sequence == 1 and job.blockalign_bytes in (None, bs)
    return bs == largest and whole


def _counted_passes(job: Job, span: Region, begin: Callable[[], Iterator[Read]]) -> Iterator[Iterator[Read]]:
    """fio's rule for one more pass: keep_running() in backend.c, 3.33."""
    bs, largest = job.bs_limits_bytes
    once = job.rw == "read" or job.once
    known = _is_plain(job)  # how long a pass is
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


def pass_maker(
    job: Job, span: Region, file_size: int, rng: np.random.Generator
) -> Callable[[], Iterator[Read]]:
    """Return a function that begins a pass over `span` of a file of `file_size` bytes."""
    start, blocks = span.start_bytes, span.pass_blocks
    bs, _ = job.bs_limits_bytes
    plain = _is_plain(job)
    if plain and job.rw == "read":
        return lambda: ((offset, bs) for offset in range(start, start + blocks * bs, bs))
    whole = plain and job.random_distribution == "random"
    if whole and not job.once:
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
    at, count = 0, _FIRST
    while at < len(order):
        for block in order[at : at + count].tolist():
            yield start + block * bs, bs
        at, count = at + count, min(2 * count, _DRAW)


def pattern(positions: Iterable[int], length_bytes: int) -> Iterator[Read]:
    """Yield reads of `length_bytes` at explicit positions in bytes, as a recorded run made them."""
    return ((position, length_bytes) for position in positions)
