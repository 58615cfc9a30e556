"""What a driver calls for a request, by its segments and runs of memory: by hand."""

from __future__ import annotations

import pytest

from sim.block.bio import Bio, EndIo, Request
from sim.block.drivers.modules import DRIVERS
from sim.block.drivers.sites import DriverSites, memory_runs, table_entries
from sim.engine.costs import load_costs
from sim.engine.ledger import TASK, Ledger


def request_of(segments: int, *blocks: tuple[int, int], per_page: int = 1) -> Request:
    """Return a request of one bio of these runs of blocks."""
    sectors = 8 // per_page * sum(count for _, count in blocks)
    request = Request(0, sectors, segments)
    request.bios.append(Bio(0, sectors, 1, segments, EndIo(), None, list(blocks), True))
    return request


@pytest.mark.parametrize(
    ("segments", "entries"),
    [
        (3, 8),
        (8, 8),
        (9, 16),
        (17, 32),
        (64, 64),
        (65, 128),
        (127, 128),
        (128, 128),
        (129, 136),
        (168, 192),
        (256, 256),
    ],
)
def test_tables_come_in_sizes(segments: int, entries: int) -> None:
    """lib/sg_pool.c: 8, 16, 32, 64, 128 entries, chained from 128 on."""
    assert entries == table_entries(segments)


@pytest.mark.parametrize(("segments", "tables"), [(1, 0), (2, 0), (3, 1)])
def test_two_segments_have_room_in_the_request(segments: int, tables: int) -> None:
    """SCSI_INLINE_SG_CNT: SATA takes a table for the third."""
    ledger = Ledger(load_costs("linux-6.1-epyc"))
    sites = DriverSites(ledger, TASK, "", DRIVERS["ahci"].issue_calls(False))
    sites.charge([request_of(segments, (0, segments))])
    table = sites._table.symbols[0][0].rpartition(";")[2]
    assert tables == ledger.calls().get(table, 0)


def test_neighbours_in_a_page_are_one_run_of_memory() -> None:
    """Blocks of 1 KiB: 2 and 3 of a page and a page behind it are two; two bios' 0 and 1 are one."""
    assert 2 == memory_runs(request_of(2, (2, 6), per_page=4))
    assert 1 == memory_runs(request_of(2, (0, 1), (1, 1), per_page=4))
    assert 2 == memory_runs(request_of(2, (0, 1), (5, 1), per_page=4))
