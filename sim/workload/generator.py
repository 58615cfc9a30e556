"""
Where a job reads: the offsets of its read(2) calls, in order.

How many calls there are, where they start and where they stop is fio's (compared with fio's I/O logs in the
tests). In a random order the *set* is fio's too (each block once a pass, unless norandommap), the order
itself is not: fio's LFSR and Tausworthe generators are not reproduced, numpy's Philox takes their place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from sim.engine.clock import stream
from sim.errors import ConfigError
from sim.workload.fio_job import Job

Read = tuple[int, int]
"""(offset_bytes, length_bytes) of one read(2)."""

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
    """What a job reads of one file: `pass_blocks` reads from `start_bytes` a pass, `reads` reads in all."""

    start_bytes: int
    pass_blocks: int
    reads: int


def region(job: Job, file_size: int) -> Region:
    """
    Return how often and where `job` reads a file of `file_size` bytes.

    A block that would stick out of the file is not read. A last block that sticks out of the region only is
    read by a sequential job and not by a random one, as in fio.

    Raises ConfigError if the region reaches past the end of the file, holds no
    block, or io_size meets loops.
    """
    place = f"job {job.name!r}"
    left = file_size - job.offset_bytes
    length = left if job.size_bytes is None else job.size_bytes
    if length > left or left <= 0:
        what = f"offset {job.offset_bytes} + size {max(length, 0)}"
        raise ConfigError(place, f"{what} is past the end", f"at most {file_size} bytes, the file's size")
    bs = job.bs_bytes
    fitting = left // bs
    wanted = length // bs if job.rw == "randread" else -(-length // bs)
    blocks = min(wanted, fitting)
    if length < bs or blocks == 0:
        raise ConfigError(place, f"bs {bs} is larger than the {length} bytes to read", "a smaller bs")
    if job.io_size_bytes is not None:
        if job.loops > 1:
            raise ConfigError(place, f"io_size with loops={job.loops} is not modelled", "one of the two")
        reads = -(-job.io_size_bytes // bs)
    elif wanted > fitting or (job.rw == "randread" and not job.norandommap):
        reads = blocks * job.loops
    else:
        reads = -(-length * job.loops // bs)
    return Region(job.offset_bytes, blocks, reads)


def offsets(job: Job, file_size: int, rng: np.random.Generator) -> Iterator[Read]:
    """
    Yield the reads of `job` on a file of `file_size` bytes.

    rng: the job's own stream (`job_stream`); a sequential job draws nothing from it.

    A random order without norandommap is one permutation of the blocks, repeated pass by pass (fio starts
    its generator anew each pass); it takes 4 or 8 bytes a block. Raises ConfigError as `region` does.
    """
    span = region(job, file_size)
    return islice(_endless(job, span, rng), span.reads)


def _endless(job: Job, span: Region, rng: np.random.Generator) -> Iterator[Read]:
    start, bs = span.start_bytes, job.bs_bytes
    if job.rw == "read":
        end = start + span.pass_blocks * bs
        while True:
            for offset in range(start, end, bs):
                yield offset, bs
    if job.norandommap:
        while True:
            for block in rng.integers(span.pass_blocks, size=_DRAW).tolist():
                yield start + block * bs, bs
    small = span.pass_blocks <= np.iinfo(np.uint32).max
    order = rng.permutation(np.arange(span.pass_blocks, dtype=np.uint32 if small else np.uint64))
    while True:
        for at in range(0, len(order), _DRAW):
            for block in order[at : at + _DRAW].tolist():
                yield start + block * bs, bs


def pattern(positions: Iterable[int], length_bytes: int) -> Iterator[Read]:
    """Yield reads of `length_bytes` at explicit positions in bytes, as a recorded run made them."""
    return ((position, length_bytes) for position in positions)
