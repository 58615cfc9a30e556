"""Whatever a job file or command line says, there are jobs, or errors of a line each; fio agrees."""

from __future__ import annotations

import random

from fio_log import fio_takes, needs_fio
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import ConfigError
from sim.workload.fio.file_service import stretches
from sim.workload.fio.generator import job_stream
from sim.workload.fio.parse import jobs_from_tables, jobs_of_command_line, parse_jobs
from sim.workload.fio.table import options

NAMES = sorted(options())
VALUES = [
    "",
    "0",
    "1",
    "2",
    "4k",
    "1m",
    "50%",
    "101%",
    "-1",
    "1.5",
    "x",
    "none",
    "read",
    "randread",
    "write",
    "zipf:1.2",
]
VALUES += [
    "1-4",
    "4k-1k",
    "4k/60:64k/40",
    "a:b",
    "/dev/sda",
    "psync",
    "libaio",
    "10s",
    "2ms",
    "1,2,3",
    "1,2,3,4",
    " 4k",
]
VALUES += [
    "roundrobin:4",
    "sequential",
    "0x10",
    "99999999999999999999",
    "50:99.9",
    "drop_caches",
    "all",
    "group",
]

lines = st.one_of(
    st.builds("{}={}".format, st.sampled_from(NAMES), st.sampled_from(VALUES)),
    st.sampled_from(NAMES),
    st.sampled_from(
        ["[a]", "[b]", "[global]", "[c", "; remark", "# remark", "", "include nosuch", "bs = 4k"]
    ),
    st.text(alphabet="[]=#;${}: \tabs4kglo", max_size=20),
)


def _outcome(read) -> str:
    """The jobs that were read, or the errors."""
    try:
        jobs = read()
        assert jobs
        return "\n".join(map(str, jobs))
    except ConfigError as error:
        said = str(error)
        assert said
        assert all(line.strip() for line in said.split("\n"))
        return said


@given(st.lists(lines, max_size=12))
@settings(max_examples=300)
def test_any_lines_give_jobs_or_errors(found):
    """A job file of options, sections and rubbish gives jobs or one error a line, and never anything else."""
    text = "\n".join(["[a]", *found])
    assert _outcome(lambda: parse_jobs(text, "x.fio"))


@given(st.text(max_size=80))
def test_any_text_gives_jobs_or_errors(text):
    """So does any text, as a job file and as a command line."""
    assert _outcome(lambda: parse_jobs(text, "x.fio"))

    def read(name: str) -> tuple[str, str]:
        raise ConfigError(name, "is not there")

    assert _outcome(lambda: jobs_of_command_line(text, "--fio", read))


@given(
    st.lists(st.sampled_from([f"--{name}" for name in NAMES] + VALUES + ["--name=a", "-thread"]), max_size=8)
)
def test_any_words_give_jobs_or_errors(words):
    """So do options and values in any order on a command line."""

    def read(name: str) -> tuple[str, str]:
        raise ConfigError(name, "is not there")

    assert _outcome(lambda: jobs_of_command_line(" ".join(f"'{word}'" for word in words), "--fio", read))


@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        st.one_of(st.sampled_from(VALUES), st.booleans(), st.integers(-5, 1 << 40), st.none(), st.floats()),
        max_size=6,
    )
)
def test_any_table_gives_jobs_or_errors(table):
    """So does a table of an experiment file, whatever its values."""
    assert _outcome(lambda: jobs_from_tables([table], "e.toml: workload.job"))


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_a_job_that_can_be_read_can_be_played(names, rng):
    """Every job that is taken has reads within its files, or is refused when the file's size is known."""
    text = "[a]\nsize=64k\n" + "".join(f"{name}={rng.choice(VALUES)}\n" for name in names)
    try:
        (job,) = parse_jobs(text, "x.fio")
        parts = stretches(job, [1 << 20], 0, 0)
    except ConfigError:
        return
    left = 50
    for _, number, reads in parts:
        for offset, length in reads:
            assert number == 0
            assert 0 <= offset < 1 << 20
            assert 0 < length <= (1 << 20) - offset
            left -= 1
            if not left:
                return
    assert job_stream(job, 0, 0) is not None


@needs_fio
def test_what_fio_refuses_we_refuse(tmp_path):
    """80 job files of options with values of all kinds: what fio cannot parse is not taken here either."""
    rng = random.Random(5)
    refused = 0
    for _ in range(80):
        found = [f"{rng.choice(NAMES)}={rng.choice(VALUES)}" for _ in range(rng.randint(1, 2))]
        text = "\n".join(["[a]", *found, ""])
        if fio_takes(tmp_path, text):
            continue
        refused += 1
        try:
            parse_jobs(text, "x.fio")
        except ConfigError:
            continue
        raise AssertionError(f"fio refuses {found}")
    assert refused > 20


def test_all_mistakes_are_told_in_the_order_of_the_file():
    """Every mistake has its line, in the order of the file, one of [global] once."""
    text = "[global]\nrw=trim\n[a]\nblok=4k\ndirect=1\n[b]\niodepth=x\n[c]\nrw=read\n"
    try:
        parse_jobs(text, "x.fio")
        raise AssertionError
    except ConfigError as error:
        places = [line.split(" ")[0] for line in str(error).split("\n")]
    assert ["x.fio:2", "x.fio:4", "x.fio:5", "x.fio:7"] == places
