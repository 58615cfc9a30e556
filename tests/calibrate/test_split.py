"""The split of times by symbol: what is known before the fit, and how far it is known after it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from sim.calibrate.draws import DRAWS, Drawn, draw_costs
from sim.calibrate.features import attach_features, read_features
from sim.calibrate.fit import PRIOR_WIDTH, Fitted, fit_costs, loop_paces, predict, quickest_pace
from sim.calibrate.loops import BYTE_CONSTANTS, REP_BYTES, loop_features
from sim.calibrate.records import CostRecords, load_records
from sim.report.known import load_draws

DATA = Path(__file__).parents[2] / "results" / "kernel" / "linux-6.1.192"
TIMES = ("native-ns.jsonl", "uml-ns.jsonl")


@cache
def _fit(times: str) -> tuple[CostRecords, Fitted, Drawn]:
    found = load_records(DATA, DATA / times)
    attach_features(found.whole, read_features(DATA / "features.jsonl"), DATA / "layouts")
    fitted = fit_costs(found)
    return found, fitted, draw_costs(found, fitted)


@pytest.mark.parametrize("times", TIMES)
def test_no_constant_is_quicker_than_the_quickest_hot_loop(times: str) -> None:
    """Not one of the fitted goes at fewer ns an instruction, and those that move bytes are left out."""
    records, fitted, _ = _fit(times)
    floor = quickest_pace(records, fitted.instructions)
    plain = fitted.sigma.keys() - BYTE_CONSTANTS - REP_BYTES.keys()
    assert len(plain) > 80
    slack = 1 - 1e-9
    assert [] == [c for c in plain if fitted.ns[c] < floor * fitted.instructions.get(c, 0.0) * slack]
    assert min(loop_paces(records, fitted.instructions).values()) == floor


@pytest.mark.parametrize(("times", "apart"), [("native-ns.jsonl", 0.23), ("uml-ns.jsonl", 0.14)])
def test_the_width_of_the_prior_is_how_far_hot_loops_lie_from_the_pace(times: str, apart: float) -> None:
    """Root mean square of the log of a primitive's pace over the pace of all: not above the prior's width."""
    records, fitted, _ = _fit(times)
    paces = loop_paces(records, fitted.instructions)
    of: dict[tuple[str, int], list[float]] = {}
    for loop in records.times.loops:
        if loop.name in paces:
            of.setdefault((loop.what, loop.arg), []).append(paces[loop.name])
    away = np.log([np.mean(values) / fitted.pace for values in of.values()])
    assert apart == round(float(np.sqrt(np.mean(away**2))), 2) <= PRIOR_WIDTH


def test_a_file_without_a_tree_is_known_after_its_first_look_up() -> None:
    """Its loop of cold look-ups takes what the warm one takes, and is not one of walks."""
    loops = {loop.name: loop for loop in _fit("native-ns.jsonl")[0].times.loops}
    for layout, walks in (("unwritten", False), ("contig", False), ("frag64", True)):
        cold, warm = (loops[f"ram/4096/{layout}/own/get_block 0/{status}"] for status in ("es_cold", "warm"))
        assert (cold.ns > 2 * warm.ns) == walks
        assert bool(loop_features(cold)) == walks


@pytest.mark.parametrize(("times", "within"), [("native-ns.jsonl", 0.15), ("uml-ns.jsonl", 0.3)])
def test_what_symbols_cost_together_is_known_better_than_what_each_does(times: str, within: float) -> None:
    """Buffer heads less the extent path, 4 KiB: the interval of the whole is narrow, of a symbol twice it."""
    records, _, drawn = _fit(times)
    whole, alloc = np.zeros(DRAWS), np.array(drawn["bio_alloc_bioset", "self"])
    for path, sign in (("buffer", 1), ("ext4", -1)):
        (case,) = (
            c
            for c in records.times.cases
            if (c.path, c.layout, c.block_size, c.access, c.status, c.device)
            == (path, "contig", 4096, "seq128k", "warm", "ram")
        )
        draws = [{c: values[k] for c, values in drawn.items()} for k in range(DRAWS)]
        whole += sign * np.array([predict(case.features, one) for one in draws])
    assert _width(whole) < within
    assert _width(alloc) > 2 * _width(whole)


def _width(values: np.ndarray) -> float:
    """Width of the interval of 90 % of the draws, relative to its middle."""
    low, high = np.percentile(values, [5, 95])
    return float(2 * (high - low) / (high + low))


def test_the_draws_are_of_the_profile() -> None:
    """Beside the default profile: as many of each constant as were drawn; one of assumptions has none."""
    draws = load_draws("linux-6.1-epyc-7001")
    assert {DRAWS} == {len(values) for values in draws.values()}
    assert draws["alloc_buffer_head", "self"] == pytest.approx(
        _fit("native-ns.jsonl")[2]["alloc_buffer_head", "self"], rel=0.01
    )
    assert load_draws("linux-3.16-2014") == {}
