"""
`ext4_iomap`: ext4's buffered reads through iomap, as the mount option buffered_iomap of Linux 7.4 has them.

A prediction: no kernel with it is recorded. What it is made of is: iomap_readahead() and iomap_read_folio()
as 7.3 has them on XFS, ext4_map_blocks() as 7.3 has it below ext4's own loop. What lies between, ext4's two
operations, the call that begins a mapping and the one that describes it to iomap, is read in the patches;
what these four cost is assumed (profiles/machines/unmeasured.toml). A mapping is one ext4_map_blocks(), a
hole is one too.

The option is off by default there, and ext4 leaves to its old loop what it cannot do: files with fscrypt,
fs-verity, inline data or without extents, and data=journal. Here these are refused. Left out: the sequence
number of a mapping, which only writers compare; writing.
"""

from __future__ import annotations

from dataclasses import replace

from sim.paths.design import PathDesign
from sim.paths.designs import iomap
from sim.paths.extent_walk import ExtentWalkPath
from sim.paths.parts import PathParts

_READAHEAD = "ext4_iomap_readahead;iomap_readahead"
_FOLIO = "ext4_iomap_read_folio;iomap_read_folio"
_BEGIN = "iomap_iter;ext4_iomap_buffered_read_begin"

SYMBOLS = replace(
    iomap.SYMBOLS,
    call=f"ext4_iomap_readahead {_READAHEAD};iomap_iter {_READAHEAD}",
    page=f"{_READAHEAD}:page",
    folio=f"ext4_iomap_read_folio {_FOLIO} {_FOLIO};iomap_iter",
    extent=f"iomap_iter {_BEGIN} {_BEGIN};ext4_set_iomap",
)


def make(parts: PathParts) -> ExtentWalkPath:
    """Build it."""
    return iomap.build(parts, SYMBOLS, f"{_READAHEAD};iomap_readpage_iter")


DESIGN = PathDesign(
    name="ext4_iomap",
    make=make,
    order=7,
    colour="black",
    marker="p",
    per_extent=True,
    page_state="bitmap",
    large_folios=("7.3",),
    kernels=("7.3",),
    plain_files=True,
    predicted="no kernel with ext4's buffered_iomap (7.4) is recorded; iomap is as 7.3 has it on XFS",
)
