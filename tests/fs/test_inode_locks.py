"""Who takes i_rwsem and i_data_sem, and who does not: another has it, and lets it go after a while."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest
from write_kit import DATA, WriteRig

from sim.fs.live_inode import LiveInode
from sim.fs.map_flags import CREATE
from sim.units import KIB

LATE_NS = 5_000_000
PAGE = 4096
Step = Callable[[WriteRig, LiveInode], Generator[Any, Any, Any]]


def fallocate(rig: WriteRig, inode: LiveInode) -> Generator[Any, Any, None]:
    """fallocate(2)."""
    return rig.writer.fallocate(rig.task, inode, 0, 64 * KIB, False)


def write(rig: WriteRig, inode: LiveInode) -> Generator[Any, Any, None]:
    """write(2) of a page."""
    return rig.write(inode, 0, PAGE)


def fsync(rig: WriteRig, inode: LiveInode) -> Generator[Any, Any, None]:
    """fsync(2)."""
    return rig.fsync(inode)


def look_up(rig: WriteRig, inode: LiveInode) -> Generator[Any, Any, Any]:
    """ext4_map_blocks() without CREATE."""
    return rig.writer.mapper.map_blocks(rig.task, inode, 0, 1, 0, rig.task.plug)


def allocate(rig: WriteRig, inode: LiveInode) -> Generator[Any, Any, Any]:
    """ext4_map_blocks() with CREATE, in a handle."""
    yield from rig.writer.sb.start(rig.task, 20)
    yield from rig.writer.mapper.map_blocks(rig.task, inode, 8, 1, CREATE, rig.task.plug)
    rig.writer.sb.stop(rig.task)


def ends_at(step: Step, lock: str, log: int = 1024, known: bool = True, reads: bool = False) -> int:
    """Return when a step ends that begins while another has a lock, to write or to read, until LATE_NS."""
    rig = WriteRig(log=log, path="page_io")
    inode = rig.file(64 * KIB, [(0, DATA, 4, False)], known=known)
    semaphore, other = getattr(inode, lock), rig.machine.cpu.task(1, "other")
    if not (semaphore.try_read() if reads else semaphore.try_write(other)):
        raise AssertionError
    ended: list[int] = []

    def holder() -> Generator[Any, Any, None]:
        yield rig.machine.clock.timeout(LATE_NS)
        semaphore.up_read() if reads else semaphore.up_write()

    def doing() -> Generator[Any, Any, None]:
        yield from step(rig, inode)
        ended.append(rig.machine.clock.now)

    rig.machine.clock.process(holder())
    rig.start(doing())
    rig.run_for(4 * LATE_NS)
    assert (semaphore.writer, semaphore.readers) == (None, 0)
    waited = rig.writer.sb.locks
    assert (waited.waits > 0) == (ended[0] >= LATE_NS)
    assert waited.waited_ns <= LATE_NS
    return ended[0]


@pytest.mark.parametrize("step", [write, fallocate])
def test_writers_wait_for_the_file(step: Step) -> None:
    """inode_lock() of write(2) and fallocate(2)."""
    assert ends_at(step, "rwsem") >= LATE_NS


def test_a_sync_does_not_wait_for_who_writes_the_file() -> None:
    """Neither with a journal nor without does ext4_sync_file() take it."""
    assert ends_at(fsync, "rwsem", log=0) < LATE_NS
    assert ends_at(fsync, "rwsem") < LATE_NS


def test_who_looks_blocks_up_waits_for_who_changes_them() -> None:
    """Unless the status tree knows them, or the other only looks them up, too."""
    assert ends_at(look_up, "data_sem", known=False) >= LATE_NS
    assert ends_at(look_up, "data_sem") < LATE_NS
    assert ends_at(look_up, "data_sem", known=False, reads=True) < LATE_NS


@pytest.mark.parametrize("reads", [False, True])
def test_who_changes_blocks_waits_for_both(reads: bool) -> None:
    """down_write() of ext4_map_blocks()."""
    assert ends_at(allocate, "data_sem", reads=reads) >= LATE_NS


def test_a_delayed_write_waits_where_it_promises() -> None:
    """ext4_da_map_blocks(): a hole's block goes into the status tree under it; a known one is there."""

    def into_the_hole(rig: WriteRig, inode: LiveInode) -> Generator[Any, Any, None]:
        return rig.write(inode, 8 * PAGE, PAGE)

    assert ends_at(into_the_hole, "data_sem") >= LATE_NS
    assert ends_at(write, "data_sem") < LATE_NS
    assert ends_at(into_the_hole, "data_sem", reads=True) < LATE_NS
