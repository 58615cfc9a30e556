"""
The log as space: which blocks of the journal are taken, and by which transactions (fs/jbd2/journal.c).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


class LoggedTransaction:
    """
    A transaction that the log keeps. start: where in the journal it begins. length: its blocks there.
    metadata: its blocks that are not known to be in place, but for those that a later transaction has too.
    """

    __slots__ = ("length", "metadata", "start", "tid")

    def __init__(self, tid: int, start: int, length: int, metadata: list[int]) -> None:
        self.tid = tid
        self.start = start
        self.length = length
        self.metadata = metadata


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

    free: blocks that may be taken. overhead: descriptors that a transaction is reckoned to need. revocations:
    how many a block of them has.
    """

    def __init__(
        self,
        places: Sequence[int],
        tags: int,
        block_size: int,
        tag_bytes: int,
        checksums: bool,
        head: int = 1,
        wide: bool = False,
    ) -> None:
        """head: where in the journal the next transaction begins. wide: block numbers have 64 bits."""
        self.places = places
        self.tags = tags
        self.blocks = len(places)
        self.superblock = places[0] if places else 0
        self.free = self.blocks - 1
        self.head = head
        per = (block_size - 12 - 16 - (4 if checksums else 0) - 16) // tag_bytes
        self.overhead = 1 + -(-(self.blocks // 4) // per)
        self.revocations = (block_size - 16 - (4 if checksums else 0)) // (8 if wide else 4)
        self._taken = 0
        self._begins = head
        self._kept: deque[LoggedTransaction] = deque()

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
        """
        A transaction is in the log: it stays there until its blocks are in place. Blocks of older ones that
        it has too are no longer theirs to bring in place (__jbd2_journal_remove_checkpoint()).
        """
        newer = set(metadata)
        for older in self._kept:
            if not newer.isdisjoint(older.metadata):
                older.metadata = [block for block in older.metadata if block not in newer]
        self._kept.append(LoggedTransaction(tid, self._begins, self._taken, metadata))
        self._taken = 0
        self._begins = self.head

    @property
    def oldest(self) -> LoggedTransaction | None:
        """The oldest transaction that the log keeps."""
        return self._kept[0] if self._kept else None

    def dropped(self) -> None:
        """The oldest transaction is in place: its room is free."""
        if self._kept:
            self.free += self._kept.popleft().length

    @property
    def kept(self) -> list[list[int]]:
        """The blocks that each transaction in the log is still to bring in place."""
        return [each.metadata for each in self._kept]

    @property
    def tail(self) -> int:
        """Where in the journal the oldest transaction begins; where the next one does, if it is empty."""
        return self._kept[0].start if self._kept else self.head
