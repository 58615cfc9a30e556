"""
Cut off after every page: an image that is changed in place is old or new, and no key is lost.

The writes of a verb are recorded as its stages; a crash leaves all stages before one, and some of that
one's pages: the first ones in order, or any. e2fsck mends what is left, and judges.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tools import MKE2FS_KINDS, e2fsck, mke2fs, tool

from sim.crypto.keys.file_keys import KeyRing, secret_parts, wrap
from sim.crypto.keys.policies import AnyOf
from sim.crypto.keys.user_keys import UserKey
from sim.crypto.keys.wrapped import MODE_GROUP_KEY, FileKey
from sim.crypto.streams import NamedStream
from sim.errors import ImageError, ReadpathError
from sim.ext4.check.run import check_image
from sim.ext4.edit.editor import ImageEditor
from sim.ext4.edit.overlay import Changes
from sim.ext4.edit.scrub import find_words, words_of
from sim.ext4.read.reader import Image
from sim.volume import keyed_groups, keyed_image

TEXT = b"what must be read again, or be gone as a whole\n" * 300
OTHER = bytes(range(256)) * 40
KINDS = {
    **MKE2FS_KINDS,
    "big-inodes-4k": ("-b", "4096", "-I", "1024"),
    "no-journal-1k": ("-b", "1024", "-O", "^has_journal"),
}


def ring(users: int) -> KeyRing:
    """Return the keys of some users."""
    return KeyRing(UserKey(f"user{number:04d}", NamedStream(1, f"{number}")(64)) for number in range(users))


def made(folder: Path, kind: str, users: int) -> Path:
    """Make an image with an encrypted file, one beside it, and a group."""
    source, path = folder / "source", folder / "a.img"
    source.mkdir()
    (source / "secret").write_bytes(TEXT)
    (source / "other").write_bytes(OTHER)
    mke2fs(path, source, *KINDS[kind], size="6M")
    people = ring(users)
    editor = ImageEditor(path)
    names = [key.user for key in people]
    keyed_image.encrypt_file(editor, "/secret", AnyOf(names), people, NamedStream(1, "secret"))
    keyed_image.encrypt_file(editor, "/other", AnyOf(names[-1:]), people, NamedStream(1, "other"))
    group = FileKey.generate(NamedStream(1, "group"), MODE_GROUP_KEY)
    keyed_groups.make_group(editor, "@staff", wrap("aes-kw", group, people, NamedStream(1, "members")))
    editor.commit()
    return path


def reads(path: Path, name: str, users: int, user: int) -> bool:
    """Return whether a user reads a file; never anything else than what was written."""
    image, who = Image.open(path), f"user{user:04d}"
    try:
        inode = image.lookup(name)
        contents = keyed_image.open_contents(image, inode, ring(users), who)
    except ReadpathError:
        return False
    assert {"/secret": TEXT, "/other": OTHER}[name] == b"".join(
        keyed_image.read_contents(image, inode, contents)
    )
    return True


def is_member(path: Path, users: int, user: int) -> bool:
    """Return whether a user opens the group."""
    keys = KeyRing([ring(users).key(f"user{user:04d}")])
    try:
        return ["@staff"] == keyed_groups.open_groups(Image.open(path), keys, f"user{user:04d}")
    except ReadpathError:
        return False


VERBS: dict[str, tuple[Callable[[ImageEditor], object], Callable[[Path, int], tuple[bool, ...]]]] = {
    "unshare": (
        lambda editor: keyed_image.unshare(editor, "/secret", "user0000"),
        lambda path, users: (
            reads(path, "/secret", users, 0),
            *(reads(path, "/secret", users, n) for n in {1, users - 1}),
        ),
    ),
    "group --without": (
        lambda editor: keyed_groups.leave_group(editor, "@staff", "user0000"),
        lambda path, users: (is_member(path, users, 0), *(is_member(path, users, n) for n in {1, users - 1})),
    ),
    "shred": (
        lambda editor: keyed_image.shred(editor, "/secret"),
        lambda path, users: (reads(path, "/secret", users, 0), reads(path, "/secret", users, users - 1)),
    ),
    "rm": (
        lambda editor: editor.remove("/secret"),
        lambda path, users: (reads(path, "/secret", users, 0), reads(path, "/secret", users, users - 1)),
    ),
}


def sectors(changes: Changes) -> Changes:
    """Return changes cut into sectors, all but the superblock, which is larger than one (Groups.settle)."""
    return [(at + s, data[s : s + 512]) for at, data in changes if at for s in range(0, len(data), 512)]


def cuts(stages: list[Changes], shuffles: int) -> Iterator[Changes]:
    """
    Yield what of the writes is on the disk at a crash: after every page in order, and as many in any order.
    """
    noise = random.Random(7)
    done: Changes = []
    for stage in stages:
        for order in (stage, *(noise.sample(stage, len(stage)) for _ in range(shuffles))):
            yield from ([*done, *order[:count]] for count in range(1, len(order)))
        if torn := noise.sample(sectors(stage), len(sectors(stage))):
            yield [*done, *torn[: noise.randrange(len(torn))]]
        done = [*done, *stage]
        yield done


def mended(path: Path) -> None:
    """Let e2fsck mend an image; fail if it leaves anything."""
    said = subprocess.run([tool("e2fsck"), "-fy", str(path)], capture_output=True, text=True, check=False)
    assert said.returncode in (0, 1), said.stdout
    assert [] == check_image(Image.open(path))


CASES = [
    ("default-4k", 2),
    ("default-4k", 36),
    ("seeded-1k", 700),
    ("small-inodes-2k", 33),
    ("no-journal-1k", 7),
]


@pytest.mark.parametrize(("kind", "users"), CASES)
@pytest.mark.parametrize("verb", VERBS)
def test_cut_after_every_page(tmp_path: Path, verb: str, kind: str, users: int) -> None:
    """Old or new state at every cut, and after e2fsck; who may read can, and the other file is as it was."""
    change, state = VERBS[verb]
    path = made(tmp_path, kind, users)
    old, before = path.read_bytes(), state(path, users)
    stages = staged(path, change)
    after = state(path, users)
    assert before != after
    one_page = verb == "shred" and users < 10  # in the xattr block
    assert (len(stages) == 1) == one_page
    cut = tmp_path / "cut.img"
    for writes in cuts(stages, 1):
        data = bytearray(old)
        for at, page in writes:
            data[at : at + len(page)] = page
        cut.write_bytes(data)
        assert state(cut, users) in (before, after)
        mended(cut)
        assert reads(cut, "/other", users, users - 1)
        assert state(cut, users) in (before, after)
    e2fsck(cut)


def staged(path: Path, change: Callable[[ImageEditor], object]) -> list[Changes]:
    """Change an image in place; return the stages that were written, as the disk saw them."""
    written: list[Changes] = [[]]
    pwrite, fsync = os.pwrite, os.fsync

    def write(fd: int, data: bytes, offset: int) -> int:
        written[-1].append((offset, bytes(data)))
        return pwrite(fd, data, offset)

    def flush(fd: int) -> None:
        written.append([])
        fsync(fd)

    editor = ImageEditor(path)
    change(editor)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.pwrite", write)
        patch.setattr("os.fsync", flush)
        editor.commit(in_place=True)
    assert [] == written.pop()  # all was flushed
    return written


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
def test_where_no_sector_can_switch(tmp_path: Path, reason: str, verb: str, users: int) -> None:
    """
    The image is written aside and renamed, whole or not at all. What was taken away is gone from the old too.
    """
    change, state = VERBS[verb]
    path = made(tmp_path, "big-inodes-4k" if reason != "no room" else "default-4k", users)
    if reason == "no room":
        free = Image.open(path).superblock.free_blocks_count
        filler = tmp_path / "filler"
        filler.write_bytes(b"f" * 4096 * free)
        subprocess.run([tool("debugfs"), "-w", "-R", f"write {filler} filler", str(path)], check=True)
        assert 0 == Image.open(path).superblock.free_blocks_count
    before, number = state(path, users), path.stat().st_ino
    set_of = {"group --without": lambda i: i.lookup("/").xattrs[keyed_groups._group_name("@staff")]}.get(
        verb, lambda i: keyed_image.wrapped_keys(i.lookup("/secret"))
    )
    old = set_of(Image.open(path))
    with path.open("rb") as kept:
        editor = ImageEditor(path)
        change(editor)
        editor.commit(in_place=True)
        assert path.stat().st_ino != number
        bytes_kept = kept.read()
    assert before != state(path, users)
    assert reads(path, "/other", users, users - 1)
    gone = (
        secret_parts(old)
        if verb == "shred"
        else [part for part in secret_parts(old) if part not in set_of(Image.open(path))]
    )
    assert gone
    for data in (bytes_kept, path.read_bytes()):
        assert [] == find_words(data, words_of(gone))


def test_an_image_that_changed_meanwhile_is_left_alone(tmp_path: Path) -> None:
    """Whatever else writes to the image, or takes its name, before the verb does: an error and no change."""
    path = made(tmp_path, "default-4k", 2)
    other = tmp_path / "other.img"
    for in_place in (True, False):
        for meddle in (lambda: path.write_bytes(path.read_bytes()), lambda: other.replace(path)):
            other.write_bytes(path.read_bytes())
            editor = ImageEditor(path)
            keyed_image.unshare(editor, "/secret", "user0000")
            meddle()
            data = path.read_bytes()
            with pytest.raises(ImageError, match="was changed by someone else since it was read"):
                editor.commit(in_place)
            assert data == path.read_bytes()
    assert {"a.img", "source", "other.img"} >= {file.name for file in tmp_path.iterdir()}
