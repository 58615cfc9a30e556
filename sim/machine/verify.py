"""
What was read against what was written: the check on real data.

A sequential pass over a whole file is hashed on the way and compared with the digest of its plaintext. Any
other order is compared piece by piece with the plaintext, which is decrypted once beforehand by the plain
reader, without the simulator, and checked against the same digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from sim.cache.address_space import Sink
from sim.cache.pages import Mapping


class Verifier(Sink):
    """A sink that knows at the end whether all bytes were right."""

    def good(self) -> bool:
        """Return whether everything taken was what it should be, and all of it came."""
        raise NotImplementedError


class StreamVerifier(Verifier):
    """Hashes one pass from the first byte to the last; `sha256` (hex) is what must come out."""

    def __init__(self, size_bytes: int, sha256: str) -> None:
        self._hash = hashlib.sha256()
        self._position = 0
        self._size_bytes = size_bytes
        self._expected = sha256

    def take(self, mapping: Mapping, offset: int, length: int) -> None:
        """Hash the next bytes (Sink)."""
        content = mapping.content
        if content is None or offset != self._position:
            return
        self._position = offset + length
        self._hash.update(content[offset : offset + length])

    def good(self) -> bool:
        """Return whether the whole file came, in order, with the right digest."""
        return self._position == self._size_bytes and self._hash.hexdigest() == self._expected


class WrittenVerifier(Verifier):
    """
    Compares every piece with what a file has by then: `expected` returns that, for jobs write it, too.

    Good if nothing was read: who only writes reads nothing.
    """

    def __init__(self, expected: Callable[[], bytes | bytearray]) -> None:
        self._expected = expected
        self._wrong = 0

    def take(self, mapping: Mapping, offset: int, length: int) -> None:
        """Compare a piece (Sink)."""
        if mapping.content is not None:
            piece = bytes(mapping.content[offset : offset + length])
            self._wrong += piece != bytes(self._expected()[offset : offset + length])

    def good(self) -> bool:
        """Return whether all that was taken was right."""
        return not self._wrong


class PieceVerifier(Verifier):
    """Compares every piece with `plaintext`, the whole file."""

    def __init__(self, plaintext: bytes) -> None:
        self._plaintext = memoryview(plaintext)
        self._taken = 0
        self._wrong = 0

    def take(self, mapping: Mapping, offset: int, length: int) -> None:
        """Compare a piece (Sink)."""
        content = mapping.content
        if content is None:
            return
        self._wrong += content[offset : offset + length] != self._plaintext[offset : offset + length]
        self._taken += length

    def good(self) -> bool:
        """Return whether something came, and all of it was right."""
        return self._taken > 0 and not self._wrong
