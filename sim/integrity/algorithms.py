"""
The algorithms of tags: checksums of anybody's, and those that need a key.

A tag is of a block or an extent, and of its `context`: which file system, and which place in it, so that data
which is put elsewhere has another tag. dm-integrity does so with its sector numbers; btrfs and fs-verity have
no context.

aes-256-gcm as a mere tag is GMAC. It needs a nonce that never comes twice under a key: a counter of 4 bytes,
kept before the 16 of the tag, and the position. Who puts an old counter back makes the next writer use a
nonce again (rollback), which GCM does not survive; the others do.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import xxhash

from sim.crypto.macs import MAC_KEY_BYTES, aes_cmac, gmac, hmac_sha256_128
from sim.errors import ConfigError, ImageError
from sim.ext4.format.crc32c import crc32c

_NONCE = struct.Struct("<IQ")
_COUNTER_BYTES = 4
MAX_COUNTER = (1 << 32) - 1

Compute = Callable[[bytes, bytes, int, int], bytes]
"""(key, context and data, counter, position) -> the tag."""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """
    One algorithm. tag_bytes: of what is kept, counter included. keyed: whether it takes a key of 32 bytes.
    """

    name: str
    tag_bytes: int
    keyed: bool
    counted: bool
    compute: Compute

    def make(self, key: bytes, position: int, data: bytes, old: bytes = b"") -> bytes:
        """
        Return the tag of context and data; old: the tag that it replaces.

        position: of the block among those under this key. Raises ImageError after 2^32 - 1 writes.
        """
        if not self.counted:
            return self.compute(key, data, 0, position)
        counter = int.from_bytes(old[:_COUNTER_BYTES], "little") + 1
        if counter > MAX_COUNTER:
            raise ImageError("tags", f"position {position} was written 2^32 - 1 times", "a new key")
        return counter.to_bytes(_COUNTER_BYTES, "little") + self.compute(key, data, counter, position)

    def again(self, key: bytes, position: int, data: bytes, stored: bytes) -> bytes:
        """Return the tag that context and data have if nothing was changed: `stored`, or another."""
        if not self.counted:
            return self.compute(key, data, 0, position)
        counter = stored[:_COUNTER_BYTES]
        return counter + self.compute(key, data, int.from_bytes(counter, "little"), position)


def _crc32c(_key: bytes, data: bytes, _counter: int, _position: int) -> bytes:
    return (crc32c(0xFFFF_FFFF, data) ^ 0xFFFF_FFFF).to_bytes(4, "little")


def _xxh64(_key: bytes, data: bytes, _counter: int, _position: int) -> bytes:
    return xxhash.xxh64_intdigest(data).to_bytes(8, "little")


def _sha256(_key: bytes, data: bytes, _counter: int, _position: int) -> bytes:
    return hashlib.sha256(data).digest()


def _blake2b(_key: bytes, data: bytes, _counter: int, _position: int) -> bytes:
    return hashlib.blake2b(data, digest_size=32).digest()


def _hmac(key: bytes, data: bytes, _counter: int, _position: int) -> bytes:
    return hmac_sha256_128(key, data)


def _cmac(key: bytes, data: bytes, _counter: int, _position: int) -> bytes:
    return aes_cmac(key, data)


def _gmac(key: bytes, data: bytes, counter: int, position: int) -> bytes:
    return gmac(key, nonce(counter, position), data)


def nonce(counter: int, position: int) -> bytes:
    """Return the 12 bytes of a nonce."""
    return _NONCE.pack(counter, position)


ALGORITHMS: Mapping[str, Algorithm] = {
    one.name: one
    for one in (
        Algorithm("crc32c", 4, False, False, _crc32c),
        Algorithm("xxh64", 8, False, False, _xxh64),
        Algorithm("sha256", 32, False, False, _sha256),
        Algorithm("blake2b", 32, False, False, _blake2b),
        Algorithm("hmac-sha256", 16, True, False, _hmac),
        Algorithm("aes-cmac", 16, True, False, _cmac),
        Algorithm("aes-256-gcm", _COUNTER_BYTES + 16, True, True, _gmac),
    )
}
"""By the names that an experiment or a command line has. btrfs has the first four, of the same lengths."""

KEY_BYTES = MAC_KEY_BYTES


def algorithm_of(name: str) -> Algorithm:
    """Return an algorithm; ConfigError for a name that is none."""
    found = ALGORITHMS.get(name)
    if found is None:
        raise ConfigError("algorithm", repr(name), ", ".join(ALGORITHMS))
    return found
