"""
A directory of one block, as names are put into it and taken out.
"""

from __future__ import annotations

from typing import Final, final

from sim.ext4.format import dirs
from sim.ext4.format.inode import DIRENT_TYPES, TYPE_REGULAR
from sim.fs.ialloc import Parent
from sim.fs.live_inode import LiveInode

ENTRY_BYTES: Final = 8
"""Bytes of an entry beside its name."""


@final
class Directory:
    """
    A directory of one block. inode: with its map. parent: what ialloc knows of it. room: bytes left, looked
    at where the block's bytes are not known. raw: these, its checksum of before; typed: entries have a type.
    """

    def __init__(
        self, inode: LiveInode, parent: Parent, block: int, room: int, raw: bytes = b"", typed: bool = True
    ) -> None:
        """Known and open."""
        self.inode = inode
        self.parent = parent
        self.block = block
        self.room = room
        self.raw = bytearray(raw)
        self._kind = DIRENT_TYPES[TYPE_REGULAR] if typed else 0

    def add(self, name: str, inode: int) -> bool:
        """Put the name of a file in; return whether there was room."""
        if self.raw:
            return dirs.add_entry(self.raw, dirs.DirEntry(inode, name.encode(), self._kind))
        self.room -= _bytes_of(name)
        return self.room >= 0

    def drop(self, name: str) -> None:
        """Take a name out."""
        if self.raw:
            dirs.drop_entry(self.raw, name.encode())
        else:
            self.room += _bytes_of(name)


def _bytes_of(name: str) -> int:
    """Return how long the entry of a name is."""
    return ENTRY_BYTES + -(-len(name.encode()) // 4) * 4
