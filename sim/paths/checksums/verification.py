"""
Verifying what has come: between the end of a bio and the end_io of its path, as btrfs_check_read_bio() lies
between a bio and its pages (Linux 6.1). What is of plaintext is verified behind the work item that decrypts,
as fs-verity's step lies behind fscrypt's; what the cipher has sealed is decrypted here, in the same pass, and
its path decrypts nothing.

What has one checksum is verified at once: a block by a table, all of a run by a list. So a bio with checksums
from a table is verified alone; one of a list waits for the rest of its runs. It runs in a work item, or where
the bio ends. A bio whose checksums are not in memory waits for them. What is verified is what the device has
delivered, each block once.

What is bad goes on to the path's own end as `Bio.bad` (page by page, PG_error of 6.1), or fails its bio
(bi_status, since 6.2): its pages are unlocked, not up to date, and their readers get EIO. Of a run all that
was read is bad if its checksum is wrong, or if a part of it cannot be read; then nothing is hashed. Bad is
also what has its checksum in a block that cannot be read, or has not its own.

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
from sim.fs.file_tags import DECRYPTED, NO_BLOCK, SEALED, STORED, FileTags, Judge, Run
from sim.paths.checksums.batches import Arrived, Batch
from sim.paths.checksums.symbols import (
    END_IO,
    GCM,
    LOOKUP,
    OPEN,
    OPEN_PAGE,
    TAG_BYTES,
    UNSEAL,
    VERIFY,
    WORK,
    XTS,
)
from sim.paths.checksums.tag_cache import TagCache
from sim.paths.page_data import Contents
from sim.units import PAGE_BYTES, SECTOR_BYTES


@dataclass(frozen=True, slots=True)
class SumRules:
    """
    How a machine verifies. symbol: of the algorithm. read: "before", "with" or "after" the data.

    ahead: blocks of a table read besides. in_work, work_queue: in a work item, and on which kind of queue.
    of: what is verified, as of FileTags.
    """

    symbol: str
    read: str = "with"
    ahead: int = 0
    in_work: bool = True
    work_queue: str = "unbound-highpri"
    of: str = STORED


class _Sites:
    """
    Where verifying charges, in one context below one stack. unit: of what is hashed. opened: of a block that
    the cipher opens; page: of the pages of such. seal: of a checksum that is encrypted.
    """

    __slots__ = ("lookup", "opened", "page", "seal", "unit")

    def __init__(self, ledger: Ledger, context: str, stack: str, rules: SumRules) -> None:
        symbol = rules.symbol
        self.lookup = ledger.site(context, stack, f"{LOOKUP} {LOOKUP};__getblk_gfp")
        self.unit: Site = ledger.site(context, stack, f"{VERIFY} {VERIFY};{symbol}", unit=symbol)
        sealed, plain = rules.of == SEALED, rules.of == DECRYPTED
        self.opened = ledger.site(context, stack, OPEN if sealed else "", unit=GCM if sealed else "")
        self.page = ledger.site(context, stack, OPEN_PAGE if sealed else "")
        self.seal = ledger.site(context, stack, UNSEAL if plain else "", unit=XTS if plain else "")


class Verification:
    """
    Verifies the bios of a machine's files. cache: blocks with checksums. contents: of pages, None with data
    off.

    units, bytes: what was verified so far, checksums of checksums among them. failed: of these units, those
    that did not have their checksums. refused: blocks that were read and not given to who asked.
    """

    def __init__(
        self,
        clock: Clock,
        cpu: Cpu,
        ledger: Ledger,
        cache: TagCache,
        block_size: int,
        rules: SumRules,
        contents: Contents | None = None,
    ) -> None:
        self.cache = cache
        self.rules = rules
        self.units = 0
        self.bytes = 0
        self.failed = 0
        self.refused = 0
        self._contents = contents
        self._clock = clock
        self._cpu = cpu
        self.block_size = block_size
        self._per_page = max(PAGE_BYTES // block_size, 1)
        self._work = WorkQueue(cpu, ledger, rules.work_queue)
        self.queues = self._work.queues
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
        self._sites = {context: _Sites(ledger, context, stack, rules) for context, stack in where.items()}
        self._s_reader = ledger.site(TASK, "", f"process_one_work process_one_work;{WORK}")
        self._reader = cpu.task(0, "checksum reader")
        self._to_read: list[int] = []
        self._reading = False

    def end(self, bio: Bio, context: str) -> int:
        """Return the cost of the end of a bio: of all that is not verifying."""
        return self._s_end[context].charge(bio.count)

    def came(self, bio: Bio, end_io: EndIo, whole: bool) -> None:
        """
        A bio of a file with checksums has come, or, of a run, has failed. whole: what is bad fails all of it.
        """
        file: OpenFile = bio.owner
        tags: FileTags = file.inode.tags
        if self._contents is not None and not bio.failed and tags.of != DECRYPTED:
            self._contents.bring(bio)
        if tags.by_run:
            self._runs_came(Arrived(bio, end_io, 0, whole), tags)
            return
        first, count = 0, bio.count
        shares = self._work.shares(count) if self.rules.in_work and count > 1 else [count]
        batches: list[Batch] = []
        for share in shares:
            part = bio if share == count else bio.row(first, share)
            blocks = 0
            for _, length in part.blocks:
                blocks += length
            tag_blocks = tags.tag_blocks(part.sector * SECTOR_BYTES // self.block_size, blocks)
            batches.append(Batch(tags, [], tag_blocks, [Arrived(part, end_io, 1, whole)], share))
            first += share
        self._start(batches)

    def _runs_came(self, arrived: Arrived, tags: FileTags) -> None:
        """Blocks of runs have come: verify the runs of which they were the last."""
        whole: list[int] = []
        for lblk, count in arrived.bio.blocks:
            for number in tags.runs(lblk, count):
                start, blocks = tags.run(number)
                came = min(start + blocks, lblk + count) - max(start, lblk)
                arrived.left += 1
                tags.waiting.setdefault(number, []).append(arrived)
                tags.left[number] -= came
                if arrived.bio.failed:
                    tags.torn.add(number)
                if not tags.left[number]:
                    del tags.left[number]
                    whole.append(number)
        if whole:
            self._start([Batch(tags, whole, tags.tag_blocks(0, 0), [])])

    def _start(self, batches: list[Batch]) -> None:
        """Verify, now or when the checksums are there. Who reads them after the data tries each time."""
        ready: list[Batch] = []
        for batch in batches:
            if self.rules.read == "after":
                missing = self.cache.missing(batch.tag_blocks)
            else:
                missing = self.cache.to_come(batch.tag_blocks)
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

    def _verify(self, batches: list[Batch]) -> None:
        """Look at the checksums, and pay for verifying, where it is to be done."""
        items: list[Item] = []
        for batch in batches:
            of_tags = self._look_at_tags(batch)
            if not self.rules.in_work:
                ps = self._ps(batch, of_tags, self._sites[self._cpu.context])
                self._cpu.do(ps, self._verified, batch)
                continue
            ps = self._ps(batch, of_tags, self._sites[self._work.context]) + self._s_work.charge(batch.items)
            items.append(Item(batch.items, ps, self._verified, batch))
        if items:
            self._work.queue(self._waker, items)

    def _look_at_tags(self, batch: Batch) -> int:
        """Note which blocks with checksums cannot be used; return how many pieces of them are hashed."""
        tags, cache = batch.tags, self.cache
        if tags.known:
            return 0
        batch.lost = cache.missing(batch.tag_blocks)
        there = [block for block in batch.tag_blocks if block not in batch.lost]
        if not tags.by_run:
            bad = tags.judge.bad_tags(cache.unverified(there)) if tags.judge is not None else []
            hashed = len(bad)
        elif batch.lost:
            return 0
        else:
            bad = tags.judge.bad_tags(there) if tags.judge is not None else []
            hashed = int(tags.list_bytes > 0)
            tags.known = not bad
        for block in bad:
            if block != NO_BLOCK:
                cache.refuse(block)
        batch.lost += bad
        self.failed += min(len(bad), 1) if tags.by_run else len(bad)
        fresh = cache.fresh([block for block in there if block not in bad])
        return hashed if tags.by_run else hashed + fresh

    def _ps(self, batch: Batch, of_tags: int, sites: _Sites) -> int:
        """Count what a batch hashes: data whose checksums are there, `of_tags` pieces of checksums."""
        tags = batch.tags
        units = blocks = 0
        if not tags.by_run:
            for _, _, count, known in batch.pieces(self.block_size):
                blocks += count if known else 0
            units = blocks
            of_bytes = of_tags * self.block_size
        else:
            for number in [] if batch.lost else batch.runs:
                if number not in tags.torn:
                    blocks += tags.run(number)[1]
                    units += 1
            of_bytes = tags.list_bytes if of_tags else 0
            if of_tags and tags.known:
                tags.list_bytes = 0
        of_data = blocks * self.block_size
        self.units += of_tags
        self.bytes += of_data + of_bytes
        lookups = 1 if tags.by_run else max(len(batch.tag_blocks), batch.items)
        ps = sites.lookup.charge(lookups)
        if tags.of == SEALED:
            calls = max(-(-blocks // self._per_page), batch.items) if blocks else 0
            ps += sites.page.charge(calls) + sites.opened.charge_units(units, of_data)
            return ps + sites.unit.charge_units(of_tags, of_bytes)
        if tags.of == DECRYPTED:
            ps += sites.seal.charge_units(units, units * TAG_BYTES)
        return ps + sites.unit.charge_units(units + of_tags, of_data + of_bytes)

    def _verified(self, batch: Batch) -> None:
        """A batch was hashed: note what is bad, and let the bios go on that are looked at as a whole."""
        tags = batch.tags
        if tags.by_run:
            for number in batch.runs:
                self._run_verified(batch, number)
        else:
            arrived = batch.arrived[0]
            for lblk, physical, count, known in batch.pieces(self.block_size):
                bad = self._bad(tags, [arrived], lblk, physical, count) if known else [(lblk, count)]
                self._refuse([arrived], bad, known)
        ps = 0
        for done in batch.arrived:
            ps += done.end_io.charge(done.bio, self._cpu.context)
        if batch.arrived:
            self._cpu.do(ps, self._go_on, batch)

    def _run_verified(self, batch: Batch, number: int) -> None:
        """A run was hashed, if that could be: note if it is bad, and which bios have no other to wait for."""
        tags = batch.tags
        start, count = tags.run(number)
        holders: list[Arrived] = tags.waiting.pop(number)
        known = not batch.lost and number not in tags.torn
        tags.torn.discard(number)
        bad = self._bad(tags, holders, start, 0, count) if known else [(start, count)]
        self._refuse(holders, bad, known)
        for held in holders:
            held.left -= 1
            if not held.left:
                batch.arrived.append(held)
        tags.let_go(number)

    def _go_on(self, batch: Batch) -> None:
        """The bios go on to their path's own end."""
        for done in batch.arrived:
            done.end_io.done(done.bio)

    def _bad(self, tags: FileTags, holders: list[Arrived], lblk: int, physical: int, count: int) -> list[Run]:
        """Hold whole runs against their checksums, where there are bytes: return what of them is bad."""
        self.units += 1 if tags.by_run else count
        judge: Judge | None = tags.judge
        if judge is None:
            return []
        content: memoryview | None = holders[0].bio.owner.mapping.content
        stored = b""
        if content is not None:
            size = self.block_size
            stored = bytes(content[lblk * size : (lblk + count) * size])
            if tags.of == SEALED:
                return self._opened(judge, lblk, physical, stored, content)
            if tags.by_run and tags.encrypt is not None:
                stored = self._as_stored(tags, holders, lblk, stored)
        return judge.bad(lblk, physical, count, stored)

    def _opened(
        self, judge: Judge, lblk: int, physical: int, stored: bytes, content: memoryview
    ) -> list[Run]:
        """Decrypt blocks that came sealed, into their pages; return those that are not what was sealed."""
        size, bad = self.block_size, list[Run]()
        for at, plain in enumerate(judge.opened(lblk, physical, len(stored) // size, stored), lblk):
            if plain is None:
                bad.append((at, 1))
            else:
                content[at * size : (at + 1) * size] = plain
        return bad

    def _as_stored(self, tags: FileTags, holders: list[Arrived], lblk: int, stored: bytes) -> bytes:
        """Return a run as it lies on the device: what did not come with bios was decrypted before."""
        assert tags.encrypt is not None
        size = self.block_size
        came = bytearray(len(stored) // size)
        for held in holders:
            for first, blocks in held.bio.blocks:
                start, stop = max(first - lblk, 0), min(first + blocks - lblk, len(came))
                for at in range(start, stop):
                    came[at] = 1
        whole = bytearray(stored)
        for at in range(len(came)):
            if not came[at]:
                whole[at * size : (at + 1) * size] = tags.encrypt(
                    stored[at * size : (at + 1) * size], lblk + at
                )
        return bytes(whole)

    def _refuse(self, holders: list[Arrived], bad: list[Run], hashed: bool) -> None:
        """Fail what is bad of bios; hashed: it has not its checksum, else that is not known."""
        for lblk, blocks in bad:
            for held in holders:
                for first, count in held.bio.blocks:
                    self.refused += max(min(first + count, lblk + blocks) - max(first, lblk), 0)
                held.refuse(lblk, blocks)
            if hashed:
                self.failed += 1
                if self._contents is not None:
                    for block in range(lblk, lblk + blocks):
                        self._contents.tell_block(holders[0].bio.owner.inode, block)
