"""Pages that are on their way when they are to be written again, and volumes that are nearly full."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from write_kit import DATA, Bump, WriteRig

from sim.fs.allocation import STOPS_DELAYING, WRITES_BACK, Ext4Allocator
from sim.fs.live_inode import LiveInode
from sim.fs.mballoc.allocator import MbAllocator
from sim.fs.mballoc.geometry import BitmapSource, GroupSeed, MbGeometry, MbTunables
from sim.units import KIB

WHOLE = [(0, DATA, 16, False)]
SLOW_NS = 10_000_000
PAGE = 4096


class Rig(WriteRig):
    """written: when each block of data was queued."""

    written: list[tuple[int, int]]


def covered(rig: WriteRig) -> list[tuple[int, int]]:
    """Return (ns, block) for every block of the bios so far."""
    queued = [
        (ns, sector // 8, sectors // 8) for letter, ns, sector, sectors in rig.events if letter[0] == "Q"
    ]
    return [(ns, block) for ns, first, blocks in queued for block in range(first, first + blocks)]


def twice(rig: Rig, inode: LiveInode, last: Generator[Any, Any, None]) -> list[tuple[str, int, int]]:
    """Write page 1 and start its write-back; write pages 0 to 2 meanwhile; do `last`; return the bios."""
    start = rig.writer.sync.sync_file_range(rig.task, inode, False, True, False)
    rig.start(rig.write(inode, PAGE, PAGE), start, rig.write(inode, 0, 3 * PAGE), last)
    rig.run_for(4 * SLOW_NS)
    rig.written = covered(rig)
    return [(rwbs, block - DATA, blocks) for rwbs, block, blocks in rig.bios() if block >= DATA]


@pytest.mark.parametrize("path", ["page_io", "buffer_head", "mpage"])
def test_who_waits_for_all_waits_for_pages_on_their_way(path: str) -> None:
    """fsync: the page is written once more, but only when its first bio has ended."""
    rig = Rig(path=path, data_ns=SLOW_NS, delalloc=False)
    inode = rig.file(64 * KIB, WHOLE)
    rig.cached(inode)
    bios = twice(rig, inode, rig.fsync(inode))
    (again,) = [time for time, block in rig.written if block == DATA + 1][1:]
    assert again >= SLOW_NS
    assert bios[0] == ("W", 1, 1)
    assert sum(blocks for _, _, blocks in bios[1:]) == 3
    assert {rwbs for rwbs, *_ in bios[1:]} == {"WS"}
    assert inode.mapping.dirty_pages == 0


@pytest.mark.parametrize("path", ["page_io", "buffer_head", "mpage"])
def test_who_does_not_wait_passes_over_pages_on_their_way(path: str) -> None:
    """sync_file_range(WRITE): the neighbours go out; the page stays dirty, and the next fsync writes it."""
    rig = Rig(path=path, data_ns=SLOW_NS, delalloc=False)
    inode = rig.file(64 * KIB, WHOLE)
    rig.cached(inode)
    again = rig.writer.sync.sync_file_range(rig.task, inode, False, True, False)
    assert twice(rig, inode, again) == [("W", 1, 1), ("W", 0, 1), ("W", 2, 1)]
    assert (inode.mapping.dirty_pages, inode.mapping.writeback_pages) == (1, 0)
    rig.start(rig.fsync(inode))
    rig.run_for(4 * SLOW_NS)
    assert [(rwbs, block - DATA) for rwbs, block, _ in rig.bios() if block >= DATA] == [("WS", 1)]


@pytest.mark.parametrize("background", [False, True])
def test_more_bios_than_tags(background: bool) -> None:
    """Every second block, a bio each, and one tag: sync_file_range(WRITE), or the flusher, sleeps for it."""
    rig = WriteRig(delalloc=False, depth=1)
    extents = [(lblk, DATA + 2 * lblk, 1, False) for lblk in range(16)]
    inode = rig.file(64 * KIB, extents)
    rig.cached(inode)
    write = rig.writer.sync.sync_file_range(rig.task, inode, False, True, False)
    last = rig.writer.flusher.finish(rig.task) if background else write
    rig.start(rig.write(inode, 0, 16 * PAGE), last)
    rig.run_for(4 * SLOW_NS)
    assert [bio for bio in rig.bios() if bio[0] == "W"] == [("W", DATA + 2 * n, 1) for n in range(16)]
    assert (inode.mapping.dirty_pages, inode.mapping.writeback_pages) == (0, 0)


class Short(Bump):
    """A volume with little room."""

    asks = 0

    def shortage(self, ahead: int = 0) -> int:
        """What is asked of delayed writes."""
        del ahead
        return self.asks


def test_on_a_nearly_full_volume_nothing_is_delayed() -> None:
    """ext4_da_write_begin() does as ext4_write_begin(): blocks at once, under a handle."""
    allocator = Short()
    rig = WriteRig(allocator=allocator)
    inode = rig.file()
    allocator.asks = STOPS_DELAYING
    rig.start(rig.write(inode, 0, 2 * PAGE))
    rig.run_for(1000)
    calls = rig.calls()
    assert (inode.reserved, [extent[::2] for extent in inode.tree.extents()]) == (0, [(0, 2)])
    expected = {"ext4_da_write_begin": 2, "ext4_write_begin": 2, "ext4_da_write_end": 2, "ext4_write_end": 2}
    assert {name: calls.get(name, 0) for name in expected} == expected
    assert calls.get("ext4_da_get_block_prep", 0) == 0
    allocator.asks = 0
    rig.start(rig.write(inode, 2 * PAGE, PAGE))
    rig.run_for(1000)
    assert (inode.reserved, rig.calls()["ext4_write_begin"]) == (1, 2)


def test_half_of_what_is_free_is_delayed_then_it_is_written() -> None:
    """All dirty pages go out before the next is delayed."""
    allocator = Short()
    rig = WriteRig(allocator=allocator)
    inode = rig.file()
    rig.start(rig.write(inode, 0, 2 * PAGE))
    rig.run_for(1000)
    assert inode.reserved == 2
    allocator.asks = WRITES_BACK
    rig.start(rig.write(inode, 2 * PAGE, PAGE))
    rig.run_for(SLOW_NS)
    assert (inode.reserved, inode.mapping.dirty_pages) == (1, 1)
    assert [bio for bio in rig.bios() if bio[0].startswith("W")] == [("W", DATA, 2)]


class Free(BitmapSource):
    """Groups that nobody looks into."""

    def read(self, group: int) -> bytes:
        """Never called."""
        raise AssertionError(group)


@pytest.mark.parametrize(
    ("free", "dirty", "cpus", "asks"),
    [
        (1000, 0, 1, 0),
        (1000, 500, 1, 0),
        (999, 500, 1, WRITES_BACK),
        (1000, 666, 1, WRITES_BACK),
        (1000, 667, 1, WRITES_BACK | STOPS_DELAYING),
        (128, 0, 1, 0),
        (127, 0, 1, STOPS_DELAYING),
        (511, 0, 4, STOPS_DELAYING),
        (512, 0, 4, 0),
        (200, 73, 1, STOPS_DELAYING),
    ],
)
def test_how_full_is_nearly_full(free: int, dirty: int, cpus: int, asks: int) -> None:
    """Three free blocks for two delayed ones, and 128 more for each CPU; from two for one on pages go out."""
    geometry = MbGeometry(4096, 32768, 0, 32768, True, 4, False)
    mb = MbAllocator(geometry, [GroupSeed(free, 1, False)], Free(), MbTunables(geometry, cpus=cpus))
    mb.dirty = dirty
    rig = WriteRig()
    assert Ext4Allocator(rig.machine.ledger, mb).shortage() == asks
