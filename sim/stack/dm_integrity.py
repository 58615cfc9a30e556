"""
dm-integrity: a block device that keeps a tag of each block beside the data (drivers/md/dm-integrity.c, Linux
6.1). Which calls and bios there are, and in what order, is said by sim.block.dm.integrity; here is when.

A read goes to a worker, which sends the clone, waits for it, has the tags' buffers read one after the other,
and verifies; only then the bio ends. A write in mode D or B sends its clone under the submitter's plug while
another worker hashes it and changes the tags; it ends when both have. In mode J its data is hashed and copied
to the journal's memory by who submits it, and it has ended. Flushes are the commit worker's. Device mapper
sends a flush ahead of data that come with one; REQ_FUA is a flush behind the data.

The rules are asked in the order in which bios come: so counts are those of the rules for these bios, one
after the other, however they overlap in time. That is where this model is coarse: what a worker would find
changed by another one that was faster; flushes that one commit would serve have one each. What enters the
journal waits until there is room in time, too.

Left out: bytes; what the rules leave out; memory for tags given back; a bound worker's core for commits.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from sim.block.bio import Bio, Plug
from sim.block.dm.asked import BITMAP, COMMIT, MAP, METADATA, OFFLOAD, WRITER, pages_of
from sim.block.dm.integrity import IntegrityDevice
from sim.block.opf import FLUSH, FLUSH_FLAGS, REQ_FUA, REQ_OP_MASK, REQ_OP_WRITE, REQ_PREFLUSH, action
from sim.block.protocols import StackedQueue
from sim.block.queue.limits import BlockTracer
from sim.block.queue.submit import BlockQueue
from sim.engine.clock import Clock, Event
from sim.engine.cpu import Cpu, Task
from sim.engine.ledger import IRQ, KWORKER, TASK, Ledger
from sim.engine.worker import Worker, Workers
from sim.engine.workqueue import Item, SleepingItem, Waker, WorkQueue
from sim.errors import InvariantError
from sim.integrity.interleaved import Interleaved
from sim.stack.device_mapper import SUBMITS
from sim.stack.dm_integrity_bios import Awaited, CloneEnds, JournalRoom, Mapped, OwnEnds, blocks_of, came
from sim.stack.dm_integrity_plan import (
    BUFFER,
    BUFFER_WRITE,
    CALL,
    CLONE,
    COPY,
    FREE,
    HASH,
    IO,
    SKIP,
    TAKE,
    Job,
    PlanTaker,
    Step,
)
from sim.stack.dm_integrity_sites import ENTRY, ENTRY_BELOW, WAKERS, IntegritySites
from sim.units import SECTOR_BYTES

METADATA_WORKQUEUE_MAX_ACTIVE = 16
"""How many bios of a core may be hashed at once (also offload_wq's)."""
_NUMBER_BYTES = 8
"""The sector's number, which is hashed before a block."""


@dataclass(frozen=True, slots=True)
class IntegrityTable:
    """The table line. layout: where tags lie, and the mode. symbol: of internal_hash. watermark: percent."""

    layout: Interleaved
    symbol: str
    watermark: int


class IntegrityTarget(StackedQueue):
    """
    A target as who lies above sees it (BioQueue), over the queue of the device below, made with SUBMITS.

    pending: bios from above not completed. verified, computed: blocks that were hashed to be held
    against a tag, or for a new one; hashed_bytes: all of them, with their numbers. tag_bytes: that were read.
    """

    def __init__(
        self,
        clock: Clock,
        cpu: Cpu,
        ledger: Ledger,
        below: BlockQueue,
        table: IntegrityTable,
        tracer: BlockTracer | None = None,
        below_crypt: bool = False,
    ) -> None:
        """`tracer` sees the bios that are submitted, as "Q". below_crypt: by a crypt target, which clones."""
        super().__init__(below)
        self.pending = self.verified = self.computed = self.hashed_bytes = self.tag_bytes = 0
        self._clock, self._cpu, self._tracer = clock, cpu, tracer
        self._layout = layout = table.layout
        self._taker = PlanTaker()
        self.rules = IntegrityDevice(layout, self._taker, True, below.limits.max_sectors, table.watermark)
        self._sites = IntegritySites(ledger, table.symbol)
        most = METADATA_WORKQUEUE_MAX_ACTIVE
        writer = WorkQueue(cpu, ledger, "unbound", 1)
        self._queues = {
            OFFLOAD: WorkQueue(cpu, ledger, "bound", most),
            METADATA: WorkQueue(cpu, ledger, "bound", most),
            COMMIT: WorkQueue(cpu, ledger, "unbound", 1),
            WRITER: writer,
            BITMAP: writer,
        }
        self._waker = Waker(ledger, WAKERS)
        self._room = JournalRoom(layout.sections * layout.section_entries)
        self._workers = Workers(clock, cpu)
        self._buffers: dict[int, Awaited] = {}
        self._buffer_writes = Awaited()
        self._clones, self._own = CloneEnds(self._clone_ended, ledger), OwnEnds(ledger)
        self._s_entry = ledger.site(TASK, "", ENTRY_BELOW if below_crypt else f"submit_bio {ENTRY}")
        self._s_queue = ledger.site(TASK, SUBMITS, "queue_work_on")
        ended = "bio_endio bio_endio;clone_endio bio_endio;bio_put bio_endio;bio_put;bio_free"
        self._s_end = {where: ledger.site(where, "", f"bio_endio {ended}") for where in (TASK, IRQ, KWORKER)}

    def submit(self, task: Task, bio: Bio, plug: Plug) -> None:
        """dm_submit_bio() of a bio, or of each of a row."""
        if bio.count > 1:
            for first in range(bio.count):
                self.submit(task, bio.row(first, 1), plug)
            return
        self.pending += 1
        if self._tracer is not None:
            self._tracer(action("Q", bio.opf), task.time_ns, bio.sector, bio.unit_sectors)
        task.ps += self._s_entry.charge(1)
        mapped = Mapped(bio)
        if bio.opf & REQ_PREFLUSH or not bio.unit_sectors:
            mapped.step = REQ_PREFLUSH
            self.rules.flush()
            self._play(task, mapped, plug)
        else:
            self._transfer(task, mapped, plug)

    def _transfer(self, task: Task, mapped: Mapped, plug: Plug) -> None:
        """Map what has data."""
        bio, mapped.step = mapped.bio, 0
        if bio.opf & REQ_OP_MASK == REQ_OP_WRITE:
            self.rules.write(bio.sector, bio.unit_sectors, bio.opf & ~FLUSH_FLAGS)
        else:
            self.rules.read(bio.sector, bio.unit_sectors, bio.opf)
        self._play(task, mapped, plug)

    def _play(self, task: Task, mapped: Mapped, plug: Plug) -> None:
        """Do what the submitter does of what the rules have asked for, then have workers do the rest."""
        mapped.bios += self._taker.ends
        self._taker.ends = 0
        mapped.left += 1
        queued: list[Job] = []
        for job in self._taker.taken():
            if job.rest is None:
                if mapped.step and job.who == COMMIT:
                    job.whose = mapped
                queued.append(job)
                continue
            self._submit_steps(task, mapped, job, plug)
            if job.rest:
                for later in job.rest:
                    later.whose = mapped
                queued.append(job.rest.pop(0))
        mapped.left += sum(job.whose is not None for job in queued)
        task.ps += self._s_queue.charge(len(queued))
        self._cpu.when_done(task, self._launch, (mapped, queued))

    def _submit_steps(self, task: Task, mapped: Mapped, job: Job, plug: Plug) -> None:
        """Do a job of the submitter's; from where there is no room in the journal on, a worker does it."""
        for number, step in enumerate(job.steps):
            if step.kind == CLONE:
                mapped.left += 1
                self._below.submit(task, self._clone(mapped, step, mapped), plug)
            elif step.kind == TAKE and self._room.lacks(step.number):
                assert job.rest is not None
                later = Job(OFFLOAD, job.rest)
                later.steps = job.steps[number:]
                job.rest.insert(0, later)
                return
            else:
                self._charge(task, MAP, step, mapped)

    def _charge(self, task: Task, who: str, step: Step, mapped: Mapped | None) -> None:
        """Do a step for which nobody waits."""
        block = self._layout.block_bytes
        kind, count = step.kind, step.number
        if kind == CALL:
            task.ps += self._sites.call(who, step.symbol).charge(count)
        elif kind == HASH:
            assert mapped is not None
            hashed = count * (block + _NUMBER_BYTES)
            self.hashed_bytes += hashed
            task.ps += self._sites.hashed(who).charge_units(count, hashed)
            if mapped.bio.opf & REQ_OP_MASK == REQ_OP_WRITE:
                self.computed += count
            else:
                self.verified += count
        elif kind in (TAKE, COPY):
            self._room.left -= count if kind == TAKE else 0
            task.ps += self._sites.copied(who).charge_units(1, count * block)
        elif kind == SKIP:
            self._room.left -= count
        else:
            raise InvariantError(f"a step of dm-integrity of kind {kind} is for a worker")

    def _launch(self, launched: tuple[Mapped, list[Job]]) -> None:
        """The submitter has come to where it has queued all jobs."""
        mapped, queued = launched
        for job in queued:
            self._queue(job)
        self._part_done(mapped)

    def _queue(self, job: Job) -> None:
        """Queue a job, or, if it is to wait for another, have that do it."""
        if job.after is not None and not job.after.over:
            job.after.then.append(job)
            return
        self._queues[job.who].queue(self._waker, [Item(1, 0, self._start, job)])

    def _start(self, job: Job) -> None:
        """A worker takes a job up."""
        self._clock.process(self._work(job, self._queues[job.who].sleep()))

    def _work(self, job: Job, worker: SleepingItem) -> Generator[Any, Any, None]:
        """Do a job."""
        task, own = self._workers.take(worker[1], f"dm-integrity {job.who}"), Awaited()
        task.ps += self._sites.work.charge(1)
        for step in job.steps:
            if step.kind in (CALL, HASH, SKIP, COPY):
                self._charge(task, job.who, step, job.whose)
            elif step.kind == BUFFER:
                yield from self._have_buffer(task, step)
            elif step.kind == TAKE:
                yield from self._take(task, job.who, step)
            elif step.kind == FREE:
                yield from self._wait(task, own)
                yield from task.settle()
                self._room.free(step.number)
            else:
                yield from self._send(task, step, job.whose, own)
        yield from self._wait(task, own)
        yield from task.settle()
        self._workers.give(task)
        self._queues[job.who].wake(worker)
        self._cpu.when_done(task, self._done, job)

    def _send(
        self, task: Worker, step: Step, mapped: Mapped | None, own: Awaited
    ) -> Generator[Any, Any, None]:
        """Send a bio; wait for a clone that reads, and before the disk's cache is emptied for all writes."""
        if step.kind == CLONE:
            assert mapped is not None
            if step.opf & REQ_OP_MASK == REQ_OP_WRITE:
                mapped.left += 1
                bio = self._clone(mapped, step, mapped)
            else:
                own.left += 1
                bio = self._clone(mapped, step, own)
        elif step.kind == BUFFER_WRITE:
            self._buffer_writes.left += 1
            bio = self._own_bio(step, self._buffer_writes)
        else:
            if step.opf == FLUSH:
                yield from self._wait(task, own)
                yield from self._wait(task, self._buffer_writes)
            own.left += 1
            bio = self._own_bio(step, own)
        yield from self._submit(task, bio)
        if step.kind == CLONE:
            yield from self._wait(task, own)

    def _submit(self, task: Task, bio: Bio) -> Generator[Any, Any, None]:
        """Submit a bio without a plug."""
        self._below.submit(task, bio, Plug(holds=False))
        if task.blocked is not None:
            yield from self._below.wait_for_tag(task)

    def _have_buffer(self, task: Worker, step: Step) -> Generator[Any, Any, None]:
        """dm_bufio_read(): read a buffer that nobody has read yet, and wait for it."""
        buffer = self._buffers.get(step.sector)
        if buffer is None:
            buffer = self._buffers[step.sector] = Awaited()
            buffer.left = 1
            self.tag_bytes += self._layout.buffer_sectors * SECTOR_BYTES
            read = Step(BUFFER, 1, "", step.sector, self._layout.buffer_sectors, 0)
            yield from self._submit(task, self._own_bio(read, buffer))
        yield from self._wait(task, buffer)

    def _wait(self, task: Worker, awaited: Awaited) -> Generator[Any, Any, None]:
        """Sleep until all of what is awaited has come."""
        while awaited.left:
            if awaited.event is None or awaited.event.triggered:
                awaited.event = self._clock.event()
            yield from self._sleep(task, awaited.event)

    def _sleep(self, task: Worker, event: Event) -> Generator[Any, Any, None]:
        """Sleep until an event; who was woken may go before tasks, or not."""
        if (yield from task.wait(event)):
            task.first = self._cpu.goes_first(task.core, False)
            task.ps += self._sites.sleep.charge(1)

    def _take(self, task: Worker, who: str, step: Step) -> Generator[Any, Any, None]:
        """Enter blocks into the journal, when there is room for them and for who came before."""
        if self._room.lacks(step.number):
            event = self._clock.event()
            self._room.waiting.append((step.number, event))
            yield from self._sleep(task, event)
            self._room.left += step.number  # was set aside
        self._charge(task, who, step, None)

    def _done(self, job: Job) -> None:
        """A job is over."""
        job.over = True
        for waiting in job.then:
            self._queue(waiting)
        if job.rest:
            self._cpu.spend(self._s_queue.charge(1))
            self._queue(job.rest.pop(0))
        elif job.whose is not None:
            self._part_done(job.whose)

    def _clone(self, mapped: Mapped, step: Step, owner: Mapped | Awaited) -> Bio:
        """Return the clone of a piece of a bio, where that lies on the disk."""
        bio = mapped.bio
        whole = step.sectors == bio.unit_sectors
        pages, blocks = bio.segments, bio.blocks
        if not whole:
            first = self._layout.mapped_sector(step.sector) - bio.sector
            pages, blocks = pages_of(step.sectors), blocks_of(bio, first, step.sectors)
        mapped.clones += 1
        ends, owners = self._clones, (mapped, owner)
        clone = Bio(step.sector, step.sectors, 1, pages, ends, owners, blocks, bio.ahead, step.opf)
        clone.vectors = bio.vectors if whole else None
        return clone

    def _own_bio(self, step: Step, awaited: Awaited) -> Bio:
        """Return a bio of the target's own: of a buffer, which is one segment, or of pages."""
        pages = pages_of(step.sectors)
        segments, blocks = pages if step.kind == IO else 1, [(0, pages)] if pages else []
        return Bio(step.sector, step.sectors, 1, segments, self._own, awaited, blocks, False, step.opf)

    def _part_done(self, mapped: Mapped) -> None:
        """Something that a bio waits for is done; if it was the last, go on, or end it."""
        mapped.left -= 1
        if mapped.left:
            return
        bio = mapped.bio
        if (mapped.step == REQ_PREFLUSH and bio.unit_sectors) or (not mapped.step and bio.opf & REQ_FUA):
            self._clock.process(self._go_on(mapped, Task(self._clock, self._cpu.here, "kdmflush")))
        else:
            context = self._cpu.context
            ps = self._s_end[context].charge(mapped.bios // 2) + bio.end_io.charge(bio, context)
            self._cpu.do(ps, self._end, bio)

    def _go_on(self, mapped: Mapped, task: Task) -> Generator[Any, Any, None]:
        """Send the data behind its flush, or the flush behind it."""
        if mapped.step == REQ_PREFLUSH:
            self._transfer(task, mapped, Plug(holds=False))
        else:
            mapped.step = REQ_FUA
            self.rules.fua()
            self._play(task, mapped, Plug(holds=False))
        if task.blocked is not None:
            yield from self._below.wait_for_tag(task)
        yield from task.settle()

    def _end(self, bio: Bio) -> None:
        """The bio is over."""
        self.pending -= 1
        if self.pending < 0:
            raise InvariantError("a bio of dm-integrity completed more often than it was submitted")
        bio.end_io.done(bio)

    def _clone_ended(self, clone: Bio) -> None:
        """integrity_end_io(): whoever waits for a clone goes on."""
        mapped, owner = clone.owner
        mapped.bio.failed |= clone.failed
        if mapped.clones == 1:
            mapped.bio.record = clone.record
        elif clone.record is not None:
            clone.record.ready(clone.record.interrupted_ns)
        if isinstance(owner, Mapped):
            self._part_done(owner)
        else:
            came(owner)
