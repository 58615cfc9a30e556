"""Intervals over seeds: their coverage on planted data, and what they say about a margin."""

from __future__ import annotations

from math import inf, sqrt

import numpy as np
import pytest

from sim.claims.intervals import CONFIDENCE, Interval, interval, judge

TRIALS = 1000


def _normal(rng: np.random.Generator, n: int) -> np.ndarray:
    return 1.3 + 0.05 * rng.standard_normal(n)


def _skewed(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.exp(0.2 * rng.standard_normal(n))


@pytest.mark.parametrize(
    ("planted", "truth", "seeds"),
    [(_normal, 1.3, 5), (_normal, 1.3, 20), (_skewed, np.exp(0.02), 5), (_skewed, np.exp(0.02), 20)],
)
def test_the_interval_covers_the_truth_as_often_as_it_says(planted, truth, seeds):
    """95 % of planted samples have the true mean in their interval, within 3 binomial errors."""
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(TRIALS):
        over_seeds = interval(planted(rng, seeds))
        hits += over_seeds.low <= truth <= over_seeds.high
    error = sqrt(CONFIDENCE * (1 - CONFIDENCE) / TRIALS)
    assert abs(hits / TRIALS - CONFIDENCE) < 3 * error


def test_identical_values_give_a_point():
    """No spread over seeds: both ends are the value; so they are with a single seed."""
    assert interval([1.25] * 5) == Interval(1.25, 1.25, 1.25)
    assert interval([1.25]) == Interval(1.25, 1.25, 1.25)


def test_few_seeds_that_differ_bound_nothing():
    """Two or three different values say nothing at 95 %: a resample is flat too often."""
    for values in ([1.0, 1.1], [1.0, 1.1, 1.2]):
        assert (interval(values).low, interval(values).high) == (-inf, inf)


def test_equal_values_give_an_equal_interval():
    """Resampling is seeded: the same values twice give the same ends to the last digit."""
    values = [1.0, 1.1, 1.3, 1.2, 1.15]
    assert interval(values) == interval(values)
    assert interval(values).low < 1.15 < interval(values).high


SPREAD = [1.2, 1.3, 1.4, 1.25, 1.35]


@pytest.mark.parametrize(
    ("kind", "margin", "values", "verdict"),
    [
        ("at least", 1.0, SPREAD, "held"),
        ("at least", 1.3, SPREAD, "cannot tell"),
        ("at least", 1.9, SPREAD, "failed"),
        ("at least", 1.3, [1.3], "held"),
        ("at least", 1.3, [1.2999], "failed"),
        ("at most", 1.9, SPREAD, "held"),
        ("at most", 1.3, SPREAD, "cannot tell"),
        ("at most", 1.0, SPREAD, "failed"),
        ("equivalent", 0.02, [1.01, 1.012, 1.009, 1.011], "held"),
        ("equivalent", 0.02, [0.9], "failed"),
        ("equivalent", 0.3, SPREAD, "cannot tell"),
        ("equal", 1, [1.0, 1.0], "held"),
        ("equal", 1, [1.0, 1.000001], "failed"),
    ],
)
def test_a_margin_is_decided_by_the_whole_interval(kind, margin, values, verdict):
    """Held or failed when the interval lies on one side of the margin; otherwise it cannot be told."""
    assert judge(kind, margin, values)[0] == verdict
