"""
What was charged since the last look: the ledger in steps, for a trace.
"""

from __future__ import annotations

from sim.engine.ledger import CallRow, FusedSite, Ledger, Site

Passed = tuple[tuple[int, int, int], ...]
"""(number of the site, passes, units) of each that was passed; a fused site's number is below 0."""


class Tally:
    """Steps through one ledger; nobody else may read its rows before the end."""

    __slots__ = ("_fused", "_ledger", "_seen_fused", "_seen_passes", "_seen_units", "_sites")

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._sites: list[Site] = ledger.sites
        self._fused: list[FusedSite] = ledger.fused
        self._seen_passes: list[int] = []
        self._seen_units: list[int] = []
        self._seen_fused: list[int] = []

    def take(self) -> Passed:
        """Return what was charged since the last call."""
        passed: list[tuple[int, int, int]] = []
        seen_passes, seen_units, seen_fused = self._seen_passes, self._seen_units, self._seen_fused
        more = len(self._sites) - len(seen_passes)
        if more:
            seen_passes.extend([0] * more)
            seen_units.extend([0] * more)
        if len(self._fused) > len(seen_fused):
            seen_fused.extend([0] * (len(self._fused) - len(seen_fused)))
        for number, site in enumerate(self._sites):
            if site.passes != seen_passes[number] or site.units != seen_units[number]:
                passed.append((number, site.passes - seen_passes[number], site.units - seen_units[number]))
                seen_passes[number], seen_units[number] = site.passes, site.units
        for number, fused in enumerate(self._fused):
            if fused.passes != seen_fused[number]:
                passed.append((-1 - number, fused.passes - seen_fused[number], 0))
                seen_fused[number] = fused.passes
        return tuple(passed)

    def site(self, number: int) -> Site:
        """Return the site of a number in a step."""
        return self._sites[number] if number >= 0 else self._fused[-1 - number]

    def ps_of(self, passed: Passed) -> int:
        """Return what a step cost in ps."""
        ps = 0
        for number, passes, units in passed:
            site = self.site(number)
            ps += passes * site.ps + units * site.unit_ps
        return ps

    def rows(self, passed: Passed) -> list[CallRow]:
        """Return the charges of one step, one row per (stack, symbol, context), as the ledger's are."""
        alone: list[tuple[Site, int, int]] = []
        for number, passes, units in passed:
            if number >= 0:
                alone.append((self._sites[number], passes, units))
            else:
                alone.extend((part, passes, 0) for part in self._fused[-1 - number].parts)
        return self._ledger.rows_of(alone)
