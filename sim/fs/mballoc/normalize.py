"""
How much is looked for in place of what was asked (ext4_mb_normalize_request): what the file may grow to.
"""

from __future__ import annotations

from typing import Final

from sim.errors import InvariantError
from sim.fs.mballoc.geometry import MbGeometry, MbTunables
from sim.fs.mballoc.request import (
    HINT_DATA,
    HINT_GOAL_ONLY,
    HINT_GROUP_ALLOC,
    HINT_NOPREALLOC,
    HINT_TRY_GOAL,
    AllocationContext,
    AllocationRequest,
)
from sim.units import KIB, MIB

_SMALL: Final = [KIB << shift for shift in range(4, 11)]
"""16 KiB to 1 MiB: a file that ends within is looked for whole, in a chunk of that size."""
_MOST_BLOCKS: Final = (1 << 32) - 1
"""EXT_MAX_BLOCKS: a file has fewer."""


def window(geometry: MbGeometry, logical: int, length: int, size_bytes: int) -> tuple[int, int]:
    """
    Return the first block and the number of blocks that are looked for, before neighbours cut them.

    size_bytes: of the file, once the request is allocated. From 1 MiB on the window is aligned to its size,
    2, 4 or 8 MiB; a small block size keeps to the smaller ones, for want of larger buddies.
    """
    bits = geometry.block_bits
    largest = 2 << bits
    for chunk in _SMALL:
        if size_bytes <= chunk:
            return 0, chunk >> bits
    if size_bytes <= 4 * MIB or largest <= 2 * KIB:
        return _aligned(logical, 2 * MIB, bits)
    if size_bytes <= 8 * MIB or largest <= 4 * KIB:
        return _aligned(logical, 4 * MIB, bits)
    if length <= (8 * MIB) >> bits or largest <= 8 * KIB:
        return _aligned(logical, 8 * MIB, bits)
    return logical, length


def _aligned(logical: int, size_bytes: int, bits: int) -> tuple[int, int]:
    blocks = size_bytes >> bits
    return logical // blocks * blocks, blocks


def normalize(
    geometry: MbGeometry, tunables: MbTunables, ac: AllocationContext, request: AllocationRequest
) -> None:
    """Set what is looked for, and where, if a neighbour is to be continued."""
    if not ac.flags & HINT_DATA or ac.flags & (HINT_GOAL_ONLY | HINT_NOPREALLOC):
        return
    if ac.flags & HINT_GROUP_ALLOC:
        ac.g_len = tunables.group_prealloc
        return
    size_bytes = max((ac.o_logical + ac.o_len) << geometry.block_bits, ac.inode.size_bytes)
    start, size = window(geometry, ac.o_logical, ac.o_len, size_bytes)
    per_group = geometry.blocks_per_group
    start = max(start, ac.o_logical // per_group * per_group)
    size = min(size, _MOST_BLOCKS - start)
    if request.pleft and start <= request.lleft:
        size -= request.lleft + 1 - start
        start = request.lleft + 1
    if request.pright and start + size - 1 >= request.lright:
        size -= start + size - request.lright
    size = min(size, per_group)
    start, size = _beside_preallocations(ac, start, start + size)
    if start > ac.o_logical or start + size <= ac.o_logical or size <= 0 or size > per_group:
        raise InvariantError(f"block {ac.o_logical} is to be allocated, and {start}+{size} is looked for")
    ac.g_logical = start
    ac.g_len = size
    _continue_neighbour(geometry, ac, request)


def _beside_preallocations(ac: AllocationContext, start: int, end: int) -> tuple[int, int]:
    """Return the window's start and size without what is preallocated already."""
    for space in ac.inode.preallocs:
        space_end = space.lstart + space.length
        if space.lstart <= ac.o_logical < space_end:
            raise InvariantError(f"block {ac.o_logical} of inode {ac.inode.number} is preallocated")
        if space.lstart >= end or space_end <= start:
            continue
        if space_end <= ac.o_logical:
            start = space_end
        else:
            end = space.lstart
    return start, end - start


def _continue_neighbour(geometry: MbGeometry, ac: AllocationContext, request: AllocationRequest) -> None:
    """Make the block beside the file's right or left neighbour the goal, the left one first."""
    goal = -1
    before_right = request.pright - ac.g_len
    if (
        request.pright
        and request.lright == ac.g_logical + ac.g_len
        and before_right >= geometry.first_data_block
    ):
        goal = before_right
    behind_left = request.pleft + 1
    if request.pleft and request.lleft + 1 == ac.g_logical and behind_left < geometry.blocks:
        goal = behind_left
    if goal >= 0:
        ac.flags |= HINT_TRY_GOAL
        ac.g_group = geometry.group_of(goal)
        ac.g_start = geometry.offset_of(goal)
