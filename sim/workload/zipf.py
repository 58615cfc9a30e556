"""
Zipf's law on a finite range: rank k = 1 ... n has probability proportional to k ** -theta.

Drawn by rejection-inversion (W. Hörmann, G. Derflinger, "Rejection-inversion to generate variates from
monotone discrete distributions", ACM TOMACS 6(3), 1996): exact, without a table, for every theta but 1, which
fio refuses too. fio itself uses the approximation of J. Gray et al. (SIGMOD 1994), in which all ranks but the
first two are a little off.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_DRAW = 1 << 14  # ranks drawn at a time


def zipf_ranks(theta: float, count: int, rng: np.random.Generator) -> Iterator[int]:
    """
    Yield ranks 0 <= rank < count without end; rank r has a probability proportional to (r + 1) ** -theta.

    theta: >= 0 and not 1; 0 is uniform.
    """
    power = 1.0 - theta

    def area(x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Integrate t ** -theta from 1 to x."""
        return np.expm1(power * np.log(x)) / power

    # Above k, between k - 1/2 and k + 1/2, lies at least the area k ** -theta, as the function is convex: a
    # point falls there in proportion to the area, and is kept if it is in the last k ** -theta of it.
    low, high = area(np.array([1.5, count + 0.5]))
    low -= 1.0
    while True:
        at = low + (high - low) * rng.random(_DRAW)
        nearest = np.exp(np.log1p(power * at) / power) + 0.5
        rank = np.clip(np.floor(nearest), 1, count)
        kept = at >= area(rank + 0.5) - rank**-theta
        yield from (rank[kept].astype(np.int64) - 1).tolist()
