"""The journal as space: tags of a descriptor, places, what is free."""

from __future__ import annotations

import pytest

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
