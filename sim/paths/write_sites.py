"""
Where write(2) charges what it calls: the sites of buffered_write.py, by pair of write_begin and write_end.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.cache.page_cache_ra import INSERT_SYMBOLS
from sim.engine.ledger import TASK, Ledger, Site, under
from sim.fs.bdev_buffers import BH_SYMBOLS, BH_WBC
from sim.paths.page_bio import WRITE_CONTEXT
from sim.paths.post_read_steps import CipherCalls
from sim.paths.write_calls import BEGIN, GRAB, LOOP, MODES, calls_of_page, calls_of_write

MakeSite = Callable[..., Site]
"""Ledger.site()."""


class WriteSites:
    """
    The sites of one file system. decrypt: what is called for a block that was read first. caller: of its
    ->write_iter.
    """

    def __init__(self, ledger: Ledger, decrypt: CipherCalls, caller: str) -> None:
        self._up = f"{caller};{LOOP}"
        self._place(ledger.site, caller)
        self._place_blocks(ledger.site, decrypt)

    def _place(self, site: MakeSite, caller: str) -> None:
        """Find the places of what a call and each of its pages make."""
        up = self._up
        self._s_call = site(TASK, "", calls_of_write(caller))
        caps = "ext4_buffered_write_iter;file_remove_privs;ext4_xattr_get"
        self._s_caps = site(TASK, caps, "ext4_get_inode_loc ext4_get_inode_loc;__ext4_get_inode_loc")
        self._s_page = [
            site(TASK, "", calls_of_page(mode, caller), unit="copy_page_from_iter_atomic") for mode in MODES
        ]
        self._s_new = [site(TASK, f"{up};{begin}", INSERT_SYMBOLS) for begin in BEGIN]
        self._s_heads = [
            site(TASK, f"{up};{begin}", "create_empty_buffers create_empty_buffers;alloc_page_buffers")
            for begin in BEGIN
        ]
        self._s_head = [
            site(TASK, heads, f"alloc_buffer_head /{heads}:block", unit="alloc_buffer_head")
            for heads in (f"{up};{begin};create_empty_buffers;alloc_page_buffers" for begin in BEGIN)
        ]
        self._s_stable = [site(TASK, f"{up};{begin};{GRAB}", "folio_wait_stable") for begin in BEGIN]

    def _place_blocks(self, site: MakeSite, decrypt: CipherCalls) -> None:
        """Find the places of what blocks of a page make."""
        up = self._up
        self._s_get_block = site(
            TASK, f"{up};ext4_write_begin", "ext4_get_block ext4_get_block;_ext4_get_block"
        )
        self._s_read = site(
            TASK,
            f"{up};ext4_block_write_begin",
            f"ext4_read_bh_lock {under('ext4_read_bh_lock', BH_SYMBOLS)}",
        )
        self._s_read_plain = site(TASK, f"{up};__block_write_begin_int", BH_WBC)
        self._s_decrypt = site(
            TASK,
            f"{up};ext4_block_write_begin",
            f"{decrypt.page} {decrypt.unit}",
            unit=decrypt.cipher,
        )
        self._s_context = site(
            TASK, f"{up};ext4_block_write_begin;ext4_read_bh_lock;submit_bh_wbc", WRITE_CONTEXT
        )
        self._s_dirty = site(TASK, f"{up};block_write_end", "mark_buffer_dirty")
        self._s_dirty_page = site(
            TASK, f"{up};block_write_end;mark_buffer_dirty", "__folio_mark_dirty __mark_inode_dirty"
        )
        self._s_journalled = site(TASK, f"{up};ext4_write_begin", "do_journal_get_write_access")
        self._s_write_end_fn = site(TASK, f"{up};ext4_journalled_write_end", "write_end_fn")
