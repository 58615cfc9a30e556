"""
How long an experiment would take, and how much memory: a rule of thumb, before any of it is done.

What is counted are reads, pages, extents and bytes, as the configuration says them. What each takes was
measured with plain Python on two shared cores of an EPYC of 2017, the dearest case of each kind:

    a read(2)           50 us    16,384 random reads of 4 KiB, page_io on nvme: 0.87 s
    a page               8 us    64 MiB sequentially, page_io on nvme, data off: 0.14 s
    its bytes           15 us    the same with data = "real", beyond the time without
    an extent of a page 22 us    64 MiB in one-block extents of 1 KiB, buffer_head: 1.5 s for 65,536
    making an extent    23 us    that image: 1.5 s
    making a byte        5 ns    64 MiB of random contents: 0.3 s
    memory               600 B a cached page (153 MiB for 1 GiB of page cache: README, "How fast"), 1 KiB an
                         extent of an image, 1 B a block of it

A job that runs for a time is taken to do a read in 10 us of simulated time: 100,000 a second.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.config.cell import Cell, CellConfig, Experiment
from sim.config.layouts import Aged, Fragmented, Scattered, Sparse
from sim.config.volume import VolumeFile
from sim.errors import ConfigError
from sim.experiment.runner import distinct_volumes
from sim.units import GIB, NS_PER_S, NS_PER_US, PAGE_BYTES
from sim.workload.fio.files import find_files
from sim.workload.fio.job import Job

READ_NS, PAGE_NS, BYTES_OF_PAGE_NS, EXTENT_NS = 50_000, 8_000, 15_000, 22_000
MAKE_EXTENT_NS, MAKE_BYTE_NS = 23_000, 5
SEARCHED_A_READ_BYTES = 2_000_000
"""Of an image and its log, searched for wrapped keys: 40 MB a second, so that much in the time of a read."""
PAGE_MEMORY_BYTES, EXTENT_MEMORY_BYTES = 600, 1024
TIMED_READ_NS = 10 * NS_PER_US
MOST_S = 3600
"""What takes longer needs --force: nobody should find out by waiting."""
MOST_MEMORY_BYTES = 2 * GIB
"""Of one worker, likewise: there are two cores and a few GiB on the smallest machines that run this."""


WORKER_START_S = 0.6
"""What a worker process takes of its core before its first cell, on the machine above."""


@dataclass(frozen=True, slots=True)
class Work:
    """What something takes: ns of wall time on one core, bytes of memory at its peak."""

    ns: int
    memory_bytes: int

    @property
    def seconds(self) -> float:
        """The time in seconds."""
        return self.ns / NS_PER_S


def refuse_too_much(experiment: Experiment, jobs: int, allowed: str) -> None:
    """Raise ConfigError, which allows `allowed`, if an experiment would take too long, or too much memory."""
    work = work_of(experiment)
    seconds = work.seconds / max(min(jobs, len(experiment.cells)), 1)
    if seconds > MOST_S:
        raise ConfigError(experiment.stem, f"this would take about {_duration(seconds)}", allowed)
    if work.memory_bytes > MOST_MEMORY_BYTES:
        problem = f"this would take about {work.memory_bytes / GIB:,.0f} GiB of memory"
        raise ConfigError(experiment.stem, problem, allowed)


def is_soon_done(experiment: Experiment) -> bool:
    """Return whether one process would be done before two had begun, and shared it."""
    return work_of(experiment).seconds <= 2 * WORKER_START_S


def work_of(experiment: Experiment) -> Work:
    """Return what all cells and the images they read take: the time of all, the memory of the largest."""
    parts = [image_work(cell.config) for cell in distinct_volumes(experiment.cells).values()]
    cells: dict[str, Work] = {}
    for cell in experiment.cells:
        if cell.config_hash not in cells:
            cells[cell.config_hash] = cell_work(cell)
        parts.append(cells[cell.config_hash])
    return Work(sum(part.ns for part in parts), max(part.memory_bytes for part in parts))


def image_work(config: CellConfig) -> Work:
    """Return what making the image of a cell takes; nothing for a given one."""
    if config.volume.image is not None:
        return Work(0, 0)
    files, block = config.volume.all_files, config.volume.block_size_bytes or PAGE_BYTES
    size = sum(file.size_bytes + _neighbour_bytes(file, block) for file in files)
    extents = sum(_extents(file, block) for file in files)
    filled = size if config.volume.contents == "random" else 0
    return Work(
        filled * MAKE_BYTE_NS + extents * MAKE_EXTENT_NS,
        extents * EXTENT_MEMORY_BYTES + (size + (config.volume.journal_bytes or 0)) // block,
    )


def _neighbour_bytes(file: VolumeFile, block: int) -> int:
    """Return how large the other file is that lies between the extents of this one; about, if by chance."""
    layout = file.layout
    if isinstance(layout, Fragmented):
        each = layout.blocks(block) * block
    elif isinstance(layout, Aged):
        each = layout.extent_bytes
    else:
        return 0
    return -(-file.size_bytes // max(each, block)) * each


def _extents(file: VolumeFile, block: int) -> int:
    """Return how many extents a file comes to, its neighbour's included; about, where they are random."""
    blocks, layout = -(-file.size_bytes // block), file.layout
    if isinstance(layout, Fragmented):
        return 2 * blocks // max(layout.blocks(block), 1) + 1
    if isinstance(layout, Sparse):
        return 2 * file.size_bytes // (layout.data_bytes + layout.hole_bytes) + 1
    if isinstance(layout, Aged):
        return 2 * file.size_bytes // layout.extent_bytes + 1
    if isinstance(layout, Scattered):
        return file.size_bytes // (layout.extent_bytes or block) + 1
    return 1


def cell_work(cell: Cell) -> Work:
    """Return what running one cell takes."""
    config = cell.config
    sizes = {file.name: file.size_bytes for file in config.volume.all_files}
    block = config.volume.block_size_bytes or PAGE_BYTES
    extents = sum(_extents(file, block) for file in config.volume.all_files)
    size = sum(sizes.values())
    of = config.workload
    if of.browser_cache is not None:
        mean = size // max(len(sizes), 1)
        reads, read_bytes = of.browser_cache.requests, of.browser_cache.requests * mean
    elif of.secure_delete is not None:
        searched = size + (config.volume.journal_bytes or 0)
        reads, read_bytes = searched // SEARCHED_A_READ_BYTES, size * of.secure_delete.passes
    elif of.stream_write is not None:
        reads, read_bytes = size // of.stream_write.bs_bytes, size
    else:
        counted = [_job_reads(job, cell, sizes) for job in of.jobs]
        reads, read_bytes = sum(reads for reads, _ in counted), sum(done for _, done in counted)
    pages = read_bytes // PAGE_BYTES + reads
    share = min(pages * PAGE_BYTES / size, pages) if size else 0
    ns = reads * READ_NS + pages * (PAGE_NS + (BYTES_OF_PAGE_NS if config.data == "real" else 0))
    cached = min(pages, config.machine.memory_bytes // PAGE_BYTES)
    return Work(ns + round(share * extents) * EXTENT_NS, cached * PAGE_MEMORY_BYTES)


def _job_reads(job: Job, cell: Cell, sizes: dict[str, int]) -> tuple[int, int]:
    """Return (reads, bytes) of a job with all its clones, at most."""
    least, most = job.bs_limits_bytes
    whole = _file_bytes(job, cell, sizes)
    once = min(job.size_bytes, whole) if job.size_bytes is not None else whole
    if job.size_percent is not None:
        once = once * job.size_percent // 100
    if job.io_size_percent is not None:
        once = whole * job.io_size_percent // 100
    total = (job.io_size_bytes or once) * job.loops
    reads = total // least + 1
    if job.time_based:
        reads = (job.runtime_ns or 0) // TIMED_READ_NS
    elif job.runtime_ns is not None:
        reads = min(reads, job.runtime_ns // TIMED_READ_NS + 1)
    if job.number_ios:
        reads = min(reads, job.number_ios * job.loops)
    return reads * job.numjobs, min(reads * most, max(total, reads * least)) * job.numjobs


def _file_bytes(job: Job, cell: Cell, sizes: dict[str, int]) -> int:
    """Return the bytes of the files that a clone of a job reads; of a given image, of all that it holds."""
    image = cell.config.volume.image
    if image is not None:
        return cell.file(image).stat().st_size
    return sum(sizes[found.path] for found in find_files(job, 0, sizes))


def _duration(seconds: float) -> str:
    for unit, word in ((86400 * 365, "years"), (86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.0f} {word}"
    return f"{seconds:.0f} s"
