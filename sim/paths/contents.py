"""
The bytes: from the device's store into cached pages, decrypted on the way.

Decryption runs when the simulated work item ends, on what the device returned. With `data = "off"` none of
this exists, and no charge and no event depends on it.
"""

from __future__ import annotations

from sim.block.bio import Bio
from sim.cache.filemap import OpenFile
from sim.cache.pages import CONTENT_SLACK_BYTES
from sim.crypto.dmcrypt import DmCrypt
from sim.ext4.store import ByteStore
from sim.units import SECTOR_BYTES


class Contents:
    """
    Fills page contents of one file system of `block_size` from `store`.

    sectors: how the device below decrypts, None if it holds plain blocks.
    """

    def __init__(self, store: ByteStore, block_size: int, sectors: DmCrypt | None = None) -> None:
        self._store = store
        self._block_size = block_size
        self._sectors = sectors

    def fill(self, bio: Bio) -> None:
        """Put the blocks of a completed bio into its file's pages."""
        file: OpenFile = bio.owner
        content = file.mapping.content
        if content is None:
            return
        block_size, decrypt = self._block_size, file.inode.decrypt
        at = bio.sector * SECTOR_BYTES
        for lblk, count in bio.blocks:
            length, to = count * block_size, lblk * block_size
            data = memoryview(self._store.read(at, length))
            if self._sectors is not None:
                self._sectors.decrypt_into(
                    data, at // SECTOR_BYTES, content[to : to + length + CONTENT_SLACK_BYTES]
                )
            elif decrypt is None:
                content[to : to + length] = data
            else:
                decrypt(data, lblk, content[to : to + length + CONTENT_SLACK_BYTES])
            at += length
