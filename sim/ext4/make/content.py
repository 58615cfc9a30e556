"""
Contents that depend only on (seed, path, byte): the same on every block size and layout.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

_STEP_BYTES = 32
"""Philox gives four 64-bit words for each value of its counter."""


def named_key(seed: int, name: str) -> bytes:
    """Return 32 bytes that depend on a seed and a name, and on nothing else."""
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).digest()


def named_generator(seed: int, name: str) -> np.random.Generator:
    """Return a random generator of its own for (seed, name)."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(named_key(seed, name)[:16], "little")))


def random_contents(seed: int, path: str, offset: int, length: int) -> npt.NDArray[np.uint8]:
    """
    Return `length` bytes of the file `path` from byte `offset`, both multiples of 32.

    The bytes do not compress and no two blocks are alike, so that a block read from the wrong place is
    noticed. Any part can be made without what lies before it (Philox is a counter-based generator).
    """
    if offset % _STEP_BYTES or length % _STEP_BYTES:
        raise ValueError(f"offset {offset} and length {length} must be multiples of {_STEP_BYTES}")
    key = int.from_bytes(named_key(seed, f"contents\0{path}")[:16], "little")
    words = np.random.Philox(key=key, counter=offset // _STEP_BYTES).random_raw(length // 8)
    return np.asarray(words, dtype="<u8").view(np.uint8)
