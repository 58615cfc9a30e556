"""Experiments beside the recordings that their machine was fitted to: a run uses what the judge judges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sim.calibrate.features import attach_features, read_features
from sim.calibrate.fit import predict
from sim.calibrate.judge import BARS
from sim.calibrate.measured import Features, Measured
from sim.calibrate.records import CostRecords, load_records
from sim.calibrate.runs import covering, run_cases
from sim.engine.costs import DEFAULT_MACHINE, PS_PER_NS, load_costs

DATA = Path(__file__).parents[2] / "results" / "kernel" / "linux-6.1.192"
ROUNDING = 0.002
"""Relative: a profile has its constants to four digits, a run its charges in whole ns."""


@pytest.fixture(scope="module")
def records() -> CostRecords:
    """The recordings, with their features."""
    found = load_records(DATA)
    attach_features(found.times.cases, read_features(DATA / "features.jsonl"), DATA / "layouts")
    return found


def _some(cases: list[Measured]) -> list[Measured]:
    """Return cases with every device, path and layout together, block sizes in turn."""
    sizes = sorted({case.block_size for case in cases})
    layouts = sorted({case.layout for case in cases})
    return [
        case for case in covering(cases) if case.block_size == sizes[layouts.index(case.layout) % len(sizes)]
    ]


def _predicted(features: Features) -> float:
    """Return what the shipped profile says that features cost, in ns."""
    costs = load_costs(DEFAULT_MACHINE)
    values = {}
    for symbol, what in features:
        cost = costs[symbol]
        values[symbol, what] = (cost.self_ps if what == "self" else cost.unit_ps) / PS_PER_NS
    return predict(features, values)


def test_a_run_is_as_near_to_the_recording_as_the_judge(records: CostRecords) -> None:
    """Every device, path and layout through the public interface: the judge's bars and numbers."""
    ran = list(run_cases(_some(records.times.cases), "ns", DATA / "layouts"))
    assert {"ram", "ram+copy", "null_blk"} == {one.case.device for one in ran}
    assert {"buffer", "mpage", "ext4"} == {one.case.path for one in ran}
    assert 12 == len({one.case.layout for one in ran})
    assert 3 == len({one.case.block_size for one in ran})
    for device in ("ram", "ram+copy", "null_blk"):
        of = [one for one in ran if one.case.device == device]
        errors = np.abs([one.error for one in of])
        median, p95 = BARS["ns"]
        assert np.median(errors) <= median
        assert np.percentile(errors, 95) <= p95
        for one in of:
            assert one.predicted == pytest.approx(_predicted(one.case.features), rel=ROUNDING), one.case.name


def test_the_same_in_instructions(records: CostRecords) -> None:
    """Instructions of runs on the RAM disk: the judge's bars."""
    errors = np.abs(
        [one.error for one in run_cases(covering(records.instructions), "instructions", DATA / "layouts")]
    )
    assert len(errors) == 24
    median, p95 = BARS["instructions"]
    assert np.median(errors) <= median
    assert np.percentile(errors, 95) <= p95
