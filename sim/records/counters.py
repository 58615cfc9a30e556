"""
Every counter of a record: what it is compared with, or why it is not.

A record has calls per kernel symbol (kprobes) and events of the block layer (tracepoints). Some symbols
other tasks call too; what write-back called is known (write_back.py) and taken off, what is anybody's is
compared one way. Beside the comparison with the simulator, a record is held against itself
(contradictions.py): where a probe and a tracepoint stand for one event they must agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

READ_PATH: Final = (
    "ext4_get_block",
    "ext4_map_blocks",
    "ext4_es_lookup_extent",
    "ext4_ext_map_blocks",
    "ext4_find_extent",
    "ext4_es_insert_extent",
    "ext4_es_cache_extent",
    "ext4_cache_extents",
    "__read_extent_tree_block",
    "ext4_read_bh",
    "ext4_mpage_readpages",
    "ext4_readahead",
    "ext4_mpage_end_io",
    "__read_end_io",
    "bio_post_read_processing",
    "block_read_full_folio",
    "create_empty_buffers",
    "end_buffer_async_read",
    "end_buffer_async_read_io",
    "mpage_readahead",
    "do_mpage_readpage",
    "page_cache_ra_unbounded",
    "ondemand_readahead",
    "page_cache_ra_order",
    "force_page_cache_ra",
    "page_cache_sync_ra",
    "page_cache_async_ra",
    "read_pages",
    "filemap_read",
    "filemap_read_folio",
    "filemap_create_folio",
    "filemap_update_page",
    "ext4_read_folio",
    "mpage_read_folio",
    "fscrypt_decrypt_pagecache_blocks",
    "fscrypt_crypt_block",
    "fscrypt_decrypt_bio",
    "fscrypt_generate_iv",
    "crypto_skcipher_decrypt",
    "xts_decrypt",
    "dm_submit_bio",
    "crypt_map",
    "kcryptd_io_read",
    "crypt_endio",
    "kcryptd_queue_crypt",
    "kcryptd_crypt",
    "crypt_convert",
    "iomap_readahead",
    "iomap_read_folio",
    "iomap_iter",
    "iomap_readpage_iter",
    "iomap_page_create",
    "iomap_read_end_io",
    "ecryptfs_read_folio",
    "ecryptfs_decrypt_page",
    "ecryptfs_read_lower",
    "crypt_scatterlist",
    "bvec_alloc",
)
"""Symbols that no other task of the recorded machine calls: compared exactly, always."""

VIRTIO: Final = ("virtio_queue_rqs", "virtio_queue_rq")
"""How virtio_blk is given requests: a plug's list at once, or one."""

RAM_DRIVERS: Final = ("gtram_submit", "rtram_submit")
"""The rigs' RAM devices, given a bio."""

SHARED: Final = (
    "create_page_buffers",
    "submit_bh",
    "submit_bh_wbc",
    "alloc_page_buffers",
    "alloc_buffer_head",
    "end_bio_bh_io_sync",
    "submit_bio",
    "submit_bio_noacct",
    "submit_bio_noacct_nocheck",
    "__submit_bio",
    "bio_alloc_bioset",
    "bio_add_page",
    "bio_add_folio",
    "bio_endio",
    "bio_free",
    "bio_put",
    "blk_mq_submit_bio",
    "blk_attempt_plug_merge",
    "blk_mq_complete_request",
    "blk_mq_end_request",
    "filemap_add_folio",
    "__filemap_add_folio",
    "filemap_alloc_folio",
    "folio_mark_accessed",
    "__blk_flush_plug",
    "__blk_mq_alloc_requests",
    "bio_split",
    "null_queue_rq",
    *VIRTIO,
    "null_submit_bio",
    *RAM_DRIVERS,
    "dd_insert_requests",
)
"""Symbols that write-back calls too: compared exactly, less what is known of the writes beside the reads."""

RENAMED: Final = {
    "virtio_queue_rqs": "lists issued",
    "virtio_queue_rq": "requests issued one by one",
    "gtram_submit": "bios to gtram",
    "rtram_submit": "bios to rtram",
    "__blk_mq_alloc_requests": "requests taken",
    "bio_split": "bios split",
    "block_is_partially_uptodate": "filemap_update_page",
    "iomap_is_partially_uptodate": "filemap_update_page",
    "iomap_iop_set_range_uptodate": "pieces of pages of smaller blocks",
    "xfs_file_read_iter": "filemap_read",
    "xfs_vm_readahead": "iomap_readahead",
    "xfs_vm_read_folio": "iomap_read_folio",
    "xfs_bmbt_to_iomap": "ext4_iomap_begin",
    "xfs_iext_lookup_extent": "ext4_iomap_begin",
    "xfs_iread_extents": "ext4_iomap_begin",
    "xfs_read_iomap_begin": "ext4_iomap_begin",
    "xfs_bmapi_read": "ext4_map_blocks",
}
"""
Recorded symbols that have another name here, or none: a symbol of ours, or a quantity of `measures`.

iomap asks its file system where blocks lie; the recordings' is XFS, ours ext4. Below these calls the two have
nothing in common, so on XFS no symbol of ext4 is compared.
"""

NOT_COMPARED: Final = {
    "filemap_get_read_batch": "how a read falls into batches depends on which pages have come meanwhile",
    "free_buffer_head": "nothing is reclaimed in a recording: a slab frees what another task dropped",
    "mark_page_accessed": "a look-up touches a page by what the CPU's own list of buffers holds",
    "workingset_refault": "nothing is reclaimed in a recording",
    "blk_mq_flush_plug_list": "held against the record's __blk_flush_plug: a full plug's call is inlined",
}
"""Counters that no simulation can give, each with why."""

AT_LEAST: Final = {
    "folio_unlock": "every task unlocks pages of its own",
    "unlock_page": "every task unlocks pages of its own",
    "folio_add_lru": "pages of other tasks join the lists too",
    "queue_work_on": "every task and interrupt queues work",
}
"""Symbols that anybody calls, each with why: a record may have more of them than a simulation, not fewer."""

ONE_PAGE_READS: Final = {
    "filemap_get_pages": "a read of several pages falls into batches by which pages have come: time decides"
}
"""Compared where every read is within one page; else not, for this reason."""

BLOCK_EVENTS: Final = {
    "bio_backmerge": "back merges",
    "bio_frontmerge": "front merges",
    "getrq": "requests taken",
    "rq_issue": "requests issued",
    "rq_complete": "requests completed",
    "rq_insert": "requests inserted",
    "rq_merge": "requests merged with requests",
    "split": "bios split",
    "plug": "plugs begun",
    "unplug": "plugs that went to the scheduler",
    "bio_complete": "bios ended by a stacked device",
    "meta_bios": "bios of metadata",
}
"""Events of the block layer and what they are here; `bio_queue`: all bios, reads and writes beside them."""

WRITES_TOO: Final = (*SHARED, *BLOCK_EVENTS)
"""What bios that are written count in as well."""

PER_REQUEST: Final = (
    "getrq",
    "rq_issue",
    "rq_complete",
    "__blk_mq_alloc_requests",
    "null_queue_rq",
    "blk_mq_complete_request",
    "blk_mq_end_request",
)
"""Of these, what happens once for every request that null_blk is given."""

BY_TIME: Final = (
    *PER_REQUEST,
    "bio_backmerge",
    "bio_frontmerge",
    "rq_insert",
    "rq_sectors_hist",
    "plug",
    "unplug",
    "__blk_flush_plug",
    "dd_insert_requests",
)
"""What an elevator decides: what merges with what, and what goes down together."""

UNMERGED: Final = (*PER_REQUEST, "bio_backmerge", "bio_frontmerge", "rq_insert", "rq_sectors_hist")
"""Of these, what it does not decide where no bio lies beside another: each is a request."""


@dataclass(frozen=True, slots=True)
class SameEvent:
    """A probe and a tracepoint of one event; `plus`: a tracepoint whose events the probe sees as well."""

    probe: str
    tracepoint: str
    plus: str = ""


SAME_EVENTS: Final = (
    SameEvent("submit_bio_noacct", "bio_queue", plus="split"),
    SameEvent("blk_mq_end_request", "rq_complete"),
    SameEvent("blk_mq_complete_request", "rq_complete"),
    SameEvent("__blk_mq_alloc_requests", "getrq"),
)
"""
What a record says twice. A probe that saw less lost hits: kprobes miss those in interrupts while another
runs.
"""

DRIVER_PROBE: Final = "null_queue_rq"
"""The probe that sees each request issued to null_blk, and nothing of other devices."""

LEAST: Final = (
    "filemap_read",
    "read_pages",
    "page_cache_ra_unbounded",
    "page_cache_sync_ra",
    "submit_bio_noacct",
    "bio_endio",
    "filemap_add_folio",
    "ext4_map_blocks",
    "ext4_get_block",
    "ext4_ext_map_blocks",
    "block_read_full_folio",
    "mpage_readahead",
    "ext4_readahead",
    "alloc_buffer_head",
)
"""What every record must have counted, if only 0: reads, mapping, bios, buffer heads."""


def known() -> frozenset[str]:
    """Return all symbols that a record may have counted."""
    return frozenset((*READ_PATH, *SHARED, *RENAMED, *NOT_COMPARED, *AT_LEAST, *ONE_PAGE_READS))
