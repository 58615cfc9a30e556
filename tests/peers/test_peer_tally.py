"""Bios on their way to the disk: what is counted, and where the disk's queue cuts them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.block.dm.asked import pages_of
from sim.block.opf import REQ_OP_WRITE
from sim.peers.tally import Queued, Tally, rests


@pytest.mark.parametrize(
    ("sectors", "apart", "cuts"),
    [
        (0, True, 0),
        (1024, True, 0),
        (1280, True, 1),
        (1280, False, 0),
        (1288, False, 1),
        (2048, True, 1),
        (2056, True, 2),
    ],
)
def test_a_bio_is_cut_as_the_recorded_disk_cuts(sectors: int, apart: bool, cuts: int) -> None:
    """1,280 sectors and 128 segments a request: pages that lie apart make 1,024 sectors."""
    assert cuts == rests(sectors, apart)


@given(st.integers(0, 5000), st.booleans())
def test_cuts_as_one_takes_them(sectors: int, apart: bool) -> None:
    """As many rests as one is left with, taking page by page."""
    rest, left = 0, sectors
    most = 128 if apart else 160
    while left > most * 8:
        left -= most * 8
        rest += 1
    assert rest == rests(sectors, apart)


def test_a_bio_that_is_cut_ends_twice() -> None:
    """The rest is a bio of its own for everybody but the tracer."""
    tally = Tally()
    tally.submit_to_disk(8, 1280, REQ_OP_WRITE)
    assert [Queued("null", 8, 1280, REQ_OP_WRITE)] == tally.bios
    assert {
        "submit_bio": 1,
        "block_bio_queue": 1,
        "block_split": 1,
        "submit_bio_noacct_nocheck": 2,
        "blk_mq_submit_bio": 2,
        "bio_split": 1,
        "bio_alloc_bioset": 1,
        "bio_endio": 2,
    } == tally.calls


def test_dm_io_takes_page_by_page() -> None:
    """As a section of the journal is written: 392 sectors, 49 pages."""
    tally = Tally()
    tally.dm_io(8, 392, REQ_OP_WRITE)
    assert (49, 1, 1) == tuple(tally.calls[name] for name in ("bio_add_page", "bio_alloc_bioset", "dm_io"))
    assert [0, 1, 1, 2] == [pages_of(sectors) for sectors in (0, 1, 8, 9)]
