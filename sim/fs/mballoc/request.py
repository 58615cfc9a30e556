"""
What an allocation is asked with, what it is while it is looked for, and what it gives.
"""

from __future__ import annotations

from typing import Final, final

HINT_MERGE: Final = 0x0001
HINT_FIRST: Final = 0x0008
HINT_DATA: Final = 0x0020
"""Data of a regular file: normalised, and may be preallocated."""
HINT_NOPREALLOC: Final = 0x0040
HINT_GROUP_ALLOC: Final = 0x0080
HINT_GOAL_ONLY: Final = 0x0100
HINT_TRY_GOAL: Final = 0x0200
DELALLOC_RESERVED: Final = 0x0400
"""The blocks were reserved when they were written: the free ones need not be counted."""
STREAM_ALLOC: Final = 0x0800
USE_ROOT_BLOCKS: Final = 0x1000
USE_RESERVED: Final = 0x2000
STRICT_CHECK: Final = 0x4000
"""These are EXT4_MB_* of fs/ext4/ext4.h, with its values."""

CONTINUE: Final = 1
FOUND: Final = 2
BREAK: Final = 3
"""AC_STATUS_* of fs/ext4/mballoc.h."""

LOCALITY_LISTS: Final = 10
"""PREALLOC_TB_SIZE of fs/ext4/mballoc.h."""


@final
class PreallocSpace:
    """
    Blocks that are taken in the buddy and not in the bitmap (struct ext4_prealloc_space).

    pstart, length, free: the first block, how many, how many of them are still to be given out. lstart: which
    block of the inode pstart is (of an inode's). inode: its owner, None for a locality group's. group: where
    it is listed.
    """

    def __init__(self, pstart: int, lstart: int, length: int, group: int, inode: MbInode | None) -> None:
        """All of it is still to be given out."""
        self.pstart = pstart
        self.lstart = lstart
        self.length = length
        self.free = length
        self.group = group
        self.inode = inode
        self.in_use = False
        """Taken by the allocation under way (pa_count): not to be discarded."""


@final
class MbInode:
    """
    What the allocator knows of an inode.

    group: the inode's. size_bytes: i_size. open_writers: i_writecount. regular: a regular file, which alone
    has preallocations. preallocs: them, the one used last first.
    """

    def __init__(self, number: int, group: int, regular: bool = True) -> None:
        """Nothing is in it, nobody has it open."""
        self.number = number
        self.group = group
        self.regular = regular
        self.size_bytes = 0
        self.open_writers = 0
        self.preallocs: list[PreallocSpace] = []


@final
class LocalityGroup:
    """The preallocations that a CPU's small files share, in lists by the order of what is free in them."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.lists: list[list[PreallocSpace]] = [[] for _ in range(LOCALITY_LISTS)]


@final
class AllocationRequest:
    """
    Blocks that are asked for (struct ext4_allocation_request).

    logical, length: which of the inode's blocks. goal: the block where they had better lie. lleft, pleft: the
    allocated block of the file before them, logical and physical; lright, pright: the first behind; the
    physical one is 0 if there is none. flags: HINT_DATA for a regular file's data, and so on. cpu: that asks.
    """

    def __init__(
        self,
        inode: MbInode,
        logical: int,
        length: int,
        goal: int,
        flags: int,
        lleft: int = 0,
        pleft: int = 0,
        lright: int = 0,
        pright: int = 0,
        cpu: int = 0,
    ) -> None:
        """All in blocks."""
        self.inode = inode
        self.logical = logical
        self.length = length
        self.goal = goal
        self.flags = flags
        self.lleft = lleft
        self.pleft = pleft
        self.lright = lright
        self.pright = pright
        self.cpu = cpu


@final
class BitmapRead:
    """
    A bitmap block to be read: REQ_META | REQ_PRIO, and REQ_RAHEAD if nobody waits for it at once.

    waited: no read, but a wait for one that was submitted before.
    """

    def __init__(self, group: int, block: int, ahead: bool, waited: bool = False) -> None:
        """The block of a group's block bitmap."""
        self.group = group
        self.block = block
        self.ahead = ahead
        self.waited = waited


@final
class Allocation:
    """
    What was found: `count` blocks from `block`, all in `group`, whose bitmap and descriptor have changed.

    reads: the bitmap blocks that were read and waited for, in order.
    """

    def __init__(self, block: int, count: int, group: int, reads: list[BitmapRead]) -> None:
        """As found."""
        self.block = block
        self.count = count
        self.group = group
        self.reads = reads


@final
class AllocationContext:
    """
    An allocation while it is looked for (struct ext4_allocation_context).

    o_: what was asked; g_: what is looked for; b_: the best so far. group, start (in the group), len, and
    logical, the block of the inode.
    """

    def __init__(self, request: AllocationRequest, length: int, group: int, start: int) -> None:
        """Look for what is asked, at its goal."""
        self.inode = request.inode
        self.flags = request.flags
        self.o_logical = request.logical
        self.o_len = length
        self.g_logical = request.logical
        self.g_len = length
        self.g_group = group
        self.g_start = start
        self.b_logical = request.logical
        self.b_len = 0
        self.b_group = 0
        self.b_start = 0
        self.status = CONTINUE
        self.criteria = 0
        self.order = 0
        """If a power of two is looked for, of which order (ac_2order)."""
        self.found = 0
        self.linear_left = 0
        self.prealloc: PreallocSpace | None = None
        self.locality: LocalityGroup | None = None
