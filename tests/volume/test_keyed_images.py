"""
What the founding mail demands of per-file keys, on real images, with tools that have no key: readpath
image's verbs.
"""

from __future__ import annotations

import hashlib
import json
import lzma
from pathlib import Path
from typing import Any

import pytest
from key_file import secret_keys
from tools import debugfs, e2fsck, mke2fs, tool
from verbs_kit import run

from sim.crypto.dmcrypt import XTS_PLAIN64, DmCrypt
from sim.crypto.ecryptfs import LowerFile
from sim.crypto.keys.data_units import RECORD_BYTES, TAGS_NAME
from sim.crypto.keys.file_keys import FORMATS, KEYS_NAME, secret_parts
from sim.crypto.streams import NamedStream
from sim.errors import CryptoError, ReadpathError
from sim.ext4.edit.editor import ImageEditor
from sim.ext4.edit.scrub import find_words, words_of
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image
from sim.volume.inspection import looks_like_noise
from sim.volume.keyed_image import joined, wrapped_keys

FSCRYPT = Path(__file__).parents[1] / "data" / "fscrypt_4k"
TEXT = b"".join(b"line %d of a text that no one else may read\n" % number for number in range(1500))
NOISE = hashlib.shake_128(b"noise").digest(30_001)
USERS = ("alice", "bob", "carol", "eve")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user key file, as `userkey` makes it."""
    path = tmp_path_factory.mktemp("keys") / "users.toml"
    for number, user in enumerate(USERS):
        run("userkey", path, user, "--seed", number)
    return path


@pytest.fixture(params=["ours", "mke2fs"])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """An image with a text and noise: ours without a journal, or mke2fs's with journal and checksums."""
    path = tmp_path / "a.img"
    if request.param == "ours":
        make_image(
            path, ImageSpec((FileSpec("/d/text", data=TEXT), FileSpec("/noise", data=NOISE)), 1024, 4 << 20)
        )
    else:
        (tmp_path / "source" / "d").mkdir(parents=True)
        (tmp_path / "source" / "d" / "text").write_bytes(TEXT)
        (tmp_path / "source" / "noise").write_bytes(NOISE)
        mke2fs(path, tmp_path / "source", "-b", "1024", "-N", "64", size="6M")
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The same files on an image of ours."""
    path = tmp_path / "a.img"
    make_image(
        path, ImageSpec((FileSpec("/d/text", data=TEXT), FileSpec("/noise", data=NOISE)), 1024, 1 << 20)
    )
    return path


def stored(image: Path, path: str) -> bytes:
    """Return what lies in a file's blocks, as anyone who has the image can read it."""
    opened = Image.open(image)
    return b"".join(bytes(block) for _logical, block in opened.iter_blocks(opened.lookup(path)))


def everywhere(image: Path, secrets: list[bytes]) -> list[int]:
    """Return where in the whole image any 8 bytes of the secrets are."""
    return find_words(image.read_bytes(), words_of(secrets))


@pytest.mark.parametrize(("form", "mode"), [("rfc2014", "xts"), ("aes-kw", "gcm")])
def test_two_users_share_a_file(image: Path, keys: Path, form: str, mode: str) -> None:
    """
    Both read it, each with their own key; another gets ENOKEY; the raw blocks pass for noise, no tool
    minds.
    """
    assert looks_like_noise(stored(image, "/d/text")) is False
    run(
        "encrypt",
        image,
        "/d/text",
        "--keys",
        keys,
        "--user",
        "alice",
        "--user",
        "bob",
        "--format",
        form,
        "--mode",
        mode,
    )
    e2fsck(image)
    for user in ("alice", "bob"):
        assert TEXT == run("cat", image, "/d/text", "--keys", keys, "--as", user).stdout_bytes
    with pytest.raises(CryptoError, match="ENOKEY: no wrapped key for eve"):
        run("cat", image, "/d/text", "--keys", keys, "--as", "eve")
    with pytest.raises(CryptoError, match="ENOKEY: has no user mallory"):
        run("cat", image, "/d/text", "--keys", keys, "--as", "mallory")
    assert looks_like_noise(stored(image, "/d/text")) is True
    data = image.read_bytes()
    assert all(TEXT[at : at + 40] not in data for at in range(0, len(TEXT), 4000))
    assert NOISE == run("cat", image, "/noise").stdout_bytes


def test_who_has_no_key_lists_stats_and_deletes(image: Path, keys: Path) -> None:
    """Names, sizes and times are seen, and the file is deleted without a key; its space is free again."""
    before = Image.open(image)
    blocks = -(-len(TEXT) // before.block_size)
    run("encrypt", image, "/d/text", "--keys", keys, "--user", "alice", "--mode", "gcm")
    with_keys = Image.open(image).superblock.free_blocks_count
    [row] = json.loads(run("ls", image, "/d/text", "--json").stdout)
    assert (len(TEXT), True) == (row["size_bytes"], row["encrypted"])
    assert f"Size: {len(TEXT)}".encode() in debugfs(image, "stat /d/text")
    theirs = image.with_name("theirs.img")
    theirs.write_bytes(image.read_bytes())
    secrets = secret_parts(wrapped_keys(Image.open(image).lookup("/d/text")))
    run("rm", image, "/d/text")
    e2fsck(image)
    assert [] == everywhere(image, secrets)
    after = Image.open(image)
    assert before.superblock.free_blocks_count + blocks == after.superblock.free_blocks_count > with_keys
    assert b"text" not in debugfs(image, "ls /d")
    debugfs(theirs, "rm /d/text", write=True)
    assert b"text" not in debugfs(theirs, "ls /d")


def test_sharing_rewraps_and_leaves_the_data_alone(image: Path, keys: Path) -> None:
    """
    share, adduser and unshare change wrapped keys only; who was removed reads no more, and is told what
    remains.
    """
    run("encrypt", image, "/d/text", "--keys", keys, "--user", "alice")
    run("encrypt", image, "/noise", "--keys", keys, "--user", "alice", "--user", "bob", "--format", "rfc2014")
    blocks = {path: stored(image, path) for path in ("/d/text", "/noise")}
    run("share", image, "/d/text", "bob", "--keys", keys, "--as", "alice")
    assert "2 files shared with carol" in run("adduser", image, "carol", "--keys", keys, "--as", "bob").stdout
    e2fsck(image)
    for user in ("alice", "bob", "carol"):
        assert TEXT == run("cat", image, "/d/text", "--keys", keys, "--as", user).stdout_bytes
        assert NOISE == run("cat", image, "/noise", "--keys", keys, "--as", user).stdout_bytes
    old = {path: secret_parts(wrapped_keys(Image.open(image).lookup(path))) for path in blocks}
    assert "opens any older copy" in run("unshare", image, "/d/text", "bob").stdout
    run("unshare", image, "/noise", "bob", "--keys", keys)
    e2fsck(image)
    for path in blocks:
        with pytest.raises(CryptoError, match="ENOKEY"):
            run("cat", image, path, "--keys", keys, "--as", "bob")
        assert blocks[path] == stored(image, path)
        new = secret_parts(wrapped_keys(Image.open(image).lookup(path)))
        [gone] = set(old[path]) - set(new)
        assert [] == everywhere(image, [gone])
    assert TEXT == run("cat", image, "/d/text", "--keys", keys, "--as", "carol").stdout_bytes


@pytest.mark.parametrize("form", FORMATS)
def test_shredding(image: Path, keys: Path, form: str) -> None:
    """
    The wrapped keys are nowhere in the image any more, the journal included, and nobody reads the file.

    Old copies: the xattr block as it was before a user was added, in the journal and, left there by hand,
    in a free block. The file's own blocks are not touched.
    """
    run("encrypt", image, "/d/text", "--keys", keys, "--user", "alice", "--format", form)
    opened = Image.open(image)
    inode = opened.lookup("/d/text")
    secrets = secret_parts(wrapped_keys(inode))
    block = bytes(opened.read_block(inode.raw.xattr_block))
    if opened.superblock.journal_inode:
        copy = image.with_name("block")
        copy.write_bytes(block)
        debugfs(image, "jo", f"jw -b {inode.raw.xattr_block} {copy}", "jc", "jr", write=True)
    data = bytearray(image.read_bytes())
    free = (opened.blocks_count - 1) * opened.block_size
    data[free : free + opened.block_size] = block
    image.write_bytes(data)
    run("share", image, "/d/text", "bob", "--keys", keys, "--as", "alice")
    secrets += secret_parts(wrapped_keys(Image.open(image).lookup("/d/text")))
    journal_copies = 1 if opened.superblock.journal_inode else 0
    assert 2 + journal_copies == image.read_bytes().count(secrets[0])
    cipher = stored(image, "/d/text")
    run("shred", image, "/d/text")
    e2fsck(image)
    assert 1 == image.read_bytes().count(secrets[0])
    run("encrypt", image, "/noise", "--keys", keys, "--user", "alice")
    free_copy = bytearray(image.read_bytes())
    for user in USERS:
        with pytest.raises(CryptoError, match="ENOKEY: the wrapped keys were shredded"):
            run("cat", image, "/d/text", "--keys", keys, "--as", user)
    editor = ImageEditor(image)
    editor.wipe_copies(secrets, free_space=True)
    editor.commit(in_place=True)
    e2fsck(image)
    assert [] == everywhere(image, secrets)
    assert [] != find_words(free_copy, words_of(secrets))
    assert cipher == stored(image, "/d/text")
    assert NOISE == run("cat", image, "/noise", "--keys", keys, "--as", "alice").stdout_bytes
    run("rm", image, "/d/text")
    e2fsck(image)


def test_scan_finds_copies_in_free_blocks(small: Path, keys: Path) -> None:
    """shred --scan wipes a copy of the present keys from a free block as well."""
    run("encrypt", small, "/d/text", "--keys", keys, "--user", "alice")
    opened = Image.open(small)
    secrets = secret_parts(wrapped_keys(opened.lookup("/d/text")))
    data = bytearray(small.read_bytes())
    data[-300 : -300 + len(secrets[0])] = secrets[0]
    small.write_bytes(data)
    run("shred", small, "/d/text", "--scan")
    e2fsck(small)
    assert [] == everywhere(small, secrets)


def test_shredding_costs_the_same_for_any_size(tmp_path: Path, keys: Path) -> None:
    """
    What shredding writes does not depend on the size of the file; what overwriting would write is the file.
    """
    written = {}
    for size in (4096, 1 << 20):
        path = tmp_path / f"{size}.img"
        make_image(path, ImageSpec((FileSpec("/f", size),), 4096, 4 << 20))
        run("encrypt", path, "/f", "--keys", keys, "--user", "alice", "--user", "bob")
        before = path.read_bytes()
        said = run("shred", path, "/f").stdout
        assert f"would have written {'1MiB' if size > 4096 else '4KiB'}" in said
        after = path.read_bytes()
        pages = range(0, len(before), 4096)
        written[size] = sum(before[at : at + 4096] != after[at : at + 4096] for at in pages)
    assert {1} == set(written.values())


def test_a_thousand_users(tmp_path: Path) -> None:
    """
    1,000 wrapped keys take two ea_inodes; e2fsck is content, debugfs reads both, the last user reads the
    file.
    """
    path, users = tmp_path / "a.img", tmp_path / "many.toml"
    make_image(path, ImageSpec((FileSpec("/f", data=NOISE),), 4096, 4 << 20))
    names = [f"user{number:04d}" for number in range(1000)]
    stream = NamedStream(3, "users")
    users.write_text("".join(f'[[user]]\nid = "{name}"\nraw = "{stream(64).hex()}"\n' for name in names))
    users.chmod(0o600)
    from sim.crypto.keys.file_keys import KeyRing
    from sim.crypto.keys.policies import AnyOf
    from sim.volume.keyed_image import encrypt_file

    editor = ImageEditor(path)
    encrypt_file(editor, "/f", AnyOf(names), KeyRing(secret_keys(users)), stream)
    editor.commit()
    e2fsck(path)
    inode = Image.open(path).lookup("/f")
    assert [65536, 24 + 56 + 112 * 1000 - 65536] == [size for _number, size in inode.ea_values]
    assert joined(inode.xattrs, KEYS_NAME)[:64].hex(" ").encode() in debugfs(
        path, f"ea_list <{inode.number}>"
    ) or (b"k (65536)" in debugfs(path, f"ea_list <{inode.number}>"))
    assert NOISE == run("cat", path, "/f", "--keys", users, "--as", "user0999").stdout_bytes
    secrets = secret_parts(wrapped_keys(inode))
    assert 1000 == len(secrets)
    other = tmp_path / "removed.img"
    other.write_bytes(path.read_bytes())
    run("rm", other, "/f")
    assert [] == everywhere(other, secrets)
    run("shred", path, "/f")
    assert [] == everywhere(path, secrets)
    run("rm", path, "/f")
    e2fsck(path)


def test_groups_shares_and_escrow(small: Path, keys: Path) -> None:
    """A group's member reads; two of three read together and not alone; an authority reads what it may."""
    run("group", small, "@staff", "--keys", keys, "--user", "alice", "--user", "bob")
    run("encrypt", small, "/noise", "--keys", keys, "--user", "@staff", "--format", "rfc2014")
    words = [word for user in USERS[:3] for word in ("--user", user)]
    run("encrypt", small, "/d/text", "--keys", keys, *words, "--needed", 2, "--escrow", "eve")
    e2fsck(small)
    for user in ("alice", "bob"):
        assert NOISE == run("cat", small, "/noise", "--keys", keys, "--as", user).stdout_bytes
    with pytest.raises(CryptoError, match="ENOKEY"):
        run("cat", small, "/noise", "--keys", keys, "--as", "carol")
    two = ("--as", "bob", "--as", "carol")
    assert TEXT == run("cat", small, "/d/text", "--keys", keys, *two).stdout_bytes
    assert TEXT == run("cat", small, "/d/text", "--keys", keys, "--as", "eve").stdout_bytes
    with pytest.raises(CryptoError, match="ENOKEY: 1 of 2 shares"):
        run("cat", small, "/d/text", "--keys", keys, "--as", "bob")


def test_passphrases(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """
    A user with a passphrase is asked for it; with another one nothing is read, and the file holds only a
    salt.
    """
    users = tmp_path / "users.toml"
    said = {"now": "correct horse"}
    monkeypatch.setattr("getpass.getpass", lambda _prompt: said["now"])
    run("userkey", users, "dora", "--passphrase")
    assert 0o600 == users.stat().st_mode & 0o777
    run("encrypt", small, "/noise", "--keys", users, "--user", "dora")
    assert NOISE == run("cat", small, "/noise", "--keys", users, "--as", "dora").stdout_bytes
    said["now"] = "battery staple"
    with pytest.raises(CryptoError, match="passphrase of dora: is wrong"):
        run("cat", small, "/noise", "--keys", users, "--as", "dora")
    assert "correct" not in users.read_text()


def test_gcm_tells_changes_on_the_image(small: Path, keys: Path) -> None:
    """
    A changed bit of the data, of a tag, and a block turned into a hole are errors; XTS would not notice.
    """
    run("encrypt", small, "/d/text", "--keys", keys, "--user", "alice", "--mode", "gcm")
    opened = Image.open(small)
    inode = opened.lookup("/d/text")
    table = joined(inode.xattrs, TAGS_NAME)
    assert RECORD_BYTES * inode.blocks == len(table)
    data = small.read_bytes()
    third = inode.tree.extents[0].physical + 3
    for at in (third * opened.block_size + 9, data.index(table[RECORD_BYTES * 3 :][:RECORD_BYTES]) + 7):
        changed = bytearray(data)
        changed[at] ^= 0x10
        small.write_bytes(changed)
        with pytest.raises(CryptoError, match="block 3 fails its AES-256-GCM check"):
            run("cat", small, "/d/text", "--keys", keys, "--as", "alice")
    # The first extent becomes an unwritten one: its blocks would read as zeros.
    sb = opened.superblock
    group, index = divmod(inode.number - 1, sb.inodes_per_group)
    at = opened.group(group).inode_table * sb.block_size + index * sb.inode_size + 0x28 + 12 + 5
    changed = bytearray(data)
    changed[at] |= 0x80
    small.write_bytes(changed)
    with pytest.raises(CryptoError, match="block 0 was written and is a hole"):
        run("cat", small, "/d/text", "--keys", keys, "--as", "alice")


def _leaks(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(run("inspect", path, "--json").stdout)
    return document


def test_inspect_needs_no_key(small: Path, keys: Path) -> None:
    """Names, sizes, extents and who shares what are derived from the image; contents are noise or not."""
    run("encrypt", small, "/d/text", "--keys", keys, "--user", "alice", "--user", "bob")
    found = _leaks(small)
    files = {file["path"]: file for file in found["files"]}
    assert ("file-keys aes-kw xts", len(TEXT), True) == tuple(
        files["/d/text"][key] for key in ("scheme", "size_bytes", "noise")
    )
    assert "none" == files["/noise"]["scheme"]
    assert {"alice": ["/d/text"], "bob": ["/d/text"]} == found["sharing"]
    rows = {row["scheme"]: row for row in found["schemes"]}
    assert ("seen", "hidden") == (
        rows["file-keys aes-kw xts"]["names"],
        rows["file-keys aes-kw xts"]["contents"],
    )
    assert "none" == rows["file-keys aes-kw xts"]["integrity"]
    assert "file-keys aes-kw xts" in run("inspect", small).stdout
    run("shred", small, "/d/text")
    assert "file-keys shredded xts" == {f["path"]: f for f in _leaks(small)["files"]}["/d/text"]["scheme"]


def test_inspect_other_schemes(tmp_path: Path) -> None:
    """A kernel's fscrypt image hides names, a lower file tells its size, dm-crypt tells no file at all."""
    path = tmp_path / "kernel.img"
    path.write_bytes(lzma.decompress((FSCRYPT / "fscrypt_4k.img.xz").read_bytes()))
    found = _leaks(path)
    rows = {row["scheme"]: row for row in found["schemes"]}
    assert {"fscrypt v1", "fscrypt v2"} == rows.keys()
    assert all(("hidden", "hidden", "seen") == (r["names"], r["contents"], r["keys"]) for r in rows.values())
    records = [json.loads(line) for line in (FSCRYPT / "files.jsonl").read_text().splitlines()]
    sizes = {file["inode"]: file["size_bytes"] for file in found["files"]}
    assert all(record["size"] == sizes[record["ino"]] for record in records)
    lower = LowerFile.create(len(TEXT), bytes(range(64)), NamedStream(1, "lower")).lower_contents(TEXT)
    plain = tmp_path / "lower.img"
    make_image(
        plain, ImageSpec((FileSpec("/lower", data=lower), FileSpec("/text", data=TEXT)), 4096, 2 << 20)
    )
    files = {file["path"]: file for file in _leaks(plain)["files"]}
    assert ("ecryptfs", len(TEXT), True) == tuple(
        files["/lower"][k] for k in ("scheme", "size_bytes", "noise")
    )
    assert (False, []) == (files["/text"]["noise"], files["/text"]["keys"])
    whole = tmp_path / "dm.img"
    whole.write_bytes(DmCrypt(XTS_PLAIN64, bytes(range(64))).encrypt(plain.read_bytes(), 0))
    found = _leaks(whole)
    assert ([], True, 0) == (found["files"], found["device"]["noise"], found["device"]["never_written"])
    assert "no file system is seen" in run("inspect", whole).stdout


def test_what_is_refused(small: Path, keys: Path) -> None:
    """Files that are encrypted already or not at all, directories and unknown words are one line each."""
    run("encrypt", small, "/d/text", "--keys", keys, "--user", "alice")
    before = small.read_bytes()
    for words, message in (
        (("encrypt", small, "/d/text", "--keys", keys, "--user", "alice"), "is an encrypted file"),
        (("encrypt", small, "/d", "--keys", keys, "--user", "alice"), "is a directory"),
        (
            ("encrypt", small, "/noise", "--keys", keys, "--user", "alice", "--mode", "cbc"),
            "allowed: xts, gcm",
        ),
        (
            ("encrypt", small, "/noise", "--keys", keys, "--user", "alice", "--format", "x"),
            "allowed: rfc2014, aes-kw",
        ),
        (("share", small, "/noise", "bob", "--keys", keys, "--as", "alice"), "is not encrypted"),
        (
            ("share", small, "/d/text", "alice", "--keys", keys, "--as", "alice"),
            "is wrapped for alice already",
        ),
        (("unshare", small, "/d/text", "alice"), "alice is the last user"),
        (("shred", small, "/noise"), "is not encrypted"),
        (("rm", small, "/d"), "is a directory"),
        (("group", small, "staff", "--keys", keys, "--user", "alice"), "allowed: @name"),
        (("userkey", keys, "alice"), "has a user alice already"),
        (("cat", small, "/d/text", "--as", "alice"), "allowed: --keys FILE"),
    ):
        with pytest.raises(ReadpathError, match=message):
            run(*words)
    assert before == small.read_bytes()
    tool("e2fsck")
    loose = small.with_name("loose.toml")
    loose.write_bytes(keys.read_bytes())
    loose.chmod(0o644)
    with pytest.raises(CryptoError, match="has mode 0644; allowed: 0600"):
        run("cat", small, "/d/text", "--keys", loose, "--as", "alice")
