"""
What of a recorded write case is compared, and why the rest is not.
"""

from __future__ import annotations

from typing import Any, Final

NOT_COMPARED: Final = {
    "folio_unlock": "every task unlocks pages of its own",
    "queue_work_on": "every task and interrupt queues work",
    "__find_get_block": "the block device's own mapping, which other tasks look into, too",
    "__getblk_gfp": "the block device's own mapping, which other tasks look into, too",
    "pagecache_get_page": "the block device's own mapping, which other tasks look into, too",
    "__filemap_get_folio": "the block device's own mapping, which other tasks look into, too",
    "blk_mq_flush_plug_list": "every sleep of every task passes it",
    "balance_dirty_pages": "a counter of the task's, which it brings along from before",
    "jbd2_journal_try_remove_checkpoint": "whether old metadata is found clean: time decides",
    "__jbd2_journal_remove_checkpoint": "whether old metadata is found clean: time decides",
    "wb_workfn": "how often the flusher wakes: timers decide",
    "wb_writeback": "how often the flusher wakes: timers decide",
    "writeback_sb_inodes": "how often the flusher wakes: timers decide",
    "__writeback_inodes_wb": "how often the flusher wakes: timers decide",
    "wb_start_writeback": "how often the flusher wakes: timers decide",
    "ext4_end_io_rsv_work": "how many ends of I/O a worker finds when it runs: time decides",
}
"""Counters that no simulation can give, each with why (NOTES of the recordings)."""

CONVERTS: Final = ("folio_wait_writeback", "pagevec_lookup_range_tag")
CONVERTING = "unwritten extents are converted by a worker: how many pages a waiter finds is by time"
RESERVING = "the writer waits for credits that the worker gives back: what merges with what is by time"
RESERVED: Final = ("add_transaction_credits", "blk_mq_end_request", "ext4_ext_try_to_merge_right")
REQUESTS: Final = (
    "blk_attempt_plug_merge",
    "blk_flush_complete_seq",
    "blk_insert_flush",
    "blk_mq_end_request",
    "blk_mq_submit_bio",
    "bio_split",
)
OTHER_DEVICE = "requests behind the plug were recorded exactly on null_blk alone"
LOOP = "the loop driver writes to its own file"
SYNCFS: Final = (
    "bio_endio",
    "blk_flush_complete_seq",
    "blk_insert_flush",
    "blk_mq_end_request",
    "blk_mq_submit_bio",
    "blkdev_issue_flush",
    "folio_wait_writeback",
    "jbd2_log_wait_commit",
    "submit_bio",
    "submit_bio_noacct",
    "submit_bio_noacct_nocheck",
    "submit_bio_wait",
)
COMMITS = "whether the commit that sync begins has ended when it is asked for: time decides"


def left_out(record: dict[str, Any], converts: bool, waits: bool) -> dict[str, str]:
    """
    Return the counters that are not compared in a case, each with the reason.

    converts: unwritten extents were converted; waits: so many that the writer waited for credits.
    """
    found = dict(NOT_COMPARED)
    if converts:
        found |= dict.fromkeys(CONVERTS, CONVERTING)
    if waits:
        found |= dict.fromkeys(RESERVED, RESERVING)
    if record["sync"] == "syncfs":
        found |= dict.fromkeys(SYNCFS, COMMITS)
    if record["device"] not in ("nullb", "nullb-nocache"):
        found |= dict.fromkeys(REQUESTS, OTHER_DEVICE)
    return found
