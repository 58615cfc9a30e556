"""
Where new blocks go: what the mapping asks for, and the protocol of who answers (ext4_mb_new_blocks()).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from sim.engine.cpu import Task
from sim.fs.live_inode import LiveInode
from sim.fs.live_tree import Path


class Allocator:
    """Gives blocks; the null one has none to give."""

    def new_blocks(
        self,
        task: Task,
        inode: LiveInode,
        path: Path,
        lblk: int,
        length: int,
        reserved: bool,
        normalise: bool,
    ) -> Generator[Any, Any, tuple[int, int]]:
        """
        Return (first block, how many) for up to `length` blocks from `lblk` on.

        path: to `lblk` in the tree. reserved: they are delayed blocks, and accounted for. normalise: more may
        be preallocated around them.
        """
        raise NotImplementedError

    def new_tree_block(self, task: Task, inode: LiveInode, goal: int) -> Generator[Any, Any, int]:
        """Return a block for a node of an inode's tree."""
        raise NotImplementedError

    def free_tree_block(self, task: Task, inode: LiveInode, block: int) -> None:
        """Take a node's block back."""
        raise NotImplementedError
