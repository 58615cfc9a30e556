"""readpath run with fio jobs: command lines, job files, an experiment's jobs replaced; notes, mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from sim.cli.main import app

EXPERIMENT = """\
title = "t"
path = "page_io"
[device]
profile = "nvme"
[volume]
files = [{ name = "data", size = "1MiB" }]
[workload]
job = { rw = "read", bs = "64k" }
"""
COMMAND = "fio --name=r --rw=randread --bs=4k --size=128k --numjobs=2 --group_reporting --thread --eta=never"


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def _run(*words: str) -> Result:
    return CliRunner().invoke(app, ["run", *words, "-j", "1"])


def _mistake(*words: str) -> list[str]:
    done = _run(*words, "-o", "out")
    assert 2 == done.exit_code, done.output
    assert not Path("out").exists()
    return done.stderr.splitlines()


def test_a_command_line_alone():
    """It runs on a plain system, on the files that fio would lay out; a row a clone, one for the group."""
    done = _run("--fio", COMMAND, "-o", "out")
    assert 0 == done.exit_code, done.output
    rows = pq.read_table("out/jobs.parquet").to_pylist()
    assert [("job", 0, 32), ("job", 1, 32), ("group", 2, 64)] == [
        (row["scope"], row["clone"], row["reads"]) for row in rows
    ]
    assert all(row["latency_p50_ns"] <= row["latency_p99_99_ns"] for row in rows)
    config = json.loads(Path("out/manifest.json").read_text())["cells"][0]["config"]
    assert ["r.0.0", "r.1.0"] == [file["name"] for file in config["volume"]["files"]]
    assert "r, all 2" in done.stdout


def test_one_note_names_what_changes_nothing():
    """The note is on standard error and in run.log.json; --quiet leaves the terminal alone."""
    done = _run("--fio", COMMAND, "-o", "out")
    (note,) = json.loads(Path("out/run.log.json").read_text())["notes"]
    assert f"readpath: note: {note}" in done.stderr.splitlines()
    for option in ("group_reporting", "thread", "eta"):
        assert option in note
    assert "" == _run("--fio", COMMAND, "-o", "out", "-q").stderr
    document = json.loads(_run("--fio", COMMAND, "-o", "out", "-q", "--json").stdout)
    assert [note] == document["notes"]
    assert 3 == len(document["jobs"])


def test_jobs_without_news_have_no_note():
    """Where every option counts nothing is told."""
    done = _run("--fio", "--name=a --rw=read --size=64k", "-o", "out")
    assert "note" not in done.stderr
    assert "notes" not in json.loads(Path("out/run.log.json").read_text())


def test_a_job_file_is_run_as_it_is():
    """FILE may be a job file; --set says another system, and options of all its jobs."""
    Path("x.fio").write_text("[global]\nbs=4k\nsize=64k\n[a]\n[b]\nrw=randread\n")
    done = _run("x.fio", "-o", "out", "--set", "workload.job.bs=8k", "--set", "path=mpage")
    assert 0 == done.exit_code, done.output
    manifest = json.loads(Path("out/manifest.json").read_text())
    assert "x" == manifest["experiment"]
    assert "mpage" == manifest["cells"][0]["config"]["path"]
    rows = pq.read_table("out/jobs.parquet").to_pylist()
    assert [("a", 8), ("b", 8)] == [(row["job"], row["reads"]) for row in rows]


def test_layouts_of_files_that_are_laid_out():
    """volume.files says what the files have besides their names and sizes."""
    job = "--name=a --rw=read --size=256k"
    done = _run("--fio", job, "-o", "out", "--set", "volume.files.layout={kind='fragmented', extent='8KiB'}")
    assert 0 == done.exit_code, done.output
    (file,) = json.loads(Path("out/manifest.json").read_text())["cells"][0]["config"]["volume"]["files"]
    assert ("a.0.0", 8192) == (file["name"], file["layout"]["extent_bytes"])


def test_a_command_line_in_place_of_an_experiments_job():
    """--fio replaces the jobs of an experiment; a foreign path is its only file, which the note says."""
    Path("e.toml").write_text(EXPERIMENT)
    job = "--name=x --filename=/mnt/a/b --rw=read --bs=32k --size=96k"
    done = _run("e.toml", "--fio", job, "-o", "out")
    assert 0 == done.exit_code, done.output
    rows = pq.read_table("out/jobs.parquet").to_pylist()
    assert [("x", 3)] == [(row["job"], row["reads"]) for row in rows]
    notes = json.loads(Path("out/run.log.json").read_text())["notes"]
    assert ["files of the volume that stand for those of the job: data for /mnt/a/b"] == notes


def test_a_command_line_in_an_experiment_file():
    """A job may be written as a fio command line."""
    Path("e.toml").write_text(EXPERIMENT.replace('{ rw = "read", bs = "64k" }', '"fio --name=q --bs=256k"'))
    assert 0 == _run("e.toml", "-o", "out").exit_code
    rows = pq.read_table("out/jobs.parquet").to_pylist()
    assert [("q", 4)] == [(row["job"], row["reads"]) for row in rows]


def test_traced_reads_say_job_file_place_and_time():
    """--trace keeps job, file, offset, length and start of every read."""
    done = _run("--fio", "--name=a --rw=read:4k --bs=4k --size=32k --filename=f", "-o", "out", "--trace")
    assert 0 == done.exit_code, done.output
    rows = pq.read_table("out/reads.parquet").to_pylist()
    assert [("a", "/f", at, 4096) for at in (0, 8192, 16384, 24576)] == [
        (row["job"], row["file"], row["offset"], row["length"]) for row in rows
    ][:4]
    starts = [row["start"] for row in rows]
    assert 0 == starts[0]
    assert starts == sorted(starts)


def test_all_mistakes_of_a_job_are_told_a_line_each():
    """Exit code 2, a line for each mistake, no half-written result."""
    Path("x.fio").write_text("[global]\ndirect=1\n[a]\nrw=randtrim\nblok=4k\n")
    assert [
        "readpath: x.fio:2 [global]: direct=1: O_DIRECT goes round the page cache; iomap_dio_rw() is not "
        "modelled; allowed: 0",
        "readpath: x.fio:4 [a]: rw=randtrim: discards are not modelled; "
        "allowed: read, write, randread, randwrite, rw, readwrite, randrw",
        "readpath: x.fio:5 [a]: option 'blok' is not one of fio 3.33; allowed: blocksize",
    ] == _mistake("x.fio")


MISTAKES = [
    ((), "readpath run: nothing to run; allowed: an experiment file, a .fio job file, or --fio"),
    (("--fio", " "), '--fio: an empty command line; allowed: --fio "--name=a --rw=read --size=1m"'),
    (
        ("x.fio", "--fio", COMMAND),
        "--fio: with the job file x.fio; allowed: one of the two, or --fio with an experiment",
    ),
    (
        ("y.fio",),
        "y.fio: workload.job: 'y.fio' cannot be read (no such file or directory); allowed: a file in .",
    ),
    (
        ("--fio", "--name=a"),
        "job 'a': does not say how large a.0.0 is, nor does another job; "
        "allowed: size=BYTES, or volume.files",
    ),
    (
        ("--fio", "--name=a --size=1m --cpus_allowed=9"),
        "fio: job 'a': core 9 of a machine with 4; allowed: 0 to 3, or machine.cpus = 10",
    ),
]


@pytest.mark.parametrize(("words", "message"), MISTAKES)
def test_mistakes_of_the_command_itself(words, message):
    """What is asked and cannot be done is one line, with what would do."""
    Path("x.fio").write_text("[a]\nsize=1m\n")
    assert [f"readpath: {message}"] == _mistake(*words)


def test_large_files_take_no_room():
    """Files that are laid out for a command line are not filled: 4 GiB are made at once, in few blocks."""
    done = _run(
        "--fio", "--name=a --rw=randread --size=4g --number_ios=20", "-o", "out", "--images", "images"
    )
    assert 0 == done.exit_code, done.output
    (image,) = Path("images").glob("*/volume.img")
    assert image.stat().st_size > 4 << 30
    assert image.stat().st_blocks * 512 < 4 << 20
