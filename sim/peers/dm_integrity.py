"""
dm-integrity above a disk (drivers/md/dm-integrity.c, Linux 6.1): calls and bios of reads, writes, flushes.

A read goes to a worker, which reads the data, then each buffer of tags that is not held, and checks block
by block. A write in mode D (direct) sends the data, and changes the tags in their buffers, which go out at
a flush. In mode B (bitmap) the bit of a region is on the disk before the first write into it. In mode J
(journal) data and tags go to the journal, see dm_journal.py. A bio is cut where an area ends and at the
disk's largest request. Without a checksum of its own (`own_hash` false) it stores the tags that come with
the bios, as dm-crypt's with an AEAD.

Where things lie: sim/integrity/interleaved.py. Left out: discards, recalculation, a device for the tags
apart, mode R, reads of blocks that are still in the journal, ranges of requests that wait for each other,
and the bitmap's end (it is cleared after 10 s).
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.block.opf import REQ_FUA, REQ_OP_WRITE, REQ_SYNC
from sim.errors import ConfigError
from sim.integrity.interleaved import BUFFER_SECTORS, SUPERBLOCK_SECTORS, Interleaved
from sim.peers.dm_bufio import BufferCache
from sim.peers.dm_journal import Journal
from sim.peers.tally import MAX_SECTORS, Tally
from sim.units import PAGE_BYTES, PAGE_SECTORS, SECTOR_BYTES

SECTORS_PER_BITMAP_BIT = 32768
"""DEFAULT_SECTORS_PER_BITMAP_BIT."""
BITMAP_BLOCK_SECTORS = 8
BITMAP_BLOCK_BITS = BITMAP_BLOCK_SECTORS * SECTOR_BYTES * 8
"""BITMAP_BLOCK_SIZE: the bitmap is written in such blocks, where the journal would be."""


class IntegrityDevice:
    """
    A device. own_hash: it hashes the blocks itself (internal_hash).

    A new one has no buffers, an empty journal, a clean bitmap.
    """

    def __init__(self, layout: Interleaved, tally: Tally, own_hash: bool = True) -> None:
        self._layout = layout
        self._tally = tally
        self._own_hash = own_hash
        self._buffers = BufferCache(tally, BUFFER_SECTORS)
        self._journal = Journal(layout, tally, self._buffers, self._write_tag)
        self._may_write = set[int]()
        """Bits of the bitmap that are set on the disk."""

    def read(self, sector: int, sectors: int, opf: int) -> None:
        """Read; the bio was queued to the device by whom it belongs to."""
        if self._layout.mode == "J" and any(
            map(self._journal.pending, range(sector, sector + sectors, self._layout.block_sectors))
        ):
            raise ConfigError(
                "dm-integrity", f"a read at sector {sector} of what is in the journal", "others"
            )
        for at, length in self._clones(sector, sectors):
            self._tally.call("dm_integrity_map_continue")
            if self._own_hash:
                self._tally.call("integrity_bio_wait", "dm_integrity_map_continue")
            self._tally.call("add_new_range")
            if self._layout.mode == "B":
                self._tally.call("block_bitmap_op")
            self._data(at, length, opf)
            self._tags(at, length, sector, write=False)

    def write(self, sector: int, sectors: int, opf: int) -> None:
        """Write; as `read`."""
        for at, length in self._clones(sector, sectors):
            if self._layout.mode == "J":
                self._write_journalled(at, length)
                continue
            self._tally.call("dm_integrity_map_continue", "add_new_range")
            if self._layout.mode == "B":
                self._set_bitmap(at, length)
            self._data(at, length, opf)
            self._tags(at, length, sector, write=True)
        self._journal.settle()

    def flush(self) -> None:
        """Make all that was written durable, for a flush that was queued to the device."""
        self._tally.call("dm_submit_bio", "bio_alloc_bioset", "block_bio_complete")
        self._tally.call("dm_integrity_map", "submit_flush_bio")
        if self._layout.mode == "J":
            self._journal.flush()
        else:
            self._tally.call("integrity_commit", "dm_integrity_flush_buffers")
            self._buffers.flush()
        self._tally.call("bio_endio", times=2)
        self._journal.settle()

    def pieces(self, sector: int, sectors: int) -> list[tuple[int, int]]:
        """Return what a bio is cut into: (sector, sectors), each in one area and no larger than a request."""
        cut, end = [], sector + sectors
        while sector < end:
            room = self._layout.interleave - sector % self._layout.interleave
            length = min(end - sector, room, MAX_SECTORS)
            cut.append((sector, length))
            sector += length
        return cut

    def _clones(self, sector: int, sectors: int) -> Iterator[tuple[int, int]]:
        """Yield what device mapper makes of a bio: a clone for each piece, the rest queued anew."""
        self._tally.call("block_bio_complete")
        for at, length in self.pieces(sector, sectors):
            self._tally.call("submit_bio_noacct_nocheck", "block_split", times=at > sector)
            self._tally.call("dm_submit_bio", "bio_alloc_bioset", "dm_integrity_map")
            self._tally.call("bio_endio", times=2)
            self._journal.begin_request()
            yield at, length

    def _data(self, sector: int, sectors: int, opf: int) -> None:
        """Send a clone to the disk; when it is done the target sees it first."""
        self._tally.to_disk(self._layout.data_sector(sector), sectors, opf)
        self._tally.call("integrity_end_io")

    def _set_bitmap(self, sector: int, sectors: int) -> None:
        """Have the bits of a write set on the disk before it goes on (bitmap_block_work)."""
        self._tally.call("block_bitmap_op")
        bits = set(
            range(
                sector // SECTORS_PER_BITMAP_BIT,
                (sector + sectors - 1) // SECTORS_PER_BITMAP_BIT + 1,
            )
        )
        if bits <= self._may_write:
            return
        self._may_write |= bits
        self._tally.call("bitmap_block_work", "rw_journal_sectors")
        self._tally.call("block_bitmap_op", times=3)
        block = min(bits) // BITMAP_BLOCK_BITS
        at = SUPERBLOCK_SECTORS + block * BITMAP_BLOCK_SECTORS
        self._tally.dm_io(at, BITMAP_BLOCK_SECTORS, REQ_OP_WRITE | REQ_FUA | REQ_SYNC)
        self._tally.call("integrity_bio_wait", "dm_integrity_map_continue", "add_new_range")
        self._tally.call("block_bitmap_op")

    def _write_journalled(self, sector: int, sectors: int) -> None:
        """Enter a piece into the journal; what finds no room waits in a worker until blocks were copied."""
        self._tally.call("dm_integrity_map_continue")
        blocks = sectors // self._layout.block_sectors
        self._hash(blocks)
        while True:
            taken = self._journal.take(sector, blocks)
            blocks -= taken
            sector += taken * self._layout.block_sectors
            if not blocks:
                return
            if not taken:
                self._tally.call("integrity_bio_wait", "dm_integrity_map_continue")
                self._journal.copy_to_places()

    def _hash(self, blocks: int) -> None:
        """Hash blocks: the sector's number and the data, then the end."""
        if self._own_hash:
            self._tally.call("integrity_sector_checksum", "crypto_shash_final", times=blocks)
            self._tally.call("crypto_shash_update", times=2 * blocks)

    def _tags(self, sector: int, sectors: int, first: int, write: bool) -> None:
        """
        Check or store the tags of a piece of the bio that begins at `first` (integrity_metadata): those of a
        page of data at a time, or those that came with the bio, a page of tags at a time.
        """
        self._tally.call("integrity_metadata")
        step = self._layout.block_sectors
        self._hash(sectors // step)
        if self._own_hash:
            for at in range(sector, sector + sectors, PAGE_SECTORS):
                blocks = min(PAGE_SECTORS, sector + sectors - at) // step
                self._move_tags(at, 0, blocks * self._layout.tag_bytes, write)
            return
        begin = (sector - first) // step * self._layout.tag_bytes
        end = begin + sectors // step * self._layout.tag_bytes
        at = begin
        while at < end:
            length = min(end, (at // PAGE_BYTES + 1) * PAGE_BYTES) - at
            self._move_tags(sector, at - begin, length, write)
            at += length

    def _write_tag(self, sector: int) -> None:
        """Store the tag of one block."""
        self._move_tags(sector, 0, self._layout.tag_bytes, write=True)

    def _move_tags(self, sector: int, skip: int, length: int, write: bool) -> None:
        """Go through bytes of tags, from `skip` behind a block's own (dm_integrity_rw_tag)."""
        self._tally.call("dm_integrity_rw_tag")
        start = self._layout.buffer_of(sector)
        at = self._layout.tag_byte(sector) + skip - start * SECTOR_BYTES
        size = BUFFER_SECTORS * SECTOR_BYTES
        while length:
            start, at = start + at // size * BUFFER_SECTORS, at % size
            part = min(length, size - at)
            self._buffers.read(start)
            if write:
                self._buffers.mark_dirty(start, at, at + part)
            at += part
            length -= part
