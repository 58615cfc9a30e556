"""
readpath image cat: what has contents and what has not, targets of encrypted symlinks, holes of any size.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mke2fs_bench import Bench
from tools import e2fsck, mke2fs
from typer.testing import CliRunner
from verbs_kit import run

from sim.cli.image.app import app
from sim.cli.image.contents import run_cat, run_digest
from sim.crypto.fscrypt.contexts import Context, MasterKey
from sim.crypto.fscrypt.names import NamesCipher
from sim.errors import CryptoError, ImageError
from sim.ext4.check.run import check_image
from sim.ext4.edit.editor import ImageEditor
from sim.ext4.format.inode import FLAG_ENCRYPTED
from sim.ext4.format.xattr import ENCRYPTION_NAME, INDEX_ENCRYPTION
from sim.ext4.read.reader import Image

RAW = bytes(range(64))
TIB = 1 << 40
CONTEXT = Context(2, 1, 4, 3, MasterKey(RAW).identifier, b"n" * 16)


def cat(*words: object) -> bytes:
    """Return what cat writes; an error is raised."""
    result = CliRunner().invoke(app, ["cat", *map(str, words)], catch_exceptions=False)
    assert 0 == result.exit_code
    return result.stdout_bytes


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An empty folder for files."""
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


@pytest.mark.parametrize(("path", "words"), [("/d", "a directory"), ("/", "a dir"), ("/pipe", "a fifo")])
def test_what_has_no_contents_is_refused(tmp_path: Path, source: Path, path: str, words: str) -> None:
    """Neither raw blocks of a directory nor nothing for a pipe."""
    (source / "d").mkdir()
    os.mkfifo(source / "pipe")
    mke2fs(tmp_path / "a.img", source)
    for option in ((), ("--json",)):
        with pytest.raises(ImageError, match=words):
            cat(tmp_path / "a.img", path, *option)


def encrypted_link(folder: Path, source: Path, target: bytes) -> Path:
    """Return an image with a symlink /link that is encrypted as a kernel does it, and its key beside it."""
    stored = NamesCipher(MasterKey(RAW), CONTEXT).encrypt(target)
    stored = len(stored).to_bytes(2, "little") + stored
    (source / "link").symlink_to("q" * len(stored))
    image = folder / "a.img"
    mke2fs(image, source, "-O", "encrypt,^metadata_csum")
    editor = ImageEditor(image)
    number = editor.image.lookup("/link").number
    editor.set_xattrs(number, {(INDEX_ENCRYPTION, ENCRYPTION_NAME): CONTEXT.to_bytes()})
    editor.commit()
    bench = Bench(image.read_bytes().replace(b"q" * len(stored), stored))
    bench.put(bench.inode(number) + 0x20, "<I", bench.image.inode(number).flags | FLAG_ENCRYPTED)
    image.write_bytes(bench.data)
    assert [] == check_image(Image.open(image))
    e2fsck(image)
    (folder / "keys.toml").write_text(f'[[key]]\nraw = "{RAW.hex()}"\n')
    (folder / "keys.toml").chmod(0o600)
    return image


@pytest.mark.parametrize("target", [b"short", b"a/long/target/" * 9], ids=["in the inode", "in a block"])
def test_an_encrypted_symlink_gives_its_target(tmp_path: Path, source: Path, target: bytes) -> None:
    """With the key the target, without it what is stored, with another key an error."""
    image = encrypted_link(tmp_path, source, target)
    assert target == cat(image, "/link", "--keys", tmp_path / "keys.toml")
    opened = Image.open(image)
    assert opened.read_file(opened.lookup("/link")) == cat(image, "/link")
    (tmp_path / "keys.toml").write_text(f'[[key]]\nraw = "{RAW[::-1].hex()}"\n')
    with pytest.raises(CryptoError, match="ENOKEY"):
        cat(image, "/link", "--keys", tmp_path / "keys.toml")


@pytest.fixture
def huge(tmp_path: Path, source: Path) -> Path:
    """An image with a file of a tebibyte of which 5 bytes are written, at its middle."""
    with (source / "huge").open("wb") as file:
        file.truncate(TIB)
        file.seek(TIB // 2)
        file.write(b"bytes")
    mke2fs(tmp_path / "a.img", source, "-b", "4096")
    return tmp_path / "a.img"


def test_a_terabyte_of_holes_stays_holes(tmp_path: Path, huge: Path) -> None:
    """Into a file it is written as it is: its length, its bytes, and hardly a block."""
    with (tmp_path / "out").open("wb") as out:
        run_cat(huge, "/huge", out)
    said = (tmp_path / "out").stat()
    assert (TIB, True) == (said.st_size, said.st_blocks * 512 < 1 << 20)
    with (tmp_path / "out").open("rb") as file:
        file.seek(TIB // 2 - 5)
        assert bytes(5) + b"bytes" + bytes(5) == file.read(15)


def test_what_cannot_stay_sparse_is_refused(tmp_path: Path, huge: Path) -> None:
    """Not a byte goes into a pipe, a file that is appended to, or a digest."""
    reader, writer = os.pipe()
    (tmp_path / "log").write_bytes(b"log")
    with os.fdopen(writer, "wb") as pipe, (tmp_path / "log").open("ab") as log:
        for out in (pipe, log):
            with pytest.raises(ImageError, match=rf"{TIB - 4096} of {TIB} bytes are holes"):
                run_cat(huge, "/huge", out)
    assert (b"", b"log") == (os.read(reader, 1), (tmp_path / "log").read_bytes())
    os.close(reader)
    with pytest.raises(ImageError, match="are holes"):
        run_digest("/huge", lambda out: run_cat(huge, "/huge", out))


def test_a_users_file_of_holes_is_refused(tmp_path: Path, huge: Path) -> None:
    """Read as a user, too, a tebibyte of zeros is not waited for."""
    keys = ("--keys", tmp_path / "users.toml")
    run("userkey", tmp_path / "users.toml", "alice")
    run("encrypt", huge, "/huge", *keys, "--user", "alice")
    with pytest.raises(ImageError, match="are holes; allowed: at most 68719476736"):
        run("cat", huge, "/huge", *keys, "--as", "alice")
