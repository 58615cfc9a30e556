"""
Writing zeros over blocks instead of splitting an unwritten extent: sb_issue_zeroout() and
__blkdev_issue_zeroout() of Linux 6.1 (block/blk-lib.c), for a device that has no WRITE ZEROES; for an
encrypted file fscrypt_zeroout_range() (fs/crypto/bio.c), whose zeros are encrypted block by block, or by the
device: then a bio has a context, and for each further page it is asked whether its number goes on
(fscrypt_zeroout_range_inline_crypt(), which waits for each bio; here for the last, as for the others).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from sim.block.bio import MAX_VECTORS, Plug
from sim.block.opf import REQ_OP_WRITE, REQ_SYNC
from sim.block.protocols import BioQueue
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.crypt_sites import BlockCalls, CryptSites
from sim.fs.live_inode import LiveInode
from sim.fs.unwritten import Zeroout
from sim.fs.write_out import Disk, WriteOut, sector_of
from sim.units import PAGE_BYTES, SECTOR_BYTES


class PageZeroout(Zeroout):
    """
    Bios of the zero page, as many vectors as it takes; waits for the last. zeroed: is told the inode, the
    first block and how many, where somebody keeps up checksums of data.
    """

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        queue: BioQueue,
        block_size: int,
        disk: Disk | None,
        crypt: tuple[BlockCalls, ...],
        context: str,
    ) -> None:
        """crypt: what encrypting a block of zeros calls. context: of a bio that the device encrypts."""
        self.zeroed: Callable[[LiveInode, list[tuple[int, int]]], None] | None = None
        self._queue = queue
        self._size = block_size
        self._out = WriteOut(clock, ledger, queue, disk, "", "", "ext4_issue_zeroout;submit_bio_wait")
        self._s_bio = ledger.site(TASK, "ext4_issue_zeroout", "bio_alloc_bioset")
        self._s_page = ledger.site(TASK, "ext4_issue_zeroout", "bio_add_page")
        self._crypt = CryptSites(ledger, "ext4_issue_zeroout", crypt, block_size)
        self._s_context = ledger.site(TASK, "ext4_issue_zeroout", context)
        self._s_mergeable = ledger.site(TASK, "ext4_issue_zeroout", "fscrypt_mergeable_bio")

    def zero(
        self,
        task: Task,
        inode: LiveInode,
        lblk: int,
        block: int,
        count: int,
        plug: Plug,
    ) -> Generator[Any, Any, None]:
        """Write zeros, and wait."""
        size, pending = self._size, []
        most = MAX_VECTORS * PAGE_BYTES // size
        for first in range(0, count, most):
            length = min(most, count - first)
            pages = -(-length * size // PAGE_BYTES)
            task.ps += self._s_bio.charge(1) + self._s_page.charge(pages)
            if inode.fs_layer_crypto:
                task.ps += self._crypt.charge(length, length)
            elif inode.inline_crypto:
                task.ps += self._s_context.charge(1) + self._s_mergeable.charge(pages - 1)
            at, zeros = (block + first) * size, bytes(length * size)
            if inode.bytes is not None:
                zeros = inode.bytes.on_disk(zeros, lblk + first)
            pending.append(
                self._out.submit(
                    task,
                    plug,
                    sector_of(block + first, size),
                    length * size // SECTOR_BYTES,
                    pages,
                    [(0, length)],
                    lambda at=at, zeros=zeros: [(at, zeros)],  # type: ignore[misc]
                    REQ_OP_WRITE | REQ_SYNC,
                    crypt=(inode, block - lblk) if inode.inline_crypto else None,
                )
            )
        if self.zeroed is not None:
            self.zeroed(inode, [(lblk, count)])
        self._queue.flush_for_sleep(task, plug)
        yield from self._out.wait(task, pending)
