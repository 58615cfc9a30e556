"""Users' keys: key files and passphrases, and what is refused."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import NoReturn

import pytest
from key_file import secret_keys

from sim.crypto.keys.user_keys import UserKey, key_from_passphrase
from sim.errors import CryptoError

RAW = bytes(range(64)).hex()
SALT = "0f" * 16
TEXT = f'''
[[user]]
id = "alice"
raw = "{RAW}"
[[user]]
id = "bob"
scrypt = {{ salt = "{SALT}", n = 16384, r = 8, p = 1 }}
'''


def key_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    """Return a file of users' keys."""
    path = folder / "users.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_keys_and_passphrases(tmp_path: Path) -> None:
    """Raw keys come as they are, others from scrypt of the passphrase that is asked for, each once."""
    path = key_file(tmp_path, TEXT)
    asked: list[str] = []

    def ask(user: str) -> bytes:
        asked.append(user)
        return b"correct horse"

    bob = hashlib.scrypt(b"correct horse", salt=bytes.fromhex(SALT), n=16384, r=8, p=1, dklen=64)
    assert [UserKey("alice", bytes(range(64)))] == secret_keys(path)
    assert [UserKey("alice", bytes(range(64))), UserKey("bob", bob)] == secret_keys(path, ask)
    assert ["bob"] == asked
    assert [UserKey("alice", bytes(range(64)))] == secret_keys(path, ask, only=["alice"])
    assert ["bob"] == asked


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o666, 0o610])
def test_loose_permissions_are_refused(tmp_path: Path, mode: int) -> None:
    """A file that group or others may read or write is not used, whatever it holds."""
    with pytest.raises(CryptoError, match=rf"has mode {mode:04o}; allowed: 0600"):
        secret_keys(key_file(tmp_path, TEXT, mode))


def test_links_are_judged_by_what_they_lead_to(tmp_path: Path) -> None:
    """A link to a file that others may read is refused, whatever its own mode; to a closed file it is not."""
    closed = key_file(tmp_path, TEXT)
    link = tmp_path / "link.toml"
    link.symlink_to(closed)
    assert "alice" == secret_keys(link)[0].user
    closed.chmod(0o644)
    with pytest.raises(CryptoError, match=r"link\.toml: holds keys and has mode 0644; allowed: 0600"):
        secret_keys(link)


def test_whoever_takes_the_name_meanwhile_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The open file is asked for its mode and owner, never the path a second time."""
    path = key_file(tmp_path, TEXT, 0o644)

    def other(*_args: object, **_options: object) -> NoReturn:
        raise AssertionError("the path was looked at")

    monkeypatch.setattr("os.stat", other)
    with pytest.raises(CryptoError, match="has mode 0644"):
        secret_keys(path)


@pytest.mark.parametrize(("owner", "us", "good"), [(1000, 1000, True), (0, 1000, True), (1001, 1000, False)])
def test_someone_elses_key_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: int, us: int, good: bool
) -> None:
    """Keys come from a file of one's own, or of root's: its owner could have put in any."""
    path = key_file(tmp_path, TEXT)
    real = os.fstat
    monkeypatch.setattr("os.geteuid", lambda: us)
    monkeypatch.setattr("os.fstat", lambda fd: os.stat_result((*real(fd)[:4], owner, *real(fd)[5:])))
    if good:
        assert "alice" == secret_keys(path)[0].user
        return
    with pytest.raises(CryptoError, match="belongs to user 1001; allowed: a file of your own or of root"):
        secret_keys(path)


def test_a_pipe_gives_keys_once(tmp_path: Path) -> None:
    """Keys may come through a pipe, from a program that decrypts them: nothing is asked of its mode."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o644)
    writer = threading.Thread(target=pipe.write_text, args=(TEXT,))
    writer.start()
    assert "alice" == secret_keys(pipe)[0].user
    writer.join()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"[[user]]\nid = 'a'\nraw = {RAW}", "is no UTF-8 TOML"),
        (f"[[user]]\nraw = '{RAW}'", "user 0: has no id"),
        (f"[[user]]\nid = 'a'\nraw = '{RAW[:-2]}'", "user 0: key of user a: is 63 bytes"),
        (f"[[user]]\nid = 'a'\nraw = '{RAW[:-1]}g'", "user 0: key or salt: is not hexadecimal"),
        (f"[[user]]\nid = 'a'\nraw = '{RAW}'\nrwa = '{RAW}'", "other entries than an id and a key"),
        (f"[[user]]\nid = 'a'\nraw = '{RAW}'\n" * 2, "user 1: 'a' is there twice"),
        (f"[[key]]\nraw = '{RAW}'", r"other entries than users; allowed: \[\[user\]\]"),
        ("[[user]]\nid = 'a'\nscrypt = { n = 16384 }", "scrypt is not understood"),
        (f"[[user]]\nid = 'a'\nscrypt = {{ salt = '{SALT}', n = 16 }}", "n = 16, r = 8"),
        (f"[[user]]\nid = 'a'\nscrypt = {{ salt = '{SALT}', n = 'x' }}", "other numbers than whole"),
        ("[[user]]\nid = 'a'\nscrypt = { salt = '0f' }", "a salt of 1 bytes; allowed: 16 .. 64"),
        (f"[[user]]\nid = '{RAW}'\nraw = '{RAW}'", "user 0: a user id of 128 bytes; allowed: 1 .. 31"),
        (f"[[user]]\nid = '{RAW}'\nraw = 'alice'", "user 0: a user id of 128 bytes; allowed: 1 .. 31"),
        (f"[[user]]\nid = '@staff'\nraw = '{RAW}'", "user '@staff'; allowed: an id without @"),
    ],
)
def test_errors_hide_keys(tmp_path: Path, text: str, message: str) -> None:
    """Each mistake is told with file and number; no run of eight key digits shows."""
    path = key_file(tmp_path, text)
    with pytest.raises(CryptoError, match=message) as caught:
        secret_keys(path, lambda _user: b"secret words")
    assert str(caught.value).startswith(str(path)) or "scrypt of user a" in str(caught.value)
    assert RAW[:8] not in str(caught.value)
    assert "secret words" not in str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is told by name."""
    with pytest.raises(CryptoError, match=r"none\.toml: cannot be read"):
        secret_keys(tmp_path / "none.toml")


def test_scrypt_vector() -> None:
    """RFC 7914's vector with n = 16384 is what the key of that passphrase starts from: the same function."""
    want = "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9"
    want += "e61e85dc0d651e40dfcf017b45575887"
    with pytest.raises(CryptoError, match="a salt of 14 bytes"):
        key_from_passphrase("a", b"pleaseletmein", b"SodiumChloride", 16384)
    found = hashlib.scrypt(b"pleaseletmein", salt=b"SodiumChloride", n=16384, r=8, p=1, dklen=64).hex()
    assert want == found
    key = key_from_passphrase("a", b"pleaseletmein", b"SodiumChloride  ", 16384)
    assert key.raw == hashlib.scrypt(b"pleaseletmein", salt=b"SodiumChloride  ", n=16384, r=8, p=1, dklen=64)
