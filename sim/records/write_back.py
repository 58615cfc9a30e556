"""
Write-back beside the reads of a recording: what it called, as a constant vector.

While a freshly mounted file system is read, its lazily written metadata goes out once: bitmaps and inode
tables are read and a few blocks written, the same in every recording on a file system of that block size.
In two recordings pages of another file are written instead, in bios of 32 pages. A record whose writes are
none of these is not exact: what other tasks call too is then left out, and named.
"""

from __future__ import annotations

from typing import Any, Final

from sim.records.counters import PER_REQUEST
from sim.records.devices import NULL_BLK, device_name

_BIO: Final = (
    "submit_bio",
    "submit_bio_noacct",
    "submit_bio_noacct_nocheck",
    "__submit_bio",
    "bio_alloc_bioset",
    "bio_add_page",
    "bio_endio",
    "bio_free",
    "bio_put",
    "blk_mq_submit_bio",
    "blk_attempt_plug_merge",
)
"""Called once for every bio that is written."""
_OF_BLOCKS: Final = ("submit_bh", "submit_bh_wbc", "end_bio_bh_io_sync")
"""Called once for every block of metadata that is written."""


def _metadata(
    writes: int, requests: int, heads: int, block_pages: int, pages: int, touched: int
) -> dict[str, int]:
    """Return the calls of `writes` blocks of metadata that go out as `requests`, merged under one plug."""
    return (
        dict.fromkeys((*_BIO, *_OF_BLOCKS), writes)
        | {"alloc_page_buffers": block_pages, "alloc_buffer_head": heads}
        | dict.fromkeys(("filemap_add_folio", "__filemap_add_folio", "filemap_alloc_folio"), pages)
        | {"folio_mark_accessed": touched, "__blk_flush_plug": 1, "plug": 1}
        | dict.fromkeys(PER_REQUEST, requests)
        | {"bio_backmerge": writes - requests, "meta_bios": writes}
    )


METADATA: Final = {
    (4096, 4): _metadata(4, 2, heads=5, block_pages=5, pages=9, touched=8),
    (1024, 23): _metadata(23, 11, heads=64, block_pages=16, pages=19, touched=29),
}
"""(block size, bios written) -> calls and events, as 12 recordings have them alike."""

PAGES_PER_BIO: Final = 32


def _data(writes: int) -> dict[str, int]:
    """Return the calls of `writes` bios of 32 pages each, which the flusher's plug sends to be inserted."""
    return (
        dict.fromkeys(_BIO, writes)
        | {"bio_add_page": writes * PAGES_PER_BIO}
        | dict.fromkeys(PER_REQUEST, writes)
        | {"rq_insert": writes, "plug": writes, "unplug": writes, "__blk_flush_plug": 3 * writes}
    )


def writes_beside(record: dict[str, Any]) -> int:
    """Return how many bios of a record were no reads: its histograms are of reads only."""
    return int(record["blk"]["bio_queue"] - sum(record["blk"]["bio_sectors_hist"].values()))


def beside(record: dict[str, Any]) -> dict[str, int] | None:
    """
    Return what the writes of a record called, by counter; None if unknown, as on other devices than null_blk.

    Empty where only reads were queued.
    """
    writes, metadata = writes_beside(record), record["blk"]["meta_bios"]
    if not writes:
        return {}
    if writes < 0 or device_name(record, str(record["case"])) != NULL_BLK:
        return None
    if metadata:
        return METADATA.get((int(record["block_size"]), writes)) if metadata == writes else None
    return _data(writes)
