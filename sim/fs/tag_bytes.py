"""
The bytes of the checksums of files that are written: who logs them says when they are to be as the data is.
"""

from __future__ import annotations

from collections.abc import Mapping

from mypy_extensions import mypyc_attr

from sim.fs.file_tags import Run
from sim.fs.live_inode import LiveInode

Piece = tuple[int, int, int]
"""Blocks of a file: the first, where it lies on the device, how many in a row."""


@mypyc_attr(allow_interpreted_subclasses=True)
class TagBytes:
    """The checksums of a mounted volume's files, as they are in memory."""

    def pieces_written(self, inode: LiveInode, pieces: list[Piece]) -> None:
        """The table's checksums of these blocks are of what lies there, or is on its way there."""
        raise NotImplementedError

    def old_read(self, inode: LiveInode, runs: list[Run]) -> None:
        """Blocks that are to be written over have been read."""
        raise NotImplementedError

    def runs_written(self, inode: LiveInode, runs: list[Run], derived: list[Run]) -> None:
        """
        The list's checksums of these runs, or of all pieces of runs that are cut, are of what lies there.

        derived: pieces whose checksums follow from those of their runs, and of what was read before.
        """
        raise NotImplementedError

    def block(self, block: int) -> bytes | None:
        """Return what a block of the device with checksums holds; None for another, or one as it was."""
        raise NotImplementedError

    def inodes(self) -> Mapping[int, bytes]:
        """Return inodes that have changed because lists lie in them, by number: ea_inodes."""
        raise NotImplementedError

    def inode_copied(self, number: int, raw: bytearray) -> None:
        """Put what an inode has of checksums into its bytes."""
        raise NotImplementedError
