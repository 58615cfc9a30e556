"""
Where dm-integrity charges what it calls: who calls what (drivers/md/dm-integrity.c, dm-bufio.c, Linux 6.1).

A symbol stands below the caller that it has where its job runs; workers are charged as tasks. What is not
told apart: a bio that a worker submits stands, in the layers below, under dm_submit_bio(), as those of
dm-crypt do; a job that a worker queues, under its submitter's call.
"""

from __future__ import annotations

from typing import Final

from sim.block.dm.asked import BITMAP, COMMIT, MAP, METADATA, OFFLOAD, WRITER
from sim.engine.ledger import IRQ, KWORKER, TASK, Ledger, Site
from sim.stack.device_mapper import SUBMITS

_AGAIN: Final = "submit_bio_noacct;submit_bio_noacct_nocheck"
ENTRY: Final = f"submit_bio;submit_bio_noacct submit_bio;{_AGAIN} submit_bio;{_AGAIN};__submit_bio"
"""The way of a bio to dm_submit_bio(), behind submit_bio()."""
ENTRY_BELOW: Final = f"{SUBMITS};submit_bio_noacct {SUBMITS};{_AGAIN} {SUBMITS};{_AGAIN};__submit_bio"
"""The same of the clone of a crypt target."""
WAKERS: Final = {TASK: SUBMITS, IRQ: "bio_endio;integrity_end_io", KWORKER: "process_one_work"}
"""Who queues jobs, by context."""
_THREAD: Final = "ret_from_fork;kthread;worker_thread"
_WORK: Final = f"{_THREAD};process_one_work"
ENTRIES: Final = {
    MAP: "dm_submit_bio",
    OFFLOAD: "integrity_bio_wait",
    METADATA: "integrity_metadata",
    BITMAP: "bitmap_block_work",
    COMMIT: "integrity_commit",
    WRITER: "integrity_writer",
}
"""Who -> the function that its calls are below."""
_CALLERS: Final = {
    "dm_integrity_map": ("dm_submit_bio",),
    "submit_flush_bio": ("dm_integrity_map",),
    "dm_integrity_map_continue": ("dm_integrity_map", "integrity_bio_wait"),
    "add_new_range": ("dm_integrity_map_continue", "do_journal_write"),
    "block_bitmap_op": ("dm_integrity_map_continue", "bitmap_block_work"),
    "integrity_metadata": ("dm_integrity_map_continue",),
    "__journal_read_write": ("dm_integrity_map_continue",),
    "integrity_sector_checksum": ("integrity_metadata", "__journal_read_write"),
    "crypto_shash_update": ("integrity_sector_checksum",),
    "crypto_shash_final": ("integrity_sector_checksum",),
    "dm_integrity_rw_tag": ("integrity_metadata", "do_journal_write"),
    "dm_bufio_read": ("dm_integrity_rw_tag",),
    "dm_bufio_release": ("dm_integrity_rw_tag",),
    "dm_bufio_mark_partial_buffer_dirty": ("dm_integrity_rw_tag",),
    "do_journal_write": ("integrity_writer",),
    "find_newer_committed_node": ("do_journal_write",),
    "dm_bufio_write_dirty_buffers_async": ("do_journal_write",),
    "dm_integrity_flush_buffers": ("integrity_commit", "do_journal_write"),
    "dm_bufio_write_dirty_buffers": ("dm_integrity_flush_buffers",),
    "write_journal": ("integrity_commit",),
    "rw_journal_sectors": ("write_journal", "bitmap_block_work"),
    "dm_io": ("rw_journal_sectors", "do_journal_write", "dm_bufio_write_dirty_buffers"),
}
"""Symbol -> who may call it; the first that is called where the job runs does. The others: its entry."""


def stack_of(who: str, symbol: str) -> str:
    """Return the folded stack of the callers of a symbol, where `who` runs."""
    root = SUBMITS if who == MAP else f"{_WORK};{ENTRIES[who]}"
    if symbol == ENTRIES[who]:
        return root.rpartition(";")[0]
    return ";".join([root, *(_path(who, symbol) or [])])


def _path(who: str, symbol: str) -> list[str] | None:
    """Return the callers of a symbol below the entry, None if it is not called from there."""
    if symbol == ENTRIES[who]:
        return []
    for caller in _CALLERS.get(symbol, ()):
        if caller == ENTRIES[who]:
            return []
        above = _path(who, caller)
        if above is not None:
            return [*above, caller]
    return None


class IntegritySites:
    """The sites of a target. algorithm: the symbol of its hash. Each is declared when it is first charged."""

    def __init__(self, ledger: Ledger, algorithm: str) -> None:
        self._ledger = ledger
        self._algorithm = algorithm
        self._calls: dict[tuple[str, str], Site] = {}
        self._hashes: dict[str, Site] = {}
        self._copies: dict[str, Site] = {}
        self.work = ledger.site(TASK, _THREAD, "process_one_work")
        self.sleep = ledger.site(TASK, _WORK, "schedule")

    def call(self, who: str, symbol: str) -> Site:
        """Return the site of a symbol where `who` runs."""
        site = self._calls.get((who, symbol))
        if site is None:
            site = self._ledger.site(TASK, stack_of(who, symbol), symbol)
            self._calls[who, symbol] = site
        return site

    def hashed(self, who: str) -> Site:
        """Return the site of hashing a block, in bytes."""
        site = self._hashes.get(who)
        if site is None:
            checksum, algorithm = "integrity_sector_checksum", self._algorithm
            words = f"{checksum} {checksum};{algorithm}"
            site = self._ledger.site(TASK, stack_of(who, checksum), words, unit=algorithm)
            self._hashes[who] = site
        return site

    def copied(self, who: str) -> Site:
        """Return the site of copying to the journal's memory, or from it, in bytes."""
        site = self._copies.get(who)
        if site is None:
            copies = "__journal_read_write"
            site = self._ledger.site(TASK, stack_of(who, copies), copies, unit=copies)
            self._copies[who] = site
        return site
