"""
Named streams of random numbers.
"""

from __future__ import annotations

import hashlib

import numpy as np


def stream(seed: int, name: str) -> np.random.Generator:
    """
    Return the random stream `name` of run `seed`.

    Streams of different names are independent, and adding one does not disturb another: the key is
    SHA-256(seed, name), never a shared generator. Philox gives the same numbers on every platform.
    """
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
