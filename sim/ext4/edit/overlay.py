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


OverlayState = tuple[dict[int, bytes], list[dict[int, bytes]], set[int]]
"""What an OverlayStore holds: pages, ended stages, pages of the stage that is open."""


class OverlayStore:
    """
    A store of which some pages have been written: it reads as if they had been written below.

    `mark` ends a stage: what was written before it must be on the disk before anything that is written after
    it. Memory: the pages written, once more for each stage in which they were.
    """

    def __init__(self, below: ByteStore) -> None:
        self._below = below
        self._pages: dict[int, bytearray] = {}
        self._ended: list[dict[int, bytes]] = []
        self._fresh: set[int] = set()

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
            held = self._pages.get(page)
            if held is None:
                held = bytearray(self._old(page))
                self._pages[page] = held
            held[inside : inside + count] = data[done : done + count]
            self._fresh.add(page)
            done += count

    def mark(self) -> None:
        """End a stage."""
        self._ended.append({page: bytes(self._pages[page]) for page in sorted(self._fresh)})
        self._fresh.clear()

    @property
    def fresh_pages(self) -> int:
        """How many pages the stage that is open changes."""
        known: dict[int, bytes] = {}
        for stage in self._ended:
            known.update(stage)
        return sum(bytes(self._pages[page]) != (known.get(page) or self._old(page)) for page in self._fresh)

    def _old(self, page: int) -> bytes:
        start = page * _PAGE_BYTES
        return bytes(self._below.read(start, min(_PAGE_BYTES, self.size_bytes - start)))

    def state(self) -> OverlayState:
        """Return what was written so far, for `restore`."""
        pages = {page: bytes(held) for page, held in self._pages.items()}
        return pages, [dict(stage) for stage in self._ended], set(self._fresh)

    def restore(self, state: OverlayState) -> None:
        """Take back what was written since `state`."""
        pages, ended, fresh = state
        self._pages = {page: bytearray(held) for page, held in pages.items()}
        self._ended, self._fresh = [dict(stage) for stage in ended], set(fresh)

    def stages(self) -> list[Changes]:
        """Return for each stage the pages that are not as they were after the one before; none is empty."""
        last = {page: bytes(self._pages[page]) for page in sorted(self._fresh)}
        known: dict[int, bytes] = {}
        stages: list[Changes] = []
        for stage in [*self._ended, last]:
            changed: Changes = []
            for page, held in stage.items():
                if held != (known.get(page) or self._old(page)):
                    changed.append((page * _PAGE_BYTES, held))
                known[page] = held
            if changed:
                stages.append(changed)
        return stages

    def changes(self) -> Changes:
        """Return (byte offset, bytes) of every page that is not as it was, in order."""
        return [
            (page * _PAGE_BYTES, bytes(held))
            for page, held in sorted(self._pages.items())
            if bytes(held) != self._below.read(page * _PAGE_BYTES, len(held))
        ]
