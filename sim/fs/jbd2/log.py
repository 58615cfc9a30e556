"""
The log as space: which blocks of the journal are taken, and by which transactions (fs/jbd2/journal.c).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


def tags_per_descriptor(block_size: int, tag_bytes: int, checksums: bool) -> int:
    """
    Return how many blocks one descriptor block can announce.

    12 bytes are its header; the first tag is followed by a UUID of 16; checksums have a tail of 4.
    """
    left, tags, tail = block_size - 12, 0, 4 if checksums else 0
    while True:
        left -= tag_bytes
        tags += 1
        if tags == 1:
            left -= 16
        if left < tag_bytes + 16 + tail:
            return tags


class Log:
    """
    A journal's blocks: `places`, the first of which is its superblock. tags: blocks a descriptor announces.

    free: blocks that may be taken. overhead: descriptors that a transaction is reckoned to need.
    """

    def __init__(
        self,
        places: Sequence[int],
        tags: int,
        block_size: int,
        tag_bytes: int,
        checksums: bool,
        head: int = 1,
    ) -> None:
        """head: where in the journal the next transaction begins."""
        self.places = places
        self.tags = tags
        self.blocks = len(places)
        self.superblock = places[0] if places else 0
        self.free = self.blocks - 1
        self.head = head
        per = (block_size - 12 - 16 - (4 if checksums else 0) - 16) // tag_bytes
        self.overhead = 1 + -(-(self.blocks // 4) // per)
        self._taken = 0
        self._kept: deque[tuple[int, int, list[int]]] = deque()

    def take(self, count: int) -> list[int]:
        """jbd2_journal_next_log_block(), `count` times: return where the next blocks of the log lie."""
        places = []
        for _ in range(count):
            places.append(self.places[self.head])
            self.head += 1
            if self.head == self.blocks:
                self.head = 1
        self.free -= count
        self._taken += count
        return places

    def committed(self, tid: int, metadata: list[int]) -> None:
        """A transaction is in the log: it stays there until its blocks are in place."""
        self._kept.append((tid, self._taken, metadata))
        self._taken = 0

    def oldest(self) -> list[int]:
        """Return the blocks of the oldest transaction that the log keeps."""
        return self._kept[0][2] if self._kept else []

    def dropped(self) -> None:
        """The oldest transaction is in place: its room is free."""
        if self._kept:
            self.free += self._kept.popleft()[1]

    def clean(self) -> list[list[int]]:
        """Return the blocks of every transaction that the log keeps."""
        return [metadata for _, _, metadata in self._kept]
