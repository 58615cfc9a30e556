"""
eCryptfs: a file system over a file system (fs/ecryptfs, Linux 6.1).

There is no ->readahead: of every window each page is read for itself, under one plug. A page is read from the
lower file by a read of its own, 4 KiB into the upper page, and decrypted there, by the reader: no work queue.
The lower file has its own pages and its own readahead, so everything is cached twice and copied once more; a
lower window starts where the upper window has come to, and its bios stay in the upper's plug until that is
flushed or the task sleeps.

All opens of a file share one lower file, and with it one readahead state. Writes: ecryptfs_upper.py. Left
out: the header in an xattr, holes (eCryptfs writes every page), encrypted names.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Final

from sim.block.bio import Bio, Plug
from sim.block.protocols import BioQueue, StackedQueue
from sim.cache.address_space import OpenFile, PageRange, ReadPath
from sim.cache.filemap import Filemap
from sim.cache.pages import CONTENT_SLACK_BYTES, Mapping
from sim.crypto.ecryptfs import HEADER_BYTES, LowerFile
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.units import PAGE_BYTES

HEADER_PAGES: Final = HEADER_BYTES // PAGE_BYTES
OPENED_PAGES: Final = 4
"""Lower pages in memory once a file is open: the read of the header's first page brings a first window."""

CIPHERS = {"aes-128": "cbc_decrypt_128", "aes-256": "cbc_decrypt"}
"""Cipher and key size of the mount -> the symbol of the cipher."""


@dataclass(frozen=True, slots=True)
class EcryptfsMount:
    """Options of an eCryptfs mount. cipher: one of CIPHERS; the utilities' default is 16 bytes of AES."""

    cipher: str = "aes-128"


class EcryptfsInode:
    """
    A file of eCryptfs. size_bytes: of its plaintext. lower: the lower file, open. key: how to decrypt it.
    """

    __slots__ = ("key", "lower", "size_bytes")

    def __init__(self, size_bytes: int, lower: OpenFile, key: LowerFile | None) -> None:
        self.size_bytes = size_bytes
        self.lower = lower
        self.key = key

    @property
    def pages(self) -> int:
        """Pages up to EOF."""
        return -(-self.size_bytes // PAGE_BYTES)


class NestedPlug(StackedQueue):
    """
    A block device for code that runs under a caller's plug (BioQueue).

    Within a caller's plug blk_start_plug() and blk_finish_plug() do nothing: bios join the caller's.
    outer: the plug of each task that has one.
    """

    def __init__(self, below: BioQueue) -> None:
        super().__init__(below)
        self.outer: dict[Task, Plug] = {}

    def submit(self, task: Task, bio: Bio, plug: Plug) -> None:
        """Submit under the caller's plug, if there is one."""
        self._below.submit(task, bio, self.outer.get(task, plug))

    def finish_plug(self, task: Task, plug: Plug) -> None:
        """Leave a caller's plug alone; flush one of the task's own."""
        if task not in self.outer:
            self._below.finish_plug(task, plug)

    def flush_for_sleep(self, task: Task, plug: Plug) -> None:
        """Flush the caller's plug: the task is about to sleep."""
        self._below.flush_for_sleep(task, self.outer.get(task, plug))


class EcryptfsPath(ReadPath):
    """read_pages() of eCryptfs (ReadPath): ecryptfs_read_folio() page by page, over `lower`'s files."""

    def __init__(
        self, ledger: Ledger, disk: BioQueue, nested: NestedPlug, lower: Filemap, mount: EcryptfsMount
    ) -> None:
        """`disk` is what `nested`, under which the lower file system submits, stands for."""
        self._disk = disk
        self._nested = nested
        self._lower = lower
        page = "ecryptfs_read_folio"
        calls, cipher = decrypt_calls(f"{page};ecryptfs_decrypt_page", mount.cipher)
        symbols = f"{page} {calls} {page};unlock_page {page};unlock_page;folio_unlock"
        self._s_page = ledger.site(TASK, "read_pages", symbols, unit=cipher)
        self._s_folio = ledger.site(TASK, "filemap_read_folio", symbols, unit=cipher)

    def read_folio(self, task: Task, file: OpenFile, page: int) -> Generator[Any, Any, None]:
        """Read one page alone (ReadPath): the lower file system reads under a plug of its own."""
        inode: EcryptfsInode = file.inode
        yield from self._lower.read(task, inode.lower, (page + HEADER_PAGES) * PAGE_BYTES, PAGE_BYTES)
        task.ps += self._s_folio.charge_units(1, PAGE_BYTES)
        decrypt_pages(file.mapping, inode, page, page + 1)
        yield from task.settle()
        file.mapping.set_uptodate(page, page + 1)

    def read_pages(self, task: Task, file: OpenFile, ranges: list[PageRange]) -> Generator[Any, Any, None]:
        """
        Read the pages of a batch (ReadPath), page by page; pages whose lower pages are there together, as
        they cost the same one by one.

        A page is charged in its turn and its bytes follow before it is unlocked, many in one piece.
        """
        plug = Plug()
        self._nested.outer[task] = plug
        inode: EcryptfsInode = file.inode
        lower = inode.lower
        for start, end in ranges:
            page = unlocked = cipher = start  # cipher: from where on the bytes are not decrypted yet
            while page < end:
                index = page + HEADER_PAGES
                pages = lower.mapping.plain_run(index, end + HEADER_PAGES)
                if pages:
                    self._lower.read_each_cached(task, lower, index, pages)
                else:
                    pages = 1
                    decrypt_pages(file.mapping, inode, cipher, page)  # before reclaim can take a lower page
                    cipher = page
                    for event in self._lower.read(task, lower, index * PAGE_BYTES, PAGE_BYTES):
                        # Every event is a sleep: io_schedule() flushes the plug. What was decrypted so far
                        # has been unlocked before.
                        file.mapping.set_uptodate(unlocked, page)
                        unlocked = page
                        self._disk.flush_for_sleep(task, plug)
                        yield event
                task.ps += self._s_page.charge_units(pages, pages * PAGE_BYTES)
                page += pages
            decrypt_pages(file.mapping, inode, cipher, end)
            yield from task.settle()
            file.mapping.set_uptodate(unlocked, end)
        del self._nested.outer[task]
        self._disk.finish_plug(task, plug)


def decrypt_calls(decrypt: str, cipher: str) -> tuple[str, str]:
    """Return what decrypting a page calls, from the folded stack `decrypt` on, and the cipher among it."""
    symbol = CIPHERS[cipher]
    calls = (
        f"{decrypt} {decrypt};ecryptfs_read_lower {decrypt};ecryptfs_derive_iv"
        f" {decrypt};crypt_scatterlist {decrypt};crypt_scatterlist;crypto_skcipher_decrypt*2"
        f" {decrypt};crypt_scatterlist;{symbol}"
    )
    return calls, symbol


def decrypt_pages(mapping: Mapping, inode: EcryptfsInode, page: int, end: int) -> None:
    """Decrypt lower pages into the upper pages [page, end), if data is real."""
    source, target = inode.lower.mapping.content, mapping.content
    if target is None or page == end:
        return
    assert source is not None
    assert inode.key is not None
    at = (page + HEADER_PAGES) * PAGE_BYTES
    to, length = page * PAGE_BYTES, (end - page) * PAGE_BYTES
    inode.key.decrypt_extents_into(
        source[at : at + length], page, target[to : to + length + CONTENT_SLACK_BYTES]
    )
