"""
`page_io_pure`: what the remark of 2014 proposes, in no kernel: page_io's loop, where contiguity ends a bio.

It keeps no state of a page but a count: of a page that is partly up to date all is read again.
"""

from __future__ import annotations

from sim.paths.design import PathDesign
from sim.paths.designs.page_io import AFTER_POST_READ, BEFORE_POST_READ, CALLER, PER_BIO, PER_PAGE, UNLOCK
from sim.paths.extent_walk import ExtentWalkPath
from sim.paths.parts import PathParts
from sim.paths.symbols import EndIoSymbols, WalkSymbols

SYMBOLS = WalkSymbols(
    call="ext4_readahead ext4_readahead;ext4_mpage_readpages",
    page="ext4_readahead;ext4_mpage_readpages:page",
    folio="ext4_read_folio ext4_read_folio;ext4_mpage_readpages",
    extent="ext4_readpage_loop:map",
    piece="ext4_readpage_loop",
    page_state="",
    zero="zero_user_segments",
    unlock=UNLOCK,
)
END_IO = EndIoSymbols(
    per_bio=PER_BIO,
    per_page=PER_PAGE,
    before_post_read=BEFORE_POST_READ,
    after_post_read=AFTER_POST_READ,
    unlock=UNLOCK,
)


def make(parts: PathParts) -> ExtentWalkPath:
    """Build it."""
    bios = parts.page_bios(parts.page_end_io(END_IO), CALLER, "bio_add_page", True)
    return ExtentWalkPath(parts.ledger, parts.queue, parts.mapper, bios, parts.block_size, SYMBOLS)


DESIGN = PathDesign(
    name="page_io_pure",
    make=make,
    order=4,
    colour="sky",
    marker="+",
    per_extent=True,
    page_state="none",
    large_folios=("7.3",),
)
