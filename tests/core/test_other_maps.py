"""Indirect and linear block maps: what a call maps, and how far it walks."""

from __future__ import annotations

from typing import Any

import pytest
from core_kit import Rig, sequential

from sim.engine.costs import PS_PER_NS, load_costs
from sim.errors import ConfigError
from sim.paths.other_maps import IndirectMapper
from sim.units import KIB, MIB

COSTS = load_costs("linux-6.1-epyc")


def charged(rig: Rig, symbol: str) -> tuple[int, int]:
    """Return calls and units of a symbol."""
    rows = [row for row in rig.machine.ledger.charges() if row.symbol == symbol]
    return sum(row.calls for row in rows), sum(row.units for row in rows)


def test_depth_of_the_block_map() -> None:
    """1 KiB blocks hold 256 addresses: 12 direct blocks, then 256, then 65,536, then the rest."""
    mapper = Rig("mpage", [(0, 1000, 8)], 8 * KIB, 1024, mapping="indirect").machine.mapper
    assert isinstance(mapper, IndirectMapper)
    edges = {0: 0, 11: 0, 12: 1, 267: 1, 268: 2, 65_803: 2, 65_804: 3}
    assert edges == {block: mapper.depth(block) for block in edges}


@pytest.mark.parametrize(
    ("path", "calls", "levels"),
    # 1,024 blocks of 4 KiB: 12 direct, the others below one indirect block
    [("per_block", 1024, 1012), ("buffer_head", 1024, 1012), ("mpage", 33, 32)],
)
def test_a_call_walks_to_its_block(path: str, calls: int, levels: int) -> None:
    """One call a block, or one a window; the window with block 12 takes two, the first without a level."""
    rig = Rig(path, [(0, 1000, 1024)], 4 * MIB, mapping="indirect")
    rig.run(sequential(4 * MIB, 128 * KIB))
    assert calls == charged(rig, "ext3_get_blocks_handle")[0]
    assert (calls, levels) == charged(rig, "ext3_get_branch")
    assert (0, 0) == charged(rig, "ext4_map_blocks")


@pytest.mark.parametrize(
    ("mapping", "steps"), [("linear", sum(i // 8 + 1 for i in range(64))), ("linear-remembered", 64)]
)
def test_a_list_of_extents_is_walked_from_its_start_or_its_last_place(mapping: str, steps: int) -> None:
    """64 blocks in 8 extents: the walk grows extent by extent, 1 to 8 steps a block, or is always 1."""
    rig = Rig("per_block", [(8 * i, 1000 + 16 * i, 8) for i in range(8)], 256 * KIB, mapping=mapping)
    rig.run([(0, 256 * KIB)])
    assert (64, steps) == charged(rig, "udf_next_aext")
    cost = COSTS["udf_next_aext"].unit_ps * steps
    spent = [row.ps for row in rig.machine.ledger.rows() if row.symbol == "udf_next_aext"]
    assert cost == sum(spent) > PS_PER_NS


@pytest.mark.parametrize("mapping", ["indirect", "linear"])
def test_other_maps_change_no_io(mapping: str) -> None:
    """The same bios and the same pages as with extents; holes are holes."""
    extents = [(0, 1000, 20), (30, 2000, 30)]
    logs: list[Any] = []
    for kind in ("extents", mapping):
        rig = Rig("buffer_head", extents, 256 * KIB, mapping=kind)
        rig.run(sequential(256 * KIB, 64 * KIB))
        logs.append((rig.letters("QDC"), bytes(rig.mapping.state)))
    assert logs[0] == logs[1]


def test_an_unknown_mapping_is_a_mistake() -> None:
    """The names there are, in one line."""
    with pytest.raises(ConfigError, match="extents, indirect, linear, linear-remembered"):
        Rig("mpage", [(0, 1000, 8)], 32 * KIB, mapping="trees")
