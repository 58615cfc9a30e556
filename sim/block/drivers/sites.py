"""
Where a driver's calls are charged, on the way down and up.
"""

from __future__ import annotations

from typing import Final

from sim.block.bio import Request
from sim.block.drivers.calls import Calls
from sim.engine.ledger import Ledger

INLINE: Final = 2
"""So many segments, or runs of memory, find room in a request itself."""
LEAST: Final = 8
CHUNK: Final = 128
"""Entries of the smallest and the largest of the pools that tables come from (lib/sg_pool.c)."""


class DriverSites:
    """The sites of a driver's calls for requests, below one caller."""

    def __init__(self, ledger: Ledger, context: str, stack: str, calls: Calls) -> None:
        self.once = ledger.site(context, stack, calls.once)
        self.request = ledger.site(context, stack, calls.request)
        self._one = ledger.site(context, stack, calls.one)
        self._several = ledger.site(context, stack, calls.several)
        self._bio = ledger.site(context, stack, calls.bio)
        self._segment = ledger.site(context, stack, calls.segment)
        self._run = ledger.site(context, stack, calls.run)
        self._table = ledger.site(context, stack, calls.table)
        self._entry = ledger.site(context, stack, calls.entry)
        self._list = ledger.site(context, stack, calls.list)
        self._looks = any(words != "" for words in (calls.one, calls.several, calls.bio, calls.segment))
        self._maps = calls.run != "" or calls.list != ""

    def charge(self, requests: list[Request]) -> int:
        """Count requests that are handed over at once; return their cost in ps."""
        ps = self.once.charge(1)
        for request in requests:
            ps += self.of_request(request)
        return ps

    def of_request(self, request: Request) -> int:
        """Count one request; return its cost in ps."""
        ps = self.request.charge(1)
        if not self._looks:
            return ps
        segments = request.segments
        if segments <= 1:
            return ps + self._one.charge(1)
        bios = 0
        for bio in request.bios:
            bios += bio.count
        ps += self._several.charge(1) + self._bio.charge(bios - 1) + self._segment.charge(segments - 1)
        if segments > INLINE:
            ps += self._table.charge(1) + self._entry.charge(table_entries(segments))
        if self._maps:
            runs = memory_runs(request)
            ps += self._run.charge(runs - 1)
            if runs > INLINE:
                ps += self._list.charge(1)
        return ps


def table_entries(segments: int) -> int:
    """Return the entries of a table of segments: sizes of sg_pool, chained from SG_CHUNK_SIZE on."""
    chunks, rest = segments // CHUNK, segments % CHUNK
    return chunks * CHUNK + (max(LEAST, 1 << (rest - 1).bit_length()) if rest else 0)


def memory_runs(request: Request) -> int:
    """
    Return in how many runs the request's memory lies: neighbours in one page are one (__blk_rq_map_sg()).

    Pages are taken as scattered, and a folio as one run, for it is one segment.
    """
    runs, last = 0, -1
    for bio in request.bios:
        blocks = bio.blocks
        per_page = bio.blocks_per_page
        for lblk, count in blocks:
            runs += (lblk + count - 1) // per_page - lblk // per_page + 1
            if lblk == last + 1 and lblk % per_page:
                runs -= 1
            last = lblk + count - 1
    return max(min(runs, request.segments), 1)
