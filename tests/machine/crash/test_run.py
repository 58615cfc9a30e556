"""The power cuts that an experiment asks for: when, how many states, and what they come to."""

from __future__ import annotations

from pathlib import Path

import pytest
from crash_cells import Played, cell_text, played

from sim.block.opf import REQ_OP_WRITE
from sim.block.write_log import WrittenBio
from sim.config.cell_result import METRICS
from sim.config.crash import Crash
from sim.errors import ConfigError
from sim.machine.crash import run as crash_run_module
from sim.machine.crash.judge import Judge, Verdict, Verdicts
from sim.machine.crash.run import crash_metrics, crash_run, moments


def log_at(*times: tuple[int, int]) -> list[WrittenBio]:
    """Return bios by (submitted, ended)."""
    log = []
    for submitted, ended in times:
        bio = WrittenBio(0, b"", REQ_OP_WRITE, submitted)
        bio.ended_ns = ended
        log.append(bio)
    return log


LOG = log_at((0, 10), (5, 20), (30, 40), (50, 60))


def test_behind_every_bio() -> None:
    """All boundaries, if there are no more than asked for; those behind the end are of write_out()."""
    assert moments(Crash(at="bios", points=8), LOG, 100, 1) == [0, 5, 10, 20, 30, 40, 50, 60]
    assert moments(Crash(at="bios", points=8), LOG, 45, 1) == [0, 5, 10, 20, 30, 40]


def test_evenly_spread() -> None:
    """The first, the last, and as many between as are asked for."""
    assert moments(Crash(at="bios", points=3), LOG, 100, 1) == [0, 20, 60]
    assert moments(Crash(at="bios", points=1), LOG, 100, 1) == [0]


def test_at_random() -> None:
    """So many, in order, the same for the same seed, none behind the last bio or the end."""
    asked = Crash(at="random", points=200)
    found = moments(asked, LOG, 100, 1)
    assert len(found) == 200
    assert found == sorted(found) == moments(asked, LOG, 100, 1)
    assert (min(found), max(found)) == (0, 60)
    assert moments(asked, LOG, 100, 2) != found
    assert max(moments(asked, LOG, 45, 1)) <= 45


def test_at_a_time() -> None:
    """That one; behind the end of the run it is refused."""
    assert moments(Crash(at="100ns"), LOG, 100, 1) == [100]
    with pytest.raises(ConfigError, match=r"crash.at: 101 ns, but the run ends at 100 ns; allowed: a time"):
        moments(Crash(at="101ns"), LOG, 100, 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """A run of two jobs in data=ordered."""
    return played(cell_text(), tmp_path_factory.mktemp("run"))


def test_states_of_a_moment(run: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing, all, and some at random; one where nothing is open. Each has the time of its moment."""
    asked: list[tuple[int, int]] = []

    def judge(_self: Judge, written: list[tuple[int, bytes]], at_ns: int) -> Verdict:
        asked.append((at_ns, sum(len(data) for _, data in written)))
        return Verdict()

    monkeypatch.setattr(Judge, "judge", judge)
    monkeypatch.setattr(crash_run_module, "find_program", lambda _: None)
    first, last = run.mounted.log[0], run.end_ns
    verdicts = crash_run(
        Crash(at=first.submitted_ns, states=5), run.mounted, run.files, last, run.volatile, 1
    )
    assert verdicts.states == 5
    assert {at for at, _ in asked} == {first.submitted_ns}
    sizes = [size for _, size in asked]
    assert sizes[0] == 0
    assert sizes[1] == max(sizes) >= len(first.data)
    asked.clear()
    verdicts = crash_run(Crash(at=0, states=5), run.mounted, run.files, last, run.volatile, 1)
    assert (verdicts.states, asked) == (1, [(0, 0)])


def test_without_e2fsck(run: Played, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its counts are -1: that nobody asked is no verdict."""
    monkeypatch.setattr(crash_run_module, "find_program", lambda _: None)
    asked = Crash(at="bios", points=2, states=1)
    verdicts = crash_run(asked, run.mounted, run.files, run.end_ns, run.volatile, 1)
    assert (verdicts.states, verdicts.e2fsck, verdicts.differs) == (2, -1, -1)


def test_metrics() -> None:
    """Counts by name, sectors as bytes; all of them are known metrics of a cell."""
    verdicts = Verdicts(9, 8, 7, 6, 5, 4, 3, 2, {}, alarming=1, at_rest=10, most_alarms=11)
    found = crash_metrics(verdicts)
    assert found == {
        "crash_states": 9,
        "crash_unsound": 8,
        "crash_e2fsck_finds": 7,
        "crash_replays_differ": 6,
        "crash_losing": 5,
        "crash_stale": 4,
        "crash_lost_bytes": 1536,
        "crash_stale_bytes": 1024,
    }
    alarms = {"crash_false_alarms": 1, "crash_alarms_at_rest": 10, "crash_false_alarm_blocks": 11}
    assert crash_metrics(verdicts, True) == found | alarms
    assert crash_metrics(verdicts, True).keys() <= METRICS.keys()


def test_a_cell_has_them(tmp_path: Path) -> None:
    """A run with [crash] judges its states; nobarrier breaks what ordered keeps."""
    kept = played(cell_text(), tmp_path, judged=True).result.metrics
    assert kept["crash_states"] == 16
    assert [kept[name] for name in ("crash_unsound", "crash_losing", "crash_stale")] == [0, 0, 0]
    crash = '[crash]\nat = "bios"\npoints = 12\nstates = 1\n'
    broken = played(cell_text(mount="barrier = false", crash=crash), tmp_path, judged=True).result.metrics
    assert broken["crash_losing"] > 0
