"""
page_cache_ra_order() as Linux 7.3 has it: every planned window goes through it, and a stream's order is in
its state.

There is no least window, folios may be of two pages, and a window that reaches the last page of the file has
no mark. Where a page is cached, what came before it is read, then the rest of the window in single pages. A
file without large folios takes the same call, which hands the window on. Left out: see page_cache_ra.py.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from sim.cache.address_space import OpenFile
from sim.cache.folios import split_window
from sim.cache.page_cache_ra import PageCacheRa
from sim.cache.readahead import Window
from sim.engine.cpu import Task


class StreamOrderRa(PageCacheRa):
    """The readahead calls of one machine under 7.3."""

    def _ondemand(self, task: Task, file: OpenFile, index: int, req: int, marker: bool) -> Iterable[Any]:
        """Let the policy decide, and read what it says."""
        mapping, ra = file.mapping, file.ra
        window = self._policy.ondemand(ra, index, req, marker, file.ra_pages, self._io_pages, mapping)
        called, bare, planned, whole = self._s_marked if marker else self._s_missed
        if window is None:
            task.ps += called.charge(1)
            return ()
        start, pages, lookahead = window.start, window.pages, window.lookahead
        if window.windowed:
            if self._log is not None:
                self._log.window(start, pages, lookahead, ra.order)
            if mapping.large and mapping.max_order:
                task.ps += self._s_order[marker].charge(1)
                ra.order = max(min(mapping.max_order, ra.order, pages.bit_length() - 1), mapping.min_order)
                return self._read_stream(task, file, window, ra.order)
            ra.order = 0
        end, mark = self._policy.place(start, pages, lookahead, mapping.pages - 1)
        if end > mapping.pages - 1:
            lookahead = 0
        if end <= start:
            task.ps += (planned if window.windowed else called).charge(1)
            return ()
        task.ps += (whole if window.windowed else bare).charge(1)
        return self._unbounded(task, file, start, end, mark, lookahead)

    def _read_stream(
        self, task: Task, file: OpenFile, window: Window, order: int
    ) -> Generator[Any, Any, None]:
        """Add the folios of a window, the first of `order`, up to the first cached page, and read them."""
        mapping, start = file.mapping, window.start
        end, mark = self._policy.place(start, window.pages, window.lookahead, mapping.pages - 1)
        folios = []
        least = mapping.min_order
        at = begin = start >> least << least
        failed = False
        for first, this in split_window(begin, end, order, least=least):
            if self._log is not None:
                self._log.folio(first, this)
            if not mapping.all_absent(first, first + (1 << this)):
                task.ps += self._s_failed.charge(1) + self._s_clear.charge(1 << this)
                failed = True
                break
            folios.append((first, this))
            at = first + (1 << this)
        task.ps += self._s_order_read.charge(1)
        if folios:
            self._reclaim.pay(task, self.cache.insert(mapping, begin, at))
            task.ps += self._s_folio.charge(len(folios)) + self._s_clear.charge(at - begin)
            self._set_folios(task, mapping, folios, mark)
            yield from self._path.read_pages(task, file, [(begin, at)])
        rest = start + window.pages - at
        if failed and at >= start and rest > 0:  # before the start the kernel's difference wraps around
            end, mark = self._policy.place(at, rest, window.lookahead, mapping.pages - 1)
            if end > at:
                task.ps += self._s_unbounded.charge(1)
                lookahead = window.lookahead if end < mapping.pages else 0
                yield from self._unbounded(task, file, at, end, mark, lookahead)
