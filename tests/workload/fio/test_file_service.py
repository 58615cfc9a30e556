"""Which file of a job is read next, and where a job that leaves gaps reads: fio's own logs say the same."""

from __future__ import annotations

import random
from itertools import islice, pairwise

import pytest
from fio_log import needs_fio, reads_of_fio

from sim.errors import ConfigError
from sim.workload.fio.file_service import stretches
from sim.workload.fio.files import shares
from sim.workload.fio.parse import jobs_from_tables

KIB = 1024
SIZES = {"data": 40 * KIB, "f0": 20 * KIB, "f1": 12 * KIB, "f2": 30 * KIB}


def _ours(options: dict[str, object]) -> list[tuple[str, int, int]]:
    (job,) = jobs_from_tables([{"name": "a", **options}], "test")
    names = str(options.get("filename", "data")).split(":")
    parts = stretches(job, [SIZES[name] for name in names], 0, 0)
    return [(names[number], offset, length) for _, number, reads in parts for offset, length in reads]


def _at(options: dict[str, object]) -> str:
    """The reads of a job in short: file and KiB."""
    return " ".join(f"{name}@{offset // KIB}" for name, offset, _ in _ours(options))


ALL = "f0:f1:f2"
GOLDEN = [
    # by hand: f0 has five blocks of 4 KiB, f1 three, f2 seven and a half
    ({"filename": ALL}, "f0@0 f1@0 f2@0 f0@4 f1@4 f2@4 f0@8 f1@8 f2@8 f0@12 f2@12 f0@16 f2@16 f2@20 f2@24"),
    (
        {"filename": ALL, "file_service_type": "sequential", "size": "36k"},
        "f0@0 f0@4 f0@8 f1@0 f1@4 f1@8 f2@0 f2@4 f2@8",
    ),
    (
        {"filename": "f0:f1", "file_service_type": "roundrobin:2"},
        "f0@0 f0@4 f1@0 f1@4 f0@8 f0@12 f1@8 f0@16",
    ),
    ({"filename": ALL, "openfiles": 1, "filesize": "8k"}, "f0@0 f0@4 f1@0 f1@4 f2@0 f2@4"),
    ({"filename": ALL, "filesize": "8k", "size": "12k"}, "f0@0 f1@0 f2@0"),
    # a read, then so much left out; behind the end of the file it starts anew until all is read
    ({"rw": "read:4k"}, "data@0 data@8 data@16 data@24 data@32 data@0 data@8 data@16 data@24 data@32"),
    ({"rw": "read:8k"}, "data@0 data@12 data@24 data@36"),
    ({"rw": "read:4k", "size": "20k", "offset": "4k"}, "data@4 data@12 data@20"),
    ({"rw": "read:-8k", "io_size": "16k"}, "data@0 data@32 data@28 data@24"),
    ({"rw": "read", "number_ios": 3}, "data@0 data@4 data@8"),
    ({"rw": "randread", "percentage_random": 0, "size": "8k"}, "data@0 data@4"),
    ({"rw": "randread:0", "size": "12k"}, "data@0 data@4 data@8"),
]


@pytest.mark.parametrize(("options", "expected"), GOLDEN)
def test_reads_by_hand(options, expected):
    """Files take turns, gaps are left, and all ends where it was said, as worked out by hand."""
    assert expected == _at(options)


@needs_fio
def test_reads_by_hand_are_fios(tmp_path):
    """fio reads what was worked out by hand."""
    logs = reads_of_fio(tmp_path, [{"filename": "data", **options} for options, _ in GOLDEN], SIZES)
    for (options, expected), log in zip(GOLDEN, logs, strict=True):
        assert expected == " ".join(f"{name}@{offset // KIB}" for name, offset, _ in log), options


def _drawn(rng: random.Random) -> dict[str, object]:
    """A sequential job of one block size, with anything that decides where it reads."""
    options: dict[str, object] = {"filename": rng.choice(["data", ALL, "f0:f2"])}
    options["bs"] = rng.choice(["4k", "1k", "3k", 4096, 2000])
    may = {
        "rw": (
            0.5,
            [f"read:{gap}" for gap in ("4k", "1k", "8k", "-8k", "-4k", "-16k", "20k", "-3k", "100k")],
        ),
        "size": (0.3, ["20k", "12k", "9k", "35%"]),
        "offset": (0.3, ["4k", "1k", "10%"]),
        "loops": (0.3, [2]),
        "io_size": (0.2, ["30k", "70k"]),
        "number_ios": (0.2, [3, 7]),
        "filesize": (0.2, ["8k", "11k"]),
        "offset_align": (0.2, ["4k", "512"]),
    }
    if options["filename"] != "data":
        may["file_service_type"] = (1, ["roundrobin", "sequential", "roundrobin:3", "sequential:2"])
        may["openfiles"] = (0.4, [1, 2])
    return options | {
        name: rng.choice(values) for name, (share, values) in may.items() if rng.random() < share
    }


@needs_fio
@pytest.mark.parametrize("seed", [1, 2])
def test_any_sequential_job_reads_what_fio_reads(tmp_path, seed):
    """60 jobs drawn from all that decides where one reads: file, offset, length of every read are fio's."""
    rng = random.Random(seed)
    ours = []
    for options in [_drawn(rng) for _ in range(60)]:
        try:
            ours.append((options, _ours(options)))
        except ConfigError:
            continue  # what reaches past the end of a file: fio would make the file longer
    assert len(ours) > 50
    logs = reads_of_fio(tmp_path, [options for options, _ in ours], SIZES)
    for (options, reads), log in zip(ours, logs, strict=True):
        assert log == reads, options


@needs_fio
def test_random_orders_over_files_have_fios_set(tmp_path):
    """A random job reads as often of each file as fio, and the same blocks of it."""
    cases: list[dict[str, object]] = [
        # the first: for some seeds fio fails to set its LFSR up, and says so
        {"filename": "f0:data", "rw": "randread", "loops": 2, "random_generator": "lfsr"},
        {"filename": ALL, "rw": "randread"},
        {"filename": ALL, "rw": "randread", "size": "30k", "bs": "2k"},
        {"filename": ALL, "rw": "read", "file_service_type": "random"},
        {"filename": ALL, "rw": "read", "file_service_type": "random:2"},
    ]
    for options, log in zip(cases, reads_of_fio(tmp_path, cases, SIZES), strict=True):
        assert sorted(log) == sorted(_ours(options)), options


@needs_fio
def test_jumps_every_few_reads(tmp_path):
    """randread:4 jumps once in four reads, then goes on in sequence, or reads the same again, as fio."""
    files = {"data": 4000 * KIB}
    for sequencer in ("sequential", "identical"):
        options = {"rw": "randread:4", "rw_sequencer": sequencer, "bs": "1k", "norandommap": 1}
        (log,) = reads_of_fio(tmp_path, [{"filename": "data", **options}], files)
        (tmp_path / "log0").unlink()
        (job,) = jobs_from_tables([{"name": "a", **options}], "test")
        parts = stretches(job, [files["data"]], 0, 0)
        ours = [read for _, _, reads in parts for read in reads]
        assert len(log) == len(ours) == 4000
        step = KIB if sequencer == "sequential" else 0
        for reads in ([(at, length) for _, at, length in log], ours):
            behind = [second - first for (first, _), (second, _) in pairwise(reads)]
            inside = [gap for number, gap in enumerate(behind) if number % 4 != 3]
            assert sum(gap == step for gap in inside) > 0.999 * len(inside)  # but at the end of the file
            assert sum(gap == step for gap in behind[3::4]) < 10


def test_time_based_passes_over_files_begin_anew():
    """A time_based job over several files goes through them again and again, and says where a pass begins."""
    (job,) = jobs_from_tables(
        [{"name": "a", "filename": "f0:f1", "bs": "4k", "time_based": True, "runtime": 1}], "test"
    )
    parts = list(islice(stretches(job, [8 * KIB, 4 * KIB], 0, 0), 7))
    reads = [(begins, number, next(reads)[0] // KIB) for begins, number, reads in parts]
    one_pass = [(True, 0, 0), (False, 1, 0), (False, 0, 4)]
    assert [*one_pass, *one_pass, one_pass[0]] == reads


def test_a_size_is_shared_out_over_files():
    """Each file has its part of the size; what whole blocks are left over go to the first ones, as in fio."""
    (job,) = jobs_from_tables([{"size": 23, "bs": 2}], "test")
    assert [6, 4, 4, 4, 4] == shares(job, 5)
    assert [23] == shares(job, 1)
    (job,) = jobs_from_tables([{"filesize": "4k", "size": "8k"}], "test")
    assert [None, None] == shares(job, 2)


def test_clones_start_further_on():
    """offset_increment moves the region of clone n n times on; in percent it is rounded up to a block."""
    (job,) = jobs_from_tables([{"name": "a", "offset_increment": "8k", "size": "8k", "numjobs": 3}], "test")
    starts = [next(iter(stretches(job, [40 * KIB], 0, clone)))[2] for clone in range(3)]
    assert [0, 8 * KIB, 16 * KIB] == [next(reads)[0] for reads in starts]
    (job,) = jobs_from_tables([{"name": "a", "offset_increment": "10%", "size": "8k", "numjobs": 3}], "test")
    starts = [next(iter(stretches(job, [50_000], 0, clone)))[2] for clone in range(3)]
    assert [0, 8192, 12288] == [next(reads)[0] for reads in starts]
