"""
Verifying what has come: between the end of a bio and the end_io of its path, as btrfs_check_read_bio() lies
between a bio and its pages (Linux 6.1).

What has one checksum is verified at once: a block by a table, all of a run by a list. So a bio with checksums
from a table is verified alone; one of a list waits for the rest of its runs. It runs in a work item, or where
the bio ends. A bio whose checksums are not in memory waits for them. Of what is bad the first is reported,
and ends the run (`Verification.failed`).

Left out: another mirror to read from; checksums that lie in the same bio.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from sim.block.bio import Bio, EndIo
from sim.cache.address_space import OpenFile
from sim.engine.clock import Clock
from sim.engine.cpu import Cpu
from sim.engine.ledger import IRQ, KWORKER, TASK, Ledger, Site
from sim.engine.workqueue import Item, Waker, WorkQueue
from sim.errors import ImageError
from sim.fs.file_tags import FileTags
from sim.paths.checksums.symbols import END_IO, LOOKUP, VERIFY, WORK
from sim.paths.checksums.tag_cache import TagCache
from sim.units import SECTOR_BYTES


@dataclass(frozen=True, slots=True)
class SumRules:
    """
    How a machine verifies. symbol: of the algorithm. read: "before", "with" or "after" the data.

    ahead: blocks of a table read besides. in_work, work_queue: in a work item, and on which kind of queue.
    """

    symbol: str
    read: str = "with"
    ahead: int = 0
    in_work: bool = True
    work_queue: str = "unbound-highpri"


class _Arrived:
    """A bio that has come; left: its runs that are not verified. end_io: what it goes on to."""

    __slots__ = ("bio", "end_io", "left")

    def __init__(self, bio: Bio, end_io: EndIo, left: int) -> None:
        self.bio = bio
        self.end_io = end_io
        self.left = left


class _Batch:
    """
    Runs of a file that are verified together, by number, and the bios that hold them.

    items: how many work items it is; more for a row of one-block bios.
    """

    __slots__ = ("arrived", "blocks", "items", "runs", "tag_blocks", "tags")

    def __init__(
        self,
        tags: FileTags,
        runs: list[int],
        blocks: int,
        tag_blocks: list[int],
        arrived: list[_Arrived],
        items: int = 1,
    ) -> None:
        self.tags = tags
        self.runs = runs
        self.blocks = blocks
        self.tag_blocks = tag_blocks
        self.arrived = arrived
        self.items = items


class _Sites:
    """Where verifying charges, in one context below one stack."""

    __slots__ = ("lookup", "unit")

    def __init__(self, ledger: Ledger, context: str, stack: str, symbol: str) -> None:
        self.lookup = ledger.site(context, stack, f"{LOOKUP} {LOOKUP};__getblk_gfp")
        self.unit: Site = ledger.site(context, stack, f"{VERIFY} {VERIFY};{symbol}", unit=symbol)


class Verification:
    """
    Verifies the bios of a machine's files. cache: blocks with checksums.

    units, bytes: what was verified so far, checksums of checksums among them.
    """

    def __init__(
        self, clock: Clock, cpu: Cpu, ledger: Ledger, cache: TagCache, block_size: int, rules: SumRules
    ) -> None:
        self.cache = cache
        self.rules = rules
        self.units = 0
        self.bytes = 0
        self._clock = clock
        self._cpu = cpu
        self.block_size = block_size
        self._work = WorkQueue(cpu, ledger, rules.work_queue)
        self._waker = Waker(ledger, f"bio_endio;{END_IO}")
        contexts = (IRQ, TASK, KWORKER)
        queues = f" {END_IO};{self._work.queues}" if rules.in_work else ""
        self._s_end = {
            context: ledger.site(context, "bio_endio", f"{END_IO}{queues}") for context in contexts
        }
        root = self._work.root
        self._s_work = ledger.site(self._work.context, "", f"{root} {root};{WORK}")
        where = dict.fromkeys(contexts, f"bio_endio;{END_IO}")
        if rules.in_work:
            where = {self._work.context: f"{root};{WORK}"}
        self._sites = {
            context: _Sites(ledger, context, stack, rules.symbol) for context, stack in where.items()
        }
        self._s_reader = ledger.site(TASK, "", f"process_one_work process_one_work;{WORK}")
        self._reader = cpu.task(0, "checksum reader")
        self._to_read: list[int] = []
        self._reading = False

    def end(self, bio: Bio, context: str) -> int:
        """Return the cost of the end of a bio: of all that is not verifying."""
        return self._s_end[context].charge(bio.count)

    def came(self, bio: Bio, end_io: EndIo) -> None:
        """A bio of a file with checksums has come."""
        file: OpenFile = bio.owner
        tags: FileTags = file.inode.tags
        if tags.by_run:
            self._runs_came(bio, end_io, tags)
            return
        first, count = 0, bio.count
        shares = self._work.shares(count) if self.rules.in_work and count > 1 else [count]
        batches: list[_Batch] = []
        for share in shares:
            part = bio if share == count else bio.row(first, share)
            blocks = 0
            for _, length in part.blocks:
                blocks += length
            tag_blocks = tags.tag_blocks(part.sector * SECTOR_BYTES // self.block_size, blocks)
            batches.append(_Batch(tags, [], blocks, tag_blocks, [_Arrived(part, end_io, 1)], share))
            first += share
        self._start(batches)

    def _runs_came(self, bio: Bio, end_io: EndIo, tags: FileTags) -> None:
        """Blocks of runs have come: verify the runs of which they were the last."""
        arrived = _Arrived(bio, end_io, 0)
        whole: list[int] = []
        total = 0
        for lblk, count in bio.blocks:
            for number in tags.runs(lblk, count):
                start, blocks = tags.run(number)
                came = min(start + blocks, lblk + count) - max(start, lblk)
                arrived.left += 1
                tags.waiting.setdefault(number, []).append(arrived)
                tags.left[number] -= came
                if not tags.left[number]:
                    del tags.left[number]
                    whole.append(number)
                    total += blocks
        if whole:
            self._start([_Batch(tags, whole, total, tags.tag_blocks(0, 0), [])])

    def _start(self, batches: list[_Batch]) -> None:
        """Verify, now or when the checksums are there."""
        ready: list[_Batch] = []
        for batch in batches:
            missing = self.cache.missing(batch.tag_blocks)
            if missing:
                self.cache.when_there(missing, self._verify, [batch])
                self._read_unasked(missing)
            else:
                ready.append(batch)
        if ready:
            self._verify(ready)

    def _read_unasked(self, missing: list[int]) -> None:
        """Have a worker read what nobody reads yet."""
        unasked = [block for block in missing if not self.cache.under_way(block)]
        if unasked:
            self._to_read += unasked
            if not self._reading:
                self._reading = True
                self._clock.process(self._read_later())

    def _read_later(self) -> Generator[Any, Any, None]:
        """The worker that reads checksums of data that has come without them."""
        task = self._reader
        while self._to_read:
            blocks, self._to_read = self._to_read, []
            task.ps += self._s_reader.charge(1)
            yield from self.cache.read(task, blocks)
        self._reading = False
        yield from task.settle()

    def _verify(self, batches: list[_Batch]) -> None:
        """Pay for verifying, where it is to be done."""
        if not self.rules.in_work:
            for batch in batches:
                ps = self._ps(batch, self._sites[self._cpu.context])
                self._cpu.do(ps, self._verified, batch)
            return
        items: list[Item] = []
        for batch in batches:
            ps = self._ps(batch, self._sites[self._work.context]) + self._s_work.charge(batch.items)
            items.append(Item(batch.items, ps, self._verified, batch))
        self._work.queue(self._waker, items)

    def _ps(self, batch: _Batch, sites: _Sites) -> int:
        """Count what a batch hashes: its data, and the blocks with checksums that nobody did before."""
        of_tags = self.cache.fresh(batch.tag_blocks)
        units = len(batch.runs) if batch.tags.by_run else batch.blocks
        hashed = batch.blocks * self.block_size
        if batch.tags.by_run:
            of_tags = int(batch.tags.list_bytes > 0)
            hashed += batch.tags.list_bytes
            batch.tags.list_bytes = 0
        else:
            hashed += of_tags * self.block_size
        units += of_tags
        self.units += of_tags
        self.bytes += hashed
        lookups = 1 if batch.tags.by_run else max(len(batch.tag_blocks), batch.items)
        return sites.lookup.charge(lookups) + sites.unit.charge_units(units, hashed)

    def _verified(self, batch: _Batch) -> None:
        """A batch was hashed: report what is bad, and let the bios go on that are verified as a whole."""
        tags = batch.tags
        arrived = batch.arrived
        for done in arrived:
            physical = done.bio.sector * SECTOR_BYTES // self.block_size
            for lblk, count in done.bio.blocks:
                self._judge(tags, lblk, physical, count)
                physical += count
        for number in batch.runs:
            start, count = tags.run(number)
            self._judge(tags, start, 0, count)
            for held in tags.waiting.pop(number):
                held.left -= 1
                if not held.left:
                    arrived.append(held)
            tags.let_go(number)
        ps = 0
        for done in arrived:
            ps += done.end_io.charge(done.bio, self._cpu.context)
        if arrived:
            self._cpu.do(ps, self._go_on, batch)

    def _go_on(self, batch: _Batch) -> None:
        """The bios go on to their path's own end."""
        for done in batch.arrived:
            done.end_io.done(done.bio)

    def _judge(self, tags: FileTags, lblk: int, physical: int, count: int) -> None:
        """Hold runs against their checksums: the bytes, where there are any."""
        self.units += 1 if tags.by_run else count
        if tags.judge is not None:
            for first, blocks in tags.judge.bad(lblk, physical, count):
                self.failed(tags, first, blocks)

    def failed(self, tags: FileTags, lblk: int, blocks: int) -> None:
        """Verification failed at these blocks of a file."""
        last = f" to {lblk + blocks - 1}" if blocks > 1 else ""
        raise ImageError(tags.name, f"block {lblk}{last} does not have its checksum", "what was written")


class ChecksumEndIo(EndIo):
    """The end of a bio: of a file with checksums when it is verified, of another at once (EndIo)."""

    def __init__(self, end_io: EndIo, verification: Verification) -> None:
        self._end_io = end_io
        self._verification = verification

    def queues_work(self, bio: Bio) -> bool:
        """Tell whether work items are queued (EndIo)."""
        tags: FileTags | None = bio.owner.inode.tags
        if tags is not None and self._verification.rules.in_work:
            return True
        return self._end_io.queues_work(bio)

    def charge(self, bio: Bio, context: str) -> int:
        """Return the cost of what is done at once (EndIo)."""
        if bio.owner.inode.tags is None:
            return self._end_io.charge(bio, context)
        return self._verification.end(bio, context)

    def done(self, bio: Bio) -> None:
        """Have it verified, or go on (EndIo)."""
        if bio.owner.inode.tags is None:
            self._end_io.done(bio)
        else:
            self._verification.came(bio, self._end_io)
