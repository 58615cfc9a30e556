"""
Writes with FUA: what a device that has it takes for them, and that nothing is called safe too early.

The SSD is that of test_device_writes: 1 us a command, 4 us a page on the wire, 8 us on the flash, answered 5
us after the wire, a flush 100 us.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from core_kit import FixedLatency
from device_models import SSD
from hypothesis import given, settings
from hypothesis import strategies as st
from test_device_writes import HDD_WRITE, SLOWER, SSD_WRITE, Writes
from test_write_queue import COMMIT, WS, Setup

from sim.block.device.constants import SsdWrite
from sim.block.device.make import make_device
from sim.block.device.profile import load_device_profile
from sim.block.hardware import WritableHardware
from sim.block.opf import REQ_FUA, REQ_PREFLUSH
from sim.block.write_log import WrittenBio
from sim.engine.clock import Clock
from sim.engine.mode import make_clock
from sim.machine.crash.states import NOTHING, CutLog, boundaries

US = 1_000
ROOMY = replace(SSD_WRITE, cache_bytes=1 << 20)
FUA_DISK = replace(HDD_WRITE, fua=True)
DRIVE = replace(SSD, bandwidth=1_024_000_000)


def fua(run: Writes, time_ns: int, sector: int, sectors: int, token: str) -> None:
    """Write with FUA at a time to come."""
    run.clock.call_after(time_ns, lambda: run.device.write_fua(sector, sectors, token, run.note))


def test_an_ssd_answers_when_it_is_on_the_flash() -> None:
    """On the wire until 5 us, on the flash until 13, and 100 us more; it leaves nothing to flush."""
    run = Writes(DRIVE, ROOMY)
    fua(run, 0, 0, 8, "fua")
    run.at(200 * US, 0, 0, "flush")
    assert [(113 * US, "fua"), (201 * US, "flush")] == run.run()


def test_it_goes_ahead_of_what_is_cached() -> None:
    """Its page is in the cache at 13 us and on the flash at 21, the second's at 29; all others at 37."""
    run = Writes(DRIVE, ROOMY)
    for number in range(2):
        run.at(0, 8 * number, 8, f"w{number}")
    fua(run, 0, 800, 8, "fua")
    fua(run, 0, 808, 8, "next")
    run.at(20 * US, 0, 0, "flush")
    assert [
        (10 * US, "w0"),
        (14 * US, "w1"),
        (121 * US, "fua"),
        (129 * US, "next"),
        (137 * US, "flush"),
    ] == run.run()


def test_it_goes_behind_what_a_flush_has_asked_for() -> None:
    """Two pages are on the flash at 21 us, as the flush was told; the write comes after, not at 24 us."""
    run = Writes(DRIVE, ROOMY)
    for number in range(2):
        run.at(0, 8 * number, 8, f"w{number}")
    run.at(10 * US, 0, 0, "flush")
    fua(run, 10 * US, 800, 8, "fua")
    assert [(121 * US, "flush"), (129 * US, "fua")] == run.run()[2:]


def test_it_needs_room_in_the_cache_like_any_write() -> None:
    """A cache of a page, and a flush that takes no time: the last of four waits for the three before it."""
    run = Writes(DRIVE, replace(SSD_WRITE, cache_bytes=4096, flush_ns=0))
    for number in range(3):
        run.at(0, 8 * number, 8, f"w{number}")
    fua(run, 0, 800, 8, "fua")
    # By itself on the flash at 17 + 8 us; of 4 pages three have gone at 5 + 3 * 8, which is later.
    assert (29 * US, "fua") == run.run()[-1]


def test_a_cache_that_is_not_volatile_makes_it_a_write_like_others() -> None:
    """With capacitors: the very log of writes without FUA, the flush included."""
    logs = []
    for write in (Writes.at, fua):
        run = Writes(DRIVE, replace(ROOMY, volatile_cache=False))
        write(run, 0, 0, 8, "a")
        write(run, 0, 8, 8, "b")
        run.at(20 * US, 0, 0, "flush")
        logs.append(run.run())
    assert [(10 * US, "a"), (14 * US, "b"), (121 * US, "flush")] == logs[0]
    assert logs[0] == logs[1]


def test_a_disk_answers_when_it_is_on_the_disc(hdd: Any) -> None:
    """Sector 8 begins at 1 ms and 8 sectors end at 2: not before; a flush behind has nothing to do."""
    run = Writes(hdd, FUA_DISK)
    fua(run, 0, 8, 8, "fua")
    run.at(200 * US, 0, 0, "flush")
    assert [(300 * US, "flush"), (2_000 * US, "fua")] == run.run()


def test_a_disk_writes_in_its_turn(hdd: Any) -> None:
    """A cached write before it is on the disc first: sectors 8 to 15 until 2 ms, 16 to 23 until 3."""
    run = Writes(hdd, FUA_DISK)
    run.at(0, 8, 8, "cached")
    fua(run, 200 * US, 16, 8, "fua")
    run.at(400 * US, 0, 0, "flush")
    assert [(108 * US, "cached"), (3_000 * US, "fua"), (3_200 * US, "flush")] == run.run()


class Noting(FixedLatency):
    """Notes which of its writes had FUA."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock, 100 * US)
        self.fua: list[int] = []

    def write_fua(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """Answer as every command."""
        self.fua.append(sector)
        self.submit(sector, sectors, token, done)


@pytest.mark.parametrize(
    ("limits", "expected"), [({"fua": True}, [0, 16]), ({}, []), ({"write_cache": False, "fua": True}, [])]
)
def test_only_a_device_that_has_fua_is_asked_for_it(limits: dict[str, Any], expected: list[int]) -> None:
    """A commit record and a write with FUA; without FUA flushes stand for it, without a cache nothing."""
    setup = Setup(Noting, **limits)
    for sector, opf in ((0, COMMIT), (8, WS), (16, WS | REQ_FUA)):
        setup.submit(sector, 8, opf)
    setup.finish()
    device: Any = setup.device
    assert expected == sorted(device.fua)


class OnesOwn(WritableHardware):
    """A device of 100 us a command whose author has not heard of FUA."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def write(self, _sector: int, _sectors: int, token: object, done: Callable[[object], None]) -> None:
        """Answer in 100 us."""
        self.clock.call(100 * US, done, token)

    def flush(self, token: object, done: Callable[[object], None]) -> None:
        """Answer in 100 us."""
        self.clock.call(100 * US, done, token)


def test_a_device_of_ones_own_writes_and_flushes() -> None:
    """Without a write_fua() of its own FUA is two commands, one behind the other."""
    setup = Setup(OnesOwn, fua=True)
    setup.submit(0, 8, WS | REQ_FUA)
    setup.finish()
    assert [(200 * US, 0, 8)] == setup.end_io.log


def test_null_blk_has_nothing_to_write_past() -> None:
    """FUA is a command of no time and a single one: a read behind it is not answered before it."""
    clock, log = make_clock(), list[tuple[int, object]]()
    device = make_device(clock, load_device_profile("null_blk"))
    device.write_fua(0, 8, "fua", lambda token: log.append((clock.now, token)))
    device.submit(0, 8, "read", lambda token: log.append((clock.now, token)))
    clock.run()
    assert [(0, "fua"), (0, "read")] == log


class NaiveFlash:
    """
    The flash of the drive, a microsecond at a time.

    commands: (when, pages, kind), in order. A job is [when its pages have crossed the wire, microseconds
    left]. The flash works for the job of the lowest rank that is there: first writes with FUA and what a
    flush has asked for, in the order of these commands; then all else.
    """

    def __init__(self) -> None:
        self.commands: list[tuple[int, int, str]] = []

    def ends(self) -> list[tuple[int, int]]:
        """Return for each command, in order, when the controller or the wire has it, and its job is done."""
        at_us, wire_us, jobs = 0, 0, dict[int, list[int]]()
        there: list[int] = []
        for number, (time_us, pages, _) in enumerate(self.commands):
            at_us = max(at_us, time_us) + 1
            if pages:
                wire_us = max(wire_us, at_us) + 4 * pages
                jobs[number] = [wire_us, 8 * pages]
                there.append(wire_us)
            else:
                there.append(at_us)
        done = [0] * len(self.commands)
        now = 0
        while jobs:
            ready = [number for number in jobs if jobs[number][0] <= now]
            now += 1
            if ready:
                first = min(ready, key=lambda number: self._rank(number, now - 1))
                jobs[first][1] -= 1
                if not jobs[first][1]:
                    del jobs[first]
                    done[first] = now
        return list(zip(there, done, strict=True))

    def _rank(self, number: int, now_us: int) -> tuple[int, int, int]:
        if self.commands[number][2] == "fua":
            return 0, number, number
        for later, (time_us, pages, _) in enumerate(self.commands):
            if later > number and not pages and time_us <= now_us:
                return 0, later, number
        return 1, 0, number


commands = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 3), st.sampled_from(["write", "fua", "flush"])),
    min_size=1,
    max_size=12,
).map(lambda each: sorted((at, 0 if kind == "flush" else pages, kind) for at, pages, kind in each))


def answers(write: SsdWrite, asked: list[tuple[int, int, str]], plain: bool = False) -> list[int]:
    """Return when each command is answered; plain: FUA is not asked for."""
    run = Writes(DRIVE, write)
    for number, (time_us, pages, kind) in enumerate(asked):
        begin = fua if kind == "fua" and not plain else Writes.at
        begin(run, time_us * US, 0, 8 * pages, str(number))
    end = {int(token): time for time, token in run.run()}
    return [end[number] for number in range(len(asked))]


@given(asked=commands, flush_us=st.sampled_from([0, 3, 100]))
@settings(deadline=None)
def test_an_ssd_is_as_a_naive_one(asked: list[tuple[int, int, str]], flush_us: int) -> None:
    """Whatever is asked for when: each answer is that of a flash that is worked out step by step."""
    naive = NaiveFlash()
    naive.commands = asked
    there = naive.ends()
    expected, unflushed = [], False
    for number, (_, _, kind) in enumerate(asked):
        at, done = there[number]
        if kind == "write":
            expected.append(at + 5)
            unflushed = True
        elif kind == "fua":
            expected.append(max(at + 5, done + flush_us))
        else:
            waits = max((done for _, done in there[:number]), default=0)
            expected.append(max(at, waits) + flush_us if unflushed else at)
            unflushed = False
    write = replace(ROOMY, flush_ns=flush_us * US)
    assert [at * US for at in expected] == answers(write, asked)


@given(
    asked=commands,
    cache=st.sampled_from([4096, 3 * 4096, 1 << 20]),
    flush_us=st.sampled_from([0, 100]),
    behind=st.sampled_from([{}, SLOWER]),
)
@settings(deadline=None)
def test_fua_is_never_quicker_and_slows_no_write_without(
    asked: list[tuple[int, int, str]], cache: int, flush_us: int, behind: dict[str, int]
) -> None:
    """The same commands with and without: a write with FUA comes no sooner, others at the same time."""
    write = replace(SSD_WRITE, cache_bytes=cache, flush_ns=flush_us * US, **behind)
    with_fua, without = (answers(write, asked, plain) for plain in (False, True))
    for (_, _, kind), end, plain_end in zip(asked, with_fua, without, strict=True):
        if kind == "fua":
            assert end >= plain_end
        elif kind == "write":
            assert end == plain_end


@given(asked=commands)
@settings(deadline=None, max_examples=60)
def test_a_disk_with_fua_is_never_quicker(hdd: Any, asked: list[tuple[int, int, str]]) -> None:
    """The same on a disk, where a write with FUA comes when it is on the disc."""
    ends = []
    for write in (Writes.at, fua):
        run = Writes(hdd, FUA_DISK)
        for number, (time_us, pages, kind) in enumerate(asked):
            (write if kind == "fua" else Writes.at)(run, time_us * US, 16 * number, 8 * pages, str(number))
        ends.append({token: time for time, token in run.run()})
    through = {str(n) for n, (_, _, kind) in enumerate(asked) if kind == "fua"}
    plain, with_fua = ends
    assert all(with_fua[token] >= plain[token] for token in through)
    assert all(with_fua[token] >= 125 * US * 8 for token in through)


class Watched(WritableHardware):
    """An SSD whose commands are noted: `asked` has (sector, when, pages, kind) of each."""

    def __init__(self, clock: Clock) -> None:
        profile = replace(load_device_profile("nvme"), model=DRIVE, write=ROOMY)
        self.clock = clock
        self.ssd = make_device(clock, profile)
        self.asked: list[tuple[int, int, int, str]] = []

    def submit(self, *_command: object) -> None:
        """Nothing is read here."""
        raise AssertionError

    def write(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """Note and write."""
        self.asked.append((sector, self.clock.now, sectors // 8, "write"))
        self.ssd.write(sector, sectors, token, done)

    def write_fua(self, sector: int, sectors: int, token: object, done: Callable[[object], None]) -> None:
        """Note and write."""
        self.asked.append((sector, self.clock.now, sectors // 8, "fua"))
        self.ssd.write_fua(sector, sectors, token, done)

    def flush(self, token: object, done: Callable[[object], None]) -> None:
        """Note and flush."""
        self.asked.append((0, self.clock.now, 0, "flush"))
        self.ssd.flush(token, done)


bios = st.lists(
    st.tuples(st.integers(0, 400), st.sampled_from([WS, WS | REQ_FUA, COMMIT, WS | REQ_PREFLUSH])),
    min_size=1,
    max_size=10,
)


@given(asked=bios, has_fua=st.booleans())
@settings(deadline=None)
def test_what_a_power_cut_may_not_take_is_on_the_flash(asked: list[tuple[int, int]], has_fua: bool) -> None:
    """
    The times of devices and the rules of power cuts (sim.machine.crash) agree: at every moment whatever is
    safe by FUA or flush has been on the flash, as a naive one counts.
    """
    setup = Setup(Watched, fua=has_fua, queue_depth=64)
    log = [WrittenBio(4096 * n, bytes(4096), opf, at * US) for n, (at, opf) in enumerate(asked)]

    def submit(number: int) -> None:
        setup.submit(8 * number, 8, asked[number][1])
        setup.queue.finish_plug(setup.task, setup.plug)

    for number, (at, _) in enumerate(asked):
        setup.clock.call_after(at * US, lambda number=number: submit(number))
    setup.finish()
    for time_ns, sector, _ in setup.end_io.log:
        log[sector // 8].ended_ns = time_ns
    watched: Any = setup.device
    naive = NaiveFlash()
    naive.commands = [(at // US, pages, kind) for _, at, pages, kind in watched.asked]
    on_flash_us = {
        sector * 512: done
        for (sector, *_), (_, done) in zip(watched.asked, naive.ends(), strict=True)
        if done
    }
    log.sort(key=lambda bio: bio.submitted_ns)
    for moment in boundaries(log):
        safe = [at for at, _ in CutLog(log, moment, True).written(NOTHING, np.random.default_rng(0))]
        assert [at for at in safe if on_flash_us[at] * US > moment] == []
