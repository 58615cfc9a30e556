"""
`mpage`: mpage_readahead() of fs/mpage.c; and what `per_block` shares with it.
"""

from __future__ import annotations

from sim.paths.design import PathDesign
from sim.paths.mpage import MpagePath
from sim.paths.parts import PathParts
from sim.paths.symbols import EndIoSymbols, MpageSymbols

SYMBOLS = MpageSymbols(
    call="mpage_readahead",
    page="mpage_readahead;do_mpage_readpage /read_pages;mpage_readahead:page",
    block="/read_pages;mpage_readahead;do_mpage_readpage;mpage_block_loop:block",
    folio="mpage_read_folio",
    folio_page="mpage_read_folio;do_mpage_readpage",
    get_block="ext4_get_block /read_pages;mpage_readahead;do_mpage_readpage:map",
    hole="folio_zero_segment",
    hole_unlock="folio_unlock",
)
END_IO = EndIoSymbols(
    per_bio="mpage_end_io",
    per_page="page_endio mpage_end_io:page",
    before_post_read="mpage_end_io mpage_end_io;bio_post_read_processing",
    after_post_read="bio_post_read_processing",
)
CALLER = "mpage_readahead;do_mpage_readpage"
ALONE = "filemap_read_folio;mpage_read_folio;do_mpage_readpage"


def make(parts: PathParts) -> MpagePath:
    """Build it."""
    return build(parts, per_block=False)


def build(parts: PathParts, per_block: bool) -> MpagePath:
    """Build it, or with a call for every block."""
    bios = parts.page_bios(parts.page_end_io(END_IO), CALLER, "bio_add_folio")
    return MpagePath(
        parts.ledger,
        parts.queue,
        parts.mapper,
        bios,
        parts.buffer_reader(CALLER),
        parts.buffer_reader(ALONE),
        parts.block_size,
        SYMBOLS,
        per_block,
        error_confuses=True,
    )


DESIGN = PathDesign(
    name="mpage",
    make=make,
    order=2,
    colour="orange",
    marker="s",
    large_folios=("7.3",),
    recorded_as="mpage",
    maps_fail=True,
)
