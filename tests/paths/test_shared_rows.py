"""Two that write two files, whose checksums are in one row of a table or in two: the whole log."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from core_kit import priced
from write_kit import LOG, WriteRig

from sim.engine.cpu import Task
from sim.fs.file_tags import TableShape, TableTags
from sim.fs.live_inode import LiveInode
from sim.paths.checksums.run_changes import SumPolicy

CRC = "crc32c_pcl_intel_digest"
PAGE = 4096
ROWS = [40, 41]
PLACES = {12: 500, 13: 516}
"""Where the two files lie, 16 blocks each."""


class Rig(WriteRig):
    """Two files, checksums of `per_row` blocks in a row; a byte of crc32c takes a ns, the device 50 us."""

    def __init__(self, per_row: int, **said: Any) -> None:
        super().__init__(checksums=SumPolicy(CRC), costs=priced(**{CRC: (0, 1)}), **said)
        shape = TableShape([(500, 32)], ROWS, per_row)
        self.writer.buffers.warm(ROWS)
        assert self.writer.sums is not None
        self.sums = self.writer.sums
        self.log: list[tuple[int, str, str]] = []
        self.files: list[LiveInode] = []
        for number, place in PLACES.items():
            inode = self.file(16 * PAGE, [(0, place, 16, False)], number=number)
            self.cached(inode)
            self.sums.files[number] = TableTags(str(number), shape)
            self.files.append(inode)

    def step(self, task: Task, what: str, step: Generator[Any, Any, Any]) -> Generator[Any, Any, None]:
        """Do something, and note when that is over."""
        yield from step
        yield from task.settle()
        self.log.append((self.machine.clock.now, task.name, what))

    def overwritten(self, later_ns: int) -> list[tuple[int, str, str]]:
        """Have one write and sync a page of his file, the other so much later; return when."""
        writer = self.writer
        for core, inode in enumerate(self.files):
            task = self.machine.cpu.task(core, "ab"[core])
            written = self.step(task, "written", writer.write(task, inode, 0, PAGE))
            self.start(written, self.step(task, "synced", writer.sync.fsync(task, inode, False)), task=task)
            if later_ns:
                self.run_for(later_ns)
        self.run_for(1_000_000)
        return self.log

    def waited(self) -> tuple[int, int, int]:
        """Return sleeps for rows, their ns, and copies of rows."""
        locks = self.sums.locks
        return locks.waits, locks.waited_ns, locks.copies


@pytest.mark.parametrize(("per_row", "waited", "rows"), [(32, (1, PAGE, 0), 1), (16, (0, 0, 0), 2)])
def test_a_row_gets_its_own_checksum_under_its_lock(
    per_row: int, waited: tuple[int, int, int], rows: int
) -> None:
    """
    At one instant: both hash their page, then the row, 4,096 ns each; of one row the second waits as long.

    The device takes 50 us for the data, behind which all of that is over: both are in one transaction, whose
    log has descriptor, inode and row, and a record behind a flush.
    """
    rig = Rig(per_row)
    written = [(0, "a", "written"), (0, "b", "written")]
    assert [*written, (200_000, "a", "synced"), (200_000, "b", "synced")] == rig.overwritten(0)
    assert waited == rig.waited()
    logged = 2 + rows
    assert [
        ("WS", 500, 1),
        ("WS", 516, 1),
        *[("WSM", LOG + 1 + at, 1) for at in range(logged)],
        ("FWFSM", LOG + 1 + logged, 1),
    ] == rig.bios()
    assert (4, 4 * PAGE, 2) == (rig.sums.computed, rig.sums.hashed_bytes, rig.sums.logged)


@pytest.mark.parametrize(("per_row", "waited"), [(32, (1, 35_904, 0)), (16, (0, 0, 0))])
def test_who_syncs_waits_for_a_row_no_longer_than_for_the_commit(
    per_row: int, waited: tuple[int, int, int]
) -> None:
    """
    60 us later: the row is on its way to the log, from 50 to 100 us, so the second waits from 64,096 ns on.

    It would wait for that commit anyway, before its own: the sync ends when it ends with two rows.
    """
    rig = Rig(per_row)
    synced = [(at, name) for at, name, what in rig.overwritten(60_000) if what == "synced"]
    assert [(200_000, "a"), (350_000, "b")] == synced
    assert waited == rig.waited()


@pytest.mark.parametrize(
    ("per_row", "waited", "written_ns"), [(32, (1, 34_096, 0), 62_288), (16, (0, 0, 0), 28_192)]
)
def test_a_write_of_journalled_data_waits_for_a_row(
    per_row: int, waited: tuple[int, int, int], written_ns: int
) -> None:
    """
    20 us later, data=journal: the handle of write(2) changes the row, on its way from 8,192 ns on for 50 us.

    It has hashed its page at 24,096 ns, and hashes the row when that has ended.
    """
    rig = Rig(per_row, data="journal")
    written = [(at, name) for at, name, what in rig.overwritten(20_000) if what == "written"]
    assert [(8_192, "a"), (written_ns, "b")] == written
    assert waited == rig.waited()
