"""The journal as space: tags of a descriptor, places, what is free."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.fs.jbd2.log import Log, tags_per_descriptor


@pytest.mark.parametrize(
    ("block_size", "tag_bytes", "checksums", "tags"),
    [
        (1024, 8, False, 122),
        (1024, 16, True, 61),
        (2048, 8, False, 250),
        (2048, 16, True, 125),
        (4096, 8, False, 506),
        (4096, 16, True, 253),
    ],
)
def test_tags_of_a_descriptor(block_size: int, tag_bytes: int, checksums: bool, tags: int) -> None:
    """As many as a kernel's descriptor blocks announce."""
    assert tags_per_descriptor(block_size, tag_bytes, checksums) == tags


@pytest.mark.parametrize(
    ("block_size", "blocks", "overhead"),
    # 1 + ceil((blocks / 4) / ((block size - 12 - 16 - 16) / 8)), without checksums
    [(4096, 4096, 1 + 3), (1024, 8192, 1 + 17)],
)
def test_descriptors_that_a_transaction_is_reckoned_to_need(
    block_size: int, blocks: int, overhead: int
) -> None:
    """So many credits a transaction has used when it begins: then 998 or 496 pages of data=journal fit."""
    log = Log(range(blocks), tags_per_descriptor(block_size, 8, False), block_size, 8, False)
    assert log.overhead == overhead
    credits, bpp = {4096: (22, 1), 1024: (47, 4)}[block_size]
    used, pages = log.overhead, 0
    while used + credits <= blocks // 4:  # a page of data=journal: its blocks; the inode's once
        used += bpp + (pages == 0)
        pages += 1
    assert pages == {4096: 998, 1024: 496}[block_size]


def test_the_log_is_a_ring_behind_its_superblock() -> None:
    """Places in order, block 0 never; behind the last comes the first."""
    log = Log([70, 10, 11, 12, 50, 51], 506, 4096, 8, False, head=4)
    assert log.superblock == 70
    assert (log.blocks, log.free) == (6, 5)
    assert log.take(3) == [50, 51, 10]
    assert log.free == 2
    log.committed(7, [100, 101])
    assert log.take(2) == [11, 12]
    log.committed(8, [102])
    assert (log.free, log.clean(), log.next_tail) == (0, [[100, 101], [102]], (7, 4))
    log.dropped()
    assert (log.free, log.next_tail, log.before_oldest()) == (0, (8, 2), 3)
    log.move_tail()
    assert (log.free, log.before_oldest(), log.checkpoints) == (3, 0, 1)
    log.dropped()
    log.move_tail()
    assert (log.free, log.next_tail, log.head) == (5, (0, 4), 4)
    log.dropped()
    assert log.free == 5


def committed(*transactions: list[int]) -> Log:
    """Return a log of many blocks that holds these transactions, each of two blocks more than its own."""
    log = Log(range(100), 506, 4096, 8, False)
    for tid, blocks in enumerate(transactions):
        log.take(2 + len(blocks))
        log.committed(tid, blocks)
    return log


def test_a_block_is_checkpointed_for_its_last_transaction_alone() -> None:
    """An old transaction whose blocks were all changed again is off the list; the tail may move over it."""
    log = committed([5, 6], [6, 7], [5, 7])
    assert (log.clean(), log.oldest()) == ([[], [6], [5, 7]], [6])
    assert (log.checkpoints, log.before_oldest(), log.free) == (2, 4, 99 - 12)
    log.move_tail()
    assert (log.before_oldest(), log.free) == (0, 99 - 8)


def test_the_tail_stops_at_the_oldest_transaction_on_the_list() -> None:
    """What is free behind that one stays taken."""
    log = committed([5, 9], [6], [6, 7])
    assert (log.clean(), log.before_oldest()) == ([[5, 9], [], [6, 7]], 0)
    log.dropped()
    assert (log.before_oldest(), log.checkpoints) == (4 + 3, 1)


@pytest.mark.parametrize(
    ("busy", "left"),
    [
        (set(), [[], [], []]),
        ({5}, [[5, 6], [7], [8]]),
        ({6}, [[6], [7], [8]]),
        ({8}, [[], [], [8]]),
    ],
)
def test_blocks_that_are_in_place_leave_until_one_is_busy(busy: set[int], left: list[list[int]]) -> None:
    """In the order of the log, transaction by transaction."""
    log = committed([5, 6], [7], [8])
    log.shrink(lambda block: block in busy)
    assert log.clean() == left


class Naive:
    """A log as a list of all that it holds: [tid, start, taken, blocks], looked through every time."""

    def __init__(self, blocks: int) -> None:
        self.blocks, self.free, self.head, self.taken, self.begins = blocks, blocks - 1, 1, 0, 1
        self.held: list[tuple[int, int, int, list[int]]] = []

    def take(self, count: int) -> list[int]:
        places = []
        for _ in range(count):
            places.append(self.head)
            self.head = self.head + 1 if self.head + 1 < self.blocks else 1
        self.free -= count
        self.taken += count
        return places

    def leaves(self, block: int) -> None:
        for _, _, _, blocks in self.held:
            if block in blocks:
                blocks.remove(block)

    def committed(self, tid: int, metadata: list[int]) -> None:
        for block in metadata:
            self.leaves(block)
        self.held.append((tid, self.begins, self.taken, list(metadata)))
        self.taken, self.begins = 0, self.head

    def shrink(self, busy: set[int]) -> None:
        for block in [block for each in self.held for block in each[3]]:
            if block in busy:
                return
            self.leaves(block)

    def state(self) -> tuple[object, ...]:
        on = [each for each in self.held if each[3]]
        before = sum(each[2] for each in (self.held[: self.held.index(on[0])] if on else self.held))
        tail = on[0][:2] if on else (0, self.begins)
        lists = [each[3] for each in self.held]
        return self.free, self.head, lists, on[0][3] if on else [], len(on), before, tail

    def move_tail(self) -> None:
        while self.held and not self.held[0][3]:
            self.free += self.held.pop(0)[2]


def state_of(log: Log) -> tuple[object, ...]:
    """Return what Naive.state() does."""
    return (
        log.free,
        log.head,
        log.clean(),
        log.oldest(),
        log.checkpoints,
        log.before_oldest(),
        log.next_tail,
    )


BLOCKS = st.lists(st.integers(100, 107), unique=True, max_size=4)


@given(
    st.lists(st.tuples(st.sampled_from(["commit", "commit", "shrink", "drop", "tail"]), BLOCKS), max_size=30)
)
def test_a_log_is_what_a_list_of_its_transactions_says(steps: list[tuple[str, list[int]]]) -> None:
    """Commits of any blocks, what is in place leaves, the oldest are dropped, the tail moves."""
    log, naive = Log(range(12), 506, 4096, 8, False), Naive(12)
    for tid, (what, blocks) in enumerate(steps):
        if what == "commit" and log.free >= len(blocks) + 1:
            assert naive.take(1 + len(blocks)) == log.take(1 + len(blocks))
            naive.committed(tid, blocks)
            log.committed(tid, blocks)
        elif what == "shrink":
            naive.shrink(set(blocks))
            log.shrink(set(blocks).__contains__)
        elif what == "drop":
            log.dropped()
            for block in list(naive.state()[3]):  # type: ignore[call-overload]
                naive.leaves(block)
        elif what == "tail":
            naive.move_tail()
            log.move_tail()
        assert naive.state() == state_of(log)
