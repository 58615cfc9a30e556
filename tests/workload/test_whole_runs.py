"""fio jobs in whole runs: several jobs on a real image, real bytes, one after another or together."""

from __future__ import annotations

import pytest
from shared_images import shared_image

from sim.config.cell_result import CellResult
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment
from sim.machine.run_cell import run_cell

EXPERIMENT = """\
title = "t"
path = "page_io"
[device]
profile = "nvme"
[volume]
block_size = "4KiB"
files = [{ name = "data", size = "1MiB" }, { name = "other", size = "1MiB" }]
[workload]
job = "x.fio"
"""
GLOBAL = "[global]\nioengine=psync\nfilename=data\nbs=64k\n"


def _run(folder, jobs: str) -> CellResult:
    (folder / "e.toml").write_text(EXPERIMENT)
    (folder / "x.fio").write_text(GLOBAL + jobs)
    (cell,) = load_experiment(folder / "e.toml").cells
    return run_cell(cell, shared_image(cell), False)


def test_stonewall_puts_jobs_one_after_another(tmp_path):
    """
    Two jobs on two files take, walled, the sum of their times and, together, less; a wall is before a job's
    first clone only, so its clones run together.
    """
    one = _run(tmp_path, "[a]\n").metrics["elapsed_ns"]
    together = _run(tmp_path, "[a]\n[b]\nfilename=other\n").metrics["elapsed_ns"]
    walled = _run(tmp_path, "[a]\n[b]\nfilename=other\nstonewall\n").metrics["elapsed_ns"]
    clones = _run(tmp_path, "[b]\nfilename=other\nstonewall\nnumjobs=2\n").metrics["elapsed_ns"]
    assert together < 1.9 * one < walled
    assert clones < 1.9 * one


@pytest.mark.parametrize(
    "options",
    [
        "bssplit=4k/60:64k/40",
        "rw=randread\nbsrange=1k-16k",
        "rw=randread\nrandom_distribution=zipf:1.1\nbs=4k",
        "rw=randread\npercentage_random=30\nbs=4k\nloops=2",
        "size=50%\noffset=25%\nloops=2",
        "io_size=1536k",
        "time_based\nruntime=3ms",
        "rate=200m",
        "runtime=500us",
        "rw=read:4k\nbs=4k",
        "rw=randread:4\nbs=4k",
        "rw=randread\nrandom_distribution=pareto:0.3\nbs=4k",
        "rw=randread\nba=1k\nbs=4k",
        "filename=data:other\nbs=4k",
        "filename=data:other\nrw=randread\nbs=4k\nfile_service_type=random:3",
        "time_based\nruntime=3ms\nramp_time=1ms\nrate_iops=2000\nrate_process=poisson\nbs=4k",
        "rw=randread\npre_read=1\nbs=4k",
        "numjobs=3\noffset_increment=64k\nsize=64k",
    ],
)
def test_every_kind_of_job_reads_right_bytes(tmp_path, options):
    """Whatever the job, what it read is what was written, and a second run is the same to the ns."""
    first = _run(tmp_path, f"[a]\n{options}\n")
    assert first.metrics["digest_ok"] == 1
    assert first.metrics == _run(tmp_path, f"[a]\n{options}\n").metrics


def test_jobs_that_cannot_be_played_say_so(tmp_path):
    """What only the file's size shows is an error that names the job and its line."""
    with pytest.raises(ConfigError) as caught:
        _run(tmp_path, "[a]\nsize=2m\n")
    said = "x.fio:5: job 'a': offset 0 + size 2097152 is past the end; allowed: at most 1048576 bytes"
    assert str(caught.value) == f"{tmp_path}/{said}, the file's size"


@pytest.mark.parametrize("path", ["buffer_head", "mpage", "page_io", "page_io_pure", "iomap"])
@pytest.mark.parametrize(
    ("pages", "read"),
    [
        ('"empty"', 256),
        ('"warm"', 0),
        ("{ every = 4 }", 192),
        ("{ share = 0.25 }", 192),
        ("{ share = 0.5, buffers = true, uptodate_blocks = 1 }", 256),
    ],
)
def test_pages_cached_before_the_run_are_not_read(tmp_path, path, pages, read):
    """Of 256 pages of an encrypted file, those up to date are not read again, and all bytes are right."""
    text = EXPERIMENT.replace('"page_io"', f'"{path}"').replace('"4KiB"', '"1KiB"')
    text += f'[encryption]\nscheme = "fscrypt-v2"\n[cache]\npages = {pages}\n'
    (tmp_path / "e.toml").write_text(text)
    (tmp_path / "x.fio").write_text(GLOBAL + "[a]\ninvalidate=0\n")
    (cell,) = load_experiment(tmp_path / "e.toml").cells
    result = run_cell(cell, shared_image(cell), False)
    assert (1, read) == (result.metrics["digest_ok"], result.metrics["pages_read"])


def test_a_job_behind_a_stonewall_drops_what_the_first_found_cached(tmp_path):
    """A warm pass, then a cold one: the second job's invalidate=1 drops the file, and it reads it all."""
    (tmp_path / "e.toml").write_text(EXPERIMENT + '[cache]\npages = "warm"\n')
    (tmp_path / "x.fio").write_text(GLOBAL + "[a]\ninvalidate=0\n[b]\nstonewall\n")
    (cell,) = load_experiment(tmp_path / "e.toml").cells
    result = run_cell(cell, shared_image(cell), False)
    assert (1, 256) == (result.metrics["digest_ok"], result.metrics["pages_read"])


def _traced(folder, jobs: str, *sets: str) -> CellResult:
    (folder / "e.toml").write_text(EXPERIMENT)
    (folder / "x.fio").write_text(GLOBAL + jobs)
    (cell,) = load_experiment(folder / "e.toml", sets).cells
    return run_cell(cell, shared_image(cell), True)


def _spans(result: CellResult) -> dict[str, tuple[int, int]]:
    """When the first read of each job began and the last one ended."""
    found: dict[str, tuple[int, int]] = {}
    for row in result.reads:
        start, end = found.get(row.job, (row.start, 0))
        found[row.job] = (min(start, row.start), max(end, row.start + row.latency_ns))
    return found


def test_traced_reads_say_where_and_when(tmp_path):
    """reads.parquet's rows: job, file, offset, length and start of every read, also at the end of a file."""
    rows = _traced(tmp_path, "[a]\nname=first\nfilename=data:other\nbs=768k\n").reads
    said = [(row.job, row.file, row.offset, row.length) for row in rows]
    assert [("first", "/data", 0, 768 << 10), ("first", "/other", 0, 768 << 10)] == said
    assert rows[0].start + rows[0].latency_ns <= rows[1].start + 1


def test_wait_for_puts_one_job_behind_another(tmp_path):
    """A job that waits for one starts when that has ended, whatever else goes on."""
    jobs = "[a]\nsize=256k\n[long]\nfilename=other\nloops=8\n[b]\nwait_for=a\nsize=256k\n"
    spans = _spans(_traced(tmp_path, jobs))
    assert spans["a"][1] <= spans["b"][0] < spans["long"][1]


def test_wait_for_counts_beside_a_stonewall(tmp_path):
    """Behind a stonewall a job still waits for the one it names, and one before it does not lift the wall."""
    jobs = "[a]\nsize=64k\n[long]\nfilename=other\nloops=3\n[b]\nstonewall\nloops=3\n"
    spans = _spans(_traced(tmp_path, jobs + "[c]\nwait_for=b\nsize=64k\n[d]\nwait_for=a\nsize=64k\n"))
    assert max(spans["a"][1], spans["long"][1]) <= spans["b"][0]
    assert spans["b"][1] <= spans["c"][0]
    assert spans["long"][1] <= spans["d"][0] < spans["b"][1]


@pytest.mark.parametrize(
    ("what", "ended_early", "run"),
    [
        ("group", {"x"}, {"a", "x", "y", "z"}),
        ("stonewall", {"x", "y"}, {"a", "x", "y", "z"}),
        ("all", {"x", "y"}, {"a", "x", "y"}),
    ],
)
def test_exitall_ends_others(tmp_path, what, ended_early, run):
    """
    When `a` ends, so do the others of its group, of its stonewall, or all, those to come included; a job that
    ends takes others with it too.
    """
    long = "loops=50\nfilename=other\n"
    jobs = f"[a]\nsize=64k\nexitall\nexit_what={what}\n[x]\n{long}"
    jobs += f"[y]\nnew_group\n{long}[z]\nstonewall\nsize=64k\n"
    spans = _spans(_traced(tmp_path, jobs))
    assert run == set(spans)
    early = {name for name in ("x", "y") if spans[name][1] - spans["a"][1] < 1_000_000}
    assert ended_early == early


def test_pre_read_has_the_region_cached(tmp_path):
    """Only what pre_read did not bring is read from the device, and it is not dropped."""
    result = _run(tmp_path, "[a]\npre_read=1\noffset=256k\nsize=512k\n[b]\ninvalidate=0\n")
    assert (1, 128) == (result.metrics["digest_ok"], result.metrics["pages_read"])


def test_cores_are_those_allowed(tmp_path):
    """Two readers of cached pages take twice as long on one core as on two; a missing core is told."""
    jobs = "[a]\nnumjobs=2\nloops=4\npre_read=1\ncpus_allowed={}\n"
    one, two = (_run(tmp_path, jobs.format(cpus)).metrics["elapsed_ns"] for cpus in ("2", "1,3"))
    assert 1.9 * two < one < 2.1 * two
    with pytest.raises(ConfigError) as caught:
        _run(tmp_path, jobs.format("4"))
    assert "core 4 of a machine with 4; allowed: 0 to 3, or machine.cpus = 5" in str(caught.value)


def test_ioscheduler_is_the_devices(tmp_path):
    """A job's ioscheduler is the device's, unless the experiment says another one."""
    plain = _traced(tmp_path, "[a]\n").metrics
    deadline = _traced(tmp_path, "[a]\nioscheduler=deadline\n").metrics
    assert plain["cpu_ns"] < deadline["cpu_ns"]
    said = _traced(tmp_path, "[a]\n", "device.scheduler=mq-deadline").metrics
    assert said == deadline
    with pytest.raises(ConfigError) as caught:
        _traced(tmp_path, "[a]\nioscheduler=noop\n", "device.scheduler=mq-deadline")
    assert "ioscheduler none with device.scheduler 'mq-deadline'; allowed: one of the two" in str(
        caught.value
    )


def test_clones_of_random_delays_start_in_their_range(tmp_path):
    """startdelay=a-b draws a start for each clone; the same ones again."""
    jobs = "[a]\nnumjobs=4\nstartdelay=1-2\nsize=64k\nfilename_format=x\n"
    starts = [row.start for row in _traced(tmp_path, jobs).reads]
    assert all(1_000_000_000 <= start <= 2_000_000_000 + 1_000_000 for start in starts)
    assert len(set(starts)) == 4
    assert starts == [row.start for row in _traced(tmp_path, jobs).reads]
