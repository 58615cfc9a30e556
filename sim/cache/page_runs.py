"""
Pages, and blocks of a page, as runs [start, end).
"""

from __future__ import annotations

from collections.abc import Iterable


def gaps_of(known: int, blocks: int) -> list[tuple[int, int]]:
    """
    Return the runs [start, end) of a page's first `blocks` blocks that are not `known` (bit n: block n).
    """
    gaps: list[tuple[int, int]] = []
    for block in range(blocks):
        if known >> block & 1:
            continue
        if gaps and gaps[-1][1] == block:
            gaps[-1] = (gaps[-1][0], block + 1)
        else:
            gaps.append((block, block + 1))
    return gaps


def runs_of(pages: Iterable[int]) -> list[tuple[int, int]]:
    """Return ascending pages as runs [start, end)."""
    runs: list[tuple[int, int]] = []
    for page in pages:
        if runs and runs[-1][1] == page:
            runs[-1] = (runs[-1][0], page + 1)
        else:
            runs.append((page, page + 1))
    return runs
