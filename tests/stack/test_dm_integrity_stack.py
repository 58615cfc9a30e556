"""dm-integrity in time: the bios and calls of its rules, who waits for what, and when a bio ends."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from core_kit import Rig, priced
from hypothesis import given, settings
from hypothesis import strategies as st
from integrity_bench import Counted, Noted, Sent

from sim.block.bio import Bio, EndIo, Plug
from sim.block.opf import FLUSH, REQ_FUA, REQ_OP_READ, REQ_OP_WRITE, REQ_PREFLUSH, REQ_SYNC
from sim.block.queue.limits import QueueLimits
from sim.engine.costs import CostTable, load_costs
from sim.integrity.interleaved import Interleaved
from sim.stack.dm_integrity import IntegrityTable, IntegrityTarget
from sim.stack.dm_integrity_bios import blocks_of

LIMITS = QueueLimits(1280, 128, 64, driver="null_blk", write_cache=True, fua=True)
READ, WRITE = REQ_OP_READ, REQ_OP_WRITE | REQ_SYNC
US = 1000


class Ends(EndIo):
    """Notes when bios ended."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.at: list[int] = []

    def charge(self, bio: Bio, context: str) -> int:
        """Cost nothing."""
        del bio, context
        return 0

    def done(self, bio: Bio) -> None:
        """Note it."""
        del bio
        self.at.append(self.rig.machine.clock.now)


@dataclass
class Bench:
    """A target over a device of 50 us, to which bios are submitted."""

    mode: str
    block: int = 4096
    interleave: int = 32768
    costs: CostTable = field(default_factory=priced)
    cpus: int = 2

    def __post_init__(self) -> None:
        self.layout = Interleaved(self.block, 4, self.interleave, mode=self.mode)
        table = IntegrityTable(self.layout, "crc32c_pcl_intel_digest", 50)
        self.rig = Rig(
            "page_io",
            [(0, 100, 1)],
            4096,
            limits=LIMITS,
            dm_integrity=table,
            costs=self.costs,
            cpus=self.cpus,
            trace=False,
        )
        found = self.rig.machine.integrity
        assert isinstance(found, IntegrityTarget)
        self.target = found
        self.below = Noted(self.rig.machine.queue)
        self.target._below = self.below
        self.task = self.rig.machine.cpu.task(0, "submitter")

    def run(self, *bios: Sent) -> list[int]:
        """Submit bios at once, let all come to rest; return when each ended, in us since then."""
        ends, began = Ends(self.rig), self.rig.machine.clock.now

        def process() -> Any:
            for sector, sectors, opf in bios:
                blocks = [(0, max(sectors // 8, 1))] if sectors else []
                bio = Bio(sector, sectors, 1, -(-sectors // 8), ends, None, blocks, False, opf)
                self.target.submit(self.task, bio, Plug(holds=False))
                if self.task.blocked is not None:
                    yield from self.target.wait_for_tag(self.task)
            yield from self.task.settle()

        self.rig.machine.clock.process(process())
        self.rig.machine.clock.run()
        assert self.target.pending == 0
        assert self.rig.machine.queue.stats.pending == 0
        return [(at - began) // US for at in ends.at]


OF_THE_QUEUE = (
    "blk_mq_submit_bio",
    "bio_endio",
    "bio_alloc_bioset",
    "submit_bio_noacct_nocheck",
    "bio_split",
)
"""Also of what the queue below does, which its own tests hold; "block_": events of tracers."""


def compare(bench: Bench, bios: list[Sent]) -> None:
    """Give both the same bios, one after the other; compare what the disk gets of each, then all calls."""
    counted = Counted(bench.layout)
    for bio in bios:
        before = len(bench.below.bios)
        bench.run(bio)
        assert counted.run(*bio) == Counter(bench.below.bios[before:]), bio
    calls = bench.rig.machine.ledger.calls()
    for symbol, number in counted.tally.calls.items():
        if symbol not in OF_THE_QUEUE and not symbol.startswith("block_"):
            assert (symbol, number) == (symbol, calls.get(symbol, 0))
    hashed = bench.target.verified + bench.target.computed
    assert counted.tally.calls["integrity_sector_checksum"] == hashed
    assert bench.target.tag_bytes == len(counted.device._buffers._held) * 65536


OPS = st.tuples(
    st.integers(0, 700), st.integers(1, 200), st.sampled_from([READ, WRITE, FLUSH, WRITE | REQ_FUA])
)


@pytest.mark.parametrize("mode", ["D", "J", "B"])
@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([512, 4096]),
    st.sampled_from([256, 32768]),
    st.lists(OPS, min_size=1, max_size=8),
)
def test_bios_and_calls_are_those_of_the_rules(
    mode: str, block: int, interleave: int, ops: list[tuple[int, int, int]]
) -> None:
    """Whatever comes: the same bios at the disk for each, and in the end as many calls of each symbol."""
    bios = [(0, 0, opf) if opf == FLUSH else (start * 8, count * 8, opf) for start, count, opf in ops]
    compare(Bench(mode, block, interleave), bios)


@pytest.mark.parametrize("mode", ["D", "J", "B"])
@settings(max_examples=25, deadline=None)
@given(st.lists(OPS, min_size=2, max_size=8), st.integers(1, 3))
def test_however_bios_overlap(mode: str, ops: list[tuple[int, int, int]], cpus: int) -> None:
    """All at once: the disk gets the bios of the rules in the order of submission; all comes to an end."""
    bios = [
        (0, 0, opf) if opf == FLUSH else (start * 8, count * 8, opf)
        for start, count, opf in ops
        if not opf & REQ_FUA  # its flush comes later, behind others
    ]
    bench = Bench(mode, 512, 256, load_costs("linux-6.1-epyc"), cpus)
    counted = Counted(bench.layout)
    assert len(bios) == len(bench.run(*bios))
    wanted = Counter[Sent]()
    for bio in bios:
        wanted += counted.run(*bio)
    assert wanted == Counter(bench.below.bios)
    assert bench.layout.sections * bench.layout.section_entries >= bench.target._room.left >= 0


def test_a_small_journal_that_many_write_into() -> None:
    """Sixteen writers of 64 KiB, two sections of 168 blocks: each finds room, and all is copied."""
    bench = Bench("J", 512, costs=load_costs("linux-6.1-epyc"))
    bench.target = _small(bench)
    bios = [(at * 1000, 128, WRITE) for at in range(16)]
    assert 16 == len(bench.run(*bios))
    journalled = sum(sectors for _, sectors, opf in bench.below.bios if opf & REQ_FUA)
    assert journalled >= 16 * 128 - 2 * 168


def _small(bench: Bench) -> IntegrityTarget:
    """Return a target of mode J with a journal of two sections, in the place of a bench's."""
    machine, layout = bench.rig.machine, Interleaved(512, 4, journal_sectors=2 * 176, mode="J")
    assert layout.sections == 2
    table = IntegrityTable(layout, "crc32c_pcl_intel_digest", 50)
    target = IntegrityTarget(machine.clock, machine.cpu, machine.ledger, machine.queue, table)
    target._below = bench.below
    return target


GOLDEN = [
    ("D", [(4272, 8, READ), (1968, 128, READ)], [(4272, 8, WRITE)], [(1968, 8, 1), (0, 0, FLUSH)]),
    (
        "B",
        [(4272, 8, READ), (1968, 128, READ)],
        [(8, 8, WRITE | REQ_FUA), (4272, 8, WRITE)],
        [(1968, 8, 1), (0, 0, FLUSH)],
    ),
    ("J", [(4272, 8, READ), (1968, 128, READ)], [], [(8, 392, WRITE | REQ_FUA)]),
]


@pytest.mark.parametrize(("mode", "read", "write", "flush"), GOLDEN)
def test_a_read_a_write_and_a_flush(
    mode: str, read: list[Sent], write: list[Sent], flush: list[Sent]
) -> None:
    """What the disk gets for 4 KiB, in order, as it was recorded."""
    bench = Bench(mode)
    for bio, wanted in (((2048, 8, READ), read), ((2048, 8, WRITE), write), ((0, 0, FLUSH), flush)):
        before = len(bench.below.bios)
        bench.run(bio)
        assert wanted == bench.below.bios[before:]


@pytest.mark.parametrize(
    ("mode", "times"),
    [("D", [100, 50, 50, 100, 150]), ("B", [100, 100, 50, 100, 150]), ("J", [100, 0, 0, 50, 100])],
)
def test_who_waits_for_what(mode: str, times: list[int]) -> None:
    """
    A device of 50 us. A read: data, then tags. A write: D the data; B its bit first, the second time not; J
    nothing. A flush: D and B the tags, then the cache; J a section. With REQ_FUA: the data, and a flush (J:
    of another section, and no data).
    """
    bench = Bench(mode)
    bios = [(2048, 8, READ), (2048, 8, WRITE), (2056, 8, WRITE), (0, 0, FLUSH), (2064, 8, WRITE | REQ_FUA)]
    took = [bench.run(bio)[0] for bio in bios]
    assert [*times[:4], times[4] if mode != "J" else 50] == took
    assert [50] == bench.run((2048, 8, READ)) if mode != "J" else [0] == bench.run((2048, 8, READ))


def test_a_flush_goes_ahead_of_its_data() -> None:
    """Of mode D: the cache emptied, the data, tags and cache again: 50 + 50 + 100 us."""
    bench = Bench("D")
    bench.run((2048, 8, READ))
    before = len(bench.below.bios)
    assert [200] == bench.run((2048, 8, WRITE | REQ_PREFLUSH | REQ_FUA))
    assert [(0, 0, FLUSH), (4272, 8, WRITE), (1968, 8, 1), (0, 0, FLUSH)] == bench.below.bios[before:]


def test_a_buffer_is_read_once_for_all_who_wait() -> None:
    """Three reads at once: their data side by side, one buffer, one wait."""
    bench = Bench("D")
    assert [100, 100, 100] == bench.run((0, 8, READ), (800, 8, READ), (1600, 8, READ))
    assert 4 == len(bench.below.bios)


def test_who_waits_is_woken_once() -> None:
    """
    A read wakes its worker, which sleeps for the data and for the tags; a write does not wait for its data,
    nor anybody for tags that go out before the cache is emptied but the commit worker: tags, then the cache.
    """
    bench = Bench("D")
    for bio, wakes in (((2048, 8, READ), 1 + 2), ((2048, 8, WRITE), 1), ((0, 0, FLUSH), 1 + 2)):
        before = bench.rig.machine.ledger.calls().get("try_to_wake_up", 0)
        bench.run(bio)
        assert wakes == bench.rig.machine.ledger.calls()["try_to_wake_up"] - before


def test_it_is_hashed_by_a_worker_after_the_data() -> None:
    """1 ns a byte: 8 blocks of 512 bytes with 8 bytes of a number each, behind data and tags; 1 in mode J."""
    costs = priced(crc32c_pcl_intel_digest=(0, 1))
    bench = Bench("D", 512, costs=costs)
    bench.run((2048, 8, READ))
    assert 100_000 + 8 * (512 + 8) == bench.rig.machine.clock.now
    charges = [c for c in bench.rig.machine.ledger.charges() if c.symbol == "crc32c_pcl_intel_digest"]
    assert [(8, 4160)] == [(charge.calls, charge.units) for charge in charges]
    assert "process_one_work;integrity_bio_wait;dm_integrity_map_continue" in charges[0].stack
    assert (8, 0) == (bench.target.verified, bench.target.computed)


def test_in_mode_j_the_submitter_hashes_and_copies() -> None:
    """1 ns a byte of each: the write has ended when both are done, and no device was asked."""
    bench = Bench("J", costs=priced(crc32c_pcl_intel_digest=(0, 1), __journal_read_write=(0, 1)))
    bench.run((2048, 8, WRITE))
    assert 4096 + 8 + 4096 == bench.rig.machine.clock.now
    assert [] == bench.below.bios


def test_a_write_waits_for_room_in_the_journal() -> None:
    """
    Of 240 blocks 160 are entered, then 96 more: 80 of them find room, the others wait until the commit (50
    us), and tags, data and cache behind it (50 + 50 + 50) have given the first 160 back.
    """
    bench = Bench("J")
    first, second = bench.run((0, 1280, WRITE), (1280, 768, WRITE))
    assert (0, 200) == (first, second)


def test_a_row_of_bios_is_mapped_one_by_one() -> None:
    """Four bios of 1 KiB from a row of buffer heads: four clones, four ends."""
    bench = Bench("D", 512)
    ends = Ends(bench.rig)

    def process() -> Any:
        bench.target.submit(bench.task, Bio(0, 2, 4, 4, ends, None, [(0, 4)], False), Plug(holds=False))
        yield from bench.task.settle()

    bench.rig.machine.clock.process(process())
    bench.rig.machine.clock.run()
    assert [2, 2, 2, 2, 128] == sorted(sectors for _, sectors, _ in bench.below.bios)
    assert 4 == len(ends.at)


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 6)), min_size=1, max_size=4),
    st.sampled_from([2, 8]),
    st.data(),
)
def test_the_blocks_of_a_part(runs: list[tuple[int, int]], each: int, data: st.DataObject) -> None:
    """Those whose sectors have a part in it, one by one."""
    blocks = [lblk + at for lblk, count in runs for at in range(count)]
    sectors = len(blocks) * each
    first = data.draw(st.integers(0, sectors - 1))
    length = data.draw(st.integers(1, sectors - first))
    bio = Bio(100, sectors, 1, 1, EndIo(), None, runs, False)
    found = [lblk + at for lblk, count in blocks_of(bio, first, length) for at in range(count)]
    assert blocks[first // each : -(-(first + length) // each)] == found


def test_a_bio_without_blocks_has_none_in_part() -> None:
    """As a bio of the target's own, or one of a test."""
    assert [] == blocks_of(Bio(0, 8, 1, 1, EndIo(), None, [], False), 0, 4)
