"""fio job files are read as fio reads them, and what is not modelled is an error with its line."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import ConfigError
from sim.workload.fio_job import Job, jobs_from_tables, option_names, parse_jobs

needs_fio = pytest.mark.skipif(shutil.which("fio") is None, reason="fio is not installed")

SECTIONS = """\
; two jobs of one name, and a second [global] that holds for what is below it
[global]
bs=4k
ioengine=psync
filename=data
size=64k
[a]
rw=read # sequential
[a]
readwrite=randread
size=32k ; later wins
[global]
bs=8k
[c]
norandommap
"""


def test_sections_and_globals():
    """Sections of one name are two jobs; globals accumulate; the later option wins."""
    a, b, c = parse_jobs(SECTIONS, "x.fio")
    assert Job(name="a", filename="data", size_bytes=65536) == a
    assert Job(name="a", filename="data", size_bytes=32768, rw="randread") == b
    assert Job(name="c", filename="data", size_bytes=65536, bs_bytes=8192, norandommap=True) == c


@needs_fio
def test_fio_sees_the_same_sections(tmp_path):
    """fio's own equivalent command line names the same jobs, in the same order, with the same options."""
    file = tmp_path / "x.fio"
    file.write_text(SECTIONS)
    said = subprocess.run(["fio", "--showcmd", str(file)], capture_output=True, text=True, check=True).stdout
    chunks = said.split("--name=")[1:]
    seen = [(words.split()[0], (re.findall(r"--rw=(\S+)", words) or ["read"])[-1]) for words in chunks]
    jobs = parse_jobs(SECTIONS, "x.fio")
    assert [(job.name, job.rw) for job in jobs] == seen
    assert ["--norandommap" in words for words in chunks] == [job.norandommap for job in jobs]


@needs_fio
def test_sizes_are_fios(tmp_path):
    """A block size means as many bytes as the real fio takes it for, "4KiB" = 4000 included."""
    (tmp_path / "data").write_bytes(bytes(1 << 20))
    words = ["4k", "4K", "4kb", "4ki", "4KiB", "4096", "4096b", "0x1000", "512", "1KiB", "1k"]
    text = "[global]\nfilename=data\nioengine=psync\nsize=1048576\n"
    text += "".join(f"[job{number}]\nbs={word}\n" for number, word in enumerate(words))
    (tmp_path / "x.fio").write_text(text)
    run = ["fio", "--create_only=1", "x.fio"]
    shown = subprocess.run(run, capture_output=True, text=True, check=True, cwd=tmp_path).stdout
    fio_bytes = [int(size) for size in re.findall(r"bs=\(R\) ([0-9]+)B", shown)]
    assert fio_bytes == [job.bs_bytes for job in parse_jobs(text, "x.fio")]


GOLDEN = [
    ("[a]\nrw=write\n", "x.fio:2 [a]: rw: 'write' is not modelled; allowed: read, randread"),
    ("[a]\nrw=read:4\n", "x.fio:2 [a]: rw: 'read:4' is not modelled; allowed: read, randread"),
    ("[a]\n\nblok=4k\n", "x.fio:3 [a]: option 'blok' is not modelled; allowed: blocksize"),
    ("[a]\nbs = 8k\n", "x.fio:2: blanks around '=' in 'bs = 8k', which fio misreads; allowed: option=value"),
    (
        "[a]\nbs=1.5k\n",
        "x.fio:2 [a]: bs: '1.5k' is not understood; allowed: bytes, or a whole number with k, m, g, t",
    ),
    ("[a]\nbs=0\n", "x.fio:2 [a]: bs: '0' is out of range; allowed: >= 1"),
    ("bs=4k\n", "x.fio:1: 'bs=4k' is outside of a section; allowed: a [section] line above it"),
    ("[a\nbs=4k\n", "x.fio:1: '[a' is not a section; allowed: [global], [name of a job]"),
    ("[global]\niodepth=4\n[a]\n", "x.fio:2 [global]: iodepth: '4' is not modelled; allowed: 1"),
    ("[a]\nioengine=libaio\n", "x.fio:2 [a]: ioengine: 'libaio' is not modelled; allowed: psync"),
    ("[a]\ndirect=1\n", "x.fio:2 [a]: direct: '1' is not modelled; allowed: 0"),
    ("[a]\nsize\n", "x.fio:2 [a]: option 'size' has no value; allowed: size=VALUE"),
    (
        "[a]\nfilename=$jobname\n",
        "x.fio:2 [a]: filename=$jobname: '$' is not modelled; allowed: the value itself",
    ),
    ("[global]\nbs=4k\n", "x.fio: no job in it; allowed: at least one section besides [global]"),
    (
        "[a]\nrandom_distribution=zipf\n",
        "x.fio:2 [a]: random_distribution: 'zipf' is not modelled; allowed: random",
    ),
]


@pytest.mark.parametrize(("text", "message"), GOLDEN)
def test_errors_name_file_line_option_and_what_is_allowed(text, message):
    """Every mistake is one line that says where, what, and what would have been right."""
    with pytest.raises(ConfigError) as caught:
        parse_jobs(text, "x.fio")
    assert message == str(caught.value)


def test_inline_tables_take_toml_values():
    """Numbers, booleans and strings of an inline job are the same options; a size in KiB is refused."""
    table = {"name": "r", "rw": "randread", "bs": 4096, "size": "1m", "norandommap": True, "thinktime": "2ms"}
    expected = Job(
        name="r", rw="randread", bs_bytes=4096, size_bytes=1 << 20, norandommap=True, thinktime_ns=2_000_000
    )
    assert (expected,) == jobs_from_tables([table], "e.toml: workload.job")
    with pytest.raises(ConfigError) as caught:
        jobs_from_tables([{"bs": "128KiB"}], "e.toml: workload.job")
    said = "e.toml: workload.job.bs: '128KiB' is a power of 1000 in fio, of 1024 elsewhere; allowed: '128k'"
    assert said == str(caught.value)


def test_advice_is_fios():
    """fadvise_hint=1, the default, advises the job's own pattern; 0 advises nothing."""
    assert Job(name="a").advice == "sequential"
    assert Job(name="a", rw="randread").advice == "random"
    assert Job(name="a", fadvise_hint="0").advice == "normal"
    assert Job(name="a", fadvise_hint="random").advice == "random"


@given(st.text(alphabet="[]=#; \tabs4kglo\n", max_size=60))
def test_any_text_gives_jobs_or_one_error(text):
    """Whatever is in the file, there are jobs or a ConfigError of one line."""
    try:
        outcome = str(parse_jobs(text, "x.fio"))
    except ConfigError as error:
        outcome = str(error)
    assert outcome != "()"
    assert "\n" not in outcome


def test_shipped_jobs_parse():
    """Every job file in experiments/ is one we can read."""
    files = sorted((Path(__file__).parents[2] / "experiments" / "jobs").glob("*.fio"))
    assert files
    for file in files:
        assert parse_jobs(file.read_text(), file.name)
    assert "bs" in option_names()
