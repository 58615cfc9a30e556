"""
Completion of the bios of buffer heads: one end_io each, and one work item each (fs/buffer.c of Linux 6.1).
"""

from __future__ import annotations

from collections.abc import Sequence

from sim.block.bio import Bio
from sim.cache.pages import Mapping
from sim.engine.cpu import Cpu
from sim.engine.ledger import IRQ, KWORKER, TASK, Ledger, under
from sim.engine.workqueue import Item, SleepingItem, WorkQueue
from sim.paths.page_data import Contents
from sim.paths.post_read import FALLBACK_WORKER, PostReadEndIo
from sim.paths.post_read_steps import FSCRYPT, Blocks, CipherCalls, MakeStep
from sim.paths.verity_worker import WorkerVerify


class BufferEndIo(PostReadEndIo):
    """
    One completion per buffer head: end_bio_bh_io_sync -> end_buffer_async_read_io.

    Under a lock, each completion walks the page's ring of buffers until it meets one still busy: in order of
    the disk that is 2 visits, and all of them for the last.
    """

    def __init__(
        self,
        ledger: Ledger,
        cpu: Cpu,
        block_size: int,
        contents: Contents | None,
        work: WorkQueue,
        cipher_calls: CipherCalls = FSCRYPT,
        steps: Sequence[MakeStep] = (),
        below: bool = False,
        as_they_end: bool = False,
        verity: str = "",
    ) -> None:
        """
        as_they_end: unlocking is charged when a page is; else with its last block, wherever holes are.
        verity: of PathRules; blocks are verified in work items if it is "worker".
        """
        super().__init__(
            ledger, cpu, block_size, contents, "decrypt_bh", cipher_calls, work, steps, below, True, False
        )
        self._as_they_end = as_they_end
        if verity == "worker":
            self._worker = WorkerVerify(ledger, cpu, work.root, work.queues, block_size, contents)
        sync = "end_bio_bh_io_sync end_bio_bh_io_sync;end_buffer_async_read_io"
        self._s_bio = {context: ledger.site(context, "bio_endio", sync) for context in (IRQ, TASK, KWORKER)}
        self._ended = {context: _Ended(ledger, context, "bio_endio") for context in (IRQ, TASK, KWORKER)}
        if below:
            called = f"{work.root};{FALLBACK_WORKER}"
            self._decrypted = _Ended(ledger, work.context, f"{called};bio_endio")
            words = f"{work.root} {called} {called};bio_endio {under(f'{called};bio_endio', sync)}"
            self._s_work = ledger.site(work.context, "", words)
        else:
            self._decrypted = _Ended(ledger, work.context, work.root)
            self._s_work = ledger.site(work.context, "", f"{work.root} {work.root};decrypt_bh")

    def _read_ps(self, bio: Bio, ended: _Ended) -> int:
        """Cost of end_buffer_async_read() for all buffers of `bio`, and of unlocking the pages it ends."""
        per_page = self._per_page
        visits = pages = 0
        if bio.owner.mapping.large:
            visits, pages = _folio_visits(bio.owner.mapping, bio.blocks, per_page)
        else:
            for lblk, count in bio.blocks:
                last = (lblk + count) // per_page - lblk // per_page
                visits += 2 * count + last * (per_page - 2)
                pages += last
        if self._as_they_end:
            pages = 0
        return ended.read.charge_units(bio.count, visits) + ended.unlock.charge(pages)

    def _unlocked(self, pages: int) -> None:
        """Charge unlocking where it happens (PostReadEndIo)."""
        if self._as_they_end and pages:
            self._cpu.spend(self._ended[self._cpu.context].unlock.charge(pages))

    def queues_work(self, bio: Bio) -> bool:
        """Tell whether a work item has to run steps, or to verify (EndIo)."""
        return self._verifies(bio) is not None or super().queues_work(bio)

    def _verifies(self, bio: Bio) -> WorkerVerify | None:
        """Return what verifies a bio's blocks, if they are to be."""
        return self._worker if bio.owner.inode.verity is not None else None

    def charge(self, bio: Bio, context: str) -> int:
        """Return the cost of the interrupt's part (EndIo)."""
        verifies = self._verifies(bio)
        if verifies is not None and not bio.failed:
            return self._s_bio[context].charge(bio.count) + verifies.queued[context].charge(bio.count)
        queues = not bio.failed and self.queues_work(bio)
        if self._below and queues:
            return self._s_queue[context].charge(bio.count)
        ps = self._s_bio[context].charge(bio.count)
        if queues:
            return ps + self._s_queue[context].charge(bio.count)
        return ps + self._read_ps(bio, self._ended[context])

    def done(self, bio: Bio) -> None:
        """Unlock the pages, or queue one work item per buffer head (EndIo)."""
        if bio.failed or not self.queues_work(bio):
            self._finish(bio)
            return
        first, items, after = 0, [], self._after
        verifies = self._verifies(bio)
        for count in self._work.shares(bio.count):
            part = bio.row(first, count)
            if verifies is not None:
                items.append(Item(count, verifies.begin.charge(count), self._verify_bio, part))
                first += count
                continue
            first += count
            ps = self._s_work.charge(count) + self._steps_ps(part, count, count)
            if after is not None and after.hands(bio):
                items.append(Item(count, ps + after.queues.charge(count), self._hand_over, part))
            else:
                items.append(Item(count, ps + self._read_ps(part, self._decrypted), self._finish, part))
        self._work.queue(self._waker, items)

    def _end_ps(self, bio: Bio, context: str) -> int:
        """Return the cost of the buffers (PostReadEndIo)."""
        return self._read_ps(bio, self._ended[context])

    def _end_verified(self, item: SleepingItem, bio: Bio, bad: Blocks) -> None:
        """Spend what the end of verified buffers costs, in the worker (PostReadEndIo)."""
        ps = self._read_ps(bio, self._decrypted)
        self._cpu.work(self._cpu.here, ps, True, self._worker_done, (item, bio, bad))


class _Ended:
    """end_buffer_async_read() below one caller, and what it calls for a page's last buffer."""

    __slots__ = ("read", "unlock")

    def __init__(self, ledger: Ledger, context: str, stack: str) -> None:
        symbol = "end_buffer_async_read"
        self.read = ledger.site(context, stack, symbol, unit=symbol)
        self.unlock = ledger.site(context, symbol, "unlock_page unlock_page;folio_unlock")


def _folio_visits(mapping: Mapping, runs: list[tuple[int, int]], per_page: int) -> tuple[int, int]:
    """Return buffers visited by the completions of these blocks, and how many folios they end."""
    visits = folios = 0
    for lblk, count in runs:
        visits += 2 * count
        stop = lblk + count
        while lblk < stop:
            first, end = mapping.bounds(mapping.page_of(lblk, per_page))
            behind = mapping.blocks_in(end, per_page)
            if stop >= behind:
                visits += max(mapping.blocks_in(end - first, per_page) - 2, 0)
                folios += 1
            lblk = behind
    return visits, folios
