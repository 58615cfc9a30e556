"""Jobs read where fio reads: its own I/O logs are the oracle."""

from __future__ import annotations

import shutil
import subprocess
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import ConfigError
from sim.workload.fio_job import Job, jobs_from_tables
from sim.workload.generator import job_stream, offsets, pattern, region

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
]


def _job(options: dict[str, object]) -> Job:
    return jobs_from_tables([{"name": "a", **options}], "test")[0]


def _ours(options: dict[str, object]) -> list[tuple[int, int]]:
    job = _job(options)
    return list(offsets(job, FILE_SIZE, job_stream(job, run_seed=0, clone=0)))


@pytest.mark.skipif(shutil.which("fio") is None, reason="fio is not installed")
def test_reads_are_those_of_fio(tmp_path):
    """
    A sequential job reads exactly fio's offsets; a random one as many, of the same set per pass, and none
    outside the region.
    """
    (tmp_path / "data").write_bytes(bytes(FILE_SIZE))
    text = "[global]\nfilename=data\nioengine=psync\nstonewall\n"
    for number, options in enumerate(CASES):
        lines = "".join(f"{name}={value}\n" for name, value in options.items())
        text += f"[job{number}]\nwrite_iolog=log{number}\n{lines}"
    (tmp_path / "all.fio").write_text(text)
    subprocess.run(["fio", "all.fio"], cwd=tmp_path, check=True, capture_output=True)
    for number, options in enumerate(CASES):
        words = [line.split() for line in (tmp_path / f"log{number}").read_text().splitlines()]
        fio = [(int(w[-2]), int(w[-1])) for w in words if "read" in w]
        ours = _ours(options)
        assert fio, options
        if options.get("rw") != "randread":
            assert fio == ours, options
            continue
        assert len(fio) == len(ours), options
        blocks = region(_job(options), FILE_SIZE).pass_blocks
        if "norandommap" in options:
            assert set(ours) <= set(fio), options  # fio's longer logs hold every block
        else:
            assert sorted(fio[:blocks]) == sorted(ours[:blocks]), options


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
    """A region past the end, a block larger than it, and io_size with loops are errors that say so."""
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
        ({"io_size": "8k", "loops": 2}, "io_size with loops=2 is not modelled; allowed: one of the two"),
    ]
    for options, message in cases:
        with pytest.raises(ConfigError) as caught:
            _ours(options)
        assert f"job 'a': {message}" == str(caught.value)


def test_pattern():
    """An explicit list of positions is read as it stands."""
    expected = [(8192, 4096), (0, 4096)]
    assert expected == list(pattern([8192, 0], 4096))
