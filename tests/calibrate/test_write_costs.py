"""What writing costs: the committed profile is the fit of the recordings, and how well it predicts others."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.calibrate.constants import SELF
from sim.calibrate.fit import predict
from sim.calibrate.judge import Predicted, verdicts
from sim.calibrate.stretches import Stretch, Window, complete, fit_stretches, own
from sim.calibrate.write_costs import (
    WriteRecords,
    fit_writes,
    known_of_reads,
    load_write_records,
    of_a_profile,
)
from sim.calibrate.write_judge import judge_writes, noise_of_writes
from sim.calibrate.write_profile import fitted_write_profile, group_of
from sim.calibrate.write_stretches import PAGES, RIG
from sim.engine.costs import DEFAULT_MACHINE, WRITES, load_costs
from sim.engine.pace import MILLI

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "results" / "kernel" / "linux-6.1.192"
PROFILE = ROOT / "sim" / "profiles" / "machines" / f"{WRITES}.toml"
BOTH_RECORDINGS = 0.02
"""A phase in two boots: a timer, or four pages that a slab takes, are up to 3 % of the shortest."""


@pytest.fixture(scope="module")
def records() -> WriteRecords:
    """Return the records of writes, simulated once."""
    return load_write_records(RECORDED)


@pytest.fixture(scope="module")
def judged(records: WriteRecords) -> list[Predicted]:
    """Return all predictions of left-out kinds."""
    return judge_writes(records)


def test_the_profile_is_the_fit(records: WriteRecords) -> None:
    """What is committed is what the recordings give, to the byte."""
    assert PROFILE.read_text(encoding="utf-8") == fitted_write_profile(records)


def test_a_profile_prices_what_the_fit_predicts(records: WriteRecords) -> None:
    """Each phase costs as much by the machine's profile and the rig's quantities as by the fit."""
    known = known_of_reads()
    values = known | fit_writes(records.windows, known)
    costs = load_costs(DEFAULT_MACHINE)
    for phase in records.phases:
        priced = sum(
            count
            * (
                values[c]
                if c in RIG
                else (costs[c[0]].self_mi if c[1] == SELF else costs[c[0]].unit_mi) / MILLI
            )
            for c, count in phase.features.items()
        )
        assert predict(phase.features, values) == pytest.approx(priced, rel=0.002), (phase.case, phase.name)


def test_two_recordings_agree(records: WriteRecords) -> None:
    """The sum over symbols is what the phase took in another boot, to a percent in nine of ten."""
    whole = {f"{phase.case} {phase.name}": phase.taken for phase in records.phases}
    away = sorted(abs(window.total / whole[window.name] - 1) for window in records.windows)
    assert away[len(away) * 9 // 10] < BOTH_RECORDINGS / 2
    assert 0.07 > away[-1]


def test_kinds_that_are_left_out(judged: list[Predicted]) -> None:
    """Writes are within the bars of reads; fsync(2) is at them, and no path is in the wrong order."""
    found = {verdict.name: verdict for verdict in verdicts(judged)}
    write, sync = found["write(2), 6.1"], found["fsync(2), 6.1"]
    assert write.held
    assert (0.012, 0.035) > (sync.median, sync.p95)
    assert sync.wrong == ()
    assert {"nothing: no other kind does this"} >= {
        one.left_out for one in judged if "block" not in one.left_out
    }


def test_the_noise_of_the_recordings(records: WriteRecords) -> None:
    """Two rounds of the same work: a few of fsync(2) are 3 % apart, which no fit can meet."""
    noise = noise_of_writes(records.phases)
    assert noise["write(2)"] < (0.003, 0.01)
    assert 0.03 < noise["fsync(2)"][1] < 0.035


def test_what_is_the_rigs_is_in_no_profile(records: WriteRecords) -> None:
    """null_blk's memory is fitted, and left out of what a profile has."""
    known = known_of_reads()
    values = fit_writes(records.windows, known)
    assert 4096 < values[PAGES] < 6000  # a page cleared, and its place in a tree
    assert not RIG.keys() & of_a_profile(values, known).keys()


def test_a_loop_s_turn_is_the_callee_s() -> None:
    """A function called in a loop of another: known parts come off, the rest is shared out."""
    windows = [
        Window(
            str(n),
            {},
            {("f", SELF): 1.0, ("g", SELF): float(n), ("k", SELF): 2.0},
            {"f": 100 + 30.0 * n, "g": 5.0 * n, "k": 14.0},
        )
        for n in (1, 10, 50)
    ]
    known = {("k", SELF): 7.0}
    stretches = complete([Stretch(("f",), own("f", "g"))], windows, known)
    found = fit_stretches(windows, stretches, known)
    assert found == {("f", SELF): pytest.approx(100, abs=0.1), ("g", SELF): pytest.approx(35, abs=0.1)}


@pytest.mark.parametrize(
    ("symbol", "group"),
    [
        ("ext4_mb_new_blocks", "mapping"),
        ("fscrypt_encrypt_pagecache_blocks", "decrypt"),
        ("ext4_end_bio", "bio"),
        ("mark_buffer_dirty", "buffer heads"),
        ("__folio_mark_dirty", "page cache"),
        ("jbd2__journal_start", "other"),
        ("copy_page_from_iter_atomic", "copy"),
    ],
)
def test_groups_of_the_figures(symbol: str, group: str) -> None:
    """A symbol's group goes by its name."""
    assert group == group_of(symbol)
