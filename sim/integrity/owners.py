"""
Whose the blocks of an image are, for whoever has found a bad one: path, inode, logical block.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from sim.ext4.read.reader import Image


class Owner(NamedTuple):
    """A block of a file: its path, inode and logical block; of no file: what it is, 0, 0."""

    path: str
    inode: int
    logical: int


NOBODY = Owner("-", 0, 0)


class Owners:
    """The owners of an image's blocks. Of blocks that files share, the first file in the walk has them."""

    def __init__(self, image: Image) -> None:
        runs: dict[int, tuple[int, str, int, int]] = {}
        seen = set[int]()
        for path, inode in image.walk():
            if inode.number in seen or not inode.has_contents:
                continue
            seen.add(inode.number)
            for logical, physical, length, _unwritten in inode.tree.extents:
                runs.setdefault(physical, (length, path, inode.number, logical))
        self._starts = sorted(runs)
        self._runs = [runs[start] for start in self._starts]

    def of(self, physical: int) -> Owner:
        """Return the owner of a block; trees, directories' roots, tables and free blocks are nobody's."""
        index = bisect_right(self._starts, physical) - 1
        if index >= 0:
            length, path, inode, logical = self._runs[index]
            inside = physical - self._starts[index]
            if inside < length:
                return Owner(path, inode, logical + inside)
        return NOBODY
