"""Clones on an image: shared extents, right counts, what e2fsck says of them; against a naive model."""

from __future__ import annotations

import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from naive_files import real_counts
from tools import debugfs, e2fsck, e2fsck_says, tool

from sim.errors import ImageError
from sim.ext4.check.run import check_image
from sim.ext4.edit.editor import ImageEditor
from sim.ext4.edit.reflink import ReflinkEditor, space
from sim.ext4.format import refcounts
from sim.ext4.format.features import RoCompat
from sim.ext4.make.layout import Fragmented, Pattern
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.counts import COUNTS_PATH, counts_of
from sim.ext4.read.reader import Image

BLOCK = 1024


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image with a file in pieces and one with holes and unwritten blocks."""
    path = tmp_path / "a.img"
    files = (FileSpec("/a", 20 * BLOCK, Fragmented(3)), FileSpec("/b", 12 * BLOCK, Pattern("2d1h1u")))
    make_image(path, ImageSpec(files, BLOCK, size_bytes=400 * BLOCK, seed=5))
    return path


def contents(path: Path, name: str) -> bytes:
    """Return a file's contents."""
    opened = Image.open(path)
    return opened.read_file(opened.lookup(name))


def clone(path: Path, *pairs: tuple[str, str]) -> None:
    """Clone files."""
    editor = ReflinkEditor(path)
    for source, target in pairs:
        editor.clone(source, target)
    editor.commit()


def test_a_clone(image: Path, tmp_path: Path) -> None:
    """The same contents, no block of data more; e2fsck finds nothing, debugfs reads the counts."""
    before, data = space(Image.open(image)), {name: contents(image, name) for name in ("/a", "/b")}
    clone(image, ("/a", "/a2"), ("/b", "/b2"), ("/a2", "/a3"))
    e2fsck(image)
    for name in ("/a", "/a2", "/a3"):
        assert data["/a"] == contents(image, name)
    assert data["/b"] == contents(image, "/b2")
    opened = Image.open(image)
    after = space(opened)
    assert (before.used + 1, 26) == (after.used, after.shared)  # the file of counts has one block
    assert after.files == before.files + 1 + 20 + 20 + 6  # of /b, what is unwritten is not shared
    counts = counts_of(opened)
    assert {3: 20, 2: 6} == {n: list(counts.values()).count(n) for n in set(counts.values())}
    assert opened.superblock.has(RoCompat.SHARED_BLOCKS)
    assert (
        b"shared_blocks"
        in subprocess.run([tool("dumpe2fs"), "-h", str(image)], capture_output=True, check=True).stdout
    )
    debugfs(image, f"dump {COUNTS_PATH} {tmp_path / 'counts'}")
    assert counts == refcounts.decode([(tmp_path / "counts").read_bytes()], "as debugfs reads it")


def test_what_e2fsck_says_without_the_feature(image: Path) -> None:
    """Multiply-claimed blocks: so the feature is what keeps whoever does not know the counts from writing."""
    clone(image, ("/a", "/a2"))
    editor = ReflinkEditor(image)
    editor.add_ro_compat(0, clear=int(RoCompat.SHARED_BLOCKS))
    with pytest.raises(ImageError, match="has another owner"):
        editor.commit()
    debugfs(image, "feature -shared_blocks", write=True)
    code, said = e2fsck_says(image)
    assert (4, True) == (code, "ultiply-claimed" in said)


def test_e2fsck_gives_each_file_its_own(image: Path) -> None:
    """`e2fsck -E unshare_blocks`: the same contents, the feature gone, nothing left to mend."""
    data = contents(image, "/a")
    clone(image, ("/a", "/a2"))
    subprocess.run(
        [tool("e2fsck"), "-fy", "-E", "unshare_blocks", str(image)], capture_output=True, check=False
    )
    e2fsck(image)
    opened = Image.open(image)
    assert not opened.superblock.has(RoCompat.SHARED_BLOCKS)
    assert {} == real_counts(opened)
    assert data == contents(image, "/a") == contents(image, "/a2")


def test_copy_on_write(image: Path) -> None:
    """One file changes, the other does not; the first write of a block moves it, the second is in place."""
    data, fresh = contents(image, "/a"), [bytes([n]) * BLOCK for n in (1, 2)]
    clone(image, ("/a", "/a2"))
    editor = ReflinkEditor(image)
    first = editor.write_shared("/a2", {4: fresh[0]})
    second = editor.write_shared("/a2", {4: fresh[1]})
    assert [(1, 1), (0, 0)] == [(one.extents, one.copied_blocks) for one in (first, second)]
    editor.commit()
    e2fsck(image)
    assert data == contents(image, "/a")
    assert data[: 4 * BLOCK] + fresh[1] + data[5 * BLOCK :] == contents(image, "/a2")
    assert real_counts(Image.open(image)) == counts_of(Image.open(image))
    assert 19 == space(Image.open(image)).shared
    with pytest.raises(ImageError, match="block 2 is a hole"):
        ReflinkEditor(image).write_shared("/b", {2: fresh[0]})


def test_deleting_and_unsharing(image: Path) -> None:
    """What another file has stays; the last of two takes counts and feature with it."""
    data = contents(image, "/a")
    clone(image, ("/a", "/a2"), ("/a", "/a3"))
    editor = ReflinkEditor(image)
    editor.remove("/a")
    assert 20 == editor.unshare_blocks("/a2").copied_blocks
    editor.commit()
    e2fsck(image)
    assert data == contents(image, "/a2") == contents(image, "/a3")
    opened = Image.open(image)
    assert not opened.superblock.has(RoCompat.SHARED_BLOCKS)
    assert {} == counts_of(opened) == real_counts(opened)
    assert COUNTS_PATH[1:] not in [name for name, _inode in opened.children(opened.lookup("/"))]
    ImageEditor(image)  # any editor may change it again


def test_another_editor_refuses(image: Path) -> None:
    """One that does not keep the counts would write into two files at once."""
    clone(image, ("/a", "/a2"))
    with pytest.raises(ImageError, match="shared_blocks is not kept up here"):
        ImageEditor(image)


def test_a_file_of_the_name_that_is_somebodys(tmp_path: Path) -> None:
    """It is not read for counts, may be deleted, and stands in the way of a clone, which is told."""
    path = tmp_path / "a.img"
    make_image(
        path, ImageSpec((FileSpec("/a", 3000), FileSpec(COUNTS_PATH, 2000)), BLOCK, size_bytes=200 * BLOCK)
    )
    with pytest.raises(ImageError, match="refcounts: is there already"):
        ReflinkEditor(path).clone("/a", "/a2")
    editor = ReflinkEditor(path)
    editor.remove(COUNTS_PATH)
    editor.clone("/a", "/a2")
    editor.commit()
    e2fsck(path)


def test_damaged_counts(image: Path) -> None:
    """A flipped bit, and counts that are not those of the files: told, nothing changed."""
    clone(image, ("/a", "/a2"))
    raw = bytearray(image.read_bytes())
    at = raw.index(b"rprc")
    raw[at + 20] ^= 1
    image.write_bytes(raw)
    with pytest.raises(ImageError, match="the checksum of the reference counts is wrong"):
        ReflinkEditor(image)
    right = counts_of_bytes(raw, at)
    (first, *_rest) = right
    raw[at : at + BLOCK] = refcounts.encode({**right, first: 7}, BLOCK)[0]
    image.write_bytes(raw)
    with pytest.raises(ImageError, match=f"block {first}: 7 files are counted, 2 files have it"):
        ReflinkEditor(image)


def counts_of_bytes(raw: bytearray, at: int) -> dict[int, int]:
    """Return the counts in a block whose flipped bit is set right first."""
    block = bytearray(raw[at : at + BLOCK])
    block[20] ^= 1
    return refcounts.decode([bytes(block)], "here")


@given(st.dictionaries(st.integers(0, 3000), st.integers(1, 4), max_size=200), st.sampled_from([1024, 4096]))
def test_records(counts: dict[int, int], block_size: int) -> None:
    """What was counted is read back, as few records as there are runs, blocks full."""
    blocks = refcounts.encode(counts, block_size)
    shared = {block: count for block, count in counts.items() if count > 1}
    assert shared == refcounts.decode(blocks, "here")
    runs = refcounts.runs_of(counts)
    assert all(a[0] + a[1] < b[0] or a[2] != b[2] for a, b in pairwise(runs))
    assert len(blocks) == max(-(-len(runs) // refcounts.records_per_block(block_size)), 1)


operations = st.lists(
    st.tuples(
        st.sampled_from(["clone", "write", "unshare", "remove"]), st.integers(0, 9), st.integers(0, 19)
    ),
    max_size=9,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(operations)
def test_against_a_naive_model(
    tmp_path_factory: pytest.TempPathFactory, done: list[tuple[str, int, int]]
) -> None:
    """Files are independent bytes whatever is shared; counts and free blocks are right after each step."""
    path = tmp_path_factory.mktemp("model") / "a.img"
    make_image(path, ImageSpec((FileSpec("/f0", 20 * BLOCK, Fragmented(3)),), BLOCK, size_bytes=400 * BLOCK))
    model = {"/f0": contents(path, "/f0")}
    editor = ReflinkEditor(path)
    for number, (what, which, block) in enumerate(done, start=1):
        if not model:
            break
        name = sorted(model)[which % len(model)]
        if what == "clone":
            editor.clone(name, f"/f{number}")
            model[f"/f{number}"] = model[name]
        elif what == "write":
            data = bytes([number]) * BLOCK
            editor.write_shared(name, {block: data})
            model[name] = model[name][: block * BLOCK] + data + model[name][(block + 1) * BLOCK :]
        elif what == "unshare":
            editor.unshare_blocks(name)
        else:
            editor.remove(name)
            del model[name]
        assert real_counts(editor.image) == counts_of(editor.image)
        assert model == {name: editor.image.read_file(editor.image.lookup(name)) for name in model}
    editor.commit()
    e2fsck(path)
    assert [] == check_image(Image.open(path))
