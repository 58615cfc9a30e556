"""
Looking for free blocks: the goal first, then the groups, under criteria that ask less each time.

0: a group with a chunk that is large enough (the request is a power of two). 1: one whose mean free run is.
2: one that has as many blocks free, in whatever pieces. 3: any.
"""

from __future__ import annotations

from typing import Final

from sim.errors import InvariantError
from sim.fs.mballoc.buddy import FREE, Buddy
from sim.fs.mballoc.geometry import FLEX_SIZE_DIR_ALLOC_SCHEME
from sim.fs.mballoc.groups import Group, Groups
from sim.fs.mballoc.prealloc import Preallocations
from sim.fs.mballoc.request import (
    BREAK,
    CONTINUE,
    FOUND,
    HINT_DATA,
    HINT_FIRST,
    HINT_GOAL_ONLY,
    HINT_MERGE,
    HINT_TRY_GOAL,
    STREAM_ALLOC,
    AllocationContext,
)

LAST_CRITERION: Final = 3


class Search:
    """
    The searches of a file system.

    last_group, last_start: where the last stream allocation was found; the next begins there.
    """

    def __init__(self, groups: Groups, preallocations: Preallocations) -> None:
        """Streams begin in group 0."""
        self._groups = groups
        self._geometry = groups.geometry
        self._tunables = groups.tunables
        self._counts = groups.counts
        self._preallocations = preallocations
        self.last_group = 0
        self.last_start = 0

    def run(self, ac: AllocationContext) -> None:
        """Find blocks for a request, or leave its status at what it is (ext4_mb_regular_allocator)."""
        self._counts.mb_regular_allocator += 1
        self._find_by_goal(ac)
        if ac.status == FOUND or ac.flags & HINT_GOAL_ONLY:
            return
        bits = ac.g_len.bit_length()
        power = ac.g_len == 1 << (bits - 1)
        ac.order = 0
        if power and self._tunables.order2_reqs <= bits <= self._geometry.orders:
            ac.order = bits - 1
        if ac.flags & STREAM_ALLOC:
            ac.g_group = self.last_group
            ac.g_start = self.last_start
        ahead = _Ahead()
        ac.criteria = 0 if ac.order else 1
        while ac.criteria <= LAST_CRITERION and ac.status == CONTINUE:
            self._by_groups(ac, ahead)
            ac.criteria += 1
        if ac.b_len > 0 and ac.status != FOUND and not ac.flags & HINT_FIRST:
            self._try_best_found(ac)
        if ahead.count:
            self._groups.prefetch_fini(ahead.group, ahead.count)

    def _by_groups(self, ac: AllocationContext, ahead: _Ahead) -> None:
        """Go through the groups under the criterion of `ac`, until the lists or all groups are exhausted."""
        number = ac.g_group
        ac.linear_left = self._tunables.max_linear_groups
        ahead.group = number
        for _ in range(self._geometry.groups):
            if ahead.group == number:
                self._read_ahead(ac.criteria, number, ahead)
            self._look_into(ac, self._groups.every[number])
            if ac.status != CONTINUE:
                return
            number = self._next_group(ac, number)
            if number < 0:
                return

    def _look_into(self, ac: AllocationContext, group: Group) -> None:
        """Scan a group, if it is worth it."""
        if not self._good_group_unlocked(ac, group, ac.criteria):
            return
        buddy = self._groups.load(group)
        if not self._good_group(ac, group, ac.criteria):
            return
        if ac.criteria == 0:
            self._simple_scan(ac, group, buddy)
        else:
            self._complex_scan(ac, group, buddy)

    # -- which group ---------------------------------------------------------------------------------

    def _next_group(self, ac: AllocationContext, number: int) -> int:
        """Return the group to look at next, -1 if none is worth it (ext4_mb_choose_next_group)."""
        following = number + 1 if number + 1 < self._geometry.groups else 0
        if not self._tunables.optimize_scan or ac.criteria >= 2:
            return following
        if ac.linear_left:
            ac.linear_left -= 1
            return following
        if ac.criteria == 0:
            return self._listed(ac, self._groups.by_largest, ac.order)
        return self._listed(ac, self._groups.by_mean, self._groups.mean_order(ac.g_len))

    def _listed(self, ac: AllocationContext, lists: list[dict[int, None]], order: int) -> int:
        """Return the first good group in the lists from an order on, -1 if there is none."""
        for numbers in lists[order:]:
            for number in numbers:
                if self._good_group(ac, self._groups.every[number], ac.criteria):
                    return number
        return -1

    def _read_ahead(self, criterion: int, number: int, ahead: _Ahead) -> None:
        """Have the bitmaps of the rest of a flex group read; at criteria 0 and 1 only so many."""
        if criterion <= 1 and ahead.ios >= self._tunables.prefetch_limit:
            return
        count = self._tunables.prefetch
        if self._geometry.flex_bg:
            count = min(self._geometry.flex_size - number % self._geometry.flex_size, count)
        before = ahead.ios
        ahead.group, ahead.ios = self._groups.prefetch(number, count, ahead.ios)
        ahead.count = count if ahead.ios != before else 0

    def _good_group_unlocked(self, ac: AllocationContext, group: Group, criterion: int) -> bool:
        """Return whether to look at a group; may load it to know (ext4_mb_good_group_nolock)."""
        if group.free == 0 or (criterion <= 2 and group.free < ac.g_len):
            return False
        if group.buddy is None:
            first_of_flex = self._geometry.flex_size > 1 and group.number % self._geometry.flex_size == 0
            uninit = self._geometry.descriptor_checksums and group.uninit
            if criterion < 2 and not first_of_flex and not uninit:
                return False
            self._groups.init_group(group)
        return self._good_group(ac, group, criterion)

    def _good_group(self, ac: AllocationContext, group: Group, criterion: int) -> bool:
        """Return whether a group promises what a criterion asks (ext4_mb_good_group)."""
        self._counts.mb_good_group += 1
        if group.free == 0 or group.fragments == 0:
            return False
        if criterion == 0:
            flex_size = self._geometry.flex_size
            for_directories = flex_size >= FLEX_SIZE_DIR_ALLOC_SCHEME and group.number % flex_size == 0
            if ac.flags & HINT_DATA and for_directories:
                return False
            return group.free >= ac.g_len and group.largest_order >= ac.order
        if criterion == 1:
            return group.free // group.fragments >= ac.g_len
        return criterion == LAST_CRITERION or group.free >= ac.g_len

    # -- in a group ----------------------------------------------------------------------------------

    def _find_by_goal(self, ac: AllocationContext) -> None:
        """Take what lies at the goal, if all of it is free (ext4_mb_find_by_goal)."""
        self._counts.mb_find_by_goal += 1
        group = self._groups.every[ac.g_group]
        if not ac.flags & (HINT_TRY_GOAL | HINT_GOAL_ONLY) or group.free == 0:
            return
        buddy = self._groups.load(group)
        length = self._find_extent(buddy, ac.g_start, ac.g_len)
        if length >= ac.g_len or (length > 0 and ac.flags & HINT_MERGE):
            ac.found += 1
            self._use(ac, group, buddy, ac.g_start, length)

    def _find_extent(self, buddy: Buddy, start: int, needed: int) -> int:
        self._counts.mb_find_extent += 1
        return buddy.find_extent(start, needed)

    def _simple_scan(self, ac: AllocationContext, group: Group, buddy: Buddy) -> None:
        """Take the first chunk of the smallest order that suffices (ext4_mb_simple_scan_group)."""
        self._counts.mb_simple_scan_group += 1
        order = ac.order
        while order < self._geometry.orders and not buddy.counters[order]:
            order += 1
        if order < self._geometry.orders:
            ac.found += 1
            self._use(ac, group, buddy, buddy.first_chunk(order), 1 << order)

    def _complex_scan(self, ac: AllocationContext, group: Group, buddy: Buddy) -> None:
        """Measure each free run of a group until one is good enough (ext4_mb_complex_scan_group)."""
        self._counts.mb_complex_scan_group += 1
        left = buddy.free
        at = buddy.first_free
        bits = buddy.maps[0]
        while left and ac.status == CONTINUE:
            at = bits.find(FREE, at, buddy.blocks)
            if at < 0:
                raise InvariantError(f"group {group.number} has {left} free blocks less than it counts")
            length = self._find_extent(buddy, at, ac.g_len)
            self._measure(ac, group, buddy, at, length)
            at += length
            left -= length
        self._check_limits(ac, group, buddy, finished=True)

    def _measure(self, ac: AllocationContext, group: Group, buddy: Buddy, start: int, length: int) -> None:
        """Take a run that is just right, or remember it if it is the best so far (ext4_mb_measure_extent)."""
        ac.found += 1
        if ac.flags & HINT_FIRST or length == ac.g_len:
            self._use(ac, group, buddy, start, length)
            return
        if ac.b_len == 0:
            self._remember(ac, group, start, length)
            return
        enough = ac.b_len >= ac.g_len  # then a smaller one that is enough is better, else any that is larger
        if ac.g_len < length < ac.b_len if enough else length > ac.b_len:
            self._remember(ac, group, start, length)
        self._check_limits(ac, group, buddy, finished=False)

    def _remember(self, ac: AllocationContext, group: Group, start: int, length: int) -> None:
        ac.b_group = group.number
        ac.b_start = start
        ac.b_len = length

    def _check_limits(self, ac: AllocationContext, group: Group, buddy: Buddy, finished: bool) -> None:
        """Stop if enough was measured (ext4_mb_check_limits)."""
        if ac.status == FOUND:
            return
        if ac.found > self._tunables.max_to_scan and not ac.flags & HINT_FIRST:
            ac.status = BREAK
            return
        if ac.b_len < ac.g_len or ac.b_group != group.number:
            return
        if finished or ac.found > self._tunables.min_to_scan:
            length = self._find_extent(buddy, ac.b_start, ac.g_len)
            if length >= ac.g_len:
                self._use(ac, group, buddy, ac.b_start, ac.b_len)

    def _try_best_found(self, ac: AllocationContext) -> None:
        """Take the best that was found (ext4_mb_try_best_found)."""
        group = self._groups.every[ac.b_group]
        buddy = self._groups.load(group)
        length = self._find_extent(buddy, ac.b_start, ac.b_len)
        if length <= 0:
            raise InvariantError(f"the best {ac.b_len} blocks found in group {group.number} are gone")
        self._use(ac, group, buddy, ac.b_start, length)

    def _use(self, ac: AllocationContext, group: Group, buddy: Buddy, start: int, length: int) -> None:
        """Take a run, no more of it than was looked for (ext4_mb_use_best_found)."""
        self._counts.mb_use_best_found += 1
        ac.b_group = group.number
        ac.b_start = start
        ac.b_len = min(length, ac.g_len)
        ac.b_logical = ac.g_logical
        self._groups.mark_used(group, buddy, start, ac.b_len)
        ac.status = FOUND
        if ac.flags & STREAM_ALLOC:
            self.last_group = group.number
            self.last_start = start
        if ac.o_len < ac.b_len:
            self._preallocations.make(ac)


class _Ahead:
    """What a search has read ahead: up to which group, how many groups, how many reads in all."""

    def __init__(self) -> None:
        self.group = 0
        self.count = 0
        self.ios = 0
