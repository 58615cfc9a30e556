"""
The bytes: from the device's store into cached pages, decrypted on the way, and out to the reader.

Plain pages are views of the store: nothing is copied that the check does not need. Decryption runs when the
simulated work item ends, on what the device returned. With `data = "off"` none of this exists, and no charge
and no event depends on it.
"""

from __future__ import annotations

from sim.block.bio import Bio
from sim.cache.filemap import OpenFile
from sim.ext4.store import ByteStore
from sim.units import PAGE_BYTES, SECTOR_BYTES


class Contents:
    """Fills page contents of one file system of `block_size` from `store`."""

    def __init__(self, store: ByteStore, block_size: int) -> None:
        self._store = store
        self._block_size = block_size

    def fill(self, bio: Bio) -> None:
        """Put the blocks of a completed bio into its file's pages."""
        file: OpenFile = bio.owner
        content = file.mapping.content
        if content is None:
            return
        block_size = self._block_size
        per_page = PAGE_BYTES // block_size
        decrypt = file.inode.decrypt
        at = bio.sector * SECTOR_BYTES
        for lblk, count in bio.blocks:
            data: memoryview | bytes = memoryview(self._store.read(at, count * block_size))
            at += count * block_size
            if decrypt is not None:
                data = memoryview(decrypt(data, lblk))
            if lblk % per_page == 0 and count % per_page == 0:
                page = lblk // per_page
                for offset in range(0, len(data), PAGE_BYTES):
                    content[page] = data[offset : offset + PAGE_BYTES]
                    page += 1
            else:
                self._fill_parts(content, lblk, data)

    def _fill_parts(self, content: dict[int, memoryview], lblk: int, data: memoryview | bytes) -> None:
        """Copy blocks into page buffers, for pages that come in parts."""
        position = lblk * self._block_size
        offset = 0
        while offset < len(data):
            page, within = divmod(position, PAGE_BYTES)
            take = min(PAGE_BYTES - within, len(data) - offset)
            buffer = content.get(page)
            if buffer is None:
                buffer = content[page] = memoryview(bytearray(PAGE_BYTES))
            buffer[within : within + take] = data[offset : offset + take]
            position += take
            offset += take
