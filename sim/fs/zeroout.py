"""
Writing zeros over blocks instead of splitting an unwritten extent: sb_issue_zeroout() and
__blkdev_issue_zeroout() of Linux 6.1 (block/blk-lib.c), for a device that has no WRITE ZEROES; for an
encrypted file fscrypt_zeroout_range() (fs/crypto/bio.c), whose zeros are encrypted block by block.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from sim.block.bio import MAX_VECTORS, Plug
from sim.block.opf import REQ_OP_WRITE, REQ_SYNC
from sim.block.protocols import BioQueue
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.live_inode import LiveInode
from sim.fs.unwritten import Zeroout
from sim.fs.write_out import Disk, WriteOut, sector_of
from sim.units import PAGE_BYTES, SECTOR_BYTES


class PageZeroout(Zeroout):
    """Bios of the zero page, as many vectors as it takes; waits for the last."""

    def __init__(
        self, clock: Clock, ledger: Ledger, queue: BioQueue, block_size: int, disk: Disk | None
    ) -> None:
        self._queue = queue
        self._size = block_size
        self._out = WriteOut(clock, ledger, queue, disk, "", "", "ext4_issue_zeroout;submit_bio_wait")
        self._s_bio = ledger.site(TASK, "ext4_issue_zeroout", "bio_alloc_bioset")
        self._s_page = ledger.site(TASK, "ext4_issue_zeroout", "bio_add_page")
        block = "fscrypt_crypt_block"
        self._s_crypt = ledger.site(
            TASK,
            "ext4_issue_zeroout",
            f"{block} {block};fscrypt_generate_iv {block};crypto_skcipher_encrypt*2"
            f" {block};crypto_skcipher_encrypt;xts_encrypt",
            unit="xts_encrypt",
        )

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
            if inode.encrypted:
                task.ps += self._s_crypt.charge_units(length, length * size)
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
                )
            )
        self._queue.flush_for_sleep(task, plug)
        yield from self._out.wait(task, pending)
