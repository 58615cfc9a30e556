"""
Pages, and blocks of a page, as runs [start, end).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_FILLED_PAGES: Final = 64
_FILLED: Final = [[bytearray((value,)) * pages for pages in range(_FILLED_PAGES + 1)] for value in range(16)]
"""By value and length, up to two usual windows: what is made for every window otherwise."""


def filled(value: int, pages: int) -> bytearray:
    """Return one byte of `value` for each of `pages` pages, to be copied, not changed."""
    if pages <= _FILLED_PAGES:
        return _FILLED[value][pages]
    return bytearray((value,)) * pages


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
