"""
Write bios on their way: submitted, ended, waited for; their bytes reach the disk when the device has them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

from sim.block.bio import Bio, EndIo, Plug
from sim.block.opf import REQ_OP_WRITE, REQ_PREFLUSH, REQ_SYNC
from sim.block.protocols import BioQueue
from sim.cache.filemap import SLEEP_SYMBOLS
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.engine.ledger import IRQ, KWORKER, TASK, Ledger, Site
from sim.units import SECTOR_BYTES


class Disk(Protocol):
    """The bytes of the device."""

    def write(self, offset: int, data: bytes) -> None:
        """Write at a byte offset."""
        ...


Contents = Callable[[], Sequence[tuple[int, bytes]]]
"""What a bio writes, made when it is needed: (byte offset, bytes) pairs."""


class Pending:
    """A bio on its way, or `count` that end at once. ended: completed. pages: how many it is of."""

    __slots__ = ("contents", "count", "ended", "event", "pages")

    def __init__(self, pages: int, contents: Contents | None, count: int = 1) -> None:
        self.pages = pages
        self.count = count
        self.contents = contents
        self.ended = False
        self.event: Any = None


class WriteOut(EndIo):
    """
    The write bios of one kind (EndIo), over one queue.

    disk: where bytes go; None if data is off.
    """

    def __init__(
        self,
        clock: Clock,
        ledger: Ledger,
        queue: BioQueue,
        disk: Disk | None,
        ended: str,
        ended_page: str,
        waits: str,
    ) -> None:
        """
        ended, ended_page: symbols of the end of a bio, and of each page of it. waits: the stack of who waits,
        its last symbol called for each bio that is waited for.
        """
        self.queue = queue
        self.disk = disk
        self._clock = clock
        contexts = (IRQ, TASK, KWORKER)
        self._s_end = {context: ledger.site(context, "bio_endio", ended) for context in contexts}
        self._s_page: dict[str, Site] = (
            {context: ledger.site(context, "bio_endio", ended_page) for context in contexts}
            if ended_page
            else {}
        )
        caller, _, symbol = waits.rpartition(";")
        self._s_wait = ledger.site(TASK, caller, symbol)
        self._s_sleep = ledger.site(TASK, waits, SLEEP_SYMBOLS)
        self._s_flush = ledger.site(TASK, "", "blkdev_issue_flush blkdev_issue_flush;submit_bio_wait")

    def submit(
        self,
        task: Task,
        plug: Plug,
        sector: int,
        sectors: int,
        segments: int,
        blocks: list[tuple[int, int]],
        contents: Contents | None = None,
        opf: int = REQ_OP_WRITE | REQ_SYNC,
        pages: int = 0,
        ahead: bool = False,
        crypt: tuple[Any, int] | None = None,
    ) -> Pending:
        """
        Submit one bio; return it on its way. pages: of a file, whose writeback it ends. ahead: REQ_RAHEAD.
        crypt: of a bio that the device en- or decrypts, see Bio.
        """
        pending = Pending(pages, contents)
        bio = Bio(sector, sectors, 1, segments, self, pending, blocks, ahead, opf)
        bio.crypt = crypt
        self.queue.submit(task, bio, plug)
        return pending

    def submit_each(
        self, task: Task, plug: Plug, blocks: list[int], block_size: int, opf: int, calls: Site | None = None
    ) -> list[Pending]:
        """
        Submit a bio for each of some blocks of the device, in that order; return them on their way.

        calls: what is called for each before it is submitted. Those that do no more than join a request are
        one object.
        """
        sectors, pending = block_size // SECTOR_BYTES, []
        for first, length in runs_of(blocks):
            at, end = first, first + length
            while at < end:
                left = end - at
                row = Bio(at * sectors, sectors, left, left, self, None, [(at, left)], False, opf)
                count = max(self.queue.joins(task, row, plug), 1)
                if count < left:
                    row = row.row(0, count)
                row.owner = Pending(0, None, count)
                pending.append(row.owner)
                if calls is not None:
                    task.ps += calls.charge(count)
                self.queue.submit(task, row, plug)
                at += count
        return pending

    def flush(self, task: Task) -> Generator[Any, Any, None]:
        """blkdev_issue_flush(): an empty bio, on its stack, that empties the device's cache; wait for it."""
        task.ps += self._s_flush.charge(1)
        opf = REQ_OP_WRITE | REQ_SYNC | REQ_PREFLUSH
        yield from self._sleep(task, self.submit(task, Plug(holds=False), 0, 0, 0, [], None, opf))

    def wait(self, task: Task, pending: Sequence[Pending]) -> Generator[Any, Any, None]:
        """Wait for bios one after another, as they were submitted: first for those that have no tag."""
        if task.blocked is not None:
            yield from self.queue.wait_for_tag(task)
        for each in pending:
            task.ps += self._s_wait.charge(1)
            yield from self._sleep(task, each)
            if each.count > 1:  # they have ended, too
                task.ps += self._s_wait.charge(each.count - 1)

    def wait_ended(self, task: Task, pending: Sequence[Pending]) -> Generator[Any, Any, None]:
        """Wait for bios; those that have ended by now are not looked at."""
        yield from task.settle()
        yield from self.wait(task, [each for each in pending if not each.ended])

    def _sleep(self, task: Task, pending: Pending) -> Generator[Any, Any, None]:
        """Sleep until a bio has ended, unless it has."""
        if not pending.ended:
            if pending.event is None:
                pending.event = self._clock.event()
            if (yield from task.wait(pending.event)):
                task.ps += self._s_sleep.charge(1)

    def charge(self, bio: Bio, context: str) -> int:
        """Return the completion's cost (EndIo); that of a bare flush is in blkdev_issue_flush()."""
        if not bio.unit_sectors:
            return 0
        ps = self._s_end[context].charge(bio.count)
        if bio.owner.pages:
            ps += self._s_page[context].charge(bio.owner.pages)
        return ps

    def done(self, bio: Bio) -> None:
        """The device has it: its bytes are there, who waits goes on (EndIo)."""
        pending: Pending = bio.owner
        if pending.contents is not None and self.disk is not None:
            for offset, data in pending.contents():
                self.disk.write(offset, data)
        if bio.record is not None:
            bio.record.ready(bio.record.interrupted_ns)
        pending.ended = True
        if pending.event is not None:
            pending.event.succeed()


def runs_of(blocks: Sequence[int], most: int = 1 << 62) -> list[tuple[int, int]]:
    """Return runs (first, length) of blocks that follow one another, of at most `most`."""
    if 0 < len(blocks) <= most and blocks == list(range(blocks[0], blocks[0] + len(blocks))):
        return [(blocks[0], len(blocks))]
    runs: list[tuple[int, int]] = []
    first = length = 0
    for block in blocks:
        if length and block == first + length and length < most:
            length += 1
            continue
        if length:
            runs.append((first, length))
        first, length = block, 1
    if length:
        runs.append((first, length))
    return runs


def sector_of(block: int, block_size: int) -> int:
    """Return the sector at which a block begins."""
    return block * (block_size // SECTOR_BYTES)
