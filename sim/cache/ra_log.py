"""
What readahead asked for and which folios came of it, call by call: for who compares with a kernel's own log.
"""

from __future__ import annotations

from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class RaLog:
    """
    Windows and folios, as they are asked for.

    folios: (first page, order) of each that filemap_add_folio() is given, in vain too. windows: calls of
    page_cache_ra_order() as (start, pages, lookahead, order at entry), and of page_cache_ra_unbounded() as
    (start, pages, lookahead).
    """

    def __init__(self) -> None:
        self.folios: list[list[int]] = []
        self.windows: list[list[int]] = []

    def folio(self, first: int, order: int) -> None:
        """A folio is added."""
        self.folios.append([first, order])

    def window(self, start: int, pages: int, lookahead: int, order: int) -> None:
        """page_cache_ra_order() is called."""
        self.windows.append([start, pages, lookahead, order])

    def bare(self, start: int, pages: int, lookahead: int) -> None:
        """page_cache_ra_unbounded() is called."""
        self.windows.append([start, pages, lookahead])
