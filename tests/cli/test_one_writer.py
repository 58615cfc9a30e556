"""
One writer at a time, on the image that was read: locks, private names, links, owners; what is left behind.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tools import MKE2FS_KINDS, e2fsck, mke2fs
from verbs_kit import run

from sim.errors import CryptoError, ImageError, ReadpathError
from sim.ext4.edit.editor import ImageEditor
from sim.ext4.read.reader import Image
from sim.files import file_beside, locked, remove_abandoned_files

TEXT = b"what was plain once, and is to be nowhere\n" * 300
OTHER = b"another file, encrypted from the start\n" * 200


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image with two plain files, and the keys of two users beside it."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "secret").write_bytes(TEXT)
    (source / "a").write_bytes(OTHER)
    path = tmp_path / "a.img"
    mke2fs(path, source, "-b", "1024", size="4M")
    for number, user in enumerate(("alice", "bob")):
        run("userkey", tmp_path / "users.toml", user, "--seed", number)
    return path


def keys(image: Path) -> tuple[object, ...]:
    """Return the option that names the key file."""
    return "--keys", image.with_name("users.toml")


def start(folder: Path, *words: object) -> subprocess.Popen[str]:
    """Start a verb as another process."""
    code = "import sys; from sim.cli.main import main; sys.argv[0] = 'readpath'; main()"
    command = [sys.executable, "-c", code, "image", *map(str, words)]
    return subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def test_a_second_writer_waits_and_sees_what_the_first_has_done(image: Path) -> None:
    """It says that it waits; then it works on the image that has the name by then: both changes are in."""
    run("encrypt", image, "/a", *keys(image), "--user", "alice")
    with locked(image):
        second = start(image.parent, "shred", image, "/a")
        assert second.stderr is not None
        assert "waits for another verb that changes it" in second.stderr.readline()
        editor = ImageEditor(image)
        editor.remove("/secret")
        editor.commit()  # another file has the name now
    assert ("", 0) == (second.communicate()[1], second.returncode)
    e2fsck(image)
    assert {"/a", "/lost+found"} == {path for path, _inode in Image.open(image).walk()}
    with pytest.raises(CryptoError, match="ENOKEY: the wrapped keys were shredded"):
        run("cat", image, "/a", *keys(image), "--as", "alice")


def test_many_writers_at_once(image: Path) -> None:
    """
    Verbs that are all started together, those that write aside and those that write into the image, leave a
    sound one with what each of them did.
    """
    run("userkey", image.with_name("users.toml"), "carol")
    run("encrypt", image, "/a", *keys(image), "--user", "alice", "--user", "bob")
    verbs = [
        start(image.parent, "share", image, "/a", "carol", *keys(image), "--as", "alice"),
        start(image.parent, "unshare", image, "/a", "bob"),
        start(image.parent, "encrypt", image, "/secret", *keys(image), "--user", "bob"),
        start(image.parent, "scrub", image),
        start(image.parent, "group", image, "@staff", *keys(image), "--user", "alice"),
    ]
    said = [verb.communicate()[1] for verb in verbs]
    assert [0] * len(verbs) == [verb.returncode for verb in verbs], said
    e2fsck(image)
    for path, text, user in (("/a", OTHER, "alice"), ("/a", OTHER, "carol"), ("/secret", TEXT, "bob")):
        assert text == run("cat", image, path, *keys(image), "--as", user).stdout_bytes
    with pytest.raises(CryptoError, match="ENOKEY: no wrapped key for bob"):
        run("cat", image, "/a", *keys(image), "--as", "bob")
    assert 1 == sum(name.startswith(b"readpath.group.") for _i, name in Image.open(image).lookup("/").xattrs)
    assert {"a.img", "source", "users.toml"} == {file.name for file in image.parent.iterdir()}


def test_a_killed_writer_leaves_nothing_for_long(image: Path) -> None:
    """A copy that nobody writes any more is removed by the next verb; one that is being written is not."""
    gone, left = file_beside(image)
    os.close(gone)
    fd, written = file_beside(image)
    other = image.with_name(".a.img.somebody")
    other.write_bytes(b"")
    run("encrypt", image, "/a", *keys(image), "--user", "alice")
    assert (False, True, True) == (left.exists(), written.exists(), other.exists())
    os.close(fd)


def test_one_that_cannot_be_removed_keeps_no_other(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link under the name of a leftover, and a leftover that is in use, do not keep those after them."""
    fd, used = file_beside(image)
    gone, left = file_beside(image)
    os.close(gone)
    link = image.with_name(".a.img.aaaaaaaa.new")
    link.symlink_to("nowhere")
    monkeypatch.setattr(Path, "iterdir", lambda _folder: iter((link, used, left)))
    remove_abandoned_files(image)
    assert (True, True, False) == (link.is_symlink(), used.exists(), left.exists())
    os.close(fd)


def test_links_lead_to_the_image(image: Path) -> None:
    """By a symlink the image itself is changed; one with two names is refused where it would be replaced."""
    link = image.with_name("link.img")
    link.symlink_to(image.name)
    run("encrypt", link, "/secret", *keys(image), "--user", "alice")
    assert link.is_symlink()
    assert TEXT not in image.read_bytes()
    assert TEXT == run("cat", image, "/secret", *keys(image), "--as", "alice").stdout_bytes
    second = image.with_name("second.img")
    second.hardlink_to(image)
    before = image.read_bytes()
    with pytest.raises(
        ImageError, match="has 2 names, the others would keep the old image; allowed: a file of one"
    ):
        run("encrypt", image, "/a", *keys(image), "--user", "alice")
    assert before == image.read_bytes() == second.read_bytes()
    run("shred", image, "/secret")
    assert image.samefile(second)


def test_owner_mode_and_xattrs_stay(image: Path) -> None:
    """What replaces an image belongs to whom it belonged, with the same mode and xattrs."""
    image.chmod(0o640)
    os.setxattr(image, "user.note", b"kept")
    if os.geteuid() == 0:
        os.chown(image, 1234, 4321)
    before = image.stat()
    run("encrypt", image, "/a", *keys(image), "--user", "alice")
    after = image.stat()
    assert before.st_ino != after.st_ino
    same = ("st_mode", "st_uid", "st_gid")
    assert [getattr(before, name) for name in same] == [getattr(after, name) for name in same]
    assert b"kept" == os.getxattr(image, "user.note")


def test_an_owner_that_cannot_be_kept(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who may not give a file to its owner does not take it over."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to have a file of somebody else's")

    def refuse(_fd: int, _user: int, _group: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    os.chown(image, 1234, 4321)
    monkeypatch.setattr("os.fchown", refuse)
    before = image.read_bytes()
    with pytest.raises(
        ImageError, match="belongs to user 1234, group 4321, which a new file cannot be given"
    ):
        run("encrypt", image, "/a", *keys(image), "--user", "alice")
    assert before == image.read_bytes()
    assert {"a.img", "source", "users.toml"} == {file.name for file in image.parent.iterdir()}


@pytest.mark.parametrize("name", ["pipe", "folder", "none", "empty"])
def test_what_is_no_image_file(tmp_path: Path, name: str) -> None:
    """A FIFO, a directory, nothing, an empty file: one error, and nothing waits."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    for verb in ("shred", "rm"):
        with pytest.raises(ReadpathError, match="cannot be read"):
            run(verb, tmp_path / name, "/a")


@pytest.mark.parametrize("kind", [*MKE2FS_KINDS, "no-journal"])
def test_scrub(tmp_path: Path, kind: str) -> None:
    """
    After encrypt --scrub and after scrub, no plaintext is in the image: not in free blocks, groups that were
    never used, nor in the journal; the rest is as it was.
    """
    source, path, users = tmp_path / "source", tmp_path / "a.img", tmp_path / "users.toml"
    source.mkdir()
    (source / "secret").write_bytes(TEXT)
    (source / "a").write_bytes(OTHER)
    mke2fs(path, source, *MKE2FS_KINDS.get(kind, ("-O", "^has_journal")), size="24M")
    run("userkey", users, "alice")
    data = bytearray(path.read_bytes())
    opened = Image.open(path)
    size = opened.block_size
    places = [start * size for start, length in ImageEditor(path)._groups.free_runs(uninitialised=True)]
    if kind != "no-journal":
        places.append((opened.inode(8).tree.extents[0].physical + 5) * size)
    for at in places:
        data[at : at + 80] = TEXT[:80]
    path.write_bytes(data)
    said = run("encrypt", path, "/secret", "--keys", users, "--user", "alice", "--scrub")
    assert "the host's free blocks" in said.stderr
    assert "--scrub" not in said.stderr
    e2fsck(path)
    assert TEXT[:40] not in path.read_bytes()
    assert TEXT == run("cat", path, "/secret", "--keys", users, "--as", "alice").stdout_bytes
    assert OTHER == run("cat", path, "/a").stdout_bytes
    assert OTHER[:40] in path.read_bytes()
    assert "(--scrub zeroes those)" in run("encrypt", path, "/a", "--keys", users, "--user", "alice").stderr
    data = bytearray(path.read_bytes())
    data[places[-1] : places[-1] + 80] = TEXT[:80]
    path.write_bytes(data)
    run("scrub", path)
    assert TEXT[:40] not in path.read_bytes()
    e2fsck(path)
