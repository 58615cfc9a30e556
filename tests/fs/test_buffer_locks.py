"""A metadata buffer that several want: one at a time changes it, and none while a commit writes it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import pytest
from core_kit import priced
from hypothesis import given
from hypothesis import strategies as st
from write_kit import LIMITS, Bump, WriteRig

from sim.engine.cpu import Task
from sim.errors import InvariantError
from sim.fs.buffer_locks import BufferLocks
from sim.fs.jbd2.commit import Jbd2Journal
from sim.fs.jbd2.shadow import Shadows
from sim.fs.write_out import Pending
from sim.units import KIB

ROW, OTHER = 30, 31
PS_PER_NS = 1000


class Rig(WriteRig):
    """A mounted ext4, and the locks of its buffers; `log` has what tasks do, and when."""

    def __init__(self, **said: Any) -> None:
        super().__init__(**said)
        parts = self.machine.clock, self.machine.ledger, self.writer.buffers, self.writer.journal
        self.locks = BufferLocks(*parts)
        self.log: list[tuple[int, str, str]] = []

    @property
    def journal(self) -> Jbd2Journal:
        """The journal."""
        assert self.writer.journal is not None
        return self.writer.journal

    def says(self, task: Task, what: str) -> None:
        """Note what a task does."""
        self.log.append((self.machine.clock.now, task.name, what))

    def change(
        self, task: Task, block: int, holds_ns: int = 0, after_ns: int = 0
    ) -> Generator[Any, Any, None]:
        """Change a block in a handle, the lock held for so long, after a while of the task's own work."""
        sb = self.writer.sb
        task.ps += after_ns * PS_PER_NS
        yield from task.settle()
        yield from sb.start(task, 1)
        yield from self.locks.may_change(task, block)
        sb.get_write_access(task, block)
        yield from self.locks.lock(task, block)
        self.says(task, f"has {block}")
        pending = self.journal.shadows.under_way(block) if self.writer.journal else None
        assert pending is None, "a block is changed while the log is written from it"
        task.ps += holds_ns * PS_PER_NS
        yield from self.locks.unlock(task, block)
        self.says(task, f"lets {block} go")
        sb.dirty_metadata(task, block)
        sb.stop(task)

    def other(self, name: str = "other", core: int = 1) -> Task:
        """Return another task."""
        return self.machine.cpu.task(core, name)


def test_who_changes_a_block_is_waited_for() -> None:
    """Two want one block, on two cores: the second has it when the first lets it go; another is free."""
    rig = Rig()
    for name, block in (("a", ROW), ("b", ROW), ("c", OTHER)):
        task = rig.other(name, core=int(name != "a"))
        rig.start(rig.change(task, block, holds_ns=100 if name != "c" else 30), task=task)
    rig.run_for(1_000)
    assert [
        (0, "a", "has 30"),
        (0, "c", "has 31"),
        (30, "c", "lets 31 go"),
        (100, "a", "lets 30 go"),
        (100, "b", "has 30"),
        (200, "b", "lets 30 go"),
    ] == rig.log
    assert (1, 100) == (rig.locks.waits, rig.locks.waited_ns)
    assert {"__lock_buffer": 1} == {name: n for name, n in rig.calls().items() if name == "__lock_buffer"}


def test_a_block_that_is_being_logged_is_waited_for() -> None:
    """A commit writes descriptor and block, 50 us: who comes in the middle of that has it at its end."""
    rig = Rig()
    rig.start(rig.change(rig.task, ROW))
    rig.run_for(1_000)
    rig.journal.request(1)
    for name, block in (("free", OTHER), ("late", ROW)):
        task = rig.other(name)
        rig.run_for(10_000)
        rig.start(rig.change(task, block), task=task)
    rig.run_for(200_000)
    assert [(0, "writer", "has 30"), (0, "writer", "lets 30 go")] == rig.log[:2]
    assert [(11_000, "free", "has 31"), (51_000, "late", "has 30")] == [
        said for said in rig.log[2:] if "has" in said[2]
    ]
    assert (1, 30_000, 0) == (rig.locks.waits, rig.locks.waited_ns, rig.locks.copies)


def test_a_block_is_waited_for_until_its_own_command_ends() -> None:
    """A device that takes a block at a time: the descriptor, then two blocks, each free when it is there."""
    rig = Rig(depth=1, limits=replace(LIMITS, max_sectors=8))
    rig.start(rig.change(rig.task, ROW), rig.change(rig.task, OTHER))
    rig.run_for(1_000)
    rig.journal.request(1)
    rig.run_for(1_000)
    for core, block in enumerate((ROW, OTHER)):
        task = rig.other(f"late {block}", core)
        rig.start(rig.change(task, block), task=task)
    rig.run_for(300_000)
    assert [(101_000, "late 30", "has 30"), (151_000, "late 31", "has 31")] == [
        said for said in rig.log if "late" in said[1] and "has" in said[2]
    ]


def test_a_block_that_waits_to_be_logged_is_copied() -> None:
    """
    A commit that still submits data has not come to its blocks: they are copied, a ns a byte, and what is
    logged is the copy, so that nobody waits for that either.
    """
    rig = Rig(
        allocator=Bump(piece=1, gap=1),
        delalloc=False,
        depth=1,
        data_ns=1_000_000,
        costs=priced(jbd2_freeze_jh_data=(0, 1)),
    )
    inode = rig.file()
    rig.run_for(1)
    rig.start(rig.write(inode, 0, 12 * KIB), rig.change(rig.task, ROW))
    rig.run_for(999)
    rig.journal.request(1)
    for core, after_ns in ((1, 500_000), (0, 2_500_000)):
        task = rig.other(f"after {after_ns}", core)
        rig.start(rig.change(task, ROW, after_ns=after_ns), task=task)
    rig.run_for(5_000_000)
    assert [(505_096, "after 500000", "has 30"), (2_501_000, "after 2500000", "has 30")] == [
        said for said in rig.log if "after" in said[1] and "has" in said[2]
    ]
    assert (0, 0, 1) == (rig.locks.waits, rig.locks.waited_ns, rig.locks.copies)


def test_what_the_running_transaction_has_is_given_at_once() -> None:
    """jbd2_write_access_granted(): who changes it again in one transaction asks for nothing."""
    rig = Rig()
    rig.run(rig.change(rig.task, ROW), rig.change(rig.task, ROW))
    assert [0, 0, 0, 0] == [at for at, _, _ in rig.log]
    assert (0, 0) == (rig.locks.waits, rig.locks.copies)


def test_a_block_on_its_way_to_its_place_is_locked() -> None:
    """Without a journal, too: lock_buffer() sleeps until the write in place has ended."""
    rig = Rig(log=0)
    rig.writer.buffers.mark_dirty(rig.task, ROW)
    rig.writer.buffers.write_back(rig.task)
    task = rig.other()
    rig.start(rig.change(task, ROW, after_ns=10_000), task=task)
    rig.run_for(200_000)
    assert [(50_000, "other", "has 30"), (50_000, "other", "lets 30 go")] == rig.log
    assert (1, 40_000) == (rig.locks.waits, rig.locks.waited_ns)


def test_a_lock_is_let_go_by_who_has_it() -> None:
    """Another's is an error of the model."""
    rig = Rig()
    rig.run(rig.locks.lock(rig.other("a"), ROW))
    with pytest.raises(InvariantError, match="task b lets the buffer of block 30 go"):
        rig.run(rig.locks.unlock(rig.other("b"), ROW))


def test_what_was_copied_is_no_shadow() -> None:
    """Of three blocks in two bios the copied one is not waited for, the others until their bio has ended."""
    shadows = Shadows()
    shadows.begin([5, 6, 7])
    assert [True, False, False] == [shadows.freeze(block) for block in (6, 6, 9)]
    first, second = Pending(0, None, 2), Pending(0, None, 1)
    shadows.submitted([5, 6, 7], [first, second])
    assert [first, None, second] == [shadows.under_way(block) for block in (5, 6, 7)]
    assert not shadows.freeze(5)
    first.ended = True
    assert [None, None, second] == [shadows.under_way(block) for block in (5, 6, 7)]
    shadows.begin([7])
    assert [None, True] == [shadows.under_way(7), shadows.freeze(7)]


@given(
    tasks=st.lists(
        st.lists(
            st.tuples(st.sampled_from([ROW, OTHER]), st.integers(0, 30_000), st.integers(0, 20_000)),
            min_size=1,
            max_size=4,
        ),
        min_size=2,
        max_size=5,
    ),
    commits=st.lists(st.integers(1, 60_000), max_size=4),
)
def test_never_two_holders(tasks: list[list[tuple[int, int, int]]], commits: list[int]) -> None:
    """Tasks on two cores, commits in between: who has a block has it alone, and no commit is writing it."""
    rig = Rig()
    for number, changes in enumerate(tasks):
        task = rig.other(str(number), core=number % 2)
        steps = [rig.change(task, block, holds_ns, after_ns) for block, holds_ns, after_ns in changes]
        rig.start(*steps, task=task)
    for ns in commits:
        rig.run_for(ns)
        rig.journal.request(rig.journal.next_tid - 1)
    rig.run_for(10_000_000)
    for block in (ROW, OTHER):
        said = [(name, what) for _, name, what in rig.log if str(block) in what]
        assert sum(each[0] == block for changes in tasks for each in changes) == len(said) // 2
        for (holder, has), (name, lets) in zip(said[::2], said[1::2], strict=True):
            assert (holder, f"has {block}", f"lets {block} go") == (name, has, lets)
