"""
The ledger: calls and picoseconds per symbol, stack and context.

Code does not charge symbols one by one. It charges a *site*: a stretch of kernel code whose calls per pass
are fixed, declared once with its stack. Charging is then two additions, and the kernel's symbols come
out exactly when the ledger is read.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from mypy_extensions import i64

from sim.engine.costs import CostTable
from sim.errors import ConfigError

TASK: Final = "task"
IRQ: Final = "irq"
KWORKER: Final = "kworker"


class CallRow(NamedTuple):
    """
    One symbol below one stack: `stack` is folded ("a;b;c", the symbol last), times in ps.

    units: how much of the symbol's unit was charged. mi: thousandths of an instruction.
    """

    symbol: str
    stack: str
    context: str
    group: str
    calls: int
    ps: int
    units: int
    mi: int


class Charge(NamedTuple):
    """
    The calls of one cost-table symbol below one stack, and its units, before any price is put on them.

    symbol: the cost table's name; name: the kernel version's.
    """

    symbol: str
    name: str
    stack: str
    context: str
    calls: int
    units: int


class Site:
    """
    A place that charges: `passes` times all of its symbols, and `units` of its unit symbol.

    ps: cost of one pass in picoseconds; unit_ps: cost of one unit. symbols: (full stack, calls, units) of
    one pass. unit_symbol: the full stack that `units` belong to.
    """

    __slots__ = (
        "context",
        "passes",
        "ps",
        "stack",
        "symbols",
        "unit_ps",
        "unit_symbol",
        "units",
    )

    def __init__(self, context: str, stack: str, symbols: tuple[tuple[str, int, int], ...]) -> None:
        self.context = context
        self.stack = stack
        self.symbols = symbols
        self.passes: i64 = 0
        self.units: i64 = 0
        self.ps: i64 = 0
        self.unit_ps: i64 = 0
        self.unit_symbol = ""

    def charge(self, passes: i64) -> i64:
        """Count `passes`; return their cost in ps, for the caller's core to spend."""
        self.passes += passes
        return passes * self.ps

    def charge_units(self, passes: i64, units: i64) -> i64:
        """Count `passes` and `units`; return their cost in ps."""
        self.passes += passes
        self.units += units
        return passes * self.ps + units * self.unit_ps


class FusedSite(Site):
    """Sites that are always passed together: charged as one, told apart in the ledger."""

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[Site, ...]) -> None:
        super().__init__(parts[0].context, "", ())
        self.parts = parts
        self.ps = sum(part.ps for part in parts)


class Ledger:
    """All sites of one run, over one cost table."""

    def __init__(self, costs: CostTable, renamed: dict[str, str] | None = None) -> None:
        """
        `renamed` gives the names of another kernel version for symbols of the same duty.

        A key "a;b" is for b where a calls it, and goes before one for b. A name of "" says that the version
        has no such call: what it costs is charged to the caller.
        """
        self._costs = costs
        self._renamed = renamed or {}
        self._sites: list[Site] = []
        self._fused: list[FusedSite] = []

    def fuse(self, *parts: Site) -> Site:
        """Return a site that stands for one pass of each of `parts` (of one context, units apart)."""
        flat: list[Site] = []
        for part in parts:
            flat.extend(part.parts if isinstance(part, FusedSite) else (part,))
        site = FusedSite(tuple(flat))
        self._fused.append(site)
        return site

    def site(self, context: str, stack: str, calls: str, unit: str = "") -> Site:
        """
        Declare a site.

        stack: folded callers ("filemap_read;read_pages"), may be empty.
        calls: the symbols of one pass, blank-separated; "a;b" stands for b called by a (only b is
               counted), "b*3" for three calls, "b:page" for no call but one unit of b, a page, and "/a;b"
               for a stack of its own, not below `stack`. Children are separate entries: costs are self costs.
        unit: the symbol whose per-unit cost `units` are charged to; one of `calls`.

        Raises ConfigError if the cost table lacks a symbol, or has it in another unit.
        """
        symbols = []
        for word in calls.split():
            path, _, times = word.partition("*")
            path, _, of = path.partition(":")
            full = path[1:] if path.startswith("/") else f"{stack};{path}" if stack else path
            cost = self._costs[_last(full)]
            if of and cost.unit not in (of, ""):
                raise ConfigError(
                    f"machine profile {self._costs.name}: cost.{cost.symbol}.unit", repr(cost.unit), of
                )
            number = int(times) if times else 1
            symbols.append((full, 0, number) if of else (full, number, 0))
        site = Site(context, stack, tuple(symbols))
        for full, number, units in symbols:
            cost = self._costs[_last(full)]
            site.ps += cost.self_ps * number + cost.unit_ps * units
        if unit:
            site.unit_symbol = next(full for full, number, _ in symbols if number and _last(full) == unit)
            site.unit_ps = self._costs[unit].unit_ps
        self._sites.append(site)
        return site

    def below(self, caller: str) -> Ledger:
        """Return this ledger for code that `caller` (a folded stack) calls in a task: its stacks say so."""
        return _Below(self, caller)

    def reset(self) -> None:
        """Forget all charges (after preparing an initial state)."""
        for site in (*self._sites, *self._fused):
            site.passes = site.units = 0

    @property
    def sites(self) -> list[Site]:
        """All sites that were declared, in that order."""
        return self._sites

    @property
    def fused(self) -> list[FusedSite]:
        """All sites that were fused, in that order; their passes are not yet their parts'."""
        return self._fused

    def rows(self) -> list[CallRow]:
        """Return the charges, one row per (stack, symbol, context), sorted, without empty ones."""
        return self._priced(self._sums())

    def rows_of(self, passed: list[tuple[Site, int, int]]) -> list[CallRow]:
        """Return the charges of so many passes and units of some sites, as rows() does of all."""
        return self._priced(_sums_of(passed))

    def _priced(self, sums: dict[tuple[str, str, str], list[int]]) -> list[CallRow]:
        rows = []
        for (full, symbol, context), (calls, units) in sums.items():
            cost = self._costs[symbol]
            ps = calls * cost.self_ps + units * cost.unit_ps
            mi = calls * cost.self_mi + units * cost.unit_mi
            if calls or ps or mi:
                stack, own = self._names(full)
                calls = calls if own else 0
                rows.append(CallRow(_last(stack), stack, context, cost.group, calls, ps, units, mi))
        return sorted(rows, key=lambda row: (row.stack, row.symbol, row.context))

    def charges(self) -> list[Charge]:
        """Return what rows() puts prices on, sorted alike: for pricing it otherwise, without another run."""
        made = []
        for (full, symbol, context), (calls, units) in self._sums().items():
            if calls or units:
                stack = self._names(full)[0]
                made.append(Charge(symbol, _last(stack), stack, context, calls, units))
        return sorted(made, key=lambda charge: (charge.stack, charge.name, charge.context))

    def _sums(self) -> dict[tuple[str, str, str], list[int]]:
        """
        Return (full stack, symbol, context) -> calls, units.
        """
        self._settle_fused()
        return _sums_of([(site, site.passes, site.units) for site in self._sites])

    def calls(self) -> dict[str, int]:
        """Return the calls per symbol, over all stacks and contexts."""
        totals: dict[str, int] = {}
        for row in self.rows():
            totals[row.symbol] = totals.get(row.symbol, 0) + row.calls
        return totals

    def _settle_fused(self) -> None:
        """Give the passes of fused sites to their parts."""
        for fused in self._fused:
            for part in fused.parts:
                part.passes += fused.passes
            fused.passes = 0

    def _names(self, full: str) -> tuple[str, bool]:
        """Return a folded stack under the version's names, and whether its last symbol is a call there."""
        return version_stack(full, self._renamed)


def _sums_of(passed: list[tuple[Site, int, int]]) -> dict[tuple[str, str, str], list[int]]:
    """Return (full stack, symbol, context) -> calls, units of so many passes and units of some sites."""
    sums: dict[tuple[str, str, str], list[int]] = {}
    for site, passes, of_unit in passed:
        if not passes and not of_unit:
            continue
        for full, calls, units in site.symbols:
            entry = sums.setdefault((full, _last(full), site.context), [0, 0])
            entry[0] += passes * calls
            entry[1] += passes * units
            if full == site.unit_symbol and calls:
                entry[1] += of_unit
    return sums


class _Below(Ledger):
    """Another ledger, with a caller before the stacks of tasks."""

    def __init__(self, ledger: Ledger, caller: str) -> None:
        super().__init__(ledger._costs)
        self._renamed, self._sites, self._fused = ledger._renamed, ledger._sites, ledger._fused
        self._caller = caller

    def site(self, context: str, stack: str, calls: str, unit: str = "") -> Site:
        """Declare a site below the caller."""
        if context == TASK:
            stack = f"{self._caller};{stack}" if stack else self._caller
            calls = " ".join(self._absolute(word) for word in calls.split())
        return super().site(context, stack, calls, unit)

    def _absolute(self, word: str) -> str:
        return f"/{self._caller};{word[1:]}" if word.startswith("/") else word


def under(caller: str, calls: str) -> str:
    """Return blank-separated symbols, each as called by `caller`: how a site's words are put together."""
    return " ".join(f"{caller};{call}" for call in calls.split())


def version_stack(full: str, renamed: dict[str, str]) -> tuple[str, bool]:
    """
    Return a folded stack under a kernel version's names (see Ledger), and whether its last symbol has one.

    A stack of which nothing is left keeps its last symbol.
    """
    names: list[str] = []
    own = False
    before = ""
    for symbol in full.split(";"):
        name = renamed.get(f"{before};{symbol}", renamed.get(symbol, symbol))
        own = name != ""
        if own:
            names.append(name)
        before = symbol
    return (";".join(names), own) if names else (before, False)


def _last(stack: str) -> str:
    """Return the symbol at the end of a folded stack."""
    return stack.rpartition(";")[2]
