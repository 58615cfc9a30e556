"""
The log as space: which blocks of the journal are taken, and by which transactions (fs/jbd2/journal.c).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence


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


class _Kept:
    """
    A committed transaction. start: where in the journal it begins. taken: blocks of the log. blocks: those
    that are still to be checkpointed for it, in the order of the log; without any it is off the list, and its
    room goes with the tail.
    """

    __slots__ = ("blocks", "start", "taken", "tid")

    def __init__(self, tid: int, start: int, taken: int, blocks: Sequence[int]) -> None:
        self.tid = tid
        self.start = start
        self.taken = taken
        self.blocks = dict.fromkeys(blocks, True)


class Log:
    """
    A journal's blocks: `places`, the first of which is its superblock. tags: blocks a descriptor announces.

    block_size: in bytes. free: blocks that may be taken. overhead: descriptors that a transaction is reckoned
    to need. revocations: how many a block of them has. checkpoints: transactions on the list, with blocks
    that are to be checkpointed.
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
        self.block_size = block_size
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
        self._off: list[_Kept] = []  # before the oldest on the list
        self._kept: deque[_Kept] = deque()  # the oldest on the list is the first
        self._kept_in: dict[int, _Kept] = {}
        self._before = 0
        self.checkpoints = 0

    def take(self, count: int) -> list[int]:
        """jbd2_journal_next_log_block(), `count` times: return where the next blocks of the log lie."""
        head, last = self.head, self.blocks
        places = list(self.places[head : head + count])
        while len(places) < count:
            places += self.places[1 : 1 + count - len(places)]
        self.head = 1 + (head - 1 + count) % (last - 1)
        self.free -= count
        self._taken += count
        return places

    def committed(self, tid: int, metadata: Sequence[int]) -> None:
        """
        A transaction is in the log: it stays there until its blocks are in place, or in a later transaction
        (__jbd2_journal_insert_checkpoint(), __jbd2_journal_remove_checkpoint()).
        """
        kept = _Kept(tid, self._begins, self._taken, metadata)
        if not self._kept_in.keys().isdisjoint(metadata):
            for block in metadata:
                self.leaves(block)
        self._kept_in.update(dict.fromkeys(metadata, kept))
        self._kept.append(kept)
        self.checkpoints += bool(kept.blocks)
        self._drop()
        self._taken = 0
        self._begins = self.head

    def has(self, block: int) -> bool:
        """Tell whether a transaction has a block on its list."""
        return block in self._kept_in

    def leaves(self, block: int) -> None:
        """A block is off the list of its transaction (__jbd2_journal_remove_checkpoint())."""
        kept = self._kept_in.get(block)
        if kept is not None:
            self._leave(kept, (block,))

    def _leave(self, kept: _Kept, blocks: Sequence[int]) -> None:
        """Blocks, one or more, are off the list of their transaction."""
        kept_in, left = self._kept_in, kept.blocks
        for block in blocks:
            del kept_in[block], left[block]
        if not left:
            self.checkpoints -= 1
            self._drop()

    def _drop(self) -> None:
        """The oldest transactions that have no blocks left are off the list."""
        while self._kept and not self._kept[0].blocks:
            self._off.append(self._kept.popleft())
            self._before += self._off[-1].taken

    def shrink(self, busy: Callable[[int], bool]) -> None:
        """
        __jbd2_journal_clean_checkpoint_list(): blocks that are in place by now leave, transaction by
        transaction, until one is `busy`.
        """
        while self._kept:
            oldest = self._kept[0]
            leaving = []
            for block in oldest.blocks:
                if busy(block):
                    break
                leaving.append(block)
            if leaving:
                self._leave(oldest, leaving)
            if oldest.blocks:
                return

    def oldest(self) -> list[int]:
        """Return the blocks that the oldest transaction on the list has left."""
        return list(self._kept[0].blocks) if self._kept else []

    def dropped(self) -> None:
        """The oldest transaction's blocks are in place: it is off the list."""
        if self._kept:
            self._leave(self._kept[0], self.oldest())

    def before_oldest(self) -> int:
        """How many blocks lie between the tail and the oldest transaction on the list; 0: it is the tail."""
        return self._before

    @property
    def next_tail(self) -> tuple[int, int]:
        """
        The oldest transaction on the list, and where in the journal it begins; 0 and where the next one
        begins, or the one that is being committed, if there is none.
        """
        if self._kept:
            return self._kept[0].tid, self._kept[0].start
        return 0, self._begins

    def move_tail(self) -> None:
        """The tail is at the oldest transaction on the list: what lies before is free."""
        self.free += self._before
        self._before = 0
        self._off.clear()

    def clean(self) -> list[list[int]]:
        """Return the blocks that every transaction in the log has left."""
        return [list(kept.blocks) for kept in (*self._off, *self._kept)]
