"""What an elevator leaves out of a comparison: all that it decides, and no more."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sim.engine.costs import load_costs
from sim.records.counters import BY_TIME, UNMERGED
from sim.records.kernel_case import Case, load_cases
from sim.records.kernel_compare import Outcome, validate
from sim.records.left_out import ELEVATOR

RECORDED = Path(__file__).parents[2] / "results" / "kernel"
APART = "plain_bs4096/bs4096/ext4/frag1/seq128k/warm/deadline"
BESIDE = "matrix_bs4096/bs4096/ext4/contig/seq128k/warm/deadline"
FILES = {APART: "linux-7.3.4/matrix.jsonl", BESIDE: "linux-6.1.192/matrix.jsonl"}


@pytest.fixture(scope="module")
def cases() -> dict[str, Case]:
    """The two cases behind mq-deadline."""
    found = {}
    for name, file in FILES.items():
        layouts = (RECORDED / file).parent / "layouts"
        found[name] = next(case for case in load_cases(RECORDED / file, layouts) if case.name == name)
    return found


def judged(case: Case, **blk: int) -> Outcome:
    """Return the outcome of a case, its block events changed."""
    record: dict[str, Any] = deepcopy(case.record)
    record["blk"] |= blk
    (outcome,) = validate([replace(case, record=record)], load_costs("linux-6.1-epyc"), workers=1)
    return outcome


def test_blocks_apart_are_a_request_each(cases: dict[str, Case]) -> None:
    """One-block extents: requests and merges are compared; when lists go down is left to time."""
    left = {name for name, why in judged(cases[APART]).left_out if why == ELEVATOR}
    assert {"plug", "unplug", "__blk_flush_plug", "dd_insert_requests"} == left == {*BY_TIME} - {*UNMERGED}
    assert {*BY_TIME} == {name for name, why in judged(cases[BESIDE]).left_out if why == ELEVATOR}


def test_a_request_too_few_is_seen(cases: dict[str, Case]) -> None:
    """Where none can merge; where bios lie side by side the elevator may have merged two."""
    for name, told in ((APART, ["rq_insert"]), (BESIDE, [])):
        fewer = cases[name].record["blk"]["rq_insert"] - 1
        assert told == [one.counter for one in judged(cases[name], rq_insert=fewer).differences]


def test_lists_are_counted_twice(cases: dict[str, Case]) -> None:
    """A list that goes to the elevator is an unplug and a dd_insert_requests(): else the record is wrong."""
    more = cases[APART].record["blk"]["unplug"] + 1
    told = [one.counter for one in judged(cases[APART], unplug=more).differences]
    assert ["dd_insert_requests against its tracepoint unplug"] == told
