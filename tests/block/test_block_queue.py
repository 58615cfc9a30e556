"""The request queue: tiny model, whole log."""

from __future__ import annotations

from dataclasses import replace

import pytest
from core_kit import FixedLatency, Rig
from hypothesis import given
from hypothesis import strategies as st

from sim.block.bio import Bio, EndIo, Plug, Request
from sim.block.opf import REQ_OP_READ, REQ_OP_WRITE
from sim.block.queue.limits import QueueLimits
from sim.block.queue.schedulers import Fifo, MqDeadline
from sim.block.queue.split import copies, cuts_of, segments_of
from sim.block.queue.submit import BlockQueue
from sim.engine.clock import Clock
from sim.engine.costs import Cost, CostTable, load_costs
from sim.engine.cpu import Cpu
from sim.engine.ledger import Ledger
from sim.engine.mode import make_clock


class Noted(EndIo):
    """An end_io that notes what completed, at no cost."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.done_bios: list[tuple[int, int]] = []

    def charge(self, bio: Bio, context: str) -> int:
        del bio, context
        return 0

    def done(self, bio: Bio) -> None:
        self.done_bios.append((bio.sector, bio.sectors))


def free() -> CostTable:
    """Return the shipped symbols, all at no cost: times are the device's alone."""
    costs = load_costs("linux-6.1-epyc").costs
    return CostTable("free", {s: Cost(s, 0, 0, c.unit, c.group, 0, "test") for s, c in costs.items()})


def copying(symbol: str) -> CostTable:
    """Return the same, but that a sector copied by `symbol` takes 10 ns."""
    costs = free().costs
    return CostTable("copying", costs | {symbol: replace(costs[symbol], unit_ps=10_000)})


class Setup:
    """A queue over a device with 100 us of latency, and a plug."""

    def __init__(self, costs: CostTable | None = None, **limits: object) -> None:
        self.clock = make_clock()
        self.cpu = Cpu(self.clock, 1)
        self.device = FixedLatency(self.clock, 100_000)
        self.log: list[tuple[str, int, int, int]] = []
        given_limits = {"max_sectors": 64, "max_segments": 8, "queue_depth": 4} | limits
        self.queue = BlockQueue(
            self.clock,
            self.cpu,
            Ledger(costs or free()),
            QueueLimits(**given_limits),  # type: ignore[arg-type]
            self.device,
            lambda *event: self.log.append(event),
        )
        self.end_io = Noted(self.clock)
        self.task = self.cpu.task(0, "submitter")
        self.plug = Plug()

    def submit(self, sector: int, sectors: int, count: int = 1, segments: int = 0) -> None:
        """Submit `count` bios of `sectors` from `sector` on."""
        blocks = [(sector // 8, sectors // 8)] if count == 1 else [(sector // sectors, count)]
        bio = Bio(sector, sectors, count, segments or count, self.end_io, None, blocks, True)
        self.queue.submit(self.task, bio, self.plug)

    def finish(self) -> list[tuple[str, int, int, int]]:
        """Flush the plug, run to the end, return the log."""
        self.queue.finish_plug(self.task, self.plug)
        if self.task.blocked is not None:
            self.clock.process(self.queue.wait_for_tag(self.task))
        self.clock.run()
        assert 0 == self.queue.stats.pending
        return self.log


def test_back_and_front_merge_into_one_command() -> None:
    """Three bios, the second behind the first, the third before it: one request of 24 sectors."""
    setup = Setup()
    setup.submit(100, 8)
    setup.submit(108, 8)
    setup.submit(92, 8)
    assert [
        ("Q", 0, 100, 8),
        ("G", 0, 100, 8),
        ("P", 0, 0, 0),
        ("Q", 0, 108, 8),
        ("M", 0, 108, 8),
        ("Q", 0, 92, 8),
        ("F", 0, 92, 8),
        ("D", 0, 92, 24),
        ("C", 100_000, 92, 24),
    ] == setup.finish()
    assert [(92, 8), (100, 8), (108, 8)] == setup.end_io.done_bios


def test_only_the_newest_request_of_the_plug_is_tried() -> None:
    """A bio that would continue an older request takes one of its own; 6.1 issues the newest first."""
    setup = Setup()
    for sector in (0, 100, 8):
        setup.submit(sector, 8)
    assert [("D", 0, 8, 8), ("D", 0, 100, 8), ("D", 0, 0, 8)] == [
        event for event in setup.finish() if event[0] == "D"
    ]


def test_merging_stops_at_max_sectors_and_max_segments() -> None:
    """Nine one-block bios in a row: 8 segments fill a request; 40 sectors a bio: 64 sectors do."""
    setup = Setup()
    setup.submit(0, 2, count=9)
    assert [2, 16] == [event[3] for event in setup.finish() if event[0] == "D"]
    setup = Setup()
    setup.submit(0, 40)
    setup.submit(40, 40)
    assert [40, 40] == [event[3] for event in setup.finish() if event[0] == "D"]


def test_a_bio_beyond_the_limits_is_split_and_completes_once() -> None:
    """16 segments of 8 sectors with room for 8 and 64: two commands, one completion of the bio."""
    setup = Setup()
    setup.submit(0, 128, segments=16)
    assert [("X", 0, 0, 64)] == [event for event in setup.finish() if event[0] == "X"]
    assert [(0, 64, 64), (0, 0, 64)] == setup.device.commands
    assert [(0, 128)] == setup.end_io.done_bios


def test_the_plug_is_flushed_when_full_and_when_its_newest_request_is_large() -> None:
    """32 requests, or one of 128 KiB, go before the next joins: the 33rd finds an empty plug."""
    setup = Setup(queue_depth=64)
    for i in range(33):
        setup.submit(i * 100, 8)
    assert 32 == sum(event[0] == "G" for event in setup.log) - len(setup.plug.requests)
    setup.finish()
    assert 2 == setup.queue.stats.plugs
    setup = Setup(max_sectors=512, max_segments=64)
    setup.submit(0, 256, segments=32)
    setup.submit(1000, 8)
    assert [1000] == [request.sector for request in setup.plug.requests]
    setup.finish()


def test_commands_beyond_the_queue_depth_wait_for_completions() -> None:
    """Depth 4, 6 requests: two are issued when the first ones complete."""
    setup = Setup()
    for i in range(6):
        setup.submit(i * 100, 8)
    setup.finish()
    assert [0, 0, 0, 0, 100_000, 100_000] == [time for time, _, _ in setup.device.commands]
    assert 200_000 == setup.queue.stats.busy_ns


def test_a_bio_based_device_sees_no_requests() -> None:
    """Above a bio-based device nothing is plugged, merged or issued; bios complete in the caller."""
    setup = Setup(bio_based=True, driver="brd")
    setup.submit(0, 8)
    setup.submit(8, 8)
    setup.clock.run()
    assert [(0, 8), (8, 8)] == setup.end_io.done_bios
    assert [("Q", 0, 0, 8), ("Q", 0, 8, 8)] == setup.finish()


def test_copying_from_a_device_that_is_memory_is_the_submitters_work() -> None:
    """The machine's constant, here 10 ns a sector, is spent by the task: in the caller, and at the flush."""
    setup = Setup(costs=copying("memcpy_page"), bio_based=True, driver="brd", copies="memcpy_page")
    setup.submit(0, 8)
    assert 80 == setup.task.time_ns
    setup = Setup(costs=copying("copy_from_nullb"), copies="copy_from_nullb")
    setup.submit(0, 8)
    setup.submit(8, 8)
    setup.queue.finish_plug(setup.task, setup.plug)
    assert 160 == setup.task.time_ns
    setup.clock.run()
    assert [(160, 0, 16)] == setup.device.commands


def test_before_3_17_a_plug_is_sorted_and_any_of_its_requests_takes_bios() -> None:
    """With plug_sorted, a bio joins an older request of the plug, and the flush goes by sector."""
    setup = Setup(plug_sorted=True)
    for sector in (200, 100, 208):
        setup.submit(sector, 8)
    setup.finish()
    assert [(0, 100, 8), (0, 200, 16)] == setup.device.commands


def test_a_bio_is_cut_at_any_sector_and_its_front_piece_merges_with_nothing() -> None:
    """Limit 60 sectors, pages of 8: pieces of 60, 60 and 8, not whole pages; the last may merge, no other."""
    setup = Setup(max_sectors=60, max_segments=64)
    setup.submit(0, 128, segments=16)
    setup.submit(128, 8)
    setup.finish()
    assert [(0, 120, 16), (0, 60, 60), (0, 0, 60)] == setup.device.commands
    assert 2 == setup.queue.stats.splits
    assert [(0, 128), (128, 8)] == sorted(setup.end_io.done_bios)


def test_mq_deadline_starts_with_the_oldest_and_goes_up_the_disk() -> None:
    """One command at a time: 500 first, 900 above it takes 908 along; then the oldest, 100, and 300."""
    setup = Setup(queue_depth=1, tags=8, scheduler="mq-deadline")
    for sector in (500, 900, 100, 300):
        setup.submit(sector, 8)
    setup.queue.finish_plug(setup.task, setup.plug)
    setup.clock.run(setup.clock.timeout(1))
    setup.submit(908, 8)
    setup.finish()
    assert [(500, 8), (900, 16), (100, 8), (300, 8)] == [
        (sector, sectors) for _, sector, sectors in setup.device.commands
    ]


def test_mq_deadline_does_not_look_back_for_what_came_later() -> None:
    """500 was the last above: of 900 and 100, which came after it was issued, the older one is next (6.1)."""
    waiting = MqDeadline()
    waiting.add(Request(500, 8, 1), 0)
    assert 500 == waiting.next(0).sector
    for sector in (100, 900):
        waiting.add(Request(sector, 8, 1), 1)
    assert [100, 900] == [waiting.next(2).sector, waiting.next(2).sector]


@pytest.mark.parametrize("scheduler", [Fifo, MqDeadline])
@given(sectors=st.lists(st.integers(0, 10_000), max_size=60))
def test_schedulers_give_back_each_request_once(scheduler: type, sectors: list[int]) -> None:
    """Whatever goes in comes out exactly once."""
    waiting = scheduler()
    requests = [Request(sector, 8, 1) for sector in sectors]
    for i, request in enumerate(requests):
        waiting.add(request, i)
    out = []
    while (request := waiting.next(0)) is not None:
        out.append(request)
    assert sorted(map(id, requests)) == sorted(map(id, out))


@given(
    bios=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), max_size=40),
    depth=st.integers(1, 5),
    scheduler=st.sampled_from(("none", "mq-deadline")),
)
def test_every_sector_is_read_once_within_the_limits(
    bios: list[tuple[int, int]], depth: int, scheduler: str
) -> None:
    """Commands cover exactly the bios' sectors, keep the limits, and each bio completes once."""
    setup = Setup(queue_depth=depth, scheduler=scheduler)
    for place, blocks in bios:
        setup.submit(place * 24, 8 * blocks, segments=blocks)
    setup.finish()
    asked = sorted(s for place, blocks in bios for s in range(place * 24, place * 24 + 8 * blocks))
    read = sorted(s for _, sector, n in setup.device.commands for s in range(sector, sector + n))
    assert asked == read
    assert all(n <= 64 for _, _, n in setup.device.commands)
    assert sorted((place * 24, 8 * blocks) for place, blocks in bios) == sorted(setup.end_io.done_bios)
    stats = setup.queue.stats
    assert stats.queued + stats.splits == stats.getrq + stats.back_merges + stats.front_merges


def test_it_is_the_newest_requests_size_that_flushes() -> None:
    """One of 128 KiB behind a small one: the third bio finds an empty plug. First, the second does."""
    sizes = {(8, 256): 1, (256, 8): 2}
    for (first, second), left in sizes.items():
        setup = Setup(max_sectors=512, max_segments=64, queue_depth=64)
        setup.submit(0, first, segments=first // 8)
        setup.submit(1000, second, segments=second // 8)
        setup.submit(2000, 8)
        assert left == len(setup.plug.requests)


@pytest.mark.parametrize(("write", "expires_ns"), [(False, 500_000_000), (True, 5_000_000_000)])
def test_mq_deadline_goes_back_for_what_is_too_old(write: bool, expires_ns: int) -> None:
    """
    read_expire 500 ms, write_expire 5 s. After a batch of 16 going up the disk from 1000 comes the next
    above, 2600; but sector 10 if it is that old, to the ns.
    """
    for now_ns, chosen in ((expires_ns - 1, 2600), (expires_ns, 10)):
        waiting = MqDeadline()
        for sector in (1000, 10, *range(1100, 2800, 100)):
            waiting.add(Request(sector, 8, 1, REQ_OP_WRITE if write else REQ_OP_READ), 0)
        batch = [waiting.next(0).sector for _ in range(16)]
        assert list(range(1000, 2600, 100)) == batch
        assert chosen == waiting.next(now_ns).sector


def row_or_bio(sector: int, sectors: int, count: int, segments: int, blocks: list[tuple[int, int]]) -> Bio:
    """Return a bio, or a row, as the splitting functions look at it."""
    return Bio(sector, sectors, count, segments, EndIo(), None, blocks, True)


def test_a_bio_is_cut_at_the_segments() -> None:
    """Eight pages, three segments a request: 24, 24 and 16 sectors."""
    bio = row_or_bio(0, 64, 1, 8, [(0, 8)])
    assert [(24, 3), (24, 3), (16, 2)] == cuts_of(bio, 1000, 3, False)


def test_memory_is_copied_in_pieces_of_its_own_pages() -> None:
    """Two pages of a bio at sector 4 lie in two of a RAM disk's pages each; a row is copied by its blocks."""
    assert 2 == copies(row_or_bio(8, 16, 1, 2, [(1, 2)]))
    assert 4 == copies(row_or_bio(4, 16, 1, 2, [(0, 2)]))
    assert 4 == copies(row_or_bio(4, 2, 4, 4, [(2, 4)]))


def with_folios(sector: int, block_sectors: int, runs: list[tuple[int, int]]) -> Bio:
    """Return a bio of these runs of blocks of large folios."""
    sectors = block_sectors * sum(blocks for _, blocks in runs)
    bio = row_or_bio(sector, sectors, 1, len(runs), runs)
    bio.vectors = [block_sectors * blocks for _, blocks in runs]
    return bio


def test_memory_is_copied_page_by_page_from_large_folios() -> None:
    """32 pages are 32 pieces, 64 where each lies across two of the device's; three blocks are one or two."""
    assert 32 == copies(with_folios(8, 8, [(32, 32)]))
    assert 64 == copies(with_folios(10, 2, [(128, 128)]))
    assert 1 == copies(with_folios(10, 2, [(129, 3)]))
    assert 2 == copies(with_folios(12, 2, [(129, 3)]))


@given(
    sector=st.integers(0, 40),
    block_sectors=st.sampled_from([2, 4, 8, 32]),
    runs=st.lists(st.tuples(st.integers(0, 90), st.integers(1, 40)), min_size=1, max_size=4),
)
def test_the_pieces_of_large_folios_are_the_naive_ones(
    sector: int, block_sectors: int, runs: list[tuple[int, int]]
) -> None:
    """Sector by sector: a piece ends with a run, a page of the file's, or one of the device's."""
    pieces, at = 0, sector
    for lblk, blocks in runs:
        for offset in range(blocks * block_sectors):
            pieces += not offset or not (lblk * block_sectors + offset) % 8 or not (at + offset) % 8
        at += blocks * block_sectors
    assert pieces == copies(with_folios(sector, block_sectors, runs))


def test_vectors_are_cut_into_segments() -> None:
    """Folios of 128 KiB and 4 KiB with segments of at most 64 KiB: 2 and 1; without a limit one each."""
    assert (3, 2) == (segments_of([256, 8], 128), segments_of([256, 8], 0))
    bio = Bio(0, 264, 1, 2, EndIo(), None, [(0, 33)], False)
    bio.vectors = [256, 8]
    assert [(264, 3)] == cuts_of(bio, 1280, 128, False, 128)
    assert [(256, 2), (8, 1)] == cuts_of(bio, 1280, 2, False, 128)
    assert [(128, 1), (128, 1), (8, 1)] == cuts_of(bio, 128, 128, False, 128)
    assert [(200, 2), (64, 2)] == cuts_of(bio, 200, 128, False, 128)


def test_a_plug_of_7_3_goes_out_as_it_was_filled() -> None:
    """Three requests apart: 6.1 issues the newest first; since 6.13 the oldest, whose size also flushes."""
    for newest_first, order in ((True, [4000, 2000, 0]), (False, [0, 2000, 4000])):
        log: list[tuple[str, int, int, int]] = []
        limits = QueueLimits(1280, 128, 64, newest_first=newest_first)
        rig = Rig("page_io", [(0, 0, 2), (2, 250, 2), (4, 500, 2)], 24 * 1024, limits=limits)
        rig.machine.queue.limits = limits
        rig.run([(0, 24 * 1024)])
        log += rig.block_log
        assert order == [sector for letter, _, sector, _ in log if letter == "D"]


def test_the_oldest_request_of_a_plug_flushes_it() -> None:
    """
    Requests of 4, 128 and 4 KiB: in a stack the second, the newest when the third comes, sends the plug off;
    since 6.13 it is the oldest that is looked at, and all go together.
    """
    for newest_first, plugs in ((True, 2), (False, 1)):
        rig = Rig("page_io", [(0, 0, 1), (1, 5000, 32), (33, 9000, 1)], 34 * 4096, ra_pages=64)
        rig.machine.queue.limits = replace(rig.machine.queue.limits, newest_first=newest_first)
        rig.run([(0, 34 * 4096)])
        assert plugs == rig.machine.queue.stats.plugs
