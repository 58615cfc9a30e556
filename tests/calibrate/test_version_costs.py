"""What reads cost on later kernels: the committed files are the fit of the recordings."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from sim.calibrate.constants import SELF
from sim.calibrate.judge import Verdict, verdicts
from sim.calibrate.version_costs import (
    VersionRecords,
    costs_of_61,
    differing,
    fitted_kernel,
    is_version,
    load_version_records,
)
from sim.calibrate.version_judge import judge_version, noise_of_version, with_costs_of_61
from sim.engine.costs import DEFAULT_MACHINE, MILLI, CostTable, load_costs
from sim.kernels import KERNELS
from sim.records.kernel_case import run_case

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "results" / "kernel"
PROFILES = ROOT / "sim" / "profiles" / "kernels"
LATER = {"6.12": "6.12.107", "7.3": "7.3.4"}
"""Kernel -> the version that was recorded."""


@cache
def records(kernel: str) -> VersionRecords:
    """Return the records of a kernel, simulated once."""
    return load_version_records(RECORDED / f"linux-{LATER[kernel]}")


@cache
def judged(kernel: str) -> Verdict:
    """Return the verdict on left-out kinds."""
    (verdict,) = verdicts(judge_version(records(kernel)))
    return verdict


@pytest.mark.parametrize("kernel", LATER)
def test_the_file_is_the_fit(kernel: str) -> None:
    """What is committed is what the recordings give, to the byte; and the kernel takes it."""
    assert KERNELS[kernel].measured == f"linux-{kernel}"
    text = (PROFILES / f"{KERNELS[kernel].measured}.toml").read_text(encoding="utf-8")
    assert text == fitted_kernel(records(kernel))


def test_kinds_that_are_left_out_of_6_12() -> None:
    """6.12: within the bars of 6.1, and no path in the wrong order."""
    assert judged("6.12").held


def test_kinds_that_are_left_out_of_7_3() -> None:
    """7.3: the median within the bar, the 95th percentile a third of what 6.1's costs give."""
    verdict = judged("7.3")
    (before,) = verdicts(with_costs_of_61(records("7.3")))
    assert verdict.median < 0.01
    assert verdict.p95 < before.p95 / 3 < 0.05
    assert verdict.wrong == ()


@pytest.mark.parametrize(("kernel", "median", "p95"), [("6.12", 0.005, 0.01), ("7.3", 0.012, 0.045)])
def test_a_run_costs_what_was_recorded(kernel: str, median: float, p95: float) -> None:
    """The machine's profile on that kernel, with nothing of the judge's: what a user's run reports."""
    away = []
    for case, _ in records(kernel).cases:
        machine = run_case(case, load_costs(DEFAULT_MACHINE), device="ram+copy")
        priced = sum(row.mi for row in machine.ledger.rows()) / MILLI
        away.append(abs(priced / case.record["t_median"] - 1))
    assert np.median(away) < median
    assert np.percentile(away, 95) < p95


@pytest.mark.parametrize("kernel", LATER)
def test_runs_of_a_case_repeat(kernel: str) -> None:
    """Three runs of a case: what no fit can be closer than."""
    median, p95 = noise_of_version(records(kernel))
    assert median < 0.001
    assert p95 < 0.004


def test_what_is_as_on_6_1_is_left_out() -> None:
    """A hundredth more, or an instruction, is the same; a byte's cost has no such instruction."""
    first = costs_of_61()
    call, byte = ("ext4_map_blocks", SELF), ("folio_zero_range", "byte")
    assert differing({call: first[call] * 1.01, byte: first[byte] * 1.01}) == {}
    assert differing({call: first[call] + 1, byte: first[byte] / 2}) == {byte: first[byte] / 2}


def test_ns_are_in_proportion() -> None:
    """On 7.3 a symbol's ns are 6.1's by its instructions; what copies keeps its ns; no pace, no change."""
    first = load_costs(DEFAULT_MACHINE)
    then = first.measured_on("linux-7.3")
    before, after = first["submit_bio_noacct"], then["submit_bio_noacct"]
    assert before.self_mi > after.self_mi
    assert after.self_ps == pytest.approx(before.self_ps * after.self_mi / before.self_mi, abs=1)
    assert then["memcpy_page"].unit_mi > first["memcpy_page"].unit_mi
    assert then["memcpy_page"].unit_ps == first["memcpy_page"].unit_ps
    assert first.measured_on("") is first
    bare = CostTable("bare", dict(first.costs))
    assert bare.measured_on("linux-7.3") is bare


def test_which_folders_are_of_later_kernels() -> None:
    """6.1's has recordings of reads from which all constants come, and is none."""
    assert {path.name: is_version(path) for path in RECORDED.glob("linux-*")} == {
        "linux-6.1.192": False,
        "linux-6.12.107": True,
        "linux-7.3.4": True,
    }
