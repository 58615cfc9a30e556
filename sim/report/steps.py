"""
Steps in a series of values: where its level changes for good, and by how much.

The series is cut into stretches, each at its median, so that the sum of all distances (of logarithms) from
the medians and of a price a cut is least. The price is that of a change by the threshold; of a noisy series
it is higher, so that its noise makes no cuts. What comes and goes within less than the price is no step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, log
from statistics import median, median_low

_NOISE = 3.0
"""A cut must be worth so many times the usual distance from one value to the next."""


@dataclass(frozen=True, slots=True)
class Step:
    """The level changes at value number `at`, from `before` to `after`; ratio: after over before."""

    at: int
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """How many times the level before it is after."""
        return self.after / self.before


def steps(values: Sequence[float], threshold: float) -> list[Step]:
    """
    Return the steps of a series of values above 0; threshold: a smaller ratio than this is none.

    Of two values nothing is known of their noise: it is taken for none.
    """
    logs = [log(value) for value in values]
    changes = [abs(b - a) for a, b in pairwise(logs)]
    usual = median_low(changes) if len(changes) > 1 else 0.0
    cuts = _cuts(logs, max(log(threshold), _NOISE * usual))
    levels = [exp(median(logs[a:b])) for a, b in zip([0, *cuts], [*cuts, len(logs)], strict=True)]
    found = [Step(at, before, after) for at, before, after in zip(cuts, levels, levels[1:], strict=False)]
    return [step for step in found if max(step.ratio, 1 / step.ratio) > threshold]


def _cuts(logs: Sequence[float], price: float) -> list[int]:
    """Return where the cheapest cutting cuts; the first of several."""
    best = [(-price, 0)]  # cost of the first values, where their last stretch begins
    for end in range(1, len(logs) + 1):
        options = [(best[begin][0] + price + _spread(logs[begin:end]), begin) for begin in range(end)]
        best.append(min(options, key=lambda option: (option[0] - 1e-12 * (option[1] == 0), option[1])))
    cuts = []
    at = len(logs)
    while at:
        at = best[at][1]
        cuts.append(at)
    return sorted(cuts)[1:]


def _spread(logs: Sequence[float]) -> float:
    middle = median(logs)
    return sum(abs(value - middle) for value in logs)
