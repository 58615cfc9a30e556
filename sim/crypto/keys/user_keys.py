"""
Users' keys, with which the keys of files are wrapped: from a key file, or from a passphrase.

A user key file is TOML, one table per user, and readable by its owner alone:

    [[user]]
    id = "alice"                  # 1 to 31 bytes of UTF-8; "@" in front is for groups
    raw = "00..."                 # 64 bytes in hexadecimal, or instead of it:
    [[user]]
    id = "bob"
    scrypt = { salt = "00...", n = 131072, r = 8, p = 1, check = "00..." }    # the passphrase is asked for
    [[user]]
    id = "carol"
    public = "00..."              # 32 bytes: keys can be wrapped for carol, nothing of hers can be opened

Passphrases go through scrypt (RFC 7914); n = 2^17, r = 8, p = 1 are what OWASP's Password Storage Cheat
Sheet names first. `check` tells a wrong passphrase before it is used: 16 bytes of a digest of the key, which
a guesser can use no better than any wrapped key. Every user's key has an X25519 key that follows from it; its
public half is what others are given. No error shows a key or a passphrase, nor what stands where an id should
and is too long for one: it could be a key.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
import tomllib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from sim.crypto.fscrypt.contexts import hkdf_sha512
from sim.documents import MOST_TOML_BYTES, why
from sim.errors import CryptoError

USER_KEY_BYTES = 64
MAX_ID_BYTES = 31
SIGNATURE_DIGITS = 16
GROUP_MARK = "@"

SCRYPT_N, SCRYPT_R, SCRYPT_P = 1 << 17, 8, 1
_SCRYPT_N_ALLOWED = tuple(1 << bits for bits in range(14, 23))
_SCRYPT_MEMORY_BYTES = range(1 << 24, (1 << 30) + 1)
"""
128 * n * r: from 16 MiB, as in the last but one of OWASP's five choices (n = 2^14, r = 8, p = 5; the last has
8 MiB), to 1 GiB, eight times the first (n = 2^17, r = 8, p = 1).
"""
_SCRYPT_WORK = 1 << 24
"""
n * r * p, sixteen times OWASP's first choice: 6.0 s of CPU, where that one takes 0.36 s.

Measured on an AMD EPYC (family 25, model 17) with OpenSSL's scrypt: `python -m timeit -p -n 1 -s "from
sim.crypto.keys.user_keys import key_from_passphrase as key" "key('a', b'word', bytes(16))"`.
"""
_SALT_BYTES = range(16, 65)
PUBLIC_BYTES = 32
CHECK_BYTES = 16

Passphrase = Callable[[str], bytes]
"""(user's id) -> passphrase; it may ask."""


@dataclass(frozen=True, slots=True)
class UserKey:
    """
    A user's 64-byte key. Its repr never shows it.

    user: the id, 1 to 31 bytes of UTF-8; a group's starts with "@".
    """

    user: str
    raw: bytes = field(repr=False)

    def __post_init__(self) -> None:
        _check_id("user key", self.user)
        if len(self.raw) != USER_KEY_BYTES:
            raise CryptoError(f"key of user {self.user}", f"is {len(self.raw)} bytes long", "64 bytes")

    @property
    def id_bytes(self) -> bytes:
        """The user's id as it is stored."""
        return _id_bytes(self.user)

    @property
    def signature(self) -> str:
        """The 16 hexadecimal digits that name this key: of SHA-512, as eCryptfs makes them."""
        return hashlib.sha512(self.raw).hexdigest()[:SIGNATURE_DIGITS]

    @property
    def private(self) -> X25519PrivateKey:
        """The X25519 key that follows from this one."""
        return X25519PrivateKey.from_private_bytes(hkdf_sha512(self.raw, b"readpath x25519\0", PUBLIC_BYTES))

    @property
    def public(self) -> PublicKey:
        """What others need to wrap keys for this user."""
        return PublicKey(self.user, self.private.public_key().public_bytes_raw())

    def check(self) -> bytes:
        """Return 16 bytes by which a passphrase is known to be the right one."""
        return hashlib.sha512(b"readpath passphrase check\0" + self.raw).digest()[:CHECK_BYTES]


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A user's public key for X25519, 32 bytes: keys can be wrapped for them."""

    user: str
    raw: bytes

    def __post_init__(self) -> None:
        _check_id("public key", self.user)
        if len(self.raw) != PUBLIC_BYTES:
            raise CryptoError(f"public key of user {self.user}", f"is {len(self.raw)} bytes long", "32 bytes")

    @property
    def id_bytes(self) -> bytes:
        """The user's id as it is stored."""
        return _id_bytes(self.user)


def _id_bytes(user: str) -> bytes:
    return user.encode("utf-8", "surrogateescape")


def _check_id(place: str, user: str) -> None:
    length = len(_id_bytes(user))
    if not 1 <= length <= MAX_ID_BYTES or "\0" in user:
        raise CryptoError(place, f"a user id of {length} bytes", f"1 .. {MAX_ID_BYTES} bytes, no NUL")


def key_from_passphrase(
    user: str, passphrase: bytes, salt: bytes, n: int = SCRYPT_N, r: int = SCRYPT_R, p: int = SCRYPT_P
) -> UserKey:
    """
    Return the key of a passphrase by scrypt: n the cost (a power of 2, takes 128 * n * r bytes), r, p.

    Raises CryptoError for a cost that is too low to protect or too high to be meant, and for a short salt.
    """
    said = f"n = {n}, r = {r}, p = {p}" if max(n, r, p) < 1 << 64 else "n, r or p of more than 64 bits"
    if n not in _SCRYPT_N_ALLOWED or r not in range(1, 33) or p not in range(1, 17):
        raise CryptoError(f"scrypt of user {user}", said, "n = 2^14 .. 2^22, r <= 32, p <= 16")
    if 128 * n * r not in _SCRYPT_MEMORY_BYTES or n * r * p > _SCRYPT_WORK:
        raise CryptoError(
            f"scrypt of user {user}", said, "128 * n * r from 16 MiB to 1 GiB, n * r * p at most 2^24"
        )
    if not passphrase:
        raise CryptoError(f"passphrase of {user}", "is empty", "one byte and more")
    if len(salt) not in _SALT_BYTES:
        raise CryptoError(f"scrypt of user {user}", f"a salt of {len(salt)} bytes", "16 .. 64 bytes")
    return UserKey(user, Scrypt(salt, USER_KEY_BYTES, n, r, p).derive(passphrase))


def read_secret(path: Path, *, public: bool = False) -> str:
    """Return the text of a file of keys: see `read_secret_bytes`; ValueError if it is no UTF-8."""
    return read_secret_bytes(path, public=public).decode("utf-8")


def read_secret_bytes(path: Path, *, public: bool = False) -> bytes:
    """
    Return the bytes of a file of keys.

    Raises CryptoError if it cannot be read, if it belongs to another user than us or root, or if group or
    others may read or write it, as ssh does with keys. What is judged is the file that is then read: that at
    the end of a link, and whatever takes its name meanwhile. A pipe is whoever's gave it to us. public: the
    keys are no secret, nothing is asked of the file.
    """
    try:
        with path.open("rb") as file:
            said = os.fstat(file.fileno())
            if stat.S_ISREG(said.st_mode) and not public:
                _refuse_loose(path, said)
            content = file.read(MOST_TOML_BYTES + 1)
    except (OSError, ValueError) as error:
        raise CryptoError(str(path), f"cannot be read ({why(error)})") from None
    if len(content) > MOST_TOML_BYTES:
        raise CryptoError(
            str(path), f"cannot be read (more than {MOST_TOML_BYTES >> 20} MiB)", "a file of keys"
        )
    return content


def _refuse_loose(path: Path, said: os.stat_result) -> None:
    mode = said.st_mode & 0o777
    if said.st_uid not in (os.geteuid(), 0):
        raise CryptoError(
            str(path), f"holds keys and belongs to user {said.st_uid}", "a file of your own or of root"
        )
    if mode & 0o077:
        raise CryptoError(str(path), f"holds keys and has mode {mode:04o}", "0600 (chmod go= FILE)")


class KeyFile:
    """
    A file of users' keys, read once: it may be a pipe.

    Raises CryptoError, naming file and number but no value, for loose permissions, a file that cannot be
    read, or an entry that cannot be used.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            document = tomllib.loads(read_secret(self.path))
        except (ValueError, RecursionError):  # the parser's message may quote a key
            raise CryptoError(str(path), "is no UTF-8 TOML") from None
        entries = document.get("user")
        if not isinstance(entries, list) or len(document) != 1:
            raise CryptoError(str(path), "has other entries than users", "[[user]] tables alone")
        self._entries: dict[str, tuple[str, Mapping[str, object]]] = {}
        for number, entry in enumerate(entries):
            place = f"{path}: user {number}"
            if not isinstance(entry, dict) or not isinstance(user := entry.get("id"), str):
                raise CryptoError(place, "has no id", 'a table with id = "name"')
            _check_id(place, user)
            if user.startswith(GROUP_MARK):
                raise CryptoError(place, f"user {user!r}", f"an id without {GROUP_MARK}, which is for groups")
            if user in self._entries:
                raise CryptoError(place, f"{user!r} is there twice", "every user once")
            self._entries[user] = place, entry

    @property
    def users(self) -> list[str]:
        """The users' ids, in order."""
        return list(self._entries)

    def is_unchecked(self, user: str) -> bool:
        """Return whether a user has a passphrase that nothing tells to be the right one."""
        said = self._entries[user][1].get("scrypt")
        return isinstance(said, dict) and "check" not in said

    def read_keys(
        self, passphrase: Passphrase | None = None, only: Collection[str] | None = None
    ) -> list[UserKey | PublicKey]:
        """
        Return the keys, in order.

        passphrase: asked for each user that has one; None leaves such users out. only: the users to return
        (no other's passphrase is asked). Errors as for the class.
        """
        wanted = [
            (place, user, entry)
            for user, (place, entry) in self._entries.items()
            if only is None or user in only
        ]
        found = (_key(place, user, entry, passphrase) for place, user, entry in wanted)
        return [key for key in found if key is not None]


def _key(
    place: str, user: str, entry: Mapping[str, object], passphrase: Passphrase | None
) -> UserKey | PublicKey | None:
    if len(entry) != 2 or not {"raw", "scrypt", "public"} & entry.keys():
        raise CryptoError(
            place, "has other entries than an id and a key", "id, and one of raw, scrypt, public"
        )
    try:
        if "raw" in entry:
            return UserKey(user, _hex(entry["raw"]))
        if "public" in entry:
            return PublicKey(user, _hex(entry["public"]))
        return _scrypt_key(place, user, entry["scrypt"], passphrase)
    except CryptoError as error:
        where = error.place if error.place.startswith(place) else f"{place}: {error.place}"
        raise CryptoError(where, error.problem, error.allowed) from None


def _scrypt_key(place: str, user: str, said: object, passphrase: Passphrase | None) -> UserKey | None:
    """Return the key of a passphrase; None if it is not to be asked for. CryptoError if it is a wrong one."""
    known = {"salt", "n", "r", "p", "check"}
    if not isinstance(said, dict) or not said.keys() <= known or "salt" not in said:
        raise CryptoError(place, "scrypt is not understood", "{ salt, n, r, p, check }")
    numbers = {name: value for name, value in said.items() if name not in ("salt", "check")}
    if not all(type(value) is int for value in numbers.values()):
        raise CryptoError(place, "scrypt has other numbers than whole ones", "n, r, p")
    salt, check = _hex(said["salt"]), _hex(said["check"]) if "check" in said else None
    if passphrase is None:
        return None
    key = key_from_passphrase(user, passphrase(user), salt, **numbers)
    if check is not None and not hmac.compare_digest(check, key.check()):
        raise CryptoError(f"passphrase of {user}", "is wrong", "the one that was set")
    return key


def _hex(text: object) -> bytes:
    if isinstance(text, str):
        try:
            return bytes.fromhex(text)
        except ValueError:
            pass
    raise CryptoError("key or salt", "is not hexadecimal", "a string of hexadecimal digits")
