"""
fs-verity on reads, as Linux 7.3 has it (fs/verity/verify.c, fs/ext4/verity.c): readahead of the Merkle tree
before the data, under the same plug, and a work item a bio that verifies. A bio fails with its first bad
block, and what comes behind that is not looked at (bi_status). 6.1's way: verity_worker.py.

Left out: a worker that reads a page of the tree itself, because readahead did not bring it (it looks at the
first page of a range alone): such a page is taken as there, with the device's bytes; hashing two blocks at a
time; a file that is encrypted, too.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any, Final

from sim.block.bio import Bio, Plug
from sim.cache.address_space import OpenFile, PageRange
from sim.cache.page_cache import PageCache
from sim.cache.page_cache_ra import INSERT_SYMBOLS
from sim.cache.pages import ABSENT, LOCKED
from sim.cache.ra_log import RaLog
from sim.engine.cpu import Task
from sim.engine.ledger import TASK, Ledger
from sim.fs.merkle import VerityState
from sim.units import PAGE_BYTES

ENQUEUE: Final = "fsverity_enqueue_verify_work"
_VERIFY: Final = "fsverity_verify_bio"
_BLOCK: Final = f"{_VERIFY};fsverity_verify_pending_blocks;verify_data_block"

ReadBatch = Callable[[Task, OpenFile, list[PageRange], Plug], Iterable[Any]]
"""->readahead of a batch of locked pages, under a plug that goes on."""


class VerityReadahead:
    """fsverity_readahead(): the pages of the tree that data to be read needs."""

    def __init__(self, ledger: Ledger, cache: PageCache, caller: str, log: RaLog | None) -> None:
        """caller: the folded stack of the ->readahead that begins with this."""
        self._cache = cache
        self._log = log
        ahead = f"{caller};fsverity_readahead"
        level = f"{ahead};ext4_readahead_merkle_tree"
        unbounded = f"{level};generic_readahead_merkle_tree;page_cache_ra_unbounded"
        self._s_call = ledger.site(TASK, caller, "fsverity_readahead")
        self._s_level = ledger.site(TASK, "", f"{level} {level};generic_readahead_merkle_tree")
        self._s_unbounded = ledger.site(TASK, "", f"{unbounded} {unbounded};read_pages")
        self._s_read_pages = ledger.site(TASK, unbounded, "read_pages")
        self._s_add = ledger.site(TASK, unbounded, INSERT_SYMBOLS)

    def read(
        self, task: Task, state: VerityState, first: int, pages: int, plug: Plug, read_batch: ReadBatch
    ) -> Generator[Any, Any, None]:
        """Read, level by level, what the data pages [first, first + pages) need of the tree."""
        task.ps += self._s_call.charge(1)
        mapping = state.file.mapping
        for start, end in state.tree.page_ranges(first, pages):
            task.ps += self._s_level.charge(1)
            if mapping.state[start] != ABSENT:
                continue
            task.ps += self._s_unbounded.charge(1)
            if self._log is not None:
                self._log.bare(start, end - start, 0)
            batch: list[PageRange] = []
            for page in range(start, end):
                if mapping.state[page] == ABSENT:
                    if self._log is not None:
                        self._log.folio(page, 0)
                    self._cache.insert(mapping, page, page + 1)
                    task.ps += self._s_add.charge(1)
                    batch = [(batch[0][0], page + 1)] if batch else [(page, page + 1)]
                else:  # a cached page ends a batch
                    task.ps += self._s_read_pages.charge(1)
                    if batch:
                        yield from read_batch(task, state.file, batch, plug)
                        batch = []
            if batch:
                yield from read_batch(task, state.file, batch, plug)


class VerifySites:
    """Where a bio that is verified charges, in the interrupt and in the work item."""

    def __init__(
        self, ledger: Ledger, context: str, root: str, queues: str, ended: dict[str, str], after: str
    ) -> None:
        """
        context, root, queues: of the work queue. ended: what the interrupt runs before it queues, by context;
        after: what the work item runs when all is verified.
        """
        words = f"{ENQUEUE} {ENQUEUE};{queues}"
        self.before = {
            where: ledger.site(where, "bio_endio", f"{calls} {words}") for where, calls in ended.items()
        }
        worker = f"{root};{_VERIFY}"
        self.work = ledger.site(
            context, "", f"{root} {worker} {worker};fsverity_verify_pending_blocks /{root};{after}"
        )
        self._folio = ledger.site(context, root, f"{_VERIFY};fsverity_add_data_blocks")
        self._block = ledger.site(
            context, root, f"{_BLOCK} {_VERIFY};fsverity_verify_pending_blocks", unit="verify_data_block"
        )
        read = f"{_BLOCK};ext4_read_merkle_tree_page"
        self._page = ledger.site(context, root, f"{read} {read};generic_read_merkle_tree_page")

    def verify(self, bio: Bio, block_size: int) -> tuple[int, int]:
        """Verify a bio's blocks up to the first bad one; return the cost, and which that is, -1 for none."""
        state: VerityState = bio.owner.inode.verity
        blocks = looked = 0
        bad = -1
        for lblk, count in bio.blocks:
            for block in range(lblk, lblk + count):
                if bad < 0:
                    found = state.verify(block, bio.owner.mapping.content)
                    blocks += 1
                    looked += found.looked
                    bad = found.bad
        ps = self._folio.charge(bio.segments) + self._page.charge(looked)
        return ps + self._block.charge_units(blocks, blocks * block_size), bad


def awaited(bio: Bio, block_size: int) -> bool:
    """Return whether pages of the tree that a bio's blocks need are under way."""
    state: VerityState = bio.owner.inode.verity
    pages = state.file.mapping.state
    per_page = max(PAGE_BYTES // block_size, 1)
    for lblk, count in bio.blocks:
        first, last = lblk // per_page, (lblk + count - 1) // per_page
        for start, end in state.tree.page_ranges(first, last - first + 1):
            if any(value & LOCKED for value in pages.part(start, end)):
                return True
    return False
