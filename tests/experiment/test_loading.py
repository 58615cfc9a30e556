"""Experiment files: what they mean, and what a mistake in one is told as."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from sim.config.cell import Experiment, digest
from sim.config.layouts import Fragmented
from sim.config.table import AsWritten
from sim.errors import ConfigError
from sim.experiment.loading import load_experiment

MAIN = Path(__file__).parents[2] / "experiments" / "per_block_vs_per_extent.toml"

SMALL = """\
title = "small"

[machine]
memory = "1GiB"

[device]
profile = "nvme"

[volume]
block_size = "4KiB"
files = [{ name = "data", size = "1MiB" }]

[workload]
job = { name = "r", rw = "read", bs = "128k" }

[matrix]
path = ["page_io", "mpage"]
"volume.files.layout" = [
    { label = "whole", kind = "contiguous" },
    { kind = "fragmented", extent = "16KiB" },
]

[run]
seeds = 2
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Write a changed SMALL as e.toml into an empty current directory and load it."""
    monkeypatch.chdir(tmp_path)

    def _load(old: str = "", new: str = "", *sets: str) -> Experiment:
        assert old in SMALL
        Path("e.toml").write_text(SMALL.replace(old, new, 1) if old else SMALL)
        return load_experiment(Path("e.toml"), sets)

    return _load


def test_matrix_order_labels_and_seeds(load):
    """The first axis varies slowest, seeds fastest; a table is called by its label or its contents."""
    experiment = load()
    assert [(cell.index, *(label for _, label in cell.labels), cell.seed) for cell in experiment.cells] == [
        (0, "page_io", "whole", 0),
        (0, "page_io", "whole", 1),
        (1, "page_io", "fragmented extent=16KiB", 0),
        (1, "page_io", "fragmented extent=16KiB", 1),
        (2, "mpage", "whole", 0),
        (2, "mpage", "whole", 1),
        (3, "mpage", "fragmented extent=16KiB", 0),
        (3, "mpage", "fragmented extent=16KiB", 1),
    ]
    assert experiment.cells[2].config.volume.files[0].layout == Fragmented(kind="fragmented", extent=16384)
    assert experiment.cells[4].config.path == "mpage"


def test_what_means_the_same_hashes_the_same(load):
    """The hash is over values: spelling, labels and seeds do not enter, everything else does."""
    plain = load().cells[0]
    assert plain.config_hash == load('"4KiB"', "4096").cells[0].config_hash
    assert plain.config_hash == load('label = "whole"', 'label = "one"').cells[0].config_hash
    assert plain.config_hash == load().cells[1].config_hash
    assert plain.config_hash != load('"1MiB"', '"2MiB"').cells[0].config_hash
    assert plain.config_hash != load('"128k"', '"64k"').cells[0].config_hash


def test_digest_is_of_values_not_of_their_order():
    """Two tables with the same keys and values have one digest."""
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1})
    assert digest({"a": 1}) != digest({"a": "1"})


def test_hash_is_stable_across_processes():
    """Another PYTHONHASHSEED gives the same hash of the main experiment."""
    code = (
        "import sys, pathlib; from sim.experiment.loading import load_experiment;"
        "print(load_experiment(pathlib.Path(sys.argv[1])).config_hash)"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code, str(MAIN)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert hashes == {load_experiment(MAIN).config_hash}


def test_files_enter_the_hash_by_content(load, tmp_path):
    """A job file or recorded layout that changes changes the hash of the cells that use it."""
    (tmp_path / "j.fio").write_text("[r]\nbs=4k\n")
    use = ('job = { name = "r", rw = "read", bs = "128k" }', 'job = "j.fio"')
    before = load(*use)
    assert before.cells[0].config.workload.jobs[0].bs_bytes == 4096
    (tmp_path / "j.fio").write_text("[r]\nbs=8k\n")
    assert before.config_hash != load(*use).config_hash
    (tmp_path / "l.json").write_text("[]")
    use = ('{ label = "whole", kind = "contiguous" }', '{ kind = "fiemap", path = "l.json" }')
    before = load(*use)
    (tmp_path / "l.json").write_text("[[0,0,1,0]]")
    assert before.config_hash != load(*use).config_hash


def test_set_replaces_values_axes_and_options(load):
    """--set reaches plain values, options of jobs, and narrows an axis by value, list or label."""
    assert load("", "", "machine.cpus=2").cells[0].config.machine.cpus == 2
    assert load("", "", "workload.job.bs=4k").cells[0].config.workload.jobs[0].bs_bytes == 4096
    assert load("", "", "run.seeds=[7]").seeds == (7,)
    assert [c.config.path for c in load("", "", "path=iomap", "run.seeds=1").cells] == ["iomap", "iomap"]
    narrowed = load("", "", "volume.files.layout=whole", 'path=["mpage", "iomap"]', "run.seeds=1")
    assert [tuple(label for _, label in cell.labels) for cell in narrowed.cells] == [
        ("mpage", "whole"),
        ("iomap", "whole"),
    ]


KEYS = "block_size, files, seed, image, keys"
GOLDEN = [
    (
        "memory =",
        "memroy =",
        "e.toml:4: machine.memroy: unknown key 'memroy', did you mean 'memory'?; "
        "allowed: profile, cpus, memory, kernel, large_folios, cost_scale, currency, syscall, wakeup,"
        " llc_cpus",
    ),
    (
        "[machine]",
        "[machin]",
        "e.toml:3: machin: unknown key 'machin', did you mean 'machine'?; allowed: machine, device, volume, "
        "encryption, workload, cache, mount, crash, faults, checksums, integrity, path, read_path, "
        "write_path, mapping, data, "
        "title, question, run, matrix",
    ),
    (
        '"1GiB"',
        '"1 GiBs"',
        "e.toml:4: machine.memory: '1 GiBs' is not understood; allowed: bytes, or a number with k, KiB, KB, "
        "M, MiB, ... P",
    ),
    (
        'profile = "nvme"',
        "",
        "e.toml:6: device.profile: is missing; allowed: keys here: profile, scheduler, read_ahead_kb, "
        "max_sectors_kb, max_segments, nr_requests, model",
    ),
    (
        'block_size = "4KiB"',
        'block_size = "3KiB"',
        "e.toml:9: volume: block_size 3072 bytes is not modelled; "
        "allowed: 1KiB, 2KiB, 4KiB, 8KiB, 16KiB, 32KiB, 64KiB",
    ),
    ('size = "1MiB"', "size = 0", "e.toml:11: volume.files[0].size: 0 cannot be used; allowed: >= 1"),
    (
        '"page_io", "mpage"',
        '"page_io", "mpages"',
        "e.toml:17: matrix.path: 'mpages' is not known; allowed: buffer_head, mpage, page_io, page_io_pure, "
        "iomap, per_block, ext4_iomap, page_io_unzeroed, page_io_one_scan, or FILE.py:NAME",
    ),
    (
        '["page_io", "mpage"]',
        "[]",
        "e.toml:17: matrix.path: [] is not a list of values; allowed: path = [one, or, more]",
    ),
    (
        '"page_io", "mpage"',
        '"mpage", "mpage"',
        "e.toml:17: matrix.path: two values are called 'mpage'; allowed: a distinct label for each",
    ),
    (
        "extent =",
        "extend =",
        "e.toml:18: matrix.volume.files.layout.extend: unknown key 'extend', did you mean 'extent'?; "
        "allowed: kind, extent, extent_blocks",
    ),
    (
        '"fragmented"',
        '"fragment"',
        "e.toml:18: matrix.volume.files.layout.kind: 'fragment' is not known; allowed: contiguous, "
        "fragmented, sparse, unwritten, hole, empty, absent, aged, random, fiemap, filefrag",
    ),
    (
        '"16KiB"',
        '"6KiB"',
        "e.toml:9: volume: file 'data': extent 6KiB is not whole blocks; allowed: a multiple of 4KiB",
    ),
    (
        "seeds = 2",
        "seeds = 0",
        "e.toml:24: run.seeds: 0 is no choice of seeds; allowed: a count >= 1, or distinct numbers >= 0",
    ),
    (
        "seeds = 2",
        "seed = 2",
        "e.toml:24: run.seed: unknown key 'seed', did you mean 'seeds'?; allowed: seeds",
    ),
    (
        'bs = "128k"',
        'bz = "128k"',
        "e.toml:14: workload.job.bz: option 'bz' is not one of fio 3.33; allowed: bs",
    ),
    (
        'rw = "read"',
        'filename = "date"',
        "e.toml: job 'r': no file 'date'; allowed: data",
    ),
    (
        'job = { name = "r", rw = "read", bs = "128k" }',
        'job = "nosuch.fio"',
        "e.toml:14: workload.job: 'nosuch.fio' cannot be read (no such file or directory); "
        "allowed: a file in .",
    ),
    (
        'block_size = "4KiB"',
        'image = "x"',
        "e.toml:10: volume.image: 'x' cannot be read (no such file or directory); allowed: a file in .",
    ),
    (
        "[workload]",
        '[cache]\npages = "warn"\n[workload]',
        "e.toml:14: cache.pages: 'warn' is not known; allowed: empty, warm",
    ),
    (
        "[workload]",
        "[cache]\npages = { evry = 4 }\n[workload]",
        "e.toml:14: cache.pages.evry: unknown key 'evry', did you mean 'every'?; "
        "allowed: every, share, buffers, uptodate_blocks",
    ),
    (
        "[workload]",
        "[cache]\npages = { every = 4, share = 0.5 }\n[workload]",
        "e.toml:14: cache.pages: which pages are cached is said once; allowed: every = N, or share = 0.25",
    ),
    (
        "[workload]",
        '[cache]\npages = "warm"\n[workload]',
        "e.toml: job 'r' drops the cached pages that cache.pages asks for (invalidate=1); "
        'allowed: invalidate=0 in the job, or cache.pages = "empty"',
    ),
    (
        'rw = "read", bs = "128k" }',
        "invalidate = 0 }\n[cache]\npages = { every = 2, buffers = true, uptodate_blocks = 1 }",
        "e.toml: cache.pages: uptodate_blocks 1 of 1 blocks a page; allowed: 0 to 0",
    ),
]


@pytest.mark.parametrize(("old", "new", "message"), GOLDEN)
def test_errors_name_file_line_key_value_and_what_is_allowed(load, old, new, message):
    """Every mistake is one line: where, what, and what would have been right."""
    with pytest.raises(ConfigError) as caught:
        load(old, new)
    assert message == str(caught.value)


GOLDEN_SETS = [
    (
        "machine.cpu=2",
        "--set machine.cpu: unknown key 'cpu', did you mean 'cpus'?; "
        "allowed: profile, cpus, memory, kernel, large_folios, cost_scale, currency, syscall, wakeup,"
        " llc_cpus",
    ),
    ("machine.cpus=0", "--set machine.cpus: 0 cannot be used; allowed: >= 1"),
    (
        "device.profile=nvmee",
        "--set device.profile: 'nvmee' is not known; allowed: emmc, hdd, hdd-2020, null_blk, nvme, "
        "nvme-gen3, nvme-gen4, nvme-gen5, ramdisk, sata-ssd, sata-ssd-2021, ufs, or a .toml file",
    ),
    ("machine=3", "--set machine: 3 cannot be used; allowed: a table"),
    (
        "machin.cpus=3",
        "--set machin.cpus: unknown key 'machin', did you mean 'machine'?; allowed: machine, device, "
        "volume, encryption, workload, cache, mount, crash, faults, checksums, integrity, path, read_path, "
        "write_path, mapping, "
        "data, title, question, run, matrix",
    ),
    (
        "path=nosuch",
        "--set path: 'nosuch' is not known; allowed: buffer_head, mpage, page_io, "
        "page_io_pure, iomap, per_block, ext4_iomap, page_io_unzeroed, page_io_one_scan, or FILE.py:NAME",
    ),
    (
        "volume.files.layout.kind=x",
        "--set volume.files.layout.kind: the matrix replaces it; allowed: --set volume.files.layout=...",
    ),
    ("cpus", "--set cpus: is not understood; allowed: --set table.key=value"),
    ("device.profile.x=1", "--set device.profile.x: 'x' would be inside 'nvme'; allowed: a key of a table"),
    (
        "workload.job.direct=1",
        "--set workload.job.direct: direct=1: O_DIRECT goes round the page cache; iomap_dio_rw() is not "
        "modelled; allowed: 0",
    ),
]


TOGETHER = """
title = "t"
[device]
profile = "nvme"
[volume]
files = [{ name = "data", size = "64KiB" }]
[workload]
job = { rw = "read" }
[matrix]
way = [
    { label = "old", path = "buffer_head", "machine.kernel" = "3.16" },
    { label = "new", "machine.kernel" = "6.1" },
]
"machine.cpus" = [1, 2]
"""


def test_a_value_may_replace_several_keys(tmp_path: Path) -> None:
    """A table with a dotted key in it: all its keys at once, its label the cell's; the other axis goes on."""
    (tmp_path / "e.toml").write_text(TOGETHER)
    cells = load_experiment(tmp_path / "e.toml").cells
    found = [(dict(c.labels), c.config.path, c.config.machine.kernel, c.config.machine.cpus) for c in cells]
    assert [
        ({"way": "old", "machine.cpus": "1"}, "buffer_head", "3.16", 1),
        ({"way": "old", "machine.cpus": "2"}, "buffer_head", "3.16", 2),
        ({"way": "new", "machine.cpus": "1"}, "page_io", "6.1", 1),
        ({"way": "new", "machine.cpus": "2"}, "page_io", "6.1", 2),
    ] == found
    assert ["new"] * 2 == [
        dict(c.labels)["way"] for c in load_experiment(tmp_path / "e.toml", ["way=new"]).cells
    ]


@pytest.mark.parametrize("said", ["path=mpage", "machine.kernel=6.12"])
def test_what_a_value_replaces_cannot_be_set(tmp_path: Path, said: str) -> None:
    """It would be undone in silence."""
    (tmp_path / "e.toml").write_text(TOGETHER)
    with pytest.raises(ConfigError, match=r"--set .*: the matrix replaces it; allowed: --set way=\.\.\."):
        load_experiment(tmp_path / "e.toml", [said])


def test_a_wrong_value_among_several_keys_is_told_at_its_axis(tmp_path: Path) -> None:
    """One line, with the place of the line of the matrix."""
    (tmp_path / "e.toml").write_text(TOGETHER.replace('"3.16"', '"3.17"'))
    with pytest.raises(ConfigError, match=r"matrix\.way.*'3\.17'"):
        load_experiment(tmp_path / "e.toml")


SEVERAL = [
    ("path=mpage,page_io", """; several: --set path='["mpage", "page_io"]'"""),
    ("path=[mpage, page_io]", """; several: --set path='["mpage", "page_io"]'"""),
    ("device.profile=nvme hdd", """; several: --set matrix.device.profile='["nvme", "hdd"]'"""),
    ("machine.cpus=2,4", "; several: --set matrix.machine.cpus='[2, 4]'"),
    ("machine.cpus=[2, 4]", "; several: --set matrix.machine.cpus='[2, 4]'"),
    ("run.seeds=1,2", "; allowed: integer; several: --set run.seeds='[1, 2]'"),
    ("matrix.path=mpage,page_io", """; several: --set matrix.path='["mpage", "page_io"]'"""),
    ("path=mpag", "or FILE.py:NAME"),
]


@pytest.mark.parametrize(("text", "end"), SEVERAL)
def test_several_values_are_told_how(load, text, end):
    """What looks like several values is told with the words that give them; those words are taken."""
    with pytest.raises(ConfigError) as caught:
        load("", "", text)
    assert str(caught.value).startswith(f"--set {text.partition('=')[0]}: ")
    assert str(caught.value).endswith(end)
    if "--set" in end:
        key, _, value = end.rpartition("--set ")[2].partition("=")
        assert load("", "", f"{key}={value.strip(chr(39))}").cells


@pytest.mark.parametrize(("text", "message"), GOLDEN_SETS)
def test_errors_of_set_name_the_set(load, text, message):
    """A mistake in --set is told as one of --set, not of a line of the file."""
    with pytest.raises(ConfigError) as caught:
        load("", "", text)
    assert message == str(caught.value)


@pytest.mark.parametrize("content", [b"title = ", b"\xff\xfe", b"[a]\n[a]\n"])
def test_not_toml(tmp_path, content):
    """A file that is not TOML is one line of error, as is one that is not there."""
    file = tmp_path / "e.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="is not TOML"):
        load_experiment(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_experiment(tmp_path / "nosuch.toml")


def test_the_readme_example_loads(tmp_path):
    """The experiment file in the documents is one we accept, key by key."""
    readme = (MAIN.parents[1] / "docs" / "experiment-file.md").read_text()
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "seqread.fio").write_text((MAIN.parent / "jobs" / "seqread.fio").read_text())
    (tmp_path / "e.toml").write_text(readme.partition("```toml\n")[2].partition("```")[0])
    assert len(load_experiment(tmp_path / "e.toml").cells) == 4


def test_the_main_experiment():
    """The shipped experiment has 2 x 2 x 5 x 5 cells, the path fastest."""
    experiment = load_experiment(MAIN)
    assert len(experiment.cells) == 100 * len(experiment.seeds)
    assert experiment.axes[-1] == ("path", ("buffer_head", "mpage", "page_io", "iomap", "per_block"))


def test_words_that_look_like_numbers(load):
    """Where only words are allowed a number is one, on the command line and in a file; else it stays."""
    assert {"7.3"} == {cell.config.machine.kernel for cell in load("", "", "machine.kernel=7.3").cells}
    experiment = load('memory = "1GiB"', 'memory = "1GiB"\nkernel = 3.16')
    assert {"3.16"} == {cell.config.machine.kernel for cell in experiment.cells}
    assert "2014" == load('title = "small"', "title = 2014").title
    assert {2} == {cell.config.machine.cpus for cell in load("", "", "machine.cpus=2").cells}
    with pytest.raises(
        ConfigError, match=r"machine\.kernel: '6\.2' is not known; allowed: 3\.16, 6\.1, 6\.12"
    ):
        load("", "", "machine.kernel=6.2")


def test_ecryptfs_writes_every_page(load):
    """A cell whose file would have holes is refused when the matrix is read, before any cell runs."""
    sets = ("encryption.scheme=ecryptfs", "cache.pages=empty")
    with pytest.raises(ConfigError, match=r"hole_share 0\.05, unwritten_share 0\.05; allowed: 0 and 0"):
        load('{ kind = "fragmented", extent = "16KiB" }', '{ kind = "aged" }', *sets)
    whole = '{ kind = "aged", hole_share = 0.0, unwritten_share = 0.0 }'
    assert 8 == len(load('{ kind = "fragmented", extent = "16KiB" }', whole, *sets).cells)


def test_jobs_may_ask_what_the_machine_has(load, tmp_path):
    """$ncpus and $mb_memory of a job are those of the experiment's machine, whatever the host has."""
    (tmp_path / "j.fio").write_text("[r]\nnumjobs=$ncpus\nsize=4*$mb_memory\nbs=1k\n")
    use = ('job = { name = "r", rw = "read", bs = "128k" }', 'job = "j.fio"')
    (job,) = load(*use, "machine.cpus=3", "machine.memory=512MiB").cells[0].config.workload.jobs
    assert (3, 2048) == (job.numjobs, job.size_bytes)


def test_a_word_that_looks_like_a_number_is_the_word_as_written(load):
    """kernel = 6.1 is the kernel "6.1", 6.10 is another word and none that is known; copies keep the word."""
    kernel = 'memory = "1GiB"\nkernel = 7.3'
    assert "7.3" == load('memory = "1GiB"', kernel).cells[0].config.machine.kernel
    for said in ("6.1", '"6.1"', "'6.1'", " 6.1 "):
        assert "6.1" == load("", "", f"machine.kernel={said}").cells[0].config.machine.kernel
    with pytest.raises(ConfigError, match=r"kernel: '6\.10' is not known; allowed: 3\.16, 6\.1, 6\.12, 7\.3"):
        load("", "", "machine.kernel=6.10")
    with pytest.raises(ConfigError, match=r"e\.toml:5: machine\.kernel: '6\.10' is not known"):
        load('memory = "1GiB"', 'memory = "1GiB"\nkernel = 6.10')
    number = AsWritten("6.10")
    for same in (number, copy.deepcopy(number), pickle.loads(pickle.dumps(number))):
        assert (6.1, "6.10") == (same, str(same))


def test_a_layout_as_a_word_is_told_how_it_is_written(load):
    """layout = "aged" is no table: the error shows one."""
    shown = r"'aged' cannot be used; allowed: a table, as { kind = \"contiguous\" }"
    with pytest.raises(ConfigError, match=shown):
        load("", "", "volume.files.layout=aged")


WRITES = ('rw = "read", bs = "128k"', 'rw = "write"')


def paths_of(matrix: str) -> list[tuple[object, object]]:
    """Return what reads and what writes in each cell of a job that writes."""
    raw = SMALL.replace(*WRITES).replace('path = ["page_io", "mpage"]', matrix)
    Path("e.toml").write_text('data = "off"\n' + raw)
    cells = load_experiment(Path("e.toml"), ["run.seeds=1", "volume.files.layout=whole"]).cells
    return [(cell.config.reads_through, cell.config.writes_through) for cell in cells]


@pytest.mark.usefixtures("load")
def test_path_is_both_ways_and_each_has_a_key_of_its_own():
    """path: reading and writing; read_path and write_path: one of them; what is not said is page_io."""
    assert paths_of('path = ["mpage", "iomap"]') == [("mpage", "mpage"), ("iomap", "iomap")]
    assert paths_of('read_path = ["mpage"]') == [("mpage", "page_io")]
    assert paths_of('write_path = ["mpage"]') == [("page_io", "mpage")]
    assert paths_of('read_path = ["per_block"]\nwrite_path = ["iomap"]') == [("per_block", "iomap")]
    assert paths_of('path = ["page_io_one_scan"]') == [("page_io", "page_io_one_scan")]


@pytest.mark.usefixtures("load")
def test_paths_said_in_two_ways_are_one_configuration():
    """The hash is that of what is run; a design of writing alone is another one than page_io."""

    def hashes(*lines: str) -> list[str]:
        found = []
        for line in lines:
            paths_of(line)
            found.append(load_experiment(Path("e.toml"), ["run.seeds=1"]).cells[0].config_hash)
        return found

    same = hashes('path = ["mpage"]', 'read_path = ["mpage"]\nwrite_path = ["mpage"]')
    assert len(set(same)) == 1
    assert (
        len(set(hashes('path = ["page_io"]', 'path = ["page_io_unzeroed"]', 'write_path = ["iomap"]'))) == 3
    )
    whole = hashes('path = ["page_io"]', 'write_path = ["page_io"]', 'read_path = ["page_io"]')
    assert len(set(whole)) == 1


@pytest.mark.usefixtures("load")
@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (
            'path = ["mpage"]\nwrite_path = ["mpage"]',
            "path and write_path; allowed: path for reading and wri",
        ),
        (
            'write_path = ["per_block"]',
            "'per_block' does not write; allowed: page_io, buffer_head, mpage, iomap,",
        ),
        (
            'read_path = ["page_io_unzeroed"]',
            "'page_io_unzeroed' is not known; allowed: buffer_head, mpage, ",
        ),
        (
            'path = ["page_io_pure"]',
            "path 'page_io_pure' does not write; allowed: write_path, one of page_io, ",
        ),
    ],
)
def test_paths_that_cannot_be_had(matrix, message):
    """Said twice, no way to write, no way to read."""
    with pytest.raises(ConfigError) as caught:
        paths_of(matrix)
    assert message in str(caught.value)


@pytest.mark.usefixtures("load")
def test_what_encrypts_on_write():
    """fs/ext4/page_io.c has bounce pages; the others of 6.1 would write the plaintext."""
    paths_of('path = ["page_io", "page_io_unzeroed"]\n"encryption.scheme" = ["fscrypt-v2"]')
    for path in ("mpage", "iomap", "buffer_head"):
        with pytest.raises(ConfigError) as caught:
            paths_of(f'path = ["{path}"]\n"encryption.scheme" = ["fscrypt-v2"]')
        allowed = "allowed: page_io, page_io_unzeroed, page_io_one_scan"
        assert f"path '{path}' encrypts nothing that is written; {allowed}" in str(caught.value)


def test_designs_of_writing_need_a_job_that_writes(load):
    """They would differ in nothing."""
    for said, message in (
        ('path = ["page_io_unzeroed", "mpage"]', "page_io: they differ in writing alone"),
        (
            'write_path = ["mpage", "iomap"]',
            "write_path with a workload in which no job writes; allowed: read",
        ),
    ):
        with pytest.raises(ConfigError) as caught:
            load('path = ["page_io", "mpage"]', said)
        assert message in str(caught.value)
