"""
An image whose users have key files, and what root without a key can do to it: xattrs read and exchanged.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tools import mke2fs
from verbs_kit import run

from sim.crypto.keys.file_keys import KEYS_NAME, format_of
from sim.crypto.keys.user_keys import UserKey
from sim.crypto.keys.wrapped import FileKey
from sim.crypto.streams import NamedStream
from sim.errors import CryptoError
from sim.ext4.edit.editor import ImageEditor
from sim.ext4.read.reader import Image
from sim.volume.keyed_image import joined, replaced

TEXTS = {
    "/secret": b"TOP SECRET of alice\n" * 500,
    "/lunch": b"lunch menu\n" * 700,
    "/d/notes": bytes(range(256)) * 40,
}
USERS = ("alice", "bob", "carol", "mallory")
both_formats = pytest.mark.parametrize("form", ["aes-kw", "rfc2014"])


def make_base(folder: Path) -> None:
    """Make an image of plain files, a key file for all users and one for each."""
    (folder / "source" / "d").mkdir(parents=True)
    for path, text in TEXTS.items():
        (folder / "source" / path[1:]).write_bytes(text)
    mke2fs(folder / "plain.img", folder / "source", "-b", "4096", size="4M")
    for number, user in enumerate(USERS):
        run("userkey", folder / "all.toml", user, "--seed", number)
        run("userkey", folder / f"{user}.toml", user, "--seed", number)


def xattrs(image: Path, path: str) -> dict[tuple[int, bytes], bytes]:
    """Return the xattrs of a file."""
    return dict(Image.open(image).lookup(path).xattrs)


def put(image: Path, path: str, new: dict[tuple[int, bytes], bytes]) -> None:
    """Give a file xattrs, as root can."""
    editor = ImageEditor(image)
    editor.set_xattrs(editor.image.lookup(path).number, new)
    editor.commit()


def keys(image: Path, path: str) -> bytes:
    """Return the wrapped keys of a file."""
    return joined(xattrs(image, path), KEYS_NAME)


def put_keys(image: Path, path: str, raw: bytes) -> None:
    """Give a file other wrapped keys."""
    put(image, path, replaced(xattrs(image, path), KEYS_NAME, raw))


def with_packet(raw: bytes, user: UserKey, under: UserKey | None = None) -> bytes:
    """
    Return a set with a packet for a user that somebody has made up, in place of the user's own if any.

    It holds a new key, all of it. under: what it is wrapped under [mallory's key, the user's name].
    """
    random, form = NamedStream(5, "made up"), format_of(raw)
    hers = under or UserKey(user.user, random(64))
    old = form.decode(raw, "a set")
    packet = form.wrap(FileKey.generate(random), hers, random, old[0])
    packet = packet.replace(form.label(hers).encode(), form.label(user).encode())
    return form.encode([*(one for one in old if form.owner(one) != form.label(user)), packet])


def reads(image: Path, path: str, folder: Path, user: str, *words: object) -> bytes | None:
    """Return what a user reads, with a key file of their own alone; None for an error."""
    try:
        return run("cat", image, path, "--keys", folder / f"{user}.toml", "--as", user, *words).stdout_bytes
    except CryptoError:
        return None


def encrypt(image: Path, path: str, base: Path, *words: object) -> None:
    """Encrypt a file with all keys at hand."""
    run("encrypt", image, path, "--keys", base / "all.toml", *words)
