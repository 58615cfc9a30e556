"""
The constants a run rests on, each with its interval, and runs with some of them changed.

A constant lies within (1 - spread) and (1 + spread) times its value, as the profiles say; one without a
spread is taken as it is. Only constants that a run charges are listed: the others cannot change it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sim.block.device.profile import load_device_profile, varied
from sim.config.cell import Cell
from sim.config.cell_result import CallRow, CellResult, Context
from sim.engine.costs import PS_PER_NS, CostTable, load_costs
from sim.engine.ledger import Charge
from sim.machine.callers import whole_charges
from sim.machine.ledger_rows import cpu_metrics
from sim.machine.run_cell import played_cell

ENDS = (-1, 1)
"""The lower and the upper end of an interval, as signs of the spread."""


@dataclass(frozen=True, slots=True, order=True)
class Constant:
    """
    One number of a profile.

    where: "machine" or "device". profile: its name or path. name: symbol, or key of a device's model. part:
    "self" (of a call) or "unit", "" for a device. value: in `unit`. spread: relative half-width.
    """

    where: str
    profile: str
    name: str
    part: str
    value: float
    unit: str
    spread: float

    @property
    def title(self) -> str:
        """The constant in words: "ext4_map_blocks", "copy_page_to_iter per byte", "nvme: command_ns"."""
        if self.where == "device":
            return f"{Path(self.profile).stem}: {self.name.removeprefix('model.')}"
        return self.name if self.part == "self" else f"{self.name} per {self.unit.rpartition('/')[2]}"

    def at(self, end: int) -> float:
        """Return the value at an end of the interval."""
        return self.value * (1 + end * self.spread)


Change = Mapping[Constant, int]
"""Constants moved to an end of their interval: -1 or 1."""


@dataclass(frozen=True, slots=True)
class Tally:
    """A cell's result with what it charged, before prices: see Ledger.charges()."""

    result: CellResult
    charges: list[Charge]


def tally(cell: Cell, image: Path | None, change: Change) -> Tally:
    """Run a cell with constants moved; only those of its own profiles matter."""
    config = cell.config
    machine, device = cell.profile(config.machine.profile), cell.profile(config.device.profile)
    profile = load_device_profile(device)
    for constant, end in change.items():
        if (constant.where, constant.profile) == ("device", device):
            profile = varied(profile, constant.name, 1 + end * constant.spread)
    costs = moved_costs(load_costs(machine), machine, change)
    result, ran = played_cell(cell, image, costs=costs, device=profile)
    return Tally(result, whole_charges(ran, ran.ledger.charges()))


def moved_costs(costs: CostTable, profile: str, change: Change) -> CostTable:
    """Return the cost table with the constants moved that belong to `profile`."""
    factors = {
        (constant.name, constant.part): 1 + end * constant.spread
        for constant, end in change.items()
        if (constant.where, constant.profile) == ("machine", profile)
    }
    return costs.varied(factors)


def repriced(base: Tally, costs: CostTable) -> CellResult:
    """
    Return the result of `base` at other costs, as another run would give it: calls as they are, CPU anew.

    Times on the clock (elapsed, latency, throughput) stay those of the base, and mean nothing then.
    """
    instructions = {(row.stack, row.context): row.instructions for row in base.result.calls}
    rows: list[CallRow] = []
    spent: list[tuple[str, int]] = []
    for charge in base.charges:
        cost = costs[charge.symbol]
        ps = charge.calls * cost.self_ps + charge.units * cost.unit_ps
        spent.append((charge.context, ps))
        context = cast("Context", charge.context)
        counted = instructions.get((charge.stack, context), 0)
        if charge.calls or ps or counted:
            ns = ps // PS_PER_NS
            rows.append(CallRow(charge.name, charge.stack, context, charge.calls, ns, cost.group, counted))
    metrics = base.result.metrics
    sizes = ("bytes_read", "bytes_deleted", "bytes_streamed")
    bytes_read = next(int(metrics[name]) for name in sizes if metrics.get(name))
    metrics = {**base.result.metrics, **cpu_metrics(spent, bytes_read)}
    return CellResult(metrics, rows, base.result.histograms)


def same_calls(one: Tally, other: Tally) -> bool:
    """Return whether two runs of a cell charged the same calls and units, whatever they cost."""
    return [charge[:6] for charge in one.charges] == [charge[:6] for charge in other.charges]


def constants_of(cells: Iterable[tuple[Cell, Tally]]) -> list[Constant]:
    """Return the constants with an interval that the runs of these cells charged, sorted."""
    found: set[Constant] = set()
    tables: dict[str, CostTable] = {}
    for cell, ran in cells:
        machine = cell.profile(cell.config.machine.profile)
        costs = tables.setdefault(machine, load_costs(machine))
        for charge in ran.charges:
            cost = costs[charge.symbol]
            ends = (("self", charge.calls, cost.self_ps, "ns"), ("unit", charge.units, cost.unit_ps, ""))
            for part, times, ps, unit in ends:
                if times and ps and cost.spread:
                    said = unit or f"ns/{cost.unit}"
                    found.add(
                        Constant("machine", machine, charge.symbol, part, ps / PS_PER_NS, said, cost.spread)
                    )
        device = cell.profile(cell.config.device.profile)
        found.update(
            Constant("device", device, name, "", float(constant.value), constant.unit, constant.spread)
            for name, constant in load_device_profile(device).constants
            if constant.spread and isinstance(constant.value, int | float) and constant.value
            if cell.config.workload.writes or not name.startswith("write.")
        )
    return sorted(found)
