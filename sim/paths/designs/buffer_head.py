"""
`buffer_head`: block_read_full_folio() of fs/buffer.c for every page, as on file systems without ->readahead.
"""

from __future__ import annotations

from sim.paths.buffer_head import BufferHeadPath
from sim.paths.design import PathDesign
from sim.paths.parts import PathParts


def make(parts: PathParts) -> BufferHeadPath:
    """Build it."""
    reader, alone = parts.buffer_reader("read_pages"), parts.buffer_reader("filemap_read_folio")
    return BufferHeadPath(parts.queue, reader, alone)


DESIGN = PathDesign(
    name="buffer_head",
    make=make,
    order=1,
    colour="vermillion",
    marker="o",
    heads_on_every_page=True,
    large_folios=("7.3",),
    recorded_as="buffer",
    maps_fail=True,
)
