"""Jobs are played at the times they ask for: pauses, rates, ends, and what waits for what."""

from __future__ import annotations

from typing import Any

import pytest

from sim.block.hardware import Hardware
from sim.block.queue.limits import QueueLimits
from sim.engine.clock import Clock
from sim.engine.costs import load_costs
from sim.ext4.format.extents import Extent, normalise, plan_tree
from sim.fs.fs_inode import FsInode
from sim.machine.machine import Machine, MachineSpec
from sim.workload.fio.file_service import stretches
from sim.workload.fio.job import Job
from sim.workload.fio.parse import jobs_from_tables
from sim.workload.player import Played, _begin_pass, play

FILE_SIZE = 64 << 10
LATENCY_NS = 50_000
MS = 1_000_000


class _FixedLatency(Hardware):
    """A device that answers every command after the same time."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.sectors_read = 0

    def submit(self, sector: int, sectors: int, token: object, done: Any) -> None:
        """Answer."""
        del sector
        self.sectors_read += sectors
        self.clock.call(LATENCY_NS, done, token)


class _Stage:
    """A machine with a contiguous file of 64 KiB; every player has a core of its own."""

    def __init__(self) -> None:
        spec = MachineSpec(
            path="page_io",
            block_size=4096,
            limits=QueueLimits(1280, 128, 64),
            costs=load_costs("linux-6.1-epyc"),
        )
        self.machine = Machine(spec, self._device)
        tree = plan_tree(normalise([Extent(0, 1000, FILE_SIZE // 4096, False)]), 4096).tree(())
        self.inode = FsInode(tree, FILE_SIZE, 4096, False)
        self.inode.map.status.fill()
        self.mapping = self.machine.mapping(self.inode)
        self.players = 0

    def _device(self, clock: Clock) -> _FixedLatency:
        self.device = _FixedLatency(clock)
        return self.device

    def start(self, after: Any = None, **options: object) -> tuple[Played, Any]:
        """Start a job given by fio options; return what it will have done, and its end."""
        job: Job = jobs_from_tables([options], "test")[0]
        task = self.machine.cpu.task(self.players, job.name)
        self.players += 1
        played = Played()
        clock = self.machine.clock
        reads = stretches(job, [FILE_SIZE], 0, 0)
        file = self.machine.open(self.mapping, self.inode, random=job.rw == "randread")
        end = clock.process(play(clock, self.machine.filemap, task, (file,), reads, job, played, after))
        return played, end

    def play(self, **options: object) -> Played:
        """Play one job to its end."""
        played, _ = self.start(**options)
        self.machine.clock.run()
        self.machine.check_quiet(self.mapping)
        return played


def test_a_plain_job_reads_its_file_once():
    """Without pauses the time of a job is that of its reads."""
    played = _Stage().play(bs="16k")
    assert FILE_SIZE == played.bytes_read
    assert len(played.latencies_ns) == 4
    assert played.ended_ns - played.started_ns == sum(played.latencies_ns)


def test_rate_is_the_bytes_a_second():
    """Read n starts at n * bs / rate, so 16 reads of 4 KiB at 400 KiB/s take 15 times 10 ms and one read."""
    played = _Stage().play(bs="4k", rate="400k")
    assert 15 * 10 * MS + played.latencies_ns[-1] == played.ended_ns
    assert max(played.latencies_ns) < MS


def test_a_rate_out_of_reach_changes_nothing():
    """A job that is slower than its rate is as fast as one without."""
    assert _Stage().play(bs="4k").ended_ns == _Stage().play(bs="4k", rate="1g").ended_ns


def test_a_job_catches_up_with_its_rate():
    """
    After a long pause reads follow one another until the rate is reached again (fio: 0, 40, 80, 120, 320,
    320, 320, 320, 520 ms for four reads at 100 KiB/s between pauses of 200 ms).
    """
    played = _Stage().play(bs="4k", size="36k", rate="100k", thinktime="200ms", thinktime_blocks=4)
    assert len(played.latencies_ns) == 9
    assert 520 * MS < played.ended_ns < 522 * MS


def test_thinktime_pauses_after_as_many_reads_as_asked():
    """16 reads with a pause of 1 ms after each fourth last 4 ms longer; a single read is no slower."""
    plain, paused = _Stage().play(bs="4k"), _Stage().play(bs="4k", thinktime="1ms", thinktime_blocks=4)
    # Time to think is time in which readahead arrives: never more than the pauses are added.
    assert 4 * MS < paused.ended_ns <= plain.ended_ns + 4 * MS
    assert sum(paused.latencies_ns) <= sum(plain.latencies_ns)
    assert paused.ended_ns - sum(paused.latencies_ns) == 4 * MS


def test_runtime_ends_a_job_and_finishes_its_read():
    """No read starts after the runtime; the one under way is completed."""
    runtime_ns = 120_000
    played = _Stage().play(rw="randread", bs="4k", runtime="120us")
    *before, last = played.latencies_ns
    assert sum(before) < runtime_ns <= sum(before) + last == played.ended_ns
    assert 4096 * len(played.latencies_ns) == played.bytes_read < FILE_SIZE


def test_runtime_cuts_a_wait_short_and_no_thinking():
    """
    A job that waits for its rate ends with its runtime; one that thinks does so to the end (fio, asked for
    1.5 s with pauses of 600 ms, runs 1.8 s).
    """
    assert 5 * MS == _Stage().play(bs="4k", runtime="5ms", rate="1m").ended_ns
    thinking = _Stage().play(bs="4k", runtime="5ms", thinktime="3ms")
    assert 2 * 3 * MS + sum(thinking.latencies_ns) == thinking.ended_ns
    assert len(thinking.latencies_ns) == 2


def test_time_based_reads_until_the_runtime():
    """A time_based job starts over and over; a job that is only limited ends with its file."""
    timed = _Stage().play(bs="16k", runtime="20ms", time_based=True)
    assert 20 * MS <= timed.ended_ns < 21 * MS
    assert timed.bytes_read > 3 * FILE_SIZE
    assert FILE_SIZE == _Stage().play(bs="16k", runtime="20ms").bytes_read


@pytest.mark.parametrize(
    ("options", "from_device"),
    [
        ({"loops": 3}, 3 * FILE_SIZE),
        ({"loops": 3, "invalidate": 0}, FILE_SIZE),
        ({"io_size": "128k"}, 2 * FILE_SIZE),
        ({"rw": "randread", "loops": 2}, 2 * FILE_SIZE),
        ({"rw": "randread", "loops": 2, "bssplit": "4k/50:8k/50"}, 2 * FILE_SIZE),
    ],
)
def test_every_pass_is_cold_unless_told_otherwise(options, from_device):
    """fio drops the file's pages before each pass (seen with strace), so each comes from the device."""
    stage = _Stage()
    stage.play(**{"bs": "4k", **options})
    assert from_device == stage.device.sectors_read * 512


def test_passes_of_loops_are_alike_and_those_in_time_go_on():
    """
    A file is opened anew for each loop, with fresh readahead: each read costs what it did in the first (but
    for a ns of rounding). A time_based job keeps its file open (seen with strace).
    """
    stage = _Stage()
    played = stage.play(bs="4k", loops=3)
    first, second, third = (played.latencies_ns[at : at + 16] for at in (0, 16, 32))
    for once, again, last in zip(first, second, third, strict=True):
        assert max(once, again, last) - min(once, again, last) <= 1
    file = stage.machine.open(stage.mapping, stage.inode, random=False)
    state, file.position = file.ra, 4096
    _begin_pass(stage.machine.filemap, (file,), Job(name="a", time_based=True))
    assert (state, 4096) == (file.ra, file.position)
    _begin_pass(stage.machine.filemap, (file,), Job(name="a"))
    assert file.ra is not state
    assert file.position == -1


def test_reads_with_replacement_are_one_pass():
    """With norandommap nothing is dropped, as in fio: what was read once stays cached."""
    stage = _Stage()
    played = stage.play(rw="randread", norandommap=True, loops=8, bs="4k")
    assert 8 * FILE_SIZE == played.bytes_read
    assert stage.device.sectors_read * 512 <= FILE_SIZE


def test_startdelay_comes_before_the_start():
    """A delayed job starts when it is told to, cold; the delay is no part of its time."""
    played = _Stage().play(bs="16k", startdelay="3ms")
    assert 3 * MS == played.started_ns
    assert played.ended_ns - played.started_ns == sum(played.latencies_ns)


def test_a_job_waits_for_those_before_it():
    """A job given an event starts when it happens, and drops what was cached until then."""
    stage = _Stage()
    first, end = stage.start(bs="4k", startdelay="1ms")
    second, _ = stage.start(after=stage.machine.clock.all_of((end,)), bs="4k")
    stage.machine.clock.run()
    assert first.ended_ns == second.started_ns
    assert 2 * FILE_SIZE == stage.device.sectors_read * 512
    assert first.latencies_ns == second.latencies_ns
