"""Jobs read where fio reads: its own I/O logs are the oracle."""

from __future__ import annotations

from itertools import islice, pairwise
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from fio_log import needs_fio, reads_of_fio
from hypothesis import given
from hypothesis import strategies as st

from sim.engine.streams import stream
from sim.errors import ConfigError
from sim.workload.fio.generator import Read, job_stream, offsets, passes, pattern, reads_once_in_order, region
from sim.workload.fio.job import Job
from sim.workload.fio.parse import jobs_from_tables
from sim.workload.zipf import zipf_ranks

FILE_SIZE = 40960
CASES = [
    {"size": "10k"},
    {"size": "9k"},
    {"size": "10k", "loops": 2},
    {"size": "12k", "io_size": "20k"},
    {"size": "12k", "io_size": "6k"},
    {"offset": "6k", "size": "12k"},
    {"offset": "6k"},
    {"bs": "16k"},
    {"bs": "16k", "size": "36k"},
    {},
    {"rw": "randread", "size": "10k"},
    {"rw": "randread", "size": "16k"},
    {"rw": "randread", "size": "16k", "loops": 2},
    {"rw": "randread", "size": "10k", "loops": 3},
    {"rw": "randread", "size": "10k", "io_size": "30k"},
    {"rw": "randread", "size": "16k", "io_size": "24k"},
    {"rw": "randread", "offset": "2k", "size": "15k"},
    {"rw": "randread", "size": "10k", "norandommap": 1, "loops": 3},
    {"rw": "randread", "size": "18k", "norandommap": 1, "io_size": "80k"},
    {"rw": "randread", "bs": "16k"},
    {"size": "12k", "io_size": "14k"},
    {"size": "12k", "io_size": "20k", "loops": 2},
    {"size": "12k", "io_size": "8k", "loops": 3},
    {"size": "12k", "io_size": "40k", "loops": 2},
    {"rw": "randread", "size": "16k", "io_size": "8k", "loops": 3},
    {"rw": "randread", "size": "16k", "norandommap": 1, "io_size": "24k", "loops": 2},
    {"size": "33%"},
    {"offset": "25%", "size": "50%"},
    {"offset": "10%", "bs": 3000},
    {"offset": "4k", "size": "100%"},
    {"size": "20k", "io_size": "30%", "loops": 2},
    {"rw": "randread", "size": "33%"},
    {"rw": "randread", "size": "10k", "percentage_random": 0, "loops": 2},
]
# Lengths are drawn, so only what every draw has in common can be compared.
DRAWN = [
    {"bs": "8k", "bssplit": "1k/50:4k/50", "size": "22k", "loops": 2},
    {"bssplit": "3k/50:7k/50"},
    {"bsrange": "1k-4k", "size": "22k", "io_size": "40k"},
    {"bsrange": "2k-8k"},
    {"rw": "randread", "bssplit": "1k/50:4k/50", "size": "22k", "loops": 2},
    {"rw": "randread", "bsrange": "2k-6k"},
    {"rw": "randread", "bssplit": "1k/50:4k/50", "size": "22k", "norandommap": 1},
    {"rw": "randread", "random_distribution": "zipf:1.2", "bs": "1k", "size": "22k", "loops": 2},
]


def _job(options: dict[str, object]) -> Job:
    return jobs_from_tables([{"name": "a", **options}], "test")[0]


def _ours(options: dict[str, object]) -> list[tuple[int, int]]:
    job = _job(options)
    return list(offsets(job, FILE_SIZE, job_stream(job, run_seed=0, clone=0)))


def _fio_reads(folder: Path, cases: list[dict[str, object]], size: int = FILE_SIZE) -> list[list[Read]]:
    """What fio reads in each case, by its own I/O logs."""
    named = [{"filename": "data", **options} for options in cases]
    return [[read[1:] for read in reads] for reads in reads_of_fio(folder, named, {"data": size})]


@needs_fio
def test_reads_are_those_of_fio(tmp_path):
    """
    A sequential job reads exactly fio's offsets; a random one as many, of the same set per pass, and none
    outside the region.
    """
    logs = _fio_reads(tmp_path, CASES)
    for options, fio in zip(CASES, logs, strict=True):
        ours = _ours(options)
        assert fio, options
        if options.get("rw") != "randread" or "percentage_random" in options:
            assert fio == ours, options
            continue
        assert len(fio) == len(ours), options
        blocks = region(_job(options), FILE_SIZE).pass_blocks
        if "norandommap" in options:
            assert set(ours) <= set(fio), options  # fio's longer logs hold every block
        else:
            assert sorted(fio[:blocks]) == sorted(ours[:blocks]), options


@needs_fio
def test_reads_of_drawn_lengths_are_like_those_of_fio(tmp_path):
    """
    Under bssplit, bsrange and zipf, fio's reads and ours have the same lengths to choose from, add up to the
    same bytes, and cover the same bytes of each pass.
    """
    for options, fio in zip(DRAWN, _fio_reads(tmp_path, DRAWN), strict=True):
        ours = _ours(options)
        job = _job(options)
        smallest, largest = job.bs_limits_bytes
        again = job.norandommap or job.random_distribution == "zipf"
        summaries = []
        for reads in (fio, ours):
            total = sum(length for _, length in reads)
            assert 0 <= total - region(job, FILE_SIZE).total_bytes < largest or not again, options
            assert {length % smallest for _, length in reads if length != largest} <= {0}, options
            covered = {at for start, length in reads for at in range(start, start + length)}
            summaries.append((total, covered) if not again else covered <= set(range(22 << 10)))
        if "io_size" in options:  # the last read alone decides by how much it is exceeded
            summaries = [covered for _, covered in summaries]
        assert summaries[0] == summaries[1], options


@given(
    bs=st.integers(1, 5000),
    size=st.integers(1, 20000),
    offset=st.integers(0, 20000),
    rw=st.sampled_from(["read", "randread"]),
    norandommap=st.booleans(),
)
def test_reads_stay_inside_the_file(bs, size, offset, rw, norandommap):
    """Whatever the job, each read has its length and lies in the file; else the job is refused."""
    job = Job(name="a", rw=rw, bs_bytes=bs, size_bytes=size, offset_bytes=offset, norandommap=norandommap)
    try:
        reads = list(offsets(job, 20000, job_stream(job, 1, 0)))
    except ConfigError:
        assert offset + size > 20000 or size < bs
        return
    assert reads
    for at, length in reads:
        assert length == bs
        assert offset <= at
        assert at + length <= 20000
        assert (at - offset) % bs == 0
    if rw == "read":
        assert all(after - before == bs for (before, _), (after, _) in pairwise(reads))


def test_a_pass_is_a_permutation_and_passes_repeat():
    """Without norandommap each pass reads every block once, in the same order again."""
    job = Job(name="a", rw="randread", bs_bytes=1024, loops=2)
    reads = list(offsets(job, 64 << 10, job_stream(job, 0, 0)))
    assert [(n << 10, 1024) for n in range(64)] == sorted(reads[:64])
    assert reads[:64] == reads[64:]
    assert reads[:64] != sorted(reads[:64])


def test_streams():
    """With randrepeat the run's seed changes nothing; without it does; clones differ always."""

    def first(randrepeat: bool, seed: int, clone: int) -> list[tuple[int, int]]:
        job = Job(name="a", rw="randread", bs_bytes=512, randrepeat=randrepeat)
        return list(offsets(job, 1 << 20, job_stream(job, seed, clone)))

    assert first(True, 0, 0) == first(True, 1, 0)
    assert first(False, 0, 0) != first(False, 1, 0)
    assert first(True, 0, 0) != first(True, 0, 1)


def test_refusals():
    """A region past the end and a block larger than it are errors that say so."""
    cases = [
        (
            {"size": "41k"},
            "offset 0 + size 41984 is past the end; allowed: at most 40960 bytes, the file's size",
        ),
        (
            {"offset": "40k"},
            "offset 40960 + size 0 is past the end; allowed: at most 40960 bytes, the file's size",
        ),
        ({"bs": "1m"}, "bs 1048576 is larger than the 40960 bytes to read; allowed: a smaller bs"),
    ]
    for options, message in cases:
        with pytest.raises(ConfigError) as caught:
            _ours(options)
        assert f"job 'a': {message}" == str(caught.value)


def test_pattern():
    """An explicit list of positions is read as it stands."""
    expected = [(8192, 4096), (0, 4096)]
    assert expected == list(pattern([8192, 0], 4096))


def _share_is(expected: float, hits: int, draws: int) -> bool:
    """Whether `hits` of `draws` agree with the probability `expected`, within five standard errors."""
    return abs(hits / draws - expected) < 5 * sqrt(expected * (1 - expected) / draws)


SPLITS = [
    ({"bssplit": "4k/60:64k/40"}, {4096: 0.6, 65536: 0.4}),
    ({"bssplit": "4k/10:8k/:16k/"}, {4096: 0.1, 8192: 0.45, 16384: 0.45}),
    ({"bsrange": "1k-4k"}, {1024: 0.25, 2048: 0.25, 3072: 0.25, 4096: 0.25}),
    ({"bsrange": "4k-10k"}, {4096: 0.4, 8192: 0.4, 10240: 0.2}),
]


@pytest.mark.parametrize(("options", "expected"), SPLITS)
def test_lengths_come_as_often_as_asked(options, expected):
    """Each block size has its share of the reads of a long sequential job, within standard errors."""
    job = _job(options)
    reads = list(islice(offsets(job, 1 << 30, job_stream(job, 0, 0)), 10_000))
    assert set(expected) == {length for _, length in reads}
    for size, share in expected.items():
        assert _share_is(share, sum(length == size for _, length in reads), len(reads)), size
    assert all(at + length == after for (at, length), (after, _) in pairwise(reads))


@needs_fio
def test_shares_of_lengths_are_fios(tmp_path):
    """fio's own log of the same jobs has the same shares: the theory above is the right one."""
    cases = [{**options, "io_size": "2m", "size": "2m"} for options, _ in SPLITS]
    cases[0] |= {"io_size": "16m", "size": "16m"}
    for reads, (_, expected) in zip(_fio_reads(tmp_path, cases, 16 << 20), SPLITS, strict=True):
        for size, share in expected.items():
            assert _share_is(share, sum(length == size for _, length in reads), len(reads)), size


def test_a_random_pass_of_several_lengths_reads_every_byte_once():
    """With a random map, reads of different lengths cover the region once a pass, and passes repeat."""
    job = _job({"rw": "randread", "bssplit": "1k/50:4k/50", "loops": 2})
    first, second = [list(reads) for reads in passes(job, 1 << 20, job_stream(job, 0, 0))]
    assert first == second
    by_place = sorted(first)
    assert all(at + length == after for (at, length), (after, _) in pairwise(by_place))
    assert 1 << 20 == sum(length for _, length in first)
    assert by_place != first
    assert {1024, 2048, 3072, 4096} == {length for _, length in first}


def test_time_based_passes_never_end_and_differ():
    """A time_based job begins pass after pass, and each random one has its own order, as in fio."""
    job = _job({"rw": "randread", "time_based": True, "runtime": 1, "bs": "1k"})
    first, second = [list(reads) for reads in islice(passes(job, 64 << 10, job_stream(job, 0, 0)), 2)]
    assert sorted(first) == sorted(second)
    assert first != second


@pytest.mark.parametrize("percent", [20, 50, 90])
def test_percentage_random(percent):
    """
    That share of the reads jumps, the others go on where the last one ended (of the jumps, one in as many
    as there are blocks leads there by chance).
    """
    job = _job({"rw": "randread", "percentage_random": percent, "norandommap": True, "bs": "1k"})
    reads = list(islice(offsets(job, 1 << 30, job_stream(job, 0, 0)), 20_000))
    jumps = sum(at + length != after for (at, length), (after, _) in pairwise(reads))
    assert _share_is(percent / 100 * (1 - 2**-20), jumps, len(reads) - 1)


def test_a_sequential_step_at_the_end_of_the_file_jumps():
    """
    Where nothing comes next a mixed job jumps (a pass of fio's ends only where the region ends before the
    file does), so a job without a map never ends a pass early.
    """
    options = {"rw": "randread", "percentage_random": 10, "norandommap": True, "bs": "1k"}
    whole, part = _job({**options, "loops": 8}), _job({**options, "size": "10k", "loops": 8})
    assert [8 * 40] == [len(list(reads)) for reads in passes(whole, FILE_SIZE, job_stream(whole, 0, 0))]
    *full, _ = [list(reads) for reads in passes(part, FILE_SIZE, job_stream(part, 0, 0))]
    assert {9 << 10} == {reads[-1][0] for reads in full}


@pytest.mark.parametrize("theta", [0.0, 0.5, 0.99, 1.1, 2.0])
def test_zipf_has_the_shape_of_zipfs_law(theta):
    """
    How often the blocks are read, from the most to the least read, is as k ** -theta: chi-square over ranks
    with at least 10 expected reads, the rest in one class. fio's order and its choice of hot blocks are not
    reproduced, nor the deviations of its approximation from the law.
    """
    blocks, draws = 1000, 200_000
    ranks = list(islice(zipf_ranks(theta, blocks, stream(7, "zipf")), draws))
    weights = np.arange(1, blocks + 1) ** -theta
    expected = weights / weights.sum() * draws
    observed = np.bincount(ranks, minlength=blocks)
    assert len(observed) == blocks
    big = expected >= 10
    classes = [
        (np.append(counts[big], counts[~big].sum()) if (~big).any() else counts)
        for counts in (observed, expected)
    ]
    square = ((classes[0] - classes[1]) ** 2 / classes[1]).sum()
    freedom = len(classes[0]) - 1
    # chi-square has mean `freedom` and variance 2 * freedom
    assert abs(square - freedom) < 5 * sqrt(2 * freedom)


def test_zipf_scatters_its_ranks_and_keeps_to_the_region():
    """The most read block has the share of rank 1 and is not the first; reads stay inside, at multiples."""
    theta, blocks = 1.1, 256
    options = {"rw": "randread", "random_distribution": f"zipf:{theta}", "offset": "1m", "size": "1m"}
    job = _job({**options, "io_size": "80m"})
    starts = [at for at, _ in offsets(job, 4 << 20, job_stream(job, 0, 0))]
    hottest = max(set(starts), key=starts.count)
    assert hottest != 1 << 20
    assert _share_is(1 / sum(k**-theta for k in range(1, blocks + 1)), starts.count(hottest), len(starts))
    assert set(starts) <= set(range(1 << 20, 2 << 20, 4096))


@needs_fio
def test_zipf_of_fio_has_the_same_head(tmp_path):
    """The hottest block of fio's own log has the share that the law gives to rank 1, and ours has."""
    theta, blocks = 1.1, 4096
    options = {"rw": "randread", "random_distribution": f"zipf:{theta}", "bs": "1k", "size": "4m"}
    (reads,) = _fio_reads(tmp_path, [{**options, "io_size": "20m"}], 4 << 20)
    starts = [at for at, _ in reads]
    hottest = max(set(starts), key=starts.count)
    assert _share_is(1 / sum(k**-theta for k in range(1, blocks + 1)), starts.count(hottest), len(starts))


def test_what_is_one_pass_over_the_file():
    """Only a sequential job of one block size, over all of the file, once, can be checked as a stream."""
    assert reads_once_in_order(_job({}), FILE_SIZE)
    assert reads_once_in_order(_job({"size": "100%", "io_size": "40k"}), FILE_SIZE)
    others: list[dict[str, object]] = [
        {"rw": "randread"},
        {"loops": 2},
        {"size": "36k"},
        {"offset": "4k"},
        {"io_size": "36k"},
        {"bs": "16k"},
        {"bsrange": "4k-8k"},
        {"runtime": 1},
    ]
    assert [False] * len(others) == [reads_once_in_order(_job(options), FILE_SIZE) for options in others]
