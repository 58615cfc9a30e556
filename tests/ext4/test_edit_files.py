"""New files, blocks behind the last byte and exchanged extents on an image: e2fsck finds nothing to mend."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tools import MKE2FS_KINDS, debugfs, e2fsck, mke2fs

from sim.errors import ImageError
from sim.ext4.edit.files import FileEditor
from sim.ext4.format.dirs import DirEntry, add_entry, decode_block, drop_entry, encode_blocks
from sim.ext4.format.extents import Extent
from sim.ext4.format.features import RoCompat
from sim.ext4.make.layout import Fragmented
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image


def ours(path: Path, block_size: int) -> None:
    """An image of the maker with a file in pieces."""
    spec = FileSpec("/a", 20 * block_size, Fragmented(2))
    make_image(path, ImageSpec((spec,), block_size, size_bytes=256 * block_size, seed=3))


@pytest.fixture(params=[*MKE2FS_KINDS, 1024, 4096])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Images of mke2fs, with and without checksums, and of our own."""
    path = tmp_path / "a.img"
    if isinstance(request.param, int):
        ours(path, request.param)
        return path
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "a").write_bytes(bytes(range(256)) * 300)
    mke2fs(path, tmp_path / "source", *MKE2FS_KINDS[request.param])
    return path


def test_a_new_file(image: Path) -> None:
    """It has its name, its blocks, zeros; debugfs sees the same; a second of the name is refused."""
    editor = FileEditor(image)
    number = editor.add_file("/new", 70_000, 0o400)
    with pytest.raises(ImageError, match="is there already"):
        editor.add_file("/new", 1, 0o400)
    editor.commit()
    e2fsck(image)
    opened = Image.open(image)
    inode = opened.lookup("/new")
    assert (number, 70_000, 0o400) == (inode.number, inode.size_bytes, inode.mode & 0o777)
    assert bytes(70_000) == opened.read_file(inode)
    assert b"Size: 70000" in debugfs(image, "stat /new")


def test_a_tree_of_many_extents(image: Path) -> None:
    """Every block alone, last first: the tree gets blocks with their checksums, and gives them back."""
    editor = FileEditor(image)
    free = sum(length for _start, length in editor._groups.free_runs())
    number = editor.add_file("/new", 60 * editor.image.block_size, 0o600)
    (whole,) = editor.image.inode(number).tree.extents
    alone = [Extent(index, whole.physical + 59 - index, 1, False) for index in range(60)]
    editor.set_extents(number, alone)
    editor.commit()
    e2fsck(image)
    inode = Image.open(image).lookup("/new")
    assert alone == inode.tree.extents
    assert inode.tree.depth == 1
    editor = FileEditor(image)
    editor.set_extents(number, [whole])
    editor.remove("/new")
    assert free == sum(length for _start, length in editor._groups.free_runs())
    editor.commit()
    e2fsck(image)


def test_blocks_behind_the_last_byte(tmp_path: Path) -> None:
    """Allowed where the inode says verity and the file system too (e2fsck); else both checks tell."""
    path = tmp_path / "a.img"
    ours(path, 1024)
    editor = FileEditor(path)
    inode = editor.image.lookup("/a")
    more = editor.new_extents(64, 3, "here")
    editor.set_extents(inode.number, [*inode.tree.extents, *more])
    with pytest.raises(ImageError, match="ends behind the last byte"):
        editor.commit()
    editor.add_ro_compat(int(RoCompat.VERITY))
    editor.set_flags(inode.number, 0x100000)
    editor.commit()
    e2fsck(path)
    editor = FileEditor(path)
    assert editor.image.superblock.has(RoCompat.VERITY)
    editor.add_ro_compat(0, clear=int(RoCompat.VERITY))
    assert not editor.image.superblock.has(RoCompat.VERITY)


def _add_all(editor: FileEditor, names: list[str]) -> None:
    for name in names:
        editor.add_file(name, 0, 0o600)


def test_a_directory_of_a_hash_tree_takes_no_name(tmp_path: Path) -> None:
    """Nor one that is full."""
    (tmp_path / "source").mkdir()
    for number in range(20):
        (tmp_path / "source" / f"a-rather-long-name-{number:04d}").touch()
    mke2fs(tmp_path / "a.img", tmp_path / "source", "-b", "1024", "-O", "^dir_index")
    editor = FileEditor(tmp_path / "a.img")
    names = [f"/{number:02d}{'n' * 250}" for number in range(12)]
    with pytest.raises(ImageError, match="no room for a name"):  # the blocks have room for seven at most
        _add_all(editor, names)
    editor.set_flags(2, 0x1000)
    with pytest.raises(ImageError, match="has a hash tree"):
        editor.add_file("/n", 0, 0o600)


names = st.lists(st.binary(min_size=1, max_size=40).filter(lambda n: not {0, 47} & set(n)), unique=True)


@given(names, st.data())
def test_names_put_in_and_taken_out(all_names: list[bytes], data: st.DataObject) -> None:
    """A block holds what a list would, as long as there is room."""
    raw = bytearray(encode_blocks([DirEntry(2, b".", 2), DirEntry(2, b"..", 2)], 1024)[0])
    held: list[bytes] = []
    for number, name in enumerate(all_names, start=12):
        if add_entry(raw, DirEntry(number, name, 1)):
            held.append(name)
        if held and data.draw(st.booleans()):
            gone = data.draw(st.sampled_from(held))
            assert drop_entry(raw, gone)
            held.remove(gone)
    assert sorted([b".", b"..", *held]) == sorted(entry.name for entry in decode_block(raw, "here"))
