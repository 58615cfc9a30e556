"""
The kernel's names for what a read path does, as typed tables: one type for each kind of code.

The names of a design stand in its file (sim/paths/designs), in these types. A field holds calls as
`Ledger.site` takes them: "a a;b" is a, and b called by a.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MpageSymbols:
    """
    do_mpage_readpage() and ext4_mpage_readpages(): see mpage.py.

    call: per readahead; page: per page, with the page's turn of the caller's loop; folio, folio_page: the
    same of ->read_folio; get_block: per map, with the page function's own work on it; block: per block of a
    large folio beyond those of a page, which the page function looks at one by one.
    """

    call: str
    page: str
    block: str
    folio: str
    folio_page: str
    get_block: str
    hole: str
    hole_unlock: str


@dataclass(frozen=True, slots=True)
class WalkSymbols:
    """
    An extent walk: see extent_walk.py.

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


@dataclass(frozen=True, slots=True)
class EndIoSymbols:
    """
    The completion of a bio of pages: see post_read.PageEndIo.

    per_bio, per_page: of the completion. before_post_read: those that run in the interrupt of a bio that
    needs a post-read step, before the work item runs `after_post_read`. unlock: what follows per_page with
    the last part of a page that comes; "": pages come whole, and per_page has it. verifies: fs-verity is
    asked before the last symbol of per_bio, which runs in the work item then.
    """

    per_bio: str
    per_page: str
    before_post_read: str
    after_post_read: str
    unlock: str = ""
    verifies: bool = False
