"""
The kernel's names for what an extent walk does (extent_walk.py): those of iomap, and those of a pure page_io.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WalkSymbols:
    """
    call: per readahead call; page: per page of one; folio: per ->read_folio; extent: per mapping; piece: per
    page and extent; page_state: per page smaller blocks need state for. beyond_eof: what follows EOF in its
    page is mapped too.
    """

    call: str
    page: str
    folio: str
    extent: str
    piece: str
    page_state: str
    zero: str
    unlock: str
    beyond_eof: bool = False


IOMAP = WalkSymbols(
    call="iomap_readahead;iomap_iter iomap_readahead",
    page="iomap_readahead:page",
    folio="iomap_read_folio;iomap_iter iomap_read_folio",
    extent="iomap_iter iomap_iter;ext4_iomap_begin",
    piece="iomap_readpage_iter",
    page_state="iomap_page_create",
    zero="folio_zero_range",
    unlock="folio_unlock",
    beyond_eof=True,
)
"""The iomap_iter of a call is the one that finds nothing left to map."""
PAGE_IO_PURE = WalkSymbols(
    call="ext4_readahead ext4_readahead;ext4_mpage_readpages",
    page="ext4_readahead;ext4_mpage_readpages:page",
    folio="ext4_read_folio ext4_read_folio;ext4_mpage_readpages",
    extent="ext4_readpage_loop:map",
    piece="ext4_readpage_loop",
    page_state="",
    zero="zero_user_segments",
    unlock="unlock_page unlock_page;folio_unlock",
)
