"""Numbers in rows without gaps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.peers.rows import rows_of


@given(st.sets(st.integers(0, 60)))
def test_rows_are_what_they_are_cut_from(numbers: set[int]) -> None:
    """All numbers in order; in a row each follows the last, and between rows is a gap."""
    rows = rows_of(sorted(numbers))
    assert sorted(numbers) == [number for row in rows for number in row]
    assert all(row == list(range(row[0], row[-1] + 1)) for row in rows)
    assert all(rows[n][-1] + 1 < rows[n + 1][0] for n in range(len(rows) - 1))
