"""
The designs of write-back there are, by the names that an experiment has for them.

    page_io             ext4_writepages() and fs/ext4/page_io.c, as Linux 6.1 has them
    buffer_head         generic_writepages() over block_write_full_page()
    mpage               mpage_writepages()

and in no kernel:

    iomap               iomap_writepages() of 6.1 under ext4: a prediction, see iomap.py
    page_io_unzeroed    page_io whose bios get their arrays of vectors as they are, not cleared
    page_io_one_scan    page_io that maps all it has collected before it looks for more

The last two differ from page_io in writing alone: what is read beside is read as page_io reads it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sim.errors import ConfigError


@dataclass(frozen=True, slots=True)
class WriteDesign:
    """
    One design. loop: whose pages it goes over: page_io, buffer_head, mpage or iomap. clears_vectors: a bio's
    array of vectors is cleared when it is allocated (init_on_alloc=1). scans_once: pages that were collected
    and are not yet mapped are not looked at again. reads: the read path of an experiment that names this
    design for both.
    """

    name: str
    loop: str
    clears_vectors: bool = True
    scans_once: bool = False
    reads: str = ""


_DESIGNS: Final = (
    WriteDesign("page_io", "page_io"),
    WriteDesign("buffer_head", "buffer_head"),
    WriteDesign("mpage", "mpage"),
    WriteDesign("iomap", "iomap"),
    WriteDesign("page_io_unzeroed", "page_io", clears_vectors=False, reads="page_io"),
    WriteDesign("page_io_one_scan", "page_io", scans_once=True, reads="page_io"),
)
WRITE_DESIGNS: Final = {design.name: design for design in _DESIGNS}
WRITE_PATHS: Final = tuple(WRITE_DESIGNS)
"""What an experiment may write through."""

READS_AS: Final = {design.name: design.reads for design in _DESIGNS if design.reads}
"""Designs of writing alone -> the path that reads beside them."""


def write_design_of(path: str) -> WriteDesign:
    """Return the design of a name. Raises ConfigError for one that does not write."""
    if path not in WRITE_DESIGNS:
        raise ConfigError("path", f"{path!r} does not write", ", ".join(WRITE_PATHS))
    return WRITE_DESIGNS[path]
