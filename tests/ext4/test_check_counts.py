"""`image check` on counts of shared blocks that are not those of the files: bytes of an image changed."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from sim.cli.main import app
from sim.ext4.check.counts import wrong_runs
from sim.ext4.check.run import check_image
from sim.ext4.edit.reflink import ReflinkEditor
from sim.ext4.format.extents import Extent
from sim.ext4.format.refcounts import Record, decode_leaf, encode_leaf, records_per_block, runs_of
from sim.ext4.make.layout import Fragmented
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.counts import counts_inode
from sim.ext4.read.reader import Image

BLOCK = 1024
Change = Callable[[list[Record]], list[Record]]


@pytest.fixture(scope="module")
def cloned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image on which three files have 20 blocks, two files 8 more, two others 100 pieces: two leaves."""
    path = tmp_path_factory.mktemp("counts") / "v.img"
    files = (
        FileSpec("/a", 20 * BLOCK),
        FileSpec("/b", 8 * BLOCK),
        FileSpec("/c", 100 * BLOCK, Fragmented(1)),
    )
    make_image(path, ImageSpec(files, BLOCK, size_bytes=600 * BLOCK, seed=5))
    editor = ReflinkEditor(path)
    for source, target in (("/a", "/a2"), ("/a", "/a3"), ("/b", "/b2"), ("/c", "/c2")):
        editor.clone(source, target)
    editor.commit()
    return path


def problems(path: Path, folder: Path, change: Change, leaf: int = 0) -> list[str]:
    """Return what check tells of the image with the records of a block of counts changed."""
    image = Image.open(path)
    inode = counts_inode(image)
    assert inode is not None
    place = inode.tree.extents[0].physical + leaf
    raw = bytearray(path.read_bytes())
    records = decode_leaf(bytes(raw[place * BLOCK : (place + 1) * BLOCK]), "here")
    raw[place * BLOCK : (place + 1) * BLOCK] = encode_leaf(change(records), BLOCK)
    (folder / "x.img").write_bytes(raw)
    own = f"inode {inode.number} (/.refcounts): "
    return [problem.removeprefix(own) for problem in check_image(Image.open(folder / "x.img"))]


def test_counts_that_are_right(cloned: Path) -> None:
    """Nothing is told; there are two leaves and more, and records of two and of three files."""
    image = Image.open(cloned)
    inode = counts_inode(image)
    assert inode is not None
    assert [] == check_image(image)
    assert 2 <= inode.blocks
    assert {2, 3} == {files for _first, _length, files in decode_leaf(first_leaf(image), "here")}


def first_leaf(image: Image) -> bytes:
    """Return the first block of counts."""
    inode = counts_inode(image)
    assert inode is not None
    return bytes(image.read_block(inode.tree.extents[0].physical))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda at: at[1:], "no record, 3 files have them"),
        (lambda at: [(*at[0][:2], 2), *at[1:]], "2 files are counted, 3 files have them"),
        (lambda at: [(*at[0][:2], 9), *at[1:]], "9 files are counted, 3 files have them"),
    ],
)
def test_a_record_that_is_wrong(cloned: Path, tmp_path: Path, change: Change, told: str) -> None:
    """One line for the run of 20 blocks: a record is missing, counts too few, too many."""
    (line,) = problems(cloned, tmp_path, change)
    first = decode_leaf(first_leaf(Image.open(cloned)), "here")[0][0]
    assert f"blocks {first} to {first + 19}: {told}" == line


def test_a_record_without_sharers(cloned: Path, tmp_path: Path) -> None:
    """Blocks that one file has, and blocks that none has: a line each, though one record says both."""
    free = 590
    (line,) = problems(cloned, tmp_path, lambda at: [*at, (free, 3, 2)], leaf=1)
    assert f"blocks {free} to {free + 2}: 2 files are counted, no file has them" == line
    alone = Image.open(cloned).lookup("/.refcounts").tree.extents[0].physical
    found = problems(cloned, tmp_path, lambda at: sorted([*at, (alone, 1, 2)]), leaf=1)
    assert [f"block {alone}: 2 files are counted, one file has it"] == found


def test_a_part_of_a_run(cloned: Path, tmp_path: Path) -> None:
    """A record that ends too early: what is left has none."""
    found = problems(cloned, tmp_path, lambda at: [(at[0][0], at[0][1] - 1, at[0][2]), *at[1:]])
    last = sum(decode_leaf(first_leaf(Image.open(cloned)), "here")[0][:2]) - 1
    assert [f"block {last}: no record, 3 files have it"] == found


def test_damaged_blocks_of_counts(cloned: Path, tmp_path: Path) -> None:
    """A flipped bit is told by the block's checksum; a record in two leaves, as such; nothing else then."""
    image = Image.open(cloned)
    place = image.lookup("/.refcounts").tree.extents[0].physical
    raw = bytearray(cloned.read_bytes())
    raw[place * BLOCK + 30] ^= 4
    (tmp_path / "y.img").write_bytes(raw)
    (line,) = check_image(Image.open(tmp_path / "y.img"))
    assert line.endswith("(/.refcounts): block 0: the checksum of the reference counts is wrong")
    record = decode_leaf(first_leaf(image), "here")[0]
    (line,) = problems(cloned, tmp_path, lambda at: [record, *at[1:]], leaf=1)
    assert f"has block {record[0]}, as another" in line


def test_the_command(cloned: Path, tmp_path: Path) -> None:
    """Exit code and form are those of any other damage."""
    runner = CliRunner()
    assert 0 == runner.invoke(app, ["image", "check", str(cloned)]).exit_code
    problems(cloned, tmp_path, lambda at: at[1:])
    done = runner.invoke(app, ["image", "check", str(tmp_path / "x.img"), "--json"])
    assert 1 == done.exit_code
    assert "no record, 3 files have them" in json.loads(done.stdout)["problems"][0]


def test_counts_of_nobody(cloned: Path, tmp_path: Path) -> None:
    """The feature without the file, as on Android's images: nothing to hold against anything."""
    raw = bytearray(cloned.read_bytes())
    at = raw.index(b".refcounts")
    raw[at : at + 10] = b".REFCOUNTS"
    (tmp_path / "z.img").write_bytes(raw)
    assert [] == check_image(Image.open(tmp_path / "z.img"))


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=9),
    st.dictionaries(st.integers(0, 70), st.integers(0, 4), max_size=30),
)
def test_runs_against_a_count_block_by_block(runs: list[tuple[int, int]], said: dict[int, int]) -> None:
    """Every block that is wrong is in one line, no other is in any, and lines are as few as they can be."""
    lines = wrong_runs(runs_of(said), [Extent(0, first, length, False) for first, length in runs])
    wrong = {}
    for block in range(80):
        real = sum(first <= block < first + length for first, length in runs)
        counted = said.get(block, 0) if said.get(block, 0) > 1 else 0
        if counted != (real if real > 1 else 0):
            wrong[block] = (counted, real)
    pieces = sum(1 for a, b in pairwise([-9, *sorted(wrong)]) if b != a + 1 or wrong[b] != wrong.get(a))
    assert pieces == len(lines)
    told = set()
    for line in lines:
        words = line.split(":")[0].split()
        told |= set(range(int(words[1]), int(words[-1]) + 1))
    assert set(wrong) == told


def test_room() -> None:
    """The module's leaves: 100 files' records do not fit into one block of 1 KiB."""
    assert 63 == records_per_block(BLOCK)
    assert 16 == struct.calcsize("<QII")
