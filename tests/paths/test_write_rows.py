"""Pages that are alike are taken together: the same calls, bios, times and states as each alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from write_kit import LIMITS, Bump, WriteRig

from sim.block.bio import Bio, Plug
from sim.block.opf import REQ_OP_READ, REQ_OP_WRITE
from sim.block.queue.submit import BlockQueue
from sim.fs.es_tree import ES_WRITTEN
from sim.fs.live_inode import LiveInode
from sim.paths import write_rows
from sim.paths.write_ciphers import RFC2014_WRITES
from sim.paths.writepages.page_io import PageIo

PAGE = 4096
PAGES = 40
Layout = list[tuple[int, int, int, bool]]


def ran(rows: bool, script: list[tuple[str, int, int]], layout: Layout, **said: Any) -> list[object]:
    """Return all that a script leaves, and when."""
    block_size, piece, pages = said.pop("block_size"), said.pop("piece"), said.pop("pages", PAGES)
    crypt = {name: said.pop(name) for name in ("encrypted", "inline") if name in said}
    rig = WriteRig(block_size, allocator=Bump(piece, gap=1), costs=None, **said)
    rig.writer.buffered.rows = rig.writer.rounds.rows = rows
    rig.writer.journalled.rows = rig.writer.for_commit.rows = rows
    if not rows:
        rig.machine.disk.joins = lambda *_: 0  # type: ignore[method-assign]
    inode = rig.file(pages * PAGE, layout, **crypt)
    steps, seen = [], [object()][:0]
    for verb, first, second in script:
        if verb == "write":
            steps.append(rig.write(inode, first, second))
        elif verb == "sleep":
            steps.append(slept(rig, first))
        elif verb == "drop":
            steps.append(dropped(rig, inode))
        elif verb == "begin":
            steps.append(rig.writer.sync.sync_file_range(rig.task, inode, False, True, False))
        else:
            steps.append(rig.fsync(inode))
        steps.append(looked(rig, inode, seen))
    rig.start(*steps)
    rig.run_for(10_000_000_000)
    device = [rig.device.commands, stats_of(rig)]
    return [
        rig.machine.ledger.rows(),
        rig.events,
        *device,
        rig.task.time_ns,
        *states(inode),
        *logged(rig, inode),
        *seen,
    ]


def dropped(rig: WriteRig, inode: LiveInode) -> Any:
    """Drop all pages of a file that may go."""
    rig.machine.cache.drop(inode.mapping)
    yield from ()


def looked(rig: WriteRig, inode: LiveInode, seen: list[object]) -> Any:
    """Note what the journal has now."""
    seen.append(logged(rig, inode))
    yield from ()


def stats_of(rig: WriteRig) -> dict[str, object]:
    """Return all that the queue has counted."""
    stats = rig.machine.disk.stats
    return {name: getattr(stats, name) for name in type(stats).__slots__}


def logged(rig: WriteRig, inode: LiveInode) -> list[object]:
    """Return what the journal and the block device's own pages hold of blocks, and the cache of pages."""
    buffers, journal, tags = rig.writer.buffers, rig.writer.journal, inode.mapping.journalled
    cache = rig.machine.cache
    found: list[object] = [cache.cached, cache.buffer_heads, cache.spare_heads]
    found += [buffers.dirty_blocks, buffers.dirty_page_count]
    found.append(bytes(tags) if tags is not None else None)
    if journal is not None:
        found += [journal.log.clean(), journal.log.free, journal.committed, journal.reserved]
        for transaction in (journal.running, journal.committing):
            if transaction is not None:
                found += [transaction.tid, transaction.credits, list(transaction.files.items())]
    return found


def slept(rig: WriteRig, ns: int) -> Any:
    """Let the task sleep."""
    yield from rig.task.settle()
    yield rig.machine.clock.timeout(ns)


def states(inode: LiveInode) -> list[object]:
    """Return what is known of every page and block."""
    mapping = inode.mapping
    kept = [mapping.state, mapping.access, mapping.buffered, mapping.dirty, mapping.writeback, inode.state]
    counts = [mapping.dirty_pages, mapping.writeback_pages, inode.reserved, inode.size, inode.disksize]
    entries = [(e.start, e.length, e.status, e.physical) for e in inode.es.entries()]
    return [
        *(bytes(each) if each is not None else None for each in kept),
        inode.place.tolist(),
        counts,
        entries,
    ]


writes = st.builds(
    lambda page, pages, before, behind: (
        "write",
        max(page * PAGE - before, 0),
        min((page + pages) * PAGE + behind, PAGES * PAGE) - max(page * PAGE - before, 0),
    ),
    st.integers(0, PAGES - 1),
    st.integers(1, PAGES),
    st.sampled_from([0, 0, 0, 1, 512, 1024, 3000]),
    st.sampled_from([0, 0, 0, 1, 512, 1024, 3000]),
)
syncs = st.sampled_from([("fsync", 0, 0), ("begin", 0, 0)])
scripts = st.lists(st.one_of(writes, writes, syncs), min_size=1, max_size=6)


@st.composite
def layouts(draw: st.DrawFn, per_page: int) -> Layout:
    """Up to four extents, apart, written or not; between them holes."""
    at, found = 0, []
    for number in range(draw(st.integers(0, 4))):
        at += draw(st.integers(0, 3 * per_page))
        length = draw(st.integers(1, 12 * per_page))
        length = min(length, PAGES * per_page - at)
        if length <= 0:
            break
        found.append((at, 200_000 + 10_000 * number + at, length, draw(st.booleans())))
        at += length
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=st.data(),
    script=scripts,
    block_size=st.sampled_from([1024, 4096]),
    piece=st.sampled_from([1, 3, 1 << 15]),
    mode=st.sampled_from(["ordered", "writeback"]),
    nolock=st.sampled_from([None, False]),
    depth=st.sampled_from([0, 2]),
)
def test_rows_change_nothing(
    data: st.DataObject,
    script: list[tuple[str, int, int]],
    block_size: int,
    piece: int,
    mode: str,
    nolock: bool | None,
    depth: int,
) -> None:
    """Random writes and syncs, on holes, written and unwritten extents, tags short or not."""
    layout = data.draw(layouts(4096 // block_size))
    said = {"block_size": block_size, "piece": piece, "data": mode, "dioread_nolock": nolock, "depth": depth}
    assert ran(False, script, layout, **said) == ran(True, script, layout, **said)


IN_A_COMMIT = 5_000_020_000
"""So long after the first write the timer's commit is under way, and waits for what it writes."""
sleeps = st.sampled_from([("sleep", 1_000, 0), ("sleep", IN_A_COMMIT, 0), ("sleep", 6_000_000_000, 0)])


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=st.data(),
    script=st.lists(st.one_of(writes, writes, syncs, sleeps), min_size=1, max_size=7),
    block_size=st.sampled_from([1024, 4096]),
    said=st.sampled_from(
        [
            {"data": "journal", "log": 256},
            {"data": "journal", "log": 1024},
            {"data": "journal", "log": 1024, "journal_async_commit": True},
            {"delalloc": False},
            {"delalloc": False, "log": 0},
            {"plain": True, "path": "buffer_head", "log": 0},
        ]
    ),
    depth=st.sampled_from([0, 2]),
    segments=st.sampled_from([3, 16, 256]),
    boundary=st.booleans(),
)
def test_rows_of_pages_with_handles_and_of_bios_change_nothing(
    data: st.DataObject,
    script: list[tuple[str, int, int]],
    block_size: int,
    said: dict[str, Any],
    depth: int,
    segments: int,
    boundary: bool,
) -> None:
    """
    Journalled data, blocks allocated at once, and writes without handles; requests of few segments, a virt
    boundary or none. Nobody traces: bios that join a request are one object.
    """
    written = [(at, block, length, False) for at, block, length, _ in data.draw(layouts(4096 // block_size))]
    limits = replace(LIMITS, max_segments=segments, driver="nvme" if boundary else "null_blk")
    if said.get("plain"):
        written = [(0, 200_000, PAGES * 4096 // block_size, False)]
    fixed = {"block_size": block_size, "piece": 1 << 15, "depth": depth, "limits": limits, "traced": False}
    assert ran(False, script, written, **fixed, **said) == ran(True, script, written, **fixed, **said)


drops = st.sampled_from([("drop", 0, 0), ("fsync", 0, 0)])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=st.data(),
    script=st.lists(st.one_of(writes, writes, syncs, drops), min_size=2, max_size=7),
    block_size=st.sampled_from([1024, 4096]),
    crypt=st.sampled_from(
        [
            {},
            {"encrypted": True},
            {"encrypted": True, "inline": True},
            {"encrypted": True, "ciphers": RFC2014_WRITES},
        ]
    ),
    said=st.sampled_from([{}, {"delalloc": False}, {"data": "journal"}]),
    traced=st.booleans(),
    cache_pages=st.sampled_from([60, 1 << 40]),
)
def test_rows_of_pages_that_come_back_and_of_encrypted_ones_change_nothing(
    data: st.DataObject,
    script: list[tuple[str, int, int]],
    block_size: int,
    crypt: dict[str, Any],
    said: dict[str, Any],
    traced: bool,
    cache_pages: int,
) -> None:
    """Pages that are dropped, or that reclaim takes, lose their buffer heads; their slab keeps some."""
    layout = data.draw(layouts(4096 // block_size))
    fixed = {"block_size": block_size, "piece": 1 << 15, "traced": traced, "cache_pages": cache_pages}
    assert ran(False, script, layout, **fixed, **crypt, **said) == ran(
        True, script, layout, **fixed, **crypt, **said
    )


@pytest.mark.parametrize("said", [{}, {"delalloc": False}, {"data": "journal"}])
def test_heads_of_a_row_that_are_of_the_slab(said: dict[str, Any]) -> None:
    """Another file's five pages are dropped: of 40 heads that a write makes five are there, 35 are fresh."""
    for rows in (False, True):
        rig = WriteRig(allocator=Bump(), **said)
        rig.writer.buffered.rows = rows
        other, inode = (rig.file(pages * PAGE, number=12 + pages) for pages in (5, PAGES))
        rig.machine.cache.insert(other.mapping, 0, 5)
        other.mapping.set_uptodate(0, 5)
        rig.machine.cache.attach_buffers(other.mapping, 0, 5)
        rig.machine.cache.drop(other.mapping)
        inode.es.insert(0, PAGES, ES_WRITTEN, 200_000)
        rig.start(rig.write(inode, 0, PAGES * PAGE))
        rig.run_for(1_000_000)
        heads = [row for row in rig.machine.ledger.rows() if row.symbol == "alloc_buffer_head"]
        assert [(row.calls, row.units) for row in heads] == [(40, 35)]


@pytest.mark.parametrize("block_size", [1024, 4096])
@pytest.mark.parametrize("layout", ["hole", "written"])
def test_rows_beyond_what_a_bio_and_an_extent_take(block_size: int, layout: str) -> None:
    """
    More than 256 vectors, more than 2,048 blocks that are collected; written twice, half under write-back.
    """
    pages, per_page = 700, 4096 // block_size
    script = [
        ("write", 0, pages * PAGE),
        ("begin", 0, 0),
        ("write", 100 * PAGE, 400 * PAGE),
        ("begin", 0, 0),
        ("write", 0, 300 * PAGE),
        ("fsync", 0, 0),
    ]
    extents = [(0, 200_000, pages * per_page, False)] if layout == "written" else []
    said = {"block_size": block_size, "piece": 1 << 15, "pages": pages}
    assert ran(False, script, extents, **said) == ran(True, script, extents, **said)


def test_a_row_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    An overwrite of 40 pages: one by one the first page of each write, and of the bio; the rest are rows.
    """
    taken: list[int] = []
    write, row = write_rows.WriteRows.write, PageIo.write_row

    def noted(self: Any, task: Any, inode: Any, model: Any, pages: int, before: Any) -> None:
        taken.append(pages)
        write(self, task, inode, model, pages, before)

    def noted_row(self: Any, task: Any, io: Any, page: int, pages: int) -> None:
        taken.append(pages)
        row(self, task, io, page, pages)

    monkeypatch.setattr(write_rows.WriteRows, "write", noted)
    monkeypatch.setattr(PageIo, "write_row", noted_row)
    script = [("write", 0, 20 * PAGE), ("write", 20 * PAGE, 20 * PAGE), ("fsync", 0, 0)]
    ran(True, script, [(0, 200_000, PAGES, False)], block_size=4096, piece=1)
    assert taken == [19, 19, 38]


@pytest.mark.parametrize("block_size", [1024, 4096])
def test_a_row_ends_where_the_commit_that_is_under_way_has_no_more_blocks(block_size: int) -> None:
    """Of 40 pages the first 20 are being committed while all are written; then all are written once more."""
    whole = ("write", 0, PAGES * PAGE)
    script = [("write", 0, PAGES * PAGE // 2), ("sleep", IN_A_COMMIT, 0), whole, whole, ("fsync", 0, 0)]
    said = {"block_size": block_size, "piece": 1, "data": "journal", "traced": False, "log": 4096}
    layout = [(0, 200_000, PAGES * PAGE // block_size, False)]
    assert ran(False, script, layout, **said) == ran(True, script, layout, **said)


@pytest.mark.parametrize("block_size", [1024, 4096])
def test_rows_of_journalled_data_in_a_small_log(block_size: int) -> None:
    """Transactions of 64 blocks fill up within a row; checkpoints write blocks whose pages stay tagged."""
    pages = 300
    script = [("write", 0, pages * PAGE), ("begin", 0, 0), ("fsync", 0, 0)]
    said = {"block_size": block_size, "piece": 1, "data": "journal", "traced": False, "log": 256}
    layout = [(0, 200_000, pages * PAGE // block_size, False)]
    assert ran(False, script, layout, pages=pages, **said) == ran(True, script, layout, pages=pages, **said)


@pytest.mark.parametrize(("first", "second"), [((2048, 6144), (0, 2048)), ((0, 6144), (6144, 2048))])
def test_a_page_stays_the_journals_that_it_has_in_part(
    first: tuple[int, int], second: tuple[int, int]
) -> None:
    """Two pages of 1 KiB blocks: when a part of one is committed, the next transaction has the other part."""
    rig = WriteRig(1024, allocator=Bump(), data="journal", log=4096, traced=False)
    inode = rig.file(2 * PAGE, [(0, 200_000, 8, False)])
    rig.start(rig.write(inode, *first), slept(rig, IN_A_COMMIT), rig.write(inode, *second))
    rig.run_for(IN_A_COMMIT + 1_000_000)
    assert rig.writer.journal is not None
    assert rig.writer.journal.committed == 1
    assert list(inode.mapping.journalled or ()) == ([1, 0] if second[0] == 0 else [0, 1])


@pytest.mark.parametrize("depth", [0, 2])
@pytest.mark.parametrize("segments", [3, 256])
def test_a_log_whose_blocks_cannot_all_merge(segments: int, depth: int) -> None:
    """Blocks of 1 KiB, and whole pages are wanted: behind a request that begins in one nothing merges."""
    script = [("write", 0, PAGES * PAGE), ("fsync", 0, 0), ("begin", 0, 0)]
    limits = replace(LIMITS, driver="nvme", max_segments=segments)
    said = {"block_size": 1024, "piece": 1, "data": "journal", "traced": False, "log": 4096}
    said |= {"depth": depth, "limits": limits}
    layout = [(0, 200_000, 4 * PAGES, False)]
    assert ran(False, script, layout, **said) == ran(True, script, layout, **said)


@pytest.mark.parametrize(
    ("first", "sector", "opf", "crypt", "joins"),
    [
        (8, 18, REQ_OP_WRITE, None, 5),
        (9, 20, REQ_OP_WRITE, None, 0),  # the request begins in a page
        (8, 20, REQ_OP_WRITE, None, 0),  # a block lies between
        (8, 18, REQ_OP_READ, None, 0),
        (8, 18, REQ_OP_WRITE, ("key", 5), 0),
    ],
)
def test_how_many_of_a_row_join(
    first: int, sector: int, opf: int, crypt: tuple[str, int] | None, joins: int
) -> None:
    """Of nine bios of 1 KiB, behind a request of one that has room for five more."""
    rig = WriteRig(1024, traced=False, limits=replace(LIMITS, driver="nvme", max_segments=6))
    plug, ends = Plug(), rig.writer.out
    rig.machine.disk.submit(
        rig.task, Bio(2 * first, 2, 1, 1, ends, None, [(first, 1)], False, REQ_OP_WRITE), plug
    )
    row = Bio(sector, 2, 9, 9, ends, None, [(sector // 2, 9)], False, opf)
    row.crypt = crypt
    assert rig.machine.disk.joins(rig.task, row, plug) == joins
    plug.requests[-1].closed = True
    assert rig.machine.disk.joins(rig.task, row, plug) == 0


def test_what_a_row_gives_to_the_journal_is_not_written_in_place_any_more() -> None:
    """A block of the row's was metadata before, dirty in the block device's own page."""
    for rows in (False, True):
        rig = WriteRig(allocator=Bump(), data="journal")
        rig.writer.buffered.rows = rows
        inode = rig.file(PAGES * PAGE, [(0, 200_000, PAGES, False)])
        rig.writer.buffers.mark_dirty(rig.task, 200_005)
        rig.start(rig.write(inode, 0, PAGES * PAGE))
        rig.run_for(1_000_000)
        assert rig.writer.buffers.dirty_blocks == []


def test_rows_of_journalled_data_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    40 pages of data=journal: written in two rows behind a page each; in the log a descriptor and 40 blocks,
    the first with a request of its own; written back a page, and 39 that join its request.
    """
    taken: list[tuple[str, int]] = []
    write, submit = write_rows.WriteRows.write, BlockQueue.submit

    def noted(self: Any, task: Any, inode: Any, model: Any, pages: int, before: Any) -> None:
        taken.append(("write", pages))
        write(self, task, inode, model, pages, before)

    def noted_bio(self: Any, task: Any, bio: Any, plug: Any) -> None:
        if bio.count > 1:
            taken.append(("log" if bio.sector < 200_000 * 8 else "data", bio.count))
        submit(self, task, bio, plug)

    monkeypatch.setattr(write_rows.WriteRows, "write", noted)
    monkeypatch.setattr(BlockQueue, "submit", noted_bio)
    script = [("write", 0, 20 * PAGE), ("write", 20 * PAGE, 20 * PAGE), ("fsync", 0, 0), ("begin", 0, 0)]
    said = {"block_size": 4096, "piece": 1, "data": "journal", "traced": False}
    ran(True, script, [(0, 200_000, PAGES, False)], **said)
    assert taken == [("write", 19), ("write", 19), ("log", 41), ("data", 39)]
