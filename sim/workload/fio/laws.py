"""
Which blocks a random job reads how often: fio's laws, by rank, and where the ranks lie.

Frequencies are fio's (compared with its I/O logs in the tests), the order and the blocks are not: fio puts
ranks on blocks by a hash in which two may share one, here they are shuffled.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import ConfigError
from sim.workload.fio.job import Job
from sim.workload.zipf import zipf_ranks

_DRAW = 1 << 12  # ranks drawn at a time
_SUMMANDS = 12
_ALL = 100


def spread(count: int, rng: np.random.Generator) -> NDArray[Any]:
    """Return a permutation of 0 <= block < count, in 4 bytes a block if that is enough."""
    small = count <= np.iinfo(np.uint32).max
    return rng.permutation(np.arange(count, dtype=np.uint32 if small else np.uint64))


def pareto_ranks(power: float, count: int, rng: np.random.Generator) -> Iterator[int]:
    """
    Yield ranks 0 <= rank < count without end, by fio's Pareto law: for 0.2, a fifth of them has four fifths.

    A rank is below r with probability (r / (count - 1)) ** (log(1 - power) / log(power)).
    """
    exponent = math.log(power) / math.log(1 - power)
    while True:
        yield from ((count - 1) * rng.random(_DRAW) ** exponent).astype(np.int64).tolist()


def normal_ranks(deviation: float, count: int, rng: np.random.Generator) -> Iterator[int]:
    """
    Yield places 0 <= place < count without end, most of them in the middle: fio's normal law.

    The mean of twelve uniform numbers, as fio makes it, and a uniform one added that is up to `deviation`
    percent of all wide; where it would lead out, it is halved until it does not.
    """
    width = min(math.ceil(count * deviation / _ALL), count // 2)
    while True:
        total = rng.integers(count + 1, size=(_DRAW, _SUMMANDS)).sum(axis=1)
        mean = (total + _SUMMANDS - 1) // _SUMMANDS
        added = (width * rng.random(_DRAW)).astype(np.int64) - width // 2
        while ((out := (mean + added < 0) | (mean + added >= count)) & (added != 0)).any():
            added = np.where(out, np.trunc(added / 2).astype(np.int64), added)
        yield from ((mean + added) % count).tolist()


def law_starts(job: Job, blocks: int, unit: int, rng: np.random.Generator) -> Iterator[int]:
    """Yield blocks without end, by the job's random_distribution, of a region of `blocks` units of bytes."""
    match job.random_distribution:
        case "zipf":
            # The ranks are scattered over the file, as fio does with a hash (where two may share a block).
            return _placed(spread(blocks, rng), job, zipf_ranks(job.zipf_theta or 0.0, blocks, rng))
        case "pareto":
            return _placed(spread(blocks, rng), job, pareto_ranks(job.pareto_power or 0.5, blocks, rng))
        case "normal":
            return _placed(spread(blocks, rng), job, normal_ranks(job.deviation or 0.0, blocks, rng))
        case _:
            return _zoned(_zone_blocks(job, blocks, unit), rng)


def _placed(place: NDArray[Any], job: Job, ranks: Iterator[int]) -> Iterator[int]:
    """Put ranks on blocks; the first one at the centre, if the job says where that is."""
    if job.center is not None:
        centre = min(int(len(place) * job.center), len(place) - 1)
        at = int(np.flatnonzero(place == centre)[0])
        place[at], place[0] = place[0], centre
    for rank in ranks:
        yield int(place[rank])


def _zone_blocks(job: Job, blocks: int, unit: int) -> list[tuple[int, int, int]]:
    """Return (percent of reads, first block, blocks) of each zone, as fio rounds them."""
    zones, end = [], 0
    for share, size in job.zones or ():
        begin, end = end, end + size
        if job.random_distribution == "zoned_abs":
            zones.append((share, begin // unit, end // unit - begin // unit))
        else:
            zones.append((share, begin * blocks // _ALL, blocks * size // _ALL))
    if job.random_distribution == "zoned_abs" and end // unit > blocks:
        problem = f"zones of {end} bytes in a region of {blocks * unit}"
        raise ConfigError(job.place, problem, "zones within the region")
    return zones


def _zoned(zones: list[tuple[int, int, int]], rng: np.random.Generator) -> Iterator[int]:
    percents = np.repeat(np.arange(len(zones)), [share for share, _, _ in zones])
    first = np.array([begin for _, begin, _ in zones], np.int64)
    length = np.array([blocks for _, _, blocks in zones], np.int64)
    while True:
        zone = percents[rng.integers(_ALL, size=_DRAW)]
        inside = (length[zone] * rng.random(_DRAW)).astype(np.int64)
        yield from (first[zone] + inside).tolist()
