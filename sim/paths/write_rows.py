"""
Pages of one write(2) that are all alike: what was done for the first of them is done for the others at once.

Which calls a page makes stands in buffered_write.py, once. Here it is asked whether the pages behind the one
that was just written are as that one was, in all that buffered_write.py looks at; if so, its calls are
charged as often again, and its state is given to them. Where nothing is alike, or anything may sleep, no page
is. Blocks that have to be allocated are never alike, nor blocks of which it is not known whether other files
have them, nor is a page whose buffer heads went with reclaim while the write slept.
"""

from __future__ import annotations

from sim.cache.page_cache import PageCache
from sim.cache.pages import ABSENT, UPTODATE
from sim.engine.cpu import Task
from sim.engine.ledger import Site
from sim.fs.es_tree import ES_DELAYED, ES_HOLE, ES_UNWRITTEN, ES_WRITTEN
from sim.fs.ext4_super import Ext4Super
from sim.fs.jbd2.handle import METADATA
from sim.fs.live_inode import BH_MAPPED, LiveInode, in_a_row, same
from sim.fs.map_write import WriteMapper
from sim.paths.write_calls import DELALLOC, HAVE_HANDLES, JOURNALLED
from sim.units import PAGE_BYTES


class Model:
    """
    A page before it was written, and what is to be known of it afterwards. page_state, has_buffers, dirty: of
    the page; state: of all its blocks, -1 if they are not alike. status, physical, end: of the extent status
    entry that has them all, -1 if none does; entries: how many there were. place: of its first block on the
    device, -1 if it has none. lists: of the journal, that all its blocks are on.
    """

    __slots__ = (
        "dirty",
        "end",
        "entries",
        "has_buffers",
        "lists",
        "page",
        "page_state",
        "place",
        "state",
        "status",
    )

    def __init__(self, inode: LiveInode, page: int, per_page: int) -> None:
        mapping, base = inode.mapping, page * per_page
        self.page = page
        self.page_state = mapping.state[page]
        self.has_buffers = mapping.buffered is not None and bool(mapping.buffered[page])
        self.dirty = mapping.dirty is not None and bool(mapping.dirty[page])
        state = inode.state[base]
        self.state = state if inode.state[base : base + per_page] == same(state, per_page) else -1
        self.status = self.end = self.place = -1
        self.lists = 0, 0
        self.entries = len(inode.es)
        if state & BH_MAPPED:
            self.place = inode.place[base]
            return
        entry = inode.es.lookup(base)
        if entry is not None and base + per_page <= entry.start + entry.length:
            self.status, self.end = entry.status, entry.start + entry.length
            if entry.status <= ES_UNWRITTEN:
                self.place = entry.physical + base - entry.start


class WriteRows:
    """
    Writes rows of whole pages into the cache of one file system, in one mode.

    sites: all that a page of such a write may charge, but for handles and maps. head: that of a buffer head,
    among them.
    """

    def __init__(
        self,
        cache: PageCache,
        mapper: WriteMapper,
        sb: Ext4Super,
        mode: int,
        sites: list[Site],
        head: Site,
    ) -> None:
        self._cache = cache
        self._mapper = mapper
        self._sb = sb
        self._per_page = sb.per_page
        self._delays = mode == DELALLOC
        self._has_handle = mode in HAVE_HANDLES
        self._log = sb.journal if mode == JOURNALLED else None
        self._head = head
        self._sites = list(sites)
        self._sites += mapper.sites_of_da_get_block() if self._delays else mapper.sites_of_known_blocks()
        if self._has_handle:
            self._sites += sb.sites_of_handles()
        self._with_units = [site for site in self._sites if site.unit_symbol]

    def counted(self) -> tuple[list[int], list[int]]:
        """Return how often each site has been passed, and how many units were charged where there are any."""
        return [site.passes for site in self._sites], [site.units for site in self._with_units]

    def model(self, task: Task, inode: LiveInode, page: int, blocks: int) -> Model | None:
        """
        Look at a page before it is written, and `blocks` blocks with those behind it; None if no page behind
        it can be like it.
        """
        per_page = self._per_page
        model = Model(inode, page, per_page)
        if model.state < 0 or (model.state and not model.has_buffers):
            return None
        known = self._delays or model.status == ES_WRITTEN
        if not model.state & BH_MAPPED and (model.end <= (page + 1) * per_page or not known):
            return None
        if inode.shares and model.status == ES_WRITTEN:
            return None
        if self._delays and self._mapper.trees.allocator.shortage(blocks):
            return None
        if self._has_handle and (task.handle is not None or not self._fits(inode)):
            return None
        log = self._log
        if log is not None:
            model.lists = log.lists(model.place)
            same_lists = log.on_lists(model.place, per_page, model.lists) == per_page
            if not same_lists or not self._follows(inode, model, page, per_page):
                return None
        return model

    def _fits(self, inode: LiveInode) -> bool:
        """Tell whether the handle of a page would start at once."""
        return self._sb.journal is None or self._sb.journal.fits(self._sb.write_credits(inode) + 1)

    def _follows(self, inode: LiveInode, model: Model, page: int, blocks: int) -> bool:
        """Tell whether blocks from a page on lie on the device as those of the model's entry do."""
        if not model.state & BH_MAPPED:
            return True
        base, place = page * self._per_page, model.place + (page - model.page) * self._per_page
        return inode.place[base : base + blocks] == in_a_row(place, blocks)

    def alike(self, inode: LiveInode, model: Model, most: int) -> int:
        """Return how many pages behind `model`, which was written, of at most `most`, are as it was."""
        mapping, first = inode.mapping, model.page + 1
        most = min(most, inode.size // PAGE_BYTES - first)
        if most < 2 or model.state < 0 or mapping.state[model.page] != UPTODATE or inode.page_locks.holders:
            return 0
        if not model.state & BH_MAPPED:
            most = min(most, self._of_entry(inode, model))
        pages = mapping.state.run(first, first + most, model.page_state)
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
        if self._has_handle and pages > 1:
            pages = self._in_handles(inode, model, pages)
        return pages if pages > 1 else 0

    def _in_handles(self, inode: LiveInode, model: Model, pages: int) -> int:
        """Return how many of the pages behind `model` have handles at once, with blocks as new to the log."""
        used = 0
        if self._log is not None:
            if not self._follows(inode, model, model.page + 1, pages * self._per_page):
                return 0
            place = model.place + self._per_page
            pages = self._log.on_lists(place, pages * self._per_page, model.lists) // self._per_page
            used = self._per_page if model.lists[0] != METADATA else 0
        return self._sb.rows_fit(self._sb.write_credits(inode), used, pages)

    def _of_entry(self, inode: LiveInode, model: Model) -> int:
        """Return how many pages behind `model` are in its entry of the extent status tree, and as simple."""
        if model.status < 0 or model.status == ES_DELAYED or len(inode.es) != model.entries:
            return 0
        return (model.end - (model.page + 1) * self._per_page) // self._per_page

    def write(
        self, task: Task, inode: LiveInode, model: Model, pages: int, before: tuple[list[int], list[int]]
    ) -> None:
        """Write `pages` pages behind `model`; before: see counted(), of before that was written."""
        mapping, first = inode.mapping, model.page + 1
        end, per_page = first + pages, self._per_page
        base, blocks = first * per_page, pages * per_page
        if model.page_state == ABSENT:
            self._cache.insert(mapping, first, end)
            mapping.state.fill(first, end, UPTODATE)
        fresh = 0 if model.has_buffers else self._cache.attach_buffers(mapping, first, end)
        for site, passes in zip(self._sites, before[0], strict=True):
            if site.passes != passes:
                task.ps += site.charge((site.passes - passes) * pages)
        for site, units in zip(self._with_units, before[1], strict=True):
            task.ps += site.charge_units(0, fresh if site is self._head else (site.units - units) * pages)
        place = model.place + per_page
        if not model.state & BH_MAPPED:
            if model.status == ES_HOLE:
                self._mapper.promised(inode, base, blocks)
            elif model.status <= ES_UNWRITTEN:
                inode.place[base : base + blocks] = in_a_row(place, blocks)
        if self._log is not None:
            self._log.journal_row(place, blocks)
            self._log.data.journalled(inode, base, place, blocks)
            mapping.tag_journalled(first, end, True)
        elif not model.dirty:
            mapping.tag_row(first, end)
        inode.state[base : base + blocks] = same(inode.state[base - 1], blocks)


def _run(values: bytearray, value: int, first: int, most: int) -> int:
    """Return how many of `most` values from `first` on are `value`."""
    part = values[first : first + most]
    return len(part) - len(part.lstrip(bytes((value,))))
