"""
Who can write to an image and has no key: keys moved about, sizes changed, files exchanged.

Each is an attack that worked once; the victim runs ordinary verbs, mallory reads nothing that was not shared.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from key_file import secret_keys
from mallory_kit import TEXTS, USERS, both_formats, encrypt, keys, put, put_keys, reads, with_packet, xattrs
from tools import debugfs, e2fsck
from verbs_kit import run

from sim.crypto.keys.binding import Binding, parse_binding
from sim.crypto.keys.data_units import RECORD_BYTES, SEAL_NAME, TAGS_NAME
from sim.crypto.keys.file_keys import KeyRing, binding_of, wrap
from sim.crypto.keys.user_keys import UserKey
from sim.crypto.keys.wrapped import MODE_GROUP_KEY, FileKey
from sim.crypto.streams import NamedStream
from sim.errors import CryptoError, ReadpathError
from sim.ext4.edit.editor import ImageEditor
from sim.ext4.read.reader import Image
from sim.volume.keyed_groups import _group_name
from sim.volume.keyed_image import joined, replaced


@both_formats
def test_share_hands_on_no_other_files_key(image: Path, base: Path, form: str) -> None:
    """/secret's keys put on /lunch: alice cannot be made to share them, nor to read /lunch with them."""
    for path in ("/secret", "/lunch"):
        encrypt(image, path, base, "--user", "alice", "--format", form)
    before, wrong = xattrs(image, "/lunch"), keys(image, "/secret")
    put_keys(image, "/lunch", wrong)
    for words in (("share", image, "/lunch", "mallory"), ("rekey", image, "/lunch")):
        with pytest.raises(CryptoError, match=r"EIO: the wrapped keys are .*of another name"):
            run(*words, "--keys", base / "all.toml", "--as", "alice")
    assert None is reads(image, "/lunch", base, "alice")
    run("adduser", image, "mallory", "--keys", base / "all.toml", "--as", "alice")
    assert wrong == keys(image, "/lunch") != keys(image, "/secret")  # not shared with mallory
    put(image, "/lunch", before)
    assert None is reads(image, "/lunch", base, "mallory")
    assert TEXTS["/secret"] == reads(image, "/secret", base, "mallory")  # by adduser, as alice has asked


@both_formats
def test_share_hands_on_no_groups_key(image: Path, base: Path, form: str) -> None:
    """The keys of @staff put on /lunch: not shared, for they are a group's."""
    words = ("--keys", base / "all.toml", "--user", "alice", "--user", "bob", "--format", form)
    run("group", image, "@staff", *words)
    encrypt(image, "/lunch", base, "--user", "alice", "--format", form)
    put_keys(image, "/lunch", xattrs(image, "/")[_group_name("@staff")])
    with pytest.raises(CryptoError, match="for a group, not a file"):
        run("share", image, "/lunch", "mallory", "--keys", base / "all.toml", "--as", "alice")


@both_formats
def test_a_groups_keys_are_its_own(image: Path, base: Path, form: str) -> None:
    """@canteen's keys put in the place of @board's: nothing is encrypted for it, nobody is let in."""
    for group, user in (("@board", "bob"), ("@canteen", "mallory")):
        words = ("--user", "alice", "--user", user, "--format", form)
        run("group", image, group, "--keys", base / "all.toml", *words)
    root = xattrs(image, "/")
    put(image, "/", {**root, _group_name("@board"): root[_group_name("@canteen")]})
    for said in (
        ("encrypt", image, "/secret", "--user", "@board"),
        ("group", image, "@board", "--user", "carol", "--as", "alice"),
    ):
        with pytest.raises(CryptoError, match="group @board: EIO: the wrapped keys are of another name"):
            run(*said, "--keys", base / "all.toml")


def test_a_group_that_anyone_can_have_made_is_not_written_for(image: Path, base: Path) -> None:
    """
    A group's set of mallory's making, for alice's public key: alice would read with it, and is not made to
    encrypt under a key that mallory knows, nor to let others in.
    """
    alice = secret_keys(base / "alice.toml")[0]
    mallory = secret_keys(base / "mallory.toml")[0]
    random = NamedStream(1, "mallory")
    forged = FileKey.generate(random, MODE_GROUP_KEY)
    made = Binding.new(2, Image.open(image).uuid, 0, b"@board", random)
    put(image, "/", {_group_name("@board"): wrap("aes-kw", forged, [alice.public, mallory], random, made)})
    encrypt(image, "/lunch", base, "--user", "alice", "--user", "bob")
    put_keys(image, "/lunch", with_packet(keys(image, "/lunch"), UserKey("@board", bytes(64))))
    before = image.read_bytes()
    two = ("--as", "alice", "--as", "bob")  # bob is not in it: that is no word for it
    for said in (
        ("encrypt", image, "/secret", "--user", "@board", "--keys", base / "alice.toml"),
        ("group", image, "@board", "--user", "bob", "--as", "alice", "--keys", base / "all.toml"),
        ("rekey", image, "/lunch", "--keep", "@board", *two, "--keys", base / "all.toml"),
        ("rekey", image, "/lunch", "--keep", "@board", *two[2:], *two[:2], "--keys", base / "all.toml"),
    ):
        with pytest.raises(CryptoError, match="wrapped for the public key of alice: anyone can have made it"):
            run(*said)
    for said in (
        ("encrypt", image, "/secret", "--user", "@board", "--keys", base / "bob.toml"),
        ("rekey", image, "/lunch", "--keep", "@board", *two[2:], "--keys", base / "all.toml"),
    ):
        with pytest.raises(CryptoError, match=r"ENOKEY: no (wrapped key for bob|key to wrap for @board)"):
            run(*said, "--without", "alice") if said[0] == "rekey" else run(*said)
    assert before == image.read_bytes()


def grown(image: Path, path: str, size: int) -> None:
    """Change the size in an inode."""
    debugfs(image, f"sif {path} size {size}", write=True)


def test_gcm_covers_the_size(image: Path, base: Path) -> None:
    """Cut or grown, by a byte or a block or to nothing: EIO and not one byte; XTS does not notice."""
    encrypt(image, "/d/notes", base, "--user", "alice", "--mode", "gcm")
    encrypt(image, "/lunch", base, "--user", "alice")
    size = len(TEXTS["/d/notes"])
    for other in (0, 1, 4096, 8191, 8192, 8999, size - 1, size + 1, 12_000, 12_288):
        grown(image, "/d/notes", other)
        with pytest.raises(CryptoError, match=f"EIO: its {other} bytes or its table of tags"):
            run("cat", image, "/d/notes", "--keys", base / "alice.toml", "--as", "alice")
    grown(image, "/d/notes", size)
    assert TEXTS["/d/notes"] == reads(image, "/d/notes", base, "alice")
    grown(image, "/lunch", 5000)
    assert TEXTS["/lunch"][:5000] == reads(image, "/lunch", base, "alice")


def test_gcm_covers_the_table(image: Path, base: Path) -> None:
    """A record taken away together with its block, and a seal that is missing or another file's."""
    for path in ("/secret", "/d/notes"):
        encrypt(image, path, base, "--user", "alice", "--mode", "gcm")
    good = xattrs(image, "/secret")
    table, seal = joined(good, TAGS_NAME), joined(good, SEAL_NAME)
    assert RECORD_BYTES == len(seal)
    editor = ImageEditor(image)
    inode = editor.image.lookup("/secret")
    editor.rewrite_contents(inode.number, lambda block, data: data if block else bytes(len(data)))
    editor.set_xattrs(inode.number, replaced(good, TAGS_NAME, bytes(RECORD_BYTES) + table[RECORD_BYTES:]))
    editor.commit()
    assert None is reads(image, "/secret", base, "alice")
    for other in (b"", seal[:-1], bytes(RECORD_BYTES)):
        put(image, "/d/notes", replaced(xattrs(image, "/d/notes"), SEAL_NAME, b""))
        put(image, "/d/notes", replaced(xattrs(image, "/d/notes"), SEAL_NAME, other or seal))
        assert None is reads(image, "/d/notes", base, "alice")


@pytest.mark.parametrize("mode", ["xts", "gcm"])
def test_exchanged_and_renamed_files(image: Path, base: Path, mode: str) -> None:
    """
    Two files that change names are EIO for both; who has renamed a file says so, and binds it with rekey.
    """
    for path in ("/secret", "/lunch"):
        encrypt(image, path, base, "--user", "alice", "--mode", mode)
    one, two = (Image.open(image).lookup(path).number for path in ("/secret", "/lunch"))
    debugfs(image, "unlink /secret", "unlink /lunch", f"ln <{one}> /lunch", f"ln <{two}> /secret", write=True)
    for path in ("/secret", "/lunch"):
        with pytest.raises(
            CryptoError, match="EIO: the wrapped keys are of another name: they were moved here"
        ):
            run("cat", image, path, "--keys", base / "alice.toml", "--as", "alice")
    assert TEXTS["/secret"] == reads(image, "/lunch", base, "alice", "--moved")
    assert None is reads(image, "/lunch", base, "mallory", "--moved")
    run("rekey", image, "/lunch", "--keys", base / "alice.toml", "--as", "alice", "--moved")
    assert TEXTS["/secret"] == reads(image, "/lunch", base, "alice")
    e2fsck(image)


def test_names_of_one_file(image: Path, base: Path) -> None:
    """However its path is written, a file is the same; one with two names is bound to neither, as is said."""
    encrypt(image, "d/../d//notes", base, "--user", "alice")
    for path in ("/d/notes", "d/notes", "//d/notes", "/d/./notes", "/d/../d/notes", "/../d/notes/"):
        assert TEXTS["/d/notes"] == reads(image, path, base, "alice")
    debugfs(image, "ln /secret /second", "sif /secret links_count 2", write=True)
    said = run("encrypt", image, "/secret", "--keys", base / "all.toml", "--user", "alice").stderr
    assert "has 2 names, its wrapped keys are bound to none of them" in said
    for path in ("/secret", "/second"):
        assert TEXTS["/secret"] == reads(image, path, base, "alice")


@pytest.mark.parametrize("dots", [0, 100])
def test_symbolic_links(image: Path, base: Path, dots: int) -> None:
    """They are not followed, in the inode or in a block of their own: told, nothing changed; rm takes it."""
    encrypt(image, "/secret", base, "--user", "alice")
    debugfs(image, f"symlink /link /{'./' * dots}secret", write=True)
    e2fsck(image)
    before, someone = image.read_bytes(), ("--keys", base / "all.toml")
    for words in (
        ("encrypt", image, "/link", *someone, "--user", "alice"),
        ("encrypt", image, "/link", *someone, "--user", "alice", "--mode", "gcm", "--scrub"),
        ("rekey", image, "/link", *someone, "--as", "alice"),
        ("share", image, "/link", "bob", *someone, "--as", "alice"),
        ("shred", image, "/link"),
        ("unshare", image, "/link", "alice"),
        ("cat", image, "/link", *someone, "--as", "alice"),
    ):
        with pytest.raises(ReadpathError, match=r"is a symlink; allowed: a (plain )?file"):
            run(*words)
    assert before == image.read_bytes()
    run("rm", image, "/link")
    e2fsck(image)
    assert TEXTS["/secret"] == reads(image, "/secret", base, "alice")


def test_hard_links(image: Path, base: Path) -> None:
    """One file by two names: what a verb does by one is seen by the other, and stays when one is removed."""
    debugfs(image, "ln /secret /second", "sif /secret links_count 2", write=True)
    encrypt(image, "/second", base, "--user", "alice", "--user", "bob", "--mode", "gcm")
    run("share", image, "/secret", "carol", "--keys", base / "all.toml", "--as", "alice")
    run("unshare", image, "/second", "bob")
    run("rekey", image, "/secret", "--keys", base / "all.toml", "--as", "alice", "--keep", "carol")
    with pytest.raises(CryptoError, match="is an encrypted file"):
        encrypt(image, "/secret", base, "--user", "alice")
    e2fsck(image)
    for path in ("/secret", "/second"):
        found = [user for user in USERS if reads(image, path, base, user) == TEXTS["/secret"]]
        assert ["alice", "carol"] == found
    run("rm", image, "/secret")
    e2fsck(image)
    assert TEXTS["/secret"] == reads(image, "/second", base, "carol")
    run("shred", image, "/second")
    assert None is reads(image, "/second", base, "carol")


def test_another_file_system_and_another_inode(image: Path, base: Path) -> None:
    """A file system of another UUID, and an inode of another generation, are named."""
    encrypt(image, "/secret", base, "--user", "alice")
    data = image.read_bytes()
    debugfs(image, "sif /secret generation 77", write=True)
    with pytest.raises(CryptoError, match=r"of an inode of generation 0x.*, not 0x4d"):
        run("cat", image, "/secret", "--keys", base / "alice.toml", "--as", "alice")
    image.write_bytes(data)
    debugfs(image, "ssv uuid 00000000-1111-2222-3333-444444444444", write=True)
    with pytest.raises(CryptoError, match="EIO: the wrapped keys are of the file system"):
        run("cat", image, "/secret", "--keys", base / "alice.toml", "--as", "alice")
    assert TEXTS["/secret"] == reads(image, "/secret", base, "alice", "--moved")


@both_formats
def test_a_set_belongs_to_its_inode(image: Path, base: Path, form: str) -> None:
    """
    Files of two names each, which are bound to no name: exchanged sets, and a set moved, are told by the
    inode. One of an older version, which knows no inode, is read where its name is.
    """
    for path in ("/secret", "/lunch"):
        debugfs(image, f"ln {path} {path}2", f"sif {path} links_count 2", write=True)
        encrypt(image, path, base, "--user", "alice", "--format", form)
    for path in ("/secret", "/lunch2"):
        assert TEXTS[path.rstrip("2")] == reads(image, path, base, "alice")
    numbers = {path: Image.open(image).lookup(path).number for path in ("/secret", "/lunch")}
    bound = binding_of(keys(image, "/secret"))
    assert (numbers["/secret"], numbers["/secret"].to_bytes(4, "big")) == (bound.inode, bound.id[:4])
    before = {path: keys(image, path) for path in numbers}
    put_keys(image, "/secret", before["/lunch"])
    put_keys(image, "/lunch", before["/secret"])
    for path, other in (("/secret", "/lunch"), ("/lunch2", "/secret")):
        with pytest.raises(
            CryptoError, match=f"EIO: the wrapped keys are of inode {numbers[other]}: they were"
        ):
            run("cat", image, path, "--keys", base / "alice.toml", "--as", "alice")
        with pytest.raises(CryptoError, match="of inode"):
            run("share", image, path, "mallory", "--keys", base / "all.toml", "--as", "alice")
    for path, raw in before.items():
        put_keys(image, path, raw)
    assert TEXTS["/lunch"] == reads(image, "/lunch", base, "alice")
    random, user = NamedStream(9, "old"), secret_keys(base / "alice.toml")[0]
    older = Binding.new(1, Image.open(image).uuid, bound.generation, None, random)
    key = KeyRing([user]).unwrap(before["/secret"], "alice")
    put_keys(image, "/secret", wrap(form, key, [user], random, older))
    assert (0, TEXTS["/secret"]) == (older.inode, reads(image, "/secret", base, "alice"))


@both_formats
def test_unshare_leaves_as_many_shares_as_are_needed(image: Path, base: Path, form: str) -> None:
    """2 of 3, and an authority: one share can go, no second one; the authority always can."""
    words = [word for user in USERS[:3] for word in ("--user", user)]
    encrypt(image, "/secret", base, *words, "--needed", 2, "--escrow", "mallory", "--format", form)
    all_keys = ("--keys", base / "all.toml")
    run("unshare", image, "/secret", "mallory", *all_keys)
    run("unshare", image, "/secret", "carol", *all_keys)
    before = image.read_bytes()
    with pytest.raises(CryptoError, match="there are 1 shares, and 2 are needed"):
        run("unshare", image, "/secret", "bob", *all_keys)
    assert before == image.read_bytes()
    two = ("--as", "alice", "--as", "bob")
    assert TEXTS["/secret"] == run("cat", image, "/secret", *all_keys, *two).stdout_bytes


def test_sharing_needs_no_secret_of_others(image: Path, base: Path, tmp_path: Path) -> None:
    """Alice has bob's public key alone: encrypts, shares and rekeys for him; he reads with his own file."""
    public = run("pubkey", base / "bob.toml", "bob").stdout.split('"')[-2]
    mine = tmp_path / "mine.toml"
    mine.write_bytes((base / "alice.toml").read_bytes())
    mine.chmod(0o600)
    run("userkey", mine, "bob", "--public", public)
    run("encrypt", image, "/secret", "--keys", mine, "--user", "alice")
    assert None is reads(image, "/secret", base, "bob")
    run("share", image, "/secret", "bob", "--keys", mine, "--as", "alice")
    run("encrypt", image, "/lunch", "--keys", mine, "--user", "bob", "--mode", "gcm")
    run("group", image, "@two", "--keys", mine, "--user", "alice", "--user", "bob")
    run("encrypt", image, "/d/notes", "--keys", mine, "--user", "@two")
    e2fsck(image)
    for path in TEXTS:
        assert TEXTS[path] == reads(image, path, base, "bob")
        assert None is reads(image, path, base, "carol")
    old = keys(image, "/secret")
    run("rekey", image, "/secret", "--keys", mine, "--as", "alice", "--keep", "bob")
    assert TEXTS["/secret"] == reads(image, "/secret", base, "bob")
    assert binding_of(old) != binding_of(keys(image, "/secret"))
    run("unshare", image, "/secret", "bob")
    assert None is reads(image, "/secret", base, "bob")
    for said, message in (
        (("cat", image, "/secret", "--keys", mine, "--as", "bob"), "has only the public key of bob"),
        (("encrypt", image, "/secret", "--keys", mine, "--user", "bob", "--format", "rfc2014"), "is an enc"),
        (("share", image, "/lunch", "carol", "--keys", mine, "--as", "alice"), "has no user carol"),
        (("userkey", mine, "x", "--public", "00" * 31), "is 31 bytes long"),
        (("userkey", mine, "x", "--public", "xyz"), "is not hexadecimal"),
    ):
        with pytest.raises(CryptoError, match=message):
            run(*said)


@both_formats
def test_sets_of_older_versions(image: Path, base: Path, form: str) -> None:
    """They are read; share refuses them, and rekey binds them."""
    encrypt(image, "/secret", base, "--user", "alice", "--format", form)
    ring = KeyRing(secret_keys(base / "alice.toml"))
    raw = keys(image, "/secret")
    old = wrap(form, ring.unwrap(raw, "alice"), list(ring), NamedStream(1, "old"))
    assert (None, len(raw) - (61 if form == "rfc2014" else 56)) == (binding_of(old), len(old))
    put_keys(image, "/secret", old)
    all_keys = ("--keys", base / "all.toml", "--as", "alice")
    assert TEXTS["/secret"] == reads(image, "/secret", base, "alice")
    with pytest.raises(CryptoError, match=r"of an older version and bound to no file.*allowed: rekey"):
        run("share", image, "/secret", "bob", *all_keys)
    run("rekey", image, "/secret", *all_keys)
    run("share", image, "/secret", "bob", *all_keys)
    assert TEXTS["/secret"] == reads(image, "/secret", base, "bob")


@both_formats
def test_a_changed_binding_opens_nothing(form: str) -> None:
    """Every byte of the record is part of the wrapping keys; a record that is none is told."""
    user, key = UserKey("alice", bytes(range(64))), FileKey(1, bytes(64))
    made = Binding.new(1, bytes(16), 7, b"/f", NamedStream(1, "b"), 2)
    assert made == parse_binding(made.encode(), "here")
    raw = wrap(form, key, [user], NamedStream(2, "w"), made)
    at = raw.index(made.encode())
    changes: list[Callable[[int], int]] = [lambda byte: byte ^ 1, lambda byte: byte ^ 0x80]
    for place in range(at, at + 56):
        for change in changes:
            data = bytearray(raw)
            data[place] = change(data[place])
            with pytest.raises(CryptoError):
                KeyRing([user]).unwrap(bytes(data), "alice")
    assert key == KeyRing([user]).unwrap(raw, "alice")
