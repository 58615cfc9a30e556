"""
Every verb that writes to an image, cut off after every write: the image is old or new, and no key is lost.

Cuts are those of crash_kit; e2fsck mends what is left, and judges. Readers are asked through the library.
"""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from crash_kit import CrashingDisk, Cut, recorded
from tools import MKE2FS_KINDS, debugfs, e2fsck, mke2fs, tool
from verbs_kit import run

from sim.cli.image.asking import changing
from sim.crypto.keys.file_keys import KeyRing, is_shredded, secret_parts
from sim.crypto.keys.user_keys import UserKey
from sim.crypto.streams import NamedStream
from sim.errors import ImageError, ReadpathError
from sim.ext4.check.run import check_image
from sim.ext4.edit.editor import ImageEditor
from sim.ext4.edit.scrub import find_words, journal_log_runs, words_of
from sim.ext4.read.reader import Image
from sim.volume import keyed_groups, keyed_image

TEXTS = {
    "/secret": b"what must be read again, or be gone as a whole\n" * 300,
    "/other": bytes(range(256)) * 40,
    "/plain": b"not encrypted yet\n" * 700,
    "/twice": b"has two names\n" * 300,
}
KINDS = {
    **MKE2FS_KINDS,
    "big-inodes-4k": ("-b", "4096", "-I", "1024"),
    "no-journal-1k": ("-b", "1024", "-O", "^has_journal"),
}
CASES = [
    ("default-4k", 2),
    ("default-4k", 36),
    ("seeded-1k", 700),
    ("small-inodes-2k", 33),
    ("no-journal-1k", 7),
]
FIRST, NEW = "user0000", "newcomer"


def named(users: int) -> list[str]:
    """Return the names of so many users."""
    return [f"user{number:04d}" for number in range(users)]


@cache
def key(user: str) -> UserKey:
    """Return a user's key."""
    return UserKey(user, NamedStream(1, user)(64))


def asked(users: int) -> list[str]:
    """Return whose reading is looked at: the first two, the last, and one who joins."""
    return [*dict.fromkeys((FIRST, "user0001", named(users)[-1], NEW))]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], tuple[bytes, Path]]:
    """Make an image for so many users, once; return its bytes and the key file."""

    @cache
    def made(kind: str, users: int) -> tuple[bytes, Path]:
        folder = tmp_path_factory.mktemp(kind)
        path, keys = folder / "a.img", folder / "users.toml"
        (folder / "source").mkdir()
        for name, text in TEXTS.items():
            (folder / "source" / name[1:]).write_bytes(text)
        (folder / "source" / "name").hardlink_to(folder / "source" / "twice")
        mke2fs(path, folder / "source", *KINDS[kind], size="6M")
        people = [*named(users), NEW]
        keys.write_text(
            "".join(f'[[user]]\nid = "{user}"\nraw = "{key(user).raw.hex()}"\n' for user in people)
        )
        keys.chmod(0o600)
        everyone = [word for user in people[:-1] for word in ("--user", user)]
        for words in (
            ("encrypt", path, "/secret", *everyone),
            ("encrypt", path, "/other", "--user", people[-2], "--mode", "gcm"),
            ("encrypt", path, "/twice", "--user", people[-2]),
            ("group", path, "@staff", *everyone),
        ):
            run(*words, "--keys", keys, "--seed", 1)
        data = bytearray(path.read_bytes())
        for at, length in unused(path):  # for scrub to have something to do
            data[at : at + length] = b"x" * length
        return bytes(data), keys

    return made


def unused(path: Path) -> list[tuple[int, int]]:
    """Return (first byte, bytes) of pieces of free blocks and of the journal's log."""
    image, free = Image.open(path), ImageEditor(path)._groups.free_runs(uninitialised=True)
    size = image.block_size
    places = [start + length // 2 for start, length in (*free, *journal_log_runs(image))]
    return [(block * size, size) for block in places]


VERBS: dict[str, Callable[[int], list[str]]] = {
    "encrypt": lambda _users: ["encrypt", "/plain", "--user", NEW, "--user", FIRST, "--mode", "gcm"],
    "encrypt --scrub": lambda _users: ["encrypt", "/plain", "--user", "@staff", "--scrub"],
    "rekey": lambda users: [
        *("rekey", "/secret", "--as", FIRST, "--without", "user0001", "--mode", "gcm"),
        *(word for user in named(users)[2:] for word in ("--keep", user)),
    ],
    "share": lambda _users: ["share", "/secret", NEW, "--as", FIRST],
    "adduser": lambda users: ["adduser", NEW, "--as", named(users)[-1]],
    "group": lambda _users: ["group", "@other", "--user", NEW],
    "group --as": lambda _users: ["group", "@staff", "--user", NEW, "--as", FIRST],
    "unshare": lambda _users: ["unshare", "/secret", FIRST],
    "group --without": lambda _users: ["group", "@staff", "--without", FIRST],
    "shred": lambda _users: ["shred", "/secret"],
    "shred --scan": lambda _users: ["shred", "/secret", "--scan"],
    "rm": lambda _users: ["rm", "/secret"],
    "rm of one name": lambda _users: ["rm", "/name"],
    "scrub": lambda _users: ["scrub"],
}
WITHOUT_KEYS = ("unshare", "group --without", "shred", "shred --scan", "rm", "rm of one name", "scrub")


def command(verb: str, users: int, image: Path, keys: Path) -> list[object]:
    """Return the words of a verb."""
    name, *words = VERBS[verb](users)
    return [name, image, *words, *(() if verb in WITHOUT_KEYS else ("--keys", keys, "--seed", 2))]


State = dict[str, list[str] | None]


def state(path: Path, users: int) -> State:
    """Return who reads each file and opens each group; "all" for plaintext, None for what is not there."""
    image = Image.open(path)
    found: State = {name: readers(image, name, users) for name in (*TEXTS, "/name")}
    for group in ("@staff", "@other"):
        found[group] = [user for user in asked(users) if is_member(image, group, user)]
    return found


def readers(image: Image, name: str, users: int) -> list[str] | None:
    """
    Return who reads a file; never anything else than what was written.

    e2fsck makes a plain file of noise of one whose xattrs it had to clear: nobody reads that.
    """
    text = TEXTS["/twice" if name == "/name" else name]
    try:
        inode = image.lookup(name)
    except ImageError:
        return None
    if not inode.is_encrypted:
        return ["all"] if text == image.read_file(inode) else []
    found = []
    for user in asked(users):
        try:
            opened = keyed_image.open_file(image, inode, KeyRing([key(user)]), user)
        except ReadpathError:
            continue
        assert text == b"".join(keyed_image.read_contents(image, inode, opened.contents))
        found.append(user)
    return found


def is_member(image: Image, group: str, user: str) -> bool:
    """Return whether a user opens a group."""
    try:
        return group in keyed_groups.open_groups(image, KeyRing([key(user)]), user)
    except ReadpathError:
        return False


def mended(path: Path) -> None:
    """Let e2fsck mend an image; fail if it leaves anything."""
    said = subprocess.run([tool("e2fsck"), "-fy", str(path)], capture_output=True, text=True, check=False)
    assert said.returncode in (0, 1), said.stdout


def survives(path: Path, keys: Path, verb: str, users: int) -> None:
    """
    Run a verb on an image and fail unless every crash leaves the old state or the new one.

    That is so before and after e2fsck has mended it, and the verb is done when it is run again after one.
    """
    old, before = path.read_bytes(), state(path, users)
    disk, cut = CrashingDisk(old, path.stat().st_ino), path.with_name("cut.img")
    calls = recorded(lambda: run(*command(verb, users, path, keys)))
    new, after = path.read_bytes(), state(path, users)
    assert old != new
    assert all(named(users)[-1] in (one["/other"] or []) for one in (before, after))
    assert (before == after) == (verb == "scrub")
    e2fsck(path)
    seen, again, last = set[bytes](), False, b""
    for last in disk.images(calls):
        digest = hashlib.sha256(last).digest()
        if digest in seen:
            continue
        seen.add(digest)
        cut.write_bytes(last)
        assert state(cut, users) in (before, after)
        if last in (old, new):
            continue
        mended(cut)
        found = state(cut, users)
        assert found in (before, after)
        if not again and found == before:
            again = True
            run(*command(verb, users, cut, keys))
            assert after == state(cut, users)
            assert [] == check_image(Image.open(cut))
    assert new == last
    assert {hashlib.sha256(whole).digest() for whole in (old, new)} <= seen


@pytest.mark.parametrize(
    ("verb", "kind", "users"),
    [(verb, *case) for verb in VERBS for case in (CASES[:2] if verb == "shred --scan" else CASES)],
)
def test_cut_after_every_write(
    tmp_path: Path, images: Callable[[str, int], tuple[bytes, Path]], verb: str, kind: str, users: int
) -> None:
    """Old or new state at every cut, and after e2fsck, which loses nothing; verbs write where they say."""
    old, keys = images(kind, users)
    path = tmp_path / "a.img"
    path.write_bytes(old)
    number = path.stat().st_ino
    survives(path, keys, verb, users)
    assert (verb in WITHOUT_KEYS) == (number == path.stat().st_ino)


def filled(path: Path) -> None:
    """Put a file into all free blocks of an image."""
    image, whole = Image.open(path), path.with_name("whole")
    whole.write_bytes(b"x" * image.superblock.free_blocks_count * image.block_size)
    debugfs(path, f"write {whole} whole", write=True)
    assert 0 == Image.open(path).superblock.free_blocks_count
    e2fsck(path)


@pytest.mark.parametrize(
    ("reason", "verb", "users"),
    [
        ("inodes of two sectors", "unshare", 2),
        ("inodes of two sectors", "group --without", 2),
        ("no room", "unshare", 2),
        ("no room", "group --without", 36),
        ("no room", "shred", 36),
    ],
)
def test_where_no_sector_can_switch(
    tmp_path: Path,
    images: Callable[[str, int], tuple[bytes, Path]],
    reason: str,
    verb: str,
    users: int,
) -> None:
    """
    The image is written aside and renamed, whole or not at all. What was taken away is gone from the old too.
    """
    old, keys = images("default-4k" if reason == "no room" else "big-inodes-4k", users)
    path = tmp_path / "a.img"
    path.write_bytes(old)
    if reason == "no room":
        filled(path)
    number, parts = path.stat().st_ino, secrets(path, verb)
    with path.open("rb") as kept:
        survives(path, keys, verb, users)
        bytes_kept = kept.read()
    assert number != path.stat().st_ino
    gone = parts if verb == "shred" else parts - secrets(path, verb)
    assert gone
    for data in (bytes_kept, path.read_bytes()):
        assert [] == find_words(data, words_of(gone))


def secrets(path: Path, verb: str) -> set[bytes]:
    """Return what is secret in the wrapped keys that a verb changes; nothing after they were shredded."""
    image = Image.open(path)
    if verb.startswith("group"):
        return set(secret_parts(keyed_groups.group_keys(image, "@staff")))
    raw = keyed_image.wrapped_keys(image.lookup("/secret"))
    return set() if is_shredded(raw) else set(secret_parts(raw))


def test_killed_after_every_call(tmp_path: Path, images: Callable[[str, int], tuple[bytes, Path]]) -> None:
    """Whenever a verb is killed, the image is whole, old or new; the next one removes what is beside it."""
    old, keys = images("small-inodes-2k", 33)
    path = tmp_path / "a.img"
    path.write_bytes(old)
    calls = recorded(lambda: run(*command("share", 33, path, keys)))
    new, left = path.read_bytes(), 0
    for cut_after in range(len(calls)):
        path.write_bytes(old)
        with pytest.raises(Cut):
            recorded(lambda: run(*command("share", 33, path, keys)), cut_after)
        assert path.read_bytes() == (old if "rename" not in {c.kind for c in calls[:cut_after]} else new)
        beside = {file.name for file in tmp_path.iterdir()} - {"a.img"}
        left += bool(beside)
        with changing(path, ImageEditor):
            pass
        assert {"a.img"} == {file.name for file in tmp_path.iterdir()}
    assert left >= len(calls) - 3


def test_make_over_an_image(tmp_path: Path) -> None:
    """An image that another one replaces is there until the other is on the disk."""
    path = tmp_path / "a.img"
    run("make", path, "--file", "data:64KiB")
    old, disk = path.read_bytes(), CrashingDisk(path.read_bytes(), path.stat().st_ino)
    calls = recorded(lambda: run("make", path, "--file", "other:16KiB"))
    assert {old, path.read_bytes()} == set(disk.images(calls))


def test_an_image_that_changed_meanwhile_is_left_alone(
    tmp_path: Path, images: Callable[[str, int], tuple[bytes, Path]]
) -> None:
    """Whatever else writes to the image, or takes its name, before the verb does: an error and no change."""
    path, other = tmp_path / "a.img", tmp_path / "other.img"
    path.write_bytes(images("default-4k", 2)[0])
    for in_place in (True, False):
        for meddle in (lambda: path.write_bytes(path.read_bytes()), lambda: other.replace(path)):
            other.write_bytes(path.read_bytes())
            editor = ImageEditor(path)
            keyed_image.unshare(editor, "/secret", FIRST)
            meddle()
            data = path.read_bytes()
            with pytest.raises(ImageError, match="was changed by someone else since it was read"):
                editor.commit(in_place)
            assert data == path.read_bytes()
    assert {"a.img", "other.img"} >= {file.name for file in tmp_path.iterdir()}
