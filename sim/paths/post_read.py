"""
Completion of read bios: what the interrupt does, what a work item does, when pages are unlocked.

`PageEndIo`: one end_io per bio, one work item per bio when encrypted (mpage_end_io of fs/ext4/readpage.c and
fs/mpage.c, iomap_read_end_io). The other kind is buffer_end_io.py's. fs/mpage.c and fs/iomap know no
post-read step in 6.1; with an encrypted file the model gives them ext4's, so that the designs can be
compared: a counterfactual, as fscrypt files never take those paths.

What a work item does is a list of steps, see post_read_steps.py; its name is ext4's, whatever the steps.

A bio that failed takes no post-read step: its end is the plain one (bio_post_read_required(),
end_buffer_async_read_io(), blk_crypto_fallback_decrypt_endio()). Its pages are unlocked all the same, and are
not up to date: of a page with buffer heads, or iomap's state, the blocks that did not come; else the page. No
kernel was recorded with errors: what their ends cost is taken from good ones, but not what the log says.

Left out: bounce buffers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final, final

from sim.block.bio import Bio, EndIo
from sim.cache.address_space import OpenFile
from sim.cache.pages import Mapping
from sim.engine.cpu import Cpu
from sim.engine.ledger import IRQ, KWORKER, TASK, Ledger, Site
from sim.engine.workqueue import Item, SleepingItem, Waker, WorkQueue
from sim.fs.fs_inode import FsInode
from sim.fs.merkle import VerityState
from sim.paths.checksums.end_io import Handover
from sim.paths.checksums.verification import Verification
from sim.paths.page_data import Contents
from sim.paths.post_read_steps import (
    BLK_CRYPTO_FALLBACK,
    FSCRYPT,
    Blocks,
    CipherCalls,
    Decrypt,
    MakeStep,
    PostReadStep,
)
from sim.paths.verity import VerifySites, awaited
from sim.paths.verity_worker import WorkerVerify
from sim.units import PAGE_BYTES


class PostReadEndIo(EndIo):
    """What both kinds share: unlocking pages, and the cost of decrypting blocks."""

    def __init__(
        self,
        ledger: Ledger,
        cpu: Cpu,
        block_size: int,
        contents: Contents | None,
        worker: str,
        cipher_calls: CipherCalls,
        work: WorkQueue,
        steps: Sequence[MakeStep],
        below: bool,
        in_blocks: bool,
        whole_bios: bool,
    ) -> None:
        """
        below: blk-crypto-fallback decrypts, before the file system's own completion runs. in_blocks: pages
        have state for each block. whole_bios: what a step finds bad fails all of its bio.
        """
        self._worker: WorkerVerify | None = None
        self._in_blocks = in_blocks
        self._whole_bios = whole_bios
        self._cpu = cpu
        self._work = work
        self._below = below
        if below:
            worker, cipher_calls = FALLBACK_WORKER, BLK_CRYPTO_FALLBACK
            queues = f"{FALLBACK_END} {FALLBACK_END};{work.queues}"
        else:
            queues = f"fscrypt_enqueue_decrypt_work {work.queues}"
        self._waker = Waker(ledger, "bio_endio")
        self._per_page = PAGE_BYTES // block_size
        self._contents = contents
        self._s_queue = {
            context: ledger.site(context, "bio_endio", queues) for context in (IRQ, TASK, KWORKER)
        }
        self._after: Handover | None = None
        stack = self._stack = f"{work.root};{worker}"
        self._steps: list[PostReadStep] = [Decrypt(ledger, work.context, stack, block_size, cipher_calls)]
        self._steps += [make(ledger, work.context, stack, block_size) for make in steps]

    def queues_work(self, bio: Bio) -> bool:
        """Tell whether a work item has to run steps before the pages are up to date (EndIo)."""
        file: OpenFile = bio.owner
        inode: FsInode = file.inode
        for step in self._steps:  # noqa: SIM110  # compiled, any() makes a list first
            if step.wanted(inode):
                return True
        return False

    def verify_behind(self, ledger: Ledger, sums: Verification) -> None:
        """Have what was decrypted verified by `sums` before its pages are unlocked."""
        work = self._work.context, self._stack
        self._after = Handover(ledger, *work, sums, self._end_ps, self._end_verdict, self._whole_bios)

    def _end_ps(self, bio: Bio, context: str) -> int:
        """Return the cost of unlocking the pages of a bio that was decrypted, and then verified."""
        raise NotImplementedError

    def _hand_over(self, bio: Bio) -> None:
        """A bio is decrypted: have it verified."""
        assert self._after is not None
        self._bring(bio)
        self._after.hand(bio)

    def _end_verdict(self, bio: Bio) -> None:
        """A bio that was decrypted is verified: note what is bad, and unlock its pages."""
        self._fail(bio, bio.blocks if bio.failed else [])
        self._end(bio)

    def _steps_ps(self, bio: Bio, calls: int, blocks: int) -> int:
        """Cost of the steps on `blocks` of a bio's blocks in `calls` pages or buffer heads."""
        inode: FsInode = bio.owner.inode
        ps = 0
        for step in self._steps:
            if step.wanted(inode):
                ps += step.charge(calls, blocks)
        return ps

    def _finish(self, bio: Bio) -> None:
        """Fill and unlock the pages of a bio; pages that come in parts unlock with their last part."""
        self._bring(bio)
        self._end(bio)

    def _end(self, bio: Bio) -> None:
        """Unlock the pages of a bio, of which those that are bad are noted."""
        brought = bio.record
        if brought is not None:
            brought.ready(self._cpu.now)
        file: OpenFile = bio.owner
        ended = 0
        for lblk, count in bio.blocks:
            ended += file.mapping.blocks_come(lblk, count, self._per_page, brought)
        self._unlocked(ended)

    def _bring(self, bio: Bio) -> None:
        """Fill the pages of a bio, have the steps look at them, and note what did not come or is bad."""
        bad: Blocks = bio.blocks if bio.failed else []
        if self._contents is not None and not bio.failed:
            self._contents.fill(bio)
            for step in self._steps:
                if not (bad or bio.bad) and step.wanted(bio.owner.inode):
                    bad = step.bad_blocks(bio)
        if bad and self._contents is not None:
            self._contents.tell(bio, bad)
        if bad or bio.bad:
            self._fail(bio, bio.blocks if bad and self._whole_bios else bad)

    def _fail(self, bio: Bio, bad: Blocks) -> None:
        """Note that blocks of a bio did not come as they should, those without their checksums among them."""
        mapping: Mapping = bio.owner.mapping
        for lblk, count in [*bad, *(bio.bad or ())]:
            mapping.blocks_fail(lblk, count, self._per_page, self._in_blocks)

    def _verify_bio(self, bio: Bio) -> None:
        """A worker verifies a bio's pages, and then ends it (6.1)."""
        assert self._worker is not None
        self._worker.start(bio, partial(self._end_verified, self._work.sleep()))

    def _end_verified(self, item: SleepingItem, bio: Bio, bad: Blocks) -> None:
        """All of a bio is verified: spend what its end costs, then unlock its pages."""
        raise NotImplementedError

    def _worker_done(self, checked: tuple[SleepingItem, Bio, Blocks]) -> None:
        """A worker has ended a bio: it goes on with the next."""
        item, bio, bad = checked
        self._verified((bio, bad))
        self._work.wake(item)

    def _verified(self, checked: tuple[Bio, Blocks]) -> None:
        """All of a bio's pages are looked at."""
        bio, bad = checked
        self._fail(bio, bad)
        self._end(bio)

    def _unlocked(self, pages: int) -> None:
        """Pages, or folios, were unlocked: what of it is not charged before."""


FALLBACK_END: Final = "blk_crypto_fallback_decrypt_endio"
"""The end of a bio whose context was taken off: it queues the work."""
FALLBACK_WORKER: Final = "blk_crypto_fallback_decrypt_bio"
"""What that runs: a cipher call a data unit, then the end that the bio's owner gave it."""


@final
class _EndSites:
    """Where the end of a bio is charged in one context: of it, a page, a last part, before decryption."""

    __slots__ = ("before_crypt", "bio", "page", "unlock")

    def __init__(self, bio: Site, page: Site, unlock: Site, before_crypt: Site) -> None:
        self.bio = bio
        self.page = page
        self.unlock = unlock
        self.before_crypt = before_crypt


class PageEndIo(PostReadEndIo):
    """
    One completion per bio, a loop over its pages.

    per_bio, per_page: the symbols of the completion; before_crypt: those that run in the interrupt of an
    encrypted file's bio, before the work item runs `after_crypt`. unlock: what follows per_page with the last
    part of a page that comes; "": pages come whole, and per_page has it.
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
        work: WorkQueue,
        cipher_calls: CipherCalls = FSCRYPT,
        unlock: str = "",
        steps: Sequence[MakeStep] = (),
        below: bool = False,
        verity: str = "",
        whole_bios: bool = False,
    ) -> None:
        worker = "decrypt_work;fscrypt_decrypt_bio"
        in_parts = bool(unlock)
        super().__init__(
            ledger, cpu, block_size, contents, worker, cipher_calls, work, steps, below, in_parts, whole_bios
        )
        self._in_parts = in_parts
        self._to_come: dict[tuple[int, int], int] = {}
        contexts = (IRQ, TASK, KWORKER)  # a stacked device completes in a work item
        site = ledger.site
        self._s_ended = {
            context: _EndSites(
                site(context, "bio_endio", per_bio),
                site(context, "bio_endio", per_page),
                site(context, "bio_endio", unlock),
                ledger.fuse(
                    site(context, "bio_endio", "" if below else before_crypt), self._s_queue[context]
                ),
            )
            for context in contexts
        }
        worker = f"{work.root};decrypt_work"
        if below:
            called = f"{work.root};{FALLBACK_WORKER}"
            worker = f"{called};bio_endio"
            words = f"{work.root} {called} {worker}"
            self._s_work = ledger.fuse(site(work.context, "", words), site(work.context, worker, per_bio))
        else:
            self._s_work = ledger.fuse(
                site(work.context, "", f"{work.root} {worker}"),
                site(work.context, worker, after_crypt),
            )
        self._s_crypt_bio = site(work.context, worker, "" if below else "fscrypt_decrypt_bio")
        self._s_after_page = site(work.context, worker, per_page)
        self._s_after_unlock = site(work.context, worker, unlock)
        self._block_size = block_size
        self._verify: VerifySites | None = None
        if verity:
            self._place_verity(ledger, per_bio, per_page, verity)

    def _place_verity(self, ledger: Ledger, per_bio: str, per_page: str, verity: str) -> None:
        """Find the places of what verifying calls: before the last symbol of per_bio, in a work item."""
        work, contexts = self._work, (IRQ, TASK, KWORKER)
        first, _, rest = per_bio.partition(" ")
        self._s_verified_page = ledger.site(work.context, work.root, per_page)
        if verity == "worker":
            queue = work.root, work.queues
            self._worker = WorkerVerify(ledger, self._cpu, *queue, self._block_size, self._contents)
            self._s_queued = {context: ledger.site(context, "bio_endio", first) for context in contexts}
            self._s_verified = ledger.site(KWORKER, f"{work.root};verity_work", rest.rpartition(";")[2])
            return
        after = " ".join(f"/{work.root};{word}" for word in rest.split()).removeprefix(f"/{work.root};")
        queues = work.context, work.root, work.queues
        self._verify = VerifySites(ledger, *queues, dict.fromkeys(contexts, first), after)

    def charge(self, bio: Bio, context: str) -> int:
        """Return the cost of the interrupt's part (EndIo). A page bio has a segment per page."""
        sites = self._s_ended[context]
        file: OpenFile = bio.owner
        inode: FsInode = file.inode
        if inode.verity is not None and not bio.failed:
            if self._verify is not None:
                return self._verify.before[context].charge(1)
            if self._worker is not None:
                return self._s_queued[context].charge(1) + self._worker.queued[context].charge(1)
        if not bio.failed and self.queues_work(bio):
            return sites.before_crypt.charge(1)
        return sites.bio.charge(1) + self._end_ps(bio, context)

    def _end_ps(self, bio: Bio, context: str) -> int:
        """Return the cost of the pages (PostReadEndIo)."""
        sites = self._s_ended[context]
        unlock_ps = sites.unlock.charge(self._ended(bio)) if self._in_parts else 0
        return sites.page.charge(bio.segments) + unlock_ps

    def _ended(self, bio: Bio) -> int:
        """
        Return how many pages (or folios) have all their parts with this bio.

        Asked once per bio, in the order of completions: several may be charged before the first is done.
        """
        mapping, per_page = bio.owner.mapping, self._per_page
        ended = 0
        for lblk, count in bio.blocks:
            stop = lblk + count
            while lblk < stop:
                page = mapping.page_of(lblk, per_page)
                if not mapping.large and lblk % per_page == 0 and stop - lblk >= per_page:
                    pages = (stop - lblk) // per_page
                    ended += pages
                    lblk += pages * per_page
                    continue
                start, end = mapping.bounds(page)
                came = min(stop, mapping.blocks_in(end, per_page)) - lblk
                ended += self._part_came(mapping, start, mapping.blocks_in(end - start, per_page), came)
                lblk += came
        return ended

    def _part_came(self, mapping: Mapping, page: int, whole: int, came: int) -> bool:
        """Count `came` blocks of the page or folio at `page`; return whether no more of its `whole` come."""
        key = id(mapping), page
        left = self._to_come.pop(key, None)
        left = (mapping.parts.get(page, whole) if left is None else left) - came
        if left:
            self._to_come[key] = left
        return not left

    def done(self, bio: Bio) -> None:
        """Unlock the pages, or queue the work item that decrypts or verifies them (EndIo)."""
        file: OpenFile = bio.owner
        inode: FsInode = file.inode
        if self._verify is not None and inode.verity is not None and not bio.failed:
            if awaited(bio, self._block_size):
                inode.verity.waiting.append(bio)
            else:
                self._queue_verification(bio)
            return
        if self._worker is not None and inode.verity is not None and not bio.failed:
            self._work.queue(self._waker, [Item(1, self._worker.begin.charge(1), self._verify_bio, bio)])
            return
        if bio.failed or not self.queues_work(bio):
            self._finish(bio)
            if inode.tree_of is not None and inode.tree_of.waiting:
                self._tree_came(inode.tree_of)
            return
        pages, after = bio.segments, self._after
        ps = self._s_work.charge(1)
        if inode.encrypted:
            ps += self._s_crypt_bio.charge(1)
        ps += self._steps_ps(bio, pages, sum(count for _, count in bio.blocks))
        if after is not None and after.hands(bio):
            ps += after.queues.charge(1)
            self._work.queue(self._waker, [Item(1, ps, self._hand_over, bio)])
            return
        ps += self._s_after_page.charge(pages)
        if self._in_parts:
            ps += self._s_after_unlock.charge(self._ended(bio))
        self._work.queue(self._waker, [Item(1, ps, self._finish, bio)])

    def _queue_verification(self, bio: Bio) -> None:
        """Queue the work item that verifies a bio, whose pages of the tree are there."""
        verify = self._verify
        assert verify is not None
        if self._contents is not None:
            self._contents.fill(bio)
        verify_ps, bad = verify.verify(bio, self._block_size)
        ps = verify.work.charge(1) + verify_ps + self._s_verified_page.charge(bio.segments)
        if bad >= 0 and self._contents is not None:
            self._contents.tell_block(bio.owner.inode, bad)
        found = bio.blocks if bad >= 0 else []
        self._work.queue(self._waker, [Item(1, ps, self._verified, (bio, found))])

    def _end_verified(self, item: SleepingItem, bio: Bio, bad: Blocks) -> None:
        """Spend what the end of a verified bio costs, in the worker (PostReadEndIo)."""
        ps = self._s_verified.charge(1) + self._s_verified_page.charge(bio.segments)
        self._cpu.work(self._cpu.here, ps, True, self._worker_done, (item, bio, bad))

    def _tree_came(self, state: VerityState) -> None:
        """Pages of a tree have come: verify what has waited for them."""
        waiting, state.waiting = state.waiting, []
        for bio in waiting:
            if awaited(bio, self._block_size):
                state.waiting.append(bio)
            else:
                self._queue_verification(bio)
