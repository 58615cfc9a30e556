"""
Features of mke2fs that images of ours do not have: read as the folder they were made of, or named.
"""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import pytest
from mke2fs_bench import BLOCK, fill
from tools import debugfs, mke2fs, tool

from sim.errors import ImageError
from sim.ext4.format.features import Compat, Incompat, RoCompat, feature_name
from sim.ext4.read.reader import Image

READ = {
    "inline_data": ("-O", "inline_data", "-b", "1024"),
    "inline_data in large inodes": ("-O", "inline_data", "-b", "4096", "-I", "1024"),
    "meta_bg": ("-O", "meta_bg,^resize_inode", "-b", "1024", "-g", "512"),
    "meta_bg and narrow descriptors": ("-O", "meta_bg,^resize_inode,^64bit", "-b", "1024", "-g", "256"),
}
UNREAD = {"bigalloc": ("-O", "bigalloc"), "mmp": ("-O", "mmp"), "casefold": ("-O", "casefold")}


@pytest.mark.parametrize("name", READ)
def test_a_folder_comes_back(tmp_path: Path, name: str) -> None:
    """Every file, symlink and directory of a folder is in the image, with its contents."""
    source, path = tmp_path / "source", tmp_path / "a.img"
    fill(source)
    (source / "tiny").write_bytes(b"t" * 30)
    (source / "in two places").write_bytes(b"u" * 120)
    mke2fs(path, source, *READ[name])
    image = Image.open(path)
    found = {where.removeprefix("/"): inode for where, inode in image.walk() if where != "/lost+found"}
    expected = {str(file.relative_to(source)): file for file in source.rglob("*")}
    assert expected.keys() == found.keys()
    for where, file in expected.items():
        if file.is_symlink():
            assert os.readlink(file).encode() == image.read_file(found[where])
        elif file.is_file():
            assert file.read_bytes() == image.read_file(found[where])
    inline = {where for where, inode in found.items() if inode.is_inline}
    assert ("inline_data" in name) == ({"tiny", "d"} <= inline)


def test_descriptors_lie_in_their_groups(tmp_path: Path) -> None:
    """With meta_bg the second block of descriptors lies where dumpe2fs shows it, not behind the first."""
    fill(tmp_path / "source")
    mke2fs(tmp_path / "a.img", tmp_path / "source", *READ["meta_bg"], size="20M")
    image = Image.open(tmp_path / "a.img")
    sb = image.superblock
    per_block = BLOCK // sb.descriptor_bytes
    assert 3 == sb.descriptor_blocks
    words = [tool("dumpe2fs"), str(tmp_path / "a.img")]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    for index in range(sb.descriptor_blocks):
        group = said.split(f"Group {index * per_block}: ")[1].split("\n\n")[0]
        assert f"roup descriptor at {sb.descriptor_block(index)}" in group


@pytest.mark.parametrize("name", UNREAD)
def test_what_is_not_read_is_named(tmp_path: Path, name: str) -> None:
    """By the name that mke2fs takes."""
    fill(tmp_path / "source")
    mke2fs(tmp_path / "a.img", tmp_path / "source", *UNREAD[name])
    with pytest.raises(
        ImageError, match=f"unsupported feature: {name}; allowed: filetype, meta_bg, extent, 64bit"
    ):
        Image.open(tmp_path / "a.img")


def test_features_are_named_as_e2fsprogs_does(tmp_path: Path) -> None:
    """debugfs knows each name, and sets the bit that we mean."""
    path = tmp_path / "a.img"
    mke2fs(path, tmp_path, "-O", "none", "-t", "ext2", size="1M")
    bare = path.read_bytes()
    assert (0, 0, 0) == struct.unpack_from("<3I", bare, 1024 + 0x5C)
    for feature in (*Compat, *Incompat, *RoCompat):
        if feature is RoCompat.BTREE_DIR:
            continue  # which e2fsprogs has no name for
        path.write_bytes(bare)  # an image with the last one may not open any more
        debugfs(path, f"features {feature_name(feature)}", write=True)
        words = struct.unpack_from("<3I", path.read_bytes(), 1024 + 0x5C)
        expected = {Compat: (feature, 0, 0), Incompat: (0, feature, 0), RoCompat: (0, 0, feature)}
        assert expected[type(feature)] == words, feature_name(feature)
