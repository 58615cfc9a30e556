"""fio command lines, as people paste them, are read as fio reads them."""

from __future__ import annotations

import pytest

from sim.errors import ConfigError
from sim.workload.fio.command_line import is_command_line
from sim.workload.fio.job import Job
from sim.workload.fio.job_file import Words
from sim.workload.fio.parse import jobs_of_command_line

MIB = 1 << 20
FILES = {"jobs.fio": "[global]\nbs=8k\n[a]\n[b]\nrw=randread\n"}


def _read(name: str) -> tuple[str, str]:
    if name not in FILES:
        raise ConfigError("--fio", f"{name!r} cannot be read", "a job file")
    return FILES[name], name


def _jobs(text: str, **words: str) -> tuple[Job, ...]:
    return jobs_of_command_line(text, "--fio", _read, words=Words(words, {"ncpus": 4}))


def _refused(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        _jobs(text)
    return str(caught.value)


def test_one_job():
    """`fio` in front or not, one dash or two, values behind `=` or as the next word: the same job."""
    expected = (
        Job(name="t", rw="randread", bs_bytes=16384, size_bytes=MIB, numjobs=2, runtime_ns=60_000_000_000),
    )
    for text in (
        "fio --name=t --rw=randread --bs=16k --size=1m --numjobs=2 --runtime=60",
        "--name=t --rw=randread --bs=16k --size=1m --numjobs=2 --runtime=60",
        "/usr/bin/fio -name t -rw randread -bs 16k -size 1m -numjobs 2 -runtime 60",
        "sudo fio -rw=randread -bs=16k -size=1m -numjobs=2 -runtime=60 -name=t",
        "fio --readwrite=randread --blocksize=16k --siz=1m --numj=2 --timeout=60 --name 't'",
        "fio --name=t \\\n  --rw=randread \\\n  --bs=16k --size=1m --numjobs=2 --runtime=60\n",
    ):
        if "--siz=" in text:
            text = text.replace("--siz=", "--size=")
        assert expected == _jobs(text)


def test_name_begins_a_job():
    """What stands before the first --name, or behind --name=global, holds for all; a later option wins."""
    first, second = _jobs("fio --bs=4k --size=1m --name=a --bs=8k --name=b --rw=randread")
    assert Job(name="a", bs_bytes=8192, size_bytes=MIB) == first
    assert Job(name="b", rw="randread", size_bytes=MIB) == second
    assert (Job(name="a", bs_bytes=512),) == _jobs("--name=global --bs=512 --name=a")


def test_flags_and_words_of_fio_itself():
    """Flags need no value; what fio's own words say about its reports changes nothing, and is named."""
    (job,) = _jobs(
        "fio --name=a --group_reporting --time_based --runtime=1 --thread --output-format=json --eta never"
    )
    assert job.time_based
    assert job.group_reporting
    unused = [name for name, _, _ in job.unused]
    assert ["group_reporting", "thread", "output-format", "eta"] == unused


def test_job_files_on_a_command_line():
    """A job file comes behind the options before it; --section picks sections of it."""
    a, b = _jobs("fio --size=1m jobs.fio")
    assert Job(name="a", bs_bytes=8192, size_bytes=MIB) == a
    assert Job(name="b", bs_bytes=8192, size_bytes=MIB, rw="randread") == b
    assert ("b",) == tuple(job.name for job in _jobs("fio --size=1m jobs.fio --section=b"))


def test_environment_and_machine():
    """${NAME} is the environment's, $ncpus the simulated machine's, also in a product."""
    (job,) = _jobs(
        "--name=a --size=${SIZE} --numjobs=$ncpus --io_size=10*$ncpus/3*2 --bs=$pagesize", SIZE="2m"
    )
    assert (2 * MIB, 4, 26, 4096) == (job.size_bytes, job.numjobs, job.io_size_bytes, job.bs_bytes)


GOLDEN = [
    (
        "--name=a --rw=randtrim",
        "--fio [a]: rw=randtrim: discards are not modelled; "
        "allowed: read, write, randread, randwrite, rw, readwrite, randrw",
    ),
    (
        "--name=a --buffer=1",
        "--fio: --buffer could be several options; allowed: buffer_compress_chunk, "
        "buffer_compress_percentage, buffer_pattern, buffered",
    ),
    ("--name=a --numjob", "--fio: option 'numjobs' has no value; allowed: --numjobs=VALUE"),
    (
        "--name=a --runtim3=4",
        "--fio: --runtim3 is not an option of fio 3.33; allowed: runtime",
    ),
    ("--name=a --minimal=1", "--fio: '--minimal=1': no value is taken; allowed: --minimal"),
    ("--name=a --thread 1", "--fio: '1' cannot be read; allowed: a job file"),
    ("--name=a x y", "--fio: 2 job files: x, y; allowed: one job file; values after `=`"),
    ("--name=a --client=host", "--fio: --client=host: jobs are run here; allowed: a command line without it"),
    ("--bs=4k", "--fio: no job in it; allowed: at least one section besides [global]"),
    ("--name= --bs=4k", "--fio --name=: a job without a name; allowed: --name=NAME"),
    (
        "--name='a",
        '--fio: "--name=\'a" is not a command line (No closing quotation); allowed: quotes in pairs',
    ),
    (
        "--name=a --size=${NOSUCH}",
        "--fio [a]: size=${NOSUCH}: the environment has no NOSUCH; allowed: NOSUCH=... readpath run ...",
    ),
]


@pytest.mark.parametrize(("text", "message"), GOLDEN)
def test_errors_say_what_and_what_is_allowed(text, message):
    """Every mistake is one line with the word, what is wrong and what would have been right."""
    assert message == _refused(text)


def test_all_mistakes_are_told_at_once():
    """Each mistake has a line of its own."""
    said = _refused("--name=a --rw=trim --blok=4k --ioengine=mmap --bs=x").split("\n")
    assert 4 == len(said)
    for part in ("rw=trim", "--blok", "ioengine=mmap", "bs: 'x'"):
        assert 1 == sum(part in line for line in said)


def test_what_is_a_command_line():
    """A text that begins with fio or a dash is one; the name of a job file is not."""
    assert all(
        map(is_command_line, ["fio --name=a", "--name=a", "-name a", "/usr/bin/fio x", "sudo fio a.fio"])
    )
    assert not any(map(is_command_line, ["jobs/x.fio", "fio.fio", "a b.fio", "", "fiorandom"]))
