"""Checksums that do not hold, or cannot be read: EIO, for whom, and how often the device is asked."""

from __future__ import annotations

from typing import Any

import pytest
from checksum_kit import LIST, OWN, Refuses, RefusesRuns, listed, rig, table
from core_kit import PATHS, Rig, sequential

from sim.block.media import BadSectors
from sim.block.queue.limits import QueueLimits
from sim.cache.filemap import EIO
from sim.cache.pages import PRESENT, UPTODATE
from sim.units import PAGE_BYTES


def got(machine: Rig, reads: list[tuple[int, int]], random: bool = False) -> list[int]:
    """Return what each read(2) of one reader returned, and see that all comes to rest."""
    opened, task, returned = machine.open(random), machine.machine.cpu.task(0, "reader"), list[int]()

    def reader() -> Any:
        for offset, length in reads:
            returned.append((yield from machine.machine.filemap.read(task, opened, offset, length)))
        yield from task.settle()

    machine.machine.clock.process(reader())
    machine.finish()
    assert [] == machine.mapping.held
    return returned


@pytest.mark.parametrize("readers", [2, 3])
@pytest.mark.parametrize("path", ["page_io", "buffer_head"])
def test_nobody_takes_a_bad_page_that_another_reads_again(path: str, readers: int) -> None:
    """All want one bad page of a RAM device, and lock it in turns: each gets EIO, whoever has it locked."""
    tags, limits = table(), QueueLimits(1280, 128, 64, bio_based=True, driver="brd")
    tags.judge = Refuses(3)
    machine = rig(tags, path, size=8 * PAGE_BYTES, limits=limits)
    returned: list[int] = []

    def reader(core: int) -> Any:
        opened, task = machine.open(True), machine.machine.cpu.task(core, f"reader {core}")
        for offset, length in [(3 * PAGE_BYTES, 100)] * 3:
            returned.append((yield from machine.machine.filemap.read(task, opened, offset, length)))
        yield from task.settle()

    for core in range(readers):
        machine.machine.clock.process(reader(core))
    machine.finish()
    assert [-EIO] * 3 * readers == returned


def by_page(pages: int) -> list[tuple[int, int]]:
    """Return the reads of a file page by page."""
    return sequential(pages * PAGE_BYTES, PAGE_BYTES)


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize("in_work", [True, False])
@pytest.mark.parametrize("path", PATHS)
def test_a_block_without_its_checksum_is_eio(path: str, in_work: bool, encrypted: bool) -> None:
    """A bad block is EIO for its page, which is not up to date; it is verified twice, others once."""
    tags = table()
    tags.judge = judge = Refuses(17)
    machine = rig(tags, path, in_work=in_work, encrypted=encrypted)
    assert [PAGE_BYTES] * 17 + [-EIO] + [PAGE_BYTES] * 238 == got(machine, by_page(256))
    assert PRESENT == machine.mapping.state[17]
    assert all(physical - lblk == 1000 for lblk, physical, _ in judge.asked)
    sums = machine.machine.sums
    assert sums is not None
    assert (256 + 1 + 3, 2, 2) == (sums.units, sums.failed, sums.refused)


@pytest.mark.parametrize("path", ["page_io", "iomap"])
def test_since_6_2_its_bio_fails(path: str) -> None:
    """6.12: all 16 pages of its bio are read again one by one, and verified; 15 of them are good then."""
    tags = table()
    tags.judge = Refuses(17)
    machine = rig(tags, path, kernel="6.12", size=64 * PAGE_BYTES, large_folios=False)
    assert [PAGE_BYTES] * 17 + [-EIO] + [PAGE_BYTES] * 46 == got(machine, by_page(64))
    sums = machine.machine.sums
    assert sums is not None
    assert (1 + 64 + 16, 2, 2) == (sums.units, sums.failed, sums.refused)


@pytest.mark.parametrize("path", PATHS)
def test_a_run_without_its_checksum_is_eio_as_a_whole(path: str) -> None:
    """Runs of 8, one block of the second bad: EIO for its 8 pages, each of which reads all 8 once more."""
    tags = listed((0, 8), (8, 8), (16, 8))
    tags.judge = RefusesRuns(9)
    machine = rig(tags, path, size=24 * PAGE_BYTES)
    assert [PAGE_BYTES] * 8 + [-EIO] * 8 + [PAGE_BYTES] * 8 == got(machine, by_page(24))
    assert bytes([UPTODATE] * 8 + [PRESENT] * 8 + [UPTODATE] * 8) == bytes(machine.mapping.state)
    sums = machine.machine.sums
    assert sums is not None
    assert (1 + 2 + 9, 9, 9 * 8) == (sums.units, sums.failed, sums.refused)


@pytest.mark.parametrize("path", PATHS)
def test_what_was_bad_once_is_read_again(path: str) -> None:
    """The first reader of a run that was garbled on the way has it read again, for all of its pages."""

    class Once(RefusesRuns):
        def bad(self, lblk: int, physical: int, blocks: int, stored: bytes) -> list[tuple[int, int]]:
            found = super().bad(lblk, physical, blocks, stored)
            self.block = -1 if found else self.block
            return found

    tags = listed((0, 8), (8, 8))
    tags.judge = Once(3)
    machine = rig(tags, path, size=16 * PAGE_BYTES)
    assert [PAGE_BYTES] * 16 == got(machine, by_page(16))
    sums = machine.machine.sums
    assert sums is not None
    assert (1 + 2 + 1, 1, 8) == (sums.units, sums.failed, sums.refused)


@pytest.mark.parametrize("read", ["before", "with", "after"])
@pytest.mark.parametrize("path", PATHS)
def test_blocks_with_bad_checksums_are_read_again_by_who_needs_them(path: str, read: str) -> None:
    """Row 1 of a table is bad: EIO for the 100 blocks of which it has checksums, none of which is hashed."""
    tags = table()
    tags.judge = judge = Refuses(row=OWN[1])
    machine = rig(tags, path, read=read)
    expected = [PAGE_BYTES] * 100 + [-EIO] * 100 + [PAGE_BYTES] * 56
    assert expected == got(machine, by_page(256))
    assert {*range(100), *range(200, 256)} == {
        block for lblk, _, blocks in judge.asked for block in range(lblk, lblk + blocks)
    }
    sums = machine.machine.sums
    assert sums is not None
    assert sums.cache.read_blocks >= 2 + 100
    assert sums.units == 156 + 2 + sums.failed


@pytest.mark.parametrize("read", ["before", "with", "after"])
def test_a_bad_list_makes_all_of_its_file_eio(read: str) -> None:
    """No run can be verified by it; it is read and hashed anew by each reader."""
    tags = listed((0, 8), (8, 8))
    tags.judge = judge = RefusesRuns(row=0)
    machine = rig(tags, size=16 * PAGE_BYTES, read=read)
    assert [-EIO] * 16 == got(machine, by_page(16))
    assert [] == judge.asked
    assert not tags.known
    sums = machine.machine.sums
    assert sums is not None
    assert sums.units == sums.failed == sums.cache.read_blocks


@pytest.mark.parametrize("read", ["before", "with", "after"])
@pytest.mark.parametrize("by_list", [True, False])
@pytest.mark.parametrize("path", PATHS)
def test_checksums_that_cannot_be_read_are_eio(path: str, by_list: bool, read: str) -> None:
    """A bad sector in the block with the checksums: EIO, nothing is hashed, and each try reads it once."""
    tags = listed((0, 8), (8, 8)) if by_list else table()
    at = LIST if by_list else OWN[0]
    machine = rig(tags, path, size=16 * PAGE_BYTES, read=read, media=BadSectors([at * 8 + 3]))
    assert [-EIO] * 16 == got(machine, by_page(16), random=True)
    sums = machine.machine.sums
    assert sums is not None
    tries = 2 * (2 + 7) if by_list else 16 * 2
    assert (0, 0, tries) == (sums.units, sums.bytes, sums.cache.read_blocks)


@pytest.mark.parametrize("path", PATHS)
def test_a_run_of_which_a_sector_cannot_be_read_is_eio(path: str) -> None:
    """The device tells of one block; the other 7 of the run cannot be verified, and are not hashed."""
    tags = listed((0, 8), (8, 8), (16, 8))
    machine = rig(tags, path, size=24 * PAGE_BYTES, media=BadSectors([1009 * 8 + 1]))
    assert [PAGE_BYTES] * 8 + [-EIO] * 8 + [PAGE_BYTES] * 8 == got(machine, by_page(24))
    sums = machine.machine.sums
    assert sums is not None
    assert 0 == sums.failed
    assert not tags.torn
