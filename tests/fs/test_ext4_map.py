"""ext4_map_blocks(): what a look-up costs and what a walk remembers, by hand."""

from __future__ import annotations

import pytest
from core_kit import Rig
from core_kit import sequential as reads

from sim.units import KIB


@pytest.mark.parametrize(
    ("extents", "entries", "levels"), [(1, 2, 2), (2, 3, 2), (3, 4, 3), (6, 7, 3), (7, 8, 4)]
)
def test_a_lookup_goes_down_a_balanced_tree(extents: int, entries: int, levels: int) -> None:
    """Extents apart on the disk, and the hole behind the last: a step for each level, in each call."""
    rig = Rig("buffer_head", [(n, 1000 + 10 * n, 1) for n in range(extents)], extents * 4 * KIB)
    assert entries == rig.inode.map.status.entries
    rig.run([(0, extents * 4 * KIB)])
    found = [charge for charge in rig.machine.ledger.charges() if charge.symbol == "ext4_es_lookup_extent"]
    assert [(extents, extents * levels)] == [(charge.calls, charge.units) for charge in found]


def test_a_walk_brings_what_was_asked_for() -> None:
    """128 KiB of one extent, nothing remembered: one call, one walk, all 32 blocks; then none."""
    rig = Rig("page_io", [(0, 1000, 32)], 128 * KIB, status="cold")
    calls = rig.run([(0, 128 * KIB)])
    assert [1, 1, 1] == [
        calls[symbol] for symbol in ("ext4_map_blocks", "ext4_ext_map_blocks", "ext4_es_insert_extent")
    ]
    rig.machine.cache.drop(rig.mapping)
    again = rig.run(reads(128 * KIB, 128 * KIB))
    assert 1 == again["ext4_ext_map_blocks"]
