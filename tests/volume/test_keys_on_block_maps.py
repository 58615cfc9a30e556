"""
Keys of files on images whose files have block maps: every verb leaves what e2fsck calls clean, or refuses.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tools import e2fsck, mke2fs
from verbs_kit import run

from sim.errors import ImageError

KINDS = {
    "ext2": ("-t", "ext2", "-b", "1024"),
    "ext3": ("-t", "ext3", "-b", "4096"),
    "no extents": ("-O", "^extent,^64bit,^metadata_csum", "-b", "1024"),
}
CONTENTS = {
    name: hashlib.shake_128(name.encode()).digest(size) for name, size in (("a", 9000), ("b", 300_000))
}
ALICE = ("--as", "alice")


def make(folder: Path, *options: str) -> Path:
    """Return an image with a file of direct blocks and two with blocks of pointers; keys lie beside it."""
    source = folder / "source"
    source.mkdir()
    for name, data in CONTENTS.items():
        (source / name).write_bytes(data)
    (source / "c").write_bytes(CONTENTS["b"])
    mke2fs(folder / "a.img", source, *options)
    for user in ("alice", "bob", "carol"):
        run("userkey", folder / "users.toml", user)
    return folder / "a.img"


@pytest.mark.parametrize("kind", KINDS)
def test_every_verb_leaves_a_clean_image(tmp_path: Path, kind: str) -> None:
    """What is done is read back; what is refused has changed nothing."""
    image = make(tmp_path, *KINDS[kind])
    keys = ("--keys", image.with_name("users.toml"))
    verbs: tuple[tuple[object, ...], ...] = (
        ("encrypt", image, "/a", *keys, "--user", "alice"),
        ("encrypt", image, "/b", *keys, "--user", "alice"),
        ("share", image, "/a", "bob", *keys, *ALICE),
        ("unshare", image, "/a", "bob"),
        ("adduser", image, "carol", *keys, *ALICE),
        ("group", image, "@staff", *keys, "--user", "alice", "--user", "bob"),
        ("group", image, "@staff", "--without", "bob"),
        ("rekey", image, "/a", *keys, *ALICE, "--keep", "carol"),
        ("scrub", image),
    )
    for verb in verbs:
        run(*verb)
        e2fsck(image)
    for name, data in CONTENTS.items():
        assert data == run("cat", image, f"/{name}", *keys, *ALICE).stdout_bytes
        assert data != run("cat", image, f"/{name}").stdout_bytes[: len(data)]
    run("shred", image, "/b")
    e2fsck(image)
    before = image.read_bytes()
    with pytest.raises(ImageError, match="mapped by indirect blocks"):
        run("rm", image, "/c")
    assert before == image.read_bytes()


@pytest.mark.parametrize(
    ("options", "mode", "words"),
    [
        (("-t", "ext2", "-b", "1024"), "gcm", "needs an inode of its own, mapped by extents"),
        (("-t", "ext2", "-b", "1024", "-O", "^ext_attr"), "xts", "has not the feature"),
    ],
)
def test_what_the_file_system_cannot_hold(
    tmp_path: Path, options: tuple[str, ...], mode: str, words: str
) -> None:
    """Tags that need an inode with extents, an xattr block without ext_attr: refused, nothing is changed."""
    image = make(tmp_path, *options)
    before = image.read_bytes()
    with pytest.raises(ImageError, match=words):
        run("encrypt", image, "/b", "--keys", tmp_path / "users.toml", "--user", "alice", "--mode", mode)
    assert before == image.read_bytes()
