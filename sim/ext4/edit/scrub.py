"""
Finding every copy of some secret bytes in a range of data, wherever it starts, also a copy that is cut.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from sim.ext4.edit.overlay import OverlayStore
from sim.ext4.format.features import Compat
from sim.ext4.read.reader import Image

_WORD_BYTES = 8
_CHUNK_BYTES = 1 << 20

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
    # Few places begin with the first two bytes of any word: the others are not looked at.
    first = np.zeros(1 << 16, dtype=np.bool_)
    first[words.view(np.uint16)[:: _WORD_BYTES // 2]] = True
    for shift in range(min(_WORD_BYTES, len(data))):
        count = (len(data) - shift) // _WORD_BYTES
        if not len(words) or not count:
            break
        view = np.frombuffer(data, dtype=np.uint64, count=count, offset=shift)
        maybe = np.flatnonzero(first[view.view(np.uint16)[:: _WORD_BYTES // 2]])
        if maybe.size:  # rare: most of what is searched is zeros
            found += (maybe[np.isin(view[maybe], words)] * _WORD_BYTES + shift).tolist()
    return sorted(found)


def wipe_words(data: bytearray, words: Words) -> int:
    """Zero every word that is found; return how many bytes that were."""
    wiped = np.zeros(len(data), dtype=np.bool_)
    for at in find_words(data, words):
        wiped[at : at + _WORD_BYTES] = True
    np.frombuffer(data, dtype=np.uint8)[wiped] = 0
    return int(np.count_nonzero(wiped))


def wipe_range(store: OverlayStore, offset: int, length: int, words: Words) -> int:
    """Zero every word that is found in a range of a store's bytes; return how many bytes that were."""
    wiped = 0
    for first in range(offset, offset + length, _CHUNK_BYTES):
        # Eight bytes of overlap, for a word that lies across two chunks.
        stop = min(first + _CHUNK_BYTES + _WORD_BYTES, offset + length)
        data = bytearray(store.read(first, stop - first))
        count = wipe_words(data, words)
        if count:
            store.write(first, data)
        wiped += count
    return wiped


def journal_runs(image: Image) -> list[tuple[int, int]]:
    """Return where the journal lies, as (first block, length); nothing if there is none inside the image."""
    sb = image.superblock
    if not sb.compat & Compat.HAS_JOURNAL or not sb.journal_inode:
        return []
    return [(extent.physical, extent.length) for extent in image.inode(sb.journal_inode).tree.extents]


def journal_log_runs(image: Image) -> list[tuple[int, int]]:
    """Return where the journal's log lies, all but its superblock; as `journal_runs`."""
    runs = journal_runs(image)
    return [(runs[0][0] + 1, runs[0][1] - 1), *runs[1:]] if runs else []
