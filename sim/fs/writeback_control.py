"""
How pages are to be written back (struct writeback_control, Linux 6.1).
"""

from __future__ import annotations

from typing import Final

from sim.block.opf import REQ_BACKGROUND, REQ_OP_WRITE, REQ_SYNC


class WritebackControl:
    """
    sync: WB_SYNC_ALL, somebody waits for every page. tagged: pages are tagged first, so that the writer is
    not followed for ever. cyclic: its range has no end (range_cyclic). background: by the flusher on its own.
    """

    __slots__ = ("background", "cyclic", "sync", "tagged")

    def __init__(self, sync: bool, tagged: bool, cyclic: bool, background: bool = False) -> None:
        self.sync = sync
        self.tagged = tagged
        self.cyclic = cyclic
        self.background = background

    @property
    def data_flags(self) -> int:
        """What ext4's own bios have."""
        return REQ_OP_WRITE | (REQ_SYNC if self.sync else 0)

    @property
    def flags(self) -> int:
        """wbc_to_write_flags(): what the others' have."""
        return self.data_flags | (REQ_BACKGROUND if self.background else 0)


WB_SYNC_ALL: Final = WritebackControl(True, True, False)
"""fsync(2)."""
WB_SYNC_NONE: Final = WritebackControl(False, False, False)
"""sync_file_range(2) with only WRITE."""
WB_TAGGED: Final = WritebackControl(False, True, False)
"""The first pass of sync(2)."""
WB_ALL: Final = WritebackControl(False, False, True)
"""The flusher, woken for all that is dirty: the interval was lowered."""
WB_BACKGROUND: Final = WritebackControl(False, False, True, True)
"""The flusher, by interval or threshold."""
