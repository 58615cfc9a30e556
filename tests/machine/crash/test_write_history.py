"""What a sync has promised: golden cases, and against sector by sector."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sim.machine.crash.history import FileHistory, WriteCall
from sim.units import SECTOR_BYTES

SECTORS = 6


def call(number: int, first: int, count: int, began: int, ended: int) -> WriteCall:
    """Return a write of whole sectors."""
    return WriteCall(number, first * SECTOR_BYTES, count * SECTOR_BYTES, began, ended)


def history(writes: list[WriteCall], syncs: list[tuple[int, int]]) -> FileHistory:
    """Return a file's history."""
    made = FileHistory()
    made.writes, made.syncs = writes, syncs
    return made


WRITES = [call(1, 0, 2, 0, 10), call(2, 1, 2, 10, 20), call(3, 4, 1, 25, 35)]


def test_promises_begin_when_a_sync_returns() -> None:
    """Not while it is under way; then all that had returned when it began."""
    held = history(WRITES, [(20, 40)])
    assert held.promised(39, SECTORS).tolist() == [0] * 6
    assert held.promised(40, SECTORS).tolist() == [1, 2, 2, 0, 0, 0]


def test_the_last_sync_that_has_returned_counts() -> None:
    """Which is the one that began last."""
    held = history(WRITES, [(9, 12), (35, 50), (10, 60)])
    assert held.promised(12, SECTORS).tolist() == [0] * 6
    assert held.promised(50, SECTORS).tolist() == [1, 2, 2, 0, 3, 0]
    assert held.promised(60, SECTORS).tolist() == [1, 2, 2, 0, 3, 0]


def test_what_was_issued() -> None:
    """The last write that had begun; its bytes may be on the disk."""
    held = history(WRITES, [])
    assert [held.issued(at) for at in (-1, 0, 9, 10, 24, 25)] == [0, 1, 1, 2, 2, 3]
    assert FileHistory().issued(100) == 0


def test_writes_take_turns_as_they_return() -> None:
    """The second to come had the lock first; what is no write of this file has no turn."""
    held = history([call(4, 0, 1, 0, 20), call(2, 0, 1, 0, 30)], [])
    assert held.turns(np.array([2, 4, 0, -1, 3, 9])).tolist() == [2, 1, 0, 0, 0, 0]
    assert FileHistory().turns(np.array([1])).tolist() == [0]


@st.composite
def histories(draw: st.DrawFn) -> FileHistory:
    """Draw up to 6 writes and 3 syncs of one task after another."""
    made, now = FileHistory(), 0
    for number in range(1, draw(st.integers(0, 6)) + 1):
        now += draw(st.integers(0, 3))
        first = draw(st.integers(0, SECTORS - 1))
        ended = now + draw(st.integers(0, 3))
        made.writes.append(call(number, first, draw(st.integers(1, SECTORS - first)), now, ended))
        now = ended
        if draw(st.booleans()):
            made.syncs.append((now, now + draw(st.integers(0, 3))))
            now = made.syncs[-1][1]
    return made


@given(histories(), st.integers(0, 30))
def test_sector_by_sector(held: FileHistory, at: int) -> None:
    """Each by itself: the last write of it that some returned sync has seen."""
    naive = []
    for sector in range(SECTORS):
        last = 0
        for write in held.writes:
            inside = write.offset <= sector * SECTOR_BYTES < write.offset + write.length
            if inside and any(write.ended_ns <= began and ended <= at for began, ended in held.syncs):
                last = write.number
        naive.append(last)
    assert held.promised(at, SECTORS).tolist() == naive
