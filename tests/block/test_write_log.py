"""What a disk was told: every bio that writes, with its bytes and its times, in order."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from write_kit import WriteRig

from sim.block.bio import Bio, EndIo, Plug
from sim.block.opf import REQ_FUA, REQ_OP_READ, REQ_OP_WRITE, REQ_PREFLUSH, REQ_SYNC
from sim.block.write_log import NOT_ENDED, RecordedQueue
from sim.errors import InvariantError
from sim.fs.write_out import Pending, WriteOut

_ENDS, _WAITS = "end_bio_bh_io_sync", "__filemap_fdatawait_range;folio_wait_writeback"


class Told:
    """A recorded queue over a rig's disk, whose bios hold what `now` says when they are submitted."""

    def __init__(self) -> None:
        self.rig = WriteRig(latency_ns=50_000)
        self.now = b"a"
        self.disk: list[tuple[int, bytes, int]] = []
        machine = self.rig.machine
        self.queue = RecordedQueue(machine.disk, machine.clock, self.contents, self.written)
        self.out = WriteOut(machine.clock, machine.ledger, self.queue, None, _ENDS, "", _WAITS)

    def contents(self, bio: Bio) -> bytes:
        """Return a bio's bytes."""
        return self.now * (512 * bio.sectors)

    def written(self, offset: int, data: bytes) -> None:
        """Note what reaches the disk, and when."""
        self.disk.append((offset, data, self.rig.machine.clock.now))

    def submit(self, sector: int, sectors: int, opf: int, plug: Plug | None = None) -> Pending:
        """Submit a bio."""
        plug = plug or Plug(holds=False)
        return self.out.submit(self.rig.task, plug, sector, sectors, 1, [], None, opf)


def test_bytes_are_those_of_the_submission_and_arrive_at_the_end() -> None:
    """A page that changes while its bio is under way: the disk gets what it held before."""
    told = Told()
    pending = told.submit(8, 2, REQ_OP_WRITE)
    told.now = b"b"
    (entry,) = told.queue.log
    assert (entry.offset, entry.data, entry.ended_ns) == (4096, 1024 * b"a", NOT_ENDED)
    assert (entry.preflush, entry.fua) == (False, False)
    assert told.disk == []
    told.rig.machine.clock.run()
    assert pending.ended
    assert told.disk == [(4096, 1024 * b"a", entry.ended_ns)]
    assert entry.ended_ns >= 50_000


@pytest.mark.parametrize(
    ("opf", "preflush", "fua"),
    [
        (REQ_OP_WRITE | REQ_SYNC, False, False),
        (REQ_OP_WRITE | REQ_PREFLUSH, True, False),
        (REQ_OP_WRITE | REQ_FUA, False, True),
        (REQ_OP_WRITE | REQ_PREFLUSH | REQ_FUA, True, True),
    ],
)
def test_flags(opf: int, preflush: bool, fua: bool) -> None:
    """As they were submitted, whatever the block layer makes of them."""
    told = Told()
    told.submit(8, 1, opf)
    (entry,) = told.queue.log
    assert (entry.preflush, entry.fua) == (preflush, fua)


def test_a_bare_flush_has_no_bytes() -> None:
    """It is in the log, and nothing reaches the disk."""
    told = Told()
    told.rig.run(told.out.flush(told.rig.task))
    (entry,) = told.queue.log
    assert (entry.data, entry.preflush, entry.fua) == (b"", True, False)
    assert entry.ended_ns > entry.submitted_ns
    assert told.disk == []


def test_reads_are_not_noted() -> None:
    """Only what writes."""
    told = Told()
    told.submit(8, 1, REQ_OP_READ)
    told.rig.machine.clock.run()
    assert told.queue.log == []


def test_what_a_plug_holds_is_submitted() -> None:
    """It is in the log when the file system submits it; it ends once the plug is flushed."""
    told = Told()
    plug = Plug()
    for sector in (8, 9, 32):
        told.submit(sector, 1, REQ_OP_WRITE, plug)
    assert [entry.offset for entry in told.queue.log] == [4096, 4608, 16384]
    assert not told.disk
    told.queue.finish_plug(told.rig.task, plug)
    told.rig.machine.clock.run()
    assert sorted(offset for offset, _, _ in told.disk) == [4096, 4608, 16384]
    assert all(entry.ended_ns != NOT_ENDED for entry in told.queue.log)


@pytest.mark.parametrize(("count", "wrong"), [(1, lambda _bio: b"short"), (2, lambda _bio: bytes(512))])
def test_a_bio_without_its_bytes(count: int, wrong: Callable[[Bio], bytes]) -> None:
    """Other bytes than sectors, or several bios in one, are an error of the simulator."""
    told = Told()
    machine = told.rig.machine
    queue = RecordedQueue(machine.disk, machine.clock, wrong, told.written)
    bio = Bio(8, 1, count, 1, told.out, Pending(0, None), [], False, REQ_OP_WRITE)
    with pytest.raises(InvariantError, match="a write at sector 8: "):
        queue.submit(told.rig.task, bio, Plug(holds=False))


def test_bytes_are_there_before_a_completion_tells_anyone() -> None:
    """Who is told that a page is written may write it again; that bio's bytes must come later."""
    told = Told()

    class Asks(EndIo):
        """Notes what the disk has by then."""

        def charge(self, bio: Bio, context: str) -> int:
            """Look."""
            del bio, context
            seen.append(len(told.disk))
            return 0

        def done(self, bio: Bio) -> None:
            """Look again."""
            del bio
            seen.append(len(told.disk))

    seen: list[int] = []
    told.queue.submit(
        told.rig.task, Bio(8, 2, 1, 1, Asks(), None, [], False, REQ_OP_WRITE), Plug(holds=False)
    )
    told.rig.machine.clock.run()
    assert seen == [1, 1]
