"""
The inodes in use, as the steps of a check hand them on.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sim.ext4.check.disk import Disk
from sim.ext4.check.maps import Mapped
from sim.ext4.check.xattrs import Found
from sim.ext4.format import inode as inodes


@dataclass
class Seen:
    """An inode in use, as the later steps need it."""

    raw: bytes
    node: inodes.RawInode
    mapped: Mapped = field(default_factory=Mapped)
    xattrs: Found = field(default_factory=Found)

    @property
    def is_directory(self) -> bool:
        """Whether this is a directory."""
        return self.node.type == inodes.TYPE_DIRECTORY

    @property
    def is_regular(self) -> bool:
        """Whether this is a regular file."""
        return self.node.type == inodes.TYPE_REGULAR

    def block(self, disk: Disk, logical: int) -> bytes | memoryview | None:
        """Return a block of the contents; None for a hole."""
        physical = self.mapped.physical(logical)
        return None if physical is None else disk.block(physical)


@dataclass
class Tables:
    """All inodes in use, by number; skipped: numbers that lie in parts of tables never written."""

    used: dict[int, Seen] = field(default_factory=dict)
    skipped: list[range] = field(default_factory=list)

    def was_skipped(self, number: int) -> bool:
        """Return whether an inode lies in a part of its table that the descriptor says is not in use."""
        return any(number in part for part in self.skipped)
