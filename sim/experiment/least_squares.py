"""
Least squares with non-negative unknowns and a prior: the fit of costs.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_ROUNDS = 4000
_TOLERANCE = 1e-9


def fit(matrix: Array, values: Array, sigma: Array, prior: Array, width: Array) -> Array:
    """
    Return the x >= 0 that minimises the weighted misfit to `values` and to the prior.

    Minimises sum(((matrix @ x - values) / sigma)^2) + sum(((x - prior) / width)^2), by coordinate descent on
    the normal equations; with a positive width everywhere there is one minimum. Constants that the rows do
    not tell apart thus share what they have in common in proportion to their widths.
    """
    rows = matrix / sigma[:, None]
    normal = rows.T @ rows + np.diag(width**-2.0)
    right = rows.T @ (values / sigma) + prior * width**-2.0
    x = prior.copy()
    diagonal = np.diag(normal)
    for _ in range(_ROUNDS):
        largest = 0.0
        for j in range(len(x)):
            new = max(x[j] + (right[j] - normal[j] @ x) / diagonal[j], 0.0)
            largest = max(largest, abs(new - x[j]) / (width[j] + 1e-12))
            x[j] = new
        if largest < _TOLERANCE:
            break
    return x
