"""Which blocks are broken: as many as were asked for, of those there are, the same for a seed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.config.faults import FaultKind
from sim.engine.streams import stream
from sim.machine.faults.plan import chosen, plan_faults

BLOCKS = list(range(100, 164))
KINDS: list[FaultKind] = ["sector_error", "bit_flip", "misdirected_write", "lost_write"]


@given(blocks=st.sets(st.integers(0, 200), min_size=1), count=st.integers(1, 250), seed=st.integers(0, 99))
def test_so_many_are_hit(blocks: set[int], count: int, seed: int) -> None:
    """Exactly `count`, at most all, ascending, of those given; the same again for the same seed."""
    hit = chosen(sorted(blocks), None, count, stream(seed, "x"))
    assert min(count, len(blocks)) == len(hit) == len(set(hit))
    assert hit == sorted(hit)
    assert blocks.issuperset(hit)
    assert hit == chosen(sorted(blocks), None, count, stream(seed, "x"))


def test_a_rate_is_one_of_blocks() -> None:
    """Of 100,000 blocks a tenth, within five standard deviations of the binomial (95); all at rate 1."""
    hit = chosen(range(100_000), 0.1, None, stream(0, "x"))
    assert abs(len(hit) - 10_000) < 5 * 95
    assert BLOCKS == chosen(BLOCKS, 1.0, None, stream(0, "x"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 2, 7])
def test_what_a_plan_holds(kind: FaultKind, count: int) -> None:
    """Each kind fills its own table; a misdirected write takes two blocks, so of 7 are 6 hit, of 1 none."""
    plan = plan_faults(kind, BLOCKS, None, count, 4096, stream(1, "faults"))
    sizes: dict[str, Any] = {
        "bad_sectors": len(plan.bad_sectors),
        "flips": len(plan.flips),
        "stale": len(plan.stale),
        "copies": len(plan.copies),
    }
    pairs = count // 2
    expected = {
        "sector_error": {"bad_sectors": count},
        "bit_flip": {"flips": count},
        "lost_write": {"stale": count},
        "misdirected_write": {"stale": pairs, "copies": pairs},
    }[kind]
    assert dict.fromkeys(sizes, 0) | expected == sizes
    assert all(block == sector // 8 for sector, block in plan.bad_sectors.items())
    assert all(0 <= bit < 8 * 4096 for bit in plan.flips.values())
    assert set(plan.copies.values()) == set(plan.stale) or kind == "lost_write"
    assert not set(plan.copies) & set(plan.stale)


def test_nothing_on_the_medium_is_wrong_with_flips_in_transfer() -> None:
    """They are drawn when blocks are read."""
    assert not plan_faults("transfer_flip", BLOCKS, 0.5, None, 4096, stream(1, "faults")).blocks
