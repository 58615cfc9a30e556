"""
fio's histogram of latencies: which bin a value falls in, what a bin's value is, and percentiles of bins.

As fio 3.33 has it (FIO_IO_U_PLAT_BITS = 6, 29 groups): below 128 every ns has its bin; above, a power of two
has 64, so that a bin's value is within 1/128 of what fell into it. Above 2^34 ns all is one bin.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_BITS = 6
_PER_GROUP = 1 << _BITS
BINS = 29 * _PER_GROUP

PERCENTILES = (1, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 99.5, 99.9, 99.95, 99.99)
"""fio's default list."""


def bin_of(ns: int) -> int:
    """Return the number of the bin of a latency."""
    bits = ns.bit_length() - 1
    if bits <= _BITS:
        return ns
    lost = bits - _BITS
    return min(((lost + 1) << _BITS) + ((ns >> lost) & (_PER_GROUP - 1)), BINS - 1)


def value_of(number: int) -> int:
    """Return the value, in ns, that a bin stands for: its middle."""
    if number < _PER_GROUP << 1:
        return number
    lost = (number >> _BITS) - 1
    return (1 << (lost + _BITS)) + int((number % _PER_GROUP + 0.5) * (1 << lost))


def histogram(latencies: NDArray[np.int64]) -> dict[int, int]:
    """Return bin -> how many, in order, without empty ones."""
    values, counts = np.unique(latencies, return_counts=True)
    found: dict[int, int] = {}
    for ns, count in zip(values.tolist(), counts.tolist(), strict=True):
        number = bin_of(ns)
        found[number] = found.get(number, 0) + count
    return found


def percentiles(bins: dict[int, int], wanted: Sequence[float] = PERCENTILES) -> dict[float, int]:
    """Return percentile -> value of the first bin that brings the count to it; nothing of no values."""
    total, seen, left = sum(bins.values()), 0, list(wanted)
    found: dict[float, int] = {}
    for number, count in bins.items():
        seen += count
        while left and seen >= left[0] / 100 * total:
            found[left.pop(0)] = value_of(number)
    return found
