"""
The maps of files that are read while they are written: where they have changed they are taken anew, before a
read path looks.

A kernel's reader and writer have one extent tree and one status tree. Here a reader has a map that does not
change; of a changed one all is in the status tree.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sim.cache.address_space import OpenFile, PageRange, ReadPath
from sim.engine.cpu import Task
from sim.fs.fs_inode import FsInode
from sim.fs.live_inode import LiveInode
from sim.fs.mapper import InodeMap


class LiveMaps(ReadPath):
    """A read path over another (ReadPath), for files of which some are written."""

    def __init__(self, below: ReadPath) -> None:
        self._below = below
        self._written: dict[int, tuple[FsInode, LiveInode]] = {}

    def add(self, inode: FsInode, live: LiveInode) -> None:
        """A file is written as `live`."""
        self._written[id(inode)] = inode, live

    def read_pages(self, task: Task, file: OpenFile, ranges: list[PageRange]) -> Iterable[Any]:
        """Read pages of a file as it is now (ReadPath)."""
        self._look(file.inode)
        return self._below.read_pages(task, file, ranges)

    def read_folio(self, task: Task, file: OpenFile, page: int) -> Iterable[Any]:
        """Read one page of a file as it is now (ReadPath)."""
        self._look(file.inode)
        return self._below.read_folio(task, file, page)

    def _look(self, inode: FsInode) -> None:
        """Take the map of a file anew, if it has changed."""
        if not self._written:
            return
        found = self._written.get(id(inode))
        if found is not None and found[1].changed:
            found[1].changed = False
            inode.map = InodeMap(found[1].tree.snapshot())
            inode.map.status.fill()
