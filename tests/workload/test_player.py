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
from sim.machine.machine import Machine
from sim.machine.spec import MachineSpec
from sim.workload.fio.file_service import stretches
from sim.workload.fio.job import Job
from sim.workload.fio.parse import jobs_from_tables
from sim.workload.player import Played, Stop, _begin_pass, play

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

    def start(
        self, after: Any = None, stop: Stop | None = None, gaps_ns: Any = None, **options: object
    ) -> tuple[Played, Any]:
        """Start a job given by fio options; return what it will have done, and its end."""
        job: Job = jobs_from_tables([options], "test")[0]
        task = self.machine.cpu.task(self.players, job.name)
        self.players += 1
        played = Played()
        clock = self.machine.clock
        reads = stretches(job, [FILE_SIZE], 0, 0)
        file = self.machine.open(self.mapping, self.inode, random=job.rw == "randread")
        player = play(clock, self.machine.filemap, task, (file,), reads, job, played, after, stop, gaps_ns)
        end = clock.process(player)
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
    A file is opened anew for each loop, with fresh readahead: each read costs what it did in the first, but
    for a ns of rounding in each stretch of CPU time: before the wait, the interrupt, behind it. A time_based
    job keeps its file open (seen with strace).
    """
    stage = _Stage()
    played = stage.play(bs="4k", loops=3)
    first, second, third = (played.latencies_ns[at : at + 16] for at in (0, 16, 32))
    for once, again, last in zip(first, second, third, strict=True):
        assert max(once, again, last) - min(once, again, last) <= 3
    file = stage.machine.open(stage.mapping, stage.inode, random=False)
    state, file.position = file.ra, 4096
    task = stage.machine.cpu.task(0, "again")
    list(_begin_pass(stage.machine.filemap, (file,), Job(name="a", time_based=True), task, Played(), None))
    assert (state, 4096) == (file.ra, file.position)
    list(_begin_pass(stage.machine.filemap, (file,), Job(name="a"), task, Played(), None))
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


def test_rate_iops_is_a_rate_of_the_smallest_reads():
    """Read n starts at n / iops: 16 reads at 100 a second take 15 times 10 ms and one read."""
    played = _Stage().play(bs="4k", rate_iops=100)
    assert 15 * 10 * MS + played.latencies_ns[-1] == played.ended_ns


def test_gaps_take_the_place_of_a_steady_rate():
    """With gaps given, each read starts that long after the one before was due."""
    stage = _Stage()
    gaps = [1 * MS, 5 * MS, 2 * MS, *[MS] * 100]
    played, _ = stage.start(gaps_ns=iter(gaps), bs="16k", rate_iops=1000, rate_process="poisson")
    played.log = []
    stage.machine.clock.run()
    assert [0, 1 * MS, 6 * MS, 8 * MS] == [start for _, _, _, start in played.log]


def test_gaps_go_on_behind_a_pause_that_the_rate_ignores():
    """A pause puts off all reads behind it where the rate ignores it; else they catch up."""
    starts = []
    for ignore in (0, 1):
        stage = _Stage()
        options = {"thinktime": "10ms", "thinktime_blocks": 2, "rate_ignore_thinktime": ignore}
        played, _ = stage.start(gaps_ns=iter([MS] * 99), bs="16k", rate_iops=1000, **options)
        played.log = []
        stage.machine.clock.run()
        starts.append([start // MS for _, _, _, start in played.log])
    assert [[0, 1, 11, 11], [0, 1, 12, 13]] == starts


def test_a_rate_that_ignores_thinktime_does_not_catch_up():
    """
    Where the rate ignores pauses a job reads on at its rate behind each, in about as much longer a time.
    """
    options = {"bs": "4k", "rate": "1m", "thinktime": "20ms", "thinktime_blocks": 4}
    catching = _Stage().play(**options)
    ignoring = _Stage().play(**options, rate_ignore_thinktime=1)
    # 16 reads at 1 MiB/s take 59 ms, three pauses between them 60 ms, and one behind them 20 ms.
    assert catching.ended_ns < 92 * MS
    assert 130 * MS < ignoring.ended_ns <= (59 + 80 + 1) * MS


def test_the_ramp_is_left_out_and_the_runtime_begins_behind_it():
    """The first read that ends after ramp_time is the first that counts, and starts the runtime."""
    played = _Stage().play(rw="randread", bs="4k", time_based=True, runtime="3ms", ramp_time="1ms")
    ends = []
    now = played.started_ns
    for latency in played.latencies_ns:
        now += latency
        ends.append(now)
    assert ends[played.ramp_reads - 1] < MS <= ends[played.ramp_reads] == played.measured_from_ns
    assert 4096 * played.ramp_reads == played.ramp_bytes
    assert played.measured_from_ns + 3 * MS <= played.ended_ns < played.measured_from_ns + 3 * MS + MS


def test_the_rate_begins_anew_behind_the_ramp():
    """What a job was behind its rate in the ramp is forgotten: the next read is one gap behind its end."""
    stage = _Stage()
    options = {"rate": "1m", "thinktime": "20ms", "thinktime_blocks": 4, "ramp_time": "15ms"}
    played, _ = stage.start(bs="4k", rw="randread", **options)
    played.log = []
    stage.machine.clock.run()
    starts = [start for _, _, _, start in played.log]
    assert starts[4] < played.measured_from_ns  # the read that ends the ramp, behind a pause
    assert played.measured_from_ns + 4096 * 1_000_000_000 // (1 << 20) <= starts[5] < starts[4] + 5 * MS


def test_a_job_that_ends_in_its_ramp_has_nothing_to_show():
    """All its reads were in the ramp."""
    played = _Stage().play(bs="16k", ramp_time=10)
    assert (4, FILE_SIZE) == (played.ramp_reads, played.ramp_bytes)
    assert played.ended_ns == played.measured_from_ns


def test_a_stop_ends_a_job_after_its_read():
    """A job that is asked to stop finishes the read under way; one that was asked before reads nothing."""
    stage, stop = _Stage(), Stop()
    played, _ = stage.start(stop=stop, bs="4k", rw="randread", time_based=True, runtime=1)
    stage.machine.clock.call(MS, lambda _none: setattr(stop, "asked", True), None)
    late, _ = stage.start(stop=stop, bs="4k", startdelay="2ms")
    stage.machine.clock.run()
    assert MS <= played.ended_ns < MS + 2 * LATENCY_NS
    assert [] == late.latencies_ns
    assert 2 * MS == late.started_ns == late.ended_ns


def test_files_of_a_job_take_turns():
    """Two files are read by turns, each with readahead of its own; the log says which, where and when."""
    stage = _Stage()
    tree = plan_tree(normalise([Extent(0, 2000, 4, False)]), 4096).tree(())
    other = FsInode(tree, 16 << 10, 4096, False)
    other.map.status.fill()
    mapping = stage.machine.mapping(other)
    files = (stage.machine.open(stage.mapping, stage.inode), stage.machine.open(mapping, other))
    job = jobs_from_tables([{"bs": "8k", "filename": "a:b"}], "test")[0]
    played = Played(log=[])
    task = stage.machine.cpu.task(0, "a")
    parts = stretches(job, [FILE_SIZE, 16 << 10], 0, 0)
    stage.machine.clock.process(
        play(stage.machine.clock, stage.machine.filemap, task, files, parts, job, played)
    )
    stage.machine.clock.run()
    stage.machine.check_quiet(stage.mapping, mapping)
    assert [0, 1, 0, 1, 0, 0] == [file for file, _, _, _ in played.log or ()][:6]
    assert FILE_SIZE + (16 << 10) == played.bytes_read == stage.device.sectors_read * 512
    starts = [start for _, _, _, start in played.log or ()]
    assert starts == sorted(starts)
