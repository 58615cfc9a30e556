"""
The bytes: from the device's store into cached pages, decrypted on the way.

Decryption runs when the simulated work item ends, on what the device returned. With `data = "off"` none of
this exists, and no charge and no event depends on it.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from sim.block.bio import Bio
from sim.block.media import Noticed
from sim.cache.address_space import OpenFile
from sim.cache.pages import CONTENT_SLACK_BYTES, Mapping
from sim.crypto.dmcrypt import DmCrypt
from sim.ext4.store import ByteStore
from sim.fs.file_tags import DECRYPTED, SEALED, FileTags
from sim.fs.fs_inode import FsInode
from sim.units import PAGE_BYTES, SECTOR_BYTES


class Contents:
    """
    Fills page contents of one file system of `block_size` from `store`.

    sectors: how the device below decrypts, None if it holds plain blocks. noticed: who is told of errors.
    """

    def __init__(
        self,
        store: ByteStore,
        block_size: int,
        sectors: DmCrypt | None = None,
        noticed: Noticed | None = None,
    ) -> None:
        self.noticed = noticed
        self._store = store
        self._block_size = block_size
        self._sectors = sectors

    def bring(self, bio: Bio) -> None:
        """Put the blocks of a bio into its file's pages as they lie on the device, to be verified."""
        file: OpenFile = bio.owner
        at = bio.sector * SECTOR_BYTES
        for lblk, count in bio.blocks:
            length, to = count * self._block_size, lblk * self._block_size
            if file.mapping.content is not None:
                file.mapping.content[to : to + length] = self._store.read(at, length)
            at += length

    def fill(self, bio: Bio) -> None:
        """Put the blocks of a completed bio into its file's pages; decrypt those that were brought before."""
        file: OpenFile = bio.owner
        content = file.mapping.content
        if content is None:
            return
        tags: FileTags | None = file.inode.tags
        brought = False
        if tags is not None:
            if tags.of == SEALED or (tags.of != DECRYPTED and file.inode.decrypt is None):
                return
            brought = tags.of != DECRYPTED
        at = bio.sector * SECTOR_BYTES
        for lblk, count in bio.blocks:
            length, to = count * self._block_size, lblk * self._block_size
            data = bytes(content[to : to + length]) if brought else self._store.read(at, length)
            self._put(content, file.inode, memoryview(data), at, lblk)
            at += length

    def tell(self, bio: Bio, bad: list[tuple[int, int]]) -> None:
        """Tell of a bio that failed, or of the runs of its file's blocks that were found bad."""
        if self.noticed is None:
            return
        if bio.failed:
            self.noticed.failed(bio.sector, bio.sectors)
            return
        for lblk, count in bad:
            for block in range(lblk, lblk + count):
                self.tell_block(bio.owner.inode, block)

    def tell_block(self, inode: FsInode, lblk: int) -> None:
        """Tell that a block of a file was found bad."""
        extent = inode.map.tree.find(lblk)
        if self.noticed is not None and extent is not None:
            self.noticed.found_bad(extent.physical + lblk - extent.logical)

    def load(self, mapping: Mapping, inode: FsInode, start: int, end: int) -> None:
        """Put the pages [start, end) into memory without a bio, as a read before the run did."""
        size, content = self._block_size, mapping.content
        if content is None:
            return
        first, stop = start * PAGE_BYTES // size, min(-(-end * PAGE_BYTES // size), inode.blocks)
        extents, firsts = inode.map.tree.extents, inode.map.firsts
        for extent in extents[max(bisect_right(firsts, first) - 1, 0) : bisect_left(firsts, stop)]:
            lblk = max(extent.logical, first)
            count = min(extent.logical + extent.length, stop) - lblk
            if count > 0 and not extent.unwritten:
                at = (extent.physical + lblk - extent.logical) * size
                self._put(content, inode, memoryview(self._store.read(at, count * size)), at, lblk)

    def _put(self, content: memoryview, inode: FsInode, data: memoryview, at: int, lblk: int) -> None:
        """Put blocks, which lie at byte `at` of the device, decrypted into the pages from block `lblk` on."""
        length, to = len(data), lblk * self._block_size
        if self._sectors is not None:
            self._sectors.decrypt_into(
                data, at // SECTOR_BYTES, content[to : to + length + CONTENT_SLACK_BYTES]
            )
        elif inode.decrypt is None:
            content[to : to + length] = data
        else:
            inode.decrypt(data, lblk, content[to : to + length + CONTENT_SLACK_BYTES])
