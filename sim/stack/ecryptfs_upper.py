"""
Files of eCryptfs that jobs write: fs/ecryptfs of Linux 6.1 over a lower file that ext4 writes.

ecryptfs_write_end() (mmap.c) encrypts the page at once, whole, in the writer, into a page of its own
(ecryptfs_encrypt_page(), crypt_extent() of crypto.c), and ecryptfs_write_lower() (read_write.c) writes that
to the lower file with kernel_write(), through the lower page cache. Then
ecryptfs_write_inode_size_to_metadata() (mmap.c) writes the size, 8 bytes, into the lower file's header,
whether it has changed or not. So write(2) leaves no dirty page above: ecryptfs_writepage() is for those that
mmap(2) has written. The lower file's pages are written back, journalled and synced as any of ext4's:
ecryptfs_fsync() (file.c) finds nothing to write of its own, and syncs the lower file. A page that is not in
memory and written in part is read from the lower file first, and decrypted (ecryptfs_write_begin(),
ecryptfs_decrypt_page()).

One task at a time writes a file (inode_lock()). No recording has any of this. Both lower writes of a page
stand below ecryptfs_encrypt_page(), a lower read below the stack of reads, and ext4_sync_file() below no
ecryptfs_fsync(): counts are right, callers are those. Left out: files that grow or shrink
(ecryptfs_truncate(), ecryptfs_setattr()), a header in an xattr, mmap(2), AES of 256 bits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final

from sim.cache.filemap import Filemap
from sim.cache.page_cache import PageCache
from sim.cache.page_cache_ra import INSERT_SYMBOLS
from sim.cache.pages import ABSENT, Mapping
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.engine.rwsem import RwSemaphore
from sim.errors import InvariantError
from sim.fs.ext4_super import TICK_NS
from sim.fs.inode_locks import InodeLocks
from sim.fs.live_inode import LiveInode
from sim.stack.ecryptfs import HEADER_PAGES, EcryptfsInode, decrypt_calls, decrypt_pages
from sim.units import PAGE_BYTES

SIZE_BYTES: Final = 8
"""Of the file's size at the front of the lower file, big endian."""
ENCRYPTS: Final = {"aes-128": "cbc_encrypt_128"}
"""Cipher of the mount -> the symbol that encrypts; one has a cost."""

_WRITE: Final = "entry_SYSCALL_64;vfs_write;generic_file_write_iter;__generic_file_write_iter"
_LOOP: Final = f"{_WRITE};generic_perform_write"
_BEGIN: Final = f"{_LOOP};ecryptfs_write_begin"
_GRAB: Final = f"{_BEGIN};grab_cache_page_write_begin;pagecache_get_page;__filemap_get_folio"
_END: Final = f"{_LOOP};ecryptfs_write_end"
_ENCRYPT: Final = f"{_END};ecryptfs_encrypt_page"
LOWER_WRITE: Final = f"{_ENCRYPT};ecryptfs_write_lower"
"""What calls the lower file system's ->write_iter."""

WriteLower = Callable[[Task, LiveInode, int, int, bytes], Generator[Any, Any, None]]
"""Write a lower file: (task, its inode, offset, length, bytes where they are kept)."""
SyncLower = Callable[[Task, LiveInode, bool], Generator[Any, Any, None]]
"""fsync(2) or, True, fdatasync(2) of a lower file."""


class UpperFile:
    """
    A file of eCryptfs that is written. mapping: its pages. lower: the lower file's inode. expected: what a
    reader must find in it, where bytes are kept.
    """

    __slots__ = ("expected", "inode", "lower", "mapping", "rwsem", "tick")

    def __init__(self, inode: EcryptfsInode, mapping: Mapping, lower: LiveInode) -> None:
        self.inode = inode
        self.mapping = mapping
        self.lower = lower
        self.expected = bytearray()
        self.tick = -1
        self.rwsem = RwSemaphore()


class EcryptfsUpper:
    """Writes files of one eCryptfs mount. lower_reads: of the lower file system."""

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        cache: PageCache,
        lower_reads: Filemap,
        write_lower: WriteLower,
        sync_lower: SyncLower,
        locks: InodeLocks,
        cipher: str,
    ) -> None:
        self._clock = clock
        self._cache = cache
        self._lower_reads = lower_reads
        self._write_lower = write_lower
        self._sync_lower = sync_lower
        self._locks = locks
        self._place(ledger, cipher)

    def _place(self, ledger: Ledger, cipher: str) -> None:
        """Find the places of what is called."""
        site, crypt = ledger.site, f"{_ENCRYPT};crypt_scatterlist"
        self._s_call = site(TASK, "", _chain(_LOOP))
        self._s_time = site(TASK, _WRITE, "file_update_time;__mark_inode_dirty")
        balance = f"{_LOOP};balance_dirty_pages_ratelimited;balance_dirty_pages_ratelimited_flags"
        self._s_page = site(
            TASK,
            "",
            f"{_chain(_GRAB, _LOOP)} {_LOOP};copy_page_from_iter_atomic {_END} {_END};unlock_page"
            f" {_END};unlock_page;folio_unlock {_chain(balance, _LOOP)}",
            unit="copy_page_from_iter_atomic",
        )
        self._s_stable = site(TASK, _GRAB, "folio_wait_stable")
        self._s_new = site(TASK, _BEGIN, INSERT_SYMBOLS)
        size = f"{_END};ecryptfs_write_inode_size_to_metadata"
        self._s_encrypt = site(
            TASK,
            "",
            f"{_ENCRYPT} {_ENCRYPT};ecryptfs_derive_iv {crypt} {crypt};crypto_skcipher_encrypt*2"
            f" {LOWER_WRITE} {LOWER_WRITE};__mark_inode_dirty"
            f" {size} {size};ecryptfs_write_lower {size};ecryptfs_write_lower;__mark_inode_dirty",
        )
        encrypts = ENCRYPTS[cipher]
        self._s_cipher = site(TASK, crypt, encrypts, unit=encrypts)
        calls, decrypts = decrypt_calls("ecryptfs_decrypt_page", cipher)
        self._s_decrypt = site(TASK, _BEGIN, calls, unit=decrypts)
        self._s_fsync = site(
            TASK, "entry_SYSCALL_64;vfs_fsync_range", _under_sync("filemap_fdatawrite_wbc vfs_fsync_range")
        )

    def write(
        self, task: Task, file: UpperFile, offset: int, length: int, data: bytes = b""
    ) -> Generator[Any, Any, None]:
        """write(2) inside a file. data: what is written, where bytes are kept."""
        if length <= 0 or offset + length > file.inode.size_bytes:
            raise InvariantError(f"{length} bytes at {offset} of a file of {file.inode.size_bytes}")
        task.ps += self._s_call.charge(1)
        yield from self._locks.down_write(task, file.rwsem)
        tick = task.time_ns // TICK_NS
        if tick != file.tick:
            file.tick = tick
            task.ps += self._s_time.charge(1)
        at, end = offset, offset + length
        while at < end:
            page = at // PAGE_BYTES
            stop = min((page + 1) * PAGE_BYTES, end)
            yield from self._piece(task, file, at, stop, data[at - offset : stop - offset])
            at = stop
        file.rwsem.up_write()

    def fsync(self, task: Task, file: UpperFile, data_only: bool = False) -> Generator[Any, Any, None]:
        """ecryptfs_fsync(): no page of its own is dirty; sync the lower file."""
        task.ps += self._s_fsync.charge(1)
        yield from self._sync_lower(task, file.lower, data_only)

    def _piece(
        self, task: Task, file: UpperFile, start: int, stop: int, data: bytes
    ) -> Generator[Any, Any, None]:
        """Write bytes [start, stop) of the file, which are of one page."""
        mapping, page = file.mapping, start // PAGE_BYTES
        task.ps += self._s_page.charge_units(1, stop - start)
        while mapping.has_locked(page, page + 1):
            yield from task.wait(mapping.waiter(page, self._clock))
        held, new = (page, page + 1), mapping.state[page] == ABSENT
        if new:
            task.ps += self._s_new.charge(1)
            self._cache.insert(mapping, page, page + 1)
        else:
            task.ps += self._s_stable.charge(1)
        mapping.held.append(held)
        if new and stop - start < PAGE_BYTES:
            yield from self._read(task, file, page)
        if mapping.content is not None:
            _put(file, mapping.content, start, data)
        task.ps += self._s_encrypt.charge(1) + self._s_cipher.charge_units(1, PAGE_BYTES)
        at = (page + HEADER_PAGES) * PAGE_BYTES
        yield from self._write_lower(task, file.lower, at, PAGE_BYTES, _encrypted(file, page))
        size = file.inode.size_bytes.to_bytes(SIZE_BYTES, "big") if mapping.content is not None else b""
        yield from self._write_lower(task, file.lower, 0, SIZE_BYTES, size)
        mapping.held.remove(held)
        if new:
            mapping.set_uptodate(page, page + 1)

    def _read(self, task: Task, file: UpperFile, page: int) -> Generator[Any, Any, None]:
        """ecryptfs_decrypt_page(): the page as the lower file has it."""
        at = (page + HEADER_PAGES) * PAGE_BYTES
        yield from self._lower_reads.read(task, file.inode.lower, at, PAGE_BYTES)
        task.ps += self._s_decrypt.charge_units(1, PAGE_BYTES)
        decrypt_pages(file.mapping, file.inode, page, page + 1)


def _put(file: UpperFile, content: memoryview, start: int, data: bytes) -> None:
    """Copy what a write brings, and zeros behind the end of the file (fill_zeros_to_end_of_page())."""
    size, stop = file.inode.size_bytes, start + len(data)
    content[start:stop] = data
    file.expected[start:stop] = data
    page_end = (start // PAGE_BYTES + 1) * PAGE_BYTES
    if size < page_end:
        content[size:page_end] = bytes(page_end - size)


def _encrypted(file: UpperFile, page: int) -> bytes:
    """Return a page's ciphertext; nothing where no bytes are kept."""
    content, key = file.mapping.content, file.inode.key
    if content is None or key is None:
        return b""
    return key.encrypt_extents(content[page * PAGE_BYTES : (page + 1) * PAGE_BYTES], page)


def _chain(stack: str, above: str = "") -> str:
    """Return each symbol of a folded stack as a call of the one before, but for those of `above`."""
    symbols = stack.split(";")
    first = above.count(";") + 1 if above else 0
    return " ".join(";".join(symbols[: depth + 1]) for depth in range(first, len(symbols)))


def _under_sync(calls: str) -> str:
    """Return ecryptfs_fsync() and what it calls."""
    return " ".join(["ecryptfs_fsync", *[f"ecryptfs_fsync;{call}" for call in calls.split()]])
