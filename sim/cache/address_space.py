"""
What the read loop asks of a file system (struct address_space_operations), and what it knows of an open file.

`ReadPath` is the side that the designs differ in: one file each in sim/paths/designs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mypy_extensions import mypyc_attr

from sim.cache.pages import Mapping
from sim.cache.readahead import RaState
from sim.engine.cpu import Task

PageRange = tuple[int, int]
"""Pages [start, end)."""


@mypyc_attr(allow_interpreted_subclasses=True)
class ReadPath:
    """The file system's side: ->readahead, or ->read_folio page by page."""

    def read_pages(self, task: Task, file: OpenFile, ranges: list[PageRange]) -> Iterable[Any]:
        """
        Start reading locked pages under one plug. Each page is unlocked exactly once, later.

        The result is to be yielded from at once: () if nothing had to be waited for.
        """
        raise NotImplementedError

    def read_folio(self, task: Task, file: OpenFile, page: int) -> Iterable[Any]:
        """
        ->read_folio: start reading one locked page, without a plug. It is unlocked once, later.

        A page that had buffers has an entry in the mapping's known_blocks, which is taken out.
        """
        raise NotImplementedError


@mypyc_attr(allow_interpreted_subclasses=True)
class Sink:
    """Where a read's bytes go, when they are real."""

    def take(self, mapping: Mapping, offset: int, length: int) -> None:
        """Take `length` bytes from `offset` of up-to-date pages."""
        raise NotImplementedError


class OpenFile:
    """
    One open file: its mapping, its own readahead state, and the file system's inode.

    ra_pages: how far it reads ahead; full_ra_pages: the same before reads failed, 0 as long as none did.
    """

    __slots__ = (
        "full_ra_pages",
        "inode",
        "mapping",
        "position",
        "ra",
        "ra_pages",
        "random",
        "sink",
        "size_bytes",
    )

    def __init__(
        self, mapping: Mapping, inode: Any, size_bytes: int, ra_pages: int, random: bool = False
    ) -> None:
        self.mapping = mapping
        self.inode = inode
        self.size_bytes = size_bytes
        self.ra_pages = ra_pages
        self.full_ra_pages = 0
        self.random = random
        self.ra = RaState()
        self.position = -1
        self.sink: Sink | None = None

    def shrink_readahead(self) -> None:
        """shrink_readahead_size_eio(): a page could not be read; read ahead a quarter as far from now on."""
        self.full_ra_pages = self.full_ra_pages or self.ra_pages
        self.ra_pages //= 4

    def reopen(self) -> None:
        """Begin anew, as a file that is closed and opened."""
        self.ra = RaState()
        self.position = -1
        if self.full_ra_pages:
            self.ra_pages, self.full_ra_pages = self.full_ra_pages, 0
