"""
fs-verity on reads, as Linux 6.1 has it (fs/verity/verify.c, fs/ext4/verity.c): a work item a bio, in which a
worker verifies page by page and reads what of the Merkle tree is not in memory.

Of a bio of readahead the first look at a page of leaves reads ahead as many as a quarter of the bio's pages.
A page is bad for itself (PG_error): the others of its bio are not. A tree page that cannot be read, or has
another hash than it should, makes bad what is verified by it; it is tried again each time.

On buffer heads 6.1 verifies nothing (fs/buffer.c does since 6.3): there an item a buffer head does the same
here, a counterfactual. What the worker calls to read a page is charged as a task's, under the reader's
symbols. Left out: encrypted files; holes, which the reader himself verifies.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final

from sim.block.bio import Bio
from sim.cache.address_space import ReadPath
from sim.cache.page_cache import PageCache
from sim.cache.page_cache_ra import INSERT_SYMBOLS
from sim.cache.pages import ABSENT, LOCKED, PRESENT, UPTODATE
from sim.engine.clock import Clock
from sim.engine.cpu import Core, Cpu, Task
from sim.engine.ledger import IRQ, KWORKER, TASK, Ledger
from sim.fs.merkle import TreeReader, VerityState
from sim.paths.page_data import Contents
from sim.paths.post_read_steps import Blocks

_QUEUED: Final = "bio_post_read_processing;fsverity_enqueue_verify_work"
_BIO: Final = "verity_work;fsverity_verify_bio"
_PAGE: Final = f"{_BIO};verify_page"
_HASH: Final = f"{_PAGE};fsverity_hash_page"
_READ: Final = f"{_PAGE};ext4_read_merkle_tree_page"

Finish = Callable[[Bio, Blocks], None]
"""What is done when a bio is verified: (the bio, its bad blocks)."""


class WorkerTreeReader(TreeReader):
    """ext4_read_merkle_tree_page() of one machine."""

    def __init__(self, clock: Clock, ledger: Ledger, cache: PageCache, path: ReadPath) -> None:
        self.clock = clock
        self._cache = cache
        self._path = path
        ahead = f"{_READ};page_cache_ra_unbounded"
        self._s_ahead = ledger.site(TASK, "", f"{ahead} {ahead};read_pages")
        self._s_add = ledger.site(TASK, ahead, INSERT_SYMBOLS)
        self._s_read = ledger.site(TASK, _READ, "read_cache_page read_cache_page;do_read_cache_folio")
        self._s_new = ledger.site(TASK, f"{_READ};read_cache_page;do_read_cache_folio", INSERT_SYMBOLS)

    def page(self, task: Task, state: VerityState, page: int, ahead: int) -> Generator[Any, Any, bool]:
        """Have a page up to date; read ahead before, if more than one page is allowed (TreeReader)."""
        mapping, file = state.file.mapping, state.file
        pages = mapping.state
        if pages[page] & UPTODATE:
            return True
        if pages[page] == ABSENT and ahead > 1:
            task.ps += self._s_ahead.charge(1)
            end = page
            while end < page + ahead and pages[end] == ABSENT:
                end += 1
            self._cache.insert(mapping, page, end)
            task.ps += self._s_add.charge(end - page)
            yield from self._path.read_pages(task, file, [(page, end)])
        task.ps += self._s_read.charge(1)
        if pages[page] == ABSENT:
            task.ps += self._s_new.charge(1)
            self._cache.insert(mapping, page, page + 1)
            yield from self._path.read_folio(task, file, page)
        elif pages[page] & PRESENT:
            pages[page] = LOCKED
            yield from self._path.read_folio(task, file, page)
        if pages[page] & LOCKED:
            yield from task.wait(mapping.waiter(page, self.clock))
        else:
            yield from task.settle()
        return bool(pages[page] & UPTODATE)


class WorkerVerify:
    """What a work item does that verifies the pages of a bio, or a buffer head's block."""

    def __init__(
        self, ledger: Ledger, cpu: Cpu, root: str, queues: str, block_size: int, contents: Contents | None
    ) -> None:
        """root, queues: of the work queue."""
        self._cpu = cpu
        self._contents = contents
        self._size = block_size
        words = f"bio_post_read_processing {_QUEUED} {_QUEUED};{queues}"
        self.queued = {context: ledger.site(context, "bio_endio", words) for context in (IRQ, TASK, KWORKER)}
        self.begin = ledger.site(KWORKER, "", f"{root} {root};verity_work {root};{_BIO}")
        self._page = ledger.site(KWORKER, root, _PAGE)
        self._look = ledger.site(KWORKER, root, _READ)
        hashes = f"{_HASH};crypto_ahash_digest"
        digest = f"{hashes};crypto_shash_digest"
        finup = f"{digest};crypto_shash_finup"
        self._hash = ledger.site(
            KWORKER, root, f"{_HASH} {hashes} {digest} {finup}", unit="crypto_shash_finup"
        )

    def start(self, bio: Bio, finish: Finish) -> None:
        """Verify a bio where the worker runs now; `finish` is called when that is done."""
        state: VerityState = bio.owner.inode.verity
        assert state.reader is not None
        if self._contents is not None:
            self._contents.fill(bio)
        state.reader.clock.process(self._verify(bio, state, state.reader, finish))

    def _verify(
        self, bio: Bio, state: VerityState, reader: TreeReader, finish: Finish
    ) -> Generator[Any, Any, None]:
        """Go through the blocks; what is hashed between pages that are read is a burst of the worker's."""
        core = self._cpu.here
        task = self._cpu.task(core.index, "kworker")
        ahead = bio.segments // 4 if bio.ahead else 0
        bad: Blocks = []
        ps = pages = 0
        for lblk, count in bio.blocks:
            for block in range(lblk, lblk + count):
                pages += 1
                missing = self._missing(state, block)
                if missing:
                    yield from self._spend(reader.clock, core, ps + self._page.charge(pages))
                    ps = pages = 0
                    unread = yield from self._read_missing(task, state, reader, missing, block, ahead)
                else:
                    unread = -1
                looked = len(state.path(block))
                if unread >= 0:
                    ps += self._look.charge(looked)
                    found = state.tree.lblk(unread)
                else:
                    done = state.verify(block, bio.owner.mapping.content)
                    ps += self._look.charge(looked)
                    ps += self._hash.charge_units(done.hashed, done.hashed * self._size)
                    found = done.bad
                if found >= 0:
                    bad.append((block, 1))
                    if self._contents is not None:
                        self._contents.tell_block(bio.owner.inode, found)
        yield from self._spend(reader.clock, core, ps + self._page.charge(pages))
        finish(bio, bad)

    def _missing(self, state: VerityState, block: int) -> list[int]:
        """Return the blocks of the tree on a block's way up whose pages are not up to date."""
        pages, tree = state.file.mapping.state, state.tree
        return [found for found in state.path(block) if not pages[tree.page_of(found)] & UPTODATE]

    def _read_missing(
        self, task: Task, state: VerityState, reader: TreeReader, missing: list[int], block: int, ahead: int
    ) -> Generator[Any, Any, int]:
        """Read pages of the tree, leaves first; return the block of it that cannot be read, -1 for none."""
        leaf = state.tree.path(block)[0]
        for tree_block in missing:
            more = 0
            if tree_block == leaf:
                last = state.tree.end_page - state.tree.page_of(leaf)
                more = min(ahead, last)
            if not (yield from reader.page(task, state, state.tree.page_of(tree_block), more)):
                return tree_block
        return -1

    def _spend(self, clock: Clock, core: Core, ps: int) -> Generator[Any, Any, None]:
        """Run a burst of the worker's on its core."""
        if ps:
            event = clock.event()
            self._cpu.work(core, ps, True, event.succeed, None)
            yield event
