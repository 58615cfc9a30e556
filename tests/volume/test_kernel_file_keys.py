"""
An image with files under file-keys that a Linux 6.1 kernel, which has no key, listed, changed and deleted
from.

It was made as `after_kernel.json` says; the kernel mounted it, could open none of the files (EINVAL),
changed the mode of one, deleted two, and unmounted it.
"""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest
from tools import e2fsck

from sim.crypto.keys.file_keys import KeyRing, UserKey, secret_parts
from sim.crypto.streams import NamedStream
from sim.errors import CryptoError
from sim.ext4.check.run import check_image
from sim.ext4.edit.editor import ImageEditor
from sim.ext4.edit.scrub import find_words, words_of
from sim.ext4.read.reader import Image
from sim.volume.keyed_image import open_file, read_contents, shred, wrapped_keys

FOLDER = Path(__file__).parents[1] / "data" / "file_keys"
SAID = json.loads((FOLDER / "after_kernel.json").read_text())
TEXT = b"".join(b"line %d\n" % number for number in range(700))
RING = KeyRing([UserKey(user, NamedStream(1, user)(64)) for user in ("alice", "bob")])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The image."""
    image = tmp_path / "kernel.img"
    image.write_bytes(lzma.decompress((FOLDER / "after_kernel.img.xz").read_bytes()))
    return image


def read(path: Path, name: str, user: str) -> bytes:
    """Return a file's plaintext, read as a user."""
    image = Image.open(path)
    inode = image.lookup(name)
    return b"".join(read_contents(image, inode, open_file(image, inode, RING, user).contents))


def test_the_kernel_deleted_without_a_key(path: Path) -> None:
    """What it deleted is gone, the ea_inode with 62 wrapped keys too; every block and inode of it is free."""
    e2fsck(path)
    image = Image.open(path)
    assert [] == check_image(image)
    assert {"/lost+found", "/kept", "/changed"} == {name for name, _inode in image.walk()}
    blocks = 7 + 7 + 7 + 1  # contents of two files, wrapped keys in an ea_inode, an xattr block
    assert SAID["before"]["free_blocks"] + blocks == image.superblock.free_blocks_count
    assert SAID["before"]["free_inodes"] + 3 == image.superblock.free_inodes_count


def test_what_it_left_still_decrypts(path: Path) -> None:
    """The file whose mode the kernel changed has its wrapped keys, and both users read it; others do not."""
    assert 0o600 == Image.open(path).lookup("/changed").mode & 0o777
    assert (
        TEXT
        == read(path, "/changed", "alice")
        == read(path, "/changed", "bob")
        == read(path, "/kept", "alice")
    )
    with pytest.raises(CryptoError, match="ENOKEY: no wrapped key for bob"):
        read(path, "/kept", "bob")


def test_shredding_reaches_the_kernels_journal(path: Path) -> None:
    """
    The kernel's journal holds the inode with its wrapped keys as it was: shredding wipes that copy too.
    """
    image = Image.open(path)
    secrets = secret_parts(wrapped_keys(image.lookup("/changed")))
    assert [2, 2] == [path.read_bytes().count(secret) for secret in secrets]
    editor = ImageEditor(path)
    done = shred(editor, "/changed")
    assert sum(map(len, secrets)) == done.copies_bytes
    editor.commit(in_place=True)
    e2fsck(path)
    assert [] == find_words(path.read_bytes(), words_of(secrets))
    with pytest.raises(CryptoError, match="were shredded"):
        read(path, "/changed", "alice")
    assert TEXT == read(path, "/kept", "alice")
