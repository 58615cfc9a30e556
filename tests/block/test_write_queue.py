"""Write bios in the request queue: merging, splitting, flush and FUA; tiny model, whole log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from core_kit import FixedLatency
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.block.bio import Bio, EndIo, Plug, Request
from sim.block.hardware import Hardware
from sim.block.opf import REQ_FUA, REQ_META, REQ_OP_READ, REQ_OP_WRITE, REQ_PREFLUSH, REQ_SYNC, rwbs
from sim.block.queue.limits import QueueLimits
from sim.block.queue.schedulers import MqDeadline
from sim.block.queue.submit import BlockQueue
from sim.engine.clock import Clock
from sim.engine.costs import Cost, CostTable, load_costs
from sim.engine.cpu import Cpu
from sim.engine.ledger import Ledger
from sim.engine.mode import make_clock
from sim.errors import InvariantError

WS = REQ_OP_WRITE | REQ_SYNC
COMMIT = WS | REQ_PREFLUSH | REQ_FUA


class Ended(EndIo):
    """An end_io that notes when which bio ended, at no cost."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.log: list[tuple[int, int, int]] = []

    def charge(self, bio: Bio, context: str) -> int:
        """No cost."""
        del bio, context
        return 0

    def done(self, bio: Bio) -> None:
        """Note it."""
        self.log.append((self.clock.now, bio.sector, bio.sectors))


class Setup:
    """A queue and a plug over a device, if none is said of 100 us; nothing costs CPU time."""

    def __init__(self, make_device: Callable[[Clock], Hardware] | None = None, **limits: Any) -> None:
        self.clock = make_clock()
        self.log: list[tuple[str, int, int, int]] = []
        costs = load_costs("linux-6.1-epyc").costs
        free = CostTable("free", {s: Cost(s, 0, 0, c.unit, c.group, 0, "test") for s, c in costs.items()})
        said = {"max_sectors": 64, "max_segments": 8, "queue_depth": 4, "write_cache": True} | limits
        cpu = Cpu(self.clock, 1)
        self.ledger = Ledger(free)
        self.device = make_device(self.clock) if make_device else FixedLatency(self.clock, 100_000)
        self.queue = BlockQueue(
            self.clock,
            cpu,
            self.ledger,
            QueueLimits(**said),
            self.device,
            lambda *event: self.log.append(event),
        )
        self.end_io = Ended(self.clock)
        self.task = cpu.task(0, "submitter")
        self.plug = Plug()

    def submit(self, sector: int, sectors: int, opf: int, segments: int = 1) -> None:
        """Submit a bio."""
        blocks = [(sector // 8, sectors // 8)] if sectors else []
        bio = Bio(sector, sectors, 1, segments if sectors else 0, self.end_io, None, blocks, False, opf)
        self.queue.submit(self.task, bio, self.plug)

    def finish(self, letters: str = "") -> list[tuple[str, int, int, int]]:
        """Flush the plug, run to the end; return the events, or those that begin with one of `letters`."""
        self.queue.finish_plug(self.task, self.plug)
        if self.task.blocked is not None:
            self.clock.process(self.queue.wait_for_tag(self.task))
        self.clock.run()
        assert 0 == self.queue.stats.pending
        return [event for event in self.log if not letters or event[0][0] in letters]


def test_rwbs_as_blkparse_prints_it() -> None:
    """The letters of fill_rwbs: a commit record, a bare flush, metadata, a read."""
    said = {
        "FWFS": COMMIT,
        "FWS": WS | REQ_PREFLUSH,
        "WSM": WS | REQ_META,
        "WFS": WS | REQ_FUA,
        "W": REQ_OP_WRITE,
        "R": REQ_OP_READ,
    }
    assert list(said) == [rwbs(opf) for opf in said.values()]


def test_writes_merge_with_writes_and_never_with_reads() -> None:
    """A write behind a write joins it; a read behind that takes a request of its own."""
    setup = Setup()
    setup.submit(0, 8, WS)
    setup.submit(8, 8, WS)
    setup.submit(16, 8, REQ_OP_READ)
    assert [("G WS", 0, 0, 8), ("M WS", 0, 8, 8), ("G", 0, 16, 8)] == [
        event for event in setup.log if event[0][0] in "GMF"
    ]
    assert [("D", 0, 16, 8), ("D WS", 0, 0, 16)] == setup.finish("D")
    stats = setup.queue.stats
    assert (2, 16, 1, 3, 2) == (
        stats.write_bios,
        stats.write_sectors,
        stats.write_requests,
        stats.queued,
        stats.issued,
    )


def test_a_large_write_is_split_as_a_read_is() -> None:
    """16 segments of 8 sectors, room for 8: two commands, one end."""
    setup = Setup()
    setup.submit(0, 128, WS, segments=16)
    assert [("D WS", 0, 64, 64), ("D WS", 0, 0, 64)] == setup.finish("D")
    assert [(100_000, 0, 128)] == setup.end_io.log


def test_a_commit_record_on_a_device_without_fua() -> None:
    """PREFLUSH and FUA become flush, write, flush, one after another, past the plug; one bio ends."""
    setup = Setup()
    setup.submit(800, 8, WS)  # stays in the plug meanwhile
    setup.submit(0, 8, COMMIT)
    setup.clock.run()
    assert [
        ("Q FWFS", 0, 0, 8),
        ("G FWFS", 0, 0, 8),
        ("D FF", 0, 0, 0),
        ("C FF", 100_000, 0, 0),
        ("D FWFS", 100_000, 0, 8),
        ("C FWFS", 200_000, 0, 8),
        ("D FF", 200_000, 0, 0),
        ("C FF", 300_000, 0, 0),
    ] == [event for event in setup.log if "F" in event[0]]
    assert [(300_000, 0, 8)] == setup.end_io.log
    setup.finish()


def test_with_fua_the_second_flush_is_saved() -> None:
    """On a device that has FUA: flush and write; FUA alone is a write like others, past the plug."""
    setup = Setup(fua=True)
    setup.submit(0, 8, COMMIT)
    assert ["D FF", "D FWFS"] == [event[0] for event in setup.finish("D")]
    alone = Setup(fua=True)
    alone.submit(0, 8, WS | REQ_FUA)
    assert [("D WFS", 0, 0, 8)] == alone.finish("D")
    assert (0, 1) == (alone.queue.stats.flushes, alone.queue.stats.flush_bios)


def test_flushes_that_wait_share_one_command() -> None:
    """Three flushes while one is at the device: the three that came meanwhile are served by the next."""
    setup = Setup()
    for _ in range(4):
        setup.submit(0, 0, WS | REQ_PREFLUSH)
    assert [("D FF", 0, 0, 0), ("D FF", 100_000, 0, 0)] == setup.finish("D")
    assert [100_000, 200_000, 200_000, 200_000] == [time for time, _, _ in setup.end_io.log]
    assert (4, 2) == (setup.queue.stats.flush_bios, setup.queue.stats.flushes)


def test_no_flush_while_the_data_of_another_is_under_way() -> None:
    """A flush that comes while a commit record is being written waits, and shares the flush after it."""
    setup = Setup()
    setup.submit(0, 8, COMMIT)
    setup.clock.call_after(150_000, lambda: setup.submit(0, 0, WS | REQ_PREFLUSH))
    assert [("D FF", 0), ("D FWFS", 100_000), ("D FF", 200_000)] == [e[:2] for e in setup.finish("D")]
    assert {300_000} == {time for time, _, _ in setup.end_io.log}


def test_a_write_with_fua_alone_holds_no_flush_back() -> None:
    """On a device that has FUA it is a write like others: a flush that comes meanwhile is issued at once."""
    setup = Setup(fua=True)
    setup.submit(0, 8, WS | REQ_FUA)
    setup.clock.call_after(50_000, lambda: setup.submit(0, 0, WS | REQ_PREFLUSH))
    assert [("D WFS", 0), ("D FF", 50_000)] == [event[:2] for event in setup.finish("D")]


@pytest.mark.parametrize("limits", [{}, {"bio_based": True, "driver": "brd"}])
def test_without_a_write_cache_flushes_are_dropped(limits: dict[str, Any]) -> None:
    """A bare flush ends before it is queued; a commit record is a write."""
    setup = Setup(write_cache=False, **limits)
    setup.submit(0, 0, WS | REQ_PREFLUSH)
    setup.clock.run()
    assert [(0, 0, 0)] == setup.end_io.log
    assert [] == setup.finish("Q")
    calls = setup.ledger.calls()
    assert 1 == calls["submit_bio_noacct"]
    assert "submit_bio_noacct_nocheck" not in {name for name, number in calls.items() if number}
    setup.submit(0, 8, COMMIT)
    assert [] == [event for event in setup.finish("D") if "F" in event[0]]
    assert [(0, 8)] == [(sector, sectors) for _, sector, sectors in setup.end_io.log[1:]]


def test_a_device_that_only_reads_says_so() -> None:
    """Hardware without write() is an error, not a read."""

    class OnlyReads(Hardware):
        def submit(self, *_command: object) -> None:
            raise AssertionError

    setup = Setup(lambda _clock: OnlyReads())
    setup.submit(0, 8, WS)
    with pytest.raises(InvariantError, match="OnlyReads cannot be written to"):
        setup.finish()


def test_mq_deadline_prefers_reads_twice() -> None:
    """Batches of reads go first while there are reads, but after two of them one of writes."""
    scheduler = MqDeadline()
    for number in range(40):
        scheduler.add(Request(1000 + 100 * number, 8, 1), 0)
    for number in range(20):
        scheduler.add(Request(10_000 + 100 * number, 8, 1, REQ_OP_WRITE), 0)
    order = [scheduler.next(0) for _ in range(60)]
    said = "".join("W" if request is not None and request.opf else "R" for request in order)
    assert "R" * 32 + "W" * 16 + "R" * 8 + "W" * 4 == said
    assert scheduler.next(0) is None


bios = st.lists(st.tuples(st.integers(0, 60), st.sampled_from([0, 1, 2, 3, 4])), min_size=1, max_size=25)


@given(bios=bios, scheduler=st.sampled_from(["none", "mq-deadline"]), fua=st.booleans())
@settings(deadline=None)
def test_every_bio_ends_once_and_flushes_keep_their_promise(
    bios: list[tuple[int, int]], scheduler: str, fua: bool
) -> None:
    """
    Whatever is submitted: each bio ends once; sectors written are those asked for; a bio with PREFLUSH ends
    after a flush that was issued when it was submitted or later.
    """
    kinds = [REQ_OP_READ, WS, COMMIT, WS | REQ_PREFLUSH, WS | REQ_FUA]
    setup = Setup(scheduler=scheduler, fua=fua)
    written = 0
    for at, kind in bios:
        sectors = 0 if kinds[kind] == WS | REQ_PREFLUSH else 8
        written += sectors if kinds[kind] & REQ_OP_WRITE else 0
        setup.submit(8 * at, sectors, kinds[kind])
    setup.finish()
    assert len(bios) == len(setup.end_io.log)
    assert written == sum(s for letter, _, _, s in setup.log if letter[0] == "D" and "W" in letter)
    flushes = [time for letter, time, _, _ in setup.log if letter == "D FF"]
    promised = [kind for _, kind in bios if kinds[kind] & REQ_PREFLUSH]
    assert bool(flushes) == bool(promised or (not fua and any(kinds[k] & REQ_FUA for _, k in bios)))
    assert len(flushes) <= 2 * len(bios)
