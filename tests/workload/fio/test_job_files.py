"""fio job files are read as fio reads them, and what is not modelled is an error with its line."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sim.errors import ConfigError
from sim.workload.fio.job import Job
from sim.workload.fio.parse import jobs_from_tables, parse_jobs
from sim.workload.fio.table import options

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
    (
        "[a]\nrw=trim\n",
        "x.fio:2 [a]: rw=trim: discards are not modelled; "
        "allowed: read, write, randread, randwrite, rw, readwrite, randrw",
    ),
    (
        "[a]\nrw=randtrim\n",
        "x.fio:2 [a]: rw=randtrim: discards are not modelled; "
        "allowed: read, write, randread, randwrite, rw, readwrite, randrw",
    ),
    (
        "[a]\nrw=reads\n",
        "x.fio:2 [a]: rw: 'reads' is not understood; allowed: read, write, trim, randread, randwrite, "
        "randtrim, rw, readwrite, randrw, trimwrite, randtrimwrite",
    ),
    ("[a]\n\nblok=4k\n", "x.fio:3 [a]: option 'blok' is not one of fio 3.33; allowed: blocksize"),
    (
        "[a]\niodpth=4\n",
        "x.fio:2 [a]: option 'iodpth' is not one of fio 3.33; allowed: iodepth, iodepth_low, iodepth_batch",
    ),
    (
        "[a]\nbs = 8k\n",
        "x.fio:2 [a]: bs: ' 8k' is not understood; allowed: a whole number, also with k, m, g, t",
    ),
    (
        "[a]\nbs=1.5k\n",
        "x.fio:2 [a]: bs: '1.5k' is not understood; allowed: a whole number, also with k, m, g, t",
    ),
    ("[a]\nbs=0\n", "x.fio:2 [a]: bs: '0' is out of range; allowed: >= 1"),
    ("bs=4k\n", "x.fio:1: 'bs=4k' is outside of a section; allowed: a [section] line above it"),
    ("[a\n", "x.fio:1: '[a' is not a section; allowed: [global], [name of a job]"),
    (
        "[a]\nrandom_distribution=uniform\n",
        "x.fio:2 [a]: random_distribution: 'uniform' is not understood; "
        "allowed: random, zipf, pareto, normal, zoned, zoned_abs",
    ),
    (
        "[a]\nioengine=mmap\n",
        "x.fio:2 [a]: ioengine=mmap: page faults are not modelled; "
        "allowed: psync, sync, pvsync, pvsync2, vsync, libaio",
    ),
    (
        "[a]\ndirect=1\n",
        "x.fio:2 [a]: direct=1: O_DIRECT goes round the page cache; iomap_dio_rw() is not modelled; "
        "allowed: 0",
    ),
    (
        "[a]\nbuffered=0\n",
        "x.fio:2 [a]: buffered=0: O_DIRECT goes round the page cache; iomap_dio_rw() is not "
        "modelled; allowed: 1",
    ),
    (
        "[a]\nverify=md5\n",
        "x.fio:2 [a]: verify=md5: checksums that fio wrote are not there to be verified; "
        "readpath compares what it reads itself; allowed: 0",
    ),
    (
        "[a]\nlockmem=1g\n",
        "x.fio:2 [a]: lockmem=1g: memory taken from the page cache is machine.memory here; "
        "allowed: 0, and a smaller machine.memory",
    ),
    (
        "[a]\nread_iolog=log\n",
        "x.fio:2 [a]: read_iolog=log: reads of a log are not replayed; allowed: a job without it",
    ),
    ("[a]\nsize\n", "x.fio:2 [a]: option 'size' has no value; allowed: size=VALUE"),
    (
        "[a]\nthread=yes\n",
        "x.fio:2 [a]: thread: 'yes' is not understood; allowed: a whole number, also with k, m, g, t",
    ),
    ("[a]\ninvalidate=yes\n", "x.fio:2 [a]: invalidate: 'yes' is not understood; allowed: 0, 1"),
    (
        "[a]\nfilename=$jobname\n",
        "x.fio:2 [a]: filename=$jobname: '$' is not replaced here; allowed: ${NAME} of the environment, "
        "$pagesize, $ncpus, $mb_memory",
    ),
    ("[global]\nbs=4k\n", "x.fio: no job in it; allowed: at least one section besides [global]"),
    (
        "[a]\nrandom_distribution=zipf:1\n",
        "x.fio:2 [a]: random_distribution: 'zipf:1' is out of range; allowed: theta not 1",
    ),
    (
        "[a]\nrandom_distribution=zoned:60/10:30/20\n",
        "x.fio:2 [a]: random_distribution: 'zoned:60/10:30/20': shares of reads that are not 100 percent "
        "together; allowed: zoned:60/10:30/20:10/70",
    ),
    (
        "[a]\nbssplit=4k/100:64k\n",
        "x.fio:2 [a]: bssplit: '4k/100:64k' leaves no percent for a size; "
        "allowed: sizes with percentages that add up to 100, as in 4k/60:64k/40",
    ),
    (
        "[a]\nbsrange=4k\n",
        "x.fio:2 [a]: bsrange: '4k' is not a range; allowed: smallest-largest, as in 1k-4k",
    ),
    (
        "[global]\nbsrange=1k-4k\n[a]\nbssplit=4k/\n",
        "x.fio:4 [a]: bssplit: bssplit with bsrange is not modelled; allowed: one of the two",
    ),
    (
        "[a]\nrate=1m\nrate_iops=5\n",
        "x.fio:3 [a]: rate_iops: rate with rate_iops, which fio refuses too; allowed: one of the two",
    ),
    (
        "[a]\nioengine=vsync\niodepth=4\n",
        "x.fio:3 [a]: iodepth: vsync joins neighbouring reads into one readv(2): "
        "not modelled; allowed: 1, or psync",
    ),
    ("[a]\nsize=101%\n", "x.fio:2 [a]: size: '101' is out of range; allowed: a whole number from 1 to 100"),
    (
        "[a]\nruntime=2.5\n",
        "x.fio:2 [a]: runtime: '2.5' is not understood; "
        "allowed: s, or a whole number with us, ms, s, m, h, d",
    ),
    ("[a]\nwait_for=b\n", "x.fio:1: job 'a': wait_for=b: 0 jobs of that name above it; allowed: a job above"),
    (
        "[a]\n[b]\nstonewall\n[c]\npre_read=1\n",
        "x.fio:4: job 'c': pre_read of a job that starts after others is not "
        "modelled; allowed: a job that starts at once",
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


VALUES = """\
[global]
filename=data
ioengine=psync
size=8k
[a]
bssplit=4k/60:64k/40
bs=8k
[b]
bssplit=1k/50:2k:4k/
[c]
bsrange=1k-4k
[d]
size=50%
offset=10%
io_size=25%
[e]
rw=randread
random_distribution=zipf:0.9
percentage_random=70
[f]
time_based
runtime=2
startdelay=3
[g]
runtime=30ms
thinktime=2ms
thinktime_blocks=4
rate=100k
[h]
wait_for_previous
"""


def test_values_of_options():
    """Splits, ranges, percentages, distributions, times and rates become the fields they are in fio."""
    common = {"filename": "data"}
    sized = {**common, "size_bytes": 8192}
    expected = (
        Job(name="a", **sized, bs_bytes=8192, bs_split=((4096, 60), (65536, 40))),
        Job(name="b", **sized, bs_split=((1024, 50), (2048, 25), (4096, 25))),
        Job(name="c", **sized, bs_range_bytes=(1024, 4096)),
        Job(name="d", **common, size_percent=50, offset_percent=10, io_size_percent=25),
        Job(
            name="e",
            **sized,
            rw="randread",
            random_distribution="zipf",
            zipf_theta=0.9,
            percentage_random=70,
        ),
        Job(name="f", **sized, time_based=True, runtime_ns=2_000_000_000, startdelay_ns=3_000_000_000),
        Job(
            name="g",
            **sized,
            runtime_ns=30_000_000,
            thinktime_ns=2_000_000,
            thinktime_blocks=4,
            rate_bytes_s=102400,
        ),
        Job(name="h", **sized, stonewall=True),
    )
    assert expected == parse_jobs(VALUES, "x.fio")
    assert (4096, 65536) == expected[0].bs_limits_bytes


def _shown_jobs(text: str, file: Path) -> tuple[Job, ...]:
    """The jobs of fio's own equivalent command line, on which every option of a job stands."""
    file.write_text(text)
    said = subprocess.run(["fio", "--showcmd", str(file)], capture_output=True, text=True, check=True).stdout
    first, *chunks = said.split("--name=")
    tables = []
    for chunk in chunks:
        name, *words = chunk.split()
        given = [word.removeprefix("--").partition("=") for word in [*first.split()[1:], *words]]
        tables.append({"name": name} | {option: value if equals else True for option, equals, value in given})
    return jobs_from_tables(tables, "shown")


@needs_fio
def test_fio_takes_the_same_options(tmp_path):
    """Each job is the one that fio's equivalent command line asks for, inherited options included."""
    assert _shown_jobs(VALUES, tmp_path / "x.fio") == parse_jobs(VALUES, "x.fio")
    _write_includes(tmp_path)
    assert _shown_jobs(INCLUDING, tmp_path / "x.fio") == parse_jobs(INCLUDING, str(tmp_path / "x.fio"))


CHOICES = {
    "rw": ("read", "randread", "read:8k", "read:-4k", "randread:8"),
    "rwmixread": ("0", "70", "100"),
    "rwmixwrite": ("0", "30", "100"),
    "fsync": ("0", "1", "32"),
    "fdatasync": ("0", "4"),
    "end_fsync": ("0", "1"),
    "fsync_on_close": ("0", "1"),
    "sync": ("none", "sync", "dsync", "0", "1"),
    "overwrite": ("0", "1"),
    "unlink": ("0", "1"),
    "fallocate": ("none", "native", "posix", "keep", "truncate", "0", "1"),
    "bs": ("4k", "1024", "64k", "0x2000", "2ki", "8k,4k", ",4k"),
    "ba": ("4k", "512"),
    "bsrange": ("1k-4k", "4k-64k", "4k-1k", "2k:8k", "1k-2k,4k-8k"),
    "bssplit": ("4k/60:64k/40", "1k/50:2k:4k/", "4k/60:64k/30", "4k/100,8k/100"),
    "bs_unaligned": (None, "0", "1"),
    "size": ("8k", "1m", "50%", "2g"),
    "offset": ("0", "4k", "25%"),
    "offset_increment": ("4k", "5%"),
    "offset_align": ("0", "4k"),
    "io_size": ("16k", "10%"),
    "filesize": ("16k", "8k-64k"),
    "number_ios": ("0", "10"),
    "numjobs": ("1", "3", "3,4"),
    "ioengine": ("psync", "sync", "libaio", "pvsync2"),
    "direct": ("0",),
    "buffered": ("1",),
    "filename_format": ("$jobname.$filenum", "f.$jobnum"),
    "nrfiles": ("1", "4"),
    "openfiles": ("0", "2"),
    "file_service_type": ("roundrobin", "roundrobin:4", "sequential"),
    "random_generator": ("tausworthe", "lfsr", "tausworthe64"),
    "random_distribution": (
        *("random", "zipf", "zipf:0.8", "zipf:1.3:0.25", "pareto", "pareto:0.3", "normal", "normal:20"),
        *("zoned:60/10:30/20:8/30:2/40", "zoned:60/10:40", "zoned_abs:60/8k:40/8k"),
    ),
    "randseed": ("7", "1234567", "0x89"),
    "randrepeat": ("0", "1"),
    "allrandrepeat": ("0", "1"),
    "norandommap": (None, "0", "1"),
    "percentage_random": ("0", "30", "100", "40,50,60"),
    "rw_sequencer": ("sequential", "identical"),
    "continue_on_error": ("none", "read", "io", "all", "0", "1"),
    "fadvise_hint": ("0", "1", "random", "sequential"),
    "thinktime": ("10", "2ms", "1s"),
    "thinktime_blocks": ("1", "8"),
    "rate": ("100k", "1m", "1m,500k", "0", ",500k"),
    "rate_process": ("linear", "poisson"),
    "rate_ignore_thinktime": ("0", "1"),
    "loops": ("1", "5", "0"),
    "time_based": (None, "1", "0"),
    "runtime": ("2", "30ms", "1m", "1H", "0"),
    "ramp_time": ("0",),
    "startdelay": ("1", "5ms", "5-10"),
    "stonewall": (None, "0"),
    "new_group": (None,),
    "group_reporting": (None, "1", "0"),
    "exitall": (None, "1"),
    "exit_what": ("group", "stonewall", "all"),
    "invalidate": ("0", "1"),
    "cpumask": ("3", "0xc"),
    "cpus_allowed": ("0", "0-1", "1,0"),
}
"""Modelled options with values: what a job may say."""
ELSEWHERE = {
    *("name", "kb_base", "filename", "directory", "wait_for", "pre_read", "ioscheduler", "rate_iops"),
    *("create_on_open", "allow_file_create", "unlink_each_loop"),
}
"""Those that need something of the jobs beside them, or of their other options."""


@needs_fio
def test_fio_takes_any_options_together_as_we_do(tmp_path):
    """100 jobs of up to 9 options each, some from [global]: each is what fio's command line says."""
    modelled = {name for name, option in options().items() if option.here == "modelled"}
    assert modelled - ELSEWHERE == set(CHOICES)
    rng = random.Random(3)

    def drawn(most: int) -> list[str]:
        names = rng.sample(sorted(CHOICES), rng.randint(0, most))
        if "bssplit" in names or "random_generator" in names:
            names = [name for name in names if name != "bsrange"]
        if "random_generator" in names:
            names = [name for name in names if name != "bssplit"]
        picked = [(name, rng.choice(CHOICES[name])) for name in names]
        return [name if value is None else f"{name}={value}" for name, value in picked]

    for part in range(10):
        head = [line for line in drawn(4) if not line.startswith(("bss", "bsr", "random_gen"))]
        lines = ["[global]", "filename=data", "size=64k", *head]
        for number in range(10):
            lines += [f"[j{part}.{number}]", *drawn(9)]
        text = "\n".join(lines) + "\n"
        assert _shown_jobs(text, tmp_path / "x.fio") == parse_jobs(text, "x.fio")


@needs_fio
@pytest.mark.parametrize(
    "line",
    [
        "random_distribution=uniform",
        "bsrange=4k",
        "random_distribution=zipf:1",
        "io_size=101%",
        "percentage_random=101",
        "rw=sideways",
        "thinktime_blocks=x",
    ],
)
def test_what_fio_refuses_we_refuse(tmp_path, line):
    """A value that fio does not take is not taken here either."""
    text = f"[a]\nioengine=psync\nfilename=data\nsize=8k\n{line}\n"
    (tmp_path / "x.fio").write_text(text)
    run = subprocess.run(["fio", "--parse-only", "x.fio"], capture_output=True, cwd=tmp_path, check=False)
    assert run.returncode != 0
    with pytest.raises(ConfigError):
        parse_jobs(text, "x.fio")


INCLUDING = """\
[global]
filename=data
include common.inc
[a]
rw=read
[b]
bs=1k
include deep/own.inc
"""


def _write_includes(folder: Path) -> None:
    (folder / "deep").mkdir()
    (folder / "x.fio").write_text(INCLUDING)
    (folder / "common.inc").write_text("bs=8k # for all\nsize=64k\n")
    (folder / "deep" / "own.inc").write_text("include more.inc\nrw=randread\n")
    (folder / "deep" / "more.inc").write_text("bs=2k\n")


def test_include_puts_a_file_in_its_place(tmp_path):
    """An included file's options count where the line stands, its own includes beside it."""
    _write_includes(tmp_path)
    sized = {"filename": "data", "size_bytes": 65536}
    expected = (
        Job(name="a", **sized, bs_bytes=8192),
        Job(name="b", **sized, bs_bytes=2048, rw="randread"),
    )
    assert expected == parse_jobs(INCLUDING, str(tmp_path / "x.fio"))


def test_include_errors_name_the_included_line(tmp_path):
    """A file that is not there, a section or a mistake in it, and a circle are errors with their place."""
    top = str(tmp_path / "x.fio")
    (tmp_path / "section.inc").write_text("bs=4k\n[b]\n")
    (tmp_path / "mistake.inc").write_text("\nblok=4k\n")
    (tmp_path / "circle.inc").write_text("include circle.inc\n")
    cases = {
        "none.inc": f"{top}:2: include: 'none.inc' cannot be read (no such file or directory); "
        f"allowed: a file in {tmp_path}",
        "section.inc": f"{tmp_path}/section.inc:2: '[b]': a section in an included file; "
        f"allowed: options only",
        "mistake.inc": f"{tmp_path}/mistake.inc:2 [a]: option 'blok' is not one of fio 3.33; "
        f"allowed: blocksize",
        "circle.inc": f"{tmp_path}/circle.inc:1: include circle.inc: 17 levels deep; "
        f"allowed: at most 16 levels, 1000 files, 1 MiB",
    }
    for name, message in cases.items():
        with pytest.raises(ConfigError) as caught:
            parse_jobs(f"[a]\ninclude {name}\n", top)
        assert message == str(caught.value)


WITHOUT_EFFECT = [
    ("rw=read\nnorandommap\nrandrepeat=0\nba=4k", {"norandommap", "randrepeat", "ba"}),
    ("rw=randread\nnorandommap\nrandrepeat=0", set()),
    ("rw=randread\nnorandommap\nrandom_distribution=zipf:1.2", {"norandommap"}),
    ("rw=randread\nnorandommap\nrandom_generator=lfsr", {"norandommap"}),
    ("time_based", {"time_based"}),
    ("time_based\nruntime=1", set()),
    (
        "exit_what=all\nrate_process=poisson\nthinktime_blocks=4",
        {"exit_what", "rate_process", "thinktime_blocks"},
    ),
    ("exitall\nexit_what=all\nrate=1m\nrate_process=poisson\nthinktime=1\nthinktime_blocks=4", set()),
    ("bsrange=1k-4k\nbs_unaligned", set()),
    ("bs=4k\nbs_unaligned", {"bs_unaligned"}),
    ("direct=0\nname=x\ngroup_reporting\nthread", {"direct", "name", "group_reporting", "thread"}),
    ("buffered=1\nioengine=libaio\niodepth=8", {"buffered", "ioengine", "iodepth"}),
    ("verify=md5\nverify=0\nlockfile=none", {"verify", "lockfile"}),
]


@pytest.mark.parametrize(("text", "unused"), WITHOUT_EFFECT)
def test_options_that_have_no_effect_beside_others_are_told(text, unused):
    """An option that changes nothing in its job is kept for the note; one that does is not."""
    (job,) = parse_jobs(f"[a]\n{text}\n", "x.fio")
    assert unused == {name for name, _, _ in job.unused}
    assert all(why for _, _, why in job.unused)


def test_options_that_decide_how_others_are_read_come_first():
    """kb_base and ioengine count for their whole section, wherever they stand, as in fio."""
    a, b = parse_jobs("[a]\nbs=4k\nkb_base=1000\n[b]\nuserspace_reap\nbs=4k\nioengine=libaio\n", "x.fio")
    assert (4000, 4096) == (a.bs_bytes, b.bs_bytes)
    assert {"userspace_reap", "ioengine"} == {name for name, _, _ in b.unused}


def test_time_based_without_runtime_is_none():
    """fio warns and reads on as if it had not been said."""
    (job,) = parse_jobs("[a]\ntime_based\n", "x.fio")
    assert not job.time_based


def test_too_many_jobs_or_files_are_refused():
    """More jobs than fio starts, or files than fit, are told before any is made."""
    for text, said in (
        ("numjobs=4097", "4097 jobs in all; allowed: 4096, as in fio"),
        ("nrfiles=99999999999", "99999999999 files in all; allowed: at most 100000"),
    ):
        with pytest.raises(ConfigError) as caught:
            parse_jobs(f"[a]\n{text}\n", "x.fio")
        assert f"x.fio:1: job 'a': {said}" == str(caught.value)


def test_advice_is_fios():
    """fadvise_hint=1, the default, advises the job's own pattern; 0 advises nothing."""
    assert Job(name="a").advice == "sequential"
    assert Job(name="a", rw="randread").advice == "random"
    assert Job(name="a", fadvise_hint="0").advice == "normal"
    assert Job(name="a", fadvise_hint="random").advice == "random"


def test_shipped_jobs_parse():
    """Every job file in experiments/ is one we can read."""
    files = sorted((Path(__file__).parents[3] / "experiments" / "jobs").glob("*.fio"))
    assert files
    for file in files:
        assert parse_jobs(file.read_text(), file.name)


def test_an_include_bomb_is_told_at_once(tmp_path):
    """Ten includes a file, sixteen deep, would be 10^16 lines: one error, and nothing more is read."""
    for level in range(15):
        (tmp_path / f"i{level}").write_text(f"include i{level + 1}\n" * 10)
    (tmp_path / "i15").write_text("bs=4k\n")
    with pytest.raises(ConfigError, match=r"more than is read; allowed: at most 16 levels, 1000 files"):
        parse_jobs("[a]\nrw=read\ninclude i0\n", str(tmp_path / "j.fio"))


@pytest.mark.parametrize(
    "option", ["bs", "size", "numjobs", "loops", "runtime", "thinktime", "rw=randread:", "offset"]
)
def test_numbers_of_any_length(option):
    """A number of 5,000 digits, also in hexadecimal, is one line."""
    for digits in ("9" * 5000, "0x" + "f" * 5000):
        name = option if "=" in option else f"{option}="
        with pytest.raises(ConfigError, match=r"j:2 \[a\]"):
            parse_jobs(f"[a]\n{name}{digits}\n", "j")
    with pytest.raises(ConfigError, match=r"j:2 \[a\]"):
        parse_jobs("[a]\nbs=$pagesize" + "*99999" * 5000 + "\n", "j")
