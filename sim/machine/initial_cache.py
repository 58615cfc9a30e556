"""
What the page cache holds before the first read: which pages, and in what state.

A cached page was read once before the run: up to date, referenced once. What was read front to back lies, on
files with large folios, in those of a full readahead window, and not in the smaller ones with which such a
reader begins; pages cached one by one are folios of their own. A page that "has buffers" is cached but not
up to date: it got its buffer heads (on iomap, its bitmap) when only some of its blocks were written, as a
write of one 1 KiB block leaves it, and was cleaned since. Reading it goes through ->read_folio, where mpage
and ext4's path are confused by it and use its buffers. The device holds the same bytes as the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from sim.cache.folios import split_window
from sim.cache.pages import ABSENT, PRESENT, UPTODATE, Mapping
from sim.errors import ConfigError
from sim.fs.fs_inode import FsInode
from sim.machine.machine import Machine
from sim.paths.page_data import Contents
from sim.units import PAGE_BYTES

PageRange = tuple[int, int]
"""Pages [start, end)."""


def every_nth(pages: int, step: int) -> Iterator[PageRange]:
    """Yield pages 0, step, 2 x step, ... of `pages`; all of them as one range for a step of 1."""
    if step == 1:
        yield 0, pages
    else:
        yield from ((page, page + 1) for page in range(0, pages, step))


def random_share(pages: int, share: float, rng: np.random.Generator) -> Iterator[PageRange]:
    """Yield round(share x pages) distinct pages, drawn from `rng`, in order; neighbours as one range."""
    chosen = np.sort(rng.permutation(pages)[: round(share * pages)])
    for run in np.split(chosen, np.flatnonzero(np.diff(chosen) > 1) + 1):
        if len(run):
            yield int(run[0]), int(run[-1]) + 1


def cache_pages(machine: Machine, mapping: Mapping, inode: FsInode, ranges: Iterable[Sequence[int]]) -> None:
    """
    Have pages of a file cached and up to date, read in the order of `ranges`.

    On a path that leaves buffer heads on every page they have theirs, as that read left them. What does not
    fit in memory pushes out what came first. With real data the pages hold the file's bytes.
    """
    for start, end in ranges:
        machine.cache.preload(mapping, start, end, None, machine.design.heads_on_every_page)
    _load(machine, mapping, inode, UPTODATE)


def cache_as_read(
    machine: Machine, mapping: Mapping, inode: FsInode, ranges: Iterable[Sequence[int]]
) -> None:
    """Have ranges of a file cached, as far as they fit, as a reader from front to back leaves them."""
    wanted = [(start, end) for start, end in ranges]
    cache_pages(machine, mapping, inode, wanted)
    window = machine.spec.ra_pages
    if not (mapping.max_order and window):
        return
    order = min(window.bit_length() - 1, mapping.max_order)
    for start, end in wanted:
        for first, last in _runs(mapping, UPTODATE, start, end):
            for index, this in split_window(first, last, order, machine.folio_pairs):
                mapping.set_folio(index, this, False)


def pages_with_buffers(
    machine: Machine,
    mapping: Mapping,
    inode: FsInode,
    ranges: Iterable[PageRange],
    uptodate_blocks: int = 0,
) -> None:
    """
    Have pages of a file cached and not up to date, with buffers of which the first `uptodate_blocks` are.

    A path without per-page state (as page_io_pure) knows of no such blocks: it reads the page whole.

    Raises ConfigError if that many blocks are a whole page.
    """
    per_page = PAGE_BYTES // machine.spec.block_size
    if not 0 <= uptodate_blocks < per_page:
        where = "cache.pages.uptodate_blocks"
        raise ConfigError(where, f"{uptodate_blocks} of {per_page} blocks a page", f"0 to {per_page - 1}")
    state = machine.design.page_state
    known = 0 if state == "none" else uptodate_blocks
    buffers = state == "buffer heads"
    for start, end in ranges:
        machine.cache.preload(mapping, start, end, (1 << known) - 1, buffers)
    _load(machine, mapping, inode, PRESENT)


def _runs(mapping: Mapping, state: int, start: int = 0, end: int | None = None) -> list[list[int]]:
    """Return [start, end) of the runs of pages in `state`, within a range of them."""
    pages = mapping.state.part(start, len(mapping.state) if end is None else end)
    there = np.frombuffer(pages, np.uint8) == state
    runs = np.flatnonzero(np.diff(there, prepend=False, append=False)).reshape(-1, 2) + start
    return runs.tolist()


def absent_runs(mapping: Mapping, start: int, end: int) -> list[list[int]]:
    """Return [start, end) of the runs of pages of a file that are not cached, within a range of them."""
    return _runs(mapping, ABSENT, start, end)


def _load(machine: Machine, mapping: Mapping, inode: FsInode, state: int) -> None:
    """Give the pages in `state` their bytes, if data is real."""
    store = machine.spec.store
    if store is None:
        return
    contents = Contents(store, machine.spec.block_size)
    for start, end in _runs(mapping, state):
        contents.load(mapping, inode, start, end)
