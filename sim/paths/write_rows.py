"""
Pages of one write(2) that are all alike: what was done for the first of them is done for the others at once.

Which calls a page makes stands in buffered_write.py, once. Here it is asked whether the pages behind the one
that was just written are as that one was, in all that buffered_write.py looks at; if so, its calls are
charged as often again, and its state is given to them. Where nothing is alike, or anything may sleep, no page
is.
"""

from __future__ import annotations

from array import array

from sim.cache.page_cache import PageCache
from sim.cache.pages import ABSENT, UPTODATE, filled
from sim.engine.cpu import Task
from sim.engine.ledger import Site
from sim.fs.es_tree import ES_DELAYED, ES_HOLE, ES_UNWRITTEN
from sim.fs.live_inode import BH_MAPPED, LiveInode, same
from sim.fs.map_write import WriteMapper
from sim.units import PAGE_BYTES


class Model:
    """
    A page before it was written, and what is to be known of it afterwards. page_state, has_buffers, dirty: of
    the page; state: of all its blocks, -1 if they are not alike. status, physical, end: of the extent status
    entry that has them all, -1 if none does; entries: how many there were.
    """

    __slots__ = (
        "dirty",
        "end",
        "entries",
        "has_buffers",
        "page",
        "page_state",
        "per_page",
        "physical",
        "state",
        "status",
    )

    def __init__(self, inode: LiveInode, page: int, per_page: int) -> None:
        mapping, base = inode.mapping, page * per_page
        self.page = page
        self.per_page = per_page
        self.page_state = mapping.state[page]
        self.has_buffers = mapping.buffered is not None and bool(mapping.buffered[page])
        self.dirty = mapping.dirty is not None and bool(mapping.dirty[page])
        state = inode.state[base]
        self.state = state if inode.state[base : base + per_page] == same(state, per_page) else -1
        self.status = self.end = -1
        self.physical = 0
        self.entries = len(inode.es)
        if not state & BH_MAPPED:
            entry = inode.es.lookup(base)
            if entry is not None and base + per_page <= entry.start + entry.length:
                self.status, self.end = entry.status, entry.start + entry.length
                self.physical = entry.physical + base - entry.start

    def is_worth_it(self, delalloc: bool) -> bool:
        """Tell whether the page behind may be like this one, before anything is known of it."""
        if self.state < 0 or (self.state and not self.has_buffers):
            return False
        return bool(self.state & BH_MAPPED) or (delalloc and self.end > (self.page + 1) * self.per_page)


class WriteRows:
    """
    Writes rows of whole pages into the cache of one file system.

    sites: all that a page of such a write may charge. head: that of a buffer head, among them.
    """

    def __init__(
        self, cache: PageCache, mapper: WriteMapper, per_page: int, sites: list[Site], head: Site
    ) -> None:
        self._cache = cache
        self._mapper = mapper
        self._per_page = per_page
        self._sites = [*sites, *mapper.sites_of_da_get_block()]
        self._head = head

    def counted(self) -> list[tuple[int, int]]:
        """Return how often each site has been charged: (passes, units)."""
        return [(site.passes, site.units) for site in self._sites]

    def alike(self, inode: LiveInode, model: Model, most: int) -> int:
        """Return how many pages behind `model`, which was written, of at most `most`, are as it was."""
        mapping, first = inode.mapping, model.page + 1
        most = min(most, inode.size // PAGE_BYTES - first)
        if most < 2 or model.state < 0 or mapping.state[model.page] != UPTODATE:
            return 0
        if not model.state & BH_MAPPED:
            most = min(most, self._of_entry(inode, model))
        pages = _run(mapping.state, model.page_state, first, most)
        if model.page_state == ABSENT:
            if mapping.shadows or not self._cache.has_room(pages):
                return 0
        elif model.page_state != UPTODATE:
            return 0
        if mapping.buffered is not None:
            pages = _run(mapping.buffered, int(model.has_buffers), first, pages)
        if mapping.dirty is not None:
            pages = _run(mapping.dirty, int(model.dirty), first, pages)
        base = first * self._per_page
        blocks = _run(inode.state, model.state, base, pages * self._per_page)
        pages = blocks // self._per_page
        return pages if pages > 1 else 0

    def _of_entry(self, inode: LiveInode, model: Model) -> int:
        """Return how many pages behind `model` are in its entry of the extent status tree, and as simple."""
        if model.status < 0 or model.status == ES_DELAYED or len(inode.es) != model.entries:
            return 0
        return (model.end - (model.page + 1) * self._per_page) // self._per_page

    def write(
        self, task: Task, inode: LiveInode, model: Model, pages: int, before: list[tuple[int, int]]
    ) -> None:
        """Write `pages` pages behind `model`; before: see counted(), of before that was written."""
        mapping, first = inode.mapping, model.page + 1
        end, per_page = first + pages, self._per_page
        base, blocks = first * per_page, pages * per_page
        if model.page_state == ABSENT:
            self._cache.insert(mapping, first, end)
            mapping.state[first:end] = filled(UPTODATE, pages)
        fresh = 0 if model.has_buffers else self._cache.attach_buffers(mapping, first, end)
        for site, (passes, units) in zip(self._sites, before, strict=True):
            if site.passes != passes:
                of_unit = fresh if site is self._head else (site.units - units) * pages
                task.ps += site.charge_units((site.passes - passes) * pages, of_unit)
        if not model.state & BH_MAPPED:
            if model.status == ES_HOLE:
                self._mapper.promised(inode, base, blocks)
            elif model.status <= ES_UNWRITTEN:
                place = model.physical + per_page
                inode.place[base : base + blocks] = array("q", range(place, place + blocks))
        inode.state[base : base + blocks] = same(inode.state[base - 1], blocks)
        if not model.dirty:
            mapping.tag_row(first, end)


def _run(values: bytearray, value: int, first: int, most: int) -> int:
    """Return how many of `most` values from `first` on are `value`."""
    part = values[first : first + most]
    return len(part) - len(part.lstrip(bytes((value,))))
