"""
The data of inodes, as a journal's commits see it: what must be written before, what the log has itself.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from mypy_extensions import mypyc_attr

from sim.engine.cpu import Task
from sim.errors import InvariantError
from sim.fs.live_inode import LiveInode


@mypyc_attr(allow_interpreted_subclasses=True)
class OrderedData:
    """The data of inodes, as a commit sees it."""

    def submit(self, task: Task, number: int) -> Generator[Any, Any, None]:
        """Write out an inode's dirty pages whose blocks exist."""
        raise NotImplementedError

    def wait(self, task: Task, number: int) -> Generator[Any, Any, None]:
        """Wait for an inode's pages under write-back."""
        raise NotImplementedError

    def journalled(self, inode: LiveInode, lblk: int, block: int, count: int = 1) -> None:
        """`count` blocks of a file's data, from logical block `lblk` on, belong to the journal."""
        del count
        what = f"block {block}, {lblk} of inode {inode.number},"
        raise InvariantError(f"{what} is journalled where no data is")

    def committed(self, task: Task, tid: int) -> None:
        """A transaction is committed: what it freed may be used again."""
        del task, tid

    def is_dirty(self, block: int) -> bool:
        """Tell whether a committed block of a file's data is still to be written in place."""
        del block
        return False

    def clean(self, blocks: Sequence[int]) -> None:
        """A checkpoint writes those of these that are such blocks."""
        del blocks

    def refiled(self, task: Task, blocks: list[int]) -> list[int]:
        """
        Blocks are committed: those of a file's data are dirty in their pages from now on. Return the others.
        """
        del task
        return blocks
