"""What reads cost on later kernels: the committed files are the fit of the recordings."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from sim.calibrate.constants import SELF
from sim.calibrate.judge import Verdict, verdicts
from sim.calibrate.version_costs import (
    FRESH,
    LARGE,
    VersionRecords,
    costs_of_61,
    differing,
    fit_version,
    fitted_kernel,
    is_version,
    load_version_records,
)
from sim.calibrate.version_judge import judge_version, noise_of_version, with_costs_of_61
from sim.engine.costs import DEFAULT_MACHINE, CostTable, load_costs
from sim.engine.pace import MILLI
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


@pytest.mark.parametrize(("kernel", "better"), [("6.12", 5), ("7.3", 8)])
def test_kinds_that_are_left_out(kernel: str, better: float) -> None:
    """Within the bars of 6.1, no path in the wrong order, and so many times as near as by 6.1's costs."""
    verdict = judged(kernel)
    (before,) = verdicts(with_costs_of_61(records(kernel)))
    assert verdict.held
    assert verdict.p95 < before.p95 / better


def test_large_folios_have_no_prior() -> None:
    """What is assumed for 6.1 from these recordings tells the fit nothing: no case with them, no constant."""
    there = records("7.3")
    small = [window for window in there.windows if not window.features.get(("xas_store", "slot"))]
    assert not {constant for constant in fit_version(there, small) if constant[0] in LARGE}
    whole = fit_version(there, there.windows)
    assert {constant[0] for constant in whole} >= LARGE
    assert costs_of_61()["xas_store", "slot"] == round(whole["xas_store", "slot"])


def test_heads_that_the_slab_has_left() -> None:
    """A case takes slab pages for the heads beyond those of 12 pages; what such a page costs is 6.1's."""
    there = records("6.12")
    made = {case.name: features for case, features in there.cases}
    name = "icount_bs4096/bs4096/buffer/sparse/rand4k/warm/small"
    heads, pages = made[name]["alloc_buffer_head", SELF], 512
    assert round(made[name]["alloc_buffer_head", "fresh"] * pages) == round(heads * pages) - 12 * 39 == 57
    assert fit_version(there, there.windows)[FRESH] == costs_of_61()[FRESH]


@pytest.mark.parametrize(("kernel", "median", "p95"), [("6.12", 0.005, 0.01), ("7.3", 0.006, 0.015)])
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
