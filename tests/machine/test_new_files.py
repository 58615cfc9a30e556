"""
Files that are made, grow and are taken away on a mounted image: what e2fsck, debugfs and a naive model say of
them, what goes into the log, and what is refused.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pytest
from crash_cells import cell_of, cell_text, played
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_files import Naive, Step, line_of
from tools import MKE2FS_KINDS, e2fsck, files_for_mke2fs, mke2fs, tool
from written_image import check_written

from sim.engine.mode import compiled
from sim.errors import ConfigError, ReadpathError
from sim.experiment.loading import load_experiment
from sim.ext4.read.reader import Image
from sim.fs.allocation import Ext4Allocator
from sim.machine.crash.e2fsck import E2fsck
from sim.machine.run_cell import run_cell

SIZES = {"1KiB": "1MiB", "4KiB": "4MiB"}
MOUNTS = {
    "ordered": "",
    "writeback, nodelalloc": 'data = "writeback"\ndelalloc = false',
    "nodelalloc": "delalloc = false",
    "dioread_lock": "dioread_nolock = false",
}
CLONES = (
    "--name=a --rw=write --bs=4k --filesize=40k --nrfiles=8 --fsync=3 --create_on_open=1 --unlink=1",
    "--name=b --rw=randwrite --bs=4k --size=256k --fallocate=none --fdatasync=5 --randrepeat=0",
    "--name=c --rw=write --bs=6k --size=48k --nrfiles=2 --loops=3 --unlink_each_loop=1 --end_fsync=1",
    "--name=d --rw=randrw --bs=1k --size=64k --unlink=1 --fsync=4",
)
FILES = {"b.0.0": 256 * 1024, "c.0.0": 24 * 1024, "c.0.1": 24 * 1024}
"""What is left of them, and how long it is."""


def left(image: Image) -> dict[str, int]:
    """Return the files of an image and their sizes."""
    return {path.lstrip("/"): inode.size_bytes for path, inode in image.walk() if inode.is_regular}


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("size", SIZES)
def test_an_image_made_here(tmp_path: Path, size: str, mount: str) -> None:
    """Its log replayed by e2fsck, it is sound, has the files that are left, and in them what was written."""
    volume = f'block_size = "{size}"\njournal = "{SIZES[size]}"'
    run = played(cell_text(volume, line_of(*CLONES), MOUNTS[mount], crash=""), tmp_path)
    assert left(check_written(run, tmp_path)) == FILES


def test_data_that_the_log_has(tmp_path: Path) -> None:
    """data=journal: files are made and grow; they are not taken away."""
    jobs = line_of("--name=a --rw=write --bs=4k --filesize=40k --nrfiles=4 --fsync=3 --create_on_open=1")
    run = played(cell_text('journal = "4MiB"', jobs, 'data = "journal"', crash=""), tmp_path)
    assert left(check_written(run, tmp_path)) == {f"a.0.{number}": 40 * 1024 for number in range(4)}


@pytest.mark.parametrize("kind", MKE2FS_KINDS)
def test_an_image_of_mke2fs(tmp_path: Path, kind: str) -> None:
    """
    Checksums of metadata and 64 bit, and without: a file of many extents, whose tree has nodes, is taken
    away, and its room is used by another.
    """
    folder = files_for_mke2fs(tmp_path / "files")
    mke2fs(tmp_path / "x.img", folder, *MKE2FS_KINDS[kind], size="16M")
    jobs = line_of(
        "--name=a --filename=f --rw=write --bs=4k --size=128k --fsync=9 --unlink=1",
        "--name=b --filename=g --rw=write --bs=4k --size=128k --loops=3 --unlink_each_loop=1",
    )
    run = played(cell_text('image = "x.img"', jobs, crash=""), tmp_path)
    assert left(check_written(run, tmp_path)) == {"g": 128 * 1024}


@pytest.fixture(scope="module")
def naive(tmp_path_factory: pytest.TempPathFactory) -> Naive:
    """One image for all."""
    return Naive(tmp_path_factory.mktemp("naive"))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["write", "write", "write", "fsync", "wait", "close", "unlink", "unlink open"]),
        st.integers(0, 3),
        st.integers(0, 30_000),
        st.integers(1, 9_000),
    ),
    max_size=30,
)


@given(steps=STEPS)
@settings(deadline=None, max_examples=25)
def test_files_are_what_a_dictionary_says(naive: Naive, steps: list[Step]) -> None:
    """Whatever is done in whatever order: the image is sound, its files are those, with those bytes."""
    naive.play(steps)


MANY: list[Step] = [
    *(("write", number, 1000 * number, 7000) for number in range(6)),
    ("fsync", 3, 0, 0),
    ("unlink", 1, 0, 0),
    ("unlink open", 4, 0, 0),
    *(("write", number, 500, 20_000) for number in range(6, 20)),
    ("unlink", 7, 0, 0),
]
"""More files than inodes of a block, some of them gone."""


@pytest.mark.parametrize("kind", MKE2FS_KINDS)
def test_files_on_an_image_of_mke2fs(tmp_path: Path, kind: str) -> None:
    """What e2fsck checks of new inodes and names: checksums, counts, inodes that were never used."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "g").write_bytes(b"g")
    mke2fs(tmp_path / "x.img", folder, *MKE2FS_KINDS[kind], size="16M")
    disk = Naive(tmp_path, tmp_path / "x.img").play(MANY)
    with E2fsck(tool("e2fsck")) as fsck:
        assert fsck.finds(fsck.replayed(disk)) == ""


def test_orphans_are_a_list(naive: Naive, tmp_path: Path) -> None:
    """
    Three open files are unlinked, and the second is closed: a crash leaves two, which e2fsck finds through
    the superblock and takes away; without them the image is sound.
    """
    user = naive.user()

    def doing() -> Generator[Any, Any, None]:
        writes: list[Step] = [("write", number, 0, 9000) for number in range(3)]
        yield from user.do([*writes, ("fsync", 0, 0, 0)], closes=False)
        names = user.mounted.names()
        for number in range(3):
            name = f"f{number}"
            yield from user.mounted.unlink(user.task, user.files[name], user.open[name])
        yield from names.close(user.task, user.open["f1"])
        yield from user.mounted.writer.sync.fsync(user.task, names.root.inode)

    user.run(doing())
    path = tmp_path / "crashed"
    path.write_bytes(user.disk().read(0, user.disk().size_bytes))
    done = subprocess.run([tool("e2fsck"), "-fy", str(path)], capture_output=True, text=True, check=False)
    said = re.findall(r"Clearing orphaned inode (\d+)", done.stdout)
    assert said == [str(user.open[name].number) for name in ("f2", "f0")]
    e2fsck(path)


def test_what_is_logged(naive: Naive) -> None:
    """
    Block by block, in the kernel's order: making a file (inode bitmap, descriptor, inode, root, its inode in
    the same table, the superblock with the first open), its data's place (bitmap; the descriptor is there);
    taking it away (root, superblock with the orphan, inode; bitmaps and their descriptor).
    """
    if compiled():
        pytest.skip("the core is compiled, and its methods cannot be replaced")
    user, volume = naive.user(), naive.volume
    group = volume.group(0)
    root = volume.inode(2).tree.extents[0].physical
    known = {
        1: "superblock",
        2: "descriptors",
        group.block_bitmap: "bitmap",
        group.inode_bitmap: "inodes",
        root: "root",
        group.inode_table: "table 0",
        group.inode_table + 3: "table 3",
    }
    logged: list[list[str]] = []
    journal = user.mounted.writer.journal
    assert journal is not None
    freeze = journal.bytes.freeze if journal.bytes is not None else None
    assert freeze is not None

    def noted(blocks: Sequence[int]) -> None:
        logged.append([known.get(block, f"block {block}") for block in blocks])
        freeze(blocks)

    def doing() -> Generator[Any, Any, None]:
        yield from user.do([("write", 0, 0, 1000), ("fsync", 0, 0, 0), ("unlink", 0, 0, 0)])
        yield from user.mounted.fsync(user.task, user.mounted.names().root.inode)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal.bytes, "freeze", noted)
        user.run(doing())
    assert logged == [
        ["inodes", "descriptors", "table 3", "root", "table 0", "superblock", "bitmap"],
        ["root", "table 0", "superblock", "table 3", "bitmap", "descriptors", "inodes"],
    ]


def test_what_is_freed_is_not_given_out_before_its_commit(naive: Naive) -> None:
    """A crash may bring the old file back: its blocks have its data until then, and may be taken after."""
    user = naive.user()
    places: list[set[int]] = []

    def doing() -> Generator[Any, Any, None]:
        for number in range(3):
            write: list[Step] = [("write", number, 0, 200_000), ("fsync", number, 0, 0)]
            yield from user.do(write, closes=False)
            extents = user.open[f"f{number}"].tree.extents()
            places.append({block for e in extents for block in range(e.physical, e.physical + e.length)})
            if not number:
                yield from user.do([("unlink", 0, 0, 0)], closes=False)

    free = user.mounted.writer.allocator
    assert isinstance(free, Ext4Allocator)
    before = free.mb.free
    user.run(doing())
    assert not places[0] & places[1]
    assert free.mb.free == before - len(places[1]) - len(places[2])
    assert all(not group.freed for group in free.mb.groups.every)


VOLUME = 'journal = "4MiB"\nfiles = [{ name = "f", size = "64KiB", layout = { kind = "%s" } }]'
JOB = "--name=a --filename=f --bs=4k"


@pytest.mark.parametrize(
    ("kind", "jobs", "more", "said"),
    [
        (
            "empty",
            ["--rw=read"],
            "",
            "job 'a': reads from 'f', a file of layout 'empty'; allowed",
        ),
        ("absent", ["--rw=randrw"], "", "from 'f', a file of layout 'absent'; allowed: jobs that only write"),
        ("absent", ["--rw=write --pre_read=1"], "", "job 'a': pre_read of 'f', a file of layout 'absent'"),
        (
            "absent",
            ["--rw=write"],
            '[encryption]\nscheme = "fscrypt-v2"',
            "'fscrypt-v2': keys of new files are not modelled; allowed: none, dm-crypt",
        ),
        ("empty", ["--rw=write"], '[crash]\nat = "bios"', "crash with layout 'empty': what is left of names"),
        (
            "contiguous",
            ["--rw=write --unlink=1"],
            '[crash]\nat = "bios"',
            "crash with unlink in job 'a': what is left of names is not judged; allowed: files that stay",
        ),
        (
            "contiguous",
            ["--rw=write --unlink=1"],
            '[mount]\ndata = "journal"',
            "mount.data \"journal\" with unlink in job 'a': data that the log has is not taken back",
        ),
        (
            "contiguous",
            ["--rw=write --loops=2 --unlink_each_loop=1"],
            '[encryption]\nscheme = "fscrypt-v2"',
            "'fscrypt-v2': keys of new files are not modelled; allowed: none, dm-crypt",
        ),
        (
            "contiguous",
            ["--rw=write --unlink=1 --numjobs=2"],
            "",
            "job 'a' unlinks 'f', which others use; allowed: a file of its own for each clone",
        ),
    ],
)
def test_what_is_not_modelled_is_refused(
    tmp_path: Path, kind: str, jobs: list[str], more: str, said: str
) -> None:
    """One line that says what does not go together, and what does."""
    text = cell_text(VOLUME % kind, line_of(*(f"{JOB} {job}" for job in jobs)), crash="").replace(
        "[mount]", ""
    )
    (tmp_path / "x.toml").write_text(f"{text}\n{more}\n")
    with pytest.raises(ConfigError) as caught:
        load_experiment(tmp_path / "x.toml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_root_that_is_too_large_from_the_start(tmp_path: Path) -> None:
    """Its names lie in several blocks: none is put in or taken out."""
    files = ", ".join(f'{{ name = "file number {number}", size = "1KiB" }}' for number in range(60))
    volume = f'journal = "1MiB"\nblock_size = "1KiB"\nfiles = [{files}]'
    jobs = "job = [{ name = 'a', rw = 'write', filename = 'file number 7', bs = '1k', unlink = 1 }]"
    cell, image = cell_of(cell_text(volume, jobs, crash=""), tmp_path)
    with pytest.raises(ConfigError, match=r"its root of 2048 bytes is .*; allowed: a root of one block"):
        run_cell(cell, image, False)


def test_a_root_of_several_blocks_is_refused(tmp_path: Path) -> None:
    """Names are put into directories of one block."""
    volume = 'journal = "1MiB"\nblock_size = "1KiB"'
    jobs = line_of("--name=a --rw=write --bs=1k --filesize=1k --nrfiles=70 --create_on_open=1")
    cell, image = cell_of(cell_text(volume, jobs, crash=""), tmp_path)
    with pytest.raises(ReadpathError, match=r"no room for 'a.0.\d+'; allowed: directories of one block"):
        run_cell(cell, image, False)
