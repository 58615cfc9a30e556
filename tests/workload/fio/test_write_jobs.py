"""fio jobs that write: what they come to, what of them is refused."""

from __future__ import annotations

import json
import subprocess
from functools import partial
from pathlib import Path

import pytest
from crash_cells import cell_text, played
from fio_log import needs_fio
from written_image import check_written

from sim.config.cell_result import CellResult
from sim.errors import ConfigError
from sim.experiment.fio_experiment import fio_experiment
from sim.machine.run_cell import run_cell
from sim.volume.images import ensure_image
from sim.workload.fio.job import Job
from sim.workload.fio.parse import parse_jobs


def job_of(*lines: str) -> Job:
    """Return the one job of these lines."""
    (job,) = parse_jobs("\n".join(["[a]", *lines]) + "\n", "x.fio")
    return job


def refused(*lines: str) -> list[str]:
    """Return what is said of a job of these lines."""
    with pytest.raises(ConfigError) as caught:
        job_of(*lines)
    return str(caught.value).split("\n")


@pytest.mark.parametrize(
    ("rw", "order", "ddir", "stride", "sequence"),
    [
        ("read", "read", "read", 0, 1),
        ("write", "read", "write", 0, 1),
        ("randwrite", "randread", "write", 0, 1),
        ("rw", "read", "mixed", 0, 1),
        ("readwrite", "read", "mixed", 0, 1),
        ("randrw", "randread", "mixed", 0, 1),
        ("write:8k", "read", "write", 8192, 1),
        ("rw:-4k", "read", "mixed", -4096, 1),
        ("randwrite:8", "randread", "write", 0, 8),
    ],
)
def test_what_rw_says(rw: str, order: str, ddir: str, stride: int, sequence: int) -> None:
    """The order is a reader's; what is done in it is said beside."""
    job = job_of(f"rw={rw}")
    assert (job.rw, job.ddir, job.stride_bytes, job.sequence) == (order, ddir, stride, sequence)


def test_the_last_rw_wins() -> None:
    """A job that writes by [global] and reads by itself reads."""
    (job,) = parse_jobs("[global]\nrw=randwrite\n[a]\nrw=read\n", "x.fio")
    assert job == Job(name="a")


@pytest.mark.parametrize(
    ("lines", "share"),
    [
        ((), 50),
        (("rwmixread=70",), 70),
        (("rwmixwrite=70",), 30),
        (("rwmixread=70", "rwmixwrite=10"), 90),
        (("rwmixwrite=10", "rwmixread=0"), 0),
        (("rwmixwrite=0",), 100),
        (("rwmixread=70,30",), 30),
        (("rwmixread=70,",), 70),
        (("rwmixread=,30",), 30),
        (("rwmixwrite=70,30",), 70),
    ],
)
def test_the_mix(lines: tuple[str, ...], share: int) -> None:
    """Both say the same thing; the later one wins."""
    assert job_of("rw=randrw", *lines).rwmixread == share


def test_syncs() -> None:
    """Each has its field; 0 is none; sync has words and numbers."""
    job = job_of("rw=write", "fsync=32", "fdatasync=8", "end_fsync=1", "sync=dsync")
    assert (job.fsync_every, job.fdatasync_every, job.end_fsync, job.sync) == (32, 8, True, "dsync")
    assert not job.fsync_on_close
    job = job_of("rw=write", "fsync_on_close=1", "end_fsync=0", "fsync=0")
    assert (job.fsync_on_close, job.end_fsync, job.fsync_every) == (True, False, 0)
    for said, is_ in (("0", "none"), ("none", "none"), ("1", "sync"), ("sync", "sync"), ("dsync", "dsync")):
        assert job_of("rw=write", f"sync={said}").sync == is_


def test_reads_do_not_sync() -> None:
    """What only writes do has no effect in a job that reads, and is said to have none; of writes it has."""
    said = (
        "fsync=1",
        "fdatasync=1",
        "end_fsync=1",
        "fsync_on_close=1",
        "sync=1",
        "rwmixread=70",
        "rwmixwrite=3",
        "overwrite=1",
        "fallocate=none",
    )
    names = {line.partition("=")[0] for line in said}
    assert {name for name, _, _ in job_of(*said).unused} == names
    assert {name for name, _, _ in job_of("rw=write", *said).unused} == {"rwmixread", "rwmixwrite"}
    assert {name for name, _, _ in job_of("rw=rw", *said).unused} == {"overwrite", "fallocate"}


@pytest.mark.parametrize(
    "line",
    [
        *("bs=4k,8k", "bs=,8k", "blockalign=4k,8k", "bsrange=4k-8k,8k-16k", "bssplit=4k/100,8k/100"),
        *("rate=1m,2m", "rate_iops=100,200", "percentage_random=30,60", "thinktime_blocks=1,2"),
        "random_distribution=zoned:60/10:40,50/10:50",
    ],
)
def test_a_value_of_its_own_for_writes_is_refused(line: str) -> None:
    """Of a job that writes; one that reads takes the first."""
    name = line.partition("=")[0].replace("blockalign", "ba")
    why = f"x.fio:3 [a]: {name}: values of their own for writes are not modelled; allowed: one value"
    for rw in ("write", "randwrite", "rw", "randrw"):
        assert refused(f"rw={rw}", line) == [why]
    job_of("rw=randread", line)
    job_of("rw=randwrite", line, line.partition(",")[0].replace("=,", "=") if "=," not in line else "bs=4k")


@pytest.mark.parametrize(
    "line",
    ["fill_device=1", "fill_fs=1", "sync_file_range=write:8", "write_barrier=8", "serialize_overlap=1"],
)
def test_what_is_not_modelled_of_writes_is_refused(line: str) -> None:
    """It changes nothing of reads; a job that writes may not say it, and is told why."""
    name = line.partition("=")[0].replace("fill_fs", "fill_device")
    for rw in ("write", "randrw"):
        (said,) = refused(f"rw={rw}", line)
        assert said.startswith(f"x.fio:3 [a]: {name}: ")
        assert said.endswith("; allowed: a job without it")
        if name == "fill_device":
            assert ": a volume is as large as its files, and is not written full; " in said
    assert [unused[0] for unused in job_of("rw=read", line).unused] == [name]


@pytest.mark.parametrize("rw", ["trim", "randtrim", "trimwrite", "randtrimwrite"])
def test_discards_are_refused(rw: str) -> None:
    """Nobody discards here."""
    allowed = "read, write, randread, randwrite, rw, readwrite, randrw"
    assert refused(f"rw={rw}") == [f"x.fio:2 [a]: rw={rw}: discards are not modelled; allowed: {allowed}"]


@pytest.mark.parametrize(
    "line", ["rwmixread=101", "rwmixwrite=101", "rwmixread=x", "fsync=x", "end_fsync=2", "sync=2"]
)
def test_values_that_fio_does_not_take(line: str) -> None:
    """One line, with the place and what is allowed."""
    (said,) = refused("rw=rw", line)
    assert said.startswith(f"x.fio:3 [a]: {line.partition('=')[0]}: ")
    assert "; allowed: " in said


# -- run ---------------------------------------------------------------------------------------------------

SIZE = "size=64k"
SYNCS = [
    (("rw=write", "fsync=1"), 16, 15),
    (("rw=write", "fsync=4"), 16, 3),
    (("rw=write", "fsync=4", "fdatasync=2"), 16, 7),
    (("rw=write", "fdatasync=5"), 16, 3),
    (("rw=write", "fsync=16"), 16, 0),
    (("rw=write", "end_fsync=1"), 16, 1),
    (("rw=write", "fsync_on_close=1"), 16, 1),
    (("rw=randwrite", "bs=8k", "fsync=1"), 8, 7),
    # fio looks once more at the end of a pass that another follows, and again at the start of that
    (("rw=write", "fsync=1", "loops=2"), 32, 32),
    (("rw=write", "fsync=3", "loops=3"), 48, 15),
    (("rw=write", "fsync=16", "loops=3"), 48, 4),
    (("rw=randwrite", "fsync=8", "loops=2"), 32, 4),
    (("rw=write", "fsync=5", "fdatasync=2", "loops=2"), 32, 19),
]
"""Lines of a job; its writes, and its syncs: fio's for a file of 64 KiB."""


def run(tmp_path: Path, *lines: str) -> CellResult:
    """Run a job."""
    file = tmp_path / "x.fio"
    file.write_text("\n".join(["[a]", SIZE, "filename=f", *lines]) + "\n")
    (cell,) = fio_experiment(file, None, ()).cells
    return run_cell(cell, partial(ensure_image, root=tmp_path)(cell), False)


@pytest.mark.parametrize(("lines", "writes", "syncs"), SYNCS)
def test_syncs_of_a_run(tmp_path: Path, lines: tuple[str, ...], writes: int, syncs: int) -> None:
    """A sync comes before the next I/O, so none behind the last; where both are due it is fsync(2)."""
    metrics = run(tmp_path, *lines).metrics
    assert (metrics["writes"], metrics["syncs"]) == (writes, syncs)
    assert metrics["bytes_streamed"] == 65536 * max(writes // 16, 1)


@needs_fio
@pytest.mark.parametrize(
    ("lines", "writes", "syncs"),
    [
        (lines, writes, {"fsync=4": 3, "fsync=5": 6}[lines[1]] if "fdatasync=2" in lines else syncs)
        for lines, writes, syncs in SYNCS
        if any(line.startswith("fsync=") for line in lines)
    ],
)
def test_syncs_are_fios(tmp_path: Path, lines: tuple[str, ...], writes: int, syncs: int) -> None:
    """The real fio does as many fsync(2); others it does not count."""
    text = "\n".join(["[a]", SIZE, "filename=f", "ioengine=psync", *lines]) + "\n"
    (tmp_path / "x.fio").write_text(text)
    done = subprocess.run(
        ["fio", "--output-format=json+", "x.fio"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    job = json.loads(done.stdout)["jobs"][0]
    assert (job["write"]["total_ios"], job["sync"]["total_ios"]) == (writes, syncs)


def test_a_mixed_job_reads_and_writes(tmp_path: Path) -> None:
    """Every block once, read or written; the same twice; the mix as the job says."""
    first = run(tmp_path, "rw=randrw", "rwmixread=70", "bs=1k")
    again = run(tmp_path, "rw=randrw", "rwmixread=70", "bs=1k")
    assert first == again
    writes, reads = int(first.metrics["writes"]), first.metrics["reads"]
    assert 0 < writes < 64
    assert first.metrics["bytes_streamed"] == writes * 1024
    assert run(tmp_path, "rw=randrw", "rwmixread=100", "bs=1k").metrics.get("writes", 0) == 0
    assert run(tmp_path, "rw=randrw", "rwmixwrite=100", "bs=1k").metrics["writes"] == 64
    assert reads


def test_a_read_has_not_the_time_of_the_sync_before_it(tmp_path: Path) -> None:
    """fsync=1: behind each write, before what comes next; its flush takes long, a cached read does not."""
    lines = ("rw=randrw", "size=256k", "fsync=1", "invalidate=0", "pre_read=1")
    found = run(tmp_path, *lines).metrics
    assert found["reads"] > 10
    assert found["syncs"] > 10
    assert found["latency_p99_ns"] * 5 < found["sync_latency_p50_ns"]


def test_a_durable_write_takes_longer(tmp_path: Path) -> None:
    """O_DSYNC waits for the device in each write; without it a write is a copy into the page cache."""
    plain = run(tmp_path, "rw=write").metrics
    durable = run(tmp_path, "rw=write", "sync=dsync").metrics
    assert (plain["writes"], durable["writes"]) == (16, 16)
    assert float(durable["write_latency_p50_ns"]) > 10 * float(plain["write_latency_p50_ns"])
    assert run(tmp_path, "rw=write", "sync=sync").metrics["syncs"] == 0


FILES = [
    (("nrfiles=4", "fsync=1"), 15),
    (("nrfiles=4", "fsync=3", "file_service_type=sequential"), 5),
    (("nrfiles=4", "fsync=2", "file_service_type=roundrobin:2", "openfiles=2"), 7),
    (("nrfiles=2", "fsync=4", "rw=randwrite", "file_service_type=random"), 3),
]
"""Lines of a job that writes several files of 64 KiB together, and its syncs."""


def run_files(tmp_path: Path, *lines: str) -> CellResult:
    """Run a job whose files fio names."""
    file = tmp_path / "x.fio"
    file.write_text("\n".join(["[a]", SIZE, "rw=write", *lines]) + "\n")
    (cell,) = fio_experiment(file, None, ()).cells
    return run_cell(cell, partial(ensure_image, root=tmp_path)(cell), False)


@needs_fio
@pytest.mark.parametrize(("lines", "syncs"), FILES)
def test_several_files_are_written_as_fio_does(tmp_path: Path, lines: tuple[str, ...], syncs: int) -> None:
    """As many writes and syncs as fio's, whichever file comes next."""
    metrics = run_files(tmp_path, *lines).metrics
    assert (metrics["writes"], metrics["syncs"]) == (16, syncs)
    text = "\n".join(["[a]", SIZE, "rw=write", "ioengine=psync", *lines]) + "\n"
    (tmp_path / "y.fio").write_text(text)
    done = subprocess.run(
        ["fio", "--output-format=json+", "y.fio"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    job = json.loads(done.stdout)["jobs"][0]
    assert (job["write"]["total_ios"], job["sync"]["total_ios"]) == (16, syncs)


NEW_FILES = [
    ("create_on_open=1", "nrfiles=3", "fsync=2"),
    ("create_on_open=1", "bs=24k", "fdatasync=2"),
    ("fallocate=none", "rw=randwrite", "fsync=4"),
    ("fallocate=none", "nrfiles=2", "file_service_type=sequential", "bs=512", "fsync=7"),
    ("create_on_open=1", "loops=3", "unlink_each_loop=1", "fsync=5"),
    ("fallocate=none", "loops=2", "unlink_each_loop=1", "unlink=1", "nrfiles=2", "fsync=1"),
    ("unlink=1", "nrfiles=2"),
    ("rw=randrw", "unlink=1", "end_fsync=1"),
]
"""Lines of a job that makes files, makes them longer, or takes them away."""


@needs_fio
@pytest.mark.parametrize("lines", NEW_FILES, ids=" ".join)
def test_files_are_made_and_taken_away_as_fio_does(tmp_path: Path, lines: tuple[str, ...]) -> None:
    """As many writes, bytes and syncs as fio's; the same files are there at the end, as long, and sound."""
    said = ["[a]", SIZE, "rw=write", "ioengine=psync", *lines]
    text = cell_text('journal = "4MiB"', 'job = "x.fio"', crash="")
    (tmp_path / "x.fio").write_text("\n".join(said) + "\n")
    found = played(text, tmp_path)
    done = subprocess.run(
        ["fio", "--output-format=json+", "x.fio"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    job, metrics = json.loads(done.stdout)["jobs"][0], found.result.metrics
    if "rw=randrw" not in lines:  # which I/O is a read is drawn
        assert (metrics["writes"], metrics["syncs"], metrics["bytes_streamed"]) == (
            job["write"]["total_ios"],
            job["sync"]["total_ios"],
            job["write"]["io_bytes"],
        )
    check_written(found, tmp_path)
    left = {f"/{file.name}": file.stat().st_size for file in tmp_path.glob("a.0.*")}
    assert {path: inode.size for path, (_, inode) in found.mounted.files.items()} == left


@needs_fio
@pytest.mark.parametrize(
    ("lines", "allocated"),
    [
        ((), True),
        (("fallocate=posix",), True),
        (("fallocate=keep",), True),
        (("fallocate=none",), False),
        (("fallocate=truncate",), False),
        (("create_on_open=1",), False),
        (("overwrite=1",), True),
        (("rw=randrw", "fallocate=none"), True),
    ],
)
def test_files_are_made_as_fio_makes_them(tmp_path: Path, lines: tuple[str, ...], allocated: bool) -> None:
    """
    A job that writes one block of its file: without preallocation the others have no place; a file that is
    read, or overwritten, has all of them.
    """
    said = ["[a]", "rw=randwrite", SIZE, "filename=f", "number_ios=1", "randseed=3", "ioengine=psync", *lines]
    (tmp_path / "x.fio").write_text("\n".join(said) + "\n")
    (cell,) = fio_experiment(tmp_path / "x.fio", None, ()).cells
    kind = cell.config.volume.files[0].layout.kind
    assert (kind not in ("hole", "empty", "absent")) == allocated
    assert (kind == "contiguous") == any(line.startswith(("overwrite", "rw=")) for line in lines)
    subprocess.run(["fio", "x.fio"], capture_output=True, check=True, cwd=tmp_path)
    found = (tmp_path / "f").stat()
    grows = kind in ("empty", "absent") or "fallocate=keep" in lines  # the one difference that is told
    assert (found.st_size == 65536) == (not grows)
    assert (found.st_blocks * 512 >= 65536) == allocated


def test_the_first_job_of_a_file_makes_it(tmp_path: Path) -> None:
    """Who reads it lays it out, who writes it does not; who comes later finds it there."""

    def kinds(*sections: str) -> list[str]:
        text = "[global]\nsize=64k\nfilename=f\n" + "".join(
            f"[j{number}]\nstonewall\n{said}\n" for number, said in enumerate(sections)
        )
        (tmp_path / "x.fio").write_text(text)
        (cell,) = fio_experiment(tmp_path / "x.fio", None, ()).cells
        return [file.layout.kind for file in cell.config.volume.files]

    assert kinds("rw=write", "rw=read") == ["unwritten"]
    assert kinds("rw=read", "rw=write") == ["contiguous"]
    assert kinds("rw=write\nfallocate=truncate", "rw=write") == ["hole"]
    assert kinds("rw=write\nfallocate=none", "rw=write\ncreate_on_open=1") == ["empty"]


@needs_fio
@pytest.mark.parametrize("first", ["fallocate=none", "create_on_open=1"])
@pytest.mark.parametrize("second", ["rw=write", "rw=write\nfallocate=truncate", "rw=read", "rw=randrw"])
def test_a_file_that_is_too_short_is_made_anew(tmp_path: Path, first: str, second: str) -> None:
    """All files are made before any job runs: what a later job needs of one has been done by then."""
    text = f"[global]\nsize=64k\nfilename=f\nnumber_ios=1\n[a]\nrw=write\n{first}\n[b]\nstonewall\n{second}\n"
    (tmp_path / "x.fio").write_text(text)
    (cell,) = fio_experiment(tmp_path / "x.fio", None, ()).cells
    kind = cell.config.volume.files[0].layout.kind
    subprocess.run(["fio", "x.fio"], capture_output=True, check=True, cwd=tmp_path)
    found = (tmp_path / "f").stat()
    assert found.st_size == 65536
    assert (kind != "hole") == (found.st_blocks * 512 >= 65536)
    assert (kind == "contiguous") == ("rw=write" not in second)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (("rw=read", "unlink_each_loop=1"), "unlink_each_loop: what is read is not there in the second loop"),
        (("rw=randrw", "unlink_each_loop=1"), "unlink_each_loop: what is read is not there in the second"),
        (
            ("rw=write", "create_on_open=1", "allow_file_create=0"),
            "allow_file_create: with create_on_open or unlink_each_loop there is no file to open; allowed: 1",
        ),
        (("rw=write", "create_on_open=1", "overwrite=1"), "create_on_open: with overwrite=1 is a file that"),
    ],
)
def test_files_that_cannot_be_made_are_refused(lines: tuple[str, ...], said: str) -> None:
    """One line that names the option, where fio fails, too, or does something else."""
    (line,) = refused(*lines)
    assert said in line


def test_what_says_nothing_of_new_files_is_told() -> None:
    """A job that reads has its files; one that makes none need not be allowed to."""
    assert {name for name, _, _ in job_of("rw=read", "create_on_open=1", "unlink=1").unused} == {
        "create_on_open",
        "unlink",
    }
    assert {name for name, _, _ in job_of("rw=write", "allow_file_create=0").unused} == {"allow_file_create"}


# -- encryption --------------------------------------------------------------------------------------------


def run_on(tmp_path: Path, scheme: str, *sets: str) -> CellResult:
    """Run a job of random writes and syncs on a volume of a scheme."""
    (tmp_path / "x.fio").write_text("[a]\nrw=randwrite\nbs=4k\nsize=256k\nfsync=8\nfilename=f\noverwrite=1\n")
    said = ("volume.journal=8MiB", f"encryption.scheme={scheme}", "volume.contents=random", *sets)
    (cell,) = fio_experiment(tmp_path / "x.fio", None, said).cells
    return run_cell(cell, partial(ensure_image, root=tmp_path)(cell), False)


def test_schemes_write_the_same_bytes(tmp_path: Path) -> None:
    """Whatever encrypts, as much reaches the device, and its cache is emptied as often."""
    schemes = ("none", "fscrypt-v2", "file-keys", "inline", "rfc2014", "dm-crypt")
    found = {scheme: run_on(tmp_path, scheme) for scheme in schemes}
    counts = ("writes", "syncs", "bytes_written", "flushes")
    plain = [found["none"].metrics[name] for name in counts]
    calls = {}
    for scheme, result in found.items():
        assert [result.metrics[name] for name in counts] == plain
        calls[scheme] = {row.symbol for row in result.calls}
    assert "xts_encrypt" not in calls["none"]
    assert calls["fscrypt-v2"] == calls["file-keys"] >= {"fscrypt_encrypt_pagecache_blocks", "xts_encrypt"}
    assert calls["rfc2014"] >= {"ext4_encrypt", "xts_aesni_setkey", "xts_encrypt"}
    assert calls["inline"] - calls["none"] >= {"fscrypt_set_bio_crypt_ctx_bh", "fscrypt_mergeable_bio_bh"}
    assert "xts_encrypt" not in calls["inline"]
    assert calls["dm-crypt"] >= {"dmcrypt_write", "crypt_alloc_buffer", "xts_encrypt"}
    assert "fscrypt_encrypt_pagecache_blocks" not in calls["dm-crypt"]


@pytest.mark.parametrize(
    ("scheme", "sets", "message"),
    [
        (
            "inline",
            ("path=mpage", "mount.delalloc=false"),
            "path 'mpage' gives what it writes no contexts; allowed: page_io",
        ),
        ("rfc2014", ("path=iomap",), "path 'iomap' encrypts nothing that is written; allowed: page_io"),
        (
            "dm-crypt",
            ("encryption.cipher=aes-cbc-essiv:sha256",),
            "encryption.cipher 'aes-cbc-essiv:sha256' with jobs that write; allowed: aes-xts-plain64",
        ),
    ],
)
def test_schemes_that_jobs_do_not_write_through(
    tmp_path: Path, scheme: str, sets: tuple[str, ...], message: str
) -> None:
    """One line: the scheme, why, what else there is."""
    with pytest.raises(ConfigError) as caught:
        run_on(tmp_path, scheme, *sets)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
