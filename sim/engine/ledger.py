"""
The ledger: calls and picoseconds per symbol, stack and context.

Code does not charge symbols one by one. It charges a *site*: a stretch of kernel code whose calls per pass
are fixed, declared once with its stack. Charging is then two additions, and the kernel's symbols come
out exactly when the ledger is read.
"""

from __future__ import annotations

from typing import NamedTuple

from sim.engine.costs import CostTable

TASK, IRQ, KWORKER = "task", "irq", "kworker"


class CallRow(NamedTuple):
    """One symbol below one stack: `stack` is folded ("a;b;c", the symbol last), times in ps."""

    symbol: str
    stack: str
    context: str
    group: str
    calls: int
    ps: int


class Charge(NamedTuple):
    """
    The calls of one cost-table symbol below one stack, and its units, before any price is put on them.

    symbol: the cost table's name; name: the kernel version's. given_ps: what units cost by a price of their
    own (Site.price_unit) instead of the table's.
    """

    symbol: str
    name: str
    stack: str
    context: str
    calls: int
    units: int
    given_ps: int


class Site:
    """
    A place that charges: `passes` times all of its symbols, and `units` of its unit symbol.

    ps: cost of one pass in picoseconds; unit_ps: cost of one unit.
    """

    __slots__ = (
        "context",
        "passes",
        "ps",
        "stack",
        "symbols",
        "unit_given",
        "unit_ps",
        "unit_symbol",
        "units",
    )

    def __init__(self, context: str, stack: str, symbols: tuple[tuple[str, int], ...]) -> None:
        self.context = context
        self.stack = stack
        self.symbols = symbols
        self.passes = 0
        self.units = 0
        self.ps = 0
        self.unit_ps = 0
        self.unit_symbol = ""
        self.unit_given = False

    def price_unit(self, unit_ps: int) -> None:
        """Let a unit cost `unit_ps`, whatever the cost table says: a constant of the device, say."""
        self.unit_ps = unit_ps
        self.unit_given = True

    def charge(self, passes: int) -> int:
        """Count `passes`; return their cost in ps, for the caller's core to spend."""
        self.passes += passes
        return passes * self.ps

    def charge_units(self, passes: int, units: int) -> int:
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
        """`renamed` gives the names of another kernel version for symbols of the same duty."""
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
               counted), "b*3" for three calls. Children are separate entries: costs are self costs.
        unit: the symbol whose per-unit cost `units` are charged to; one of `calls`.

        Raises ConfigError if the cost table lacks a symbol.
        """
        symbols = []
        for word in calls.split():
            path, _, times = word.partition("*")
            symbols.append((path, int(times) if times else 1))
        site = Site(context, stack, tuple(symbols))
        site.ps = sum(self._costs[path.rpartition(";")[2]].self_ps * n for path, n in symbols)
        if unit:
            site.unit_symbol = next(path for path, _ in symbols if path.rpartition(";")[2] == unit)
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

    def rows(self) -> list[CallRow]:
        """Return the charges, one row per (stack, symbol, context), sorted, without empty ones."""
        self._settle_fused()
        sums: dict[tuple[str, str, str], list[int]] = {}
        for site in self._sites:
            if not site.passes and not site.units:
                continue
            for path, times in site.symbols:
                symbol = path.rpartition(";")[2]
                stack = ";".join(self._name(word) for word in f"{site.stack};{path}".split(";") if word)
                entry = sums.setdefault((stack, symbol, site.context), [0, 0])
                calls = site.passes * times
                entry[0] += calls
                entry[1] += calls * self._costs[symbol].self_ps
                if path == site.unit_symbol:
                    entry[1] += site.units * site.unit_ps
        return [
            CallRow(self._name(symbol), stack, context, self._costs[symbol].group, calls, ps)
            for (stack, symbol, context), (calls, ps) in sorted(sums.items())
            if calls or ps
        ]

    def charges(self) -> list[Charge]:
        """Return what rows() puts prices on, sorted alike: for pricing it otherwise, without another run."""
        self._settle_fused()
        sums: dict[tuple[str, str, str], list[int]] = {}
        for site in self._sites:
            if not site.passes and not site.units:
                continue
            for path, times in site.symbols:
                symbol = path.rpartition(";")[2]
                stack = ";".join(self._name(word) for word in f"{site.stack};{path}".split(";") if word)
                entry = sums.setdefault((stack, symbol, site.context), [0, 0, 0])
                entry[0] += site.passes * times
                if path == site.unit_symbol and site.unit_given:
                    entry[2] += site.units * site.unit_ps
                elif path == site.unit_symbol:
                    entry[1] += site.units
        return [
            Charge(symbol, self._name(symbol), stack, context, *entry)
            for (stack, symbol, context), entry in sorted(sums.items())
            if any(entry)
        ]

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

    def _name(self, symbol: str) -> str:
        return self._renamed.get(symbol, symbol)


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
        return super().site(context, stack, calls, unit)
