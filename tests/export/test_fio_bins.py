"""fio's histogram of latencies: its bins, their values, percentiles."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sim.export.fio_bins import BINS, bin_of, histogram, percentiles, value_of


@given(st.integers(0, 1 << 34))
def test_a_bin_is_as_near_as_fio_says(ns):
    """Below 128 ns a value is its own bin; above, what the bin stands for is within 1/128 of it."""
    value = value_of(bin_of(ns))
    assert abs(value - ns) * 128 <= ns
    assert ns == value or ns >= 128
    assert bin_of(ns) == bin_of(value)


def test_the_bins_are_in_order_and_there_is_a_last_one():
    """Each bin's value is above the one before it; what is too long for all is in the last."""
    values = [value_of(number) for number in range(BINS)]
    assert sorted(set(values)) == values
    assert [0, 127, 129, 131, 131] == [values[bin_of(ns)] for ns in (0, 127, 128, 130, 131)]
    assert BINS - 1 == bin_of(1 << 40)


def test_values_that_fio_wrote():
    """Keys of bins in a document of fio 3.33: each is the value of its own bin."""
    for value in (2576, 2608, 44800, 45824, 65280, 66048, 252928):
        assert value == value_of(bin_of(value))


def test_a_percentile_is_the_first_bin_that_reaches_it():
    """Of 1 to 100 ns, one each: the 50th percentile is 50, the 99.5th the last."""
    bins = histogram(np.arange(1, 101))
    assert {1: 1, 50: 50, 99: 99, 99.5: 100} == percentiles(bins, (1, 50, 99, 99.5))
    assert {} == percentiles({})
