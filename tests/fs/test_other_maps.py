"""Indirect and linear block maps: what a call maps, and how far it walks."""

from __future__ import annotations

from typing import Any

import pytest
from core_kit import Rig, sequential

from sim.engine.costs import PS_PER_NS, load_costs
from sim.errors import ConfigError
from sim.ext4.format.extents import Extent
from sim.ext4.format.indirect import IndirectMap
from sim.fs.other_maps import IndirectMapper
from sim.units import KIB, MIB

COSTS = load_costs("linux-6.1-epyc")


def charged(rig: Rig, symbol: str) -> tuple[int, int]:
    """Return calls and units of a symbol."""
    rows = [row for row in rig.machine.ledger.charges() if row.symbol == symbol]
    return sum(row.calls for row in rows), sum(row.units for row in rows)


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


BOUNDARY_FILE = [(0, 12288, 12), (12, 12301, 4)]
"""16 blocks of 4 KiB at sectors 98304 to 98399 and 98408 to 98439, the indirect block at 98400 between."""


def boundary_rig(path: str, status: str = "all_cold") -> Rig:
    """Return a machine with that file, its indirect block not in memory."""
    rig = Rig(path, BOUNDARY_FILE, 64 * KIB, mapping="indirect", status=status)
    extents = [Extent(*extent, False) for extent in BOUNDARY_FILE]
    rig.inode.map.indirect = IndirectMap(1024, {(12,): 12300}, extents)
    return rig


@pytest.mark.parametrize("path", ["mpage", "per_block"])
def test_boundary_lets_the_indirect_block_merge_behind_the_data_before_it(path: str) -> None:
    """
    Reading 4 blocks from block 10, as recorded by R. Harjani (linux-ext4, 25 Apr 2024, RFCv3 7/7): 98384+16
    is queued, 98400+8 merges behind it, then 98408+16: 2 completions.
    """
    rig = boundary_rig(path)
    rig.run([(40 * KIB, 16 * KIB)], random=True)
    assert [("Q", 98384, 16), ("Q", 98400, 8), ("Q", 98408, 16)] == rig.letters("Q")
    assert [("M", 98400, 8)] == rig.letters("M")
    assert [("C", 98384, 24), ("C", 98408, 16)] == rig.letters("C")


def test_without_boundary_the_indirect_block_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same without the flush, as recorded there: 98400+8 first, then the data in two: 3 completions."""
    monkeypatch.setattr(IndirectMapper, "boundary", lambda _mapper, _end: False)
    rig = boundary_rig("mpage")
    rig.run([(40 * KIB, 16 * KIB)], random=True)
    completions = rig.letters("C")
    assert ("C", 98400, 8) == completions[0]
    assert {("C", 98384, 16), ("C", 98408, 16)} == set(completions[1:])


def test_an_indirect_block_is_read_once_on_every_path() -> None:
    """Cold, then warm: one read of the indirect block, and the same data on each path."""
    for path in ("buffer_head", "mpage", "per_block", "iomap"):
        rig = boundary_rig(path)
        rig.run([*sequential(64 * KIB, 16 * KIB)])
        assert 1 == sum(sector == 98400 for _, sector, _ in rig.letters("Q")), path
        assert 16 * 8 + 8 == sum(sectors for _, _, sectors in rig.letters("Q")), path


def test_an_unknown_mapping_is_a_mistake() -> None:
    """The names there are, in one line."""
    with pytest.raises(ConfigError, match="extents, indirect, linear, linear-remembered"):
        Rig("mpage", [(0, 1000, 8)], 32 * KIB, mapping="trees")
