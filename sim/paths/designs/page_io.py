"""
`page_io`: ext4_mpage_readpages() of fs/ext4/readpage.c, ext4's own extent path.
"""

from __future__ import annotations

from sim.paths.design import PathDesign
from sim.paths.mpage import MpagePath
from sim.paths.parts import PathParts
from sim.paths.symbols import EndIoSymbols, MpageSymbols

_LOOP = "read_pages;ext4_readahead;ext4_mpage_readpages;ext4_readpage_loop"

SYMBOLS = MpageSymbols(
    call="ext4_readahead ext4_readahead;ext4_mpage_readpages",
    page=f"/{_LOOP} /{_LOOP.rpartition(';')[0]}:page",
    block=f"/{_LOOP};ext4_block_loop:block",
    folio="ext4_read_folio ext4_read_folio;ext4_mpage_readpages",
    folio_page="ext4_read_folio;ext4_mpage_readpages;ext4_readpage_loop",
    get_block=f"/{_LOOP}:map",
    hole="zero_user_segments",
    hole_unlock="unlock_page unlock_page;folio_unlock",
)
PER_BIO = "ext4_mpage_end_io ext4_mpage_end_io;__read_end_io"
PER_PAGE = "ext4_mpage_end_io;__read_end_io:page"
UNLOCK = "unlock_page unlock_page;folio_unlock"
BEFORE_POST_READ = "ext4_mpage_end_io ext4_mpage_end_io;bio_post_read_processing"
AFTER_POST_READ = "bio_post_read_processing __read_end_io"

END_IO = EndIoSymbols(
    per_bio=PER_BIO,
    per_page=f"{UNLOCK} {PER_PAGE}",
    before_post_read=BEFORE_POST_READ,
    after_post_read=AFTER_POST_READ,
    verifies=True,
)
CALLER = "ext4_readahead;ext4_mpage_readpages"
ALONE = "filemap_read_folio;ext4_read_folio;ext4_mpage_readpages"


def make(parts: PathParts) -> MpagePath:
    """Build it."""
    return MpagePath(
        parts.ledger,
        parts.queue,
        parts.mapper,
        parts.page_bios(parts.page_end_io(END_IO), CALLER, "bio_add_page", True),
        parts.buffer_reader(CALLER),
        parts.buffer_reader(ALONE),
        parts.block_size,
        SYMBOLS,
        verity=parts.verity_readahead(CALLER.partition(";")[0]),
    )


DESIGN = PathDesign(
    name="page_io",
    make=make,
    order=3,
    colour="blue",
    marker="x",
    per_extent=True,
    large_folios=("7.3",),
    recorded_as="ext4",
    maps_fail=True,
)
