"""
A job's reads over all of its files: which file is read next, as fio's file_service_type has it.

Which file comes when is fio's (compared with its I/O logs in the tests), but for file_service_type=random.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

from sim.workload.fio.files import shares
from sim.workload.fio.generator import (
    Read,
    Region,
    job_stream,
    pass_maker,
    passes,
    region,
    totals,
)
from sim.workload.fio.job import Job

Stretch = tuple[bool, int, Iterator[Read]]
"""(whether a pass begins with it, number of the file, reads of that file) to be used up in order."""

FileRead = tuple[int, int, int]
"""(number of the file, offset_bytes, length_bytes)."""


def stretches(job: Job, file_sizes: Sequence[int], run_seed: int, clone: int) -> Iterator[Stretch]:
    """
    Yield the reads of clone number `clone` of `job` over files of these sizes, in stretches within one file.

    Each has to be used up before the next is asked for. Raises ConfigError as `generator.region` does.
    """
    if len(file_sizes) == 1:
        found = passes(job, file_sizes[0], job_stream(job, run_seed, clone), clone)
        return ((True, 0, reads) for reads in found)
    service = _Service(job, file_sizes, run_seed, clone)
    return chain.from_iterable(map(_one_by_one, service.passes()))


def regions(job: Job, file_sizes: Sequence[int], clone: int) -> list[Region]:
    """Return what clone number `clone` of `job` reads of each of its files."""
    share = shares(job, len(file_sizes))
    return [region(job, size, clone, part) for size, part in zip(file_sizes, share, strict=True)]


def _one_by_one(reads: Iterator[FileRead]) -> Iterator[Stretch]:
    begins = True
    for file, offset, length in reads:
        yield begins, file, iter(((offset, length),))
        begins = False


class _Service:
    """The reads of one clone over several files."""

    def __init__(self, job: Job, file_sizes: Sequence[int], run_seed: int, clone: int) -> None:
        self._job = job
        spans = regions(job, file_sizes, clone)
        length = sum(span.length_bytes for span in spans)
        self._total_bytes, self._more_bytes = totals(job, length)
        self._begin = [
            pass_maker(job, span, size, job_stream(job, run_seed, clone, f"/file{number}" if number else ""))
            for number, (span, size) in enumerate(zip(spans, file_sizes, strict=True))
        ]
        self._rng = job_stream(job, run_seed, clone, "/service")
        self._state = self._rng.bit_generator.state

    def passes(self) -> Iterator[Iterator[FileRead]]:
        """Yield pass by pass, by fio's rule for one more: keep_running() in backend.c, 3.33."""
        job, done, reads, loops = self._job, 0, 0, self._job.loops
        most_reads = job.number_ios * job.loops

        def counted() -> Iterator[FileRead]:
            nonlocal done, reads
            for read in self._pass():
                yield read
                done += read[2]
                reads += 1
                if (most_reads and reads >= most_reads) or (done >= self._total_bytes and not job.time_based):
                    return

        while not most_reads or reads < most_reads:
            if job.time_based:
                yield counted()
                continue
            if done >= self._total_bytes:
                return
            if loops:
                loops -= 1
            elif self._more_bytes is None or self._more_bytes - done < job.bs_limits_bytes[1]:
                return
            yield counted()

    def _pass(self) -> Iterator[FileRead]:
        """Yield the reads of one pass: each file until it has no more."""
        if not self._job.time_based:
            self._rng.bit_generator.state = self._state
        reads = [begin() for begin in self._begin]
        open_files = self._job.openfiles or len(reads)
        opened: set[int] = set()
        done: set[int] = set()
        for file in self._turns(len(reads)):
            if len(done) == len(reads):
                return
            if file in done or (file not in opened and len(opened) >= open_files):
                continue
            opened.add(file)
            left = self._job.file_service_reads if self._job.file_service_type != "sequential" else None
            while left is None or left:
                read = next(reads[file], None)
                if read is None:
                    done.add(file)
                    opened.discard(file)
                    break
                yield file, *read
                left = None if left is None else left - 1

    def _turns(self, files: int) -> Iterator[int]:
        """Yield numbers of files without end, in the order in which they are tried."""
        while True:
            if self._job.file_service_type == "random":
                yield from _drawn(files, self._rng)
            else:
                yield from range(files)


def _drawn(files: int, rng: np.random.Generator) -> list[int]:
    drawn: list[int] = rng.integers(files, size=1 << 10).tolist()
    return drawn
