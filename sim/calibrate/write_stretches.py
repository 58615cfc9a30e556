"""
What writing's recorded symbols hang on: the stretches of ext4's write path of 6.1, as data.

Symbols that stand in no stretch are one of their own: instructions over calls. `RIG` is what the recordings
have besides: null_blk's memory, the rig's own program, and what the model leaves out.
"""

from __future__ import annotations

from typing import Final

from sim.calibrate.constants import SELF, Constant
from sim.calibrate.stretches import Stretch, own

SECTORS: Final[Constant] = ("null_blk: sectors written", SELF)
PAGES: Final[Constant] = ("null_blk: pages of its memory taken", SELF)
REQUESTS: Final[Constant] = ("null_blk: requests", SELF)
SEGMENTS: Final[Constant] = ("null_blk: bios in its requests", SELF)
PHASE: Final[Constant] = ("the rig's program: a phase", SELF)
CALLS: Final[Constant] = ("the rig's program: a call", SELF)
THROTTLED: Final[Constant] = ("requests of data beyond 16 in flight", SELF)
RIG: Final = {
    SECTORS: "a sector copied",
    PAGES: "a page allocated, cleared and put into its tree",
    REQUESTS: "a command",
    SEGMENTS: "a bio of a command",
    PHASE: "reading the script",
    CALLS: "its loop round a system call",
    THROTTLED: "blk-wbt, which the model leaves out: a worker sends what the writer plugged, and wakes it",
}
"""Quantities of the recordings that are no part of a profile."""

_BIOS = own("ext4_end_bio", "end_buffer_async_write", "journal_end_buffer_io_sync", "__mpage_writepage")

STRETCHES: Final = (
    Stretch(("null_handle_cmd",), (SECTORS, PAGES, REQUESTS, SEGMENTS)),
    Stretch(("user",), (PHASE, CALLS)),
    Stretch(
        ("clear_page_erms", "alloc_buffer_head"),
        (PAGES, *own("fscrypt_encrypt_pagecache_blocks", "jbd2_journal_add_journal_head")),
    ),
    Stretch(
        (
            "submit_bio",
            "submit_bio_noacct",
            "submit_bio_noacct_nocheck",
            "__submit_bio",
            "bio_alloc_bioset",
            "bvec_alloc",
            "bvec_free",
            "bio_add_page",
            "bio_put",
            "bio_free",
            "bio_endio",
            "blk_mq_submit_bio",
            "blk_attempt_plug_merge",
            "__blk_mq_alloc_requests",
            "blk_mq_start_request",
            "blk_mq_complete_request",
            "null_queue_rq",
            "blk_mq_end_request",
            "blk_update_request",
            "__blk_mq_end_request",
            "blk_mq_free_request",
            "blk_mq_flush_plug_list",
            "__blk_flush_plug",
            "blk_finish_plug",
            "blk_mq_try_issue_directly",
            "mpage_end_io",
            "page_endio",
        ),
        _BIOS,
    ),
    Stretch(
        (
            "schedule",
            "io_schedule",
            "try_to_wake_up",
            "preempt_schedule_common",
            "process_one_work",
            "mod_delayed_work_on",
            "blk_mq_insert_requests",
            "blk_mq_sched_dispatch_requests",
            "blk_mq_dispatch_rq_list",
            "__wait_on_buffer",
        ),
        (THROTTLED, *own("jbd2_journal_commit_transaction")),
    ),
    Stretch(
        (
            "grab_cache_page_write_begin",
            "pagecache_get_page",
            "__filemap_get_folio",
            "filemap_alloc_folio",
            "filemap_add_folio",
            "__filemap_add_folio",
            "folio_add_lru",
            "folio_mark_accessed",
            "__find_get_block",
            "__getblk_gfp",
        ),
        own(
            "grab_cache_page_write_begin",
            "__find_get_block",
            "jbd2_journal_cancel_revoke",
            "jbd2_journal_next_log_block",
        ),
    ),
    Stretch(
        (
            "ext4_block_write_begin",
            "__block_write_begin_int",
            "create_page_buffers",
            "create_empty_buffers",
            "alloc_page_buffers",
        ),
        own(
            "ext4_block_write_begin",
            "__block_write_begin_int",
            "ext4_da_get_block_prep",
            "_ext4_get_block",
            "do_journal_get_write_access",
        ),
    ),
    Stretch(
        (
            "_ext4_get_block",
            "ext4_get_block",
            "ext4_da_get_block_prep",
            "ext4_map_blocks",
            "ext4_es_lookup_extent",
            "ext4_ext_map_blocks",
            "ext4_find_extent",
            "ext4_cache_extents",
            "ext4_es_cache_extent",
            "jbd2_journal_bmap",
        ),
        own(
            "_ext4_get_block",
            "ext4_da_get_block_prep",
            "ext4_da_reserve_space",
            "jbd2_journal_next_log_block",
            "ext4_ext_insert_extent",
        ),
    ),
    Stretch(
        ("generic_write_end", "block_write_end"),
        own("generic_write_end", "block_write_end", "mark_buffer_dirty"),
    ),
    Stretch(("jbd2__journal_start",), own("jbd2__journal_start", "start_this_handle")),
    Stretch(("jbd2_journal_stop",), own("jbd2_journal_stop", "stop_this_handle")),
    Stretch(("jbd2_journal_dirty_metadata",), own("jbd2_journal_dirty_metadata", "jbd2_journal_file_buffer")),
    Stretch(("jbd2_journal_get_write_access",), own("jbd2_journal_get_write_access", "do_get_write_access")),
    Stretch(("ext4_journalled_write_end",), own("ext4_journalled_write_end", "write_end_fn")),
    Stretch(("generic_perform_write",), own("generic_perform_write", "balance_dirty_pages_ratelimited")),
    Stretch(("folio_unlock", "unlock_page"), own("wait_for_stable_page")),
    Stretch(
        ("mpage_prepare_extent_to_map", "mpage_process_page_bufs"),
        (
            *own("mpage_prepare_extent_to_map", "mpage_process_page_bufs", "io_submit_add_bh"),
            ("mpage_process_page_bufs", "buffer"),
        ),
    ),
    Stretch(
        ("write_cache_pages", "__writepage", "__mpage_writepage", "do_writepages", "mpage_writepages"),
        own("write_cache_pages", "__writepage", "__mpage_writepage", "bh_writepage"),
    ),
    Stretch(
        ("pagevec_lookup_range_tag", "release_pages", "mpage_release_unused_pages", "filemap_get_folios"),
        own("pagevec_lookup_range_tag", "mpage_process_page_bufs", "__writepage", "__mpage_writepage")
        + own("mpage_release_unused_pages", "grab_cache_page_write_begin"),
    ),
    Stretch(("tag_pages_for_writeback",), own("tag_pages_for_writeback", "__folio_start_writeback")),
    Stretch(("ext4_bio_write_page",), own("ext4_bio_write_page", "io_submit_add_bh", "ext4_end_bio")),
    Stretch(("ext4_finish_bio",), own("ext4_finish_bio", "ext4_bio_write_page", "io_submit_add_bh")),
    Stretch(("__block_write_full_page",), own("__block_write_full_page", "end_buffer_async_write")),
    Stretch(
        ("submit_bh_wbc", "submit_bh", "end_bio_bh_io_sync"),
        own("end_buffer_async_write", "journal_end_buffer_io_sync"),
    ),
    Stretch(
        ("jbd2_journal_commit_transaction", "-", "__jbd2_journal_remove_checkpoint", "kjournald2"),
        own("jbd2_journal_commit_transaction", "jbd2_journal_write_metadata_buffer"),
    ),
    Stretch(
        (
            "fscrypt_encrypt_pagecache_blocks",
            "fscrypt_crypt_block",
            "fscrypt_generate_iv",
            "crypto_skcipher_encrypt",
            "xts_encrypt",
            "aesni_xts_encrypt",
            "aesni_enc",
        ),
        own("fscrypt_encrypt_pagecache_blocks"),
    ),
    Stretch(("ext4_mb_complex_scan_group",), own("ext4_mb_complex_scan_group", "mb_find_extent")),
    Stretch(("ext4_mb_regular_allocator",), own("ext4_mb_regular_allocator", "ext4_mb_good_group")),
)
"""The bytes of copy_page_from_iter_atomic() are stated, one instruction each (write_costs.py)."""
