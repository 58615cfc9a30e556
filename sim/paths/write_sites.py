"""
Where write(2) charges what it calls: the sites of buffered_write.py, by pair of write_begin and write_end.
"""

from __future__ import annotations

from collections.abc import Callable

from sim.cache.page_cache_ra import INSERT_SYMBOLS
from sim.engine.ledger import TASK, Ledger, Site, under
from sim.fs.bdev_buffers import BH_SYMBOLS, BH_WBC
from sim.paths.write_calls import BEGIN, CALLER, GRAB, MODES, calls_of_page, calls_of_write

MakeSite = Callable[..., Site]
"""Ledger.site()."""


class WriteSites:
    """The sites of one file system."""

    def __init__(self, ledger: Ledger) -> None:
        self._place(ledger.site)
        self._place_blocks(ledger.site)

    def _place(self, site: MakeSite) -> None:
        """Find the places of what a call and each of its pages make."""
        self._s_call = site(TASK, "", calls_of_write())
        caps = "ext4_buffered_write_iter;file_remove_privs;ext4_xattr_get"
        self._s_caps = site(TASK, caps, "ext4_get_inode_loc ext4_get_inode_loc;__ext4_get_inode_loc")
        self._s_page = [
            site(TASK, "", calls_of_page(mode), unit="copy_page_from_iter_atomic") for mode in MODES
        ]
        self._s_new = [site(TASK, f"{CALLER};{begin}", INSERT_SYMBOLS) for begin in BEGIN]
        self._s_heads = [
            site(TASK, f"{CALLER};{begin}", "create_empty_buffers create_empty_buffers;alloc_page_buffers")
            for begin in BEGIN
        ]
        self._s_head = [
            site(TASK, f"{CALLER};{begin};create_empty_buffers;alloc_page_buffers", "alloc_buffer_head")
            for begin in BEGIN
        ]
        self._s_stable = [site(TASK, f"{CALLER};{begin};{GRAB}", "folio_wait_stable") for begin in BEGIN]

    def _place_blocks(self, site: MakeSite) -> None:
        """Find the places of what blocks of a page make."""
        self._s_get_block = site(
            TASK, f"{CALLER};ext4_write_begin", "ext4_get_block ext4_get_block;_ext4_get_block"
        )
        self._s_read = site(
            TASK,
            f"{CALLER};ext4_block_write_begin",
            f"ext4_read_bh_lock {under('ext4_read_bh_lock', BH_SYMBOLS)}",
        )
        self._s_read_plain = site(TASK, f"{CALLER};__block_write_begin_int", BH_WBC)
        crypt = under(
            "fscrypt_crypt_block",
            "fscrypt_generate_iv crypto_skcipher_decrypt*2 crypto_skcipher_decrypt;xts_decrypt",
        )
        decrypt = "fscrypt_decrypt_pagecache_blocks"
        self._s_decrypt = site(
            TASK,
            f"{CALLER};ext4_block_write_begin",
            f"{decrypt} {under(decrypt, f'fscrypt_crypt_block {crypt}')}",
            unit="xts_decrypt",
        )
        self._s_dirty = site(TASK, f"{CALLER};block_write_end", "mark_buffer_dirty")
        self._s_dirty_page = site(
            TASK, f"{CALLER};block_write_end;mark_buffer_dirty", "__folio_mark_dirty __mark_inode_dirty"
        )
        self._s_journalled = site(TASK, f"{CALLER};ext4_write_begin", "do_journal_get_write_access")
        self._s_write_end_fn = site(TASK, f"{CALLER};ext4_journalled_write_end", "write_end_fn")
