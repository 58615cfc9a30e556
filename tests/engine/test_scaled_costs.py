"""A machine that is so many times slower: all of it is, its pace and what is added later."""

from __future__ import annotations

import pytest
from core_kit import Rig, sequential
from hypothesis import given
from hypothesis import strategies as st

from sim.engine.costs import DEFAULT_MACHINE, Cost, CostTable, load_costs
from sim.engine.pace import Pace, in_proportion, paced
from sim.kernels import KERNELS
from sim.units import KIB

FACTORS = st.floats(0.01, 100)
OWN = {"own": {"self": 6, "instructions": 30, "group": "other", "spread": 0, "source": "said in ns"}}
PACED = {"own": {"instructions": 30, "group": "other", "spread": 0, "source": "at the pace"}}


def table() -> CostTable:
    """Return a table of one symbol, at 100 ps an instruction."""
    return CostTable(
        "test", {"f": Cost("f", 1000, 500, "byte", "other", 0, "s", 10_000, 0)}, Pace(100.0, 20.0)
    )


@given(factor=FACTORS)
def test_all_costs_and_the_pace_are_multiplied(factor: float) -> None:
    """Picoseconds are, instructions are not."""
    slower = table().scaled(factor)
    assert (round(1000 * factor), round(500 * factor)) == (slower["f"].self_ps, slower["f"].unit_ps)
    assert 10_000 == slower["f"].self_mi
    assert slower.pace is not None
    assert (100 * factor, 20 * factor) == (slower.pace.instruction_ps, slower.pace.byte_ps)


@given(factor=FACTORS)
def test_symbols_that_are_added_later_are_as_much_slower(factor: float) -> None:
    """Of a kernel or a path, whose ns are said, or follow from the pace: added before or after, to 1 ps."""
    for entries in (OWN, PACED):
        before = table().extended("kernel", entries).scaled(factor)
        after = table().scaled(factor).extended("kernel", entries)
        assert before["own"].self_ps == pytest.approx(after["own"].self_ps, abs=1)
        assert 30_000 == before["own"].self_mi == after["own"].self_mi


def test_twice_slower_by_twos() -> None:
    """A factor on a factor, and a constant moved in between, are as one: 4 x 6 ns."""
    steps = table().scaled(2).varied({("f", "self"): 1.0}).dearer("f", 1).scaled(2)
    assert 24_000 == steps.extended("kernel", OWN)["own"].self_ps


@pytest.mark.parametrize("kernel", ["linux-6.12", "linux-7.3"])
def test_what_a_later_kernel_takes_is_as_much_slower(kernel: str) -> None:
    """Every symbol, those that 6.1 takes nothing for among them: to the rounding of the first factor."""
    costs = load_costs(DEFAULT_MACHINE)
    one, two = costs.scaled(3).measured_on(kernel), costs.measured_on(kernel).scaled(3)
    assert one.costs.keys() == two.costs.keys()
    for symbol, cost in one.costs.items():
        assert cost.self_ps == pytest.approx(two[symbol].self_ps, abs=4)
        assert cost.unit_ps == pytest.approx(two[symbol].unit_ps, abs=4)


def test_a_run_on_7_3_takes_that_much_longer() -> None:
    """Encrypted, so that symbols of blk-crypto are there, which only 7.3 has: threefold, to rounded bytes."""
    spent = []
    for factor in (1, 3):
        costs = load_costs(DEFAULT_MACHINE).scaled(factor)
        rig = Rig("page_io", [(0, 1000, 64)], 256 * KIB, encrypted=True, kernel="7.3", costs=costs)
        rig.run(sequential(256 * KIB, 64 * KIB))
        rows = rig.machine.ledger.rows()
        of_73 = [row.ps for row in rows if row.symbol in KERNELS["7.3"].costs]
        spent.append((sum(of_73), sum(row.ps for row in rows)))
    (few, every), (few_slower, every_slower) = spent
    assert few_slower == 3 * few > 0
    assert every_slower == pytest.approx(3 * every, rel=0.001)


def test_constants_at_a_pace() -> None:
    """10 instructions and 4 bytes of a rep: 6 at the new pace, the bytes at theirs; and in proportion."""
    assert 6 * 200 + 4 * 30 == paced(6 * 100 + 4 * 20, 10_000, 4, Pace(200.0, 30.0), Pace(100.0, 20.0))
    assert 500 == in_proportion(1000, 10_000, 5_000, Pace(100.0))
    assert (1000, 500) == (in_proportion(1000, 0, None, Pace(100.0)), in_proportion(0, 0, 5_000, Pace(100.0)))
