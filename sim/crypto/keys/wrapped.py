"""
What is wrapped for a user: the key of a file, whole or as one of k shares, and what every format needs of it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from sim.crypto.keys import shamir
from sim.crypto.streams import Random
from sim.errors import CryptoError

MODE_AES_256_XTS = 1
MODE_AES_256_GCM = 2
MODE_GROUP_KEY = 0x100
KEY_BYTES: Mapping[int, int] = {MODE_AES_256_XTS: 64, MODE_AES_256_GCM: 32, MODE_GROUP_KEY: 64}
"""Bytes of a key by its mode. 1 and 2 are the modes of the 2014 patches; a group's key is ours."""

_SHARE_FLAG = 0x8000_0000
_CHECK_BYTES = 8
_SHARE_HEAD_BYTES = 2 + _CHECK_BYTES


@dataclass(frozen=True, slots=True)
class FileKey:
    """A file's own random key and the mode it is for. Its repr never shows it."""

    mode: int
    raw: bytes = field(repr=False)

    def __post_init__(self) -> None:
        want = KEY_BYTES.get(self.mode)
        if want is None:
            raise CryptoError("file key", f"mode {self.mode}", ", ".join(map(str, KEY_BYTES)))
        if len(self.raw) != want:
            raise CryptoError(
                "file key", f"is {len(self.raw)} bytes long", f"{want} bytes in mode {self.mode}"
            )

    @classmethod
    def generate(cls, random: Random, mode: int = MODE_AES_256_XTS) -> Self:
        """Return a new key from a random stream."""
        return cls(mode, random(KEY_BYTES.get(mode, 0)))

    def check(self) -> bytes:
        """Return 8 bytes of a digest, by which shares are told to belong together."""
        return hashlib.sha512(b"readpath key check\0" + self.raw).digest()[:_CHECK_BYTES]


@dataclass(frozen=True, slots=True)
class Share:
    """Share `number` of a key of which `needed` are needed. Its repr never shows it."""

    mode: int
    needed: int
    number: int
    check: bytes
    value: bytes = field(repr=False)


Secret = FileKey | Share
"""What one packet holds."""


def split_key(key: FileKey, needed: int, shares: int, random: Random) -> list[Share]:
    """Return the shares of a key; CryptoError as shamir.split()."""
    values = shamir.split(key.raw, needed, shares, random)
    return [Share(key.mode, needed, number, key.check(), value) for number, value in values.items()]


def join_shares(shares: list[Share], place: str) -> FileKey:
    """
    Return the key of shares; CryptoError, naming `place`, if they are too few or do not belong together.
    """
    first = shares[0]
    alike = {(share.mode, share.needed, share.check) for share in shares}
    by_number = {share.number: share.value for share in shares}
    if len(alike) != 1:
        raise CryptoError(place, "the shares are of different keys")
    if len(by_number) < first.needed:
        raise CryptoError(place, f"ENOKEY: {len(by_number)} of {first.needed} shares that are needed")
    chosen = dict(sorted(by_number.items())[: first.needed])
    key = FileKey(first.mode, shamir.combine(chosen))
    if not hmac.compare_digest(key.check(), first.check):
        raise CryptoError(place, "the shares do not give the key that was shared")
    return key


def pack_secret(secret: Secret) -> tuple[int, bytes]:
    """Return the mode word and the bytes that a packet holds, at most 74."""
    if isinstance(secret, FileKey):
        return secret.mode, secret.raw
    return secret.mode | _SHARE_FLAG, bytes((secret.needed, secret.number)) + secret.check + secret.value


def unpack_secret(word: int, raw: bytes, place: str) -> Secret:
    """Return what a packet held; CryptoError, naming `place`, if it is nothing we know."""
    mode = word & ~_SHARE_FLAG
    if mode not in KEY_BYTES:
        raise CryptoError(place, f"a key of mode {mode}", ", ".join(map(str, KEY_BYTES)))
    share = word & _SHARE_FLAG
    if len(raw) != KEY_BYTES[mode] + (_SHARE_HEAD_BYTES if share else 0):
        raise CryptoError(place, f"a key of {len(raw)} bytes", f"{KEY_BYTES[mode]} in mode {mode}")
    if not share:
        return FileKey(mode, raw)
    if not 1 <= raw[0] or not raw[1]:
        raise CryptoError(place, f"share {raw[1]} of {raw[0]}", "1 and up")
    return Share(mode, raw[0], raw[1], raw[2:_SHARE_HEAD_BYTES], raw[_SHARE_HEAD_BYTES:])
