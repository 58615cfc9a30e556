"""
The buffer cache of the block device: extent-tree blocks in pages of buffer heads (fs/buffer.c).

A page of the device's own mapping holds page size / block size buffers. sb_getblk() makes the page with
all its buffers; a buffer is then read by ext4_read_bh() and waited for. One that
cannot be read is read again by the next who asks. Left out: reclaim of these pages
(a tree is small beside its file), writes.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final

from sim.block.bio import Bio, EndIo, Plug
from sim.block.media import Noticed
from sim.block.protocols import BioQueue
from sim.cache.filemap import SLEEP_SYMBOLS
from sim.cache.page_cache import FRESH_HEAD
from sim.cache.page_cache_ra import INSERT_SYMBOLS
from sim.cache.ra_log import RaLog
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import IRQ, KWORKER, TASK, Ledger
from sim.errors import ConfigError
from sim.ext4.format.extents import decode_header
from sim.ext4.store import ByteStore
from sim.units import PAGE_BYTES, SECTOR_BYTES

SEEN: Final = 0
FIRST: Final = 1
UNREAD: Final = 2
"""What `BufferCache.get` says: as last time; it is to be verified; it cannot be read."""

_STACK: Final = "ext4_map_blocks;ext4_ext_map_blocks;ext4_find_extent;__read_extent_tree_block"


class BufferCache(EndIo):
    """
    Which tree blocks are in memory; reads the others. Block numbers are file-system blocks.

    kept: the bytes of those that were read, for who looks at them; None: nobody does.
    """

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        queue: BioQueue,
        block_size: int,
        store: ByteStore | None,
        stack: str = _STACK,
        log: RaLog | None = None,
        asks_contexts: bool = False,
        fails: bool = False,
        noticed: Noticed | None = None,
    ) -> None:
        """
        `store` holds the device's bytes, to check that what was read is a tree block; None skips it.

        stack: who reads here; another than the extent tree's walk has a cache of its own. log: sees what
        pages are made. asks_contexts: bios are asked for their encryption context, which they have none of.
        fails: who asks takes a block that cannot be read; else that ends the run. noticed: who is told.
        """
        self._log = log
        self._fails = fails
        self.noticed = noticed
        self.kept: dict[int, bytes] | None = None
        self._clock = clock
        self._ledger = ledger
        self._queue = queue
        self._block_size = block_size
        self._per_page = max(PAGE_BYTES // block_size, 1)
        self._order = max(block_size // PAGE_BYTES, 1).bit_length() - 1
        self._store = store
        self._pages: set[int] = set()
        self._uptodate: set[int] = set()
        self._verified: set[int] = set()
        self._reading: dict[int, Any] = {}
        self._s_getblk = ledger.site(TASK, stack, "__getblk_gfp folio_mark_accessed")
        getblk = f"{stack};__getblk_gfp"
        self._s_grow = ledger.site(TASK, getblk, f"{INSERT_SYMBOLS} alloc_page_buffers")
        self._s_heads = ledger.site(TASK, f"{getblk};alloc_page_buffers", FRESH_HEAD)
        self._s_read = ledger.site(
            TASK,
            stack,
            "ext4_read_bh ext4_read_bh;submit_bh ext4_read_bh;submit_bh;submit_bh_wbc"
            " ext4_read_bh;submit_bh;submit_bh_wbc;bio_alloc_bioset"
            " ext4_read_bh;submit_bh;submit_bh_wbc;bio_add_page"
            + (" ext4_read_bh;submit_bh;submit_bh_wbc;fscrypt_set_bio_crypt_ctx" if asks_contexts else ""),
        )
        self._s_wait = ledger.site(TASK, f"{stack};ext4_read_bh", "__wait_on_buffer")
        self._s_sleep = ledger.site(TASK, f"{stack};ext4_read_bh;__wait_on_buffer", SLEEP_SYMBOLS)
        self._s_end = {
            context: ledger.site(context, "bio_endio", "end_bio_bh_io_sync")
            for context in (IRQ, TASK, KWORKER)
        }

    def beside(self, stack: str) -> BufferCache:
        """Return a cache of what another walk, `stack`, reads on the same device: nothing is in memory."""
        return BufferCache(self._clock, self._ledger, self._queue, self._block_size, None, stack)

    def warm(self, blocks: list[int]) -> None:
        """Have these blocks in memory, read and verified."""
        self._pages.update(block // self._per_page for block in blocks)
        self._uptodate.update(blocks)
        self._verified.update(blocks)

    def holds(self, chain: tuple[int, ...]) -> bool:
        """Return whether all blocks of a walk are in memory and verified."""
        return self._verified.issuperset(chain)

    def touch(self, task: Task, times: int) -> None:
        """Charge `times` look-ups of blocks that are in memory."""
        task.ps += self._s_getblk.charge(times)

    def get(self, task: Task, block: int, plug: Plug) -> Generator[Any, Any, int]:
        """
        Look up `block`, reading it if need be; return FIRST the first time its contents are seen, else SEEN,
        or UNREAD.

        The plug is flushed when the task sleeps for it, as io_schedule() does.
        """
        task.ps += self._s_getblk.charge(1)
        self._grow(task, block)
        if block not in self._uptodate:
            yield from self._read(task, block, plug)
            if block not in self._uptodate:
                return UNREAD
        if block in self._verified:
            return SEEN
        self._verified.add(block)
        return FIRST

    def refuse(self, block: int) -> None:
        """A block is not what it should be: it stays in memory, and is looked at again by the next."""
        self._verified.discard(block)
        if self.noticed is not None:
            self.noticed.found_bad(block)

    def start(self, task: Task, blocks: Sequence[int], plug: Plug) -> None:
        """ext4_bread_batch(): start reading what is not in memory, all before the first is waited for."""
        for block in blocks:
            self._grow(task, block)
            if block not in self._uptodate:
                self._submit(task, block, plug)

    def _grow(self, task: Task, block: int) -> None:
        """Make the page of a block, with all its buffers."""
        page = block // self._per_page
        if page not in self._pages:
            self._pages.add(page)
            if self._log is not None:
                self._log.folio(page << self._order, self._order)
            task.ps += self._s_grow.charge(1)
            task.ps += self._s_heads.charge(self._per_page)

    def _submit(self, task: Task, block: int, plug: Plug) -> Any:
        """Submit the read of a block unless that is under way; return the event of its end."""
        event = self._reading.get(block)
        if event is None:
            event = self._reading[block] = self._clock.event()
            sectors = self._block_size // SECTOR_BYTES
            task.ps += self._s_read.charge(1)
            bio = Bio(block * sectors, sectors, 1, 1, self, event, [(block, 1)], False)
            self._queue.submit(task, bio, plug)
        return event

    def _read(self, task: Task, block: int, plug: Plug) -> Generator[Any, Any, None]:
        event = self._submit(task, block, plug)
        if task.blocked is not None:
            yield from self._queue.wait_for_tag(task)
        task.ps += self._s_wait.charge(1)
        self._queue.flush_for_sleep(task, plug)
        if (yield from task.wait(event)):
            task.ps += self._s_sleep.charge(1)
            if event.value is not None:
                event.value.woke(task.time_ns)

    def charge(self, bio: Bio, context: str) -> int:
        """Return the completion's cost (EndIo)."""
        return self._s_end[context].charge(bio.count)

    def done(self, bio: Bio) -> None:
        """Take the block in and wake its readers (EndIo)."""
        block = bio.blocks[0][0]
        if bio.failed:
            if not self._fails:
                told = f"metadata block {block} cannot be read: not modelled here"
                raise ConfigError("faults", told, "faults on data")
            if self.noticed is not None:
                self.noticed.failed(bio.sector, bio.sectors)
            self._ended(bio, block)
            return
        if self._store is not None:
            node = self._store.read(block * self._block_size, self._block_size)
            if self.kept is not None:
                self.kept[block] = bytes(node)
            else:
                decode_header(node, f"extent tree block {block}")
        self._uptodate.add(block)
        self._ended(bio, block)

    def _ended(self, bio: Bio, block: int) -> None:
        """The read of a block is over: wake its readers."""
        if bio.record is not None:
            bio.record.ready(bio.record.interrupted_ns)
        self._reading.pop(block, None)
        bio.owner.succeed(bio.record)
