"""
Every bio that writes, with its bytes: what a disk was told, and when.

It is put between a file system and its device. The bytes are taken when a bio is submitted (a page that is
changed under write-back may reach a real disk either way, or torn), and reach the disk when it completes:
before its completion tells anyone, for then the next write of the same place may be submitted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sim.block.bio import Bio, EndIo, Plug
from sim.block.opf import REQ_FUA, REQ_OP_WRITE, REQ_PREFLUSH
from sim.block.protocols import BioQueue, StackedQueue
from sim.engine.clock import Clock
from sim.engine.cpu import Task
from sim.errors import InvariantError
from sim.units import SECTOR_BYTES

NOT_ENDED: Final = -1


class WrittenBio:
    """
    A bio that writes. offset: in bytes, on the disk. data: none for a bare flush. preflush, fua: as
    submitted. submitted_ns, ended_ns: of the clock; NOT_ENDED as long as it has not.
    """

    __slots__ = ("data", "ended_ns", "fua", "offset", "preflush", "submitted_ns")

    def __init__(self, offset: int, data: bytes, opf: int, submitted_ns: int) -> None:
        self.offset = offset
        self.data = data
        self.preflush = bool(opf & REQ_PREFLUSH)
        self.fua = bool(opf & REQ_FUA)
        self.submitted_ns = submitted_ns
        self.ended_ns = NOT_ENDED


class _Recorded(EndIo):
    """The completion of a recorded bio: its own, and the bytes reach the disk."""

    def __init__(self, below: EndIo, entry: WrittenBio, queue: RecordedQueue) -> None:
        self._below = below
        self._entry = entry
        self._queue = queue

    def charge(self, bio: Bio, context: str) -> int:
        """Have the bytes on the disk; return the cost of the bio's own completion (EndIo)."""
        self._queue.reached(self._entry)
        return self._below.charge(bio, context)

    def done(self, bio: Bio) -> None:
        """Note when it ended (EndIo)."""
        self._queue.ended(self._entry)
        self._below.done(bio)

    def queues_work(self, bio: Bio) -> bool:
        """As the bio's own completion (EndIo)."""
        return self._below.queues_work(bio)


class RecordedQueue(StackedQueue):
    """
    A queue that notes what is written, in `log`, in the order of submission.

    contents: returns the bytes of a bio. disk: takes them where they go, (byte offset, bytes).
    """

    def __init__(
        self,
        below: BioQueue,
        clock: Clock,
        contents: Callable[[Bio], bytes],
        disk: Callable[[int, bytes], None],
    ) -> None:
        super().__init__(below)
        self.log: list[WrittenBio] = []
        self._clock = clock
        self._contents = contents
        self._disk = disk

    def submit(self, task: Task, bio: Bio, plug: Plug) -> None:
        """Submit a bio; note it if it writes."""
        if bio.opf & REQ_OP_WRITE:
            data = self._contents(bio) if bio.unit_sectors else b""
            if bio.count != 1 or len(data) != bio.sectors * SECTOR_BYTES:
                said = f"{bio.count} bios of {bio.unit_sectors} sectors with {len(data)} bytes"
                raise InvariantError(f"a write at sector {bio.sector}: {said}")
            entry = WrittenBio(bio.sector * SECTOR_BYTES, data, bio.opf, task.time_ns)
            self.log.append(entry)
            bio.end_io = _Recorded(bio.end_io, entry, self)
        self._below.submit(task, bio, plug)

    def reached(self, entry: WrittenBio) -> None:
        """The device has the bytes of a bio."""
        if entry.data:
            self._disk(entry.offset, entry.data)

    def ended(self, entry: WrittenBio) -> None:
        """A bio has completed."""
        entry.ended_ns = self._clock.now
