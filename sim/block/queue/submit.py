"""
The request queue: submit_bio() and the plug (block/blk-core.c, blk-mq.c).

A bio first tries to merge (see merge.py), else it takes a request. The plug is flushed when it is full, when
its newest request is large, when the task sleeps and at the end of the window. A flushed request goes to the
scheduler or straight to the hardware, at the time the task has come to. Limits: max_sectors, max_segments
(every page its own segment, for page memory is taken as scattered), tags (see tags.py): where none is left,
the task is `blocked`, and sleeps in wait_for_tag() before it does anything else.

Reads and writes go the same way and never merge with each other. A bio with REQ_PREFLUSH or REQ_FUA passes
neither plug nor scheduler (see flush.py); the flags are dropped where the device has no cache to empty.

Left out: cgroups, polling, requeues, throttling of writeback (blk-wbt), discards, tags of flushes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from operator import attrgetter
from typing import Any

from sim.block.bio import Bio, Plug, Request
from sim.block.drivers.modules import DRIVERS
from sim.block.hardware import Hardware
from sim.block.io_record import IoRecord
from sim.block.media import NO_BAD_SECTORS, BadSectors
from sim.block.opf import FLUSH_FLAGS, REQ_OP_WRITE, REQ_PREFLUSH, action
from sim.block.protocols import BioQueue
from sim.block.queue.dispatch import Arrived, Dispatcher
from sim.block.queue.gaps import has_gap
from sim.block.queue.limits import BlockStats, BlockTracer, QueueLimits
from sim.block.queue.merge import Merger, join
from sim.block.queue.sites import SubmitSites
from sim.block.queue.split import copies, cuts_of, segments_of
from sim.block.queue.tags import Blocked, Cut, Tags, scheduler_tags
from sim.engine.clock import Clock
from sim.engine.cpu import Cpu, Task
from sim.engine.ledger import TASK, Ledger


class BlockQueue(BioQueue):
    """One block device's queue, down to the plug; `dispatcher` is what lies below."""

    def __init__(
        self,
        clock: Clock,
        cpu: Cpu,
        ledger: Ledger,
        limits: QueueLimits,
        device: Hardware,
        tracer: BlockTracer | None = None,
        records: list[IoRecord] | None = None,
        below: str = "",
        media: BadSectors = NO_BAD_SECTORS,
    ) -> None:
        """
        `tracer` sees every event; `submitting` then says of which task, and of which bio (None: of a plug's
        requests). `records` takes one entry a bio. With neither, nothing is kept.

        below: the folded stack of a stacked device's driver that hands bios down (it enters at
        submit_bio_noacct()); empty for a queue that file systems submit to. media: what cannot be read.
        """
        self._media = media
        self.limits = limits
        self.stats = BlockStats()
        self._sites = sites = SubmitSites(ledger, limits, below)
        self._elevator = elevator = limits.scheduler != "none"
        tagged = limits.tags or (scheduler_tags(limits.queue_depth) if elevator else limits.queue_depth)
        driver = DRIVERS[limits.driver]
        queues = len(cpu.cores) if driver.queue_per_cpu else 1
        self._tags = [Tags(tagged) for _ in range(0 if limits.bio_based else queues)]
        self._boundary = driver.virt_boundary
        keeping = records is not None
        parts = clock, cpu, ledger, limits, device, self.stats, tracer, keeping, sites
        self.dispatcher = Dispatcher(*parts, media)
        self._merger = Merger(limits, self.stats, self.dispatcher.scheduler, tracer)
        self._clock = clock
        self._cpu = cpu
        self._tracer = tracer
        self._records = records
        self.submitting: tuple[Task, Bio | None] | None = None
        # Bound methods are objects, made whenever they are asked for.
        self._on_arrival: Callable[[Any], None] = self.dispatcher.arrive
        self._on_insertion: Callable[[Any], None] = self.dispatcher.inserted
        self._on_end: Callable[[Any], None] = self.dispatcher.end

    def submit(self, task: Task, bio: Bio, plug: Plug) -> None:
        """
        submit_bio(): merge, or take a request. It may leave the task blocked, to wait for a tag.

        Without a plug each bio is sent on before the next comes: neighbours merge in an elevator only. Where
        bios end at once, and that queues work, each does before the next comes.
        """
        count, sectors = bio.count, bio.unit_sectors
        if bio.opf & FLUSH_FLAGS:
            self._submit_flush(task, bio)
            return
        if task.blocked is not None:
            task.blocked.later.append((bio, plug))
            return
        if count > 1 and self._one_by_one(bio, plug):
            for number in range(count):
                self.submit(task, bio.row(number, 1), plug)
            return
        if bio.opf & REQ_OP_WRITE:
            self.stats.write_bios += count
            self.stats.write_sectors += bio.sectors
        task.ps += self._sites.submit.charge_units(count, bio.segments)
        stats, limits = self.stats, self.limits
        stats.queued += count
        stats.bio_sizes.add(sectors, count)
        stats.pending += count
        if self._tracer is not None:
            self.submitting = task, bio
            for i in range(count):
                self._tracer(action("Q", bio.opf), task.time_ns, bio.sector + i * sectors, sectors)
        if self._records is not None:
            # Merges so far are taken off here and added again below: what is left are its own.
            bio.record = IoRecord(bio.sector, bio.sectors, count, task.time_ns, -stats.merges)
            bio.record.flushed_ns = bio.record.queued_ns  # until it leaves a plug
            self._records.append(bio.record)
        if limits.bio_based:
            self._complete_inline(task, bio)
        elif count == 1:
            segments = bio.segments
            if bio.vectors is not None:
                segments = segments_of(bio.vectors, limits.max_segment_sectors)
            if segments > stats.most_segments:
                stats.most_segments = segments
            fits = sectors <= limits.max_sectors and segments <= limits.max_segments
            if fits and not (self._boundary and len(bio.blocks) > 1 and has_gap(bio)):
                if not self._piece(task, bio, bio.sector, sectors, segments, plug, True, True):
                    task.blocked = Blocked(bio, plug, bio.sector, [(sectors, segments)])
            else:
                self._submit_split(task, bio, plug)
        else:
            self._submit_row(task, bio, plug)
        if bio.record is not None:
            bio.record.merges += stats.merges

    def joins(self, task: Task, bio: Bio, plug: Plug) -> int:
        """How many bios of a row only join the plug's newest request (BioQueue); a trace sees each."""
        if self._tracer is not None or self._records is not None or task.blocked is not None:
            return 0
        return self._merger.joining(bio, plug) if plug.requests and plug.holds else 0

    def _one_by_one(self, bio: Bio, plug: Plug) -> bool:
        """Tell whether the bios of a row have to be taken each by itself."""
        if self.limits.bio_based:
            return bio.end_io.queues_work(bio) or self._media.fail(bio.sector, bio.sectors, bio.opf)
        return not plug.holds or bio.unit_sectors > self.limits.max_sectors

    def _tags_of(self, task: Task) -> Tags:
        """Return the tags of the hardware queue that a task's requests go to."""
        tags = self._tags
        return tags[task.core.index] if len(tags) > 1 else tags[0]

    def wait_for_tag(self, task: Task) -> Generator[Any, Any, None]:
        """blk_mq_get_tag(): sleep until what the blocked task has submitted has its requests."""
        while task.blocked is not None:
            blocked: Blocked = task.blocked
            task.blocked = None
            tags = self._tags_of(task)
            yield from task.settle()  # its clock is ahead: tags may have come back by then
            if not tags.left:
                yield self._clock.timeout(0)  # what happens at this instant has happened
            while not tags.left:
                event = self._clock.event()
                tags.sleepers.append(event)
                self.flush_for_sleep(task, blocked.plug)
                if (yield from task.wait(event)):
                    task.ps += self._sites.tag_sleep.charge(1)
            before = self.stats.merges
            self.submitting = task, blocked.bio
            self._pieces(task, blocked.bio, blocked.sector, blocked.cuts, blocked.plug, merge=False)
            if blocked.rest is not None:
                self._submit_row(task, blocked.rest, blocked.plug)
            if blocked.bio.record is not None:
                blocked.bio.record.merges += self.stats.merges - before
            for bio, plug in blocked.later:
                if bio is None:
                    self.finish_plug(task, plug)
                else:
                    self.submit(task, bio, plug)

    def finish_plug(self, task: Task, plug: Plug) -> None:
        """blk_finish_plug(): flush what is left."""
        if task.blocked is not None:
            task.blocked.later.append((None, plug))
            return
        task.ps += self._sites.flush.charge(1)
        if plug.requests:
            self._dispatch(task, plug, from_schedule=False)

    def flush_for_sleep(self, task: Task, plug: Plug) -> None:
        """
        The task is about to sleep: its plug goes to the scheduler.

        io_schedule_prepare() flushes it, and so does schedule() itself, which then finds nothing.
        """
        if not plug.holds:
            return
        if task.blocked is not None:  # it sleeps for a tag first: what waits for one is to be flushed, too
            task.blocked.later.append((None, plug))
            return
        task.ps += self._sites.sleep_flush.charge(1)
        if plug.requests:
            self._dispatch(task, plug, from_schedule=True)

    def _submit_flush(self, task: Task, bio: Bio) -> None:
        """
        A bio with REQ_PREFLUSH or REQ_FUA: alone, past plug and scheduler (blk_insert_flush()).

        Without a cache to empty it is the write that is left; without sectors it ends before it is queued
        (submit_bio_noacct()), and no tracer sees it.
        """
        stats, limits = self.stats, self.limits
        if not limits.write_cache:
            if bio.unit_sectors:
                bio.opf &= ~FLUSH_FLAGS
                self.submit(task, bio, Plug(holds=False))
                return
            task.ps += self._sites.drop_flush.charge(1)
            stats.pending += 1
            self._end_at_once(task, bio, task.time_ns, task.time_ns)
            return
        task.ps += self._sites.submit_flush.charge_units(1, bio.segments)
        stats.queued += 1
        stats.bio_sizes.add(bio.sectors, 1)
        stats.pending += 1
        stats.flush_bios += 1
        if bio.sectors:
            stats.write_bios += 1
            stats.write_sectors += bio.sectors
        if self._tracer is not None:
            self.submitting = task, bio
            self._tracer(action("Q", bio.opf), task.time_ns, bio.sector, bio.sectors)
        if self._records is not None:
            bio.record = IoRecord(bio.sector, bio.sectors, 1, task.time_ns)
            bio.record.flushed_ns = bio.record.queued_ns
            self._records.append(bio.record)
        task.ps += self._sites.getrq.charge(1) + self._sites.insert_flush.charge(1)
        if bio.opf & REQ_PREFLUSH or not limits.fua:
            task.ps += self._sites.first_step.charge(1)
        stats.getrq += 1
        if self._tracer is not None:
            self._tracer(action("G", bio.opf), task.time_ns, bio.sector, bio.sectors)
        request = Request(bio.sector, bio.sectors, bio.segments, bio.opf)
        request.closed = True
        request.bios.append(bio)
        request.core = task.core
        self._cpu.when_done(task, self.dispatcher.flushes.insert, request)

    def _submit_split(self, task: Task, bio: Bio, plug: Plug) -> None:
        """
        One bio beyond the limits: cut off as much as one request takes, submit the rest again, and so on.

        A cut may lie inside a page. What is cut off merges with nothing (REQ_NOMERGE); only the last piece,
        which is the bio itself, may.
        """
        limits = self.limits
        cuts = cuts_of(
            bio, limits.max_sectors, limits.max_segments, self._boundary, limits.max_segment_sectors
        )
        task.ps += self._sites.split.charge(len(cuts) - 1)
        self.stats.splits += len(cuts) - 1
        bio.parts = bio.pieces = len(cuts)
        self._pieces(task, bio, bio.sector, cuts, plug)

    def _pieces(
        self, task: Task, bio: Bio, sector: int, cuts: list[Cut], plug: Plug, merge: bool = True
    ) -> None:
        """Put pieces of a bio into requests, as far as there are tags; merge: the first is new (_piece())."""
        last = len(cuts) - 1
        for number, (sectors, segments) in enumerate(cuts):
            if number < last and self._tracer is not None and (merge or number):
                self._tracer(action("X", bio.opf), task.time_ns, sector, sectors)
            new = merge or number > 0
            if not self._piece(task, bio, sector, sectors, segments, plug, number == last, new):
                task.blocked = Blocked(bio, plug, sector, cuts[number:])
                return
            sector += sectors

    def _piece(
        self, task: Task, bio: Bio, at: int, sectors: int, segments: int, plug: Plug, last: bool, new: bool
    ) -> bool:
        """Put a piece of a bio into a request; False: there is no tag. last, new: an end that may merge."""
        request = self._merger.merge(task, bio, at, sectors, segments, plug) if last and new else None
        if request is None:
            if not self._tags_of(task).left:
                return False
            request = self._get_request(task, bio, at, sectors, segments, plug)
        if last:
            join(request, bio)
        else:
            request.closed = True
            request.bios.append(bio)
        if not plug.holds and plug.requests:
            self._dispatch(task, plug, from_schedule=False)
        return True

    def _submit_row(self, task: Task, bio: Bio, plug: Plug) -> None:
        """One-block bios in a row: the first merges or takes a request, the others join from behind."""
        unit, done = bio.unit_sectors, 0
        while done < bio.count:
            sector = bio.sector + done * unit
            request = self._merger.merge(task, bio, sector, unit, 1, plug)
            if request is None and not self._tags_of(task).left:
                task.blocked = blocked = Blocked(bio.row(done, 1), plug, sector, [(unit, 1)])
                if done + 1 < bio.count:
                    blocked.rest = bio.row(done + 1, bio.count - done - 1)
                return
            if request is None:
                request = self._get_request(task, bio, sector, unit, 1, plug)
            joined = 1 + self._merger.row_behind(task, request, bio, done)
            join(request, bio if joined == bio.count else bio.row(done, joined))
            done += joined

    def _get_request(
        self, task: Task, bio: Bio, sector: int, sectors: int, segments: int, plug: Plug
    ) -> Request:
        """Put a new request into the plug, flushing it first if it is full. There is a tag."""
        requests, crypt, tags = plug.requests, bio.crypt, self._tags_of(task)
        task.ps += self._sites.getrq.charge(1)
        stats = self.stats
        stats.getrq += 1
        if self._tracer is not None:
            self._tracer(action("G", bio.opf), task.time_ns, sector, sectors)
        request = Request(sector, sectors, segments, bio.opf)
        tags.left -= 1
        request.tags = tags
        if crypt is not None:
            request.crypt = crypt
            task.ps += self._sites.keyslot.charge(1)
        limits = self.limits
        if not plug.holds:
            pass
        elif not requests:
            self._count_plug(task)
        elif len(requests) >= limits.plug_requests or (
            limits.plug_flush_sectors
            and requests[-1 if limits.newest_first else 0].sectors >= limits.plug_flush_sectors
        ):
            task.ps += self._sites.early.charge(1)
            self._dispatch(task, plug, from_schedule=False)
            self._count_plug(task)
        if plug.requests:
            plug.requests.append(request)
        else:
            plug.requests = [request]
        stats.plugged += plug.holds
        return request

    def _count_plug(self, task: Task) -> None:
        """A request is the first in a plug."""
        self.stats.plugs += 1
        if self._tracer is not None:
            self._tracer("P", task.time_ns, 0, 0)

    def _dispatch(self, task: Task, plug: Plug, from_schedule: bool) -> None:
        """Send a plug's requests on their way, at the time the task has come to."""
        requests, plug.requests = plug.requests, []
        via_insert = from_schedule or self._elevator
        if self.limits.plug_sorted:
            requests.sort(key=attrgetter("sector"))
        elif self.limits.newest_first and not via_insert:
            requests.reverse()  # the plug's list is a stack, and is issued from its top
        sites, count = self._sites, len(requests)
        if plug.holds:
            task.ps += sites.request.charge(count)
        if not via_insert:
            self.stats.lists += plug.holds
            task.ps += (sites.issue_list if plug.holds else sites.issue_alone).charge(requests)
            self._cpu.when_done(task, self._on_arrival, (requests, task.core))
            return
        task.ps += sites.insert.charge_units(1, count) if plug.holds else sites.insert_one.charge(count)
        self.stats.inserted += count
        self.stats.unplugs += plug.holds
        if self._tracer is not None:
            self.submitting = task, None
            for request in requests:
                self._tracer(action("I", request.opf), task.time_ns, request.sector, request.sectors)
        arrived = Arrived(requests, task.core, from_schedule, not plug.holds)
        self._cpu.when_done(task, self._on_insertion, arrived)

    def _complete_inline(self, task: Task, bio: Bio) -> None:
        """A bio-based device that is memory: copy and complete in the caller."""
        issued_ns = task.time_ns
        bio.failed |= self._media.fail(bio.sector, bio.sectors, bio.opf)
        if self.limits.copies:
            task.ps += self._sites.copy.charge_units(copies(bio), bio.sectors)
        self._end_at_once(task, bio, issued_ns, task.time_ns)

    def _end_at_once(self, task: Task, bio: Bio, issued_ns: int, copied_ns: int) -> None:
        """End a bio in the caller, when it has come to that."""
        ended = self.dispatcher.endio if bio.unit_sectors else self.dispatcher.endio_kept
        task.ps += ended[TASK].charge(bio.count) + bio.end_io.charge(bio, TASK)
        if bio.record is not None:
            bio.record.issued_ns, bio.record.completed_ns = issued_ns, copied_ns
        self._cpu.when_done(task, self._on_end, [bio])
