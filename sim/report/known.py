"""
How far a share of a difference is known in ns, and when it is shown.

Whole reads are timed, not symbols: that buffer heads cost so much more is known to a few per cent, what of it
is the bios' and what the buffer heads' is not, for where there is one there is the other. The draws beside a
machine profile (`*.draws`) are other values of its constants that the recordings allow as well; a share is as
far known as it is the same in all of them.

The rule: a share in ns is shown where 90 % of the draws lie in an interval at most 0.3 as wide as its middle
(15 % either way), or a percentage point either way; otherwise the interval, and the share of instructions,
which were counted per symbol.

Left out: what the device adds, which no draw moves; profiles without draws, whose shares are not known.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from sim.engine.costs import DRAWS_SUFFIX, PS_PER_NS, Cost, load_costs
from sim.experiment.results import Row, Run

NARROW, NARROW_POINTS = 0.3, 2.0
"""The widest 90 % interval of a share that is shown in ns: relative to its middle, or in per cent."""
CENTRAL = (5, 95)

Drawn = NDArray[np.float64]
Key = tuple[str, str]
"""(symbol, group)."""
Interval = tuple[float, float]


@cache
def load_draws(profile: str) -> dict[tuple[str, str], Drawn]:
    """Return the draws of a shipped profile, by symbol and "self" or "unit"; empty if it has none."""
    file = resources.files("sim") / "profiles" / "machines" / f"{profile}{DRAWS_SUFFIX}"
    if profile.endswith(".toml") or not file.is_file():
        return {}
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    return {
        (symbol, part): np.array(values)
        for part in ("self", "unit")
        for symbol, values in table.get(part, {}).items()
    }


def machine_of(run: Run, rows: Iterable[Row]) -> tuple[str, float]:
    """Return machine profile and cost_scale of the cells of metrics rows, ("", 1) if they have several."""
    cells = {row["cell"] for row in rows}
    found = {
        (str(machine["profile"]), float(machine.get("cost_scale", 1)))
        for cell in run.manifest["cells"]
        if cell["cell"] in cells
        for machine in [cell["config"]["machine"]]
    }
    return found.pop() if len(found) == 1 else ("", 1.0)


def drawn_ns(run: Run, rows: list[Row], per: float, machine: tuple[str, float]) -> dict[Key, Drawn | None]:
    """
    Return, per symbol, its ns in each draw over `per`, summed over the cells of metrics rows.

    None for a symbol that takes time and has no draws.
    """
    profile, scale = machine
    draws = load_draws(profile)
    costs = load_costs(profile).scaled(scale).costs if draws else {}
    chosen = {(row["cell"], row["seed"]) for row in rows}
    sums: dict[Key, list[int]] = {}
    for call in run.calls:
        if (call["cell"], call["seed"]) in chosen:
            total = sums.setdefault((call["symbol"], call["group"]), [0, 0])
            total[0] += call["calls"]
            total[1] += call["ns"]
    found: dict[Key, Drawn | None] = {}
    for (symbol, group), (calls, ns) in sums.items():
        drawn = _drawn(calls, ns, costs.get(symbol), draws)
        found[symbol, group] = None if drawn is None else drawn / per
    return found


def _drawn(calls: int, ns: int, cost: Cost | None, draws: Mapping[Key, Drawn]) -> Drawn | None:
    """Return what `calls` that took `ns` take in each draw; what is not the calls' own is the units'."""
    if not ns:
        return np.zeros(1)
    if cost is None or not (cost.self_ps or cost.unit_ps):
        return None
    own = ns if not cost.unit_ps else min(calls * cost.self_ps / PS_PER_NS, ns)
    total: Drawn = np.zeros(1)
    for part, ps, spent in (("self", cost.self_ps, own), ("unit", cost.unit_ps, ns - own)):
        if ps and spent:
            values = draws.get((cost.symbol, part))
            if values is None:
                return None
            total = total + values * (spent * PS_PER_NS / ps)
    return total


def share_intervals(
    first: Mapping[Key, Drawn | None], second: Mapping[Key, Drawn | None], more: Mapping[Key, float]
) -> tuple[dict[Key, Interval], dict[str, Interval]]:
    """
    Return between which per cent 90 % of the draws have the share of each symbol, and of each group.

    more: what each symbol takes more, which stands in for those without draws; neither they nor their group
    have an interval.
    """
    parts: dict[Key, Drawn] = {}
    unknown: set[Key] = set()
    for key, point in more.items():
        a, b = first.get(key, np.zeros(1)), second.get(key, np.zeros(1))
        if a is None or b is None:
            unknown.add(key)
            parts[key] = np.full(1, point)
        else:
            parts[key] = a - b
    whole = sum(parts.values(), np.zeros(1))
    if not whole.all():
        return {}, {}
    groups: dict[str, Drawn] = {}
    for key, part in parts.items():
        groups[key[1]] = groups.get(key[1], np.zeros(1)) + part
    vague = {group for _, group in unknown}
    return (
        {key: _central(part / whole) for key, part in parts.items() if key not in unknown},
        {group: _central(part / whole) for group, part in groups.items() if group not in vague},
    )


def _central(shares: Drawn) -> Interval:
    low, high = np.percentile(100 * shares, CENTRAL)
    return float(low), float(high)


def is_narrow(interval: Interval | None) -> bool:
    """Return whether a share with this interval is shown in ns."""
    if interval is None:
        return False
    low, high = interval
    return high - low <= max(NARROW * abs(low + high) / 2, NARROW_POINTS)
