"""Sectors that cannot be read: which commands meet one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sim.block.media import NO_BAD_SECTORS, BadSectors
from sim.block.opf import REQ_OP_READ, REQ_OP_WRITE


@given(bad=st.sets(st.integers(0, 60), max_size=6), sector=st.integers(0, 60), sectors=st.integers(1, 20))
def test_a_command_fails_where_one_of_its_sectors_is_bad(bad: set[int], sector: int, sectors: int) -> None:
    """Exactly the reads that ask for a bad sector fail; writes do not, and without any nothing does."""
    expected = any(sector <= one < sector + sectors for one in bad)
    assert expected == BadSectors(bad).fail(sector, sectors, REQ_OP_READ)
    assert not BadSectors(bad).fail(sector, sectors, REQ_OP_WRITE)
    assert not NO_BAD_SECTORS.fail(sector, sectors, REQ_OP_READ)
