"""
Images changed by us, judged by e2fsck and debugfs: xattrs in every place, files removed, checksums kept.
"""

from __future__ import annotations

import hashlib
import re
import struct
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tools import MKE2FS_KINDS, debugfs, e2fsck, mke2fs, tool

from sim.errors import ImageError
from sim.ext4.check.run import check_image
from sim.ext4.edit.commit import commit_aside
from sim.ext4.edit.editor import ImageEditor
from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.edit.scrub import find_words, wipe_words, words_of
from sim.ext4.format.crc32c import crc32c
from sim.ext4.make.layout import Fragmented
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.own_blocks import own_blocks_of
from sim.ext4.read.reader import Image
from sim.ext4.store import MemoryStore, identity

BIG, HUGE = b"B" * 3000, hashlib.shake_128(b"huge").digest(50_000)
SETS: list[dict[tuple[int, bytes], bytes]] = [
    {(1, b"a"): b"small"},
    {(1, b"a"): b"small", (1, b"b"): b"m" * 300},
    {(1, b"huge"): HUGE, (1, b"big"): BIG},
    {(1, f"n{number}".encode()): HUGE[:2000] for number in range(9)},
    {},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A few files for mke2fs: names enough for several directory blocks, one of them twice."""
    source = tmp_path / "source"
    (source / "d").mkdir(parents=True)
    (source / "file").write_bytes(HUGE)
    (source / "empty").write_bytes(b"")
    (source / "link").symlink_to("file")
    for number in range(60):
        (source / "d" / f"a-rather-long-name-{number:04d}").write_bytes(b"x" * number)
    return source


def make(path: Path, kind: str, folder: Path) -> None:
    """Make an image of a kind: by mke2fs, or by us."""
    if kind == "ours":
        names = [f"/d/a-rather-long-name-{number:04d}" for number in range(60)]
        files = [FileSpec(name, number) for number, name in enumerate(names)]
        make_image(path, ImageSpec((FileSpec("/file", 50_000, Fragmented(1)), *files), 1024, 4 << 20))
    else:
        mke2fs(path, folder, *MKE2FS_KINDS[kind])


@pytest.mark.parametrize("kind", ["ours", *MKE2FS_KINDS])
def test_xattrs_in_every_place(tmp_path: Path, folder: Path, kind: str) -> None:
    """
    Whatever was there before, an inode has the new xattrs; e2fsck agrees, and debugfs reads the same
    values.
    """
    path = tmp_path / "a.img"
    make(path, kind, folder)
    free = Image.open(path).superblock.free_blocks_count
    for xattrs in SETS:
        editor = ImageEditor(path)
        number = editor.image.lookup("/file").number
        editor.set_xattrs(number, xattrs)
        editor.commit()
        image = Image.open(path)
        assert xattrs == image.lookup("/file").xattrs
        e2fsck(path)
        for (_index, name), value in xattrs.items():
            said = debugfs(path, f"ea_get <{number}> user.{name.decode()}")
            assert value in said or value.hex(" ").encode() in said
    assert free == Image.open(path).superblock.free_blocks_count


@pytest.mark.parametrize("kind", ["ours", *MKE2FS_KINDS])
def test_removing_files_frees_everything(tmp_path: Path, folder: Path, kind: str) -> None:
    """Files of all kinds go, and blocks and inodes are free again: as many as debugfs's own rm gives back."""
    path, other = tmp_path / "a.img", tmp_path / "b.img"
    make(path, kind, folder)
    editor = ImageEditor(path)
    editor.set_xattrs(editor.image.lookup("/file").number, {(1, b"huge"): HUGE, (1, b"big"): BIG[:900]})
    editor.commit()
    other.write_bytes(path.read_bytes())
    names = ["/file", *(f"/d/a-rather-long-name-{number:04d}" for number in (0, 7, 3, 59, 40))]
    names += [] if kind == "ours" else ["/link", "/empty"]
    editor = ImageEditor(path)
    for name in names:
        editor.remove(name)
    editor.commit(in_place=True)
    e2fsck(path)
    image = Image.open(path)
    assert not {name for name, _inode in image.walk()} & set(names)
    if kind != "ours":
        debugfs(other, *(f"rm {name}" for name in names[1:]), write=True)
        mine, theirs = image.superblock, Image.open(other).superblock
        left = -(-len(HUGE) // mine.block_size) * 2 + 1  # contents, ea_inode, xattr block of /file
        assert theirs.free_blocks_count + left == mine.free_blocks_count
        assert theirs.free_inodes_count + 2 == mine.free_inodes_count
    assert b"a-rather-long-name-0040" not in path.read_bytes()
    with pytest.raises(ImageError, match="there is no 'file'"):
        ImageEditor(path).remove("/file")
    with pytest.raises(ImageError, match="is a directory"):
        ImageEditor(path).remove("/d")


def test_hard_links_go_one_by_one(tmp_path: Path, folder: Path) -> None:
    """The first of two names takes nothing but the name; the second takes the file."""
    path = tmp_path / "a.img"
    (folder / "second").hardlink_to(folder / "file")
    mke2fs(path, folder)
    editor = ImageEditor(path)
    assert 0 == editor.remove("/file")
    editor.commit()
    e2fsck(path)
    image = Image.open(path)
    assert HUGE == image.read_file(image.lookup("/second"))
    editor = ImageEditor(path)
    assert 0 < editor.remove("/second")
    editor.commit()
    e2fsck(path)


def test_what_cannot_be_changed(tmp_path: Path, folder: Path) -> None:
    """An image that is not sound, or that uses what is not kept up, is refused before any change."""
    path = tmp_path / "a.img"
    for options, word in (
        ("^metadata_csum,uninit_bg", "uninit_bg"),
        ("quota", "quota"),
        ("meta_bg,^resize_inode", "meta_bg"),
        ("inline_data", "inline_data"),
    ):
        mke2fs(path, folder, "-O", options)
        with pytest.raises(ImageError, match=f"cannot be changed: {word}"):
            ImageEditor(path)
    mke2fs(path, folder, "-O", "^extents,^metadata_csum,^64bit")
    with pytest.raises(ImageError, match=r"indirect blocks"):
        ImageEditor(path).remove("/file")
    make(path, "ours", folder)
    data = bytearray(path.read_bytes())
    data[1024 + 0x0C] ^= 1
    path.write_bytes(data)
    with pytest.raises(ImageError, match="is not sound"):
        ImageEditor(path)
    data[1024 + 0x0C] ^= 1
    data[1024 + 0x3A] = 0
    path.write_bytes(data)
    with pytest.raises(ImageError, match="not unmounted cleanly"):
        ImageEditor(path)


def test_no_room_is_an_error_and_no_change(tmp_path: Path) -> None:
    """Where blocks run out, the image stays as it was to the byte."""
    path = tmp_path / "a.img"
    make_image(path, ImageSpec((FileSpec("/file", 980_000),), 1024, 1 << 20))
    before = path.read_bytes()
    editor = ImageEditor(path)
    with pytest.raises(ImageError, match="needs 63 blocks"):
        editor.set_xattrs(editor.image.lookup("/file").number, {(1, b"huge"): bytes(64_000)})
    many = {(1, f"{number:0200d}".encode()): b"" for number in range(9)}
    with pytest.raises(ImageError, match="bytes of xattrs"):
        editor.set_xattrs(editor.image.lookup("/file").number, many)
    assert before == path.read_bytes()


def test_commit_aside_leaves_the_old_image_to_who_has_it_open(tmp_path: Path) -> None:
    """A rename: the old file is whole for whoever opened it, holes stay holes, and the mode is kept."""
    path = tmp_path / "a.img"
    with path.open("wb") as file:
        file.truncate(64 << 20)
    path.chmod(0o640)
    with path.open("rb") as old:
        commit_aside(path, [(1 << 20, b"new")], as_read=identity(path.stat()))
        assert bytes(3) == old.read(3)
        old.seek(1 << 20)
        assert bytes(3) == old.read(3)
    assert b"new" == path.read_bytes()[1 << 20 :][:3]
    assert path.stat().st_blocks * 512 < 1 << 20
    assert 0o640 == path.stat().st_mode & 0o777
    assert [path] == list(tmp_path.iterdir())


def blocks_in(text: str) -> set[int]:
    """Return the blocks in ranges as dumpe2fs writes them."""
    found = re.findall(r"(\d+)(?:-(\d+))?", text)
    return {block for first, last in found for block in range(int(first), int(last or first) + 1)}


@pytest.mark.parametrize(
    "options",
    [
        ("-b", "1024"),
        ("-b", "1024", "-O", "^flex_bg"),
        ("-b", "1024", "-G", "4", "-N", "9000"),
        ("-b", "1024", "-O", "sparse_super2,^resize_inode"),
        ("-b", "1024", "-O", "^sparse_super,^resize_inode"),
        ("-b", "1024", "-g", "256", "-G", "16", "-N", "20000", "-O", "^resize_inode"),  # tables across groups
    ],
)
def test_free_runs_are_those_of_dumpe2fs(tmp_path: Path, options: tuple[str, ...]) -> None:
    """
    Free blocks, also of groups whose bitmap was never written, are libext2fs'; a descriptor is read twice.
    """
    path = tmp_path / "a.img"
    (tmp_path / "source").mkdir()
    mke2fs(path, tmp_path / "source", *options, size="66000k")
    words = [tool("dumpe2fs"), str(path)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert "BLOCK_UNINIT" in said
    free = blocks_in("\n".join(re.findall(r"^  Free blocks: (.*)$", said, re.MULTILINE)))
    groups = ImageEditor(path)._groups
    found = groups.free_runs(uninitialised=True)
    assert free == {block for first, length in found for block in range(first, first + length)}
    assert set(groups.free_runs()) < set(found)
    reads: list[int] = []
    group = groups._image.group
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups._image, "group", lambda number: (reads.append(number), group(number))[1])
        groups.free_runs(uninitialised=True)
    sb = groups._image.superblock
    assert 2 * sb.groups_count == len(reads)
    own = {
        block
        for group, runs in own_blocks_of(groups._image).items()
        for run in runs
        for block in sb.group_blocks(group)[run.start : run.stop]
    }
    places = (
        r"(?:Primary superblock|Backup superblock|[Gg]roup descriptors|GDT blocks|bitmap|table) at ([-\d]+)"
    )
    assert blocks_in("\n".join(re.findall(places, said))) == own


@given(st.lists(st.tuples(st.integers(0, 12_000), st.binary(max_size=5000)), max_size=8), st.data())
@settings(max_examples=30, deadline=None)
def test_overlay_against_a_bytearray(writes: list[tuple[int, bytes]], data: st.DataObject) -> None:
    """Reads see what was written, the store below never does, and the changes make one of the other."""
    below = hashlib.shake_128(b"below").digest(13_333)
    overlay, naive = OverlayStore(MemoryStore(below)), bytearray(below)
    for offset, piece in writes:
        if offset + len(piece) > len(naive):
            with pytest.raises(ImageError):
                overlay.write(offset, piece)
            continue
        overlay.write(offset, piece)
        naive[offset : offset + len(piece)] = piece
    start = data.draw(st.integers(0, len(naive)))
    stop = data.draw(st.integers(start, len(naive)))
    assert naive[start:stop] == overlay.read(start, stop - start)
    patched = bytearray(below)
    for offset, piece in overlay.changes():
        patched[offset : offset + len(piece)] = piece
    assert naive == patched


@given(
    st.lists(
        st.one_of(
            st.tuples(st.integers(0, 8000), st.binary(max_size=5000)), st.sampled_from(("mark", "back"))
        ),
        max_size=12,
    )
)
def test_stages_against_bytearrays(steps: list[tuple[int, bytes] | str]) -> None:
    """
    Each stage makes what was there at one mark of what was there at the one before, by pages that differ.

    "back" takes back what was done since the last "back", marks too.
    """
    below = hashlib.shake_128(b"below").digest(13_333)
    overlay, naive, at_marks = OverlayStore(MemoryStore(below)), bytearray(below), [below]
    kept = overlay.state(), bytes(naive), at_marks.copy()
    for step in steps:
        if step == "mark":
            overlay.mark()
            at_marks.append(bytes(naive))
        elif step == "back":
            overlay.restore(kept[0])
            naive, at_marks = bytearray(kept[1]), kept[2].copy()
            kept = overlay.state(), bytes(naive), at_marks.copy()
        else:
            offset, piece = step
            overlay.write(offset, piece)
            naive[offset : offset + len(piece)] = piece
    states = [*at_marks, bytes(naive)]
    pages = [
        [at for at in range(0, len(below), 4096) if old[at : at + 4096] != new[at : at + 4096]]
        for old, new in pairwise(states)
    ]
    assert len(pages[-1]) == overlay.fresh_pages
    found, disk = overlay.stages(), bytearray(below)
    assert [stage for stage in pages if stage] == [[at for at, _page in stage] for stage in found]
    for stage in found:
        for at, page in stage:
            disk[at : at + len(page)] = page
        assert bytes(disk) in states
    assert naive == disk == overlay.read(0, len(below))


@given(st.binary(min_size=8, max_size=40), st.integers(0, 300), st.integers(0, 31))
@settings(max_examples=30, deadline=None)
def test_copies_are_found_wherever_they_start(secret: bytes, at: int, cut: int) -> None:
    """A copy at any byte, whole or cut at its end, is found and wiped, and nothing else is."""
    words = words_of([secret])
    around = bytearray(b"\xff" * 400)
    copy = secret[: max(8, len(secret) - cut)]
    around[at : at + len(copy)] = copy
    naive = [
        start
        for start in range(len(around) - 7)
        if around[start : start + 8] in [word.tobytes() for word in words]
    ]
    assert naive == find_words(around, words)
    wiped = bytearray(around)
    wipe_words(wiped, words)
    assert [] == find_words(wiped, words)
    touched = {start + byte for start in naive for byte in range(8)}
    assert all(wiped[byte] == around[byte] for byte in range(len(around)) if byte not in touched)


@pytest.mark.parametrize("block_size", [1024, 4096])
def test_made_images_have_ea_inodes(tmp_path: Path, block_size: int) -> None:
    """
    make_image puts what does not fit in a block into ea_inodes; e2fsck agrees, and it can be changed again.
    """
    path = tmp_path / "a.img"
    xattrs = {(1, b"huge"): HUGE, (1, b"more"): HUGE[:9000], (1, b"b"): b"m" * 300, (1, b"a"): b"small"}
    make_image(path, ImageSpec((FileSpec("/f", 50_000, Fragmented(1), xattrs=xattrs),), block_size))
    e2fsck(path)
    image = Image.open(path)
    assert xattrs == image.lookup("/f").xattrs
    assert [] == check_image(image)
    sizes = {size for _number, size in image.lookup("/f").ea_values}
    assert {50_000, 9000} == sizes
    editor = ImageEditor(path)
    editor.remove("/f")
    editor.commit()
    e2fsck(path)


def test_crc32c_vectors() -> None:
    """The check value, and the vectors of RFC 3720 (B.4)."""
    assert 0xE3069283 == crc32c(0xFFFFFFFF, b"123456789") ^ 0xFFFFFFFF
    for data, want in (
        (bytes(32), "aa36918a"),
        (b"\xff" * 32, "43aba862"),
        (bytes(range(32)), "4e79dd46"),
        (bytes(range(31, -1, -1)), "5cdb3f11"),
    ):
        assert want == struct.pack("<I", crc32c(0xFFFFFFFF, data) ^ 0xFFFFFFFF).hex()


def test_damaged_ea_values(tmp_path: Path) -> None:
    """check tells a changed value in an ea_inode by its hash; an entry that leads elsewhere is refused."""
    tool("e2fsck")
    path = tmp_path / "a.img"
    make_image(path, ImageSpec((FileSpec("/file", 10),), 1024, 1 << 20))
    editor = ImageEditor(path)
    number = editor.image.lookup("/file").number
    editor.set_xattrs(number, {(1, b"huge"): HUGE})
    editor.commit()
    data = bytearray(path.read_bytes())
    data[data.index(HUGE[:64])] ^= 1
    image = Image(MemoryStore(data))
    assert any("the value's hash is wrong" in problem for problem in check_image(image))
    path.write_bytes(data)
    inode = Image.open(path).lookup("/file")
    (ea_inode, size) = inode.ea_values[0]
    with pytest.raises(ImageError, match="is to hold an xattr value"):
        image.read_ea_value(ea_inode, size - 1)
    with pytest.raises(ImageError, match="is to hold an xattr value"):
        image.read_ea_value(number, 10)
