"""
Finding every copy of some secret bytes in a range of data, wherever it starts, also a copy that is cut.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

_WORD_BYTES = 8

Words = npt.NDArray[np.uint64]


def words_of(secrets: Iterable[bytes]) -> Words:
    """
    Return the 8-byte words that make up each secret, its last 8 bytes included; sorted.

    A secret is to look random: words of zeros are left out, for they are everywhere.
    """
    words: set[bytes] = set()
    for secret in secrets:
        last = len(secret) - _WORD_BYTES
        words.update(
            secret[at : at + _WORD_BYTES] for at in [*range(0, last, _WORD_BYTES), last] if last >= 0
        )
    words.discard(bytes(_WORD_BYTES))
    return np.frombuffer(b"".join(sorted(words)), dtype=np.uint64)


def find_words(data: bytes | bytearray | memoryview, words: Words) -> list[int]:
    """Return the bytes of `data` at which one of the words starts, in order."""
    found: list[int] = []
    ordered = np.sort(words)
    for shift in range(min(_WORD_BYTES, len(data))):
        count = (len(data) - shift) // _WORD_BYTES
        view = np.frombuffer(data, dtype=np.uint64, count=count, offset=shift)
        if not len(ordered) or not count:
            break
        nearest = ordered[np.minimum(np.searchsorted(ordered, view), len(ordered) - 1)]
        found += (np.flatnonzero(nearest == view) * _WORD_BYTES + shift).tolist()
    return sorted(found)


def wipe_words(data: bytearray, words: Words) -> int:
    """Zero every word that is found; return how many bytes that were."""
    wiped = np.zeros(len(data), dtype=np.bool_)
    for at in find_words(data, words):
        wiped[at : at + _WORD_BYTES] = True
    np.frombuffer(data, dtype=np.uint8)[wiped] = 0
    return int(np.count_nonzero(wiped))
