"""
dm-crypt: a block device that decrypts what another one reads (drivers/md/dm-crypt.c, Linux 6.1.192).

A bio is cloned twice (by device mapper and by the target) and the second clone goes to the device below,
where clones merge under the reader's plug as any bios do; the bios above never merge. When a clone
completes, a work item on kcryptd (unbound) decrypts the pages in place, sector by sector, and only then ends
the file system's bio. With no_read_workqueue that is done at once where the completion runs, unless that is
a hard interrupt, in which the kernel's ciphers refuse to work: then it goes to kcryptd all the same.

Everything that passes is decrypted: the blocks of an extent tree as well as data. Writes: dm_crypt_write.py;
their bytes, where they are kept: crypt_bytes.py.
Left out: integrity tags, the read queue that a failed allocation falls back to, asynchronous ciphers.
"""

from __future__ import annotations

from dataclasses import dataclass

from sim.block.bio import Bio, EndIo, Plug
from sim.block.drivers.modules import DRIVERS
from sim.block.opf import REQ_OP_MASK, action
from sim.block.protocols import BioQueue, StackedQueue
from sim.block.queue.limits import BlockTracer
from sim.engine.clock import Clock
from sim.engine.cpu import Cpu, Task
from sim.engine.ledger import IRQ, TASK, Ledger
from sim.engine.workqueue import Item, Waker, WorkQueue
from sim.errors import InvariantError
from sim.stack.crypt_bytes import CryptBytes
from sim.stack.device_mapper import SUBMITS
from sim.stack.dm_crypt_write import CryptWrites
from sim.units import SECTOR_BYTES

CIPHER_CALLS: dict[str, tuple[str, str, str]] = {
    # AES-NI's XTS is reached through the wrapper that minds the FPU: two calls a sector, as recorded.
    "aes-xts-plain64": ("crypt_iv_plain64_gen", "crypto_skcipher_decrypt*2", "xts_decrypt"),
    # essiv(cbc(aes),sha256) is a template of its own: it encrypts the IV, then calls the wrapped CBC.
    "aes-cbc-essiv:sha256": (
        "crypt_iv_essiv_gen essiv_skcipher_decrypt",
        "crypto_skcipher_decrypt*3",
        "cbc_decrypt",
    ),
}
"""Cipher of the table line -> symbols per sector: the IV, the layers of the crypto API, the cipher itself."""


@dataclass(frozen=True, slots=True)
class CryptTable:
    """
    The table line of a crypt target.

    cipher: one of CIPHER_CALLS. sector_bytes: 512 or 4096, what is encrypted at once. no_read_workqueue:
    decrypt where the completion runs. work_queue: else the kind of kcryptd's queue; same_cpu_crypt is
    "bound".
    """

    cipher: str = "aes-xts-plain64"
    sector_bytes: int = SECTOR_BYTES
    no_read_workqueue: bool = False
    work_queue: str = "unbound"


class CryptTarget(StackedQueue):
    """
    A crypt target as a file system sees it (BioQueue), over the queue of the device below.

    below: a queue made with `below=SUBMITS`, or another target over one. pending: bios of
    the file system not completed.
    """

    def __init__(
        self,
        clock: Clock,
        cpu: Cpu,
        ledger: Ledger,
        below: BioQueue,
        table: CryptTable,
        tracer: BlockTracer | None = None,
    ) -> None:
        """`tracer` sees the bios that the file system submits, as "Q"."""
        super().__init__(below)
        self.pending = 0
        self._end_io = _CloneEndIo(self)
        self._clock = clock
        self._cpu = cpu
        self._ledger = ledger
        self._write_half: CryptWrites | None = None
        self._bytes: CryptBytes | None = None
        self._sector_bytes = table.sector_bytes
        self._at_once = table.no_read_workqueue and not DRIVERS[below.limits.driver].hard_irq
        self._tracer = tracer
        bound = table.work_queue.startswith("bound")
        self._work = work = WorkQueue(cpu, ledger, table.work_queue, 1 if bound else 0)
        self._waker = Waker(ledger, "bio_endio;crypt_endio;kcryptd_queue_crypt")
        site, fuse = ledger.site, ledger.fuse
        entry = (
            "submit_bio submit_bio;submit_bio_noacct submit_bio;submit_bio_noacct;submit_bio_noacct_nocheck"
        )
        dm = SUBMITS
        mapped = (
            f"{dm};crypt_map {dm};crypt_map;kcryptd_io_read {dm};crypt_map;kcryptd_io_read;bio_alloc_bioset"
        )
        self._s_map = site(TASK, "", f"{entry} {dm.rpartition(';')[0]} {dm} {dm};bio_alloc_bioset {mapped}")
        iv, layers, cipher = CIPHER_CALLS[table.cipher]
        at = "crypt_endio;kcryptd_queue_crypt"
        queued = f"crypt_endio {at}"
        self._s_queue = {
            context: fuse(site(context, "bio_endio", queued), site(context, f"bio_endio;{at}", work.queues))
            for context in (IRQ, TASK)
        }
        self._s_arrive = {context: site(context, "bio_endio", queued) for context in (IRQ, TASK)}
        symbols = f"crypt_convert_block_skcipher {iv} {layers} {cipher}", cipher
        self._s_failed = {
            context: site(
                context,
                "bio_endio",
                "crypt_endio crypt_endio;bio_put crypt_endio;bio_put;bio_free crypt_endio;bio_endio"
                " crypt_endio;bio_endio;clone_endio",
            )
            for context in (IRQ, TASK)
        }
        self._at_work = _Decryption(ledger, work.context, work.root, work.root, symbols)
        self._in_place = {
            context: _Decryption(ledger, context, f"bio_endio;{at}", "", symbols) for context in (IRQ, TASK)
        }

    def keep_bytes(self, held: CryptBytes, below: BioQueue) -> None:
        """Have the bytes of all that is written; `below` stands before the device and takes them there."""
        self._bytes, self._below = held, below

    def _writes(self) -> CryptWrites:
        """Return the half that writes, which is made with the first write."""
        if self._write_half is None:
            self._write_half = CryptWrites(
                self._clock,
                self._cpu,
                self._ledger,
                self._below,
                self._work,
                self._sector_bytes,
                SUBMITS,
                self._end,
            )
        return self._write_half

    def submit(self, task: Task, bio: Bio, plug: Plug) -> None:
        """dm_submit_bio(): clone a bio, or each of a row, and hand the clones down."""
        if bio.opf & REQ_OP_MASK and bio.count == 1:
            self.pending += 1
            if self._tracer is not None:
                self._tracer(action("Q", bio.opf), task.time_ns, bio.sector, bio.unit_sectors)
            if self._bytes is not None and bio.unit_sectors:
                self._bytes.take(bio)
            self._writes().submit(task, bio, plug)
            return
        if bio.count > 1 and bio.opf & REQ_OP_MASK:
            for first in range(bio.count):
                self.submit(task, bio.row(first, 1), plug)
            return
        if bio.count > 1 and (self._tracer is not None or self.limits.bio_based):
            # Each before its clone, as a kernel's trace has them; and where clones end at once, after the
            # last.
            for first in range(bio.count):
                self.submit(task, bio.row(first, 1), plug)
            return
        task.ps += self._s_map.charge(bio.count)
        self.pending += bio.count
        if self._tracer is not None:
            self._tracer("Q", task.time_ns, bio.sector, bio.unit_sectors)
        clone = Bio(
            bio.sector,
            bio.unit_sectors,
            bio.count,
            bio.segments,
            self._end_io,
            bio,
            bio.blocks,
            bio.ahead,
            bio.opf,
        )
        self._below.submit(task, clone, plug)

    def end_cost(self, bio: Bio, context: str) -> int:
        """crypt_endio(): return its cost, with the decryption's where that is done at once."""
        if bio.failed:
            original = _original(bio)
            return self._s_failed[context].charge(bio.count) + original.end_io.charge(original, context)
        if not self._at_once:
            return self._s_queue[context].charge(bio.count)
        ps = self._s_arrive[context].charge(bio.count)
        return ps + self._convert_ps(bio, _original(bio), self._in_place[context])

    def clone_ended(self, bio: Bio) -> None:
        """End the file system's bio, or queue the work item that decrypts it first."""
        original = _original(bio)
        original.record = bio.record
        if self._at_once or bio.failed:
            self._end(original)
            return
        first, items = 0, []
        for count in self._work.shares(bio.count):
            part = original if count == original.count else original.row(first, count)
            items.append(Item(count, self._convert_ps(part, part, self._at_work), self._end, part))
            first += count
        self._work.queue(self._waker, items)

    def queues_work(self, bio: Bio) -> bool:
        """Tell whether the completion of a clone queues work."""
        return not self._at_once or _original(bio).end_io.queues_work(_original(bio))

    def _convert_ps(self, bio: Bio, original: Bio, where: _Decryption) -> int:
        """Cost of decrypting `bio`, ending both clones and the original."""
        read_bytes = bio.sectors * SECTOR_BYTES
        sectors = -(-read_bytes // self._sector_bytes)
        ps = where.work.charge(bio.count) + where.sector.charge_units(sectors, read_bytes)
        return ps + original.end_io.charge(original, where.context)

    def _end(self, bio: Bio) -> None:
        """The bio is decrypted."""
        self.pending -= bio.count
        if self.pending < 0:
            raise InvariantError("a bio of dm-crypt completed more often than it was submitted")
        bio.end_io.done(bio)


class _Decryption:
    """kcryptd_crypt() in one context, below one stack: the sites of a bio, and of a sector (in bytes)."""

    __slots__ = ("context", "sector", "work")

    def __init__(
        self, ledger: Ledger, context: str, stack: str, run_by: str, symbols: tuple[str, str]
    ) -> None:
        """run_by: what else is called per bio. symbols: of a sector, the cipher's last."""
        site, calls, cipher = ledger.site, *symbols
        self.context = context
        ended = "bio_endio bio_put bio_put;bio_free"
        # Two bios end here: device mapper's clone, and in clone_endio() the one it was made from.
        self.work = ledger.fuse(
            site(context, "", run_by),
            site(context, stack, "kcryptd_crypt kcryptd_crypt;crypt_convert"),
            site(context, f"{stack};kcryptd_crypt", f"{ended} bio_endio;clone_endio"),
            site(context, f"{stack};kcryptd_crypt;bio_endio;clone_endio", ended),
        )
        self.sector = site(context, f"{stack};kcryptd_crypt;crypt_convert", calls, unit=cipher)


class _CloneEndIo(EndIo):
    """The end of the target's clones (bi_end_io)."""

    def __init__(self, target: CryptTarget) -> None:
        self._target = target

    def charge(self, bio: Bio, context: str) -> int:
        """Return the completion's cost (EndIo)."""
        return self._target.end_cost(bio, context)

    def done(self, bio: Bio) -> None:
        """Let the target go on (EndIo)."""
        self._target.clone_ended(bio)

    def queues_work(self, bio: Bio) -> bool:
        """Tell whether `done` queues work items (EndIo)."""
        return self._target.queues_work(bio)


def _original(clone: Bio) -> Bio:
    """Return the file system's bio, or the part of a row, that a completed clone was made from."""
    original: Bio = clone.owner
    if clone.count != original.count:
        original = original.row(clone.blocks[0][0] - original.blocks[0][0], clone.count)
    original.failed = clone.failed
    return original
