"""
eCryptfs, the write side: fs/ecryptfs/mmap.c and crypto.c, Linux 6.1 (3.16 does the same).

write_end encrypts the page at once, in the writer, into a page of its own and writes that to the lower file
through the lower page cache; then it writes the file's size, 8 bytes, into the lower file's header. No upper
page is ever dirty: what is left for a sync is the lower file. Left out: reading what a page holds before part
of it is written (whole pages only), the bytes themselves (data is off), waiting for memory.
"""

from __future__ import annotations

from typing import Final

from sim.cache.address_space import OpenFile
from sim.cache.buffered_write import BufferedWriter, DirtyPages
from sim.cache.page_cache import PageCache
from sim.cache.page_cache_ra import INSERT_SYMBOLS
from sim.cache.pages import ABSENT
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.errors import InvariantError
from sim.stack.ecryptfs import HEADER_PAGES, EcryptfsInode
from sim.units import PAGE_BYTES

WRITE_END: Final = "entry_SYSCALL_64;vfs_write;generic_perform_write;ecryptfs_write_end"
LOWER_CALLER: Final = f"{WRITE_END};ecryptfs_encrypt_page;ecryptfs_write_lower"
SIZE_BYTES: Final = 8

CIPHERS = {"aes-128": "cbc_encrypt_128"}
"""Cipher of the mount -> the symbol that encrypts; one has a cost."""


class EcryptfsWriter:
    """Writes files of eCryptfs; `lower` writes the files below, and `dirty` gathers their pages."""

    def __init__(self, ledger: Ledger, cache: PageCache, lower: BufferedWriter, cipher: str) -> None:
        if cipher not in CIPHERS:
            raise InvariantError(f"writing with cipher {cipher!r} has no cost")
        self._cache = cache
        self._lower = lower
        write = "entry_SYSCALL_64;vfs_write"
        page = f"{write};generic_perform_write"
        encrypt = f"{WRITE_END};ecryptfs_encrypt_page"
        crypt = f"{encrypt};crypt_scatterlist"
        self._s_call = ledger.site(TASK, "", f"entry_SYSCALL_64 {write}")
        self._s_page = ledger.site(
            TASK,
            "",
            f"{page} {page};ecryptfs_write_begin {page};copy_page_from_iter_atomic {WRITE_END} {encrypt}"
            f" {encrypt};ecryptfs_derive_iv {crypt} {crypt};crypto_skcipher_encrypt*2 {LOWER_CALLER}*2"
            f" {page};balance_dirty_pages_ratelimited",
            unit="copy_page_from_iter_atomic",
        )
        self._s_cipher = ledger.site(TASK, crypt, CIPHERS[cipher], unit=CIPHERS[cipher])
        self._s_new = ledger.site(TASK, f"{page};ecryptfs_write_begin", INSERT_SYMBOLS)

    def write(self, task: Task, file: OpenFile, dirty: DirtyPages, offset: int, length: int) -> None:
        """Write whole pages at `offset`; dirty: the pages of the lower file that are."""
        if offset % PAGE_BYTES or length % PAGE_BYTES or length <= 0:
            raise InvariantError(f"a write of {length} bytes at {offset}: whole pages only")
        inode: EcryptfsInode = file.inode
        lower, mapping = inode.lower, file.mapping
        start, end = offset // PAGE_BYTES, (offset + length) // PAGE_BYTES
        task.ps += self._s_call.charge(1)
        for page in range(start, end):
            if mapping.state[page] == ABSENT:
                self._cache.insert(mapping, page, page + 1)
                mapping.set_uptodate(page, page + 1)
                task.ps += self._s_new.charge(1)
            task.ps += self._s_page.charge_units(1, PAGE_BYTES) + self._s_cipher.charge_units(1, PAGE_BYTES)
            levels = lower.inode.map.status.levels
            at = (page + HEADER_PAGES) * PAGE_BYTES
            self._lower.write(task, lower, dirty, at, PAGE_BYTES, levels)
            self._lower.patch(task, lower, dirty, 0, SIZE_BYTES)
