"""What ext4_map_blocks() is asked for in order to write, and what it answers (fs/ext4/ext4.h)."""

from __future__ import annotations

from typing import Final

CREATE: Final = 1
UNWRITTEN: Final = 2
"""What is allocated is unwritten (EXT4_GET_BLOCKS_UNWRIT_EXT)."""
PRE_IO: Final = 4
"""Before I/O that will convert: extents are split and not joined."""
CONVERT: Final = 8
DELALLOC_RESERVED: Final = 16
IO_SUBMIT: Final = 32
"""The caller submits the data itself: a commit has only to wait for it."""
NO_NORMALIZE: Final = 64
"""As many blocks as asked for, and none preallocated around them."""
IO_CREATE: Final = UNWRITTEN | PRE_IO


class MappedBlocks:
    """An answer of ext4_map_blocks(): `length` blocks from `physical` on; 0 of them: a hole."""

    __slots__ = ("length", "new", "physical", "unwritten")

    def __init__(self, physical: int, length: int, unwritten: bool, new: bool) -> None:
        self.physical = physical
        self.length = length
        self.unwritten = unwritten
        self.new = new
