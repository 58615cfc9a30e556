"""
Numbers in rows without gaps.
"""

from __future__ import annotations

from collections.abc import Iterable


def rows_of(numbers: Iterable[int]) -> list[list[int]]:
    """Return sorted numbers in rows without gaps."""
    rows: list[list[int]] = []
    for number in numbers:
        if rows and rows[-1][-1] == number - 1:
            rows[-1].append(number)
        else:
            rows.append([number])
    return rows
