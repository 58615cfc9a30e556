"""
What of a recorded write case is compared, and why the rest is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sim.units import MIB

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
ROUNDS: Final = (
    "mpage_prepare_extent_to_map",
    "mpage_process_page_bufs",
    "mpage_submit_page",
    "mpage_release_unused_pages",
    "ext4_bio_write_page",
    "ext4_init_io_end",
    "ext4_alloc_io_end_vec",
    "ext4_end_bio",
    "ext4_finish_bio",
    "ext4_convert_unwritten_extents",
    "fscrypt_crypt_block",
)
"""What is the same whenever the worker runs."""
BESIDE = "the journal's thread commits while the writer goes on: what is written in place when is by time"
LOGGED: Final = (
    "generic_perform_write",
    "ext4_write_begin",
    "ext4_journalled_write_end",
    "ext4_block_write_begin",
    "do_journal_get_write_access",
    "write_end_fn",
    "_ext4_get_block",
    "create_empty_buffers",
    "jbd2_journal_commit_transaction",
    "jbd2_journal_write_metadata_buffer",
    "jbd2_journal_get_descriptor_buffer",
    "jbd2_journal_next_log_block",
    "journal_submit_commit_record",
)
"""What is the same whenever the thread commits."""
REQUESTS: Final = (
    "blk_attempt_plug_merge",
    "blk_flush_complete_seq",
    "blk_insert_flush",
    "blk_mq_end_request",
    "blk_mq_submit_bio",
    "bio_split",
)
OTHER_DEVICE = "what lies behind the plug, and when it ends, was recorded exactly on null_blk alone"
LOOP_WRITES: Final = (
    "generic_perform_write",
    "balance_dirty_pages_ratelimited",
    "balance_dirty_pages_ratelimited_flags",
    "folio_mark_dirty",
    "__mark_inode_dirty",
)
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
VISITS: Final = "__writeback_single_inode"
"""With data=journal a commit makes pages dirty in their place: if it has ended, sync finds them."""


def beside_the_writer(record: dict[str, Any]) -> bool:
    """
    Tell whether the journal's thread commits while the writer goes on: the border of the phases is time's
    then.

    So it is where more data is journalled than a transaction takes.
    """
    return str(record["mode"]) == "j" and int(record["total"]) >= MIB


NOTHING: Final = ""
IN_PLACE_AND_FLUSHES: Final = "bios of metadata in place, and flushes"
FLUSHES: Final = "flushes"
OF_THE_JOURNAL: Final = "bios of the journal, and flushes"
ALL_BUT_DATA: Final = "bios but those of data"
ALL_BIOS: Final = "bios"
"""Which bios are left out of a comparison."""
DROPPED: Final = (
    "__es_remove_extent",
    "block_invalidate_folio",
    "ext4_da_release_space",
    "ext4_discard_preallocations",
    "ext4_es_remove_extent",
    "ext4_sync_fs",
    "jbd2_journal_invalidate_folio",
    "jbd2_journal_try_to_free_buffers",
    "sync_blockdev",
)
"""What of umount is the same whether it has a transaction to commit or not."""
TICKS: Final = "which of the writes fell into a new tick: it decides which transaction has the inode"
UMOUNT: Final = "umount"


PAGES: Final = ("free_buffer_head", "try_to_free_buffers")
SETUP = "which pages of the log are in memory: what came before the first phase is not all simulated"
FREED: Final = (
    "bio_add_page",
    "bio_alloc_bioset",
    "bio_endio",
    "bio_free",
    "bio_put",
    "blk_flush_complete_seq",
    "blk_insert_flush",
    "blk_mq_end_request",
    "blk_mq_submit_bio",
    "blkdev_issue_flush",
    "end_bio_bh_io_sync",
    "end_buffer_write_sync",
    "jbd2_journal_update_sb_log_tail",
    "jbd2_log_do_checkpoint",
    "jbd2_write_superblock",
    "submit_bh",
    "submit_bh_wbc",
    "submit_bio",
    "submit_bio_noacct",
    "submit_bio_noacct_nocheck",
    "submit_bio_wait",
)
BITMAPS = "which bitmaps are in memory: mkdir reads some, on a volume where others are still to be made"
UNLINKS = "which old transactions the journal still lists: a file was removed before, and time decides"
DEVICE_FLUSHED: Final = (
    "__filemap_fdatawait_range",
    "blkdev_writepages",
    "do_writepages",
    "filemap_fdatawait_range",
    "generic_writepages",
    "pagevec_lookup_range_tag",
    "tag_pages_for_writeback",
    "write_cache_pages",
)
THRESHOLD = "the flusher came to the device's pages before umount did: its threshold decides"


def flushed_beside(record: dict[str, Any]) -> bool:
    """Tell whether the flusher wrote on its own in the phase of umount."""
    counts = [phase["counts"] for phase in record["phases"] if phase["name"] == UMOUNT]
    return any(each.get("__writeback_inodes_wb") for each in counts)


def makes_directory(record: dict[str, Any]) -> bool:
    """Tell whether a script makes a directory."""
    return any(line.startswith("mkdir ") for line in record["script"])


def unlinks(record: dict[str, Any]) -> bool:
    """Tell whether a script removes a file."""
    return any(line.startswith("unlink ") for line in record["script"])


@dataclass(frozen=True, slots=True)
class Happened:
    """
    What a simulated case did that decides what can be compared.

    ticks, grew: how many of its `writes` fell into a new tick, made a file longer. converts: unwritten
    extents were converted; waits: so many that the writer waited for credits. late, converts_late: umount had
    something to commit, or to convert. all_simulated: the log was as in the record when the first phase
    began. makes_bitmaps: the volume has block bitmaps that are still to be made, in several flex groups.
    """

    ticks: int = 0
    writes: int = 0
    grew: int = 0
    converts: bool = False
    waits: bool = False
    late: bool = False
    converts_late: bool = False
    all_simulated: bool = True
    makes_bitmaps: bool = False


def _reserves(record: dict[str, Any], phase: str, happened: Happened) -> bool:
    """Tell whether a worker converts extents while a sync commits, or a writer waits for credits."""
    if happened.waits or (happened.converts and record["sync"] == "syncfs"):
        return True
    return phase == UMOUNT and happened.converts_late


def _ticks_decide(record: dict[str, Any], happened: Happened) -> bool:
    """
    Tell whether it matters which writes had a new tick: a sync comes behind each, and some had one, some not.

    The inode of a file that was just made, or that grows, is in a transaction anyway; a device has none.
    """
    each = str(record["sync"]).endswith("_each") and record["group"] not in ("many", "bdev")
    return each and 0 < happened.ticks < happened.writes and happened.grew < happened.writes


def bios_left_out(record: dict[str, Any], phase: str, happened: Happened) -> tuple[str, str]:
    """Return which bios of a phase are left out, and why."""
    if beside_the_writer(record):
        return ALL_BIOS, BESIDE
    if _reserves(record, phase, happened):
        return ALL_BUT_DATA, RESERVING
    if _ticks_decide(record, happened):
        return ALL_BUT_DATA, TICKS
    if record["sync"] == "syncfs" and record["mode"] == "j":
        return ALL_BIOS, COMMITS
    if record["sync"] == "syncfs" and phase != UMOUNT:
        return IN_PLACE_AND_FLUSHES, COMMITS
    if phase == UMOUNT and unlinks(record):
        return OF_THE_JOURNAL, UNLINKS
    if phase == UMOUNT and flushed_beside(record):
        return IN_PLACE_AND_FLUSHES, THRESHOLD
    if phase == UMOUNT and happened.late:
        return FLUSHES, COMMITS
    return NOTHING, ""


def left_out(
    record: dict[str, Any], probes: frozenset[str], phase: str, happened: Happened
) -> dict[str, str]:
    """
    Return the counters that are not compared in a phase, each with the reason. probes: all that were counted.
    """
    found = dict(NOT_COMPARED)
    if happened.converts:
        found |= dict.fromkeys(CONVERTS, CONVERTING)
    if _reserves(record, phase, happened):
        found |= dict.fromkeys(probes.difference(ROUNDS), RESERVING)
    if phase == UMOUNT and record["mode"] in ("on", "wn") and _ticks_decide(record, happened):
        found |= dict.fromkeys(probes.difference(DROPPED), TICKS)
    if beside_the_writer(record):
        found |= dict.fromkeys(probes.difference(LOGGED), BESIDE)
    if record["sync"] == "syncfs" and record["mode"] == "j":
        found |= dict.fromkeys(probes.difference(LOGGED), COMMITS)
    if (record["sync"] == "syncfs" and phase != UMOUNT) or (phase == UMOUNT and happened.late):
        found |= dict.fromkeys(SYNCFS, COMMITS)
    if phase == UMOUNT and happened.late and record["mode"] == "j":
        found[VISITS] = COMMITS
    if phase == UMOUNT and not happened.all_simulated:
        found |= dict.fromkeys(PAGES, SETUP)
    if phase == UMOUNT and happened.makes_bitmaps and makes_directory(record):
        found |= dict.fromkeys(PAGES, BITMAPS)
    if phase == UMOUNT and unlinks(record):
        found |= dict.fromkeys(FREED, UNLINKS)
    if phase == UMOUNT and flushed_beside(record):
        found |= dict.fromkeys(DEVICE_FLUSHED, THRESHOLD)
    if record["device"] not in ("nullb", "nullb-nocache"):
        found |= dict.fromkeys((*REQUESTS, *CONVERTS), OTHER_DEVICE)
    if record["device"] == "loop":
        found |= dict.fromkeys(LOOP_WRITES, LOOP)
    return found
