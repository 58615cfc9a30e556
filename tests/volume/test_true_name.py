"""
The one name of a file, however its path is written: what its wrapped keys are bound to.
"""

from __future__ import annotations

import lzma
import os
import posixpath
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.crypto.keys.keyfile import read_keys
from sim.errors import ImageError
from sim.ext4.format.dirs import DirEntry
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image, Inode
from sim.ext4.store import ByteStore, MemoryStore
from sim.volume.bound_keys import true_name
from sim.volume.named_image import NamedImage

FSCRYPT = Path(__file__).parents[1] / "data" / "fscrypt_4k"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """An image with the directories /a, /a/a, /a/b, /b."""
    path = tmp_path_factory.mktemp("tree") / "a.img"
    make_image(path, ImageSpec((FileSpec("/a/b/f", 1),), 1024, directories=("/a/a", "/b")))
    return Image.open(path)


@given(words=st.lists(st.sampled_from(("a", "b", "", ".", "..")), max_size=12))
def test_against_normpath(tree: Image, words: list[str]) -> None:
    """A name is what normpath makes of a path if every directory on the way is there, else an error."""
    there = "/"
    for word in words:
        there = posixpath.normpath(posixpath.join(there, word))
        if there not in ("/", "/a", "/b", "/a/a", "/a/b"):
            with pytest.raises(ImageError, match="there is no"):
                true_name(tree, "/".join(words))
            return
    for path in ("/".join(words), "/" + "/".join(words), "//" + "/".join(words)):
        assert os.fsencode(there) == true_name(tree, path)


class CountingImage(Image):
    """An image that notes which directories are asked for their entries."""

    def __init__(self, store: ByteStore) -> None:
        super().__init__(store)
        self.read: list[int] = []

    def entries(self, directory: Inode) -> list[DirEntry]:
        """Return the entries."""
        self.read.append(directory.number)
        return super().entries(directory)


def test_a_deep_name_takes_one_walk(tmp_path: Path) -> None:
    """Each directory of a path is read once, however deep it lies."""
    path, deep = tmp_path / "deep.img", "/" + "/".join(f"d{number}" for number in range(60))
    make_image(path, ImageSpec((FileSpec(f"{deep}/f", 10),), 1024))
    image = CountingImage(MemoryStore(path.read_bytes()))
    assert f"{deep}/f".encode() == true_name(image, f"{deep}/f")
    assert 61 == len(image.read) == len(set(image.read))


def test_names_in_encrypted_directories() -> None:
    """A kernel's encrypted names are bound to as ciphertext, by whichever name the file was found."""
    store = MemoryStore(lzma.decompress((FSCRYPT / "fscrypt_4k.img.xz").read_bytes()))
    named, blind = NamedImage(store, "a", read_keys(FSCRYPT / "keys.json", public=True)), Image(store)
    found = 0
    for (plain, inode), (shown, same) in zip(named.walk(), blind.walk(), strict=True):
        assert inode.number == same.number
        name = true_name(named, plain)
        assert name == true_name(named, shown) == true_name(blind, shown)
        folder = blind.lookup(posixpath.dirname(shown))
        assert inode.number in {
            number for number, stored, _type in blind.entries(folder) if name.endswith(b"/" + stored)
        }
        found += plain != shown
    assert found > 10
