"""Shares in ns: shown where the draws of the machine agree, else in instructions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fabricated import fabricated_cell, no_image

from sim.experiment.loading import load_experiment
from sim.experiment.results import Run
from sim.experiment.runner import execute
from sim.report.known import is_narrow, share_intervals
from sim.report.table import Column, Table
from sim.report.tables import difference, groups_of

TEXT = """\
title = "t"
[device]
profile = "nvme"
[volume]
block_size = "1KiB"
files = [{ name = "data", size = "1MiB" }]
[workload]
job = { bs = "128k" }
[matrix]
path = ["buffer_head", "page_io"]
"machine.profile" = ["linux-6.1-epyc-7001", "linux-6.1-epyc", "linux-3.16-2014"]
"""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run of the fabricated core on three machines, the last without draws."""
    (tmp_path / "e.toml").write_text(TEXT)
    experiment = load_experiment(tmp_path / "e.toml")
    return execute(experiment, tmp_path / "out", fabricated_cell, no_image, draw=lambda *_run, **_each: None)


def test_intervals_are_of_shares_draw_by_draw() -> None:
    """Two symbols whose sum is the same in all draws: neither is known, their group is."""
    up, down = np.linspace(10, 30, 41), np.linspace(30, 10, 41)
    a, b, c = ("a", "one"), ("b", "one"), ("c", "two")
    symbols, groups = share_intervals({a: up, b: down, c: np.full(41, 60.0)}, {}, {a: 20.0, b: 20.0, c: 60.0})
    assert symbols[a] == pytest.approx((11, 29))
    assert groups == {"one": pytest.approx((40, 40)), "two": pytest.approx((60, 60))}
    assert (False, True) == (is_narrow(symbols[a]), is_narrow(groups["one"]))


def test_what_has_no_draws_is_not_known_nor_is_its_group() -> None:
    """It stands in the whole with what it takes; the other group's share is known."""
    a, b = ("a", "one"), ("b", "two")
    symbols, groups = share_intervals({a: None, b: np.full(41, 30.0)}, {a: np.zeros(1)}, {a: 10.0, b: 30.0})
    assert symbols == {b: pytest.approx((75, 75))}
    assert groups == {"two": pytest.approx((75, 75))}


@pytest.mark.parametrize(
    ("interval", "narrow"),
    [(None, False), ((34.0, 46.0), True), ((33.9, 46.1), False), ((0.5, 2.5), True), ((0.4, 2.6), False)],
)
def test_the_rule(interval: tuple[float, float] | None, narrow: bool) -> None:
    """At most 15 % of the middle either way, or one percentage point."""
    assert narrow == is_narrow(interval)


def test_a_difference_on_one_machine_has_shares_and_on_several_or_without_draws_none(run: Run) -> None:
    """All of the difference is mapping; what is not known in ns is told in instructions."""
    sides = {"path": "buffer_head"}, {"path": "page_io"}
    one = difference(run, {"machine.profile": "linux-6.1-epyc"}, *sides)
    assert (100, pytest.approx((100, 100))) == (one.rows[0]["share"], one.rows[0]["interval"])
    assert groups_of(one, "ns") == ["mapping +198.4 (100%, 100 to 100 %)"]
    for where in ({}, {"machine.profile": "linux-3.16-2014"}):
        other = difference(run, where, *sides)
        assert other.rows[0]["share"] is None
        assert groups_of(other, "ns") == ["mapping not known in ns, 100 % in instructions"]
    counted = difference(run, {}, *sides, "instructions")
    assert groups_of(counted, "instructions") == ["mapping +1,984.4 (100%)"]


def test_a_wide_share_is_told_as_its_interval() -> None:
    """Half as wide as its middle: no figure of ns, the interval and the share of instructions."""
    rows = tuple(
        {"group": group, "more": more, "share_instructions": counted, "group_interval": interval}
        for group, more, counted, interval in (
            ("bio", 350.0, 24.0, (31.0, 46.0)),
            ("buffer heads", 250.0, 41.0, (37.0, 42.0)),
        )
    )
    table = Table((Column("group", "group"),), rows)
    assert groups_of(table, "ns") == [
        "bio 31 to 46 % (24 % in instructions)",
        "buffer heads +250.0 (42%, 37 to 42 %)",
    ]
