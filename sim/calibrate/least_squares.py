"""
Least squares with non-negative unknowns and a prior: the fit of costs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.errors import InvariantError

Array = NDArray[np.float64]

_ROUNDS = 1000


def fit(matrix: Array, values: Array, sigma: Array, prior: Array, width: Array) -> Array:
    """
    Return the x >= 0 that minimises the weighted misfit to `values` and to the prior.

    Minimises sum(((matrix @ x - values) / sigma)^2) + sum(((x - prior) / width)^2); with a positive width
    everywhere there is one minimum. Constants that the rows do not tell apart thus share what they have in
    common in proportion to their widths. Active sets (Lawson and Hanson, Solving Least Squares Problems,
    1974, chapter 23), on unknowns in units of their width.
    """
    rows = np.vstack([matrix * width / sigma[:, None], np.eye(len(prior))])
    right = np.concatenate([values / sigma, prior / width])
    normal, target = rows.T @ rows, rows.T @ right
    x = np.zeros(len(prior))
    free = np.zeros(len(prior), dtype=bool)
    for _ in range(_ROUNDS):
        slope = target - normal @ x
        wanted = np.where(free, -np.inf, slope)
        if wanted.max(initial=-np.inf) <= 1e-9 * np.abs(target).max():
            return x * width
        free |= wanted >= 0.5 * wanted.max()
        x = _within(normal, target, x, free)
    raise InvariantError("least squares did not settle")


def standard_errors(matrix: Array, sigma: Array, width: Array) -> Array:
    """Return the standard errors of fit()'s unknowns, as if none were held at zero."""
    rows = np.vstack([matrix * width / sigma[:, None], np.eye(len(width))])
    errors: Array = np.sqrt(np.diag(np.linalg.inv(rows.T @ rows))) * width
    return errors


def _within(normal: Array, target: Array, x: Array, free: NDArray[np.bool_]) -> Array:
    """Return the minimum over the free unknowns; those that would become negative are set to zero."""
    while True:
        at = np.flatnonzero(free)
        best = np.linalg.solve(normal[np.ix_(at, at)], target[at])
        if (best > 0).all():
            x = np.zeros(len(x))
            x[at] = best
            return x
        low = best <= 0
        steps = x[at][low] / np.maximum(x[at][low] - best[low], 1e-300)
        x = x.copy()
        x[at] += steps.min() * (best - x[at])
        gone = at[low][steps <= steps.min() * (1 + 1e-9)]
        x[gone] = 0.0
        free[gone] = False
