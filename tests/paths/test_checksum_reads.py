"""Reads of files with checksums: what is read when, who verifies, what a run costs who wants a part of it."""

from __future__ import annotations

import pytest
from checksum_kit import CRC, LIST, OWN, Refuses, commands, listed, rig, table
from core_kit import PATHS, Rig, sequential
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.block.queue.limits import QueueLimits
from sim.cache.pages import UPTODATE
from sim.fs.file_tags import FileTags
from sim.units import KIB, MIB, PAGE_BYTES


@pytest.mark.parametrize("in_work", [True, False])
@pytest.mark.parametrize("path", PATHS)
def test_every_block_is_verified_once(path: str, in_work: bool) -> None:
    """1 MiB by a table of 100 entries a block: 256 blocks and 3 rows, hashed once each; a bio ends once."""
    machine = rig(table(), path, in_work=in_work)
    calls = machine.run(sequential(MIB, 128 * KIB))
    assert 256 + 3 == calls["ext4_data_csum_verify"] == calls[CRC]
    bios = machine.machine.queue.stats.queued - 3
    assert bios == calls["ext4_data_csum_end_io"]
    assert (bios if in_work else 0) == calls.get("ext4_data_csum_work", 0)
    sums = machine.machine.sums
    assert sums is not None
    assert (259, 259 * PAGE_BYTES, 3) == (sums.units, sums.bytes, sums.cache.read_blocks)


def test_with_the_data_the_checksums_go_first() -> None:
    """Read with the data: its row is submitted before the bio that needs it, and goes down with its plug."""
    machine = rig(table(), read="with")
    machine.run([(0, 4 * KIB)])
    queued = [(sector // 8, sectors // 8) for _, sector, sectors in machine.letters("Q")]
    assert [(500_000, 1), (1000, 4)] == queued[:2]
    (first_ns, *_), (second_ns, *_) = commands(machine)[:2]
    assert second_ns - first_ns < 2_000


def test_before_the_data_the_reader_waits_for_them() -> None:
    """Read before the data: that is submitted when the row has come, 50 us later."""
    machine = rig(table(), read="before")
    returned = machine.start([(0, 4 * KIB)])
    machine.finish()
    (row_ns, row, _), (data_ns, data, _) = commands(machine)[:2]
    assert (500_000, 1000) == (row, data)
    assert data_ns >= row_ns + 50_000
    assert returned[0] > 100_000


def test_after_the_data_a_worker_reads_them() -> None:
    """Read after the data: the row is submitted when the data has come, and the reader waits for both."""
    machine = rig(table(), read="after")
    returned = machine.start([(0, 4 * KIB)])
    machine.finish()
    (data_ns, data, _), (row_ns, row, _) = commands(machine)[:2]
    assert (1000, 500_000) == (data, row)
    assert row_ns >= data_ns + 50_000
    assert returned[0] > 100_000


@pytest.mark.parametrize("read", ["before", "with"])
def test_rows_ahead_are_read_with_the_first(read: str) -> None:
    """ahead = 2: the first miss brings three rows, neighbours, in one request; none comes again."""
    machine = rig(table(), read=read, ahead=2)
    machine.run(sequential(MIB, 128 * KIB))
    rows = [(block, blocks) for _, block, blocks in commands(machine) if block >= OWN[0]]
    assert [(500_000, 3)] == rows


@pytest.mark.parametrize("path", PATHS)
def test_a_run_is_read_as_a_whole(path: str) -> None:
    """4 KiB of a run of 64 blocks: all 64 pages are read and verified by one checksum, and the list's own."""
    machine = rig(listed((0, 100), (100, 64), (164, 92)), path)
    calls = machine.run([(110 * PAGE_BYTES, 4 * KIB)], random=True)
    assert 2 == calls["ext4_data_csum_verify"]
    assert 64 == machine.machine.cache.inserted
    state = bytes(machine.mapping.state)
    assert [100, 164] == [state.find(UPTODATE), len(state.rstrip(b"\0"))]
    assert 1 == calls["readahead_expand"]
    sums = machine.machine.sums
    assert sums is not None
    assert 64 * PAGE_BYTES + 64 == sums.bytes


def test_what_is_cached_of_a_run_is_not_read_again() -> None:
    """Half of a run has stayed in memory: the other half is read, and all of it is hashed again."""
    machine = rig(listed((0, 64)))
    machine.machine.cache.preload(machine.mapping, 0, 32, None, False)
    calls = machine.run([(40 * PAGE_BYTES, 4 * KIB)], random=True)
    assert [(1032, 32)] == [(block, blocks) for _, block, blocks in commands(machine) if block < LIST]
    assert 2 == calls["ext4_data_csum_verify"]
    assert [] == machine.mapping.held


def test_a_long_run_waits_for_its_last_bio() -> None:
    """600 blocks are three bios: no page is unlocked before the last of them has come."""
    machine = rig(listed((0, 600)), size=600 * PAGE_BYTES)
    returned = machine.start([(0, 4 * KIB)])
    calls = machine.finish()
    assert 3 == len([1 for _, block, _ in commands(machine) if block < LIST]) - 2
    assert 2 == calls["ext4_data_csum_verify"]
    hashing_ns = 600 * PAGE_BYTES * 0.0351
    assert returned[0] > 50_000 + hashing_ns


def test_runs_that_meet_in_a_page_are_all_read() -> None:
    """1 KiB blocks, runs of 6: page 1 holds parts of two, so that one block leads to pages 0 to 2."""
    runs = [(start, 6) for start in range(0, 24, 6)] + [(24, 8)]
    machine = rig(listed(*runs), size=32 * KIB, block_size=KIB)
    machine.run([(0, KIB)], random=True)
    assert bytes([2, 2, 2, 0, 0, 0, 0, 0]) == bytes(machine.mapping.state)


def test_a_list_in_memory_is_looked_up_once_a_bio() -> None:
    """A list of many blocks is in the extent status once it was read: they are not asked for again."""
    machine = rig(listed((0, 8), (8, 248), blocks=tuple(range(LIST, LIST + 30))))
    calls = machine.run([(0, 4 * KIB), (4 * KIB, 4 * KIB)], random=True)
    assert 1 == calls["ext4_data_csum_lookup"]


def test_two_readers_of_one_run_verify_it_once() -> None:
    """The second finds the run's pages locked, waits for them, and reads nothing."""
    machine = rig(listed((0, 64)))
    first = machine.start([(0, 4 * KIB)], machine.open(random=True))
    second = machine.start([(63 * PAGE_BYTES, 4 * KIB)], machine.open(random=True), core=1)
    calls = machine.finish()
    assert 2 == calls["ext4_data_csum_verify"]
    assert 64 == machine.machine.cache.inserted
    assert abs(first[0] - second[0]) < 20_000


class _Watches(Refuses):
    """
    Finds nothing bad, and looks around whenever it is asked: the checksums are in memory, and all of the run;
    and no page is up to date of which a block was not verified.
    """

    def __init__(self, machine: Rig, tags: FileTags, block_size: int) -> None:
        super().__init__()
        self.machine, self.tags = machine, tags
        self.block_size = block_size
        self.seen: set[int] = set()

    def bad(self, lblk: int, physical: int, blocks: int, _stored: bytes) -> list[tuple[int, int]]:
        sums, state, size = self.machine.machine.sums, self.machine.mapping.state, self.block_size
        assert sums is not None
        assert not sums.cache.missing(self.tags.tag_blocks(physical, blocks))
        assert all(state.part(lblk * size // PAGE_BYTES, -(-(lblk + blocks) * size // PAGE_BYTES)))
        self.all_verified()
        self.seen.update(range(lblk, lblk + blocks))
        return []

    def all_verified(self) -> None:
        """Every block of every page that is up to date was verified."""
        last = self.machine.inode.blocks
        for page, state in enumerate(self.machine.mapping.state):
            if state & 2:
                first = page * PAGE_BYTES // self.block_size
                stop = min((page + 1) * PAGE_BYTES // self.block_size, last)
                assert self.seen.issuperset(range(first, stop))


def watched(machine: Rig, tags: FileTags) -> _Watches:
    """Have a machine's file judged by who looks around."""
    tags.judge = watch = _Watches(machine, tags, machine.machine.spec.block_size)
    return watch


def test_a_bio_waits_for_its_last_run() -> None:
    """300 pages in two bios, runs of 100: the first bio's pages wait for the run that ends in the second."""
    tags = listed((0, 100), (100, 100), (200, 100))
    machine = rig(tags, size=300 * PAGE_BYTES, ra_pages=512, limits=QueueLimits(2560, 256, 64))
    watch = watched(machine, tags)
    machine.run([(0, 300 * PAGE_BYTES)])
    assert [(1000, 256), (1256, 44)] == [(at, n) for _, at, n in commands(machine) if at < LIST]
    assert set(range(300)) == watch.seen


def test_the_rest_of_a_run_stays_until_it_is_verified() -> None:
    """Room for 8 pages: 4 of a run are cached, 4 come; who reads others meanwhile takes none of the 8."""
    tags = listed((0, 8), (8, 8))
    machine = rig(tags, size=16 * PAGE_BYTES, memory_pages=8)
    watch = watched(machine, tags)
    watch.seen.update(range(4))
    machine.machine.cache.preload(machine.mapping, 0, 4, None, False)
    machine.start([(5 * PAGE_BYTES, 4 * KIB)], machine.open(random=True))
    machine.start([(9 * PAGE_BYTES, 4 * KIB)], machine.open(random=True), core=1)
    machine.finish()
    assert set(range(16)) == watch.seen


@settings(max_examples=100)
@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=10),
    most=st.integers(0, 9),
    block_size=st.sampled_from([KIB, 4 * KIB]),
    path=st.sampled_from(PATHS),
    read=st.sampled_from(["before", "with", "after"]),
    in_work=st.booleans(),
    by_list=st.booleans(),
    memory=st.sampled_from([4, 8, 1 << 20]),
    reads=st.lists(st.tuples(st.integers(0, 100), st.integers(1, 40)), min_size=1, max_size=6),
    random=st.booleans(),
)
def test_whatever_is_read_is_verified_and_comes_to_rest(
    lengths: list[int],
    most: int,
    block_size: int,
    path: str,
    read: str,
    in_work: bool,
    by_list: bool,
    memory: int,
    reads: list[tuple[int, int]],
    random: bool,
) -> None:
    """Extents apart on the device, runs cut every `most`: two readers end, and no page is left unverified."""
    extents, at = [], 0
    for number, length in enumerate(lengths):
        extents.append((at, 1000 + 40 * number, length))
        at += length
    size = at * block_size
    runs = [
        (start + cut, min(most or length, length - cut))
        for start, _, length in extents
        for cut in range(0, length, most or length)
    ]
    tags = listed(*runs, blocks=(LIST, LIST + 50)) if by_list else table(per_block=7)
    machine = rig(
        tags,
        path,
        size,
        extents=extents,
        block_size=block_size,
        read=read,
        in_work=in_work,
        memory_pages=memory,
    )
    asked: set[int] = set()
    watch = watched(machine, tags)
    todo = [(first * KIB % size, length * KIB) for first, length in reads]
    machine.start(todo, machine.open(random))
    machine.start(todo[::-1], machine.open(random), core=1)
    machine.finish()
    for offset, length in todo:
        asked.update(range(offset // block_size, -(-min(offset + length, size) // block_size)))
    assert asked <= watch.seen
    watch.all_verified()
    assert not tags.left
    assert not tags.waiting
    assert [] == machine.mapping.held
