"""The allocator against a plain set of blocks, and its rules one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.errors import ImageError, InvariantError
from sim.fs.mballoc.allocator import MbAllocator, NoSpaceError
from sim.fs.mballoc.buddy import Buddy, pack
from sim.fs.mballoc.geometry import BitmapSource, GroupSeed, MbGeometry, MbTunables
from sim.fs.mballoc.goal import ext_find_goal, ext_grow_goal, inode_to_goal_block
from sim.fs.mballoc.normalize import window
from sim.fs.mballoc.request import (
    HINT_DATA,
    HINT_NOPREALLOC,
    HINT_TRY_GOAL,
    Allocation,
    AllocationRequest,
    MbInode,
)
from sim.units import KIB, MIB

PER_GROUP = 8192
"""Blocks of a group at 1 KiB, the smallest there is."""


class Bits(BitmapSource):
    """Bitmaps that are in memory; `asked` lists what was read."""

    def __init__(self, groups: list[bytearray]) -> None:
        self.groups = groups
        self.asked: list[int] = []

    def read(self, group: int) -> bytes:
        """Return a group's bitmap."""
        self.asked.append(group)
        return pack(self.groups[group])


def volume(
    used: list[list[tuple[int, int]]], rotational: bool = False, log_flex: int = 0
) -> tuple[MbAllocator, Bits]:
    """Return the allocator of a volume, 1 KiB blocks: for each group the runs (start, length) in use."""
    groups = [bytearray(PER_GROUP) for _ in used]
    for bits, runs in zip(groups, used, strict=True):
        for start, length in runs:
            bits[start : start + length] = b"\1" * length
    geometry = MbGeometry(1024, 1 + len(used) * PER_GROUP, 1, PER_GROUP, log_flex > 0, log_flex, False)
    tunables = MbTunables(geometry, rotational)
    tunables.reserved = 0
    source = Bits(groups)
    seeds = [GroupSeed(bits.count(0), 100 + number, False) for number, bits in enumerate(groups)]
    return MbAllocator(geometry, seeds, source, tunables), source


def opened(size_bytes: int = 0, number: int = 12) -> MbInode:
    """Return a file that somebody writes."""
    inode = MbInode(number, 0)
    inode.open_writers = 1
    inode.size_bytes = size_bytes
    return inode


def ask(
    mb: MbAllocator, inode: MbInode, logical: int, length: int, goal: int = 1, flags: int = HINT_DATA
) -> Allocation:
    """Allocate blocks of a file without neighbours."""
    return mb.new_blocks(AllocationRequest(inode, logical, length, goal, flags))


# -- against a plain set ---------------------------------------------------------------------------------

step = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 2), st.integers(0, 300), st.integers(1, 60)),
    st.tuples(st.just("close"), st.integers(0, 2), st.just(0), st.just(0)),
    st.tuples(st.just("truncate"), st.integers(0, 2), st.integers(0, 1), st.just(0)),
    st.tuples(st.just("commit"), st.just(0), st.just(0), st.just(0)),
)
used_runs = st.lists(st.tuples(st.integers(0, PER_GROUP - 1), st.integers(1, 3000)), max_size=10)


class Plain:
    """The model: which blocks are whose, which are freed and not committed."""

    def __init__(self, mb: MbAllocator, source: Bits) -> None:
        self.mb = mb
        self.free_at_first = [bytes(bits) for bits in source.groups]
        self.source = source
        self.files = [opened(number=12 + n) for n in range(3)]
        self.blocks: list[dict[int, int]] = [{}, {}, {}]
        self.tid = 1

    def write(self, file: int, logical: int, length: int) -> None:
        """Allocate what is not allocated of a range, as the file system does: hole by hole."""
        inode, blocks = self.files[file], self.blocks[file]
        end = logical + length
        while logical < end:
            if logical in blocks:
                logical += 1
                continue
            behind = min((at for at in blocks if at > logical), default=1 << 32)
            before = max((at for at in blocks if at < logical), default=-1)
            inode.size_bytes = max(inode.size_bytes, end * KIB)
            request = AllocationRequest(
                inode,
                logical,
                min(end, behind) - logical,
                blocks[before] + logical - before if before >= 0 else 1,
                HINT_DATA,
                max(before, 0),
                blocks.get(before, 0),
                behind if behind < 1 << 32 else logical,
                blocks.get(behind, 0),
            )
            try:
                found = self.mb.new_blocks(request)
            except NoSpaceError:
                assert not self.free_blocks(), "there are blocks that nobody has"
                return
            count = min(found.count, request.length)
            taken = {logical + at: found.block + at for at in range(count)}
            everyone = {block for file_blocks in self.blocks for block in file_blocks.values()}
            assert not everyone & set(taken.values()), "a block is given out twice"
            blocks.update(taken)
            logical += count

    def truncate(self, file: int, at_once: bool) -> None:
        """Free all blocks of a file."""
        self.mb.discard_preallocations(self.files[file])
        for block in self.blocks[file].values():
            self.mb.free_blocks(block, 1, 0 if at_once else self.tid)
        self.blocks[file].clear()
        self.files[file].size_bytes = 0

    def commit(self) -> None:
        """Commit the transaction."""
        self.mb.committed(self.tid)
        self.tid += 1

    def free_blocks(self) -> int:
        """Return how many blocks may be given out: not preallocated, not freed and waiting."""
        return sum(group.free for group in self.mb.groups.every)

    def check(self) -> None:
        """Compare bitmaps, buddies and counts with the set."""
        everyone = [block for file_blocks in self.blocks for block in file_blocks.values()]
        assert sum(bits.count(0) for bits in self.free_at_first) - len(everyone) == self.mb.free
        for group in self.mb.groups.every:
            if group.bitmap is None:
                continue
            expected = bytearray(self.free_at_first[group.number])
            first = self.mb.geometry.first_of(group.number)
            for block in everyone:
                if first <= block < first + PER_GROUP:
                    assert not expected[block - first]
                    expected[block - first] = 1
            assert expected == group.bitmap
            assert expected.count(0) == group.described_free
            if group.buddy is not None:
                for space in group.preallocs:
                    at = space.pstart - first
                    expected[at : at + space.length] = b"\1" * space.length
                for extent in group.freed:
                    assert not any(expected[extent.start : extent.start + extent.count])
                    expected[extent.start : extent.start + extent.count] = b"\1" * extent.count
                fresh = Buddy(expected, self.mb.geometry.orders, PER_GROUP)
                assert (fresh.maps, fresh.counters) == (group.buddy.maps, group.buddy.counters)
                assert (fresh.free, fresh.fragments) == (group.free, group.fragments)


@given(st.lists(used_runs, min_size=1, max_size=3), st.lists(step, max_size=25))
def test_no_block_is_given_out_twice_and_all_come_back(
    used: list[list[tuple[int, int]]], steps: list[tuple[str, int, int, int]]
) -> None:
    """Any writes, closes, truncates and commits: bitmaps, buddies and counts are those of the plain set."""
    mb, source = volume([[(s, min(n, PER_GROUP - s)) for s, n in runs] for runs in used])
    plain = Plain(mb, source)
    for what, file, first, length in steps:
        if what == "write":
            plain.write(file, first, length)
        elif what == "close":
            mb.discard_preallocations(plain.files[file])
            assert not plain.files[file].preallocs
        elif what == "truncate":
            plain.truncate(file, bool(first))
        else:
            plain.commit()
        plain.check()
    for file in range(3):
        plain.truncate(file, at_once=False)
    plain.commit()
    plain.check()
    for group in mb.groups.every:
        left = sum(space.length for space in group.preallocs)
        assert group.free == plain.free_at_first[group.number].count(0) - left


# -- rule by rule ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block_size", "size_bytes", "expected"),
    [
        (4096, 65 * KIB, (0, 32)),
        (4096, 1 * MIB, (0, 256)),
        (4096, 1 * MIB + 1, (512, 512)),
        (4096, 5 * MIB, (0, 1024)),
        (4096, 9 * MIB, (0, 2048)),
        (2048, 9 * MIB, (0, 2048)),
        (1024, 9 * MIB, (0, 2048)),
        (1024, 17 * KIB, (0, 32)),
    ],
)
def test_the_window_goes_by_the_size_of_the_file(
    block_size: int, size_bytes: int, expected: tuple[int, int]
) -> None:
    """To 1 MiB from the file's start; then 2, 4, 8 MiB aligned, at small block sizes not the larger ones."""
    geometry = MbGeometry(block_size, 1 << 20, 0, block_size * 8, False, 0, False)
    assert expected == window(geometry, 700, 10, size_bytes)


def test_small_files_share_a_space_and_large_ones_have_their_own() -> None:
    """To 16 blocks: one after the other from the CPU's 512. More: the window, and its rest stays."""
    mb, _ = volume([[(0, 64)]])
    assert [(65, 2), (67, 16)] == [
        (found.block, found.count)
        for found in (ask(mb, opened(2 * KIB, 12), 0, 2), ask(mb, opened(16 * KIB, 13), 0, 16))
    ]
    assert 512 - 18 == sum(space.free for space in mb.groups.every[0].preallocs)
    large = opened(20 * KIB, 14)
    found = ask(mb, large, 0, 20)
    assert (20, 12) == (found.count, large.preallocs[0].free)
    assert 1 == mb.counts.mb_new_inode_pa
    mb.discard_preallocations(large)
    assert not large.preallocs


def test_a_space_that_is_shorter_than_its_window_still_covers_the_request() -> None:
    """In a window of 32 blocks: at its end, at its start, or from the request on, whichever covers it."""
    runs = [(0, 128), (144, PER_GROUP - 144)]  # 16 blocks are free
    for logical, length, lstart in ((18, 2, 16), (1, 2, 0), (10, 10, 10)):
        mb, _ = volume([runs])
        file = opened(20 * KIB)
        found = ask(mb, file, logical, length)
        assert (lstart, 16) == (file.preallocs[0].lstart, file.preallocs[0].length)
        assert 1 + 128 + logical - lstart == found.block


def test_a_hole_is_filled_from_the_blocks_before_its_right_neighbour() -> None:
    """Blocks 0 to 19 before a block 20: what lies before it on the disk is tried first."""
    mb, _ = volume([[(200, PER_GROUP - 200)]])
    request = AllocationRequest(opened(21 * KIB), 0, 20, 1, HINT_DATA, 0, 0, 20, 71)
    found = mb.new_blocks(request)
    assert (51, 20) == (found.block, found.count)
    left = AllocationRequest(opened(40 * KIB, 13), 5, 20, 1, HINT_DATA, 4, 75, 5, 0)
    assert 76 == mb.new_blocks(left).block


def test_rests_of_shared_spaces_do_not_pile_up() -> None:
    """Files of 15 blocks leave 2 of 512 each time; the ninth rest brings them down to five."""
    mb, _ = volume([[]])
    rests = mb._preallocations.localities[0].lists[1]
    most = 0
    for number in range(34 * 9):
        ask(mb, opened(15 * KIB, 12 + number), 0, 15)
        most = max(most, len(rests))
    assert (8, 5) == (most, len(rests))
    assert 2 == ask(mb, opened(2 * KIB), 0, 2).count
    assert 4 == len(rests), "a small file uses one up"


def test_a_closed_file_that_ends_with_the_request_gets_no_more() -> None:
    """Nobody will append to it: exactly what was asked, no preallocation."""
    mb, _ = volume([[]])
    closed = MbInode(12, 0)
    closed.size_bytes = 20 * KIB
    assert 20 == ask(mb, closed, 0, 20).count
    assert not closed.preallocs


def test_a_search_takes_the_smallest_run_that_suffices() -> None:
    """For 20 blocks a run of 31 is better than one of 32, and 5 are too few; for 50 the longer has to do."""
    mb, _ = volume([[(32, 1), (64, 1), (70, PER_GROUP - 70)]])
    found = ask(mb, opened(20 * KIB), 0, 20, flags=HINT_DATA | HINT_NOPREALLOC)
    assert (1 + 33, 20) == (found.block, found.count)
    mb, _ = volume([[(32, 1), (64, PER_GROUP - 64)]])
    found = ask(mb, opened(50 * KIB), 0, 50, flags=HINT_DATA | HINT_NOPREALLOC)
    assert (1, 32) == (found.block, found.count)


PIECES = [(at, 4) for at in range(0, PER_GROUP, 8)]
"""What is in use where half of a group is free, in runs of 4 blocks."""


def test_groups_that_are_not_loaded_are_left_out_at_first() -> None:
    """Group 0, its flex group's first, has enough in pieces: the empty groups 2 and 3 stay unseen."""
    mb, source = volume([PIECES, PIECES, [], []], log_flex=2)
    found = ask(mb, opened(64 * KIB), 0, 64)
    assert (0, 4) == (found.group, found.count)
    asked = [(read.group, read.ahead) for read in found.reads if not read.waited]
    assert [(0, True), (1, True), (2, True), (3, True)] == asked
    assert [0, 1] == [read.group for read in found.reads if read.waited]
    assert [0, 1, 2, 3] == source.asked, "read ahead, though nothing came of it"
    assert [True, True, False, False] == [group.buddy is not None for group in mb.groups.every]
    assert not ask(mb, opened(64 * KIB, 13), 0, 64).reads
    mb.groups.load(mb.groups.every[2])
    found = ask(mb, opened(64 * KIB, 14), 0, 64)
    assert (2, 64) == (found.group, found.count)


def test_what_is_read_ahead_is_made_ready_once_something_was_found() -> None:
    """A search that ends under the criterion for which it read ahead makes buddies of all that it read."""
    mb, _ = volume([[], [], [], []], log_flex=2)
    assert 60 == ask(mb, opened(60 * KIB), 0, 60, flags=HINT_DATA | HINT_NOPREALLOC).count
    assert all(group.buddy is not None for group in mb.groups.every)
    assert 2 == mb.counts.mb_init_cache, "two groups share a page"


def test_blocks_freed_in_a_transaction_wait_for_its_commit() -> None:
    """A crash must not find them with other data and the old owner."""
    mb, _ = volume([[(0, PER_GROUP - 8)]])
    file = opened(8 * KIB)
    first = ask(mb, file, 0, 8)
    mb.free_blocks(first.block, 8, tid=7)
    with pytest.raises(NoSpaceError):
        ask(mb, opened(KIB, 13), 0, 1)
    assert 0 == mb.committed(6)
    assert 8 == mb.committed(7)
    assert first.block == ask(mb, opened(KIB, 13), 0, 1).block
    with pytest.raises(InvariantError, match="freed twice"):
        mb.free_blocks(first.block + 4, 1)


def test_preallocations_are_given_back_before_a_request_fails() -> None:
    """All that is free is preallocated for one file; another still gets a block."""
    mb, _ = volume([[(0, PER_GROUP - 32)]])
    ask(mb, opened(20 * KIB), 0, 20)
    assert 0 == mb.groups.every[0].free
    assert 1 == ask(mb, opened(KIB, 13), 0, 1).count
    assert 1 == mb.counts.mb_discard_group_preallocations


def test_promises_count() -> None:
    """Delayed blocks are as good as gone for everybody else; the reserve is for those who may use it."""
    mb, _ = volume([[(0, PER_GROUP - 11)]])
    assert mb.claim(6)
    assert not mb.has_free(6)
    found = ask(mb, opened(20 * KIB), 0, 8, flags=HINT_DATA | HINT_NOPREALLOC)
    assert 4 == found.count, "half of what was asked, though there would be 5"
    mb.release_claim(6)
    with pytest.raises(InvariantError, match="1 promised blocks are taken back, of 0"):
        mb.release_claim(1)


def test_lists_of_groups_are_kept_from_sixteen_groups_on() -> None:
    """An empty group far away is found by its largest chunk, none between is looked at (mb_optimize_scan)."""
    used: list[list[tuple[int, int]]] = [PIECES for _ in range(18)]
    used[15] = []
    mb, _ = volume(used)
    for group in mb.groups.every:
        mb.groups.load(group)
    before = mb.counts.mb_good_group
    found = ask(mb, opened(64 * KIB), 0, 64)
    assert 15 == found.group
    assert 4 == mb.counts.mb_good_group - before, "group 0; group 15 in its list, before and under the lock"
    rotating, _ = volume(used, rotational=True)
    for group in rotating.groups.every:
        rotating.groups.load(group)
    before = rotating.counts.mb_good_group
    assert 15 == ask(rotating, opened(64 * KIB), 0, 64).group
    assert 4 + 4 == rotating.counts.mb_good_group - before, "a disk that turns: groups 0 to 4 in turn, first"


def test_a_bitmap_that_contradicts_its_descriptor_is_refused() -> None:
    """The kernel would leave the group out; here the image is at fault, and says so."""
    mb, _ = volume([[(0, 10)]])
    mb.groups.every[0].free = 5
    with pytest.raises(ImageError, match="group 0: 8182 blocks are free by its bitmap, 5 by its descriptor"):
        ask(mb, opened(KIB), 0, 1)


def test_goals() -> None:
    """Beside the nearest extent; else the leaf; else the flex group's second group, coloured by pid."""
    geometry = MbGeometry(4096, 40960, 0, 32768, True, 4, False)
    file, directory = MbInode(42, 1), MbInode(43, 1, regular=False)
    assert 32768 == inode_to_goal_block(geometry, file, True, 5)
    assert 32768 + 5 * (8191 // 16) == inode_to_goal_block(geometry, file, False, 21)
    assert 5 * 2048 == inode_to_goal_block(geometry, directory, False, 21)
    assert 1020 == ext_find_goal(geometry, file, 25, (5, 1000), 0, True, 0)
    assert 995 == ext_find_goal(geometry, file, 0, (5, 1000), 0, True, 0)
    assert 77 == ext_find_goal(geometry, file, 3, None, 77, True, 0)
    assert (76, HINT_TRY_GOAL) == ext_grow_goal(geometry, file, 77, True, 0)
    assert (32768, 0) == ext_grow_goal(geometry, file, 0, True, 0)
