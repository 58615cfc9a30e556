"""
Completion of read bios: what the interrupt does, what a work item does, when pages are unlocked.

Two kinds. `PageEndIo`: one end_io per bio, one work item per bio when encrypted (mpage_end_io of
fs/ext4/readpage.c and fs/mpage.c, iomap_read_end_io). `BufferEndIo`: one of each per buffer head
(fs/buffer.c). fs/mpage.c and fs/iomap know no post-read step in 6.1; with an encrypted file the model gives
them ext4's, so that the designs can be compared: a counterfactual, as fscrypt files never take those paths.

Left out: verity, errors, bounce buffers.
"""

from __future__ import annotations

from sim.block.bio import Bio
from sim.cache.filemap import OpenFile
from sim.engine.cpu import Cpu
from sim.engine.ledger import IRQ, KWORKER, TASK, Ledger
from sim.paths.contents import Contents
from sim.units import PAGE_BYTES

_CRYPT = "fscrypt_decrypt_pagecache_blocks"
_BLOCK = f"{_CRYPT};fscrypt_crypt_block"
_CIPHER = f"{_BLOCK};crypto_skcipher_decrypt"
_WORK_ITEM = "process_one_work worker_thread;schedule"
"""What a work item costs besides its work: as recorded, a worker wakes, and goes to sleep again, for each."""


class _EndIo:
    """What both kinds share: unlocking pages, and the cost of decrypting blocks."""

    def __init__(
        self, ledger: Ledger, cpu: Cpu, block_size: int, contents: Contents | None, worker: str
    ) -> None:
        self._cpu = cpu
        self._block_size = block_size
        self._per_page = PAGE_BYTES // block_size
        self._contents = contents
        self._s_queue = {
            context: ledger.site(
                context,
                "bio_endio",
                "fscrypt_enqueue_decrypt_work queue_work_on queue_work_on;try_to_wake_up",
            )
            for context in (IRQ, TASK)
        }
        self._s_decrypt = ledger.site(KWORKER, f"process_one_work;{worker}", _CRYPT)
        self._s_crypt = ledger.site(
            KWORKER,
            f"process_one_work;{worker}",
            f"{_BLOCK} {_BLOCK};fscrypt_generate_iv {_CIPHER}*2 {_CIPHER};xts_decrypt",
            unit="xts_decrypt",
        )

    def _crypt_ps(self, calls: int, blocks: int) -> int:
        """Cost of decrypting `blocks` in `calls` of fscrypt_decrypt_pagecache_blocks()."""
        return self._s_decrypt.charge(calls) + self._s_crypt.charge_units(blocks, blocks * self._block_size)

    def _finish(self, bio: Bio) -> None:
        """Fill and unlock the pages of a bio; pages that come in parts unlock with their last part."""
        if self._contents is not None:
            self._contents.fill(bio)
        if bio.record is not None:
            bio.record.ready_ns = max(self._cpu.now, bio.record.interrupted_ns)
        file: OpenFile = bio.owner
        mapping, per_page = file.mapping, self._per_page
        for lblk, count in bio.blocks:
            end = lblk + count
            if lblk % per_page:
                part = min(end, (lblk // per_page + 1) * per_page) - lblk
                mapping.blocks_done(lblk // per_page, part, per_page)
                lblk += part
            if lblk < end and end % per_page:
                mapping.blocks_done(end // per_page, end % per_page, per_page)
                end -= end % per_page
            if lblk < end:
                mapping.set_uptodate(lblk // per_page, end // per_page)


class PageEndIo(_EndIo):
    """
    One completion per bio, a loop over its pages.

    per_bio, per_page: the symbols of the completion; before_crypt: those that run in the interrupt of an
    encrypted file's bio, before the work item runs `after_crypt`.
    """

    def __init__(
        self,
        ledger: Ledger,
        cpu: Cpu,
        block_size: int,
        contents: Contents | None,
        per_bio: str,
        per_page: str,
        before_crypt: str,
        after_crypt: str,
    ) -> None:
        super().__init__(ledger, cpu, block_size, contents, "decrypt_work;fscrypt_decrypt_bio")
        contexts = (IRQ, TASK)
        site = ledger.site
        self._s_bio = {context: site(context, "bio_endio", per_bio) for context in contexts}
        self._s_page = {context: site(context, "bio_endio", per_page) for context in contexts}
        self._s_before = {
            context: ledger.fuse(site(context, "bio_endio", before_crypt), self._s_queue[context])
            for context in contexts
        }
        worker = "process_one_work;decrypt_work"
        self._s_work = ledger.fuse(
            site(KWORKER, "", f"{_WORK_ITEM} {worker}"),
            site(KWORKER, worker, "fscrypt_decrypt_bio"),
            site(KWORKER, worker, after_crypt),
        )
        self._s_after_page = site(KWORKER, worker, per_page)

    def charge(self, bio: Bio, context: str) -> int:
        """Return the cost of the interrupt's part (EndIo). A page bio has a segment per page."""
        if bio.owner.inode.encrypted:
            return self._s_before[context].charge(1)
        per_bio, per_page, pages = self._s_bio[context], self._s_page[context], bio.segments
        per_bio.passes += 1
        per_page.passes += pages
        return per_bio.ps + pages * per_page.ps

    def done(self, bio: Bio) -> None:
        """Unlock the pages, or queue the work item that decrypts them (EndIo)."""
        if not bio.owner.inode.encrypted:
            self._finish(bio)
            return
        pages = bio.segments
        ps = self._s_work.charge(1) + self._s_after_page.charge(pages)
        ps += self._crypt_ps(pages, sum(count for _, count in bio.blocks))
        self._cpu.kworker(ps, self._finish, bio, bio.ended_ns)


class BufferEndIo(_EndIo):
    """
    One completion per buffer head: end_bio_bh_io_sync -> end_buffer_async_read_io.

    Under a lock, each completion walks the page's ring of buffers until it meets one still busy: in order of
    the disk that is 2 visits, and all of them for the last.
    """

    def __init__(self, ledger: Ledger, cpu: Cpu, block_size: int, contents: Contents | None) -> None:
        super().__init__(ledger, cpu, block_size, contents, "decrypt_bh")
        sync = "end_bio_bh_io_sync end_bio_bh_io_sync;end_buffer_async_read_io"
        read, unlock = "end_buffer_async_read", "unlock_page unlock_page;folio_unlock"
        self._s_bio = {context: ledger.site(context, "bio_endio", sync) for context in (IRQ, TASK)}
        self._s_read = {
            context: ledger.site(context, stack, read, unit=read)
            for context, stack in ((IRQ, "bio_endio"), (TASK, "bio_endio"), (KWORKER, "process_one_work"))
        }
        self._s_unlock = {context: ledger.site(context, read, unlock) for context in (IRQ, TASK, KWORKER)}
        self._s_work = ledger.site(KWORKER, "", f"{_WORK_ITEM} process_one_work;decrypt_bh")

    def _read_ps(self, bio: Bio, context: str) -> int:
        """Cost of end_buffer_async_read() for all buffers of `bio`, and of unlocking the pages it ends."""
        per_page = self._per_page
        visits = pages = 0
        for lblk, count in bio.blocks:
            last = (lblk + count) // per_page - lblk // per_page
            visits += 2 * count + last * (per_page - 2)
            pages += last
        return self._s_read[context].charge_units(bio.count, visits) + self._s_unlock[context].charge(pages)

    def charge(self, bio: Bio, context: str) -> int:
        """Return the cost of the interrupt's part (EndIo)."""
        ps = self._s_bio[context].charge(bio.count)
        if bio.owner.inode.encrypted:
            return ps + self._s_queue[context].charge(bio.count)
        return ps + self._read_ps(bio, context)

    def done(self, bio: Bio) -> None:
        """Unlock the pages, or queue one work item per buffer head (EndIo)."""
        if not bio.owner.inode.encrypted:
            self._finish(bio)
            return
        # All items of a row are queued in one interrupt, and an unbound queue spreads them over the
        # cores: as many stretches of neighbours as there are cores stand for that.
        rows = min(len(self._cpu.cores), bio.count)
        first = 0
        for row in range(rows):
            count = bio.count * (row + 1) // rows - first
            self._queue_row(bio, first, count)
            first += count

    def _queue_row(self, bio: Bio, first: int, count: int) -> None:
        """Queue `count` work items for the buffers from `first` on."""
        part = bio.row(first, count)
        ps = self._s_work.charge(count) + self._crypt_ps(count, count) + self._read_ps(part, KWORKER)
        self._cpu.kworker(ps, self._finish, part, bio.ended_ns)
