"""
Named streams of bytes from a seed, so that an image with keys in it can be made again to the byte.

Whoever knows the seed knows the keys: for tests and experiments. For keys that are to protect something, use
`secrets.token_bytes` in its place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

Random = Callable[[int], bytes]
"""(count) -> that many random bytes; a NamedStream, or secrets.token_bytes."""


class NamedStream:
    """Bytes that depend on a seed, a name and how many were taken before, and on nothing else."""

    __slots__ = ("_calls", "_prefix")

    def __init__(self, seed: int, name: str) -> None:
        self._prefix = f"readpath keys\0{seed}\0{name}\0".encode("utf-8", "surrogateescape")
        self._calls = 0

    def __call__(self, count: int) -> bytes:
        """Return the next `count` bytes."""
        self._calls += 1
        return hashlib.shake_256(self._prefix + str(self._calls).encode()).digest(count)
