"""
The judge: costs against records that they were not fitted to.

Each layout is left out once, and each block size: all constants are fitted to the others, and the left-out
cases predicted; of the cases through drivers, those of one path. Predictions are per 4 KiB read. Two paths
are in the right order if the one the kernel takes longer for, by more than ORDER_MARGIN, costs more here too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from sim.calibrate.fit import Fitted, Keep, fit_costs, fit_instructions, predict
from sim.calibrate.measured import Measured
from sim.calibrate.records import CostRecords

ORDER_MARGIN = 0.05
BARS: dict[str, tuple[float, float]] = {"instructions": (0.01, 0.03), "ns": (0.05, 0.15)}
"""By currency: the largest median and 95th percentile of the error on left-out cases."""

UNSEEN_PATH = "mpage"
"""Of the cases through drivers, those that are predicted."""


@dataclass(frozen=True, slots=True)
class Predicted:
    """
    One case, measured and predicted per 4 KiB: by a fit without it (`left_out` says with what), or by a run.
    """

    case: Measured
    currency: str
    left_out: str
    measured: float
    predicted: float

    @property
    def error(self) -> float:
        """Signed, relative to what was measured."""
        return self.predicted / self.measured - 1


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    One set of left-out cases: the errors' median and 95th percentile, and whether they are within the bars.

    orders, wrong: pairs of paths the kernel separates, and those of them in the wrong order, by name.
    """

    name: str
    currency: str
    predicted: tuple[Predicted, ...]
    median: float
    p95: float
    orders: int
    wrong: tuple[str, ...]

    @property
    def within(self) -> bool:
        """Whether both bars are held."""
        median, p95 = BARS[self.currency]
        return self.median <= median and self.p95 <= p95

    @property
    def held(self) -> bool:
        """Whether both bars and the order of the paths are held."""
        return self.within and not self.wrong


def folds(records: CostRecords) -> Iterator[tuple[str, Keep, Callable[[Measured], bool]]]:
    """Yield (what is left out, whether a record is fitted to, whether a case is judged)."""
    cases = [*records.instructions, *records.symbols, *records.times.cases]
    for layout in sorted({case.layout for case in cases}):
        yield (
            f"layout {layout}",
            lambda _size, name, layout=layout: name != layout,  # type: ignore[misc]
            lambda case, layout=layout: case.layout == layout,  # type: ignore[misc]
        )
    for size in sorted({case.block_size for case in cases}):
        yield (
            f"block size {size}",
            lambda other, _name, size=size: other != size,  # type: ignore[misc]
            lambda case, size=size: case.block_size == size,  # type: ignore[misc]
        )


def judge(records: CostRecords) -> list[Predicted]:
    """
    Return the predictions of all cases, each left out with its layout and with its block size.

    Those of `held_out` are predicted once, by the fit to everything else, and `stacked`, whose symbols around
    the ciphers alone are fitted to.
    """
    everything = fit_costs(records).instructions
    predicted = [
        Predicted(case, "instructions", "", case.value, predict(case.features, everything))
        for case in (*records.held_out, *records.stacked)
    ]
    for name, keep, judged in folds(records):
        predicted += predict_all(records, fit_costs(records, keep), name, judged)
    return predicted + _drivers(records)


def _drivers(records: CostRecords) -> list[Predicted]:
    """
    Return the predictions of what drivers take on one path, by a fit to the others.

    Leaving out a layout or a block size would leave out all requests of many pages, or of many bios.
    """
    known = replace(records, driven=[case for case in records.driven if case.path != UNSEEN_PATH])
    values = fit_instructions(known)
    return [
        Predicted(case, "instructions", f"path {UNSEEN_PATH}", case.value, predict(case.features, values))
        for case in records.driven
        if case.fitted and case.path == UNSEEN_PATH
    ]


def predict_all(
    records: CostRecords, fitted: Fitted, name: str, judged: Callable[[Measured], bool]
) -> list[Predicted]:
    """Return the predictions of the judged cases by one fit."""
    counted = [*records.instructions, *_plain(records.symbols)]
    return [
        Predicted(case, currency, name, case.value, predict(case.features, values))
        for currency, cases, values in (
            ("instructions", counted, fitted.instructions),
            ("ns", records.times.cases, fitted.ns),
        )
        for case in cases
        if judged(case)
    ]


def ns_noise(records: CostRecords) -> tuple[float, float]:
    """
    Return median and 95th percentile of how far ns records of the same work lie from their median, relative.

    The same work: reading without I/O (nop) with one access pattern, whatever the layout, block size and RAM
    device, for none of them is looked at. No model can be expected to predict closer than that.
    """
    away: list[float] = []
    for access in sorted({case.access for case in records.times.cases}):
        same = [
            c.value
            for c in records.times.cases
            if c.path == "nop" and c.access == access and c.device != "null_blk"
        ]
        middle = float(np.median(same))
        away += [abs(value / middle - 1) for value in same]
    return float(np.median(away)), float(np.percentile(away, 95))


def _plain(cases: list[Measured]) -> list[Measured]:
    """Return the cases of reading without encryption from the RAM device: no task sleeps in them."""
    return [case for case in cases if case.device.startswith("ram") and not case.record.get("encryption")]


def verdicts(predicted: list[Predicted]) -> list[Verdict]:
    """Return one verdict per currency and device, in the order of the predictions."""
    sets: dict[tuple[str, str], list[Predicted]] = {}
    for one in predicted:
        sets.setdefault((one.currency, one.case.device), []).append(one)
    return [_verdict(device, currency, tuple(cases)) for (currency, device), cases in sets.items()]


def _verdict(device: str, currency: str, cases: tuple[Predicted, ...]) -> Verdict:
    errors = np.abs([one.error for one in cases])
    orders, wrong = _orders(cases)
    return Verdict(
        device, currency, cases, float(np.median(errors)), float(np.percentile(errors, 95)), orders, wrong
    )


def _separated(low: Predicted, high: Predicted) -> bool:
    """
    Return whether the kernel separates two paths: what was measured differs by the margin, and in every boot
    the medians do (some pairs of ns records change places from boot to boot).
    """
    if high.measured <= low.measured * (1 + ORDER_MARGIN):
        return False
    boots = zip(low.case.boots, high.case.boots, strict=False)
    return all(above > below * (1 + ORDER_MARGIN) for below, above in boots)


def _orders(cases: tuple[Predicted, ...]) -> tuple[int, tuple[str, ...]]:
    """Return how many pairs of paths the kernel separates, and the names of those in the wrong order."""
    groups: dict[tuple[str, ...], list[Predicted]] = {}
    for one in cases:
        groups.setdefault((one.left_out, *one.case.work), []).append(one)
    orders, wrong = 0, []
    for of, group in groups.items():
        for a, b in combinations(group, 2):
            low, high = sorted((a, b), key=lambda one: one.measured)
            if a.case.path != b.case.path and _separated(low, high):
                orders += 1
                if high.predicted <= low.predicted:
                    wrong.append(f"{high.case.path} over {low.case.path}: {'/'.join(of)}")
    return orders, tuple(wrong)
