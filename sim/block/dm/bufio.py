"""
The buffers of dm-bufio (drivers/md/dm-bufio.c, Linux 6.1): a target's blocks on the disk, held in memory.

A buffer that is not held is read whole. Written to, it is dirty from the first byte to the last, and goes
out by that range in steps of 4 KiB: at a flush, or when, at the time a further buffer is taken, the list of
dirty ones is more than 3 times as long as that of clean ones. A buffer that was written out stays on the
dirty list until somebody walks along it.

Left out: buffers given back for want of memory or for age (5 minutes), dm_bufio_prefetch (no target here
calls it), buffers that are pinned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sim.block.dm.asked import Asked, pages_of
from sim.block.opf import FLUSH, REQ_OP_READ, REQ_OP_WRITE
from sim.units import SECTOR_BYTES

WRITEBACK_RATIO: Final = 3
"""DM_BUFIO_WRITEBACK_RATIO: dirty buffers to a clean one."""
WRITE_STEP_BYTES: Final = 4096
"""DM_BUFIO_WRITE_ALIGN: what is written of a buffer begins and ends at a multiple of it."""


@dataclass(slots=True)
class _Buffer:
    start: int
    """Its first sector."""
    dirty_from: int = 0
    dirty_to: int = 0
    """Bytes of it that were changed; none where both are the same."""

    @property
    def dirty(self) -> bool:
        return self.dirty_to > self.dirty_from


class BufferCache:
    """A client of dm-bufio. sectors: of a buffer."""

    def __init__(self, asked: Asked, sectors: int) -> None:
        self._asked = asked
        self._sectors = sectors
        self._held: dict[int, _Buffer] = {}
        self._dirty_list: list[_Buffer] = []

    def read(self, start: int) -> None:
        """Take the buffer at a sector, which is read unless it is held; give it back (dm_bufio_release)."""
        self._asked.call("dm_bufio_read", "dm_bufio_release")
        if start in self._held:
            self._asked.needs(start)
            return
        if len(self._dirty_list) > (len(self._held) - len(self._dirty_list)) * WRITEBACK_RATIO:
            self.write_dirty()
        self._held[start] = _Buffer(start)
        self._asked.call("bio_add_page", times=pages_of(self._sectors))
        self._asked.submit_to_disk(start, self._sectors, REQ_OP_READ, apart=False)

    def mark_dirty(self, start: int, first: int, end: int) -> None:
        """Mark the bytes [first, end) of a buffer that is held as changed."""
        self._asked.call("dm_bufio_mark_partial_buffer_dirty")
        buffer = self._held[start]
        if buffer.dirty:
            buffer.dirty_from, buffer.dirty_to = min(buffer.dirty_from, first), max(buffer.dirty_to, end)
            return
        buffer.dirty_from, buffer.dirty_to = first, end
        if buffer in self._dirty_list:
            self._dirty_list.remove(buffer)
        self._dirty_list.append(buffer)

    def write_dirty(self) -> None:
        """
        Walk along the dirty list: write what is dirty, and take off it what was written before
        (__write_dirty_buffers_async).
        """
        left = []
        for buffer in self._dirty_list:
            if buffer.dirty:
                self._write(buffer)
                left.append(buffer)
        self._dirty_list = left

    def flush(self) -> None:
        """Write all that is dirty, wait, and empty the disk's cache (dm_bufio_write_dirty_buffers)."""
        self._asked.call("dm_bufio_write_dirty_buffers")
        self.write_dirty()
        self._dirty_list = []
        self._asked.dm_io(0, 0, FLUSH)

    def _write(self, buffer: _Buffer) -> None:
        first = buffer.dirty_from // WRITE_STEP_BYTES * WRITE_STEP_BYTES
        end = min(-(-buffer.dirty_to // WRITE_STEP_BYTES) * WRITE_STEP_BYTES, self._sectors * SECTOR_BYTES)
        buffer.dirty_from = buffer.dirty_to = 0
        sectors = (end - first) // SECTOR_BYTES
        self._asked.call("bio_add_page", times=pages_of(sectors))
        self._asked.submit_to_disk(buffer.start + first // SECTOR_BYTES, sectors, REQ_OP_WRITE, apart=False)
