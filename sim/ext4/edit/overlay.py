"""
An image being changed: what was written lies in memory, over a store that stays as it is, until it is
committed (sim.ext4.edit.commit).
"""

from __future__ import annotations

from sim.errors import ImageError
from sim.ext4.store import ByteStore

_PAGE_BYTES = 4096

Changes = list[tuple[int, bytes]]
"""(byte offset, bytes) of pages that are to be written, in order."""


OverlayState = tuple[dict[int, bytes], list[Changes], dict[int, bytes]]
"""What an OverlayStore holds: pages written, ended stages, and the pages of the open one as they were."""


class OverlayStore:
    """
    A store of which some pages have been written: it reads as if they had been written below.

    `mark` ends a stage: what was written before it must be on the disk before anything that is written after
    it. Memory: the pages written, once more for each stage in which they were.
    """

    def __init__(self, below: ByteStore) -> None:
        self._below = below
        self._pages: dict[int, bytes] = {}
        self._ended: list[Changes] = []
        self._before: dict[int, bytes] = {}

    @property
    def size_bytes(self) -> int:
        """The number of bytes the store holds."""
        return self._below.size_bytes

    def read(self, offset: int, length: int) -> bytes | memoryview:
        """Return `length` bytes from byte `offset`; raise ImageError if they are not all there."""
        data = self._below.read(offset, length)
        first, last = offset // _PAGE_BYTES, (offset + length - 1) // _PAGE_BYTES
        touched = [page for page in range(first, last + 1) if page in self._pages]
        if not touched:
            return data
        merged = bytearray(data)
        for page in touched:
            start, stop = max(offset, page * _PAGE_BYTES), min(offset + length, (page + 1) * _PAGE_BYTES)
            at = page * _PAGE_BYTES
            merged[start - offset : stop - offset] = self._pages[page][start - at : stop - at]
        return bytes(merged)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        """Write over the store; raise ImageError beyond its end."""
        if offset < 0 or offset + len(data) > self.size_bytes:
            raise ImageError("image", f"bytes {offset} to {offset + len(data)}", f"0 to {self.size_bytes}")
        done = 0
        while done < len(data):
            page, inside = divmod(offset + done, _PAGE_BYTES)
            count = min(_PAGE_BYTES - inside, len(data) - done)
            at = page * _PAGE_BYTES
            held = bytes(self.read(at, min(_PAGE_BYTES, self.size_bytes - at)))
            self._before.setdefault(page, held)
            self._pages[page] = held[:inside] + bytes(data[done : done + count]) + held[inside + count :]
            done += count

    def mark(self) -> None:
        """End a stage."""
        self._ended.append(self._open_stage())
        self._before = {}

    def _open_stage(self) -> Changes:
        """Return the pages that are not as they were when the open stage began, in order."""
        return [
            (page * _PAGE_BYTES, self._pages[page])
            for page, before in sorted(self._before.items())
            if self._pages[page] != before
        ]

    @property
    def fresh_pages(self) -> int:
        """How many pages the stage that is open changes."""
        return len(self._open_stage())

    def state(self) -> OverlayState:
        """Return what was written so far, for `restore`."""
        return self._pages.copy(), self._ended.copy(), self._before.copy()

    def restore(self, state: OverlayState) -> None:
        """Take back what was written since `state`, once."""
        self._pages, self._ended, self._before = state

    def stages(self) -> list[Changes]:
        """Return for each stage the pages that are not as they were after the one before; none is empty."""
        return [stage for stage in (*self._ended, self._open_stage()) if stage]

    def changes(self) -> Changes:
        """Return (byte offset, bytes) of every page that is not as it was, in order."""
        return [
            (page * _PAGE_BYTES, held)
            for page, held in sorted(self._pages.items())
            if held != self._below.read(page * _PAGE_BYTES, len(held))
        ]
