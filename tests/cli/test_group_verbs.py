"""
readpath image group, share and adduser where keys come by way of a group, and passphrases without a terminal.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path

import pytest
from key_file import secret_keys
from tools import debugfs, e2fsck, mke2fs
from typer.testing import CliRunner
from verbs_kit import run

from sim.cli.image.app import app
from sim.crypto.keys.file_keys import KeyRing, secret_parts
from sim.errors import ConfigError, CryptoError
from sim.ext4.edit.scrub import find_words, words_of
from sim.ext4.format.xattr import INDEX_TRUSTED
from sim.ext4.make.mkfs import make_image
from sim.ext4.make.spec import FileSpec, ImageSpec
from sim.ext4.read.reader import Image
from sim.volume.keyed_groups import GROUP_PREFIX
from sim.volume.keyed_image import wrapped_keys

TEXT = hashlib.shake_128(b"text").digest(9_000)
NAMES = ("one", "two", "three", "four")


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The keys of five users."""
    path = tmp_path_factory.mktemp("keys") / "users.toml"
    for number, user in enumerate(("alice", "bob", "carol", "dave", "eve")):
        run("userkey", path, user, "--seed", number)
    return path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Four files that are not encrypted yet."""
    path = tmp_path / "a.img"
    make_image(path, ImageSpec(tuple(FileSpec(f"/{name}", data=TEXT) for name in NAMES), 1024, 1 << 20))
    return path


def reads(image: Path, path: str, keys: Path, user: str) -> bool:
    """Return whether a user can read a file; ENOKEY is the only reason not to."""
    try:
        return TEXT == run("cat", image, path, "--keys", keys, "--as", user).stdout_bytes
    except CryptoError as error:
        if "ENOKEY" not in str(error):
            raise
        return False


@pytest.mark.parametrize("form", ["aes-kw", "rfc2014"])
def test_members_come_and_go(image: Path, keys: Path, form: str) -> None:
    """
    A member lets others in, for every file of the group at once; who left opens nothing, the others still do.

    The packet that was taken away is nowhere in the image, and no file changed.
    """
    run("group", image, "@staff", "--keys", keys, "--user", "alice", "--user", "bob", "--format", form)
    for name in NAMES[:2]:
        run("encrypt", image, name, "--keys", keys, "--user", "@staff")
    files = [Image.open(image).lookup(name).xattrs for name in NAMES[:2]]
    run("group", image, "@staff", "--keys", keys, "--user", "carol", "--user", "dave", "--as", "bob")
    everyone = ["alice", "bob", "carol", "dave"]
    assert everyone == [user for user in (*everyone, "eve") if reads(image, "one", keys, user)]
    name = (INDEX_TRUSTED, GROUP_PREFIX + b"staff")
    before = secret_parts(Image.open(image).lookup("/").xattrs[name])
    words = ("--keys", keys) if form == "rfc2014" else ()  # which has no names
    said = run("group", image, "@staff", "--without", "bob", *words).stdout
    assert "bob is no member any more. But a removed user may have kept" in said
    e2fsck(image)
    for path in NAMES[:2]:
        assert ["alice", "carol", "dave"] == [user for user in everyone if reads(image, path, keys, user)]
    [gone] = set(before) - set(secret_parts(Image.open(image).lookup("/").xattrs[name]))
    assert [] == find_words(image.read_bytes(), words_of([gone]))
    assert files == [Image.open(image).lookup(name).xattrs for name in NAMES[:2]]


def test_who_left_is_gone_from_the_journal(tmp_path: Path, keys: Path) -> None:
    """A journal that holds the group's wrapped keys as they were holds the leaver's no more."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "one").write_bytes(TEXT)
    image = tmp_path / "a.img"
    mke2fs(image, tmp_path / "source", "-b", "1024", "-N", "64", size="6M")
    run("group", image, "@staff", "--keys", keys, "--user", "alice", "--user", "bob")
    root = Image.open(image).lookup("/")
    copy = tmp_path / "block"
    copy.write_bytes(bytes(Image.open(image).read_block(root.raw.xattr_block)))
    debugfs(image, "jo", f"jw -b {root.raw.xattr_block} {copy}", "jc", "jr", write=True)
    packets = secret_parts(root.xattrs[INDEX_TRUSTED, GROUP_PREFIX + b"staff"])
    assert [2, 2] == [image.read_bytes().count(packet) for packet in packets]
    run("group", image, "@staff", "--without", "bob")
    e2fsck(image)
    assert [2, 0] == [image.read_bytes().count(packet) for packet in packets]
    assert [] == find_words(image.read_bytes(), words_of(packets[1:]))


def test_a_group_is_not_made_twice(image: Path, keys: Path) -> None:
    """A second key for a group would leave its files without one: refused, as are words that contradict."""
    run("group", image, "@staff", "--keys", keys, "--user", "alice")
    run("encrypt", image, "one", "--keys", keys, "--user", "@staff")
    before = image.read_bytes()
    for words, message in (
        (("--keys", keys, "--user", "bob"), "has a group @staff already; allowed: a new name, or --as"),
        (("--keys", keys, "--user", "bob", "--as", "eve"), "ENOKEY: no wrapped key for eve"),
        (("--keys", keys, "--user", "alice", "--as", "alice"), "is wrapped for alice already"),
        (("--without", "bob"), "has no wrapped key for bob"),
        (("--without", "alice"), "alice is the last user"),
        (("--user", "bob"), "--user without --keys"),
        (("--keys", keys), "who joins, or who leaves"),
        (("--keys", keys, "--user", "bob", "--without", "alice"), "who joins, or who leaves"),
    ):
        with pytest.raises((ConfigError, CryptoError), match=message):
            run("group", image, "@staff", *words)
    for words in (("--keys", keys, "--user", "bob", "--as", "alice"), ("--without", "alice")):
        with pytest.raises(CryptoError, match="has no group @other"):
            run("group", image, "@other", *words)
    assert before == image.read_bytes()
    assert reads(image, "one", keys, "alice")


def test_who_reads_through_a_group_shares(image: Path, keys: Path) -> None:
    """
    share and adduser take what a user reads, through a group too; not what takes several, nor what is gone.
    """
    run("group", image, "@staff", "--keys", keys, "--user", "alice", "--user", "bob")
    run("encrypt", image, "one", "--keys", keys, "--user", "@staff")
    run("encrypt", image, "two", "--keys", keys, "--user", "bob", "--format", "rfc2014")
    both = ("--user", "bob", "--user", "dave", "--needed", 2)
    assert "for any 2 of bob, dave\n" in run("encrypt", image, "three", "--keys", keys, *both).stdout
    run("encrypt", image, "four", "--keys", keys, "--user", "bob")
    run("share", image, "one", "carol", "--keys", keys, "--as", "alice")
    assert reads(image, "one", keys, "carol")
    run("shred", image, "four")
    said = run("adduser", image, "eve", "--keys", keys, "--as", "bob").stdout
    assert ["/one", "/two", "2 files shared with eve; no data was encrypted anew"] == said.splitlines()
    assert [True, True, False, False] == [reads(image, name, keys, "eve") for name in NAMES]
    with pytest.raises(CryptoError, match="bob, @staff has a share of the key"):
        run("share", image, "three", "eve", "--keys", keys, "--as", "bob")
    e2fsck(image)


def test_a_group_as_authority(image: Path, keys: Path) -> None:
    """A file that is escrowed with a group opens for its members."""
    run("group", image, "@court", "--keys", keys, "--user", "alice", "--user", "bob")
    said = run("encrypt", image, "one", "--keys", keys, "--user", "dave", "--escrow", "@court").stdout
    assert "one: AES-256-XTS, key wrapped (aes-kw) for dave, and for @court alone\n" == said
    assert ["alice", "bob", "dave"] == [
        user for user in ("alice", "bob", "carol", "dave") if reads(image, "one", keys, user)
    ]


def test_passphrases_need_a_terminal(image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one, where it would be echoed or is not there at all, one line and nothing read or changed."""
    users = tmp_path / "users.toml"
    users.write_text(f'[[user]]\nid = "dora"\nscrypt = {{ salt = "{"0f" * 16}", n = 16384, r = 8, p = 1 }}\n')
    users.chmod(0o600)

    def no_terminal(path: str, *_args: object, **_options: object) -> int:
        raise OSError(6, "No such device or address", path)

    monkeypatch.setattr("getpass.os.open", no_terminal)
    before = image.read_bytes()
    for typed in ("", "correct horse\n"):
        result = CliRunner().invoke(
            app, ["encrypt", str(image), "one", "--keys", str(users), "--user", "dora"], input=typed
        )
        assert f"{users}: user 0: passphrase of dora: cannot be asked for; allowed: a terminal" == str(
            result.exception
        )
    assert before == image.read_bytes()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every question for a passphrase; the answer is always the same."""
    questions: list[str] = []

    def answer(prompt: str) -> str:
        questions.append(prompt)
        return "correct horse"

    monkeypatch.setattr("getpass.getpass", answer)
    return questions


def with_dora(tmp_path: Path, keys: Path) -> Path:
    """Return a key file with dora, who has a passphrase, eve's key and alice's public key."""
    path = tmp_path / "dora.toml"
    salt = f"{{ salt = {'0f' * 16!r}, n = 16384, r = 8, p = 1 }}"
    public = run("pubkey", keys, "alice").stdout
    eve = secret_keys(keys, only=["eve"])[0].raw.hex()
    text = f'[[user]]\nid = "dora"\nscrypt = {salt}\n[[user]]\nid = "eve"\nraw = "{eve}"\n{public}'
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_a_member_with_a_passphrase_opens_a_group(
    image: Path, tmp_path: Path, keys: Path, asked: list[str]
) -> None:
    """
    encrypt for a group whose one member is dora: she is asked if she is named, as a user or by --as.
    """
    mine = with_dora(tmp_path, keys)
    run("group", image, "@staff", "--keys", mine, "--user", "dora")
    asked.clear()
    before = image.read_bytes()
    with pytest.raises(CryptoError, match="group @staff: ENOKEY: no wrapped key for eve; allowed: a member"):
        run("encrypt", image, "one", "--keys", mine, "--user", "@staff")
    assert ([], before) == (asked, image.read_bytes())
    run("encrypt", image, "one", "--keys", mine, "--user", "@staff", "--as", "dora")
    assert ["passphrase of dora: "] == asked
    run("encrypt", image, "two", "--keys", mine, "--user", "@staff", "--user", "dora")
    assert [True, True] == [reads(image, name, mine, "dora") for name in NAMES[:2]]
    assert [False, False] == [reads(image, name, mine, "eve") for name in NAMES[:2]]


def test_nothing_is_asked_before_the_users_are_known(
    image: Path, tmp_path: Path, keys: Path, asked: list[str]
) -> None:
    """Who is not in the key file, or has no secret key there, is told before a passphrase is typed."""
    mine = with_dora(tmp_path, keys)
    for words, message in (
        (("share", image, "one", "ghost", "--as", "dora"), "ENOKEY: has no user ghost"),
        (("cat", image, "one", "--as", "dora", "--as", "ghost"), "ENOKEY: has no user ghost"),
        (("cat", image, "one", "--as", "dora", "--as", "alice"), "has only the public key of alice"),
        (("encrypt", image, "one", "--user", "dora", "--user", "ghost"), "ENOKEY: has no user ghost"),
    ):
        with pytest.raises(CryptoError, match=message):
            run(*words, "--keys", mine)
    assert [] == asked
    run("encrypt", image, "one", "--keys", mine, "--user", "dora", "--user", "alice")
    assert ["new passphrase of dora: ", "once more, passphrase of dora: "] == asked


def test_a_user_is_added_to_a_file_without_a_last_newline(tmp_path: Path) -> None:
    """A key file that an editor left without one stays TOML; names of groups are no users'."""
    path = tmp_path / "users.toml"
    path.write_text(f'[[user]]\nid = "alice"\nraw = "{"0f" * 64}"')
    path.chmod(0o600)
    run("userkey", path, "bob")
    assert ["alice", "bob"] == [user["id"] for user in tomllib.loads(path.read_text())["user"]]
    with pytest.raises(CryptoError, match="user '@staff'; allowed: an id without @"):
        run("userkey", path, "@staff")


def test_keys_of_the_other_kind(image: Path, keys: Path) -> None:
    """A file with a key of its own, and users' keys without a user: told what is missing."""
    run("encrypt", image, "one", "--keys", keys, "--user", "alice")
    master = keys.with_name("master.toml")
    master.write_text(f'[[key]]\nraw = "{"0f" * 32}"\n')
    master.chmod(0o600)
    with pytest.raises(CryptoError, match="has a key of its own, wrapped for users; allowed: --as USER"):
        run("cat", image, "one", "--keys", master)
    with pytest.raises(CryptoError, match="holds users' keys, for --as USER"):
        run("cat", image, "one", "--keys", keys)


@pytest.mark.parametrize("mode", ["xts", "gcm"])
def test_every_file_has_a_key_of_its_own(image: Path, keys: Path, mode: str) -> None:
    """
    Files with the same contents and the same user differ in their keys, in every block of AES, and in what
    is wrapped.
    """
    for name in NAMES[:2]:
        run("encrypt", image, name, "--keys", keys, "--user", "alice", "--mode", mode)
    opened = Image.open(image)
    ring = KeyRing(secret_keys(keys))
    inodes = [opened.lookup(name) for name in NAMES[:2]]
    one, two = (ring.unwrap(wrapped_keys(inode), "alice").raw for inode in inodes)
    assert one != two
    stored = [opened.read_file(inode, whole_blocks=True) for inode in inodes]
    pieces = [{data[at : at + 16] for at in range(0, len(data), 16)} for data in stored]
    assert not pieces[0] & pieces[1]
    assert not set(secret_parts(wrapped_keys(inodes[0]))) & set(secret_parts(wrapped_keys(inodes[1])))
    assert all(reads(image, name, keys, "alice") for name in NAMES[:2])


def test_inspect_tells_members_and_counts_a_file_once(tmp_path: Path, keys: Path) -> None:
    """Who is in a group can be told without a key; a file with two names is one file."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "one").write_bytes(TEXT)
    (tmp_path / "source" / "two").hardlink_to(tmp_path / "source" / "one")
    image = tmp_path / "a.img"
    mke2fs(image, tmp_path / "source", "-b", "1024", "-N", "64", size="6M")
    run("group", image, "@staff", "--keys", keys, "--user", "alice", "--user", "bob")
    run("encrypt", image, "one", "--keys", keys, "--user", "@staff", "--user", "carol")
    document = json.loads(run("inspect", image, "--json").stdout)
    assert {"@staff": ["alice", "bob"]} == document["groups"]
    assert {"@staff": ["/one", "/two"], "carol": ["/one", "/two"]} == document["sharing"]
    assert ["1"] == [row["files"] for row in document["schemes"]]
    said = run("inspect", image).stdout
    assert "@staff: alice, bob" in said
    assert "opens" not in said
