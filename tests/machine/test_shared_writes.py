"""
Files that share blocks, written on a mounted image: against a dictionary, e2fsck, and counts by hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from crash_cells import cell_of, cell_text, played
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_files import Naive, Step, contents_of, line_of, real_counts
from tools import debugfs, e2fsck
from written_image import check_written

from sim.errors import ConfigError, ImageError, ReadpathError
from sim.experiment.loading import load_experiment
from sim.ext4.edit.reflink import ReflinkEditor, space
from sim.ext4.format.refcounts import encode_leaf
from sim.ext4.make.layout import Fragmented, Pattern
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.counts import counts_of
from sim.ext4.read.reader import Image
from sim.fs.allocation import Ext4Allocator
from sim.fs.jbd2.handle import WAITS
from sim.machine.run_cell import run_cell

KIB = 1024
CLONED = """
block_size = "{size}"
journal = "4MiB"
files = [
    {{ name = "a", size = "250KiB", layout = {{ kind = "fragmented", extent = "64KiB" }} }},
    {{ name = "b", clone_of = "a" }},
    {{ name = "c", clone_of = "b", layout = {{ kind = "absent" }} }},
    {{ name = "d", clone_of = "a" }},
]
"""


@pytest.mark.parametrize("path", ["page_io", "page_io_one_scan"])
@pytest.mark.parametrize("size", ["1KiB", "4KiB"])
def test_an_image_made_here(tmp_path: Path, size: str, path: str) -> None:
    """
    Clones that were there, and one that a job makes, written in pieces that fit no block, all at once, and
    read; one is taken away: e2fsck, the counts and every byte.
    """
    jobs = line_of(
        "--name=a --filename=b --rw=randrw --bs=6k --size=250k --fsync=5",
        "--name=b --filename=c --rw=randwrite --bs=3k --size=250k --io_size=90k --fdatasync=4 --norandommap",
        "--name=c --filename=d --rw=randwrite --bs=4k --size=248k --io_size=40k --unlink=1",
    )
    run = played(
        cell_text(CLONED.format(size=size), jobs, crash="").replace("title", f'path = "{path}"\ntitle', 1),
        tmp_path,
    )
    image = check_written(run, tmp_path)
    assert real_counts(image) == counts_of(image)
    assert {"a", "b", "c"} == {"a", "b", "c", "d"} & contents_of(image).keys()
    assert space(image).shared


@pytest.mark.parametrize("size", ["1KiB", "4KiB"])
def test_the_source_is_written_while_it_is_cloned(tmp_path: Path, size: str) -> None:
    """A clone is its source between two writes: i_rwsem of both keeps the writers out, who wait."""
    jobs = line_of(
        "--name=a --filename=a --rw=randwrite --bs=5k --size=250k --io_size=2m --norandommap",
        "--name=b --filename=c --rw=randwrite --bs=4k --size=248k --io_size=40k --startdelay=200us",
    )
    clone = CLONED.replace('clone_of = "b"', 'clone_of = "a"')
    run = played(cell_text(clone.format(size=size), jobs, crash=""), tmp_path)
    image = check_written(run, tmp_path)
    assert real_counts(image) == counts_of(image)
    assert run.result.metrics["inode_lock_waits"] > 0


@pytest.fixture(scope="module")
def naive(tmp_path_factory: pytest.TempPathFactory) -> Naive:
    """An image with a file of several extents that may be cloned."""
    folder = tmp_path_factory.mktemp("naive")
    files = (FileSpec("/f0", 40_000, Fragmented(7)), FileSpec("/f2", 20_000, Pattern("1d1h2u")))
    make_image(folder / "x.img", ImageSpec(files, KIB, journal_blocks=KIB, new_files=8, new_bytes=1 << 20))
    editor = ReflinkEditor(folder / "x.img")
    editor.prepare()
    editor.clone("/f0", "/f1")
    editor.commit()
    return Naive(folder, folder / "x.img")


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["write", "write", "write", "fsync", "wait", "clone", "clone", "close", "unlink", "unlink open"]
        ),
        st.integers(0, 3),
        st.integers(0, 30_000) | st.integers(0, 3),
        st.integers(1, 9_000),
    ),
    max_size=30,
)


@given(steps=STEPS)
@settings(deadline=None, max_examples=25)
def test_files_are_what_a_dictionary_says(naive: Naive, steps: list[Step]) -> None:
    """Whatever is cloned, written and taken away: sound, with right counts, and the bytes of a dictionary."""
    naive.play(steps)


def cloned(folder: Path, size_bytes: int, free_bytes: int) -> Path:
    """Return an image of 4 KiB blocks with a file in one extent, "f0", its clone "f1", and some room."""
    path, files = folder / "x.img", (FileSpec("/f0", size_bytes),)
    make_image(path, ImageSpec(files, 4 * KIB, journal_blocks=KIB, new_files=8, new_bytes=free_bytes))
    editor = ReflinkEditor(path)
    editor.clone("/f0", "/f1")
    editor.commit()
    return path


class Small:
    """A file of eight blocks in one extent and its clone, on a mounted image."""

    def __init__(self, folder: Path) -> None:
        self.user = Naive(folder, cloned(folder, 32 * KIB, 4 << 20)).user()
        self.first = self.user.volume.lookup("/f0").tree.extents[0].physical
        reflink = self.user.mounted.writer.mapper.reflink
        assert reflink is not None
        self.reflink = reflink
        allocator = self.user.mounted.writer.allocator
        assert isinstance(allocator, Ext4Allocator)
        self.allocator = allocator

    def do(self, *steps: Step) -> Counter[str]:
        """Do steps, leave files open; return what was called for them, by symbol."""
        before = Counter(self.user.machine.ledger.calls())
        journal = self.user.mounted.writer.journal
        assert journal is not None
        journal.open()  # the end of the steps before closed it
        self.user.run(self.user.do(list(steps), closes=False))
        return Counter(self.user.machine.ledger.calls()) - before

    def extents(self, name: str) -> list[tuple[int, int, int]]:
        """Return a file's extents: (logical, blocks from the shared extent's first, length)."""
        found = self.user.open[name].tree.extents()
        return [(logical, physical - self.first, length) for logical, physical, length, _ in found]

    def records(self) -> list[tuple[int, int, int]]:
        """Return the records of the counts, by blocks from the shared extent's first."""
        records = [record for leaf in self.reflink.counts.leaves for record in leaf.records]
        return [(block - self.first, length, files) for block, length, files in records]


@pytest.fixture
def small(tmp_path: Path) -> Small:
    """Two files of eight blocks."""
    return Small(tmp_path)


ASKED = (
    "ext4_refcount_lookup",
    "ext4_refcount_adjust",
    "ext4_split_extent",
    "ext4_split_extent_at",
    "ext4_mb_new_blocks",
)
CLONING = ("ext4_clone_file_range", "ext4_clone_extent", "ext4_refcount_adjust", "ext4_clone_unmap_folio")
COPIED: tuple[Step, Step] = (("write", 1, 3 * 4096, 4096), ("fsync", 1, 0, 0))
"""The fourth block of the clone is written."""


def test_one_block_is_copied(small: Small) -> None:
    """
    By hand: asked at write(2) and at write-back, one block allocated, the extent cut behind it and before it,
    one record of the counts made two; logged are the inodes' block, bitmap, descriptors and the counts.
    """
    called = small.do(*COPIED)
    assert [2, 1, 1, 2, 1] == [called[symbol] for symbol in ASKED]
    (left, copy, right) = small.extents("f1")
    assert ((0, 0, 3), (4, 4, 4)) == (left, right)
    assert (3, 1) == copy[::2]
    assert [(0, 3, 2), (4, 4, 2)] == small.records()
    again = small.do(*COPIED)
    assert [0, 0, 0, 0, 0] == [again[symbol] for symbol in ASKED]  # the buffer head says where it lies
    written = small.user.machine.queue.stats.write_sectors
    small.do(("write", 1, 4 * 4096, 4096), ("fsync", 1, 0, 0))
    assert [(0, 0, 3), (3, copy[1], 2), (5, 5, 3)] == small.extents("f1")  # where the first copy goes on
    data, log = 1, 4 + 2  # with the log's descriptor and its commit block
    assert (data + log) * 8 == small.user.machine.queue.stats.write_sectors - written


def test_a_file_keeps_its_count_of_blocks(small: Small) -> None:
    """i_blocks counts what is shared: a copy changes nothing of it."""
    small.do(("write", 1, 0, 20_000), ("fsync", 1, 0, 0))
    assert (5, 0) == (small.reflink.copied_blocks, small.user.open["f1"].taken)


def test_neighbours_that_are_copied_are_one_extent(small: Small) -> None:
    """Eight blocks written one by one and synced at once: one copy, one extent; nothing is shared then."""
    writes: list[Step] = [("write", 1, 4096 * at, 4096) for at in (5, 2, 7, 0, 1, 3, 6, 4)]
    called = small.do(*writes, ("fsync", 1, 0, 0))
    assert [9, 1, 1, 0, 1] == [called[symbol] for symbol in ASKED]
    assert 1 == len(small.extents("f1"))
    assert [] == small.records()
    in_place = small.do(("write", 0, 0, 32 * KIB), ("fsync", 0, 0, 0))
    assert 0 == in_place["ext4_mb_new_blocks"]
    assert [(0, 0, 8)] == small.extents("f0")


def test_the_last_one_writes_in_place(small: Small) -> None:
    """
    Both have the block dirty, both were promised another: whoever is written back first moves, the other then
    has the block alone, and gives its promise back.
    """
    writes: list[Step] = [("write", 0, 4096, 4096), ("write", 1, 4096, 4096)]
    called = small.do(*writes, ("fsync", 1, 0, 0), ("fsync", 0, 0, 0))
    assert [4, 1, 1, 2, 1] == [called[symbol] for symbol in ASKED]
    assert [(0, 0, 8)] == small.extents("f0")
    assert (0, 0) == (small.user.open["f0"].reserved, small.user.open["f1"].reserved)
    assert 0 == small.allocator.mb.dirty


def test_two_are_written_back_at_once(small: Small) -> None:
    """
    The first asks who has the block and then sleeps, for a bitmap is not in memory; the second must not ask
    before the first has changed the count.
    """
    user = small.user
    small.do(("write", 0, 4096, 4096), ("write", 1, 4096, 4096))

    def doing() -> Generator[Any, Any, None]:
        for number in range(2):
            task, inode = user.machine.cpu.task(number, f"sync {number}"), user.open[f"f{number}"]
            user.machine.clock.process(user.mounted.fsync(task, inode))
        yield user.machine.clock.timeout(0)

    user.run(doing())
    user.mounted.write_out()
    assert 1 == small.reflink.copied_blocks
    assert 0 == small.allocator.mb.dirty


def test_a_commit_waits_for_a_copy(small: Small) -> None:
    """Write-back alone: the transaction that maps the copy has to wait for the inode's data."""
    user, seen = small.user, list[dict[int, int]]()
    small.do(("write", 1, 3 * 4096, 4096))

    def doing() -> Generator[Any, Any, None]:
        yield from user.mounted.writer.sync.write_range(user.task, user.open["f1"])
        journal = user.mounted.writer.journal
        assert journal is not None
        assert journal.running is not None
        seen.append(dict(journal.running.inodes))
        yield from user.mounted.fsync(user.task, user.open["f1"])

    user.run(doing())
    assert [{user.open["f1"].number: WAITS}] == seen


def test_a_part_of_a_block(small: Small) -> None:
    """The rest is read from where the block was, once; the other file's is as it was."""
    stats = small.user.machine.queue.stats
    before = stats.queued - stats.write_bios
    small.do(("write", 1, 4096 + 100, 10), ("write", 1, 4096 + 300, 10), ("fsync", 1, 0, 0))
    assert 1 == stats.queued - stats.write_bios - before - stats.flushes
    small.user.mounted.write_out()


def test_a_clone_is_made(small: Small) -> None:
    """By hand: a third file has f1's three extents, each shared in a handle; a leaf changes each time."""
    small.do(*COPIED)
    called = small.do(("clone", 2, 1, 0))
    assert [1, 3, 3, 1] == [called[symbol] for symbol in CLONING]
    assert small.extents("f1") == small.extents("f2")
    copy = small.extents("f1")[1][1]
    assert sorted([(0, 3, 3), (4, 4, 3), (copy, 1, 2)]) == small.records()
    called = small.do(*COPIED)
    assert 1 == called["ext4_mb_new_blocks"]  # what it had alone before it has no more
    small.user.mounted.write_out()


def test_a_clone_has_holes_for_what_is_unwritten(naive: Naive) -> None:
    """Of data, hole and unwritten blocks in turn only data is shared, and the size is the source's."""
    user = naive.user()
    user.run(user.do([("clone", 3, 2, 0)], closes=False))
    shared = user.open["f3"]
    written = [extent for extent in user.volume.lookup("/f2").tree.extents if not extent.unwritten]
    assert (written, 20_000) == (shared.tree.extents(), shared.size)
    assert all(logical % 4 == 0 for logical, *_ in written)
    user.mounted.write_out()


def test_counts_that_need_more_leaves(tmp_path: Path) -> None:
    """
    Every second block of 200 is written over, in order: 100 records, where a leaf of 1 KiB has room for 63. A
    full leaf is cut in halves twice, the file of counts grows in the transaction, and e2fsck finds nothing.
    """
    job = line_of(
        "--name=a --filename=b --rw=write:1k --bs=1k --size=200k --io_size=100k --fsync=7 --end_fsync=1"
    )
    files = '[{ name = "a", size = "200KiB" }, { name = "b", clone_of = "a" }]'
    text = cell_text(f'block_size = "1KiB"\njournal = "1MiB"\nfiles = {files}', job, crash="")
    run = played(text, tmp_path)
    image = check_written(run, tmp_path)
    assert (100, 3 * KIB) == (space(image).shared, image.lookup("/.refcounts").size_bytes)
    assert (100, 200) == (run.result.metrics["cow_blocks"], run.result.metrics["file_extents"])


def test_taking_a_clone_away(small: Small) -> None:
    """What the other has stays, the copy is free again: one call of the allocator."""
    before = small.allocator.mb.free
    small.do(*COPIED)
    assert before - 1 == small.allocator.mb.free
    called = small.do(("unlink", 1, 0, 0), ("fsync", 0, 0, 0))
    assert 1 == called["ext4_free_blocks"]
    assert before == small.allocator.mb.free
    assert [] == small.records()


def test_too_few_free_blocks(tmp_path: Path) -> None:
    """Where ext4 would no longer delay, a shared block is not written in place: an error says so."""
    user = Naive(tmp_path, cloned(tmp_path, 2 << 20, KIB)).user()
    with pytest.raises(ReadpathError, match="too few blocks are free to write shared ones elsewhere"):
        user.run(user.do([("write", 1, 0, 2 << 20)]))


READ = "--name=a --filename=b --rw=read"
WRITE = "--name=a --filename=b --rw=write"
CLONE = '{ name = "b", clone_of = "a" }'


ABSENT = '{ name = "c", clone_of = "a", layout = { kind = "absent" } }'
REFUSED = {
    "no file above it; allowed: a": ('{ name = "b", clone_of = "x" }', READ, ""),
    "clone_of 'c', a file of layout 'empty'; allowed": (
        '{ name = "c", size = "4KiB", layout = { kind = "empty" } }, { name = "b", clone_of = "c" }',
        READ,
        "",
    ),
    "and a size of its own; allowed: no": ('{ name = "b", clone_of = "a", size = "8KiB" }', READ, ""),
    "and layout 'hole'; allowed: no": (
        '{ name = "b", clone_of = "a", layout = { kind = "hole" } }',
        READ,
        "",
    ),
    "scheme 'fscrypt-v2': see readpath": (CLONE, READ, '[encryption]\nscheme = "fscrypt-v2"'),
    "with volume.verity; allowed": (f"{CLONE}]\nverity = true #", READ, ""),
    "'per_extent', a list for each": (CLONE, READ, '[checksums]\nlayout = "per_extent"'),
    "'absent' and checksums.layout": (f"{CLONE}, {ABSENT}", READ, '[checksums]\nlayout = "table_data"'),
    "data 'writeback', delalloc true": (CLONE, WRITE, '[mount]\ndata = "writeback"'),
    "data 'ordered', delalloc false": (CLONE, WRITE, "[mount]\ndelalloc = false"),
    "crash with layout 'absent': what is left": (
        f"{CLONE}, {ABSENT}",
        WRITE,
        '[crash]\nat = "bios"',
    ),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_is_not_modelled_is_refused(tmp_path: Path, said: str) -> None:
    """One line that says what does not go together, and what does."""
    clone, job, more = REFUSED[said]
    volume = f'journal = "4MiB"\nfiles = [{{ name = "a", size = "64KiB" }}, {clone}]'
    text = cell_text(volume, line_of(job), crash="").replace("[mount]", "")
    (tmp_path / "x.toml").write_text(f"{text}\n{more}\n")
    with pytest.raises(ConfigError) as caught:
        load_experiment(tmp_path / "x.toml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["buffer_head", "mpage", "iomap"])
def test_a_given_image_is_held_to_the_same(tmp_path: Path, path: str) -> None:
    """Files of an image that share blocks are never written in place: who would is refused at the mount."""
    cloned(tmp_path, 64 * KIB, 1 << 20)
    job = line_of("--name=a --filename=f1 --rw=write")
    text = cell_text('image = "x.img"', job, crash="").replace("title", f'path = "{path}"\ntitle', 1)
    with pytest.raises(
        ConfigError, match=f"share blocks, on a volume that is written, with write-back of '{path}'"
    ):
        played(text, tmp_path)


def test_an_image_without_counts(tmp_path: Path) -> None:
    """Who says that blocks are shared, and not by whom, is not written to; nor one whose counts are wrong."""
    path = cloned(tmp_path, 64 * KIB, 1 << 20)
    text = cell_text('image = "x.img"', line_of("--name=a --filename=f1 --rw=write"), crash="")
    first = Image.open(path).lookup("/.refcounts").tree.extents[0].physical
    with path.open("r+b") as file:
        file.seek(first * 4 * KIB)
        file.write(encode_leaf([], 4 * KIB))
    with pytest.raises(ImageError, match=r"refcounts\): blocks 1033 to 1048: no record, 2 files have them"):
        played(text, tmp_path)
    debugfs(path, "rm /.refcounts", write=True)
    with pytest.raises(ImageError, match="has shared_blocks, and no counts of who has them"):
        played(text, tmp_path)


@pytest.mark.parametrize("mount", ["dioread_nolock = false", "barrier = false"])
def test_on_dm_crypt(tmp_path: Path, mount: str) -> None:
    """Below the file system blocks are encrypted by their place: a copy is as any block."""
    jobs = line_of(
        "--name=a --filename=b --rw=randwrite --bs=3k --size=250k --fsync=5",
        "--name=b --filename=a --rw=randread --bs=4k --size=250k",
    )
    crypt = '[encryption]\nscheme = "dm-crypt"\nsector_size = 512'
    run = played(cell_text(CLONED.format(size="1KiB"), jobs, mount, crash="", more=crypt), tmp_path)
    image = check_written(run, tmp_path)
    assert real_counts(image) == counts_of(image)
    assert run.result.metrics["cow_blocks"] > 200


def test_blocks_that_are_written_over_before_the_run(tmp_path: Path) -> None:
    """
    A quarter of a clone lies elsewhere, block by block; the table of checksums serves both files, and what is
    read is what a reader of the image reads.
    """
    volume = """rewritten = 0.25
files = [{ name = "a", size = "256KiB" }, { name = "b", clone_of = "a" }]"""
    sums = '[checksums]\nlayout = "table_data"'
    jobs = line_of("--name=a --filename=b --rw=read --bs=128k", "--name=b --filename=a --rw=randread --bs=4k")
    cell, path = cell_of(cell_text(volume, jobs, crash="", more=sums), tmp_path)
    image = Image.open(path)
    e2fsck(path)
    assert real_counts(image) == counts_of(image)
    assert (48, 16) == (space(image).shared, len(set(blocks_of(image, "/b")) - set(blocks_of(image, "/a"))))
    found = run_cell(cell, path, trace=False).metrics
    assert (1, 128) == (found["digest_ok"], found["checksums_verified"])


def blocks_of(image: Image, path: str) -> list[int]:
    """Return where the blocks of a file lie."""
    return [e.physical + at for e in image.lookup(path).tree.extents for at in range(e.length)]
