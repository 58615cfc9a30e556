"""
What `inspect` says is hidden: never of an image that it cannot read, nor of contents that merely look random.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tools import debugfs, mke2fs
from verbs_kit import run

from sim.cli.image.app import app  # noqa: F401 - what `run` runs
from sim.errors import ImageError

NOISE = hashlib.shake_128(b"noise").digest(9_000)
TEXT = b"a text that is plain to see\n" * 200
UNREAD = {
    "mmp": ("-O", "mmp"),
    "casefold": ("-O", "casefold"),
    "inline_data": ("-O", "inline_data"),
    "bigalloc": ("-O", "bigalloc"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files that are plain, of which one looks like noise and one has a name like ciphertext."""
    source = tmp_path / "source"
    source.mkdir()
    for name, data in (("text", TEXT), ("noise", NOISE), ("~backup", TEXT), ("empty", b"")):
        (source / name).write_bytes(data)
    return source


def rows(path: Path) -> dict[str, dict[str, str]]:
    """Return what inspect says of each scheme."""
    document: Any = json.loads(run("inspect", path, "--json").stdout)
    return {row["scheme"]: row for row in document["schemes"]}


def test_plain_is_plain(tmp_path: Path, folder: Path) -> None:
    """Nothing of a plain image is hidden, whatever its bytes and names look like."""
    path = tmp_path / "a.img"
    mke2fs(path, folder, "-O", "encrypt")
    assert {"none"} == rows(path).keys()
    said = rows(path)["none"]
    assert ("4", "seen", "seen") == (said["files"], said["names"], said["contents"])
    assert "hidden" not in {said[what] for what in ("names", "sizes", "times", "extents", "contents")}


def test_schemes_are_told_apart(tmp_path: Path, folder: Path) -> None:
    """An encrypted file is hidden, however short; one that is flagged and is text is seen."""
    path, users = tmp_path / "a.img", tmp_path / "users.toml"
    mke2fs(path, folder, "-O", "encrypt")
    run("userkey", users, "alice")
    for name in ("text", "empty"):
        run("encrypt", path, name, "--keys", users, "--user", "alice")
    said = rows(path)
    assert ("hidden", "seen") == (said["file-keys aes-kw xts"]["contents"], said["none"]["contents"])
    run("shred", path, "text")
    debugfs(path, "sif /~backup flags 0x80800", write=True)
    said = rows(path)
    assert {"none", "file-keys aes-kw xts", "file-keys shredded xts", "encrypted, no context"} == said.keys()
    assert ("hidden", "seen") == tuple(
        said[scheme]["contents"] for scheme in ("file-keys shredded xts", "encrypted, no context")
    )


@pytest.mark.parametrize("block_size", [8192, 16384, 32768, 65536])
def test_blocks_larger_than_a_page_are_read(tmp_path: Path, folder: Path, block_size: int) -> None:
    """What mke2fs makes in such blocks is plain, file by file, and sound by our own check."""
    path = tmp_path / "a.img"
    mke2fs(path, folder, "-b", str(block_size))
    said = rows(path)["none"]
    assert ("4", "seen", "seen") == (said["files"], said["names"], said["contents"])
    assert 0 == run("check", path).exit_code


@pytest.mark.parametrize("word", UNREAD)
def test_what_cannot_be_read_is_said(tmp_path: Path, folder: Path, word: str) -> None:
    """An error that names the feature or the size, and no word of what is hidden."""
    path = tmp_path / "a.img"
    mke2fs(path, folder, *UNREAD[word])
    with pytest.raises(ImageError, match=word):
        run("inspect", path)


def needs_recovery(path: Path) -> None:
    """Have a journal that is to be replayed."""
    data = bytearray(path.read_bytes())
    data[1024 + 0x60] |= 0x4
    path.write_bytes(data)


def without_superblock(path: Path) -> None:
    """Destroy the first superblock: e2fsck would take a copy."""
    data = bytearray(path.read_bytes())
    data[:4096] = os.urandom(4096)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("change", "word"), [(needs_recovery, "needs_recovery"), (without_superblock, "there is a copy")]
)
def test_images_for_e2fsck(tmp_path: Path, folder: Path, change: Callable[[Path], None], word: str) -> None:
    """An image that e2fsck would mend is sent there."""
    path = tmp_path / "a.img"
    mke2fs(path, folder, "-b", "1024", "-O", "^metadata_csum")
    change(path)
    with pytest.raises(ImageError, match=rf"{word}.*run e2fsck first"):
        run("inspect", path)


@pytest.mark.parametrize(
    ("at", "magic", "word"),
    [
        (0, b"LUKS\xba\xbe", "LUKS"),
        (0, b"XFSB", "XFS"),
        (0x10040, b"_BHRfS_M", "btrfs"),
        (510, b"\x55\xaa", "boot"),
    ],
)
def test_other_file_systems_are_named(tmp_path: Path, at: int, magic: bytes, word: str) -> None:
    """What is known to be something else is no encrypted device."""
    path = tmp_path / "a.img"
    path.write_bytes(bytes(at) + magic + bytes(200_000))
    with pytest.raises(ImageError, match=f"is an? .*{word}"):
        run("inspect", path)


def test_unknown_bytes_are_not_called_hidden(tmp_path: Path) -> None:
    """A device of noise is noise, a text is seen, zeros are nothing: no more is said."""
    path = tmp_path / "a.img"
    for data, contents in ((os.urandom(200_000), "noise"), (TEXT * 20, "seen"), (bytes(8192), "?")):
        path.write_bytes(data)
        said = rows(path)["whole device"]
        assert ({"?"}, contents) == ({said[what] for what in ("names", "sizes", "extents")}, said["contents"])
    assert "hidden" not in run("inspect", path).stdout


def test_names_are_escaped(tmp_path: Path, folder: Path) -> None:
    """Names of files, users and groups are shown, not obeyed, by every verb that prints one."""
    evil = "a\x1b[2Jb\nc\u202ed"
    (folder / evil).write_bytes(TEXT)
    path, users = tmp_path / "a.img", tmp_path / "users.toml"
    mke2fs(path, folder)
    for name in ("al\x1b[31mice", "bob"):
        run("userkey", users, name)
    words = ("--keys", users, "--user", "al\x1b[31mice")
    said = [
        run("encrypt", path, evil, *words),
        run("share", path, evil, "bob", "--keys", users, "--as", words[3]),
    ]
    said += [run("inspect", path), run("ls", path), run("unshare", path, evil, "bob")]
    said += [run("rekey", path, evil, "--keys", users, "--as", words[3]), run("shred", path, evil)]
    said += [run("userkey", tmp_path / "more.toml", "x\x1b[0m"), run("check", path), run("rm", path, evil)]
    command = [sys.executable, "-m", "sim.cli.main", "image", "rm", str(path), evil]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert 2 == done.returncode
    for text in [*(one.output for one in said), done.stdout, done.stderr]:
        assert not {"\x1b", "\u202e"} & set(text)
        assert "b\nc" not in text
    assert "a\\x1b[2Jb\\nc\\u202ed" in said[3].stdout
