"""
The cost table: what one call of a kernel symbol costs, in ns and in instructions, with unit and source.

A machine profile (`sim/profiles/machines/*.toml`) gives, per symbol, `self` (ns a call, children not
included), and where it matters `per_unit` (ns per `unit`: a byte, a page, a level of a tree); beside them
the same in instructions. A profile may name another as its `base`: what it does not say is taken from
there. A symbol that no entry names costs nothing *only* if the profile lists it under `free` with the reason
(its cost is inside a caller's); any other is an error: a charge never disappears in silence.

The clock moves by ns, always. Instructions are counted beside it, as `perf stat -e instructions` does beside
the time. A profile that knows only instructions says under `[clock]` how fast they go: `ghz` x `ipc`. What a
`rep` moves or sets, a byte an instruction, goes at a pace of its own: `rep_bytes` and `unit_rep_bytes` say
how many of them a constant has. A profile over a base takes the base's ns times its pace over the base's, and
those of bytes times its `ns_per_byte` over the base's where both state one; a faster clock alone makes no
memory faster.

Costs are held as integer picoseconds and thousandths of an instruction, so that sums do not depend on the
order of addition.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

from sim.documents import parse_toml, read_toml, short
from sim.engine.pace import MILLI, Pace, in_proportion, paced
from sim.errors import ConfigError
from sim.files import shipped_profiles

PS_PER_NS: Final = 1000

ENTRY_KEYS: Final = (
    "self",
    "per_unit",
    "unit",
    "instructions",
    "unit_instructions",
    "rep_bytes",
    "unit_rep_bytes",
    "group",
    "spread",
    "interval",
    "unit_interval",
    "instructions_interval",
    "unit_instructions_interval",
    "source",
    "method",
)
TOP_KEYS: Final = ("name", "about", "clock", "base", "cost", "free")
DEFAULT_MACHINE: Final = "linux-6.1-epyc-7001"
"""The machine profile whose times `make truth-ns` has recorded."""
UNMEASURED: Final = "unmeasured"
"""What no recording has, assumed: no machine, but the base of those that are."""
WRITES: Final = "linux-6.1-writes"
"""What writing costs, fitted: no machine either, but between that base and the machines."""
BASES: Final = (UNMEASURED, WRITES)
"""Profiles that are no machines."""
DRAWS_SUFFIX: Final = ".draws"
"""Of the file beside a fitted profile that has other values of its constants, also TOML."""
CLOCK_KEYS: Final = ("ghz", "ipc", "ns_per_instruction", "ns_per_byte", "source")
_KERNEL_KEYS: Final = ("instructions", "unit_instructions", "same_time", "source")
_MOST: Final = 10**9
"""The largest number of a profile: a second a call, a thousand million instructions."""
_INTERVALS = tuple(key for key in ENTRY_KEYS if key.endswith("interval"))


@dataclass(frozen=True, slots=True)
class Cost:
    """
    The cost of one call of `symbol`: `self_ps` + units x `unit_ps`, in integer picoseconds.

    `self_mi`, `unit_mi`: the same in thousandths of an instruction. `self_bytes`, `unit_bytes`: what a `rep`
    moves or sets in it. `group` is the cost group of the stacked
    figures, `spread` the relative half-width of the interval in which the ns are believed to lie, `source`
    where they come from. The profile's intervals are for its readers; nothing is computed with them.
    """

    symbol: str
    self_ps: int
    unit_ps: int
    unit: str
    group: str
    spread: float
    source: str
    self_mi: int = 0
    unit_mi: int = 0
    self_bytes: int = 0
    unit_bytes: int = 0


class CostTable:
    """Costs by symbol; asking for an unknown one raises ConfigError with the nearest names."""

    def __init__(
        self, name: str, costs: dict[str, Cost], pace: Pace | None = None, slower: float = 1.0
    ) -> None:
        """
        pace: of the machine, from which instructions follow where only ns are said, and ns likewise. slower:
        how much slower than its profile says it is, pace and all (see scaled).
        """
        self.name = name
        self.costs = costs
        self.pace = pace
        self._slower = slower

    def __getitem__(self, symbol: str) -> Cost:
        cost = self.costs.get(symbol)
        if cost is None:
            near = ", ".join(difflib.get_close_matches(symbol, self.costs, 3)) or "see the profile"
            raise ConfigError(f"machine profile {self.name}", f"symbol {symbol!r} has no cost", near)
        return cost

    def varied(self, changes: Mapping[tuple[str, str], float]) -> CostTable:
        """
        Return the table with constants multiplied: {(symbol, "self" or "unit"): factor}.

        Raises ConfigError for a symbol the table does not have.
        """
        costs = dict(self.costs)
        for (symbol, part), factor in changes.items():
            cost = self[symbol] if symbol not in costs else costs[symbol]
            key = f"{part}_ps"
            costs[symbol] = replace(cost, **{key: round(getattr(cost, key) * factor)})
        return self._with(costs)

    def dearer(self, symbol: str, ns: int) -> CostTable:
        """Return the table with `ns` more for every call of `symbol` (ConfigError if it has none)."""
        if not ns:
            return self
        cost = self[symbol]
        dearer = replace(cost, self_ps=cost.self_ps + ns * PS_PER_NS)
        return self._with(self.costs | {symbol: dearer})

    def scaled(self, factor: float) -> CostTable:
        """
        Return the table with every constant multiplied by `factor`: a machine that much slower.

        So is its pace, and what is added later (extended), for which ns are said of the machine as it was.
        """
        if factor == 1:
            return self
        every = {(symbol, part): factor for symbol in self.costs for part in ("self", "unit")}
        pace = None if self.pace is None else self.pace.times(factor)
        return CostTable(self.name, self.varied(every).costs, pace, self._slower * factor)

    def _with(self, costs: dict[str, Cost]) -> CostTable:
        """Return the same machine with other costs."""
        return CostTable(self.name, costs, self.pace, self._slower)

    def extended(self, whose: str, entries: Mapping[str, Mapping[str, Any]]) -> CostTable:
        """
        Return the table with costs of symbols that only `whose` code has; entries: as in a profile's [cost].

        Raises ConfigError for an entry that is none, or whose symbol the table has already.
        """
        if not entries:
            return self
        pace = None if self.pace is None else self.pace.times(1 / self._slower)
        own = {}
        for symbol, entry in entries.items():
            if symbol in self.costs:
                problem = f"machine profile {self.name} has a cost of {symbol!r} already"
                raise ConfigError(f"{whose}: costs", problem, "a symbol of its own")
            own[symbol] = _parse_cost(f"{whose}: costs.{symbol}", symbol, dict(entry), pace)
        return self._with(self.costs | CostTable(whose, own).scaled(self._slower).costs)

    def measured_on(self, kernel: str) -> CostTable:
        """
        Return the table with the instructions that a later kernel's recordings give (profiles/kernels).

        ns follow from what the symbol takes here, in proportion; from the pace where it takes nothing. A
        table without a pace is no machine's, and stays as it is.
        """
        if self.pace is None or not kernel:
            return self
        costs = dict(self.costs)
        for symbol, (of_call, of_unit, same_time) in _instructions_on(kernel).items():
            cost = costs.get(symbol)
            if cost is None:
                continue
            if not same_time:
                self_ps = in_proportion(cost.self_ps, cost.self_mi, of_call, self.pace)
                unit_ps = in_proportion(cost.unit_ps, cost.unit_mi, of_unit, self.pace)
                cost = replace(cost, self_ps=self_ps, unit_ps=unit_ps)
            costs[symbol] = replace(
                cost,
                self_mi=cost.self_mi if of_call is None else of_call,
                unit_mi=cost.unit_mi if of_unit is None else of_unit,
            )
        return self._with(costs)

    def at_pace(self, new: Pace, old: Pace | None) -> CostTable:
        """Return the table with the ns that its instructions and bytes take at another pace than `old`."""
        return CostTable(
            self.name,
            {
                symbol: replace(
                    cost,
                    self_ps=paced(cost.self_ps, cost.self_mi, cost.self_bytes, new, old),
                    unit_ps=paced(cost.unit_ps, cost.unit_mi, cost.unit_bytes, new, old),
                )
                for symbol, cost in self.costs.items()
            },
            new,
        )


@cache
def _instructions_on(kernel: str) -> dict[str, tuple[int | None, int | None, bool]]:
    """
    Return what differs on a kernel: thousandths of an instruction of a call and of a unit, None as on 6.1;
    and whether ns stay all the same.

    Raises ConfigError for a file that is missing or not of this form.
    """
    source = resources.files("sim") / "profiles" / "kernels" / f"{kernel}.toml"
    table = parse_toml(source.read_text(encoding="utf-8"), kernel, "a kernel's costs")
    found: dict[str, tuple[int | None, int | None, bool]] = {}
    for symbol, entry in _table(f"{kernel}: cost", table.get("cost", {})).items():
        place = f"{kernel}: cost.{symbol}"
        _known(f"{place}.", entry, _KERNEL_KEYS)
        of_call, of_unit = (
            round(_number(place, entry, key) * MILLI) if key in entry else None for key in _KERNEL_KEYS[:2]
        )
        found[symbol] = of_call, of_unit, bool(entry.get("same_time", False))
    return found


def _number(place: str, entry: dict[str, Any], key: str) -> float:
    value = entry.get(key, 0)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= _MOST:
        raise ConfigError(
            f"{place}.{key}", f"{short(value)} is not a cost", f"a number >= 0, up to {_MOST:,}"
        )
    return float(value)


def _table(place: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(place, f"{short(value)} is not a table", "a table")
    return value


def _known(place: str, table: dict[str, Any], keys: tuple[str, ...]) -> None:
    for key in _table(place.rstrip(": ."), table):
        if key not in keys:
            near = ", ".join(difflib.get_close_matches(key, keys, 2)) or ", ".join(keys)
            raise ConfigError(f"{place}{key}", "unknown key", near)


def _pace(place: str, table: dict[str, Any]) -> Pace | None:
    """Return the pace that a profile states; None if it states none."""
    clock = table.get("clock")
    if clock is None:
        return None
    _known(f"{place}: clock.", clock, CLOCK_KEYS)
    at = f"{place}: clock"
    ns = _number(at, clock, "ns_per_instruction")
    pace = _number(at, clock, "ghz") * _number(at, clock, "ipc") or (1 / ns if ns else 0)
    if not 1 / _MOST <= pace <= _MOST or "source" not in clock:
        allowed = "ghz and ipc, or ns_per_instruction, above 0, and their source"
        raise ConfigError(at, "is not complete", allowed)
    byte_ns = _number(at, clock, "ns_per_byte")
    return Pace(PS_PER_NS / pace, byte_ns * PS_PER_NS or None)


def parse_costs(place: str, table: dict[str, Any]) -> CostTable:
    """
    Return the cost table of a parsed machine profile.

    `place` names the file in errors. Raises ConfigError on an unknown key, a negative or missing number, a
    missing unit or source.
    """
    _known(f"{place}: ", table, TOP_KEYS)
    pace = _pace(place, table)
    costs = {
        symbol: _parse_cost(f"{place}: cost.{symbol}", symbol, entry, pace)
        for symbol, entry in _table(f"{place}: cost", table.get("cost", {})).items()
    }
    for group, words in _table(f"{place}: free", table.get("free", {})).items():
        symbols = _table(f"{place}: free.{group}", words).get("symbols", [])
        if not isinstance(symbols, list) or not all(isinstance(symbol, str) for symbol in symbols):
            raise ConfigError(f"{place}: free.{group}.symbols", f"{short(symbols)}", "a list of names")
        for symbol in symbols:
            if symbol in costs:
                raise ConfigError(f"{place}: free.{group}", f"{symbol!r} also has a cost", "one of the two")
            costs[symbol] = Cost(symbol, 0, 0, "", group, 0.0, str(words.get("source", "")))
    return CostTable(str(table.get("name", place)), costs, pace)


def _parse_cost(at: str, symbol: str, entry: dict[str, Any], stated: Pace | None) -> Cost:
    """Return one entry; of ns and instructions, what it does not give follows at the pace `stated`."""
    pace = stated.instruction_ps if stated is not None else None
    _known(f"{at}.", entry, ENTRY_KEYS)
    for key in ("group", "source") if pace else ("self", "group", "source"):
        if key not in entry:
            raise ConfigError(at, f"{key!r} is missing", ", ".join(ENTRY_KEYS))
    if ("per_unit" in entry or "unit_instructions" in entry) != ("unit" in entry):
        raise ConfigError(at, "per_unit and unit go together", "both or neither")
    for key in _INTERVALS:
        _check_interval(f"{at}.{key}", entry.get(key))
    ps, mi = {}, {}
    for ns_key, key in (("self", "instructions"), ("per_unit", "unit_instructions")):
        mi[key] = round(_number(at, entry, key) * MILLI)
        ps[ns_key] = round(_number(at, entry, ns_key) * PS_PER_NS)
        if ns_key not in entry and pace:
            ps[ns_key] = round(mi[key] * pace / MILLI)
        if key not in entry and pace:
            mi[key] = round(ps[ns_key] * MILLI / pace)
    return Cost(
        symbol=symbol,
        self_ps=ps["self"],
        unit_ps=ps["per_unit"],
        unit=str(entry.get("unit", "")),
        group=str(entry["group"]),
        spread=_number(at, entry, "spread"),
        source=str(entry["source"]),
        self_mi=mi["instructions"],
        unit_mi=mi["unit_instructions"],
        self_bytes=round(_number(at, entry, "rep_bytes")),
        unit_bytes=round(_number(at, entry, "unit_rep_bytes")),
    )


def _check_interval(place: str, interval: Any) -> None:
    if interval is None:
        return
    numbers = isinstance(interval, list) and all(isinstance(end, int | float) for end in interval)
    if not numbers or len(interval) != 2 or interval[0] > interval[1]:
        raise ConfigError(place, f"{short(interval)} is no interval", "[lowest, highest]")


def load_costs(profile: str) -> CostTable:
    """
    Return the cost table of a machine profile, by name ("linux-6.1-epyc-7001") or by path ("my.toml").

    Raises ConfigError if there is none of that name, or it is not a valid profile.
    """
    return _loaded(profile, _given(profile)) if profile.endswith(".toml") else _shipped_costs(profile)


@cache
def _shipped_costs(profile: str) -> CostTable:
    """Return the cost table of a profile that comes with readpath: one for all cells, not to be changed."""
    return _loaded(profile, _shipped(profile))


def _loaded(profile: str, table: dict[str, Any]) -> CostTable:
    costs = parse_costs(profile, table)
    if "base" not in table:
        return costs
    base = str(table["base"])
    if base.endswith(".toml") or "/" in base:
        raise ConfigError(f"{profile}: base", f"{short(base)} is a file", "the name of a profile")
    below = load_costs(base)
    if pace := _pace(profile, table):
        below = below.at_pace(pace, _pace(base, _shipped(base)))
    return CostTable(costs.name, below.costs | costs.costs, costs.pace or below.pace)


def _given(profile: str) -> dict[str, Any]:
    """Return the table of a profile file. Raises ConfigError if it cannot be read."""
    return read_toml(Path(profile), profile, "a machine profile")


def machine_profile_names() -> list[str]:
    """Return the names of the machine profiles that come with readpath, sorted; not their bases'."""
    return [name for name in shipped_profiles("machines") if name not in BASES]


@cache
def _shipped(profile: str) -> dict[str, Any]:
    """
    Return the table of a profile that comes with readpath, which is not to be changed.

    Raises ConfigError if there is none.
    """
    folder = resources.files("sim") / "profiles" / "machines"
    source = folder / f"{profile}.toml"
    if not source.is_file():
        raise ConfigError("machine.profile", f"{profile!r} is not known", ", ".join(machine_profile_names()))
    return parse_toml(source.read_text(encoding="utf-8"), profile, "a machine profile")
