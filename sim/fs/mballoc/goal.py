"""
Where the next block of a file should lie.
"""

from __future__ import annotations

from typing import Final

from sim.fs.mballoc.geometry import FLEX_SIZE_DIR_ALLOC_SCHEME, MbGeometry
from sim.fs.mballoc.request import HINT_TRY_GOAL, MbInode

_COLOURS: Final = 16
"""Processes are spread over so many places of a group (ext4_inode_to_goal_block)."""


def inode_to_goal_block(geometry: MbGeometry, inode: MbInode, delalloc: bool, pid: int) -> int:
    """
    Return the block where a file without blocks begins (ext4_inode_to_goal_block).

    The start of the inode's group; with flex groups of 4 and more, that of the flex group for directories,
    of the group behind it for regular files. Without delayed allocation `pid % 16` sixteenths of a group on.
    """
    group = inode.group
    if geometry.flex_size >= FLEX_SIZE_DIR_ALLOC_SCHEME:
        group -= group % geometry.flex_size
        if inode.regular:
            group += 1
    start = geometry.first_of(group)
    if delalloc:
        return start
    last = geometry.blocks - 1
    span = geometry.blocks_per_group
    if start + span > last:
        span = last - start
    return start + pid % _COLOURS * (span // _COLOURS)


def ext_grow_goal(
    geometry: MbGeometry, inode: MbInode, first_child: int, delalloc: bool, pid: int
) -> tuple[int, int]:
    """
    Return the goal and the flags of the block that a tree of extents grows by (ext4_ext_grow_indepth).

    first_child: the block that the root's first index points at, 0 if its extents are in the inode.
    """
    if first_child > geometry.first_data_block:
        return first_child - 1, HINT_TRY_GOAL
    return inode_to_goal_block(geometry, inode, delalloc, pid), 0


def ext_find_goal(
    geometry: MbGeometry,
    inode: MbInode,
    logical: int,
    near: tuple[int, int] | None,
    leaf_block: int,
    delalloc: bool,
    pid: int,
) -> int:
    """
    Return the goal for a block of a file (ext4_ext_find_goal).

    near: (first logical, first physical) of the extent that the tree's path ends at, the nearest one before
    the block, or the first if there is none before. leaf_block: where the leaf lies, 0 if the extents are in
    the inode.
    """
    if near is not None:
        return near[1] + logical - near[0]
    if leaf_block:
        return leaf_block
    return inode_to_goal_block(geometry, inode, delalloc, pid)
