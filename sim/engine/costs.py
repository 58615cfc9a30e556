"""
The cost table: what one call of a kernel symbol costs, with unit, source and spread.

A machine profile (`sim/profiles/machines/*.toml`) gives, per symbol, `self` (ns a call, children not
included), and where it matters `per_unit` (ns per `unit`: a byte, a bio vector, a level of a tree). A
profile of one's own may name another as its `base`: what it does not say is taken from there. A
symbol that no entry names costs nothing *only* if the profile lists it under `free` with the reason (its
cost is inside a caller's); any other is an error: a charge never disappears in silence.

Costs are held as integer picoseconds, so that sums do not depend on the order of addition.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from sim.errors import ConfigError

PS_PER_NS = 1000

_ENTRY_KEYS = ("self", "per_unit", "unit", "group", "spread", "source")
_TOP_KEYS = ("name", "about", "currency", "base", "cost", "free")


@dataclass(frozen=True, slots=True)
class Cost:
    """
    The cost of one call of `symbol`: `self_ps` + units x `unit_ps`, in integer picoseconds.

    `group` is the cost group of the stacked figures, `spread` the relative half-width of the interval in
    which the constant is believed to lie, `source` where it comes from.
    """

    symbol: str
    self_ps: int
    unit_ps: int
    unit: str
    group: str
    spread: float
    source: str


class CostTable:
    """Costs by symbol; asking for an unknown one raises ConfigError with the nearest names."""

    def __init__(self, name: str, costs: dict[str, Cost]) -> None:
        self.name = name
        self.costs = costs

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
        return CostTable(self.name, costs)

    def scaled(self, factor: float) -> CostTable:
        """Return the table with every constant multiplied by `factor`: a machine that much slower."""
        if factor == 1:
            return self
        return self.varied({(symbol, part): factor for symbol in self.costs for part in ("self", "unit")})


def _number(place: str, entry: dict[str, Any], key: str) -> float:
    value = entry.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ConfigError(f"{place}.{key}", f"{value!r} is not a cost", "a number of ns >= 0")
    return float(value)


def _ps(place: str, entry: dict[str, Any], key: str) -> int:
    return round(_number(place, entry, key) * PS_PER_NS)


def parse_costs(place: str, table: dict[str, Any]) -> CostTable:
    """
    Return the cost table of a parsed machine profile.

    `place` names the file in errors. Raises ConfigError on an unknown key, a negative or missing number, a
    missing unit or source.
    """
    for key in table:
        if key not in _TOP_KEYS:
            near = ", ".join(difflib.get_close_matches(key, _TOP_KEYS, 2)) or ", ".join(_TOP_KEYS)
            raise ConfigError(f"{place}: {key}", "unknown key", near)
    costs: dict[str, Cost] = {}
    for symbol, entry in table.get("cost", {}).items():
        at = f"{place}: cost.{symbol}"
        for key in entry:
            if key not in _ENTRY_KEYS:
                near = ", ".join(difflib.get_close_matches(key, _ENTRY_KEYS, 2)) or ", ".join(_ENTRY_KEYS)
                raise ConfigError(f"{at}.{key}", "unknown key", near)
        for key in ("self", "group", "source"):
            if key not in entry:
                raise ConfigError(at, f"{key!r} is missing", ", ".join(_ENTRY_KEYS))
        if ("per_unit" in entry) != ("unit" in entry):
            raise ConfigError(at, "per_unit and unit go together", "both or neither")
        costs[symbol] = Cost(
            symbol=symbol,
            self_ps=_ps(at, entry, "self"),
            unit_ps=_ps(at, entry, "per_unit"),
            unit=str(entry.get("unit", "")),
            group=str(entry["group"]),
            spread=_number(at, entry, "spread"),
            source=str(entry["source"]),
        )
    for group, words in table.get("free", {}).items():
        for symbol in words.get("symbols", ()):
            if symbol in costs:
                raise ConfigError(f"{place}: free.{group}", f"{symbol!r} also has a cost", "one of the two")
            costs[symbol] = Cost(symbol, 0, 0, "", group, 0.0, str(words.get("source", "")))
    return CostTable(str(table.get("name", place)), costs)


def load_costs(profile: str) -> CostTable:
    """
    Return the cost table of a machine profile, by name ("linux-6.1-epyc") or by path ("my.toml").

    Raises ConfigError if there is none of that name, or it is not a valid profile.
    """
    folder = resources.files("sim") / "profiles" / "machines"
    if profile.endswith(".toml"):
        try:
            text = Path(profile).read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(profile, f"cannot be read ({error.strerror})", "a machine profile") from error
    else:
        source = folder / f"{profile}.toml"
        if not source.is_file():
            names = sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir())
            raise ConfigError("machine.profile", f"{profile!r} is not known", ", ".join(names))
        text = source.read_text(encoding="utf-8")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(profile, f"is not TOML ({error})", "a machine profile") from error
    costs = parse_costs(profile, table)
    if "base" not in table:
        return costs
    base = str(table["base"])
    if base.endswith(".toml"):
        raise ConfigError(f"{profile}: base", f"{base!r} is a file", "the name of a profile")
    return CostTable(costs.name, load_costs(base).costs | costs.costs)
