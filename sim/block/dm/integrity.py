"""
dm-integrity above a disk (drivers/md/dm-integrity.c, Linux 6.1): calls and bios of reads, writes, flushes.

A read goes to a worker, which reads the data, then each buffer of tags that is not held, and checks block
by block. A write in mode D (direct) sends the data, and changes the tags in their buffers, which go out at
a flush. In mode B (bitmap) the bit of a region is on the disk before the first write into it. In mode J
(journal) data and tags go to the journal, see dm_journal.py. A bio is cut where an area ends and at the
disk's largest request. Without a checksum of its own (`own_hash` false) it stores the tags that come with
the bios, as dm-crypt's with an AEAD.

A read of blocks that are still in the journal has them from its memory; no recording has one.

Where things lie: sim/integrity/interleaved.py. Left out: discards, recalculation, a device for the tags
apart, mode R, ranges of requests that wait for each other, and the bitmap's end (it is cleared after 10 s).
"""

from __future__ import annotations

from collections.abc import Iterator

from sim.block.dm.asked import BITMAP, COMMIT, MAP, METADATA, OFFLOAD, Asked
from sim.block.dm.bufio import BufferCache
from sim.block.dm.journal import WATERMARK_PERCENT, Journal
from sim.block.opf import REQ_FUA, REQ_OP_WRITE, REQ_SYNC
from sim.integrity.interleaved import SUPERBLOCK_SECTORS, Interleaved
from sim.units import PAGE_BYTES, PAGE_SECTORS, SECTOR_BYTES

SECTORS_PER_BITMAP_BIT = 32768
"""DEFAULT_SECTORS_PER_BITMAP_BIT."""
MAX_SECTORS = 1280
"""Of a request of the recordings' disk, null_blk."""
BITMAP_BLOCK_SECTORS = 8
BITMAP_BLOCK_BITS = BITMAP_BLOCK_SECTORS * SECTOR_BYTES * 8
"""BITMAP_BLOCK_SIZE: the bitmap is written in such blocks, where the journal would be."""


class IntegrityDevice:
    """
    A device. own_hash: it hashes the blocks itself (internal_hash). max_sectors: the disk's largest request;
    that of the recordings' null_blk unless said. watermark: see Journal.

    A new one has no buffers, an empty journal, a clean bitmap.
    """

    def __init__(
        self,
        layout: Interleaved,
        asked: Asked,
        own_hash: bool = True,
        max_sectors: int = MAX_SECTORS,
        watermark: int = WATERMARK_PERCENT,
    ) -> None:
        self._layout = layout
        self._asked = asked
        self._own_hash = own_hash
        self._max_sectors = max_sectors
        self._buffers = BufferCache(asked, layout.buffer_sectors)
        self._journal = Journal(layout, asked, self._buffers, self._write_tag, watermark)
        self._may_write = set[int]()
        """Bits of the bitmap that are set on the disk."""

    def read(self, sector: int, sectors: int, opf: int) -> None:
        """Read; the bio was queued to the device by whom it belongs to."""
        for at, length in self._clones(sector, sectors):
            self._asked.call("dm_integrity_map_continue")
            if self._own_hash:
                self._wait_in_worker()
            if self._layout.mode == "J":
                self._read_journalled(at, length, sector, opf)
            else:
                self._read_in_place(at, length, sector, opf)

    def write(self, sector: int, sectors: int, opf: int) -> None:
        """Write; as `read`."""
        for at, length in self._clones(sector, sectors):
            if self._layout.mode == "J":
                self._write_journalled(at, length)
                continue
            self._asked.call("dm_integrity_map_continue", "add_new_range")
            if self._layout.mode == "B":
                self._set_bitmap(at, length)
            self._data(at, length, opf)
            self._asked.by(METADATA)
            self._tags(at, length, sector, write=True)
        self._journal.settle()

    def flush(self) -> None:
        """Make all that was written durable, for a flush that was queued to the device."""
        self._asked.by(MAP)
        self._asked.call("dm_submit_bio", "bio_alloc_bioset", "block_bio_complete", "dm_integrity_map")
        self._flush_written()
        self._asked.call("bio_endio", times=2)
        self._journal.settle()

    def fua(self) -> None:
        """Make a write with REQ_FUA durable, once it is done (do_endio_flush); its bio goes down without."""
        self._asked.by(MAP)
        self._flush_written()
        self._journal.settle()

    def _flush_written(self) -> None:
        """Have a worker make durable what was written (submit_flush_bio)."""
        self._asked.call("submit_flush_bio")
        if self._layout.mode == "J":
            self._journal.flush()
        else:
            self._asked.by(COMMIT)
            self._asked.call("integrity_commit", "dm_integrity_flush_buffers")
            self._buffers.flush()

    def pieces(self, sector: int, sectors: int) -> list[tuple[int, int]]:
        """Return what a bio is cut into: (sector, sectors), each in one area and no larger than a request."""
        cut, end = [], sector + sectors
        while sector < end:
            room = self._layout.interleave - sector % self._layout.interleave
            length = min(end - sector, room, self._max_sectors)
            cut.append((sector, length))
            sector += length
        return cut

    def _clones(self, sector: int, sectors: int) -> Iterator[tuple[int, int]]:
        """Yield what device mapper makes of a bio: a clone for each piece, the rest queued anew."""
        self._asked.call("block_bio_complete")
        for at, length in self.pieces(sector, sectors):
            self._journal.begin_request()
            self._asked.by(MAP)
            self._asked.call("submit_bio_noacct_nocheck", "block_split", times=at > sector)
            self._asked.call("dm_submit_bio", "bio_alloc_bioset", "dm_integrity_map")
            self._asked.call("bio_endio", times=2)
            yield at, length

    def _wait_in_worker(self) -> None:
        """Go on in a worker, which may sleep (integrity_bio_wait)."""
        self._asked.by(OFFLOAD)
        self._asked.call("integrity_bio_wait", "dm_integrity_map_continue")

    def _read_in_place(self, sector: int, sectors: int, first: int, opf: int) -> None:
        """Read a part of the bio that begins at `first` from its place, then check it."""
        self._asked.call("add_new_range")
        if self._layout.mode == "B":
            self._asked.call("block_bitmap_op")
        self._data(sector, sectors, opf)
        self._tags(sector, sectors, first, write=False)

    def _read_journalled(self, sector: int, sectors: int, first: int, opf: int) -> None:
        """Read a piece of which blocks may be in the journal: part by part, a worker anew after each bio."""
        waited = False
        for at, length, held in self._journal.parts(sector, sectors):
            if waited:
                self._wait_in_worker()
            waited = not held
            if not held:
                self._read_in_place(at, length, first, opf)
                continue
            self._asked.call("add_new_range", "__journal_read_write")
            self._asked.copies(length // self._layout.block_sectors)

    def _data(self, sector: int, sectors: int, opf: int) -> None:
        """Send a clone to the disk; when it is done the target sees it first."""
        self._asked.to_disk(self._layout.data_sector(sector), sectors, opf)
        self._asked.call("integrity_end_io")

    def _set_bitmap(self, sector: int, sectors: int) -> None:
        """Have the bits of a write set on the disk before it goes on (bitmap_block_work)."""
        self._asked.call("block_bitmap_op")
        bits = set(
            range(
                sector // SECTORS_PER_BITMAP_BIT,
                (sector + sectors - 1) // SECTORS_PER_BITMAP_BIT + 1,
            )
        )
        if bits <= self._may_write:
            return
        self._may_write |= bits
        self._asked.by(BITMAP)
        self._asked.call("bitmap_block_work", "rw_journal_sectors")
        self._asked.call("block_bitmap_op", times=3)
        block = min(bits) // BITMAP_BLOCK_BITS
        at = SUPERBLOCK_SECTORS + block * BITMAP_BLOCK_SECTORS
        self._asked.dm_io(at, BITMAP_BLOCK_SECTORS, REQ_OP_WRITE | REQ_FUA | REQ_SYNC)
        self._wait_in_worker()
        self._asked.call("add_new_range", "block_bitmap_op")

    def _write_journalled(self, sector: int, sectors: int) -> None:
        """Enter a piece into the journal; what finds no room waits in a worker until blocks were copied."""
        self._asked.call("dm_integrity_map_continue")
        blocks = sectors // self._layout.block_sectors
        self._hash(blocks)
        while True:
            taken = self._journal.take(sector, blocks)
            blocks -= taken
            sector += taken * self._layout.block_sectors
            if not blocks:
                return
            if not taken:
                self._journal.copy_to_places()
                self._wait_in_worker()

    def _hash(self, blocks: int) -> None:
        """Hash blocks: the sector's number and the data, then the end."""
        if self._own_hash:
            self._asked.call("integrity_sector_checksum", "crypto_shash_final", times=blocks)
            self._asked.call("crypto_shash_update", times=2 * blocks)

    def _tags(self, sector: int, sectors: int, first: int, write: bool) -> None:
        """
        Check or store the tags of a piece of the bio that begins at `first` (integrity_metadata): those of a
        page of data at a time, or those that came with the bio, a page of tags at a time.
        """
        self._asked.call("integrity_metadata")
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
        self._asked.call("dm_integrity_rw_tag")
        start = self._layout.buffer_of(sector)
        at = self._layout.tag_byte(sector) + skip - start * SECTOR_BYTES
        buffer = self._layout.buffer_sectors
        size = buffer * SECTOR_BYTES
        while length:
            start, at = start + at // size * buffer, at % size
            part = min(length, size - at)
            self._buffers.read(start)
            if write:
                self._buffers.mark_dirty(start, at, at + part)
            at += part
            length -= part
