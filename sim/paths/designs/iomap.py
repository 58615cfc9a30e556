"""
`iomap`: iomap_readahead() of fs/iomap/buffered-io.c over ext4's extents, as recorded on XFS.
"""

from __future__ import annotations

from sim.paths.design import PathDesign
from sim.paths.extent_walk import ExtentWalkPath
from sim.paths.parts import PathParts
from sim.paths.symbols import EndIoSymbols, WalkSymbols

SYMBOLS = WalkSymbols(
    call="iomap_readahead;iomap_iter iomap_readahead",  # the iomap_iter that finds nothing left to map
    page="iomap_readahead:page",
    folio="iomap_read_folio;iomap_iter iomap_read_folio",
    extent="iomap_iter iomap_iter;ext4_iomap_begin",
    piece="iomap_readpage_iter",
    page_state="iomap_page_create",
    zero="folio_zero_range",
    unlock="folio_unlock",
    beyond_eof=True,
)
END_IO = EndIoSymbols(
    per_bio="iomap_read_end_io",
    per_page="iomap_finish_folio_read iomap_read_end_io:page",
    before_post_read="iomap_read_end_io iomap_read_end_io;bio_post_read_processing",
    after_post_read="bio_post_read_processing",
    unlock="iomap_finish_folio_read;folio_unlock",
)
CALLER = "iomap_readahead;iomap_readpage_iter"


def make(parts: PathParts) -> ExtentWalkPath:
    """Build it."""
    return build(parts, SYMBOLS, CALLER)


def build(parts: PathParts, symbols: WalkSymbols, caller: str) -> ExtentWalkPath:
    """Build iomap's walk for a file system whose calls are `symbols`; its bios are made below `caller`."""
    bios = parts.page_bios(parts.page_end_io(END_IO), caller, "bio_add_folio", per_piece=True)
    own_bios = parts.rules.own_bios
    return ExtentWalkPath(parts.ledger, parts.queue, parts.mapper, bios, parts.block_size, symbols, own_bios)


DESIGN = PathDesign(
    name="iomap",
    make=make,
    order=5,
    colour="green",
    marker="^",
    per_extent=True,
    page_state="bitmap",
    large_folios=("6.1", "6.12", "7.3"),
    recorded_as="iomap",
)
