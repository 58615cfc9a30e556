"""
`readpath image userkey` and `pubkey`: files of users' keys.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from sim.cli.image.asking import ask_twice, randomness, ring_of, tell
from sim.crypto.keys.user_keys import (
    GROUP_MARK,
    SCRYPT_N,
    SCRYPT_P,
    SCRYPT_R,
    USER_KEY_BYTES,
    KeyFile,
    PublicKey,
    UserKey,
    key_from_passphrase,
    read_secret,
)
from sim.errors import ConfigError, CryptoError
from sim.files import file_beside, flush_directory, locked

_SALT_BYTES = 16


def run_userkey(
    keys: Path,
    user: str,
    passphrase: bool,
    seed: int | None,
    public: str | None = None,
    as_json: bool = False,
) -> None:
    """Add a user to a key file: a new key, a passphrase's salt and check, or somebody's public key."""
    UserKey(user, bytes(USER_KEY_BYTES))  # judges the id
    try:
        user.encode()
    except UnicodeEncodeError:
        raise CryptoError("user key", f"user {user!r} is no UTF-8", "UTF-8") from None
    if user.startswith(GROUP_MARK):
        raise CryptoError("user key", f"user {user!r}", f"an id without {GROUP_MARK}, which is for groups")
    if passphrase and public is not None:
        raise ConfigError("image userkey", "--passphrase and --public", "one of them")
    if keys.is_symlink():
        raise CryptoError(str(keys), "is a symbolic link", "the file itself")
    if os.path.lexists(keys):
        _refuse_twice(keys, user)
    head = f"[[user]]\nid = {json.dumps(user, ensure_ascii=False)}\n"
    _add(keys, user, head + _entry(user, passphrase, seed, public))
    tell(as_json, f"{keys}: user {user}", file=str(keys), user=user)


def _entry(user: str, passphrase: bool, seed: int | None, public: str | None) -> str:
    random = randomness(seed, f"user {user}")
    if public is not None:
        with suppress(ValueError):
            return f'public = "{PublicKey(user, bytes.fromhex(public)).raw.hex()}"\n'
        raise CryptoError("--public", "is not hexadecimal", "what `image pubkey` prints")
    if passphrase:
        salt = random(_SALT_BYTES)
        check = key_from_passphrase(user, ask_twice(user), salt).check()
        numbers = f"n = {SCRYPT_N}, r = {SCRYPT_R}, p = {SCRYPT_P}"
        return f'scrypt = {{ salt = "{salt.hex()}", {numbers}, check = "{check.hex()}" }}\n'
    return f'raw = "{random(USER_KEY_BYTES).hex()}"\n'


def _refuse_twice(keys: Path, user: str) -> None:
    if user in KeyFile(keys).users:
        raise CryptoError(str(keys), f"has a user {user} already", "a new user")


def _add(keys: Path, user: str, text: str) -> None:
    """Add a table to a key file, or make one: another file that takes its name, whole and on the disk."""
    try:
        while True:
            if not os.path.lexists(keys):
                if _put(keys, text, None):
                    return
                continue
            with locked(keys):
                _refuse_twice(keys, user)
                old = read_secret(keys)
                gap = "" if not old or old.endswith("\n") else "\n"
                _put(keys, old + gap + text, keys.stat(follow_symlinks=False))
                return
    except OSError as error:
        raise CryptoError(str(keys), f"cannot be written ({error.strerror or error})") from None


def _put(keys: Path, text: str, old: os.stat_result | None) -> bool:
    """Write a file aside (O_EXCL, mode 0600) and give it the name; False if a new name is taken meanwhile."""
    fd, new = file_beside(keys)
    try:
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if old is not None and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(fd, old.st_uid, old.st_gid)
            os.fsync(fd)
            if old is not None:
                new.replace(keys)
            else:
                keys.hardlink_to(new)
        flush_directory(keys.parent)
    except FileExistsError:
        return False
    finally:
        new.unlink(missing_ok=True)
    return True


def run_pubkey(keys: Path, user: str, as_json: bool = False) -> None:
    """Print a user's public key, as another one's key file takes it."""
    public = ring_of(KeyFile(keys), [user]).key(user).public.raw.hex()
    lines = ("[[user]]", f"id = {json.dumps(user, ensure_ascii=False)}", f'public = "{public}"')
    tell(as_json, *lines, user=user, public=public)
