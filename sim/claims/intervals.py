"""
The statistics of claims: an interval over seeds, and what it says about a margin.

The unit of replication is the run (one seed), never the I/O. Both sides of a ratio ran on the same seeds, so
the ratio is taken seed by seed and the interval is one over those ratios.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Verdict = Literal["held", "failed", "cannot tell", "stale", "definition", "refuted"]
"""definition: held, but it cannot fail. refuted: it was claimed, and fails as it is marked to."""
AS_SAID: tuple[Verdict, ...] = ("held", "definition", "refuted")
"""Verdicts of a claim that is as its file says."""
Kind = Literal["at least", "at most", "equal", "equivalent"]

CONFIDENCE = 0.95
RESAMPLES = 2000
_SEED = 2014
_SAME = 1e-12
"""Relative difference below which the values of a resample count as identical (rounding of the mean)."""
_LEAST_STUDENT = 4
"""Values from which infinite ends of the bootstrap say that values are equal, not that they are few."""
_STUDENT = (
    3.182,
    2.776,
    2.571,
    2.447,
    2.365,
    2.306,
    2.262,
    2.228,
    2.201,
    2.179,
    2.16,
    2.145,
    2.131,
    2.12,
    2.11,
    2.101,
    2.093,
)
"""97.5 % points of Student's t at 3 degrees of freedom and up; beyond the last it is taken, a little wide."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The mean over seeds, and the ends of its 95 % interval; all in the unit of the values."""

    mean: float
    low: float
    high: float


def interval(values: Sequence[float]) -> Interval:
    """
    Return the mean of `values` (one per seed) and its bootstrap-t interval of 95 %.

    Identical values give a point, and so does a single one: it says nothing about spread, and a claim on a
    random workload asks for more (`Claim.seeds`). The studentized bootstrap (Efron and Tibshirani, An
    Introduction to the Bootstrap, 1993, 12.5) keeps its coverage at the 4 to 20 seeds used here, where the
    percentile one is too narrow: among n values a resample of n equal ones has probability n^(1-n), so below
    4 seeds the ends are infinite, as they should be. From 4 on they are only if many values are the same
    (eight runs in ten without one event that the others have): then Student's t (1908) gives both ends.
    Resampling is seeded: equal values, equal interval.
    """
    data = np.asarray(values, dtype=np.float64)
    count, mean = len(data), float(data.mean())
    if np.all(data == data[0]):
        return Interval(float(data[0]), float(data[0]), float(data[0]))
    error = float(data.std(ddof=1)) / count**0.5
    drawn = data[np.random.default_rng(_SEED).integers(0, count, (RESAMPLES, count))]
    shift = drawn.mean(axis=1) - mean
    spread = drawn.std(axis=1, ddof=1) / count**0.5
    flat = spread <= _SAME * np.abs(data).max()
    studentized = np.where(flat, np.copysign(np.inf, shift), shift / np.where(flat, 1.0, spread))
    studentized.sort()
    tail = int(RESAMPLES * (1 - CONFIDENCE) / 2)
    most, least = float(studentized[RESAMPLES - 1 - tail]), float(studentized[tail])
    if count >= _LEAST_STUDENT and not (np.isfinite(most) and np.isfinite(least)):
        most = _STUDENT[min(count - _LEAST_STUDENT, len(_STUDENT) - 1)]
        least = -most
    return Interval(mean, mean - most * error, mean - least * error)


def judge(kind: Kind, margin: float, values: Sequence[float]) -> tuple[Verdict, Interval]:
    """
    Return whether values over seeds keep to a margin: held, failed, or cannot tell; and their interval.

    at least / at most: decided when the whole interval lies on one side of `margin`; a point on the margin
    keeps it. equivalent: the value is 1 to within `margin`; held when the whole interval is inside, failed
    when it is wholly outside. equal: every value is exactly `margin`.
    """
    over_seeds = interval(values)
    low, high = over_seeds.low, over_seeds.high
    if kind == "equal":
        held = all(value == margin for value in values)
        failed = not held
    elif kind == "at least":
        held, failed = low >= margin, high < margin
    elif kind == "at most":
        held, failed = high <= margin, low > margin
    else:
        held = 1 - margin <= low and high <= 1 + margin
        failed = high < 1 - margin or low > 1 + margin
    return "held" if held else "failed" if failed else "cannot tell", over_seeds
