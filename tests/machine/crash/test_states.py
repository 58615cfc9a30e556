"""What a disk may hold after a power cut: golden cases, and against all subsets that flush and FUA allow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.block.opf import REQ_FUA, REQ_OP_WRITE, REQ_PREFLUSH
from sim.block.write_log import NOT_ENDED, WrittenBio
from sim.machine.crash.states import EVERYTHING, NOTHING, SOME, CutLog, boundaries
from sim.units import SECTOR_BYTES

W, P, F = REQ_OP_WRITE, REQ_OP_WRITE | REQ_PREFLUSH, REQ_OP_WRITE | REQ_FUA
PLACES = 3
"""Sectors of the disks here."""


def bio(mark: str, sector: int, submitted: int, ended: int, opf: int = W) -> WrittenBio:
    """Return a bio that writes a sector for each letter of `mark`; "": a bare flush."""
    data = b"".join(SECTOR_BYTES * letter.encode() for letter in mark)
    made = WrittenBio(sector * SECTOR_BYTES, data, opf, submitted)
    made.ended_ns = ended
    return made


def disk_of(written: Iterator[tuple[int, bytes]]) -> str:
    """Return what a disk holds, a letter a sector; what was never written is a dot."""
    disk = bytearray(PLACES * SECTOR_BYTES * b".")
    for offset, data in written:
        assert data
        assert offset % SECTOR_BYTES == len(data) % SECTOR_BYTES == 0
        disk[offset : offset + len(data)] = data
    assert len(disk) == PLACES * SECTOR_BYTES
    sectors = [disk[at : at + SECTOR_BYTES] for at in range(0, len(disk), SECTOR_BYTES)]
    assert all(len(set(sector)) == 1 for sector in sectors)
    return "".join(chr(sector[0]) for sector in sectors)


def left(log: Sequence[WrittenBio], at: int, what: str, volatile: bool = True, seed: int = 0) -> str:
    """Return what is left of a log at a moment."""
    return disk_of(CutLog(log, at, volatile).written(what, np.random.default_rng(seed)))


def all_left(log: Sequence[WrittenBio], at: int, draws: int, volatile: bool = True) -> set[str]:
    """Return all states that come out at random."""
    return {left(log, at, SOME, volatile, seed) for seed in range(draws)}


# -- golden ----------------------------------------------------------------------------------------------


def test_moments() -> None:
    """Just behind each submission and completion, each once, in order."""
    log = [bio("a", 0, 5, 20), bio("b", 1, 5, 10), bio("c", 2, 30, NOT_ENDED)]
    assert boundaries(log) == [5, 10, 20, 30]
    assert boundaries([]) == []


CACHED = [bio("a", 0, 0, 10), bio("b", 1, 5, 30), bio("c", 2, 50, 60)]


@pytest.mark.parametrize(
    ("at", "nothing", "everything", "open_"),
    [(0, "...", "a..", 1), (4, "...", "a..", 1), (30, "...", "ab.", 2), (50, "...", "abc", 3)],
)
def test_a_cache_loses_what_was_not_flushed(at: int, nothing: str, everything: str, open_: int) -> None:
    """Completed or not, none of it is safe."""
    assert left(CACHED, at, NOTHING) == nothing
    assert left(CACHED, at, EVERYTHING) == everything
    assert CutLog(CACHED, at, True).open == open_


@pytest.mark.parametrize(("at", "nothing"), [(9, "..."), (10, "a.."), (30, "ab."), (59, "ab."), (60, "abc")])
def test_without_a_cache_what_has_completed_is_safe(at: int, nothing: str) -> None:
    """To the nanosecond."""
    assert left(CACHED, at, NOTHING, volatile=False) == nothing


FLUSHED = [bio("a", 0, 0, 10), bio("b", 1, 0, 21), bio("", 0, 20, 40, P), bio("c", 2, 30, 35)]


@pytest.mark.parametrize(("at", "nothing", "open_"), [(39, "...", 3), (40, "a..", 2), (99, "a..", 2)])
def test_a_flush_saves_what_had_completed_before_it(at: int, nothing: str, open_: int) -> None:
    """Not what completed or was submitted while it ran; and only once it has completed itself."""
    assert left(FLUSHED, at, NOTHING) == nothing
    assert CutLog(FLUSHED, at, True).open == open_


def test_fua_is_safe_by_itself() -> None:
    """And nothing else is by it."""
    log = [bio("a", 0, 0, 10), bio("b", 1, 20, 30, F)]
    assert left(log, 29, NOTHING) == "..."
    assert left(log, 30, NOTHING) == ".b."


RECORD = [bio("a", 0, 0, 10), bio("r", 1, 20, 60, P | F)]
"""What a commit record does: the flush goes before it."""


def test_what_waits_for_a_flush_has_waited() -> None:
    """If the record is there, what it flushed is; the other way round it need not be."""
    assert all_left(RECORD, 30, 200) == {"...", "a..", "ar."}
    assert all_left(RECORD, 60, 5) == {"ar."}
    assert all_left([RECORD[0], bio("r", 1, 20, 60, F)], 30, 200) == {"...", "a..", ".r.", "ar."}


def test_a_bio_tears_at_sectors() -> None:
    """Any of its sectors, and no part of one."""
    states = all_left([bio("abc", 0, 0, NOT_ENDED)], 5, 300)
    assert states == {"".join(each) for each in product("a.", "b.", "c.")}


def test_of_two_writes_the_later_is_there_if_it_is() -> None:
    """Whole, torn or gone: a sector has one of all, in the order of submission."""
    log = [bio("ab", 0, 0, 10), bio("", 0, 10, 20, P), bio("cd", 0, 30, 40)]
    assert left(log, 40, NOTHING) == "ab."
    assert left(log, 40, EVERYTHING) == "cd."
    assert all_left(log, 40, 200) == {"ab.", "cd.", "ad.", "cb."}


# -- against a naive model -------------------------------------------------------------------------------


def legal(log: Sequence[WrittenBio], at: int, volatile: bool) -> set[str]:
    """Return all disks that a power cut may leave: every subset of sectors that keeps each promise."""
    submitted = [each for each in log if each.submitted_ns <= at]
    pieces = [(number, sector) for number, each in enumerate(submitted) for sector in range(_sectors(each))]
    states = set()
    for there in product((False, True), repeat=len(pieces)):
        kept = {piece for piece, on_disk in zip(pieces, there, strict=True) if on_disk}
        if _keeps_promises(submitted, kept, at, volatile):
            disk = ["."] * PLACES
            for number, sector in pieces:  # in the order of submission
                if (number, sector) in kept:
                    each = submitted[number]
                    letter = chr(each.data[sector * SECTOR_BYTES])
                    disk[each.offset // SECTOR_BYTES + sector] = letter
            states.add("".join(disk))
    return states


def _sectors(each: WrittenBio) -> int:
    return len(each.data) // SECTOR_BYTES


def _has_ended(each: WrittenBio, at: int) -> bool:
    return each.ended_ns != NOT_ENDED and each.ended_ns <= at


def _keeps_promises(log: Sequence[WrittenBio], kept: set[tuple[int, int]], at: int, volatile: bool) -> bool:
    def whole(number: int) -> bool:
        return all((number, sector) in kept for sector in range(_sectors(log[number])))

    for number, each in enumerate(log):
        ended = _has_ended(each, at)
        if ended and (each.fua or not volatile) and not whole(number):
            return False
        begun = any((number, sector) in kept for sector in range(_sectors(each)))
        if each.preflush and (ended or begun):
            before = [n for n, other in enumerate(log) if _has_ended(other, at)]
            if not all(whole(n) for n in before if log[n].ended_ns <= each.submitted_ns):
                return False
    return True


@st.composite
def logs(draw: st.DrawFn) -> list[WrittenBio]:
    """Draw a log of up to five bios, at most seven sectors, that are submitted in order."""
    log, now = [], 0
    for letter in "abcde"[: draw(st.integers(1, 5))]:
        now += draw(st.integers(0, 3))
        opf = draw(st.sampled_from((W, W, W, P, F, P | F)))
        sector = draw(st.integers(0, PLACES - 1))
        count = draw(st.integers(0 if opf == P else 1, min(2, PLACES - sector)))
        ended = draw(st.one_of(st.just(NOT_ENDED), st.integers(now, now + 6)))
        log.append(bio(count * letter, sector, now, ended, opf))
    return log


@given(logs(), st.integers(0, 20), st.booleans())
def test_every_state_is_a_legal_one(log: list[WrittenBio], at: int, volatile: bool) -> None:
    """By brute force; with nothing more and with everything, too."""
    allowed = legal(log, at, volatile)
    for what, draws in ((NOTHING, 1), (EVERYTHING, 1), (SOME, 12)):
        for seed in range(draws):
            assert left(log, at, what, volatile, seed) in allowed


@given(logs(), st.integers(0, 20), st.booleans())
def test_what_is_open_is_what_makes_a_difference(log: list[WrittenBio], at: int, volatile: bool) -> None:
    """Nothing open: one state; the count is of bios with data that are not promised."""
    cut = CutLog(log, at, volatile)
    if not cut.open:
        assert len(legal(log, at, volatile)) == 1


def test_every_legal_state_comes_up() -> None:
    """Of one log with all kinds in it, at every moment."""
    log = [
        bio("a", 0, 0, 10),
        bio("bb", 1, 5, 15),
        bio("r", 0, 20, 40, P | F),
        bio("c", 2, 25, 30),
        bio("", 0, 50, 60, P),
        bio("d", 1, 55, NOT_ENDED),
    ]
    for at in boundaries(log):
        assert all_left(log, at, 600) == legal(log, at, True), at
