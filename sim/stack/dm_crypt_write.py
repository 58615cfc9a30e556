"""
dm-crypt's writes (drivers/md/dm-crypt.c, Linux 6.1.192): what it encrypts goes to the device from a thread of
its own, sorted.

A bio is mapped and queued on kcryptd, never encrypted by who submits it. The worker allocates pages for the
ciphertext, encrypts sector by sector, and puts the clone into a tree by sector; the thread dmcrypt_write,
woken where that was empty, takes all of the tree and submits it in order under one plug. The pages are freed
when the clone ends. Device mapper sends a flush that comes with data ahead of it, alone. No recording has any
of this. Left out: no_write_workqueue, bios of more than 256 pages, integrity tags, the limit of memory that
many writes share, asynchronous ciphers; the thread's calls in the layers below stand under dm_submit_bio()'s
stack, as those of reads.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final

from sim.block.bio import Bio, EndIo, Plug
from sim.block.opf import REQ_OP_WRITE, REQ_PREFLUSH
from sim.block.protocols import BioQueue
from sim.engine.clock import Clock
from sim.engine.cpu import Cpu, Task
from sim.engine.ledger import IRQ, TASK, Ledger
from sim.engine.workqueue import Item, Waker, WorkQueue
from sim.units import PAGE_SECTORS, SECTOR_BYTES

WRITE_CIPHERS: Final = ("aes-xts-plain64",)
"""Ciphers whose encryption has a cost."""
_SECTOR: Final = "crypt_convert_block_skcipher crypt_iv_plain64_gen crypto_skcipher_encrypt*2 xts_encrypt"


class CryptWrites(EndIo):
    """
    The write half of a crypt target (EndIo of its clones). dm: the stack of dm_submit_bio(). ended: what is
    to be done with a bio that has ended.
    """

    def __init__(
        self,
        clock: Clock,
        cpu: Cpu,
        ledger: Ledger,
        below: BioQueue,
        work: WorkQueue,
        sector_bytes: int,
        dm: str,
        ended: Callable[[Bio], None],
    ) -> None:
        self._clock = clock
        self._cpu = cpu
        self._below = below
        self._work = work
        self._sector_bytes = sector_bytes
        self._ended = ended
        self._flushes = _Flushes(self)
        self._tree: list[Bio] = []
        self._running = False
        self._sorter: Task = cpu.task(0, "dmcrypt_write")
        site = ledger.site
        entry = (
            "submit_bio submit_bio;submit_bio_noacct submit_bio;submit_bio_noacct;submit_bio_noacct_nocheck"
        )
        mapped = f"{entry} {dm.rpartition(';')[0]} {dm} {dm};bio_alloc_bioset {dm};crypt_map"
        queued = f"{dm};crypt_map;kcryptd_queue_crypt"
        self._s_flush = site(TASK, "", mapped)
        self._s_map = site(TASK, "", f"{mapped} {queued} {queued};{work.queues}")
        self._waker = Waker(ledger, "kcryptd_queue_crypt")
        at = f"{work.root};kcryptd_crypt;kcryptd_crypt_write_convert"
        self._s_work = ledger.fuse(
            site(work.context, "", work.root),
            site(work.context, work.root, "kcryptd_crypt kcryptd_crypt;kcryptd_crypt_write_convert"),
            site(
                work.context,
                at,
                "crypt_alloc_buffer crypt_alloc_buffer;bio_alloc_bioset crypt_convert"
                " kcryptd_crypt_write_io_submit",
            ),
        )
        self._s_page = site(work.context, at, "crypt_alloc_buffer:page")
        self._s_sector = site(work.context, f"{at};crypt_convert", _SECTOR, unit="xts_encrypt")
        self._s_wake = site(work.context, f"{at};kcryptd_crypt_write_io_submit", "try_to_wake_up")
        self._s_batch = site(TASK, "", "dmcrypt_write dmcrypt_write;schedule")
        self._s_io = site(TASK, "dmcrypt_write", "kcryptd_io_write kcryptd_io_write;dm_submit_bio_remap")
        ended_bio = "bio_endio bio_put bio_put;bio_free"
        self._s_end = {
            context: ledger.fuse(
                site(context, "bio_endio", "crypt_endio crypt_endio;crypt_free_buffer_pages"),
                site(context, "bio_endio;crypt_endio", f"{ended_bio} bio_endio;clone_endio"),
                site(context, "bio_endio;crypt_endio;bio_endio;clone_endio", ended_bio),
            )
            for context in (IRQ, TASK)
        }
        self._s_flushed = {context: site(context, "bio_endio", "clone_endio") for context in (IRQ, TASK)}

    def submit(self, task: Task, bio: Bio, plug: Plug) -> None:
        """crypt_map() of one bio: a flush passes, data waits for a worker."""
        if bio.opf & REQ_PREFLUSH or not bio.unit_sectors:
            task.ps += self._s_flush.charge(1)
            flags = (bio.opf & ~REQ_OP_WRITE) | REQ_OP_WRITE | REQ_PREFLUSH
            flush = Bio(0, 0, 1, 0, self._flushes, bio, [], False, flags)
            self._below.submit(task, flush, plug)
            return
        task.ps += self._s_map.charge(1)
        self._cpu.when_done(task, self.queue, bio)

    def queue(self, bio: Bio) -> None:
        """kcryptd_queue_crypt()."""
        data = bio.sectors * SECTOR_BYTES
        pages, sectors = -(-bio.sectors // PAGE_SECTORS), -(-data // self._sector_bytes)
        ps = self._s_work.charge(1) + self._s_page.charge(pages)
        ps += self._s_sector.charge_units(sectors, data)
        self._work.queue(self._waker, [Item(1, ps, self._encrypted, bio)])

    def _encrypted(self, bio: Bio) -> None:
        """kcryptd_crypt_write_io_submit(): into the tree; wake the thread, if it has nothing to do."""
        clone = Bio(
            bio.sector,
            bio.unit_sectors,
            1,
            bio.segments,
            self,
            bio,
            bio.blocks,
            bio.ahead,
            bio.opf & ~REQ_PREFLUSH,
        )
        if not self._tree:
            self._cpu.spend(self._s_wake.charge(1))
        self._tree.append(clone)
        if not self._running:
            self._running = True
            self._clock.process(self._write())

    def _write(self) -> Generator[Any, Any, None]:
        """dmcrypt_write(): submit what there is, in the order of sectors."""
        task = self._sorter
        while self._tree:
            batch = sorted(self._tree, key=_sector)
            self._tree.clear()
            task.ps += self._s_batch.charge(1)
            plug = Plug()
            for clone in batch:
                task.ps += self._s_io.charge(1)
                self._below.submit(task, clone, plug)
                if task.blocked is not None:
                    yield from self._below.wait_for_tag(task)
            self._below.finish_plug(task, plug)
            yield from task.settle()
        self._running = False

    def charge(self, bio: Bio, context: str) -> int:
        """Return the completion's cost (EndIo): of the clone, and of the file system's bio."""
        original: Bio = bio.owner
        return self._s_end[context].charge(1) + original.end_io.charge(original, context)

    def done(self, bio: Bio) -> None:
        """The ciphertext is on the device (EndIo)."""
        original: Bio = bio.owner
        original.record = bio.record
        self._ended(original)

    def flushed_cost(self, original: Bio, context: str) -> int:
        """Return the cost of the end of a flush; its bio ends with it if it has no data."""
        ps = self._s_flushed[context].charge(1)
        return ps if original.unit_sectors else ps + original.end_io.charge(original, context)

    def flushed(self, original: Bio) -> None:
        """The device's cache is empty: the data follows, or the bio ends."""
        if original.unit_sectors:
            self.queue(original)
        else:
            self._ended(original)


class _Flushes(EndIo):
    """The end of flushes that were sent ahead."""

    def __init__(self, writes: CryptWrites) -> None:
        self._writes = writes

    def charge(self, bio: Bio, context: str) -> int:
        """Return the completion's cost (EndIo)."""
        return self._writes.flushed_cost(bio.owner, context)

    def done(self, bio: Bio) -> None:
        """Let the bio go on (EndIo)."""
        if bio.record is not None:
            bio.record.ready(bio.record.interrupted_ns)
        self._writes.flushed(bio.owner)


def _sector(bio: Bio) -> int:
    return bio.sector
